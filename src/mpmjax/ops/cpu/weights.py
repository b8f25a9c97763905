"""The weights of a Screener's networks, in the order in which the program of ops/cpu/network.py reads them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from mpmjax.ops.cpu.unit import GATE_SCALES

FOUR = 4
"""Sums that are made at a time: a unit's gates, or as many latents."""


class Network(NamedTuple):
    """The members' weights.

    Attributes:
        order: int64 [E, L]; layers: L.
        weights: float32, a member after the other, each of them: the encoder's kernel [H, F + H, 4] and biases
            [L, H, 4], the latent's [d / 4, H, 4] and [d / 4, 4], what it adds to the decoder's gates [H, d, 4], the
            decoder's kernel [H, H, 4] and biases [L, H, 4], the reconstruction's weights [H], and 4 zeros. Gates are
            scaled by GATE_SCALES; d is rounded up to a multiple of 4.
        stride: floats from one member to the next; encoder_bias, latent, latent_bias, drive, decoder, decoder_bias,
            readout, none: from its first to each of these.
        out_bias: float32 [E].
    """

    order: np.ndarray
    weights: np.ndarray
    stride: int
    encoder_bias: int
    latent: int
    latent_bias: int
    drive: int
    decoder: int
    decoder_bias: int
    readout: int
    none: int
    out_bias: np.ndarray


def in_fours(latent: int) -> int:
    """The next multiple of FOUR."""
    return FOUR * -(-latent // FOUR)


def pack(arrays: Mapping[str, np.ndarray]) -> Network:
    """A Screener's arrays (reference/lstm.py) as the program reads them."""
    members = len(arrays["order"])
    hidden, latent = arrays["lat_w"].shape[1:]

    def gates(values: np.ndarray) -> np.ndarray:
        """[E, rows, 4H] as scaled [E, H, rows, 4]."""
        split = np.asarray(values, np.float64).reshape(members, -1, 4, hidden) * np.array(GATE_SCALES)[:, None]
        return split.transpose(0, 3, 1, 2)

    def biases(values: np.ndarray) -> np.ndarray:
        """[E, L, 4H] as scaled [E, L, H, 4]."""
        return gates(values).transpose(0, 2, 1, 3)

    def fours(values: np.ndarray) -> np.ndarray:
        """[E, ..., d] as [E, d / 4, ..., 4], with zeros to the next 4."""
        whole = np.zeros((*values.shape[:-1], in_fours(latent)))
        whole[..., :latent] = values
        return np.moveaxis(whole.reshape(*values.shape[:-1], -1, FOUR), -2, 1)

    from_latent = np.zeros((members, in_fours(latent), 4 * hidden))
    from_latent[:, :latent] = arrays["dec_wz"]
    parts = (
        gates(np.concatenate([arrays["enc_wx"], arrays["enc_wh"]], axis=1)),
        biases(arrays["enc_b"]),
        fours(arrays["lat_w"]),
        fours(arrays["lat_b"]),
        gates(from_latent),
        gates(arrays["dec_wh"]),
        biases(arrays["dec_b"]),
        np.asarray(arrays["out_w"])[:, :, 0],
        np.zeros((members, 4)),
    )
    flat = [part.reshape(members, -1).astype(np.float32) for part in parts]
    starts = np.cumsum([part.shape[1] for part in flat]).tolist()
    order = np.array(arrays["order"], np.int64, order="C")
    weights = np.ascontiguousarray(np.concatenate(flat, axis=1)).reshape(-1)
    out_bias = np.array(arrays["out_b"], np.float32)[:, 0].copy()
    return Network._make([order, weights, starts[-1], *starts[:8], out_bias])
