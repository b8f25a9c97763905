"""Whether the driver of a cell is the layer that made it stand out, where it is known which layer that is.

    python -m mpmjax.benchmarks.method.drivers [--seeds 11 12] [--members 8]

A synthetic district (mpmjax.synthetic) of 400 x 400 cells of 90 m with seven layers and 30 deposits is computed three
times: bare; with its deposits, and the places that only look like them; and with its barren anomalies besides. A
layer's difference between two of them, in scores, is what was planted there. The district with all of it goes through
the package's own stages. Asked are two shares:

- of the target cells (best 2 % of the map) at which some layer was planted with a score of 1 or more: those whose
  driver is a layer planted with 0.5 or more;
- of the cells of barren anomalies (2 or more): those whose driver is the layer of the anomaly.

In the plain district the geology puts deposits at faults and intrusions, which nobody plants. There a driver is right,
too, if it is one of these two with a membership among the highest 20 %: "or its control". Beside the driver stands what
was tried in its place: the directed layer with the largest standardised residual, signed, in the sum over the members.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from mpmjax.ops.lstm import Scorer
from mpmjax.scoring.favourability import ecdf_knots
from mpmjax.synthetic.district import PLAIN, make_district
from mpmjax.synthetic.layers import Patch, themes
from mpmjax.synthetic.noise import Window
from mpmjax.synthetic.planted import deposits, planted_tables
from mpmjax.synthetic.recast import original, recast, score_of
from mpmjax.synthetic.scenario import Scenario

from .case import Case, of_project
from .scores import AREA_SHARE, OURS, fitted

SIDE, RESOLUTION, LAYERS, DEPOSITS = 400, 90.0, 7, 30
BARREN = 4.0
SCENARIOS = {
    "plain": Scenario(barren=BARREN),
    "pair": Scenario(pair=("alteration", "gold"), barren=BARREN),
    "together": Scenario(together=("alteration", "copper", "gold"), barren=BARREN),
}
PLANTED, SHOWS, BARREN_SHOWS = 1.0, 0.5, 2.0
CONTROLS, CONTROL_RANK = ("faults", "intrusions"), 0.8
CANDIDATES = ("driver", "signed residual")
COLUMNS = ("planted", "planted or its control", "barren")


@dataclass(frozen=True)
class Planted:
    """By how much the scores of each cell and layer were raised, float [cells, L], row by row.

    Attributes:
        deposits: by deposits and by places that look like them; barren: by barren anomalies.
    """

    deposits: np.ndarray
    barren: np.ndarray


@dataclass(frozen=True)
class Told:
    """One district: how many cells were asked about, and by candidate the share of right answers by column."""

    name: str
    seed: int
    targets: int
    barren: int
    right: Mapping[str, Mapping[str, float]]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[11, 12], help="districts of each scenario")
    parser.add_argument("--members", type=int, default=8, help="of the ensemble")
    asked = parser.parse_args()
    told = []
    for name in SCENARIOS:
        for seed in asked.seeds:
            told.append(judge(name, seed, asked.members))
            print(told[-1], file=sys.stderr, flush=True)
    print(table(told))


def judge(name: str, seed: int, members: int) -> Told:
    """Make a district, fit it, and count."""
    with tempfile.TemporaryDirectory() as folder:
        file = make_district(
            Path(folder) / name, width=SIDE, height=SIDE, layers=LAYERS, seed=seed, resolution=RESOLUTION,
            deposits=DEPOSITS, scenario=SCENARIOS[name],
        )  # fmt: skip
        case = of_project(file)
    case = replace(case, model=case.model.model_copy(update={"members": members}))
    ensemble, screener = fitted(case)
    scorer = Scorer(screener.arrays)
    mu, valid = np.ascontiguousarray(case.mu.T), np.ascontiguousarray(case.valid.T)
    found = scorer.score(mu, valid)
    residual = scorer.reconstruct(mu, valid)["e"]
    z = ((residual - ensemble.arrays["res_median"][:, :, None]) / ensemble.arrays["res_scale"][:, :, None]).sum(axis=0)
    drivers = {
        "driver": found["driver"].astype(np.int64) - 1,
        "signed residual": np.where(case.valid & (case.weights > 0), z.T, -np.inf).argmax(axis=1),
    }
    return count(name, seed, case, found[OURS], drivers, planted(SCENARIOS[name], seed, SIDE))


def planted(scenario: Scenario, seed: int, side: int) -> Planted:
    """What was planted in a district of `judge`, from the same fields that its layers were made of."""
    chosen, extent = themes(LAYERS), (0.0, 0.0, side * RESOLUTION, side * RESOLUTION)
    # Third column: the score of a site, of which those above the threshold hold a deposit.
    threshold = float(np.sort(deposits(seed, scenario, -np.inf, extent)[:, 2])[-DEPOSITS])

    def values(of: Scenario, threshold: float) -> np.ndarray:
        # As make_district does it: deposits that are planted show in no layer by the geology's own bumps.
        tables = partial(planted_tables, seed=seed, scenario=of, threshold=threshold, names=original(chosen, of))
        window = Window(0, 0, side, side, RESOLUTION)
        patch = Patch(window, seed, np.inf if of.shown else threshold, (lambda bounds: {}) if of == PLAIN else tables)
        scores = [score_of(theme, theme.values(patch)) for theme in recast(chosen, of)]
        return np.stack(scores, axis=-1).reshape(-1, len(chosen))

    without = values(PLAIN, np.inf)
    with_deposits = values(replace(scenario, barren=0.0), threshold)
    return Planted(with_deposits - without, values(scenario, threshold) - with_deposits)


def count(
    name: str, seed: int, case: Case, prospectivity: np.ndarray, drivers: Mapping[str, np.ndarray], truth: Planted
) -> Told:
    """The shares of right answers.

    Args:
        drivers: int [n] by candidate, -1 of a cell that has none.
    """
    _, width = case.evidence.grid.shape
    cells = case.rows * width + case.cols
    by_deposits, by_barren = truth.deposits[cells], truth.barren[cells]
    best = prospectivity >= np.quantile(prospectivity, 1.0 - AREA_SHARE)
    target, barren = best & (by_deposits.max(axis=1) >= PLANTED), by_barren.max(axis=1) >= BARREN_SHOWS
    control = np.zeros_like(case.valid)
    for column, layer in enumerate(case.evidence.layers):
        if name == "plain" and layer.name in CONTROLS:
            knots = ecdf_knots(case.sample.mu[case.sample.valid[:, column], column].astype(np.float64))
            control[:, column] = case.valid[:, column] & (np.interp(case.mu[:, column], *knots) >= CONTROL_RANK)
    right = {}
    for candidate, driver in drivers.items():
        shows, controls = (_of_driver(cells_by_layer, driver) for cells_by_layer in (by_deposits >= SHOWS, control))
        shares = shows[target], (shows | controls)[target], (driver == by_barren.argmax(axis=1))[barren]
        right[candidate] = {
            column: float(share.mean()) if share.size else np.nan for column, share in zip(COLUMNS, shares, strict=True)
        }
    return Told(name, seed, int(target.sum()), int(barren.sum()), right)


def _of_driver(holds: np.ndarray, driver: np.ndarray) -> np.ndarray:
    """What holds of each cell's driver: bool [n] from bool [n, L]."""
    return holds[np.arange(len(driver)), driver] & (driver >= 0)


def table(told: Sequence[Told]) -> str:
    """Markdown: a row a district, a column a share and candidate."""
    heads = [f"{column}: {candidate}" for column in COLUMNS for candidate in CANDIDATES]
    lines = [f"| district | seed | planted target cells | {' | '.join(heads)} | barren cells |"]
    lines.append("|---" * (len(heads) + 4) + "|")
    for one in told:
        shares = [
            "–" if column == COLUMNS[1] and one.name != "plain" else f"{one.right[candidate][column]:.3f}"
            for column in COLUMNS
            for candidate in CANDIDATES
        ]
        lines.append(f"| {one.name} | {one.seed} | {one.targets} | {' | '.join(shares)} | {one.barren} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
