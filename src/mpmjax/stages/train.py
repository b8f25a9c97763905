"""train: the ensemble of LSTM autoencoders, and what is ordinary for it."""

from __future__ import annotations

import numpy as np

from mpmjax.autoencoder.training import (
    EVALUATE_EVERY,
    TrainingConfig,
    member_arrays,
    plan_members,
    train_ensemble,
)
from mpmjax.errors import DataError
from mpmjax.ops.lstm import Scorer
from mpmjax.project_sections import ModelSection
from mpmjax.scoring.anomaly import residual_scale
from mpmjax.types import Ensemble, FuzzySample


def train(model: ModelSection, sample: FuzzySample, workers: int | None = None) -> Ensemble:
    """Train the members, then standardise each one's residuals on the sample.

    Raises:
        DataError: no member reached a finite loss.
    """
    layers = sample.mu.shape[1]
    config = TrainingConfig(
        layers=layers,
        hidden=model.hidden,
        latent=latent_size(model.latent, layers),
        steps=model.steps,
        batch=model.batch,
        learning_rate=model.learning_rate,
        weight_decay=model.weight_decay,
        loss=model.loss,
        layer_dropout=model.layer_dropout if layers > 2 else 0.0,  # of two layers none can be spared
        patience=model.patience,
    )
    plan = plan_members(sample.rows, sample.cols, model.members, layers, model.seed)
    trained = train_ensemble(sample.mu, sample.valid, plan, config, workers=workers)
    try:
        arrays = member_arrays(trained, plan)
    except FloatingPointError as error:
        raise DataError(f"training failed: {error} ([model] learning_rate = {model.learning_rate:g}).") from error
    seen = Scorer(arrays).reconstruct(np.ascontiguousarray(sample.mu.T), np.ascontiguousarray(sample.valid.T))
    median, scale = residual_scale(seen["e"], sample.valid.T)
    return Ensemble(
        arrays | {"res_median": median, "res_scale": scale},
        seen["z"],
        {
            "members": model.members,
            "hidden": config.hidden,
            "latent": config.latent,
            "sample": len(sample.mu),
            "steps": config.rounds * EVALUATE_EVERY,
            "val_steps": [(r + 1) * EVALUATE_EVERY for r in range(config.rounds)],
            "train_loss": _course(trained.train_loss),
            "val_loss": _course(trained.held_out_loss),
            "best_step": [int(r + 1) * EVALUATE_EVERY for r in trained.best_round],
            "excluded_members": [int(m) for m in np.flatnonzero(trained.best_round < 0)],
        },
    )


def latent_size(stated: int | None, layers: int) -> int:
    """d: as stated, else max(1, min(8, L // 2))."""
    return stated if stated is not None else max(1, min(8, layers // 2))


def _course(loss: np.ndarray) -> list[list[float | None]]:
    """Curves for JSON: None after a member stopped (NaN is no JSON)."""
    return [[float(v) if np.isfinite(v) else None for v in member] for member in loss]
