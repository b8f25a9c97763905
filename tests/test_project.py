"""Project files: what is no file, paths, frozen values, sizes, memberships; the examples load."""

from __future__ import annotations

import math
import os
from pathlib import Path

import pytest
from pydantic import TypeAdapter, ValidationError

from mpmjax.errors import ProjectError
from mpmjax.project import Project, expand, load_project
from mpmjax.project_membership import Gaussian, MembershipSpec
from mpmjax.project_sections import parse_bytes

EXAMPLES = sorted((Path(__file__).resolve().parents[1] / "examples").glob("*.toml"))

HEAD = """
[project]
name = "kajan"
"""
LAYER_A = """
[[layers]]
name = "alteration"
source = "a.tif"
role = "index"
direction = "high"
"""
LAYER_B = """
[[layers]]
name = "copper"
source = "b.tif"
role = "geochemistry"
"""
GOOD = HEAD + LAYER_A + LAYER_B
"""The last table is that of 'copper': lines that are put behind it belong to it."""


def load(folder: Path, text: str) -> Project:
    path = folder / "project.toml"
    path.write_text(text, encoding="utf-8")
    return load_project(path)


def test_what_is_good_loads(tmp_path: Path) -> None:
    project = load(tmp_path, GOOD)
    assert [layer.name for layer in project.layers] == ["alteration", "copper"]
    assert project.layer("copper").role == "geochemistry"
    assert project.path(Path("a.tif")) == tmp_path / "a.tif"
    assert project.path(Path("/data/a.tif")) == Path("/data/a.tif")
    assert project.file == tmp_path / "project.toml"


# -- no TOML, no file


@pytest.mark.parametrize(
    "text",
    ["name = ", "[project\nname = 1", GOOD + 'name = "again"', f"x = {'9' * 5000}", f"x = {'[' * 5000}", "a = 1\x00"],
    ids=["no value", "no bracket", "twice", "long number", "deep", "control character"],
)
def test_what_is_no_toml(tmp_path: Path, text: str) -> None:
    with pytest.raises(ProjectError, match=r"project\.toml: not valid TOML: "):
        load(tmp_path, text)


def test_what_is_no_project_file(tmp_path: Path) -> None:
    with pytest.raises(ProjectError, match=r"none\.toml: no such project file"):
        load_project(tmp_path / "none.toml")
    with pytest.raises(ProjectError, match=r"cannot be read as text: .*directory"):
        load_project(tmp_path)
    (tmp_path / "utf16.toml").write_text(GOOD, encoding="utf-16")
    with pytest.raises(ProjectError, match=r"utf16\.toml: cannot be read as text"):
        load_project(tmp_path / "utf16.toml")


def test_files_of_windows_and_names_of_all_scripts(tmp_path: Path) -> None:
    text = "\ufeff" + GOOD.replace("kajan", "کاجان").replace("copper", "铜").replace("\n", "\r\n")
    (tmp_path / "پروژه.toml").write_bytes(text.encode())
    project = load_project(tmp_path / "پروژه.toml")
    assert (project.project.name, project.layers[1].name) == ("کاجان", "铜")


# -- paths


def test_environment_variables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SURVEY", str(tmp_path / "data"))
    monkeypatch.setenv("SHEET", "7454")
    monkeypatch.delenv("NOT_SET_ANYWHERE", raising=False)
    project = load(tmp_path, GOOD.replace("b.tif", "${SURVEY}/${SHEET}/b.tif"))
    assert project.path(project.layer("copper").source) == tmp_path / "data" / "7454" / "b.tif"
    assert project.path(Path("x/${SHEET}.tif")) == tmp_path / "x" / "7454.tif"
    assert expand(Path("$SHEET/${}/a.tif")) == Path("$SHEET/${}/a.tif"), "only ${NAME}"
    words = r"\$\{NOT_SET_ANYWHERE\}/b\.tif: the environment variable NOT_SET_ANYWHERE is not set; set it to the folder"
    with pytest.raises(ProjectError, match=words):
        project.path(Path("${NOT_SET_ANYWHERE}/b.tif"))


def test_relative_paths_start_at_the_project_file_wherever_it_is_called_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sheet").mkdir()
    load(tmp_path / "sheet", GOOD)
    monkeypatch.chdir(tmp_path)
    project = load_project("sheet/project.toml")
    os.chdir("/")
    assert project.path(Path("a.tif")) == tmp_path / "sheet" / "a.tif"


# -- frozen


def test_nothing_of_a_project_can_be_changed(tmp_path: Path) -> None:
    project = load(tmp_path, GOOD + 'membership = { kind = "large" }')
    for thing, name in (
        (project, "layers"),
        (project.model, "members"),
        (project.grid, "crs"),
        (project.layers[0], "weight"),
        (project.layers[1].membership, "spread"),
    ):
        with pytest.raises(ValidationError, match="frozen"):
            setattr(thing, name, 3)
    with pytest.raises(AttributeError):
        project.layers.append(project.layers[0])  # pyright: ignore[reportAttributeAccessIssue]


def test_a_nodata_of_nan_says_nothing_new(tmp_path: Path) -> None:
    assert load(tmp_path, GOOD + "nodata = nan").layer("copper").nodata is None
    assert load(tmp_path, GOOD + "nodata = 0").layer("copper").nodata == 0.0


def test_whole_numbers_are_numbers(tmp_path: Path) -> None:
    text = (
        GOOD
        + 'direction = "high"\n'
        + "weight = 2\nvalid_range = [0, 5]\n[grid]\ncrs = 'EPSG:32639'\nresolution = [60, 30]\nbounds = [0, 0, 9, 9]"
    )
    project = load(tmp_path, text)
    assert project.layer("copper").weight == 2.0
    assert project.layer("copper").valid_range == (0.0, 5.0)
    assert project.grid.resolution == (60.0, 30.0)
    assert project.grid.bounds == (0.0, 0.0, 9.0, 9.0)


# -- memberships and sizes


def test_memberships_that_are_right() -> None:
    adapter = TypeAdapter(MembershipSpec)
    for good in (
        {"kind": "linear", "lo": 5, "hi": 1},
        {"kind": "linear", "lo": 5},
        {"kind": "shoulder", "alpha": 1, "beta": 1, "gamma": 2},
        {"kind": "shoulder", "alpha": 1, "beta": 2, "gamma": 2},
        {"kind": "category", "scores": {"1": 0, "-2": 1, "3.5": 0.5}, "default": 0.1},
        {"kind": "sigmoid", "midpoint": -3.5, "slope": 0.1, "decreasing": True},
        {"kind": "ecdf"},
    ):
        assert adapter.validate_python(good).kind == good["kind"]


def test_half_width_is_where_membership_is_a_half() -> None:
    for kind, formula in (("gaussian", lambda s, x: math.exp(-s * x * x)), ("near", lambda s, x: 1 / (1 + s * x * x))):
        spec = Gaussian.model_validate({"kind": kind, "midpoint": 10.0, "half_width": 3.0})
        assert formula(spec.s, 3.0) == pytest.approx(0.5, abs=1e-12)
        assert Gaussian.model_validate({"kind": kind, "midpoint": 10.0, "spread": 0.25}).s == 0.25


@pytest.mark.parametrize(
    ("text", "size"),
    [("0", 0), ("17", 17), ("17B", 17), ("1KiB", 1024), ("1.5 MiB", 1572864), (" 4GiB ", 4 * 2**30), ("2TiB", 2**41)],
)
def test_sizes(text: str, size: int) -> None:
    assert parse_bytes(text) == size


@pytest.mark.parametrize(
    "text", ["", "4GB", "4gib", "GiB", "-1GiB", "4 GiB GiB", "1e9", "4,5GiB", "inf", ".5GiB", "9" * 400 + "TiB"]
)
def test_sizes_that_are_none(text: str) -> None:
    with pytest.raises(
        ValueError, match=r"a size is a number with B, KiB, MiB, GiB or TiB, for example '4GiB'; got '"
    ) as seen:
        parse_bytes(text)
    assert len(str(seen.value)) < 200


# -- the examples


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_examples_load(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MPMJAX_DATA", "/data")
    project = load_project(path)
    assert project.project.name.replace("-", "_") == path.stem
    named = [layer.source for layer in project.layers]
    assert project.validate_ is not None
    for source in (*named, project.validate_.occurrences):
        assert project.path(source).is_absolute()
        assert "$" not in str(project.path(source))


def test_there_are_examples() -> None:
    assert {path.stem for path in EXAMPLES} >= {"kajan_like", "nanling_li", "cloncurry_iocg", "missouri_ni"}


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_files_of_the_examples_are_there(path: Path) -> None:
    if path.stem == "kajan_like":
        pytest.skip("its data are made by the demo")
    if not os.environ.get("MPMJAX_DATA"):
        pytest.skip("MPMJAX_DATA is not set: the districts are not at hand")
    project = load_project(path)
    assert project.validate_ is not None
    made = {Path("stream_sediments.csv")}  # by the benchmark that draws the samples, beside a copy of the file
    named = {layer.source for layer in project.layers if layer.source is not None} - made
    for source in (*named, project.validate_.occurrences):
        assert project.path(source).is_file()
