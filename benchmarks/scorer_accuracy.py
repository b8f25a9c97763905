"""How exact the forms of the scorer are on trained weights: python -m mpmjax.benchmarks.scorer_accuracy FOLDER...

A folder holds a saved Screener. Random cells, a twentieth of their layers missing, go through each form and through the
definition in float64: worst and root mean square error of each map, or for classes the share of cells that differ. The
same once more with the weights of the LSTMs times 3, where gates saturate and errors grow.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from mpmjax.autoencoder.checkpoint import load_screener
from mpmjax.errors import MpmError
from mpmjax.ops.lstm import Scorer
from mpmjax.reference import lstm as definition

from .inputs import presence

MAPS = ("prospectivity", "favourability", "anomaly", "confidence", "risk", "spread", "surprise")
CLASSES = ("groups", "quadrants", "driver")
SCALED = ("enc_", "dec_")
"""Arrays of the LSTMs: their weights and biases."""
MISSING = 0.05

Arrays = Mapping[str, np.ndarray]


def main(argv: Sequence[str] | None = None) -> int:
    """Print a table for each folder and scale; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m mpmjax.benchmarks.scorer_accuracy", description="Errors of the scorer."
    )
    parser.add_argument("folders", type=Path, nargs="+", help="with screener.safetensors and screener.json")
    parser.add_argument("--forms", nargs="+", default=["jax", "cpu"], help="backends of the scorer")
    parser.add_argument("--scales", type=float, nargs="+", default=[1.0, 3.0], help="of the LSTMs' weights")
    parser.add_argument("--cells", type=int, default=16_384)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(argv)
    for folder in options.folders:
        try:
            arrays = load_screener(folder).arrays
        except MpmError as error:
            print(error, file=sys.stderr)
            return 2
        mu, valid = cells_of(np.random.default_rng(options.seed), arrays["order"].shape[1], options.cells)
        for scale in options.scales:
            members, layers = arrays["order"].shape
            print(f"\n{folder.name}, E = {members}, L = {layers}, {options.cells} cells, LSTM weights x {scale:g}\n")
            print(table(errors(scaled(arrays, scale), mu, valid, options.forms)))
    return 0


def cells_of(rng: np.random.Generator, layers: int, cells: int) -> tuple[np.ndarray, np.ndarray]:
    """Memberships float32 [L, n] and what is there of them; each cell has a layer."""
    valid = presence(rng, layers, cells, MISSING)
    valid[0] |= ~valid.any(axis=0)
    return rng.random((layers, cells), np.float32), valid


def scaled(arrays: Arrays, scale: float) -> dict[str, np.ndarray]:
    """The same Screener with the weights of its LSTMs multiplied, and what was fitted on their output as it was."""
    return {name: values * np.float32(scale) if name.startswith(SCALED) else values for name, values in arrays.items()}


def errors(arrays: Arrays, mu: np.ndarray, valid: np.ndarray, forms: Sequence[str]) -> dict[str, dict[str, str]]:
    """By map and form, what the form is off: "worst / rms", or the share of cells of another class."""
    wanted = definition.score(mu.T.astype(np.float64), valid.T, arrays)
    pairs = [definition.reconstruct(mu.T.astype(np.float64), valid.T, arrays, m) for m in range(len(arrays["order"]))]
    latent = np.stack([z.T for z, _ in pairs])
    residual = np.stack([np.where(valid, mu - x_hat.T, 0.0) for _, x_hat in pairs])
    found: dict[str, dict[str, str]] = {}
    for form in forms:
        scorer = Scorer(arrays, form)
        maps, inside = scorer.score(mu, valid), scorer.reconstruct(mu, valid)
        for name, got, exact in (
            *((name, maps[name], wanted[name]) for name in MAPS),
            ("latent", inside["z"], latent),
            ("residuals", inside["e"], residual),
        ):
            found.setdefault(name, {})[form] = off(got, exact)
        for name in CLASSES:
            found.setdefault(name, {})[form] = f"{np.mean(maps[name] != wanted[name]):.1e} of cells"
    return found


def off(got: np.ndarray, exact: np.ndarray) -> str:
    """Worst and root mean square error; NaN shows."""
    error = got.astype(np.float64) - exact
    return f"{np.abs(error).max():.1e} / {np.sqrt(np.mean(error**2)):.1e}"


def table(found: Mapping[str, Mapping[str, str]]) -> str:
    """Markdown: a row for each map, a column for each form."""
    forms = list(next(iter(found.values())))
    lines = [f"| worst / rms error | {' | '.join(forms)} |", "|---" * (1 + len(forms)) + "|"]
    return "\n".join(lines + [f"| {name} | {' | '.join(row.values())} |" for name, row in found.items()])


if __name__ == "__main__":
    sys.exit(main())
