"""One case an op: its input, made from a seed, the op, its definition, and its rivals.

A builder takes a random generator and the side of a square raster in cells, and returns the variants of its case. The
tolerances stand here with their reasons, as the benchmarks' own: tests have theirs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks import baselines, inputs, scorer_baselines
from benchmarks.gate import Case, Missing, Verdict, close
from mpmjax.ops.density import density_in_memory
from mpmjax.ops.distance import distance_in_memory
from mpmjax.ops.label import label as op_label
from mpmjax.ops.lstm import Scorer
from mpmjax.ops.membership import membership as op_membership
from mpmjax.ops.membership import plan_memberships
from mpmjax.ops.overlay import overlay as op_overlay
from mpmjax.reference.density import density as reference_density
from mpmjax.reference.distance import distance as reference_distance
from mpmjax.reference.label import label as reference_label
from mpmjax.reference.lstm import score as reference_score
from mpmjax.reference.membership import membership as reference_membership
from mpmjax.reference.overlay import overlay as reference_overlay
from mpmjax.types import Membership

LAYERS = 8
MISSING = 0.05
"""Share of cells that each layer misses."""

ULP = 2.0**-23
"""Spacing of float32 just above 1: results in [0, 1] are rounded by at most half of it."""


def membership(rng: np.random.Generator, side: int) -> tuple[Case, ...]:
    """The typed defaults: sigmoids on float32 and int16, the ecdf of distances on float32."""
    cells = side * side
    floats = inputs.float_layers(rng, LAYERS, cells)
    shorts = inputs.integer_layers(rng, LAYERS, cells, np.int16)
    return (
        _membership("float32, sigmoid", rng, floats, [inputs.sigmoid(values) for values in floats]),
        _membership("int16, sigmoid", rng, shorts, [inputs.sigmoid(values) for values in shorts]),
        _membership("float32, 1 - ecdf", rng, floats, [inputs.one_minus_ecdf(values) for values in floats]),
    )


def _membership(
    variant: str, rng: np.random.Generator, values: Sequence[np.ndarray], fitted: Sequence[Membership]
) -> Case:
    dtype, cells = values[0].dtype, values[0].size
    valid = inputs.presence(rng, LAYERS, cells, MISSING)
    plan = plan_memberships([inputs.layer(index, dtype.name) for index in range(LAYERS)], fitted)
    rivals: dict[str, baselines.Call | Missing] = {
        "NumPy float32, chunked": lambda: baselines.numpy_memberships(values, valid, fitted)
    }
    tables = [layer.table for layer in plan.layers if layer.table is not None]
    if tables:
        rivals["NumPy take"] = lambda: baselines.numpy_tables(values, valid, tables)

    def reference() -> np.ndarray:
        mu = [
            reference_membership(x, m.kind, m.params, complement=m.complement, knots_x=m.knots_x, knots_y=m.knots_y)
            for x, m in zip(values, fitted, strict=True)
        ]
        return np.where(valid, np.stack(mu), np.nan)

    return Case(
        variant=f"{variant}, L = {LAYERS}",
        unit="values",
        work=LAYERS * cells,
        bytes_moved=LAYERS * cells * (dtype.itemsize + 1 + 4 + 1),
        operations=0,
        op=lambda: op_membership(values, valid, plan),
        reference=reference,
        judge=lambda got, wanted: close(np.where(got[1], got[0], np.nan), wanted, ULP),
        why="computed in float64 and rounded once to float32 in [0, 1]: half an ulp, and as much again in hand",
        rivals=rivals,
    )


def overlay(rng: np.random.Generator, side: int) -> tuple[Case, ...]:
    """The overlays that a report needs: gamma 0.9, the mean, and the minimum."""
    cells = side * side
    mu = rng.random((LAYERS, cells), np.float32)
    valid = inputs.presence(rng, LAYERS, cells, MISSING)
    chunked: Mapping[str, Callable[[], Any]] = {
        "gamma": lambda: baselines.numpy_gamma(mu, valid, 0.9),
        "mean": lambda: baselines.numpy_mean(mu, valid),
        "and": lambda: baselines.numpy_min(mu, valid),
    }
    return tuple(
        Case(
            variant=f"float32, {kind}, L = {LAYERS}",
            unit="cells",
            work=cells,
            bytes_moved=cells * (LAYERS * 5 + 4),
            operations=0,
            op=lambda kind=kind: op_overlay(mu, valid, kind),
            reference=lambda kind=kind: reference_overlay(mu, valid, kind),
            judge=lambda got, wanted: close(got, wanted, 2 * ULP),
            why="a few float64 operations, or float32 sums of 8 numbers in [0, 1], and one rounding to float32",
            rivals={"NumPy float32, chunked": rival},
        )
        for kind, rival in chunked.items()
    )


def distance(rng: np.random.Generator, side: int) -> tuple[Case, ...]:
    """Distance to faults, on square cells and on others."""
    features = inputs.faults(rng, side)

    def case(variant: str, cell_size: tuple[float, float]) -> Case:
        return Case(
            variant=f"faults, {variant} cells",
            unit="cells",
            work=side * side,
            bytes_moved=side * side * 5,
            operations=0,
            op=lambda: distance_in_memory(features, cell_size),
            reference=lambda: reference_distance(features, cell_size),
            judge=_judge_distance,
            why="relative: exact in float64 and rounded to float32, twice where the cells are not square",
            rivals={
                "scipy edt": baselines.scipy_distance(features, cell_size),
                "edt": baselines.edt_distance(features, cell_size),
                "OpenCV": baselines.opencv_distance(features, cell_size),
            },
            rival_tolerance=1e-5,
            clock_reference=False,
        )

    return case("square", (30.0, 30.0)), case("30 m x 45 m", (30.0, 45.0))


def _judge_distance(got: np.ndarray, wanted: np.ndarray) -> Verdict:
    """Relative error: distances are of any size, and a cell on a feature must be exactly 0."""
    if np.shape(got) != wanted.shape or ((np.asarray(got) == 0) != (wanted == 0)).any():
        return Verdict(np.inf, ULP, "another shape, or features that are not at distance 0")
    scale = np.where(wanted == 0, 1.0, wanted)
    return close(np.asarray(got, np.float64) / scale, wanted / scale, ULP)


def density(rng: np.random.Generator, side: int) -> tuple[Case, ...]:
    """Length of faults and share of patches within 20 cells, by both kernels, and within 80 by the costlier one."""
    lengths = np.where(inputs.faults(rng, side), rng.uniform(0.0, 42.0, (side, side)), 0.0)
    cover = inputs.patches(rng, side, share=0.2, blur=8.0).astype(np.float64)
    everywhere = rng.random((side, side))

    def case(variant: str, amounts: np.ndarray, kernel: str, cells: int) -> Case:
        radius = 30.0 * cells
        return Case(
            variant=f"{variant}, {kernel}, radius {cells} cells",
            unit="cells",
            work=side * side,
            bytes_moved=side * side * 12,
            operations=0,
            op=lambda: density_in_memory(amounts, (30.0, 30.0), radius=radius, kernel=kernel),
            reference=lambda: reference_density(amounts, (30.0, 30.0), radius, kernel),
            judge=_judge_density,
            why="of the largest: exact sums or sums of positive float64, rounded to float32 once",
            rivals={
                "scipy oaconvolve": baselines.scipy_density(amounts, cells, kernel, 30.0),
                "OpenCV filter2D": baselines.opencv_density(amounts, cells, kernel, 30.0),
            },
            rival_tolerance=1e-5,
            clock_reference=False,
        )

    return (
        case("faults", lengths, "uniform", 20),
        case("faults", lengths, "quartic", 20),
        case("faults", lengths, "quartic", 80),
        case("20 % in patches", cover, "uniform", 20),
        case("20 % in patches", cover, "quartic", 20),
        case("noise everywhere", everywhere, "uniform", 20),
        case("noise everywhere", everywhere, "quartic", 20),
    )


def _judge_density(got: np.ndarray, wanted: np.ndarray) -> Verdict:
    """Error relative to the largest density: rivals by Fourier transform leave traces where nothing is."""
    return close(np.asarray(got, np.float64) / wanted.max(), wanted / wanted.max(), ULP)


def label(rng: np.random.Generator, side: int) -> tuple[Case, ...]:
    """The best 2 % of an area as smooth patches, and noise where clusters are largest and most ragged."""

    def case(variant: str, mask: np.ndarray) -> Case:
        strips = [mask[row : row + STRIP_ROWS] for row in range(0, side, STRIP_ROWS)]

        def op() -> np.ndarray:
            components = op_label(strips)
            return np.concatenate([components.relabel(index, strip) for index, strip in enumerate(strips)])

        return Case(
            variant=variant,
            unit="cells",
            work=side * side,
            bytes_moved=side * side * 5,
            operations=0,
            op=op,
            reference=lambda: reference_label(mask),
            judge=_judge_labels,
            why="whole numbers: the same or wrong",
            rivals={"scipy label": baselines.scipy_label(mask), "OpenCV": baselines.opencv_label(mask)},
            rival_tolerance=OTHER_NUMBERS,
            clock_reference=False,
        )

    patches = inputs.patches(rng, side, share=0.02, blur=4.0)
    # 0.407 is the percolation threshold of a square lattice with 8 neighbours.
    return case("2 % in patches", patches), case("41 % noise", inputs.patches(rng, side, share=0.407, blur=0.0))


STRIP_ROWS = 256
OTHER_NUMBERS = 0.5
"""The error of labels that name the same components by other numbers: nothing is let off but a rival."""


def _judge_labels(got: np.ndarray, wanted: np.ndarray) -> Verdict:
    """Error 0 for the same labels, OTHER_NUMBERS for the same components."""
    if np.shape(got) != wanted.shape:
        return Verdict(np.inf, 0.0, f"shape {np.shape(got)}, the reference has {wanted.shape}")
    if np.array_equal(got, wanted):
        return Verdict(0.0, 0.0)
    pairs = np.unique(np.stack((np.ravel(got), wanted.ravel())), axis=1)
    one_to_one = all(np.unique(side).size == pairs.shape[1] for side in pairs)
    return Verdict(OTHER_NUMBERS if one_to_one else np.inf, 0.0)


def lstm(rng: np.random.Generator, side: int) -> tuple[Case, ...]:
    """The scorer on complete cells and on cells with holes; a 64th of the raster, since a cell costs so much more."""
    cells = max(1, side * side // 64)
    members, hidden = 4, 32
    arrays = inputs.screener(rng, members, LAYERS, hidden)
    mu = rng.random((LAYERS, cells), np.float32)
    complete = np.ones((LAYERS, cells), bool)
    holed = inputs.presence(rng, LAYERS, cells, MISSING)
    holed[0] |= ~holed.any(axis=0)
    latent = arrays["lat_w"].shape[2]
    products = LAYERS * 8 * hidden * hidden + 5 * latent * hidden + LAYERS * 5 * hidden

    def case(variant: str, valid: np.ndarray) -> Case:
        scorer = Scorer(arrays)
        return Case(
            variant=f"{variant}, {cells} cells, E = {members}, H = {hidden}, d = {latent}, L = {LAYERS}, F = 1",
            unit="px",
            work=members * cells,
            bytes_moved=cells * (LAYERS * 5 + 26),
            operations=2 * products * members * cells,
            op=lambda: scorer.score(mu, valid),
            reference=lambda: reference_score(mu.T, valid.T, arrays),
            judge=_judge_scores,
            why="float32 through 16 LSTM steps; ranks stretch an error by the density of the sample",
            rivals={
                "NumPy float32, chunked": lambda: scorer_baselines.numpy_scores(mu, valid, arrays),
                "torch.nn.LSTM": scorer_baselines.torch_scores(mu, valid, arrays),
            },
        )

    return case("complete", complete), case("with holes", holed)


INDEX_TOLERANCE = 2e-4
STEP_SHARE = 1e-3
"""Share of cells whose group, driver or vote may fall the other way: ties within the index tolerance."""


def _judge_scores(got: Mapping[str, np.ndarray], wanted: Mapping[str, np.ndarray]) -> Verdict:
    """Largest error of the maps that are continuous; those that step are allowed a few cells."""
    smooth = [
        close(got[name], wanted[name], INDEX_TOLERANCE)
        for name in ("prospectivity", "favourability", "anomaly", "risk", "coverage")
    ]
    confidence = np.abs(np.asarray(got["confidence"], np.float64) - wanted["confidence"]) <= INDEX_TOLERANCE
    steps = {name: np.asarray(got[name]) == wanted[name] for name in ("groups", "driver")} | {"confidence": confidence}
    for name, same in steps.items():
        if not same.mean() >= 1.0 - STEP_SHARE:
            return Verdict(np.inf, INDEX_TOLERANCE, f"{name} differs at {np.sum(~same)} of {same.size} cells")
    return max(smooth, key=lambda seen: (not seen.passed, seen.error))


CASES: dict[str, Callable[[np.random.Generator, int], tuple[Case, ...]]] = {
    "membership": membership,
    "overlay": overlay,
    "distance": distance,
    "density": density,
    "label": label,
    "lstm": lstm,
}
