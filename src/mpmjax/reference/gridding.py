"""The definition of values between samples: inverse distances, ordinary kriging, thin plates, by brute force.

A sample has a place (x, y) in metres and a value. For a cell centre c, N is the set of the k samples nearest to c (of
equally distant ones those that come first in the arrays), less those farther than a radius, d_i the distance to sample
i. Where the nearest is farther than the support, or N is empty, c is missing.
Triangles and natural neighbours need no k: they are defined inside the samples' convex hull.

    inverse distance: z(c) = sum w_i v_i / sum w_i, w_i = d_i^-p; the mean of the samples at c where there are any
                      (Shepard 1968)
    ordinary kriging: [C 1; 1' 0] [l; m] = [c0; 1], z(c) = l'v, variance(c) = sill - l'c0 - m, with C_ij = cov(d_ij) and
                      c0_i = cov(d_i) (Chiles and Delfiner 2012, Geostatistics, section 3.4)
    thin plate:       [K P; P' 0] [a; b] = [v; 0], P_i = (1, x_i, y_i), K_ij = r^2 log r, r = d_ij,
                      z(c) = sum a_i r_i^2 log r_i + b'(1, x, y) (Duchon 1977)

The covariance is cov(h) = sill - gamma(h). The variogram gamma has a nugget and reaches the sill, which includes the
nugget, at the range a (to 95 % where it never ends):

    gamma(0) = 0, and for h > 0 gamma(h) = nugget + (sill - nugget) g(h / a)
    spherical g(t) = min(1, 1.5 t - 0.5 t^3), exponential g(t) = 1 - exp(-3 t), gaussian g(t) = 1 - exp(-3 t^2)

    linear:            the plane through the three corners of the Delaunay triangle around c
    natural neighbour: z(c) = sum A_i v_i / sum A_i, A_i the area that a point at c takes from i's Voronoi cell
                       (Sibson 1981)

A kriged cell whose centre is a sample's place (SAME_PLACE) takes its value, with variance 0.
"""

from __future__ import annotations

import numpy as np

MODELS = ("spherical", "exponential", "gaussian")
SAME_PLACE = 1e-6
"""Metres up to which two places are one: coordinates of 1e7 m hold 2e-9."""


def variogram(distance: np.ndarray, model: str, nugget: float, sill: float, reach: float) -> np.ndarray:
    """gamma of distances in metres, float64 of their shape; `reach` is the range.

    Raises:
        ValueError: an unknown model.
    """
    if model not in MODELS:
        raise ValueError(f"model {model!r}; allowed are {', '.join(MODELS)}")
    distance = np.asarray(distance, np.float64)
    t = distance / reach
    if model == "spherical":
        risen = np.where(t < 1.0, 1.5 * t - 0.5 * t**3, 1.0)
    else:
        risen = 1.0 - np.exp(-3.0 * (t if model == "exponential" else t * t))
    return np.where(distance <= SAME_PLACE, 0.0, nugget + (sill - nugget) * risen)


def nearest(
    x: np.ndarray, y: np.ndarray, at: tuple[float, float], neighbours: int, radius: float
) -> tuple[np.ndarray, np.ndarray]:
    """Indices, ascending, and squared distances of the samples of one place."""
    squared = (at[0] - x) ** 2 + (at[1] - y) ** 2
    found = np.sort(np.argsort(squared, kind="stable")[:neighbours])
    found = found[squared[found] <= radius * radius]
    return found, squared[found]


def idw(
    x: np.ndarray,
    y: np.ndarray,
    values: np.ndarray,
    places: np.ndarray,
    *,
    neighbours: int,
    power: float,
    radius: float = np.inf,
    support: float = np.inf,
) -> np.ndarray:
    """Inverse distances at places [m, 2]: float64 [m], NaN where missing."""
    out = np.full(len(places), np.nan)
    for cell, place in enumerate(places):
        found, squared = nearest(x, y, place, neighbours, radius)
        if not found.size or squared.min() > support * support:
            continue
        if squared.min() == 0.0:
            out[cell] = values[found[squared == 0.0]].mean()
            continue
        weights = (squared.min() / squared) ** (power / 2)  # the largest is 1: no power overflows
        out[cell] = weights @ values[found] / weights.sum()
    return out


def kriging(
    x: np.ndarray,
    y: np.ndarray,
    values: np.ndarray,
    places: np.ndarray,
    *,
    neighbours: int,
    model: str,
    nugget: float,
    sill: float,
    reach: float,
    radius: float = np.inf,
    support: float = np.inf,
) -> tuple[np.ndarray, np.ndarray]:
    """Ordinary kriging at places [m, 2]: values and variances float64 [m], NaN where missing.

    Raises:
        numpy.linalg.LinAlgError: the samples of a place are singular.
    """
    value, variance = np.full(len(places), np.nan), np.full(len(places), np.nan)
    for cell, place in enumerate(places):
        found, squared = nearest(x, y, place, neighbours, radius)
        if not found.size or squared.min() > support * support:
            continue
        between = np.hypot(x[found, None] - x[found], y[found, None] - y[found])
        n = found.size
        system, right = np.ones((n + 1, n + 1)), np.ones(n + 1)
        system[:n, :n] = sill - variogram(between, model, nugget, sill, reach)
        system[n, n] = 0.0
        right[:n] = sill - variogram(np.sqrt(squared), model, nugget, sill, reach)
        solved = np.linalg.solve(system, right)
        value[cell], variance[cell] = solved[:n] @ values[found], max(0.0, sill - solved @ right)
    return value, variance


def thin_plate(
    x: np.ndarray,
    y: np.ndarray,
    values: np.ndarray,
    places: np.ndarray,
    *,
    neighbours: int,
    radius: float = np.inf,
    support: float = np.inf,
) -> np.ndarray:
    """Thin plates at places [m, 2]: float64 [m], NaN where missing or where fewer than three samples are near.

    Raises:
        numpy.linalg.LinAlgError: the samples of a place lie on one line, or two of them at one place.
    """
    out = np.full(len(places), np.nan)
    for cell, place in enumerate(places):
        found, squared = nearest(x, y, place, neighbours, radius)
        if found.size < 3 or squared.min() > support * support:
            continue
        away = np.sqrt(squared.max())  # a unit of length changes nothing but the condition
        px, py = (x[found] - place[0]) / away, (y[found] - place[1]) / away
        n = found.size
        system = np.zeros((n + 3, n + 3))
        system[:n, :n] = _plate(px[:, None] - px, py[:, None] - py)
        system[:n, n:] = np.stack((np.ones(n), px, py), axis=1)
        system[n:, :n] = system[:n, n:].T
        solved = np.linalg.solve(system, np.concatenate((values[found], np.zeros(3))))
        out[cell] = solved[:n] @ _plate(px, py) + solved[n]
    return out


def _plate(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """r^2 log r, 0 at 0."""
    squared = x * x + y * y
    return 0.5 * squared * np.log(np.where(squared > 0.0, squared, 1.0))


def natural(x: np.ndarray, y: np.ndarray, values: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Natural neighbours at places [m, 2]: float64 [m], NaN outside the samples' convex hull.

    Weights are the areas of what the place would take from each sample's Voronoi cell (Sibson 1981), found by cutting
    a square 1e4 times as wide as the samples along the bisectors.
    """
    wide = 1e4 * max(np.ptp(x), np.ptp(y))
    out = np.full(len(places), np.nan)
    for cell, place in enumerate(places):
        px, py = x - place[0], y - place[1]
        here = px * px + py * py <= SAME_PLACE**2
        if here.any():
            out[cell] = values[here].mean()
            continue
        own = wide * np.array([(-1.0, -1.0), (1.0, -1.0), (1.0, 1.0), (-1.0, 1.0)])
        for i in range(x.size):
            own = _nearer(own, np.zeros(2), np.array((px[i], py[i])))
        if np.abs(own).max() > 0.99 * wide:
            continue
        areas = np.zeros(x.size)
        for i in range(x.size):
            piece = own
            for j in range(x.size):
                if j != i and len(piece):
                    piece = _nearer(piece, np.array((px[i], py[i])), np.array((px[j], py[j])))
            areas[i] = _area(piece)
        out[cell] = areas @ values / areas.sum()
    return out


def linear(x: np.ndarray, y: np.ndarray, values: np.ndarray, triangles: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Planes through the corners of triangles int [t, 3], at places [m, 2]: float64 [m], NaN outside all of them."""
    out = np.full(len(places), np.nan)
    for cell, (px, py) in enumerate(places):
        shares = np.stack([_left(x, y, triangles[:, (i + 1) % 3], triangles[:, (i + 2) % 3], px, py) for i in range(3)])
        shares /= shares.sum(axis=0)
        best = int(np.argmax(shares.min(axis=0)))
        if shares[:, best].min() >= -1e-12:
            out[cell] = shares[:, best] @ values[triangles[best]]
    return out


def _left(x: np.ndarray, y: np.ndarray, a: np.ndarray, b: np.ndarray, px: float, py: float) -> np.ndarray:
    """Twice the area of a triangle a, b, (px, py), > 0 where it turns to the left."""
    return (x[b] - x[a]) * (py - y[a]) - (y[b] - y[a]) * (px - x[a])


def _nearer(polygon: np.ndarray, one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """The part of a convex polygon [n, 2] that is no nearer to `other` than to `one`."""
    side = (polygon - (one + other) / 2) @ (other - one)
    kept = []
    for i in range(len(polygon)):
        j = (i + 1) % len(polygon)
        if side[i] <= 0.0:
            kept.append(polygon[i])
        if (side[i] < 0.0 < side[j]) or (side[j] < 0.0 < side[i]):
            kept.append(polygon[i] + side[i] / (side[i] - side[j]) * (polygon[j] - polygon[i]))
    return np.array(kept).reshape(-1, 2)


def _area(polygon: np.ndarray) -> float:
    x, y = polygon.T if len(polygon) else np.zeros((2, 0))
    return float(abs(x @ np.roll(y, -1) - y @ np.roll(x, -1))) / 2
