"""What README.md tells is so: its project file is valid, commands and statuses exist, its table names all outputs."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

import mpmjax
from mpmjax import errors
from mpmjax.cli import cli
from mpmjax.evidence.formulas import read_formulas
from mpmjax.products import CLASSES, PRODUCTS
from mpmjax.project import Project

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")


def block(language: str) -> str:
    """The first fenced block of a language."""
    found = re.search(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)
    assert found is not None, f"README.md has no {language} block"
    return found[1]


def test_the_project_file_is_valid() -> None:
    project = Project(**tomllib.loads(block("toml")))
    assert [layer.name for layer in project.layers] == ["alteration", "copper", "faults", "gravity"]


def test_the_example_of_made_evidence_is_valid() -> None:
    second = re.findall(r"```toml\n(.*?)```", TEXT, re.DOTALL)[1]
    project = Project(project={"name": "x"}, grid={"crs": "EPSG:32650", "resolution": 60.0}, **tomllib.loads(second))
    assert [layer.form for layer in project.layers] == ["samples", "scene", "expression", "derivative"]
    formulas = read_formulas(project)
    assert formulas.order == ("iron", "ratio")


def test_commands_exist_and_all_are_told() -> None:
    told = set(re.findall(r"`mpmjax (\w+)[^`]*`", TEXT))
    assert told == set(cli.commands)


def test_options_exist() -> None:
    for command, rest in re.findall(r"`mpmjax (\w+)([^`]*)`", TEXT):
        known = {option for parameter in cli.commands[command].params for option in parameter.opts}
        assert set(re.findall(r"--\w+", rest)) <= known, command


@pytest.mark.parametrize("product", [*PRODUCTS, CLASSES], ids=lambda product: product.name)
def test_every_map_is_in_the_table(product: object) -> None:
    assert f"`{getattr(product, 'name', None)}.tif`" in TEXT


def test_python_names_are_public() -> None:
    names = set(re.findall(r"mpmjax\.(\w+)\(", block("python")))
    assert names <= set(mpmjax.__all__)
    assert names


def test_statuses_are_those_of_the_errors() -> None:
    told = {int(number) for number in re.findall(r"^\| (\d) \|", TEXT, re.MULTILINE)}
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.MpmError)]
    assert {0, 1} | {kind.exit_status for kind in kinds} == told


def test_files_it_names_exist() -> None:
    names = re.findall(r"`((?:src|tests|benchmarks|kernels|examples)/[\w./]*)`", TEXT)
    assert names
    missing = [name for name in names if not (ROOT / name).exists()]
    assert not missing
