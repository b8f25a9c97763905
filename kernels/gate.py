"""The compile gate: every CUDA kernel, for every architecture we ship to, held to the budget that its source states.

    python -m mpmjax.kernels.gate [--arch sm_90] [--table]

compiles each `.cu` of this folder with nvcc and reads what ptxas says: registers, stack, spills and shared memory. No
GPU is needed and no file is left behind. A budget is a comment in the source, one a kernel:

    // budget membership_layer_f32: registers 64, stack 0, spills 0, shared 1024

Where cuobjdump is, instructions are counted besides: sass.py beside this file.

Exit status: 0 all kernels keep to their budgets; 1 one does not, or a compiler warned or refused, or kernels and
budgets are not the same; 2 usage; 3 nothing was checked, because there is no nvcc.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from mpmjax.kernels import sass

FOLDER = Path(__file__).resolve().parent
ARCHITECTURES = ("sm_80", "sm_86", "sm_89", "sm_90")
FLAGS = ("-std=c++17", "-fmad=false", "-Xptxas", "-v,-warn-spills", "-cubin")
"""As ops/cuda.py compiles them. Sums and products that may fuse are written as fused, so nothing is left to -fmad."""
TIMEOUT_S = 300

_BUDGET = re.compile(r"^//\s*budget\b(?P<rest>.*)$", re.MULTILINE)
_STATED = re.compile(r"\s+(\w+): registers (\d+), stack (\d+), spills (\d+), shared (\d+)\s*")
_ENTRY = re.compile(r"Compiling entry function '([^']+)'")
_PROPERTIES = re.compile(r"Function properties for (\S+)")
_FRAME = re.compile(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads")
_USED = re.compile(r"Used (\d+) registers")
_WARNING = re.compile(r"\bwarning\b[^:]{0,20}:", re.IGNORECASE)  # of nvcc "warning #177-D:", of ptxas "warning :"
_SHARED = re.compile(r"(\d+)(?:\+\d+)? bytes smem")


class GateError(Exception):
    """A source that cannot be compiled or read, as a sentence."""


@dataclass(frozen=True)
class Usage:
    """What a kernel takes: registers a thread; bytes of stack and of spills (stored and loaded) a thread; bytes of
    shared memory a block."""

    registers: int = 0
    stack: int = 0
    spills: int = 0
    shared: int = 0


def find_nvcc() -> Path | None:
    """nvcc of PATH, else of CUDA_HOME or CUDA_PATH; None where there is none."""
    homes = [Path(os.environ[name]) / "bin" for name in ("CUDA_HOME", "CUDA_PATH") if os.environ.get(name)]
    for path in (None, *homes):
        found = shutil.which("nvcc", path=path)
        if found:
            return Path(found)
    return None


def read_budgets(source: str) -> dict[str, Usage]:
    """The budgets that a source states, by kernel.

    Raises:
        GateError: a line that begins as a budget but is none, or two for one kernel.
    """
    budgets: dict[str, Usage] = {}
    for line in _BUDGET.finditer(source):
        stated = _STATED.fullmatch(line["rest"])
        if stated is None:
            raise GateError(
                f"{line[0]!r} is no budget; write '// budget NAME: registers N, stack N, spills N, shared N'"
            )
        name, *numbers = stated.groups()
        if name in budgets:
            raise GateError(f"{name} has two budgets; keep one")
        budgets[name] = Usage(*map(int, numbers))
    return budgets


def read_ptxas(text: str) -> tuple[dict[str, Usage], list[str]]:
    """What ptxas -v says of each kernel, and the lines in which any part of the compiler warns."""
    entries: list[str] = []
    frames: dict[str, tuple[int, int]] = {}
    used: dict[str, tuple[int, int]] = {}
    about = ""
    for line in text.splitlines():
        if match := _ENTRY.search(line):
            entries.append(about := match[1])
        elif match := _PROPERTIES.search(line):
            about = match[1]
        elif match := _FRAME.search(line):
            frames[about] = int(match[1]), int(match[2]) + int(match[3])
        elif match := _USED.search(line):
            shared = _SHARED.search(line)
            used[about] = int(match[1]), int(shared[1]) if shared else 0
    incomplete = [name for name in entries if name not in used or name not in frames]
    if incomplete or not entries:
        raise GateError(
            f"ptxas did not say what {', '.join(incomplete) or 'any kernel'} takes, or says it in words that this "
            "gate does not know; compare its output with read_ptxas"
        )
    usages = {name: Usage(used[name][0], *frames[name], used[name][1]) for name in entries}
    return usages, [line.strip() for line in text.splitlines() if _WARNING.search(line)]


def compile_source(nvcc: Path, source: Path, architecture: str, cuobjdump: Path | None = None) -> tuple[str, str]:
    """What nvcc and ptxas print when they compile a `.cu` for an architecture, and its SASS; the cubin is thrown away.

    Args:
        nvcc: the compiler.
        source: the `.cu`; headers are looked for beside it.
        architecture: for example sm_90.
        cuobjdump: without it there is no SASS, "".

    Raises:
        GateError: it does not compile, or takes longer than `TIMEOUT_S`.
    """
    with tempfile.TemporaryDirectory(prefix="mpmjax-gate-") as folder:
        command = [str(nvcc), *FLAGS, f"-arch={architecture}", "-o", str(Path(folder, "cubin")), str(source)]
        try:
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=TIMEOUT_S)
        except subprocess.TimeoutExpired as error:
            raise GateError(f"{source.name} took nvcc more than {TIMEOUT_S} s for {architecture}") from error
        output = done.stdout + done.stderr
        if done.returncode != 0:
            raise GateError(f"{source.name} does not compile for {architecture}:\n{output.strip()}")
        try:
            return output, sass.disassemble(cuobjdump, Path(folder, "cubin")) if cuobjdump else ""
        except RuntimeError as error:
            raise GateError(f"{source.name}, {architecture}: {error}") from error


def objections(usages: Mapping[str, Usage], budgets: Mapping[str, Usage]) -> list[str]:
    """Sentences: one for each number above its budget, each kernel without a budget, each budget without a kernel.

    Spills and stack are objected to whatever a budget allows.
    """
    wrong = [f"{name} has a budget, but there is no such kernel" for name in budgets if name not in usages]
    for name, usage in usages.items():
        if name not in budgets:
            wrong.append(f"{name} has no budget; write '// budget {name}: ...' into its source")
        for field in fields(Usage):
            taken, allowed = getattr(usage, field.name), getattr(budgets.get(name, usage), field.name)
            if field.name in ("stack", "spills"):
                allowed = 0
            if taken > allowed:
                wrong.append(f"{name} takes {taken} {field.name}, its budget is {allowed}")
    return wrong


def check(
    folder: Path,
    nvcc: Path,
    architectures: Sequence[str] = ARCHITECTURES,
    cuobjdump: Path | None = None,
    counted: dict[str, dict[str, sass.Steps]] | None = None,
) -> tuple[dict[str, dict[str, Usage]], list[str]]:
    """Compile all `.cu` of a folder for all architectures.

    Args:
        folder: of the sources.
        nvcc: the compiler.
        architectures: for example sm_80 and sm_90.
        cuobjdump: without it no instruction is counted.
        counted: gets the counts, by kernel and architecture.

    Returns:
        usages: by kernel and architecture, of what compiled.
        wrong: one sentence for each objection; empty if all is well.
    """
    usages: dict[str, dict[str, Usage]] = {}
    wrong: list[str] = []
    sources = sorted(folder.glob("*.cu"))
    if not sources:
        return usages, [f"{folder} holds no .cu"]
    for source in sources:
        for architecture in architectures:
            try:
                text = source.read_text(encoding="utf-8")
                budgets, step_budgets = read_budgets(text), sass.read_budgets(text)
                said, code = compile_source(nvcc, source, architecture, cuobjdump)
                found, warnings = read_ptxas(said)
            except (GateError, ValueError) as error:
                wrong.append(f"{source.name}, {architecture}: {error}")
                continue
            wrong += [f"{source.name}, {architecture}: {line}" for line in warnings + objections(found, budgets)]
            for name, usage in found.items():
                usages.setdefault(name, {})[architecture] = usage
            if cuobjdump is not None:
                steps = {name: sass.count(instructions) for name, instructions in sass.read_sass(code).items()}
                wrong += [f"{source.name}, {architecture}: {line}" for line in sass.objections(steps, step_budgets)]
                for name, one in steps.items() if counted is not None else ():
                    counted.setdefault(name, {})[architecture] = one
    return usages, wrong


def markdown(usages: Mapping[str, Mapping[str, Usage]]) -> str:
    """Registers by kernel and architecture, then stack, spills and shared memory where they are most."""
    architectures = sorted({name for by_architecture in usages.values() for name in by_architecture})
    rows = [["kernel", *architectures, "stack", "spills", "shared"]]
    rows.append(["---"] * len(rows[0]))
    for kernel in sorted(usages):
        found = usages[kernel]
        registers = [str(found[name].registers) if name in found else "?" for name in architectures]
        most = [str(max(getattr(usage, field) for usage in found.values())) for field in ("stack", "spills", "shared")]
        rows.append([f"`{kernel}`", *registers, *most])
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit status, as this module's docstring lists them."""
    parser = argparse.ArgumentParser(
        prog="python -m mpmjax.kernels.gate", description="Hold the CUDA kernels to their budgets."
    )
    parser.add_argument("--arch", action="append", metavar="sm_NN", help=f"default: {', '.join(ARCHITECTURES)}")
    parser.add_argument("--table", action="store_true", help="print registers and memory as a Markdown table")
    options = parser.parse_args(arguments)
    nvcc = find_nvcc()
    if nvcc is None:
        sys.stderr.write(
            "The CUDA kernels were NOT checked: there is no nvcc on PATH, nor in bin/ of CUDA_HOME or CUDA_PATH. "
            "Install the CUDA toolkit, or say where it is: CUDA_HOME=/usr/local/cuda.\n"
        )
        return 3
    architectures, counted = options.arch or ARCHITECTURES, {}
    cuobjdump = sass.find_cuobjdump()
    usages, wrong = check(FOLDER, nvcc, architectures, cuobjdump, counted)
    if options.table:
        sys.stdout.write(markdown(usages) + "\n" + "\n".join(sass.markdown(counted, one) for one in architectures))
    if cuobjdump is None:
        sys.stderr.write(
            "Instructions were not counted: there is no cuobjdump. It comes with the CUDA toolkit, or by pip install "
            "nvidia-cuda-cuobjdump nvidia-cuda-nvdisasm.\n"
        )
    for sentence in wrong:
        sys.stderr.write(f"{sentence}\n")
    if wrong:
        return 1
    if not options.table:
        where = ", ".join(architectures)
        sys.stdout.write(f"{len(usages)} kernels keep to their budgets on {where}.\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
