"""The cases of distances, densities and labels."""

from __future__ import annotations

import numpy as np

from mpmjax.ops.density import density_in_memory
from mpmjax.ops.distance import distance_in_memory
from mpmjax.ops.label import label as op_label
from mpmjax.reference.density import density as reference_density
from mpmjax.reference.distance import distance as reference_distance
from mpmjax.reference.label import label as reference_label

from . import baselines, gdal_baselines, inputs, label_baselines, xarray_baselines
from .gate import Case, Inexact, Verdict, close
from .stacks import ULP


def distance(rng: np.random.Generator, side: int) -> tuple[Case, ...]:
    """Distance to faults, on square cells and on others."""
    features = inputs.faults(rng, side)

    def case(variant: str, cell_size: tuple[float, float]) -> Case:
        return Case(
            variant=f"faults, {variant} cells",
            unit="cells",
            work=side * side,
            bytes_moved=side * side * 5,
            operations=0,
            op=lambda: distance_in_memory(features, cell_size),
            reference=lambda: reference_distance(features, cell_size),
            judge=_judge_distance,
            why="relative: exact in float64 and rounded to float32, twice where the cells are not square",
            rivals={
                "scipy edt": baselines.scipy_distance(features, cell_size),
                "edt": baselines.edt_distance(features, cell_size),
                "OpenCV": baselines.opencv_distance(features, cell_size),
                "GDAL in memory": gdal_baselines.memory_distance(features, cell_size),
                "gdal_proximity": gdal_baselines.command_distance(features, cell_size),
                "xarray-spatial": xarray_baselines.distance(features, cell_size),
                "EIS Toolkit": baselines.EIS_TOOLKIT,
            },
            rival_tolerance=1e-5,
            clock_reference=False,
        )

    return case("square", (30.0, 30.0)), case("30 m x 45 m", (30.0, 45.0))


FAR_OFF = 0.1
"""Relative error up to which a distance counts as approximate: GDAL's way was off by up to 0.061."""
MOST_OFF = 0.01
"""Share of the cells that may be off so far: of GDAL's 0.001 to 0.003 were."""


def _judge_distance(got: np.ndarray | Inexact, wanted: np.ndarray) -> Verdict:
    """Relative error: distances are of any size, and a cell on a feature must be exactly 0.

    Of Inexact ones the error that all but `MOST_OFF` of the cells keep below, if none is `FAR_OFF`.
    """
    if isinstance(got, Inexact):
        whole = _judge_distance(got.values, wanted)
        if whole.complaint or whole.error > FAR_OFF:
            return whole
        error = np.abs(got.values.astype(np.float64) - wanted) / np.where(wanted == 0, 1.0, wanted)
        return Verdict(float(np.quantile(error, 1.0 - MOST_OFF)), ULP)
    if np.shape(got) != wanted.shape or ((np.asarray(got) == 0) != (wanted == 0)).any():
        return Verdict(np.inf, ULP, "another shape, or features that are not at distance 0")
    scale = np.where(wanted == 0, 1.0, wanted)
    return close(np.asarray(got, np.float64) / scale, wanted / scale, ULP)


def density(rng: np.random.Generator, side: int) -> tuple[Case, ...]:
    """Length of faults and share of patches within 20 cells, by both kernels, and within 80 by the costlier one."""
    lengths = np.where(inputs.faults(rng, side), rng.uniform(0.0, 42.0, (side, side)), 0.0)
    cover = inputs.patches(rng, side, share=0.2, blur=8.0).astype(np.float64)
    everywhere = rng.random((side, side))

    def case(variant: str, amounts: np.ndarray, kernel: str, cells: int) -> Case:
        radius = 30.0 * cells
        return Case(
            variant=f"{variant}, {kernel}, radius {cells} cells",
            unit="cells",
            work=side * side,
            bytes_moved=side * side * 12,
            operations=0,
            op=lambda: density_in_memory(amounts, (30.0, 30.0), radius=radius, kernel=kernel),
            reference=lambda: reference_density(amounts, (30.0, 30.0), radius, kernel),
            judge=_judge_density,
            why="of the largest: exact sums or sums of positive float64, rounded to float32 once",
            rivals={
                "scipy oaconvolve": baselines.scipy_density(amounts, cells, kernel, 30.0),
                "OpenCV filter2D": baselines.opencv_density(amounts, cells, kernel, 30.0),
            },
            rival_tolerance=1e-5,
            clock_reference=False,
        )

    return (
        case("faults", lengths, "uniform", 20),
        case("faults", lengths, "quartic", 20),
        case("faults", lengths, "quartic", 80),
        case("20 % in patches", cover, "uniform", 20),
        case("20 % in patches", cover, "quartic", 20),
        case("noise everywhere", everywhere, "uniform", 20),
        case("noise everywhere", everywhere, "quartic", 20),
    )


def _judge_density(got: np.ndarray, wanted: np.ndarray) -> Verdict:
    """Error relative to the largest density: rivals by Fourier transform leave traces where nothing is."""
    return close(np.asarray(got, np.float64) / wanted.max(), wanted / wanted.max(), ULP)


def label(rng: np.random.Generator, side: int) -> tuple[Case, ...]:
    """The best 2 % of an area as smooth patches, and noise where clusters are largest and most ragged."""

    def case(variant: str, mask: np.ndarray) -> Case:
        strips = [mask[row : row + STRIP_ROWS] for row in range(0, side, STRIP_ROWS)]

        def op() -> np.ndarray:
            components = op_label(strips)
            return np.concatenate([components.relabel(index, strip) for index, strip in enumerate(strips)])

        return Case(
            variant=variant,
            unit="cells",
            work=side * side,
            bytes_moved=side * side * 5,
            operations=0,
            op=op,
            reference=lambda: reference_label(mask),
            judge=_judge_labels,
            why="whole numbers: the same or wrong",
            rivals={
                "scipy label": label_baselines.scipy_label(mask),
                "OpenCV": label_baselines.opencv_label(mask),
                "scikit-image": label_baselines.scikit_image_label(mask),
                "cc3d": label_baselines.cc3d_label(mask),
            },
            rival_tolerance=OTHER_NUMBERS,
            clock_reference=False,
        )

    patches = inputs.patches(rng, side, share=0.02, blur=4.0)
    # 0.407 is the percolation threshold of a square lattice with 8 neighbours.
    return case("2 % in patches", patches), case("41 % noise", inputs.patches(rng, side, share=0.407, blur=0.0))


STRIP_ROWS = 256
OTHER_NUMBERS = 0.5
"""The error of labels that name the same components by other numbers: nothing is let off but a rival."""


def _judge_labels(got: np.ndarray, wanted: np.ndarray) -> Verdict:
    """Error 0 for the same labels, OTHER_NUMBERS for the same components."""
    if np.shape(got) != wanted.shape:
        return Verdict(np.inf, 0.0, f"shape {np.shape(got)}, the reference has {wanted.shape}")
    if np.array_equal(got, wanted):
        return Verdict(0.0, 0.0)
    pairs = np.unique(np.stack((np.ravel(got), wanted.ravel())), axis=1)
    one_to_one = all(np.unique(side).size == pairs.shape[1] for side in pairs)
    return Verdict(OTHER_NUMBERS if one_to_one else np.inf, 0.0)
