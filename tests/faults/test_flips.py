"""Damage to finished tiles, maps and other outputs: verify names it, and the same command repairs just that."""

from __future__ import annotations

import os
import random
import re
import shutil
import warnings
from collections import Counter
from pathlib import Path

import pytest
from faulty import SCRATCH, TILES, Bench, begun, digests
from rasterio.errors import NotGeoreferencedWarning

from mpmjax.products import PRODUCTS
from mpmjax.stream.manifest import Manifest
from mpmjax.stream.mosaic import damaged_tiles
from mpmjax.types import Tile

FLIPS = int(os.environ.get("MPMJAX_FLIPS", "150"))
"""In tiles, and as many in outputs."""

AT_ONCE = 5
"""Tiles of one interrupted run that get a flipped bit each."""


def flip(path: Path, random_: random.Random) -> str:
    """One bit of a file; where."""
    content = bytearray(path.read_bytes())
    bit = random_.randrange(8 * len(content))
    content[bit // 8] ^= 1 << bit % 8
    with path.open("r+b") as file:  # in place: the same file, as after a fault of the disk
        file.write(content)
    return f"bit {bit} of {path.name}"


def named_tiles(said: str) -> set[int]:
    return {int(number) - 1 for number in re.findall(r"Damaged: tile (\d+) ", said)}


def repair(bench: Bench, output: Path, what: str) -> set[int]:
    """The same command again; the tiles that were made."""
    made = bench.folder / "made"
    made.unlink(missing_ok=True)
    bench.screen(output, begun=str(made))
    bench.require_same(output, what)
    tiles = begun(made)
    assert len(tiles) == len(set(tiles))
    return set(tiles)


def damage_tiles(bench: Bench, count: int, random_: random.Random) -> None:
    """Flip a bit in so many tiles of an interrupted run: exactly these are named, and made again."""
    output = bench.tiled("flipped")
    folder = output / SCRATCH / "tiles"
    numbers = random_.sample(range(TILES), count)
    what = ", ".join(flip(folder / f"{number:07d}.tile", random_) for number in numbers)
    said = bench.verify(output)
    assert (said.status, named_tiles(said.said)) == (4, set(numbers)), f"{what}: {said}"
    assert repair(bench, output, what) == set(numbers), what
    shutil.rmtree(output)


def damage_output(bench: Bench, output: Path, name: str, what: str) -> int:
    """After a file of a finished run was damaged: it is named, repaired, and other maps are not touched.

    Returns:
        Number of tiles that were made again: those that the damage shows in.
    """
    said = bench.verify(output)
    assert said.status == 4, f"{what}: {said}"
    assert f"Damaged: {output / name}: " in said.said, f"{what}: {said.said}"
    maps = [f"{product.name}.tif" for product in PRODUCTS]
    before = {other: (output / other).stat() for other in maps if other != name}
    shown = set[int]()
    if name in maps:
        manifest = Manifest(output / SCRATCH)
        rows = list(manifest.tiles().values())
        manifest.close()
        tiles, crcs = [Tile(row.index, *row.window) for row in rows], [row.crcs[maps.index(name)] for row in rows]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)  # of a header that is cut short
            shown = {tile.index for tile in damaged_tiles(output / name, tiles, crcs)}
        window = re.search(r" in rows \d+-\d+ columns \d+-\d+", said.said)
        assert bool(window) == bool(shown) or not (output / name).exists(), f"{what}: {said.said}"
    assert repair(bench, output, what) == shown, what
    for other, then in before.items():
        now = (output / other).stat()
        assert (now.st_ino, now.st_mtime_ns) == (then.st_ino, then.st_mtime_ns), f"{what}: {other} was written again"
    return len(shown)


@pytest.fixture
def finished(calm: Bench, output: Path) -> Path:
    """A copy of a finished run."""
    return shutil.copytree(calm.folder / "whole", output)


def outputs_to_flip(bench: Bench) -> list[str]:
    """Maps as often as all else together."""
    rest = [name for name in bench.whole if not name.endswith(".tif") and not name.startswith("evidence/")]
    maps = [name for name in bench.whole if name.endswith(".tif")]
    return [name for pair in zip(maps * len(rest), rest * len(maps), strict=True) for name in pair]


def test_ten_flips(calm: Bench, finished: Path) -> None:
    random_ = random.Random(4)
    damage_tiles(calm, 5, random_)
    for name in ("anomaly.tif", "groups.tif", "run.json", "targets.gpkg", "screener.json"):
        damage_output(calm, finished, name, flip(finished / name, random_))


@pytest.mark.faults
def test_flips_in_tiles(calm: Bench) -> None:
    random_ = random.Random(5)
    for _ in range(FLIPS // AT_ONCE):
        damage_tiles(calm, AT_ONCE, random_)
    print(f"{FLIPS // AT_ONCE * AT_ONCE} of {FLIPS // AT_ONCE * AT_ONCE} bits flipped in tiles: named, and made again")


@pytest.mark.faults
def test_flips_in_outputs(calm: Bench, finished: Path) -> None:
    random_, names, again = random.Random(6), outputs_to_flip(calm), Counter[str]()
    for number in range(FLIPS):
        name = names[number % len(names)]
        made = damage_output(calm, finished, name, flip(finished / name, random_))
        again["tiles made again" if made else "no tile made again"] += 1
    print(f"{FLIPS} of {FLIPS} bits flipped in outputs: named, and repaired to the same bytes ({dict(again)})")


@pytest.mark.faults
def test_files_cut_short_and_gone(calm: Bench, finished: Path) -> None:
    random_ = random.Random(7)
    names = [name for name in calm.whole if not name.startswith("evidence/")]
    for name in names:
        path = finished / name
        with path.open("r+b") as file:
            file.truncate(random_.randrange(path.stat().st_size))
        damage_output(calm, finished, name, f"{name} cut short")
        path.unlink()
        if name == "run.json":
            said = calm.verify(finished)  # a run that is not finished: all that stands is whole
            assert repair(calm, finished, "run.json gone") == set()
            continue
        said = calm.verify(finished)
        assert (said.status, f"Damaged: {path}: is gone" in said.said) == (4, True), said
        made = repair(calm, finished, f"{name} gone")
        assert made == (set(range(TILES)) if name in {f"{p.name}.tif" for p in PRODUCTS} else set()), name
    print(f"{len(names)} outputs cut short and removed: named, and repaired to the same bytes")


@pytest.mark.faults
def test_tiles_cut_short_and_gone(calm: Bench) -> None:
    random_ = random.Random(8)
    for _ in range(5):
        output = calm.tiled("cut")
        cut, gone = random_.sample(range(TILES), 4), random_.sample(range(TILES), 4)
        for number in cut:
            path = output / SCRATCH / "tiles" / f"{number:07d}.tile"
            with path.open("r+b") as file:
                file.truncate(random_.randrange(path.stat().st_size))
        for number in gone:
            (output / SCRATCH / "tiles" / f"{number:07d}.tile").unlink()
        said = calm.verify(output)
        assert (said.status, named_tiles(said.said)) == (4, set(cut) - set(gone)), said
        assert repair(calm, output, "tiles cut short and gone") == {*cut, *gone}
        shutil.rmtree(output)
    print("20 tiles cut short and 20 removed: the same bytes")


def damage_manifest(path: Path, how: str, random_: random.Random) -> None:
    content = bytearray(path.read_bytes())
    if how == "flipped":
        flip(path, random_)
    elif how == "random bytes":
        start = random_.randrange(len(content))
        content[start : start + 64] = random_.randbytes(len(content[start : start + 64]))
        path.write_bytes(content)
    elif how == "cut short":
        path.write_bytes(content[: random_.randrange(len(content))])
    elif how == "text":
        path.write_text("this is no manifest\n" * 50)
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "gone":
        path.unlink()
    elif how == "a stale journal":
        path.with_name(f"{path.name}-journal").write_bytes(random_.randbytes(3000))
    elif how == "another database":
        path.unlink()
        shutil.copy(path.parents[1].parent / "whole" / "targets.gpkg", path)


@pytest.mark.faults
@pytest.mark.parametrize(
    ("how", "times"),
    [("flipped", 12), ("random bytes", 12), ("cut short", 8), ("text", 1), ("empty", 1), ("gone", 1),
     ("a stale journal", 3), ("another database", 1)],
)  # fmt: skip
def test_damaged_manifests(calm: Bench, finished: Path, how: str, times: int) -> None:
    """Of a finished run and of an interrupted one. What a manifest no longer knows is made again."""
    random_, made = random.Random(9), list[int]()
    for number in range(times):
        for output in (finished, calm.tiled("damaged")):
            before = digests(output)
            damage_manifest(output / SCRATCH / "manifest.sqlite", how, random_)
            said = calm.verify(output)
            assert said.status in (0, 2, 4), f"{how} {number}: {said}"
            assert "Traceback" not in said.said, said
            assert digests(output) == before, "verify changes no output"
            made.append(len(repair(calm, output, f"manifest: {how} {number}")))
            if output != finished:
                shutil.rmtree(output)
    print(f"manifest {how}: {2 * times} of {2 * times} the same bytes; tiles made again: {made}")
