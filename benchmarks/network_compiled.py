"""The rivals of the bare network that compile or plan it first: ONNX Runtime, and flax's cell in a scan of JAX."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from .network_baselines import Network, Weights, stacked, stepwise


def onnx_network(onnx: ModuleType, runtime: ModuleType, w: Weights, threads: int = 1) -> Network:
    """Two LSTM nodes in one graph, run by ONNX Runtime on so many of its threads."""
    options = runtime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    graph = _onnx_model(onnx, w).SerializeToString()
    session = runtime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    features, place = len(w["enc_wx"]), np.argsort(w["order"][::-1])

    def prepare(mu: np.ndarray, _valid: np.ndarray) -> dict[str, np.ndarray]:
        steps = stepwise(w, mu)
        return {"steps": steps, "layers": np.ascontiguousarray(steps[::-1, :, features:])}

    def run(given: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        z, x_hat = session.run(None, given)
        return z, x_hat[..., 0][place]

    return Network(prepare, run)


def _onnx_model(onnx: ModuleType, w: Weights) -> Any:
    """steps [L, n, F + L] and the decoder's layers [L, n, L] -> z [n, d], x_hat [L, n, 1]."""
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    (from_x, from_z), layers, hidden = stacked(w), len(w["order"]), len(w["enc_wh"])
    constants = {
        "enc_w": _gates_for_onnx(from_x),
        "enc_r": _gates_for_onnx(w["enc_wh"]),
        "dec_w": _gates_for_onnx(from_z),
        "dec_r": _gates_for_onnx(w["dec_wh"]),
        "zeros": np.zeros((layers, 1, 1), np.float32),
        **{name: np.ascontiguousarray(w[name]) for name in ("lat_w", "lat_b")},
        "out_w": np.ascontiguousarray(w["out_w"][:, :1]),
        "out_b": w["out_b"][:1],
    }
    nodes = [
        helper.make_node("LSTM", ["steps", "enc_w", "enc_r"], ["", "last"], hidden_size=hidden),
        helper.make_node("MatMul", ["last", "lat_w"], ["projected"]),
        helper.make_node("Add", ["projected", "lat_b"], ["latent"]),  # [1, n, d]
        helper.make_node("Add", ["latent", "zeros"], ["drive"]),  # [L, n, d], the same at every step
        helper.make_node("Concat", ["drive", "layers"], ["inputs"], axis=2),
        helper.make_node("LSTM", ["inputs", "dec_w", "dec_r"], ["states"], hidden_size=hidden),
        helper.make_node("Squeeze", ["states", "axis"], ["flat"]),
        helper.make_node("MatMul", ["flat", "out_w"], ["spoken"]),
        helper.make_node("Add", ["spoken", "out_b"], ["x_hat"]),
        helper.make_node("Squeeze", ["latent", "first"], ["z"]),
    ]
    stored = [onnx.numpy_helper.from_array(values, name) for name, values in constants.items()]
    stored += [onnx.numpy_helper.from_array(np.array([at]), name) for name, at in (("axis", 1), ("first", 0))]
    given = [
        helper.make_tensor_value_info("steps", kind, [layers, "n", len(from_x)]),
        helper.make_tensor_value_info("layers", kind, [layers, "n", layers]),
    ]
    told = [
        helper.make_tensor_value_info("z", kind, ["n", len(w["dec_wz"])]),
        helper.make_tensor_value_info("x_hat", kind, [layers, "n", 1]),
    ]
    graph = helper.make_graph(nodes, "autoencoder", given, told, stored)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def _gates_for_onnx(columns: np.ndarray) -> np.ndarray:
    """[1, 4H, inputs] with gates (input, output, forget, cell) of [inputs, 4H] with (input, forget, cell, output)."""
    i, f, g, o = np.split(columns.T, 4)
    return np.concatenate([i, o, f, g])[None].astype(np.float32)


def flax_network(w: Weights, chunk: int, unroll: int) -> Network:
    """nnx.OptimizedLSTMCell in nnx.RNN under jit, in float32; a chunk that is not full is filled up with zeros."""
    (from_x, from_z), layers = stacked(w), len(w["order"])
    graph, state = nnx.split((_flax_rnn(from_x, w["enc_wh"], unroll), _flax_rnn(from_z, w["dec_wh"], unroll)))
    known = {name: jnp.asarray(w[name]) for name in ("lat_w", "lat_b", "out_w", "out_b")}
    backward = jnp.eye(layers)[w["order"][::-1]][:, None, :]
    place = np.argsort(w["order"][::-1])

    @jax.jit
    def program(state: Any, known: Any, steps: jax.Array) -> tuple[jax.Array, jax.Array]:
        encoder, decoder = nnx.merge(graph, state)
        (_, h), _ = encoder(steps, return_carry=True)
        z = h @ known["lat_w"] + known["lat_b"]
        drive = jnp.broadcast_to(z, (layers, *z.shape))
        which = jnp.broadcast_to(backward, (layers, len(z), layers))
        states = decoder(jnp.concatenate([drive, which], axis=2))
        return z, (states @ known["out_w"][:, 0] + known["out_b"][0])[place]

    def prepare(mu: np.ndarray, _valid: np.ndarray) -> tuple[jax.Array, int]:
        n = mu.shape[2]
        full = np.pad(mu, ((0, 0), (0, 0), (0, chunk - n)))
        return jnp.asarray(stepwise(w, full)), n

    def run(given: tuple[jax.Array, int]) -> tuple[np.ndarray, np.ndarray]:
        steps, n = given
        z, x_hat = program(state, known, steps)
        return np.asarray(z)[:n], np.asarray(x_hat)[:, :n]

    return Network(prepare, run)


def _flax_rnn(from_input: np.ndarray, from_hidden: np.ndarray, unroll: int) -> nnx.RNN:
    cell = nnx.OptimizedLSTMCell(len(from_input), len(from_hidden), rngs=nnx.Rngs(0))
    cell.dense_i.kernel[...] = jnp.asarray(from_input)
    cell.dense_h.kernel[...] = jnp.asarray(from_hidden)
    return nnx.RNN(cell, time_major=True, unroll=unroll, rngs=nnx.Rngs(0))
