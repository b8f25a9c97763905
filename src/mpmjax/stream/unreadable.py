"""Blocks of a raster that cannot be decoded: an error, or missing where [stream] on_error = "nodata".

A block is missing as a whole, wherever a window touches it, so that what is missing does not depend on how a grid is
cut into tiles.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from rasterio.errors import RasterioError

from mpmjax.errors import DataError
from mpmjax.stream.reopen import Reopening
from mpmjax.types import Tile

NAMED = 4
"""How many blocks of a layer a sentence names."""

Bad = set[Tile]
"""Windows of the blocks of one band that could not be decoded; grows while it is read."""


class Undecodable(DataError):
    """A window of a file could not be decoded."""


@dataclass(frozen=True, order=True)
class Unreadable:
    """A block that could not be decoded and counts as missing.

    Attributes:
        path: the file as the user named it.
        row, col, height, width: the whole block, in cells of that file.
    """

    layer: str
    path: str
    band: int
    row: int
    col: int
    height: int
    width: int


def unreadable(layer: str, path: str, band: int, block: Tile) -> Unreadable:
    """The record of a block of `Bad`."""
    return Unreadable(layer, path, band, block.row, block.col, block.height, block.width)


def windows(bad: Bad | None) -> list[list[int]]:
    """Row, column, height and width of each block, in order: plain values for JSON."""
    return sorted([block.row, block.col, block.height, block.width] for block in bad or ())


def forgiving(on_error: str) -> Bad | None:
    """What [stream] on_error means to read_band: where blocks that fail are collected, None where they stop the work.

    Raises:
        ValueError: it is neither "stop" nor "nodata".
    """
    if on_error not in ("stop", "nodata"):
        raise ValueError(f'on_error is {on_error!r}; it can be "stop" or "nodata"')
    return set() if on_error == "nodata" else None


def read_band(
    file: Reopening, band: int, tile: Tile, *, masked: bool, bad: Bad | None = None, out: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray | bool, list[Tile]]:
    """A window of a band: raw values, where the file shows them, and the blocks that are lost.

    Args:
        masked: whether the file's own mask counts. Where it cannot be decoded the band's block is lost.
        bad: blocks that are known to fail, and are not tried again; those that fail now are added. Without it the first
            one is an error.
        out: array [height, width] to read into.

    Returns:
        raw [height, width], 0 in lost blocks; shown, bool [height, width] or True for all, False in lost blocks; the
        windows of all lost blocks that the tile touches, whole, in order.

    Raises:
        RasterioError: a block cannot be decoded, and there is no `bad`.
        DataError: the file can no longer be opened.
    """
    if bad is None:
        raw = file.read(band, tile, out)
        return raw, file.read_mask(band, tile) if masked else True, []
    blocks = list(_blocks(file, band, tile))
    if not bad or bad.isdisjoint(blocks):
        try:
            raw = file.read(band, tile, out)
            return raw, _mask_of_blocks(file, band, tile, blocks) if masked else True, []
        except RasterioError:
            pass  # one of them at least
    return _blockwise(file, band, tile, blocks, masked, bad, out)


def told(lost: Iterable[Unreadable]) -> list[str]:
    """A sentence for each layer that lost blocks, in the order of their names."""
    by_layer: dict[tuple[str, str, int], list[Unreadable]] = {}
    for block in sorted(set(lost)):
        by_layer.setdefault((block.layer, block.path, block.band), []).append(block)
    lines = []
    for (layer, path, band), blocks in by_layer.items():
        places = [
            f"rows {b.row}-{b.row + b.height - 1}, columns {b.col}-{b.col + b.width - 1}" for b in blocks[:NAMED]
        ] + ([f"and {len(blocks) - NAMED} more"] if len(blocks) > NAMED else [])
        what = "block cannot be decoded and counts" if len(blocks) == 1 else "blocks cannot be decoded and count"
        lines.append(
            f"layer {layer!r}: {path}, band {band}: {len(blocks)} {what} as missing ({'; '.join(places)}); "
            '[stream] on_error = "nodata"'
        )
    return lines


def _blocks(file: Reopening, band: int, tile: Tile) -> Iterator[Tile]:
    """The blocks that a window touches, row by row, whole, up to the edges of the file."""
    (height, width), (rows, cols) = file.block_shape(band), file.shape
    for row in range(tile.row // height * height, tile.row + tile.height, height):
        for col in range(tile.col // width * width, tile.col + tile.width, width):
            yield Tile(0, row, col, min(height, rows - row), min(width, cols - col))


def _mask_of_blocks(file: Reopening, band: int, tile: Tile, blocks: list[Tile]) -> np.ndarray:
    """The mask of a window, read for its blocks to their ends: it may be cut into other blocks than the band, and
    whether a block is lost must not depend on the part of it that a tile asks for."""
    first, last = blocks[0], blocks[-1]
    height, width = last.row + last.height - first.row, last.col + last.width - first.col
    around = Tile(0, first.row, first.col, height, width)
    return file.read_mask(band, around)[_within(tile, around)]


def _blockwise(
    file: Reopening, band: int, tile: Tile, blocks: list[Tile], masked: bool, bad: Bad, out: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, list[Tile]]:
    """As read_band, block by block."""
    raw = np.empty((tile.height, tile.width), file.dtype(band)) if out is None else out
    raw[...] = 0
    shown, lost = np.zeros(raw.shape, bool), []
    for block in blocks:
        part = _common(tile, block)
        if block not in bad:
            try:
                values = file.read(band, part)
                seen = _mask_of_blocks(file, band, part, [block]) if masked else True
                raw[_within(part, tile)], shown[_within(part, tile)] = values, seen
            except RasterioError:
                bad.add(block)
        if block in bad:
            lost.append(block)
    return raw, shown, lost


def _common(a: Tile, b: Tile) -> Tile:
    """The window that two windows share."""
    row, col = max(a.row, b.row), max(a.col, b.col)
    height = min(a.row + a.height, b.row + b.height) - row
    return Tile(0, row, col, height, min(a.col + a.width, b.col + b.width) - col)


def _within(part: Tile, whole: Tile) -> tuple[slice, slice]:
    """Where a window lies in an array of a larger one."""
    row, col = part.row - whole.row, part.col - whole.col
    return slice(row, row + part.height), slice(col, col + part.width)
