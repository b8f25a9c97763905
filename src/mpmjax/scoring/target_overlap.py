"""Which targets of two runs are the same places: by the area in which their polygons overlap."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import shapely

FOLLOWED = 10
"""Best targets whose ranks are followed from one run to the other."""


def overlapping_targets(a: Sequence[shapely.Geometry], b: Sequence[shapely.Geometry], least: float) -> dict[str, Any]:
    """Lay the targets of two runs over each other.

    Args:
        a, b: polygons in the order of their ranks, best first, in the coordinates of one grid; those of one run do not
            overlap.
        least: smallest area of an overlap, in squared units of the coordinates; less is rounding at an edge.

    Returns:
        a, b: number of targets; a_met, b_met: how many overlap one of the other run; a_share, b_share: share of the
        targets' area on the map that lies in targets of the other run, 0..1, None without targets; gone, new: ranks of
        A's and of B's that overlap none; best: for each of A's best ten its rank, rank_b (of B's target that overlaps
        it most, or None) and share, of its area that lies in targets of B.
    """
    first, second = np.asarray(a, object), np.asarray(b, object)
    of_a, of_b = np.zeros(0, np.int64), np.zeros(0, np.int64)
    if first.size and second.size:
        of_a, of_b = shapely.STRtree(second).query(first, predicate="intersects")
    common = shapely.area(shapely.intersection(first[of_a], second[of_b]))
    kept = common >= least
    of_a, of_b, common = of_a[kept], of_b[kept], common[kept]
    met_a, met_b = (np.bincount(i, common, minlength=n) for i, n in ((of_a, len(first)), (of_b, len(second))))
    area_a, area_b = shapely.area(first), shapely.area(second)
    best = []
    for index in range(min(FOLLOWED, len(first))):
        here = np.flatnonzero(of_a == index)
        rank_b = int(of_b[here[np.argmax(common[here])]]) + 1 if here.size else None
        share = min(1.0, float(met_a[index] / area_a[index]))
        best.append({"rank": index + 1, "rank_b": rank_b, "share": share})
    return {
        "a": len(first),
        "b": len(second),
        "a_met": int(np.count_nonzero(met_a)),
        "b_met": int(np.count_nonzero(met_b)),
        "a_share": min(1.0, float(met_a.sum() / area_a.sum())) if len(first) else None,
        "b_share": min(1.0, float(met_b.sum() / area_b.sum())) if len(second) else None,
        "gone": (np.flatnonzero(met_a == 0) + 1).tolist(),
        "new": (np.flatnonzero(met_b == 0) + 1).tolist(),
        "best": best,
    }
