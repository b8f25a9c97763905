"""Expressions over named layers: `where(red > 0, log(copper / red), 0)`.

An expression is read by an own small parser (parser.py) into a short list of steps, never by Python's: nothing that is
written in a project file is run as code. What it may hold:

| written | means |
|---|---|
| `12`, `0.5`, `1e-3` | a number |
| `copper`, `` `Li-2 ppm` `` | the cell's value in a layer; backticks around a name with spaces, dashes or signs |
| `a + b`, `a - b`, `a * b`, `a / b`, `a ** b`, `-a` | arithmetic; `**` binds tighter than the minus before it |
| `a < b`, `<=`, `>`, `>=`, `==`, `!=` | 1 where it holds, else 0 |
| `a and b`, `a or b`, `not a` | cell by cell; true is what is not 0; the result is 1 or 0 |
| `where(c, a, b)` | a where c is not 0, else b |
| `min(a, b, ...)`, `max(a, b, ...)`, `clip(a, lowest, highest)` | the least, the largest, a held within limits |
| `log(a)`, `log10(a)`, `exp(a)`, `sqrt(a)`, `abs(a)` | log is the natural logarithm |

Missing is NaN and stays so: a cell is missing where any value that its result needs is missing. `where` needs its
condition and the branch that it takes; every other operation needs all of its operands (also `a ** 0`, `a * 0`,
`a or 1`). Where a result is not defined (division by 0, log of what is not above 0, the root of a negative number, what
float64 cannot hold) the cell is missing too, is counted, and raises no warning.
"""

from mpmjax.evidence.expression.parser import parse
from mpmjax.evidence.expression.program import Expression
from mpmjax.evidence.expression.text import ExpressionError, quoted

__all__ = ["Expression", "ExpressionError", "parse", "quoted"]
