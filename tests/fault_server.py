"""A process that has imported everything and forks a child for every command: a run then takes a second, not ten.

Started by faulty.py. It reads one JSON object a line: `arguments` of the command line, `said` (a file that gets what is
printed), and what goes wrong in the child: see `child`. It answers a line with the child's number, and one with how
it ended. No child computes with JAX, so none of its threads are there when it forks.

What is replaced in all children: the clock (dates and times in run.json and in the report are the same in all runs, so
that whole files can be compared), the report's figures (drawn in memory, two seconds a run), and the size of the chunk
that is scored (small tiles are padded to it).
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import resource
import signal
import sys
import traceback
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import wraps
from pathlib import Path
from typing import Any
from unittest import mock

CHUNK = 256
"""Cells of the tiles of faulty.py."""


class StoppedClock(datetime):
    @classmethod
    def now(cls, tz=None) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC)


def replace_what_varies() -> None:
    from mpmjax import pipeline, pipeline_work
    from mpmjax.ops import lstm
    from mpmjax.reporting import record
    from mpmjax.stages import report
    from mpmjax.stream.cache import code_version

    assert pipeline
    mock.patch.object(record, "datetime", StoppedClock).start()
    stages = ("prepare", "screen", "targets", "report")
    mock.patch.object(pipeline_work.Run, "times", property(lambda this: dict.fromkeys(stages, 0.0))).start()
    mock.patch.object(report, "_maps", return_value={}).start()
    mock.patch.object(report, "_curves", return_value={}).start()
    mock.patch.object(lstm, "CHUNK", CHUNK).start()
    pipeline_work.code(), code_version()  # kept: the sources may be edited while the tests run


def compile_once() -> None:
    """What Numba compiles for a run: in each child it would take half of the time."""
    import numpy as np

    from mpmjax.ops.label import label

    mask = np.eye(8, dtype=bool)
    label([mask, mask]).relabel(1, mask)


def child(order: Mapping[str, Any]) -> int:
    """Run the command line; the exit status.

    `begun`: a file that gets the number of each tile that is begun, 4 bytes each.
    `point`: [name, place, n]: kill at the n-th call there (fault_points.py); n = 0: count, into the file `count`.
    `shim`: [match, n, errno, once]: fail the n-th call (faults/shim.c); n = 0: count, into the file `count`.
    `cog`: make a COG of this raster instead.
    `limits`: {name of a resource limit: value}; `room`: do not look how much disk is free.
    """
    said = os.open(order["said"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o644)
    os.dup2(said, 1), os.dup2(said, 2)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    if order.get("begun"):
        watch_tiles(order["begun"])
    if order.get("room"):
        forget_room()
    for name, value in (order.get("limits") or {}).items():
        kind = getattr(resource, name)
        resource.setrlimit(kind, (value, resource.getrlimit(kind)[1] if name == "RLIMIT_FSIZE" else value))
    if order.get("limits"):
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    if order.get("point"):
        import fault_points

        fault_points.arm(*order["point"], order["output"], order.get("count"))
    if order.get("shim"):
        arm = ctypes.CDLL(os.environ["LD_PRELOAD"]).fault_arm
        match, number, error, once = order["shim"]
        count = (order.get("count") or "").encode()
        arm(order["output"].encode(), match.encode(), ctypes.c_long(number), error, int(once), count)
    if order.get("cog"):
        return make_cog(Path(order["cog"]), Path(order["output"]))
    sys.argv = ["mpmjax", *order["arguments"]]
    from mpmjax.cli import main

    try:
        main()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 1 if end.code else 0
    return 0


def make_cog(source: Path, output: Path) -> int:
    """One map of its own, as a run makes it: large enough for overviews."""
    import rasterio

    from mpmjax.errors import DiskError
    from mpmjax.products import CLASSES, PRODUCTS
    from mpmjax.stream.mosaic import build_cog, publish_cog
    from mpmjax.stream.tilestore import crc
    from mpmjax.types import Tile

    with rasterio.open(source) as dataset:
        product = CLASSES if dataset.dtypes[0] == "uint8" else PRODUCTS[0]
        tile, value = Tile(0, 0, 0, dataset.height, dataset.width), crc(dataset.read(1))
    try:
        publish_cog(build_cog(source, output / "made.tif", product), output / "map.tif", [tile], [value])
    except DiskError as error:
        print(f"Error: {error}")
        return error.exit_status
    return 0


def watch_tiles(begun: str) -> None:
    from mpmjax.stream.reader import StackReader

    file = os.open(begun, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    read = StackReader.read

    @wraps(read)
    def noting(self, tile, slot):
        os.write(file, tile.index.to_bytes(4, "little"))
        return read(self, tile, slot)

    mock.patch.object(StackReader, "read", noting).start()


def forget_room() -> None:
    """A disk that fills up while a run writes: what looks ahead is blindfolded."""
    from mpmjax import pipeline_steps
    from mpmjax.stages import screen

    mock.patch.object(pipeline_steps, "require_space").start()
    mock.patch.object(screen.DiskWatch, "wrote").start()


def main() -> None:
    sys.path.insert(0, str(Path(__file__).parent))
    replace_what_varies()
    compile_once()
    print("ready", flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        number = os.fork()
        if number == 0:
            status = 70
            try:
                status = child(order)
            except BaseException:  # noqa: BLE001 - what the interpreter would do
                traceback.print_exc()
            finally:
                with contextlib.suppress(OSError, ValueError):
                    sys.stdout.flush(), sys.stderr.flush()
                os._exit(status)
        print(number, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(number, 0)[1]), flush=True)


if __name__ == "__main__":
    main()
