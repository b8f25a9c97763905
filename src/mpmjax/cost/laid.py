"""A little of a project's layers, laid on the grid as a run lays them: a few tiles, and what laying them took.

What lies on the grid is read where it is. Of a raster that must be warped a window is, at its own resolution; for a
layer that is derived from features a stand-in is written, because what few features give says little of many.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import rasterio

from mpmjax.cost import probes
from mpmjax.cost.work import Stack
from mpmjax.evidence.checks.compare import cells_of, source_places
from mpmjax.evidence.layer import derived_layer, raster_layer
from mpmjax.evidence.raster.source import RasterSource, open_source, read_valid
from mpmjax.evidence.raster.warp import align, choose_resampling
from mpmjax.project_layers import LayerSection
from mpmjax.project_samples import GriddingTable
from mpmjax.stream.layerfile import STRIP_ROWS, write_layer
from mpmjax.stream.reader import block_shapes
from mpmjax.stream.tiles import cut, plan_tiles
from mpmjax.types import Grid, Layer, Slab, Tile

SIDE = 512
"""Cells of the grid a side of what is warped, and of stand-ins."""

WINDOW = 4096
"""Cells a side of the window of a source that is warped, at most."""

TILES = 6
"""Most tiles that are read, spread over the grid."""

SECONDS = 0.4
"""Of reading tiles, after which no further one is read; half of it for the blocks of the sample."""

SAMPLE_BLOCK, SAMPLE_BLOCKS = 256, 1024
"""Side in cells of the blocks that the sample is drawn from, and most of them (stages/sample.py)."""

DERIVING = {
    "distance": 4e-8,
    "density": 3.5e-8,
    "presence": 5e-9,
    "buffer": 1.5e-8,
    "proximity": 3.5e-8,
    "class": 1e-8,
    "idw": 1.4e-7,
    "linear": 5e-8,
    "natural": 2.5e-7,
    "rbf": 1.9e-7,
    "kriging": 2.7e-7,
    "horizontal": 5.5e-8,
    "vertical": 2.7e-7,
    "analytic_signal": 2.8e-7,
    "tilt": 2.8e-7,
    "upward": 2.5e-7,
    "expression": 1.9e-8,
    "scene": 2.5e-8,
}
"""Seconds a cell on the machine of model.py's constants, of 2,000 x 2,000 cells: with a thousand faults, with a
thousand samples, of a derivative a cell of its source, and of what is computed a cell and operand. Reading the features
or the samples is not in it. From "idw" on they were taken on a machine twice as slow, and halved."""


@dataclass(frozen=True)
class Laid:
    """What was laid, and what it took. Seconds are CPU seconds.

    Attributes:
        layers: all of the project, in its order; of those that are made, a small file stands for the layer.
        slab: one tile of all layers, that with the most valid cells of those that were read.
        scored: share of the cells read that has enough layers, 0..1, wherever the study area is.
        reading: a cell of tiles of all layers; sampling: a cell of blocks of the sample.
        warping, deriving: of the whole grid; deriving on the machine of model.py's constants.
        sampled_cells: cells of the blocks that the sample reads.
        operands: how many rasters are laid that are no layers, but that layers are computed from.
    """

    layers: tuple[Layer, ...]
    slab: Slab
    scored: float
    reading: float
    sampling: float
    warping: float
    deriving: float
    sampled_cells: int
    operands: int = 0

    @property
    def made(self) -> int:
        """Layers, and what they are computed from, that the run writes as files on the grid."""
        return sum(layer.path.parent.name == "laid" for layer in self.layers) + self.operands


def lay_a_little(stack: Stack, folder: Path) -> Laid:
    """Read some tiles of what lies on the grid, and lay some cells of what does not, in `folder`.

    Raises:
        MpmError: a source cannot be read, or the folder takes no files.
    """
    own = folder / "laid"
    own.mkdir()
    warping = deriving = 0.0
    layers: list[Layer] = []
    for section in stack.project.layers:
        source = stack.sources.get(section.name)
        if source is None or section.form != "raster":
            layers.append(_stand_in(section, stack, own))
            deriving += _deriving(section, stack)
            if source is not None and not source.lies_on(stack.grid):
                warping += _warped(section, source, stack.grid, _folder(own, "sources"))[1]
        elif source.lies_on(stack.grid):
            layers.append(raster_layer(section, source))
        else:
            layer, seconds = _warped(section, source, stack.grid, own)
            layers.append(layer)
            warping += seconds
    operands = [key for key in stack.sections if key not in {layer.name for layer in layers}]
    moved = [key for key in operands if not stack.sources[key].lies_on(stack.grid)]
    for key in moved:
        warping += _warped(stack.sections[key], stack.sources[key], stack.grid, _folder(own, "sources"))[1]
    straight = [layer for layer in layers if layer.path.parent != own]
    tiles = plan_tiles(stack.grid.shape, stack.project.stream.tile, block_shapes(layers))
    blocks = _sample_blocks(stack.grid)
    reading, slabs = _read(stack.grid, straight, _spread(tiles, TILES), SECONDS)
    sampling, _ = _read(stack.grid, straight, _few_blocks(blocks), SECONDS / 2)
    more = 0.0
    values: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    for layer in layers:
        if layer.path.parent == own:
            seconds, found = probes.reading(*_small(stack.grid, layer), SECONDS)
            more += seconds
            values[layer.name] = found[0].values[0], found[0].valid[0]
    whole = [_joined(layers, straight, slab, values) for slab in slabs]
    enough = [slab.valid.mean(axis=0) >= stack.project.model.min_coverage for slab in whole]
    return Laid(
        tuple(layers),
        max(whole, key=lambda slab: int(slab.valid.sum())),
        float(np.concatenate([cells.ravel() for cells in enough]).mean()),
        reading + more,
        sampling + more,
        warping,
        deriving,
        min(len(blocks), SAMPLE_BLOCKS) * SAMPLE_BLOCK**2 if len(blocks) > 1 else stack.grid.width * stack.grid.height,
        len(moved),
    )


def _deriving(section: LayerSection, stack: Stack) -> float:
    """Seconds of making a layer that is no plain raster, on the machine of model.py's constants."""
    cells = stack.grid.width * stack.grid.height
    if section.form == "derivative":
        source = stack.sources[section.name]
        return DERIVING[str(section.derivative)] * source.width * source.height
    if section.form == "samples":
        return DERIVING[(section.gridding or GriddingTable()).method] * cells
    if section.form == "features":
        return DERIVING[str(section.derive)] * cells
    return DERIVING[section.form] * cells * len(stack.expressions[section.name].names)


def _folder(parent: Path, name: str) -> Path:
    folder = parent / name
    folder.mkdir(exist_ok=True)
    return folder


def _read(grid: Grid, layers: Sequence[Layer], tiles: Sequence[Tile], seconds: float) -> tuple[float, list[Slab]]:
    """As probes.reading; without a layer on the grid nothing is read, at no cost."""
    if layers:
        return probes.reading(grid, layers, tiles, seconds)
    shape = tiles[0].height, tiles[0].width
    return 0.0, [Slab(tiles[0], (), np.zeros((0, *shape), bool), np.ones(shape, bool))]


def _sample_blocks(grid: Grid) -> list[Tile]:
    return cut(grid.shape, SAMPLE_BLOCK)


def _few_blocks(blocks: Sequence[Tile]) -> Sequence[Tile]:
    """Neighbours, where the sample reads all blocks, of which those of one row of the sources' blocks are decoded once;
    else some that lie apart."""
    return blocks[:16] if len(blocks) <= SAMPLE_BLOCKS else _spread(blocks, 8)


def _spread(tiles: Sequence[Tile], most: int) -> Sequence[Tile]:
    """From the middle outwards: the first is the middle one."""
    number = min(len(tiles), most)
    chosen = [tiles[int((i + 0.5) * len(tiles) / number)] for i in range(number)]
    return sorted(chosen, key=lambda tile: abs(tile.index - len(tiles) // 2))


def _small(grid: Grid, layer: Layer) -> tuple[Grid, list[Layer], list[Tile]]:
    """The small file that stands for a layer, as a grid of its own."""
    with rasterio.open(layer.path, driver="GTiff") as dataset:
        height, width = dataset.shape
    return replace(grid, width=width, height=height), [layer], [Tile(0, 0, 0, height, width)]


def _joined(
    layers: Sequence[Layer], straight: Sequence[Layer], slab: Slab, small: dict[str, tuple[np.ndarray, np.ndarray]]
) -> Slab:
    """A tile with all layers; what stands for a layer is repeated over it."""
    read = dict(zip([layer.name for layer in straight], zip(slab.values, slab.valid, strict=True), strict=True))
    parts = [read[layer.name] if layer.name in read else small[layer.name] for layer in layers]
    values = tuple(np.resize(raw, slab.inside.shape) for raw, _ in parts)
    return Slab(slab.tile, values, np.stack([np.resize(valid, slab.inside.shape) for _, valid in parts]), slab.inside)


def _stand_in(section: LayerSection, stack: Stack, folder: Path) -> Layer:
    """A layer of distances to a few places, written as layers are."""
    layer = derived_layer(section, folder)
    side = min(SIDE, stack.grid.width, stack.grid.height)
    rows, cols = np.mgrid[:side, :side].astype(np.float32)
    places = np.random.default_rng(0).uniform(0, side, (5, 2)).astype(np.float32)
    values = np.min([np.hypot(rows - row, cols - col) for row, col in places], axis=0) * stack.grid.cell_size[0]
    return _written(layer, values, stack.grid, folder)


def _written(layer: Layer, values: np.ndarray, grid: Grid, folder: Path) -> Layer:
    path, (height, width) = folder / f"{layer.name}.tif", values.shape

    def make(write) -> None:
        for row in range(0, height, STRIP_ROWS):
            write(row, values[row : row + STRIP_ROWS])

    write_layer(path, replace(grid, width=width, height=height), values.dtype.name, make)
    return replace(layer, path=path, band=1, dtype=values.dtype.name, nodata=None, masked=False, valid_range=None)


def _warped(section: LayerSection, source: RasterSource, grid: Grid, folder: Path) -> tuple[Layer, float]:
    """A window of the grid with what the source holds there, and the seconds that all cells would take."""
    height, width = min(SIDE, grid.height), min(SIDE, grid.width)
    corner = _middle(source, grid, height, width)
    piece = replace(
        grid, transform=grid.transform @ rasterio.Affine.translation(corner[1], corner[0]), width=width, height=height
    )
    window = _under(source, piece)
    start = time.thread_time()
    with open_source(source) as file:
        raw, _ = read_valid(file, window, source, raster_layer(section, source), None)
    reading = (time.thread_time() - start) / raw.size
    copy = folder / f"{section.name}.window.tif"
    _write_window(copy, raw, source, window)
    part = replace(
        source, path=copy, band=1, width=window.width, height=window.height, masked=False,
        transform=source.transform @ rasterio.Affine.translation(window.col, window.row),
    )  # fmt: skip
    layer = raster_layer(section, part)
    how = choose_resampling(part, piece, section.role, section.resampling)
    once = folder / "once"
    once.mkdir(exist_ok=True)
    align(part, piece, layer, how, once)  # what is slow the first time
    start = time.thread_time()
    laid = align(part, piece, layer, how, folder)
    seconds = (time.thread_time() - start) * (grid.width * grid.height) / (width * height)
    # The window is stored plainly: decoding all of the source comes to it.
    return laid, seconds + reading * source.width * source.height


def _middle(source: RasterSource, grid: Grid, height: int, width: int) -> tuple[int, int]:
    """Row and column of a window of the grid about the middle of the source, as far as that lies on the grid."""
    left, bottom, right, top = source.bounds_in(grid.crs)
    rows, cols = grid.rows_cols(np.array([(left + right) / 2]), np.array([(bottom + top) / 2]))
    row, col = int(rows[0]) - height // 2, int(cols[0]) - width // 2
    return min(max(row, 0), grid.height - height), min(max(col, 0), grid.width - width)


def _under(source: RasterSource, piece: Grid) -> Tile:
    """The window of a source that lies under a grid, with a margin; of WINDOW cells a side at most."""
    across, down = np.meshgrid(np.linspace(0, piece.width, 9), np.linspace(0, piece.height, 9))
    cols, rows = source_places(cells_of(source), piece, across.ravel(), down.ravel())
    cols, rows = cols[np.isfinite(cols)], rows[np.isfinite(rows)]
    first, last = [], []
    for places, size in ((rows, source.height), (cols, source.width)):
        low = math.floor(places.min()) - 4 if places.size else 0
        low = min(max(low, 0), size - 1)
        high = math.ceil(places.max()) + 4 if places.size else size
        first.append(low)
        last.append(max(low + 1, min(high, size, low + WINDOW)))
    return Tile(0, first[0], first[1], last[0] - first[0], last[1] - first[1])


def _write_window(path: Path, raw: np.ndarray, source: RasterSource, window: Tile) -> None:
    with rasterio.open(
        path, "w", driver="GTiff", height=window.height, width=window.width, count=1, dtype=raw.dtype,
        crs=source.crs, nodata=source.nodata,
        transform=source.transform @ rasterio.Affine.translation(window.col, window.row),
    ) as dataset:  # fmt: skip
        dataset.write(raw, 1)
