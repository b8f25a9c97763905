"""The bench of a card, on one made of NumPy: its clock, its rivals and its report. The op is the one of the CPU.

The made-up card knows what the benchmarks call of CuPy: its clock moves where a test moves it, and the text of
elementwise kernels is compiled by g++ and run over the cells one after another.
"""

from __future__ import annotations

import argparse
import ctypes
import hashlib
import json
import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from mpmjax.benchmarks import clock, cuda_cases, device, gate, machine, run
from mpmjax.ops import cuda

FLUSH = 2**16
C_TYPES = {"float32": "float", "float16": "_Float16", "bool": "bool", "int16": "short", "int32": "int"}


class Event:
    """The reading of the card's clock when it was recorded; done unless the card is behind the host."""

    def __init__(self, card: Card) -> None:
        self._card, self.at = card, np.nan

    def record(self, stream: object) -> None:
        assert stream is self._card.stream, "an event of another stream"
        self.at = self._card.seconds
        self._card.log.append("event")

    def synchronize(self) -> None:
        assert np.isfinite(self.at), "an event that was not recorded"

    @property
    def done(self) -> bool:
        return self._card.idle


class Card:
    """The module `cupy` on a made-up card.

    Attributes:
        seconds: the card's clock; it moves where a test moves it.
        idle: whether the card has done all it was given: False while it is behind the host.
        log: what was asked of it, in order.
    """

    ndarray = np.ndarray

    def __init__(self, folder: Path | None = None) -> None:
        self.seconds, self.idle = 0.0, False
        self.log: list[str] = []
        self.folder = folder
        self.stream = SimpleNamespace(synchronize=lambda: self.log.append("synchronize"))
        self.cuda = SimpleNamespace(
            Event=lambda: Event(self),
            get_current_stream=lambda: self.stream,
            get_elapsed_time=lambda start, stop: (stop.at - start.at) * 1e3,
        )
        self.empty, self.ones, self.zeros, self.asarray = np.empty, np.ones, np.zeros, np.asarray

    def copyto(self, target: np.ndarray, source: np.ndarray) -> None:
        self.log.append(f"copy {source.size}")
        np.copyto(target, source)
        self.seconds += source.size / 1e12

    def ElementwiseKernel(self, inputs: str, outputs: str, operation: str, name: str) -> Any:
        """A kernel of C text as CuPy takes it, run over the cells one after another."""
        assert self.folder is not None
        names = [parameter.split() for parameter in f"{inputs}, {outputs}".split(", ")]
        arguments = ", ".join(f"{C_TYPES[kind]} *{'p_' * (len(raw) == 0)}{own}" for *raw, kind, own in names)
        references = "".join(f"{C_TYPES[kind]} &{own} = p_{own}[i];" for *raw, kind, own in names if not raw)
        text = (
            "#include <cmath>\nusing namespace std;\n"
            f'extern "C" void {name}(long n, {arguments}) {{ for (long i = 0; i < n; i++) {{ {references}\n'
            f"{operation}\n}} }}\n"
        )
        source = self.folder / f"{hashlib.sha256(text.encode()).hexdigest()[:16]}.cpp"
        source.write_text(text, encoding="utf-8")
        library, compiler = source.with_suffix(".so"), shutil.which("g++")
        assert compiler is not None
        subprocess.run([compiler, "-O1", "-shared", "-fPIC", "-Wall", "-o", str(library), str(source)], check=True)
        function = getattr(ctypes.CDLL(str(library)), name)
        first = next(place for place, (*raw, _, _) in enumerate(names) if not raw)

        def kernel(*arrays: np.ndarray) -> None:
            assert len(arrays) == len(names)
            for array, (*raw, kind, _) in zip(arrays, names, strict=True):
                assert array.dtype == kind, f"{array.dtype} where {kind} was declared"
                assert array.flags.c_contiguous
                assert raw or array.shape == arrays[first].shape
            function(ctypes.c_long(arrays[first].size), *(array.ctypes.data_as(ctypes.c_void_p) for array in arrays))

        return kernel


def stopwatch(card: Card) -> device.Stopwatch:
    return device.Stopwatch(card, FLUSH)


def test_a_visit_is_the_time_between_two_events_after_the_cache_was_emptied() -> None:
    card = Card()
    watch = stopwatch(card)

    def call() -> None:
        card.log.append("call")
        card.seconds += 0.25

    assert watch.visit(call) == pytest.approx(0.25)
    assert card.log == ["synchronize", "event", "call", "event"]
    assert (watch.visits, watch.late, watch.remark()) == (1, 0, "")


def test_work_that_was_handed_over_late_is_told() -> None:
    card = Card()
    card.idle = True
    watch = stopwatch(card)
    watch.visit(int)
    assert watch.remark().startswith("1 of 1 visits were handed to the card late")


def test_the_host_waits_for_the_card() -> None:
    card = Card()
    assert stopwatch(card).host_visit(lambda: card.log.append("call")) >= 0.0
    assert card.log == ["synchronize", "call", "synchronize"]


def test_candidates_take_turns_by_the_clock_of_the_card() -> None:
    card = Card()

    def candidate(cost: float) -> clock.Call:
        def call() -> None:
            card.seconds += cost

        return call

    timings = clock.interleaved({"op": candidate(1.0), "rival": candidate(3.0)}, 2, visit=stopwatch(card).visit)
    assert timings["op"].seconds == pytest.approx((1.0,) * 4)
    assert timings["op"].times_faster_than(timings["rival"]).median == pytest.approx(3.0)


@pytest.fixture
def card(tmp_path: Path) -> Card:
    if shutil.which("g++") is None:
        pytest.skip("needs g++: the text of CuPy's kernels is compiled for the CPU")
    return Card(tmp_path)


def test_every_case_and_every_rival_of_cupy_is_green(card: Card) -> None:
    seen, variants = [], []
    for case in cuda_cases.on(card, "cpu")["membership"](np.random.default_rng(), 61):
        assert gate.check(case).passed, case.variant
        assert case.spot is not None
        assert case.spot().passed
        able, unable, _ = gate.able_rivals(case)
        assert not [name for name in unable if name.startswith("CuPy")], (case.variant, unable)
        assert set(unable) <= cuda_cases.ON_OTHER_STREAMS
        seen += able
        variants.append(case.variant)
    assert {"CuPy, one kernel", "CuPy, one kernel, tables", "CuPy, a kernel a layer"} <= set(seen)
    assert len(set(variants)) == len(variants)
    assert any("int16 smooth, 8 kinds, tables" in variant for variant in variants)
    assert any("int32 of the same, arithmetic" in variant for variant in variants)


def test_a_run_on_a_card_is_reported_with_the_card(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    card = Card()
    monkeypatch.setattr(machine, "COPY_BYTES", 2**16)
    values = np.linspace(0.0, 1.0, 1000)

    def op() -> np.ndarray:
        card.seconds += 0.002
        return values

    case = gate.Case(
        variant="made up",
        unit="values",
        work=values.size,
        bytes_moved=2 * values.nbytes,
        operations=0,
        op=op,
        reference=lambda: values,
        judge=lambda got, wanted: gate.close(got, wanted, 0.0),
        why="a copy",
        rivals={"here": op, "elsewhere": values.copy, "absent": gate.Missing("not installed")},
        clock_reference=False,
        host_clocked=frozenset({"elsewhere"}),
    )
    bench = run.card_bench(card, stopwatch(card), "a made-up card", {"cupy": "14.1"})
    options = argparse.Namespace(
        case=None, variant="", against="", size=4, repeats=1, runs=1, seed=3, results=tmp_path / "gpu.jsonl"
    )
    assert run.measure(options, {"made up": lambda rng, side: (case,)}, bench) == 0
    (line,) = (json.loads(line) for line in (tmp_path / "gpu.jsonl").read_text(encoding="utf-8").splitlines())
    assert line["machine"]["device"]["card"] == "a made-up card"
    assert set(line["machine"]["device"]) >= {"cupy", "copies", *device.CLOCKS}
    assert line["machine"]["commit"]
    assert line["clock"] == "card"
    assert line["seconds"]["op"]["median"] == pytest.approx(0.002)
    assert set(line["times_faster"]) == {"memcpy", "here", "elsewhere (host clock)"}
    assert line["times_faster"]["here"]["median"] == pytest.approx(1.0)
    # The card copies 1e12 bytes a second one way: 8,000 of them, where the op took 2 ms.
    assert line["of_floor"] == pytest.approx(8_000 / 1e12 / 0.002)
    printed = capsys.readouterr().out
    assert printed.startswith("card a made-up card; cupy 14.1; ")
    assert "Not timed: absent for made up (made up): not installed." in printed


def test_without_nvidia_smi_its_words_are_question_marks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert device.clocks() == dict.fromkeys(device.CLOCKS, "?")


def test_what_nvidia_smi_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    told = tmp_path / "nvidia-smi"
    told.write_text(
        "#!/bin/sh\necho '1980 MHz, 2619 MHz, 1980 MHz, 2619 MHz, 700.00 W, 31, 580.95'\n", encoding="utf-8"
    )
    told.chmod(0o755)
    monkeypatch.setattr(shutil, "which", lambda name: str(told))
    assert device.clocks()["clocks.sm"] == "1980 MHz"
    assert device.clocks()["driver_version"] == "580.95"


def test_without_a_card_the_reason_is_said_and_nothing_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cuda, "refusal", lambda: "No NVIDIA driver is loaded on this machine.")
    assert run.main(["--backend", "cuda", "--results", str(tmp_path / "none.jsonl")]) == 2
    assert "Nothing was measured: No NVIDIA driver is loaded" in capsys.readouterr().err
    assert not (tmp_path / "none.jsonl").exists()


def test_an_op_without_a_cuda_form_is_refused_by_name(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cuda, "refusal", lambda: None)
    assert run.main(["--backend", "cuda", "--case", "label"]) == 2
    assert "No CUDA form yet of label; there is of membership." in capsys.readouterr().err
