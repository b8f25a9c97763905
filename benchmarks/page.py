"""The results as one HTML page that opens offline: python -m mpmjax.benchmarks.page RESULTS.jsonl OUT.html [--last]
[--commit COMMIT].

Of each row the newest line is shown, or with --last the rows of the last run only, with --commit those of one commit.

Exit status: 0 the page was written, 2 usage, or there is nothing to show.
"""

from __future__ import annotations

import argparse
import base64
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from . import charts, lines, report, rows, words
from .lines import Line
from .rows import Result


def main(argv: Sequence[str] | None = None) -> int:
    """Write the page of a command line; returns the exit status."""
    options = _options(argv)
    try:
        found = lines.read(options.results)
    except (OSError, UnicodeDecodeError) as error:
        print(f"{options.results} cannot be read: {error}", file=sys.stderr)
        return 2
    for sentence in found.broken:
        print(sentence, file=sys.stderr)
    of_commit = [line for line in found.rows if line.machine.commit.startswith(options.commit)]
    if not of_commit:
        print(f"{options.results} holds no result{' of that commit' if found.rows else ''}.", file=sys.stderr)
        return 2
    shown = lines.last_run(of_commit) if options.last else lines.newest(of_commit)
    try:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(render(shown, found.broken), encoding="utf-8")
    except OSError as error:
        print(f"{options.out} cannot be written: {error}", file=sys.stderr)
        return 2
    return 0


def render(shown: Sequence[Line], broken: Sequence[str] = ()) -> str:
    """The page of these rows as HTML text; equal rows give equal text.

    Args:
        broken: sentences on lines that could not be read.
    """
    order = list(dict.fromkeys(line.row.case for line in shown))
    shown = sorted(shown, key=lambda line: order.index(line.row.case))
    results = [line.row for line in shown if isinstance(line.row, Result)]
    several = len({words.cores(line) for line in shown}) > 1
    return _template().render(
        counts=words.counts(shown),
        noisy=sum(item.wide for item in results),
        overview=[words.overview(name, shown) for name in order],
        rows=[words.summary(line, several) for line in shown],
        cases=_cases(results),
        memory=_memory(results),
        runs=[_run(run) for run in _runs(shown)],
        legend=words.STANDINGS,
        details=[words.detail(line, several) for line in shown if isinstance(line.row, Result)],
        absent=[
            f"{name} for {case} ({variants[0]}{f' and {len(variants) - 1} more' if variants[1:] else ''}): {reason}"
            for (case, name, reason), variants in report.not_timed(results).items()
        ],
        broken=broken,
        colours={"faster": charts.FASTER, "slower": charts.SLOWER, "even": charts.GREY},
    )


def _cases(results: Sequence[Result]) -> list[dict[str, Any]]:
    """A chart for each row that has opponents, by case; the charts of one case have one axis."""
    found: list[dict[str, Any]] = []
    for name in dict.fromkeys(item.case for item in results if charts.opponents(item)):
        own = [item for item in results if item.case == name and charts.opponents(item)]
        between = charts.limits(own)
        pictures = [(f"{item.variant}, {item.side}²", _uri(charts.bars(item, between))) for item in own]
        found.append({"name": name, "charts": pictures})
    return found


def _memory(results: Sequence[Result]) -> str:
    passes = [item for item in results if rows.COPY in item.times_faster]
    return _uri(charts.memory(passes)) if passes else ""


def _runs(shown: Sequence[Line]) -> list[list[Line]]:
    """The rows by the run that they are of, the newest run first."""
    runs = {line.run: [other for other in shown if other.run == line.run] for line in shown}
    return sorted(runs.values(), key=lambda run: max(line.row.time for line in run), reverse=True)


def _run(run: Sequence[Line]) -> dict[str, Any]:
    """The machine of one run, and the roofline of its rows that have operations."""
    machine = run[0].machine
    points = [line.row for line in run if isinstance(line.row, Result) and line.row.operations and line.row.bytes_moved]
    return {
        "date": words.moment(max(line.row.time for line in run)),
        "cases": ", ".join(dict.fromkeys(line.row.case for line in run)),
        "facts": words.facts(machine),
        "busy": machine.busy,
        "versions": ", ".join(f"{name} {version}" for name, version in machine.versions.items()),
        "roofline": _uri(charts.roofline(points, machine)) if points and not machine.device else "",
    }


def _uri(picture: str) -> str:
    return f"data:image/svg+xml;base64,{base64.b64encode(picture.encode()).decode('ascii')}"


@cache
def _template() -> Template:
    environment = Environment(
        loader=PackageLoader("mpmjax.benchmarks"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template("page.html.j2")


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m mpmjax.benchmarks.page", description="Results as one HTML page.")
    parser.add_argument("results", type=Path, help="JSON lines as run.py appends them")
    parser.add_argument("out", type=Path, help="the HTML file to write")
    parser.add_argument("--last", action="store_true", help="only the rows of the last run")
    parser.add_argument("--commit", default="", help="only rows of this commit")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
