"""train: as many members as asked for, or as it takes until two halves of them agree, and what it tells of both."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from districts import make_district
from scipy.stats import spearmanr
from tolerances import SCORER, assert_close, assert_same_bits

from mpmjax import pipeline
from mpmjax.errors import DataError
from mpmjax.project_sections import ModelSection
from mpmjax.reference.lstm import Z_CAP, reconstruct
from mpmjax.scoring import latent
from mpmjax.stages import train as stage
from mpmjax.stages.train import train
from mpmjax.types import Ensemble, FuzzySample, Membership

SIDE = 25
CELLS, LAYERS = SIDE * SIDE, 4
WEIGHTS = np.array([1.0, 0.5, 2.0, 0.0])
SIZES: dict[str, Any] = {"hidden": 8, "latent": 2, "steps": 50, "batch": 32, "sample": 1000, "seed": 3}
"""One set for all tests: another one is another program to compile, which takes longer than running it."""


def sample_of() -> FuzzySample:
    """Memberships that one unseen cause drives, a tenth missing, some cells without any directed layer."""
    rng = np.random.default_rng(1)
    rows, cols = np.divmod(np.arange(CELLS), SIDE)
    cause = np.sin(rows / 4.0) + np.cos(cols / 5.0)
    noise = 0.3 * rng.normal(size=(CELLS, LAYERS))
    mu = 1 / (1 + np.exp(-2.0 * cause[:, None] * np.array([1, 1, 1, -1]) - noise))
    valid = rng.uniform(size=mu.shape) < 0.9
    valid[:, 3] |= ~valid.any(axis=1)
    valid[:9, :3], valid[:9, 3] = False, True
    memberships = tuple(Membership("linear", {"lo": 0.0, "hi": 1.0}) for _ in range(LAYERS))
    return FuzzySample(memberships, np.where(valid, mu, 0.0).astype(np.float32), valid, rows, cols, ())


SAMPLE = sample_of()


def fit(members: Any, say: Callable[[str], None] = lambda line: None, **keys: Any) -> Ensemble:
    return train(ModelSection(members=members, **SIZES | keys), SAMPLE, 1, WEIGHTS, say)


@pytest.fixture(scope="module")
def eight() -> Ensemble:
    return fit(8)


def agreeing(monkeypatch: pytest.MonkeyPatch, *figures: float) -> list[tuple[int, ...]]:
    """Let the halves agree as told, R and surprise in turn; returns the shapes of what was compared."""
    told, compared = list(figures), list[tuple[int, ...]]()

    def split_half(values: np.ndarray) -> float:
        compared.append(values.shape)
        return told[(len(compared) - 1) // 2] if len(compared) % 2 else 0.1

    monkeypatch.setattr(stage, "split_half", split_half)
    return compared


def assert_same_ensemble(actual: Ensemble, expected: Ensemble, members: int) -> None:
    """`actual` is the first so many of `expected`: networks in every bit, what the scorer says of them nearly."""
    assert actual.arrays.keys() == expected.arrays.keys()
    for name, values in actual.arrays.items():
        if name.startswith("res_"):
            assert_close(values, expected.arrays[name][:members], SCORER)
        else:
            assert_same_bits(values, expected.arrays[name][:members])
    assert_close(actual.latents, expected.latents[:members], SCORER)
    for key in ("train_loss", "val_loss", "best_step"):
        assert actual.diagnostics[key] == expected.diagnostics[key][:members]


def test_auto_stops_as_soon_as_the_halves_agree(monkeypatch: pytest.MonkeyPatch, eight: Ensemble) -> None:
    lines: list[str] = []
    compared = agreeing(monkeypatch, 0.8999, 0.9, 0.99)
    got = fit("auto", lines.append)
    assert_same_ensemble(got, eight, 8)
    assert compared == [(4, CELLS)] * 2 + [(8, CELLS)] * 2
    assert got.diagnostics["members"] == 8
    assert got.diagnostics["split_half"] == [
        {"members": 4, "R": 0.8999, "surprise": 0.1},
        {"members": 8, "R": 0.9, "surprise": 0.1},
    ]
    assert [line.split(":")[0].strip() for line in lines] == ["4 members", "8 members"]
    assert "0.900 (R)" in lines[1]
    assert "0.100 (surprise)" in lines[1]


def test_auto_takes_at_least_four(monkeypatch: pytest.MonkeyPatch, eight: Ensemble) -> None:
    agreeing(monkeypatch, 1.0)
    assert_same_ensemble(fit("auto"), eight, 4)


def test_auto_gives_up_at_thirty_two(monkeypatch: pytest.MonkeyPatch, eight: Ensemble) -> None:
    agreeing(monkeypatch, *[0.89] * 8)
    got = fit("auto")
    assert_same_ensemble(eight, got, 8)
    assert got.diagnostics["members"] == len(got.latents) == len(got.arrays["order"]) == 32
    assert [reached["members"] for reached in got.diagnostics["split_half"]] == list(range(4, 33, 4))


def test_what_the_halves_are_asked(eight: Ensemble) -> None:
    """R by a regression of the weighted mean on every latent, surprise by the definition: both from the arrays."""
    mu, valid = SAMPLE.mu.astype(np.float64), SAMPLE.valid
    share = valid * WEIGHTS
    favourability = np.full(CELLS, 0.5)
    directed = share.sum(axis=1) > 0
    assert 9 <= np.count_nonzero(~directed) < CELLS / 2
    favourability[directed] = ((share * mu).sum(axis=1) / share.sum(axis=1).clip(1e-9))[directed]
    seen, surprise = np.empty((8, CELLS)), np.empty((8, CELLS))
    for m in range(8):
        z, x_hat = reconstruct(mu, valid, eight.arrays, m)
        assert_close(eight.latents[m], z.T, SCORER)
        terms = np.column_stack([z, np.ones(CELLS)])
        seen[m] = (terms @ np.linalg.lstsq(terms, favourability, rcond=None)[0]).clip(0, 1)
        apart = (mu - x_hat - eight.arrays["res_median"][m]) / eight.arrays["res_scale"][m]
        surprise[m] = np.where(valid, np.minimum(apart**2, Z_CAP), 0.0).sum(axis=1) / valid.sum(axis=1)
    (reached,) = eight.diagnostics["split_half"]
    for name, values in (("R", seen), ("surprise", surprise)):
        expected = spearmanr(values[::2].mean(axis=0), values[1::2].mean(axis=0)).statistic
        assert reached[name] == pytest.approx(expected, abs=5e-3)
        assert 0.0 < expected < 1.0


def test_one_member_has_no_halves(eight: Ensemble) -> None:
    lines: list[str] = []
    got = fit(1, lines.append)
    assert_same_ensemble(got, eight, 1)
    assert got.diagnostics["split_half"] == [{"members": 1, "R": None, "surprise": None}]
    assert len(lines) == 1
    assert "1 member:" in lines[0]


def test_members_without_a_finite_loss_take_no_part(monkeypatch: pytest.MonkeyPatch, eight: Ensemble) -> None:
    """Their numbers are told, by the place that they had; neither half counts them."""
    genuine = stage.train_ensemble

    def broken(*args: Any, **keys: Any) -> Any:
        trained = genuine(*args, **keys)
        return trained._replace(best_round=np.where(np.arange(len(trained.best_round)) == 2, -1, trained.best_round))

    monkeypatch.setattr(stage, "train_ensemble", broken)
    compared = agreeing(monkeypatch, 0.0, 1.0)
    got = fit("auto")
    assert got.diagnostics["excluded_members"] == [2, 6]
    assert got.diagnostics["members"] == 8
    assert compared == [(3, CELLS)] * 2 + [(6, CELLS)] * 2
    assert got.arrays["res_scale"].shape == (6, LAYERS)
    assert_same_bits(got.arrays["enc_wh"], np.delete(eight.arrays["enc_wh"], [2, 6], axis=0))
    assert_close(got.latents, np.delete(eight.latents, [2, 6], axis=0), SCORER)


def test_no_finite_loss_at_all() -> None:
    with pytest.raises(DataError, match=r"\[model\] learning_rate = 1e\+30"):
        fit("auto", learning_rate=1e30)


def test_trim_is_that_of_the_project(eight: Ensemble) -> None:
    """0.05 leaves out one cell of a batch of 32, and the weights tell; less than a cell, or the default, none."""
    trimmed = fit(2, trim=0.05)
    assert not np.array_equal(trimmed.arrays["enc_wh"], eight.arrays["enc_wh"][:2])
    for nothing in (0.0, 1e-4):
        assert_same_ensemble(fit(2, trim=nothing), eight, 2)


def test_a_run_says_how_far_the_halves_agree(tmp_path: Path) -> None:
    """And run.json holds the course of it."""
    lines: list[str] = []
    project = make_district(tmp_path / "district", model={"members": "auto"})
    record = pipeline.run(project, tmp_path / "out", say=lines.append)
    course = record["model"]["split_half"]
    assert json.loads((tmp_path / "out" / "run.json").read_text())["model"]["split_half"] == course
    assert record["settings"]["model"]["members"] == "auto"
    assert record["model"]["members"] == course[-1]["members"]
    for reached in course:
        assert any(f"  {reached['members']} members" in line and f"{reached['R']:.3f} (R)" in line for line in lines)
    steady = [reached["R"] >= 0.9 for reached in course]
    assert steady[:-1] == [False] * (len(course) - 1)
    assert steady[-1] or len(course) == 8
    assert stage.split_half is latent.split_half
