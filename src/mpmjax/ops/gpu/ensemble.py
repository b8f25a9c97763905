"""Which ensembles kernels/lstm_score.cu takes, and by which of its kernels. Nothing here needs a card."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

HIDDEN = (16, 32, 64)
"""Of the kernels; others are filled up with units that no weight reaches: their c and h stay 0."""
MOST_LAYERS, MOST_GROUPS, MOST_INPUTS = 64, 16, 16
NARROW = 8
"""Features and latents that one tile holds; beyond that the kernel is a wide one, with two."""

MOST_LATENT = 60_000.0
"""A latent is a half and its rest; halves end at 65,504."""
_HALVES = ("enc_wx", "enc_wh", "dec_wh", "dec_wz", "out_w", "lat_w")
"""Arrays that are packed as halves."""


@dataclass(frozen=True)
class Sizes:
    """Of an ensemble, and of the kernel that takes it.

    Attributes:
        members, layers, features, hidden, latent, groups: E, L, F, H, d, K.
        padded: H of the kernel.
        tiles: of inputs of the encoder, and of latents.
    """

    members: int
    layers: int
    features: int
    hidden: int
    latent: int
    groups: int

    @property
    def padded(self) -> int:
        return next(size for size in HIDDEN if size >= self.hidden)

    @property
    def tiles(self) -> int:
        return 1 if max(self.features, self.latent) <= NARROW else 2

    @property
    def kernel(self) -> str:
        """Its name in kernels/lstm_score.cu."""
        return f"lstm_score_h{self.padded}{'_wide' if self.tiles > 1 else ''}"


def sizes_of(arrays: Mapping[str, np.ndarray]) -> Sizes:
    """Of a Screener's arrays."""
    members, layers = arrays["order"].shape
    features, hidden = arrays["enc_wx"].shape[1], arrays["enc_wh"].shape[1]
    return Sizes(members, layers, features, hidden, arrays["lat_w"].shape[2], arrays["group_logw"].shape[1])


def refusal(arrays: Mapping[str, np.ndarray]) -> str | None:
    """Why the kernel does not take an ensemble, as the end of a sentence; None if it does."""
    sizes = sizes_of(arrays)
    limits = {
        "hidden units": (sizes.hidden, HIDDEN[-1]),
        "layers": (sizes.layers, MOST_LAYERS),
        "groups": (sizes.groups, MOST_GROUPS),
        "latents": (sizes.latent, MOST_INPUTS),
        "features": (sizes.features, MOST_INPUTS),
    }
    for name, (size, most) in limits.items():
        if size > most:
            return f"it has {size} {name}, and the kernel takes at most {most}"
    for name, values in arrays.items():
        if name != "group_logw" and not np.isfinite(values).all():
            return f"{name} holds numbers that are not finite"
    largest = {name: float(np.abs(arrays[name]).max(initial=0.0)) for name in _HALVES}
    name = max(largest, key=lambda key: largest[key])
    if largest[name] > MOST_LATENT:
        return f"{name} holds {largest[name]:g}, and halves end at 65,504"
    if (np.abs(arrays["lat_w"]).sum(axis=1) + np.abs(arrays["lat_b"])).max() > MOST_LATENT:
        return "its latents can exceed what halves hold, 65,504"
    return None
