"""What is noticed about sources, kept apart from its wording, so that what holds for many layers is said once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

MOST = 6
"""How many layers a sentence names before "and N more"."""


@dataclass(frozen=True)
class Remark:
    """One thing to know about one source.

    Attributes:
        who: what messages call the source, like "layer 'Li'", "mask" or "occurrences".
        text: what holds and what to do; the same words for every source that it holds for.
        detail: this source's own figures, or "".
    """

    who: str
    text: str
    detail: str = ""


def sentences(remarks: Iterable[Remark]) -> list[str]:
    """One sentence a text, in the order in which the texts came: who it holds for, and what."""
    groups: dict[str, list[Remark]] = {}
    for remark in remarks:
        groups.setdefault(remark.text, []).append(remark)
    return [f"{together([_name(r) for r in group])}: {text}" for text, group in groups.items()]


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
