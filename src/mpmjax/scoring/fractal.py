"""Concentration-area (C-A) breaks: values at which the law of the area above them changes.

Cheng, Agterberg and Ballantyne (1994, J. Geochem. Explor. 51, doi 10.1016/0375-6742(94)90013-2) draw the area A(>= v)
where a concentration is at least v against v, both in logarithms. Straight pieces are power laws A ~ v^slope, one a
population (background, threshold, anomaly), and the values where pieces meet are thresholds between them.

The pieces are fitted to the cells, not to points of the curve: these are sums of one another, and least squares would
take the waves that chance draws in them for breaks. A line that is straight on these axes is an exponential
distribution of x = ln v, so straight pieces are a piecewise exponential one. With R(x) the number of cells at or above
x, a piece from a to b has

    d = sum of w over the cells in it    T = integral of w R dx from a to b    w = min(1, R_2 / R)
    slope = -d / T    log-likelihood = d ln(d / T) - d

and the best breaks among the candidates are found exactly, by dynamic programming. The weight w is ours, R_2 the best
fiftieth of the cells, 400 at least: as on the plot, no e-fold of the area counts for more than these, or the many
ordinary cells would take all breaks for the bends of their own shoulder. With w = 1 it is the plain likelihood.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_ndtr

from mpmjax.scoring.thresholds import median_mad_threshold
from mpmjax.types import Layer

MOST_BREAKS = 3
MIN_GAIN = 10.0
"""The BIC must fall by so much for every break: "very strong" evidence (Kass and Raftery 1995)."""
MIN_CELLS, MIN_SHARE = 50, 0.005
"""A piece holds at least so many cells, and so large a share of them: its slope is then known to 14 %."""
MIN_VALUES, MIN_FACTOR = 10, 1.1
"""A piece holds so many different values and goes up by such a factor: rounded values are no populations."""
TAIL, TAIL_CELLS = 0.02, 400
"""The best share of the area, or so many cells if these are more, in which every cell counts in full."""
CANDIDATES = 512
"""Candidates evenly spaced in log value, and as many in log area: neither low end nor tail is short of them."""
CURVE_POINTS = 60
SEEN = 10
"""Cells above a point of the curve for it to count in r2: the logarithm of fewer is chance."""


@dataclass(frozen=True)
class ConcentrationArea:
    """The C-A curve and its straight pieces.

    Attributes:
        breaks: float64 [k], ascending, in the unit of the values; k = 0..3.
        shares: float64 [k], share of the area above each break, 0..1.
        slopes: float64 [k + 1], of ln A by ln v, negative; less their sign the fractal dimensions.
        r2: share of the variance of ln A that the pieces explain, at the curve's points with 10 cells or more above.
        cells: number of values that were fitted.
        left_out: number of values that were not, because they are 0 or below.
        over_lognormal: BIC of the pieces less that of one lognormal distribution; positive where that tells the values
            as well or better, and the breaks only cut up its bend.
        curve: float64 [2, <= 60], values and the share of the area at or above each.
        line: float64 [2, k + 2], the corners of the fitted pieces, likewise.
    """

    breaks: np.ndarray
    shares: np.ndarray
    slopes: np.ndarray
    r2: float
    cells: int
    left_out: int
    over_lognormal: float
    curve: np.ndarray
    line: np.ndarray


@dataclass(frozen=True)
class _Cells:
    """Different values, ascending, with what the likelihood needs to know up to each.

    Attributes:
        v, x: float64 [m], the values and their ln.
        above: float64 [m], number of cells at or above each.
        events, exposure: float64 [m], d and T of (x[0], x[i]].
    """

    v: np.ndarray
    x: np.ndarray
    above: np.ndarray
    events: np.ndarray
    exposure: np.ndarray


def concentration_area(
    values: np.ndarray, weights: np.ndarray | None = None, most: int = MOST_BREAKS
) -> ConcentrationArea:
    """Fit the C-A curve of values.

    The number of breaks is that with the lowest BIC + 10 a break, the BIC with two numbers a break (place, slope). The
    curve begins above the smallest value, so that a detection limit which many cells share bends no piece.

    What to know of it. On a lognormal, whose curve bends everywhere, it gives as many breaks as it may: they follow the
    bend and part no populations; `over_lognormal` is positive then. Cells are taken as independent. On a smooth map
    they are not, so that more breaks come out than there are samples to speak for. A value that many cells share
    (another laboratory's detection limit, a cap) looks like a break. Values without a true zero (logarithms, ratios,
    standardised values) have no such curve.

    Args:
        values: float [n], finite, in any unit; what is 0 or below is left out and counted.
        weights: float [n], areas of the cells, positive; None where all are alike. They count as (sum w)^2 / sum w^2
            cells (Kish 1965).
        most: largest number of breaks.

    Raises:
        ValueError: more than half are not positive, or fewer than 50 lie above the smallest, or 11 are different.
    """
    values = np.asarray(values, np.float64)
    kept = values > 0
    _refuse(values[kept], len(values))
    areas = np.ones(len(values)) if weights is None else np.asarray(weights, np.float64)
    areas = areas[kept] * (areas[kept].sum() / (areas[kept] ** 2).sum())
    cells = _cells(values[kept], areas)
    total, places = cells.above[0], _candidates(cells)
    fits = _fits(cells, places, most)
    bics = [2.0 * cost + (2 * k + 1) * np.log(cells.events[-1]) for k, (_, cost) in enumerate(fits)]
    chosen = min(range(len(fits)), key=lambda k: bics[k] + MIN_GAIN * k)
    corners = fits[chosen][0]
    slopes, x = -np.diff(cells.events[corners]) / np.diff(cells.exposure[corners]), cells.x[corners]
    fitted = np.log(cells.above[1] / total) + np.concatenate([[0.0], np.cumsum(slopes * np.diff(x))])
    shown = places[np.unique(np.linspace(0, len(places) - 1, CURVE_POINTS).round().astype(int))]
    # Without the first point: the pieces begin above the smallest value. Two points are on any line.
    judged = shown[1 : max(4, 1 + np.count_nonzero(cells.above[shown[1:]] >= SEEN))]
    seen, told = np.log(cells.above[judged] / total), np.interp(cells.x[judged], x, fitted)
    return ConcentrationArea(
        breaks=cells.v[corners[1:-1]],
        shares=cells.above[corners[1:-1]] / total,
        slopes=slopes,
        r2=float(1.0 - ((seen - told) ** 2).sum() / ((seen - seen.mean()) ** 2).sum()),
        cells=int(kept.sum()),
        left_out=int(len(values) - kept.sum()),
        over_lognormal=float(bics[chosen] - _lognormal_bic(cells, places)),
        curve=np.stack([cells.v[shown], cells.above[shown] / total]),
        line=np.stack([cells.v[corners], np.exp(fitted)]),
    )


def _refuse(positive: np.ndarray, total: int) -> None:
    if 2 * len(positive) < total:
        raise ValueError(f"{total - len(positive)} of {total} values are 0 or below; the curve is of logarithms")
    different, counts = np.unique(np.log(positive), return_counts=True)
    above = int(counts[1:].sum())
    if above < MIN_CELLS or len(different) <= MIN_VALUES:
        raise ValueError(
            f"{above} values above the smallest, and {len(different)} different ones, are too few for a curve"
        )


def _cells(values: np.ndarray, areas: np.ndarray) -> _Cells:
    different, first, place = np.unique(np.log(values), return_index=True, return_inverse=True)
    each = np.bincount(place, areas)
    above = np.cumsum(each[::-1])[::-1]
    weight = np.minimum(1.0, max(TAIL * above[0], TAIL_CELLS) / above[1:])
    events = np.concatenate([[0.0], np.cumsum(weight * each[1:])])
    exposure = np.concatenate([[0.0], np.cumsum(weight * above[1:] * np.diff(different))])
    return _Cells(values[first], different, above, events, exposure)


def _candidates(cells: _Cells) -> np.ndarray:
    """int64, ascending places in `cells` where a piece may end, the first and the last among them."""
    by_value = np.searchsorted(cells.x, np.linspace(cells.x[0], cells.x[-1], CANDIDATES))
    levels = np.linspace(np.log(cells.above[0]), np.log(cells.above[-1]), CANDIDATES)
    by_area = np.searchsorted(-np.log(cells.above), -levels)
    last = len(cells.x) - 1
    return np.unique(np.concatenate([[0, last], np.minimum(by_value, last), np.minimum(by_area, last)]))


def _fits(cells: _Cells, places: np.ndarray, most: int) -> list[tuple[np.ndarray, float]]:
    """For 0, 1, ... breaks, as long as there is room: the corners' places in `cells`, and minus log-likelihood."""
    d, length, factor, held, different = (
        values[None, :] - values[:, None]
        for values in (cells.events[places], cells.exposure[places], cells.x[places], -cells.above[places], places)
    )
    fine = (
        (held >= max(MIN_CELLS, MIN_SHARE * cells.above[0]))
        & (factor >= np.log(MIN_FACTOR))
        & (different >= MIN_VALUES)
    )
    # The whole curve is a piece whatever it holds: no break is always possible.
    fine[0, -1] = True
    cost = np.where(fine, d - d * np.log(np.where(fine, d, 1.0) / np.where(fine, length, 1.0)), np.inf)
    best, steps, found = cost[0], list[np.ndarray](), [(places[[0, -1]], float(cost[0, -1]))]
    for _ in range(most):
        through = best[:, None] + cost
        steps.append(through.argmin(axis=0))
        best = through.min(axis=0)
        if not np.isfinite(best[-1]):
            break
        corners = [len(places) - 1]
        for step in reversed(steps):
            corners.append(int(step[corners[-1]]))
        found.append((places[[0, *reversed(corners)]], float(best[-1])))
    return found


def _lognormal_bic(cells: _Cells, places: np.ndarray) -> float:
    """BIC of one lognormal by the same likelihood, its slope taken as constant from one place to the next."""
    x, d, length = cells.x[places], np.diff(cells.events[places]), np.diff(cells.exposure[places])
    held, middle = -np.diff(cells.above[places]), (x[1:] + x[:-1]) / 2.0
    mean = np.average(middle, weights=held)
    spread = np.sqrt(np.average((middle - mean) ** 2, weights=held))

    def cost(at: np.ndarray) -> float:
        centre, width = mean + spread * at[0], spread * np.exp(at[1])
        fall = np.maximum(-np.diff(log_ndtr((centre - x) / width)) / np.diff(x), np.finfo(float).tiny)
        return float((fall * length - d * np.log(fall)).sum() / cells.events[-1])

    # A power law is the limit of ever wider ones centred ever farther below; the bounds keep it finite.
    least = minimize(cost, np.zeros(2), method="L-BFGS-B", bounds=((-100.0, 5.0), (-3.0, 5.0)))
    return float(2.0 * least.fun * cells.events[-1] + 2.0 * np.log(cells.events[-1]))


def fractal_breaks(layers: Sequence[Layer], values: np.ndarray, surprise: np.ndarray) -> dict[str, Any]:
    """C-A curves of the sample, as plain numbers for the record: of the anomaly, and of each geochemistry layer.

    The anomaly is read as the surprise, before it is ranked: ranks are evenly spread, and breaks in them artefacts. Its
    z^2 are capped at 25, so that its last piece may fall more steeply than nature does.

    Args:
        layers: L layers; those of the role "geochemistry" are read, in their units, whichever way they point.
        values: float [n, L], NaN where missing; surprise: float [n].

    Returns:
        "anomaly", and "layers" by name: each the fields of ConcentrationArea to six digits and median_2mad (the other
        threshold of exploration geochemistry), or missing: why there is no curve.
    """
    chosen = {layer.name: values[:, at] for at, layer in enumerate(layers) if layer.role == "geochemistry"}
    return {"anomaly": _plain(surprise), "layers": {name: _plain(column) for name, column in chosen.items()}}


def _plain(values: np.ndarray) -> dict[str, Any]:
    values = values[np.isfinite(values)].astype(np.float64)
    try:
        found = concentration_area(values)
    except ValueError as error:
        return {"missing": str(error)}
    numbers = {name: _short(value) for name, value in asdict(found).items()}
    return numbers | {"median_2mad": _short(median_mad_threshold(values))}


def _short(number: float | np.ndarray) -> Any:
    """Six digits, which is what a report needs: an array as lists; counts stay whole."""
    if isinstance(number, np.ndarray):
        return [_short(part) for part in number]
    return number if isinstance(number, int) else float(f"{number:.6g}")
