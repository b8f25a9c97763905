"""The report stage: reads maps decimated and masked, targets and occurrences in km, and writes one whole file."""

from __future__ import annotations

import base64
import re
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest
import rasterio
from affine import Affine
from reporting.records import bare_record, full_record
from shapely.geometry import MultiPolygon, Polygon, box

from mpmjax.errors import DataError, DiskError
from mpmjax.products import CLASSES, PRODUCTS
from mpmjax.reporting import figures
from mpmjax.stages.report import LONGEST_SIDE, LONGEST_SIDE_SMALL, report

CELL, LEFT, TOP = 60.0, 500_000.0, 3_700_000.0
WEST_EDGE = slice(0, 20)


def write_map(folder: Path, name: str, values: np.ndarray, driver: str = "COG") -> Path:
    dtype = "uint8" if values.dtype == np.uint8 else "float32"
    path = folder / f"{name}.tif"
    profile = {"width": values.shape[1], "height": values.shape[0], "count": 1, "dtype": dtype, "crs": "EPSG:32639"}
    overviews = {"overview_resampling": "mode" if dtype == "uint8" else "average"} if driver == "COG" else {}
    with rasterio.open(
        path, "w", driver=driver, transform=Affine(CELL, 0, LEFT, 0, -CELL, TOP),
        nodata=0 if dtype == "uint8" else -9999, **profile, **overviews,
    ) as target:  # fmt: skip
        target.write(values.astype(dtype), 1)
    return path


def write_targets(folder: Path, shapes: list[Polygon | MultiPolygon]) -> Path:
    frame = geopandas.GeoDataFrame({"rank": range(1, len(shapes) + 1)}, geometry=shapes, crs="EPSG:32639")
    frame.to_file(folder / "targets.gpkg", layer="targets", driver="GPKG")
    return folder / "targets.gpkg"


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    """A finished run of 100 x 200 cells with two targets; the westmost 20 columns are not valid."""
    rng = np.random.default_rng(0)
    for product in (*PRODUCTS, CLASSES):
        values = rng.random((100, 200)) if product.dtype == "float32" else rng.integers(1, 4, (100, 200), np.uint8)
        values[:, WEST_EDGE] = product.nodata
        write_map(tmp_path, product.name, values)
    write_targets(
        tmp_path, [box(LEFT + 3000, TOP - 3000, LEFT + 4200, TOP - 1800), box(LEFT, TOP - 600, LEFT + 600, TOP)]
    )
    return tmp_path


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, Any]]:
    """What the figures were asked to draw, by title."""
    asked: dict[str, dict[str, Any]] = {}

    def keep(values: np.ndarray, title: str, **options: Any) -> bytes:
        asked[title] = {"values": values, **options}
        return b"png"

    monkeypatch.setattr(figures, "map_png", keep)
    monkeypatch.setattr(figures, "class_map_png", keep)
    return asked


def test_a_finished_run_becomes_one_file_twice_the_same(run_folder: Path) -> None:
    before = {path.name for path in run_folder.iterdir()}
    path = report(full_record(), run_folder)
    assert path == run_folder / "report.html"
    assert {p.name for p in run_folder.iterdir()} == before | {"report.html"}, "nothing else is left beside the maps"
    first = path.read_bytes()
    text = first.decode("utf-8")
    images = re.findall(r'src="data:image/png;base64,([^"]*)"', text)
    assert len(images) == len(PRODUCTS) + 1 + 5
    assert all(base64.b64decode(image).startswith(b"\x89PNG") for image in images)
    assert text.rstrip().endswith("</html>")
    assert report(full_record(), run_folder).read_bytes() == first


def test_maps_are_decimated_and_masked(tmp_path: Path, drawn: dict[str, dict[str, Any]]) -> None:
    values = np.full((600, 3000), 0.25)
    values[::2, ::2] = 0.75
    values[:, :1000] = -9999
    values[100, 500] = 1.0
    groups = np.full((600, 3000), 3, np.uint8)
    groups[::4, ::4] = 1
    groups[:, 2000:] = 0
    write_map(tmp_path, "prospectivity", values)
    write_map(tmp_path, "confidence", values, driver="GTiff")  # without overviews
    write_map(tmp_path, "groups", groups)
    report(bare_record(), tmp_path)
    for title, longest in (("Prospectivity", LONGEST_SIDE), ("Confidence", LONGEST_SIDE_SMALL)):
        cells = drawn[title]["values"]
        assert cells.shape == (round(longest / 5), longest)
        assert drawn[title]["extent"] == (500.0, 680.0, 3664.0, 3700.0)
        east = cells[:, longest // 3 + 2 :]
        assert not np.ma.getmaskarray(east).any()
        assert np.abs(east.mean() - 0.375) < 0.01, "means of what is there, no -9999 mixed in"
        assert (east.min() >= 0.25, east.max() <= 0.75) == (True, True)
        west = cells[:, : longest // 3 - 2]
        assert np.ma.getmaskarray(west).sum() >= west.size - 4, "a lone valid cell may stay, nothing else appears"
    groups_seen = drawn["Groups"]["values"]
    assert groups_seen.shape == (124, 620)
    assert set(np.unique(groups_seen.compressed())) == {3}, "the commonest class, never a mean of classes"
    assert np.ma.getmaskarray(groups_seen)[:, 420:].all()


def test_targets_and_occurrences_in_km(run_folder: Path, drawn: dict[str, dict[str, Any]]) -> None:
    report(full_record(), run_folder)
    main = drawn["Prospectivity"]
    assert main["points"].tolist() == [[500.3, 3699.4]]
    first, second = main["outlines"]
    assert (first.min(axis=0).tolist(), first.max(axis=0).tolist()) == ([503.0, 3697.0], [504.2, 3698.2])
    assert second.max(axis=0).tolist() == [500.6, 3700.0]
    assert [(y, text) for _, y, text in main["marks"]] == [(3698.2, "1"), (3700.0, "2")]
    assert "outlines" not in drawn["Confidence"]


def test_outlines_of_parts_and_holes(tmp_path: Path, drawn: dict[str, dict[str, Any]]) -> None:
    write_map(tmp_path, "prospectivity", np.full((10, 10), 0.5))
    ring = box(LEFT, TOP - 300, LEFT + 300, TOP) - box(LEFT + 120, TOP - 180, LEFT + 180, TOP - 120)
    write_targets(tmp_path, [MultiPolygon([ring, box(LEFT + 420, TOP - 60, LEFT + 480, TOP)])])
    report(bare_record(), tmp_path)
    assert len(drawn["Prospectivity"]["outlines"]) == 3


def test_no_targets_no_occurrences(tmp_path: Path, drawn: dict[str, dict[str, Any]]) -> None:
    write_map(tmp_path, "prospectivity", np.full((10, 10), 0.5))
    report(bare_record(), tmp_path)
    assert drawn["Prospectivity"]["points"] is None
    write_targets(tmp_path, [])
    report(bare_record(), tmp_path)
    assert list(drawn["Prospectivity"]["outlines"]) == []


def test_classes_are_named_from_the_record(run_folder: Path, drawn: dict[str, dict[str, Any]]) -> None:
    report(full_record(), run_folder)
    assert [label for _, label, _ in drawn["Driving layer"]["classes"]][1:] == ["2 faults", "3 gravity"]
    assert [label for _, label, _ in drawn["Area classes"]["classes"]] == [
        "best 1 % of area", "best 2 % of area", "best 5 % of area", "the rest",
    ]  # fmt: skip
    assert drawn["Groups"]["classes"][0][1] == "group 1 (favourability 0.71)"


def test_an_empty_folder_still_gets_a_report(tmp_path: Path) -> None:
    text = report({}, tmp_path).read_text(encoding="utf-8")
    assert "No map was found beside this report." in text
    assert "<img" not in text


def test_a_map_without_any_valid_cell(tmp_path: Path) -> None:
    write_map(tmp_path, "prospectivity", np.full((5, 5), -9999.0))
    write_map(tmp_path, "classes", np.zeros((5, 5), np.uint8))
    assert report(bare_record(), tmp_path).exists()


def test_a_damaged_map_is_named(tmp_path: Path) -> None:
    path = write_map(tmp_path, "anomaly", np.random.default_rng(0).random((300, 300)), driver="GTiff")
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(DataError, match=r"anomaly\.tif"):
        report(bare_record(), tmp_path)
    assert not (tmp_path / "report.html").exists()


def test_a_disguised_map_is_refused(tmp_path: Path) -> None:
    (tmp_path / "risk.tif").write_text("<VRTDataset rasterXSize='1' rasterYSize='1'></VRTDataset>")
    with pytest.raises(DataError, match=r"risk\.tif"):
        report(bare_record(), tmp_path)


@pytest.mark.parametrize("content", [b"<OGRVRTDataSource></OGRVRTDataSource>", b"SQLite format 3\0 and then nothing"])
def test_damaged_targets_are_named(tmp_path: Path, content: bytes) -> None:
    write_map(tmp_path, "prospectivity", np.full((5, 5), 0.5))
    (tmp_path / "targets.gpkg").write_bytes(content)
    with pytest.raises(DataError, match=r"targets\.gpkg: the targets cannot be read"):
        report(bare_record(), tmp_path)


def test_a_failed_write_keeps_the_old_report(tmp_path: Path) -> None:
    missing = tmp_path / "gone"
    with pytest.raises(DiskError, match=r"report\.html"):
        report({}, missing)
    assert not missing.exists()
