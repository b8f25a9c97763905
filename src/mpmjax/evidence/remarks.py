"""What is noticed about sources, kept apart from its wording, so that what holds for many layers is said once."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

MOST = 6
"""How many layers a sentence names before "and N more"."""


_OF_A_LAYER = re.compile(r"(layer '[^']*'): (.*)", re.DOTALL)


@dataclass(frozen=True)
class Remark:
    """One thing to know about one source.

    Attributes:
        who: what messages call the source, like "layer 'Li'", "mask" or "occurrences"; "" where the text says it.
        text: what holds and what to do; the same words for every source that it holds for.
        detail: this source's own figures, or "".
    """

    who: str
    text: str
    detail: str = ""


class Fact(str):
    """A note of what was done, which asks for nothing: it goes into run.json beside its layer, and is no warning."""

    __slots__ = ()


def facts(notes: Iterable[str]) -> list[str]:
    """Those of the notes that ask for nothing, as plain text."""
    return [str(note) for note in notes if isinstance(note, Fact)]


def doubts(notes: Iterable[str]) -> list[str]:
    """Those of the notes that should be looked at."""
    return [note for note in notes if not isinstance(note, Fact)]


def gathered(notes: Iterable[str]) -> list[str]:
    """Notes in their order, where what is said of several layers, word for word, is said once."""
    split = [_OF_A_LAYER.fullmatch(note) for note in notes]
    parts = zip(notes, split, strict=True)
    return sentences(Remark(found[1], found[2]) if found else Remark("", note) for note, found in parts)


def sentences(remarks: Iterable[Remark]) -> list[str]:
    """One sentence a text, in the order in which the texts came: who it holds for, and what."""
    groups: dict[str, list[Remark]] = {}
    for remark in remarks:
        groups.setdefault(remark.text, []).append(remark)
    told = {text: together([_name(r) for r in group if r.who]) for text, group in groups.items()}
    return [f"{who}: {text}" if who else text for text, who in told.items()]


def several(names: Sequence[str], most: int = MOST) -> str:
    """The first few names and how many more there are; two more than `most` are worth it, one is not."""
    if len(names) <= most + 1:
        return ", ".join(names)
    return f"{', '.join(names[:most])} and {len(names) - most} more"


def _name(remark: Remark) -> str:
    return f"{remark.who} ({remark.detail})" if remark.detail else remark.who


def together(names: Sequence[str]) -> str:
    """layer 'a', layer 'b', mask -> layers 'a', 'b' and mask."""
    layers = [name.removeprefix("layer ") for name in names if name.startswith("layer ")]
    others = [name for name in names if not name.startswith("layer ")]
    shared = [f"layer{'s' if len(layers) > 1 else ''} {several(layers)}"] if layers else []
    return " and ".join(shared + others)
