"""The story: sources in, maps and ranked targets out. The only file that knows all stages."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, TextIO

from mpmjax.autoencoder.checkpoint import load_screener, save_screener, screener_checksum
from mpmjax.errors import DataError
from mpmjax.pipeline_steps import (
    already_done,
    apply,
    draw,
    finish,
    finished_run,
    fitted_screener,
    is_fitted,
    judge,
    prepared,
    refuse_other_inputs,
    require_room,
    some_cells,
)
from mpmjax.pipeline_work import RECORD, Run, Say, read_record, whole_record, write_record
from mpmjax.project import Project, load_project
from mpmjax.reporting.record import output_checksums, pa_cut
from mpmjax.scoring.suited import require_layers
from mpmjax.stages.compare import compare as side_by_side
from mpmjax.stages.explain import ORDINARY, Question
from mpmjax.stages.explain import explain as say_why
from mpmjax.stages.verify import verify as check_files
from mpmjax.stream.reader import gdal_environment
from mpmjax.stream.workfolder import work_folder
from mpmjax.types import Evidence, Screener


def run(
    project: Project | str | Path,
    output: str | Path | None = None,
    *,
    say: Say = lambda line: None,
    command: str = "",
    fresh: bool = False,
    live: TextIO | None = None,
) -> dict[str, Any]:
    """Fit on the project's district and screen it.

    What an earlier run of the same project, inputs and code finished in the folder is not done again: an interrupted
    run goes on, of a finished one that was damaged the damage is repaired, and of a whole one nothing is done.

    Args:
        project: a project or the path of its file.
        output: folder of the outputs; default "NAME-output" beside the project file NAME.toml.
        say: gets a line for every stage that is done.
        fresh: start over, whatever stands in the folder.
        live: a terminal, which gets a line that is rewritten in place.

    Returns:
        The record that run.json holds.

    Raises:
        MpmError: a child that says what is wrong and what to do; nothing is left under a final name that is not whole.
    """
    this = Run(project, output, say, command or "mpmjax.run", fresh, live)
    with this.workspace() as work:
        finished = already_done(this, work) if this.claim(work) else None
        if finished is not None:
            return finished
        evidence = prepared(this, work)
        require_room(this, evidence, work)
        screener = fitted_screener(this, evidence, work)
        return apply(this, evidence, screener, work)


def prepare(
    project: Project | str | Path, output: str | Path | None = None, *, say: Say = lambda line: None
) -> Evidence:
    """Prepare only: every layer on the grid, in the folder `evidence` of `output` (or [stream] cache).

    What was prepared before, from the same sources and parameters, stays as it is. Returns the evidence stack.
    """
    this = Run(project, output, say, "mpmjax.prepare")
    with this.workspace() as work:
        evidence = prepared(this, work, maps=False)
        if not (this.output / RECORD).exists():  # a finished run's run.json tells of other layers there
            this.tidy()
        return evidence


def fit(
    project: Project | str | Path,
    output: str | Path | None = None,
    *,
    say: Say = lambda line: None,
    fresh: bool = False,
    live: TextIO | None = None,
) -> Screener:
    """Fit only: screener.safetensors and screener.json in `output`, to screen other districts with.

    `run` in the same folder then goes on from there. Arguments as there.
    """
    this = Run(project, output, say, "mpmjax.fit", fresh, live)
    with this.workspace() as work:
        this.claim(work)
        if is_fitted(work):
            return load_screener(this.output)
        screener = fitted_screener(this, prepared(this, work, maps=False), work)
        this.tidy()
        return screener


def screen(
    project: Project | str | Path,
    screener: Screener | str | Path,
    output: str | Path | None = None,
    *,
    say: Say = lambda line: None,
    command: str = "",
    fresh: bool = False,
    live: TextIO | None = None,
) -> dict[str, Any]:
    """Screen a project's district with a Screener fitted elsewhere. Outputs and other arguments are those of `run`."""
    this = Run(project, output, say, command or "mpmjax.screen", fresh, live)
    fitted = screener if isinstance(screener, Screener) else load_screener(screener)
    with this.workspace() as work:
        finished = already_done(this, work) if this.claim(work, screener_checksum(fitted)) else None
        if finished is not None:
            return finished
        evidence = prepared(this, work)
        require_layers(fitted, evidence, [section.transform for section in this.project.layers])
        require_room(this, evidence, work)
        if not is_fitted(work):
            this.unfinish()
            work.add_files(*save_screener(fitted, this.output))
        return apply(this, evidence, fitted, work)


def verify(output: str | Path, *, say: Say = lambda line: None) -> list[str]:
    """Hold every file of a run, finished or not, against its checksum. Changes nothing.

    Args:
        say: gets a line about what was looked at.

    Returns:
        A sentence for each file that is damaged or gone; none where all is whole.

    Raises:
        DataError: no run was ever begun in this folder.
        FolderError: a run is at work there.
    """
    output = Path(output)
    if not output.is_dir():
        raise DataError(f"{output}: no such folder. Name the output folder of a run.")
    with gdal_environment(), work_folder(output) as work:
        found = check_files(work, whole_record(work))
    say(f"{found.checked} files and tiles were held against their checksums.")
    return list(found.damaged)


def validate(
    project: Project | str | Path, output: str | Path | None = None, *, say: Say = lambda line: None
) -> dict[str, Any]:
    """Judge the maps of a finished run by the project's occurrences; renews report and run.json.

    Raises:
        DataError: no finished run in `output`, no [validate] in the project, or the run's grid is not the project's.
        ScreenerError: the run's layers are not the project's.
    """
    this = Run(project, output, say, "mpmjax.validate")
    record, known = read_record(this.output), this.project.validate_
    if known is None:
        raise DataError('No occurrences: add [validate] with occurrences = "file" to the project file.')
    with this.workspace() as work:
        evidence, screener = finished_run(this, record, work)
        if this.label_sums:
            evidence = replace(evidence, inputs={n: d for n, d in evidence.inputs.items() if n not in this.label_sums})
        refuse_other_inputs(record, evidence)
        if not known.baselines:
            record["times"].pop("baselines", None)  # of an earlier judgement
        record["validation"] = judge(this, evidence, screener, known, int(record["grid"]["valid_cells"]))
        record["cuts"] = {**record.get("cuts", {}), **pa_cut(record["validation"])}
        record["settings"]["validate"] = known.model_dump(mode="json")
        record["inputs"] |= {n: d for n, d in this.files.sums.items() if n in this.label_sums}
        del this.times["prepare"]  # that of the run stands in the record
        return finish(this, record, work)


def explain(
    project: Project | str | Path,
    output: str | Path | None = None,
    at: tuple[float, float] | None = None,
    target: int | None = None,
    lonlat: bool = False,
    sensitivity: bool = False,
    say: Say = lambda line: None,
) -> dict[str, Any]:
    """Why a cell or a target of a finished run got its scores; writes one figure beside the maps.

    Arguments are those of `Question` in stages/explain.py, which tells what is returned and what is refused; besides,
    DataError where `output` holds no finished run of the project's data.
    """
    asked = Question(at, target, lonlat, sensitivity)
    stated = project if isinstance(project, Project) else load_project(project)
    this = Run(stated.model_copy(update={"validate_": None}), output, say, "mpmjax.explain")  # no label is even read
    record = read_record(this.output)
    with this.workspace() as work:
        evidence, screener = finished_run(this, record, work)
        refuse_other_inputs(record, evidence)
        drawn = some_cells(this, evidence, screener, ORDINARY)
        return say_why(asked, evidence, screener, drawn, this.output, record)


def report(output: str | Path) -> Path:
    """Draw the report of a finished run again, from its files. Returns report.html."""
    output = Path(output)
    record = read_record(output)
    with work_folder(output) as work:
        path = draw(record, output)
        record["outputs"] |= output_checksums(output, [path])
        write_record(record, work)
    return path


def compare(a: str | Path, b: str | Path) -> dict[str, Any]:
    """Lay two finished runs of one grid side by side: maps, groups, best areas, targets, and what was fitted otherwise.

    Args:
        a, b: their output folders. Nothing is written.

    Returns:
        Plain values, as of stages/compare.py.

    Raises:
        DataError: no finished run, a file that is not the run's, or grids that are not the same.
        ScreenerError: a Screener cannot be read.
    """
    folders = Path(a), Path(b)
    records = read_record(folders[0]), read_record(folders[1])
    with gdal_environment():
        return side_by_side(folders, records)
