"""The report: whole, escaped, offline, the same for the same record, and honest where something is missing."""

from __future__ import annotations

import base64
import re
from html.parser import HTMLParser
from typing import Any

import pytest
from reporting.records import HOSTILE, bare_record, full_record

from mpmjax.reporting import breaks, view, words
from mpmjax.reporting.html import CURVES, MAPS, render

FIGURES = {name: f"png of {name}".encode() for name in (*MAPS, *CURVES)}
SECTIONS = (
    "how-to-read",
    "targets",
    "maps",
    "layers",
    "model",
    "groups",
    "breaks",
    "validation",
    "warnings",
    "provenance",
)
VOID = {"meta", "img", "br", "link", "hr"}


class Page(HTMLParser):
    """Tags, attributes, visible text, and whether every tag is closed in its place."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text, self._open = "", list[str]()
        self.feed(text)
        self.close()
        assert not self._open, f"left open: {self._open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self._open:
            self.text += data

    def words(self) -> str:
        return " ".join(self.text.split())


@pytest.fixture(scope="module")
def full() -> str:
    return render(full_record(), FIGURES)


@pytest.fixture(scope="module")
def page(full: str) -> Page:
    return Page(full)


def test_all_sections_in_order(page: Page) -> None:
    assert [attrs["id"] for tag, attrs in page.tags if tag == "section"] == list(SECTIONS)


def test_links_lead_somewhere(page: Page) -> None:
    ids = {attrs["id"] for _, attrs in page.tags if "id" in attrs}
    links = [attrs["href"] or "" for tag, attrs in page.tags if tag == "a"]
    assert links
    assert {link.removeprefix("#") for link in links} <= ids


def test_names_cannot_become_markup(full: str, page: Page) -> None:
    assert HOSTILE not in full
    assert "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;" in full
    assert HOSTILE in page.text, "and yet it reads as it was given"
    assert not [tag for tag, _ in page.tags if tag in ("script", "iframe", "object", "link", "form", "b", "i")]
    assert not [key for _, attrs in page.tags for key in attrs if key.startswith("on")]
    assert "Kajan <i>like</i>" in page.text
    assert "12 infinite values <b>are</b> missing." in page.text


def test_every_text_of_the_record_is_escaped() -> None:
    def poison(value: Any) -> Any:
        if isinstance(value, dict):
            return {(key if key in KEYS else f"{key}<u>"): poison(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [poison(inner) for inner in value]
        return f"{value}<u>" if isinstance(value, str) else value

    record = full_record()
    KEYS = set(record) | {key for part in record.values() if isinstance(part, dict) for key in part}
    KEYS |= {key for row in (*record["layers"], *record["targets"]) for key in row} | {"kind", "params", "hedge"}
    KEYS |= {"transform", "complement", *record["validation"]["methods"]["gamma"], *record["groups"]["criteria"]}
    KEYS |= {"0.01", "0.02", "0.05", "0.1", "0.2", "pr", "oa", "nd", "ln_nd", "threshold"}
    KEYS |= {*record["validation"]["baselines"]["gamma"], *record["validation"]["blocks"][0], "low", "high", "missing"}
    KEYS |= {*record["validation"]["null"], *record["validation"]["compared"], "prospectivity", "typed mean"}
    KEYS |= {*record["fractal"]["anomaly"], *record["cuts"]["pa"]}
    for name in ("inputs", "outputs", "versions", "times"):
        KEYS -= set(record[name])
    page = Page(render(poison(record), {}))
    assert "u" not in {tag for tag, _ in page.tags}
    assert page.text.count("<u>") > 50


def test_nothing_is_fetched(full: str, page: Page) -> None:
    assert not re.search(r"https?:|//[a-z]|url\(|@import", re.sub(r"data:image/png;base64,[^\"]*", "", full))
    sources = [attrs["src"] or "" for tag, attrs in page.tags if tag == "img"]
    assert len(sources) == len(FIGURES)
    assert all(source.startswith("data:image/png;base64,") for source in sources)
    policy = [attrs["content"] for tag, attrs in page.tags if attrs.get("http-equiv") == "Content-Security-Policy"]
    assert policy == ["default-src 'none'; img-src data:; style-src 'unsafe-inline'"]


def test_figures_are_embedded_whole_and_described(page: Page) -> None:
    images = [attrs for tag, attrs in page.tags if tag == "img"]
    shown = {base64.b64decode((attrs["src"] or "").partition(",")[2]) for attrs in images}
    assert shown == set(FIGURES.values())
    assert all(attrs["alt"] for attrs in images)


def test_same_record_same_bytes(full: str) -> None:
    assert render(full_record(), dict(reversed(FIGURES.items()))) == full


def test_what_confidence_and_prospectivity_are_not(page: Page) -> None:
    said = page.words()
    assert "Confidence is the probability that a cell keeps its class" in said
    assert "It is stability, not the probability of a deposit." in said
    assert "Prospectivity is a rank-like score." in said
    assert "Labels are used here only" in said


def test_twenty_targets_and_where_the_others_are(page: Page) -> None:
    said = page.words()
    assert "The first 20 of 25 are listed; outlines and the full list are in targets.gpkg." in said
    assert len(view.targets(full_record())["rows"]) == 20
    assert "best 1 %: 0.980 and above; best 2 %: 0.950 and above; best 5 %: 0.910 and above" in said
    assert (
        "All 3 are listed"
        in Page(render(full_record() | {"targets": full_record()["targets"][:3], "target_count": 3}, {})).words()
    )


def test_cuts_that_are_no_area_shares(page: Page) -> None:
    said = page.words()
    assert "Median + 2 MAD of prospectivity is 0.970; 1.2 % of the area lies at or above it." in said
    assert (
        "Known from occurrences: the prediction-area plot crosses at 0.700, where 25 % of the area holds 75 %" in said
    )
    without = full_record() | {"cuts": {"median_2mad": 1.24, "median_2mad_share": 0.0}}
    (sentence,) = breaks.cuts(without)
    assert "1.240, which no cell reaches" in sentence
    assert breaks.cuts({"cuts": {"pa": None}}) == breaks.cuts({}) == []


def test_breaks_in_words(page: Page) -> None:
    record = full_record()
    found = breaks.section(record)
    assert found is not None
    anomaly, none, copper = found["rows"]
    assert (anomaly["name"], anomaly["breaks"], anomaly["slopes"]) == (
        "Anomaly",
        "4.10\u00a0(3.1\u00a0%)",
        "−0.50; −1.50",
    )
    assert (none["breaks"], none["remarks"]) == ("none", "96 cells are 0 or below")
    assert copper["breaks"] == "36.0\u00a0(20.0\u00a0%); 120\u00a0(0.4\u00a0%)"
    assert copper["remarks"].startswith("one lognormal tells as well")
    assert "clr has no such curve: 600 of 1000 values are 0 or below" in page.words()
    assert found["others"] == 0


def test_the_first_five_layers_are_shown() -> None:
    record = full_record()
    record["fractal"]["layers"] = {f"element {n}": record["fractal"]["layers"]["Cu"] for n in range(9)}
    assert list(breaks.shown(record)) == ["Anomaly", *(f"element {n}" for n in range(5))]
    assert "4 more layers are in run.json." in Page(render(record, {})).words()
    record["fractal"]["layers"] = {}
    assert list(breaks.shown(record)) == ["Anomaly"]


def test_reading_in_a_sentence() -> None:
    assert view.reading(full_record()) == (
        "25 targets stand out in the 54.0 km² screened; the first, 4.20 km² around 33.4567° S, 70.1234° W, lies in "
        f"group 1 and is driven by {HOSTILE} and faults. "
        "The best 5 % of the area holds 61 % of the 42 known occurrences."
    )
    one = full_record() | {"target_count": 1, "validation": None}
    assert view.reading(one).startswith("1 target stands out in the 54.0 km² screened; the first, ")
    assert view.reading({"target_count": 0}) == (
        "No cells of the area screened form a target at this area share and smallest area."
    )
    assert "not recorded" in view.reading({})


def test_agreement_of_the_halves_is_told() -> None:
    record = full_record()
    told = view.model(record)
    assert told is not None
    assert "0.97 by what the members tell" in told["halves"]
    assert "0.75 by how unusual" in told["halves"]
    for course in ([], [{"members": 1, "R": None, "surprise": None}]):
        record["model"]["split_half"] = course
        assert (view.model(record) or {})["halves"] == ""


def test_layers_in_words_and_numbers() -> None:
    first, second, third = view.layers(full_record())
    assert first["membership"] == "S-curve: midpoint\u00a00.42, slope\u00a013.1; very (μ²)"
    assert first["direction"] == "high is favourable"
    assert second["membership"] == "rank in the sample of log₁₀; turned over (1\u00a0−\u00a0μ)"
    assert (second["missing"], second["median"], second["p99"]) == ("< 0.1 %", "1\u202f840", "1\u202f234\u202f567")
    assert (second["weight"], second["number"]) == ("weight 2, as stated", "2")
    assert first["weight"] == "weight 0.84"
    assert third["weight"] == ""
    assert third["direction"] == "no direction"
    assert first["origin"] == "bilinear, from cells of 0.05 × 0.05 in EPSG:4326"
    stated = f"where\u00a0{HOSTILE}, azimuth\u00a030 to 60, search distance\u00a05\u202f000"
    assert second["origin"] == f"distance to 9\u202f400 features: {stated}"
    assert third["origin"] == ""
    assert [third[key] for key in ("membership", "missing", "p1", "median")] == ["–"] * 4
    assert third["p99"] == "−4.10\u00a0×\u00a010⁻⁵"


def test_without_occurrences_the_report_says_how_to_add_them() -> None:
    said = Page(render(full_record() | {"validation": None}, {})).words()
    assert "No known occurrences were given" in said
    assert '[validate] occurrences = "deposits.gpkg"' in said


def test_members_left_out_are_named(page: Page) -> None:
    assert "Left out because the loss was not finite: 1 of 3 members (in run.json, counted from 0: 2)." in page.words()
    record = full_record()
    record["model"]["excluded_members"] = []
    assert "No member was left out." in Page(render(record, {})).words()


def test_a_stated_number_of_groups_is_not_called_a_consensus() -> None:
    record = full_record()
    assert "They are cut into 2 parts, the consensus of the criteria" in Page(render(record, {})).words()
    record["groups"] |= {"separate": True, "agreement": 0.876}
    told = Page(render(record, {})).words()
    assert "2 separate groups, as the message length" in told
    assert "adjusted Rand index 0.88" in told
    record["groups"]["k"] = 1
    assert "lie in one cloud" in Page(render(record, {})).words()
    record["groups"]["criteria"] = {}
    assert "a number that the project states" in Page(render(record, {})).words()


@pytest.mark.parametrize("record", [{}, bare_record(), {"targets": None, "validation": {"methods": None}}])
def test_whatever_is_missing_every_section_stands(record: dict[str, Any]) -> None:
    page = Page(render(record, {}))
    assert [attrs["id"] for tag, attrs in page.tags if tag == "section"] == list(SECTIONS)
    assert not re.search(r"\b(None|nan|Undefined)\b", page.text)


@pytest.mark.parametrize("name", full_record())
def test_any_one_part_may_be_missing(name: str) -> None:
    record = full_record()
    del record[name]
    Page(render(record, {}))
    assert not re.search(r"\bNone\b", Page(render(full_record() | {name: None}, {})).text)


def test_a_figure_without_a_place_is_refused() -> None:
    with pytest.raises(ValueError, match="sucess"):
        render({}, {"sucess": b""})


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (0.00012345, "0.000123"), (999.6, "1\u202f000"), (-12.34, "−12.3"), (None, "–"), (float("nan"), "–"),
     (float("inf"), "–"), (2.5e9, "2.50\u00a0×\u00a010⁹")],
)  # fmt: skip
def test_numbers(value: float | None, text: str) -> None:
    assert words.number(value) == text


def test_other_words() -> None:
    assert [words.percent(x, 1) for x in (0, 0.0001, 0.5, None)] == ["0 %", "< 0.1 %", "50.0 %", "–"]
    assert [words.duration(x) for x in (0.5, 59.9, 59.99, 125, 7620, None)] == [
        "0.50 s", "59.9 s", "1 min 00 s", "2 min 05 s", "2 h 07 min", "–",
    ]  # fmt: skip
    assert words.plain(60.0) == "60"
    assert words.plain(1.2e-5) == "1.2\u00a0×\u00a010⁻⁵"
    assert words.moment("2026-11-23T03:57:12+02:00") == "2026-11-23 01:57 UTC"
    assert [words.moment(x) for x in ("2026-11-23", "spring", None)] == ["2026-11-23", "spring", "–"]
    assert words.membership({"kind": "linear", "params": {"lo": 2, "hi": 1}}).startswith("falling straight line")
    assert words.membership({"kind": "sigmoid", "params": {"slope": -3}}) == "falling S-curve: slope\u00a0−3"
    assert [words.listed(x) for x in ([], ["a"], ["a", "b"], ["a", "b", "c"])] == ["", "a", "a and b", "a, b and c"]
