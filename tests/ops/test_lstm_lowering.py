"""The JAX form of the scorer, lowered for a card where there is none: what XLA cannot say for CUDA is seen here."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from jax import export
from ops.screener_arrays import random_arrays

from mpmjax.ops.lstm import CHUNK
from mpmjax.ops.xla.lstm import Xla, _gathered, _reconstruct_all, _score


@pytest.mark.parametrize("features", [1, 3])
@pytest.mark.parametrize("platform", ["cuda", "cpu"])
def test_every_program_lowers(platform: str, features: int) -> None:
    arrays = Xla(random_arrays(2, 5, 16, 2, 3, features=features))._arrays
    mu, valid = jax.ShapeDtypeStruct((5, features, CHUNK), np.float32), jax.ShapeDtypeStruct((5, CHUNK), np.bool_)
    cells = jax.ShapeDtypeStruct((CHUNK,), np.int32)
    with jax.default_matmul_precision("highest"):
        scored = export.export(_score, platforms=[platform])(arrays, mu, valid)
        network = {name: arrays[name] for name in arrays if name[:3] in ("enc", "lat", "dec", "out", "ord")}
        seen = export.export(_reconstruct_all, platforms=[platform])(network, mu, valid)
        alone = jax.ShapeDtypeStruct((5, CHUNK), np.float32)
        taken = export.export(_gathered, platforms=[platform])(alone, valid, cells)
    assert {one.platforms for one in (scored, seen, taken)} == {(platform,)}
    assert {out.shape for out in scored.out_avals} == {(CHUNK,)}
    assert sorted(str(out.dtype) for out in scored.out_avals) == ["float32"] * 11 + ["uint8"] * 3
    assert {out.shape for out in seen.out_avals} == {(2, 2, CHUNK), (2, 5, CHUNK)}
    # Some accelerators multiply in fewer digits unless told otherwise.
    text = scored.mlir_module()
    assert text.count("stablehlo.dot_general") == text.count("precision = [HIGHEST, HIGHEST]")
