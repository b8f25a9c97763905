"""The case of the network at other sizes: features F, hidden units H, layers L and members E, one of them at a time.

What is timed is `Scorer.reconstruct` of E members, as in the case `lstm`, and against its quickest rivals. Cells are as
many as take about as long everywhere. The latent stays the same, so that a row differs from the middle one in one size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from mpmjax.ops.lstm import Scorer

from . import inputs, network_rivals
from .gate import Case, Missing
from .network_baselines import weights_of
from .network_cases import HIDDEN, LATENT, LAYERS, joined, judge, operations, ours, reference, spot, told_cores
from .ways import Call


class Sizes(NamedTuple):
    """Features a layer, hidden units, layers, members."""

    features: int = 1
    hidden: int = HIDDEN
    layers: int = LAYERS
    members: int = 1


SIZES: tuple[Sizes, ...] = (
    Sizes(),
    *(Sizes(features=features) for features in (3, 5)),
    *(Sizes(hidden=hidden) for hidden in (8, 16, 64)),
    *(Sizes(layers=layers) for layers in (2, 4, 16, 42)),
    *(Sizes(members=members) for members in (4, 8)),
)
"""The middle, which the others leave in one size."""

FEWEST, MOST = 1 / 8, 2.0
"""Of the cells of the middle row."""


def sweep(rng: np.random.Generator, side: int) -> Iterator[Case]:
    """A row for each of SIZES; the middle one on a 256th of the raster."""
    middle = operations(inputs.network(rng, 1, LAYERS, HIDDEN, LATENT))
    for sizes in SIZES:
        arrays = inputs.network(rng, sizes.members, sizes.layers, sizes.hidden, LATENT, sizes.features)
        share = middle / (operations(arrays) * sizes.members)
        yield case(sizes, arrays, rng, max(64, int(side * side // 256 * min(max(share, FEWEST), MOST))))


def case(sizes: Sizes, arrays: Mapping[str, np.ndarray], rng: np.random.Generator, cells: int) -> Case:
    """The network of these sizes on so many complete random cells."""
    mu = rng.random((sizes.layers, sizes.features, cells), np.float32)
    given = mu[:, 0] if sizes.features == 1 else mu
    valid = np.ones((sizes.layers, cells), bool)
    work = sizes.members * cells
    return Case(
        variant=f"F = {sizes.features}, H = {sizes.hidden}, L = {sizes.layers}, E = {sizes.members}, d = {LATENT}, "
        f"{cells} cells, {told_cores()}",
        unit="px",
        work=work,
        bytes_moved=cells * 4 * (sizes.layers * sizes.features + sizes.members * (sizes.layers + LATENT)),
        operations=operations(arrays) * work,
        op=ours(Scorer(arrays, "cpu").reconstruct, given, valid),
        reference=lambda: reference(given, valid, arrays),
        judge=judge,
        why=f"float32 through {2 * sizes.layers} LSTM steps, latents up to 3",
        rivals=_rivals(mu, valid, arrays),
        clock_reference=False,
        spot=lambda: spot(Scorer(arrays, "cpu"), given, valid, arrays),
    )


def _rivals(mu: np.ndarray, valid: np.ndarray, arrays: Mapping[str, np.ndarray]) -> dict[str, Call | Missing]:
    """The quickest of the case `lstm`, a member after the other."""
    members = [network_rivals.quickest(mu, valid, weights_of(arrays, one)) for one in range(len(arrays["order"]))]
    found: dict[str, Call | Missing] = {}
    for name, first in members[0].items():
        calls = [member[name] for member in members]
        able = [call for call in calls if not isinstance(call, Missing)]
        found[name] = first if isinstance(first, Missing) or len(able) == 1 else partial(_stacked, able)
    return found


def _stacked(members: list[Callable[[], Any]]) -> dict[str, np.ndarray]:
    """z [E, d, n] and e [E, L, n] of what each member gives."""
    found = [joined(call()) for call in members]
    return {name: np.concatenate([one[name] for one in found]) for name in ("z", "e")}
