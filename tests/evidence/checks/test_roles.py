"""Names taken for numbers are found and numbers are not taken for names; values against the role of their layer."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from districts import layer_values, promise, smooth, write_raster
from rasters import UTM, open_layer
from scipy.spatial import cKDTree

from mpmjax.errors import DataError
from mpmjax.evidence.checks.roles import legend_of, remarks_on_values, require_role
from mpmjax.evidence.raster.scan import scan
from mpmjax.evidence.remarks import sentences
from mpmjax.project_layers import LayerSection

SHAPE = (200, 240)
RNG = np.random.default_rng(11)
TABLE = {"kind": "category", "scores": {"1": 0.5}}


def said(path: Path, **keys: Any) -> list[str]:
    """What is remarked of a file as layer 'x'."""
    source, layer = open_layer(path, **keys)
    section = LayerSection.model_validate({"name": "x", "source": path, "role": "index", "direction": "high"} | keys)
    facts = scan(source, layer)
    found = sentences(remarks_on_values(section, source, facts))
    try:
        require_role(section, facts)
    except DataError as error:
        found.append(str(error))
    return found


def save(folder: Path, values: np.ndarray, **profile: Any) -> Path:
    return write_raster(folder / "a.tif", values, crs=UTM, **profile)


def patches(number: int, seed: int = 0) -> np.ndarray:
    """int [200, 240]: the nearest of `number` seeds, as units of a geological map lie."""
    rng = np.random.default_rng(seed)
    seeds = rng.uniform((0, 0), SHAPE, (number, 2))
    return cKDTree(seeds).query(np.stack(np.mgrid[: SHAPE[0], : SHAPE[1]], axis=-1).reshape(-1, 2))[1].reshape(SHAPE)


def graded(classes: int) -> np.ndarray:
    """A smooth quantity in classes of equal area, 1 to `classes`."""
    field = smooth(np.random.default_rng(3), SHAPE, 12.0)
    return np.digitize(field, np.quantile(field, np.arange(1, classes) / classes)) + 1


def codes(number: int, top: int, dtype: str) -> np.ndarray:
    """A map of `number` patches whose names are random numbers up to `top`, so that some share one."""
    return RNG.permutation(np.arange(1, top))[:number][patches(number)].astype(dtype)


NAMES = {
    "stratigraphic numbers": codes(90, 80_000, "int32"),
    "rock codes in bytes": codes(60, 250, "uint8"),
    "twelve rocks": (RNG.integers(1, 13, 300)[patches(300)]).astype("int16"),
    "five rocks": (RNG.integers(1, 6, 300)[patches(300)]).astype("uint8"),
    "codes in floats": codes(90, 80_000, "float32"),
}


@pytest.mark.parametrize("case", NAMES)
def test_codes_taken_for_a_quantity(tmp_path: Path, case: str) -> None:
    path = save(tmp_path, NAMES[case])
    (sentence,) = said(path)
    assert sentence.startswith("layer 'x' (")
    assert "look like codes of classes" in sentence
    assert 'role = "category"' in sentence
    assert said(path, role="category", direction=None, membership=TABLE) == []


NUMBERS = {
    "a mask": (patches(30) % 2).astype("uint8"),
    "a mask with other values": (patches(30) % 2 * 255).astype("uint8"),
    **{f"a quantity in {n} classes": graded(n).astype("uint8") for n in (3, 4, 5, 6, 8, 10, 20, 60, 255)},
    "an image": RNG.integers(0, 256, SHAPE).astype("uint8"),
    "sparse counts": np.where(RNG.random(SHAPE) < 0.1, RNG.integers(1, 60, SHAPE), 0).astype("uint16"),
    "distances": (np.hypot(*np.mgrid[-100:100, -120:120]) * 100).astype("int32"),
    "distances in cells": np.hypot(*np.mgrid[-100:100, -120:120]).astype("int16"),
    "elevations": (smooth(np.random.default_rng(1), SHAPE, 15.0) * 300 + 1000).astype("int16"),
    "floats": smooth(np.random.default_rng(1), SHAPE, 15.0).astype("float32"),
    **{f"layer {i} of a district": np.rint(layer_values(i, promise(SHAPE, 3), 3)).astype("int16") for i in range(4)},
    "thousands of names": RNG.permutation(5000)[patches(3000)].astype("int32"),
}


@pytest.mark.parametrize("case", NUMBERS)
def test_quantities_are_no_codes(tmp_path: Path, case: str) -> None:
    assert not [text for text in said(save(tmp_path, NUMBERS[case])) if "codes" in text]


def test_a_scale_makes_a_quantity(tmp_path: Path) -> None:
    assert said(save(tmp_path, NAMES["twelve rocks"], scale=0.1)) == []


def test_what_names_the_values(tmp_path: Path) -> None:
    path = save(tmp_path, graded(10).astype("uint8"))
    source, _ = open_layer(path)
    assert legend_of(source) == ""
    (tmp_path / "a.tif.aux.xml").write_text(
        '<PAMDataset><PAMRasterBand band="1"><CategoryNames><Category>a</Category></CategoryNames></PAMRasterBand>'
        "</PAMDataset>"
    )
    assert legend_of(source) == "names of categories"
    (tmp_path / "a.tif.vat.dbf").write_bytes(b"")
    assert legend_of(source) == "a value table, a.tif.vat.dbf"
    assert "value table" in said(path)[0]
    (tmp_path / "a.tif.vat.dbf").unlink()
    (tmp_path / "a.tif.aux.xml").unlink()
    with rasterio.open(path, "r+") as file:
        file.write_colormap(1, {value: (value, 0, 0, 255) for value in range(11)})
    assert legend_of(source) == "a colour table"


def test_a_category_of_fractions(tmp_path: Path) -> None:
    path = save(tmp_path, smooth(np.random.default_rng(1), SHAPE, 5.0).astype("float32"))
    (sentence,) = said(path, role="category", direction=None, membership=TABLE)
    assert "no whole numbers" in sentence


@pytest.mark.parametrize(
    ("low", "high", "keys", "words"),
    [
        (-0.2, 1.0, {"role": "membership"}, r"outside 0..1"),
        (0.0, 1.5, {"role": "membership"}, r"State another role"),
        (0.0, 1.0, {"role": "membership"}, None),
        (0.0, 9.0, {"role": "membership", "membership": {"kind": "linear", "lo": 0.0, "hi": 9.0}}, None),
        (-3.0, 9.0, {"role": "distance", "direction": "low"}, r"no distance is negative"),
        (0.0, 9.0, {"role": "distance", "direction": "low"}, None),
        (0.0, 9.0, {"transform": "log"}, r"count as half the smallest positive"),
        (-2.0, 9.0, {"transform": "sqrt"}, r"have no root"),
        (0.1, 9.0, {"transform": "log"}, None),
        (-9.0, 9.0, {}, None),
    ],
)
def test_values_out_of_range(tmp_path: Path, low: float, high: float, keys: dict, words: str | None) -> None:
    values = np.random.default_rng(0).uniform(low, high, SHAPE)
    values[0, :2] = low, high
    found = said(save(tmp_path, values), **keys)
    assert len(found) == (words is not None)
    if words is not None:
        outside = {"membership": (values < 0) | (values > 1), "distance": values < 0, "index": values <= 0}
        wrong = outside[keys.get("role", "index")]
        wrong = values < 0 if keys.get("transform") == "sqrt" else wrong
        assert f"{int(wrong.sum()):,} of {values.size:,} values" in found[0]
        assert words in found[0]


def test_a_hair_beyond_the_range_is_none(tmp_path: Path) -> None:
    values = np.random.default_rng(0).uniform(0, 1, SHAPE).astype("float32")
    values[3, 4:6] = 1.0 + 2e-7, -1e-8
    assert said(save(tmp_path, values), role="membership") == []


@pytest.mark.parametrize(("share", "words"), [(0.9, None), (0.95, "nearly constant"), (0.995, "a run will refuse")])
def test_nearly_constant(tmp_path: Path, share: float, words: str | None) -> None:
    values = np.full(SHAPE, 7.5, np.float32)
    some = np.random.default_rng(0).permutation(values.size)[: int(values.size * (1 - share))]
    values.flat[some] = np.random.default_rng(1).normal(size=some.size)
    found = said(save(tmp_path, values))
    assert len(found) == (words is not None)
    if words:
        assert words in found[0]
        assert f"{share:.1%} are 7.5" in found[0]


@pytest.mark.skipif(not os.environ.get("MPMJAX_DATA"), reason="MPMJAX_DATA is not set: the folder of cloncurry_iocg/")
def test_stratigraphy_without_its_value_table(tmp_path: Path) -> None:
    """A copy without the table beside it: by its values alone; distances and densities of the district are not."""
    data = Path(os.environ["MPMJAX_DATA"]) / "cloncurry_iocg"
    for name, named in (
        ("StratNo", True),
        ("Dist2Breccia", False),
        ("Dist2Fault_200m", False),
        ("FaultDensity", False),
    ):
        found = said(Path(shutil.copy(data / f"{name}.tif", tmp_path)))
        assert bool(found) == named, found
    assert legend_of(open_layer(data / "StratNo.tif")[0]) == "a value table, StratNo.tif.vat.dbf"
