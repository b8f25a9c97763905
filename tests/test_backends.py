"""[stream] backend: the same district by each of them, and what is said of one that cannot be used."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from districts import Finished, make_mixed_district, read
from tolerances import SCORER, assert_close

from mpmjax import pipeline
from mpmjax.cli import cli
from mpmjax.errors import BackendError
from mpmjax.ops.backend import availability, survey
from mpmjax.project import load_project
from mpmjax.stages.check import check

SMOOTH = ("prospectivity", "favourability", "anomaly", "risk", "coverage")


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """A mixed district screened by the default backend."""
    folder = tmp_path_factory.mktemp("backends")
    done = Finished(make_mixed_district(folder / "district", stream={"tile": 64}), folder / "cpu")
    pipeline.run(done.project, done.output)
    return done


@pytest.mark.parametrize("backend", ["jax", "numpy"])
def test_other_backends_give_the_same_maps(fitted: Finished, tmp_path: Path, backend: str) -> None:
    project = make_mixed_district(tmp_path / "district", stream={"tile": 64, "backend": backend})
    record = pipeline.screen(project, fitted.output, tmp_path / "out")
    assert record["settings"]["stream"]["backend"] == backend
    for name in SMOOTH:
        got, wanted = (
            np.where(m == -9999.0, np.nan, m) for m in (read(tmp_path / "out" / f"{name}.tif"), fitted.map(name))
        )
        assert np.isfinite(wanted).mean() > 0.5
        assert_close(got, wanted, SCORER)
    assert (read(tmp_path / "out" / "groups.tif") == fitted.map("groups")).mean() > 0.999


@pytest.mark.skipif(not availability("cuda").refusal, reason="CUDA can be used here")
def test_a_backend_that_is_named_and_absent_ends_the_run_before_it_begins(tmp_path: Path) -> None:
    project = make_mixed_district(tmp_path / "district", stream={"backend": "cuda"})
    with pytest.raises(BackendError, match=r"cuda was asked for and cannot be used: .+") as caught:
        pipeline.run(project, tmp_path / "out")
    assert caught.value.exit_status == 2
    assert availability("cuda").refusal in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_check_tells_every_backend_and_why_one_is_refused(tmp_path: Path) -> None:
    project = make_mixed_district(tmp_path / "district")
    lines = check(load_project(project)).lines
    start = lines.index("memberships and scores: [stream] backend = 'auto'")
    told = " ".join(" ".join(lines[start + 1 :]).split())
    places = [told.index(f"{one.name} {'no' if one.refusal else 'could'}") for one in survey()[1:]]
    assert told.startswith("cpu used ")
    assert places == sorted(places)
    for one in survey():
        assert (one.refusal or one.what) in told


@pytest.mark.skipif(not availability("cuda").refusal, reason="CUDA can be used here")
def test_check_finds_a_backend_that_cannot_be_used(tmp_path: Path) -> None:
    found = check(load_project(make_mixed_district(tmp_path / "district", stream={"backend": "cuda"})))
    assert any("Backend cuda was asked for" in error for error in found.errors)
    assert not any(" used " in line for line in found.lines)


def test_an_unknown_backend_is_a_mistake_in_the_project(tmp_path: Path) -> None:
    from click.testing import CliRunner

    project = make_mixed_district(tmp_path / "district", stream={"backend": "gpu"})
    result = CliRunner().invoke(cli, ["check", str(project)])
    assert result.exit_code != 0
    assert "backend" in str(result.exception)
