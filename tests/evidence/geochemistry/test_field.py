"""Fields: what is written is what is meant, and every kind against its formula written out."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from tolerances import LOGRATIO, LOGRATIO_BY_ANOTHER, assert_close

from mpmjax.errors import DataError
from mpmjax.evidence.geochemistry.field import Field, compute_field, parse_field

PARTS = ("Li", "Be", "Sn", "SiO2")
LABEL = "layer 'lithium'"


def drawn(seed: int = 0, rows: int = 200) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {part: rng.lognormal(k, 1.0, rows) for k, part in enumerate(PARTS)}


def computed(text: str, values: dict[str, np.ndarray]) -> np.ndarray:
    return compute_field(parse_field(text), values, PARTS, LABEL)[0]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Li", Field("column", ("Li",))),
        (" Li_ppm ", Field("column", ("Li_ppm",))),
        ("Au (ppb)", Field("column", ("Au (ppb)",))),
        ("Al(ppm)", Field("column", ("Al(ppm)",))),
        ("Li, total", Field("column", ("Li, total",))),
        ("clr(Li)", Field("clr", ("Li",))),
        ("clr ( Li )", Field("clr", ("Li",))),
        ("alr(Li,Ti)", Field("alr", ("Li", "Ti"))),
        ("""alr("Li, ppm", 'Ti (ppm)')""", Field("alr", ("Li, ppm", "Ti (ppm)"))),
        ("ilr(Li)", Field("ilr", ("Li",))),
        ("ilr(Li | Be, Sn)", Field("ilr", ("Li",), ("Be", "Sn"))),
        ("ilr(Li, W|Sn)", Field("ilr", ("Li", "W"), ("Sn",))),
        ("log(Li)", Field("log", ("Li",))),
        ("boxcox(Li)", Field("boxcox", ("Li",))),
        ("factor(1)", Field("factor", (), (), 1)),
        ("factor(2, Li)", Field("factor", ("Li",), (), 2)),
        ("gmpi(12)", Field("gmpi", (), (), 12)),
    ],
)
def test_what_is_written(text, expected):
    assert parse_field(text) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "got nothing"),
        ("crl(Li)", r"did you mean clr\(...\)"),
        ("bocox(Li)", r"did you mean boxcox\(...\)"),
        ("clr()", r"write it like clr\(Li\)"),
        ("clr(Li, Be)", r"write it like clr\(Li\)"),
        ("clr(Li | Be)", r"write it like clr\(Li\)"),
        ("alr(Li)", r"write it like alr\(Li, Ti\)"),
        ("alr(Li, Li)", "a part is named twice"),
        ("ilr(Li, Be)", r"write it like ilr\(Li\) or"),
        ("ilr(Li | )", r"write it like ilr\(Li\) or"),
        ("ilr(Li | Be | Sn)", r"write it like ilr\(Li\) or"),
        ("ilr(Li | Li)", "a part is named twice"),
        ("factor(0)", r"write it like factor\(1\)"),
        ("factor(Li)", r"write it like factor\(1\)"),
        ("factor(1, Li, Be)", r"write it like factor\(1\)"),
        ("log(Au (ppb))", "quote names"),
    ],
)
def test_what_is_refused(text, message):
    with pytest.raises(ValueError, match=message):
        parse_field(text)


def test_columns():
    assert parse_field("clr(Li)").columns(PARTS) == PARTS
    assert parse_field("ilr(Li)").columns(PARTS) == PARTS
    assert parse_field("factor(3)").columns(PARTS) == PARTS
    assert parse_field("ilr(Li | W, Sn)").columns(PARTS) == ("Li", "W", "Sn")
    assert parse_field("alr(Li, Ti)").columns() == ("Li", "Ti")


@pytest.mark.parametrize(
    ("text", "composition", "message"),
    [
        ("clr(Li)", (), r"needs a composition .* \(none is stated\)"),
        ("clr(Li)", ("Li",), r"\(got Li\)"),
        ("clr(Li)", ("Li", "Li"), "different parts"),
        ("clr(SiO)", PARTS, "did you mean 'SiO2'"),
        ("factor(4)", PARTS, "4 parts have 3 factors"),
        ("factor(1, W)", PARTS, "'W' is no part"),
    ],
)
def test_compositions_that_do_not_fit(text, composition, message):
    with pytest.raises(ValueError, match=message):
        parse_field(text).columns(composition)


def test_every_kind_against_its_formula():
    v = drawn()
    logs = np.log(np.array([v[part] for part in PARTS]))
    assert_close(computed("Li", v), v["Li"], LOGRATIO)
    assert_close(computed("log(Li)", v), logs[0], LOGRATIO)
    assert_close(computed("clr(Sn)", v), logs[2] - logs.sum(axis=0) / 4, LOGRATIO)
    assert_close(computed("alr(Li, Sn)", v), np.log(v["Li"] / v["Sn"]), LOGRATIO)
    assert_close(computed("ilr(Be)", v), np.sqrt(3 / 4) * (logs[1] - (logs[0] + logs[2] + logs[3]) / 3), LOGRATIO)
    balance = np.sqrt(2 * 1 / 3) * np.log(np.sqrt(v["Li"] * v["Be"]) / v["SiO2"])
    assert_close(computed("ilr(Li, Be | SiO2)", v), balance, LOGRATIO)


def test_boxcox_is_that_of_scipy():
    v = drawn(3)
    v["Li"] = v["Li"] ** 0.3
    expected, _ = stats.boxcox(v["Li"])
    # Both look for the flat top of the likelihood, in other units.
    assert np.corrcoef(computed("boxcox(Li)", v), expected)[0, 1] > 1 - 1e-9
    power = float(stats.boxcox_normmax(v["Li"], method="mle"))
    _, notes = compute_field(parse_field("boxcox(Li)"), v, (), LABEL)
    assert float(notes[-1].split("lambda = ")[1].split(",")[0]) == pytest.approx(power, abs=2e-4)


def test_units_shift_log_ratios_and_nothing_else():
    v = drawn(4)
    other = v | {"Li": v["Li"] * 1000.0}
    for text, shift in (("clr(Li)", 0.75), ("clr(Be)", -0.25), ("alr(Li, Be)", 1.0)):
        assert_close(computed(text, other), computed(text, v) + shift * np.log(1000.0), LOGRATIO_BY_ANOTHER)
    # A robust covariance sees neither units nor the sum.
    assert_close(computed("factor(1, Li)", other), computed("factor(1, Li)", v), LOGRATIO_BY_ANOTHER)


def test_logarithms_of_what_is_not_above_0_are_missing_and_told():
    v = {"Li": np.array([1.0, 0.0, -2.0, np.nan, 5.0])}
    got, notes = compute_field(parse_field("log(Li)"), v, (), LABEL)
    assert np.isnan(got).tolist() == [False, True, True, True, False]
    assert notes[0].startswith("layer 'lithium': 2 of 5 values are not above 0")
    for text, column, message in (
        ("log(Li)", [0.0, -1.0], "no value is above 0"),
        ("boxcox(Li)", [3.0, 3.0], "all of its 2 values above 0 are 3"),
        ("Li", [np.nan, np.nan], "no sample has a value"),
    ):
        with pytest.raises(DataError, match=message):
            compute_field(parse_field(text), {"Li": np.array(column)}, (), LABEL)


def test_levelling_follows_the_transformation():
    v = drawn(5)
    classes = np.array(["a", "b"] * 100, object)
    got, _ = compute_field(parse_field("log(Li)"), v, (), LABEL, classes=classes)
    own = np.log(v["Li"][::2])
    mad = np.median(np.abs(own - np.median(own)))
    assert_close(got[::2], (own - np.median(own)) / (1.4826 * mad), LOGRATIO)


def test_the_column_is_not_changed_in_place():
    v = drawn(6)
    before = v["Li"].copy()
    compute_field(parse_field("Li"), v, (), LABEL)[0][:] = 0.0
    assert_close(v["Li"], before, LOGRATIO)
