"""Natural neighbours (Sibson 1981) at points inside a Delaunay triangulation, exact, in float64.

A point put among the samples takes a part of each Voronoi cell around it; these areas are the weights. The triangles
whose circumcircles hold the point (its cavity) are those that would go, and their circumcentres, with the centres of
the circles through the point and an edge of the cavity's rim, are all corners of the areas taken. The area of vertex a
is summed as cross products over the edges of its polygon, in any order: nothing has to be sorted.
"""

from __future__ import annotations

import numpy as np

from mpmjax.ops._compile import compiled

SAME_PLACE2 = 1e-12
"""As in reference/gridding.py, squared, m2."""
ON_EDGE = 1e-12
"""Twice the area of point and edge over the edge's square, below which the point lies on the edge."""


@compiled
def _in_circle(ax, ay, bx, by, cx, cy):
    """Whether the origin lies inside the circle through a, b, c, which turn to the left."""
    a, b, c = ax * ax + ay * ay, bx * bx + by * by, cx * cx + cy * cy
    return a * (bx * cy - by * cx) - b * (ax * cy - ay * cx) + c * (ax * by - ay * bx) > 0.0


@compiled
def _centre(ax, ay, bx, by):
    """Centre of the circle through the origin, a and b."""
    d = 2.0 * (ax * by - ay * bx)
    a, b = ax * ax + ay * ay, bx * bx + by * by
    return (by * a - ay * b) / d, (ax * b - bx * a) / d


@compiled
def _cavity(x, y, triangles, beside, first, px, py, inside, stamp, found):
    """Triangles of the cavity of a point in triangle `first` into `found`, marked in `inside`; returns how many.

    A neighbour goes too where the point lies on the common edge, whatever rounding says of its circle.
    """
    found[0], inside[first] = first, stamp
    count, at = 1, 0
    while at < count:
        t = found[at]
        at += 1
        for i in range(3):
            u = beside[t, i]
            if u < 0 or inside[u] == stamp:
                continue
            a, b = triangles[t, (i + 1) % 3], triangles[t, (i + 2) % 3]
            ax, ay, bx, by = x[a] - px, y[a] - py, x[b] - px, y[b] - py
            edge2 = (bx - ax) ** 2 + (by - ay) ** 2
            p, q, r = triangles[u, 0], triangles[u, 1], triangles[u, 2]
            if ax * by - ay * bx <= ON_EDGE * edge2 or _in_circle(
                x[p] - px, y[p] - py, x[q] - px, y[q] - py, x[r] - px, y[r] - py
            ):
                inside[u] = stamp
                found[count] = u
                count += 1
    return count


@compiled
def _areas(x, y, triangles, beside, centres, found, count, px, py, inside, stamp, seen, owner, areas, rims):
    """Twice the areas taken from the vertices of a cavity into `areas`, the vertices into `owner`; returns how many.

    -1 where the point lies on the edge owner[0], owner[1] of the hull. `seen` [n] is the place of a vertex in `owner`.
    """
    n = 0
    for at in range(count):
        for i in range(3):
            v = triangles[found[at], i]
            if seen[v] < 0 or seen[v] >= n or owner[seen[v]] != v:
                seen[v], owner[n] = n, v
                areas[n] = 0.0
                n += 1
    for at in range(count):
        t = found[at]
        ox, oy = centres[t, 0] - px, centres[t, 1] - py
        for i in range(3):
            a, b, u = triangles[t, (i + 1) % 3], triangles[t, (i + 2) % 3], beside[t, i]
            if u >= 0 and inside[u] == stamp:
                ux, uy = centres[u, 0] - px, centres[u, 1] - py
                areas[seen[a]] += ux * oy - uy * ox
                continue
            ax, ay, bx, by = x[a] - px, y[a] - py, x[b] - px, y[b] - py
            if ax * by - ay * bx <= ON_EDGE * ((bx - ax) ** 2 + (by - ay) ** 2):
                owner[0], owner[1] = a, b
                return -1
            rx, ry = _centre(ax, ay, bx, by)
            areas[seen[a]] += rx * oy - ry * ox
            areas[seen[b]] += ox * ry - oy * rx
            rims[seen[a], 0], rims[seen[a], 1] = rx, ry
            rims[seen[b], 2], rims[seen[b], 3] = rx, ry
    for i in range(n):
        areas[i] += rims[i, 2] * rims[i, 1] - rims[i, 3] * rims[i, 0]
    return n


@compiled
def _along(x, y, values, a, b, px, py):
    """Linear between two vertices, at the foot of a point."""
    ex, ey = x[b] - x[a], y[b] - y[a]
    share = ((px - x[a]) * ex + (py - y[a]) * ey) / (ex * ex + ey * ey)
    return values[a] + min(max(share, 0.0), 1.0) * (values[b] - values[a])


@compiled
def _walk(x, y, triangles, beside, first, px, py):
    """From a triangle towards a point: the triangle that holds it, and whether it lies inside the hull at all.

    Across the edge that the point lies farthest beyond, as a share of the edge's square. On a Delaunay triangulation
    that ends; what rounding of slivers might do to it is cut short.
    """
    t = first
    for _ in range(len(triangles) + 1):
        across, farthest = -1, -ON_EDGE
        for i in range(3):
            a, b = triangles[t, (i + 1) % 3], triangles[t, (i + 2) % 3]
            ex, ey = x[b] - x[a], y[b] - y[a]
            side = (ex * (py - y[a]) - ey * (px - x[a])) / (ex * ex + ey * ey)
            if side < farthest:
                across, farthest = i, side
        if across < 0:
            return t, True
        if beside[t, across] < 0:
            return t, False
        t = beside[t, across]
    return t, False


@compiled
def _plane(x, y, values, triangle, px, py):
    """The plane through three samples, at a point."""
    a, b, c = triangle
    bx, by, cx, cy = x[b] - x[a], y[b] - y[a], x[c] - x[a], y[c] - y[a]
    qx, qy, d = px - x[a], py - y[a], bx * cy - by * cx
    return (
        values[a] + ((qx * cy - qy * cx) * (values[b] - values[a]) + (bx * qy - by * qx) * (values[c] - values[a])) / d
    )


@compiled
def _sibson(x, y, values, triangles, beside, centres, first, px, py, inside, stamp, found, seen, owner, areas, rims):
    """The mean of the samples around a point in triangle `first`, weighted by the areas taken from them."""
    for v in triangles[first]:
        if (x[v] - px) ** 2 + (y[v] - py) ** 2 <= SAME_PLACE2:
            return values[v]
    count = _cavity(x, y, triangles, beside, first, px, py, inside, stamp, found)
    near = _areas(x, y, triangles, beside, centres, found, count, px, py, inside, stamp, seen, owner, areas, rims)
    if near < 0:
        return _along(x, y, values, owner[0], owner[1], px, py)
    total = weighed = 0.0
    for i in range(near):
        total += areas[i]
        weighed += areas[i] * (values[owner[i]] - values[owner[0]])
    return values[owner[0]] + weighed / total


@compiled
def triangles_window(x, y, values, triangles, beside, centres, size, window, natural, out):
    """Natural neighbours or the triangles' planes at the cells of a window; NaN outside the samples' hull.

    The walk begins anew in every row: which of two triangles holds a cell on their edge does not depend on other rows.

    Args:
        x, y, values: float64 [n], metres right of and below the grid's corner.
        triangles, beside: int32 [t, 3], vertices turning to the left, and the triangle across from each, or -1.
        centres: float64 [t, 2], of the circumcircles.
        size, window: (dx, dy) of a cell; (row, col, rows, cols) in cells of the grid.
        natural: Sibson's weights, else linear.
        out: float32 [rows, cols].
    """
    t, n = len(triangles), x.size
    inside, found = np.full(t, -1, np.int64), np.empty(t, np.int64)
    seen, owner = np.full(n, -1, np.int64), np.empty(n, np.int64)
    areas, rims = np.empty(n), np.empty((n, 4))
    for row in range(window[2]):
        first, py = 0, (window[0] + row + 0.5) * size[1]
        for col in range(window[3]):
            px = (window[1] + col + 0.5) * size[0]
            first, held = _walk(x, y, triangles, beside, first, px, py)
            if not held:
                out[row, col] = np.nan
                continue
            three = triangles[first]
            if not natural:
                out[row, col] = _plane(x, y, values, three, px, py)
                continue
            stamp = row * window[3] + col
            out[row, col] = _sibson(
                x, y, values, triangles, beside, centres, first, px, py, inside, stamp, found, seen, owner, areas, rims
            )
