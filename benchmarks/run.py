"""Gate, time, report: python -m benchmarks.run [--case NAME]... [--size SIDE] [--repeats N].

Exit status: 0 all cases were timed, 1 a gate was red (that case was not timed), 2 usage.
"""

from __future__ import annotations

import argparse
import secrets
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks import cases, clock, gate, machine, report

RESULTS = Path(__file__).parent / "results" / "cpu.jsonl"
GATE_SIDE = 157
"""Rows and columns of the input that is judged first: a prime, so that no block size divides it."""

Builder = Callable[[np.random.Generator, int], Iterable[gate.Case]]


def main(argv: Sequence[str] | None = None, builders: Mapping[str, Builder] = cases.CASES) -> int:
    """Run the benchmarks of a command line; returns the exit status."""
    options = _options(argv, builders)
    if options.backend == "cuda":
        print("no op has a CUDA form yet (kernels/README.md): nothing to measure", file=sys.stderr)
        return 2
    names = options.case or list(builders)
    seed = secrets.randbits(32) if options.seed is None else options.seed
    results: list[report.Result] = []
    red = 0
    with machine.one_core(), threadpool_limits(limits=1):
        place = machine.describe()
        for name in names:
            done, refused = run_case(name, builders[name], options.size, options.repeats, seed, place)
            results += done
            red += refused
    if results:
        report.append(options.results, results, place)
        print(report.markdown(results, place))
    return 1 if red else 0


def run_case(
    name: str, build: Builder, side: int, repeats: int, seed: int, place: machine.Machine
) -> tuple[list[report.Result], int]:
    """Gate and time the variants of one op; returns the results and how many variants were refused.

    The input is made twice from the seed: small and awkward for the gate, and `side` cells square for the clock. The
    op is judged on both, unless the definition is too slow for the large one.
    """
    results: list[report.Result] = []
    refused = 0
    small_cases = build(np.random.default_rng(seed), min(side, GATE_SIDE))
    large_cases = build(np.random.default_rng(seed + 1), side)
    for small, large in zip(small_cases, large_cases, strict=True):
        verdict = gate.check(small)
        if verdict.passed and large.clock_reference:
            verdict = max(verdict, gate.check(large), key=lambda seen: (not seen.passed, seen.error))
        if not verdict.passed:
            print(f"RED {name}, {small.variant} (seed {seed}): {verdict}; not timed", file=sys.stderr)
            refused += 1
            continue
        able, unable = gate.able_rivals(small)
        candidates = {"op": large.op}
        candidates |= {"reference": large.reference} if large.clock_reference else {}
        candidates |= {rival: call for rival, call in large.rivals.items() if rival in able and callable(call)}
        timings = clock.interleaved(candidates, repeats)
        now = datetime.now(tz=UTC).isoformat(timespec="seconds")
        results.append(
            report.result(name, large, verdict, timings, place, side=side, seed=seed, time=now, unable=unable)
        )
    return results, refused


def _options(argv: Sequence[str] | None, builders: Mapping[str, Builder]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.run", description="Gate, time and report the hot loops."
    )
    parser.add_argument("--case", action="append", choices=sorted(builders), help="an op; may be repeated; default all")
    parser.add_argument("--size", type=_positive, default=2048, help="side of the square input in cells (2048)")
    parser.add_argument("--repeats", type=_positive, default=5, help="rounds; two visits each (5)")
    parser.add_argument("--seed", type=int, help="of the input; fresh if not given, and always reported")
    parser.add_argument("--results", type=Path, default=RESULTS, help="JSON lines file to append to")
    parser.add_argument("--backend", choices=("cpu", "cuda"), default="cpu")
    return parser.parse_args(argv)


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, got {value}")
    return value


if __name__ == "__main__":
    sys.exit(main())
