"""The packed ensemble: what lanes find where they look, put together again, is the ensemble."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ops.screener_arrays import random_arrays
from tolerances import HALVES, TWO_HALVES, assert_close, assert_same_bits

from mpmjax.ops.gpu import fragments
from mpmjax.ops.gpu.ensemble import Sizes, refusal, sizes_of
from mpmjax.ops.gpu.fragments import HEADER, LANES, packed

Arrays = dict[str, np.ndarray]


def matrix_of(lanes: np.ndarray) -> np.ndarray:
    """B [16, 8] from what each lane holds of it, float16 [32, 4]: the PTX ISA's table for m16n8k16, written out."""
    b = np.full((16, 8), np.nan)
    for lane in range(32):
        group, in_group = lane >> 2, lane % 4
        for i in range(4):
            b[in_group * 2 + (i & 1) + (8 if i >= 2 else 0), group] = lanes[lane, i]
    return b


class Unpacked:
    """Reads the memory as kernels/lstm_layout.cuh says it is."""

    def __init__(self, arrays: Arrays) -> None:
        self.memory, self.sizes = packed(arrays), sizes_of(arrays)
        self.header = np.frombuffer(self.memory[: HEADER.itemsize], HEADER)[0]

    def at(
        self, place: str, dtype: type, shape: tuple[int, ...], member: int | None = None, skip: int = 0
    ) -> np.ndarray:
        start = 16 * int(self.header[f"at_{place}"]) + skip
        if member is not None:
            start += 16 * int(self.header["at_members"] + member * self.header["member_size"])
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        return np.frombuffer(self.memory[start : start + size], dtype).reshape(shape)

    def stage(self, which: str, member: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Order [64], recurrent [H, 4, H], input [8 tiles, 4, H], and columns 0 and 1 of the output [2, H]."""
        hidden, tiles = self.sizes.padded, self.sizes.tiles
        order = self.at(which, np.int32, (64,), member)
        shape = (hidden // 8, hidden // 16, 2, LANES, 2, 4)
        weights = self.at(which, np.float16, shape, member, 256)
        recurrent = np.zeros((hidden, 4, hidden))
        for j, k, pair, q in np.ndindex(hidden // 8, hidden // 16, 2, 2):
            block = matrix_of(weights[j, k, pair, :, q])
            recurrent[16 * k : 16 * k + 16, 2 * pair + q, 8 * j : 8 * j + 8] = block
        after = 256 + weights.nbytes
        entering = self.at(which, np.float16, (hidden // 8, tiles, LANES, 4, 2), member, after)
        inputs = np.zeros((8 * tiles, 4, hidden))
        for j, tile, q in np.ndindex(hidden // 8, tiles, 4):
            halves = entering[j, tile, :, q]
            block = matrix_of(np.concatenate([halves, halves], axis=1))  # one word twice
            assert_same_bits(block[:8].copy(), block[8:].copy())
            inputs[8 * tile : 8 * tile + 8, q, 8 * j : 8 * j + 8] = block[:8]
        last = self.at(which, np.float16, (hidden // 16, 8, 4), member, after + entering.nbytes)
        out = np.zeros((2, hidden))
        for k in range(hidden // 16):
            out[:, 16 * k : 16 * k + 16] = matrix_of(np.pad(last[k], ((0, 24), (0, 0))))[:, :2].T
        return order, recurrent, inputs, out


SIZES = st.tuples(
    *(
        st.integers(1, 2),
        st.integers(1, 5),
        st.integers(1, 64),
        st.integers(1, 16),
        st.integers(1, 16),
        st.integers(1, 9),
    )
)


@settings(deadline=None, max_examples=12)
@given(sizes=SIZES, seed=st.integers(0, 1000))
def test_unpacked_it_is_the_ensemble(sizes: tuple[int, ...], seed: int) -> None:
    members, layers, hidden, latent, groups, features = sizes
    arrays = random_arrays(members, layers, hidden, latent, groups, seed, features)
    there, gate_scale = Unpacked(arrays), np.array([0.5, 0.5, 1.0, 0.5])[:, None]
    padded = there.sizes.padded
    for m in range(members):
        for which, prefix, entering in (("encoder", "enc", "enc_wx"), ("decoder", "dec", "dec_wz")):
            order, recurrent, inputs, out = there.stage(which, m)
            assert_same_bits(order[:layers], arrays["order"][m])
            whole = np.zeros((padded, 4, padded))
            whole[:hidden, :, :hidden] = arrays[f"{prefix}_wh"][m].reshape(hidden, 4, hidden) * gate_scale * 0.5
            assert_close(recurrent, whole, HALVES)
            whole = np.zeros((8 * there.sizes.tiles, 4, padded))
            whole[: arrays[entering].shape[1], :, :hidden] = arrays[entering][m].reshape(-1, 4, hidden) * gate_scale
            assert_close(inputs, whole, HALVES)
            if which == "encoder":
                assert not out.any()
            else:
                assert_close(out.sum(axis=0)[:hidden], arrays["out_w"][m][:, 0] / 2, TWO_HALVES)
                assert not out[:, hidden:].any()
            bias = there.at(f"{which}_bias", np.float32, (layers, padded // 8, 4, 4, 2), m)
            whole = np.zeros((layers, 4, padded), np.float32)
            whole[..., :hidden] = arrays[f"{prefix}_b"][m].reshape(layers, 4, hidden) * gate_scale
            assert_same_bits(bias.transpose(0, 3, 1, 2, 4).reshape(layers, 4, padded), whole)
        _check_heads(there, arrays, m)


def _check_heads(there: Unpacked, arrays: Arrays, m: int) -> None:
    """Latent, residuals, groups and favourability of a member."""
    sizes, tiles = there.sizes, there.sizes.tiles
    weights = there.at("latent", np.float16, (tiles, sizes.padded // 16, LANES, 2, 4), m)
    whole = np.zeros((sizes.padded, 8 * tiles))
    for tile, k, part in np.ndindex(tiles, sizes.padded // 16, 2):
        whole[16 * k : 16 * k + 16, 8 * tile : 8 * tile + 8] += matrix_of(weights[tile, k, :, part])
    assert_close(whole[: sizes.hidden, : sizes.latent], arrays["lat_w"][m] / 2, TWO_HALVES)
    assert not whole[sizes.hidden :].any()
    assert not whole[:, sizes.latent :].any()
    assert_same_bits(there.at("latent_bias", np.float32, (sizes.latent,), m), arrays["lat_b"][m])
    opinion = there.at("opinion", np.float32, (8 * tiles + 1,), m)
    assert_same_bits(opinion[: sizes.latent], arrays["fav_w"][m])
    assert opinion[-1] == arrays["fav_b"][m]
    off, inverse = there.at("residual", np.float32, (sizes.layers, 2), m).astype(float).T
    assert_close(off, arrays["out_b"][m, 0].astype(float) + arrays["res_median"][m], TWO_HALVES)
    assert_close(inverse, 1.0 / arrays["res_scale"][m], TWO_HALVES)
    shape = (sizes.groups, tiles, tiles, LANES, 2, 2)
    whiten, group = there.at("whiten", np.float16, shape, m), there.at("group", np.float32, (sizes.groups, 2), m)
    offset = there.at("whiten_bias", np.float32, (sizes.groups, 8 * tiles), m)
    for k in range(sizes.groups):
        chol = np.zeros((8 * tiles, 8 * tiles))
        for rows, tile, part in np.ndindex(tiles, tiles, 2):
            halves = whiten[k, rows, tile, :, part]
            block = matrix_of(np.concatenate([halves, halves], axis=1))[:8]
            chol[8 * rows : 8 * rows + 8, 8 * tile : 8 * tile + 8] += block.T
        unscaled = np.sqrt(group[k, 1] * 2 * np.log(2.0))
        assert 128 <= np.abs(chol).max() <= 256
        expected = arrays["group_chol"][m, k].astype(float)
        assert_close(chol[: sizes.latent, : sizes.latent] * unscaled, expected, TWO_HALVES)
        assert_close(offset[k, : sizes.latent] * unscaled, -expected @ arrays["group_mean"][m, k], TWO_HALVES)
    assert_close(group[:, 0] * np.log(2.0), arrays["group_logw"][m], TWO_HALVES)


def test_the_parts_of_all_members() -> None:
    arrays = random_arrays(3, 5, 20, 3, 4)
    there = Unpacked(arrays)
    assert_same_bits(there.at("weight", np.float32, (5,)), arrays["weight"])
    assert_same_bits(there.at("layer_rank", np.float32, (5, 257)), arrays["layer_rank"])
    for name in ("fav", "anomaly"):
        x, y, slope = there.at(name, np.float32, (3, 1024))
        assert_same_bits(x, arrays[f"ecdf_{name}_x"])
        assert_same_bits(y, arrays[f"ecdf_{name}_y"])
        rises = np.diff(y.astype(float)) / np.diff(x.astype(float))
        assert_close(slope[:-1], rises, TWO_HALVES)
    assert there.header["trust"] == arrays["trust"][0]
    assert [there.header[name] for name in ("noise_base", "noise_spread")] == arrays["noise"].tolist()
    assert len(there.memory) == 16 * (there.header["at_members"] + 3 * there.header["member_size"])


@pytest.mark.parametrize(
    ("hidden", "latent", "features", "kernel"),
    [
        (1, 1, 1, "lstm_score_h16"),
        (17, 8, 8, "lstm_score_h32"),
        (32, 2, 9, "lstm_score_h32_wide"),
        (33, 9, 1, "lstm_score_h64_wide"),
    ],
)
def test_the_kernel_of_a_size(hidden: int, latent: int, features: int, kernel: str) -> None:
    assert Sizes(1, 2, features, hidden, latent, 2).kernel == kernel


@pytest.mark.parametrize(
    ("sizes", "words"),
    [
        ((1, 65, 16, 2, 2, 1), "65 layers, and the kernel takes at most 64"),
        ((1, 3, 65, 2, 2, 1), "65 hidden units"),
        ((1, 3, 16, 17, 2, 1), "17 latents"),
        ((1, 3, 16, 2, 17, 1), "17 groups"),
        ((1, 3, 16, 2, 2, 17), "17 features"),
    ],
)
def test_sizes_that_are_declined(sizes: tuple[int, ...], words: str) -> None:
    assert words in str(refusal(random_arrays(*sizes[:5], features=sizes[5])))


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("enc_wh", 70_000.0, "enc_wh holds 70000, and halves end at 65,504"),
        ("dec_b", np.nan, "dec_b holds numbers that are not finite"),
        ("lat_w", 20_000.0, "its latents can exceed"),
    ],
)
def test_weights_that_halves_do_not_hold_are_declined(name: str, value: float, words: str) -> None:
    arrays = random_arrays(1, 3, 16, 2, 2)
    assert refusal(arrays) is None
    arrays[name][0, :4] = value
    assert words in str(refusal(arrays))


def test_fragments_round_once() -> None:
    b = np.random.default_rng(0).normal(0, 1, (3, 16, 8))
    for one, lanes in zip(b, fragments.fragments(b), strict=True):
        assert_same_bits(matrix_of(lanes).astype(np.float16), one.astype(np.float16))
