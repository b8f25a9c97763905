"""Counting instructions: what is read of the machine code, what is objected to, and what the counts imply."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from mpmjax.kernels import gate, sass
from mpmjax.kernels.sass import Steps

TANH = "\n".join(
    f"        /*{0x100 + 16 * i:04x}*/                   MUFU.TANH R4, R4 ;   /* 0x00 */" for i in range(16)
)
SASS = f"""\
\t\tFunction : scored
\t.headerflags\t@"EF_CUDA_SM90"
        /*0000*/                   LDC R1, c[0x0][0x28] ;     /* 0x00000a00ff017b82 */
                                                              /* 0x000fe20000000800 */
        /*0010*/                   STL.64 [R1+0x8], R18 ;     /* 0x00 */
        /*0020*/              @!P0 LDS.128 R4, [R2] ;         /* 0x00 */
        /*00f0*/                   LDS.64 R4, [R2] ;          /* 0x00 */
{TANH}
        /*0200*/                   HMMA.16816.F32 R8, R4, R6, R8 ;  /* 0x00 */
        /*0210*/              @UP1 MUFU.EX2 R4, R4 ;          /* 0x00 */
        /*0220*/              @!P0 BRA 0xf0 ;                 /* 0x00 */
        /*0230*/               @P1 BRA 0x10 ;                 /* 0x00 */
        /*0240*/                   BRA 0x240;                 /* 0x00 */
\t\tFunction : plain
        /*0000*/                   EXIT ;                     /* 0x00 */
"""


def test_reads_machine_code() -> None:
    kernels = sass.read_sass(SASS)
    assert [len(code) for code in kernels.values()] == [25, 1]
    assert [one.target for one in kernels["scored"] if one.opcode == "BRA"] == [0xF0, 0x10, 0x240]
    assert kernels["scored"][2].opcode == "LDS.128"


def test_counts_the_innermost_loop_with_many_tanh() -> None:
    """The loop around it, of members, is none; nor is the one that a kernel ends with."""
    kernels = sass.read_sass(SASS)
    assert sass.count(kernels["scored"]) == Steps(issued=20, mufu=17, hmma=1, local=1, shared=32 * 8)
    assert sass.count(kernels["plain"]) == Steps()


def test_budgets() -> None:
    source = "// steps scored: issued 20, mufu 16, hmma 1, local 0\n"
    assert sass.read_budgets(source) == {"scored": Steps(20, 16, 1, 0)}
    with pytest.raises(ValueError, match="is no budget"):
        sass.read_budgets("// steps scored: issued 20\n")
    counted = {name: sass.count(code) for name, code in sass.read_sass(SASS).items()}
    assert sass.objections(counted, sass.read_budgets(source)) == [
        "scored takes 17 mufu, its budget is 16",
        "scored takes 1 local, its budget is 0",
    ]
    assert sass.objections({"scored": Steps(issued=3)}, {"other": Steps()}) == [
        "other has a budget of steps, but there is no such kernel",
        "scored has no budget of steps; write '// steps scored: ...' into its source",
    ]


def test_the_seconds_of_a_roof() -> None:
    """160 MUFU of 8 cycles in 8 layers of 1e9 cells, 16 at a time, on 528 partitions at 1.755 GHz."""
    assert round(sass.seconds(Steps(mufu=160))["mufu"], 3) == 0.691
    table = sass.markdown({"a": {"sm_90": Steps(900, 160, 98, 0, 22016)}, "b": {"sm_90": Steps()}}, "sm_90")
    assert table.splitlines()[2:] == ["| `a` | 900 | 160 | 98 | 22016 | 0 | 0.49 | 0.69 | 0.34 | 0.37 |"]
    assert not sass.markdown({"b": {"sm_90": Steps()}}, "sm_90")


def test_a_tool_that_fails_is_told(tmp_path: Path) -> None:
    tool = tmp_path / "cuobjdump"
    tool.write_text("#!/bin/sh\necho nonsense >&2\nexit 3\n")
    tool.chmod(0o755)
    with pytest.raises(RuntimeError, match="nonsense"):
        sass.disassemble(tool, tmp_path)


def test_finds_the_tool_where_it_is_stated(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    tool = tmp_path / "bin" / "cuobjdump"
    tool.parent.mkdir()
    tool.write_text("#!/bin/sh\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("CUDA_HOME", str(tmp_path))
    assert sass.find_cuobjdump() == tool


@pytest.mark.slow
@pytest.mark.skipif(
    gate.find_nvcc() is None or sass.find_cuobjdump() is None, reason="nvcc or cuobjdump is not installed"
)
def test_a_planted_spill_is_counted(tmp_path: Path) -> None:
    """Half the registers."""
    text = (gate.FOLDER / "lstm_score.cu").read_text(encoding="utf-8")
    assert "KERNEL(lstm_score_h32, 3," in text
    source = tmp_path / "planted.cu"
    source.write_text(text.replace("KERNEL(lstm_score_h32, 3,", "KERNEL(lstm_score_h32, 6,"), encoding="utf-8")
    cubin, nvcc, tool = tmp_path / "cubin", gate.find_nvcc(), sass.find_cuobjdump()
    assert nvcc
    assert tool
    command = [nvcc, "-std=c++17", "-cubin", "-arch=sm_90", f"-I{gate.FOLDER}", "-o", cubin, source]
    subprocess.run(command, check=True, capture_output=True)
    counted = {name: sass.count(code) for name, code in sass.read_sass(sass.disassemble(tool, cubin)).items()}
    assert counted["lstm_score_h32"].local > 0
    assert counted["lstm_score_h16"].local == 0
    wrong = sass.objections(counted, sass.read_budgets(text))
    assert any(sentence.startswith("lstm_score_h32 takes") and "local" in sentence for sentence in wrong)
