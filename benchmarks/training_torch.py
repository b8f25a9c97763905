"""The rival of training: the same autoencoder of torch.nn.LSTM, the same loss, and the loop one writes around it.

nn.LSTM cannot carry a state over a layer that is hidden: it is shown zeros for the layer and its identity instead,
which is less work than ours does. All cells must be complete.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from mpmjax.autoencoder.training import EVALUATE_EVERY, TrainingConfig

Loss = Callable[[Any, Any, Any, Any], Any]
"""(model, order, x [n, L], seen bool [n, L]) -> the mean loss."""


class Member(NamedTuple):
    """What a member trains on: its order of layers, the rows it draws from and those held out, as tensors."""

    order: Any
    train: Any
    held_out: Any


def member(torch: ModuleType, plan: Any, number: int) -> Member:
    """One member of a plan of ours."""
    columns = (plan.order[number], plan.train[number], plan.held_out[number])
    return Member(*(torch.from_numpy(np.asarray(column).astype(np.int64)) for column in columns))


def autoencoder(torch: ModuleType, params: Mapping[str, Any]) -> Any:
    """The network with the parameters of one of ours (autoencoder/network.py)."""
    given = {name: np.asarray(values, np.float32) for name, values in _flat(params).items()}
    layers, embedding = given["identity"].shape
    hidden, latent = given["to_latent.kernel"].shape
    model = torch.nn.ModuleDict(
        {
            "encoder": torch.nn.LSTM(len(given["enc_wx"]) + embedding, hidden),
            "to_latent": torch.nn.Linear(hidden, latent),
            "decoder": torch.nn.LSTM(latent + embedding, hidden),
            "to_output": torch.nn.Linear(hidden, given["to_output.kernel"].shape[1]),
        }
    )
    model["identity"] = torch.nn.Embedding(layers, embedding)
    values = {
        "encoder.weight_ih_l0": np.concatenate([given["enc_wx"], given["enc_we"]]).T,
        "encoder.weight_hh_l0": given["encoder.wh"].T,
        "encoder.bias_ih_l0": given["enc_b"],
        "encoder.bias_hh_l0": np.zeros_like(given["enc_b"]),
        "decoder.weight_ih_l0": np.concatenate([given["dec_wz"], given["dec_we"]]).T,
        "decoder.weight_hh_l0": given["decoder.wh"].T,
        "decoder.bias_ih_l0": given["dec_b"],
        "decoder.bias_hh_l0": np.zeros_like(given["dec_b"]),
        "identity.weight": given["identity"],
    }
    for name in ("to_latent", "to_output"):
        values |= {f"{name}.weight": given[f"{name}.kernel"].T, f"{name}.bias": given[f"{name}.bias"]}
    model.load_state_dict({name: torch.tensor(np.ascontiguousarray(array)) for name, array in values.items()})
    return model


def _flat(params: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in params.items():
        found |= _flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {prefix + name: value}
    return found


def loss_of(torch: ModuleType, kind: str, compiled: bool = False) -> Loss:
    """The loss of ours, by eager torch or by what torch.compile makes of it."""

    def loss(model: Any, order: Any, x: Any, seen: Any) -> Any:
        n, layers = x.shape
        identity = model["identity"].weight
        shown = seen.T[order].unsqueeze(2).to(x.dtype)
        values = torch.cat([x.T[order].unsqueeze(2), identity[order].unsqueeze(1).expand(layers, n, -1)], dim=2)
        _, (h, _) = model["encoder"](values * shown)
        z = model["to_latent"](h[0])
        backward = order.flip(0)
        which = identity[backward].unsqueeze(1).expand(layers, n, -1)
        states, _ = model["decoder"](torch.cat([z.expand(layers, -1, -1), which], dim=2))
        error = (model["to_output"](states)[..., 0] - x.T[backward]).abs()
        return (torch.where(error <= 0.1, error**2, 0.2 * error - 0.01) if kind == "huber" else error**2).mean()

    if not compiled:
        return loss
    # Without this, torch.compile leaves nn.LSTM to the eager code.
    torch._dynamo.config.allow_rnn = True
    return torch.compile(loss, dynamic=False)


def train(
    torch: ModuleType, model: Any, start: Mapping[str, Any], loss: Loss, x: Any, given: Member, config: TrainingConfig
) -> float:
    """One member from the state `start`, as ours is trained: returns the lowest loss held out; x [cells, L]."""
    model.load_state_dict(start)
    steps, parameters = config.rounds * EVALUATE_EVERY, list(model.parameters())
    optimiser = torch.optim.AdamW(parameters, config.learning_rate, weight_decay=config.weight_decay, fused=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps, eta_min=0.05 * config.learning_rate)
    held_out, best, kept, judge = x[given.held_out], float("inf"), start, loss_of(torch, config.loss)
    everything = torch.ones_like(held_out, dtype=torch.bool)
    for number in range(1, steps + 1):
        batch = x[given.train[torch.randint(len(given.train), (config.batch,))]]
        value = loss(model, given.order, batch, _seen(torch, batch, config.layer_dropout))
        optimiser.zero_grad()
        value.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        schedule.step()
        if number % EVALUATE_EVERY == 0:
            with torch.no_grad():
                now = float(judge(model, given.order, held_out, everything))
            if now < best:
                best, kept = now, {name: values.clone() for name, values in model.state_dict().items()}
    model.load_state_dict(kept)
    return best


def _seen(torch: ModuleType, batch: Any, dropout: float) -> Any:
    keep = torch.rand(batch.shape) >= dropout
    return keep | ~keep.any(dim=1, keepdim=True)
