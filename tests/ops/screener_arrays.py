"""Random arrays of a Screener, of any size, for tests of the scorer."""

from __future__ import annotations

import numpy as np

from mpmjax.reference.lstm import score


def random_arrays(
    members: int, layers: int, hidden: int, latent: int, groups: int, seed: int = 0, features: int = 1
) -> dict[str, np.ndarray]:
    """Arrays as reference/lstm.py documents them, with weights of the size that training gives."""
    rng = np.random.default_rng(seed)

    def normal(*shape: int, scale: float = 0.4) -> np.ndarray:
        return rng.normal(0, scale, (members, *shape)).astype(np.float32)

    arrays = {
        "order": np.stack([rng.permutation(layers) for _ in range(members)]).astype(np.int32),
        "enc_wx": normal(features, 4 * hidden),
        "enc_wh": normal(hidden, 4 * hidden),
        "enc_b": normal(layers, 4 * hidden),
        "lat_w": normal(hidden, latent),
        "lat_b": normal(latent),
        "dec_wz": normal(latent, 4 * hidden),
        "dec_wh": normal(hidden, 4 * hidden),
        "dec_b": normal(layers, 4 * hidden),
        "out_w": normal(hidden, features),
        "out_b": normal(features),
        "res_median": normal(layers, scale=0.05),
        "res_scale": rng.uniform(0.05, 0.4, (members, layers)).astype(np.float32),
        "group_mean": normal(groups, latent, scale=0.3),
        "group_chol": (np.eye(latent) * 2 + normal(groups, latent, latent, scale=0.2)).astype(np.float32),
        "group_logw": normal(groups),
        "fav_w": normal(latent),
        "fav_b": rng.uniform(0.2, 0.8, members).astype(np.float32),
        "trust": rng.uniform(0.0, 1.0, 1).astype(np.float32),
        "weight": np.where(rng.uniform(size=layers) < 0.8, rng.uniform(0.5, 2, layers), 0).astype(np.float32),
    }
    arrays["weight"][0] = 1.0
    later = np.random.default_rng([seed, 1])
    arrays |= {
        "cut": later.uniform(0.3, 0.9, 1).astype(np.float32),
        "noise": np.array([later.uniform(1e-5, 1e-2), later.uniform(0.02, 0.3)], np.float32),
        "layer_rank": np.sort(later.uniform(0, 1, (layers, 257)), axis=1).astype(np.float32),
        "quadrant": np.array([later.uniform(0.4, 0.6), later.uniform(0.02, 0.1)], np.float32),
    }
    for name in ("fav", "anomaly"):
        top = 8.0 if name == "anomaly" else 1.0
        arrays[f"ecdf_{name}_x"] = np.sort(rng.uniform(0, top, 1024)).astype(np.float32)
        arrays[f"ecdf_{name}_y"] = np.linspace(0, 1, 1024, dtype=np.float32)
    return arrays


def random_cells(cells: int, layers: int, seed: int = 0, features: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Memberships float32 [n, L], or more features [n, L, F], and where they are valid: one layer in five missing, at
    least one a cell there."""
    rng = np.random.default_rng([seed, cells, layers])
    valid = rng.uniform(size=(cells, layers)) < 0.8
    valid[np.arange(cells), rng.integers(0, layers, cells)] = True
    shape = (cells, layers) if features == 1 else (cells, layers, features)
    return rng.uniform(size=shape).astype(np.float32), valid


def ranked(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The arrays with ecdfs over what they give themselves, so that ranks fill 0..1 and do not stop at an end."""
    unit = np.array([0.0, 1.0], np.float32)
    plain = {**arrays, **{f"ecdf_{name}_{axis}": unit for name in ("fav", "anomaly") for axis in "xy"}}
    cells = random_cells(400, arrays["order"].shape[1], seed=99, features=arrays["enc_wx"].shape[1])
    scores = score(*cells, plain)
    for name, what in (("fav", "favourability"), ("anomaly", "surprise")):
        knots = np.unique(np.quantile(scores[what], np.linspace(0.0, 1.0, 101)).astype(np.float32))
        plain |= {f"ecdf_{name}_x": knots, f"ecdf_{name}_y": np.linspace(0, 1, len(knots), dtype=np.float32)}
    return plain
