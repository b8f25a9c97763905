"""What all figures share: one style, a frame for maps with true proportions, PNG bytes that are equal for equal input.

Only matplotlib's object-oriented interface is used: no pyplot, no window, nothing left behind between figures.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

import matplotlib.style
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, ScalarFormatter

from mpmjax.reporting.words import printable

INK, MUTED, FAINT, ACCENT = "#22282e", "#5c6770", "#c9d0d6", "#b3471d"
DPI = 160
WIDE, NARROW = 7.0, 4.7
"""Widths of map figures in inches: across the page, and two beside each other with type of the same size."""
NO_DATA = "#ffffff"

_STYLE = {
    "font.family": "DejaVu Sans",  # comes with matplotlib, so that the bytes do not depend on the machine's fonts
    "font.size": 9.0,
    "text.color": INK,
    "text.parse_math": False,  # a layer may be called "Au_$/t$"
    "axes.edgecolor": MUTED,
    "axes.labelcolor": MUTED,
    "axes.linewidth": 0.7,
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.formatter.use_mathtext": False,
    "axes.unicode_minus": True,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelsize": 8.0,
    "ytick.labelsize": 8.0,
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "legend.frameon": False,
    "legend.fontsize": 8.0,
    "grid.color": "#e4e8eb",
    "grid.linewidth": 0.7,
}

_LEFT, _RIGHT, _TOP, _AXIS = 0.68, 0.12, 0.4, 0.5  # inches; _AXIS holds the ticks and label below a map
_TALLEST, _FLATTEST = 1.15, 0.12  # heights of the map in widths of the figure


@contextmanager
def style() -> Iterator[None]:
    """The report's style, whatever the user's matplotlibrc says; the settings found are restored at the end."""
    with matplotlib.style.context(["default", _STYLE]):
        yield


def png(figure: Figure) -> bytes:
    """The figure as PNG without a software or date stamp."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI, metadata={"Software": None})
    return buffer.getvalue()


@cache
def _glyphs() -> frozenset[int]:
    return frozenset(get_font(findfont(FontProperties(family="DejaVu Sans"))).get_charmap())


def drawable(text: Any, length: int = 40) -> str:
    """One line of at most `length` characters that the figures' font can draw.

    Characters without a glyph (Chinese, say) become "?"; the report's tables carry the full name. A leading
    underscore, which would hide a legend entry, gets a space before it.
    """
    line = "".join(char if ord(char) in _glyphs() else "?" for char in printable(text))
    line = line if len(line) <= length else line[: length - 1] + "…"
    return f" {line}" if line.startswith("_") else line


class StopsNorm(Normalize):
    """Maps ascending `stops` to even steps of 0..1, linear between; the colour bar then spaces the stops evenly."""

    def __init__(self, stops: Sequence[float]) -> None:
        super().__init__(stops[0], stops[-1])
        self.stops = np.asarray(stops, dtype=float)
        self.places = np.linspace(0.0, 1.0, self.stops.size)

    def __call__(self, value: Any, clip: bool | None = None) -> Any:
        array, scalar = self.process_value(value)
        mask = np.ma.getmaskarray(array)
        result = np.ma.array(np.interp(array.filled(self.stops[0]), self.stops, self.places), mask=mask)
        return result[0] if scalar else result

    def inverse(self, value: Any) -> Any:
        return np.interp(value, self.places, self.stops)


@dataclass(frozen=True)
class MapFrame:
    """A figure with map axes in true proportions and `below` inches of free space under them."""

    figure: Figure
    axes: Axes
    below: float

    def strip(self, offset: float, height: float, shortest: float) -> Axes:
        """Axes `height` inches high, `offset` inches above the lower edge, as wide as the map or `shortest`."""
        box, (width, tall) = self.axes.get_position(), self.figure.get_size_inches()
        wide = max(box.width, shortest / width)
        left = min(max(box.x0 + (box.width - wide) / 2, 0.02), 0.98 - wide) if wide > box.width else box.x0
        return self.figure.add_axes((left, offset / tall, wide, height / tall))


def map_frame(title: str, extent: tuple[float, float, float, float], below: float, wide: float) -> MapFrame:
    """North-up axes over `extent` (xmin, xmax, ymin, ymax; km of the grid's CRS), a title, a scale bar, a north arrow.

    The figure is `wide` inches wide; `below` inches under the axes stay free.

    Raises:
        ValueError: the extent is empty or not finite.
    """
    xmin, xmax, ymin, ymax = extent
    if not (all(map(math.isfinite, extent)) and xmax > xmin and ymax > ymin):
        raise ValueError(f"extent {extent} must be finite with xmin < xmax and ymin < ymax")
    widest = wide - _LEFT - _RIGHT
    shape = (ymax - ymin) / (xmax - xmin)
    height = min(max(widest * shape, _FLATTEST * wide), _TALLEST * wide)
    width = min(widest, height / shape)
    tall = _TOP + height + _AXIS + below
    left = _LEFT + (widest - width) / 2
    figure = Figure(figsize=(wide, tall))
    axes = figure.add_axes((left / wide, (below + _AXIS) / tall, width / wide, height / tall))
    axes.set(xlim=(xmin, xmax), ylim=(ymin, ymax), xlabel="easting, km", ylabel="northing, km", facecolor=NO_DATA)
    axes.set_aspect("equal", adjustable="box")
    for axis, inches in ((axes.xaxis, width), (axes.yaxis, height)):
        axis.set_major_locator(MaxNLocator(max(2, int(inches / 0.75)), steps=[1, 2, 2.5, 5, 10]))
        axis.set_major_formatter(ScalarFormatter(useOffset=False))
    axes.apply_aspect()
    figure.text(_LEFT / wide, 1 - 0.16 / tall, drawable(title, 60), va="top", weight="bold", size=10.5)
    _scale_bar(figure, axes, xmax - xmin)
    return MapFrame(figure, axes, below)


def _scale_bar(figure: Figure, axes: Axes, width_km: float) -> None:
    """Scale bar and north arrow on the title's line: there they hide no cell."""
    box, (wide, tall) = axes.get_position(), figure.get_size_inches()
    per_km = box.width / width_km
    longest = min(0.3 * width_km, 0.28 / per_km)
    power = 10.0 ** math.floor(math.log10(longest))
    length = power * max(step for step in (1, 2, 5) if step * power <= longest)
    label = f"{length:g} km" if length >= 1 else f"{1000 * length:g} m"
    right, middle, tick = 1 - (_RIGHT + 0.28) / wide, 1 - 0.23 / tall, 0.04 / tall
    left = right - length * per_km
    bar = ([left, left, right, right], [middle + tick, middle - tick, middle - tick, middle + tick])
    figure.add_artist(Line2D(*bar, color=INK, linewidth=1.1, solid_joinstyle="miter"))
    figure.text(left - 0.06 / wide, middle, label, ha="right", va="center", size=8)
    arrow = {"arrowstyle": "-|>", "color": INK, "linewidth": 0.9, "shrinkA": 0, "shrinkB": 0}
    north = 1 - (_RIGHT + 0.08) / wide
    axes.annotate("", (north, 1 - 0.06 / tall), (north, 1 - 0.24 / tall), "figure fraction", arrowprops=arrow)
    figure.text(north, 1 - 0.24 / tall, "N", ha="center", va="top", size=7.5, weight="bold")
