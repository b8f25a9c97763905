"""How fast the ensemble is trained, and whether it matters how: python -m mpmjax.benchmarks.training [--cores N...].

Samples a second of `train_ensemble` as it is called, all steps of a member in one compiled program, against a loop of
torch over the same autoencoder, loss and optimiser, eager and by torch.compile, interleaved: one member with several
sizes of batches, then several members with the size that is the default. Compiling is not counted.

    --agreement   instead: how far members trained together (vmapped) and one by one differ, in their weights after 25
                  steps and in the maps after all

Exit status: 0 all was timed, 1 a gate was red, 2 usage.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from threadpoolctl import threadpool_limits

from . import clock, gate, machine, report, training_cases, ways

RESULTS = Path(__file__).parent / "results" / "cpu.jsonl"


def main(argv: Sequence[str] | None = None) -> int:
    """Time what a command line asks for; returns the exit status."""
    options = _options(argv)
    if options.agreement:
        with machine.on_cores(1):
            print(training_cases.agreement(options.seed, options.steps or 600))
        return 0
    if len(options.cores) > 1:
        return ways.a_process_each("mpmjax.benchmarks.training", sys.argv[1:] if argv is None else argv, options.cores)
    with machine.on_cores(options.cores[0]), threadpool_limits(limits=1):
        return _timed(options)


def _timed(options: argparse.Namespace) -> int:
    place = machine.describe()
    sizes = [(1, batch) for batch in options.batches] + [(e, training_cases.BATCH) for e in options.members if e > 1]
    steps, results, red = options.steps or 100, [], 0
    for members, batch in sizes:
        case = training_cases.training(members, batch, steps, options.seed, compiled=not options.no_compile)
        verdict = gate.check(case)
        if not verdict.passed:
            print(f"RED training, {case.variant} (seed {options.seed}): {verdict}; not timed", file=sys.stderr)
            red = 1
            continue
        results.append(_result(case, verdict, place, options))
    if results:
        report.append(options.results, results, place)
        print(report.markdown(results, place))
    return red


def _result(
    case: gate.Case, verdict: gate.Verdict, place: machine.Machine, options: argparse.Namespace
) -> report.Result:
    rivals = {name: call for name, call in case.rivals.items() if not isinstance(call, gate.Missing)}
    unable = {name: call.reason for name, call in case.rivals.items() if isinstance(call, gate.Missing)}
    timings = clock.interleaved({"op": case.op, **rivals}, options.repeats)
    how = {name: call.how for name, call in rivals.items() if isinstance(call, ways.Tuned)}
    now = datetime.now(tz=UTC).isoformat(timespec="seconds")
    told = {"side": training_cases.SIDE, "seed": options.seed, "time": now, "unable": unable, "how": how}
    return report.result("training", case, verdict, timings, place, **told)


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m mpmjax.benchmarks.training", description="Time the training.")
    parser.add_argument("--batches", type=int, nargs="*", default=[256, 512, 1024, 2048], help="of one member")
    parser.add_argument("--members", type=int, nargs="*", default=[2, 4], help="trained beside each other")
    parser.add_argument("--steps", type=int, help="of a visit (100), or of the agreement (600)")
    parser.add_argument("--repeats", type=int, default=3, help="rounds; two visits each (3)")
    parser.add_argument("--cores", type=int, nargs="+", default=[1], help="each number in a process of its own (1)")
    parser.add_argument("--no-compile", action="store_true", help="without torch.compile, half a minute a size")
    parser.add_argument("--agreement", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--results", type=Path, default=RESULTS, help="JSON lines to append to")
    options = parser.parse_args(argv)
    if min([*options.batches, *options.members, *options.cores, options.repeats, options.steps or 1]) < 1:
        parser.error("numbers must be at least 1")
    return options


if __name__ == "__main__":
    sys.exit(main())
