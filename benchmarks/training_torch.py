"""The rival of training in torch: the same autoencoder of torch.nn.LSTM, the same loss, and the loop one writes for it.

Eager, or with the loss and its gradient by torch.compile. nn.LSTM has two biases that mean the same and would move
twice as far: the second stays at zero. All cells must be complete.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from types import ModuleType
from typing import Any

import numpy as np

from mpmjax.autoencoder.training import EVALUATE_EVERY, TrainingConfig

from .training_numpy import HUBER, LEAST_RATE, Draws, Weights

Loss = Callable[[Any, Any, Any], Any]
"""(model, order, x [n, L]) -> the mean loss."""


def autoencoder(torch: ModuleType, given: Mapping[str, np.ndarray]) -> Any:
    """The network with the parameters of one of ours, by the paths of their names (autoencoder/network.py)."""
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
    for side in ("encoder", "decoder"):
        model[side].bias_hh_l0.requires_grad_(False)
    return model


def weights(state: Mapping[str, Any]) -> Weights:
    """A model's state under our names."""
    held = {name: values.numpy() for name, values in state.items()}
    embedding, latent = held["identity.weight"].shape[1], len(held["to_latent.bias"])
    encoder, decoder = (held[f"{side}.weight_ih_l0"].T for side in ("encoder", "decoder"))
    found = {"identity": held["identity.weight"]}
    found |= {"enc_wx": encoder[:-embedding], "enc_we": encoder[-embedding:]}
    found |= {"dec_wz": decoder[:latent], "dec_we": decoder[latent:]}
    for short, side in (("enc", "encoder"), ("dec", "decoder")):
        found |= {f"{short}_b": held[f"{side}.bias_ih_l0"], f"{side}.wh": held[f"{side}.weight_hh_l0"].T}
    for name in ("to_latent", "to_output"):
        found |= {f"{name}.kernel": held[f"{name}.weight"].T, f"{name}.bias": held[f"{name}.bias"]}
    return found


def loss_of(torch: ModuleType) -> Loss:
    """The Huber loss of ours, eager."""

    def loss(model: Any, order: Any, x: Any) -> Any:
        n, layers = x.shape
        identity = model["identity"].weight
        values = torch.cat([x.T[order].unsqueeze(2), identity[order].unsqueeze(1).expand(layers, n, -1)], dim=2)
        _, (h, _) = model["encoder"](values)
        z = model["to_latent"](h[0])
        backward = order.flip(0)
        which = identity[backward].unsqueeze(1).expand(layers, n, -1)
        states, _ = model["decoder"](torch.cat([z.expand(layers, -1, -1), which], dim=2))
        error = (model["to_output"](states)[..., 0] - x.T[backward]).abs()
        return torch.where(error <= HUBER, error**2, 2 * HUBER * error - HUBER**2).mean()

    return loss


@cache
def compiled_loss(torch: ModuleType) -> Loss:
    """The same by torch.compile, one for the process: what is compiled serves every member and every case."""
    # Without the first, torch.compile leaves nn.LSTM to the eager code; with its cache on disk it would look compiled.
    torch._dynamo.config.allow_rnn = True
    torch.compiler.config.force_disable_caches = True
    return torch.compile(loss_of(torch), dynamic=False)


def once(
    torch: ModuleType, mu: np.ndarray, start: Weights, draws: Draws, config: TrainingConfig, loss: Loss
) -> Callable[[], Any]:
    """A call that makes the loss of a batch and its gradient, which is what torch.compile compiles."""
    model, order = autoencoder(torch, start), torch.from_numpy(draws.order.astype(np.int64))
    batch = torch.from_numpy(mu[draws.batches[0]])
    return lambda: loss(model, order, batch).backward()


def member(
    torch: ModuleType, mu: np.ndarray, start: Weights, draws: Draws, config: TrainingConfig, loss: Loss
) -> Callable[[], Weights]:
    """A call that trains one member of mu [n, L] from the same start each time, and gives the weights of its best."""
    x, model, judge = torch.from_numpy(mu), autoencoder(torch, start), loss_of(torch)
    first = {name: values.clone() for name, values in model.state_dict().items()}
    order, batches, rows = (torch.from_numpy(np.asarray(column).astype(np.int64)) for column in draws)
    held_out, moving = x[rows], [one for one in model.parameters() if one.requires_grad]

    def call() -> Weights:
        model.load_state_dict(first)
        optimiser = torch.optim.AdamW(moving, config.learning_rate, weight_decay=config.weight_decay, fused=True)
        least = LEAST_RATE * config.learning_rate
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, config.steps, eta_min=least)
        best, kept = float("inf"), first
        for number, batch in enumerate(batches, start=1):
            value = loss(model, order, x[batch])
            optimiser.zero_grad()
            value.backward()
            torch.nn.utils.clip_grad_norm_(moving, 1.0)
            optimiser.step()
            schedule.step()
            if number % EVALUATE_EVERY == 0:
                with torch.no_grad():
                    now = float(judge(model, order, held_out))
                if now < best:
                    best, kept = now, {name: values.clone() for name, values in model.state_dict().items()}
        return weights(kept)

    return call
