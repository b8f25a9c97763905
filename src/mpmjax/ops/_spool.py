"""A stack of strips on disk: what the first sweep of ops/distance.py leaves for the second."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np


class SpoolError(Exception):
    """The scratch file failed; told apart from an OSError of the caller's own `read_features` or `write`."""


class Spool:
    """A nameless file of strips, last in, first out: features as bits, then the carried row.

    Where the system can, the file never has a name, so that not even a killed process leaves it behind.
    """

    def __init__(self, folder: Path, width: int) -> None:
        self.width = width
        try:
            # Unbuffered: whole strips gain nothing from a buffer, and a full disk then speaks here, not in close().
            self._file = tempfile.TemporaryFile(dir=folder, prefix="distance-", buffering=0)  # noqa: SIM115 - closed below
        except OSError as error:
            raise SpoolError(error) from error

    def __enter__(self) -> Spool:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def push(self, features: np.ndarray, carried: np.ndarray) -> None:
        data = memoryview(np.packbits(features, axis=1).tobytes() + carried.tobytes())
        try:
            while data:
                data = data[self._file.write(data) :]
        except OSError as error:
            raise SpoolError(error) from error

    def pop(self, rows: int) -> tuple[np.ndarray, np.ndarray]:
        """Features bool [rows, width] and the row int32 [width] of the strip pushed last and not yet popped."""
        row_bytes = -(-self.width // 8)
        size = rows * row_bytes + 4 * self.width
        try:
            self._file.seek(-size, 1)
            data = self._file.read(size)
            self._file.seek(-len(data), 1)
        except OSError as error:
            raise SpoolError(error) from error
        if len(data) != size:
            raise SpoolError(f"{len(data)} of {size} bytes came back")
        bits = np.frombuffer(data, np.uint8, rows * row_bytes).reshape(rows, row_bytes)
        features = np.unpackbits(bits, axis=1, count=self.width).view(bool)
        return features, np.frombuffer(data, np.int32, offset=rows * row_bytes).copy()
