"""The right name that a wrong one was probably meant to be, for messages of refusal."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

MOST = 20
"""How many allowed names a message lists."""


def nearest(word: str, allowed: Iterable[str]) -> str:
    """A sentence's end: "did you mean 'copper'?" where one is close, else the allowed names.

    Args:
        word: what was written.
        allowed: the right names, at least one.
    """
    names = list(dict.fromkeys(allowed))
    folded = {name.casefold(): name for name in reversed(names)}
    key = word.casefold()
    close = difflib.get_close_matches(key, list(folded), 1, cutoff=0.6)
    if key and not close:
        close = sorted(name for name in folded if name.startswith(key) or key.startswith(name))
    if close:
        return f"did you mean {folded[close[0]]!r}?"
    more = f" and {len(names) - MOST} more" if len(names) > MOST else ""
    return f"allowed: {', '.join(names[:MOST])}{more}"
