"""Why cells got their score: what each layer brings, what is unusual in it, and what if it were ordinary.

For L layers with weights w and memberships mu, missing ones left out:

    share    w mu / sum of w mu, the layer's part in favourability; over several cells, in their mean favourability
    drive    -w ln(1.01 - rank of mu in the sample), by which reference/lstm.py names the driver; 0 where missing
    z        (e - res_median) / res_scale of the residual e, of every member; not capped as it is in surprise

"What if" scores the cells again with one layer changed. It is what this ensemble would say, not what the ground would
do: layers go together, and one that is moved alone makes a combination that the ensemble may never have seen.

`block_sensitivity` is permutation importance (Breiman 2001, Random Forests, Machine Learning 45, section 10) with
blocks of the map in place of single cells, since values that lie beside each other are alike and shuffling cell by
cell would make textures that no map has (Roberts et al. 2017, Ecography 40, on blocks for such data).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
from scipy.stats import rankdata

from mpmjax.reference.lstm import DRIVE_END, layer_ranks

Score = Callable[[np.ndarray, np.ndarray], Mapping[str, np.ndarray]]
"""Scores [n] by name, from memberships float32 [n, L] and where they are valid, bool [n, L]."""
SENSITIVE = ("prospectivity", "anomaly")
"""Scores whose change under permutation is told."""


class Contributions(NamedTuple):
    """What each layer brings to the favourability of n cells.

    Attributes:
        share: float64 [L], adding up to 1; NaN where no directed layer brings anything.
        drive: float64 [L], mean over the cells; 0 for a layer without a direction.
    """

    share: np.ndarray
    drive: np.ndarray


def contributions(mu: np.ndarray, valid: np.ndarray, arrays: Mapping[str, np.ndarray]) -> Contributions:
    """Parts of the layers in favourability, and in the sum that names the driver.

    Args:
        mu: [n, L] in 0..1; valid: bool [n, L].
        arrays: weight and layer_rank of reference/lstm.py.
    """
    w = valid * np.asarray(arrays["weight"], np.float64)
    x = np.where(valid, mu, 0.0).astype(np.float64)
    total = w.sum(axis=1, keepdims=True)
    parts = (w * x / np.where(total > 0, total, 1.0)).sum(axis=0)
    brought = parts.sum()
    share = parts / brought if brought > 0 else np.full(parts.shape, np.nan)
    return Contributions(share, (-w * np.log(DRIVE_END - layer_ranks(mu, valid, arrays))).mean(axis=0))


def residuals(e: np.ndarray, valid: np.ndarray, arrays: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Signed standardised residuals of n cells: mean over them, then mean and standard deviation over the members.

    Args:
        e: membership less reconstruction, [E, L, n]; valid: bool [n, L].
        arrays: res_median and res_scale of reference/lstm.py.

    Returns:
        float64 [L] each; NaN for a layer that is missing in all cells. Positive is more than the other layers suggest.
    """
    median, scale = (np.asarray(arrays[name], np.float64)[:, :, None] for name in ("res_median", "res_scale"))
    z = np.where(valid.T, (e - median) / scale, 0.0).sum(axis=2)
    count = valid.sum(axis=0)
    z = np.where(count > 0, z / np.maximum(count, 1), np.nan)
    return z.mean(axis=0), z.std(axis=0)


def member_favourability(latents: np.ndarray, arrays: Mapping[str, np.ndarray]) -> np.ndarray:
    """Favourability as each member tells it from its latent, mean over n cells: float64 [E], 0..1. Their mean is R.

    Args:
        latents: [E, d, n].
        arrays: fav_w and fav_b of reference/lstm.py.
    """
    said = np.einsum("ed,edn->en", np.asarray(arrays["fav_w"], np.float64), latents)
    return np.clip(said + np.asarray(arrays["fav_b"], np.float64)[:, None], 0.0, 1.0).mean(axis=1)


def what_if(mu: np.ndarray, valid: np.ndarray, ordinary: np.ndarray, score: Score) -> tuple[np.ndarray, np.ndarray]:
    """Prospectivity of n cells, mean over them, if one layer were another and all others as they are.

    Args:
        mu: float32 [n, L]; valid: bool [n, L].
        ordinary: [L], the membership that stands for "nothing special here", NaN where none is known.

    Returns:
        float64 [L] each: with the layer at `ordinary` (present, also where it is missing), and with the layer missing,
        over those cells that have another one; NaN where that cannot be told.
    """
    layers = mu.shape[1]
    at_ordinary, missing = np.full(layers, np.nan), np.full(layers, np.nan)
    for layer in range(layers):
        changed, present = mu.copy(), valid.copy()
        if np.isfinite(ordinary[layer]):
            changed[:, layer], present[:, layer] = ordinary[layer], True
            at_ordinary[layer] = score(changed, present)["prospectivity"].mean(dtype=np.float64)
        present[:, layer] = False
        left = present.any(axis=1)
        if left.any():
            missing[layer] = score(mu[left], present[left])["prospectivity"].mean(dtype=np.float64)
    return at_ordinary, missing


def block_sensitivity(
    mu: np.ndarray,
    valid: np.ndarray,
    rows: np.ndarray,
    cols: np.ndarray,
    score: Score,
    seed: int,
    blocks: int = 10,
    repeats: int = 3,
) -> dict[str, np.ndarray]:
    """How far the order of cells changes when one layer's memberships are exchanged between blocks of the map.

    The extent of the cells is cut into `blocks` x `blocks` blocks. Each takes the layer, gaps included, of another one,
    by a random cycle through all that hold cells; the i-th of n cells, row by row, takes that of the cell as far
    through the other block. A cell that would be left without any layer keeps its own.

    Args:
        mu: float32 [n, L]; valid: bool [n, L]; rows, cols: int [n], the cells' places.
        repeats: cycles drawn, over which the mean is taken; the same for every layer.

    Returns:
        By score of SENSITIVE, float64 [L]: 1 - Spearman's correlation of the score before and after; 0 where the layer
        does not matter, 1 where the order is lost. NaN where the score does not vary.

    Raises:
        ValueError: all cells lie in one block, so that there is nothing to exchange.
    """
    places = [_block_of(place, blocks) for place in (rows, cols)]
    _, block = np.unique(places[0] * blocks + places[1], return_inverse=True)
    members = [np.flatnonzero(block == number) for number in range(int(block.max(initial=-1)) + 1)]
    if len(members) < 2:
        raise ValueError("all cells lie in one block: there is nothing to exchange")
    members = [cells[np.lexsort((cols[cells], rows[cells]))] for cells in members]
    before = score(mu, valid)
    rng = np.random.default_rng(seed)
    sums = {name: np.zeros(mu.shape[1]) for name in SENSITIVE}
    for _ in range(repeats):
        source = _exchanged(members, rng.permutation(len(members)), len(mu))
        for layer in range(mu.shape[1]):
            changed, present = mu.copy(), valid.copy()
            changed[:, layer], present[:, layer] = mu[source, layer], valid[source, layer]
            bare = ~present.any(axis=1)
            changed[bare], present[bare] = mu[bare], valid[bare]
            after = score(changed, present)
            for name, total in sums.items():
                total[layer] += 1.0 - _spearman(before[name], after[name])
    return {name: total / repeats for name, total in sums.items()}


def _block_of(place: np.ndarray, blocks: int) -> np.ndarray:
    """Number of the block along one side, 0 to `blocks` - 1."""
    first = int(place.min(initial=np.iinfo(np.int64).max))
    extent = int(place.max(initial=first)) - first + 1
    return (place - first) * blocks // extent


def _exchanged(members: list[np.ndarray], cycle: np.ndarray, n: int) -> np.ndarray:
    """The cell that each cell takes its layer from, int64 [n]; no block from itself."""
    source = np.empty(n, np.int64)
    for to, from_ in zip(cycle, np.roll(cycle, -1), strict=True):
        mine, theirs = members[to], members[from_]
        source[mine] = theirs[np.arange(len(mine)) * len(theirs) // len(mine)]
    return source


def _spearman(a: np.ndarray, b: np.ndarray) -> float:
    """Rank correlation by midranks; NaN where one does not vary."""
    x, y = rankdata(a), rankdata(b)
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        return float("nan")
    return 1.0 if np.array_equal(x, y) else float(np.corrcoef(x, y)[0, 1])
