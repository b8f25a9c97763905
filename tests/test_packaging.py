"""What is shipped: the wheel holds all of the package and nothing else, an editable install finds the rooms that stand
beside src/, and a door that is opened loads no more than it needs.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import shutil
import subprocess
import sys
import tomllib
import venv
import zipfile
from pathlib import Path, PurePosixPath

import pytest

ROOT = Path(__file__).resolve().parents[1]
BESIDE = {"mpmjax.benchmarks", "mpmjax.benchmarks.method", "mpmjax.examples", "mpmjax.kernels"}
SHIPPED_FROM = ("src", "kernels", "examples", "tests", "benchmarks", "pyproject.toml", "README.md", "LICENSE")
HEAVY = ("jax", "flax", "optax", "numba", "rasterio", "geopandas", "sklearn", "matplotlib", "cupy")
IN_COPY = "import setuptools.build_meta as backend, sys; print(backend.{call}(sys.argv[1]))"


def run_python(*arguments: str, cwd: Path, python: Path | str = sys.executable) -> str:
    """Standard output of a fresh interpreter; its standard error is the failure message."""
    done = subprocess.run([python, *arguments], cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the repository, so that building leaves nothing behind and nothing left behind is built."""
    copy = tmp_path_factory.mktemp("checkout")
    junk = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for name in SHIPPED_FROM:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, copy / name, ignore=junk)
        else:
            shutil.copy2(source, copy / name)
    return copy


@pytest.fixture(scope="module")
def wheel_names(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """The paths inside the wheel that the checkout builds."""
    out = tmp_path_factory.mktemp("wheel")
    run_python("-c", IN_COPY.format(call="build_wheel"), str(out), cwd=checkout)
    (wheel,) = out.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


@pytest.mark.parametrize(
    ("folder", "pattern", "inside"),
    [
        ("src/mpmjax", "**/*.py", "mpmjax"),
        ("src/mpmjax/reporting/templates", "*.j2", "mpmjax/reporting/templates"),
        ("benchmarks/templates", "*.j2", "mpmjax/benchmarks/templates"),
        ("kernels", "*.md", "mpmjax/kernels"),
        ("kernels", "*.py", "mpmjax/kernels"),
        ("examples", "*.toml", "mpmjax/examples"),
        ("examples", "*.py", "mpmjax/examples"),
        ("src/mpmjax", "py.typed", "mpmjax"),
    ],
)
def test_wheel_holds(checkout: Path, wheel_names: set[str], folder: str, pattern: str, inside: str) -> None:
    wanted = {
        f"{inside}/{path.relative_to(checkout / folder).as_posix()}" for path in (checkout / folder).glob(pattern)
    }
    assert wanted, f"nothing matches {folder}/{pattern}"
    assert wanted <= wheel_names


def test_wheel_holds_cuda_sources(checkout: Path, wheel_names: set[str]) -> None:
    sources = {f"mpmjax/kernels/{path.name}" for path in (checkout / "kernels").iterdir()}
    assert {path.rpartition(".")[2] for path in sources} >= {"cu", "cuh"}
    assert sources <= wheel_names
    assert [path for path in (checkout / "kernels").iterdir() if path.is_dir()] == [], "kernels/ must stay flat"


def test_every_room_is_listed(checkout: Path) -> None:
    """A folder of Python files that pyproject.toml forgets is missing from the wheel, and from nothing else."""
    stated = tomllib.loads((checkout / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]["packages"]
    folders = {path.parent.relative_to(checkout / "src") for path in (checkout / "src").rglob("*.py")}
    assert set(stated) == {".".join(folder.parts) for folder in folders} | BESIDE
    for folder in folders:
        assert (checkout / "src" / folder / "__init__.py").is_file()


READ_SOURCES = """
import hashlib, json, sys
from pathlib import Path
import mpmjax.kernels
from mpmjax.ops import _cubins

ops = [path.stem for path in Path(mpmjax.kernels.__file__).parent.glob("*.cu")]
texts = {name: text for op in ops for name, text in _cubins.sources(op).items()}
digests = {name: hashlib.sha256(text.encode()).hexdigest() for name, text in texts.items()}
print(json.dumps({"prefix": sys.prefix, "file": mpmjax.kernels.__file__, "digests": digests}))
"""


@pytest.mark.slow
def test_an_installed_wheel_finds_its_kernels(checkout: Path, tmp_path: Path) -> None:
    """As `make wheel` and pip do it, in an environment that holds nothing else, from a folder that is not ours."""
    wheels, elsewhere = tmp_path / "wheels", tmp_path / "elsewhere"
    elsewhere.mkdir()
    run_python("-m", "build", "--wheel", "--no-isolation", "--outdir", str(wheels), cwd=checkout)
    (wheel,) = wheels.glob("*.whl")
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv" / "bin" / "python"
    pip = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--no-index")
    run_python(*pip, str(wheel), cwd=elsewhere, python=python)
    found = json.loads(run_python("-I", "-c", READ_SOURCES, cwd=elsewhere, python=python))
    assert Path(found["file"]).is_relative_to(found["prefix"])
    sources = [path for path in (ROOT / "kernels").iterdir() if path.suffix in (".cu", ".cuh")]
    assert sources
    assert found["digests"] == {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sources}
    assert "usage" in run_python("-I", "-m", "mpmjax.kernels.gate", "--help", cwd=elsewhere, python=python)


def test_wheel_holds_nothing_else(wheel_names: set[str]) -> None:
    top = {PurePosixPath(name).parts[0] for name in wheel_names}
    assert {name for name in top if not name.endswith(".dist-info")} == {"mpmjax"}
    parts = {part for name in wheel_names for part in PurePosixPath(name).parts}
    assert parts.isdisjoint({"tests", "results", "__pycache__", "src"})
    assert not [name for name in wheel_names if name.endswith((".pyc", ".egg-info", ".so"))]


def test_wheel_holds_licence_and_door(wheel_names: set[str]) -> None:
    tails = {PurePosixPath(name).relative_to(PurePosixPath(name).parts[0]).as_posix() for name in wheel_names}
    assert {"METADATA", "entry_points.txt", "licenses/LICENSE"} <= tails


def test_editable_install_finds_the_rooms_beside_src(checkout: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    run_python("-c", IN_COPY.format(call="build_editable"), str(wheels), cwd=checkout)
    (wheel,) = wheels.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    found = run_python(
        "-I",
        "-S",
        "-c",
        "import site, sys, json; site.addsitedir(sys.argv[1]); import mpmjax.kernels, mpmjax.examples, mpmjax;"
        "print(json.dumps([m.__file__ for m in (mpmjax, mpmjax.kernels, mpmjax.examples)]))",
        str(site),
        cwd=tmp_path,
    )
    folders = [Path(name).parent.resolve() for name in json.loads(found)]
    copy = checkout.resolve()
    assert folders == [copy / "src" / "mpmjax", copy / "kernels", copy / "examples"]


def test_one_version(tmp_path: Path) -> None:
    stated = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    assert importlib.metadata.version("mpmjax") == stated
    assert run_python("-c", "import mpmjax; print(mpmjax.__version__)", cwd=tmp_path).strip() == stated
    assert f"[{stated}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def loaded_after(code: str, cwd: Path) -> set[str]:
    """Top-level modules in memory after `code` ran in a fresh interpreter."""
    tail = "\nimport json, sys\nprint('\\n' + json.dumps(sorted({name.split('.')[0] for name in sys.modules})))"
    return set(json.loads(run_python("-c", code + tail, cwd=cwd).splitlines()[-1]))


def test_importing_the_package_is_light(tmp_path: Path) -> None:
    loaded = loaded_after("import mpmjax", tmp_path)
    assert "mpmjax" in loaded
    assert loaded.isdisjoint({*HEAVY, "numpy", "scipy", "pydantic", "click"})


HELP = """
import sys
from mpmjax.cli import main
sys.argv = ["mpmjax", {arguments}]
try:
    status = main()
except SystemExit as stop:
    status = stop.code
assert not status, status
"""


def test_help_is_light_and_names_the_commands(tmp_path: Path) -> None:
    loaded = loaded_after(HELP.format(arguments='"--help"'), tmp_path)
    assert loaded.isdisjoint({*HEAVY, "numpy", "scipy", "pydantic"})
    text = run_python("-m", "mpmjax", "--help", cwd=tmp_path)
    missing = [name for name in ("demo", "check", "run", "fit", "screen", "validate", "report") if name not in text]
    assert not missing, text
