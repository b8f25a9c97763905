"""What can go wrong, as exceptions that carry a sentence and an exit status.

Every message says what happened, where (file, band, window, field), why, and what to do next. The command line
prints the message and exits with `exit_status`; nothing else in the package calls `sys.exit`.
"""

from __future__ import annotations


class MpmError(Exception):
    """Base of all errors that mpmjax raises on purpose. Exit status 2: usage, project file or data."""

    exit_status = 2


class ProjectError(MpmError):
    """The project file is wrong: names the field, the value got and what is allowed."""


class DataError(MpmError):
    """An input file cannot be used: names the file, band or layer, and what to do."""


class FolderError(MpmError):
    """An output folder that cannot be worked in: another run does, or made what stands there from something else."""


class ScreenerError(MpmError):
    """A saved Screener is damaged, of another format, or does not fit the project."""


class BackendError(MpmError):
    """A backend that was asked for by name cannot be used here: says why, and what to do."""


class TileError(MpmError):
    """Some tiles could not be processed in the middle of a run."""

    exit_status = 3


class DiskError(MpmError):
    """Not enough disk, or a write failed."""

    exit_status = 4


class MemoryLimitError(MpmError):
    """The work does not fit into the memory allowed by `[stream] max_memory`."""

    exit_status = 5
