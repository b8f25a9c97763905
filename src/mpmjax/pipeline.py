"""The story: sources in, maps and ranked targets out. The only file that knows all stages."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from mpmjax.autoencoder.checkpoint import ARRAYS, REST, load_screener, save_screener
from mpmjax.errors import DataError, ProjectError
from mpmjax.evidence.sources import require_unchanged, source_files
from mpmjax.ops.backend import require as require_backend
from mpmjax.products import CLASSES, PRODUCTS
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
from mpmjax.stages.screen import require_layers, require_room
from mpmjax.stages.screen import screen as screen_tiles
from mpmjax.stages.targets import targets
from mpmjax.stages.train import train
from mpmjax.stages.validate import validate as judge_maps
from mpmjax.stream.cache import Cache
from mpmjax.stream.files import output_folder, write_file
from mpmjax.stream.memory import steady_heap
from mpmjax.stream.reader import gdal_environment
from mpmjax.types import Evidence, Sample, Screener

Say = Callable[[str], None]
RECORD = "run.json"
EVIDENCE = "evidence"
"""Folder of the prepared layers inside an output folder."""
OUTPUTS = (
    *(f"{product.name}.{kind}" for product in (*PRODUCTS, CLASSES) for kind in ("tif", "qml")),
    *("targets.gpkg", ARRAYS, REST, "project.toml"),
)
"""What a run leaves besides the report and run.json, which name the checksums of these."""


class Run:
    """One piece of work: its project, its output folder, and what it tells on the way."""

    def __init__(self, project: Project | str | Path, output: str | Path | None, say: Say, command: str) -> None:
        self.project = project if isinstance(project, Project) else load_project(project)
        self.output = Path(output) if output is not None else default_output(self.project)
        self.say, self.command = say, command
        self.times: dict[str, float] = {}
        shared = self.project.stream.cache
        self.cache = Cache(self.output / EVIDENCE if shared is None else self.project.path(shared))
        require_backend(self.project.stream.backend)
        self._refuse_inputs_as_outputs()

    def _refuse_inputs_as_outputs(self) -> None:
        """An output may not take the place of a file that the project reads, nor the cache grow on itself."""
        written = {(self.output / name).resolve() for name in (*OUTPUTS, "report.html", RECORD)}
        kept = self.cache.folder.resolve()
        read = [self.project.path(path) for path in self.project.files]
        clash = next((p for p in read if p.resolve() in written or kept in p.resolve().parents), None)
        if clash is not None and kept in clash.resolve().parents:
            raise ProjectError(
                f"{clash}: is read by this project and lies in the folder of its prepared layers, {self.cache.folder}. "
                "Move one of them."
            )
        if clash is not None:
            raise ProjectError(f"{clash}: is read by this project and would be overwritten. Choose another --output.")

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time a stage and say when it is done."""
        start = time.perf_counter()
        yield
        self.times[name] = time.perf_counter() - start
        self.say(f"{name:<11} {self.times[name]:7.1f} s")

    def tidy(self) -> None:
        """Remove prepared layers that were not asked for. Not before the work is done: until then an earlier run's are
        the ones that its run.json tells of. A shared folder is left alone."""
        if self.project.stream.cache is None:
            self.cache.prune()

    def progress(self, done: int, total: int) -> None:
        """A line at every tenth of the tiles."""
        if total >= 10 and done * 10 // total > (done - 1) * 10 // total and done < total:
            self.say(f"  screened {done} of {total} tiles")


def default_output(project: Project) -> Path:
    """NAME-output beside the project file NAME.toml."""
    name = project.file.stem if project.file is not None else project.project.name
    return project.folder / f"{name}-output"


def run(
    project: Project | str | Path, output: str | Path | None = None, *, say: Say = lambda line: None, command: str = ""
) -> dict[str, Any]:
    """Fit on the project's district and screen it.

    Args:
        project: a project or the path of its file.
        output: folder of the outputs; default "NAME-output" beside the project file NAME.toml.
        say: gets a line for every stage that is done.

    Returns:
        The record that run.json holds.

    Raises:
        MpmError: a child that says what is wrong and what to do; nothing is left under a final name that is not whole.
    """
    this = Run(project, output, say, command or "mpmjax.run")
    with _workspace(this) as scratch:
        evidence = _prepare(this, scratch)
        require_room(evidence, this.project.stream, scratch)
        screener = _fit(this, evidence)
        return _apply(this, evidence, screener, scratch)


def prepare(
    project: Project | str | Path, output: str | Path | None = None, *, say: Say = lambda line: None
) -> Evidence:
    """Prepare only: every layer on the grid, in the folder `evidence` of `output` (or [stream] cache).

    What was prepared before, from the same sources and parameters, stays as it is. Returns the evidence stack.
    """
    this = Run(project, output, say, "mpmjax.prepare")
    with _workspace(this) as scratch:
        evidence = _prepare(this, scratch, maps=False)
        if not (this.output / RECORD).exists():  # a finished run's run.json tells of other layers there
            this.tidy()
        return evidence


def fit(project: Project | str | Path, output: str | Path | None = None, *, say: Say = lambda line: None) -> Screener:
    """Fit only: screener.safetensors and screener.json in `output`, to screen other districts with."""
    this = Run(project, output, say, "mpmjax.fit")
    with _workspace(this) as scratch:
        evidence = _prepare(this, scratch, maps=False)
        screener = _fit(this, evidence)
        require_unchanged(evidence.stamps)
        (this.output / RECORD).unlink(missing_ok=True)  # the maps of an earlier run are not this Screener's
        save_screener(screener, this.output)
        this.tidy()
        return screener


def screen(
    project: Project | str | Path,
    screener: Screener | str | Path,
    output: str | Path | None = None,
    *,
    say: Say = lambda line: None,
    command: str = "",
) -> dict[str, Any]:
    """Screen a project's district with a Screener fitted elsewhere. Same outputs as `run`."""
    this = Run(project, output, say, command or "mpmjax.screen")
    fitted = screener if isinstance(screener, Screener) else load_screener(screener)
    with _workspace(this) as scratch:
        return _apply(this, _prepare(this, scratch), fitted, scratch)


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
    with _workspace(this) as scratch:
        evidence, screener = _finished(this, record, scratch)
        labels = source_files(this.project, [known.occurrences]).sums
        if all(section.source != known.occurrences for section in this.project.layers):
            evidence = replace(evidence, inputs={n: d for n, d in evidence.inputs.items() if n not in labels})
        _refuse_other_inputs(record, evidence)
        if not known.baselines:
            record["times"].pop("baselines", None)  # of an earlier judgement
        record["validation"] = _judge(this, evidence, screener, known, int(record["grid"]["valid_cells"]))
        record["cuts"] = {**record.get("cuts", {}), **pa_cut(record["validation"])}
        record["settings"]["validate"] = known.model_dump(mode="json")
        record["inputs"] |= labels
        del this.times["prepare"]  # that of the run stands in the record
        return _finish(this, record)


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
    with _workspace(this) as scratch:
        evidence, screener = _finished(this, record, scratch)
        _refuse_other_inputs(record, evidence)
        drawn = _some_cells(this, evidence, screener, ORDINARY)
        return say_why(asked, evidence, screener, drawn, this.output, record)


def _finished(this: Run, record: Mapping[str, Any], scratch: Path) -> tuple[Evidence, Screener]:
    """What the maps of a finished run were made from, if the project still says the same."""
    evidence, screener = _prepare(this, scratch), load_screener(this.output)
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
    path = _draw(record, output)
    record["outputs"] |= output_checksums(output, [path])
    _write_record(record, output)
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


def read_record(output: Path) -> dict[str, Any]:
    """run.json of a finished run.

    Raises:
        DataError: there is none, or it is damaged.
    """
    path = output / RECORD
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(record, dict) or not {"grid", "outputs", "times", "layers"} <= record.keys():
            raise ValueError("it holds no record")
        return record
    except FileNotFoundError as error:
        raise DataError(f"{path}: not there, so {output} holds no finished run. Run the project first.") from error
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read ({error}). Run the project again.") from error


@contextmanager
def _workspace(this: Run) -> Iterator[Path]:
    steady_heap()
    with gdal_environment(), output_folder(this.output) as scratch:
        try:
            yield scratch
        except BaseException:
            if this.project.stream.cache is None:
                this.cache.drop_if_bare()
            raise


def _prepare(this: Run, scratch: Path, *, maps: bool = True) -> Evidence:
    with this.stage("prepare"):
        evidence = lay_on_grid(this.project, scratch, this.cache, this.say, maps=maps)
    for note in evidence.notes:
        this.say(f"  note: {note}")
    return evidence


def _fit(this: Run, evidence: Evidence) -> Screener:
    model, workers = this.project.model, this.project.stream.workers
    with this.stage("sample"):
        drawn = sample(evidence, model.sample, model.min_coverage, model.seed, workers)
    with this.stage("fuzzify"):
        fuzzy = fuzzify(this.project, evidence, drawn)
        weights = layer_weights(evidence.layers, fuzzy)
    with this.stage("train"):
        ensemble = train(model, fuzzy, workers, weights, this.say)
    with this.stage("group"):
        grouping = group(model, weights, fuzzy, ensemble)
    with this.stage("confidence"):
        forms = [(section.membership, section.transform) for section in this.project.layers]
        share = this.project.targets.area_share
        return confidence(model, evidence, forms, share, fuzzy, ensemble, grouping)


def _apply(this: Run, evidence: Evidence, screener: Screener, scratch: Path) -> dict[str, Any]:
    project, output = this.project, this.output
    require_layers(screener, evidence, [section.transform for section in project.layers])
    require_room(evidence, project.stream, scratch)
    (output / RECORD).unlink(missing_ok=True)  # from here on the folder holds no finished run until it is written again
    forget(output)
    with this.stage("screen"):
        screening = screen_tiles(screener, evidence, project.stream, output, scratch, this.progress)
    with this.stage("targets"):
        found, thresholds = targets(project.targets, screening, evidence.grid, screener.layer_names, output, scratch)
        deliver(screener, found, evidence.grid, output)
    save_screener(screener, output)
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
    return _finish(this, record)


def _judge(this: Run, evidence: Evidence, screener: Screener, known: ValidateSection, cells: int) -> dict[str, Any]:
    """What the occurrences say of the finished maps; `cells` of them were scored."""
    with this.stage("validate"):
        found = judge_maps(evidence, screener, this.output, known.bootstrap, this.project.stream.workers)
    if not known.baselines:
        return found
    draw = partial(_some_cells, this, evidence, screener)
    with this.stage("baselines"):
        return found | rivals(evidence, screener, found["xy"], cells, known.bootstrap, draw)


def _some_cells(this: Run, evidence: Evidence, screener: Screener, most: int) -> Sample:
    model, coverage = this.project.model, float(screener.settings["min_coverage"])
    return sample(evidence, min(most, model.sample), coverage, model.seed, this.project.stream.workers)


def _finish(this: Run, record: dict[str, Any]) -> dict[str, Any]:
    """The report, and run.json last: where it stands, everything else is whole."""
    with this.stage("report"):
        path = _draw(record, this.output)
    record["times"] |= {stage: round(seconds, 3) for stage, seconds in this.times.items()}
    record["outputs"] |= output_checksums(this.output, [path])
    _write_record(record, this.output)
    return record


def _draw(record: Mapping[str, Any], output: Path) -> Path:
    """The report, from what was known before it: of its own checksum and time it could only show old ones."""
    known = {
        "outputs": {name: digest for name, digest in record["outputs"].items() if name != "report.html"},
        "times": {stage: seconds for stage, seconds in record["times"].items() if stage != "report"},
    }
    return draw_report({**record, **known}, output)


def _write_record(record: Mapping[str, Any], output: Path) -> None:
    write_file(output / RECORD, json.dumps(record, indent=1, allow_nan=False))
