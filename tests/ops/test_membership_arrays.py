"""What goes into and comes out of the fast memberships: arrays as readers hand them over, halves, outputs, refusals."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from fuzzy_stacks import expected_of, layer_of, raw_values
from tolerances import assert_same_bits

from mpmjax.errors import DataError
from mpmjax.ops.membership import Memberships, membership
from mpmjax.ops.plan import DTYPES, RECORD, MembershipPlan, Overlay, plan_memberships
from mpmjax.types import Layer, Membership

IDENTITY = Membership("linear", {"lo": 0.0, "hi": 1.0})
"""mu = x, exactly, for x in [0, 1]."""

PERCENT = Membership("linear", {"lo": 0.0, "hi": 100.0})


def plan_of(dtype: str) -> MembershipPlan:
    """Two layers of a dtype in percent, the second with a nodata value of 7."""
    layers = [layer_of(dtype, "copper"), layer_of(dtype, "gold", nodata=7.0)]
    return plan_memberships(layers, [PERCENT, PERCENT])


def unaligned(array: np.ndarray) -> np.ndarray:
    """A contiguous copy whose address is no multiple of the size of its numbers, as it is inside a packed record."""
    bytes_of_it = np.empty(array.nbytes + 1, np.uint8)
    copy = bytes_of_it[1:].view(array.dtype).reshape(array.shape)
    copy[...] = array
    assert not copy.flags.aligned
    return copy


@pytest.mark.parametrize("dtype", ["int16", "int32", "int64", "float32", "float64"])
def test_takes_arrays_as_they_lie(dtype):
    plan = plan_of(dtype)
    raw = np.arange(100).astype(dtype).reshape(10, 10)
    mask = np.random.default_rng(1).random((2, 10, 10)) < 0.7
    expected = membership([raw, raw.T.copy()], plan, mask, overlay=Overlay("and"), backend="cpu")
    assert expected.mu[0, 3, 4] == (np.float32(0.34) if mask[0, 3, 4] else 0.0)
    locked = raw.copy()
    locked.flags.writeable = False
    wide = np.repeat(np.repeat(raw, 2, axis=0), 3, axis=1)
    forms = {
        "transposed": ([raw, raw.T], mask),
        "read-only": ([locked, locked.T], mask),
        "Fortran": ([np.asfortranarray(raw), np.asfortranarray(raw.T)], np.asfortranarray(mask)),
        "strided": ([wide[::2, ::3], wide.T[::3, ::2]], np.repeat(mask, 2, axis=2)[:, :, ::2]),
        "backward": ([raw[::-1].copy()[::-1], raw.T[:, ::-1].copy()[:, ::-1]], mask[:, ::-1].copy()[:, ::-1]),
        "unaligned": ([unaligned(raw), unaligned(raw.T)], mask),
        "tuples": ((raw, raw.T), (mask[0], mask[1])),
    }
    for form, (values, given) in forms.items():
        got = membership(values, plan, given, overlay=Overlay("and"), backend="cpu")
        for ours, theirs in zip(got, expected, strict=True):
            assert ours.tobytes() == theirs.tobytes(), form


def test_takes_a_memory_map(tmp_path: Path):
    raw = np.arange(100, dtype=np.float32)
    raw.tofile(tmp_path / "cu.bin")
    mapped = np.memmap(tmp_path / "cu.bin", np.float32, "r")
    expected = membership([raw, raw], plan_of("float32"), backend="cpu").mu
    assert_same_bits(membership([mapped, mapped], plan_of("float32")).mu, expected)


@pytest.mark.parametrize("order", ["layer", "cell"])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("shape", [(), (0,), (1,), (0, 10), (10, 0), (1, 1), (2, 1, 3), (2049,)])
def test_keeps_the_shape_of_a_layer(shape, dtype, order):
    for raw_dtype in ("uint8", "float64"):
        raw = np.full(shape, 50, raw_dtype)
        given = np.ones((2, *shape), bool)
        mu, ok, joined = membership(
            [raw, raw], plan_of(raw_dtype), given, dtype=dtype, order=order, overlay=Overlay("mean"), backend="cpu"
        )
        assert mu.shape == ok.shape == ((2, *shape) if order == "layer" else (*shape, 2))
        assert joined.shape == shape
        assert ok.all()
        assert (mu == 0.5).all()
        assert (joined == 0.5).all()


def test_changes_no_input():
    raw = raw_values("float32", 3)
    mask = np.random.default_rng(2).random((2, raw.size)) < 0.5
    before = raw.tobytes(), mask.tobytes()
    membership([raw, raw], plan_of("float32"), mask, order="cell", overlay=Overlay("sum"), backend="cpu")
    assert (raw.tobytes(), mask.tobytes()) == before


# Halves


def test_float16_is_the_float32_rounded_once():
    """All halves in [0, 1], subnormal ones too, the middles between them (ties), and the floats next to each."""
    halves = np.arange(0x3C01, dtype=np.uint16).view(np.float16).astype(np.float32)
    middles = (halves[1:] + halves[:-1]) / np.float32(2.0)
    floats = np.concatenate([halves, middles])
    neighbours = [np.nextafter(floats, np.float32(side)) for side in (0.0, 1.0)]
    rng = np.random.default_rng(4)
    raw = np.concatenate([floats, *neighbours, rng.random(50_000), 2.0 ** rng.uniform(-30, 0, 50_000)]).astype("f4")
    plan = plan_memberships([layer_of("float32")], [IDENTITY])
    exact = membership([raw], plan, backend="cpu").mu
    assert_same_bits(exact[0], raw)
    assert ((exact > 0.0) & (exact < 2.0**-14)).sum() > 5000
    for order in ("layer", "cell"):
        got = membership([raw], plan, dtype="float16", order=order, backend="cpu").mu
        assert_same_bits(got.reshape(-1), raw.astype(np.float16))


@pytest.mark.parametrize("order", ["layer", "cell"])
def test_float16_of_a_stack_is_its_float32_rounded(order):
    raw = raw_values("float32", 7, 5000), raw_values("int16", 7, 5000)
    raw = [array[:5000] for array in raw]
    fitted = [Membership("near", {"midpoint": 3.0, "spread": 0.2}, complement=True, hedge="very"), PERCENT]
    plan = plan_memberships([layer_of("float32"), layer_of("int16", nodata=7.0)], fitted)
    full = membership(raw, plan, order=order, overlay=Overlay("gamma"), backend="cpu")
    half = membership(raw, plan, order=order, dtype="float16", overlay=Overlay("gamma"), backend="cpu")
    assert_same_bits(half.mu, full.mu.astype(np.float16))
    assert_same_bits(half.valid, full.valid)
    assert_same_bits(half.overlay, full.overlay)  # of the float32 memberships, before they were rounded


# Arrays to write into


def poisoned(result: Memberships) -> Memberships:
    """Arrays of the same kind, full of what nobody wrote."""
    return Memberships(*(None if array is None else np.full_like(array, 7) for array in result))


@pytest.mark.parametrize("order", ["layer", "cell"])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("memberships", [True, False])
def test_out_is_written_whole(dtype, order, memberships):
    options = {"dtype": dtype, "order": order, "overlay": Overlay("gamma"), "memberships": memberships}
    raw = raw_values("float32", 11, 3000)[:4099]
    expected = membership([raw, raw], plan_of("float32"), backend="cpu", **options)
    assert (expected.mu is None) == (expected.valid is None) == (not memberships)
    out = poisoned(expected)
    got = membership([raw, raw], plan_of("float32"), backend="cpu", out=out, **options)
    for ours, theirs, given in zip(got, expected, out, strict=True):
        assert ours is given
        if ours is not None:
            assert_same_bits(ours, theirs)


def test_out_that_does_not_fit_is_refused():
    raw, plan = np.arange(12, dtype=np.float32).reshape(3, 4), plan_of("float32")
    sound = membership([raw, raw], plan, backend="cpu")
    joined = np.empty((3, 4), np.float32)
    wrong = {
        "mu": [
            sound._replace(mu=sound.mu.astype(np.float16)),
            sound._replace(mu=sound.mu[:1]),
            sound._replace(mu=np.asfortranarray(sound.mu)),
            sound._replace(mu=np.empty((2, 3, 8), np.float32)[:, :, ::2]),
            sound._replace(mu=None),
        ],
        "valid": [sound._replace(valid=sound.valid.view(np.uint8)), sound._replace(valid=sound.valid.reshape(2, 12))],
        "overlay": [sound._replace(overlay=joined)],
    }
    for field, cases in wrong.items():
        for out in cases:
            with pytest.raises(ValueError, match=rf"out\.{field} does not fit"):
                membership([raw, raw], plan, backend="cpu", out=out)
    with pytest.raises(ValueError, match=r"out\.overlay does not fit"):
        membership([raw, raw], plan, overlay=Overlay("and"), backend="cpu", out=sound)
    with pytest.raises(ValueError, match="out is for the cpu form, not for numpy"):
        membership([raw, raw], plan, backend="numpy", out=sound)


def test_out_that_cannot_be_written_is_refused():
    raw, plan = np.arange(4, dtype=np.float32), plan_of("float32")
    sound = membership([raw, raw], plan, backend="cpu")
    sound.mu.flags.writeable = False
    before = sound.mu.copy()
    with pytest.raises(ValueError, match=r"out\.mu"):
        membership([raw + 50.0, raw], plan, backend="cpu", out=sound)
    assert_same_bits(sound.mu, before)


# Refusals


@pytest.mark.parametrize("dtype", ["float16", "uint64", "complex64", "bool"])
def test_refuses_other_dtypes_naming_the_layer(dtype):
    with pytest.raises(DataError, match=rf"'copper' .*cu.tif, band 1.* holds {dtype}"):
        plan_memberships([layer_of(dtype)], [Membership("linear", {"lo": 0.0, "hi": 1.0})])


@pytest.mark.parametrize("dtype", ["int16", "float32"])
def test_refuses_parameters_naming_the_layer(dtype):
    with pytest.raises(DataError, match=r"'gold'.*lo and hi"):
        plan_memberships(
            [layer_of(dtype, "copper"), layer_of(dtype, "gold")],
            [IDENTITY, Membership("linear", {"lo": 1.0, "hi": 1.0})],
        )
    with pytest.raises(ValueError, match="argument"):
        plan_memberships([layer_of(dtype)], [])


def test_refuses_what_was_not_planned():
    plan = plan_memberships([layer_of("float32")], [IDENTITY])
    raw, mask = np.zeros((2, 3), np.float32), np.ones((1, 2, 3), bool)
    with pytest.raises(DataError, match="'copper' holds int32 where float32"):
        membership([raw.astype(np.int32)], plan, mask)
    with pytest.raises(DataError, match="'copper' holds >f4 where float32"):
        membership([raw.astype(">f4")], plan)
    two = plan_of("float32")
    with pytest.raises(ValueError, match="'gold' has shape"):
        membership([raw, raw[:1]], two)
    with pytest.raises(ValueError, match=r"mask of layer 'gold' must be bool, got uint8"):
        membership([raw, raw], two, [None, mask[0].view(np.uint8)])
    with pytest.raises(ValueError, match=r"'gold' has shape .*, its mask"):
        membership([raw, raw], two, [None, mask[0, :1]])
    with pytest.raises(ValueError, match="planned 2 layers, got masks of 1"):
        membership([raw, raw], two, mask)
    with pytest.raises(ValueError, match="planned 1 layers, got 2"):
        membership([raw, raw], plan)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"order": "row"}, "order is layer or cell, got 'row'"),
        ({"dtype": "float64"}, "dtype is float32 or float16, got 'float64'"),
        ({"memberships": False}, "leaves nothing to compute"),
        ({"overlay": Overlay("median")}, "unknown overlay 'median'"),
        ({"overlay": Overlay("gamma", 1.5)}, "gamma must lie"),
        ({"overlay": Overlay("and", weights=(1.0, 1.0))}, "weights apply to kind mean only"),
        ({"overlay": Overlay("mean", weights=(1.0,))}, "2 finite numbers"),
    ],
)
def test_refuses_choices_that_do_not_fit(options, sentence):
    raw = np.zeros((2, 3), np.float32)
    with pytest.raises(ValueError, match=sentence):
        membership([raw, raw], plan_of("float32"), **options)


def test_no_layers_are_refused():
    with pytest.raises(ValueError, match="there is no layer"):
        membership([], plan_memberships([], []))


# The plan, which every form reads


def test_a_record_is_the_memory_of_the_struct():
    """Every byte has a name, numbers lie at multiples of their size, and codes are places in the lists of names."""
    assert RECORD.itemsize == 112
    ends = 0
    for dtype, offset, *_ in (RECORD.fields or {}).values():
        assert offset == ends
        assert offset % dtype.itemsize == 0
        ends = offset + dtype.itemsize
    assert ends == RECORD.itemsize


def test_a_plan_has_a_table_for_every_layer_of_8_or_16_bits():
    layers = [layer_of(dtype, dtype, nodata=7.0) for dtype in DTYPES]
    plan = plan_memberships(layers, [PERCENT] * len(layers))
    sizes = [256, 256, 65536, 65536]
    assert plan.tables.size == sum(sizes)
    for index, (layer, size) in enumerate(zip(layers, [*sizes, 0, 0, 0, 0, 0], strict=True)):
        table = plan.table(index)
        assert plan.dtypes[index] == layer.dtype
        assert (table is None) == (size == 0)
        if table is not None:
            codes = np.arange(size).astype(f"u{layer_bytes(layer)}").view(layer.dtype)
            assert_same_bits(table, expected_of(codes, layer, PERCENT).astype(np.float32))


def layer_bytes(layer: Layer) -> int:
    return np.dtype(layer.dtype).itemsize


def test_refuses_arrays_that_would_be_misread() -> None:
    plan = plan_memberships([layer_of("float32")], [Membership("linear", {"lo": 0.0, "hi": 10.0})])
    raw = np.arange(6, dtype=np.float32)
    with pytest.raises(ValueError, match="'copper' comes as a MaskedArray: pass plain arrays"):
        membership([np.ma.masked_greater(raw, 3.0)], plan)
    with pytest.raises(ValueError, match="'copper' comes as a list"):
        membership([raw.tolist()], plan)
    out = membership([raw], plan)
    with pytest.raises(ValueError, match=r"out\.mu shares memory"):
        membership([raw], plan, out=out._replace(mu=raw.reshape(1, 6)))
    with pytest.raises(ValueError, match=r"out\.valid shares memory"):
        membership([raw], plan, out.valid, out=out)


def test_weights_of_an_overlay_may_be_any_sequence() -> None:
    assert (
        Overlay("mean", weights=[1, 2])
        == Overlay("mean", weights=np.array([1.0, 2.0]))
        == Overlay("mean", 0.9, (1.0, 2.0))
    )
    assert hash(Overlay("mean", weights=[1, 2])) == hash(Overlay("mean", 0.9, (1.0, 2.0)))
