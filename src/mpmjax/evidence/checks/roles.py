"""What the values of a raster say against what the project says it is: names taken for numbers, values out of range."""

from __future__ import annotations

from pathlib import Path

from rasterio.enums import ColorInterp

from mpmjax.errors import DataError
from mpmjax.evidence.raster.scan import RasterFacts
from mpmjax.evidence.raster.source import RasterSource
from mpmjax.evidence.remarks import Remark
from mpmjax.project_layers import LayerSection
from mpmjax.stream.reader import open_raster

NEARLY = 0.94
"""From this share of one value on a layer is nearly constant. The geochemistry of Missouri, 0.944 to 0.952 of whose
cells are a filling, drowned the other layers; a rock that covers a tenth of a district is good evidence."""

STILL = 0.99
"""From this share on P1 and P99 are sure to be the same value, so that the default sigmoid has no slope."""

HALF = 0.5
"""From this share of exact zeros on, in floats without a declared nodata, they may mean that there is none."""

FLOATS = ("float32", "float64")

FEW = 512
"""Most classes that a map of names is expected to have."""

FEWEST = 3
"""Below, it is a mask: of two values, one is always the higher."""

PATCHED = 0.5
"""Cells of a map of names lie in patches. Stratigraphic units of Cloncurry: 0.96; distances there: 0.07 and 0.14."""

JUMPY = 0.5
"""The next patch may bear any name. Stratigraphic units: 0.70 of the difference of any two cells; fault density in ten
classes: 0.32, because classes of a quantity border on the next ones."""

STEPS = 0.9
"""With few classes a quantity jumps as far as names do, but only from one class to the next."""


def require_role(section: LayerSection, facts: RasterFacts) -> None:
    """Values must be such as the role allows, where a run refuses others.

    Raises:
        DataError: a membership has values outside 0..1.
    """
    outside = facts.negative + facts.above_one
    if section.role == "membership" and section.membership is None and outside:
        raise DataError(
            f'layer {section.name!r}: {outside:,} of {_valid(facts):,} values outside 0..1: role = "membership" means '
            "values from 0 to 1. State another role, or a membership with lo and hi; if they are strays, "
            "valid_range = [0.0, 1.0]."
        )


def _valid(facts: RasterFacts) -> int:
    return facts.cells - facts.missing - sum(facts.sentinels[value] for value in facts.suspects)


def remarks_on_values(section: LayerSection, source: RasterSource, facts: RasterFacts) -> list[Remark]:
    """What to look at in a layer whose source can be used."""
    who = f"layer {section.name!r}"
    count = _valid(facts)
    remarks = [*_constancy(who, section, facts), *_names_or_numbers(who, section, source, facts)]

    def add(number: int, what: str, text: str) -> None:
        if number:
            remarks.append(Remark(who, text, f"{number:,} of {count:,} values {what}"))

    if facts.common == 0 and HALF <= facts.common_share < NEARLY and source.nodata is None and source.dtype in FLOATS:
        remarks.append(
            Remark(
                who,
                "no nodata is declared, and most cells are exactly 0. If that means no data, add nodata = 0.0 to the "
                "layer; if it is a value, leave it.",
                f"{facts.common_share:.0%} are 0",
            )
        )
    if section.role == "distance":
        add(
            facts.negative,
            "below 0",
            "no distance is negative. If these mean missing or inside, state nodata or a valid_range; if it is another "
            "quantity, another role.",
        )
    if section.transform == "log":
        add(
            facts.not_positive,
            "at most 0",
            "these have no logarithm and count as half the smallest positive value. If they mean missing or not "
            "detected, state nodata or a valid_range; if negative values are real, drop transform.",
        )
    if section.transform == "sqrt":
        add(facts.negative, "below 0", "these have no root and count as 0. State nodata or a valid_range, or drop it.")
    return remarks


def _constancy(who: str, section: LayerSection, facts: RasterFacts) -> list[Remark]:
    if facts.distinct < 2 or facts.common_share < NEARLY:
        return []
    text = (
        "nearly constant. Many such layers drown the others, and what is rare in them is any cell that holds a value. "
        "If the common value stands for missing, state it as nodata; else think of leaving the layer out."
    )
    sigmoid = section.membership is None and section.role not in ("distance", "membership", "category")
    if sigmoid and facts.common_share > STILL:
        text = (
            "so nearly constant that P1 = P99, and a run will refuse the default membership. If the common value "
            "stands for missing, state it as nodata; else leave the layer out, or give it a membership with numbers."
        )
    return [Remark(who, text, f"{facts.common_share:.1%} are {facts.common:g}")]


def _names_or_numbers(who: str, section: LayerSection, source: RasterSource, facts: RasterFacts) -> list[Remark]:
    if section.role == "category":
        if facts.distinct == 0 or facts.whole_numbers:
            return []
        text = 'role = "category" takes every value for the code of a class, but these are no whole numbers. '
        return [Remark(who, text + "State the role of a quantity, or name the file that holds the codes.")]
    if not facts.whole_numbers or facts.distinct < FEWEST:
        return []
    legend = legend_of(source)
    if not legend and not _behaves_like_names(facts):
        return []
    seen = f"has {legend}" if legend else "neighbouring patches differ as any two do"
    text = (
        'whole numbers that look like codes of classes, taken for a quantity. If they are codes, use role = "category" '
        "with a table of scores, or make a distance or a presence layer of the classes that matter."
    )
    return [Remark(who, text, f"{facts.distinct} different values, {seen}")]


def _behaves_like_names(facts: RasterFacts) -> bool:
    few = facts.distinct <= FEW
    return few and facts.patches > PATCHED and facts.jump > JUMPY and facts.steps < STEPS


def legend_of(source: RasterSource) -> str:
    """What names the values of a raster: a table of values, a colour table, category names; "" for none.

    Raises:
        DataError: the file, or what lies beside it, cannot be read.
    """
    for beside in (Path(f"{source.path}.vat.dbf"), source.path.with_suffix(".vat.dbf")):
        if beside.is_file():
            return f"a value table, {beside.name}"
    with open_raster(source.path) as dataset:
        if dataset.colorinterp[source.band - 1] == ColorInterp.palette:
            return "a colour table"
    beside = Path(f"{source.path}.aux.xml")
    try:
        text = beside.read_text(encoding="utf-8", errors="replace") if beside.is_file() else ""
    except OSError as error:
        raise DataError(f"{beside}: cannot be read: {error.strerror}.") from error
    return "names of categories" if "<CategoryNames" in text or 'tableType="thematic"' in text else ""
