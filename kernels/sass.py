"""Instructions of the kernels, counted in the machine code: what a step of the scorer takes, and what that allows.

A step loop is an innermost loop with at least 16 tanh: the scorer has two, one a step of the encoder and one a step of
the decoder, for 16 cells of a warp. A budget of what both take together, and of local memory in the whole kernel, is a
comment in the source:

    // steps lstm_score_h32: issued 1000, mufu 160, hmma 100, local 0

Counting needs cuobjdump and nvdisasm, which come with the CUDA toolkit, or from PyPI: nvidia-cuda-cuobjdump and
nvidia-cuda-nvdisasm.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

TANH_OF_A_STEP = 16
"""Fewer are no step: the smallest kernel has 40."""

PARTITIONS, HERTZ = 132 * 4, 1.755e9
"""Of an H100 SXM: 132 multiprocessors of 4 partitions, each with a scheduler, at its boost clock."""

CYCLES = {"issued": 1.0, "mufu": 8.0, "hmma": 6.4, "shared": 4 / 128}
"""Cycles of a partition by what it does: an instruction issued; a MUFU of a warp (16 lanes a cycle and multiprocessor);
an HMMA m16n8k16 (4 at the nominal 512 products a cycle and partition, of which mma.sync is said to reach 62 %); a byte
that a warp reads from shared memory or L1 (128 a cycle and multiprocessor). None was measured here."""

LAYERS, CELLS = 8, 16
"""What `seconds` counts for: layers of a cell, and cells of a warp."""

_FUNCTION = re.compile(r"^\s*Function : (\S+)")
_LINE = re.compile(r"^\s*/\*([0-9a-f]{4,})\*/\s+(?:@!?U?P\w+\s+)?([A-Z][A-Z0-9_.]*)\s*([^;]*);")
_TARGET = re.compile(r"\b0x([0-9a-f]+)\s*$")
_BUDGET = re.compile(r"^//\s*steps\s+(\w+):(.*)$", re.MULTILINE)
_STATED = re.compile(r"\s*issued (\d+), mufu (\d+), hmma (\d+), local (\d+)\s*")
_WIDTH = re.compile(r"\.(32|64|128)\b")


@dataclass(frozen=True)
class Instruction:
    """One of a kernel: address, opcode with its modifiers, and for a branch the address it goes to."""

    address: int
    opcode: str
    target: int | None = None


@dataclass(frozen=True)
class Steps:
    """Of both step loops: instructions issued, MUFU, HMMA; in the whole kernel, those of local memory; and bytes that a
    warp reads from shared memory in both steps."""

    issued: int = 0
    mufu: int = 0
    hmma: int = 0
    local: int = 0
    shared: int = 0


def find_cuobjdump() -> Path | None:
    """cuobjdump of PATH, of CUDA_HOME or CUDA_PATH, or of a wheel of NVIDIA's; None where there is none."""
    homes = [Path(os.environ[name]) / "bin" for name in ("CUDA_HOME", "CUDA_PATH") if os.environ.get(name)]
    wheels = importlib.util.find_spec("nvidia")
    for location in (wheels.submodule_search_locations or []) if wheels else []:
        homes += sorted(Path(location).glob("*/bin"))
    for path in (None, *homes):
        found = shutil.which("cuobjdump", path=path)
        if found:
            return Path(found)
    return None


def disassemble(cuobjdump: Path, cubin: Path) -> str:
    """SASS of a cubin.

    Raises:
        RuntimeError: it cannot be read; with the tool's words.
    """
    # It starts nvdisasm, which lies beside it.
    path = os.pathsep.join([str(cuobjdump.parent), os.environ.get("PATH", "")])
    command = [str(cuobjdump), "-sass", str(cubin)]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=120, env={**os.environ, "PATH": path}
    )
    if done.returncode != 0 or not done.stdout:
        raise RuntimeError(f"cuobjdump does not read the machine code ({(done.stderr or done.stdout).strip()})")
    return done.stdout


def read_sass(text: str) -> dict[str, list[Instruction]]:
    """Instructions by kernel."""
    kernels: dict[str, list[Instruction]] = {}
    name = ""
    for line in text.splitlines():
        if match := _FUNCTION.match(line):
            name = match[1]
            kernels[name] = []
        elif name and (match := _LINE.match(line)):
            target = _TARGET.search(match[3].strip()) if match[2].split(".")[0] == "BRA" else None
            kernels[name].append(Instruction(int(match[1], 16), match[2], int(target[1], 16) if target else None))
    return kernels


def step_loops(code: Sequence[Instruction]) -> list[list[Instruction]]:
    """The innermost loops that are steps, in their order."""
    loops = [(one.target, one.address) for one in code if one.target is not None and one.target < one.address]
    bodies = [[one for one in code if start <= one.address <= end] for start, end in loops]
    steps = [body for body in bodies if sum(_is(one, "MUFU.TANH") for one in body) >= TANH_OF_A_STEP]
    whole = [{one.address for one in body} for body in steps]
    return [body for body, own in zip(steps, whole, strict=True) if not any(other < own for other in whole)]


def count(code: Sequence[Instruction]) -> Steps:
    """Of a kernel; all 0 but for local memory where it has no step loops."""
    steps = [one for body in step_loops(code) for one in body]
    return Steps(
        issued=len(steps),
        mufu=sum(_is(one, "MUFU") for one in steps),
        hmma=sum(_is(one, "HMMA") for one in steps),
        local=sum(_is(one, "LDL") or _is(one, "STL") for one in code),
        shared=sum(32 * _bytes(one) for one in steps if _is(one, "LDS")),
    )


def _is(one: Instruction, opcode: str) -> bool:
    return one.opcode == opcode or one.opcode.startswith(f"{opcode}.")


def _bytes(one: Instruction) -> int:
    width = _WIDTH.search(one.opcode)
    return int(width[1]) // 8 if width else 4


def read_budgets(source: str) -> dict[str, Steps]:
    """The budgets of steps that a source states, by kernel.

    Raises:
        ValueError: a line that begins as one and is none.
    """
    budgets: dict[str, Steps] = {}
    for line in _BUDGET.finditer(source):
        stated = _STATED.fullmatch(line[2])
        if stated is None:
            raise ValueError(f"{line[0]!r} is no budget; write '// steps NAME: issued N, mufu N, hmma N, local N'")
        budgets[line[1]] = Steps(*map(int, stated.groups()))
    return budgets


def objections(counted: Mapping[str, Steps], budgets: Mapping[str, Steps]) -> list[str]:
    """Sentences: one for each number above its budget, each kernel with steps and no budget, each budget without a
    kernel. Local memory is objected to in every kernel, whatever is allowed."""
    wrong = [f"{name} has a budget of steps, but there is no such kernel" for name in budgets if name not in counted]
    for name, steps in counted.items():
        if steps.issued and name not in budgets:
            wrong.append(f"{name} has no budget of steps; write '// steps {name}: ...' into its source")
        for field in fields(Steps):
            taken, allowed = getattr(steps, field.name), getattr(budgets.get(name, steps), field.name)
            if field.name == "local":
                allowed = 0
            if taken > allowed and field.name != "shared":
                wrong.append(f"{name} takes {taken} {field.name}, its budget is {allowed}")
    return wrong


def seconds(steps: Steps) -> dict[str, float]:
    """Seconds for 1e9 cells of 8 layers through one member, by what they would be bound by, at `CYCLES`."""
    warps = 1e9 / CELLS * LAYERS / (PARTITIONS * HERTZ)
    return {name: getattr(steps, name) * cycles * warps for name, cycles in CYCLES.items()}


def markdown(counted: Mapping[str, Mapping[str, Steps]], architecture: str) -> str:
    """Counts of kernels with steps on an architecture, and the seconds that they imply."""
    header = ["kernel", "issued", "MUFU", "HMMA", "shared bytes", "local", *(f"s, {name}" for name in CYCLES)]
    rows = [header, ["---"] * len(header)]
    for kernel in sorted(counted):
        steps = counted[kernel].get(architecture, Steps())
        if steps.issued:
            numbers = steps.issued, steps.mufu, steps.hmma, steps.shared, steps.local
            rows.append([f"`{kernel}`", *map(str, numbers), *(f"{one:.2f}" for one in seconds(steps).values())])
    return "".join(f"| {' | '.join(row)} |\n" for row in rows) if len(rows) > 2 else ""
