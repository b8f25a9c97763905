"""All forms of the memberships against the definition: every kind, dtype, nodata rule and transform.

`python -m pytest -rP tests/ops/test_membership_agreement.py` prints the worst errors of each backend by kind. A form is
asked for everything at once, a stack a dtype, because JAX compiles for a second or more a stack. The numbers are held
to float64 accuracy and to the order of the definition; layers of 8 and 16 bits, which are tables, to its bits.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from fuzzy_stacks import KINDS, TABLE_DTYPES, expected_of, layer_of, params_of
from tolerances import (
    MEMBERSHIP,
    MEMBERSHIP_FLOAT16,
    MEMBERSHIP_FLOAT64_INSIDE,
    OVERLAY_FLOAT64_INSIDE,
    assert_close,
    assert_ranks_kept,
    assert_same_bits,
)

from mpmjax.ops import backend as backends
from mpmjax.ops.membership import membership
from mpmjax.ops.overlay import overlay
from mpmjax.ops.plan import DTYPES, Overlay, plan_memberships
from mpmjax.reference.overlay import overlay as reference_overlay
from mpmjax.types import Layer, Membership

RULES = ("none", "value", "NaN", "not held", "range", "mask", "mask and value")
"""What says that a cell is missing; `not held` is a nodata value that the dtype cannot hold."""

MARKS = {"cuda": [pytest.mark.gpu]}
FORMS = [pytest.param(name, marks=MARKS.get(name, [])) for name in backends.BACKENDS]
STACKS = [pytest.param(name, "all", id=name, marks=MARKS.get(name, [])) for name in ("cpu", "cuda", "numpy")]
STACKS += [pytest.param("jax", "pairs", id="jax"), pytest.param("jax", "all", id="jax-all", marks=pytest.mark.slow)]
"""Forms, and whether all formulas meet all rules in all dtypes, or each two of these once."""

FORMULAS = [(kind, "none") for kind in KINDS]
FORMULAS += [(kind, transform) for transform in ("log", "sqrt") for kind in KINDS if kind != "category"]

PLACES = {"none": (60.0, 30.0), "log": (1.5, 0.7), "sqrt": (7.0, 3.0)}
"""Centre and width of the memberships in transformed units; the values lie around them."""

OVERLAYS = [("and", 0.9), ("or", 0.9), ("product", 0.9), ("sum", 0.9), ("mean", 0.9)]
OVERLAYS += [("gamma", gamma) for gamma in (0.0, 0.5, 0.9, 1.0)]
SIZES = (0, 1, 3, 7, 1023, 2049)


@dataclass(frozen=True)
class Case:
    """One layer: how it is planned, and which rule says what is missing."""

    layer: Layer
    fitted: Membership
    rule: str

    def __str__(self) -> str:
        fitted = self.fitted
        return (
            f"{self.layer.dtype}, {self.rule}, {fitted.transform}, {dict(fitted.params)}, hedge {fitted.hedge}, "
            f"complement {fitted.complement}, scale {self.layer.scale:g}"
        )


def fitted_of(kind: str, transform: str, rng: np.random.Generator, scale: float, offset: float) -> Membership:
    """A membership of a kind in any direction, with any complement and hedge; a category of scaled whole numbers."""
    centre, width = PLACES[transform]
    params = params_of(kind, centre, width, rng.choice([0.4, 3.0, 11.0]))
    turned = rng.random() < 0.5
    if kind in ("linear", "power") and turned:
        params |= {"lo": params["hi"], "hi": params["lo"]}
    if kind == "sigmoid" and turned:
        params["slope"] *= -1.0
    if kind == "ms_small" and turned:
        params["esri_compat"] = 1.0
    if kind == "shoulder" and turned:  # a step
        params[rng.choice(["alpha", "gamma"])] = params["beta"]
    if kind == "category" and turned:
        params["default"] = 0.3
    codes, quantiles = np.arange(0.0, 120.0, 2.0), np.round(np.linspace(centre - width, centre + width, 1024), 2)
    knots = codes * scale + offset if kind == "category" else quantiles
    return Membership(
        kind,
        params,
        transform,
        floor=0.5,
        complement=bool(rng.random() < 0.5),
        hedge=str(rng.choice(["none", "none", "very", "somewhat"])),
        knots_x=knots,
        knots_y=np.linspace(0.02, 0.98, knots.size),
    )


def case_of(dtype: str, kind: str, transform: str, rule: str, seed: int) -> Case:
    rng = np.random.default_rng(seed)
    nodata = {"value": 70.0, "mask and value": 64.0, "NaN": float("nan")}.get(rule)
    if rule == "not held":
        nodata = {"u": -9999.0, "i": 0.5, "f": 1e39}[np.dtype(dtype).kind] if dtype != "float64" else float("inf")
    limits = (20.0, 100.0) if rule == "range" else None
    # The third rounds twice: fused, its codes would be met by no value.
    scale, offset = [(1.0, 0.0), (1.0, -12.5), (0.9, 7.3), (-1.0, 110.0)][rng.integers(4)]
    layer = layer_of(dtype, f"{kind} {seed}", scale, offset, nodata, limits)
    return Case(layer, fitted_of(kind, transform, rng, scale, offset), rule)


def cases_of(dtype: str, extent: str) -> list[Case]:
    """All formulas by all rules; as pairs, one rule a formula, another one in each dtype."""
    turn = DTYPES.index(dtype)
    pairs = list(itertools.product(FORMULAS, RULES))
    if extent == "pairs":
        pairs = [(formula, RULES[(index + turn) % len(RULES)]) for index, formula in enumerate(FORMULAS)]
    return [case_of(dtype, *formula, rule, 1000 * turn + seed) for seed, (formula, rule) in enumerate(pairs)]


def values_of(dtype: str, cells: int) -> np.ndarray:
    """Around where memberships rise and fall, of every size, at the ends of the dtype, and what is no number."""
    rng = np.random.default_rng(3)
    if np.dtype(dtype).kind != "f":
        limits = np.iinfo(dtype)
        ends = [limits.min, limits.min + 1, limits.max - 1, limits.max, 0, 1, 64, 70]
        spread = np.concatenate([rng.integers(-20, 130, cells), (10.0 ** rng.uniform(0, 18, cells)).astype(np.int64)])
        rng.shuffle(spread)
        inside = spread[(spread >= limits.min) & (spread <= limits.max)].astype(dtype)
        return np.resize(np.concatenate([np.array(ends, dtype), inside]), cells)
    info = np.finfo(dtype)
    ends = [
        np.nextafter(info.min, 0.0),
        np.nextafter(info.max, 0.0),
        info.tiny,
        -info.tiny,
        info.smallest_subnormal,
        -info.smallest_subnormal,
        0.0,
        -0.0,
    ]
    ends += [info.tiny / 3, np.nan, np.inf, -np.inf, 64.0, 70.0, 20.0, 100.0, 30.0, 60.0, 90.0, 1.0, 0.5]
    spread = [
        rng.normal(60.0, 40.0, cells),
        np.round(rng.normal(60.0, 40.0, cells)),
        10.0 ** rng.normal(1.5, 0.7, cells),
    ]
    spread += [10.0 ** rng.uniform(-6, 6, cells), -(10.0 ** rng.uniform(-6, 6, cells // 4))]
    return np.concatenate([np.array(ends), rng.permutation(np.concatenate(spread))]).astype(dtype)[:cells]


def asked(form: str, stack: list[Case], values: list[np.ndarray], masks: list[Any], **options: Any) -> list[Any]:
    """Memberships, validity and overlay of a form, as NumPy arrays."""
    plan = plan_memberships([case.layer for case in stack], [case.fitted for case in stack])
    result = membership(values, plan, masks, backend=form, **options)
    return [array.get() if hasattr(array, "get") else None if array is None else np.asarray(array) for array in result]


def as_seen(form: str, raw: np.ndarray) -> np.ndarray:
    """What a form computes on: XLA counts subnormal float64 values as zero (ops/xla/numerics.py)."""
    if form == "jax" and raw.dtype == np.float64:
        return np.where(np.abs(raw) < np.finfo(np.float64).tiny, 0.0, raw)
    return raw


def disagreement(mu: np.ndarray, ok: np.ndarray, expected: np.ndarray, case: Case) -> str:
    """What is wrong with one layer, or nothing."""
    cancels = case.fitted.complement or case.fitted.transform == "log"
    try:
        assert np.array_equal(ok, ~np.isnan(expected)), "missing cells differ"
        assert not mu[~ok].any(), "a missing cell has a membership"
        assert not np.signbit(mu).any(), "a membership has a sign"
        if case.layer.dtype in TABLE_DTYPES:
            assert_same_bits(mu, np.where(ok, expected, 0.0).astype(np.float32))
        got = np.where(ok, mu, np.nan)
        assert_close(got, expected, MEMBERSHIP if cancels else MEMBERSHIP_FLOAT64_INSIDE)
        assert_ranks_kept(got, expected, slack=2.0**-24 if cancels else 0.0)
    except AssertionError as wrong:
        return f"{case.fitted.kind} ({case}): {wrong}"
    return ""


def errors_of(mu: np.ndarray, expected: np.ndarray) -> tuple[float, float]:
    """Worst absolute error, and worst relative one where float32 has all its digits."""
    there = ~np.isnan(expected)
    off = np.abs(mu[there] - expected[there])
    normal = expected[there] >= np.finfo(np.float32).tiny
    return float(off.max(initial=0.0)), float((off[normal] / expected[there][normal]).max(initial=0.0))


def required(form: str) -> None:
    refusal = backends.availability(form).refusal
    if refusal:
        pytest.skip(refusal)


@pytest.mark.parametrize(("form", "extent"), STACKS)
def test_every_kind_dtype_and_rule(form, extent):
    required(form)
    wrong: list[str] = []
    worst: dict[str, list[tuple[float, float]]] = {kind: [] for kind in KINDS}
    for dtype in DTYPES:
        stack, raw = cases_of(dtype, extent), values_of(dtype, 2049)
        drawn = np.random.default_rng(8).random((len(stack), raw.size)) < 0.8
        masks = [drawn[index] if "mask" in case.rule else None for index, case in enumerate(stack)]
        mu, ok, _ = asked(form, stack, [raw] * len(stack), masks)
        for index, (case, mask) in enumerate(zip(stack, masks, strict=True)):
            with np.errstate(over="ignore"):  # the ends of float64, scaled
                expected = expected_of(as_seen(form, raw), case.layer, case.fitted)
            expected = expected if mask is None else np.where(mask, expected, np.nan)
            there = np.isfinite(expected)
            assert there.sum() > 100, f"{case}: too few cells have a membership"
            assert not there.all() or case.rule in ("none", "NaN", "not held"), f"{case}: the rule does nothing"
            found = disagreement(mu[index], ok[index], expected, case)
            wrong += [found] if found else []
            worst[case.fitted.kind].append(errors_of(mu[index], expected))
    print("\n".join(table(form, worst)))
    assert not wrong, f"{len(wrong)} layers disagree, the first: " + "\n".join(wrong[:5])


def table(form: str, worst: dict[str, list[tuple[float, float]]]) -> Iterator[str]:
    """The worst errors of a form, a line a kind, and one for all."""
    yield f"{form}: errors against the definition, worst of all dtypes, nodata rules and transforms"
    yield f"{'kind':<10}{'layers':>8}{'absolute':>12}{'relative':>12}"
    for kind, found in worst.items():
        yield f"{kind:<10}{len(found):>8}" + "".join(f"{max(column):>12.1e}" for column in zip(*found, strict=True))
    every = [pair for found in worst.values() for pair in found]
    largest = [max(column) for column in zip(*every, strict=True)]
    yield f"{form}: {len(every)} layers, worst {largest[0]:.1e} absolute, {largest[1]:.1e} relative (float32: 6.0e-08)"


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("size", SIZES)
def test_every_size_and_output(form, size):
    """A stack of all dtypes, one layer of it without data: both orders, both precisions, the overlay with them."""
    required(form)
    kinds = zip(DTYPES, FORMULAS, RULES * 2, strict=False)
    stack = [case_of(dtype, *formula, rule, seed) for seed, (dtype, formula, rule) in enumerate(kinds)]
    stack.append(case_of("float32", "gaussian", "none", "value", 1))
    values = [values_of(case.layer.dtype, 2049)[::-1][:size] for case in stack]  # the ends of a dtype come last
    values[-1] = np.full(size, 70.0, np.float32)
    masks = list(np.random.default_rng(size).random((len(stack), size)) < 0.8)
    mu, ok, joined = asked(form, stack, values, masks, overlay=Overlay("gamma", 0.8))
    assert mu.shape == ok.shape == (len(stack), size)
    assert (mu.dtype, ok.dtype, joined.dtype) == (np.float32, np.bool_, np.float32)
    assert not ok[-1].any()
    for index, case in enumerate(stack):
        expected = expected_of(as_seen(form, values[index]), case.layer, case.fitted)
        assert not disagreement(mu[index], ok[index], np.where(masks[index], expected, np.nan), case)
    assert_close(joined, overlay(mu, ok, "gamma", 0.8), OVERLAY_FLOAT64_INSIDE)
    halves, good, _ = asked(form, stack, values, masks, dtype="float16", order="cell")
    assert_same_bits(np.ascontiguousarray(halves.T), mu.astype(np.float16))
    assert_same_bits(np.ascontiguousarray(good.T), ok)
    assert_close(halves.T, mu, MEMBERSHIP_FLOAT16)
    nothing, none, alone = asked(form, stack, values, masks, overlay=Overlay("gamma", 0.8), memberships=False)
    assert nothing is none is None
    assert_same_bits(alone, joined)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("kind", "gamma"), OVERLAYS)
def test_every_overlay(form, kind, gamma):
    """Of 42 layers with memberships from 1 down to the smallest float32, some exactly 0 or 1, some missing."""
    required(form)
    rng = np.random.default_rng(4)
    count = 42 if form != "jax" or gamma == 0.5 else 6  # 42 take JAX three seconds to compile
    values = (10.0 ** rng.uniform(-38, 0, (count, 700))).astype(np.float32)
    values[:, :500] = values[:, :500] ** np.float32(0.01)  # most are high, or all products would be 0
    for special in (0.0, 1.0, 1e-45):
        values[rng.random(values.shape) < 0.001] = special
    values[rng.random(values.shape) < rng.choice([0.0, 0.5, 0.98], 700)] = np.nan
    same = Case(layer_of("float32"), Membership("linear", {"lo": 0.0, "hi": 1.0}), "none")
    weights = tuple(rng.choice([0.0, 0.5, 3.0], count).tolist()) if kind == "mean" else None
    how = Overlay(kind, gamma, weights)
    mu, ok, joined = asked(form, [same] * count, list(values), [None] * count, overlay=how)
    assert_same_bits(mu, np.where(np.isnan(values), np.float32(0.0), values))
    expected = reference_overlay(mu, ok, kind, gamma, None if weights is None else np.array(weights))
    assert_close(joined, expected, OVERLAY_FLOAT64_INSIDE)
    assert_ranks_kept(joined, expected, slack=1e-45)
    assert np.isnan(joined).any()


@pytest.mark.parametrize("form", FORMS)
def test_wide_integers_keep_every_unit(form):
    """Near the ends of int32, uint32 and int64 a float32 has steps of 256 and more, and a float64 of 1024."""
    required(form)
    ends = {"int32": (-(2**31), 2**31 - 1), "uint32": (0, 2**32 - 1), "int64": (-(2**53), 2**53)}
    stack, values = [], []
    for dtype, (low, high) in ends.items():
        for first in (low, high - 1000):
            fitted = Membership("linear", {"lo": float(first), "hi": float(first + 1000)})
            stack.append(Case(layer_of(dtype, f"{dtype} {first}", nodata=float(first + 5)), fitted, "value"))
            values.append(np.arange(first, first + 1001, dtype=np.int64).astype(dtype))
    mu, ok, _ = asked(form, stack, values, [None] * len(stack))
    share = np.arange(1001) / 1000
    for index in range(len(stack)):
        assert np.flatnonzero(~ok[index]).tolist() == [5]
        assert_close(mu[index], np.where(ok[index], share, 0.0), MEMBERSHIP_FLOAT64_INSIDE)
    both = np.array([2**62, 2**62 + 1, -(2**63), 2**63 - 1])
    case = Case(layer_of("int64", nodata=2.0**62), Membership("sigmoid", {"midpoint": 0.0, "slope": 1e-18}), "value")
    mu, ok, _ = asked(form, [case], [both], [None])
    assert ok[0].tolist() == [False, True, True, True]
    assert_close(mu[0, 1:], expected_of(both, case.layer, case.fitted)[1:], MEMBERSHIP_FLOAT64_INSIDE)


@pytest.mark.parametrize("form", FORMS)
def test_the_largest_float64_is_a_value(form, request):
    """Scaled too, as long as it stays finite; scaled beyond, it is missing."""
    required(form)
    largest = np.finfo(np.float64).max
    raw = np.array([largest, -largest, 1.0])
    stack = [
        Case(layer_of("float64", "a", scale), fitted_of("linear", "none", np.random.default_rng(1), 1, 0), "none")
        for scale in (1.0, -1.0, 2.0)
    ]
    _, ok, _ = asked(form, stack, [raw] * 3, [None] * 3)
    assert ok.tolist() == [[True, True, True], [True, True, True], [False, False, True]]
