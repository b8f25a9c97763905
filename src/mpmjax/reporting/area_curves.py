"""Concentration-area curves of the report as PNG bytes, equal for equal input."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from mpmjax.reporting.drawing import ACCENT, FAINT, INK, MUTED, drawable, png, style
from mpmjax.reporting.words import plain

_COLUMNS = 3
_PIECES = "#12395b"


def fractal_png(curves: Mapping[str, Mapping[str, Any]]) -> bytes:
    """Small multiples of the area at or above a value against the value, both logarithmic, with the fitted pieces.

    Args:
        curves: by title, in their order: "curve" and "line", each (values, shares of the area), positive; "breaks",
            values, a line up and down at each.
    """
    columns = min(_COLUMNS, max(1, len(curves)))
    rows = max(1, math.ceil(len(curves) / columns))
    with style():
        figure = Figure(figsize=(7.4, 0.4 + 2.3 * rows), layout="constrained")
        grid = figure.subplots(rows, columns, squeeze=False).ravel()
        for axes, (name, curve) in zip(grid, curves.items(), strict=False):
            values, shares = curve["curve"]
            axes.plot(values, shares, "o", color=FAINT, markeredgecolor=MUTED, markeredgewidth=0.5, markersize=3)
            axes.plot(*curve["line"], "-", color=_PIECES, linewidth=1.5)
            for at in curve["breaks"]:
                axes.axvline(at, color=ACCENT, linewidth=1.0, zorder=1.8)
            axes.set_title(drawable(name, 26), size=9)
            axes.set(xscale="log", yscale="log")
            _ticks(axes, values[0], values[-1])
        for axes in grid[len(curves) :]:
            axes.set_axis_off()
        figure.supylabel("share of the area at or above", size=8, color=MUTED)
        note = "value;  points: the sampled cells, line: fitted pieces, upright lines: breaks"
        figure.supxlabel(note, size=8, color=MUTED)
        return png(figure)


def _ticks(axes: Axes, low: float, high: float) -> None:
    """Numbers as they are, not powers of ten; as many as there is room for, also where values span less than one."""
    decades = math.log10(high / low)
    every = (1, 2, 5) if decades < 1.5 else (1, 3) if decades < 2.3 else (1,)
    axes.xaxis.set_major_locator(LogLocator(subs=every, numticks=7))
    axes.yaxis.set_major_locator(LogLocator(numticks=6))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: plain(value)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g} %"))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_minor_locator(NullLocator())
    axes.tick_params(colors=INK, labelsize=7.5)
    axes.grid()
    axes.spines[["top", "right"]].set_visible(False)
