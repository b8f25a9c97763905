"""The steps that the stories of pipeline.py share: each one or a few stages, in their order."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from mpmjax.autoencoder.checkpoint import ARRAYS, REST, load_screener, save_screener
from mpmjax.errors import DataError
from mpmjax.evidence.sources import require_unchanged
from mpmjax.pipeline_work import OUTPUTS, RECORD, Run, whole_record, write_record
from mpmjax.project_sections import ValidateSection
from mpmjax.reporting.record import build_record, grid_record, output_checksums
from mpmjax.scoring.suited import require_layers
from mpmjax.scoring.thresholds import outlier_cut
from mpmjax.scoring.weights import layer_weights
from mpmjax.stages.confidence import confidence
from mpmjax.stages.deliver import deliver
from mpmjax.stages.explain import forget
from mpmjax.stages.fuzzify import fuzzify
from mpmjax.stages.group import group
from mpmjax.stages.prepare import prepare as lay_on_grid
from mpmjax.stages.report import report as draw_report
from mpmjax.stages.rivals import rivals
from mpmjax.stages.sample import sample
from mpmjax.stages.screen import screen as screen_tiles
from mpmjax.stages.targets import targets
from mpmjax.stages.train import train
from mpmjax.stages.validate import validate as judge_maps
from mpmjax.stages.verify import verify as check_files
from mpmjax.stream.files import write_file
from mpmjax.stream.room import plan_room, require_space
from mpmjax.stream.workfolder import WorkFolder
from mpmjax.types import Evidence, Sample, Screener


def finished_run(this: Run, record: Mapping[str, Any], work: WorkFolder) -> tuple[Evidence, Screener]:
    """What the maps of a finished run were made from, if the project still says the same."""
    evidence, screener = prepared(this, work), load_screener(this.output)
    require_layers(screener, evidence, [section.transform for section in this.project.layers])
    own = grid_record(evidence.grid)
    if own != {name: record["grid"].get(name) for name in own}:
        raise DataError(f"{this.output}: its maps are not on this project's grid. Run the project again.")
    return evidence, screener


def refuse_other_inputs(record: Mapping[str, Any], evidence: Evidence) -> None:
    """What is said of the maps beside other figures must see what the maps were made from."""
    changed = [name for name, digest in evidence.inputs.items() if digest != record["inputs"].get(name, digest)]
    if changed:
        raise DataError(f"{', '.join(changed[:5])}: changed since the maps were made. Run the project again.")


def already_done(this: Run, work: WorkFolder) -> dict[str, Any] | None:
    """The record of a finished run of the same project, if every file of it is whole; else what is not is told."""
    record = whole_record(work)
    if record is None:
        if (this.output / RECORD).exists():
            this.say(f"  {this.output / RECORD}: is damaged, and written anew.")
            this.unfinish()
        return None
    if record.get("fingerprint") != work.begun:
        return None  # of an earlier run of something else, which this one had not come to replace
    judged = this.project.validate_
    if record["settings"].get("validate") != (None if judged is None else judged.model_dump(mode="json")) or any(
        record["inputs"].get(name) != digest for name, digest in this.files.sums.items()
    ):
        this.say("The maps were finished before; what judges them has changed.")
    else:
        damaged = check_files(work, record).damaged
        if not damaged:
            if RECORD not in work.manifest.files():  # the run ended between the two
                work.add_files(this.output / RECORD)
            this.say("Finished before, and every file is whole: nothing to do. --fresh starts over.")
            return record
        for sentence in damaged:
            this.say(f"  {sentence}")
    this.unfinish()
    return None


def prepared(this: Run, work: WorkFolder, *, maps: bool = True) -> Evidence:
    with this.progress.stage("prepare"):
        evidence = lay_on_grid(this.project, work.scratch, this.cache, this.say, files=this.files, maps=maps)
    for note in evidence.notes:
        this.say(f"  note: {note}")
    return evidence


def require_room(this: Run, evidence: Evidence, work: WorkFolder) -> None:
    """Asked before a long fit, not after it."""
    plan_room(evidence, this.project.stream)
    require_space(evidence, work)


def is_fitted(work: WorkFolder) -> bool:
    return work.finished(ARRAYS) and work.finished(REST)


def fitted_screener(this: Run, evidence: Evidence, work: WorkFolder) -> Screener:
    """The Screener of this project as it stands in the output folder; fitted if it does not."""
    if not is_fitted(work):
        screener = fit(this, evidence)
        require_unchanged(evidence.stamps)
        this.unfinish()
        work.add_files(*save_screener(screener, this.output))
    return load_screener(this.output)


def fit(this: Run, evidence: Evidence) -> Screener:
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


def apply(this: Run, evidence: Evidence, screener: Screener, work: WorkFolder) -> dict[str, Any]:
    project, output = this.project, this.output
    require_layers(screener, evidence, [section.transform for section in project.layers])
    this.unfinish()
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
        validation = judge(this, evidence, screener, project.validate_, screening.valid_cells)
    require_unchanged(evidence.stamps)  # layers that lie on the grid were read where they are
    cuts = outlier_cut(screening.histogram)
    record = build_record(
        project, evidence, screener, screening, found, thresholds, cuts, validation, this.command, this.times
    )
    record["inputs"], record["fingerprint"] = dict(evidence.inputs), work.begun
    record["outputs"] = output_checksums(output, [path for name in OUTPUTS if (path := output / name).exists()])
    this.tidy()
    return finish(this, record, work)


def judge(this: Run, evidence: Evidence, screener: Screener, known: ValidateSection, cells: int) -> dict[str, Any]:
    """What the occurrences say of the finished maps; `cells` of them were scored."""
    with this.progress.stage("validate"):
        found = judge_maps(evidence, screener, this.output, known.bootstrap, this.project.stream.workers)
    if not known.baselines:
        return found
    draw = partial(some_cells, this, evidence, screener)
    with this.progress.stage("baselines"):
        return found | rivals(evidence, screener, found["xy"], cells, known.bootstrap, draw)


def some_cells(this: Run, evidence: Evidence, screener: Screener, most: int) -> Sample:
    model, coverage = this.project.model, float(screener.settings["min_coverage"])
    return sample(evidence, min(most, model.sample), coverage, model.seed, this.project.stream.workers)


def finish(this: Run, record: dict[str, Any], work: WorkFolder) -> dict[str, Any]:
    """The report, and run.json last: where it stands, everything else is whole."""
    with this.progress.stage("report"):
        path = draw(record, this.output)
    record["times"] |= {stage: round(seconds, 3) for stage, seconds in this.times.items()}
    record["outputs"] |= output_checksums(this.output, [path])
    write_record(record, work)
    return record


def draw(record: Mapping[str, Any], output: Path) -> Path:
    """The report, from what was known before it: of its own checksum and time it could only show old ones."""
    known = {
        "outputs": {name: digest for name, digest in record["outputs"].items() if name != "report.html"},
        "times": {stage: seconds for stage, seconds in record["times"].items() if stage != "report"},
    }
    return draw_report({**record, **known}, output)
