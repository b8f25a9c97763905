"""The kernels under AddressSanitizer with UBSan, and under ThreadSanitizer; and that planted faults are found."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from fuzzy_stacks import KERNEL_DTYPES, TABLE_DTYPES, layer_of, raw_values

from mpmjax.ops.plan import Overlay, plan_memberships
from mpmjax.types import Membership

pytestmark = pytest.mark.slow  # three compilations of 5 to 10 s

SANITIZERS = {"memory": ("-fsanitize=address,undefined", "-g"), "threads": ("-fsanitize=thread", "-g")}


@pytest.fixture(scope="module")
def programs(make_program, tmp_path_factory):
    """By sanitizer, kernels/ as it is."""
    folder = tmp_path_factory.mktemp("sanitized")
    return {name: make_program(folder / name, flags) for name, flags in SANITIZERS.items()}


@pytest.fixture(scope="module")
def planted(make_program, tmp_path_factory) -> Callable:
    """A program of the kernels with a piece of the source replaced."""

    def make(sanitizer: str, source: str, old: str, new: str):
        folder = tmp_path_factory.mktemp("planted")
        copy = shutil.copytree(Path(__file__).parents[2] / "kernels", folder / "kernels")
        text = (copy / source).read_text(encoding="utf-8")
        assert old in text
        (copy / source).write_text(text.replace(old, new), encoding="utf-8")
        return make_program(folder / "program", SANITIZERS[sanitizer], copy)

    return make


def case_of(make_case, cells: int, layers: int = 11):
    rng = np.random.default_rng(cells)
    dtypes = [(TABLE_DTYPES + KERNEL_DTYPES)[index % 9] for index in range(layers)]
    kinds = [
        Membership("shoulder", {"alpha": 1.0, "beta": 20.0, "gamma": 90.0}, hedge="somewhat"),
        Membership("large", {"midpoint": 30.0, "spread": 3.0}),
        Membership("category", knots_x=np.arange(-40.0, 150.0), knots_y=np.linspace(0.0, 1.0, 190)),
        Membership(
            "ecdf", transform="log", floor=0.1, knots_x=np.linspace(-1.0, 4.0, 33), knots_y=np.linspace(0, 1, 33)
        ),
    ]
    plan = plan_memberships([layer_of(dtype) for dtype in dtypes], [kinds[index % 4] for index in range(layers)])
    values = [
        rng.choice(raw_values(dtype, index), cells + index % 3)[index % 3 :] for index, dtype in enumerate(dtypes)
    ]
    masks = [rng.random(cells) < 0.8 if index % 2 else None for index in range(layers)]
    return make_case(values, plan, masks, Overlay("gamma", 0.9))


@pytest.mark.parametrize("sanitizer", SANITIZERS)
@pytest.mark.parametrize("kernel", ["membership_layer_f16", "membership_cell_f32_overlay", "membership_overlay"])
@pytest.mark.parametrize("cells", [1, 64, 203])
def test_kernels_are_clean(programs, make_case, tmp_path, sanitizer, kernel, cells):
    said, written = programs[sanitizer].run(kernel, case_of(make_case, cells), tmp_path)
    assert not said
    assert (written != 0xCD).any()


def test_both_programs_and_the_library_give_the_same_bytes(programs, emulator, make_case, tmp_path):
    case = case_of(make_case, 77)
    outputs = emulator.run("membership_cell_f16_overlay", case)
    expected = b"".join(output.tobytes() for output in outputs)
    for program in programs.values():
        said, written = program.run("membership_cell_f16_overlay", case, tmp_path)
        assert not said
        assert written.tobytes() == expected


@pytest.mark.parametrize(
    "barrier",
    [
        "    __syncthreads();\n}",  # between the inverses and their readers
        "            __syncthreads();\n            // Value k",  # between staging and taking out
        "            __syncthreads();\n        }\n        overlays",  # and before staging again
    ],
)
def test_a_missing_barrier_is_found(planted, make_case, tmp_path, barrier):
    program = planted("threads", "membership.cu", barrier, barrier.replace("__syncthreads();", ""))
    said, _ = program.run("membership_cell_f32", case_of(make_case, 203), tmp_path)
    assert "data race" in said


def test_a_write_past_the_end_is_found(planted, make_case, tmp_path):
    program = planted("memory", "membership.cu", "return first >= cells ? 0 :", "return first < cells ? CELLS :")
    said, _ = program.run("membership_layer_f32", case_of(make_case, 203), tmp_path)
    assert "heap-buffer-overflow" in said


def test_a_vector_out_of_line_is_found(planted, make_case, tmp_path):
    program = planted("memory", "membership.cu", "at % sizeof(V) == 0", "at % 1 == 0")
    said, _ = program.run("membership_layer_f32", case_of(make_case, 203), tmp_path)
    assert "misaligned address" in said
