"""The pictures of the page, as SVG: who is faster, and how near each row is to what the machine allows.

Text is drawn as outlines, so that it fits wherever the page is opened. Colours are those of Okabe and Ito, which stay
apart for all common kinds of colour blindness; what they say is said by position too.
"""

from __future__ import annotations

import io
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

from mpmjax.reporting import drawing

from .clock import Spread
from .machine import Machine
from .rows import COPY, Result, share_of

INK, GREY = "#000000", "#8a8a8a"
FASTER, SLOWER, OURS = "#0072b2", "#d55e00", "#cccccc"
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "path",
    "svg.hashsalt": "mpmjax",  # names of clips do not change from page to page
    **dict.fromkeys(("axes.labelcolor", "xtick.color", "ytick.color", "text.color"), INK),
}
_LINE = 0.235
"""Inches a bar."""
_LABEL = 0.52
"""Inches a label of three lines."""


@contextmanager
def _style() -> Iterator[None]:
    """The style of the project's own report, in black."""
    with drawing.style(), mpl.rc_context(_STYLE):
        yield


def svg(figure: Figure) -> str:
    """The figure as SVG without dates; equal figures give equal text."""
    buffer = io.StringIO()
    with _style():
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return buffer.getvalue()


def limits(results: Sequence[Result]) -> tuple[float, float]:
    """A range of ratios that holds all whiskers of these rows, and 1."""
    ends = [end for item in results for ratio in opponents(item).values() for end in (ratio.p10, ratio.p90)]
    return min([0.8, *ends]) / 1.15, max([1.25, *ends]) * 1.15


def opponents(item: Result) -> dict[str, Spread]:
    """Whoever the op is compared with, the hardest first; the copy is a floor and no opponent."""
    ratios = {name: ratio for name, ratio in item.times_faster.items() if name != COPY}
    return dict(sorted(ratios.items(), key=lambda named: named[1].median))


def bars(item: Result, between: tuple[float, float]) -> str:
    """Times faster than each opponent, with whiskers from p10 to p90 and a line at 1; logarithmic."""
    ratios = opponents(item)
    with _style():
        height = _LINE * len(ratios)
        figure = Figure(figsize=(5.2, height + 0.62))
        axes = figure.add_axes((0.37, 0.52 / (height + 0.62), 0.37, height / (height + 0.62)))
        axes.set_xscale("log")
        axes.set_xlim(between)
        axes.set_ylim(len(ratios) - 0.5, -0.5)
        for at, (name, ratio) in enumerate(ratios.items()):
            colour = FASTER if ratio.p10 > 1 else SLOWER if ratio.p90 < 1 else GREY
            axes.barh(at, ratio.median - 1, left=1, height=0.62, color=colour if item.is_rival(name) else OURS)
            axes.plot([ratio.p10, ratio.p90], [at, at], color=INK, linewidth=1.1)
            axes.plot([ratio.p10, ratio.p90], [at, at], "|", color=INK, markersize=5)
            words = f"{plain(ratio.median)} ({plain(ratio.p10)}–{plain(ratio.p90)})"
            axes.text(1.03, at, words, transform=axes.get_yaxis_transform(), va="center", fontsize=8)
        axes.axvline(1, color=INK, linewidth=1.2)
        axes.set_yticks(range(len(ratios)), [drawing.drawable(name, 30) for name in ratios])
        axes.tick_params(axis="y", length=0)
        axes.set_xlabel("times faster than")
        _plain_ratios(axes, between)
        return svg(figure)


def plain(ratio: float) -> str:
    """A ratio in three digits or so: 0.49, 12.3, 145."""
    return f"{ratio:.{2 if ratio < 10 else 1 if ratio < 100 else 0}f}"


def _plain_ratios(axes: Axes, between: tuple[float, float]) -> None:
    """Ticks at round ratios, few enough to be read, 1 among them."""
    wide = between[1] / between[0]
    steps = (1.0,) if wide > 150 else (1.0, 2.0, 5.0) if wide > 4 else (1.0, 1.2, 1.5, 2.0, 3.0, 5.0, 6.0, 8.0)
    axes.xaxis.set_major_locator(LogLocator(subs=steps))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.spines[["top", "right", "left"]].set_visible(False)


def roofline(results: Sequence[Result], machine: Machine) -> str:
    """Operations a byte against operations a second, below the two roofs of this run; rows that have both."""
    points = [(item.operations / item.bytes_moved, item) for item in results if item.operations and item.bytes_moved]
    copy, peak = machine.copy_bytes_per_second, machine.operations_per_second
    ridge = peak / copy
    achieved = [item.operations / item.seconds["op"].median for _, item in points]
    low = min([ridge, *(at for at, _ in points)]) / 8
    high = max([ridge, *(at for at, _ in points)]) * 8
    bottom = min([*achieved, low * copy]) / 2
    with _style():
        height = max(4.3, 0.9 + _LABEL * len(points))
        figure = Figure(figsize=(9.6, height))
        axes = figure.add_axes((0.085, 0.55 / height, 0.45, 1 - 0.7 / height))
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xlim(low, high)
        axes.set_ylim(bottom, peak * 2.5)
        axes.plot([low, ridge, high], [low * copy, peak, peak], color=INK, linewidth=1.6)
        axes.fill_between([low, ridge, high], [low * copy, peak, peak], peak * 2.5, color="#f1f1f1", linewidth=0)
        axes.text(high / 1.1, peak * 1.15, f"multiply-adds: {peak / 1e9:.3g} GFLOP/s", ha="right", fontsize=8.5)
        axes.text(0.02, 0.95, f"slope: copies, {copy / 1e9:.3g} GB/s", transform=axes.transAxes, fontsize=8.5, va="top")
        axes.set_xlabel("operations a byte that has to be read or written")
        axes.set_ylabel("operations a second")
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value / 1e9:g} G"))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.grid(True, which="major")
        axes.spines[["top", "right"]].set_visible(False)
        for (at, item), done in zip(points, achieved, strict=True):
            ours = item.seconds["op"]
            axes.plot([at, at], [item.operations / ours.p90, item.operations / ours.p10], color=FASTER, linewidth=1.2)
            axes.plot([at], [done], "o", color=FASTER, markersize=6)
        _labels(axes, points, achieved, machine, height - 0.7)
        return svg(figure)


def _labels(
    axes: Axes, points: Sequence[tuple[float, Result]], achieved: Sequence[float], machine: Machine, inches: float
) -> None:
    """A label a point in a column beside the axes, from the highest down, far enough apart, each with its line.

    Args:
        inches: height of the axes.
    """
    order = sorted(range(len(points)), key=lambda at: -achieved[at])
    low, high = axes.get_ylim()
    apart = _LABEL / inches
    above = 1.0 + apart
    for left, at in enumerate(order):
        # No higher than the label above allows, no lower than the labels still to come need.
        wanted = np.log(achieved[at] / low) / np.log(high / low)
        above = max(min(wanted, above - apart), apart * (len(order) - 1 - left))
        item = points[at][1]
        roof = min(machine.operations_per_second, points[at][0] * machine.copy_bytes_per_second)
        name = textwrap.wrap(drawing.drawable(f"{item.case}: {item.variant}", 96), 50)
        told = f"{achieved[at] / 1e9:.3g} GFLOP/s, {share_of(achieved[at] / roof)} of the roof"
        axes.annotate(
            "\n".join([*name[:2], told]),
            xy=(points[at][0], achieved[at]),
            xytext=(1.06, above),
            textcoords="axes fraction",
            fontsize=8,
            va="center",
            annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": GREY, "linewidth": 0.7, "relpos": (0.0, 0.5), "shrinkB": 3},
        )


def memory(results: Sequence[Result]) -> str:
    """Passes over memory: bytes a second as a share of a copy of the same bytes in the same rounds."""
    passes = sorted((item for item in results if COPY in item.times_faster), key=lambda item: -item.of_floor)
    with _style():
        height = _LINE * len(passes)
        figure = Figure(figsize=(9.6, height + 0.7))
        axes = figure.add_axes((0.52, 0.55 / (height + 0.7), 0.33, height / (height + 0.7)))
        for at, item in enumerate(passes):
            share, ours = item.times_faster[COPY], item.seconds["op"]
            axes.barh(at, 100 * share.median, height=0.62, color=FASTER)
            axes.plot([100 * share.p10, 100 * share.p90], [at, at], color=INK, linewidth=1.1, marker="|", markersize=5)
            words = (
                f"{share_of(share.median)}, {item.bytes_moved / ours.median / 1e9:.3g} GB/s"
                if item.bytes_moved
                else f"{share_of(share.median)}"
            )
            axes.text(1.03, at, words, transform=axes.get_yaxis_transform(), va="center", fontsize=8)
        most = max([100.0, *(100 * item.times_faster[COPY].p90 for item in passes)])
        axes.set_xlim(0, 1.03 * most)
        axes.set_ylim(len(passes) - 0.5, -0.5)
        axes.axvline(100, color=INK, linewidth=1.2)
        names = [drawing.drawable(f"{item.case}: {item.variant}, {item.side}²", 74) for item in passes]
        axes.set_yticks(range(len(passes)), names, fontsize=7.6)
        axes.tick_params(axis="y", length=0)
        axes.set_xlabel("bytes a second, % of a copy")
        axes.spines[["top", "right", "left"]].set_visible(False)
        return svg(figure)
