"""The network that is trained is the one that is defined in reference/lstm.py; its loss sees valid layers only."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ops.screener_arrays import random_cells
from tolerances import SCORER, assert_close, assert_same_bits

from mpmjax.autoencoder.network import Autoencoder, export, masked_loss
from mpmjax.autoencoder.training import _keep
from mpmjax.reference.lstm import reconstruct

CELLS = 64


class Made:
    """A network with random parameters and an order of layers, its functions compiled once."""

    def __init__(self, layers: int, hidden: int, latent: int) -> None:
        self.network = Autoencoder(layers, hidden, latent)
        self.order = np.random.default_rng(layers).permutation(layers).astype(np.int32)
        x, valid = jnp.zeros((1, layers, 1)), jnp.ones((1, layers), bool)
        shapes = jax.eval_shape(self.network.init, jax.random.key(0), x, valid, valid, self.order)["params"]
        # Not the network's own start, whose biases are 0 or 1: one left out of the export would not be seen.
        rng = np.random.default_rng(layers)
        self.params: Any = jax.tree.map(lambda a: rng.normal(0, 0.5, a.shape).astype(np.float32), shapes)
        self._both: Any = jax.jit(self._encode_and_decode)

    def __call__(self, mu: np.ndarray, valid: np.ndarray, seen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        z, x_hat = self._both(self.params, mu[..., None], valid, seen)
        return np.asarray(z), np.asarray(x_hat)[..., 0]

    def _encode_and_decode(self, params: Any, x: jax.Array, valid: jax.Array, seen: jax.Array) -> tuple[Any, Any]:
        z = self.network.apply({"params": params}, x, seen, self.order, method="encode")
        return z, self.network.apply({"params": params}, x, valid, seen, self.order)

    def arrays(self) -> dict[str, np.ndarray]:
        exported = {name: values[None] for name, values in export(self.params).items()}
        return {"order": self.order[None], **exported}


@pytest.fixture(scope="module", params=[(2, 4, 1), (5, 9, 3)], ids=["two layers", "five layers"])
def made(request: pytest.FixtureRequest) -> Made:
    return Made(*request.param)


def test_export_is_what_is_applied(made: Made) -> None:
    mu, valid = random_cells(CELLS, made.network.layers, seed=1)
    z, x_hat = made(mu, valid, valid)
    expected_z, expected_x_hat = reconstruct(mu, valid, made.arrays(), 0)
    assert_close(z, expected_z, SCORER)
    assert_close(x_hat, expected_x_hat, SCORER)
    assert np.ptp(z, axis=0).min() > 1e-2  # else they would agree whatever the input


def test_a_hidden_layer_is_decoded_but_not_encoded(made: Made) -> None:
    """Layer dropout: the latent is that of a cell without the layer, the layer is reconstructed all the same."""
    mu, _ = random_cells(CELLS, made.network.layers, seed=2)
    valid = np.ones(mu.shape, bool)
    seen = valid.copy()
    seen[:, 1] = False
    z, x_hat = made(mu, valid, seen)
    other = mu.copy()
    other[:, 1] = 1e6
    for got, expected in zip(made(other, valid, seen), (z, x_hat), strict=True):
        assert_same_bits(got, expected)
    assert_same_bits(made(mu, seen, seen)[0], z)
    assert np.abs(made(mu, seen, seen)[1] - x_hat).max() > 1e-4
    assert np.abs(made(mu, valid, valid)[0] - z).max() > 1e-2


def test_layers_have_identities(made: Made) -> None:
    """Which layer a value is of counts: the same numbers in the same steps, under other names, are another cell."""
    layers, arrays = made.network.layers, made.arrays()
    mu, _ = random_cells(CELLS, layers, seed=3)
    valid, names = np.ones(mu.shape, bool), np.roll(np.arange(layers), 1)
    renamed = {**arrays, "order": np.argsort(names)[arrays["order"]]}
    for got, other in zip(reconstruct(mu, valid, arrays, 0), reconstruct(mu[:, names], valid, renamed, 0), strict=True):
        assert np.abs(got - other).max() > 1e-2


def test_the_export_is_float32_and_named_as_the_definition_says(made: Made) -> None:
    layers, hidden, latent = made.network.layers, made.network.hidden, made.network.latent
    shapes = {
        "enc_wx": (1, 4 * hidden),
        "enc_wh": (hidden, 4 * hidden),
        "enc_b": (layers, 4 * hidden),
        "lat_w": (hidden, latent),
        "lat_b": (latent,),
        "dec_wz": (latent, 4 * hidden),
        "dec_wh": (hidden, 4 * hidden),
        "dec_b": (layers, 4 * hidden),
        "out_w": (hidden, 1),
        "out_b": (1,),
    }
    exported = export(made.params)
    assert {name: values.shape for name, values in exported.items()} == shapes
    assert {values.dtype.name for values in exported.values()} == {"float32"}


def cells(errors: list[list[float]], valid: list[list[bool]]) -> tuple[jax.Array, jax.Array, jax.Array]:
    x_hat = jnp.full((len(errors), len(errors[0]), 1), 0.5)
    return x_hat + jnp.asarray(errors)[..., None], x_hat, jnp.asarray(valid)


def test_loss_by_hand() -> None:
    x, x_hat, valid = cells([[0.05, -0.3, 9.0], [0.1, 9.0, 9.0]], [[True, True, False], [True, False, False]])
    squares = 0.05**2 + 0.3**2 + 0.1**2
    assert masked_loss(x, x_hat, valid, "mse") == pytest.approx(squares / 3, rel=1e-5)
    bent = 0.05**2 + (2 * 0.1 * 0.3 - 0.1**2) + 0.1**2
    assert masked_loss(x, x_hat, valid, "huber") == pytest.approx(bent / 3, rel=1e-5)


@pytest.mark.parametrize("kind", ["mse", "huber"])
def test_loss_counts_only_valid_layers(kind: str) -> None:
    rng = np.random.default_rng(4)
    x, x_hat = (jnp.asarray(rng.uniform(size=(40, 5, 1)), jnp.float32) for _ in range(2))
    valid = jnp.asarray(rng.uniform(size=(40, 5)) < 0.6)
    here = valid[..., None]
    expected = masked_loss(x, x_hat, valid, kind)
    assert masked_loss(jnp.where(here, x, 50.0), jnp.where(here, x_hat, -7.0), valid, kind) == expected
    plain = masked_loss(x[here][:, None, None], x_hat[here][:, None, None], jnp.ones((int(valid.sum()), 1), bool), kind)
    assert plain == pytest.approx(float(expected), rel=1e-5)  # a mean over the valid layers, not over all
    slope = jax.grad(lambda guess: masked_loss(x, guess, valid, kind))(x_hat)
    assert not np.asarray(slope)[~np.asarray(here)].any()
    assert np.asarray(slope)[np.asarray(here)].all()
    nothing = jnp.zeros_like(valid)
    assert masked_loss(x, x_hat, nothing, kind) == 0.0
    assert not jax.grad(lambda guess: masked_loss(x, guess, nothing, kind))(x_hat).any()


def test_loss_is_a_mean_over_features_too() -> None:
    x = jnp.zeros((3, 2, 4))
    valid = jnp.array([[True, False]] * 3)
    assert masked_loss(x, x + 0.05, valid, "mse") == pytest.approx(0.05**2, rel=1e-5)


def test_huber_is_mse_near_zero_and_a_line_beyond() -> None:
    def at(error: float, kind: str) -> float:
        return float(masked_loss(*cells([[error]], [[True]]), kind))

    def slope(error: float) -> float:
        x, x_hat, valid = cells([[error]], [[True]])
        return float(jax.grad(lambda value: masked_loss(value, x_hat, valid, "huber"))(x)[0, 0, 0])

    for error in (0.0, 0.01, -0.07, 0.0999):
        assert at(error, "huber") == pytest.approx(at(error, "mse"), rel=1e-5)
    for error in (0.11, -0.3, 1.0):
        assert at(error, "huber") < at(error, "mse")
        assert slope(error) == pytest.approx(0.2 * np.sign(error), rel=1e-5)
    assert slope(0.0999) == pytest.approx(slope(0.1001), rel=2e-3)  # no kink where the two meet
    assert at(-0.3, "huber") == at(0.3, "huber")


def test_trimmed_loss_by_hand() -> None:
    """Of five cells a trim of 0.4 drops two: those of the highest mean over their valid layers, whatever the sum."""
    x, x_hat, valid = cells(
        [[0.02, 0.02, 0.02], [0.05, 0.05, 0.05], [0.06, 9.0, 9.0], [0.01, 0.0, 9.0], [0.0, 0.3, 0.0]],
        [[True, True, True], [True, True, True], [True, False, False], [True, True, False], [True, True, True]],
    )
    plain = float(masked_loss(x, x_hat, valid, "mse"))
    assert plain == pytest.approx((3 * 0.02**2 + 3 * 0.05**2 + 0.06**2 + 0.01**2 + 0.3**2) / 12, rel=1e-4)
    kept = (3 * 0.02**2 + 3 * 0.05**2 + 0.01**2) / 8
    assert masked_loss(x, x_hat, valid, "mse", trim=0.4) == pytest.approx(kept, rel=1e-4)
    assert masked_loss(x, x_hat, valid, "mse", trim=0.39) == pytest.approx((12 * plain - 0.09) / 9, rel=1e-4)
    slope = np.asarray(jax.grad(lambda guess: masked_loss(x, guess, valid, "mse", trim=0.4))(x_hat))
    assert not slope[[2, 4]].any()
    assert slope[[0, 1]].all()


def test_a_cell_is_judged_by_the_layers_that_were_shown() -> None:
    """Nothing is odd about the first cell but the layer that it was not shown; that layer still counts in the loss."""
    x, x_hat, valid = cells([[0.01, 0.5], [0.2, 0.1], [0.03, 0.03]], [[True, True]] * 3)
    shown = jnp.asarray([[True, False], [True, True], [True, True]])
    got = masked_loss(x, x_hat, valid, "mse", trim=0.34, judged=shown)
    assert got == pytest.approx((0.01**2 + 0.5**2 + 2 * 0.03**2) / 4, rel=1e-4)
    assert masked_loss(x, x_hat, valid, "mse", trim=0.34) == pytest.approx(
        (0.2**2 + 0.1**2 + 2 * 0.03**2) / 4, rel=1e-4
    )


@pytest.mark.parametrize("trim", [0.0, 0.02])
def test_a_trim_of_no_whole_cell_changes_no_bit(trim: float) -> None:
    rng = np.random.default_rng(6)
    x, x_hat = (jnp.asarray(rng.uniform(size=(49, 5, 1)), jnp.float32) for _ in range(2))
    valid = jnp.asarray(rng.uniform(size=(49, 5)) < 0.6)

    def both(**keys: Any) -> tuple[Any, Any]:
        return jax.jit(jax.value_and_grad(lambda guess: masked_loss(x, guess, valid, "huber", **keys)))(x_hat)

    for got, expected in zip(both(trim=trim, judged=valid), both(), strict=True):
        assert_same_bits(np.asarray(got), np.asarray(expected))
    assert both(trim=0.03)[0] < both()[0]


def test_trimming_hides_no_loss_that_is_no_number() -> None:
    x, x_hat, valid = cells([[0.1], [float("nan")], [0.3], [0.2]], [[True]] * 4)
    assert np.isnan(masked_loss(x, x_hat, valid, "huber", trim=0.25))


@pytest.mark.parametrize("dropout", [0.1, 0.5, 0.89])
def test_layer_dropout_never_hides_everything(dropout: float) -> None:
    _, valid = random_cells(4000, 4, seed=5)
    present = jnp.asarray(valid)
    seen = np.asarray(present & _keep(jax.random.key(1), dropout, present))
    assert seen.any(axis=1).all()
    assert not (seen & ~valid).any()
    full = np.ones((20_000, 6), bool)
    kept = np.asarray(_keep(jax.random.key(2), dropout, jnp.asarray(full)))
    assert kept.any(axis=1).all()
    # Cells that would be left with nothing keep all: 1 - p, and the p^6 share of cells that came back.
    assert kept.mean() == pytest.approx(1 - dropout + dropout**6, abs=0.01)
    single = jnp.asarray(np.eye(4, dtype=bool)[np.arange(400) % 4])
    assert np.array_equal(np.asarray(single & _keep(jax.random.key(3), dropout, single)), np.asarray(single))


def test_no_dropout_keeps_all() -> None:
    present = jnp.ones((500, 3), bool)
    assert np.asarray(_keep(jax.random.key(0), 0.0, present)).all()
