"""Failpoints in a forked child: the process kills itself at the n-th call of a step. The package knows nothing of it.

A step is named by what is called and, as `place`, by what it is done to: `tile`, `mosaic` (VRTs between tiles and
maps), `manifest`, `log`, `final` (anything else in the output folder). `half` kills with half of the bytes written.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn
from unittest import mock

OUTSIDE = "outside"


def die() -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("still here")


class Points:
    """Counts the calls of every step, and kills at one of them."""

    def __init__(self, name: str, place: str, number: int, output: str) -> None:
        self.wanted, self.number, self.output = (name, place), number, output
        self.calls: Counter[tuple[str, str]] = Counter()
        self.matching = 0

    def hit(self, name: str, place: str) -> bool:
        """Count a call; whether it is the one to die at."""
        if place == OUTSIDE:
            return False
        self.calls[name, place] += 1
        if self.wanted[0] == name and self.wanted[1] in (place, "any"):
            self.matching += 1
            return self.matching == self.number
        return False

    def place(self, path: Any) -> str:
        if isinstance(path, int):
            path = Path(f"/proc/self/fd/{path}").readlink()
        path = self.cut(path)
        if not path.startswith(self.output):
            return OUTSIDE
        if path.endswith((".tile", ".tile.part")):
            return "tile"
        if ".vrt" in path:
            return "mosaic"
        if path.endswith("/tiles"):
            return "tile"
        if "manifest.sqlite" in path:
            return "manifest"
        return "log" if path.endswith(".jsonl") else "final"

    def cut(self, path: Any) -> str:
        """Without the name of a file system of GDAL's before it."""
        return str(path)[max(str(path).find(self.output), 0) :]

    def before(self, owner: Any, attribute: str, name: str, path: Callable[..., Any] = lambda first, *_, **__: first):
        """Die before a call of `owner.attribute`; `path` of its arguments says what it is done to."""
        original = getattr(owner, attribute)

        def called(*arguments: Any, **keywords: Any) -> Any:
            if self.hit(name, self.place(path(*arguments, **keywords))):
                die()
            return original(*arguments, **keywords)

        mock.patch.object(owner, attribute, called).start()


def arm(name: str, place: str, number: int, output: str, count: str | None) -> None:
    import geopandas
    import rasterio.shutil

    from mpmjax.stream import workfolder
    from mpmjax.stream.manifest import Manifest

    points = Points(name, place, number, output)
    points.before(os, "fsync", "fsync")
    points.before(os, "open", "open")
    points.before(Path, "replace", "replace")
    points.before(Path, "unlink", "unlink")
    points.before(Path, "mkdir", "mkdir")
    points.before(Path, "write_bytes", "write")
    points.before(shutil, "rmtree", "rmtree")
    points.before(rasterio.shutil, "copy", "cog", lambda source, target, **_: target)
    points.before(geopandas.GeoDataFrame, "to_file", "geopackage", lambda *_, **__: output)
    points.before(workfolder.os, "ftruncate", "lock")
    _half_written(points)
    _after_cog(points)
    _manifest(points, Manifest)
    if count:
        original = os._exit

        def leave(status: int) -> NoReturn:
            table = [[*step, calls] for step, calls in sorted(points.calls.items())]
            Path(count).write_text(json.dumps(table))
            original(status)

        os._exit = leave


def _half_written(points: Points) -> None:
    original = Path.write_bytes

    def half(self: Path, content: bytes) -> int:
        if points.hit("half", points.place(self)):
            original(self, bytes(content)[: len(content) // 2])
            die()
        return original(self, content)

    mock.patch.object(Path, "write_bytes", half).start()


def _after_cog(points: Points) -> None:
    """Written, but neither checked nor named."""
    import rasterio.shutil

    original = rasterio.shutil.copy

    def copy(source: Any, target: Any, **options: Any) -> None:
        original(source, target, **options)
        if points.hit("cog written", points.place(target)):
            written = Path(points.cut(target))
            with written.open("r+b") as file:
                file.truncate(written.stat().st_size // 2)
            die()

    mock.patch.object(rasterio.shutil, "copy", copy).start()


def _manifest(points: Points, manifest: Any) -> None:
    """Before a change of the manifest, between the change and its commit, and after."""

    def change(self: Any, statement: str, values: tuple[str, ...]) -> None:
        if points.hit("row", "manifest"):
            die()
        with self._ready() as connection, connection:
            connection.execute(statement, values)
            if points.hit("row to commit", "manifest"):
                die()
        if points.hit("row committed", "manifest"):
            die()

    mock.patch.object(manifest, "_change", change).start()
