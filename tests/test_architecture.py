"""The rules of the house hold for this repository, and the checker of those rules can say no."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import architecture
import pytest

ROOT = Path(__file__).resolve().parents[1]
RULES = (
    architecture.floors,
    architecture.cycles,
    architecture.homes,
    architecture.judges_and_rivals,
    architecture.lengths,
    architecture.ops_complete,
)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_repository(rule: Callable[[Path], list[str]]) -> None:
    wrong = rule(ROOT)
    assert not wrong, "\n".join(wrong)


def test_the_checker_reads_this_repository() -> None:
    modules = architecture.source_files(ROOT)
    assert {"mpmjax", "mpmjax.types", "mpmjax.errors", "mpmjax.reference", "mpmjax.kernels"} <= modules.keys()
    targets = {item.target for item in architecture.imports_of(modules["mpmjax.types"], "mpmjax.types", modules)}
    assert {"numpy", "affine"} <= targets


def plant(root: Path, files: dict[str, str]) -> Path:
    """A made-up repository; keys are paths below the root, packages get their __init__.py."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    for folder in (root / "src").rglob("*"):
        if folder.is_dir() and not (folder / "__init__.py").exists():
            (folder / "__init__.py").write_text("", encoding="utf-8")
    return root


GOOD = {
    "src/mpmjax/types.py": "import math\n",
    "src/mpmjax/reference/label.py": "import numpy\n",
    "src/mpmjax/project.py": "from mpmjax.project_errors import explain\n",
    "src/mpmjax/project_errors.py": "def explain(): ...\n",
    "src/mpmjax/ops/label.py": "import jax\nfrom mpmjax.types import Grid\nfrom mpmjax.ops import backend\n",
    "src/mpmjax/ops/backend.py": "def choose(): ...\n",
    "src/mpmjax/ops/cuda.py": "def load():\n    import cupy\n",
    "src/mpmjax/stages/screen.py": "from mpmjax.ops.label import label\nfrom mpmjax import types\n",
    "src/mpmjax/pipeline.py": "from mpmjax.stages import screen\n",
    "src/mpmjax/cli.py": "def run():\n    from mpmjax.pipeline import run\n",
    "src/mpmjax/__main__.py": "from mpmjax.cli import main\n",
    "src/mpmjax/__init__.py": (
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from mpmjax.pipeline import run\n"
        "def __getattr__(name):\n    from mpmjax.pipeline import run\n    return run\n"
    ),
    "benchmarks/cases.py": 'CASES: dict = {"label": None}\n',
    "tests/ops/test_label.py": "import numpy\n",
}


def test_a_good_tree_passes(tmp_path: Path) -> None:
    root = plant(tmp_path, GOOD)
    assert [rule(root) for rule in RULES] == [[]] * len(RULES)


@pytest.mark.parametrize(
    ("path", "text", "said"),
    [
        ("src/mpmjax/types.py", "from mpmjax.ops.label import label\n", "types (floor 0) imports mpmjax.ops.label"),
        ("src/mpmjax/reference/label.py", "from mpmjax.types import Grid\n", "reference (floor 0) imports"),
        ("src/mpmjax/reference/label.py", "from ..errors import MpmError\n", "imports mpmjax.errors"),
        ("src/mpmjax/ops/label.py", "from mpmjax.stream.tiles import tiles\n", "ops (floor 2) imports mpmjax.stream"),
        ("src/mpmjax/ops/label.py", "def f():\n    import mpmjax.pipeline\n", "imports mpmjax.pipeline"),
        (
            "src/mpmjax/ops/label.py",
            'import importlib\n\ny = importlib.import_module("mpmjax.cli")\n',
            "imports mpmjax.cli",
        ),
        ("src/mpmjax/stages/fuzzify.py", "from . import screen\n", "a stage imports no stage"),
        ("src/mpmjax/stages/fuzzify.py", "def f():\n    import mpmjax.stages.screen\n", "a stage imports no stage"),
        ("src/mpmjax/__init__.py", "from mpmjax.types import Grid\n", "when it is loaded"),
        ("src/mpmjax/stages/screen.py", "import mpmjax\n", "imports the package itself"),
        ("src/mpmjax/attic/old.py", "import math\n", "room 'attic' has no floor"),
        ("src/mpmjax/cli.py", "from mpmjax.attic import old\n", "whose room has no floor"),
    ],
)
def test_imports_that_go_up_or_across(tmp_path: Path, path: str, text: str, said: str) -> None:
    wrong = architecture.floors(plant(tmp_path, GOOD | {path: text}))
    assert any(said in sentence for sentence in wrong), wrong


@pytest.mark.parametrize(
    "files",
    [
        {"src/mpmjax/ops/a.py": "import mpmjax.ops.b\n", "src/mpmjax/ops/b.py": "def f():\n    from . import a\n"},
        {
            "src/mpmjax/ops/__init__.py": "from mpmjax.stream import x\n",
            "src/mpmjax/stream/x.py": "import mpmjax.ops.y\n",
            "src/mpmjax/ops/y.py": "",
        },
        {
            "src/mpmjax/scoring/a.py": "import mpmjax.scoring.b",
            "src/mpmjax/scoring/b.py": "import mpmjax.scoring.c",
            "src/mpmjax/scoring/c.py": "import mpmjax.scoring.a",
        },
    ],
    ids=["deferred", "through __init__", "of three"],
)
def test_cycles_are_seen(tmp_path: Path, files: dict[str, str]) -> None:
    assert len(architecture.cycles(plant(tmp_path, files))) == 1


@pytest.mark.parametrize(
    ("path", "library", "fine"),
    [
        ("ops/cuda.py", "cupy", True),
        ("ops/label.py", "cupy", False),
        ("ops/label.py", "jax.numpy", True),
        ("autoencoder/network.py", "flax", True),
        ("stages/train.py", "jax", False),
        ("pipeline.py", "optax", False),
        ("ops.py", "jax", False),
        ("__init__.py", "jax", False),
    ],
)
def test_homes_of_heavy_libraries(tmp_path: Path, path: str, library: str, fine: bool) -> None:
    wrong = architecture.homes(plant(tmp_path, {f"src/mpmjax/{path}": f"def f():\n    import {library}\n"}))
    assert bool(wrong) is not fine


def test_lengths(tmp_path: Path) -> None:
    body = "    x = 1\n" * architecture.MAX_FUNCTION_LINES
    compiled = "@numba.njit(cache=True)\ndef kernel():\n" + body
    told = 'def f():\n    """Words.\n\n    More.\n    """\n' + "    x = 1\n" * (architecture.MAX_FUNCTION_LINES - 1)
    inner = "def factory():\n" + "".join(f"    {line}\n" for line in compiled.splitlines())
    fine = plant(
        tmp_path / "fine", {"src/mpmjax/ops/a.py": compiled, "src/mpmjax/ops/b.py": inner, "src/mpmjax/ops/c.py": told}
    )
    assert architecture.lengths(fine) == []
    long = "x = 1\n" * (architecture.MAX_FILE_LINES + 1)
    wrong = architecture.lengths(
        plant(tmp_path / "wrong", {"src/mpmjax/ops/a.py": "def f():\n" + body, "tests/b.py": long})
    )
    assert wrong == ["src/mpmjax/ops/a.py:1: f has 61 lines, at most 60", "tests/b.py: 401 lines, at most 400"]


@pytest.mark.parametrize("gone", ["src/mpmjax/reference/label.py", "tests/ops/test_label.py", "benchmarks/cases.py"])
def test_an_op_without_its_company(tmp_path: Path, gone: str) -> None:
    root = plant(tmp_path, {name: text for name, text in GOOD.items() if name != gone})
    assert len(architecture.ops_complete(root)) == 1


def test_benchmarks_and_tests_are_strangers(tmp_path: Path) -> None:
    root = plant(
        tmp_path,
        {
            "tests/tolerances.py": "",
            "tests/test_a.py": "from mpmjax.benchmarks.cases import CASES\n",
            "tests/benchmarks/test_clock.py": "from mpmjax.benchmarks import clock\n",
            "benchmarks/run.py": "import tolerances\n",
        },
    )
    wrong = architecture.judges_and_rivals(root)
    assert len(wrong) == 2
    assert "benchmarks/run.py:1" in wrong[0]
    assert "tests/test_a.py:1" in wrong[1]
