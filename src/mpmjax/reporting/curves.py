"""Curves of the report as PNG bytes, equal for equal input: training, number of groups, validation."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedFormatter, FixedLocator, FuncFormatter, LogLocator, NullLocator, PercentFormatter

from mpmjax.reporting.drawing import ACCENT, FAINT, INK, MUTED, drawable, png, style
from mpmjax.reporting.words import fixed, method

_CRITERIA = (
    ("message_length", "Message length", min),
    ("silhouette", "Silhouette", max),
    ("davies_bouldin", "Davies-Bouldin", min),
    ("calinski_harabasz", "Calinski-Harabasz", max),
    ("stability", "Stability (ARI)", max),
    ("agreement", "Agreement of halves (ARI)", max),
    ("mean_rank", "Mean rank of the five", min),
)

_METHOD_LINES = {
    "prospectivity": ("#12395b", "-", 2.4),
    "favourability": ("#1b9e8a", "-", 1.5),
    "gamma": ("#d95f02", "--", 1.5),
    "anomaly": ("#a3478f", "-.", 1.5),
}
_OTHER_LINES = ("#7a5c2e", "#4c78a8", "#6b7d1f", "#8c3b3b", "#5f5f5f")


def lines_png(
    train_loss: Sequence[Sequence[float]],
    val_loss: Sequence[Sequence[float]],
    val_steps: Sequence[float],
    *,
    best_step: Sequence[float] = (),
    excluded: Sequence[int] = (),
) -> bytes:
    """Loss curves of the ensemble's members, training and held-out blocks side by side on one log scale.

    Args:
        train_loss: E curves, one value a step (or evenly thinned to the range of `val_steps`).
        val_loss: E curves at `val_steps`.
        best_step: E steps of early stopping, a dot on the held-out curve.
        excluded: members (their index in the curves) that were left out, drawn dashed.
    """
    with style():
        figure = Figure(figsize=(7.4, 2.9), layout="constrained")
        left, right = figure.subplots(1, 2, sharey=True)
        last = max([float(step) for step in val_steps], default=float(max(map(len, train_loss), default=1)))
        for member, curve in enumerate(train_loss):
            steps = np.linspace(last / max(len(curve), 1), last, len(curve))
            left.plot(steps, _floats(curve), **_member_line(member in excluded))
        for member, curve in enumerate(val_loss):
            steps, losses = np.asarray(val_steps, dtype=float)[: len(curve)], _floats(curve)
            right.plot(steps, losses, **_member_line(member in excluded))
            if steps.size and member < len(best_step) and member not in excluded:
                best = int(np.argmin(np.abs(steps - float(best_step[member]))))
                right.plot(steps[best], losses[best], "o", color=ACCENT, markersize=3.6, zorder=4)
        left.set(title="Training", xlabel="step", ylabel="loss", yscale="log")
        right.set(title="Held-out blocks", xlabel="step")
        left.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        left.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        left.yaxis.set_minor_locator(NullLocator())
        for axes in (left, right):
            axes.grid(axis="y")
            axes.spines[["top", "right"]].set_visible(False)
        return png(figure)


def criteria_png(criteria: Mapping[str, Sequence[float]], chosen: int | None = None) -> bytes:
    """Small multiples of the criteria over the number of groups K; the chosen K is marked in each.

    Args:
        criteria: "k" and any of message_length, silhouette, davies_bouldin, calinski_harabasz, stability, agreement,
            mean_rank, each as long as "k". A criterion that is absent or has no finite value gets no panel.
    """
    k = np.asarray(criteria["k"], dtype=float)
    panels = [row for row in _CRITERIA if criteria.get(row[0]) and np.isfinite(_floats(criteria[row[0]])).any()]
    columns = min(3, max(1, len(panels)))
    rows = max(1, math.ceil(len(panels) / columns))
    with style():
        figure = Figure(figsize=(7.4, 0.4 + 1.75 * rows), layout="constrained")
        grid = figure.subplots(rows, columns, squeeze=False).ravel()
        for axes, (name, title, best) in zip(grid, panels, strict=False):
            values = _floats(criteria[name])
            axes.plot(k, values, "o-", color=MUTED, markersize=3, linewidth=1.2)
            finite = [index for index in range(k.size) if np.isfinite(values[index])]
            at = best(finite, key=lambda index: values[index])
            axes.plot(k[at], values[at], "o", markersize=7, markerfacecolor="none", markeredgecolor=INK)
            if chosen is not None:
                axes.axvline(chosen, color=ACCENT, linewidth=1.2, zorder=0)
            axes.set_title(f"{title} {'↑' if best is max else '↓'}", size=9)
            axes.set_xticks(k)
            axes.ticklabel_format(axis="y", useOffset=False)
            axes.spines[["top", "right"]].set_visible(False)
            axes.grid(axis="y")
        for axes in grid[len(panels) :]:
            axes.set_axis_off()
        note = "number of groups K;  ↑ high is better, ↓ low is better;  line: chosen, ring: best by this criterion"
        figure.supxlabel(note, size=8, color=MUTED)
        return png(figure)


def success_png(curves: Mapping[str, Mapping[str, Any]], *, log_x: bool = False) -> bytes:
    """Success-rate curves: share of the occurrences found against share of the area searched, best cells first.

    Args:
        curves: by method: "area" and "capture" (ascending, equal length, 0..1) and "auc".
        log_x: logarithmic area axis from 0.1 %, where a screening is decided.
    """
    with style():
        figure = Figure(figsize=(4.9, 3.9 + 0.18 * math.ceil(len(curves) / 2)), layout="constrained")
        axes = figure.subplots()
        line = np.geomspace(1e-3, 1, 200) if log_x else np.array([0.0, 1.0])
        axes.plot(line, line, color=FAINT, linewidth=1.2, label="by chance  AUC 0.50")
        for name, curve in curves.items():
            label = f"{drawable(method(name), 26)}  AUC {fixed(curve.get('auc'))}"
            axes.plot(_floats(curve["area"]), _floats(curve["capture"]), label=label, **_method_line(name, curves))
        axes.set(title="Success rate", ylim=(0, 1.005))
        _area_axis(axes, log_x)
        axes.set_ylabel("share of known occurrences")
        axes.yaxis.set_major_formatter(PercentFormatter(1.0))
        _legend_below(figure)
        return png(figure)


def pa_png(curves: Mapping[str, Mapping[str, Any]]) -> bytes:
    """Prediction-area plot: prediction rate rises, the area left falls, and the higher they cross the better.

    Both are drawn against the area share above the threshold, so that all methods share one falling line; they
    cross where Pr + Oa = 1, marked with Nd = Pr / Oa in the legend.

    Args:
        curves: by method: "area", "capture" as in `success_png`, and "pa" with pr, oa, nd.
    """
    with style():
        figure = Figure(figsize=(4.9, 3.9 + 0.18 * math.ceil(len(curves) / 2)), layout="constrained")
        axes = figure.subplots()
        axes.plot([0, 1], [1, 0], color=MUTED, linewidth=1.2, linestyle=":", label="area left, 1 − Oa")
        for name, curve in curves.items():
            look, pa = _method_line(name, curves), curve.get("pa") or {}
            label = f"{drawable(method(name), 26)}  Nd {fixed(pa.get('nd'))}"
            axes.plot(_floats(curve["area"]), _floats(curve["capture"]), label=label, **look)
            if pa.get("oa") is not None and pa.get("pr") is not None:
                axes.plot(pa["oa"], pa["pr"], "o", color=look["color"], markersize=6, markeredgecolor="white", zorder=4)
        axes.set(title="Prediction-area", ylim=(0, 1.005))
        _area_axis(axes, False)
        axes.set_ylabel("prediction rate Pr, and area left")
        axes.yaxis.set_major_formatter(PercentFormatter(1.0))
        _legend_below(figure)
        return png(figure)


def _area_axis(axes: Axes, log_x: bool) -> None:
    axes.set_xlabel("share of the area, best cells first" + (" (logarithmic)" if log_x else ""))
    axes.grid()
    axes.spines[["top", "right"]].set_visible(False)
    if not log_x:
        axes.set_xlim(0, 1)
        axes.xaxis.set_major_formatter(PercentFormatter(1.0))
        return
    ticks = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
    axes.set(xscale="log", xlim=(1e-3, 1))
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_major_formatter(FixedFormatter([f"{100 * tick:g} %" for tick in ticks]))
    axes.xaxis.set_minor_locator(NullLocator())


def _legend_below(figure: Figure) -> None:
    """All methods under the axes: inside them they would cover the curves of the weaker ones."""
    figure.legend(loc="outside lower left", ncols=2)


def _method_line(name: str, names: Mapping[str, Any]) -> dict[str, Any]:
    others = [other for other in names if other not in _METHOD_LINES]
    plain = (_OTHER_LINES[others.index(name) % len(_OTHER_LINES)], ":", 1.3) if name in others else None
    colour, dashes, width = plain or _METHOD_LINES[name]
    return {"color": colour, "linestyle": dashes, "linewidth": width}


def _member_line(excluded: bool) -> dict[str, Any]:
    if excluded:
        return {"color": ACCENT, "linewidth": 1.0, "linestyle": "--"}
    return {"color": "#12395b", "linewidth": 0.8, "alpha": 0.5}


def _floats(values: Sequence[Any]) -> np.ndarray:
    """float64 with None as NaN, which lines leave out."""
    return np.array([math.nan if value is None else value for value in values], dtype=float)
