"""The scorer: memberships of a cell -> prospectivity and its parts. This file is the definition.

Arrays of a Screener (E members, L layers, F features, H hidden, d latent, K groups, Q quantiles):

    order       [E, L] int     the layer that member m reads at step t
    enc_wx      [E, F, 4H]     encoder, input to gates; gates are (input, forget, cell, output), H columns each
    enc_wh      [E, H, 4H]     encoder, hidden state to gates
    enc_b       [E, L, 4H]     encoder, bias by layer: the layer's embedding is folded in
    lat_w       [E, H, d]      last hidden state to latent
    lat_b       [E, d]
    dec_wz      [E, d, 4H]     decoder, latent to gates, the same at every step
    dec_wh      [E, H, 4H]
    dec_b       [E, L, 4H]
    out_w       [E, H, F]      hidden state to reconstruction
    out_b       [E, F]
    res_median  [E, L]         median of the residual on the sample
    res_scale   [E, L]         max(1.4826 MAD, 1e-3) of the residual on the sample
    group_mean  [E, K, d]      Gaussian of each group in the member's latent
    group_chol  [E, K, d, d]   C with C^T C = inverse covariance
    group_logw  [E, K]         log weight + log det C
    fav_w       [E, d]         regression of favourability on the member's latent
    fav_b       [E]
    weight      [L]            weight of the layer in favourability, 0 where it has no direction
    trust       [1]            0..1, how far unusual goes with favourable on the sample (scoring/weights.py)
    cut         [1]            prospectivity from which on a cell of the sample is of the best area share
    noise       [2]            how far prospectivity less the cut moves if all is fitted again (scoring/stability.py)
    layer_rank  [L, 257]       rank among the sample of memberships 0, 1/256, ... 1 of the layer
    quadrant    [2]            R and risk from which on they are high (stages/confidence.py)
    ecdf_fav_x, ecdf_fav_y     [<= Q] frozen empirical CDF of favourability on the sample; same for ecdf_anomaly

Prospectivity is rank(fav) (1 + trust rank(surprise)) / (1 + trust), ranks by the frozen CDFs: what is unusual counts
only where the layers are favourable, and only as far as unusual and favourable go together in this district.

Confidence is the probability that the cell stays on its side of the cut, 1 / (1 + exp(-|prospectivity - cut| / s)) with
s^2 = noise[0] + noise[1] spread^2, where spread is the standard deviation of the members' own prospectivities. It is
stability of the result, not the probability of a deposit.

The driver is the directed layer with the largest weight x -ln(1.01 - rank of its membership): its part in a sum of
Fisher's kind, to which the best hundredth of a layer brings six times what its middle does: 3.9 against 0.67.

A step reads F features of its layer: the cell's membership, and what else the network was trained on (means over rings
around the cell); only the membership is reconstructed. A missing layer has none of them, carries (h, c) unchanged
through its step and takes no part in any mean.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

Arrays = Mapping[str, np.ndarray]
Z_CAP = 25.0
"""Squared standardised residuals are capped, so that one broken layer cannot make an anomaly alone."""
DRIVE_END = 1.01
"""The best rank has a finite logarithm."""


def reconstruct(mu: np.ndarray, valid: np.ndarray, arrays: Arrays, member: int) -> tuple[np.ndarray, np.ndarray]:
    """One member's latent and reconstruction.

    Args:
        mu: memberships [n, L] in 0..1, or features [n, L, F] of which they are the first (any value where not valid).
        valid: bool [n, L].

    Returns:
        z [n, d], and x_hat [n, L] in the order of the layers (channel 0 of F).
    """
    a = {name: np.asarray(values[member], np.float64) for name, values in arrays.items() if name[:3] in _NETWORK}
    order = np.asarray(arrays["order"][member])
    n, layers = valid.shape
    hidden = a["enc_wh"].shape[0]
    x = np.where(valid[:, :, None], _features(mu), 0.0).astype(np.float64)
    h, c = np.zeros((n, hidden)), np.zeros((n, hidden))
    for layer in order:
        gates = x[:, layer] @ a["enc_wx"] + h @ a["enc_wh"] + a["enc_b"][layer]
        h, c = _step(gates, h, c, valid[:, layer])
    z = h @ a["lat_w"] + a["lat_b"]
    drive = z @ a["dec_wz"]
    h, c = np.zeros((n, hidden)), np.zeros((n, hidden))
    x_hat = np.empty((n, layers))
    for layer in order[::-1]:
        h, c = _step(drive + h @ a["dec_wh"] + a["dec_b"][layer], h, c, valid[:, layer])
        x_hat[:, layer] = h @ a["out_w"][:, 0] + a["out_b"][0]
    return z, x_hat


def _features(mu: np.ndarray) -> np.ndarray:
    """[n, L, F], of memberships alone or with other features."""
    return mu[:, :, None] if mu.ndim == 2 else mu


_NETWORK = ("enc", "lat", "dec", "out")


def _step(gates: np.ndarray, h: np.ndarray, c: np.ndarray, present: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    i, f, g, o = np.split(gates, 4, axis=1)
    c_new = _sigmoid(f) * c + _sigmoid(i) * np.tanh(g)
    h_new = _sigmoid(o) * np.tanh(c_new)
    keep = present[:, None]
    return np.where(keep, h_new, h), np.where(keep, c_new, c)


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 0.5 * np.tanh(0.5 * x) + 0.5


def score(mu: np.ndarray, valid: np.ndarray, arrays: Arrays) -> dict[str, np.ndarray]:
    """All maps of a cell.

    Args:
        mu: memberships [n, L] in 0..1, or features [n, L, F] of which they are the first.
        valid: bool [n, L], at least one valid layer a cell.

    Returns:
        float64 [n] each: prospectivity, favourability, anomaly, confidence, risk, spread, coverage, and their parts
        R, V, M, surprise; int [n]: groups (1 the most favourable), quadrants (1 high R and low risk, 2 high R and high
        risk, 3 low R and low risk, 4 low R and high risk), driver (1 the first layer, 0 none).
    """
    members, layers = arrays["order"].shape
    features, count = mu, valid.sum(axis=1)
    mu = _features(features)[:, :, 0]
    surprise = np.empty((members, len(mu)))
    posteriors = np.empty((members, len(mu), arrays["group_logw"].shape[1]))
    member_fav = np.empty((members, len(mu)))
    for m in range(members):
        latent, x_hat = reconstruct(features, valid, arrays, m)
        z = (mu - x_hat - arrays["res_median"][m]) / arrays["res_scale"][m]
        z = np.where(valid, z, 0.0)
        surprise[m] = np.minimum(z**2, Z_CAP).sum(axis=1) / count
        posteriors[m] = posterior(latent, arrays, m)
        member_fav[m] = np.clip(latent @ np.asarray(arrays["fav_w"][m], np.float64) + arrays["fav_b"][m], 0.0, 1.0)
    weight = valid * np.asarray(arrays["weight"], np.float64)
    total = weight.sum(axis=1)
    # A cell whose directed layers are all missing has no opinion: the middle, not the bottom.
    fav = np.where(total > 0, (weight * np.where(valid, mu, 0.0)).sum(axis=1) / np.where(total > 0, total, 1.0), 0.5)
    consensus = posteriors.mean(axis=0).argmax(axis=1)
    votes = (posteriors.argmax(axis=2) == consensus).mean(axis=0)
    ordered = np.sort(posteriors, axis=2)
    margin = (ordered[..., -1] - ordered[..., -2]).mean(axis=0)
    r, risk, coverage = member_fav.mean(axis=0), member_fav.std(axis=0), count / layers
    drive = np.where(weight > 0, -weight * np.log(DRIVE_END - layer_ranks(mu, valid, arrays)), -np.inf)
    anomaly = ecdf(surprise.mean(axis=0), arrays, "anomaly")
    rank, trust = ecdf(fav, arrays, "fav"), float(arrays["trust"][0])
    prospectivity = rank * (1.0 + trust * anomaly) / (1.0 + trust)
    spread = rank * trust * ecdf(surprise, arrays, "anomaly").std(axis=0) / (1.0 + trust)
    return {
        "prospectivity": prospectivity,
        "favourability": fav,
        "anomaly": anomaly,
        "confidence": confidence(prospectivity, spread, arrays),
        "risk": risk,
        "spread": spread,
        "coverage": coverage,
        "groups": consensus + 1,
        "quadrants": 1 + (risk > arrays["quadrant"][1]) + 2 * (r < arrays["quadrant"][0]),
        "driver": np.where(np.isfinite(drive).any(axis=1), drive.argmax(axis=1) + 1, 0),
        "R": r,
        "V": votes,
        "M": margin,
        "surprise": surprise.mean(axis=0),
    }


def posterior(latent: np.ndarray, arrays: Arrays, member: int) -> np.ndarray:
    """p_mk: probability of each group [n, K] given a member's latent [n, d]."""
    mean, chol, logw = (np.asarray(arrays[f"group_{x}"][member], np.float64) for x in ("mean", "chol", "logw"))
    whitened = np.einsum("kij,nkj->nki", chol, latent[:, None, :] - mean)
    log_p = logw - 0.5 * (whitened**2).sum(axis=2)
    p = np.exp(log_p - log_p.max(axis=1, keepdims=True))
    return p / p.sum(axis=1, keepdims=True)


def ecdf(values: np.ndarray, arrays: Arrays, name: str) -> np.ndarray:
    """Rank 0..1 among the sample, frozen."""
    x, y = (np.asarray(arrays[f"ecdf_{name}_{axis}"], np.float64) for axis in "xy")
    return np.interp(values, x, y)


def layer_ranks(mu: np.ndarray, valid: np.ndarray, arrays: Arrays) -> np.ndarray:
    """Rank 0..1 of memberships among those of the sample, layer by layer: [n, L]; of 0 where missing."""
    grid = np.linspace(0.0, 1.0, arrays["layer_rank"].shape[1])
    columns = zip(np.where(valid, mu, 0.0).T, np.asarray(arrays["layer_rank"], np.float64), strict=True)
    return np.stack([np.interp(column, grid, ranks) for column, ranks in columns], axis=1)


def confidence(prospectivity: np.ndarray, spread: np.ndarray, arrays: Arrays) -> np.ndarray:
    """Probability, 0.5..1, that a cell stays in or out of the best area share if all is fitted again: float64 [n].

    Logistic in how far the cell is from the cut; scoring/stability.py says where its scale comes from.
    """
    noise, away = np.asarray(arrays["noise"], np.float64), np.abs(prospectivity - float(arrays["cut"][0]))
    return 1.0 / (1.0 + np.exp(-away / np.sqrt(noise[0] + noise[1] * spread**2)))
