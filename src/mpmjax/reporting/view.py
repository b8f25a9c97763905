"""The run's record as the sections of the report: every number in words, so that the template only lays out.

Each function takes the record (or its part) and returns plain strings, lists and dicts; what is absent or None
becomes an empty section or a dash.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mpmjax.reporting import words
from mpmjax.reporting.palette import group_classes

Record = Mapping[str, Any]

TARGETS_SHOWN = 20
CAPTURE_SHARES = ("0.01", "0.02", "0.05", "0.1", "0.2")
QUADRANTS = {1: "high, low risk", 2: "high, high risk", 3: "low, low risk", 4: "low, high risk"}
"""Return and risk in words."""
NOTICEABLE = 0.005
"""Difference of two AUC that is worth a word: half of the last digit that the table shows."""
_METHOD_ORDER = ("prospectivity", "favourability", "anomaly", "gamma")


def part(record: Record, name: str) -> Record:
    """A section of the record; empty where it is absent or None."""
    return record.get(name) or {}


def headline(record: Record) -> dict[str, Any]:
    """Name, description, the facts of the area, and the reading in one sentence."""
    project, grid = part(record, "project"), part(record, "grid")
    size = grid.get("cell_size")
    facts = [
        ("Area screened", words.area(grid.get("area_km2"))),
        ("Cells with data", _cells(grid)),
        ("Cell size", f"{words.plain(size[0])} × {words.plain(size[1])} m" if size else words.DASH),
        ("Coordinate system", words.printable(grid.get("crs") or words.DASH)[:60]),
        ("Evidence layers", words.count(len(record.get("layers") or ()))),
        ("Date", words.moment(record.get("date"))),
    ]
    return {
        "name": words.printable(project.get("name") or "Prospectivity screening"),
        "description": words.printable(project.get("description") or ""),
        "facts": facts,
        "reading": reading(record),
    }


def _cells(grid: Record) -> str:
    if grid.get("valid_cells") is None:
        return words.DASH
    return f"{words.count(grid['valid_cells'])} of {words.count(grid.get('cells'))}"


def reading(record: Record) -> str:
    """The outcome in one sentence, and a second one if known occurrences were given."""
    km2 = part(record, "grid").get("area_km2")
    where = "the area screened" if km2 is None else f"the {words.area(km2)} screened"
    targets = record.get("targets") or []
    total = _target_count(record)
    if total is None:
        sentence = f"These are the maps of {where}; its targets were not recorded."
    elif total == 0:
        sentence = f"No cells of {where} form a target at this area share and smallest area."
    else:
        sentence = f"{words.count(total)} target{' stands' if total == 1 else 's stand'} out in {where}"
        sentence += f"; the first, {_first(targets[0])}." if targets else "."
    best = part(part(part(record, "validation"), "methods"), "prospectivity")
    captured = part(best, "capture").get("0.05")
    if words.finite(captured) is not None:
        known = words.count(part(record, "validation").get("occurrences"))
        sentence += f" The best 5 % of the area holds {words.percent(captured)} of the {known} known occurrences."
    return sentence


def _first(target: Record) -> str:
    """The first target in a clause: how large, where, which group, and why."""
    drivers = words.listed([words.printable(name) for name in target.get("drivers") or []])
    group = words.count(target.get("group"))
    clause = f"{words.area(target.get('area_km2'))} around {place(target)}, lies in group {group}"
    return f"{clause} and is driven by {drivers}" if drivers else clause


def _target_count(record: Record) -> int | None:
    """How many targets there are; None where the run recorded neither a number nor a list."""
    count, listed = record.get("target_count"), record.get("targets")
    return int(count) if count is not None else None if listed is None else len(listed)


def place(target: Record) -> str:
    """Latitude and longitude as "33.1042° N, 52.3145° E"."""
    sides = []
    for key, positive, negative in (("lat", "N", "S"), ("lon", "E", "W")):
        value = words.finite(target.get(key))
        text = words.DASH if value is None else f"{words.degrees(abs(value))}° {positive if value >= 0 else negative}"
        sides.append(text)
    return ", ".join(sides)


def targets(record: Record) -> dict[str, Any]:
    """The best targets as rows, how many there are, and the cut-offs of the area shares."""
    rows = [
        {
            "rank": words.count(target.get("rank")),
            "area": words.number(target.get("area_km2")),
            "prospectivity": words.fixed(target.get("prospectivity"), 3),
            "confidence": words.fixed(target.get("confidence")),
            "risk": words.fixed(target.get("risk"), 3),
            "group": words.count(target.get("group")),
            "quadrant": QUADRANTS.get(target.get("quadrant") or 0, words.DASH),
            "drivers": ", ".join(words.printable(name) for name in target.get("drivers") or []) or words.DASH,
            "lat": words.degrees(target.get("lat")),
            "lon": words.degrees(target.get("lon")),
        }
        for target in (record.get("targets") or [])[:TARGETS_SHOWN]
    ]
    total = _target_count(record)
    shares = sorted(part(record, "thresholds").items(), key=lambda item: float(item[0]))
    cuts = [f"best {100 * float(share):g} %: {words.fixed(value, 3)} and above" for share, value in shares]
    return {"rows": rows, "total": words.count(total), "all_shown": len(rows) == total, "cuts": cuts}


def layers(record: Record) -> list[dict[str, str]]:
    """One row an evidence layer, numbered as in driver.tif."""
    return [
        {
            "number": str(number),
            "name": words.printable(layer.get("name")),
            "source": words.printable(layer.get("source") or ""),
            "origin": words.origin(layer.get("provenance")),
            "role": words.printable(layer.get("role") or words.DASH),
            "direction": _direction(layer),
            "weight": _weight(layer),
            "membership": words.membership(layer.get("membership")),
            "missing": words.percent(layer.get("missing_share"), 1),
            "p1": words.number(layer.get("p1")),
            "median": words.number(layer.get("median")),
            "p99": words.number(layer.get("p99")),
        }
        for number, layer in enumerate(record.get("layers") or (), start=1)
    ]


def _weight(layer: Record) -> str:
    """What the layer weighs in favourability, and by whose word; empty without a direction."""
    counts = words.finite(layer.get("counts"))
    if not counts:
        return ""
    if layer.get("weight") is not None:
        return f"weight {words.plain(layer['weight'])}, as stated"
    return f"weight {words.fixed(counts)}"


def _direction(layer: Record) -> str:
    """What is favourable; a bell or a table has no high or low."""
    if layer.get("direction") and (layer.get("membership") or {}).get("kind") in ("gaussian", "near", "category"):
        return "favourable as its membership says"
    return words.DIRECTIONS.get(layer.get("direction") or 0, words.DASH)


def model(record: Record) -> dict[str, Any] | None:
    """Sizes of the ensemble and the members that were left out."""
    settings = part(record, "model")
    if not settings:
        return None
    facts = [
        ("Members", words.count(settings.get("members"))),
        ("Hidden units", words.count(settings.get("hidden"))),
        ("Latent size", words.count(settings.get("latent"))),
        ("Sampled cells", words.count(settings.get("sample"))),
        ("Training steps", words.count(settings.get("steps"))),
        ("Seed", words.DASH if record.get("seed") is None else str(record["seed"])),
    ]
    numbers = [str(member) for member in settings.get("excluded_members") or []]
    left_out = ""
    if numbers:
        left_out = f"Left out because the loss was not finite: {len(numbers)} of {facts[0][1]} members (in run.json, "
        left_out += f"counted from 0: {words.listed(numbers)})."
    return {"facts": facts, "left_out": left_out, "halves": _halves(settings)}


def _halves(settings: Record) -> str:
    """How far two halves of the ensemble agree, in a sentence; empty where that is not known."""
    last = (settings.get("split_half") or [{}])[-1]
    figures = [words.finite(last.get(name)) for name in ("R", "surprise")]
    if None in figures:
        return ""
    told, unusual = (words.fixed(figure) for figure in figures)
    return (
        f"How far two halves of the members agree: the ranks of cells correlate at {told} by what the members tell of "
        f"favourability, and at {unusual} by how unusual they find a cell."
    )


def groups(record: Record) -> dict[str, Any] | None:
    """One row a group with its colour on the map, and the number chosen."""
    found = part(record, "groups")
    if not found:
        return None
    favourability, shares = found.get("favourability") or [], found.get("share") or []
    profiles = found.get("profile") or []
    names = [words.printable(layer.get("name")) for layer in record.get("layers") or ()]
    rows = [
        {
            "number": str(value),
            "colour": colour,
            "favourability": words.fixed(favourability[value - 1]),
            "share": words.percent(shares[value - 1] if value <= len(shares) else None, 1),
            "profile": _profile(names, profiles, value - 1),
        }
        for value, _, colour in group_classes(favourability)
    ]
    return {"rows": rows, "sentence": _grouped(found)}


def _grouped(found: Record) -> str:
    """How many groups there are, by what right, and how far two halves of the ensemble name the same."""
    k = words.count(found.get("k"))
    if not part(found, "criteria").get("k"):
        sentence = f"The cells are put into {k} groups, a number that the project states."
    elif found.get("k") == 1:
        sentence = "No groups: the memberships of the cells lie in one cloud."
    elif found.get("separate"):
        sentence = f"The cells lie in {k} separate groups, as the message length below says."
    else:
        sentence = (
            f"The cells lie in no separate groups: they pass from one kind of ground into the next. They are cut into "
            f"{k} parts, the consensus of the criteria below among the numbers that are found again."
        )
    agreement = words.finite(found.get("agreement"))
    if agreement is not None:
        sentence += f" Two halves of the ensemble agree on them: adjusted Rand index {words.fixed(agreement)}."
    return sentence


def _profile(names: list[str], profiles: list[list[float | None]], group: int) -> str:
    """The layers whose mean membership in a group is farthest from that in the others, at most four, with its sign."""
    if not 0 <= group < len(profiles) or len(profiles) < 2:
        return words.DASH
    apart = []
    for layer, name in enumerate(names[: len(profiles[group])]):
        own = words.finite(profiles[group][layer])
        known = [words.finite(p[layer]) for i, p in enumerate(profiles) if i != group]
        others = [value for value in known if value is not None]
        if own is not None and others:
            apart.append((own - sum(others) / len(others), name, own))
    strongest = sorted(apart, key=lambda row: -abs(row[0]))[:4]
    return ", ".join(f"{name} {words.fixed(own)} {'↑' if away > 0 else '↓'}" for away, name, own in strongest)


def ordered_methods(methods: Record) -> list[str]:
    """Names of the scores: ours first, then the rivals by name."""
    return [name for name in _METHOD_ORDER if name in methods] + sorted(set(methods) - set(_METHOD_ORDER))


def provenance(record: Record) -> dict[str, Any]:
    """Version, command, seed, library versions, checksums and times."""
    times = {stage: words.finite(seconds) or 0.0 for stage, seconds in part(record, "times").items()}
    total = sum(times.values())
    return {
        "version": words.printable(record.get("version") or words.DASH),
        "command": words.printable(record.get("command") or words.DASH),
        "seed": words.DASH if record.get("seed") is None else str(record["seed"]),
        "date": words.moment(record.get("date")),
        "versions": [(words.printable(k), words.printable(v)) for k, v in part(record, "versions").items()],
        "inputs": [(words.printable(k), words.printable(v)) for k, v in part(record, "inputs").items()],
        "outputs": [(words.printable(k), words.printable(v)) for k, v in part(record, "outputs").items()],
        "times": [
            (words.printable(stage), words.duration(seconds), words.percent(seconds / total if total else None))
            for stage, seconds in times.items()
        ],
        "total": words.duration(total),
    }
