"""Tiles and workers change the time and the memory of a run, never its answer: not one byte of any map."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from districts import (
    PRODUCTS,
    Finished,
    digests,
    finished_run,
    make_district,
    make_mixed_district,
    no_report,
)

from mpmjax import pipeline, pipeline_steps

CUTS = list(itertools.product((128, 256, 1000), (1, 2)))
SAME = [*(f"{name}.tif" for name in PRODUCTS), "targets.gpkg", "screener.safetensors", "screener.json"]


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    return finished_run(tmp_path_factory)


@pytest.fixture(autouse=True)
def _no_report(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline_steps, "draw_report", no_report)


def assert_same(first: Path, second: Path) -> None:
    one, two = digests(first), digests(second)
    assert {name for name in SAME if one[name] != two[name]} == set()


@pytest.mark.parametrize(("tile", "workers"), CUTS)
def test_screening(done: Finished, tmp_path: Path, tile: int, workers: int) -> None:
    """Of 300 x 260 cells: nine tiles, four, and one; the edge tiles are 44 and 4 cells wide."""
    cut = {"tile": tile, "workers": workers}
    project = make_district(tmp_path / "district", model={"groups": "auto"}, stream=cut)
    pipeline.screen(project, done.output, tmp_path / "out")
    assert_same(done.output, tmp_path / "out")


@pytest.mark.parametrize(("tile", "workers"), [(128, 1), (16, 5)])
def test_the_whole_run(done: Finished, tmp_path: Path, tile: int, workers: int) -> None:
    """Sampling, training and grouping too: the Screener has the same bytes."""
    cut = {"tile": tile, "workers": workers}
    project = make_district(tmp_path / "district", model={"groups": "auto"}, stream=cut)
    pipeline.run(project, tmp_path / "out")
    # screener.json names the folder of the sources.
    same = set(SAME) - {"screener.json"}
    one, two = digests(done.output), digests(tmp_path / "out")
    assert {name for name in same if one[name] != two[name]} == set()


def test_vectors_and_classes(tmp_path: Path) -> None:
    """Distances are made strip by strip, and cells of a class without a score drop out of a tile after it was read."""
    project = make_mixed_district(tmp_path / "district", stream={"tile": 1000, "workers": 1})
    pipeline.run(project, tmp_path / "one")
    text = (
        project.read_text(encoding="utf-8").replace("tile = 1000", "tile = 100").replace("workers = 1", "workers = 2")
    )
    project.write_text(text, encoding="utf-8")
    pipeline.run(project, tmp_path / "two")
    assert_same(tmp_path / "one", tmp_path / "two")
