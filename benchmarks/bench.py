"""What `mpmjax bench` does: gate, time and report this machine, and say what bounds it.

    mpmjax bench [--quick | --full] [--device cuda] [--output DIR]

Everything is measured in processes of their own and appended to DIR/results.jsonl; DIR/index.html shows it.

quick   the hot loops against NumPy on a small raster, the network on one and on all cores, one whole run: under three
        minutes, for the score card of a machine
default every case against every rival that is installed, and the whole run: about twenty minutes
full    that, larger whole runs in other codecs, and how time and memory grow: two hours

Exit status: 0 all was timed, 1 a gate was red or a part failed, as it said, 2 nothing could be measured, above 128 a
part was ended by a signal.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from mpmjax.cost.model import forecast, what_if

from . import cost, lines, page, whole
from .cases import CASES, SEVERAL_CORES
from .lines import Line
from .rows import Refused, Result
from .ways import cores_here

STDERR = 2
"""A file descriptor: what a child can write to, whatever stands for sys.stderr here."""
ROWS, PAGE, CARD = "results.jsonl", "index.html", "card.json"

QUICK = ("membership", "overlay", "distance", "density", "label", "decode", "encode")
QUICK_VARIANTS = "int16 smooth, 8 kinds;|mean|square|faults, quartic, radius 20|patches$|int16, deflate|COG|F = 1,"
QUICK_RIVALS = "NumPy|scipy edt|scipy label|rasterio|GDAL"
"""Cases of the score card, and regular expressions of their variants and rivals."""


def main(argv: Sequence[str] | None = None) -> int:
    """Measure what a command line asks for; returns the exit status."""
    options = _options(argv)
    options.output.mkdir(parents=True, exist_ok=True)
    rows = options.output / ROWS
    before = len(lines.read(rows).rows) if rows.exists() else 0
    commands = _cuda(rows) if options.device == "cuda" else _commands(rows, options)
    worst = 0
    for command in commands:
        print(f"\n$ python -m mpmjax.benchmarks.{' '.join(command)}", file=sys.stderr, flush=True)
        done = subprocess.run(
            [sys.executable, "-m", f"mpmjax.benchmarks.{command[0]}", *command[1:]],
            stdout=STDERR if options.json else None,
            check=False,
        )
        # Ended by a signal, a process has a negative status.
        worst = max(worst, done.returncode if done.returncode >= 0 else 128 - done.returncode)
    shown = lines.read(rows).rows[before:] if rows.exists() else []
    if not shown:
        return max(worst, 2)
    if options.device == "cpu":
        try:
            card = measure_card(shown, options.side)
        except subprocess.CalledProcessError as error:
            print(f"The whole run failed, as it says above: {error}. There is no score card.", file=sys.stderr)
            return 2
        (options.output / CARD).write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")
        print(json.dumps(card) if options.json else words(card))
    worst = max(worst, page.main([str(rows), str(options.output / PAGE)]))
    print(f"\nAll rows, charts and the roofline: {options.output / PAGE}", file=sys.stderr)
    return worst


def _commands(rows: Path, options: argparse.Namespace) -> list[list[str]]:
    """Command lines of the suite, each the name of a module here and its arguments."""
    append, cores = ("--results", str(rows)), cores_here()
    several = ["--cores", "1", *([str(cores)] if cores > 1 else [])]
    networks = _cases(SEVERAL_CORES)
    if options.quick:
        few = ("--variant", QUICK_VARIANTS, "--against", QUICK_RIVALS, "--repeats", "3", "--runs", "2", *append)
        return [
            ["run", *_cases(QUICK), "--size", "1024", *few],
            ["run", *_cases(["lstm"]), *several, "--size", "1024", *few],
        ]
    single = _cases([name for name in CASES if name not in SEVERAL_CORES])
    found = [["run", *single, *append], ["run", *networks, *several, *append]]
    if options.full:
        found += [["streaming", "overlap"], ["growth"]]
        files = ("--dtypes", "int16", "float32", "--codecs", "deflate", "zstd", "lerc")
        found.append(["whole", "--sides", "4096", *files])
        found.append(["whole", "--sides", "16384"])
    return found


def _cases(names: Iterable[str]) -> list[str]:
    return [word for name in names for word in ("--case", name)]


def _cuda(rows: Path) -> list[list[str]]:
    return [["run", "--backend", "cuda", "--results", str(rows)]]


def measure_card(shown: Sequence[Line], side: int) -> dict[str, Any]:
    """The score card: a whole run, how long it takes to start, and the rows in short."""
    setting = whole.Setting(side)
    with TemporaryDirectory(prefix="mpmjax-bench-") as folder:
        run = whole.run(Path(folder), setting)
        work, rates = cost.looked_at(whole.project(Path(folder), setting))
    plan = forecast(work, rates)
    return {
        "machine": shown[-1].machine.as_dict(),
        "run": run.as_dict(),
        "foreseen": plan.wall,
        "bound": plan.bound,
        "with": {name: other.wall for name, other in what_if(work, rates).items()},
        "seconds_until": whole.cold_start(),
        "rows": [_short(line.row) for line in shown],
    }


def _short(row: Result | Refused) -> dict[str, Any]:
    told: dict[str, Any] = {"case": row.case, "variant": row.variant}
    if isinstance(row, Refused):
        return told | {"red": row.red}
    best = row.best_rival
    told |= {"unit": row.unit, "rate": row.rate, "of_floor": row.of_floor, "noisy": row.wide}
    return told | ({} if best is None else {"best_rival": best[0], "times_faster": best[1].median})


def words(card: Mapping[str, Any]) -> str:
    """The score card for people."""
    run, machine = card["run"], card["machine"]
    stages = sorted(run["stages"].items(), key=lambda item: -item[1])
    spent = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in stages if seconds >= 0.02 * run["wall"])
    return "\n".join(
        [
            "",
            f"Score card of this machine: {machine.get('cpu', '?')}, {machine.get('cores', '?')} cores",
            f"  from files to maps  {run['mcells_s']:.2f} Mcells/s ({run['name']}), {run['wall']:.1f} s",
            f"  of these            {spent}, {run['wall'] - sum(run['stages'].values()):.1f} s to start",
            f"  memory              {run['peak']:.0f} MiB at most",
            f"  what takes the most {stages[0][0]}; by the model {card['bound']}, {card['foreseen']:.1f} s in all",
            *(f"  {f'with {name}':<43} {seconds:.1f} s" for name, seconds in card["with"].items()),
            *(f"  until {what:<34} {seconds:.2f} s" for what, seconds in card["seconds_until"].items()),
        ]
    )


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="mpmjax bench", description="Gate, time and report this machine.")
    extent = parser.add_mutually_exclusive_group()
    extent.add_argument("--quick", action="store_true", help="the score card, under three minutes")
    extent.add_argument("--full", action="store_true", help="growth and large runs besides: hours")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--output", type=Path, default=Path("mpmjax-bench"), help="folder of the results")
    parser.add_argument("--side", type=int, default=2048, help="of the district of the whole run, in cells (2048)")
    parser.add_argument("--json", action="store_true", help="print the score card as JSON, and nothing else")
    options = parser.parse_args(argv)
    if options.device == "cuda" and (options.quick or options.full or options.json):
        parser.error("--device cuda runs the cases of a card, all of them, and makes no score card")
    return options


if __name__ == "__main__":
    sys.exit(main())
