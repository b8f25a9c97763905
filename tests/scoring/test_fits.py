"""What two Screeners were fitted with: every kind of difference is named, and equal ones are not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from mpmjax.scoring.fits import SMALL, apart, differences, layer_differences, same_fit
from mpmjax.types import Membership, Screener

SIGMOID = Membership("sigmoid", {"midpoint": 50.0, "slope": 0.1})
STATISTICS = {"p1": 0.0, "median": 50.0, "p99": 100.0}
NAMES = ("alteration", "copper", "rocks", "gravity")
ROCKS = Membership("category", {}, knots_x=np.array([1.0, 2.0]), knots_y=np.array([0.9, 0.1]))


def layer(name: str, **stated: Any) -> dict[str, Any]:
    return {"name": name, "role": "index", "direction": 1, "weight": None, **STATISTICS, **stated}


def screener(
    names: Sequence[str] = NAMES, weights: Sequence[float] = (0.4, 0.4, 0.2, 0.0), **diagnostics: Any
) -> Screener:
    memberships = tuple(ROCKS if name == "rocks" else SIGMOID for name in names)
    arrays = {"weight": np.array(weights, np.float32), "trust": np.array([0.25], np.float32)}
    known = {"model": {"members": 8, "latent": 2, "train_loss": [0.1]}, "groups": {"k": 4}} | diagnostics
    return Screener(tuple(map(layer, names)), memberships, arrays, {"min_coverage": 0.5, "seed": 7}, known)


def record(version: str = "1", names: Sequence[str] = NAMES, **settings: Any) -> dict[str, Any]:
    files = {f"{name}.tif": f"sum of {name}" for name in names}
    layers = [{"name": n, "provenance": {"files": {f"{n}.tif": files[f"{n}.tif"]}}} for n in names]
    return {"version": version, "layers": layers, "settings": settings}


def told(a: Screener, b: Screener, records: tuple[Mapping[str, Any], Mapping[str, Any]] | None = None) -> list[str]:
    return differences(a, b, records or (record(), record()), layer_differences(a, b))


def test_nothing_differs() -> None:
    assert same_fit(screener(), screener())
    assert told(screener(), screener()) == []
    rows = layer_differences(screener(), screener())
    assert [row["effect"] for row in rows] == [0.0] * 4
    assert rows[0]["share_a"] == pytest.approx(0.4)


def changed(name: str, membership: Membership | None = None, **stated: Any) -> Screener:
    base, at = screener(), NAMES.index(name)
    memberships, layers = list(base.memberships), list(base.layers)
    memberships[at] = membership or memberships[at]
    layers[at] = {**layers[at], **stated}
    return replace(base, memberships=tuple(memberships), layers=tuple(layers))


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (changed("copper", direction=-1), "copper: direction high in A, low in B."),
        (changed("gravity", direction=0), "gravity: direction high in A, none stated in B."),
        (changed("copper", weight=2.0), "copper: weight not stated in A, 2 in B."),
        (changed("copper", role="geochemistry"), "copper: role index in A, geochemistry in B."),
        (changed("copper", derivation={"radius": 500}), "copper: derivation not stated in A, {'radius': 500} in B."),
        (
            changed("copper", Membership("linear", {"lo": 0.0, "hi": 100.0})),
            "apart on average (kind sigmoid in A, linear in B).",
        ),
        (changed("copper", replace(SIGMOID, hedge="very")), "apart on average (hedge none in A, very in B)."),
        (
            changed("copper", Membership("sigmoid", {"midpoint": 60.0, "slope": 0.1})),
            "apart on average (midpoint 50 in A, 60 in B).",
        ),
        (changed("rocks", replace(ROCKS, knots_y=np.array([0.1, 0.9]))), "rocks: membership 0.800 apart on average."),
    ],
)
def test_every_kind_of_change_of_a_layer(other: Screener, said: str) -> None:
    (sentence,) = told(screener(), other)
    assert sentence.endswith(said)


def test_other_source_files() -> None:
    other = record()
    other["layers"][1]["provenance"]["files"] = {"new name.tif": "sum of copper"}
    assert told(screener(), screener(), (record(), other)) == [], "another name is not another content"
    other["layers"][1]["provenance"]["files"] = {"copper.tif": "another sum"}
    assert told(screener(), screener(), (record(), other)) == ["copper: its source files are not the same."]


def test_layers_of_one_run_alone() -> None:
    a, b = screener(), screener(("alteration", "copper", "faults"), (0.5, 0.25, 0.25))
    rows = {row["name"]: row for row in layer_differences(a, b)}
    assert (rows["rocks"]["share_b"], rows["rocks"]["apart"]) == (None, None)
    assert rows["faults"]["effect"] == pytest.approx(0.25)
    sentences = told(a, b)
    assert sentences[0] == "Only in B: faults 25.0% of favourability."
    assert sentences[1].startswith("Only in A: rocks 20.0% of favourability; no part of ")
    assert sentences[1].endswith("but learnt: gravity.")


def test_the_largest_first_and_little_ones_together() -> None:
    rather = Membership("sigmoid", {"midpoint": 80.0, "slope": 0.1})
    slightly = Membership("sigmoid", {"midpoint": 50.2, "slope": 0.1})
    a = screener()
    b = replace(a, memberships=(slightly, rather, ROCKS, SIGMOID))
    sentences = told(a, b)
    assert sentences[0].startswith("copper: membership 0.")
    assert sentences[1].startswith("alteration: fitted numbers differ a little")
    assert len(sentences) == 2
    small = next(row for row in layer_differences(a, b) if row["name"] == "alteration")
    assert 0.0 < small["effect"] < SMALL


def test_apart_is_a_mean_over_the_values() -> None:
    """Half a step apart: constant memberships 0 and 1 differ by 1, and a shift of a line by 10 of 100 by 0.1."""
    line = Membership("linear", {"lo": -1000.0, "hi": 1000.0})
    moved = Membership("linear", {"lo": -800.0, "hi": 1200.0})
    assert apart((line, STATISTICS), (moved, STATISTICS)) == pytest.approx(0.1)
    low, high = Membership("linear", {"lo": 200.0, "hi": 300.0}), Membership("linear", {"lo": -300.0, "hi": -200.0})
    assert apart((low, STATISTICS), (high, STATISTICS)) == 1.0
    one = replace(ROCKS, knots_x=np.array([1.0, 3.0]))
    assert apart((ROCKS, STATISTICS), (one, STATISTICS)) == pytest.approx((0.0 + 0.1 + 0.1) / 3)


def test_settings() -> None:
    a, b = screener(), screener(model={"members": 8, "latent": 3}, groups={"k": 6})
    b = replace(b, settings={"min_coverage": 0.5, "seed": 8})
    b.arrays["trust"][:] = 0.5
    one = record(model={"steps": 600, "seed": 7}, targets={"min_area": None}, grid={"mask": None, "like": "copper"})
    other = record("2", model={"steps": 900, "seed": 9}, targets={"min_area": 2.0}, grid={"mask": "sheet.gpkg"})
    assert told(a, b, (one, other)) == [
        "[model] steps: 600 in A, 900 in B.",
        "[model] seed: 7 in A, 8 in B.",
        "[model] latent: 2 in A, 3 in B.",
        "number of groups: 4 in A, 6 in B.",
        "what the unusual adds to prospectivity (trust): 0.25 in A, 0.5 in B.",
        "[targets] min_area: not stated in A, 2 in B.",
        "[grid] mask: not stated in A, sheet.gpkg in B.",
        "mpmjax version: 1 in A, 2 in B.",
    ]
    assert told(a, a, (one, other))[0].startswith("[targets]"), "one Screener was fitted once, whatever projects say"
