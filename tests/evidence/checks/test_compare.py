"""Shifts, coverage and cell sizes of sources against the grid, on shifts that were put in and on areas by shapely."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from rasterio.crs import CRS
from rasters import LEFT, TOP, make_grid
from tolerances import FLOAT64_SUMS, assert_close

from mpmjax.evidence.checks.compare import (
    ALIGNED,
    cells_of,
    overlap,
    remarks_on_shifts,
    remarks_on_size,
    shift,
    size_words,
    sizes_in_use,
    source_places,
)
from mpmjax.evidence.raster.footprint import Footprint
from mpmjax.evidence.raster.source import RasterSource
from mpmjax.evidence.remarks import sentences
from mpmjax.types import Grid

GRID = make_grid(60, 50)


def source(transform: Affine, width: int = 60, height: int = 50, crs: str = "EPSG:32639") -> RasterSource:
    return RasterSource(
        name="x", path=Path("x.tif"), band=1, crs=CRS.from_user_input(crs), transform=transform, width=width,
        height=height, dtype="float32", nodata=None, scale=1.0, offset=0.0, masked=False,
    )  # fmt: skip


def moved(east: float, north: float, cell: float = 60.0, **keys: Any) -> RasterSource:
    """A source displaced against the grid by metres."""
    return source(Affine(cell, 0, LEFT + east, 0, -cell, TOP + north), **keys)


@given(
    whole=st.tuples(st.integers(-30, 30), st.integers(-30, 30)),
    part=st.tuples(st.floats(-0.49, 0.49), st.floats(-0.49, 0.49)),
)
def test_a_shift_is_what_was_put_in_less_whole_cells(whole: tuple[int, int], part: tuple[float, float]) -> None:
    east, north = (60.0 * (w + p) for w, p in zip(whole, part, strict=True))
    found = shift(cells_of(moved(east, north)), cells_of(GRID))
    assert found is not None
    assert found.east == pytest.approx(part[0], abs=1e-9)
    assert found.north == pytest.approx(part[1], abs=1e-9)
    assert found.drift == 0.0
    assert found.none == (max(map(abs, part)) < ALIGNED)


@pytest.mark.parametrize(("east", "north"), [(30.0, 30.0), (-30.0, 30.0), (30.0, -30.0), (-30.0, -30.0), (90.0, -30.0)])
def test_half_a_cell_keeps_its_side(east: float, north: float) -> None:
    found = shift(cells_of(moved(east, north)), cells_of(GRID))
    assert found is not None
    assert (found.east, found.north) == (math.copysign(0.5, east), math.copysign(0.5, north))


def test_what_is_said_of_a_shift() -> None:
    sources = {"layer 'a'": moved(0, 0), "layer 'b'": moved(30, -30), "layer 'c'": moved(30, -30), "mask": moved(0, 6)}
    told = sentences(remarks_on_shifts(sources, GRID))
    assert told[0].startswith(
        "layers 'b', 'c': cells as those of the grid (60 x 60 m) but shifted by 0.50 cell (30 m) east and 0.50 cell "
        "(30 m) south: they are resampled. If the shift is a mistake (cell centres written as corners), correct"
    )
    assert "mask: cells as those of the grid (60 x 60 m) but shifted by 0.10 cell (6 m) north" in told[1]
    assert len(told) == 2
    (told,) = sentences(remarks_on_shifts({"occurrences": moved(30, 0)}, GRID))
    assert "may fall into the next one" in told


def test_sources_of_one_size_are_held_against_each_other() -> None:
    sources = {"layer 'a'": moved(0, 0, 100.0), "layer 'b'": moved(25, 0, 100.0), "layer 'c'": moved(7, 7, 30.0)}
    (told,) = sentences(remarks_on_shifts(sources, GRID))
    assert "layer 'b': cells as those of layer 'a' (100 x 100 m) but shifted by 0.25 cell (25 m) east" in told


def test_whole_cells_and_other_systems_are_no_shift() -> None:
    assert not remarks_on_shifts({"layer 'a'": moved(-600, 1200)}, GRID)
    for other in (
        source(Affine(60, 0, LEFT + 30, 0, -60, TOP), crs="EPSG:32640"),
        source(Affine.translation(LEFT + 30, TOP) @ Affine.rotation(10) @ Affine.scale(60, -60)),
        moved(1e6, 30),
        moved(30, 30, 61.0),
    ):
        assert shift(cells_of(other), cells_of(GRID)) is None
        assert not remarks_on_shifts({"layer 'a'": other}, GRID)


def test_sizes_that_are_almost_the_same_run_apart() -> None:
    stretched = source(Affine(60.03, 0, LEFT, 0, -60, TOP), width=1000)
    found = shift(cells_of(stretched), cells_of(make_grid(1000, 50)))
    assert found is not None
    assert found.drift == pytest.approx(0.5, abs=0.01)  # 1,000 cells of 60 m are 999.5 of 60.03 m
    (told,) = sentences(remarks_on_shifts({"layer 'a'": stretched}, make_grid(1000, 50)))
    assert "cells of 60.03 x 60 m, almost those of the grid (60 x 60 m): over the extent they run apart by 0.50" in told


@given(
    angle=st.floats(-180, 180),
    cell=st.floats(20, 200),
    east=st.floats(-4000, 4000),
    north=st.floats(-4000, 4000),
)
def test_coverage_is_that_of_polygons(angle: float, cell: float, east: float, north: float) -> None:
    transform = Affine.translation(LEFT + east, TOP + north) @ Affine.rotation(angle) @ Affine.scale(cell, -cell)
    turned = source(transform)
    ring = shapely.Polygon([transform @ corner for corner in ((0, 0), (60, 0), (60, 50), (0, 50))])
    expected = ring.intersection(shapely.box(*GRID.bounds)).area / shapely.box(*GRID.bounds).area
    assert overlap(cells_of(turned), GRID) == pytest.approx(expected, abs=0.02)
    upright = moved(east, north, cell)
    box = shapely.box(LEFT + east, TOP + north - 50 * cell, LEFT + east + 60 * cell, TOP + north)
    exact = box.intersection(shapely.box(*GRID.bounds)).area / shapely.box(*GRID.bounds).area
    assert overlap(cells_of(upright), GRID) == pytest.approx(exact, abs=1e-9)


def test_coverage_in_degrees_and_of_nothing() -> None:
    degrees = source(Affine(0.01, 0, 52.0, 0, -0.01, 34.0), 200, 200, "EPSG:4326")
    assert overlap(cells_of(degrees), GRID) == 1.0
    assert overlap(cells_of(moved(1e6, 0)), GRID) == 0.0
    far = source(Affine(0.01, 0, -100.0, 0, -0.01, -34.0), 200, 200, "EPSG:4326")
    assert overlap(cells_of(far), GRID) == 0.0


def test_places_in_a_source_and_back() -> None:
    turned = cells_of(source(Affine.translation(LEFT, TOP) @ Affine.rotation(30) @ Affine.scale(10, -10)))
    cols, rows = np.meshgrid(np.arange(60) + 0.5, np.arange(50) + 0.5)
    there = source_places(turned, GRID, cols.ravel(), rows.ravel())
    x, y = turned.transform @ there
    assert_close(np.asarray(x), GRID.transform.a * cols.ravel() + GRID.transform.c, FLOAT64_SUMS)
    assert_close(np.asarray(y), GRID.transform.e * rows.ravel() + GRID.transform.f, FLOAT64_SUMS)


def test_sizes_in_one_sentence() -> None:
    sources = {
        **{f"e{i}": moved(0, 0, 4243.9 + i * 1e-4) for i in range(9)},
        "a": moved(0, 0),
        "b": moved(30, 0),
        "d": source(Affine(0.05, 0, 52, 0, -0.05, 34), crs="EPSG:4326"),
    }
    (told,) = sizes_in_use(sources, GRID)
    assert told.startswith(
        "The rasters have 3 cell sizes: 4243.9 x 4243.9 m (e0, e1, e2, e3, e4, e5 and 3 more); 60 x 60 m (a, b); "
        "0.05 x 0.05 degrees (d). The grid has 60 x 60 m"
    )
    assert sizes_in_use({"a": moved(0, 0), "b": moved(5, 5)}, GRID) == []


def test_coarse_cells_and_cells_that_are_not_square() -> None:
    assert remarks_on_size("layer 'a'", moved(0, 0), GRID) == []
    assert remarks_on_size("layer 'a'", moved(0, 0, 85.0), GRID) == [], "2.0 cells of the grid: little is lost"
    (coarse,) = remarks_on_size("layer 'a'", moved(0, 0, 240.0), GRID)
    assert "a cell of the source covers 16 cells of the grid" in coarse.text
    (oblong,) = remarks_on_size("layer 'a'", source(Affine(60, 0, LEFT, 0, -59, TOP)), GRID)
    assert "no square cells (60 x 59 m)" in oblong.text
    turned = source(Affine.translation(LEFT, TOP) @ Affine.rotation(30) @ Affine.scale(60, -60))
    assert remarks_on_size("layer 'a'", turned, GRID) == []


def test_cells_under_a_cell_in_degrees() -> None:
    """A cell of 1 km2 at 33.4 degrees north: 0.01 degrees are 1.109 km by 0.930 km there."""
    grid = Grid("EPSG:32639", Affine(1000, 0, LEFT, 0, -1000, TOP), 10, 10)
    degrees = source(Affine(0.01, 0, 52, 0, -0.01, 34), 500, 500, "EPSG:4326")
    assert Footprint(degrees, grid).cells_under() == pytest.approx(1 / (1.109 * 0.930), rel=5e-3)


def test_words_of_sizes() -> None:
    feet = replace(cells_of(moved(0, 0)), crs=CRS.from_epsg(2231))
    assert size_words(feet) == "60 x 60 US survey foot"
    assert size_words(cells_of(source(Affine(1 / 120, 0, 0, 0, -1 / 120, 0), crs="EPSG:4326"))) == (
        "0.008333 x 0.008333 degrees"
    )
