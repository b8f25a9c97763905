"""An open raster that is opened again where reading fails: network file systems give errors that pass."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import TracebackType

import numpy as np
from rasterio import DatasetReader
from rasterio.errors import RasterioError

from mpmjax.stream.claims import block_size
from mpmjax.stream.layerfile import window_of
from mpmjax.types import Tile

RETRIES = 2
"""How often a window is tried again. Without waiting: a file system has waited before it gives an error, and a block
that is damaged fails at once."""


class Reopening:
    """A raster file of one thread (a GDAL handle must not be shared). Use as a context manager, or `close` it.

    Args:
        open_file: opens the file; DataError where it cannot be.
        told: called before each retry.
    """

    def __init__(
        self, path: Path, open_file: Callable[[Path], DatasetReader], told: Callable[[], None] = lambda: None
    ) -> None:
        self._path, self._open, self._told = path, open_file, told
        self._dataset = open_file(path)

    def __enter__(self) -> Reopening:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width) in cells."""
        return self._dataset.height, self._dataset.width

    def block_shape(self, band: int) -> tuple[int, int]:
        """(height, width) of a band's blocks."""
        height, width = self._dataset.block_shapes[band - 1]
        return height, width

    @property
    def block_size(self) -> int:
        """Bytes that are decoded to see one cell."""
        return block_size(self._dataset)

    def dtype(self, band: int) -> str:
        return self._dataset.dtypes[band - 1]

    def read(self, band: int, tile: Tile, out: np.ndarray | None = None) -> np.ndarray:
        """A window of a band [height, width], in `out` if given.

        Raises:
            RasterioError: it could not be read, and neither could it from the file opened anew.
            DataError: the file can no longer be opened.
        """

        def read(dataset: DatasetReader) -> np.ndarray:
            # A view, because rasterio leaves an array with one axis more where it fails (seen with 1.4.4).
            return dataset.read(band, window=window_of(tile), out=None if out is None else out.view())

        found = self._patiently(read)
        return found if out is None else out

    def read_mask(self, band: int, tile: Tile) -> np.ndarray:
        """Where the file's own mask shows a window, bool [height, width]. As `read`."""
        return self._patiently(lambda dataset: dataset.read_masks(band, window=window_of(tile))) > 0

    def close(self) -> None:
        self._dataset.close()

    def _patiently(self, read: Callable[[DatasetReader], np.ndarray]) -> np.ndarray:
        for _ in range(RETRIES):
            try:
                return read(self._dataset)
            except RasterioError:
                self._told()
                self._dataset.close()
                self._dataset = self._open(self._path)
        return read(self._dataset)
