"""targets: connected cells over the threshold -> ranked polygons with their drivers; and the map of area classes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import rasterio
import shapely
from affine import Affine
from pyproj import Transformer
from rasterio.features import shapes
from shapely.geometry import shape

from mpmjax.evidence.grid.area import cell_area
from mpmjax.ops.label import Components, label
from mpmjax.products import CLASSES, Product
from mpmjax.project_sections import TargetsSection
from mpmjax.scoring.thresholds import SHARES, threshold_of_share
from mpmjax.stream.layerfile import window_of
from mpmjax.stream.reader import open_raster
from mpmjax.stream.store import MapStore
from mpmjax.stream.tiles import strips
from mpmjax.types import Grid, Screening, Target, Tile

SMALLEST_CELLS = 9
"""Default min_area: fewer cells than 3 x 3 are rather noise than something to visit."""
AREA_ERROR = 1e-5
"""As exactly as areas are known: a target that just reaches min_area is not to fail by rounding."""
RANKS = Product("ranks", "int32", "Rank of the target, 0 outside")
INSIDE = Product("inside", "uint8", "1 inside a target")
MAPS = ("prospectivity", "confidence", "risk", "groups", "quadrants", "driver")
VOTED = ("groups", "quadrants", "driver")
"""Maps of classes, of which a target has the commonest."""


STRIP_CELLS = 1 << 22
"""At most so many cells in a strip: memory is that of a strip, however wide the grid is."""


def strip_rows(grid: Grid) -> int:
    """Height of the strips in which maps are gone through."""
    return max(1, min(256, STRIP_CELLS // grid.width))


class Strips(NamedTuple):
    """The maps of a finished pass, read strip by strip. Strips go by the grid alone: polygons must not know tiles."""

    grid: Grid
    datasets: Mapping[str, rasterio.DatasetReader]

    def __call__(self, *names: str) -> Iterator[tuple[Tile, list[np.ndarray]]]:
        for strip in strips(self.grid, strip_rows(self.grid)):
            yield strip, [self.datasets[name].read(1, window=window_of(strip)) for name in names]


def targets(
    section: TargetsSection,
    screening: Screening,
    grid: Grid,
    layer_names: Sequence[str],
    output: Path,
    scratch: Path,
) -> tuple[list[Target], dict[str, float]]:
    """Write classes.tif, and find the targets in the maps of `output`.

    Targets are 8-connected cells of the best `area_share` of the valid area, at least `min_area` large, ranked by
    mean prospectivity x mean confidence.

    Returns:
        The ranked targets, and the thresholds of the classes by area share ("0.01": ...).
    """
    thresholds = {f"{share:g}": threshold_of_share(screening.histogram, share) for share in SHARES}
    cut = threshold_of_share(screening.histogram, section.area_share)
    with ExitStack() as stack:
        datasets = {name: stack.enter_context(open_raster(output / f"{name}.tif")) for name in MAPS}
        maps, classes = Strips(grid, datasets), MapStore(scratch, grid, [CLASSES])
        smallest = _smallest(section.min_area, grid)
        components = label((p >= cut for _, (p,) in _write_classes(maps, thresholds, classes)), smallest)
        sums = _sums(maps, components, cut)
        areas = sums.pop("area_km2")
        enough = 0.0 if section.min_area is None else section.min_area * (1.0 - AREA_ERROR)
        kept = np.flatnonzero(areas[1:] >= enough) + 1
        figures = {name: total[kept] / components.sizes[kept - 1] for name, total in sums.items()}
        figures["area_km2"] = areas[kept]
        best = np.argsort(-figures["prospectivity"] * figures["confidence"], kind="stable")[: section.max_targets]
        figures = {name: values[best] for name, values in figures.items()}
        found = _describe(maps, components, cut, kept[best], layer_names, figures, scratch)
    classes.publish(CLASSES, output)
    return found, thresholds


def _smallest(min_area: float | None, grid: Grid) -> int:
    """Cells that a target must have at least, however large they are on the ground."""
    if min_area is None:
        return SMALLEST_CELLS
    largest = float(cell_area(grid).nodes.max())
    return max(1, int(min_area * (1.0 - 10.0 * AREA_ERROR) / largest))


def _write_classes(
    maps: Strips, thresholds: Mapping[str, float], store: MapStore
) -> Iterator[tuple[Tile, list[np.ndarray]]]:
    """Pass prospectivity on, strip by strip, writing its area classes into `store` on the way."""
    with store:
        for strip, (p,) in maps("prospectivity"):
            classes = np.where(p >= 0, len(thresholds) + 1, 0).astype(np.uint8)
            for number, threshold in enumerate(sorted(thresholds.values(), reverse=True), 1):
                classes[(p >= threshold) & (classes > number)] = number
            store.write(strip, {CLASSES.name: classes})
            yield strip, [p]


def _sums(maps: Strips, components: Components, cut: float) -> dict[str, np.ndarray]:
    """Sums of prospectivity, confidence, risk and true area_km2 over each component, indexed by its label."""
    names = ("prospectivity", "confidence", "risk")
    sums = {name: np.zeros(components.count + 1) for name in (*names, "area_km2")}
    area = cell_area(maps.grid)
    for strip, values in maps(*names):
        above = values[0] >= cut
        labels = components.relabel(strip.index, above)[above]
        weights = area.weights(strip)
        whole = None if weights is None else weights[above]
        sums["area_km2"] += np.bincount(labels, whole, minlength=components.count + 1)
        for name, array in zip(names, values, strict=True):
            sums[name] += np.bincount(labels, array[above], minlength=components.count + 1)
    sums["area_km2"] *= area.unit_km2
    return sums


def _describe(
    maps: Strips,
    components: Components,
    cut: float,
    chosen: np.ndarray,
    layer_names: Sequence[str],
    figures: Mapping[str, np.ndarray],
    scratch: Path,
) -> list[Target]:
    """Targets for the components `chosen`, best first; `figures` of each: means and area_km2."""
    place = np.zeros(components.count + 1, np.int32)  # component -> rank, 0 for those not chosen
    place[chosen] = np.arange(1, len(chosen) + 1)
    votes = {name: np.zeros((len(chosen) + 1, 256), np.int64) for name in VOTED}
    first, last = np.full((2, len(chosen) + 1), np.iinfo(np.int64).max), np.full((2, len(chosen) + 1), -1)
    with MapStore(scratch, maps.grid, [RANKS]) as store:
        for strip, (p, *classes) in maps("prospectivity", *VOTED):
            ranks = place[components.relabel(strip.index, p >= cut)]
            inside = ranks > 0
            for count, values in zip(votes.values(), classes, strict=True):
                np.add.at(count, (ranks[inside], values[inside]), 1)
            for axis, (at, start) in enumerate(zip(np.nonzero(inside), (strip.row, strip.col), strict=True)):
                np.minimum.at(first[axis], ranks[inside], at + start)
                np.maximum.at(last[axis], ranks[inside], at + start)
            store.write(strip, {RANKS.name: ranks})
    sizes = last - first + 1
    boxes = [Tile(0, *first[:, rank].tolist(), *sizes[:, rank].tolist()) for rank in range(1, len(chosen) + 1)]
    outlines = _outlines(store, boxes)
    to_degrees = Transformer.from_crs(maps.grid.crs, "EPSG:4326", always_xy=True)
    found = []
    for rank in range(1, len(chosen) + 1):
        geometry = shapely.multipolygons(outlines[rank])
        point = shapely.point_on_surface(geometry)
        lon, lat = to_degrees.transform(shapely.get_x(point), shapely.get_y(point))
        found.append(
            Target(
                rank=rank,
                area_km2=float(figures["area_km2"][rank - 1]),
                prospectivity=float(figures["prospectivity"][rank - 1]),
                confidence=float(figures["confidence"][rank - 1]),
                risk=float(figures["risk"][rank - 1]),
                group=int(votes["groups"][rank].argmax()),
                quadrant=int(votes["quadrants"][rank].argmax()),
                drivers=_strongest(votes["driver"][rank], layer_names),
                lon=round(lon, 6),
                lat=round(lat, 6),
                geometry=geometry,
            )
        )
    return found


def _outlines(store: MapStore, boxes: Sequence[Tile]) -> list[list[shapely.Geometry]]:
    """The polygons of ranks 0 (none) to the last, each from the window that it lies in; the working file goes.

    GDAL holds the borders of all that it goes through: of the best targets of 10^9 cells together a gigabyte, of one at
    a time a few megabytes. Those that lie in too large a window are gone through together, line by line over the whole
    map. Polygons of strips, united, keep vertices at the seams, and uniting those of a speckled map takes minutes: 80 s
    for a million cells of noise.
    """
    outlines: list[list[shapely.Geometry]] = [[] for _ in range(len(boxes) + 1)]
    with open_raster(store.path(RANKS)) as ranks:
        large = {rank for rank, box in enumerate(boxes, 1) if box.height * box.width > STRIP_CELLS}
        for rank, box in enumerate(boxes, 1):
            if rank not in large:
                mine = ranks.read(1, window=window_of(box)) == rank
                found = [shape(outline) for outline, _ in shapes(mine.astype(np.uint8), mine, connectivity=4)]
                outlines[rank] = shapely.transform(
                    np.array(found, object), partial(_on_the_ground, box, ranks.transform)
                ).tolist()
        if large:
            _outline_together(store, ranks, large, outlines)
    store.path(RANKS).unlink()
    return outlines


def _on_the_ground(box: Tile, transform: Affine, corners: np.ndarray) -> np.ndarray:
    """Corners of cells in a window as places in the CRS, by GDAL's arithmetic: the bits do not know the window."""
    across, down = corners[:, 0] + box.col, corners[:, 1] + box.row
    x = transform.c + across * transform.a + down * transform.b
    y = transform.f + across * transform.d + down * transform.e
    return np.stack([x, y], axis=1)


def _outline_together(
    store: MapStore, ranks: rasterio.DatasetReader, wanted: set[int], outlines: list[list[shapely.Geometry]]
) -> None:
    """Outlines of ranks that lie all over the map."""
    with MapStore(store.folder, store.grid, [INSIDE], tiled=False) as masks:
        for strip in strips(store.grid, strip_rows(store.grid)):
            inside = np.isin(ranks.read(1, window=window_of(strip)), list(wanted))
            masks.write(strip, {INSIDE.name: inside.astype(np.uint8)})
    with open_raster(masks.path(INSIDE)) as mask:
        for outline, rank in shapes(rasterio.band(ranks, 1), rasterio.band(mask, 1), connectivity=4):
            outlines[int(rank)].append(shape(outline))
    masks.path(INSIDE).unlink()


def _strongest(counts: np.ndarray, layer_names: Sequence[str]) -> tuple[str, ...]:
    """Up to three layers that drive the most cells of a target."""
    order = np.argsort(-counts[1:], kind="stable")[:3]
    return tuple(str(layer_names[int(i)]) for i in order if counts[i + 1])
