"""The geological map of a synthetic sheet: bands of host rock along the arc, gravel on them, intrusions in them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import rasterio.features
import shapely
from shapely.geometry.base import BaseGeometry

from mpmjax.synthetic.geology import LITHOLOGY, PRODUCTIVE, ROCKS, STRIKE, Fault, Intrusion
from mpmjax.synthetic.noise import Noise, Window, noise
from mpmjax.types import Grid

AGES = {
    "limestone": "Cretaceous", "shale": "Jurassic", "tuff": "Eocene", "andesite": "Eocene", "gravel": "Quaternary",
    "granodiorite": "Oligocene", "diorite": "Oligocene", "monzogranite": "Miocene", "gabbro": "Eocene",
}  # fmt: skip
_HOSTS = ("limestone", "shale", "tuff", "andesite", "gravel")
_LIMITS = (-0.9, -0.1, 0.8)
"""Of the LITHOLOGY field, between the first four hosts."""
_COVER = Noise(7, 11_000.0, octaves=3, angle=STRIKE, stretch=1.7)
_SMALLEST = 250
"""Cells; smaller patches of host rock would not be mapped at this scale."""


def to_map(places: np.ndarray, grid: Grid) -> np.ndarray:
    """Places [n, 2] in metres east and south of the upper left corner -> map coordinates."""
    return places * (1.0, -1.0) + (grid.transform.c, grid.transform.f)


def mapped_faults(faults: list[Fault], grid: Grid) -> Iterator[tuple[BaseGeometry, str]]:
    """(LineString, family) of each piece of a fault on the sheet, cut at its edge."""
    sheet = shapely.box(*grid.bounds)
    for fault in faults:
        for piece in shapely.get_parts(shapely.intersection(shapely.LineString(to_map(fault.trace, grid)), sheet)):
            if piece.geom_type == "LineString" and piece.length > 0.0:
                yield piece, fault.family


def mapped_rocks(seed: int, bodies: list[Intrusion], grid: Grid) -> Iterator[tuple[BaseGeometry, str]]:
    """(Polygon, rock) covering the sheet without overlaps; where intrusions overlap, the productive one is on top."""
    free: BaseGeometry = shapely.box(*grid.bounds)
    order = (PRODUCTIVE, *(rock for rock, _ in ROCKS if rock != PRODUCTIVE))
    for rock in order:
        rings = [shapely.Polygon(to_map(body.ring, grid)) for body in bodies if body.rock == rock]
        whole = shapely.unary_union(shapely.make_valid(rings))
        yield from ((part, rock) for part in _polygons(shapely.intersection(whole, free)))
        free = shapely.difference(free, whole)
    hosts = _hosts(seed, grid)
    for rock in _HOSTS:
        whole = shapely.unary_union([face for face, name in hosts if name == rock])
        yield from ((part, rock) for part in _polygons(shapely.intersection(whole, free)))


def _polygons(geometry: BaseGeometry) -> list[BaseGeometry]:
    return [part for part in shapely.get_parts(geometry) if part.geom_type == "Polygon" and part.area > 0.0]


def _hosts(seed: int, grid: Grid) -> list[tuple[BaseGeometry, str]]:
    """Faces of the map of host rocks. Each border is drawn once, smoothed, so that neighbours share it exactly."""
    window = Window(0, 0, grid.height, grid.width, grid.cell_size[0])
    codes = np.digitize(noise(window, seed, LITHOLOGY), _LIMITS).astype(np.uint8)
    codes[noise(window, seed, _COVER) > 1.0] = len(_HOSTS) - 1
    codes = rasterio.features.sieve(codes, _SMALLEST)
    frame = shapely.box(*grid.bounds).boundary
    shapes = rasterio.features.shapes(codes, transform=grid.transform)
    edges = [shapely.boundary(shapely.geometry.shape(outline)) for outline, _ in shapes]
    borders = shapely.line_merge(shapely.difference(shapely.unary_union(edges), frame))
    lines = [_smooth(line, 2.5 * grid.cell_size[0]) for line in shapely.get_parts(borders)]
    faces = shapely.get_parts(shapely.polygonize(shapely.get_parts(shapely.unary_union([*lines, frame]))))
    points = shapely.get_coordinates(shapely.point_on_surface(faces))
    rows, cols = grid.rows_cols(points[:, 0], points[:, 1])
    return [(face, _HOSTS[code]) for face, code in zip(faces, codes[rows, cols], strict=True)]


def _smooth(line: BaseGeometry, tolerance: float) -> BaseGeometry:
    """Without the steps of the cells: simplified, then corners cut twice (Chaikin); its ends stay."""
    points = shapely.get_coordinates(shapely.simplify(line, tolerance))
    for _ in range(2):
        near, far = 0.75 * points[:-1] + 0.25 * points[1:], 0.25 * points[:-1] + 0.75 * points[1:]
        cut = np.stack([near, far], axis=1).reshape(-1, 2)
        points = np.vstack([points[:1], cut, points[-1:]])
    return shapely.LineString(points)
