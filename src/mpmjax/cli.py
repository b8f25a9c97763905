"""The command line: arguments in, sentences out, no science. Commands import what they need when they run."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from typing import Any, TextIO

import click

from mpmjax.cli_stop import MESSAGE, stopping
from mpmjax.errors import MpmError

PROJECT = click.argument("project", type=click.Path(path_type=Path))
OUTPUT = click.option(
    "--output",
    "-o",
    type=click.Path(path_type=Path),
    help="Folder of the outputs. Default: NAME-output beside NAME.toml.",
)
FRESH = click.option("--fresh", is_flag=True, help="Start over, whatever stands in the output folder.")
STRICT = click.option("--strict", is_flag=True, help="Exit with status 1 when there are warnings.")


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="mpmjax")
def cli() -> None:
    """Screen large areas for mineral deposits without labels.

    Exit status: 0 ok, 1 warnings under --strict, 2 usage, project file or data, 3 some tiles failed, 4 disk, 5 memory,
    130 stopped (143 by SIGTERM, 129 by SIGHUP).
    """


@cli.command()
@click.option("--output", "-o", type=click.Path(path_type=Path), required=True, help="Folder for district and outputs.")
@click.option("--seed", type=click.IntRange(0, 2**31 - 1), default=7, show_default=True, help="Seed of the district.")
def demo(output: Path, seed: int) -> None:
    """Make a synthetic 1:100,000 sheet with planted Cu-Au deposits and run it."""
    from mpmjax import pipeline
    from mpmjax.synthetic import make_kajan_like

    click.echo(f"Making a synthetic district in {output / 'district'}", err=True)
    project = make_kajan_like(output / "district", seed=seed)
    _show(pipeline.run(project, output, say=_say, command=f"mpmjax demo --output {output}"), output)


@cli.command()
@PROJECT
@STRICT
def check(project: Path, strict: bool) -> None:
    """Look at the project file and its data, and say what is wrong. Writes nothing."""
    from mpmjax.project import load_project
    from mpmjax.stages.check import check as look

    findings = look(load_project(project))
    click.echo("\n".join(findings.lines))
    for text in findings.errors:
        click.echo(f"Error: {text}", err=True)
    for text in findings.warnings:
        click.echo(f"Warning: {text}", err=True)
    if findings.errors:
        sys.exit(2)
    if findings.warnings and strict:
        sys.exit(1)


@cli.command()
@PROJECT
@OUTPUT
def prepare(project: Path, output: Path | None) -> None:
    """Lay all layers on one grid, as GeoTIFFs to look at. A run then takes them from there."""
    from mpmjax import pipeline

    evidence = pipeline.prepare(project, output, say=_say)
    for layer, made in zip(evidence.layers, evidence.provenance, strict=True):
        click.echo(f"{layer.name}: {made['method']}: {layer.path}")


@cli.command()
@PROJECT
@OUTPUT
@FRESH
@STRICT
def run(project: Path, output: Path | None, fresh: bool, strict: bool) -> None:
    """Fit on a district and screen it: maps, ranked targets, report.

    Started again, it goes on where it was stopped, and repairs what was damaged since.
    """
    from mpmjax import pipeline

    record = pipeline.run(project, output, say=_say, command=f"mpmjax run {project}", fresh=fresh, live=_terminal())
    _end(record, _folder(project, output), strict)


@cli.command()
@PROJECT
@OUTPUT
@FRESH
def fit(project: Path, output: Path | None, fresh: bool) -> None:
    """Fit only: a Screener to screen other districts with."""
    from mpmjax import pipeline

    pipeline.fit(project, output, say=_say, fresh=fresh, live=_terminal())
    click.echo(f"Screener in {_folder(project, output)}")


@cli.command()
@PROJECT
@click.option(
    "--screener", "-s", type=click.Path(path_type=Path), required=True, help="Folder or file that `mpmjax fit` wrote."
)
@OUTPUT
@FRESH
@STRICT
def screen(project: Path, screener: Path, output: Path | None, fresh: bool, strict: bool) -> None:
    """Screen a district with a Screener fitted elsewhere. Started again, it goes on as `run` does."""
    from mpmjax import pipeline

    record = pipeline.screen(
        project, screener, output, say=_say, command=f"mpmjax screen {project}", fresh=fresh, live=_terminal()
    )
    _end(record, _folder(project, output), strict)


@cli.command()
@click.argument("output", type=click.Path(path_type=Path))
def verify(output: Path) -> None:
    """Hold every file of a run, finished or not, against its checksum. Exit status 4 where one is damaged."""
    from mpmjax import pipeline

    damaged = pipeline.verify(output, say=_say)
    for sentence in damaged:
        click.echo(f"Damaged: {sentence}", err=True)
    if damaged:
        sys.exit(4)
    click.echo(f"{output}: every file is whole.")


@cli.command()
@PROJECT
@OUTPUT
def validate(project: Path, output: Path | None) -> None:
    """Judge the maps of a finished run by known occurrences."""
    from mpmjax import pipeline

    record = pipeline.validate(project, output, say=_say)
    _show(record, _folder(project, output))


@cli.command()
@click.argument("output", type=click.Path(path_type=Path))
def report(output: Path) -> None:
    """Draw report.html of a finished run again."""
    from mpmjax import pipeline

    click.echo(pipeline.report(output))


@cli.command()
@click.option("--quick", is_flag=True, help="The score card alone: under three minutes.")
@click.option("--full", is_flag=True, help="Training, growth and large runs besides: hours.")
@click.option("--device", type=click.Choice(("cpu", "cuda")), default="cpu", show_default=True)
@click.option(
    "--output", "-o", type=click.Path(), default="mpmjax-bench", show_default=True, help="Folder of the results."
)
@click.option("--json", "as_json", is_flag=True, help="Print the score card as JSON.")
def bench(quick: bool, full: bool, device: str, output: str, as_json: bool) -> None:
    """Measure this machine: every hot loop against its rivals, and what bounds a run. No speed where a result is wrong.

    Rivals are what `pip install 'mpmjax[bench]'` brings; one that is absent is reported so.
    """
    flags = {"--quick": quick, "--full": full, "--json": as_json}
    given = [flag for flag, asked in flags.items() if asked]
    # By its name: the folder benchmarks/ stands beside src/ and is part of the package only as it is installed.
    suite = importlib.import_module("mpmjax.benchmarks.bench")
    sys.exit(suite.main([*given, "--device", device, "--output", output]))


@cli.command()
@click.argument("a", type=click.Path(path_type=Path))
@click.argument("b", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print all figures as JSON.")
def compare(a: Path, b: Path, as_json: bool) -> None:
    """Lay two finished runs of one grid, output folders A and B, side by side: what moved, and by which layer."""
    from mpmjax import pipeline
    from mpmjax.cli_compare import lines_of

    found = pipeline.compare(a, b)
    click.echo(json.dumps(found, indent=1, allow_nan=False) if as_json else "\n".join(lines_of(found)))


@cli.command(context_settings={"ignore_unknown_options": True})  # or -7642000 would be an option, not a northing
@PROJECT
@click.argument("x", type=float, required=False)
@click.argument("y", type=float, required=False)
@click.option("--target", type=click.IntRange(1), help="Explain target N of targets.gpkg: all its cells.")
@click.option("--lonlat", is_flag=True, help="X Y are longitude and latitude in degrees, not metres of the grid.")
@click.option("--sensitivity", is_flag=True, help="Tell how much the whole ensemble depends on each layer.")
@OUTPUT
@click.option("--json", "as_json", is_flag=True, help="Print all figures as JSON.")
def explain(
    project: Path,
    x: float | None,
    y: float | None,
    target: int | None,
    lonlat: bool,
    sensitivity: bool,
    output: Path | None,
    as_json: bool,
) -> None:
    """Say why the cell at X Y, or a target, of a finished run got its scores: a table, and a figure in its folder."""
    from mpmjax import pipeline
    from mpmjax.cli_explain import lines_of

    if x is not None and y is None:
        raise click.UsageError("X without Y: name both, or --target N.")
    at = None if x is None or y is None else (x, y)
    found = pipeline.explain(project, output, at, target, lonlat, sensitivity, _say)
    click.echo(json.dumps(found, indent=1, allow_nan=False) if as_json else "\n".join(lines_of(found)))


def main() -> None:
    """Entry point: an MpmError becomes its sentence and its exit status; anything else is a bug and shows itself."""
    with stopping():
        try:
            # click by itself would end an interrupted run with status 1, as one with warnings.
            sys.exit(cli(prog_name="mpmjax", standalone_mode=False))
        except MpmError as error:
            click.echo(f"Error: {error}", err=True)
            sys.exit(error.exit_status)
        except click.ClickException as error:
            error.show()
            sys.exit(error.exit_code)
        except click.Abort:  # an interrupt that was no signal to this thread
            click.echo(MESSAGE, err=True)
            sys.exit(130)


def _folder(project: Path, output: Path | None) -> Path:
    return output or project.absolute().parent / f"{project.stem}-output"


def _terminal() -> TextIO | None:
    """Where a line can be rewritten in place, if messages go to a terminal."""
    return sys.stderr if sys.stderr.isatty() else None


def _end(record: dict[str, Any], output: Path, strict: bool) -> None:
    """Show a finished run, and exit with the status that it deserves."""
    _show(record, output)
    if record["unreadable"]:
        sys.exit(3)
    if record["warnings"] and strict:
        sys.exit(1)


def _say(line: str) -> None:
    click.echo(line, err=True)


def _show(record: dict[str, Any], output: Path) -> None:
    """The few numbers that people look for first."""
    grid, groups = record["grid"], record["groups"]
    click.echo(
        f"{record['project']['name']}: {grid['valid_cells']:,} cells, {grid['area_km2']:,.0f} km2, "
        f"{groups['k']} groups, {record['target_count']} targets"
    )
    for target in record["targets"][:5]:
        drivers = ", ".join(target["drivers"])
        click.echo(
            f"  {target['rank']:>2}  {target['area_km2']:8.2f} km2  at {target['lon']:.4f}, {target['lat']:.4f}  "
            f"prospectivity {target['prospectivity']:.3f}  confidence {target['confidence']:.2f}  by {drivers}"
        )
    if record["validation"]:
        click.echo(f"AUC on {record['validation']['occurrences']} known occurrences (never used for fitting):")
        for name, figures in record["validation"]["methods"].items():
            interval = "" if figures["auc_low"] is None else f"  [{figures['auc_low']:.3f}, {figures['auc_high']:.3f}]"
            click.echo(f"  {name:<14} {figures['auc']:.3f}{interval}")
        simple = {n: f["auc"] for n, f in record["validation"].get("baselines", {}).items() if "auc" in f}
        if simple:
            best = sorted(simple, key=lambda name: -simple[name])[:3]
            told = ", ".join(f"{name} {simple[name]:.3f}" for name in best)
            click.echo(f"  the best of {len(simple)} simple methods: {told}")
    click.echo(f"Open {output / 'report.html'}; the maps and targets.gpkg open in QGIS.")
