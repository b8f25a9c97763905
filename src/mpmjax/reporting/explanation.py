"""Why a cell or a target got its score: one sentence, and one figure as PNG bytes, equal for equal input."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D

from mpmjax.reporting.drawing import ACCENT, FAINT, INK, MUTED, drawable, png, style
from mpmjax.reporting.palette import SHARES
from mpmjax.reporting.words import fixed, listed, percent, signed

MOST_LAYERS = 20
MOST_NAMED = 3
TELLING = 0.1
"""A membership this far from the sample's median is worth a word."""
SURE = 0.75
"""Below this confidence the cell could about as well lie on the other side of the cut."""
RARE = 0.95
"""Rank of the anomaly from which on the combination of layers is called unusual."""
FOR, AGAINST = "#12395b", ACCENT
MORE, LESS = "#8fabc4", "#e0a88f"
"""Of residuals: paler, for whiskers lie over them, and more than expected is neither good nor bad."""


def title_of(place: Mapping[str, Any]) -> str:
    """ "Target 3" or "Cell at 640030, 3699970"."""
    if place["target"] is not None:
        return f"Target {place['target']}"
    return f"Cell at {place['x']:.0f}, {place['y']:.0f}"


def by_contribution(layers: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Layers with the largest contribution to the driver first; those without a direction last, most unusual first."""
    return sorted(layers, key=lambda row: (row["drive"] is None, -(row["drive"] or 0.0), -abs(row["residual"] or 0.0)))


def in_a_sentence(found: Mapping[str, Any]) -> str:
    """What speaks for the cell or target and what against it, in one sentence or two.

    For and against are the directed layers whose membership is above or below the sample's median by TELLING, those
    first that move the weighted mean most.

    Args:
        found: place, scores and layers, as stages/explain.py returns them.
    """
    scores, name = found["scores"], title_of(found["place"])
    best = scores["class"] <= len(SHARES)
    known = [row for row in found["layers"] if row["weight"] > 0 and row["membership"] is not None]
    known.sort(key=lambda row: -row["weight"] * abs(row["membership"] - row["median"]))
    high = [row for row in known if row["membership"] - row["median"] >= TELLING]
    low = [row for row in known if row["median"] - row["membership"] >= TELLING]
    pros = [f"{row['name']} ({fixed(row['membership'])})" for row in high[:MOST_NAMED]]
    where = f"prospectivity {fixed(scores['prospectivity'], 3)}"
    where += f", in the best {SHARES[scores['class'] - 1]:.0%} of the area" if best else ""
    unusual = scores["anomaly"] >= RARE
    if best and pros:
        said = f"{name} stands out ({where}) because {listed(pros)} {_are(pros)} more favourable than usual"
        said += ", and because such a combination is rare" if unusual else ""
    elif best:
        why = "such a combination is rare" if unusual else "the layers together reach that rank"
        said = f"{name} stands out ({where}) although no layer alone is far above its median: {why}"
    else:
        said = f"{name} does not stand out ({where})"
        said += f", although {listed(pros)} {_are(pros)} more favourable than usual" if pros else ""
    return f"{said}. {_against(found, low, best)}"


def _against(found: Mapping[str, Any], low: Sequence[Mapping[str, Any]], best: bool) -> str:
    scores = found["scores"]
    cons = []
    if low:
        worst = [f"{row['name']} ({fixed(row['membership'])}, median {fixed(row['median'])})" for row in low]
        cons.append(f"{listed(worst[:MOST_NAMED])} {_are(worst[:MOST_NAMED])} less favourable than usual")
    gone = [row["name"] for row in found["layers"] if row["missing"] == 1.0]
    if gone:
        more = [f"{len(gone) - MOST_NAMED} more"] if len(gone) > MOST_NAMED else []
        cons.append(f"no data of {listed([*gone[:MOST_NAMED], *more])}")
    if best and scores["confidence"] < SURE:
        cons.append(f"fitted again it may fall out of the best area (confidence {fixed(scores['confidence'])})")
    if best and scores["anomaly"] < 0.5:
        cons.append(f"such a combination is ordinary (anomaly {fixed(scores['anomaly'])})")
    if not cons:
        return "Nothing in the layers speaks against it." if best else "No layer is far below its median either."
    return f"{'Against it' if best else 'The reason'}: {'; '.join(cons)}."


def _are(names: Sequence[str]) -> str:
    return "is" if len(names) == 1 else "are"


def explanation_png(found: Mapping[str, Any]) -> bytes:
    """Three panels with a row a layer: membership, signed residual, and what prospectivity would be.

    At most MOST_LAYERS layers are drawn, those with the largest contribution to the driver.

    Args:
        found: place, scores and layers, as stages/explain.py returns them.
    """
    rows = by_contribution(found["layers"])
    left_out = len(rows) - MOST_LAYERS
    rows = rows[:MOST_LAYERS]
    with style():
        height = 1.95 + 0.27 * len(rows)
        room = ConstrainedLayoutEngine(rect=(0.008, 0.30 / height, 0.984, 1.0 - 0.92 / height), wspace=0.05)
        figure = Figure(figsize=(9.4, height), layout=room)
        left, middle, right = figure.subplots(1, 3, sharey=True, width_ratios=(1.25, 1.0, 1.0))
        y = np.arange(len(rows))
        _memberships(left, y, rows)
        _residuals(middle, y, rows)
        _changes(right, y, rows, found["scores"]["prospectivity"])
        left.set_yticks(y, [drawable(row["name"], 24) for row in rows])
        left.set_ylim(len(rows) - 0.4, -0.6)
        for axes in (left, middle, right):
            axes.tick_params(axis="y", length=0)
            axes.spines[["top", "right", "left"]].set_visible(False)
            axes.grid(axis="x")
            axes.set_axisbelow(True)
        for label in left.get_yticklabels():
            label.set_color(INK)
        _words(figure, found, left_out)
        return png(figure)


def _memberships(axes: Axes, y: np.ndarray, rows: Sequence[Mapping[str, Any]]) -> None:
    for at, row in zip(y, rows, strict=True):
        if row["membership"] is None:
            axes.text(0.015, at, "no data", va="center", size=7.5, color=MUTED)
        else:
            axes.barh(at, row["membership"], 0.62, color=FOR if row["weight"] > 0 else FAINT)
        axes.plot([row["median"]] * 2, [at - 0.42, at + 0.42], color=ACCENT, linewidth=1.6)
        if row["group"] is not None:
            axes.plot(row["group"], at, "D", markersize=4, markerfacecolor="white", markeredgecolor=INK, zorder=4)
    axes.set(title="Membership", xlim=(0, 1.02), xlabel="0 unfavourable, 1 favourable")


def _residuals(axes: Axes, y: np.ndarray, rows: Sequence[Mapping[str, Any]]) -> None:
    known = [(at, row) for at, row in zip(y, rows, strict=True) if row["residual"] is not None]
    values, spreads = (np.array([row[name] for _, row in known]) for name in ("residual", "residual_sd"))
    places = [at for at, _ in known]
    axes.barh(places, values, 0.62, color=[MORE if v > 0 else LESS for v in values])
    axes.errorbar(values, places, xerr=spreads, fmt="none", ecolor=INK, elinewidth=1.1, capsize=2.5)
    widest = max(3.0, 1.08 * float((np.abs(values) + spreads).max(initial=0.0)))
    axes.axvline(0, color=MUTED, linewidth=0.8)
    axes.set(title="Residual (standardised)", xlim=(-widest, widest), xlabel="below ← what the others suggest → above")


def _changes(axes: Axes, y: np.ndarray, rows: Sequence[Mapping[str, Any]], now: float) -> None:
    values = np.array([np.nan if row["at_median"] is None else row["at_median"] - now for row in rows])
    axes.barh(y, np.nan_to_num(values), 0.62, color=[FOR if v < 0 else AGAINST for v in values])
    widest = max(0.02, 1.6 * float(np.nanmax(np.abs(values), initial=0.0)))
    for at, value in zip(y, values, strict=True):
        if np.isfinite(value):
            axes.text(
                value + (0.02 * widest if value > 0 else -0.02 * widest),
                at,
                signed(value),
                ha="left" if value > 0 else "right",
                va="center",
                size=7,
                color=MUTED,
            )
    axes.axvline(0, color=MUTED, linewidth=0.8)
    axes.set(title="Layer at its median", xlim=(-widest, widest), xlabel="change of prospectivity")


def _words(figure: Figure, found: Mapping[str, Any], left_out: int) -> None:
    place, scores = found["place"], found["scores"]
    height = figure.get_size_inches()[1]
    figure.text(0.012, 1 - 0.10 / height, title_of(place), va="top", size=12.5, weight="bold")
    where = f"{fixed(place['lon'], 4)}, {fixed(place['lat'], 4)}"
    cells = f"   {place['cells']:,} cells" if place["target"] is not None else ""
    line = (
        f"{where}{cells}   prospectivity {fixed(scores['prospectivity'], 3)}   favourability "
        f"{fixed(scores['favourability'])}   anomaly {fixed(scores['anomaly'])}   confidence "
        f"{fixed(scores['confidence'])}   coverage {percent(scores['coverage'])}   group {scores['groups']}"
    )
    figure.text(0.012, 1 - 0.38 / height, line, va="top", size=8.5, color=MUTED)
    keys = [
        Line2D([], [], color=ACCENT, linewidth=1.6, label="median of the sample"),
        Line2D(
            [],
            [],
            marker="D",
            color=INK,
            markerfacecolor="white",
            markersize=4,
            linestyle="",
            label="mean of the group",
        ),
        Line2D([], [], color=FAINT, linewidth=6, label="layer without a direction"),
        Line2D([], [], color=INK, linewidth=1.1, label="standard deviation of the members"),
    ]
    figure.legend(handles=keys, loc="lower left", ncols=4, bbox_to_anchor=(0.005, 0.0))
    if left_out > 0:
        figure.text(
            0.988, 1 - 0.12 / height, f"{left_out} more layers not drawn", ha="right", va="top", size=8, color=MUTED
        )
