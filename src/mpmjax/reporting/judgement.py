"""The validation of a run as sections of the report: figures in words, and what they say together, for or against."""

from __future__ import annotations

from typing import Any

from mpmjax.reporting import words
from mpmjax.reporting.view import CAPTURE_SHARES, NOTICEABLE, Record, ordered_methods, part

OURS = "prospectivity"
COMPARED = {"typed mean": "the plain overlay", "anomaly": "the anomaly map alone"}
"""What a geologist would have drawn without us, and what an anomaly detector would: does prospectivity say more?"""

_LIGHT, _DARK = (247, 249, 250), (96, 165, 160)  # of blocks with an AUC of one half, and of 1


def validation(record: Record) -> dict[str, Any] | None:
    """Everything of the section, or None where there were no occurrences."""
    found = part(record, "validation")
    methods = part(found, "methods")
    if not methods:
        return None
    rows = [_exact_row(name, methods[name] or {}) for name in ordered_methods(methods)]
    return {
        "rows": _mark_best(rows),
        "source": words.printable(found.get("source") or ""),
        "points": words.count(found.get("points")),
        "occurrences": words.count(found.get("occurrences")),
        "verdict": _verdict(methods, bool(part(found, "ours"))),
        "notes": [words.printable(note) for note in found.get("notes") or ()],
        "null": _null(part(found, "null")),
        "blocks": _blocks(found.get("blocks") or ()),
        "beside": _beside(found),
    }


def _exact_row(name: str, scores: Record) -> dict[str, Any]:
    """One score over all cells."""
    pa = part(scores, "pa")
    auc = words.finite(scores.get("auc"))
    captures = [words.finite(part(scores, "capture").get(share)) for share in CAPTURE_SHARES]
    pr, oa, nd, ln_nd = (words.finite(pa.get(key)) for key in ("pr", "oa", "nd", "ln_nd"))
    cells = [(words.fixed(auc), auc), *((words.percent(value), value) for value in captures)]
    cells += [(words.percent(pr), pr), (words.percent(oa), None if oa is None else -oa)]
    cells += [(words.fixed(nd), nd), (words.fixed(ln_nd), ln_nd)]
    evidence = part(scores, "weights_of_evidence")
    contrast, studentized = (words.finite(evidence.get(key)) for key in ("contrast", "studentized"))
    cells += [(words.fixed(contrast), contrast), (words.fixed(studentized), studentized)]
    return {"name": words.printable(words.method(name)), "interval": _limits(scores), "cells": cells}


def _limits(scores: Record) -> str:
    """ "0.75 to 0.93"; empty where there is no interval."""
    ends = words.finite(scores.get("auc_low")), words.finite(scores.get("auc_high"))
    return "" if None in ends else f"{words.fixed(ends[0])} to {words.fixed(ends[1])}"


def _mark_best(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Cells (text, value) become (text, is best); what prints alike is equally good, one method alone has no best."""
    best = []
    for column in zip(*(row["cells"] for row in rows), strict=True):
        judged = [cell for cell in column if cell[1] is not None]
        best.append(max(judged, key=lambda cell: cell[1])[0] if len(rows) > 1 and judged else None)
    for row in rows:
        row["cells"] = [(text, text == top) for (text, _), top in zip(row["cells"], best, strict=True)]
    return rows


def _verdict(methods: Record, compared: bool) -> str:
    """What the figures over all cells say together, also where it speaks against the method.

    Where scores are `compared` cell by cell, that tells which is better, and how surely.
    """
    aucs = {name: words.finite((scores or {}).get("auc")) for name, scores in methods.items()}
    ours = aucs.get(OURS)
    if ours is None:
        return ""
    low = words.finite(methods[OURS].get("auc_low"))
    sentence = f"Prospectivity ranks a known occurrence above {words.percent(ours)} of the other cells on average"
    sentence += ", which these few occurrences cannot tell from chance." if low is not None and low <= 0.5 else "."
    better = [name for name in ordered_methods(methods) if (aucs[name] or 0.0) >= ours + NOTICEABLE]
    if better and not compared:
        named = words.listed([f"{words.method(name)} ({words.fixed(aucs[name])})" for name in better])
        sentence += f" Here {named} rank{'s' if len(better) == 1 else ''} them higher: read those maps beside it."
    return sentence


def _beside(found: Record) -> dict[str, Any] | None:
    """Ours and the simple methods in one table, the highest AUC first; None where they were not asked for."""
    compared = part(found, "compared")
    if not compared:
        return None
    ours, simple = part(found, "ours"), part(found, "baselines")
    there = {name: figures for name, figures in {**simple, **ours}.items() if "auc" in (figures or {})}
    order = sorted(there, key=lambda name: -(words.finite(there[name]["auc"]) or 0.0))
    return {
        "rows": _mark_best([_beside_row(name, there[name], name in ours) for name in order]),
        "verdict": _judgement(there, ours),
        "cells": words.count(compared.get("cells")),
        "occurrences": words.count(compared.get("occurrences")),
        "missing": words.printable(compared.get("missing") or ""),
        "absent": [
            (words.printable(words.method(name)), words.printable(figures["missing"]))
            for name, figures in simple.items()
            if "missing" in (figures or {})
        ],
    }


def _beside_row(name: str, figures: Record, ours: bool) -> dict[str, Any]:
    auc, nd, gap = words.finite(figures["auc"]), words.finite(figures.get("nd")), part(figures, "difference")
    captures = [words.finite(part(figures, "capture").get(share)) for share in CAPTURE_SHARES]
    cells = [(words.fixed(auc), auc), *((words.percent(value), value) for value in captures), (words.fixed(nd), nd)]
    return {
        "name": words.printable(words.method(name)),
        "ours": ours,
        "interval": _limits(figures),
        "cells": cells,
        "gap": words.signed(gap.get("auc")) if gap else words.DASH,
        "gap_interval": _between(gap),
    }


def _between(gap: Record) -> str:
    """ "−0.01 to +0.02"; empty where there is no interval."""
    ends = words.finite(gap.get("low")), words.finite(gap.get("high"))
    return "" if None in ends else f"{words.signed(ends[0])} to {words.signed(ends[1])}"


def _judgement(there: Record, ours: Record) -> str:
    """Is prospectivity better than the overlay, than the anomaly map, and than the best of the simple methods?"""
    if OURS not in there:
        return ""
    simple = [name for name in there if name not in ours]
    named = {name: label for name, label in COMPARED.items() if name in there}
    best = max(simple, key=lambda name: words.finite(there[name]["auc"]) or 0.0, default="")
    if best and best not in named:
        named[best] = f"the best of these {len(simple)} simple methods, {words.printable(words.method(best))}"
    clauses = [_against(label, there[name]) for name, label in named.items()]
    said = " ".join(f"{clause[0].upper()}{clause[1:]}." for clause in clauses)
    ahead = [name for name in there if name not in named and _is_ahead(there[name])]
    if ahead:
        listed = words.listed([words.printable(words.method(name)) for name in ahead])
        said += f" By more than chance explains, prospectivity is also behind {listed}."
    return said


def _is_ahead(figures: Record) -> bool:
    high = words.finite(part(figures, "difference").get("high"))
    return high is not None and high < 0.0


def _against(label: str, figures: Record) -> str:
    """One comparison in a clause: better, worse, or a difference within chance."""
    gap = part(figures, "difference")
    value, low, high = (words.finite(gap.get(key)) for key in ("auc", "low", "high"))
    auc = words.fixed(figures.get("auc"))
    if value is None:
        return f"there is no difference to {label} to be told"
    if low is None or high is None:
        return f"prospectivity differs from {label} ({auc}) by {words.signed(value)}, how surely cannot be said"
    limits = f"{words.signed(value)}, 95 % interval {_between(gap)}"
    if low > 0.0:
        return f"prospectivity is better than {label} ({auc}) by more than chance explains: {limits}"
    if high < 0.0:
        return f"prospectivity is worse than {label} ({auc}) by more than chance explains: {limits}"
    return f"between prospectivity and {label} ({auc}) the difference is within chance: {limits}"


def _null(null: Record) -> str:
    """The test of place in a sentence."""
    p = words.finite(null.get("p"))
    if p is None:
        reason = words.printable(null.get("missing") or "")
        return f"Whether place alone explains it was not tested: {reason}" if reason else ""
    shifts = words.count(null.get("used"))
    sentence = f"Shifted together over the map, {shifts} times at random, the occurrences reach such an AUC "
    sentence += f"or a higher one with p = {words.number(p, 2)}"
    if p <= 0.05:
        return f"{sentence}: their pattern and that of the map do not explain it alone."
    return f"{sentence}: their clustering and the smoothness of the map could explain it alone."


def _blocks(blocks: Any) -> dict[str, Any] | None:
    """Blocks of the map row by row, with colour, AUC and number of occurrences, and a sentence about them."""
    judged = [words.finite(block.get("auc")) for block in blocks]
    aucs = [auc for auc in judged if auc is not None]
    if not aucs:
        return None
    rows: dict[int, list[dict[str, str]]] = {}
    for block, auc in zip(blocks, judged, strict=True):
        deposits = block.get("deposits") or 0
        text = f"{words.count(deposits)} occurrence{'s' if deposits != 1 else ''}" if deposits else ""
        cell = {"auc": "" if auc is None else words.fixed(auc), "deposits": text, "colour": _colour(auc)}
        rows.setdefault(int(block["row"]), []).append(cell)
    above = sum(auc > 0.5 for auc in aucs)
    sentence = f"In {above} of the {len(aucs)} blocks that hold an occurrence and other cells its AUC is above one half"
    return {"rows": [rows[row] for row in sorted(rows)], "sentence": f"{sentence}."}


def _colour(auc: float | None) -> str:
    """White where there is no figure, pale up to one half, then darker."""
    if auc is None:
        return "#ffffff"
    share = min(max(2.0 * auc - 1.0, 0.0), 1.0)
    return "#" + "".join(f"{round(a + share * (b - a)):02x}" for a, b in zip(_LIGHT, _DARK, strict=True))
