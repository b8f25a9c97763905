"""Maps as PNG bytes, equal for equal input; nothing is drawn on a screen. The curves are in curves.py."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection
from matplotlib.colorbar import Colorbar
from matplotlib.colors import LinearSegmentedColormap, to_rgba_array
from matplotlib.patches import Patch
from matplotlib.patheffects import withStroke

from mpmjax.reporting.drawing import INK, MUTED, WIDE, StopsNorm, drawable, map_frame, png, style
from mpmjax.reporting.palette import COLOURS, ClassColour

Extent = tuple[float, float, float, float]
"""(xmin, xmax, ymin, ymax) in km of the grid's CRS."""

_LEGEND_ROWS, _ROW = 15, 0.165  # entries at most, inches each
_OTHER = "#b4bcc2"


def map_png(
    values: np.ma.MaskedArray | np.ndarray,
    title: str,
    *,
    extent: Extent,
    cmap: str = "viridis",
    vmin: float = 0.0,
    vmax: float = 1.0,
    stops: Sequence[float] | None = None,
    label: str = "",
    points: np.ndarray | None = None,
    outlines: Sequence[np.ndarray] | None = None,
    marks: Sequence[tuple[float, float, str]] = (),
    width: float = WIDE,
) -> bytes:
    """A map of numbers with colour bar, scale bar and coordinates; masked and non-finite cells stay white.

    Args:
        values: [height, width], row 0 in the north.
        extent: outer edges of the cells, km.
        cmap: a ramp of `palette.COLOURS`, spread evenly from `vmin` to `vmax`, or over `stops` where given
            (ascending values at which evenly spaced colours are reached).
        points: [n, 2] known occurrences, x and y in km, drawn as white circles.
        outlines: closed lines [n, 2] in km, drawn dark on a white rim.
        marks: (x, y in km, text) above the outlines.
        width: of the figure, in inches; type keeps its size.

    Raises:
        ValueError: the values are not two-dimensional or the extent is empty.
    """
    cells = np.ma.masked_invalid(values)
    if cells.ndim != 2:
        raise ValueError(f"a map needs [height, width] values, got shape {cells.shape}")
    levels = np.linspace(vmin, vmax, 9) if stops is None else np.asarray(stops, dtype=float)
    ramp = LinearSegmentedColormap.from_list(cmap, COLOURS[cmap], N=256)
    with style():
        frame = map_frame(title, extent, 0.66, width)
        norm = StopsNorm(levels.tolist())
        frame.axes.imshow(cells, cmap=ramp, norm=norm, extent=extent, aspect="equal", origin="upper")
        bar = Colorbar(frame.strip(0.45, 0.13, 0.6 * width), ScalarMappable(norm, ramp), orientation="horizontal")
        bar.set_ticks(levels.tolist(), labels=[f"{level:g}" for level in levels])
        bar.set_label(drawable(label, 80), labelpad=4)
        bar.outline.set_linewidth(0.5)
        _draw_outlines(frame.axes, outlines or (), marks)
        if points is not None and len(points):
            frame.axes.scatter(*np.asarray(points).T, s=17, facecolor="white", edgecolor=INK, linewidth=1.0, zorder=5)
        return png(frame.figure)


def class_map_png(
    values: np.ndarray, title: str, *, extent: Extent, classes: Sequence[ClassColour], width: float = WIDE
) -> bytes:
    """A map of classes with a legend of those that occur; 0 (and masked) stays white.

    Args:
        values: uint8 [height, width], row 0 in the north.
        classes: (value 1..255, label, #rrggbb). Where more than 15 occur, the rarest share one grey and one row;
            a value without a class is drawn so, too.
        width: of the figure, in inches; type keeps its size.

    Raises:
        ValueError: the values are not two-dimensional or the extent is empty.
    """
    cells = np.ma.filled(values, 0)
    if cells.ndim != 2:
        raise ValueError(f"a map needs [height, width] values, got shape {cells.shape}")
    counts = np.bincount(cells.ravel(), minlength=256)
    known = [row for row in classes if counts[row[0]]]
    if len(known) > _LEGEND_ROWS:
        commonest = sorted(known, key=lambda row: (-counts[row[0]], row[0]))[: _LEGEND_ROWS - 1]
        known = sorted(commonest)
    table = np.tile(to_rgba_array(_OTHER), (256, 1))
    table[0] = 0.0
    for value, _, colour in known:
        table[value] = to_rgba_array(colour)
    handles = [Patch(facecolor=colour, edgecolor=MUTED, linewidth=0.4) for _, _, colour in known]
    labels = [drawable(text, 34) for _, text, _ in known]
    pooled = np.count_nonzero(counts[1:]) - len(known)
    if pooled:
        handles.append(Patch(facecolor=_OTHER, edgecolor=MUTED, linewidth=0.4))
        labels.append(f"{pooled} other{'s' if pooled > 1 else ''}" if known else "not named")
    columns = max(1, min(4, int(13 * width / (6 + max(map(len, labels), default=1)))))
    rows = math.ceil(len(labels) / columns)
    with style():
        frame = map_frame(title, extent, 0.06 + _ROW * rows, width)
        frame.axes.imshow(table[cells], extent=extent, aspect="equal", origin="upper", interpolation="nearest")
        legend = frame.strip(0.04, _ROW * rows, 0.8 * width)
        legend.set_axis_off()
        legend.legend(
            handles, labels, loc="upper left", ncols=columns, borderaxespad=0, borderpad=0, handlelength=1.3,
            labelspacing=0.35, columnspacing=1.6,
        )  # fmt: skip
        return png(frame.figure)


def _draw_outlines(axes: Axes, outlines: Sequence[np.ndarray], marks: Sequence[tuple[float, float, str]]) -> None:
    lines = [np.asarray(line, dtype=float) for line in outlines]
    for colour, width in (("white", 2.2), (INK, 1.0)):
        axes.add_collection(LineCollection(lines, colors=colour, linewidths=width, zorder=4), autolim=False)
    for x, y, text in marks:
        axes.annotate(
            drawable(text, 8), (x, y), (0, 2.5), textcoords="offset points", ha="center", size=7.5, weight="bold",
            zorder=6, path_effects=[withStroke(linewidth=2.2, foreground="white")],
        )  # fmt: skip
