"""The page says what the lines say, fetches nothing, and names the lines that it cannot read."""

from __future__ import annotations

import base64
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from mpmjax.benchmarks import charts, lines, page
from mpmjax.benchmarks.rows import Refused, Result

MACHINE = {
    "cpu": "a processor <avx2>",
    "cores": 2,
    "cores_physical": 1,
    "memory_total": 2**34,
    "memory_available": 2**33,
    "system": "Linux",
    "python": "3.11.0",
    "versions": {"numpy": "2.4.6"},
    "load": [0.1, 0.2, 0.3],
    "copy_bytes_per_second": 1e10,
    "operations_per_second": 1e11,
    "commit": "0123456789ab",
}


def spread(median: float, by: float = 0.05) -> dict[str, float]:
    return {"median": median, "p10": median * (1 - by), "p90": median * (1 + by)}


def line(**changes: Any) -> dict[str, Any]:
    """A result line: 10 ms for 10^6 cells, a copy in 4 ms, NumPy in 20 ms, a library in 5 ms."""
    faster = {"memcpy": 0.4, "NumPy": 2.0, "library & co": 0.5}
    return {
        "case": "label",
        "variant": "noise",
        "side": 1000,
        "seed": 5,
        "time": "2026-01-01T00:00:00+00:00",
        "unit": "cells",
        "work": 10**6,
        "error": 1e-8,
        "tolerance": 1e-7,
        "why": "because",
        "seconds": {"op": spread(0.01), **{name: spread(0.01 * ratio) for name, ratio in faster.items()}},
        "times_faster": {name: spread(ratio) for name, ratio in faster.items()},
        "of_floor": 0.4,
        "unable": {"absent": "not installed"},
        "slowest": 1.25,
        "bytes_moved": 4 * 10**7,
        "machine": MACHINE,
        "run": "a",
        **changes,
    }


def computing(**changes: Any) -> dict[str, Any]:
    held = line(case="lstm", operations=10**8, **changes)
    del held["times_faster"]["memcpy"]
    return held


RED = {"case": "wrong", "variant": "v", "side": 8, "seed": 1, "time": "2026-01-01T00:00:00+00:00", "red": "error 1"}


def write(path: Path, *held: dict[str, Any] | str) -> Path:
    path.write_text(
        "".join((one if isinstance(one, str) else json.dumps(one)) + "\n" for one in held), encoding="utf-8"
    )
    return path


def made(tmp_path: Path, *held: dict[str, Any] | str, options: tuple[str, ...] = ()) -> str:
    out = tmp_path / "deep" / "page.html"
    assert page.main([str(write(tmp_path / "lines.jsonl", *held)), str(out), *options]) == 0
    return out.read_text(encoding="utf-8")


class Reader(HTMLParser):
    """Text and the addresses of everything that a browser would fetch."""

    def __init__(self) -> None:
        super().__init__()
        self.text, self.addresses, self.tags = "", [], set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "data")]

    def handle_data(self, data: str) -> None:
        self.text += f" {data}"


def read(html: str) -> Reader:
    reader = Reader()
    reader.feed(html)
    reader.text = re.sub(r"\s+", " ", reader.text)
    return reader


def test_the_page_tells_the_rows(tmp_path: Path) -> None:
    held = read(made(tmp_path, line(), computing(), {**RED, "machine": MACHINE, "run": "a"}))
    for words in (
        "1 row wrong, and therefore not timed",
        "2 rows slower than the best rival",
        "RED error 1; not timed",
        "library & co 0.50× 0.47×",
        "2.00×",
        "40% of a copy",
        "100 M cells/s −5% to +5%, 1.25×",
        "a processor <avx2>",
        "10 GB/s, read + written",
        "0123456789ab",
        "absent for label (noise): not installed",
    ):
        assert words in held.text, words


def test_nothing_is_fetched_and_nothing_runs(tmp_path: Path) -> None:
    held = read(made(tmp_path, line(), computing()))
    assert not held.tags & {"script", "link", "iframe", "object"}
    pictures = [address.removeprefix("data:image/svg+xml;base64,") for address in held.addresses]
    assert len(pictures) == 4, "two of rivals, memory, roofline"
    for picture in pictures:
        drawn = base64.b64decode(picture)
        assert drawn.rstrip().endswith(b"</svg>")
        assert all(address == b"#" for address in re.findall(rb'(?:href="|url\()(.)', drawn))


def test_equal_lines_give_equal_pages(tmp_path: Path) -> None:
    assert made(tmp_path, line(), computing()) == made(tmp_path, line(), computing())


def test_the_newest_line_of_each_row(tmp_path: Path) -> None:
    old, new = line(work=3 * 10**6), line(run="b")
    other = line(variant="patches", run="a")
    assert "300 M cells/s" not in made(tmp_path, old, other, new)
    assert "patches" in made(tmp_path, old, other, new)
    assert "patches" not in made(tmp_path, old, other, new, options=("--last",))
    moved = line(variant="moved", machine={**MACHINE, "commit": "fedcba"})
    assert "moved" not in made(tmp_path, old, moved, options=("--commit", "0123"))


def test_noise_is_told(tmp_path: Path) -> None:
    noisy = line(runs=3, wide=True, seconds={**line()["seconds"], "op": spread(0.01, 0.5)})
    text = read(made(tmp_path, noisy)).text
    assert "1 row is NOISY" in text
    assert "run 3 times, NOISY: p10 or p90 50% away" in text


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ("{", "no JSON"),
        ("[]", "it has no machine"),
        (json.dumps({"machine": {}}), "it lacks cpu"),
        (json.dumps({"machine": MACHINE, "time": "2026-01-01"}), "it lacks case"),
        (json.dumps(line(time="today")), "Invalid isoformat"),
        (json.dumps(line(seconds={})), "no seconds of the op"),
        (json.dumps(line(times_faster={"x": spread(1.0)})), "no seconds of ['x']"),
        (json.dumps(line(seconds={"op": {"median": 0, "p10": 1, "p90": 1}})), "no median with p10 and p90"),
        (json.dumps(line(work="much")), "work is 'much'"),
        (json.dumps(line(machine={**MACHINE, "copy_bytes_per_second": 0})), "copy_bytes_per_second is 0"),
    ],
)
def test_a_broken_line_is_named(tmp_path: Path, broken: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = read(made(tmp_path, broken, line())).text
    assert "Line 1 of lines.jsonl is no result" in text
    assert said in capsys.readouterr().err
    assert page.main([str(write(tmp_path / "only.jsonl", broken)), str(tmp_path / "none.html")]) == 2
    assert "holds no result" in capsys.readouterr().err
    assert not (tmp_path / "none.html").exists()


def test_files_that_are_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert page.main([str(tmp_path / "none.jsonl"), str(tmp_path / "page.html")]) == 2
    assert "cannot be read" in capsys.readouterr().err
    results = write(tmp_path / "lines.jsonl", line())
    assert page.main([str(results), str(tmp_path)]) == 2
    assert "cannot be written" in capsys.readouterr().err


def test_lines_of_before_and_of_later_are_read() -> None:
    held = line(news="unknown")
    for name in ("slowest", "bytes_moved", "run", "unable"):
        del held[name]
    found = lines.parse(json.dumps(held))
    assert isinstance(found.row, Result)
    assert found.row.slowest == 0.0
    assert lines.parse(json.dumps(held)).run == found.run
    assert isinstance(lines.parse(json.dumps({**RED, "machine": MACHINE})).row, Refused)


def test_one_axis_holds_every_whisker() -> None:
    found = [lines.parse(json.dumps(held)).row for held in (line(), computing())]
    low, high = charts.limits([row for row in found if isinstance(row, Result)])
    assert low < 0.5 * 0.95
    assert high > 2.0 * 1.05
