"""Gate, time, report: python -m mpmjax.benchmarks.run [--case NAME]... [--size SIDE] [--repeats N] [--cores N...]
[--backend cpu|cuda].

Exit status: 0 all cases were timed, 1 a gate was red (that case was not timed), 2 usage, or no card where one is asked
for.
"""

from __future__ import annotations

import argparse
import os
import re
import secrets
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from mpmjax.ops import cuda

from . import cases, clock, cuda_cases, device, gate, machine, noise, report
from .rows import COPY, REFERENCE, Refused, Result
from .ways import Compiled, Tuned, a_process_each

RESULTS = Path(__file__).parent / "results"
GATE_SIDE = 157
"""Rows and columns of the input that is judged first: a prime, so that no block size divides it."""

FOUND_DONE = 0.1
"""Seconds of compiling up to which somebody had compiled the same before."""

CLOCKS: dict[str, Callable[[], float]] = {"wall": time.perf_counter, "processor": time.process_time}
"""Those of the host. That of the processor counts all threads of this process and nobody else's."""

Builder = Callable[[np.random.Generator, int], Iterable[gate.Case]]


@dataclass(frozen=True)
class Bench:
    """Where and by what is measured.

    Attributes:
        place: the machine.
        copies: bytes -> a call that copies so many; the floor of an op that is a pass over memory.
        visit, clock: the clock, and what it shows: wall, processor or card.
        host_visit: the clock of what `visit` does not see (Case.host_clocked); None where it sees everything.
        remark: what the clock has to say of its own work, when all is done; empty if nothing.
    """

    place: machine.Machine
    copies: Callable[[int], clock.Call]
    visit: clock.Visit = clock.on_host
    clock: str = "wall"
    host_visit: clock.Visit | None = None
    remark: Callable[[], str] = str


def main(argv: Sequence[str] | None = None, builders: Mapping[str, Builder] = cases.CASES) -> int:
    """Run the benchmarks of a command line; returns the exit status."""
    options = _options(argv, builders)
    if options.backend == "cuda":
        return _on_card(options)
    if len(options.cores) > 1:
        return a_process_each("mpmjax.benchmarks.run", sys.argv[1:] if argv is None else argv, options.cores)
    with machine.on_cores(options.cores[0]), threadpool_limits(limits=1):
        place, copies = machine.describe(), machine.Copies().of
        visit = partial(clock.on_host, now=CLOCKS[options.clock])
        return measure(options, builders, Bench(place, copies, visit, options.clock))


def _on_card(options: argparse.Namespace) -> int:
    """The cases of ops that have a CUDA form."""
    why = cuda.refusal()
    if why is not None:
        print(f"Nothing was measured: {why}", file=sys.stderr)
        return 2
    absent = [name for name in options.case or () if name not in cuda_cases.NAMES]
    if absent:
        print(f"No CUDA form yet of {', '.join(absent)}; there is of {', '.join(cuda_cases.NAMES)}.", file=sys.stderr)
        return 2
    # JAX would take three quarters of the card's memory when it is first used.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    xp = cuda.array_module()
    return measure(options, cuda_cases.on(xp), card_bench(xp, device.Stopwatch(xp), cuda.describe(), cuda.versions()))


def card_bench(xp: Any, stopwatch: device.Stopwatch, described: str, versions: Mapping[str, str]) -> Bench:
    """The bench of the card that CuPy `xp` works on."""
    copies = machine.Copies(xp)
    place = device.place(machine.describe(), described, versions, copies, stopwatch)
    return Bench(place, copies.of, stopwatch.visit, "card", stopwatch.host_visit, stopwatch.remark)


def measure(options: argparse.Namespace, builders: Mapping[str, Builder], bench: Bench) -> int:
    """Run the cases that are asked for, append their results and print them; returns the exit status."""
    seed = secrets.randbits(32) if options.seed is None else options.seed
    results: list[Result] = []
    refused: list[Refused] = []
    for name in options.case or builders:
        build = only_against(builders[name], options.against)
        done, red = run_case(name, build, options.size, options.repeats, seed, bench, options.variant, options.runs)
        results += done
        refused += red
    if results or refused:
        lines = RESULTS / ("gpu.jsonl" if bench.place.device else "cpu.jsonl")
        report.append(options.results or lines, results, bench.place, refused)
        print(report.markdown(results, bench.place, refused))
        print(bench.remark())
    return 1 if refused else 0


def only_against(build: Builder, against: str) -> Builder:
    """Cases with no other rivals than those whose names begin with what this regular expression matches."""

    def cases_of(rng: np.random.Generator, side: int) -> Iterable[gate.Case]:
        for case in build(rng, side):
            rivals = {name: call for name, call in case.rivals.items() if re.match(against, name)}
            yield replace(case, rivals=rivals)

    return cases_of


def run_case(
    name: str,
    build: Builder,
    side: int,
    repeats: int,
    seed: int,
    bench: Bench,
    variant: str = "",
    runs: int = noise.RUNS,
) -> tuple[list[Result], list[Refused]]:
    """Gate and time the variants of one op that a regular expression finds; returns results and what was refused.

    The input is made twice from the seed: small and awkward for the gate, and `side` cells square for the clock. The
    op is judged on both, on the large one at a few cells where the definition is too slow for all. A row that is wide
    is timed again, `runs` times at most.
    """
    found: list[Result | Refused] = []
    small_cases = build(np.random.default_rng(seed), min(side, GATE_SIDE))
    large_cases = iter(build(np.random.default_rng(seed + 1), side))
    for small in small_cases:
        if not re.search(variant, small.variant):
            next(large_cases)
            continue
        # Only handed on: what a large case prepared for its rivals is gone before the next one is made.
        found.append(_run_variant(name, small, next(large_cases), side, repeats, seed, bench, runs))
    results = [item for item in found if isinstance(item, Result)]
    return results, [item for item in found if isinstance(item, Refused)]


def _run_variant(
    name: str, small: gate.Case, large: gate.Case, side: int, repeats: int, seed: int, bench: Bench, runs: int
) -> Result | Refused:
    """The result of one variant, or that it was refused."""
    verdict = gate.check(small)
    at_size = gate.check_large(large) if verdict.passed else None
    if at_size is not None:
        verdict = max(verdict, at_size, key=lambda seen: (not seen.passed, seen.error))
    if not verdict.passed:
        print(f"RED {name}, {small.variant} (seed {seed}): {verdict}; not timed", file=sys.stderr)
        return Refused(name, small.variant, side, seed, _now(), str(verdict))
    able, unable, errors = gate.able_rivals(small)
    rivals = {rival: call for rival, call in large.rivals.items() if rival in able and callable(call)}
    told = {"side": side, "seed": seed, "clock": bench.clock, "unable": unable}
    told["rival_errors"] = {rival: errors[rival] for rival in rivals}

    def time_it() -> Result:
        timings, others = _timed(large, rivals, repeats, bench)
        how = {rival: call.how for rival, call in rivals.items() if isinstance(call, Tuned | Compiled) and call.how}
        return report.result(
            name, large, verdict, timings, bench.place, host_timings=others, time=_now(), how=how, **told
        )

    best, done = noise.narrowest(time_it, lambda result: result.width, runs)
    return replace(best, runs=done, compiling=_compiling(small, large))


def _compiling(*cases: gate.Case) -> dict[str, float]:
    """Seconds that compiling took, by rival: on the input where it took longest. Where it was found done, nothing."""
    found: dict[str, float] = {}
    for name, call in (pair for case in cases for pair in case.rivals.items()):
        if isinstance(call, Compiled) and call.seconds > FOUND_DONE:
            found[name] = max(call.seconds, found.get(name, 0.0))
    return found


def _timed(
    case: gate.Case, rivals: Mapping[str, clock.Call], repeats: int, bench: Bench
) -> tuple[dict[str, clock.Timing], dict[str, clock.Timing] | None]:
    """The op, what bounds it, its definition, parts and rivals, by the clock, and those that it does not see by the
    host's.
    """
    elsewhere = {rival: call for rival, call in rivals.items() if rival in case.host_clocked}
    candidates: dict[str, clock.Call] = {"op": case.op}
    if case.operations == 0:
        candidates[COPY] = bench.copies(case.bytes_moved)
    if case.clock_reference:
        candidates[REFERENCE] = case.reference
    candidates |= {part: call for part, (call, _) in case.parts.items()}
    candidates |= {rival: call for rival, call in rivals.items() if rival not in elsewhere}
    timings = clock.interleaved(candidates, repeats, visit=bench.visit)
    if not elsewhere or bench.host_visit is None:
        return timings, None
    return timings, clock.interleaved({"op": case.op, **elsewhere}, repeats, visit=bench.host_visit)


def _now() -> str:
    return datetime.now(tz=UTC).isoformat(timespec="seconds")


def _options(argv: Sequence[str] | None, builders: Mapping[str, Builder]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m mpmjax.benchmarks.run", description="Gate, time and report the hot loops."
    )
    parser.add_argument("--case", action="append", choices=sorted(builders), help="an op; may be repeated; default all")
    parser.add_argument("--variant", default="", help="only variants whose name this regular expression finds")
    parser.add_argument("--against", default="", help="only rivals whose names begin with this regular expression")
    parser.add_argument("--size", type=_positive, default=2048, help="side of the square input in cells (2048)")
    parser.add_argument("--repeats", type=_positive, default=5, help="rounds; two visits each (5)")
    parser.add_argument(
        "--runs", type=_positive, default=noise.RUNS, help=f"of a row that is noisy, at most ({noise.RUNS})"
    )
    parser.add_argument("--seed", type=int, help="of the input; fresh if not given, and always reported")
    parser.add_argument(
        "--results", type=Path, help="JSON lines to append to (benchmarks/results/cpu.jsonl, gpu.jsonl)"
    )
    parser.add_argument(
        "--clock",
        choices=sorted(CLOCKS),
        default="wall",
        help="processor: time in which this process had its core, where others use the machine (cpu only)",
    )
    parser.add_argument("--backend", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument(
        "--cores",
        type=_positive,
        nargs="+",
        default=[1],
        help=f"cores to use, each number in a process of its own (1; more for {', '.join(cases.SEVERAL_CORES)} only)",
    )
    options = parser.parse_args(argv)
    single = [name for name in options.case or () if name not in cases.SEVERAL_CORES]
    if options.cores != [1] and (single or options.backend == "cuda"):
        parser.error(f"--cores is for {' and '.join(cases.SEVERAL_CORES)}; of the others one core is timed")
    if options.cores != [1] and not options.case:
        options.case = list(cases.SEVERAL_CORES)
    return options


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, got {value}")
    return value


if __name__ == "__main__":
    sys.exit(main())
