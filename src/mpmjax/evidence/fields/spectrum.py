"""The half spectrum of a grid, in memory or, where that is too small, in a file: the same numbers either way."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import IO

import numpy as np

from mpmjax.errors import DiskError

COLUMNS = 64
"""Columns that are transformed at a time. Fixed, so that no setting can change a bit."""

_BYTES = 16
"""Of a complex number of two float64."""


class Spectrum:
    """complex128 [height, width], written by rows, changed by blocks of columns, read by rows. A context manager.

    Args:
        folder: where a file without a name takes the numbers; None keeps them in memory.
    """

    def __init__(self, shape: tuple[int, int], folder: Path | None = None) -> None:
        self.shape = shape
        self._folder = folder
        self._array: np.ndarray | None = None
        self._file: IO[bytes] | None = None

    def __enter__(self) -> Spectrum:
        if self._folder is None:
            self._array = np.empty(self.shape, np.complex128)
        else:
            try:
                self._file = tempfile.TemporaryFile(dir=self._folder, buffering=0)
            except OSError as error:
                raise self._refused(error) from error
        return self

    def __exit__(self, *_: object) -> None:
        self._array = None
        if self._file is not None:
            self._file.close()

    @property
    def blocks(self) -> list[tuple[int, int]]:
        """First column and number of columns of each block."""
        return [(col, min(COLUMNS, self.shape[1] - col)) for col in range(0, self.shape[1], COLUMNS)]

    def put_rows(self, row: int, values: np.ndarray) -> None:
        """Write some rows [rows, width]."""
        for col, count in self.blocks:
            self._put(row, col, count, values[:, col : col + count])

    def rows(self, row: int, count: int) -> np.ndarray:
        """Some rows [count, width]."""
        if self._array is not None:
            return self._array[row : row + count]
        return np.concatenate([self._get(row, count, *block) for block in self.blocks], axis=1)

    def columns(self, col: int, count: int) -> np.ndarray:
        """A block of columns [height, count], contiguous."""
        return self._get(0, self.shape[0], col, count)

    def put_columns(self, col: int, values: np.ndarray) -> None:
        """Write a block of columns back."""
        self._put(0, col, values.shape[1], values)

    def _put(self, row: int, col: int, width: int, values: np.ndarray) -> None:
        if self._array is not None:
            self._array[row : row + len(values), col : col + width] = values
            return
        file = self._at(row, col, width)
        left = np.ascontiguousarray(values, np.complex128).reshape(-1).view(np.uint8).data
        try:
            while left:
                left = left[file.write(left) :]
        except OSError as error:
            raise self._refused(error) from error

    def _get(self, row: int, count: int, col: int, width: int) -> np.ndarray:
        if self._array is not None:
            return np.ascontiguousarray(self._array[row : row + count, col : col + width])
        file, found = self._at(row, col, width), np.empty((count, width), np.complex128)
        left = found.reshape(-1).view(np.uint8).data
        try:
            while left:
                read = file.readinto(left)  # pyright: ignore[reportAttributeAccessIssue]
                if not read:
                    raise OSError("the file ends before its numbers do")
                left = left[read:]
        except OSError as error:
            raise self._refused(error) from error
        return found

    def _at(self, row: int, col: int, width: int) -> IO[bytes]:
        """The file where some rows of a block of columns begin: the blocks lie behind each other, each by rows."""
        if self._file is None:
            raise ValueError("a Spectrum is used inside its `with`")
        self._file.seek(_BYTES * (col * self.shape[0] + row * width))
        return self._file

    def _refused(self, error: OSError) -> DiskError:
        size = _BYTES * self.shape[0] * self.shape[1] / 2**30
        return DiskError(
            f"{self._folder}: the spectrum of a grid ({size:.1f} GiB, as it does not fit into memory) cannot be kept "
            f"there ({error.strerror or error}). Free some disk, or allow more by [stream] max_memory."
        )
