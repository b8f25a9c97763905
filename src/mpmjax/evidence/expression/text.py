"""The text of an expression cut into tokens, and the error that points into it."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from mpmjax.errors import DataError

MOST_CHARACTERS = 4000
"""A longer text is refused: nobody wrote it by hand, and it bounds all that follows."""

KEYWORDS = ("and", "or", "not")
FUNCTIONS = {
    "where": (3, 3),
    "min": (2, 64),
    "max": (2, 64),
    "clip": (3, 3),
    "log": (1, 1),
    "log10": (1, 1),
    "exp": (1, 1),
    "sqrt": (1, 1),
    "abs": (1, 1),
}
"""Name -> fewest and most arguments."""

SIGNS = ("**", "<=", ">=", "==", "!=", "+", "-", "*", "/", "<", ">", "(", ")", ",")
_NUMBER = re.compile(r"(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_SPACE = " \t\n\r"
_NO_TEXT = "there is no text in an expression; a layer's name is written bare or in backticks"
_INSTEAD = {
    "^": "write ** for a power",
    "&": "write 'and'",
    "|": "write 'or'",
    "~": "write 'not'",
    "!": "write 'not', or != for 'is not equal'",
    "=": "write == to compare; there is nothing to assign, and arguments have no names",
    "%": "there is no remainder",
    "[": "there are no lists and no indexing; group with round brackets",
    "]": "there are no lists and no indexing; group with round brackets",
    "{": "group with round brackets",
    "}": "group with round brackets",
    '"': _NO_TEXT,
    "'": _NO_TEXT,
    ".": "there are no attributes; a layer's name with a point goes in backticks",
    ";": "separate arguments with commas",
    ":": "there is nothing to assign, slice or define; compare with ==",
    "@": "write * for a product",
    "−": "write the plain -",
    "–": "write the plain -",
    "×": "write *",
    "÷": "write /",
    "≤": "write <=",
    "≥": "write >=",
    "≠": "write !=",
}
_SHOWN = 24


class ExpressionError(DataError, ValueError):
    """An expression that cannot be read or evaluated: where in its text, what stands there, what is allowed.

    Also a ValueError, so that the validators of a project file pass it on.

    Attributes:
        text: the expression.
        column: of the first character that is wrong, counted from 1 in the whole text.
    """

    def __init__(self, sentence: str, text: str, position: int) -> None:
        self.text, self.column = text, position + 1
        super().__init__(sentence, text, position)

    def __str__(self) -> str:
        return f"at column {self.column}, {_fragment(self.text, self.column - 1)}: {self.args[0]}"

    def marked(self) -> str:
        """The line of the text that is wrong, and below it a caret under the column; control characters as points."""
        before, after = self.text[: self.column - 1], self.text[self.column - 1 :]
        start = before.rpartition("\n")[2]
        line = start + after.partition("\n")[0]
        return f"{''.join(letter if letter.isprintable() else '.' for letter in line)}\n{' ' * len(start)}^"


def _fragment(text: str, position: int) -> str:
    if position >= len(text):
        return "where the text ends"
    return shown(text[position:], _SHOWN)


def shown(text: str, most: int = 64) -> str:
    """In quotes, cut where it is long; what cannot be printed (null bytes, marks of direction) by its code."""
    return repr(text[:most]) + ("..." if len(text) > most else "")


@dataclass(frozen=True)
class Token:
    """kind: number, name (bare), quoted (a name in backticks), keyword, sign, or end; `start` counts from 0."""

    kind: str
    text: str
    start: int


def tokens(text: str) -> list[Token]:
    """The tokens of an expression, the last of kind "end".

    Raises:
        ExpressionError: too long, or a character or number that an expression cannot hold.
    """
    if len(text) > MOST_CHARACTERS:
        what = f"the text has {len(text)} characters and at most {MOST_CHARACTERS} are read"
        raise ExpressionError(f"{what}; split it into several named layers", text, MOST_CHARACTERS)
    found, at = [], 0
    while at < len(text):
        if text[at] in _SPACE:
            at += 1
            continue
        token, at = _next(text, at)
        found.append(token)
    return [*found, Token("end", "", len(text))]


def _next(text: str, at: int) -> tuple[Token, int]:
    letter = text[at]
    if match := _NUMBER.match(text, at):
        _require_end_of_number(text, at, match.end())
        return Token("number", match[0], at), match.end()
    if letter == "`":
        return _quoted(text, at)
    if letter.isidentifier():
        end = at + 1
        while end < len(text) and _continues(text[end]):
            end += 1
        word = text[at:end]
        return Token("keyword" if word in KEYWORDS else "name", word, at), end
    if text.startswith("//", at):
        raise ExpressionError("there is no division that rounds; write /", text, at)
    for sign in SIGNS:
        if text.startswith(sign, at):
            return Token("sign", sign, at), at + len(sign)
    raise ExpressionError(_instead(letter), text, at)


def _continues(letter: str) -> bool:
    """Letters, digits and marks that a bare name may hold after its first letter."""
    return f"a{letter}".isidentifier()


def _require_end_of_number(text: str, start: int, end: int) -> None:
    if end < len(text) and (_continues(text[end]) or text[end] == "."):
        raise ExpressionError(
            "a number is written in plain decimals, as 12, 0.5 or 1e-3; a layer's name that starts with a digit goes "
            "in backticks",
            text,
            start,
        )
    if float(text[start:end]) == float("inf"):
        raise ExpressionError("the number is larger than float64 holds (1.8e308)", text, start)


def _quoted(text: str, at: int) -> tuple[Token, int]:
    """A name in backticks; a doubled backtick stands for one."""
    name, end = "", at + 1
    while True:
        close = text.find("`", end)
        if close < 0:
            raise ExpressionError("the name in backticks does not end; close it with another backtick", text, at)
        name += text[end:close]
        if text[close + 1 : close + 2] != "`":
            break
        name, end = name + "`", close + 2
    if not name:
        raise ExpressionError("there is no name between the backticks", text, at)
    return Token("quoted", name, at), close + 1


def _instead(letter: str) -> str:
    if letter in _INSTEAD:
        return _INSTEAD[letter]
    what = unicodedata.name(letter, f"the character U+{ord(letter):04X}")
    return f"{what} has no meaning here; allowed are numbers, names of layers, + - * / ** ( ) , and comparisons"


def quoted(name: str) -> str:
    """A layer's name as an expression has to write it: bare where it can be, else in backticks."""
    bare = name.isidentifier() and name not in KEYWORDS and name not in FUNCTIONS
    return name if bare else "`" + name.replace("`", "``") + "`"
