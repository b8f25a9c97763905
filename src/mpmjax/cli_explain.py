"""What `mpmjax explain` prints: why a cell or a target got its scores, in lines that fit a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mpmjax.reporting.explanation import by_contribution
from mpmjax.reporting.palette import area_classes, quadrant_classes

LONGEST = 22
"""Characters of a layer's name in the table."""


def lines_of(found: Mapping[str, Any]) -> Iterator[str]:
    """Lines for what `mpmjax.pipeline.explain` returns."""
    if "place" in found:
        yield found["sentence"]
        yield ""
        yield from _scores(found)
        yield ""
        yield from _layers(found)
        yield f"Figure: {found['figure']}"
    if "sensitivity" in found:
        if "place" in found:
            yield ""
        yield from _sensitivity(found["sensitivity"])


def _scores(found: Mapping[str, Any]) -> Iterator[str]:
    place, s = found["place"], found["scores"]
    where = f"{place['lon']:.4f}, {place['lat']:.4f} (x {place['x']:.0f}, y {place['y']:.0f})"
    if place["target"] is None:
        yield f"  at {where}, row {place['row']}, column {place['col']}"
    else:
        some = "" if place["cells_used"] == place["cells"] else f", told from {place['cells_used']:,} of them"
        yield f"  centred at {where}, {place['cells']:,} cells{some}; means over the cells"
    driver = found["layers"][s["driver"] - 1]["name"] if s["driver"] else "none"
    classes, quadrants = ({code: words for code, words, _ in of} for of in (area_classes(), quadrant_classes()))
    yield (
        f"  prospectivity {s['prospectivity']:.3f} ({classes[s['class']]})   favourability {s['favourability']:.3f}   "
        f"anomaly {s['anomaly']:.3f}   driver {driver}"
    )
    yield (
        f"  R {s['R']:.3f} (members {s['R_min']:.3f} to {s['R_max']:.3f})   risk {s['risk']:.3f}   "
        f"spread {s['spread']:.3f}   {quadrants[s['quadrants']]}"
    )
    yield (
        f"  confidence {s['confidence']:.2f}   coverage {s['coverage']:.0%}   group {s['groups']} "
        f"(votes V {s['V']:.2f}, margin M {s['M']:.2f})"
    )


def _layers(found: Mapping[str, Any]) -> Iterator[str]:
    rows = by_contribution(found["layers"])
    wide = max(5, *(len(_cut(row["name"])) for row in rows))
    value = "median" if found["place"]["target"] is not None else "value"
    yield f"  {'':<{wide + 11}}  {'membership':^30}  {'favourability':^20}  {'residual':^12}  {'prospectivity':^15}"
    yield (
        f"  {'layer':<{wide}} {value:>10}  {'here':>5} {'above':>5} {'median':>6} {'group':>5} {'miss.':>5} "
        f"{'weight':>6} {'share':>6} {'drive':>6}  {'z':>6} {'sd':>5}  {'at med.':>7} {'no data':>7}"
    )
    for row in rows:
        membership = (
            f"{_number(row['membership']):>5} {_share(row['above']):>5} {_number(row['median']):>6} "
            f"{_number(row['group']):>5} {_share(row['missing']):>5}"
        )
        favourability = f"{row['weight']:>6.2f} {_share(row['share']):>6} {_number(row['drive']):>6}"
        residual = f"{_number(row['residual']):>6} {_number(row['residual_sd']):>5}"
        changed = f"{_number(row['at_median'], 3):>7} {_number(row['if_missing'], 3):>7}"
        yield (
            f"  {_cut(row['name']):<{wide}} {_value(row['value']):>10}  {membership}  {favourability}  {residual}  "
            f"{changed}"
        )
    yield "  above: share of the district below this membership; median: of the district; group: mean of its group"
    yield "  drive: -weight ln(1.01 - rank of the membership), by which the driver is named"
    yield "  z: membership less its reconstruction, mean and sd over the members"
    yield "  last two: prospectivity if the layer alone were at its median, or had no data"


def _sensitivity(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    wide = max(5, *(len(_cut(row["name"])) for row in rows))
    yield "How much the whole ensemble depends on each layer"
    yield f"  {'layer':<{wide}} {'prospectivity':>14} {'anomaly':>9}"
    for row in sorted(rows, key=lambda row: -(row["prospectivity"] or 0.0)):
        yield f"  {_cut(row['name']):<{wide}} {_number(row['prospectivity'], 3):>14} {_number(row['anomaly'], 3):>9}"
    yield "  1 - rank correlation before and after the layer is exchanged between blocks of the district: 0 = no matter"


def _cut(name: str) -> str:
    return name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…"


def _value(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def _number(value: float | None, places: int = 2) -> str:
    return "-" if value is None else f"{value:.{places}f}"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.0%}"
