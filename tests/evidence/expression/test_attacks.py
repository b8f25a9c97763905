"""Texts that are to break out, to hang, or to be read as something else: each is refused with a place and a reason."""

from __future__ import annotations

import ast
import builtins
import pickle
import sys
from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import mpmjax.evidence.expression as room
from mpmjax.errors import DataError
from mpmjax.evidence.expression import Expression, ExpressionError, parse

LAYERS = ("copper", "red", "nir", "a", "b")

ATTACKS = {
    # Ways out of the expression into the language.
    "__import__('os').system('echo')": 12,
    "__import__(copper)": 1,
    "__builtins__": 1,
    "a.__class__": 2,
    "a.__class__.__mro__[1]": 2,
    "().__class__": 3,
    "copper.real": 7,
    "a[0]": 2,
    "a[0:1]": 2,
    "[a]": 1,
    "{a}": 1,
    "{a: b}": 1,
    "(a, b)": 3,
    "()": 2,
    "eval(a)": 1,
    "exec(a)": 1,
    "compile(a)": 1,
    "open(a)": 1,
    "getattr(a, b)": 1,
    "print(a)": 1,
    "type(a)": 1,
    "lambda: a": 7,
    "lambda a: a": 9,
    "[x for x in a]": 1,
    "(x for x in a)": 2,
    "(y := a)": 4,
    "a := b": 3,
    "a = b": 3,
    "a if b else red": 3,
    "await a": 1,
    "yield a": 1,
    "import os": 1,
    "a; b": 2,
    "f'{a}'": 2,
    "'a'": 1,
    '"a"': 1,
    "b'a'": 2,
    "'''a'''": 1,
    "a is b": 3,
    "a in b": 3,
    "a not in b": 3,
    "*a": 1,
    "max(*a)": 5,
    "max(a, **b)": 8,
    "max(a, key=b)": 11,
    "where(c=a)": 8,
    "...": 1,
    "a @ b": 3,
    "a // b": 3,
    "a % b": 3,
    "a & b": 3,
    "a | b": 3,
    "a ^ b": 3,
    "~a": 1,
    "a << b": 4,
    "a <> b": 4,
    "a++": 4,
    "a ! b": 3,
    "a\\b": 2,
    "a # b": 3,
    "a $ b": 3,
    "a?": 2,
    "`a": 1,
    "``": 1,
    "`b`(a)": 1,
    "a(b)": 1,
    "(a)(b)": 4,
    "log(a)(b)": 7,
    "log": 1,
    "log + a": 1,
    # Numbers that are not what they seem, or too much.
    "9**9**9": 2,
    "a + 9**9**9": 6,
    "1e400": 1,
    "9" * 400: 1,
    "a * -1e400": 6,
    "nan": 1,
    "inf": 1,
    "1j": 1,
    "0x10": 1,
    "0b1": 1,
    "1_000": 1,
    "1.2.3": 1,
    "1..2": 1,
    "1e": 1,
    "2copper": 1,
    "٣ * a": 1,
    "a²": 2,
    "1 / 0": 3,
    "a + 1 / (2 - 2)": 7,
    "log(0) + a": 1,
    "sqrt(0 - 1) * a": 1,
    "(0 - 8) ** 0.5 * a": 9,
    "exp(1000) + a": 1,
    "clip(1, 3, 2) + a": 1,
    "1 + 2": 1,
    "where(1, 2, 3)": 1,
    "True": 1,
    "None": 1,
    # Names that only look right.
    "сopper": 1,
    "ｃｏｐｐｅｒ": 1,
    "copper\u200b": 7,
    "cop\u00adper": 4,
    "re\u0301d": 1,
    "ｌｏｇ(a)": 1,
    "a\u00a0+ b": 2,
    "a − b": 3,
    "a\u202e+ b": 2,
    "Copper": 1,
    # Shapes of text.
    "": 1,
    "   ": 4,
    "\n\t": 3,
    "\x00": 1,
    "a\x00": 2,
    "a + b\x00c": 6,
    "\ufeffa": 1,
    "\ud800": 1,
    "a b": 3,
    "a 1": 3,
    "1 a": 3,
    "a +": 4,
    "+": 2,
    "* a": 1,
    "a * * b": 5,
    "a ** ": 6,
    "(a": 1,
    "a)": 2,
    "((a)": 1,
    "log(a": 4,
    "log a": 1,
    "a, b": 2,
    "max(a,)": 7,
    "max(,a)": 5,
    "max(a)": 1,
    "min()": 1,
    "where(a, b)": 1,
    "where(a, b, red, nir)": 1,
    "log(a, b)": 1,
    "sqrt()": 1,
    "clip(a, b)": 1,
    "a < b < red": 7,
    "a == b != red": 8,
    "a + not b": 5,
    "a AND b": 3,
    "and": 1,
    "a or": 5,
    "not": 4,
}
"""Text -> the column at which it has to be refused."""

DEEP = {
    "brackets": "(" * 100_000 + "a" + ")" * 100_000,
    "brackets of a readable length": "(" * 1500 + "a" + ")" * 1500,
    "calls": "log(" * 900 + "a" + ")" * 900,
    "signs": "-" * 3000 + "a",
    "negations": "not " * 900 + "a",
    "powers": "a**" * 1200 + "a",
    "just too deep": "(" * 60 + "a" + ")" * 60,
    "arguments": f"max({', '.join(['a'] * 65)})",
    "length": "a + " * 1000 + "a",
    "a megabyte": "a" * 1_000_000,
    "blanks": " " * 5000 + "a",
    "a long name": "x" * 3999,
    "open brackets": "(" * 3999,
    "backticks": "`" * 3999,
    "digits": "1" * 3999,
    "points": "." * 3999,
}


def refused(text: str) -> ExpressionError:
    with pytest.raises(ExpressionError) as seen:
        parse(text, LAYERS)
    return seen.value


@pytest.mark.parametrize("text", ATTACKS)
def test_is_refused_where_it_is_wrong(text: str) -> None:
    error = refused(text)
    assert error.column == ATTACKS[text], str(error)
    assert str(error).startswith(f"at column {error.column}, ")
    assert isinstance(error, ValueError)
    assert isinstance(error, DataError)


def test_there_are_many_attacks() -> None:
    assert len(ATTACKS) + len(DEEP) >= 100


@pytest.mark.parametrize("kind", DEEP)
def test_is_refused_before_it_costs_anything(kind: str) -> None:
    limit = sys.getrecursionlimit()
    try:
        # What a deep call stack leaves over is enough: the parser's own depth is bounded.
        sys.setrecursionlimit(_frames() + 350)
        assert len(str(refused(DEEP[kind]))) < 400
    finally:
        sys.setrecursionlimit(limit)


def _frames() -> int:
    frame, count = sys._getframe(), 0
    while frame is not None:
        frame, count = frame.f_back, count + 1
    return count


def test_what_is_long_but_flat_is_read() -> None:
    flat = " + ".join(["a"] * 1000)
    assert parse(flat, LAYERS).names == ("a",)
    assert parse("(" * 59 + "a" + ")" * 59, LAYERS) == parse("a")


def test_what_stands_in_the_message() -> None:
    assert "did you mean 'copper'?" in str(refused("log(coper / red)"))
    assert "at column 5, 'coper / red)': " in str(refused("log(coper / red)"))
    assert "CYRILLIC SMALL LETTER ES" in str(refused("сopper"))
    assert "ZERO WIDTH SPACE" in str(refused("copper\u200b"))
    assert "NO-BREAK SPACE" in str(refused("a\u00a0+ b"))
    assert "'\\x00'" in str(refused("a\x00"))
    assert "write a < b and b < c" in str(refused("a < b < red"))
    assert "write ** for a power" in str(refused("a ^ b"))
    assert "write where(condition, a, b)" in str(refused("a if b else red"))
    assert "write 'and' in small letters" in str(refused("a AND b"))
    assert "did you mean 'sqrt'?" in str(refused("sqr(a)"))
    assert "allowed: where, min, max" in str(refused("quartile(a)"))
    assert "never defined: division by 0" in str(refused("1 / 0"))
    assert "log takes 1 argument, got 2" in str(refused("log(a, b)"))
    assert "where takes 3 arguments, got 2" in str(refused("where(a, b)"))
    assert "max takes 2 to 64 arguments, got 1" in str(refused("max(a)"))
    assert "it comes to 3 everywhere" in str(refused("1 + 2"))
    assert "where the text ends" in str(refused("a +"))
    with pytest.raises(ExpressionError, match="there is no layer to name"):
        parse("a", ())


def test_the_caret_stands_below_the_fault() -> None:
    assert refused("log(coper / red)").marked() == "log(coper / red)\n    ^"
    assert refused("a +\n  coper\n- b").marked() == "  coper\n  ^"
    assert refused("a\x00").marked() == "a.\n ^"
    assert refused("a +").marked() == "a +\n   ^"


def test_an_error_survives_another_process() -> None:
    error = refused("log(coper)")
    again = pickle.loads(pickle.dumps(error))  # noqa: S301
    assert (str(again), again.column, again.text) == (str(error), error.column, error.text)


def test_a_name_with_signs_in_it_goes_in_backticks() -> None:
    layers = ("Li-2 ppm", "Li", "2nd", "log", "a`b", "Fe.3+", "min")
    for name in layers:
        written = f"`{name.replace('`', '``')}`"
        assert parse(f"{written} * 2", layers).names == (name,)
    for text, hint in {
        "Li-2 ppm": "write `Li-2 ppm`",
        "Li + ppm": "unknown name 'ppm'",
        "log * 2": "or `log` in backticks",
        "Fe.3+": "write `Fe.3+`",
        "2nd": "in backticks",
    }.items():
        with pytest.raises(ExpressionError) as seen:
            parse(text, layers)
        assert hint in str(seen.value), str(seen.value)


def test_a_dunder_is_but_a_name_where_all_names_are_taken() -> None:
    assert parse("__import__ + `__class__`").names == ("__import__", "__class__")
    with pytest.raises(ExpressionError, match="is no function"):
        parse("__import__(a)")
    with pytest.raises(ExpressionError, match="no values were given for '__import__'"):
        parse("__import__").evaluate({})


def test_the_room_runs_no_text() -> None:
    """No way from text to code is in it, by name or by import."""
    ways = {"eval", "exec", "compile", "__import__", "getattr", "setattr", "globals", "locals", "vars", "open", "input"}
    seen = 0
    for path in Path(room.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Name):
                assert node.id not in ways, path
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = [alias.name for alias in node.names] + [getattr(node, "module", None) or ""]
                assert not {"ast", "importlib", "numexpr", "subprocess", "os", "sys", "builtins"} & set(names), path
                seen += 1
    assert seen > 10


PIECES = st.sampled_from(
    ["a", "b", "copper", "`a`", "where", "log", "min", "not", "and", "or", "(", ")", ",", "+", "-", "**", "*", "/",
     "<", "==", "1", "0", "1e-3", ".5", " ", "\n", "`", "_", "__import__", "'", "[", "=", ":", "é", "\x00"]
)  # fmt: skip


def caught(*_: object, **__: object) -> None:
    raise AssertionError("text reached a builtin")


WAYS_OUT = dict.fromkeys(("eval", "exec", "compile", "__import__", "open", "input", "breakpoint"), caught)
"""What text could reach out with fails the test if it is called while the text is read."""


def read(text: str, names: tuple[str, ...] | None) -> Expression | ExpressionError:
    try:
        with patch.multiple(builtins, **WAYS_OUT):
            return parse(text, names)
    except ExpressionError as error:
        return error


def accepts_or_points(text: str, names: tuple[str, ...] | None) -> None:
    found = read(text, names)
    if isinstance(found, ExpressionError):
        assert 1 <= found.column <= len(text) + 1
        assert found.text == text
        assert found.marked().endswith("^")
        return
    assert found.names
    assert names is None or set(found.names) <= set(names)
    assert parse(str(found)) == found


ANY_TEXT = settings(max_examples=600, deadline=None)


@ANY_TEXT
@example("\ud800\udfff`")
@example("ﬁ + ſ + K")
@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    accepts_or_points(text, None)
    accepts_or_points(text, LAYERS)


@ANY_TEXT
@given(st.lists(PIECES, max_size=30))
def test_any_order_of_pieces_is_read_or_refused(pieces: list[str]) -> None:
    accepts_or_points("".join(pieces), None)
    accepts_or_points(" ".join(pieces), LAYERS)
