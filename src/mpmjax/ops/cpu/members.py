"""What each member says of a block of cells; the formulas are those of reference/lstm.py."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from mpmjax.ops._compile import compiled
from mpmjax.ops._guides import make_guides
from mpmjax.ops.cpu.numerics import exp2
from mpmjax.ops.cpu.unit import BLOCK
from mpmjax.products import CLASS_MAPS, INDEX_MAPS
from mpmjax.reference.lstm import Z_CAP

FLOATS = (*INDEX_MAPS, "R", "V", "M", "surprise")
CLASSES = CLASS_MAPS
"""What scores.finish writes, which unpacks them in this order."""

LOG2_E = 1.0 / math.log(2.0)
_CAP = np.float32(Z_CAP)


class Ranks(NamedTuple):
    """A frozen empirical CDF: knots, slopes to the next one, and where to begin looking (ops/_guides.py)."""

    x: np.ndarray
    y: np.ndarray
    slopes: np.ndarray
    inverse: float
    reach: int
    guide: np.ndarray


class Rules(NamedTuple):
    """What a Screener's arrays say beside the networks; names and shapes as in reference/lstm.py."""

    res_median: np.ndarray
    res_inverse: np.ndarray
    group_mean: np.ndarray
    group_chol: np.ndarray
    group_logw: np.ndarray
    fav_w: np.ndarray
    fav_b: np.ndarray
    weight: np.ndarray
    layer_rank: np.ndarray
    trust: float
    cut: float
    noise: tuple[float, float]
    quadrant: tuple[float, float]
    fav: Ranks
    anomaly: Ranks


class Said(NamedTuple):
    """What members say of a block, and room to work in.

    Attributes:
        surprise, favourability: float32 [E, BLOCK]; p: of the groups, float32 [E, K, BLOCK].
        apart: float32 [d, BLOCK]; line, total: float64 [BLOCK]; at: uint64 [BLOCK].
        floats: float32 [len(FLOATS), BLOCK]; classes: uint8 [len(CLASSES), BLOCK].
    """

    surprise: np.ndarray
    favourability: np.ndarray
    p: np.ndarray
    apart: np.ndarray
    line: np.ndarray
    total: np.ndarray
    at: np.ndarray
    floats: np.ndarray
    classes: np.ndarray


def pack(arrays: Mapping[str, np.ndarray]) -> Rules:
    """A Screener's arrays as the kernel reads them; copies."""

    def floats(name: str) -> np.ndarray:
        return np.array(arrays[name], np.float32, order="C")

    def doubles(name: str) -> np.ndarray:
        return np.array(arrays[name], np.float64, order="C")

    trust, cut, noise, quadrant = (doubles(name).tolist() for name in ("trust", "cut", "noise", "quadrant"))
    return Rules(
        floats("res_median"),
        (1.0 / doubles("res_scale")).astype(np.float32),
        floats("group_mean"),
        floats("group_chol"),
        floats("group_logw"),
        floats("fav_w"),
        floats("fav_b"),
        doubles("weight"),
        doubles("layer_rank"),
        trust[0],
        cut[0],
        (noise[0], noise[1]),
        (quadrant[0], quadrant[1]),
        _ranks(doubles("ecdf_fav_x"), doubles("ecdf_fav_y")),
        _ranks(doubles("ecdf_anomaly_x"), doubles("ecdf_anomaly_y")),
    )


def _ranks(x: np.ndarray, y: np.ndarray) -> Ranks:
    rise, run = np.diff(y), np.diff(x)
    slopes = np.append(np.divide(rise, run, out=np.zeros_like(rise), where=run > 0.0), 0.0)
    guides = make_guides([x])
    return Ranks(x, y, slopes, float(guides.inverse[0]), int(guides.reach[0]), guides.table)


def said(rules: Rules) -> Said:
    """Room for one thread."""
    members, groups, latent = rules.group_mean.shape
    return Said(
        np.zeros((members, BLOCK), np.float32),
        np.zeros((members, BLOCK), np.float32),
        np.zeros((members, groups, BLOCK), np.float32),
        np.zeros((latent, BLOCK), np.float32),
        np.zeros(BLOCK),
        np.zeros(BLOCK),
        np.zeros(BLOCK, np.uint64),
        np.zeros((len(FLOATS), BLOCK), np.float32),
        np.zeros((len(CLASSES), BLOCK), np.uint8),
    )


@compiled
def judge(rules, features, places, room, told, member):
    """What one member says of the block whose latent and reconstruction are in `room`."""
    layers, latent = rules.weight.size, rules.fav_w.shape[1]
    surprise, favourability = told.surprise[member], told.favourability[member]
    surprise[:] = 0.0
    for layer in range(layers):
        x, out = places.x + layer * features * BLOCK, places.out + layer * BLOCK
        mask, median = places.mask + layer * BLOCK, rules.res_median[member, layer]
        inverse = rules.res_inverse[member, layer]
        for i in range(BLOCK):
            z = (room[x + i] - room[out + i] - median) * inverse
            surprise[i] += room[mask + i] * min(z * z, _CAP)
    for i in range(BLOCK):
        surprise[i] /= max(room[places.counts + i], np.float32(1.0))
    favourability[:] = rules.fav_b[member]
    for j in range(latent):
        weight, z = rules.fav_w[member, j], places.latent + j * BLOCK
        for i in range(BLOCK):
            favourability[i] += weight * room[z + i]
    for i in range(BLOCK):
        favourability[i] = min(max(favourability[i], np.float32(0.0)), np.float32(1.0))
    _posterior(rules, latent, places.latent, room, told, member)


@compiled
def _posterior(rules, latent, place, room, told, member):
    p, apart, line, total = told.p[member], told.apart, told.line, told.total
    groups = p.shape[0]
    for k in range(groups):
        for j in range(latent):
            mean, z = rules.group_mean[member, k, j], place + j * BLOCK
            for i in range(BLOCK):
                apart[j, i] = room[z + i] - mean
        p[k, :] = rules.group_logw[member, k]
        for row in range(latent):
            line[:] = 0.0
            for j in range(latent):
                weight = rules.group_chol[member, k, row, j]
                if weight != 0.0:  # triangular
                    for i in range(BLOCK):
                        line[i] += weight * apart[j, i]
            for i in range(BLOCK):
                p[k, i] -= np.float32(0.5 * line[i] * line[i])
    _softmax(p, line, total)


@compiled
def _softmax(p, line, total):
    """Logarithms to shares, over the groups."""
    groups = p.shape[0]
    for i in range(BLOCK):
        line[i] = p[0, i]
    for k in range(1, groups):
        for i in range(BLOCK):
            line[i] = max(line[i], p[k, i])
    total[:] = 0.0
    for k in range(groups):
        for i in range(BLOCK):
            share = exp2(LOG2_E * (p[k, i] - line[i]))
            p[k, i] = share
            total[i] += share
    for k in range(groups):
        for i in range(BLOCK):
            p[k, i] /= total[i]
