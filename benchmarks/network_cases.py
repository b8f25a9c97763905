"""The case of the bare network: memberships of complete cells -> latent and residuals of one member.

That is `Scorer.reconstruct`. Ours uses several cores as screening does, a Python thread and a part of the cells each;
each rival in the way that suits it, tried before the clock (ways.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np

from mpmjax.ops.lstm import Scorer
from mpmjax.reference import lstm as definition

from . import inputs, network_rivals
from .gate import Case, Verdict, close
from .network_baselines import weights_of
from .ways import Call, Tuned, cores_here, parts, side_by_side

LAYERS, HIDDEN, LATENT = 8, 32, 8
FEATURES = (1, 5)
"""Features a layer of the variants: the membership alone, and with four rings around the cell."""

TOLERANCE = 1e-4
BFLOAT16 = 0.05
"""Latents reach 3 and bfloat16 keeps 8 bits: it is another result, timed for comparison and shown with its error."""

UNIT_STEP = 42
"""Multiplier slots that one unit's activations need in one step, at least; see `operations`."""

Output = Mapping[str, np.ndarray] | tuple[Mapping[str, np.ndarray], ...]
"""z [E, d, n] and e [E, L, n], whole or in parts of the cells."""


def operations(arrays: Mapping[str, np.ndarray]) -> int:
    """Operations of a cell through one member that exact float32 needs: 2 (products + 42 units).

    Products are the multiply-adds of the matrix products, without those of the first states, which are zero, and with
    the latent's part of the decoder's gates once a cell. Units are 2 L H, a hidden unit in a step. Of a unit's five
    activations each needs an exponential: its polynomial of degree 5 and the scaling by a power of two, 6 slots of a
    multiplier, 30. Over common denominators they share two reciprocals, each an estimate and one Newton step (2), and
    8 products of numerators, denominators and states: 42. Additions, rounding and estimates count nothing, because some
    processors have other units for them: where they have not, the floor cannot be reached. Tables in the place of
    exponentials, and fewer bits, can go below it.
    """
    layers, features = arrays["order"].shape[1], arrays["enc_wx"].shape[1]
    hidden, latent = arrays["lat_w"].shape[1:]
    return 2 * (products(layers, features, hidden, latent) + UNIT_STEP * 2 * layers * hidden)


def products(layers: int, features: int, hidden: int, latent: int) -> int:
    """Multiply-adds of a cell's matrix products through one member; see `operations`."""
    gates = 4 * hidden
    encoder = layers * features * gates + (layers - 1) * hidden * gates + hidden * latent
    return encoder + latent * gates + (layers - 1) * hidden * gates + layers * hidden


def lstm(rng: np.random.Generator, side: int) -> Iterator[Case]:
    """One member, L = 8, H = 32, d = 8; a 64th of the raster, since a cell costs so much more than in other cases."""
    cells = max(1, side * side // 64)
    for features in FEATURES:
        yield case(inputs.network(rng, 1, LAYERS, HIDDEN, LATENT, features), rng, cells)


def case(arrays: Mapping[str, np.ndarray], rng: np.random.Generator, cells: int) -> Case:
    """The network of a screener's first member on so many random cells."""
    layers, (features, _), (hidden, latent) = (
        arrays["order"].shape[1],
        arrays["enc_wx"].shape[1:],
        arrays["lat_w"][0].shape,
    )
    mu = rng.random((layers, features, cells), np.float32)
    given = mu[:, 0] if features == 1 else mu
    valid = np.ones((layers, cells), bool)
    return Case(
        variant=f"{cells} cells, E = 1, H = {hidden}, d = {latent}, L = {layers}, F = {features}, {told_cores()}",
        unit="px",
        work=cells,
        bytes_moved=cells * 4 * (layers * features + layers + latent),
        operations=operations(arrays) * cells,
        op=ours(Scorer(arrays, "cpu").reconstruct, given, valid),
        reference=lambda: reference(given, valid, arrays),
        judge=judge,
        why="float32 through 16 LSTM steps, latents up to 3",
        rivals=network_rivals.rivals(mu, valid, weights_of(arrays, 0))
        | {"ours in JAX": Tuned(in_jax(Scorer(arrays, "jax").reconstruct, given, valid), cells)},
        looser={"torch.nn.LSTM bfloat16": BFLOAT16},
        clock_reference=False,
        spot=lambda: spot(Scorer(arrays, "cpu"), given, valid, arrays),
    )


def told_cores() -> str:
    """The cores of this run, for the names of variants."""
    return "1 core" if cores_here() == 1 else f"{cores_here()} cores"


def ours(program: Callable[[np.ndarray, np.ndarray], Any], mu: np.ndarray, valid: np.ndarray) -> Call:
    """A program over all cells, each core with a part of them."""
    pieces = [
        (np.ascontiguousarray(mu[..., cells]), np.ascontiguousarray(valid[:, cells]))
        for cells in parts(valid.shape[1], cores_here())
    ]
    return side_by_side([partial(program, *piece) for piece in pieces])


def in_jax(
    program: Callable[[np.ndarray, np.ndarray], Any], mu: np.ndarray, valid: np.ndarray
) -> dict[str, Callable[[int], Call]]:
    """Ways of a program in JAX: a call after the other with the threads that XLA makes, or one on each core."""
    if cores_here() == 1:
        return {"one thread": lambda cells: side_by_side([partial(program, mu[..., :cells], valid[:, :cells])])}
    return {
        "XLA's own threads": lambda cells: side_by_side([partial(program, mu[..., :cells], valid[:, :cells])]),
        f"{cores_here()} Python threads": lambda cells: ours(program, mu[..., :cells], valid[:, :cells]),
    }


def reference(mu: np.ndarray, valid: np.ndarray, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The definition's z and e of all members, float64, in the op's shapes."""
    x = np.moveaxis(mu, -1, 0).astype(np.float64)
    first = x if x.ndim == 2 else x[:, :, 0]
    found = [definition.reconstruct(x, valid.T, arrays, member) for member in range(len(arrays["order"]))]
    residuals = [np.where(valid.T, first - x_hat, 0.0).T for _, x_hat in found]
    return {"z": np.stack([z.T for z, _ in found]), "e": np.stack(residuals)}


def judge(got: Output, wanted: Mapping[str, np.ndarray]) -> Verdict:
    """The larger error of latent and residuals."""
    whole = joined(got)
    seen = [close(whole[name], wanted[name], TOLERANCE) for name in ("z", "e")]
    return max(seen, key=lambda one: (not one.passed, one.error))


def joined(got: Output) -> Mapping[str, np.ndarray]:
    """Parts of the cells put together."""
    if isinstance(got, tuple):
        return {name: np.concatenate([part[name] for part in got], axis=-1) for name in got[0]}
    return got


SPOTS = 4096


def spot(scorer: Scorer, mu: np.ndarray, valid: np.ndarray, arrays: Mapping[str, np.ndarray]) -> Verdict:
    """All cells go through the op; 4,096 of them, the first and the last among them, through the definition."""
    at = np.unique(np.linspace(0, valid.shape[1] - 1, SPOTS).astype(np.int64))
    got = {name: values[..., at] for name, values in scorer.reconstruct(mu, valid).items()}
    return judge(got, reference(mu[..., at], valid[:, at], arrays))
