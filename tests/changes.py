"""Changes to a project that change no byte of its maps."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from districts import edit

STREAM = {"tile": 128, "workers": 2}
COUNT = 9
"""Tiles of 128 x 128 cells on 260 x 300; blocks of the sources are not looked at here."""
KNOWN = {"occurrences": "deposits.gpkg", "bootstrap": 0, "baselines": False}


def add_to_stream(line: str) -> Callable[[Path], Any]:
    return lambda project: edit(project, "[stream]\n", f"[stream]\n{line}\n")


def other_text(old: str, new: str) -> Callable[[Path], Any]:
    return lambda project: edit(project, old, new)


SAME: dict[str, Callable[[Path], Any]] = {
    "nothing": lambda project: None,
    "tile": other_text("tile = 128", "tile = 64"),
    "workers": other_text("workers = 2", "workers = 1"),
    "max_memory": add_to_stream('max_memory = "2GiB"'),
    "cache": add_to_stream('cache = "shared"'),
    "tile_cache": add_to_stream("tile_cache = true"),
    "comments and order": lambda project: project.write_text("# mine\n" + project.read_text(encoding="utf-8") + "\n\n"),
    "what a default is, said": add_to_stream('backend = "auto"\non_error = "stop"'),
    "bootstrap": other_text("bootstrap = 0", "bootstrap = 9"),
    "no labels at all": other_text('[validate]\noccurrences = "deposits.gpkg"\nbootstrap = 0\nbaselines = false\n', ""),
    "other labels": lambda project: shutil.copy(project.parent / "sheet.gpkg", project.parent / "deposits.gpkg"),
    "touched": lambda project: (project.parent / "copper.tif").touch(),
    "no stream": other_text("[stream]\ntile = 128\nworkers = 2\n", ""),
}
