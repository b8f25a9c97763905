"""The section on validation: what the figures say in words, above all where they speak against the method."""

from __future__ import annotations

from typing import Any

import pytest
from reporting.records import HOSTILE, beside, blocks, full_record

from mpmjax.reporting import words
from mpmjax.reporting.html import render
from mpmjax.reporting.judgement import validation

COMPARISON = ("ours", "baselines", "compared")
PLAIN = "Prospectivity ranks a known occurrence above 83 % of the other cells on average."


def section(**changes: Any) -> dict[str, Any]:
    """The section of the full record with parts of its validation replaced; None takes a part away."""
    record = full_record()
    record["validation"] |= changes
    found = validation(record)
    assert found is not None
    return found


def alone() -> dict[str, Any]:
    return section(**dict.fromkeys(COMPARISON))


def test_the_best_of_each_column_is_marked() -> None:
    rows = section()["rows"]
    assert [row["name"] for row in rows] == ["prospectivity", "favourability", "anomaly", "fuzzy gamma overlay", "pca"]
    assert rows[0]["cells"][0] == ("0.83", False)
    assert rows[3]["cells"][0] == ("0.87", True)
    assert rows[0]["cells"][3] == ("61 %", True)
    assert rows[0]["interval"] == "0.78 to 0.88"


def test_without_comparison_a_better_rival_is_named_by_its_figure() -> None:
    found = alone()
    assert found["verdict"] == f"{PLAIN} Here fuzzy gamma overlay (0.87) ranks them higher: read those maps beside it."
    assert found["beside"] is None
    record = full_record()
    record["validation"] |= dict.fromkeys(COMPARISON)
    assert "Beside simple methods" not in render(record, {})


def test_near_chance_says_so() -> None:
    record = full_record()
    record["validation"]["methods"]["prospectivity"]["auc_low"] = 0.46
    found = validation(record)
    assert found is not None
    assert "cannot tell from chance" in found["verdict"]


def test_one_table_by_auc_with_ours_marked() -> None:
    found = section()
    assert found["verdict"] == PLAIN, "what is better is said once, with its interval"
    rows = found["beside"]["rows"]
    assert [(row["name"], row["ours"]) for row in rows] == [
        ("fuzzy gamma overlay", False),
        ("prospectivity", True),
        ("typed mean, the plain overlay", False),
        ("favourability", True),
        ("R, favourability told from the latent", True),
        ("PCA", False),
        ("anomaly", True),
    ]
    assert rows[0]["cells"][0] == ("0.87", True)
    assert (rows[0]["gap"], rows[0]["gap_interval"]) == ("−0.040", "−0.060 to −0.020")
    assert (rows[1]["gap"], rows[1]["gap_interval"]) == ("–", "")
    assert (rows[2]["gap"], rows[2]["interval"]) == ("+0.010", "0.78 to 0.86")
    assert found["beside"]["absent"] == [("SOM", f"not installed {HOSTILE}")]
    page = render(full_record(), {})
    assert page.count('class="ours"') == 4
    assert "3\u202f995 sampled cells and 42 occurrence cells" in page


def test_better_worse_and_within_chance_in_plain_words() -> None:
    assert section()["beside"]["verdict"] == (
        "Between prospectivity and the plain overlay (0.82) the difference is within chance: +0.010, 95 % interval "
        "−0.010 to +0.030. Prospectivity is better than the anomaly map alone (0.48) by more than chance explains: "
        "+0.350, 95 % interval +0.330 to +0.370. Prospectivity is worse than the best of these 3 simple methods, fuzzy "
        "gamma overlay (0.87) by more than chance explains: −0.040, 95 % interval −0.060 to −0.020."
    )


@pytest.mark.parametrize(
    ("ahead", "half", "word"),
    [(0.03, 0.0299, "better"), (0.03, 0.03, "within chance"), (-0.03, 0.03, "within chance"), (-0.03, 0.0299, "worse")],
)
def test_an_interval_that_holds_0_is_chance(ahead: float, half: float, word: str) -> None:
    only = {"typed mean": beside(0.82, ahead, half)}
    said = section(baselines=only, ours={"prospectivity": beside(0.83)})["beside"]["verdict"]
    assert word in said
    assert "best of these" not in said, "the best simple method is the overlay, told already"


def test_whatever_else_is_ahead_is_named() -> None:
    ours = full_record()["validation"]["ours"] | {"favourability": beside(0.88, -0.05)}
    said = section(ours=ours)["beside"]["verdict"]
    assert said.endswith(" By more than chance explains, prospectivity is also behind favourability.")


def test_without_draws_nothing_is_called_better() -> None:
    gap = {"auc": 0.01, "low": None, "high": None, "behind": None}
    said = section(baselines={"typed mean": beside(0.82) | {"difference": gap}})["beside"]["verdict"]
    assert said.startswith("Prospectivity differs from the plain overlay (0.82) by +0.010, how surely cannot be said.")


def test_a_comparison_that_could_not_be_made() -> None:
    found = section(ours={}, baselines={}, compared={"missing": f"constant {HOSTILE}"})
    assert found["beside"]["rows"] == []
    assert found["verdict"].endswith("read those maps beside it.")
    record = full_record()
    record["validation"] |= {"ours": {}, "baselines": {}, "compared": {"missing": f"constant {HOSTILE}"}}
    page = render(record, {})
    assert "Simple methods could not be fitted here: constant &lt;script&gt;" in page
    assert 'class="wide compared"' not in page


def test_place_is_told_by_p() -> None:
    assert section()["null"] == (
        "Shifted together over the map, 870 times at random, the occurrences reach such an AUC or a higher one with "
        "p = 0.0040: their pattern and that of the map do not explain it alone."
    )
    chance = section(null={"p": 0.21, "used": 99})["null"]
    assert chance.endswith("p = 0.21: their clustering and the smoothness of the map could explain it alone.")
    assert section(null={"missing": "too few shifts"})["null"].endswith("was not tested: too few shifts")
    assert section(null=None)["null"] == ""


def test_blocks_in_their_places() -> None:
    found = section()["blocks"]
    assert [[cell["auc"] for cell in row] for row in found["rows"]] == [["0.91", "", "0.50"], ["0.30", "0.72", ""]]
    assert [cell["deposits"] for cell in found["rows"][0]] == ["1 occurrence", "", "3 occurrences"]
    assert found["sentence"] == (
        "In 2 of the 4 blocks that hold an occurrence and other cells its AUC is above one half."
    )
    best, none, half = (cell["colour"] for cell in found["rows"][0])
    assert (none, half) == ("#ffffff", found["rows"][1][0]["colour"]), "below one half is no better than one half"
    assert best < half, "darker"
    assert section(blocks=blocks([None, None]))["blocks"] is None
    assert section(blocks=None)["blocks"] is None


def test_notes_stand_beside_the_figures() -> None:
    page = render(full_record(), {})
    assert "42 occurrences in &lt;b&gt;17&lt;/b&gt; districts" in page


def test_differences_have_a_sign() -> None:
    assert [words.signed(x) for x in (0.0123, -0.0123, 0.0, -0.0004, None)] == [
        "+0.012", "−0.012", "±0.000", "±0.000", "–",
    ]  # fmt: skip
