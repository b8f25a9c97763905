"""Values of expressions: against Python's own grammar with masks of NumPy, the rules of what is missing, and counts."""

from __future__ import annotations

import ast
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tolerances import EXPRESSION_POWER, assert_close, assert_same_bits

from mpmjax.errors import DataError
from mpmjax.evidence.expression import Expression, ExpressionError, parse
from mpmjax.evidence.expression import program as program_module
from mpmjax.evidence.expression.program import undefined

NAMES = ("a", "b", "copper")
NAN, INF = np.nan, np.inf
MANY = settings(max_examples=500, deadline=None)

numbers = st.sampled_from(["0", "1", "2", "3.5", "0.25", "1e3", ".5", "7."])
leaves = st.one_of(st.sampled_from(NAMES), numbers)


def _grow(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Valid texts, with brackets as often as without: what binds what is for the parsers to agree on."""
    arithmetic = st.sampled_from(["+", "-", "*", "/", "**", " + ", " - ", " * ", " / ", " ** "])
    comparison = st.sampled_from([" < ", "<=", ">", " >= ", " == ", "!="])
    bracketed = inner.map(lambda text: f"({text})")
    chain = st.tuples(bracketed | leaves, arithmetic, bracketed | leaves).map("".join)
    chains = st.lists(st.tuples(bracketed | leaves, arithmetic), min_size=1, max_size=4).flatmap(
        lambda parts: (bracketed | leaves).map(lambda last: "".join(a + b for a, b in parts) + last)
    )
    return st.one_of(
        chain,
        chains,
        bracketed,
        st.tuples(st.sampled_from(["-", "- ", "+", "--"]), bracketed | leaves).map("".join),
        st.tuples(chain, comparison, chain).map("".join),
        st.tuples(chain, st.sampled_from([" and ", " or ", " and not ", " or not "]), chain).map("".join),
        inner.map(lambda text: f"not {text}"),
        st.tuples(st.sampled_from(["log", "log10", "sqrt", "abs", "exp"]), inner).map(lambda p: f"{p[0]}({p[1]})"),
        st.tuples(st.sampled_from(["min", "max"]), st.lists(inner, min_size=2, max_size=4)).map(
            lambda p: f"{p[0]}({', '.join(p[1])})"
        ),
        st.tuples(st.sampled_from(["where", "clip"]), inner, inner, inner).map(
            lambda p: f"{p[0]}({p[1]}, {p[2]},{p[3]})"
        ),
    )


texts = st.recursive(leaves, _grow, max_leaves=10)
cells = st.lists(
    st.sampled_from([0.0, 1.0, -1.0, 2.0, -2.5, 0.5, 1e-3, 1e6, -0.0, 1e200, NAN, INF, -INF]) | st.floats(-10, 10),
    min_size=3 * 4,
    max_size=3 * 4,
)


def judged(text: str, arrays: dict[str, np.ndarray]) -> np.ma.MaskedArray:
    """The same text read by Python's grammar and worked out on masked arrays; masked is missing."""
    shape = next(iter(arrays.values())).shape

    def value(node: ast.expr) -> np.ma.MaskedArray:
        match node:
            case ast.Constant(value=number):
                return checked(np.full(shape, float(number)))
            case ast.Name(id=name):
                return checked(arrays[name])
            case ast.UnaryOp(op=op, operand=operand):
                one = value(operand)
                kinds = {ast.USub: np.negative, ast.UAdd: np.positive, ast.Not: lambda x: (x == 0).astype(float)}
                return checked(kinds[type(op)](one.data), one)
            case ast.BinOp(left=left, op=op, right=right):
                return arithmetic(type(op), value(left), value(right))
            case ast.Compare(left=left, ops=[op], comparators=[right]):
                return compare(type(op), value(left), value(right))
            case ast.BoolOp(op=op, values=operands):
                some = [value(operand) for operand in operands]
                truths = np.stack([one.data != 0 for one in some])
                return checked((truths.all(0) if isinstance(op, ast.And) else truths.any(0)) * 1.0, *some)
            case ast.Call(func=ast.Name(id=name), args=arguments):
                return call(name, [value(argument) for argument in arguments])
        raise AssertionError(ast.dump(node))

    return value(ast.parse(text, mode="eval").body)


def checked(values: np.ndarray, *needed: np.ma.MaskedArray) -> np.ma.MaskedArray:
    missing = ~np.isfinite(values)
    for one in needed:
        missing = missing | np.ma.getmaskarray(one)
    return np.ma.MaskedArray(np.where(missing, 1.0, values), missing)


def arithmetic(kind: type, one: np.ma.MaskedArray, other: np.ma.MaskedArray) -> np.ma.MaskedArray:
    kinds: dict[type, Callable[..., np.ndarray]] = {
        ast.Add: np.add, ast.Sub: np.subtract, ast.Mult: np.multiply, ast.Div: np.true_divide, ast.Pow: np.float_power
    }  # fmt: skip
    with np.errstate(all="ignore"):
        return checked(kinds[kind](one.data, other.data), one, other)


def compare(kind: type, one: np.ma.MaskedArray, other: np.ma.MaskedArray) -> np.ma.MaskedArray:
    a, b = one.data, other.data
    holds = {ast.Lt: a < b, ast.LtE: a <= b, ast.Gt: a > b, ast.GtE: a >= b, ast.Eq: a == b, ast.NotEq: a != b}
    return checked(holds[kind] * 1.0, one, other)


def call(name: str, some: list[np.ma.MaskedArray]) -> np.ma.MaskedArray:
    if name == "where":
        condition, yes, no = some
        values = np.choose(condition.data != 0, [no.data, yes.data])
        missing = np.choose(condition.data != 0, [np.ma.getmaskarray(no), np.ma.getmaskarray(yes)])
        return checked(np.where(missing, NAN, values), condition)
    data = [one.data for one in some]
    with np.errstate(all="ignore"):
        if name == "clip":
            value, low, high = data
            return checked(np.where(low > high, NAN, np.clip(value, low, high)), *some)
        if name in ("min", "max"):
            stacked = np.stack(data)
            return checked(stacked.min(0) if name == "min" else stacked.max(0), *some)
        kinds = {"log": np.log, "log10": np.log10, "sqrt": np.sqrt, "abs": np.absolute, "exp": np.exp}
        return checked(kinds[name](data[0]), *some)


def read(text: str) -> Expression | ExpressionError:
    try:
        return parse(text, NAMES)
    except ExpressionError as error:
        return error


@MANY
@given(texts, cells)
def test_agrees_with_pythons_grammar_and_numpys_masks(text: str, values: list[float]) -> None:
    table = np.array(values).reshape(3, 2, 2)
    arrays = dict(zip(NAMES, table, strict=True))
    expected = judged(text, arrays)
    found = read(text)
    if isinstance(found, ExpressionError):
        # Without a name, or a part of constants that has no value: then it has none, or one, at every cell.
        never = "never defined" in str(found)
        assert never or "everywhere" in str(found), str(found)
        named = {node.id for node in ast.walk(ast.parse(text, mode="eval")) if isinstance(node, ast.Name)}
        assert never or not named & set(NAMES)
        return
    actual = found.evaluate(arrays)
    assert actual.shape == (2, 2)
    assert actual.dtype == np.float64
    np.testing.assert_array_equal(np.isnan(actual), np.ma.getmaskarray(expected))
    found_values = np.ma.MaskedArray(actual, np.isnan(actual)).compressed()
    if "**" not in text:
        np.testing.assert_array_equal(found_values, expected.compressed())
    else:
        assert_close(found_values, expected.compressed(), EXPRESSION_POWER)


@MANY
@given(texts)
def test_what_is_written_anew_reads_the_same(text: str) -> None:
    found = read(text)
    if isinstance(found, ExpressionError):
        return
    again = parse(str(found), NAMES)
    assert again == found
    assert hash(again) == hash(found)
    assert str(again) == str(found)
    swapped = found.renamed({"a": "b", "b": "a", "copper": "Cu-1"})
    assert parse(str(swapped)) == swapped
    assert swapped.renamed({"a": "b", "b": "a", "Cu-1": "copper"}) == found


@pytest.mark.parametrize(
    ("text", "anew"),
    {
        "a-(b-copper)": "a - (b - copper)",
        "(a-b)-copper": "a - b - copper",
        "a*(b+1)/2": "a * (b + 1.0) / 2.0",
        "(-a)**2": "(-a) ** 2.0",
        "-a**2": "-a ** 2.0",
        "a**-2": "a ** -2.0",
        "(a**b)**2": "(a ** b) ** 2.0",
        "a**(b**2)": "a ** b ** 2.0",
        "not (a and b) or a<b": "not (a and b) or a < b",
        "(not a) < b": "(not a) < b",
        "(a < b) < 1": "(a < b) < 1.0",
        "where(a>0,log(b/a),1-2)": "where(a > 0.0, log(b / a), -1.0)",
        "`where` + `Li-2 ppm`*`x``y`": "`where` + `Li-2 ppm` * `x``y`",
    }.items(),
)
def test_brackets_only_where_needed(text: str, anew: str) -> None:
    assert str(parse(text)) == anew


def values(text: str, **arrays: object) -> list[float]:
    given_arrays = {name: np.atleast_1d(np.asarray(array, np.float64)) for name, array in arrays.items()}
    return parse(text).evaluate(given_arrays).tolist()


def test_binds_as_pythons_operators_do() -> None:
    assert values("-a ** 2", a=3) == [-9]
    assert values("2 ** -a", a=1) == [0.5]
    assert values("a ** 3 ** 2", a=2) == [512]
    assert values("8 / a / 2", a=2) == [2]
    assert values("8 - a - 2", a=2) == [4]
    assert values("2 + a * 3 ** 2", a=1) == [11]
    assert values("not a == 1", a=[1, 2]) == [0, 1]
    assert values("a or 1 and 0", a=[0, 3]) == [0, 1]
    assert values("log(exp(a)) + log10(100)", a=2) == [4]


@pytest.mark.parametrize(
    "text",
    ["m * 0", "m ** 0", "1 ** m", "m - m", "m == m", "m != 1", "m < 1", "m and 0", "0 and m", "m or 1", "1 or m",
     "not m", "min(m, 1)", "max(1, m)", "clip(m, 0, 1)", "clip(1, m, 2)", "abs(m)", "exp(m)", "m", "-m",
     "where(m, 1, 2)", "where(m > 0, 1, 1)", "where(1, m, 2)", "where(0, 1, m)"],
)  # fmt: skip
@pytest.mark.parametrize("missing", [NAN, INF, -INF])
def test_missing_stays_missing(text: str, missing: float) -> None:
    """Also where arithmetic or logic would come to the same whatever the value."""
    found = parse(text, ["m"])
    actual, counts = found.evaluate_counted({"m": np.array([missing, 1.0])})
    assert np.isnan(actual).tolist() == [True, False]
    assert counts == {}


def test_where_needs_only_the_branch_it_takes() -> None:
    assert values("where(c, m, 5)", c=[1, 0], m=[NAN, NAN])[1] == 5
    assert values("where(c, 5, m)", c=[1, 0], m=[NAN, NAN])[0] == 5
    assert np.isnan(values("where(c, m, 5)", c=[1, 0, NAN], m=[NAN, NAN, 1])).tolist() == [True, False, True]
    assert values("where(red > 0, log(copper / red), 0)", red=[0, 1], copper=[3, 1]) == [0, 0]


def test_what_is_not_defined_is_missing_and_counted() -> None:
    red, copper = np.array([0.0, 0.0, 1.0, 1.0, NAN, 2.0]), np.array([3.0, 0.0, -1.0, 0.0, 0.0, 2.0])
    arrays = {"red": red, "copper": copper}
    actual, counts = parse("log(copper / red)").evaluate_counted(arrays)
    assert np.isnan(actual).tolist() == [True] * 5 + [False]
    assert counts == {"division by 0": 2, "log of a number not above 0": 2}
    assert undefined(counts) == (
        "cells where the expression is not defined are missing: 2 by division by 0, 2 by log of a number not above 0."
    )
    # Not where the branch is not taken.
    assert parse("where(red > 0, copper / red, 7)").evaluate_counted(arrays)[1] == {}
    # Nor where the layer that is needed besides is missing.
    assert parse("1 / copper + red").evaluate_counted(arrays)[1] == {"division by 0": 2}
    assert parse("red + 1 / copper").evaluate_counted(arrays)[1] == {"division by 0": 2}
    assert undefined({}) == ""


@pytest.mark.parametrize(
    ("text", "reason"),
    {
        "x / 0": "division by 0",
        "0 / (x - x)": "division by 0",
        "(x - x) ** -1": "division by 0",
        "log(x - x)": "log of a number not above 0",
        "log10(-x)": "log of a number not above 0",
        "sqrt(-x)": "root of a negative number",
        "(-x) ** 0.5": "negative number to a power that is not whole",
        "clip(x, 2, 1)": "limits of clip the wrong way round",
        "exp(x * 1e4)": "number larger than float64 holds",
        "(x * 1e200) ** 2": "number larger than float64 holds",
        "-x * 1e200 * 1e200": "number larger than float64 holds",
    }.items(),
)
def test_every_reason_has_its_name(text: str, reason: str) -> None:
    actual, counts = parse(text).evaluate_counted({"x": np.array([2.0, 3.0])})
    assert np.isnan(actual).all()
    assert counts == {reason: 2}
    assert str(parse(f"where(x > 2.5, {text}, 1)").evaluate({"x": np.array([2.0])})) == "[1.]"


def test_negative_bases_of_whole_powers_are_defined() -> None:
    assert values("a ** 3", a=[-2, 0, 2]) == [-8, 0, 8]
    assert values("a ** b", a=[-2, 0], b=[-1, 0]) == [-0.5, 1]


@pytest.mark.parametrize("block", [1, 7, 64, 1000])
def test_blocks_change_no_bit(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    draw = np.random.default_rng(5)
    arrays = {name: draw.normal(size=(31, 17)) for name in ("a", "b")}
    arrays["a"][draw.random((31, 17)) < 0.1] = NAN
    found = parse("where(a > b, log(a ** 2 / b), sqrt(a) + exp(b) ** 1.7)")
    whole, counts = found.evaluate_counted(arrays)
    monkeypatch.setattr(program_module, "BLOCK", block)
    again, more = found.evaluate_counted(arrays)
    assert_same_bits(again, whole)
    assert more == counts != {}


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int16", "int64", "float16", "float32", ">f4", "float64"])
def test_takes_real_numbers_of_any_kind(dtype: str) -> None:
    array = np.array([[0, 1], [1, 0]]).astype(dtype)
    before = array.copy()
    actual = parse("a / 2").evaluate({"a": array, "unused": np.array(["text"])})
    assert_same_bits(actual, np.array([[0, 0.5], [0.5, 0]]))
    assert np.array_equal(array, before)


def test_float32_is_worked_out_in_float64() -> None:
    actual = parse("a + 1e-9 - a").evaluate({"a": np.ones(3, np.float32)})
    assert actual == pytest.approx(np.full(3, 1e-9), rel=1e-6)


def test_masked_cells_are_missing_and_strides_do_not_matter() -> None:
    masked = np.ma.MaskedArray([1, 2, 3], [False, True, False])
    assert np.isnan(parse("a + 1").evaluate({"a": masked})).tolist() == [False, True, False]
    table = np.arange(12.0).reshape(3, 4)
    assert_same_bits(parse("a * 2").evaluate({"a": table.T[::-1]}), (table.T[::-1] * 2).copy())
    assert parse("a * 2").evaluate({"a": np.zeros((0, 5))}).shape == (0, 5)
    assert parse("a * 2").evaluate({"a": np.float64(4.0)}) == 8.0


def test_refuses_arrays_that_do_not_go_together() -> None:
    with pytest.raises(DataError, match=r"'a' has the shape \(2,\) and 'b' has \(2, 1\)"):
        parse("a + b").evaluate({"a": np.zeros(2), "b": np.zeros((2, 1))})
    for wrong in (np.zeros(2, complex), np.array(["1", "2"]), np.array([1, None]), np.zeros(2, "M8[s]")):
        with pytest.raises(DataError, match="takes real numbers"):
            parse("a + 1").evaluate({"a": wrong})
    with pytest.raises(ExpressionError, match=r"at column 5, 'b': no values were given for 'b'"):
        parse("a + b").evaluate({"a": np.zeros(2)})


def test_names_come_once_and_in_order() -> None:
    found = parse("b + a / b - `c d` * a")
    assert found.names == ("b", "a", "c d")
    assert isinstance(found, Expression)
    assert found.text == "b + a / b - `c d` * a"
    assert found == parse(" b+a/b-`c d`*(a)")
    assert found != parse("a + b / a - `c d` * b")
