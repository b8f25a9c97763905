"""The filters beside those of harmonica (Fatiando a Terra), where that is installed: another author's."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from prisms import Prism, cell_places, magnetic
from tolerances import FIELD_OTHER_FFT, FIELD_SLOPE_NUMERICALLY, assert_close

from mpmjax.evidence.fields.derivatives import (
    analytic_signal,
    tilt_angle,
    upward_continuation,
    vertical_derivative,
)

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    harmonica = pytest.importorskip("harmonica")
    xarray = pytest.importorskip("xarray")
    choclo = pytest.importorskip("choclo")

CELLS, SHAPE = (100.0, 80.0), (180, 160)
BODIES = [Prism(5000, 7500, -6500, -4000, 400, 1200), Prism(9000, 10200, -9800, -8000, 500, 1500, -0.7)]
PAD = 60
INSIDE = (slice(25, -25), slice(25, -25))


def test_the_prisms_are_those_of_choclo() -> None:
    x, y = cell_places((7, 9), (900.0, 1100.0))
    exact = magnetic(x, y, BODIES[:1])
    body = BODIES[0]
    box = (body.west, body.east, body.south, body.north, -body.bottom, -body.top)
    theirs = [choclo.prism.magnetic_u(a, b, 0.0, *box, 0.0, 0.0, 1.0) for a, b in zip(x.flat, y.flat, strict=True)]
    ratio = np.array(theirs).reshape(x.shape) / exact.value
    assert_close(ratio / ratio[0, 0], np.ones(x.shape), FIELD_SLOPE_NUMERICALLY)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["vertical", "amplitude", "tilt", "upward"])
def test_inside_the_filters_agree(kind: str) -> None:
    x, y = cell_places(SHAPE, CELLS)
    values = magnetic(x, y, BODIES).value
    # Their vertical derivative and tilt are upwards: those downwards are the negative. They need the values from south
    # to north, and a margin; it is 0 here, as the field far from the bodies is.
    padded = np.pad(values[::-1], PAD)
    north = y[-1, 0] + (np.arange(padded.shape[0]) - PAD) * CELLS[1]
    east = x[0, 0] + (np.arange(padded.shape[1]) - PAD) * CELLS[0]
    grid = xarray.DataArray(padded, coords={"northing": north, "easting": east}, dims=("northing", "easting"))
    operate, ours = {
        "vertical": (lambda g: -harmonica.derivative_upward(g), vertical_derivative(values, CELLS)),
        "amplitude": (harmonica.total_gradient_amplitude, analytic_signal(values, CELLS)),
        "tilt": (lambda g: -harmonica.tilt_angle(g), tilt_angle(values, CELLS)),
        "upward": (lambda g: harmonica.upward_continuation(g, 300.0), upward_continuation(values, CELLS, 300.0)),
    }[kind]
    theirs = np.asarray(operate(grid))[PAD:-PAD, PAD:-PAD][::-1]
    where = np.zeros(SHAPE, bool)
    where[INSIDE] = True
    if kind == "tilt":
        amplitude = analytic_signal(values, CELLS)
        where &= amplitude > 0.25 * amplitude.max()
    span = np.ptp(ours[where])
    assert_close(theirs[where] / span, ours[where] / span, FIELD_OTHER_FFT)
