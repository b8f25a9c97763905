"""The definition of the scorer for several features a step."""

from __future__ import annotations

from unittest import mock

import numpy as np

from mpmjax.reference import lstm as reference


def score_features(mu: np.ndarray, valid: np.ndarray, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """All maps of cells with mu [n, L, F], the membership first, and valid [n, L]; a missing layer has no features."""

    def reconstruct(_: np.ndarray, present: np.ndarray, of: dict[str, np.ndarray], member: int):
        a = {name: np.asarray(of[name][member], np.float64) for name in NETWORK}
        x = np.where(present[..., None], mu, 0.0)
        n, layers, _ = mu.shape
        hidden = a["enc_wh"].shape[0]
        h, c = np.zeros((n, hidden)), np.zeros((n, hidden))
        for layer in of["order"][member]:
            gates = x[:, layer] @ a["enc_wx"] + h @ a["enc_wh"] + a["enc_b"][layer]
            h, c = reference._step(gates, h, c, present[:, layer])
        z = h @ a["lat_w"] + a["lat_b"]
        h, c, x_hat = np.zeros((n, hidden)), np.zeros((n, hidden)), np.empty((n, layers))
        for layer in of["order"][member][::-1]:
            h, c = reference._step(z @ a["dec_wz"] + h @ a["dec_wh"] + a["dec_b"][layer], h, c, present[:, layer])
            x_hat[:, layer] = h @ a["out_w"][:, 0] + a["out_b"][0]
        return z, x_hat

    with mock.patch.object(reference, "reconstruct", reconstruct):
        return reference.score(mu[..., 0], valid, arrays)


NETWORK = ("enc_wx", "enc_wh", "enc_b", "lat_w", "lat_b", "dec_wz", "dec_wh", "dec_b", "out_w", "out_b")
