"""What a synthetic district can be made to be, beside the plain one: who knows of the deposits, and what else is there.

A method that finds the deposits of one kind of district may miss those of another. Each scenario changes one thing of
which the plain district has a fixed measure, so that it can be seen what a method makes of it. Amplitudes are in
scores: standard deviations of a layer over ordinary ground, after its logarithm where it has one, counted in the
direction that is favourable (up, where a layer has none).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields

from mpmjax.errors import ProjectError

MOST_BARREN = 20.0
MOST_MISSING = 0.9
MOST_NOISE = 10.0


@dataclass(frozen=True)
class Scenario:
    """Departures from the plain district, in any combination; the names are those of its layers.

    Attributes:
        together: co-favourable layers: the deposits lie anywhere and show in each of these a little (1.0 to 2.2), in
            none of them clearly, and in no other layer. Two layers at least.
        pair: two layers: the deposits lie anywhere and show in both of them (2.0 to 3.2), and in no other layer. Each
            of the two shows as much at five times as many places without a deposit. Excludes `together`.
        redundant: layer -> the layer that it repeats, but for a little noise of its own (0.15).
        barren: anomalies in 100 km2 that show strongly (3.0 to 5.0) in one layer, each in any, and hold nothing; none
            within 2 km of a deposit. 0 to 20. What the plain district has of them stays.
        missing: layer -> share of the map sheets, 4 km x 4 km, where it has no data, 0 to 0.9.
        noise: layer -> standard deviation of noise that is added to it, 0 to 10.
    """

    together: tuple[str, ...] = ()
    pair: tuple[str, ...] = ()
    redundant: Mapping[str, str] = field(default_factory=dict)
    barren: float = 0.0
    missing: Mapping[str, float] = field(default_factory=dict)
    noise: Mapping[str, float] = field(default_factory=dict)

    @property
    def shown(self) -> tuple[str, ...]:
        """The layers that the deposits show in; empty where geology puts them, as in the plain district."""
        return tuple(self.together or self.pair)

    @property
    def words(self) -> str:
        """What is not plain, for the project file; empty if all is."""
        parts = []
        for item in fields(self):
            value = getattr(self, item.name)
            if isinstance(value, Mapping):
                value = [f"{name} {more}" for name, more in value.items()]
            if value:
                parts.append(f"{item.name} {value if isinstance(value, float | int) else ', '.join(value)}")
        return "; ".join(parts)

    def require(self, names: Sequence[str]) -> None:
        """Refuse what a district with layers of these names cannot be.

        Raises:
            ProjectError: names the attribute, what it is and what is allowed.
        """
        named = {"redundant": [*self.redundant, *self.redundant.values()]}
        named |= {name: list(getattr(self, name)) for name in ("together", "pair", "missing", "noise")}
        for attribute, given in named.items():
            for name in given:
                if name not in names:
                    raise ProjectError(f"{attribute}: got {name!r}; allowed: {', '.join(names)}.")
        _require(len(set(self.together)) == len(self.together) != 1, "together", self.together, "two layers or more")
        _require(len(set(self.pair)) == len(self.pair) in (0, 2), "pair", self.pair, "two layers")
        _require(not (self.together and self.pair), "pair", self.pair, "one of pair and together, not both")
        copies = set(self.redundant)
        free = not copies & {*self.redundant.values(), *self.shown}
        _require(free, "redundant", dict(self.redundant), "layers that no other repeats and no deposit shows in")
        _require(copies < set(names), "redundant", dict(self.redundant), "some of the layers, not all")
        _require(0.0 <= self.barren <= MOST_BARREN, "barren", self.barren, f"0 to {MOST_BARREN:g}")
        for attribute, most in (("missing", MOST_MISSING), ("noise", MOST_NOISE)):
            for name, value in getattr(self, attribute).items():
                _require(0.0 <= value <= most, f"{attribute} of {name}", value, f"0 to {most:g}")


def _require(holds: bool, attribute: str, value: object, allowed: str) -> None:
    if not holds:
        raise ProjectError(f"{attribute}: got {value!r}; allowed: {allowed}.")
