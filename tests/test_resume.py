"""Output folders that work was begun in: what goes on, what is refused, what is done again, and what verify says."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from changes import COUNT, KNOWN, SAME, STREAM
from districts import digests, edit, make_district, no_report, write_raster
from layouts import screener as hand_made

from mpmjax import pipeline, pipeline_steps
from mpmjax.errors import DataError, FolderError
from mpmjax.pipeline_work import RECORD
from mpmjax.products import PRODUCTS
from mpmjax.stages import screen as stages_screen
from mpmjax.stream import room, workfolder
from mpmjax.stream.files import write_file
from mpmjax.stream.manifest import Manifest
from mpmjax.stream.tiledmaps import TiledMaps
from mpmjax.stream.tiles import cut
from mpmjax.types import Membership, Screener, Slab

MAPS = [f"{product.name}.tif" for product in PRODUCTS]


def screener() -> Screener:
    """Of the layers of make_district; never fitted."""
    made = hand_made()
    memberships = (
        Membership("sigmoid", {"midpoint": 50.0, "slope": 0.2}),
        Membership("linear", {"lo": 0.6, "hi": 2.0}, transform="log", floor=0.1),
        Membership("linear", {"lo": 1500.0, "hi": 300.0}),
        Membership("sigmoid", {"midpoint": 52.0, "slope": 0.1}),
    )
    last = {key: value for key, value in made.layers[3].items() if key != "classes"}
    last |= {"name": "magnetics", "role": "geophysics", "direction": 1}
    return replace(made, layers=(*made.layers[:3], last), memberships=memberships)


@pytest.fixture(autouse=True)
def _no_report(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline_steps, "draw_report", no_report)


class Work:
    """A district, its output, and what was done: indices of tiles that were scored, judgements, and lines said."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.project, self.output = folder / "district" / "project.toml", folder / "out"
        self.scored: list[int] = []
        self.judged: list[int] = []
        self.said: list[str] = []
        self._patch = monkeypatch
        real_score, real_judge = stages_screen.score_slab, pipeline_steps.judge_maps

        def scored(slab: Slab, *given: Any) -> Any:
            self.scored.append(slab.tile.index)
            return real_score(slab, *given)

        def judged(*given: Any) -> Any:
            self.judged.append(1)
            return real_judge(*given)

        monkeypatch.setattr(room, "plan_tiles", lambda shape, size, blocks: cut(shape, size))
        monkeypatch.setattr(stages_screen, "score_slab", scored)
        monkeypatch.setattr(pipeline_steps, "judge_maps", judged)
        monkeypatch.setattr(pipeline_steps, "fit", lambda this, evidence: screener())

    def run(self, **options: Any) -> dict[str, Any]:
        self.scored.clear(), self.judged.clear(), self.said.clear()
        return pipeline.run(self.project, self.output, say=self.said.append, **options)

    def screen(self, made_with: Screener | Path, **options: Any) -> dict[str, Any]:
        self.scored.clear(), self.judged.clear(), self.said.clear()
        return pipeline.screen(self.project, made_with, self.output, say=self.said.append, **options)

    def stop_after(self, tiles: int) -> None:
        """Ctrl-C once so many tiles are finished."""
        real, left = TiledMaps.add, [tiles]

        def add(maps: TiledMaps, row: Any) -> None:
            real(maps, row)
            left[0] -= 1
            if not left[0]:
                raise KeyboardInterrupt

        with self._patch.context() as patch:
            patch.setattr(TiledMaps, "add", add)
            with pytest.raises(KeyboardInterrupt):
                self.run()

    def files(self) -> dict[str, str]:
        """Checksums but for those of what tells times."""
        kept = digests(self.output)
        return {name: kept[name] for name in kept if not name.startswith(".mpmjax/") and name != RECORD}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("finished")
    make_district(folder / "district", validate=KNOWN, stream=STREAM)
    with pytest.MonkeyPatch.context() as patch:
        work = Work(folder, patch)
        patch.setattr(pipeline_steps, "draw_report", lambda record, output: write_file(output / "report.html", ""))
        work.run()
        assert sorted(work.scored) == list(range(COUNT))
    return folder


@pytest.fixture
def begun(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Work:
    """The finished run, to be changed."""
    shutil.copytree(finished, tmp_path / "copy")
    return Work(tmp_path / "copy", monkeypatch)


@pytest.fixture
def unbegun(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Work:
    """Its district, and no output."""
    shutil.copytree(finished / "district", tmp_path / "anew" / "district")
    return Work(tmp_path / "anew", monkeypatch)


@pytest.mark.parametrize("what", ["nothing", "tile", "workers", "tile_cache", "no stream"])
def test_a_finished_run_does_nothing(begun: Work, what: str) -> None:
    SAME[what](begun.project)
    before = {path: path.stat().st_mtime_ns for path in begun.output.rglob("*") if ".mpmjax" not in path.parts}
    record = begun.run()
    assert (begun.scored, begun.judged) == ([], [])
    assert record == pipeline.read_record(begun.output)
    assert "Finished before, and every file is whole: nothing to do. --fresh starts over." in begun.said
    assert {p: p.stat().st_mtime_ns for p in begun.output.rglob("*") if ".mpmjax" not in p.parts} == before


@pytest.mark.parametrize("what", ["bootstrap", "other labels", "no labels at all"])
def test_labels_that_changed_judge_the_maps_again(begun: Work, what: str) -> None:
    before = {name: (begun.output / name).stat().st_mtime_ns for name in MAPS}
    if what == "other labels":
        path = begun.project.parent / "deposits.gpkg"
        import geopandas

        geopandas.read_file(path).iloc[:9].to_file(path)
    else:
        SAME[what](begun.project)
    record = begun.run()
    assert begun.scored == [], "the maps are kept"
    assert {name: (begun.output / name).stat().st_mtime_ns for name in MAPS} == before
    assert len(begun.judged) == (what != "no labels at all")
    found = record["validation"]
    assert (found is None) == (what == "no labels at all")
    if what == "other labels":
        assert found["occurrences"] == 9
    assert pipeline.verify(begun.output) == []
    begun.run()
    assert begun.judged == [], "once"


@pytest.mark.parametrize(
    "name", ["anomaly.tif", "groups.tif", "classes.tif", "targets.gpkg", "risk.qml", "report.html"]
)
@pytest.mark.parametrize("harm", ["changed", "gone"])
def test_what_is_damaged_is_mended_and_nothing_else(begun: Work, name: str, harm: str) -> None:
    before, path = begun.files(), begun.output / name
    content = path.read_bytes()
    if harm == "gone":
        path.unlink()
    else:
        path.write_bytes(content[:-9] + b"x" + content[-8:] if content else b"x")
    said = pipeline.verify(begun.output)
    assert len(said) == 1
    assert name in said[0]
    assert ("is gone" in said[0]) == (harm == "gone")
    begun.run()
    assert begun.files() == before
    assert pipeline.verify(begun.output) == []
    if name not in MAPS:
        assert begun.scored == []
    elif harm == "gone":
        assert len(begun.scored) == COUNT


def test_a_lost_manifest_begins_anew_to_the_same_bytes(begun: Work) -> None:
    before = begun.files()
    shutil.rmtree(begun.output / ".mpmjax")
    begun.run()
    assert len(begun.scored) == COUNT
    assert begun.files() == before


def test_fresh_does_everything_again_to_the_same_bytes(begun: Work) -> None:
    before = begun.files()
    begun.run(fresh=True)
    assert len(begun.scored) == COUNT
    assert len(begun.judged) == 1
    assert begun.files() == before


def test_killed_before_anything_was_replaced_the_old_run_is_not_taken_for_the_new(begun: Work) -> None:
    """Only the seed differs: all that the old run.json says of inputs, labels and files is true, of another run."""
    edit(begun.project, "seed = 7", "seed = 8")

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline_steps, "fit", killed)
        patch.setattr(workfolder, "_leave", lambda *_: None)  # nobody tidies up after a kill
        with pytest.raises(KeyboardInterrupt):
            begun.run(fresh=True)
    assert (begun.output / RECORD).exists(), "nothing was replaced"
    record = begun.run()
    assert len(begun.scored) == COUNT
    assert record["settings"]["model"]["seed"] == 8


@pytest.mark.parametrize("tiles", [1, 4, 9])
def test_a_stopped_run_goes_on_to_the_same_bytes(finished: Path, unbegun: Work, tiles: int) -> None:
    unbegun.stop_after(tiles)
    assert not (unbegun.output / RECORD).exists()
    assert not list(unbegun.output.glob("*.tif"))
    assert pipeline.verify(unbegun.output) == [], "of a run that is not finished too"
    said: list[str] = []
    pipeline.verify(unbegun.output, say=said.append)
    assert said == [f"{2 + tiles} files and tiles were held against their checksums."], (
        "the Screener's two and the tiles"
    )
    unbegun.run()
    assert len(unbegun.scored) == COUNT - tiles
    whole = {n: d for n, d in digests(finished / "out").items() if not n.startswith(".mpmjax/") and n != RECORD}
    assert unbegun.files() == whole


def test_a_stopped_run_that_is_cut_otherwise_ends_with_the_same_bytes(finished: Path, unbegun: Work) -> None:
    unbegun.stop_after(4)
    edit(unbegun.project, "tile = 128", "tile = 64")
    unbegun.run()
    assert len(unbegun.scored) == 25, "all of them new"
    for name in (*MAPS, "classes.tif", "targets.gpkg"):
        assert (unbegun.output / name).read_bytes() == (finished / "out" / name).read_bytes()


def test_verify_names_the_tile_that_is_damaged(unbegun: Work) -> None:
    unbegun.stop_after(5)
    # Of one that is in the manifest: a file that is not belongs to a tile that was not finished.
    index = list(Manifest(unbegun.output / ".mpmjax").tiles())[1]
    path = unbegun.output / ".mpmjax" / "tiles" / f"{index:07d}.tile"
    path.write_bytes(path.read_bytes()[:-1])
    row, col = index // 3 * 128, index % 3 * 128
    (said,) = pipeline.verify(unbegun.output)
    where = f"rows {row}-{min(row + 128, 260) - 1}, columns {col}-{min(col + 128, 300) - 1}"
    assert said.startswith(f"tile {index + 1} ({where}): its file is damaged")
    unbegun.run()
    assert index in unbegun.scored
    assert len(unbegun.scored) == COUNT - 4
    assert pipeline.verify(unbegun.output) == []


def test_verify_names_the_windows_of_a_map(begun: Work) -> None:
    path = begun.output / "anomaly.tif"
    with rasterio.open(path) as file:
        place = int(file.get_tag_item("BLOCK_OFFSET_0_0", "TIFF", 1)) + 100
    content = bytearray(path.read_bytes())
    content[place] ^= 0x55
    path.write_bytes(content)
    (said,) = pipeline.verify(begun.output)
    assert "is damaged in rows 0-127 columns 0-127" in said
    assert "it is repaired" in said
    begun.run()
    assert 0 < len(begun.scored) <= COUNT


def test_verify_where_there_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such folder"):
        pipeline.verify(tmp_path / "none")
    assert not (tmp_path / "none").exists()
    with pytest.raises(DataError, match="holds no run"):
        pipeline.verify(tmp_path)
    assert list(tmp_path.iterdir()) == [], "nothing is left of having looked"


def test_verify_changes_nothing(begun: Work) -> None:
    before = digests(begun.output)
    pipeline.verify(begun.output)
    after = digests(begun.output)
    changed = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    assert changed <= {".mpmjax/lock"}


# -- fit first


def test_fit_then_run_goes_on_from_the_screener(finished: Path, unbegun: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline.fit(unbegun.project, unbegun.output)
    assert not list(unbegun.output.glob("*.tif"))
    monkeypatch.setattr(pipeline_steps, "fit", lambda *_: pytest.fail("fitted again"))
    pipeline.fit(unbegun.project, unbegun.output)
    unbegun.run()
    assert len(unbegun.scored) == COUNT
    assert (unbegun.output / "risk.tif").read_bytes() == (finished / "out" / "risk.tif").read_bytes()


def test_fit_then_screen_in_the_same_folder(unbegun: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline.fit(unbegun.project, unbegun.output)
    unbegun.screen(unbegun.output)
    assert len(unbegun.scored) == COUNT
    monkeypatch.setattr(pipeline_steps, "fit", lambda *_: pytest.fail("fitted again"))
    unbegun.run()
    assert unbegun.scored == [], "run is what was done"


def test_a_finished_run_screened_with_its_own_screener(begun: Work) -> None:
    begun.screen(begun.output)
    assert begun.scored == []


def test_another_screener_is_refused(begun: Work) -> None:
    before = begun.files()
    other = replace(screener(), settings={"min_coverage": 1.0, "seed": 5})
    with pytest.raises(FolderError, match="Screener: ") as seen:
        begun.screen(other)
    assert "--fresh" in str(seen.value)
    assert begun.files() == before
    assert pipeline.verify(begun.output) == []
    begun.screen(other, fresh=True)
    assert len(begun.scored) == COUNT
    assert begun.files()["groups.tif"] != before["groups.tif"]
    with pytest.raises(FolderError, match="Screener: "):
        begun.run()


def test_a_source_that_changed_is_refused_and_the_run_stays(begun: Work) -> None:
    before = begun.files()
    write_raster(begun.project.parent / "copper.tif", np.ones((260, 300), np.float32))
    with pytest.raises(FolderError, match=r"input: \S*copper\.tif changed"):
        begun.run()
    assert begun.files() == before
    assert (begun.output / RECORD).exists()
