"""The story: sources in, maps and ranked targets out. The only file that knows all stages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TextIO

from mpmjax.autoencoder.checkpoint import ARRAYS, REST, load_screener, save_screener, screener_checksum
from mpmjax.errors import DataError
from mpmjax.evidence.sources import require_unchanged
from mpmjax.pipeline_work import OUTPUTS, RECORD, Run, Say, read_record, write_record
from mpmjax.project import Project, load_project
from mpmjax.project_sections import ValidateSection
from mpmjax.reporting.record import build_record, grid_record, output_checksums, pa_cut
from mpmjax.scoring.thresholds import outlier_cut
from mpmjax.scoring.weights import layer_weights
from mpmjax.stages.compare import compare as side_by_side
from mpmjax.stages.confidence import confidence
from mpmjax.stages.deliver import deliver
from mpmjax.stages.explain import ORDINARY, Question, forget
from mpmjax.stages.explain import explain as say_why
from mpmjax.stages.fuzzify import fuzzify
from mpmjax.stages.group import group
from mpmjax.stages.prepare import prepare as lay_on_grid
from mpmjax.stages.report import report as draw_report
from mpmjax.stages.rivals import rivals
from mpmjax.stages.sample import sample
from mpmjax.stages.screen import require_layers
from mpmjax.stages.screen import screen as screen_tiles
from mpmjax.stages.targets import targets
from mpmjax.stages.validate import validate as judge_maps
from mpmjax.stages.verify import verify as check_files
from mpmjax.stream.files import write_file
from mpmjax.stream.reader import gdal_environment
from mpmjax.stream.room import plan_room, require_space
from mpmjax.stream.workfolder import WorkFolder, work_folder
from mpmjax.types import Evidence, Sample, Screener


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

    What an earlier run of the same project, inputs and code finished in the folder is not done again: an interrupted run
    goes on, of a finished one that was damaged the damage is repaired, and of a whole one nothing is done.

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
        this.claim(work)
        finished = _already(this, work)
        if finished is not None:
            return finished
        evidence = _prepare(this, work)
        _require_room(this, evidence, work)
        screener = _fitted(this, evidence, work)
        return _apply(this, evidence, screener, work)


def prepare(
    project: Project | str | Path, output: str | Path | None = None, *, say: Say = lambda line: None
) -> Evidence:
    """Prepare only: every layer on the grid, in the folder `evidence` of `output` (or [stream] cache).

    What was prepared before, from the same sources and parameters, stays as it is. Returns the evidence stack.
    """
    this = Run(project, output, say, "mpmjax.prepare")
    with this.workspace() as work:
        evidence = _prepare(this, work, maps=False)
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
        if _is_fitted(work):
            return load_screener(this.output)
        screener = _fitted(this, _prepare(this, work, maps=False), work)
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
    """Screen a project's district with a Screener fitted elsewhere. Same outputs, and same other arguments, as `run`."""
    this = Run(project, output, say, command or "mpmjax.screen", fresh, live)
    fitted = screener if isinstance(screener, Screener) else load_screener(screener)
    with this.workspace() as work:
        checksum = screener_checksum(fitted)
        own = work.manifest.files().get(REST) == checksum and not fresh  # `fit` made it in this folder
        this.claim(work) if own else this.claim(work, checksum)
        finished = _already(this, work)
        if finished is not None:
            return finished
        evidence = _prepare(this, work)
        require_layers(fitted, evidence, [section.transform for section in this.project.layers])
        _require_room(this, evidence, work)
        if not _is_fitted(work):
            work.add_files(*save_screener(fitted, this.output))
        return _apply(this, evidence, fitted, work)


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
        found = check_files(work, read_record(output) if (output / RECORD).exists() else None)
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
        evidence, screener = _finished(this, record, work)
        if this.label_sums:
            evidence = replace(evidence, inputs={n: d for n, d in evidence.inputs.items() if n not in this.label_sums})
        _refuse_other_inputs(record, evidence)
        if not known.baselines:
            record["times"].pop("baselines", None)  # of an earlier judgement
        record["validation"] = _judge(this, evidence, screener, known, int(record["grid"]["valid_cells"]))
        record["cuts"] = {**record.get("cuts", {}), **pa_cut(record["validation"])}
        record["settings"]["validate"] = known.model_dump(mode="json")
        record["inputs"] |= {n: d for n, d in this.files.sums.items() if n in this.label_sums}
        del this.times["prepare"]  # that of the run stands in the record
        return _finish(this, record, work)


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
        evidence, screener = _finished(this, record, work)
        _refuse_other_inputs(record, evidence)
        drawn = _some_cells(this, evidence, screener, ORDINARY)
        return say_why(asked, evidence, screener, drawn, this.output, record)


def _finished(this: Run, record: Mapping[str, Any], work: WorkFolder) -> tuple[Evidence, Screener]:
    """What the maps of a finished run were made from, if the project still says the same."""
    evidence, screener = _prepare(this, work), load_screener(this.output)
    require_layers(screener, evidence, [section.transform for section in this.project.layers])
    own = grid_record(evidence.grid)
    if own != {name: record["grid"].get(name) for name in own}:
        raise DataError(f"{this.output}: its maps are not on this project's grid. Run the project again.")
    return evidence, screener


def _refuse_other_inputs(record: Mapping[str, Any], evidence: Evidence) -> None:
    """What is said of the maps beside other figures must see what the maps were made from."""
    changed = [name for name, digest in evidence.inputs.items() if digest != record["inputs"].get(name, digest)]
    if changed:
        raise DataError(f"{', '.join(changed[:5])}: changed since the maps were made. Run the project again.")


def report(output: str | Path) -> Path:
    """Draw the report of a finished run again, from its files. Returns report.html."""
    output = Path(output)
    record = read_record(output)
    with work_folder(output) as work:
        path = _draw(record, output)
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


def _already(this: Run, work: WorkFolder) -> dict[str, Any] | None:
    """The record of a finished run of the same project, if every file of it is whole; else what was finished is told."""
    try:
        record = read_record(this.output)
    except DataError:  # not finished, or run.json itself is damaged
        return None
    judged = this.project.validate_
    if record["settings"].get("validate") != (None if judged is None else judged.model_dump(mode="json")) or any(
        record["inputs"].get(name) != digest for name, digest in this.files.sums.items()
    ):
        this.say("The maps were finished before; what judges them has changed.")
    else:
        damaged = check_files(work, record).damaged
        if not damaged:
            this.say("Finished before, and every file is whole: nothing to do. --fresh starts over.")
            return record
        for sentence in damaged:
            this.say(f"  {sentence}")
    (this.output / RECORD).unlink()  # until all is whole again the folder holds no finished run
    return None


def _prepare(this: Run, work: WorkFolder, *, maps: bool = True) -> Evidence:
    with this.progress.stage("prepare"):
        evidence = lay_on_grid(this.project, this.files, work.scratch, this.cache, this.say, maps=maps)
    for note in evidence.notes:
        this.say(f"  note: {note}")
    return evidence


def _require_room(this: Run, evidence: Evidence, work: WorkFolder) -> None:
    """Asked before a long fit, not after it."""
    plan_room(evidence, this.project.stream)
    require_space(evidence, work.scratch)


def _is_fitted(work: WorkFolder) -> bool:
    return work.finished(ARRAYS) and work.finished(REST)


def _fitted(this: Run, evidence: Evidence, work: WorkFolder) -> Screener:
    """The Screener of this project as it stands in the output folder; fitted if it does not."""
    if not _is_fitted(work):
        screener = _fit(this, evidence)
        require_unchanged(evidence.stamps)
        work.add_files(*save_screener(screener, this.output))
    return load_screener(this.output)


def _fit(this: Run, evidence: Evidence) -> Screener:
    model, workers = this.project.model, this.project.stream.workers
    with this.progress.stage("sample"):
        drawn = sample(evidence, model.sample, model.min_coverage, model.seed, workers)
    with this.progress.stage("fuzzify"):
        fuzzy = fuzzify(this.project, evidence, drawn)
        weights = layer_weights(evidence.layers, fuzzy)
    with this.progress.stage("train"):
        ensemble = train(model, fuzzy, workers, weights, this.say)
    with this.progress.stage("group"):
        grouping = group(model, weights, fuzzy, ensemble)
    with this.progress.stage("confidence"):
        forms = [(section.membership, section.transform) for section in this.project.layers]
        share = this.project.targets.area_share
        return confidence(model, evidence, forms, share, fuzzy, ensemble, grouping)


def _apply(this: Run, evidence: Evidence, screener: Screener, work: WorkFolder) -> dict[str, Any]:
    project, output = this.project, this.output
    require_layers(screener, evidence, [section.transform for section in project.layers])
    forget(output)
    with this.progress.stage("screen"):
        screening = screen_tiles(screener, evidence, project.stream, work, this.progress)
    with this.progress.stage("targets"):
        found, thresholds = targets(
            project.targets, screening, evidence.grid, screener.layer_names, output, work.scratch
        )
        deliver(screener, found, evidence.grid, output)
    copy = output / "project.toml"
    if project.text is None:
        copy.unlink(missing_ok=True)  # of an earlier run
    elif project.file != copy.absolute():
        write_file(copy, project.text)
    validation: Mapping[str, Any] | None = None
    if project.validate_ is not None:
        validation = _judge(this, evidence, screener, project.validate_, screening.valid_cells)
    require_unchanged(evidence.stamps)  # layers that lie on the grid were read where they are
    cuts = outlier_cut(screening.histogram)
    record = build_record(
        project, evidence, screener, screening, found, thresholds, cuts, validation, this.command, this.times
    )
    record["inputs"] = dict(evidence.inputs)
    record["outputs"] = output_checksums(output, [path for name in OUTPUTS if (path := output / name).exists()])
    this.tidy()
    return _finish(this, record, work)


def _judge(this: Run, evidence: Evidence, screener: Screener, known: ValidateSection, cells: int) -> dict[str, Any]:
    """What the occurrences say of the finished maps; `cells` of them were scored."""
    with this.progress.stage("validate"):
        found = judge_maps(evidence, screener, this.output, known.bootstrap, this.project.stream.workers)
    if not known.baselines:
        return found
    draw = partial(_some_cells, this, evidence, screener)
    with this.progress.stage("baselines"):
        return found | rivals(evidence, screener, found["xy"], cells, known.bootstrap, draw)


def _some_cells(this: Run, evidence: Evidence, screener: Screener, most: int) -> Sample:
    model, coverage = this.project.model, float(screener.settings["min_coverage"])
    return sample(evidence, min(most, model.sample), coverage, model.seed, this.project.stream.workers)


def _finish(this: Run, record: dict[str, Any], work: WorkFolder) -> dict[str, Any]:
    """The report, and run.json last: where it stands, everything else is whole."""
    with this.progress.stage("report"):
        path = _draw(record, this.output)
    record["times"] |= {stage: round(seconds, 3) for stage, seconds in this.times.items()}
    record["outputs"] |= output_checksums(this.output, [path])
    write_record(record, work)
    return record


def _draw(record: Mapping[str, Any], output: Path) -> Path:
    """The report, from what was known before it: of its own checksum and time it could only show old ones."""
    known = {
        "outputs": {name: digest for name, digest in record["outputs"].items() if name != "report.html"},
        "times": {stage: seconds for stage, seconds in record["times"].items() if stage != "report"},
    }
    return draw_report({**record, **known}, output)
