"""Spectra of rock, plants, water and cloud to the accuracy of a sketch, and the bands that sensors see them through.

Positions and relative depths of absorptions follow the USGS Spectral Library (Kokaly et al. 2017) for the minerals, and
Salisbury and D'Aria (1992) for thermal emissivity; levels are those of mixed, weathered surfaces, not of pure powders.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

THERMAL = 3.0
"""Micrometres from which on a band sees emission, not reflection."""

BANDS: Mapping[str, Mapping[str, tuple[float, float]]] = {
    "sentinel2": {
        "B02": (0.492, 0.066), "B03": (0.560, 0.036), "B04": (0.665, 0.031), "B05": (0.704, 0.015),
        "B06": (0.741, 0.015), "B07": (0.783, 0.020), "B08": (0.833, 0.106), "B8A": (0.865, 0.021),
        "B11": (1.614, 0.091), "B12": (2.202, 0.175),
    },
    "landsat8": {
        "B1": (0.443, 0.016), "B2": (0.482, 0.060), "B3": (0.561, 0.057), "B4": (0.655, 0.037), "B5": (0.865, 0.028),
        "B6": (1.609, 0.085), "B7": (2.201, 0.187),
    },
    "aster": {
        "B01": (0.560, 0.080), "B02": (0.660, 0.060), "B3N": (0.820, 0.080), "B04": (1.650, 0.100),
        "B05": (2.165, 0.040), "B06": (2.205, 0.040), "B07": (2.260, 0.050), "B08": (2.330, 0.070),
        "B09": (2.395, 0.070), "B10": (8.290, 0.350), "B11": (8.630, 0.350), "B12": (9.080, 0.350),
        "B13": (10.660, 0.700), "B14": (11.320, 0.700),
    },
}  # fmt: skip
"""Sensor -> band -> (centre, width) in micrometres, in the order of the file."""

MINERALS = ("argillic", "phyllic", "propylitic", "ferric", "ferrous", "carbonate", "quartz")
COVERS = ("soil", "vegetation", "water", "cloud")

SPECTRA: Mapping[str, tuple[tuple[float, float], ...]] = {
    # Kaolinite and alunite: 2.165 and 2.205, alunite at 1.76 and 2.33; emission low near 9.
    "argillic": (
        (0.4, 0.48), (0.5, 0.56), (0.65, 0.64), (0.85, 0.70), (1.3, 0.76), (1.4, 0.60), (1.65, 0.79), (1.76, 0.68),
        (2.05, 0.70), (2.12, 0.62), (2.165, 0.43), (2.19, 0.46), (2.205, 0.43), (2.235, 0.55), (2.26, 0.60),
        (2.30, 0.57), (2.33, 0.52), (2.395, 0.48), (2.5, 0.40),
        (8.1, 0.95), (8.63, 0.950), (9.08, 0.925), (9.5, 0.93), (10.66, 0.965), (11.9, 0.965),
    ),
    # Sericite, muscovite, illite: one deep band at 2.205, a weaker one at 2.345.
    "phyllic": (
        (0.4, 0.38), (0.5, 0.46), (0.65, 0.53), (0.85, 0.58), (1.3, 0.62), (1.4, 0.50), (1.65, 0.65), (2.05, 0.62),
        (2.13, 0.59), (2.165, 0.54), (2.205, 0.37), (2.24, 0.51), (2.26, 0.54), (2.30, 0.52), (2.345, 0.45),
        (2.395, 0.49), (2.5, 0.41), (8.1, 0.95), (8.63, 0.950), (9.08, 0.930), (10.66, 0.962), (11.9, 0.965),
    ),
    # Chlorite and epidote: ferrous iron to 1.2, Mg-OH and Fe-OH at 2.25 and 2.335.
    "propylitic": (
        (0.4, 0.11), (0.5, 0.17), (0.56, 0.205), (0.65, 0.195), (0.72, 0.18), (0.85, 0.20), (1.0, 0.21), (1.25, 0.28),
        (1.65, 0.38), (2.05, 0.38), (2.165, 0.375), (2.205, 0.365), (2.25, 0.325), (2.30, 0.29), (2.335, 0.235),
        (2.38, 0.275), (2.43, 0.29), (2.5, 0.25),
        (8.1, 0.965), (8.63, 0.96), (9.08, 0.950), (10.0, 0.945), (10.66, 0.955), (11.9, 0.965),
    ),
    # Hematite and goethite: dark below 0.55, a crystal field band near 0.88.
    "ferric": (
        (0.4, 0.040), (0.45, 0.045), (0.5, 0.060), (0.55, 0.10), (0.6, 0.20), (0.65, 0.265), (0.75, 0.32), (0.8, 0.30),
        (0.865, 0.245), (0.90, 0.24), (1.0, 0.29), (1.25, 0.42), (1.65, 0.49), (2.05, 0.48), (2.2, 0.470),
        (2.33, 0.465), (2.5, 0.45), (8.1, 0.95), (8.63, 0.955), (9.08, 0.95), (10.66, 0.965), (11.9, 0.965),
    ),
    # Pyroxene, olivine, amphibole: ferrous iron at 1.0; the emission minimum lies beyond 10.
    "ferrous": (
        (0.4, 0.10), (0.5, 0.135), (0.56, 0.155), (0.65, 0.145), (0.75, 0.130), (0.85, 0.100), (0.95, 0.085),
        (1.05, 0.08), (1.25, 0.11), (1.65, 0.17), (2.05, 0.168), (2.2, 0.163), (2.3, 0.150), (2.4, 0.148), (2.5, 0.145),
        (8.1, 0.970), (8.63, 0.97), (9.08, 0.965), (10.0, 0.945), (10.66, 0.935), (11.32, 0.955), (11.9, 0.965),
    ),
    # Calcite: 2.34, and 11.3 in emission.
    "carbonate": (
        (0.4, 0.50), (0.5, 0.58), (0.65, 0.64), (0.85, 0.68), (1.65, 0.70), (1.9, 0.66), (2.05, 0.66), (2.165, 0.65),
        (2.205, 0.64), (2.26, 0.61), (2.30, 0.54), (2.34, 0.44), (2.40, 0.56), (2.5, 0.50),
        (8.1, 0.955), (8.63, 0.96), (9.08, 0.96), (10.66, 0.955), (11.0, 0.930), (11.32, 0.85), (11.6, 0.90),
        (11.9, 0.945),
    ),
    # Quartz: bright and flat; low in emission from 8 to 9.3 with a peak at 8.63.
    "quartz": (
        (0.4, 0.38), (0.5, 0.42), (0.65, 0.46), (0.85, 0.49), (1.65, 0.53), (2.05, 0.52), (2.2, 0.515), (2.33, 0.515),
        (2.5, 0.50), (8.1, 0.70), (8.29, 0.72), (8.63, 0.79), (9.08, 0.70), (9.5, 0.85), (10.66, 0.955), (11.9, 0.96),
    ),
    "soil": (
        (0.4, 0.090), (0.45, 0.105), (0.5, 0.125), (0.55, 0.155), (0.65, 0.205), (0.80, 0.265), (0.90, 0.285),
        (1.0, 0.305), (1.25, 0.355), (1.65, 0.395), (2.05, 0.380), (2.165, 0.375), (2.205, 0.365), (2.26, 0.370),
        (2.33, 0.362), (2.395, 0.355), (2.5, 0.34),
        (8.1, 0.940), (8.63, 0.945), (9.08, 0.945), (10.66, 0.965), (11.9, 0.97),
    ),
    "vegetation": (
        (0.4, 0.035), (0.49, 0.045), (0.56, 0.090), (0.665, 0.040), (0.70, 0.12), (0.74, 0.38), (0.78, 0.45),
        (0.865, 0.47), (1.25, 0.42), (1.40, 0.25), (1.65, 0.245), (2.1, 0.11), (2.205, 0.125), (2.33, 0.100),
        (2.5, 0.06), (8.1, 0.985), (11.9, 0.985),
    ),
    "water": ((0.4, 0.065), (0.56, 0.050), (0.665, 0.025), (0.75, 0.010), (0.865, 0.005), (1.65, 0.003), (2.5, 0.002),
              (8.1, 0.985), (11.9, 0.99)),
    "cloud": ((0.4, 0.74), (0.865, 0.78), (1.25, 0.74), (1.65, 0.58), (2.2, 0.45), (2.5, 0.40),
              (8.1, 0.97), (11.9, 0.97)),
}  # fmt: skip
"""Name -> (micrometres, reflectance below `THERMAL`, emissivity above it), straight between."""


def band_values(name: str, bands: Mapping[str, tuple[float, float]]) -> np.ndarray:
    """Mean reflectance or emissivity over each band, float64 [bands], 0 to 1."""
    points = np.array(SPECTRA[name])
    found = []
    for centre, width in bands.values():
        part = points[(points[:, 0] > THERMAL) == (centre > THERMAL)]
        across = centre + width * (np.arange(21) / 20.0 - 0.5)
        found.append(np.interp(across, part[:, 0], part[:, 1]).mean())
    return np.array(found)


def radiance(micrometres: float, kelvin: np.ndarray) -> np.ndarray:
    """Planck's law: W m-2 sr-1 µm-1 of a black body."""
    first, second = 1.191042972e8, 1.4387768775e4
    return first / micrometres**5 / np.expm1(second / (micrometres * kelvin))
