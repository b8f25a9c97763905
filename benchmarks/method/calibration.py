"""The three factors of the confidence index (scoring/stability.py), and how well they foretell on other districts.

    python -m mpmjax.benchmarks.method.calibration --districts 10 --fits 3 --members 4 8

Confidence is meant as a probability: that a cell stays on its side of the cut if all is fitted again. So synthetic
districts (blind_districts.py, of seeds that no judging of the score uses) are fitted several times over, each time to
another sample with another seed, and every cell of every fit is asked in what share of the other fits it is on the same
side of their cut. Samples hold 8,000 cells, so that another sample is another one.

The factors are those of the largest likelihood of that survival on half of the districts, every cell of every fit
counting the same. On the other half, with as many districts, it is told how well they foretell: ten bins of as many
cells each, what was foretold and what survived; the Brier score, and its skill over foretelling the mean for every
cell. Most cells are far from the cut and stay by any index, so the 5 % that are nearest to it are judged by themselves.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize

from mpmjax.ops.lstm import Scorer
from mpmjax.scoring.stability import LEAST, NEAR, moved

from .blind_districts import SCENARIOS, SEEDS, District, district
from .case import of_made
from .scores import AREA_SHARE, OURS, fitted

SIZE = 8_000
"""Cells of a sample."""
FIRST_SEED = 301
"""Of the districts; the largest of SEEDS is 117."""
SUREST = 1e-6
"""Foretold probabilities stay so far below 1: one cell that is lost far from the cut must not rule the factors."""
FACTORS = ("FROM_SAMPLE", "FROM_MEMBERS", "FROM_SPREAD")
BINS = 10


@dataclass(frozen=True)
class Fit:
    """What the index knows of the cells of one fit, and what became of them in the others.

    Attributes:
        away: float [n], prospectivity less the cut, its size.
        spread: float [n], squared spread over the number of members.
        survived: float [n], share of the other fits in which the cell is on the same side.
        moved: variances by another sample and by other members.
    """

    away: np.ndarray
    spread: np.ndarray
    survived: np.ndarray
    moved: tuple[float, float]


@dataclass(frozen=True)
class Judged:
    """How well some cells' survival is foretold.

    Attributes:
        base: mean survival.
        brier: mean squared error; skill: share of what foretelling `base` has of it that is saved.
        foretold, survived: float [BINS], means of the bins.
    """

    base: float
    brier: float
    skill: float
    foretold: np.ndarray
    survived: np.ndarray


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--districts", type=int, default=10, help="to fit the factors on, and as many to judge them")
    parser.add_argument("--fits", type=int, default=3, help="of each district, two or more")
    parser.add_argument("--members", type=int, nargs="+", default=[4, 8], help="of the ensembles, taken in turn")
    parser.add_argument("--size", type=int, default=SIZE, help="cells of a sample")
    asked = parser.parse_args()
    if asked.fits < 2:
        parser.error("--fits: a cell survives in another fit, so there must be two or more")
    halves: list[list[Fit]] = [[], []]
    seeds = fresh_seeds(2 * asked.districts)
    for number, seed in enumerate(seeds):
        # Scenarios and numbers of members take turns within each half.
        at = number // 2
        made = district(SCENARIOS[at % len(SCENARIOS)], seed)
        members = asked.members[at % len(asked.members)]
        halves[number % 2] += refitted(made, members, asked.fits, asked.size)
        print(f"{made.scenario}, seed {seed}, {members} members", file=sys.stderr, flush=True)
    factors = fit_factors(halves[0])
    print("\n".join(f"{name} = {value:.3g}" for name, value in zip(FACTORS, factors, strict=True)) + "\n")
    print(table(judge(halves[1], factors)))


def fresh_seeds(count: int) -> list[int]:
    """Seeds that are none of SEEDS."""
    taken = {seed for seeds in SEEDS.values() for seed in seeds}
    return [seed for seed in range(FIRST_SEED, FIRST_SEED + count + len(taken)) if seed not in taken][:count]


def refitted(made: District, members: int, fits: int, size: int) -> list[Fit]:
    """A district fitted several times, each time with another sample and seed."""
    prospectivity, inside, told = [], [], []
    for number in range(fits):
        case = of_made(made, members, 1_000 * made.seed + number, size)
        ensemble, screener = fitted(case, workers=1)
        found = Scorer(screener.arrays).score(np.ascontiguousarray(case.mu.T), np.ascontiguousarray(case.valid.T))
        cut = float(screener.arrays["cut"][0])
        prospectivity.append(np.abs(found[OURS] - cut))
        inside.append(found[OURS] >= cut)
        variances = moved(case.evidence.layers, case.forms, case.sample, ensemble.surprise, AREA_SHARE, case.model.seed)
        told.append((found["spread"].astype(np.float64) ** 2 / len(ensemble.surprise), variances))
    survived = survivals(np.array(inside))
    return [
        Fit(away.astype(np.float64), spread, stays, variances)
        for away, stays, (spread, variances) in zip(prospectivity, survived, told, strict=True)
    ]


def survivals(inside: np.ndarray) -> np.ndarray:
    """Share of the other fits in which a cell is on the same side, float64 [fits, n] from bool [fits, n]."""
    others = inside.sum(axis=0) - inside
    return np.where(inside, others, len(inside) - 1 - others) / (len(inside) - 1)


def fit_factors(fits: Sequence[Fit]) -> np.ndarray:
    """FACTORS of the largest likelihood, float64 [3]."""
    survived = np.concatenate([fit.survived for fit in fits])

    def loss(logs: np.ndarray) -> float:
        foretold = foretell(fits, np.exp(logs))
        return -float(np.mean(survived * np.log(foretold) + (1 - survived) * np.log1p(-foretold)))

    # From a start in the middle of what was ever found; the likelihood has one hill in these three.
    found = minimize(loss, np.log([0.3, 0.3, 0.3]), method="Nelder-Mead", options={"xatol": 1e-3, "fatol": 1e-9})
    return np.exp(found.x)


def foretell(fits: Sequence[Fit], factors: np.ndarray) -> np.ndarray:
    """The confidence index of all cells of all fits, by the formula of reference/lstm.py."""
    by_fit = []
    for fit in fits:
        squared = max(LEAST, float(factors[:2] @ np.array(fit.moved))) + factors[2] * fit.spread
        by_fit.append(1.0 / (1.0 + np.exp(-fit.away / np.sqrt(squared))))
    return np.minimum(np.concatenate(by_fit), 1.0 - SUREST)


def judge(fits: Sequence[Fit], factors: np.ndarray) -> dict[str, Judged]:
    """How well factors foretell, over all cells and over those of each fit that are nearest to its cut."""
    survived, foretold = np.concatenate([fit.survived for fit in fits]), foretell(fits, factors)
    near = np.concatenate([fit.away <= np.quantile(fit.away, NEAR) for fit in fits])
    return {
        "all cells": _judged(foretold, survived),
        f"the {NEAR:.0%} nearest to the cut": _judged(foretold[near], survived[near]),
    }


def _judged(foretold: np.ndarray, survived: np.ndarray) -> Judged:
    base = float(survived.mean())
    # A share of several fits is so many outcomes of 0 or 1, and each has its error.
    within = survived * (1.0 - survived)
    brier, of_base = (float(np.mean((told - survived) ** 2 + within)) for told in (foretold, base))
    bins = np.array_split(np.argsort(foretold, kind="stable"), BINS)
    means = [np.array([values[rows].mean() for rows in bins]) for values in (foretold, survived)]
    return Judged(base, brier, 1.0 - brier / of_base if of_base else np.nan, *means)


def table(judged: dict[str, Judged]) -> str:
    """Markdown: a row a choice of cells, and its bins below."""
    lines = [
        "| cells | stay | Brier score | skill over that share | largest deviation of ten bins |",
        "|---" * 5 + "|",
    ]
    for name, one in judged.items():
        off = np.abs(one.foretold - one.survived).max()
        lines.append(f"| {name} | {one.base:.4f} | {one.brier:.4f} | {one.skill:.3f} | {off:.3f} |")
    lines += ["", f"| ten bins | {' | '.join(map(str, range(1, BINS + 1)))} |", "|---" * (BINS + 1) + "|"]
    for name, one in judged.items():
        for said, values in (("foretold", one.foretold), ("stayed", one.survived)):
            lines.append(f"| {name}: {said} | {' | '.join(f'{value:.3f}' for value in values)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
