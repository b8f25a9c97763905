"""What `mpmjax compare` prints: two finished runs side by side, in lines that fit a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

MOST_RANKS = 15
MOST_DRIVERS = 4
MOST_DIFFERENCES = 15
MOST_LAYERS = 8
LEAST = 0.005
"""Change of a layer's share of the weights that is told."""


def lines_of(found: Mapping[str, Any]) -> Iterator[str]:
    """Lines for what `mpmjax.pipeline.compare` returns."""
    for run in "ab":
        about, targets = found[run], found["targets"][run]
        yield (
            f"{run.upper()}  {about['folder']}: {about['name']}, {about['valid_cells']:,} cells, "
            f"{about['area_km2']:,.0f} km2, {targets} targets"
        )
    yield from _maps(found)
    yield from _best(found["best"])
    yield from _targets(found["targets"])
    yield from _moved(found["moved"])
    yield from _fitted(found)


def _maps(found: Mapping[str, Any]) -> Iterator[str]:
    yield ""
    yield "How alike the maps are (correlations: 1 = the same order, 0 = unrelated)"
    yield (
        f"  {'map':<14} {'Spearman':>9} {'Pearson':>9} {'mean diff.':>11} {'cells in both':>14} {'only A':>9} "
        f"{'only B':>9}"
    )
    for name, row in found["maps"].items():
        yield (
            f"  {name:<14} {_number(row['spearman']):>9} {_number(row['pearson']):>9} "
            f"{_number(row['mean_difference'], 4):>11} {row['cells']:>14,} {row['only_a']:>9,} {row['only_b']:>9,}"
        )
    groups = found["groups"]
    yield (
        f"  Groups: {groups['k_a']} in A, {groups['k_b']} in B; adjusted Rand index {_number(groups['adjusted_rand'])} "
        f"(1 = the same groups, 0 = as by chance); same number in {_share(groups['same_number'])} of the cells"
    )


def _best(best: Mapping[str, Any]) -> Iterator[str]:
    yield ""
    yield "The best areas"
    heads = " ".join(f"{head:>10}" for head in ("A km2", "B km2", "both km2", "of A in B", "of B in A"))
    yield f"  {'share':<8} {heads} {'Jaccard':>9}"
    for share, row in best.items():
        areas = " ".join(f"{row[name]:>10,.1f}" for name in ("a_km2", "b_km2", "both_km2"))
        yield (
            f"  {float(share):<8.0%} {areas} {_share(row['a_in_b']):>10} {_share(row['b_in_a']):>10} "
            f"{_number(row['jaccard']):>9}"
        )


def _targets(targets: Mapping[str, Any]) -> Iterator[str]:
    yield ""
    yield "Targets"
    for run, other, lost, word in (("a", "B", "gone", "gone in B"), ("b", "A", "new", "new in B")):
        ranks = targets[lost]
        missing = f"; {word}: ranks {_few(ranks, MOST_RANKS)}" if ranks else ""
        yield (
            f"  {targets[f'{run}_met']} of {run.upper()}'s {targets[run]} overlap a target of {other} "
            f"({_share(targets[f'{run}_share'])} of their area lies in those){missing}"
        )
    if targets["best"]:
        yield f"  A's best {len(targets['best'])}: " + ", ".join(map(_followed, targets["best"]))


def _followed(target: Mapping[str, Any]) -> str:
    where = "gone" if target["rank_b"] is None else f"{target['rank_b']} ({target['share']:.0%})"
    return f"{target['rank']} -> {where}"


def _moved(moved: Mapping[str, Any]) -> Iterator[str]:
    yield ""
    yield f"What entered and left the best {moved['share']:.0%}, and the layers that drive these cells"
    for way in ("entered", "left"):
        row = moved[way]
        yield f"  {way + ':':<8} {row['cells']:,} cells, {row['km2']:,.1f} km2"
        if row["cells"]:
            for run in "ab":
                drivers = [f"{name} {count / row['cells']:.0%}" for name, count in row[f"drivers_{run}"].items()]
                yield f"    in {run.upper()} by {_few(drivers, MOST_DRIVERS)}"
            means = [f"{n} {_number(row['mean_a'][n])} -> {_number(row['mean_b'][n])}" for n in row["mean_a"]]
            yield f"    mean in A -> in B: {', '.join(means)}"


def _fitted(found: Mapping[str, Any]) -> Iterator[str]:
    differences = found["differences"]
    yield ""
    if not differences:
        yield "Fitted and set alike."
        return
    yield "What was fitted or set otherwise, layers first and of these the largest difference"
    for sentence in differences[:MOST_DIFFERENCES]:
        yield f"  {sentence}"
    if len(differences) > MOST_DIFFERENCES:
        yield f"  and {len(differences) - MOST_DIFFERENCES} more, which --json tells"
    shares = {row["name"]: (row["share_a"], row["share_b"]) for row in found["layers"] if row["apart"] is not None}
    moved = sorted((name for name in shares if _change(*shares[name]) >= LEAST), key=lambda n: -_change(*shares[n]))
    if moved:
        told = [f"{name} {_share(shares[name][0])} -> {_share(shares[name][1])}" for name in moved]
        yield f"  Weight in favourability, A -> B: {_few(told, MOST_LAYERS)}"


def _change(a: float, b: float) -> float:
    return abs(a - b)


def _few(words: Sequence[object], most: int) -> str:
    more = f" and {len(words) - most} more" if len(words) > most else ""
    return ", ".join(map(str, words[:most])) + more


def _number(value: float | None, places: int = 3) -> str:
    return "-" if value is None else f"{value:.{places}f}"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"
