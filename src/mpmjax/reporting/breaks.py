"""Thresholds besides the area shares in words: concentration-area breaks, median + 2 MAD, the prediction-area cut."""

from __future__ import annotations

from typing import Any

from mpmjax.reporting import words
from mpmjax.reporting.view import Record, part

ANOMALY = "Anomaly"
LAYERS_SHOWN = 5


def shown(record: Record) -> dict[str, Record]:
    """What is drawn and listed, by title: the anomaly, then the first five geochemistry layers, that have a curve."""
    found = part(record, "fractal")
    layers = {name: layer for name, layer in part(found, "layers").items() if part(layer or {}, "curve")}
    first = {name: layers[name] for name in list(layers)[:LAYERS_SHOWN]}
    anomaly = part(found, "anomaly")
    return ({ANOMALY: anomaly} if part(anomaly, "curve") else {}) | first


def section(record: Record) -> dict[str, Any] | None:
    """Rows of the table, layers that are in run.json only, and those without a curve; None where nothing was fitted."""
    found = part(record, "fractal")
    if not found:
        return None
    every = {ANOMALY: part(found, "anomaly"), **part(found, "layers")}
    absent = [(words.printable(name), layer["missing"]) for name, layer in every.items() if "missing" in (layer or {})]
    rows = [_row(name, curve) for name, curve in shown(record).items()]
    return {
        "rows": rows,
        "others": len(every) - len(absent) - len(rows),
        "absent": [(name, words.printable(reason)) for name, reason in absent],
    }


def _row(name: str, curve: Record) -> dict[str, str]:
    breaks, shares = curve.get("breaks") or [], curve.get("shares") or []
    over, left_out = words.finite(curve.get("over_lognormal")), words.finite(curve.get("left_out"))
    told = [
        f"{words.number(at)} ({words.percent(share, 1)})".replace(" ", "\u00a0")
        for at, share in zip(breaks, shares, strict=False)
    ]
    remarks = ["one lognormal tells as well"] if breaks and over is not None and over >= 0.0 else []
    if left_out:
        remarks.append(f"{words.count(left_out)} cells are 0 or below")
    return {
        "name": words.printable(name),
        "breaks": "; ".join(told) or "none",
        "slopes": "; ".join(words.fixed(slope) for slope in curve.get("slopes") or []) or words.DASH,
        "r2": words.fixed(curve.get("r2"), 3),
        "median_2mad": words.number(curve.get("median_2mad")),
        "remarks": "; ".join(remarks),
    }


def cuts(record: Record) -> list[str]:
    """The two cuts of prospectivity that are no area shares, a sentence each; what is not known is left out."""
    found, said = part(record, "cuts"), []
    cut, share = (words.finite(found.get(name)) for name in ("median_2mad", "median_2mad_share"))
    if cut is not None and share is not None:
        place = f"Median + 2 MAD of prospectivity is {words.fixed(cut, 3)}"
        if share > 0.0:
            said.append(f"{place}; {words.percent(share, 1)} of the area lies at or above it.")
        else:
            said.append(f"{place}, which no cell reaches: a score that is spread like a rank has no outliers.")
    pa = part(found, "pa")
    if pa:
        held, area = words.percent(pa.get("pr")), words.percent(pa.get("oa"))
        said.append(
            f"Known from occurrences: the prediction-area plot crosses at {words.fixed(pa.get('threshold'), 3)}, where "
            f"{area} of the area holds {held} of them. No other cut, and no target, has seen an occurrence."
        )
    return said
