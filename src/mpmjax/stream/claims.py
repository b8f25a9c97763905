"""What a raster file claims of itself, held against what it is: a few bytes can claim any size, and name any file.

Size alone is no reason to refuse. What harms is a single block that fills the memory, a file that is cut short, and one
that holds nothing at all.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import rasterio
from rasterio.enums import Interleaving

from mpmjax.errors import DataError

LARGEST_BLOCK = 512 << 20
"""Bytes of one block, decoded. All of it is decoded for one cell of it, by each thread: 285 float32 bands, interleaved
by pixel, in tiles of 512 x 512 cells take 285 MiB, and are the largest that people have."""

MOST_LOOKED_AT = 1_000_000
"""Blocks of a file whose places are looked at; about a second."""


MOST_BANDS = 10_000
"""Each takes memory before a cell is read: 65,535 of them, on 5 x 4 cells, took 1 GB to warp one."""


def refuse_large_blocks(dataset: rasterio.DatasetReader, path: Path) -> None:
    """A file of some kilobytes may claim blocks of gigabytes, or bands without end.

    Raises:
        DataError: a block is larger than LARGEST_BLOCK, or there are more than MOST_BANDS.
    """
    if dataset.count > MOST_BANDS:
        raise DataError(
            f"{path}: claims {dataset.count} bands; {MOST_BANDS} are read at most. If the file is sound, write those "
            "that you need to another with gdal_translate -b."
        )
    size = block_size(dataset)
    if size > LARGEST_BLOCK:
        raise DataError(
            f"{path}: claims blocks of {size / 2**30:.3g} GiB, of which all must be decoded to see one cell; "
            f"{LARGEST_BLOCK / 2**30:.2g} GiB are read at most. If the file is sound, rewrite it with gdal_translate "
            "-co TILED=YES -co INTERLEAVE=BAND."
        )


def block_size(dataset: rasterio.DatasetReader) -> int:
    """Bytes that are decoded to see one cell."""
    cells = max(rows * cols for rows, cols in dataset.block_shapes)
    together = dataset.count if dataset.interleaving == Interleaving.pixel else 1
    return cells * together * max(_item_size(dtype) for dtype in set(dataset.dtypes))


def _item_size(dtype: str) -> int:
    """Bytes of a cell; complex integers, which NumPy has not, are complex64 when decoded."""
    return 8 if dtype == "complex_int16" else np.dtype(dtype).itemsize


def refuse_files_elsewhere(dataset: rasterio.DatasetReader, path: Path) -> None:
    """An Erdas Imagine file names the file that holds its cells, by any path: ../../home/me/.ssh/id_rsa becomes a map.

    Raises:
        DataError: a file that belongs to the raster lies in another folder.
    """
    if dataset.driver != "HFA":
        return
    home = os.path.abspath(path.parent)  # noqa: PTH100 - by name alone: a link is the user's own
    try:
        names = dataset.files
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}: names a file that cells are taken from by what is no text. It is damaged: fetch it again."
        ) from error
    for name in names:
        if os.path.dirname(os.path.abspath(name)) != home:  # noqa: PTH100, PTH120
            raise DataError(
                f"{path}: takes cells from {name}, which lies outside its folder. Put both into one folder and write "
                "the file anew with gdal_translate, or convert it to GeoTIFF where it is sound."
            )


def refuse_cut_short(dataset: rasterio.DatasetReader, band: int, where: str) -> None:
    """What a file claims to hold must lie in it. Such a file opens well and fails hours later, or is read as zeros.

    Args:
        where: names the file, for messages.

    Raises:
        DataError: a block ends beyond the end of the file, or none of the blocks is stored.
    """
    length = Path(dataset.name).stat().st_size
    if dataset.driver == "EHdr":
        _refuse_short_raw(dataset, where, length)
    elif dataset.driver == "GTiff":
        _refuse_short_blocks(dataset, band, where, length)


def _refuse_short_raw(dataset: rasterio.DatasetReader, where: str, length: int) -> None:
    """GDAL reads zeros beyond the end of a raw file, and takes cells of single bits for bytes (seen with GDAL 3.10).

    Gaps that its header states are left out.
    """
    claimed = dataset.width * dataset.height * dataset.count * _item_size(dataset.dtypes[0])
    if claimed > length:
        raise DataError(
            f"{where}: the file is cut short: its header (.hdr) claims {claimed} bytes, it has {length}. Fetch or copy "
            "both again; if its cells are of less than 8 bits (NBITS), convert it to GeoTIFF."
        )


def _refuse_short_blocks(dataset: rasterio.DatasetReader, band: int, where: str, length: int) -> None:
    block_rows, block_cols = dataset.block_shapes[band - 1]
    across, down = -(-dataset.width // block_cols), -(-dataset.height // block_rows)
    # The far blocks were written last in every file seen; all of them are looked at up to a million.
    step = max(1, across * down // MOST_LOOKED_AT)
    stored = False
    for index in (*range(0, across * down, step), across * down - 1):
        key = f"{index % across}_{index // across}"
        offset = dataset.get_tag_item(f"BLOCK_OFFSET_{key}", "TIFF", band)
        size = dataset.get_tag_item(f"BLOCK_SIZE_{key}", "TIFF", band)
        stored = stored or offset is not None
        if offset is not None and size is not None and int(offset) + int(size) > length:
            raise DataError(
                f"{where}, band {band}: the file is cut short: block {key} ends at byte {int(offset) + int(size)}, "
                f"the file has {length}. Fetch or copy it again."
            )
    if not stored:
        seen = f"none of its {across * down} blocks is" if step == 1 else f"of {MOST_LOOKED_AT} blocks none is"
        raise DataError(
            f"{where}, band {band}: the file holds no cells: it claims {dataset.height} x {dataset.width} of them, but "
            f"{seen} stored. Fetch or copy it again, or leave the layer out."
        )
