"""Contributions, residuals, what-if and block permutation against the definition of the scores, cell by cell."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
from ops.screener_arrays import random_arrays, random_cells, ranked
from tolerances import FLOAT64_SUMS, assert_close

from mpmjax.reference.lstm import reconstruct, score
from mpmjax.scoring.explanation import block_sensitivity, contributions, member_favourability, residuals, what_if

LAYERS = 5
ARRAYS = ranked(random_arrays(3, LAYERS, 6, 2, 3, seed=4))


def by_definition(mu: np.ndarray, valid: np.ndarray) -> dict[str, np.ndarray]:
    return score(mu, valid, ARRAYS)


def plain(*weight: float) -> dict[str, np.ndarray]:
    """Layers whose memberships are their own ranks."""
    return {"weight": np.array(weight), "layer_rank": np.tile(np.linspace(0, 1, 257), (len(weight), 1))}


def test_shares_add_up_to_favourability_and_the_largest_drive_is_the_driver() -> None:
    mu, valid = random_cells(60, LAYERS, seed=1)
    scores = by_definition(mu, valid)
    told = 0
    for cell in range(len(mu)):
        found = contributions(mu[[cell]], valid[[cell]], ARRAYS)
        if scores["driver"][cell]:
            assert found.drive.argmax() + 1 == scores["driver"][cell]
            assert found.share.sum() == pytest.approx(1.0)
            weight = ARRAYS["weight"].astype(np.float64) * valid[cell]
            expected = weight * mu[cell] / (weight.sum() * scores["favourability"][cell])
            assert_close(found.share, expected, FLOAT64_SUMS)
            told += 1
    assert told > 50


def test_share_of_several_cells_is_in_their_mean_favourability() -> None:
    """Two cells of one directed layer and one of another: 0.8 and 0.2 bring 0.8 / 1.0 and 0.2 / 1.0."""
    mu, valid = np.array([[0.8, 0.5], [0.3, 0.2]], np.float32), np.array([[True, False], [False, True]])
    found = contributions(mu, valid, plain(2.0, 1.0))
    assert found.share == pytest.approx([0.8, 0.2])
    assert found.drive == pytest.approx([-np.log(1.01 - 0.8), -np.log(1.01 - 0.2) / 2])
    nothing = contributions(np.zeros((1, 2)), np.ones((1, 2), bool), plain(1.0, 0.0))
    assert np.isnan(nothing.share).all()


def test_residuals_and_members_are_those_of_the_definition() -> None:
    mu, valid = random_cells(7, LAYERS, seed=2)
    valid[:, 3] = False
    members = [reconstruct(mu, valid, ARRAYS, m) for m in range(3)]
    e = np.stack([np.where(valid, mu - x_hat, 0.0).T for _, x_hat in members])
    mean, sd = residuals(e, valid, ARRAYS)
    z = np.array(
        [
            [
                ((mu - x_hat)[valid[:, i], i] - ARRAYS["res_median"][m, i]).mean() / ARRAYS["res_scale"][m, i]
                for i in (0, 1, 2, 4)
            ]
            for m, (_, x_hat) in enumerate(members)
        ]
    )
    assert_close(mean[[0, 1, 2, 4]], z.mean(axis=0), FLOAT64_SUMS)
    assert_close(sd[[0, 1, 2, 4]], z.std(axis=0), FLOAT64_SUMS)
    assert np.isnan(mean[3])
    assert np.isnan(sd[3])
    latents = np.stack([latent.T for latent, _ in members])
    said = member_favourability(latents, ARRAYS)
    assert said.shape == (3,)
    assert said.mean() == pytest.approx(by_definition(mu, valid)["R"].mean())
    assert said.min() < said.max()


def test_what_if_scores_the_cell_again() -> None:
    mu, valid = random_cells(1, LAYERS, seed=3)
    valid[0] = [True, True, False, True, True]
    ordinary = np.array([0.5, np.nan, 0.4, 0.3, 0.6])
    at_median, missing = what_if(mu, valid, ordinary, by_definition)
    for i in range(LAYERS):
        other, gone = valid.copy(), valid.copy()
        other[0, i], gone[0, i] = True, False
        assert missing[i] == by_definition(mu, gone)["prospectivity"][0]
        if i == 1:
            assert np.isnan(at_median[i])
        else:
            changed = mu.copy()
            changed[0, i] = ordinary[i]
            assert at_median[i] == by_definition(changed, other)["prospectivity"][0]
    assert at_median[0] != missing[0]


def test_a_cell_of_one_layer_cannot_lose_it() -> None:
    mu, valid = random_cells(1, LAYERS, seed=3)
    valid[0] = [False, True, False, False, False]
    _, missing = what_if(mu, valid, np.full(LAYERS, 0.5), by_definition)
    assert np.isnan(missing[1])
    assert np.isfinite(np.delete(missing, 1)).all()


def block_map(seed: int, side: int = 60) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Memberships of a square map of four layers, smooth in blocks of 6 cells, with their places."""
    rng = np.random.default_rng(seed)
    coarse = rng.uniform(size=(side // 6, side // 6, 4))
    mu = np.repeat(np.repeat(coarse, 6, axis=0), 6, axis=1) + rng.uniform(0, 0.05, (side, side, 4))
    rows, cols = (index.ravel() for index in np.indices((side, side)))
    mu = (mu.reshape(-1, 4) / 1.05).astype(np.float32)
    return mu, np.ones(mu.shape, bool), rows, cols


def one_layer_counts(mu: np.ndarray, valid: np.ndarray) -> Mapping[str, np.ndarray]:
    """Layer 1 tells almost all of prospectivity, layer 2 a little; layer 3 is all of the anomaly, layer 0 nothing."""
    x = np.where(valid, mu, 0.5)
    return {"prospectivity": x[:, 1] + 0.2 * x[:, 2], "anomaly": x[:, 3]}


def test_sensitivity_finds_the_layers_that_matter() -> None:
    found = block_sensitivity(*block_map(1), one_layer_counts, seed=7)
    p, a = found["prospectivity"], found["anomaly"]
    assert (p[0], p[3]) == (0.0, 0.0)
    assert (a[:3] == 0.0).all()
    # Nothing is left of the order, but for what chance leaves in 100 blocks: 1 / sqrt(100) a cycle.
    assert 0.7 < p[1] < 1.3
    assert 0.7 < a[3] < 1.3
    assert 0.0 < p[2] < 0.1


def test_sensitivity_of_a_scorer_to_a_layer_without_weight() -> None:
    """With no trust in the anomaly, prospectivity is favourability's rank, in which such a layer has no part."""
    arrays = {**ranked(random_arrays(2, 4, 4, 2, 2, seed=1)), "weight": np.array([0, 3, 0.2, 0.2], np.float32)}
    arrays["trust"] = np.zeros(1, np.float32)
    mu, valid, rows, cols = (values[::9] for values in block_map(2))
    found = block_sensitivity(mu, valid, rows, cols, lambda m, v: score(m, v, arrays), seed=7)
    assert found["prospectivity"][0] == 0.0
    assert found["prospectivity"].argmax() == 1
    assert found["anomaly"][0] > 0.0


def test_sensitivity_is_seeded_and_keeps_gaps_with_their_layer() -> None:
    mu, valid, rows, cols = block_map(3)
    valid[:1800, 1] = False
    valid[::7] = [False, True, False, False]
    seen: list[np.ndarray] = []

    def watched(m: np.ndarray, v: np.ndarray) -> Mapping[str, np.ndarray]:
        seen.append(v)
        assert v.any(axis=1).all(), "no cell is left without any layer"
        return one_layer_counts(m, v)

    first = block_sensitivity(mu, valid, rows, cols, watched, seed=7)
    again = block_sensitivity(mu, valid, rows, cols, one_layer_counts, seed=7)
    other = block_sensitivity(mu, valid, rows, cols, one_layer_counts, seed=8)
    assert first["prospectivity"].tolist() == again["prospectivity"].tolist()
    assert first["prospectivity"][1] != other["prospectivity"][1]
    assert any((v[:, 1] != valid[:, 1]).any() for v in seen)


def test_sensitivity_where_nothing_can_be_told() -> None:
    mu, valid, rows, cols = block_map(4)
    flat = block_sensitivity(
        mu, valid, rows, cols, lambda m, _: {"prospectivity": np.ones(len(m)), "anomaly": m[:, 3]}, seed=7
    )
    assert np.isnan(flat["prospectivity"]).all()
    assert np.isfinite(flat["anomaly"]).all()
    with pytest.raises(ValueError, match="all cells lie in one block"):
        block_sensitivity(mu[:1], valid[:1], rows[:1], cols[:1], one_layer_counts, seed=7)
