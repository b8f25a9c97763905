"""How the blind districts are surveyed: from a hidden theme to a layer in the units of its instrument.

Every survey takes normal scores [h, w] and leaves its own marks on them: samples gridded from scattered sites, batches
of a laboratory, detection limits, flight lines, regional trends, cover, maps on which objects are missing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage, spatial

from .blind_geology import Field, Mask, cells_to, gaussian_field

CELL = 100.0
"""Metres."""


@dataclass(frozen=True)
class Kind:
    """One kind of layer. `sign` is +1 if it rises with its theme, -1 if it falls; `median` is in ppm, or unused."""

    name: str
    role: str
    sign: int
    median: float = 1.0


KINDS: dict[str, tuple[Kind, ...]] = {
    "conduit": (Kind("distance to faults", "distance", -1), Kind("fault density", "density", 1)),
    "heat": (
        Kind("distance to granite", "distance", -1),
        Kind("residual gravity", "geophysics", -1),
        Kind("potassium count", "geophysics", 1),
    ),
    "host": (
        Kind("distance to carbonate contact", "distance", -1),
        Kind("carbonate index", "index", 1),
        Kind("conductivity", "geophysics", 1),
    ),
    "alteration": (
        Kind("clay index", "index", 1),
        Kind("iron oxide index", "index", 1),
        Kind("sodium", "geochemistry", -1, 18000.0),
        Kind("vegetation index", "index", -1),
    ),
    "metal": (
        Kind("copper", "geochemistry", 1, 28.0),
        Kind("gold", "geochemistry", 1, 0.002),
        Kind("molybdenum", "geochemistry", 1, 0.9),
    ),
    "pathfinder": (
        Kind("arsenic", "geochemistry", 1, 9.0),
        Kind("antimony", "geochemistry", 1, 0.7),
        Kind("bismuth", "geochemistry", 1, 0.3),
    ),
    "magnetite": (
        Kind("magnetic analytic signal", "geophysics", 1),
        Kind("chargeability", "geophysics", 1),
        Kind("magnetics reduced to the pole", "geophysics", -1),
    ),
    "veins": (Kind("vein density", "density", 1), Kind("silica index", "index", 1)),
    "late": (
        Kind("distance to lineaments", "distance", -1),
        Kind("lineament density", "density", 1),
        Kind("distance to dykes", "distance", -1),
        Kind("dyke density", "density", 1),
        Kind("topographic roughness", "geophysics", 1),
        Kind("shaded relief gradient", "geophysics", 1),
    ),
    "rock": (
        Kind("lanthanum", "geochemistry", 1, 32.0),
        Kind("thorium", "geochemistry", 1, 10.0),
        Kind("yttrium", "geochemistry", 1, 24.0),
        Kind("cerium", "geochemistry", 1, 65.0),
        Kind("thorium count", "geophysics", 1),
        Kind("niobium", "geochemistry", 1, 12.0),
    ),
    "weathering": (
        Kind("ferric index", "index", 1),
        Kind("laterite index", "index", 1),
        Kind("gossan index", "index", 1),
        Kind("ferrous index", "index", -1),
        Kind("vanadium", "geochemistry", 1, 80.0),
        Kind("kaolinite index", "index", 1),
    ),
    "basement": (Kind("Bouguer gravity", "geophysics", 1), Kind("depth to basement", "geophysics", -1)),
}
"""Theme -> layers that show it. The last four themes are nuisances: an ore system does not need them."""


def blurred(rng: np.random.Generator, signal: Field, quality: float) -> Field:
    """The signal with correlated noise; `quality`, 0 to 1, is the share of the variance that stays signal."""
    rough = gaussian_field(rng, (signal.shape[0], signal.shape[1]), rng.uniform(3, 15), smoothness=0.7)
    return np.sqrt(quality) * signal + np.sqrt(1 - quality) * rough


def observe(rng: np.random.Generator, kind: Kind, signal: Field, objects: Mask | None) -> Field:
    """The layer [h, w], complete, that a survey of this kind makes of normal scores.

    Args:
        signal: high where there is much of the theme, noise included; the kind's sign is applied here.
        objects: cells [h, w] of the objects that distances are measured from; other roles do not look at them.

    Raises:
        ValueError: an unknown role, or a distance without objects.
    """
    if kind.role == "distance" and objects is not None:
        return distance_map(rng, objects)
    if kind.role == "geochemistry":
        return samples_gridded(rng, kind.sign * signal, kind.median, limited=kind.sign > 0)
    if kind.role == "geophysics":
        return airborne(rng, kind.sign * signal)
    if kind.role == "index":
        return band_ratio(rng, kind.sign * signal)
    if kind.role == "density":
        return counted(rng, signal)
    raise ValueError(f"{kind.name}: no survey for the role {kind.role!r}, or no objects to measure from")


def distance_map(rng: np.random.Generator, objects: Mask) -> Field:
    """Metres to the nearest mapped object. Cover hides a sixth of the objects; the map is up to a cell off."""
    cover = gaussian_field(rng, (objects.shape[0], objects.shape[1]), 10.0)
    visible = objects & (cover < np.quantile(cover[objects], 5 / 6))
    shift = rng.integers(-1, 2, size=2)
    return CELL * cells_to(np.roll(visible, shift, axis=(0, 1)))


def samples_gridded(rng: np.random.Generator, signal: Field, median: float, limited: bool) -> Field:
    """Log-normal contents in ppm: jittered sites, nugget, laboratory batches, detection limit, inverse distances."""
    height, width = signal.shape
    spacing, spread = rng.uniform(2.5, 4.5), rng.uniform(0.5, 0.9)
    rows, columns = (grid.ravel() for grid in np.mgrid[0:height:spacing, 0:width:spacing])
    sites = np.column_stack([rows, columns]) + rng.uniform(-0.5, 0.5, (rows.size, 2)) * spacing
    at = np.clip(sites.round().astype(int), 0, [height - 1, width - 1])
    batch = rng.uniform(0, 0.3) * (at[:, 1] > width * rng.uniform(0.3, 0.7))
    scores = signal[at[:, 0], at[:, 1]] + rng.uniform(0.2, 0.5) * rng.standard_normal(rows.size) + batch
    contents = median * np.exp(spread * scores)
    if limited:
        limit = np.quantile(contents, rng.uniform(0, 0.35))
        contents = np.where(contents < limit, limit / 2, contents)
    away, nearest = spatial.KDTree(sites).query(np.indices((height, width)).reshape(2, -1).T, k=6)
    weights = 1 / (away**2 + 0.25)
    return ((weights * contents[nearest]).sum(axis=1) / weights.sum(axis=1)).reshape(height, width)


def airborne(rng: np.random.Generator, signal: Field) -> Field:
    """A potential field in its own unit: smoothed by flying height, on a regional trend, with levelling errors."""
    height, width = signal.shape
    smooth = ndimage.gaussian_filter(signal, rng.uniform(0.8, 2.0))
    smooth = smooth / smooth.std()
    turn, tilt = rng.uniform(0, 2 * np.pi), rng.uniform(0.3, 1.2)
    rows, columns = np.indices((height, width))
    trend = tilt * (np.sin(turn) * (rows / height - 0.5) + np.cos(turn) * (columns / width - 0.5))
    lines = rng.uniform(0.05, 0.2) * rng.standard_normal(height)
    if rng.random() < 0.5:
        lines = np.repeat(lines, 3)[:height]
    return rng.uniform(-200, 200) + rng.uniform(5, 80) * (smooth + trend + lines[:, None])


def band_ratio(rng: np.random.Generator, signal: Field) -> Field:
    """A band ratio about 1: weaker under vegetation and soil, with speckle from cell to cell."""
    shape = (signal.shape[0], signal.shape[1])
    exposure = np.clip(1 + 0.25 * gaussian_field(rng, shape, 10.0), 0.3, 1.2)
    speckle = rng.uniform(0.15, 0.35) * rng.standard_normal(shape)
    return 1 + rng.uniform(0.04, 0.1) * (exposure * signal + speckle)


def counted(rng: np.random.Generator, signal: Field) -> Field:
    """Objects per square kilometre in a window of about 0.5 km; they are a Poisson process that follows the signal."""
    rate = 0.4 * np.exp(0.8 * np.clip(signal, -3, 3))
    return ndimage.gaussian_filter(rng.poisson(rate).astype(float), 2.0) / (CELL / 1000) ** 2
