"""What the network adds to the ranking of a real district, and how steady its part is.

    python -m mpmjax.benchmarks.method.network examples/nanling_li.toml examples/missouri_ni.toml ...

Every project is fitted once, by the package's own stages. The first table has the AUC of known deposits against all
other cells that a map would score: of the score, of the score with its network replaced (scores.py), and of each
anomaly alone. The second has Spearman's correlation, over the cells of the sample, of the same map by two halves of the
members (even and odd): prospectivity; R; corner, D- / (D+ + D-) with the Mahalanobis distances in a member's latent to
the encodings of a cell with every directed membership at its P99 (D+) and at its P1 (D-), the others at their median;
and the anomaly. Corner is no map of the package, it was a candidate.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from scipy.stats import rankdata

from mpmjax.ops.lstm import Scorer
from mpmjax.scoring.anomaly import surprise
from mpmjax.scoring.latent import predicted, regress, split_half
from mpmjax.scoring.weights import favourability
from mpmjax.types import Ensemble

from .blind import auc_of
from .case import Case, of_project
from .scores import ABLATED, OURS, REPLACED, fitted, raised, scores

ALONE = ("anomaly", *REPLACED.values())
STEADY = ("prospectivity", "R", "corner", "anomaly")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("projects", nargs="+", type=Path, help="project files with [validate]")
    asked = parser.parse_args()
    names, aucs, halves = [], [], []
    for file in asked.projects:
        case = of_project(file)
        ensemble, screener = fitted(case)
        found = scores(case, screener, (OURS, "anomaly"), tuple(REPLACED.values()))
        names.append(case.name)
        aucs.append({name: auc_of(values, case.known) for name, values in found.items()})
        halves.append(steadiness(case, ensemble))
    print(table("AUC", names, aucs, (*ABLATED, *ALONE)))
    print(table("two halves of the members", names, halves, STEADY))


def table(title: str, names: list[str], columns: list[dict[str, float]], rows: tuple[str, ...]) -> str:
    """Markdown: a row a score, a column a district."""
    lines = [f"| {title} | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
    lines += [f"| {row} | {' | '.join(f'{column[row]:.3f}' for column in columns)} |" for row in rows]
    return "\n".join(lines) + "\n"


def steadiness(case: Case, ensemble: Ensemble) -> dict[str, float]:
    """Split-half correlations of STEADY on the sample."""
    mu, valid = np.ascontiguousarray(case.sample.mu.T), np.ascontiguousarray(case.sample.valid.T)
    scorer, fav = Scorer(ensemble.arrays), favourability(case.sample, case.weights)
    found = scorer.reconstruct(mu, valid)
    unusual = surprise(found["e"], valid, ensemble.arrays["res_median"], ensemble.arrays["res_scale"])
    both = [rankdata(raised(fav, fav, part, part)) for part in (unusual[half::2].mean(axis=0) for half in (0, 1))]
    return {
        "prospectivity": float(np.corrcoef(*both)[0, 1]),
        "R": split_half(predicted(found["z"], *regress(found["z"], fav))),
        "corner": split_half(corner(case, scorer, found["z"])),
        "anomaly": split_half(unusual),
    }


def corner(case: Case, scorer: Scorer, latents: np.ndarray) -> np.ndarray:
    """Nearness to the best corner by member and cell, [E, n] in 0..1."""
    levels = [
        [np.percentile(mu[there], q if directed else 50) for q in (1, 99)]
        for mu, there, directed in zip(case.sample.mu.T, case.sample.valid.T, case.stated > 0, strict=True)
    ]
    ends = np.array(levels, np.float32)
    ends = scorer.reconstruct(ends, np.ones(ends.shape, bool))["z"]
    near = np.empty(latents.shape[::2])
    for member, (z, (worst, best)) in enumerate(zip(latents, ends.swapaxes(1, 2), strict=True)):
        precision = np.linalg.pinv(np.atleast_2d(np.cov(z)))
        low, high = (np.sqrt(np.einsum("dn,de,en->n", apart, precision, apart)) for apart in _apart(z, worst, best))
        near[member] = low / np.maximum(low + high, 1e-12)
    return near


def _apart(z: np.ndarray, *ends: np.ndarray) -> list[np.ndarray]:
    return [z - end[:, None] for end in ends]


if __name__ == "__main__":
    main()
