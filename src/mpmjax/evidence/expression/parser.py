"""Reads an expression by the binding strengths of its operators (Pratt 1973, "Top down operator precedence").

It accepts nothing but what expression/__init__.py lists, and is bounded whatever it is given: the length of the text,
the depth of brackets, and numbers that are float64 from the start (9**9**9 is refused, not computed).
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import NoReturn

import numpy as np

from mpmjax.evidence.expression.operations import REASONS, Cells, apply
from mpmjax.evidence.expression.program import BINDING, Expression, Step, sides
from mpmjax.evidence.expression.text import FUNCTIONS, KEYWORDS, ExpressionError, Token, quoted, shown, tokens
from mpmjax.evidence.nearest import nearest

MOST_NESTED = 60
"""Brackets, powers of powers and signs within each other."""

COMPARISONS = ("<", "<=", ">", ">=", "==", "!=")
BINARY = ("or", "and", *COMPARISONS, "+", "-", "*", "/", "**")


def parse(text: str, names: Sequence[str] | None = None) -> Expression:
    """Read an expression.

    Args:
        text: at most 4,000 characters; see the package for what it may hold.
        names: the layers that there are. None: any name is taken, and `names` of the result says which.

    Raises:
        ExpressionError: where and why it cannot be read; an unknown name comes with the nearest right one.
    """
    parser = _Parser(text, names)
    parser.expression(0)
    parser.require_end()
    found = Expression(text, tuple(parser.steps))
    if not found.names:
        what = f"it comes to {parser.steps[0].value:g} everywhere: an expression needs the name of a layer"
        raise ExpressionError(what, text, 0)
    return found


class _Parser:
    """Tokens on one side, steps on the other."""

    def __init__(self, text: str, names: Sequence[str] | None) -> None:
        self.text = text
        self.names = None if names is None else tuple(names)
        self.tokens = tokens(text)
        self.at = 0
        self.depth = 0
        self.steps: list[Step] = []

    @property
    def token(self) -> Token:
        return self.tokens[self.at]

    def expression(self, least: int) -> None:
        """An operand, and all operators behind it that bind at least so tightly."""
        self.depth += 1
        if self.depth > MOST_NESTED:
            self.refuse(
                f"more than {MOST_NESTED} brackets or signs within each other; split it into layers", self.token
            )
        self.operand(least)
        compared = False
        while self.token.kind in ("sign", "keyword") and self.token.text in BINARY:
            operator = self.token
            if BINDING[operator.text] < least:
                break
            if operator.text in COMPARISONS and compared:
                self.refuse("comparisons do not chain; write a < b and b < c", operator)
            compared = operator.text in COMPARISONS
            self.at += 1
            self.expression(sides(operator.text)[1])
            self.emit(operator.text, 2, operator)
        self.depth -= 1

    def operand(self, least: int) -> None:
        """A number, a name, a call, something in brackets, or one of them with a sign or `not` before it."""
        token = self.token
        self.at += 1
        if token.kind == "number":
            self.steps.append(Step("number", value=float(token.text), start=token.start))
        elif token.kind in ("name", "quoted"):
            self.name(token)
        elif token.text == "(" and token.kind == "sign":
            self.expression(0)
            self.close(token)
        elif token.kind == "sign" and token.text in ("-", "+"):
            self.expression(BINDING["negative"])
            if token.text == "-":
                self.emit("negative", 1, token)
        elif token.text == "not" and token.kind == "keyword":
            if least > BINDING["not"]:
                self.refuse("put what 'not' begins into brackets here", token)
            self.expression(BINDING["not"])
            self.emit("not", 1, token)
        else:
            self.refuse("a number, a name or a bracket is expected here", token)

    def name(self, token: Token) -> None:
        called = self.token.kind == "sign" and self.token.text == "("
        if called and token.kind == "name" and token.text in FUNCTIONS:
            self.call(token)
        elif called:
            self.refuse(f"{shown(token.text)} is no function; {nearest(token.text, FUNCTIONS)}", token)
        elif token.kind == "name" and token.text in FUNCTIONS:
            known = self.names is not None and token.text in self.names
            more = f", or {quoted(token.text)} in backticks for the layer" if known else ""
            self.refuse(f"{token.text!r} is a function: write {token.text}(...){more}", token)
        elif self.names is not None and token.text not in self.names:
            self.refuse(f"unknown name {shown(token.text)}; {self.suggestion(token)}", token)
        else:
            self.steps.append(Step("name", name=token.text, start=token.start))

    def call(self, function: Token) -> None:
        bracket, count = self.token, 0
        self.at += 1
        if not self.is_sign(")"):
            self.expression(0)
            count = 1
            while self.is_sign(","):
                self.at += 1
                self.expression(0)
                count += 1
        self.close(bracket)
        fewest, most = FUNCTIONS[function.text]
        if not fewest <= count <= most:
            needed = str(most) if fewest == most else f"{fewest} to {most}"
            self.refuse(f"{function.text} takes {needed} argument{'s' * (most > 1)}, got {count}", function)
        self.emit(function.text, count, function)

    def is_sign(self, sign: str) -> bool:
        return self.token.kind == "sign" and self.token.text == sign

    def close(self, opened: Token) -> None:
        if not self.is_sign(")"):
            if self.token.kind == "end":
                self.refuse("this bracket is not closed", opened)
            self.refuse(self.misplaced(self.token), self.token)
        self.at += 1

    def require_end(self) -> None:
        if self.token.kind != "end":
            self.refuse(self.misplaced(self.token), self.token)

    def emit(self, operation: str, operands: int, token: Token) -> None:
        """Add an operation; what has only constants to work on is worked out now, in float64."""
        last = self.steps[-operands:]
        if any(step.operation != "number" for step in last):
            self.steps.append(Step(operation, operands=operands, start=token.start))
            return
        cells = apply(operation, [Cells(np.asarray(step.value), None) for step in last])
        if cells.why is not None:
            self.refuse(f"never defined: {REASONS[int(cells.why)]}", token)
        del self.steps[-operands:]
        self.steps.append(Step("number", value=float(cells.values), start=last[0].start))

    def suggestion(self, token: Token) -> str:
        """What to write in place of an unknown name."""
        names = self.names or ()
        whole = self.in_backticks(token)
        if whole:
            return whole
        if not names:
            return "there is no layer to name"
        end = nearest(token.text, [quoted(name) for name in names])
        odd = next((c for c in token.text if not c.isascii() and not any(c in name for name in names)), "")
        spelled = f" (it is written with {unicodedata.name(odd, 'an unnamed character')})" if odd else ""
        return end + spelled

    def in_backticks(self, token: Token) -> str:
        """Said where a layer's name that needs backticks stands bare from the token on, or ends before it."""
        for name in self.names or ():
            begins = self.text.startswith(name, token.start)
            around = self.text.find(name, max(0, token.start - len(name)), token.start + len(name)) >= 0
            if quoted(name) != name and (begins or around):
                return f"write {quoted(name)}, in backticks, for the layer of that name"
        return ""

    def misplaced(self, token: Token) -> str:
        if token.text == ")":
            return "this bracket was not opened"
        if token.text == ",":
            return "a comma stands only between the arguments of a function"
        if token.text.lower() in KEYWORDS:
            return f"write {token.text.lower()!r} in small letters"
        if token.text in ("if", "else"):
            return "write where(condition, a, b)"
        return self.in_backticks(token) or "an operator is missing before this"

    def refuse(self, sentence: str, token: Token) -> NoReturn:
        raise ExpressionError(sentence, self.text, token.start)
