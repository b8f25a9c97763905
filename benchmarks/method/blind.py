"""The score on forty districts that it was not made on.

    python -m mpmjax.benchmarks.method.blind [--members 8] [--jobs 1]

Each district goes through the package's own stages, from values to scores, as a project file would send it: typed
default memberships, geochemistry by its logarithm, directions as the geologist states them. Its rivals are fitted to
the same sample. What is compared is the area under the ROC curve, deposits against all other cells of the study area,
and among the nine scores the rank of each, 1 the best; ties share a rank. The figures of one district with 12 to 60
deposits are uncertain by 0.03 to 0.08: look at means over districts and at paired differences. Below stands what the
score has with its network replaced (scores.py), which takes no part in the ranks.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from scipy.stats import rankdata

from .blind_districts import SCENARIOS, SEEDS, district

RIVALS = ("typed mean", "gamma", "Fisher", "TOPSIS-M", "isolation forest", "Mahalanobis", "PCA", "dense autoencoder")
OURS = "prospectivity"
ABLATED = ("with a dense one", "with no network", "no anomaly term")


@dataclass(frozen=True)
class Record:
    """One district: how many layers and deposits, and the AUC of every score."""

    scenario: str
    seed: int
    layers: int
    deposits: int
    auc: dict[str, float]


def main(argv: Sequence[str] | None = None) -> int:
    """Score all districts and print the tables; returns the exit status."""
    parser = argparse.ArgumentParser(description="The score on forty districts that it was not made on.")
    parser.add_argument("--members", type=int, default=8, help="of the ensemble (8)")
    parser.add_argument("--jobs", type=int, default=1, help="districts side by side, a process each (1)")
    parser.add_argument("--results", type=Path, help="JSON lines file to write")
    options = parser.parse_args(argv)
    tasks = [(scenario, seed) for scenario in SCENARIOS for seed in SEEDS[scenario]]
    records: list[Record] = []
    # Fresh processes: JAX does not survive a fork.
    with ProcessPoolExecutor(options.jobs, get_context("spawn")) as pool:
        for record in pool.map(partial(judge, members=options.members), *zip(*tasks, strict=True)):
            records.append(record)
            print(f"{record.scenario}, seed {record.seed}: {record.auc[OURS]:.3f}", file=sys.stderr, flush=True)
    if options.results:
        lines = [json.dumps(asdict(record)) + "\n" for record in records]
        options.results.write_text("".join(lines), encoding="utf-8")
    print(tables(records))
    return 0


def judge(scenario: str, seed: int, members: int) -> Record:
    """AUC of every score on one district."""
    from .case import of_made
    from .scores import fitted, scores

    made = district(scenario, seed)
    case = of_made(made, members)
    found = scores(case, fitted(case, workers=1)[1], names=RIVALS)
    auc = {name: auc_of(values, case.known) for name, values in found.items()}
    return Record(scenario, seed, len(made.layers), len(made.deposits), auc)


def auc_of(values: np.ndarray, known: np.ndarray) -> float:
    """Cells with a deposit against all others, by midranks: values float [n], known bool [n]."""
    ranks = rankdata(values)
    m, n = int(known.sum()), int((~known).sum())
    return float((ranks[known].sum() - m * (m + 1) / 2) / (m * n))


def tables(records: Sequence[Record]) -> str:
    """Mean AUC and mean rank by scenario, ours against the best rival of each scenario, and ours ablated."""
    names = [OURS, *(name for name in RIVALS if all(name in record.auc for record in records))]
    scenario = np.array([record.scenario for record in records])
    kinds = [kind for kind in SCENARIOS if (scenario == kind).any()]

    def aucs(of: Sequence[str]) -> np.ndarray:
        return np.array([[record.auc[name] for name in of] for record in records])

    def means(column: np.ndarray) -> str:
        return " | ".join(f"{column[scenario == kind].mean():.3f}" for kind in kinds) + f" | {column.mean():.3f}"

    table = aucs(names)
    ranks = np.array([rankdata(-row) for row in table])
    lines = [f"| score | {' | '.join(kinds)} | all | mean rank |", "|---" * (len(kinds) + 3) + "|"]
    for at, name in sorted(enumerate(names), key=lambda item: ranks[:, item[0]].mean()):
        lines.append(f"| {name} | {means(table[:, at])} | {ranks[:, at].mean():.2f} |")
    lines += ["", "| scenario | best rival | ours less it: mean (standard error) | worst | mean rank of ours |"]
    lines.append("|---|---|---|---|---|")
    for kind in kinds:
        rows = scenario == kind
        best = 1 + int(table[rows, 1:].mean(axis=0).argmax())
        away = table[rows, 0] - table[rows, best]
        error = away.std(ddof=1) / np.sqrt(len(away)) if len(away) > 1 else np.nan
        place = f"{ranks[rows, 0].mean():.2f}"
        lines.append(f"| {kind} | {names[best]} | {away.mean():+.3f} ({error:.3f}) | {away.min():+.3f} | {place} |")
    lines += ["", f"| the score | {' | '.join(kinds)} | all |", "|---" * (len(kinds) + 2) + "|"]
    lines += [f"| {name} | {means(aucs([name])[:, 0])} |" for name in (OURS, *ABLATED)]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
