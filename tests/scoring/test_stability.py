"""The scale of the confidence index: what redrawing imitates, and when there is nothing to imitate."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mpmjax.scoring.favourability import fit_membership, memberships_of
from mpmjax.scoring.stability import FROM_MEMBERS, FROM_SAMPLE, FROM_SPREAD, LEAST, _margin, cut_of, noise
from mpmjax.scoring.weights import favourability, layer_weights
from mpmjax.types import FuzzySample, Layer

LAYERS = tuple(Layer(name, "index", Path(name), 1, "float32", direction=1, source=name) for name in "abc")
FORMS = [(None, "none")] * 3


def sample_of(rng: np.random.Generator, n: int, seen: int) -> FuzzySample:
    values = rng.normal(size=(n, 3)) * [1.0, 2.0, 0.5]
    fitted = tuple(fit_membership(column, layer, None) for column, layer in zip(values.T, LAYERS, strict=True))
    mu, valid = memberships_of(values, fitted)
    place = np.arange(n)
    return FuzzySample(fitted, mu, valid, place, place, (), (), values, seen)


def surprise_of(rng: np.random.Generator, sample: FuzzySample, disagreement: float, members: int = 6) -> np.ndarray:
    """Members that see the same, more in favourable cells, each with an error of its own."""
    shared = sample.mu.sum(axis=1) + 0.3 * rng.normal(size=len(sample.mu))
    return shared + disagreement * rng.normal(size=(members, len(shared)))


def test_nothing_that_could_move() -> None:
    """All cells are in the sample, and all members see the same."""
    rng = np.random.default_rng(0)
    sample = sample_of(rng, 2000, 2000)
    found = noise(LAYERS, FORMS, sample, surprise_of(rng, sample, 0.0), 0.02, 0)
    assert found.tolist() == [LEAST, FROM_SPREAD / 6]


def test_one_member_has_nobody_to_disagree_with() -> None:
    rng = np.random.default_rng(1)
    sample = sample_of(rng, 2000, 2000)
    assert noise(LAYERS, FORMS, sample, surprise_of(rng, sample, 1.0, 1), 0.02, 0).tolist() == [LEAST, FROM_SPREAD]


def test_members_that_disagree_more_and_smaller_samples_move_more() -> None:
    rng = np.random.default_rng(2)
    whole = sample_of(rng, 4000, 4000)
    agreeing, quarrelling = (
        noise(LAYERS, FORMS, whole, surprise_of(np.random.default_rng(3), whole, by), 0.02, 0)[0] for by in (0.1, 0.6)
    )
    assert LEAST < agreeing < 0.3 * quarrelling
    small, large = (sample_of(np.random.default_rng(4), n, 10**9) for n in (1000, 8000))
    by_size = [
        noise(LAYERS, FORMS, s, surprise_of(np.random.default_rng(5), s, 0.0), 0.02, 0)[0] for s in (small, large)
    ]
    assert by_size[1] < 0.4 * by_size[0]
    half = noise(
        LAYERS, FORMS, replace(small, cells_seen=2000), surprise_of(np.random.default_rng(5), small, 0.0), 0.02, 0
    )
    assert half[0] == pytest.approx(0.5 * by_size[0], rel=1e-3)


def test_redrawing_moves_cells_as_other_samples_do() -> None:
    """Forty samples of the same ground, each with its own memberships, weights, ranks and cut, on the same cells."""
    rng = np.random.default_rng(6)
    first = sample_of(rng, 3000, 10**9)
    values, margins = first.values, []
    assert values is not None
    for _ in range(40):
        other = sample_of(rng, 3000, 10**9)
        assert other.values is not None
        both = np.concatenate([values, other.values])
        mu, valid = memberships_of(both, other.memberships)
        weights = layer_weights(LAYERS, other)
        fav = favourability(FuzzySample((), mu, valid, both, both, ()), weights)
        margins.append(_margin(fav, mu.sum(axis=1), np.arange(3000, 6000), 0.02)[:3000])
    here = np.mean(margins, axis=0)
    near = np.argsort(np.abs(here))[:150]
    expected = np.var(np.stack(margins)[:, near], axis=0, ddof=1).mean()
    found = noise(LAYERS, FORMS, first, first.mu.sum(axis=1)[None], 0.02, 0)[0] / FROM_SAMPLE
    assert 0.5 * expected < found < 2.0 * expected


def test_the_cut_is_that_of_the_share() -> None:
    scores = np.random.default_rng(7).permutation(1000) / 1000.0
    assert (scores >= cut_of(scores, 0.05)).sum() == 50


def test_a_layer_that_may_not_vary_in_a_draw_keeps_its_membership() -> None:
    """Two cells in three thousand hold another value: one draw in seven holds none of them."""
    rng = np.random.default_rng(8)
    sample = sample_of(rng, 3000, 10**9)
    assert sample.values is not None
    values = sample.values.copy()
    values[:, 2] = 0.0
    values[:40, 2] = 1.0
    constant = fit_membership(values[:, 2], LAYERS[2], None)
    mu, valid = memberships_of(values, (*sample.memberships[:2], constant))
    odd = replace(sample, memberships=(*sample.memberships[:2], constant), mu=mu, valid=valid, values=values)
    assert np.isfinite(noise(LAYERS, FORMS, odd, surprise_of(rng, odd, 0.2), 0.02, 0)).all()


def test_a_sample_without_values_is_refused() -> None:
    rng = np.random.default_rng(9)
    sample = replace(sample_of(rng, 500, 10**6), values=None)
    with pytest.raises(ValueError, match="no values"):
        noise(LAYERS, FORMS, sample, surprise_of(rng, sample, 0.1), 0.02, 0)
    assert FROM_MEMBERS > 0
