"""An ensemble as kernels/lstm_score.cu reads it: weights in halves, in the order in which lanes hand them to mma.sync.

kernels/lstm_layout.cuh says what lies where, and how numbers are scaled; this file is its other half. Nothing here
needs a card.

Halves hold 11 bits. That is enough for the weights of the recurrence, whose activations have no more than that by
themselves. Latents and what is made of them decide about groups: their weights, and the latent, are a half and the half
next to what rounding left, together 22 bits.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from mpmjax.ops.gpu.ensemble import MOST_LAYERS, NARROW, Sizes, sizes_of

LANES, OUT_LANES, UNIT = 32, 8, 16
_LOG2_E = float(np.log2(np.e))

HEADER = np.dtype(
    [
        *[(name, np.int32) for name in ("members", "layers", "features", "groups", "rank_knots")],
        *[(name, np.int32) for name in ("fav_knots", "anomaly_knots")],
        *[(name, np.float32) for name in ("trust", "cut", "noise_base", "noise_spread", "high_r", "high_risk")],
        *[(f"at_{name}", np.int32) for name in ("weight", "layer_rank", "fav", "anomaly", "members")],
        ("member_size", np.int32),
        *[(f"at_{name}", np.int32) for name in ("encoder", "decoder", "encoder_bias", "decoder_bias", "latent")],
        *[(f"at_{name}", np.int32) for name in ("latent_bias", "opinion", "residual")],
        *[(f"at_{name}", np.int32) for name in ("whiten", "whiten_bias", "group")],
    ]
)
"""LstmHeader, less what fills it up to whole units of 16 bytes."""


def packed(arrays: Mapping[str, np.ndarray]) -> np.ndarray:
    """The memory that `pack` of the kernel points to: uint8 [bytes].

    Args:
        arrays: a Screener's, as reference/lstm.py documents them, of which `refusal` says nothing.
    """
    sizes = sizes_of(arrays)
    header = np.zeros((), HEADER)
    for name in ("members", "layers", "features", "groups"):
        header[name] = getattr(sizes, name)
    header["rank_knots"] = arrays["layer_rank"].shape[1]
    header["trust"], header["cut"] = arrays["trust"][0], arrays["cut"][0]
    header["noise_base"], header["noise_spread"] = arrays["noise"]
    header["high_r"], header["high_risk"] = arrays["quadrant"]
    common = {"weight": arrays["weight"].astype(np.float32), "layer_rank": arrays["layer_rank"].astype(np.float32)}
    for name in ("fav", "anomaly"):
        common[name] = _frozen(arrays[f"ecdf_{name}_x"], arrays[f"ecdf_{name}_y"])
        header[f"{name}_knots"] = len(arrays[f"ecdf_{name}_x"])
    whole = [_filled(header.tobytes())]
    _append(whole, common, header)
    header["at_members"] = sum(map(len, whole)) // UNIT
    for number in range(sizes.members):
        member: list[bytes] = []
        one = {name: np.asarray(values[number], np.float64) for name, values in arrays.items() if name in _MEMBER}
        _append(member, _member_parts(one, sizes), header)
        header["member_size"] = sum(map(len, member)) // UNIT
        whole += member
    whole[0] = _filled(header.tobytes())
    return np.frombuffer(b"".join(whole), np.uint8)


_MEMBER = (
    *("order", "enc_wx", "enc_wh", "enc_b", "lat_w", "lat_b", "dec_wz", "dec_wh", "dec_b", "out_w", "out_b"),
    *("res_median", "res_scale", "group_mean", "group_chol", "group_logw", "fav_w", "fav_b"),
)


def _append(parts: list[bytes], named: Mapping[str, np.ndarray], header: np.ndarray) -> None:
    """Each part after the other, and where it begins into the header."""
    for name, values in named.items():
        header[f"at_{name}"] = sum(map(len, parts)) // UNIT
        parts.append(_filled(values.tobytes()))


def _filled(data: bytes) -> bytes:
    return data + bytes(-len(data) % UNIT)


def _member_parts(a: Mapping[str, np.ndarray], sizes: Sizes) -> dict[str, np.ndarray]:
    """All parts of a member, in the order of LstmHeader."""
    hidden, tiles = sizes.padded, sizes.tiles
    pad = NARROW * tiles
    latent_w = _rows(0.5 * a["lat_w"], hidden)
    latent_w = _columns(latent_w, pad).reshape(hidden // 16, 16, tiles, 8).transpose(2, 0, 1, 3)
    order = np.zeros(MOST_LAYERS, np.int32)
    order[: sizes.layers] = a["order"]
    # Columns 0 and 1 of a tile: the weights in 22 bits, whose two products the kernel adds.
    out = np.zeros((hidden // 16, 16, 8))
    out[..., 0] = _rows(0.5 * a["out_w"][:, :1], hidden).reshape(-1, 16)
    out[..., 1] = out[..., 0] - out[..., 0].astype(np.float16)
    no_out = np.zeros_like(out)
    residual = np.stack([a["out_b"][0] + a["res_median"], 1.0 / a["res_scale"]], axis=1)
    opinion = np.concatenate([_columns(a["fav_w"][None], pad)[0], [a["fav_b"]]])
    return {
        "encoder": _stage(order, a["enc_wh"], _rows(a["enc_wx"], pad), no_out, hidden),
        "decoder": _stage(order, a["dec_wh"], _rows(a["dec_wz"], pad), out, hidden),
        "encoder_bias": gate_bias(a["enc_b"], hidden),
        "decoder_bias": gate_bias(a["dec_b"], hidden),
        "latent": np.concatenate([fragments(part) for part in halved(latent_w)], axis=-1),
        "latent_bias": _columns(a["lat_b"][None], pad).astype(np.float32),
        "opinion": opinion.astype(np.float32),
        "residual": residual.astype(np.float32),
        **_groups(a, tiles),
    }


def _stage(order: np.ndarray, recurrent: np.ndarray, inputs: np.ndarray, out: np.ndarray, hidden: int) -> np.ndarray:
    """LstmStage as bytes."""
    by_gate = gate_tiles(_rows(0.5 * recurrent, hidden), hidden)  # [H / 8, 4, H, 8]
    weights = fragments(by_gate.reshape(hidden // 8, 4, hidden // 16, 16, 8))
    paired = weights.reshape(hidden // 8, 2, 2, hidden // 16, LANES, 4).transpose(0, 3, 1, 4, 2, 5)
    tiles = gate_tiles(inputs, hidden).reshape(hidden // 8, 4, -1, 8, 8)
    entering = half_fragments(tiles).transpose(0, 2, 3, 1, 4)
    parts = (order, paired, entering, fragments(out)[:, :OUT_LANES])
    return np.frombuffer(b"".join(part.tobytes() for part in parts), np.uint8)


def _groups(a: Mapping[str, np.ndarray], tiles: int) -> dict[str, np.ndarray]:
    """Whitening of each group, scaled by a power of 2 so that halves hold it, however narrow a group is."""
    chol, mean = a["group_chol"], a["group_mean"]
    pad, groups = NARROW * tiles, len(chol)
    largest = np.abs(chol).max(axis=(1, 2), initial=0.0)
    scale = 2.0 ** np.where(largest > 0, 8.0 - np.ceil(np.log2(np.where(largest > 0, largest, 1.0))), 0.0)
    scaled = chol * scale[:, None, None]
    whole = np.zeros((groups, pad, pad))
    whole[:, : chol.shape[1], : chol.shape[2]] = scaled
    # By group, tile of rows, tile of latents: [8 latents, 8 rows].
    blocks = whole.reshape(groups, tiles, 8, tiles, 8).transpose(0, 1, 3, 4, 2)
    offset = _columns(-np.einsum("kij,kj->ki", scaled, mean), pad)
    return {
        "whiten": np.concatenate([half_fragments(part) for part in halved(blocks)], axis=-1),
        "whiten_bias": offset.astype(np.float32),
        "group": np.stack([a["group_logw"] * _LOG2_E, 0.5 * _LOG2_E / scale**2], axis=1).astype(np.float32),
    }


def fragments(b: np.ndarray) -> np.ndarray:
    """Matrices B [..., 16, 8] as lanes have them: float16 [..., 32, 4], words of two halves each."""
    lanes = np.arange(LANES)
    rows = 2 * (lanes % 4)[:, None] + np.array([0, 1, 8, 9])
    return b[..., rows, (lanes // 4)[:, None]].astype(np.float16)


def half_fragments(b: np.ndarray) -> np.ndarray:
    """The same of matrices whose rows 8..15 are their rows 0..7, given as [..., 8, 8]: float16 [..., 32, 2]."""
    lanes = np.arange(LANES)
    rows = 2 * (lanes % 4)[:, None] + np.array([0, 1])
    return b[..., rows, (lanes // 4)[:, None]].astype(np.float16)


def halved(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Values rounded to halves, and what that left."""
    rounded = values.astype(np.float16).astype(np.float64)
    return rounded, values - rounded


def gate_tiles(weights: np.ndarray, hidden: int) -> np.ndarray:
    """Weights [n, 4H] to gates (input, forget, cell, output) as [hidden / 8, 4, n, 8], by 8 units and gate.

    All but the cell's are halved. Units beyond H have no weight.
    """
    inputs = len(weights)
    by_gate = weights.reshape(inputs, 4, -1) * np.array([0.5, 0.5, 1.0, 0.5])[:, None]
    whole = np.zeros((inputs, 4, hidden))
    whole[..., : by_gate.shape[2]] = by_gate
    return whole.reshape(inputs, 4, hidden // 8, 8).transpose(2, 1, 0, 3)


def gate_bias(bias: np.ndarray, hidden: int) -> np.ndarray:
    """Biases [L, 4H] as lanes read them: float32 [L, hidden / 8, 4 lanes of a row, 4 gates, 2 units]."""
    tiles = gate_tiles(bias, hidden)  # [hidden / 8, 4, L, 8]
    pairs = tiles.reshape(*tiles.shape[:3], 4, 2)
    return np.ascontiguousarray(pairs.transpose(2, 0, 3, 1, 4), np.float32)


def _frozen(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """float32 [3, knots]: x, y, and the slope from a knot to the next; finite where x are equal or nearly so."""
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    run, rise = np.diff(x), np.diff(y)
    slope = np.divide(rise, run, out=np.zeros_like(rise), where=run > 0)
    largest = np.finfo(np.float32).max
    return np.stack([x, y, np.append(np.clip(slope, -largest, largest), 0.0)]).astype(np.float32)


def _rows(values: np.ndarray, count: int) -> np.ndarray:
    """Filled up with rows of 0."""
    return np.pad(values, ((0, count - len(values)), (0, 0)))


def _columns(values: np.ndarray, count: int) -> np.ndarray:
    return np.pad(values, ((0, 0), (0, count - values.shape[1])))
