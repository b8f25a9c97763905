"""Cells of a table as laboratories write them -> numbers, and what kind of statement each of them is.

12.5  1e-3  3,5         measured; a decimal comma only where commas do not separate the columns
<5  < 0.5  <=1          below a detection limit
>1000  >=10             above the upper limit; the limit stands for the value
BDL  n.d.  <LOD  tr     below a limit that is not stated
(blank)  n.a.  NaN  -   missing
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mpmjax.errors import DataError

MEASURED, BELOW, ABOVE, UNDETECTED, MISSING = range(5)
"""Kinds of cells. The number of BELOW and ABOVE is the limit; that of UNDETECTED and MISSING is NaN."""

_MISSING = ",na,n/a,nan,null,none,-,--,*,?,#n/a,#na,nm,ns,is,inss,lnr,no data,nodata,not analysed,not analyzed,missing"
_UNSEEN = "bdl,bld,bd,dl,<dl,<lod,<mdl,<ldl,<lld,<lor,<loq,<bdl,<,lod,nd,udl,not detected,below detection,nil,tr,trace"

NOTHING = frozenset((*_MISSING.split(","), "not determined", "insufficient sample"))
"""Words for a missing value, in lower case without points; IS, INSS and LNR are insufficient and not received."""

UNSEEN = frozenset((*_UNSEEN.split(","), "below detection limit", "traces"))
"""Words for a value below a limit that is not stated, in lower case without points."""

SENTINELS = (-999.0, -9999.0, -99999.0, -999999.0, -9999999.0, -99999999.0, -32768.0)
"""Numbers that stand for a missing value and are no measurement, nor the negative of a detection limit."""

_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_LIMIT = re.compile(rf"([<>≤≥])\s*=?\s*({_NUMBER})")
_COMMA = re.compile(r"(?:[<>≤≥]\s*=?\s*)?[+-]?\d*,(\d+)(?:[eE][+-]?\d+)?")
_NUMBERS = re.compile(rf"(?:[<>≤≥]\s*=?\s*)?{_NUMBER}")


@dataclass(frozen=True)
class Cells:
    """A column as numbers.

    Attributes:
        numbers: float64 [n], the value or the limit, NaN where there is none.
        kinds: uint8 [n], MEASURED, BELOW, ABOVE, UNDETECTED or MISSING.
    """

    numbers: np.ndarray
    kinds: np.ndarray


def parse_cells(
    texts: Sequence[str], lines: Sequence[int], column: str, label: str, *, decimal_comma: bool = False
) -> Cells:
    """Numbers of a column of text.

    Args:
        texts: n cells.
        lines: of the file, for messages.
        decimal_comma: whether 3,5 is a number, see `has_decimal_commas`.

    Raises:
        DataError: a cell that is neither a number, nor a limit, nor a word for a missing value.
    """
    numbers = np.full(len(texts), np.nan)
    kinds = np.full(len(texts), MISSING, np.uint8)
    for i, text in enumerate(texts):
        plain = text.strip()
        if decimal_comma and "," in plain and _COMMA.fullmatch(plain):
            plain = plain.replace(",", ".")
        number = _plain_number(plain)
        if number is None:
            numbers[i], kinds[i] = _statement(plain, lines[i], column, label)
        else:
            numbers[i], kinds[i] = number, MEASURED if math.isfinite(number) else MISSING
    numbers[kinds == MISSING] = np.nan
    return _without_sentinels(Cells(numbers, kinds))


def numeric_cells(values: np.ndarray) -> Cells:
    """The same for a column of numbers [n], NaN or infinite where missing."""
    numbers = np.array(values, np.float64)
    kinds = np.where(np.isfinite(numbers), MEASURED, MISSING).astype(np.uint8)
    numbers[kinds == MISSING] = np.nan
    return _without_sentinels(Cells(numbers, kinds))


def has_decimal_commas(columns: Mapping[str, Sequence[str]], label: str) -> bool:
    """Whether a table writes 3,5 for 3.5: some cell has a comma, and not only before three digits.

    Raises:
        DataError: every comma stands before three digits, where it may separate thousands as well, or points and commas
            are mixed.
    """
    commas: list[tuple[str, str, str]] = []
    pointed = ""
    for column, texts in columns.items():
        for text in texts:
            if "," in text:
                match = _COMMA.fullmatch(text.strip())
                commas += [(column, match[0], match[1])] if match else []
            elif "." in text and not pointed and _NUMBERS.fullmatch(text.strip()):
                pointed = text.strip()
    if not commas:
        return False
    column, text, _ = commas[0]
    if all(len(digits) == 3 for _, _, digits in commas):
        problem = "a decimal comma, or thousands? Every comma of the table stands before three digits"
    elif pointed:
        problem = f"a decimal comma, while other cells hold points, like {pointed!r}"
    else:
        return True
    raise DataError(
        f"{label}: the column {column!r} holds {text!r}: {problem}. Write numbers with a decimal point and without "
        "separators of thousands."
    )


def _plain_number(text: str) -> float | None:
    """A number, NaN and infinities included; None for anything else, and for 1_000, which Python would take."""
    try:
        return None if "_" in text else float(text)
    except ValueError:
        return None


def _without_sentinels(cells: Cells) -> Cells:
    """-9999 and its like, and the -1e30 and -3.4e38 of grids, are missing."""
    stands_in = np.isin(cells.numbers, SENTINELS) | (np.abs(cells.numbers) >= 1e30)
    return Cells(np.where(stands_in, np.nan, cells.numbers), np.where(stands_in, MISSING, cells.kinds).astype(np.uint8))


def _statement(text: str, line: int, column: str, label: str) -> tuple[float, int]:
    """Number and kind of a cell that is no plain number."""
    limit = _LIMIT.fullmatch(text)
    if limit is not None and float(limit[2]) >= 0.0:
        return float(limit[2]), BELOW if limit[1] in "<≤" else ABOVE
    word = " ".join(text.lower().replace(".", "").split()).replace("< ", "<")
    if word in NOTHING:
        return np.nan, MISSING
    if word in UNSEEN:
        return np.nan, UNDETECTED
    raise DataError(
        f"{label}, line {line}: the column {column!r} holds {text!r}, which is no number. Write 12.5 for a value, <5 "
        "for one below its detection limit, and leave the cell blank where nothing was measured; the unit is stated "
        "in units = { ... }."
    )
