"""Fields of a geochemical layer: a column as it is, or what is computed from columns.

    Li                    the column
    clr(Li)               centred log-ratio of Li in the composition
    alr(Li, Ti)           ln(Li / Ti)
    ilr(Li)               pivot coordinate: Li over all other parts of the composition
    ilr(Li, Be | Sn, W)   balance: sqrt(r s / (r + s)) ln(g(Li, Be) / g(Sn, W)), r and s parts, g geometric means
    log(Li)  boxcox(Li)   natural logarithm; Box-Cox with the lambda of the greatest likelihood
    factor(1)             scores of the first robust factor of the composition; factor(1, Li) points towards Li
    gmpi(1)  gmpi(1, Li)  exp(F) / (1 + exp(F)) of these scores

A name with a comma, a bar or a parenthesis is written in quotes: alr("Li, ppm", Ti). Egozcue and Pawlowsky-Glahn
(2005), Groups of parts and their balances in compositional data analysis, Mathematical Geology 37 (balances).
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mpmjax.errors import DataError
from mpmjax.evidence.geochemistry import transforms
from mpmjax.evidence.geochemistry.compositions import compose
from mpmjax.evidence.geochemistry.factors import fit_factors, gmpi
from mpmjax.evidence.geochemistry.levelling import level

KINDS = ("column", "clr", "alr", "ilr", "log", "boxcox", "factor", "gmpi")
OF_COMPOSITION = ("clr", "factor", "gmpi")
"""Kinds that need the composition; ilr of a single part does too."""

_CALL = re.compile(r"\s*(\w+)\s*\((.*)\)\s*", re.DOTALL)
_TOKEN = re.compile(r"""\s*(?:"([^"]*)"|'([^']*)'|([^,|()"']*))\s*""")


@dataclass(frozen=True)
class Field:
    """What a layer is made of.

    Attributes:
        kind: one of KINDS.
        parts: the columns named: one for column, clr, log and boxcox, two for alr, those before the bar for ilr, one
            or none for factor and gmpi.
        against: those after the bar of a balance.
        number: of the factor, from 1; 0 for other kinds.
    """

    kind: str
    parts: tuple[str, ...]
    against: tuple[str, ...] = ()
    number: int = 0

    @property
    def needs_composition(self) -> bool:
        return self.kind in OF_COMPOSITION or (self.kind == "ilr" and not self.against)

    def columns(self, composition: Sequence[str] = ()) -> tuple[str, ...]:
        """The columns that are needed, each once.

        Raises:
            ValueError: the composition is needed and is not stated, has fewer than two parts or one twice, or has not
                the part that is named, or no such factor.
        """
        if not self.needs_composition:
            return (*self.parts, *self.against)
        parts = tuple(composition)
        if len(parts) < 2 or len(set(parts)) < len(parts):
            got = f"got {', '.join(parts)}" if parts else "none is stated"
            raise ValueError(
                f'{self.kind} needs a composition of two or more different parts ({got}): add composition = ["Li", '
                '"Be", ...]'
            )
        for part in self.parts:
            if part not in parts:
                close = difflib.get_close_matches(part, parts, 1)
                hint = f"; did you mean {close[0]!r}?" if close else f": {', '.join(parts[:20])}"
                raise ValueError(f"{self.kind}: {part!r} is no part of the composition{hint}")
        if self.number >= len(parts):
            raise ValueError(f"{self.kind}({self.number}): {len(parts)} parts have {len(parts) - 1} factors")
        return parts


def parse_field(text: str) -> Field:
    """A field from what a project file says; see this module's docstring.

    Raises:
        ValueError: it is empty, or a function that does not exist or has other arguments.
    """
    call = _CALL.fullmatch(text)
    if call is None or call[1] not in KINDS[1:]:
        if not text.strip():
            raise ValueError("a field is the name of a column, or like clr(Li); got nothing")
        close = difflib.get_close_matches(call[1], KINDS[1:], 1, cutoff=0.65) if call else []
        if close:
            raise ValueError(f"{text!r}: did you mean {close[0]}(...)? Allowed: {', '.join(KINDS[1:])}")
        return Field("column", (text.strip(),))
    return _called(text, call[1], *_arguments(call[2], text))


def compute_field(
    field: Field,
    values: Mapping[str, np.ndarray],
    composition: Sequence[str],
    label: str,
    *,
    classes: np.ndarray | None = None,
    limits: Mapping[str, float] | None = None,
) -> tuple[np.ndarray, list[str]]:
    """A field of every sample.

    Args:
        values: column -> float64 [n], NaN missing; at least `field.columns(composition)`.
        composition: parts of the composition, all in the same unit or each in its own.
        label: what messages call the layer.
        classes: str as object [n]; the result is levelled by them (levelling.py).
        limits: detection limits by column, in the units of `values`, by which zeros in log-ratios are replaced
            (compositions.py); the smallest value above 0 where none is stated.

    Returns:
        float64 [n], NaN missing, and notes.

    Raises:
        DataError: a column has no usable values, or there are too few samples.
        ValueError: as `Field.columns`.
    """
    result, notes = _computed(field, values, field.columns(composition), label, limits)
    if classes is not None:
        result, told = level(result, classes, label)
        notes = [*notes, *told]
    if np.isnan(result).all():
        raise DataError(f"{label}: no sample has a value. Check the columns and the rules of their samples.")
    return result, notes


def _computed(
    field: Field,
    values: Mapping[str, np.ndarray],
    columns: Sequence[str],
    label: str,
    limits: Mapping[str, float] | None,
) -> tuple[np.ndarray, list[str]]:
    first = field.parts[0] if field.parts else ""
    if field.kind == "column":
        return np.asarray(values[first], np.float64).copy(), []
    if field.kind == "log":
        return transforms.log(values[first], label)
    if field.kind == "boxcox":
        result, _, notes = transforms.boxcox(values[first], label)
        return result, notes
    parts = compose(values, columns, label, limits)
    if field.kind in ("factor", "gmpi"):
        factors = fit_factors(parts, label)
        try:
            scores = factors.scores(field.number, first or None)
        except ValueError as error:
            raise DataError(f"{label}: {error}.") from error
        return scores if field.kind == "factor" else gmpi(scores), [*parts.notes, *factors.notes]
    if field.kind == "clr":
        return parts.log(first) - parts.mean_log(columns), parts.notes
    if field.kind == "alr":
        return parts.log(first) - parts.log(field.parts[1]), parts.notes
    under = field.against or tuple(part for part in columns if part not in field.parts)
    over = len(field.parts)
    size = np.sqrt(over * len(under) / (over + len(under)))
    return size * (parts.mean_log(field.parts) - parts.mean_log(under)), parts.notes


def _called(text: str, kind: str, groups: list[tuple[str, ...]], barred: bool) -> Field:
    """A function with its arguments, those before and after the bar."""
    before, after = groups[0], groups[-1] if barred else ()
    if (barred and (kind != "ilr" or len(groups) > 2)) or "" in (*before, *after):
        raise ValueError(f"{text!r}: write it like {_EXAMPLES[kind]}")
    if len({*before, *after}) < len(before) + len(after):
        raise ValueError(f"{text!r}: a part is named twice")
    if kind in ("factor", "gmpi"):
        first, *rest = before
        if not re.fullmatch(r"[1-9]\d{0,5}", first) or len(rest) > 1:
            raise ValueError(f"{text!r}: write it like {_EXAMPLES[kind]}, the number of the factor first, from 1")
        return Field(kind, tuple(rest), (), int(first))
    wanted = 2 if kind == "alr" else 1
    if (kind != "ilr" and len(before) != wanted) or (kind == "ilr" and not barred and len(before) != 1):
        raise ValueError(f"{text!r}: write it like {_EXAMPLES[kind]}")
    return Field(kind, before, after)


_EXAMPLES: Mapping[str, str] = {
    "clr": "clr(Li)",
    "alr": "alr(Li, Ti)",
    "ilr": "ilr(Li) or ilr(Li, Be | Sn)",
    "log": "log(Li)",
    "boxcox": "boxcox(Li)",
    "factor": "factor(1) or factor(1, Li)",
    "gmpi": "gmpi(1) or gmpi(1, Li)",
}


def _arguments(text: str, whole: str) -> tuple[list[tuple[str, ...]], bool]:
    """Names between commas, in groups between bars, and whether there is a bar."""
    groups: list[list[str]] = [[]]
    at = 0
    while True:
        token = _TOKEN.match(text, at)
        if token is None:
            raise ValueError(f"{whole!r}: cannot be read from {text[at:]!r} on")
        groups[-1].append(next(name for name in token.groups() if name is not None).strip())
        at = token.end()
        if at == len(text):
            return [tuple(group) for group in groups], len(groups) > 1
        if text[at] == "|":
            groups.append([])
        elif text[at] != ",":
            raise ValueError(f"{whole!r}: cannot be read from {text[at:]!r} on; quote names with such signs")
        at += 1
