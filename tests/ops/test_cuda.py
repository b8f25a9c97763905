"""CUDA without a card: what is refused and in which words, how kernels are compiled, kept and launched.

A made-up card (fake_cupy) stands where CuPy would; where CuPy and NVRTC are installed, the kernels are compiled too,
which needs no card. What runs on one is in tests/gpu.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from fake_cupy import Card

from mpmjax.errors import BackendError
from mpmjax.ops import _cubins, cuda

MEMOS = (cuda.refusal, cuda._function, cuda._module, cuda._processors)


@pytest.fixture(autouse=True)
def _forgetful() -> Iterator[None]:
    """What is remembered for the life of a process must not pass from a made-up card to the next."""
    for memo in MEMOS:
        memo.cache_clear()
    yield
    for memo in MEMOS:
        memo.cache_clear()


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Card:
    card = Card()
    monkeypatch.setitem(sys.modules, "cupy", card)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return card


def fail(text: str) -> Callable[..., None]:
    def raises(*_: object) -> None:
        raise RuntimeError(text)

    return raises


def test_without_cupy_the_extra_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    said = cuda.refusal()
    assert said is not None
    assert "CuPy" in said
    assert "pip install 'mpmjax[cuda13]'" in said
    with pytest.raises(BackendError, match="CuPy"):
        cuda.array_module()


def test_a_sound_card_is_not_refused(card: Card):
    assert cuda.refusal() is None
    assert cuda.array_module() is card
    assert cuda.describe() == ("NVIDIA Fake (compute capability 9.0, 60 of 80 GB free), CuPy 14.1, NVRTC 13.0")


def hip(card: Card) -> None:
    card.cuda.runtime.is_hip = True


def no_driver(card: Card) -> None:
    card.driver = 0


def no_device(card: Card) -> None:
    card.devices = 0


def old_driver(card: Card) -> None:
    card.cuda.runtime.getDeviceCount = fail("cudaErrorInsufficientDriver")


def old_device(card: Card) -> None:
    card.capability = "75"


def taken_device(card: Card) -> None:
    card.cuda.runtime.memGetInfo = fail("cudaErrorDevicesUnavailable")


def no_nvrtc(card: Card) -> None:
    card.cuda.nvrtc.getVersion = fail("libnvrtc.so.13 is not found")


@pytest.mark.parametrize(
    ("broken", "what", "what_to_do"),
    [
        (hip, "built for AMD", "install cupy-cuda13x"),
        (no_driver, "No NVIDIA driver", "install one"),
        (no_device, "CUDA sees no device", "CUDA_VISIBLE_DEVICES"),
        (old_driver, "cudaErrorInsufficientDriver", "update it"),
        (old_device, "NVIDIA Fake has compute capability 7.5", "use the backend cpu"),
        (taken_device, "cudaErrorDevicesUnavailable", "CUDA_VISIBLE_DEVICES chooses another"),
        (no_nvrtc, "libnvrtc.so.13", "pip install nvidia-cuda-nvrtc"),
    ],
)
def test_a_refusal_says_why_and_what_to_do(card: Card, broken: Callable[[Card], None], what: str, what_to_do: str):
    broken(card)
    said = cuda.refusal()
    assert said is not None
    assert what in said
    assert what_to_do in said
    assert said.endswith(".")
    with pytest.raises(BackendError) as error:
        cuda.load("membership", "membership_layer_f32")
    assert str(error.value) == said
    assert not card.compiled


def test_the_refusal_is_looked_up_once(card: Card):
    assert cuda.refusal() is None
    no_driver(card)
    assert cuda.refusal() is None


def test_a_compute_capability_of_three_digits(card: Card):
    card.capability = "121"
    assert cuda.compute_capability() == (12, 1)
    assert cuda.refusal() is None


def test_a_kernel_is_compiled_once_a_machine_and_loaded_once_a_process(card: Card):
    first = cuda.load("membership", "membership_layer_f32")
    assert cuda.load("membership", "membership_layer_f32") is first
    cuda.load("membership", "membership_overlay")
    assert card.compiled == [(*cuda.FLAGS, "--gpu-architecture=sm_90")]
    assert card.loaded == [b"machine code"]
    for memo in MEMOS:  # a new process
        memo.cache_clear()
    cuda.load("membership", "membership_layer_f32")
    assert len(card.compiled) == 1
    assert card.loaded == [b"machine code"] * 2


@pytest.mark.parametrize("changed", ["capability", "name", "version", "nvrtc", "runtime", "flags", "source"])
def test_what_the_code_depends_on_is_compiled_for(card: Card, monkeypatch: pytest.MonkeyPatch, changed: str):
    cuda.load("membership", "membership_overlay")
    for memo in MEMOS:
        memo.cache_clear()
    texts = _cubins.sources("membership")
    match changed:
        case "capability":
            card.capability = "80"
        case "name":
            card.cuda.runtime.getDeviceProperties = lambda _: {"name": b"NVIDIA Other", "multiProcessorCount": 4}
        case "version":
            card.__version__ = "14.2"
        case "nvrtc":
            card.cuda.nvrtc.getVersion = lambda: (13, 1)
        case "runtime":
            card.cuda.runtime.runtimeGetVersion = lambda: 13010
        case "flags":
            monkeypatch.setattr(cuda, "FLAGS", (*cuda.FLAGS, "--use_fast_math"))
        case "source":
            monkeypatch.setattr(_cubins, "sources", lambda _: texts | {"membership.cuh": "// another"})
    cuda.load("membership", "membership_overlay")
    assert len(card.compiled) == 2


def test_a_new_driver_alone_compiles_nothing(card: Card):
    cuda.load("membership", "membership_overlay")
    for memo in MEMOS:
        memo.cache_clear()
    card.driver = 13030
    cuda.load("membership", "membership_overlay")
    assert len(card.compiled) == 1


def test_the_compilers_words_are_handed_on(card: Card):
    card.cuda.nvrtc.compileProgram = fail("NVRTC_ERROR_COMPILATION (6)")
    card.log = "membership.cu(12): error: expected a ';'"
    with pytest.raises(
        BackendError, match=r"membership.cu does not compile for sm_90 .*expected a ';'.*worth reporting"
    ):
        cuda.load("membership", "membership_overlay")
    card.cuda.nvrtc.compileProgram = lambda _, options: card.compiled.append(options)
    cuda.load("membership", "membership_overlay")  # the failure was not kept
    assert card.loaded == [b"machine code"]


@pytest.mark.parametrize(
    ("cells", "processors", "expected"),
    [(1, 132, 1), (1024, 132, 1), (1025, 132, 2), (10**6, 132, 977), (2 * 10**6, 132, 1056), (10**12, 1, 8)],
)
def test_blocks(cells: int, processors: int, expected: int):
    assert cuda.blocks(cells, processors) == expected


def test_a_launch_hands_on_scalars_arrays_and_null_pointers(card: Card):
    array = card.empty((3,), np.float32)
    kernel = cuda.load("membership", "membership_overlay")
    cuda.launch(kernel, 5000, (array, None, np.int32(7), np.float64(0.5)))
    name, grid, block, (pointer, null, number, exponent) = card.launches[0]
    assert (name, grid, block) == ("membership_overlay", (5,), (256,))
    assert pointer is array
    # Eight bytes for a pointer, not a Python None, which CuPy takes for no argument.
    assert type(null) is np.uint64
    assert null == 0
    assert (type(number), type(exponent)) == (np.int32, np.float64)


@pytest.mark.parametrize("argument", [1, 0.5, True, np.zeros(3), "text"])
def test_a_launch_refuses_what_has_no_width_or_no_address(card: Card, argument: object):
    kernel = cuda.load("membership", "membership_overlay")
    with pytest.raises(TypeError, match="argument 1 of a kernel is of type"):
        cuda.launch(kernel, 1, (None, argument))
    assert not card.launches


@pytest.mark.parametrize(
    "arch", ["sm_90", *(pytest.param(arch, marks=pytest.mark.slow) for arch in ("sm_80", "sm_86", "sm_89"))]
)
def test_nvrtc_compiles_every_kernel_without_a_word(arch: str):
    """As at run time, but for any architecture: NVRTC needs no card."""
    cupy = pytest.importorskip("cupy", reason="CuPy is not installed (extras cuda12 and cuda13)")
    try:
        cupy.cuda.nvrtc.getVersion()
    except RuntimeError as error:
        pytest.skip(f"NVRTC is not installed: {error}")
    folder = Path(__file__).resolve().parents[2] / "kernels"
    ops = sorted(path.stem for path in folder.glob("*.cu"))
    assert "membership" in ops
    for op in ops:
        texts = _cubins.sources(op)
        code, said = cuda.compile_kernels(texts, arch)
        assert code.startswith(b"\x7fELF")
        assert said == ""
        names = re.findall(r"^// budget (\w+)", texts[f"{op}.cu"], re.MULTILINE)
        assert names
        for name in names:
            assert f".text.{name}\0".encode() in code, f"{name} is not in the machine code"
