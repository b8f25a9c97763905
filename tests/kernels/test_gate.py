"""The compile gate: what it reads, what it objects to, and that our kernels pass it where nvcc is."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from mpmjax.kernels import gate
from mpmjax.kernels.gate import GateError, Usage

PTXAS = """\
ptxas info    : 0 bytes gmem, 112 bytes cmem[4]
ptxas info    : Compiling entry function 'first_f32' for 'sm_80'
ptxas info    : Function properties for first_f32
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 59 registers, used 1 barriers, 1024 bytes smem, 456 bytes cmem[0], 112 bytes cmem[2]
ptxas info    : Compile time = 125.756 ms
ptxas info    : Compiling entry function 'second' for 'sm_80'
ptxas warning : Registers are spilled to local memory in function 'second', 24 bytes spill stores, 32 bytes spill loads
ptxas info    : Function properties for second
    40 bytes stack frame, 24 bytes spill stores, 32 bytes spill loads
ptxas info    : Used 32 registers, 360 bytes cmem[0]
"""
SOURCE = "// budget first_f32: registers 64, stack 0, spills 0, shared 1024\n"
needs_nvcc = pytest.mark.skipif(gate.find_nvcc() is None, reason="nvcc is not installed: nothing can be compiled")


def test_reads_what_ptxas_says():
    usages, warnings = gate.read_ptxas(PTXAS)
    assert usages == {"first_f32": Usage(59, 0, 0, 1024), "second": Usage(32, 40, 56, 0)}
    assert len(warnings) == 1
    assert "second" in warnings[0]


@pytest.mark.parametrize("text", ["", PTXAS.replace("Used 32 registers", "It took 32"), PTXAS.replace("40 bytes", "")])
def test_refuses_what_it_cannot_read(text):
    with pytest.raises(GateError, match="read_ptxas"):
        gate.read_ptxas(text)


def test_reads_budgets():
    assert gate.read_budgets(SOURCE + "// a budget of time\n") == {"first_f32": Usage(64, 0, 0, 1024)}


@pytest.mark.parametrize("line", ["// budget a: registers 64", "//budget a: registers x, stack 0, spills 0, shared 0"])
def test_refuses_what_begins_as_a_budget(line):
    with pytest.raises(GateError, match="is no budget"):
        gate.read_budgets(f"int a;\n{line}\n")


def test_refuses_two_budgets_of_one_kernel():
    with pytest.raises(GateError, match="first_f32 has two budgets"):
        gate.read_budgets(SOURCE + SOURCE)


def test_objects_to_each_number_above_its_budget():
    budget = {"a": Usage(64, 0, 0, 1024)}
    assert gate.objections({"a": Usage(64, 0, 0, 1024)}, budget) == []
    assert gate.objections({"a": Usage(65, 0, 0, 1025)}, budget) == [
        "a takes 65 registers, its budget is 64",
        "a takes 1025 shared, its budget is 1024",
    ]


def test_objects_to_spills_and_stack_whatever_is_allowed():
    wrong = gate.objections({"a": Usage(1, 8, 4, 0)}, {"a": Usage(64, 8, 4, 0)})
    assert wrong == ["a takes 8 stack, its budget is 0", "a takes 4 spills, its budget is 0"]


def test_objects_to_kernels_and_budgets_that_do_not_meet():
    wrong = gate.objections({"a": Usage(1, 0, 0, 0)}, {"b": Usage(64, 0, 0, 0)})
    assert wrong[0] == "b has a budget, but there is no such kernel"
    assert wrong[1].startswith("a has no budget")


def test_writes_a_table():
    usages = {"a": {"sm_90": Usage(50, 0, 0, 7), "sm_80": Usage(48, 0, 0, 9)}, "b": {"sm_90": Usage(10)}}
    assert gate.markdown(usages).splitlines() == [
        "| kernel | sm_80 | sm_90 | stack | spills | shared |",
        "| --- | --- | --- | --- | --- | --- |",
        "| `a` | 48 | 50 | 0 | 0 | 9 |",
        "| `b` | ? | 10 | 0 | 0 | 0 |",
    ]


def test_every_kernel_states_a_budget_in_its_source():
    """Also where nothing can be compiled."""
    for source in gate.FOLDER.glob("*.cu"):
        text = source.read_text(encoding="utf-8")
        named = {line.split("(")[1].split(",")[0] for line in text.splitlines() if line.startswith("KERNEL(")}
        assert named == gate.read_budgets(text).keys()
        assert named


def test_says_that_nothing_was_checked_where_there_is_no_nvcc(monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("CUDA_HOME", str(tmp_path))
    monkeypatch.delenv("CUDA_PATH", raising=False)
    assert gate.main([]) == 3
    said = capsys.readouterr()
    assert "NOT checked" in said.err
    assert not said.out


def test_says_that_no_instruction_was_counted_where_there_is_no_cuobjdump(monkeypatch, capsys):
    monkeypatch.setattr(gate, "find_nvcc", lambda: Path(sys.executable))
    monkeypatch.setattr(gate.sass, "find_cuobjdump", lambda: None)
    monkeypatch.setattr(gate, "check", lambda *_: ({}, []))
    assert gate.main([]) == 0
    assert "Instructions were not counted: there is no cuobjdump" in capsys.readouterr().err


def test_finds_nvcc_in_cuda_home(monkeypatch, tmp_path):
    compiler = tmp_path / "bin" / "nvcc"
    compiler.parent.mkdir()
    compiler.write_text("#!/bin/sh\n")
    compiler.chmod(0o755)
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("CUDA_HOME", str(tmp_path))
    assert gate.find_nvcc() == compiler


def test_a_folder_without_kernels_is_no_success(tmp_path):
    assert gate.check(tmp_path, Path(sys.executable)) == ({}, [f"{tmp_path} holds no .cu"])


@pytest.fixture
def copied(tmp_path):
    junk = shutil.ignore_patterns("__pycache__")
    return Path(shutil.copytree(gate.FOLDER, tmp_path / "kernels", ignore=junk))


@needs_nvcc
@pytest.mark.slow
def test_our_kernels_pass(capsys):
    assert gate.main([]) == 0, capsys.readouterr().err
    assert "15 kernels keep to their budgets on sm_80, sm_86, sm_89, sm_90" in capsys.readouterr().out


@needs_nvcc
@pytest.mark.slow
def test_a_planted_spill_is_found(copied):
    """8 blocks of 256 threads a multiprocessor leave 32 registers a thread."""
    source = copied / "membership.cu"
    text = source.read_text(encoding="utf-8")
    assert "KERNEL(membership_overlay, 3," in text
    source.write_text(text.replace("KERNEL(membership_overlay, 3,", "KERNEL(membership_overlay, 8,"), encoding="utf-8")
    _, wrong = gate.check(copied, gate.find_nvcc() or Path(), ["sm_90"])
    taken = [sentence.split(": ")[1] for sentence in wrong if " takes " in sentence]
    assert any(sentence.endswith("spills, its budget is 0") for sentence in taken)
    assert {sentence.split()[0] for sentence in taken} == {"membership_overlay"}
    assert any("ptxas warning" in sentence for sentence in wrong)


@needs_nvcc
@pytest.mark.slow
def test_a_missing_budget_is_found(copied):
    source = copied / "membership.cu"
    lines = source.read_text(encoding="utf-8").splitlines(keepends=True)
    source.write_text("".join(line for line in lines if "budget membership_overlay" not in line), encoding="utf-8")
    _, wrong = gate.check(copied, gate.find_nvcc() or Path(), ["sm_90"])
    assert [sentence for sentence in wrong if "membership_overlay has no budget" in sentence]
    assert len(wrong) == 1


@needs_nvcc
def test_what_does_not_compile_is_told(tmp_path):
    (tmp_path / "broken.cu").write_text("int broken(\n")
    usages, wrong = gate.check(tmp_path, gate.find_nvcc() or Path(), ["sm_90"])
    assert not usages
    assert "broken.cu does not compile for sm_90" in wrong[0]


@needs_nvcc
def test_a_warning_is_found_and_no_file_left(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "scratch"))
    (tmp_path / "scratch").mkdir()
    (tmp_path / "warned.cu").write_text(
        "// budget k: registers 24, stack 0, spills 0, shared 0\n"
        'extern "C" __global__ void k(int *a) { int b; *a = 1; }\n'
    )
    _, wrong = gate.check(tmp_path, gate.find_nvcc() or Path(), ["sm_90"])
    assert len(wrong) == 1
    assert "never referenced" in wrong[0]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["scratch", "warned.cu"]
    assert not list((tmp_path / "scratch").iterdir())
