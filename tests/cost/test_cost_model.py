"""The cost model: more work never takes less time, more cores never more; the rates are measured on real files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import rasterio
from hypothesis import given
from hypothesis import strategies as st
from rasterio.windows import Window

from mpmjax.cost.model import duration, forecast, table, what_if
from mpmjax.cost.rates import Rates
from mpmjax.cost.work import Work
from mpmjax.products import PRODUCTS
from mpmjax.project import load_project
from mpmjax.stages.check import check
from mpmjax.synthetic.district import make_district, make_kajan_like

WORK = Work(
    cells=10**7, layers=6, members=8, hidden=32, latent=3, steps=600, batch=512, source_bytes=10**8,
    looks=1.0, made=2.0, sampled_cells=10**7, judged=True,
)  # fmt: skip
RATES = Rates(
    cores=2, decode=2e-8, mask=5e-10, zstd=1e-8, sampled=4e-8, member=5e-7, rest=1e-7, tile=6e-8, count=5e-9,
    cogs={product.name: 8e-8 for product in PRODUCTS}, read_map=3e-10, train=7e-6, compiling=1.5,
    digest=5e-10, pace=1.0,
)  # fmt: skip
GROWING = ("cells", "members", "steps", "batch", "source_bytes", "looks", "made", "sampled_cells", "scored")


@given(name=st.sampled_from(GROWING), factor=st.floats(1.0, 50.0))
def test_more_work_never_takes_less_time(name: str, factor: float) -> None:
    value = getattr(WORK, name)
    more = value * factor if isinstance(value, float) else int(value * factor)
    assert forecast(replace(WORK, **{name: more}), RATES).wall >= forecast(WORK, RATES).wall - 1e-9


@given(cores=st.integers(1, 128), more=st.integers(0, 128))
def test_more_cores_never_take_longer(cores: int, more: int) -> None:
    few, many = replace(RATES, cores=cores), replace(RATES, cores=cores + more)
    assert forecast(WORK, many).wall <= forecast(WORK, few).wall + 1e-9


def test_a_slower_machine_takes_longer() -> None:
    slower = replace(RATES, member=2 * RATES.member, pace=2.0, decode=2 * RATES.decode)
    found, plain = forecast(WORK, slower), forecast(WORK, RATES)
    assert all(found.stages[name] >= plain.stages[name] for name in plain.stages)
    assert found.wall > plain.wall


def test_what_is_judged_costs_more() -> None:
    assert set(forecast(WORK, RATES).stages) - set(forecast(replace(WORK, judged=False), RATES).stages) == {
        "validate",
        "baselines",
    }


def test_what_bounds_a_run() -> None:
    assert forecast(WORK, RATES).bound == "compute"
    assert forecast(WORK, replace(RATES, decode=1e-4)).bound == "decode"
    assert forecast(replace(WORK, cells=1000, sampled_cells=1000), RATES).bound == "train"


def test_other_hardware_is_no_slower() -> None:
    plain = forecast(WORK, RATES).wall
    for name, other in what_if(WORK, RATES).items():
        assert other.wall <= plain, name
    assert "?" in next(name for name in what_if(WORK, RATES) if "H100" in name)


def test_no_stage_is_quicker_than_its_one_thread() -> None:
    many = replace(RATES, cores=10_000)
    counting = forecast(WORK, replace(many, count=1e-6)).parts
    assert sum(counting.values()) - counting["maps"] == pytest.approx(WORK.cells * 1e-6)
    assert forecast(WORK, many).parts["maps"] == pytest.approx(WORK.cells * (8e-8 + 3e-10))


def test_a_card_that_is_quicker_than_the_disk_costs_nothing() -> None:
    found = forecast(WORK, RATES, card=1e-12)
    assert found.parts["compute"] == 0.0
    assert forecast(WORK, RATES, card=1e-6).parts["compute"] > 0.0


def test_the_parts_are_the_screening() -> None:
    found = forecast(WORK, RATES)
    assert sum(found.parts.values()) == pytest.approx(found.stages["screen"])
    assert found.rate == pytest.approx(WORK.cells / found.wall / 1e6)


@pytest.mark.parametrize(
    ("seconds", "said"), [(1.26, "1.3 s"), (12.6, "13 s"), (126.0, "2.1 min"), (1260.0, "21 min"), (12600.0, "3.5 h")]
)
def test_durations_have_two_digits(seconds: float, said: str) -> None:
    assert duration(seconds) == said


def test_lines_for_people() -> None:
    whole, stages, others, room = table(replace(WORK, memory=3 << 29, disk=1 << 30), RATES)
    assert whole.startswith("plan: about")
    assert "screen" in stages
    assert "16 cores" in others
    assert "1.5 GiB of memory and 1.0 GiB of disk" in room


def test_check_foresees_a_run(tmp_path: Path) -> None:
    project = make_district(tmp_path, width=200, height=150, layers=3, dtype="float32")
    found = check(load_project(project))
    assert not found.errors
    (plan,) = (line for line in found.lines if line.startswith("plan: "))
    assert "takes the most" in plan
    assert "cannot be foreseen" not in plan


def test_a_sheet_of_vectors_classes_and_gaps_is_foreseen(tmp_path: Path) -> None:
    """Stand-ins of derived layers hold neither memberships in 0..1 nor the classes that scores name."""
    text = make_kajan_like(tmp_path).read_text(encoding="utf-8")
    more = '[[layers]]\nname = "near"\nsource = "faults.gpkg"\nderive = "presence"\nrole = "membership"\n'
    (tmp_path / "more.toml").write_text(text.replace("[model]", f"{more}\n[model]", 1), encoding="utf-8")
    found = check(load_project(tmp_path / "more.toml"))
    assert not found.errors
    assert [line for line in found.lines if line.startswith("plan: about")]


def test_a_raster_smaller_than_the_grid_is_foreseen(tmp_path: Path) -> None:
    """Its window lies on the grid cell for cell, so that nothing is warped."""
    project = make_district(tmp_path, width=300, height=300, layers=2, dtype="float32")
    with rasterio.open(tmp_path / "copper.tif") as whole:
        profile = {**whole.profile, "width": 200, "height": 200}
        part = whole.read(window=Window(0, 0, 200, 200))
    with rasterio.open(tmp_path / "copper.tif", "w", **profile) as corner:
        corner.write(part)
    found = check(load_project(project))
    assert not found.errors
    assert [line for line in found.lines if line.startswith("plan: about")]


def test_a_project_that_a_run_would_refuse_has_no_plan(tmp_path: Path) -> None:
    project = make_district(tmp_path, width=200, height=150, layers=3, dtype="float32")
    (tmp_path / "copper.tif").write_bytes(b"no raster")
    found = check(load_project(project))
    assert found.errors
    assert not [line for line in found.lines if line.startswith("plan: ")]
