"""What finished runs say of their known deposits, score by score: python -m mpmjax.benchmarks.method.runs OUTPUT ...

Reads run.json of each output folder and prints, in Markdown, every score that was judged beside prospectivity, ours
and the simple methods: AUC, share of deposits in the best 5, 10 and 20 % of the area, Pr and Nd of the prediction-area
plot, each with its 95 % interval by a bootstrap over districts of deposits, and how far prospectivity is ahead.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

COLUMNS = {"auc": "AUC", "capture 0.05": "5 %", "capture 0.1": "10 %", "capture 0.2": "20 %", "pr": "Pr", "nd": "Nd"}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("outputs", nargs="+", type=Path, help="output folders of finished runs with [validate]")
    for folder in parser.parse_args().outputs:
        record = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        print(f"### {record['project']['name']}\n")
        print(table(record["validation"]))


def table(validation: Mapping[str, Any]) -> str:
    """Markdown: a row a score, the highest AUC first."""
    found = {**validation["ours"], **validation["baselines"]}
    judged = {name: figures for name, figures in found.items() if "auc" in figures}
    compared = validation["compared"]
    lines = [
        f"{compared['occurrences']} deposits in {validation['districts']} districts, {compared['cells']} cells.",
        "",
    ]
    lines += [
        f"| score | {' | '.join(COLUMNS.values())} | prospectivity is ahead by |",
        "|---" * (len(COLUMNS) + 2) + "|",
    ]
    for name, figures in sorted(judged.items(), key=lambda item: -item[1]["auc"]):
        cells = [_with_limits(_value(figures, key), figures["limits"].get(key), key) for key in COLUMNS]
        lines.append(f"| {name} | {' | '.join(cells)} | {_ahead(figures.get('difference'))} |")
    lines += [f"| {name} | {figures['missing']} |" for name, figures in found.items() if "auc" not in figures]
    return "\n".join(lines) + "\n"


def _value(figures: Mapping[str, Any], key: str) -> float:
    name, _, share = key.partition(" ")
    return figures[name][share] if share else figures[name]


def _with_limits(value: float, limits: list[float] | None, key: str) -> str:
    places = 2 if key in ("nd", "pr") or " " in key else 3
    shown = f"{value:.{places}f}"
    return shown if limits is None else f"{shown} [{limits[0]:.{places}f}, {limits[1]:.{places}f}]"


def _ahead(difference: Mapping[str, Any] | None) -> str:
    if difference is None:
        return "–"
    shown = f"{difference['auc']:+.3f}"
    return shown if difference["low"] is None else f"{shown} [{difference['low']:+.3f}, {difference['high']:+.3f}]"


if __name__ == "__main__":
    main()
