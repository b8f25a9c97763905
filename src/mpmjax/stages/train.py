"""train: the ensemble of LSTM autoencoders, what is ordinary for it, and how far two halves of it agree."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from mpmjax.autoencoder.training import (
    EVALUATE_EVERY,
    Trained,
    TrainingConfig,
    member_arrays,
    plan_members,
    train_ensemble,
    training_config,
)
from mpmjax.errors import DataError
from mpmjax.ops.lstm import Scorer
from mpmjax.project_sections import ModelSection
from mpmjax.scoring.anomaly import residual_scale, surprise
from mpmjax.scoring.latent import predicted, regress, split_half
from mpmjax.scoring.weights import favourability
from mpmjax.types import Ensemble, FuzzySample

BATCH = 4
"""Members that `members = "auto"` trains at a time."""
MOST = 32
"""Members that `members = "auto"` stops at, agreed or not."""
STEADY = 0.9
"""Split-half correlation of R at which `members = "auto"` has enough: by the formula of Spearman and Brown the whole
ensemble then correlates at 2 x 0.9 / (1 + 0.9) = 0.95 with another one of its size."""


class _Fitted(NamedTuple):
    """What a batch of e members leaves: arrays by name [e, ...], latents [e, d, n], and on each cell of the sample the
    favourability that the latent tells of and the surprise [e, n]. A member without a finite loss has a course in
    `trained` and nothing else."""

    trained: Trained
    arrays: dict[str, np.ndarray]
    latents: np.ndarray
    favourability: np.ndarray
    surprise: np.ndarray


def train(
    model: ModelSection,
    sample: FuzzySample,
    workers: int | None,
    weights: np.ndarray,
    say: Callable[[str], None] = lambda line: None,
) -> Ensemble:
    """Train the members, then standardise each one's residuals on the sample.

    With `members = "auto"` four at a time are trained, 32 at most, until R, the mean of what the members' latents say
    of favourability, is steady: its ranks by two halves of the members correlate at 0.9. The surprise of two halves is
    told beside it and stops nothing, because it takes several times as many members. On one CPU a member's network is
    the same, bit for bit, whatever their number.

    Args:
        weights: float [L], the layers' weights in favourability, 0 for those without a direction.
        say: gets a line with the correlations of the halves after every batch.

    Raises:
        DataError: no member of a batch reached a finite loss.
    """
    config = training_config(model, sample.mu.shape[1])
    size, most = (BATCH, MOST) if model.members == "auto" else (model.members, model.members)
    fav = favourability(sample, weights)
    fitted: list[_Fitted] = []
    course: list[dict[str, Any]] = []
    for first in range(0, most, size):
        fitted.append(_fit(model, config, sample, fav, workers, first, size))
        course.append({"members": first + size} | _agreement(fitted))
        say(_told(course[-1]))
        if (course[-1]["R"] or 0.0) >= STEADY:
            break
    trained = [batch.trained for batch in fitted]
    best_round = np.concatenate([batch.best_round for batch in trained])
    return Ensemble(
        {name: np.concatenate([batch.arrays[name] for batch in fitted]) for name in fitted[0].arrays},
        np.concatenate([batch.latents for batch in fitted]),
        np.concatenate([batch.surprise for batch in fitted]),
        {
            "members": len(best_round),
            "hidden": config.hidden,
            "latent": config.latent,
            "sample": len(sample.mu),
            "steps": config.rounds * EVALUATE_EVERY,
            "val_steps": [(r + 1) * EVALUATE_EVERY for r in range(config.rounds)],
            "train_loss": _course(np.concatenate([batch.train_loss for batch in trained])),
            "val_loss": _course(np.concatenate([batch.held_out_loss for batch in trained])),
            "best_step": [int(r + 1) * EVALUATE_EVERY for r in best_round],
            "excluded_members": [int(m) for m in np.flatnonzero(best_round < 0)],
            "split_half": course,
        },
    )


def _fit(
    model: ModelSection,
    config: TrainingConfig,
    sample: FuzzySample,
    fav: np.ndarray,
    workers: int | None,
    first: int,
    size: int,
) -> _Fitted:
    """Members `first` to `first + size`."""
    plan = plan_members(sample.rows, sample.cols, size, config.layers, model.seed, first=first)
    trained = train_ensemble(sample.mu, sample.valid, plan, config, workers=workers)
    try:
        arrays = member_arrays(trained, plan)
    except FloatingPointError as error:
        raise DataError(f"training failed: {error} ([model] learning_rate = {model.learning_rate:g}).") from error
    found = Scorer(arrays).reconstruct(np.ascontiguousarray(sample.mu.T), np.ascontiguousarray(sample.valid.T))
    median, scale = residual_scale(found["e"], sample.valid.T)
    unusual = surprise(found["e"], sample.valid.T, median, scale)
    seen = predicted(found["z"], *regress(found["z"], fav))
    return _Fitted(trained, arrays | {"res_median": median, "res_scale": scale}, found["z"], seen, unusual)


def _agreement(fitted: Sequence[_Fitted]) -> dict[str, float | None]:
    """Split-half correlations of R and of surprise over the members so far, None of fewer than two."""
    maps = {"R": [batch.favourability for batch in fitted], "surprise": [batch.surprise for batch in fitted]}
    together = {name: np.concatenate(parts) for name, parts in maps.items()}
    return {name: split_half(values) if len(values) > 1 else None for name, values in together.items()}


def _told(reached: Mapping[str, Any]) -> str:
    members = reached["members"]
    if reached["R"] is None:
        return f"  {members} member{'s' * (members > 1)}: too few to tell how far two halves of them agree"
    figures = f"{reached['R']:.3f} (R) and {reached['surprise']:.3f} (surprise)"
    return f"  {members} members: the ranks of cells by two halves of them correlate at {figures}"


def _course(loss: np.ndarray) -> list[list[float | None]]:
    """Curves for JSON: None after a member stopped (NaN is no JSON)."""
    return [[float(v) if np.isfinite(v) else None for v in member] for member in loss]
