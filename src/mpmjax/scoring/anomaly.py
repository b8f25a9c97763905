"""Residuals of the reconstruction, made comparable between layers and members."""

from __future__ import annotations

import numpy as np

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
