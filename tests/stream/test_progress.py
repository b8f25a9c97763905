"""What a run tells on its way: to people, on a terminal, and to its log; on a clock that the test moves."""

from __future__ import annotations

import io
import json
import re
import threading
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from mpmjax.errors import DiskError
from mpmjax.stream import progress as module
from mpmjax.stream.progress import CLEAR, Progress

TILE = 1_000_000


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Told:
    """A Progress on a clock, and what it told."""

    def __init__(self, log: Path | None = None, live: io.StringIO | None = None) -> None:
        self.lines: list[str] = []
        self.clock, self.log, self.live = Clock(), log, live
        self.progress = Progress(self.lines.append, log, live, self.clock)

    def run(self, tiles: int, seconds: float) -> None:
        """A pass of equal tiles of `seconds` each."""
        with self.progress.tiles(tiles, tiles * TILE) as handle:
            for _ in range(tiles):
                self.clock.now += seconds
                handle.done(TILE, 2 * TILE)

    def events(self) -> list[dict[str, Any]]:
        assert self.log is not None
        return [json.loads(line) for line in self.log.read_text(encoding="utf-8").splitlines()]


def test_stage(tmp_path: Path) -> None:
    told = Told(tmp_path / "log.jsonl")
    with told.progress.stage("prepare"):
        told.clock.now += 12.34
    assert told.lines == ["prepare        12.3 s"]
    assert told.progress.times == {"prepare": pytest.approx(12.34)}
    start, end = told.events()
    assert (start["event"], start["stage"]) == ("stage_start", "prepare")
    assert (end["event"], end["stage"], end["seconds"]) == ("stage_end", "prepare", 12.34)
    moment = datetime.fromisoformat(end["time"])
    assert moment.utcoffset() is not None
    assert abs((datetime.now(moment.tzinfo) - moment).total_seconds()) < 60


@pytest.mark.parametrize("error", [ValueError("no such band"), KeyboardInterrupt()])
def test_stage_that_fails(tmp_path: Path, error: BaseException) -> None:
    told = Told(tmp_path / "log.jsonl")

    def train() -> None:
        with told.progress.stage("train"):
            told.clock.now += 2
            raise error

    with pytest.raises(type(error)):
        train()
    assert told.lines == []
    assert told.progress.times == {}
    failed = told.events()[-1]
    assert failed["event"] == "stage_failed"
    assert (failed["seconds"], failed["error"], failed["message"]) == (2, type(error).__name__, str(error))
    with told.progress.stage("again"):
        assert told.progress.tiles(1, 1)._name == "again"


def test_log_that_cannot_be_written(tmp_path: Path) -> None:
    log = tmp_path / "nowhere" / "log.jsonl"
    told = Told(log)
    with pytest.raises(DiskError, match=re.escape(f"{log}: the log cannot be written: No such file")):
        told.progress.say("a line")
    assert told.lines == ["a line"]
    log.parent.mkdir()

    def fail() -> None:
        with told.progress.stage("prepare"):
            log.unlink()
            log.mkdir()
            raise ValueError("what failed first")

    with pytest.raises(ValueError, match="first"):
        fail()
    with pytest.raises(ValueError, match="first"), told.progress.tiles(3, 3):
        raise ValueError("what failed first")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_log_on_a_full_disk() -> None:
    with pytest.raises(DiskError, match="No space left"):
        Told(Path("/dev/full")).progress.event("any")


def test_log_is_appended_and_mended(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    log.write_text('{"event": "old"}\n{"event": "cut sho', encoding="utf-8")
    told = Told(log)
    assert log.read_text(encoding="utf-8").endswith("sho"), "opened at the first event"
    told.progress.event("new", path=tmp_path, rate=float("nan"), share=0.5)
    told.progress.say("Straße")
    old, cut, new, said = log.read_text(encoding="utf-8").splitlines()
    assert (json.loads(old)["event"], cut) == ("old", '{"event": "cut sho')
    found = json.loads(new)
    assert (found["path"], found["rate"], found["share"]) == (str(tmp_path), None, 0.5)
    assert json.loads(said)["line"] == "Straße"


def test_lines_at_each_tenth() -> None:
    told = Told()
    with told.progress.stage("screen"):
        told.run(1000, 0.1)
    assert len(told.lines) == 11
    percents = [int(re.search(r"  (\d+) %", line)[1]) for line in told.lines[:10]]  # type: ignore[index]
    assert percents == list(range(10, 101, 10))
    assert told.lines[2] == "screen  300/1,000 tiles  30 %  10.0 Mcells/s  0.02 GB/s read  ETA 1 min 10 s"
    assert told.lines[9] == "screen  1,000/1,000 tiles  100 %  10.0 Mcells/s  0.02 GB/s read"


@pytest.mark.parametrize(
    ("tiles", "seconds", "lines"),
    [
        (9, 1.0, 0),  # few tiles, under 10 s
        (9, 2.0, 5),  # from the fifth on
        (1, 20.0, 1),
        (2000, 0.0001, 0),
        (2000, 0.001, 2),  # one a second, and the last
        (20, 100.0, 20),  # one a minute at least
        (0, 1.0, 0),
    ],
)
def test_how_many_lines(tiles: int, seconds: float, lines: int) -> None:
    told = Told()
    told.run(tiles, seconds)
    assert len(told.lines) == lines, told.lines
    assert all(line.startswith("tiles  ") for line in told.lines)


def test_log_of_a_pass(tmp_path: Path) -> None:
    told = Told(tmp_path / "log.jsonl")
    with told.progress.stage("screen"), told.progress.tiles(1000, 1000 * TILE) as handle:
        told.clock.now += 5.0
        handle.skipped(200, 200 * TILE)
        for tile in range(800):
            told.clock.now += 0.05
            handle.done(TILE, 10, retries=int(tile == 7))
    events = [event for event in told.events() if event["event"].startswith("tiles")]
    assert 40 <= len(events) <= 42, "one a second in 40 s, and the last"
    assert [event["tiles"] for event in events] == sorted(event["tiles"] for event in events)
    last = events[-1]
    assert [event["event"] for event in events].count("tiles_end") == 1
    assert last["event"] == "tiles_end"
    assert (last["stage"], last["tiles"], last["total"], last["skipped"]) == ("screen", 1000, 1000, 200)
    assert (last["cells"], last["total_cells"], last["percent"]) == (1000 * TILE, 1000 * TILE, 100)
    assert (last["bytes_read"], last["retries"], last["seconds_left"]) == (8000, 1, 0)
    assert last["cells_per_second"] == pytest.approx(20 * TILE)


def test_log_of_a_pass_that_is_broken_off(tmp_path: Path) -> None:
    told = Told(tmp_path / "log.jsonl")

    def break_off() -> None:
        with told.progress.tiles(100, 100) as handle:
            told.clock.now += 60.0
            handle.done(1)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        break_off()
    last = told.events()[-1]
    assert (last["event"], last["tiles"], last["percent"]) == ("tiles_end", 1, 1)
    assert len(told.lines) == 1, "none that says it was complete"


def screen_of(written: str) -> list[str]:
    """What stands on a terminal after `written`: only carriage return, clear to the end of the line, and newline."""
    rows = [""]
    for part in re.split(r"(\r\x1b\[K|\n)", written):
        if part == "\n":
            rows.append("")
        elif part == CLEAR:
            rows[-1] = ""
        else:
            rows[-1] += part
    return rows


def test_live_line() -> None:
    live = io.StringIO()
    told = Told(live=live)
    told.progress = Progress(lambda line: print(line, file=live), None, live, told.clock)
    with told.progress.tiles(100, 100 * TILE) as handle:
        for tile in range(99):
            told.clock.now += 0.05
            handle.done(TILE)
            if tile == 50:
                told.progress.say("a note")
                *above, bottom = screen_of(live.getvalue())
                assert above == ["a note"]
                assert bottom.startswith("tiles  51/100 tiles  51 %  20.0 Mcells/s  ETA 3 s")
        assert 20 <= live.getvalue().count(CLEAR + "tiles  ") <= 26, "five a second"
        handle.done(TILE)
    assert screen_of(live.getvalue()) == ["a note", ""], "nothing stays of the live line"


def test_live_line_fits_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_width", lambda stream: 20)
    live = io.StringIO()
    told = Told(live=live)
    told.progress.show("x" * 50)
    assert live.getvalue() == CLEAR + "x" * 19


def test_a_terminal_that_goes_away() -> None:
    live = io.StringIO()
    told = Told(live=live)
    live.close()
    told.run(20, 2.0)
    assert told.progress.live is None
    assert told.lines, "plain lines from there on"


def test_from_many_threads(tmp_path: Path) -> None:
    live = io.StringIO()
    told = Told(tmp_path / "log.jsonl", live)
    told.progress.show("live")
    threads = [
        threading.Thread(target=lambda n=n: [told.progress.say(f"{n} {i}") for i in range(50)]) for n in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(told.events()) == len(told.lines) == 200
    assert live.getvalue() == CLEAR + "live" + (CLEAR + CLEAR + "live") * 200
