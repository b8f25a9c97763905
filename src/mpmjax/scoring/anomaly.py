"""Residuals of the reconstruction, made comparable between layers and members."""

from __future__ import annotations

import numpy as np

from mpmjax.reference.lstm import Z_CAP

SMALLEST_SCALE = 1e-3
"""Memberships lie in 0..1: a layer reconstructed better than this everywhere must not turn noise into anomalies."""


def residual_scale(residual: np.ndarray, valid: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Median and 1.4826 MAD of each member's residual of each layer.

    Args:
        residual: [E, L, n]; valid: bool [L, n].

    Returns:
        float32 [E, L] each; the scale is at least 1e-3. A layer without valid cells gets 0 and 1.
    """
    members, layers, _ = residual.shape
    median, scale = np.zeros((members, layers), np.float32), np.ones((members, layers), np.float32)
    for layer in range(layers):
        present = residual[:, layer, valid[layer]]
        if present.shape[1]:
            median[:, layer] = np.median(present, axis=1)
            mad = np.median(np.abs(present - median[:, layer, None]), axis=1)
            scale[:, layer] = np.maximum(1.4826 * mad, SMALLEST_SCALE)
    return median, scale


def surprise(residual: np.ndarray, valid: np.ndarray, median: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Each member's mean over a cell's valid layers of min(z^2, 25), z the standardised residual: [E, n].

    Args:
        residual: [E, L, n]; valid: bool [L, n], at least one layer a cell; median, scale: [E, L], of residual_scale.
    """
    z = (residual - median[..., None]) / scale[..., None]
    return np.where(valid, np.minimum(z * z, Z_CAP), 0.0).sum(axis=1) / valid.sum(axis=0)
