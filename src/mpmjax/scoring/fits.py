"""What was fitted otherwise in one of two runs: numbers by layer, and sentences, the largest difference first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from mpmjax.reference.membership import membership
from mpmjax.types import Membership, Screener

SMALL = 0.005
"""Layers whose fitted numbers move favourability by less, as those of another sample do, are told in one sentence."""

NAMED = 8
"""Names that a sentence lists."""

LEVELS = np.linspace(0.01, 0.99, 99)
DIRECTIONS: Mapping[Any, str] = {1: "high", -1: "low", 0: "none stated"}


def layer_differences(a: Screener, b: Screener) -> list[dict[str, Any]]:
    """How much each layer of either run counts there, and how far its memberships lie apart; largest effect first.

    Returns:
        Per layer: name; share_a, share_b, its share of the weights of favourability 0..1, None where it is no layer;
        apart, the mean difference of its two memberships (`apart`), None where it is in one run only; effect, the
        change of the share plus its mean times `apart`: about how far favourability can move through this layer, 0..1.
    """
    shares = [dict(zip(s.layer_names, _shares(s), strict=True)) for s in (a, b)]
    fitted = [dict(zip(s.layer_names, zip(s.memberships, s.layers, strict=True), strict=True)) for s in (a, b)]
    found = []
    for name in dict.fromkeys((*a.layer_names, *b.layer_names)):
        of_a, of_b = shares[0].get(name), shares[1].get(name)
        difference = apart(fitted[0][name], fitted[1][name]) if name in fitted[0] and name in fitted[1] else None
        whole_a, whole_b = of_a or 0.0, of_b or 0.0
        effect = abs(whole_a - whole_b) + (whole_a + whole_b) / 2 * (difference or 0.0)
        found.append({"name": name, "share_a": of_a, "share_b": of_b, "apart": difference, "effect": effect})
    return sorted(found, key=lambda row: -row["effect"])


def apart(a: tuple[Membership, Mapping[str, Any]], b: tuple[Membership, Mapping[str, Any]]) -> float:
    """Mean absolute difference of two memberships over the layer's values, 0..1; missing in one counts as 0 there.

    The values are those of both samples as far as their records tell: straight lines between P1, median and P99; for
    classes all codes that have a score.

    Args:
        a, b: the fitted membership and the Screener's record of the layer.
    """
    classes = [m.knots_x for m, _ in (a, b) if m.kind == "category" and m.knots_x is not None]
    if classes:
        values = np.unique(np.concatenate(classes))
    else:
        marks = [[layer[key] for key in ("p1", "median", "p99")] for _, layer in (a, b)]
        values = np.concatenate([np.interp(LEVELS, (0.01, 0.5, 0.99), mark) for mark in marks])
    mu_a, mu_b = (np.nan_to_num(membership(values, **m.arguments())) for m, _ in (a, b))
    return float(np.abs(mu_a - mu_b).mean())


def same_fit(a: Screener, b: Screener) -> bool:
    """Whether both runs used one fit: all arrays and memberships the same."""
    return (
        a.arrays.keys() == b.arrays.keys()
        and all(np.array_equal(a.arrays[name], b.arrays[name]) for name in a.arrays)
        and a.layer_names == b.layer_names
        and all(_same_membership(m, n) for m, n in zip(a.memberships, b.memberships, strict=True))
    )


def differences(
    a: Screener, b: Screener, records: tuple[Mapping[str, Any], Mapping[str, Any]], rows: Sequence[Mapping[str, Any]]
) -> list[str]:
    """Sentences that say what differs: layers by the size of their effect, then the settings; empty if nothing does.

    Args:
        records: run.json of either run.
        rows: of `layer_differences`.
    """
    told: list[tuple[float, str]] = []
    little: list[str] = []
    for run, share, other in (("A", "share_a", "share_b"), ("B", "share_b", "share_a")):
        own = [row for row in rows if row[other] is None]
        if own:
            told.append((sum(row["effect"] for row in own), _only_in(run, own, share)))
    for row in rows:
        if row["apart"] is None:
            continue
        parts = _of_layer(row, a, b, records)
        if parts and row["effect"] < SMALL and all(part.fitted for part in parts):
            little.append(str(row["name"]))
        elif parts:
            told.append((row["effect"], f"{row['name']}: {'; '.join(part.text for part in parts)}."))
    sentences = [sentence for _, sentence in sorted(told, key=lambda one: -one[0])]
    if little:
        sentences.append(
            f"{_few(little)}: fitted numbers differ a little, each by less than {SMALL:.1%} of favourability."
        )
    return sentences + _of_settings(a, b, records)


def _only_in(run: str, rows: Sequence[Mapping[str, Any]], share: str) -> str:
    """Layers of one run alone; those that count most are named."""
    counted = [f"{row['name']} {row[share]:.1%}" for row in rows if row[share] > 0]
    learnt = [str(row["name"]) for row in rows if row[share] == 0]
    parts = [f"{_few(counted)} of favourability"] if counted else []
    parts += [f"no part of favourability, but learnt: {_few(learnt)}"] if learnt else []
    return f"Only in {run}: {'; '.join(parts)}."


def _few(words: Sequence[str]) -> str:
    return ", ".join(words[:NAMED]) + (f" and {len(words) - NAMED} more" if len(words) > NAMED else "")


class _Part(NamedTuple):
    """A part of a sentence; `fitted` where it tells of numbers that the sample gave, not of what a project states."""

    text: str
    fitted: bool = False


def _of_layer(
    row: Mapping[str, Any], a: Screener, b: Screener, records: tuple[Mapping[str, Any], Mapping[str, Any]]
) -> list[_Part]:
    name = str(row["name"])
    i, j = a.layer_names.index(name), b.layer_names.index(name)
    parts = []
    for key in ("direction", "role", "weight", "derivation", "codes"):
        one, other = a.layers[i].get(key), b.layers[j].get(key)
        if one != other:
            shown = [DIRECTIONS[value] if key == "direction" else _shown(value) for value in (one, other)]
            parts.append(_Part(f"{key} {shown[0]} in A, {shown[1]} in B"))
    parts += _of_membership(a.memberships[i], b.memberships[j], row["apart"])
    if _files(records[0], name) != _files(records[1], name):
        parts.append(_Part("its source files are not the same"))
    counts = float(a.arrays["weight"][i]), float(b.arrays["weight"][j])
    if counts[0] != counts[1]:
        shares = f"{row['share_a']:.1%} and {row['share_b']:.1%} of favourability"
        parts.append(_Part(f"counts {counts[0]:.3g} in A, {counts[1]:.3g} in B ({shares})", fitted=True))
    return parts


def _of_membership(a: Membership, b: Membership, difference: float) -> list[_Part]:
    if _same_membership(a, b):
        return []
    stated = [
        f"{key} {_shown(getattr(a, key))} in A, {_shown(getattr(b, key))} in B"
        for key in ("kind", "transform", "complement", "hedge")
        if getattr(a, key) != getattr(b, key)
    ]
    numbers = [
        f"{key} {a.params[key]:.4g} in A, {b.params[key]:.4g} in B"
        for key in a.params
        if a.kind == b.kind and key in b.params and a.params[key] != b.params[key]
    ]
    inner = f" ({', '.join([*stated, *numbers])})" if stated or numbers else ""
    part = f"membership {difference:.3f} apart on average{inner}"
    return [_Part(part, fitted=not stated)]


def _of_settings(a: Screener, b: Screener, records: tuple[Mapping[str, Any], Mapping[str, Any]]) -> list[str]:
    settings = [record.get("settings", {}) for record in records]
    found: list[str] = []
    if not same_fit(a, b):
        # A Screener knows what it was fitted with; the project beside it may be that of another district.
        fitted = [
            {**stated.get("model", {}), **{k: v for k, v in s.diagnostics["model"].items() if _plain(v)}, **s.settings}
            for stated, s in zip(settings, (a, b), strict=True)
        ]
        found += _unlike("[model] ", *fitted)
        groups = [{"number of groups": s.diagnostics["groups"]["k"]} for s in (a, b)]
        found += _unlike("", *groups)
        raised = [{"what the unusual adds to prospectivity (trust)": float(s.arrays["trust"][0])} for s in (a, b)]
        found += _unlike("", *raised)
    found += _unlike("[targets] ", *(stated.get("targets", {}) for stated in settings))
    masks = [{key: value for key, value in stated.get("grid", {}).items() if "mask" in key} for stated in settings]
    found += _unlike("[grid] ", *masks)
    return found + _unlike("mpmjax ", *({"version": record.get("version")} for record in records))


def _unlike(before: str, a: Mapping[str, Any], b: Mapping[str, Any]) -> list[str]:
    """A sentence for each key whose values differ."""
    return [
        f"{before}{key}: {_shown(a.get(key))} in A, {_shown(b.get(key))} in B."
        for key in dict.fromkeys((*a, *b))
        if a.get(key) != b.get(key)
    ]


def _shares(screener: Screener) -> list[float]:
    weights = np.asarray(screener.arrays["weight"], np.float64)
    return (weights / max(weights.sum(), np.finfo(np.float64).tiny)).tolist()


def _same_membership(a: Membership, b: Membership) -> bool:
    tables = (a.knots_x, b.knots_x), (a.knots_y, b.knots_y)
    return a.record() == b.record() and all(
        (x is None) == (y is None) and (x is None or y is None or np.array_equal(x, y)) for x, y in tables
    )


def _files(record: Mapping[str, Any], name: str) -> list[str]:
    """Checksums of a layer's sources; their names may differ."""
    layer = next((layer for layer in record["layers"] if layer["name"] == name), {})
    return sorted(layer.get("provenance", {}).get("files", {}).values())


def _plain(value: Any) -> bool:
    return value is None or isinstance(value, str | int | float)


def _shown(value: Any) -> str:
    if value is None:
        return "not stated"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
