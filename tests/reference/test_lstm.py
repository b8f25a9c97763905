"""The definition of the scorer against others: scalar Python a cell at a time, Flax's LSTM cell, SciPy's Gaussians."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
import pytest
from ops.screener_arrays import random_arrays, random_cells, ranked
from scipy.special import expit, logsumexp
from scipy.stats import multivariate_normal
from tolerances import FLAX_CELL, FLOAT64_SUMS, assert_close

from mpmjax.reference.lstm import Z_CAP, posterior, reconstruct, score

Arrays = Mapping[str, np.ndarray]
CONTINUOUS = (
    *("prospectivity", "favourability", "anomaly", "confidence", "risk", "spread", "coverage"),
    *("R", "M", "surprise"),
)


def sigmoid(x: float) -> float:
    return 1.0 / (1.0 + math.exp(-x))


def scalar_step(gates: list[float], c: list[float]) -> tuple[list[float], list[float]]:
    """One LSTM step, unit by unit; gates of 4H numbers: all inputs, all forgets, all cells, all outputs."""
    size = len(c)
    h_new, c_new = [], []
    for unit in range(size):
        i, f, g, o = (gates[block * size + unit] for block in range(4))
        cell = sigmoid(f) * c[unit] + sigmoid(i) * math.tanh(g)
        c_new.append(cell)
        h_new.append(sigmoid(o) * math.tanh(cell))
    return h_new, c_new


def dot(vector: list[float], matrix: np.ndarray, column: int) -> float:
    return sum(v * float(matrix[row, column]) for row, v in enumerate(vector))


def scalar_member(mu: np.ndarray, valid: np.ndarray, a: Arrays, m: int) -> tuple[list[float], dict[int, float]]:
    """Latent, and reconstruction of the valid layers, of one cell (mu, valid: [L]). A missing layer is no step."""
    size = a["enc_wh"].shape[1]
    steps = [int(layer) for layer in a["order"][m] if valid[layer]]
    h, c = [0.0] * size, [0.0] * size
    for layer in steps:
        x = float(mu[layer])
        gates = [
            x * float(a["enc_wx"][m, 0, j]) + dot(h, a["enc_wh"][m], j) + float(a["enc_b"][m, layer, j])
            for j in range(4 * size)
        ]
        h, c = scalar_step(gates, c)
    z = [dot(h, a["lat_w"][m], j) + float(a["lat_b"][m, j]) for j in range(a["lat_w"].shape[2])]
    h, c = [0.0] * size, [0.0] * size
    x_hat = {}
    for layer in reversed(steps):
        gates = [
            dot(z, a["dec_wz"][m], j) + dot(h, a["dec_wh"][m], j) + float(a["dec_b"][m, layer, j])
            for j in range(4 * size)
        ]
        h, c = scalar_step(gates, c)
        x_hat[layer] = dot(h, a["out_w"][m], 0) + float(a["out_b"][m, 0])
    return z, x_hat


def scalar_ecdf(value: float, x: Sequence[float] | np.ndarray, y: np.ndarray) -> float:
    if value <= x[0]:
        return float(y[0])
    for left, right, low, high in zip(x[:-1], x[1:], y[:-1], y[1:], strict=True):
        if value <= right:
            return float(low) + (value - float(left)) / (float(right) - float(left)) * (float(high) - float(low))
    return float(y[-1])


def scalar_posterior(z: list[float], a: Arrays, m: int) -> list[float]:
    logs = []
    for k in range(a["group_mean"].shape[1]):
        away = [z_i - float(mean) for z_i, mean in zip(z, a["group_mean"][m, k], strict=True)]
        white = [sum(float(row[j]) * away[j] for j in range(len(away))) for row in a["group_chol"][m, k]]
        logs.append(float(a["group_logw"][m, k]) - 0.5 * sum(w * w for w in white))
    return [math.exp(value - float(logsumexp(logs))) for value in logs]


def scalar_says(mu: np.ndarray, a: Arrays, layer: int) -> float:
    """What a layer says for a cell: the largest names the driver."""
    rank = scalar_ecdf(float(mu[layer]), [k / 256 for k in range(257)], a["layer_rank"][layer])
    return -float(a["weight"][layer]) * math.log(1.01 - rank)


def scalar_score(mu: np.ndarray, valid: np.ndarray, a: Arrays) -> dict[str, float]:
    """All maps of one cell, from the definitions in words."""
    members, layers = a["order"].shape
    present = [layer for layer in range(layers) if valid[layer]]
    surprises, posteriors, member_fav = [], [], []
    for m in range(members):
        z, x_hat = scalar_member(mu, valid, a, m)
        posteriors.append(scalar_posterior(z, a, m))
        said = float(a["fav_b"][m]) + sum(float(w) * z_i for w, z_i in zip(a["fav_w"][m], z, strict=True))
        member_fav.append(min(max(said, 0.0), 1.0))
        squares = []
        for layer in present:
            residual = float(mu[layer]) - x_hat[layer]
            standard = (residual - float(a["res_median"][m, layer])) / float(a["res_scale"][m, layer])
            squares.append(min(standard**2, 25.0))
        surprises.append(sum(squares) / len(present))
    directed = [layer for layer in present if a["weight"][layer] > 0]
    total = sum(float(a["weight"][layer]) for layer in directed)
    fav = sum(float(a["weight"][layer]) * float(mu[layer]) for layer in directed) / total if directed else 0.5
    groups = range(a["group_logw"].shape[1])
    mean_p = [sum(p[k] for p in posteriors) / members for k in groups]
    consensus = mean_p.index(max(mean_p))
    votes = sum(p.index(max(p)) == consensus for p in posteriors) / members
    margin = sum(sorted(p)[-1] - sorted(p)[-2] for p in posteriors) / members
    r = sum(member_fav) / members
    risk = math.sqrt(sum((f - r) ** 2 for f in member_fav) / members)
    coverage, trust = len(present) / layers, float(a["trust"][0])
    surprise = sum(surprises) / members

    def prospectivity(unusual: float) -> float:
        rank = {
            name: scalar_ecdf(value, a[f"ecdf_{name}_x"], a[f"ecdf_{name}_y"])
            for name, value in (("fav", fav), ("anomaly", unusual))
        }
        return rank["fav"] * (1 + trust * rank["anomaly"]) / (1 + trust)

    own = [prospectivity(unusual) for unusual in surprises]
    spread = math.sqrt(sum((p - sum(own) / members) ** 2 for p in own) / members)
    scale = math.sqrt(float(a["noise"][0]) + float(a["noise"][1]) * spread**2)
    quadrant = {(True, False): 1, (True, True): 2, (False, False): 3, (False, True): 4}
    return {
        "prospectivity": prospectivity(surprise),
        "favourability": fav,
        "anomaly": scalar_ecdf(surprise, a["ecdf_anomaly_x"], a["ecdf_anomaly_y"]),
        "confidence": sigmoid(abs(prospectivity(surprise) - float(a["cut"][0])) / scale),
        "risk": risk,
        "spread": spread,
        "coverage": coverage,
        "groups": consensus + 1,
        "quadrants": quadrant[r >= float(a["quadrant"][0]), risk > float(a["quadrant"][1])],
        "driver": max(directed, key=lambda layer: scalar_says(mu, a, layer)) + 1 if directed else 0,
        "R": r,
        "V": votes,
        "M": margin,
        "surprise": surprise,
    }


@pytest.mark.parametrize(
    ("members", "layers", "groups"), [(1, 2, 2), (3, 4, 3), (2, 6, 4)], ids=["one member", "the seed", "wider"]
)
def test_against_scalar_loops(members: int, layers: int, groups: int) -> None:
    arrays = ranked(random_arrays(members, layers, 5, 2, groups, seed=layers))
    mu, valid = random_cells(30, layers, seed=members)
    valid[0] = True
    valid[1] = np.arange(layers) == layers - 1  # a single layer
    valid[2] = arrays["weight"] == 0  # no directed layer, where there are others
    valid[2] |= not valid[2].any()
    got = score(mu, valid, arrays)
    for cell in range(len(mu)):
        expected = scalar_score(mu[cell], valid[cell], arrays)
        assert got.keys() == expected.keys()
        for name, value in expected.items():
            assert_close(got[name][cell], np.float64(value), FLOAT64_SUMS)


def test_step_is_flax_lstm_cell() -> None:
    """Encoder and decoder run on Flax's own LSTM cell, whose parameters are cut out of ours."""
    layers, hidden, latent = 5, 6, 3
    arrays = random_arrays(2, layers, hidden, latent, 2, seed=3)
    mu, _ = random_cells(40, layers, seed=3)
    cell = nn.OptimizedLSTMCell(hidden)

    def params(wx: np.ndarray, wh: np.ndarray) -> dict[str, dict[str, jnp.ndarray]]:
        parts = {}
        for gate, x, h in zip("ifgo", np.split(wx, 4, axis=1), np.split(wh, 4, axis=1), strict=True):
            parts[f"i{gate}"] = {"kernel": jnp.asarray(x)}
            parts[f"h{gate}"] = {"kernel": jnp.asarray(h), "bias": jnp.zeros(hidden)}
        return {"params": parts}

    def run(wx: np.ndarray, wh: np.ndarray, inputs: list[np.ndarray]) -> list[jnp.ndarray]:
        state = (jnp.zeros((len(mu), hidden)), jnp.zeros((len(mu), hidden)))  # (c, h)
        seen = []
        for x in inputs:
            state, h = cell.apply(params(wx, wh), state, jnp.asarray(x, jnp.float32))
            seen.append(h)
        return seen

    for m in range(2):
        a = {name: values[m] for name, values in arrays.items() if name[:3] in ("enc", "dec", "lat", "out")}
        order = arrays["order"][m]
        # A layer's bias comes in as an input of the cell, one column a layer, which is 1 where it is its turn.
        turn = np.eye(layers)[order]
        encoder = [
            np.concatenate([mu[:, [layer]], np.tile(t, (len(mu), 1))], 1) for layer, t in zip(order, turn, strict=True)
        ]
        h = run(np.concatenate([a["enc_wx"], a["enc_b"]]), a["enc_wh"], encoder)[-1]
        z = np.asarray(h) @ a["lat_w"] + a["lat_b"]
        decoder = [np.concatenate([z, np.tile(t, (len(mu), 1))], 1) for t in turn[::-1]]
        states = run(np.concatenate([a["dec_wz"], a["dec_b"]]), a["dec_wh"], decoder)
        x_hat = np.empty((len(mu), layers))
        for layer, state in zip(order[::-1], states, strict=True):
            x_hat[:, layer] = np.asarray(state) @ a["out_w"][:, 0] + a["out_b"][0]
        got_z, got_x_hat = reconstruct(mu, np.ones(mu.shape, bool), arrays, m)
        assert_close(z, got_z, FLAX_CELL)
        assert_close(x_hat, got_x_hat, FLAX_CELL)


def without(arrays: Arrays, layer: int) -> dict[str, np.ndarray]:
    """The arrays of a Screener that never knew a layer."""
    kept = np.arange(arrays["order"].shape[1]) != layer
    order = np.stack([row[row != layer] for row in arrays["order"]])
    by_layer = {name: arrays[name][:, kept] for name in ("enc_b", "dec_b", "res_median", "res_scale")}
    return {
        **arrays,
        **by_layer,
        "layer_rank": arrays["layer_rank"][kept],
        "order": order - (order > layer),
        "weight": arrays["weight"][kept],
    }


@pytest.mark.parametrize("layer", range(4))
def test_missing_layer_carries_the_state(layer: int) -> None:
    """A layer that is missing everywhere leaves what a Screener without it would have said."""
    arrays = ranked(random_arrays(3, 4, 8, 2, 3, seed=5))
    arrays["weight"][:] = [1.0, 2.0, 0.5, 1.5]
    mu, _ = random_cells(200, 4, seed=5)
    kept = np.arange(4) != layer
    valid = np.tile(kept, (200, 1))
    for m in range(3):
        z, x_hat = reconstruct(mu, valid, arrays, m)
        z_without, x_hat_without = reconstruct(mu[:, kept], valid[:, kept], without(arrays, layer), m)
        assert_close(z, z_without, FLOAT64_SUMS)
        assert_close(x_hat[:, kept], x_hat_without, FLOAT64_SUMS)
    got, expected = score(mu, valid, arrays), score(mu[:, kept], valid[:, kept], without(arrays, layer))
    assert_close(got.pop("coverage"), np.full(200, 0.75), FLOAT64_SUMS)
    assert_close(got.pop("driver"), np.flatnonzero(kept)[expected["driver"] - 1] + 1, FLOAT64_SUMS)
    for name, values in got.items():
        assert_close(values, expected[name], FLOAT64_SUMS)


@pytest.mark.parametrize("hidden_value", [np.nan, np.inf, -1e30, 0.7])
def test_what_stands_under_a_mask_is_not_looked_at(hidden_value: float) -> None:
    arrays = ranked(random_arrays(2, 4, 6, 2, 3, seed=6))
    mu, valid = random_cells(100, 4, seed=6)
    assert not valid.all()
    with np.errstate(invalid="ignore", over="ignore"):  # of what is thrown away at once
        got = score(np.where(valid, mu, hidden_value), valid, arrays)
    expected = score(np.where(valid, mu, 0.0), valid, arrays)
    for name, values in expected.items():
        assert np.array_equal(got[name], values), name


def test_permuting_the_layers_changes_nothing() -> None:
    """The numbers of the layers are names: permuted everywhere, they give the same scores and name the same driver."""
    arrays = ranked(random_arrays(3, 6, 7, 3, 4, seed=8))
    mu, valid = random_cells(150, 6, seed=8)
    old = np.random.default_rng(8).permutation(6)  # old[i] is what layer i was called before
    permuted = {name: arrays[name][:, old] for name in ("enc_b", "dec_b", "res_median", "res_scale")}
    permuted |= {name: arrays[name][old] for name in ("weight", "layer_rank")}
    renamed = {**arrays, **permuted, "order": np.argsort(old)[arrays["order"]]}
    expected, got = score(mu, valid, arrays), score(mu[:, old], valid[:, old], renamed)
    for name in (*CONTINUOUS, "V", "groups"):
        assert_close(got[name], expected[name], FLOAT64_SUMS)
    known = expected["driver"] > 0
    assert np.array_equal(old[got["driver"][known] - 1] + 1, expected["driver"][known])
    assert not got["driver"][~known].any()


def test_the_order_of_a_member_matters() -> None:
    """Else a test of permutations would pass on a network that does not look at the order."""
    arrays = random_arrays(1, 4, 8, 2, 2, seed=9)
    mu, _ = random_cells(50, 4, seed=9)
    valid = np.ones(mu.shape, bool)
    z, _ = reconstruct(mu, valid, arrays, 0)
    other, _ = reconstruct(mu, valid, {**arrays, "order": arrays["order"][:, ::-1]}, 0)
    assert np.abs(z - other).max() > 1e-2


def test_one_member() -> None:
    """Nobody to disagree with: all votes, no risk, no spread, confidence by the noise alone."""
    arrays = ranked(random_arrays(1, 4, 8, 2, 3, seed=10))
    arrays["fav_w"] *= 50.0
    mu, valid = random_cells(100, 4, seed=10)
    got = score(mu, valid, arrays)
    assert (got["V"] == 1).all()
    assert (got["risk"] == 0).all()
    assert (got["spread"] == 0).all()
    away = np.abs(got["prospectivity"] - float(arrays["cut"][0])) / np.sqrt(float(arrays["noise"][0]))
    assert_close(got["confidence"], expit(away), FLOAT64_SUMS)
    latent = reconstruct(mu, valid, arrays, 0)[0]
    said = latent @ arrays["fav_w"][0].astype(float) + arrays["fav_b"][0]
    assert ((said < 0) | (said > 1)).any()
    assert_close(got["R"], np.clip(said, 0, 1), FLOAT64_SUMS)
    by_member = {name for name, values in arrays.items() if values.ndim > 1 and name != "layer_rank"} | {"fav_b"}
    twice = {name: np.concatenate([v, v]) if name in by_member else v for name, v in arrays.items()}
    for name, values in score(mu, valid, twice).items():
        assert_close(values, got[name], FLOAT64_SUMS)


def test_posteriors_are_those_of_gaussians() -> None:
    arrays = random_arrays(2, 3, 4, 3, 4, seed=11)
    weights = np.array([0.5, 0.3, 0.15, 0.05])
    log_det = np.log(np.abs(np.linalg.det(arrays["group_chol"].astype(float))))
    arrays["group_logw"] = np.log(weights) + log_det  # in float64, as the expectation is
    latent = np.random.default_rng(11).normal(0, 1, (200, 3))
    for m in range(2):
        density = []
        for k in range(4):
            root = arrays["group_chol"][m, k].astype(float)
            normal = multivariate_normal(arrays["group_mean"][m, k].astype(float), np.linalg.inv(root.T @ root))
            density.append(np.log(weights[k]) + normal.logpdf(latent))
        expected = np.exp(np.array(density) - logsumexp(density, axis=0)).T
        assert_close(posterior(latent, arrays, m), expected, FLOAT64_SUMS)
    far = posterior(np.full((1, 3), 1e4), arrays, 0)
    assert_close(far.sum(axis=1), np.ones(1), FLOAT64_SUMS)  # no 0 / 0 where every density is 0


def test_one_broken_layer_adds_a_bounded_surprise() -> None:
    arrays = ranked(random_arrays(2, 4, 6, 2, 3, seed=12))
    mu, _ = random_cells(50, 4, seed=12)
    valid = np.ones(mu.shape, bool)
    plain = score(mu, valid, arrays)["surprise"]
    broken = score(mu, valid, {**arrays, "res_scale": arrays["res_scale"] * np.array([1e-6, 1, 1, 1], np.float32)})
    assert (broken["surprise"] <= plain + Z_CAP / 4 + 1e-12).all()
    assert (broken["surprise"] >= Z_CAP / 4 - 1e-12).all()


def test_no_directed_layer_is_the_middle_and_has_no_driver() -> None:
    arrays = ranked(random_arrays(2, 3, 4, 1, 2, seed=13))
    mu, valid = random_cells(20, 3, seed=13)
    got = score(mu, valid, {**arrays, "weight": np.zeros(3, np.float32)})
    assert (got["favourability"] == 0.5).all()
    assert (got["driver"] == 0).all()


def test_ranges() -> None:
    """What types.PRODUCTS says is 0..1 is, and risk is at most one half."""
    arrays = ranked(random_arrays(4, 5, 6, 2, 4, seed=14))
    mu, valid = random_cells(500, 5, seed=14)
    got = score(mu, valid, arrays)
    for name in ("prospectivity", "favourability", "anomaly", "confidence", "coverage", "R", "V", "M"):
        assert (got[name] >= 0).all(), name
        assert (got[name] <= 1).all(), name
    assert (got["risk"] >= 0).all()
    assert (got["risk"] <= 0.5).all()
    assert set(np.unique(got["groups"])) <= {1, 2, 3, 4}
    assert set(np.unique(got["driver"])) <= {0, 1, 2, 3, 4, 5}
