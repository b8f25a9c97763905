"""A Screener's arrays of given sizes with random numbers: what scoring costs does not depend on what was learnt."""

from __future__ import annotations

import numpy as np

Arrays = dict[str, np.ndarray]


def random_arrays(members: int, layers: int, hidden: int, latent: int, groups: int) -> Arrays:
    """Arrays as reference/lstm.py documents them, F = 1, always the same.

    Weights are drawn as those of a new network, so that activations are where those of a trained one are; residuals
    are standardised to about 1, so that no cell is beyond the cap.
    """
    rng = np.random.default_rng(0)

    def normal(*shape: int, scale: float = 1.0) -> np.ndarray:
        return rng.normal(0.0, scale, shape).astype(np.float32)

    inward = hidden**-0.5
    ramp = np.linspace(0.0, 1.0, 257, dtype=np.float32)
    knots = np.linspace(0.0, 1.0, 1024, dtype=np.float32)
    identity = np.eye(latent, dtype=np.float32)
    return {
        "order": np.stack([rng.permutation(layers) for _ in range(members)]).astype(np.int32),
        "enc_wx": normal(members, 1, 4 * hidden),
        "enc_wh": normal(members, hidden, 4 * hidden, scale=inward),
        "enc_b": normal(members, layers, 4 * hidden),
        "lat_w": normal(members, hidden, latent, scale=inward),
        "lat_b": normal(members, latent),
        "dec_wz": normal(members, latent, 4 * hidden),
        "dec_wh": normal(members, hidden, 4 * hidden, scale=inward),
        "dec_b": normal(members, layers, 4 * hidden),
        "out_w": normal(members, hidden, 1, scale=inward),
        "out_b": np.full((members, 1), 0.5, np.float32),
        "res_median": np.zeros((members, layers), np.float32),
        "res_scale": np.full((members, layers), 0.3, np.float32),
        "group_mean": normal(members, groups, latent, scale=0.5),
        "group_chol": np.broadcast_to(2.0 * identity, (members, groups, latent, latent)).copy(),
        "group_logw": np.zeros((members, groups), np.float32),
        "fav_w": normal(members, latent, scale=0.2),
        "fav_b": np.full(members, 0.5, np.float32),
        "weight": np.ones(layers, np.float32),
        "layer_rank": np.broadcast_to(ramp, (layers, 257)).copy(),
        "trust": np.array([0.5], np.float32),
        "cut": np.array([0.9], np.float32),
        "noise": np.array([0.01, 1.0], np.float32),
        "quadrant": np.array([0.6, 0.1], np.float32),
        "ecdf_fav_x": knots,
        "ecdf_fav_y": knots,
        "ecdf_anomaly_x": 4.0 * knots,
        "ecdf_anomaly_y": knots,
    }
