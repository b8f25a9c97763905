"""Damaged headers of small rasters, thousands of them, each made again from its number alone."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from raster_seeds import Seed

HOW_MANY = (1, 1, 1, 2, 3)
"""How many damages a file gets: where there are many, the first that is deadly hides the others."""

NUMBERS = (
    *(0, 1, 2, 3, 7, 8, 15, 16, 17, 31, 32, 63, 64, 127, 128, 255, 256, 1000, 4096, 32767, 32768, 34712, 34887, 50000),
    *(65535, 65536, 400_000, 1 << 24, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFE, 0xFFFF_FFFF, 1 << 40, (1 << 63) - 1),
    *((1 << 63), (1 << 64) - 1),
)
"""What counts, sizes, offsets, types and compressions are set to."""

WORDS = (
    *("0", "-1", "1", "2", "nan", "inf", "1e308", "-1e-320", "400000", "2000000000", "99999999999999999999", ""),
    *("A" * 5000, "é", "BIP", "BSQ", "FLOAT", "UNSIGNEDINT", "M", "60", "0x10", "%n%s", "../secret", "/dev/zero"),
)
"""What the values of text headers are set to."""

LINES = (
    *("skipbytes 4000000000", "skipbytes -1", "nbits 1", "nbits 4", "nbits 64", "nbands 70000", "nbands 0"),
    *("layout BSQ", "layout BIP", "bandrowbytes 1", "totalrowbytes 4294967295", "bandgapbytes 18446744073709551615"),
    *("pixeltype FLOAT", "nodata nan", "nodata_value 1e400", "xllcenter 0", "dx 0", "cellsize 1e-300", "ulxmap inf"),
    *("byteorder M", "min_value x", "nrows 2000000000", "ncols 2000000000", "nrows 1000000", "ncols 1000000"),
)
"""Lines that are put into text headers."""

Damage = Callable[[random.Random, bytearray], bytearray]


@dataclass(frozen=True)
class Case:
    """A damaged raster: its files by name, the first to be opened."""

    number: int
    seed: Seed
    files: dict[str, bytes]
    damages: tuple[str, ...]

    def put(self, folder: Path) -> Path:
        """Write it into an empty folder; returns the file to open."""
        for name, content in self.files.items():
            (folder / name).write_bytes(content)
        return folder / self.seed.main

    def __str__(self) -> str:
        return f"case {self.number} ({self.seed.name}: {', '.join(self.damages)})"


def mutate(seeds: Sequence[Seed], number: int) -> Case:
    """Case `number`: always the same bytes."""
    seed = seeds[number % len(seeds)]
    rng = random.Random(f"header {number}")
    files, done = dict(seed.files), []
    for _ in range(rng.choice(HOW_MANY)):
        # Headers that stand in a file of their own, and sidecars, are met as often as what they belong to.
        name = rng.choice(list(files))
        content = bytearray(files[name])
        damage = rng.choice(_ways(content))
        done.append(f"{damage.__name__} of {name}")
        files[name] = bytes(damage(rng, content)) if content else b""
    return Case(number, seed, files, tuple(done))


def _ways(content: bytearray) -> tuple[Damage, ...]:
    """The damages that suit a content, the telling ones more than once."""
    if content[:2] in (b"II", b"MM"):
        return (*BYTES, *TAGS, *TAGS, *TAGS)
    text = not any(byte < 9 for byte in content[:400])
    return (*BYTES, *TEXT, *TEXT, *TEXT) if text else BYTES


# -- bytes


def _place(rng: random.Random, content: bytearray) -> int:
    """Half of the places in the first 512 bytes, where most headers stand."""
    reach = len(content) if rng.random() < 0.5 else min(len(content), 512)
    return rng.randrange(max(reach, 1))


def flip_bits(rng: random.Random, content: bytearray) -> bytearray:
    for _ in range(rng.choice((1, 1, 2, 8))):
        if content:
            content[_place(rng, content)] ^= 1 << rng.randrange(8)
    return content


def set_bytes(rng: random.Random, content: bytearray) -> bytearray:
    for _ in range(rng.choice((1, 2, 4))):
        if content:
            content[_place(rng, content)] = rng.choice((0, 1, 0x7F, 0x80, 0xFE, 0xFF, rng.randrange(256)))
    return content


def set_number(rng: random.Random, content: bytearray) -> bytearray:
    """Two, four or eight bytes as one of NUMBERS."""
    size, place = rng.choice((2, 4, 4, 8)), _place(rng, content)
    value = rng.choice(NUMBERS) & ((1 << 8 * size) - 1)
    new = value.to_bytes(size, rng.choice(("little", "little", "big")))
    content[place : place + size] = new[: len(content) - place]
    return content


def random_span(rng: random.Random, content: bytearray) -> bytearray:
    place, size = _place(rng, content), rng.choice((3, 16, 64))
    content[place : place + size] = rng.randbytes(min(size, len(content) - place))
    return content


def cut_off(rng: random.Random, content: bytearray) -> bytearray:
    return content[: _place(rng, content)]


def cut_out(rng: random.Random, content: bytearray) -> bytearray:
    place = _place(rng, content)
    return content[:place] + content[place + rng.choice((1, 2, 12, 100)) :]


def put_in(rng: random.Random, content: bytearray) -> bytearray:
    place = _place(rng, content)
    return content[:place] + rng.choice((b"\0", b"\xff" * 4, rng.randbytes(20))) + content[place:]


BYTES: tuple[Damage, ...] = (flip_bits, set_bytes, set_number, random_span, cut_off, cut_out, put_in)


# -- tags of a TIFF


@dataclass(frozen=True)
class Entry:
    """Where a tag of a TIFF stands: of its fields, tag, type, count and value, the places and sizes."""

    start: int
    wide: bool
    order: str

    @property
    def size(self) -> int:
        return 20 if self.wide else 12

    def fields(self) -> tuple[tuple[int, int], ...]:
        wide = 8 if self.wide else 4
        return (self.start, 2), (self.start + 2, 2), (self.start + 4, wide), (self.start + 4 + wide, wide)


def entries(content: bytes | bytearray) -> list[Entry]:
    """The tags of all directories, as far as they can be found in what may be damaged already."""
    return list(_entries(content))


def _entries(content: bytes | bytearray) -> Iterator[Entry]:
    order, seen = "<" if content[:2] == b"II" else ">", set()
    wide = content[2:4] in (b"+\0", b"\0+")
    step, number = (8, f"{order}Q") if wide else (4, f"{order}I")
    counted = (8, f"{order}Q") if wide else (2, f"{order}H")
    at = 8 if wide else 4
    while at + step <= len(content):
        (start,) = struct.unpack_from(number, content, at)
        if start in seen or start == 0 or start + counted[0] > len(content):
            return
        seen.add(start)
        (count,) = struct.unpack_from(counted[1], content, start)
        own = Entry(start + counted[0], wide, order)
        for _ in range(min(count, 100)):
            if own.start + own.size > len(content):
                return
            yield own
            own = Entry(own.start + own.size, wide, order)
        at = own.start


def set_field(rng: random.Random, content: bytearray) -> bytearray:
    """The type, count or value of a tag as one of NUMBERS."""
    found = entries(content)
    if not found:
        return set_number(rng, content)
    entry = rng.choice(found)
    start, size = rng.choice(entry.fields()[1:])
    value = rng.randrange(20) if size == 2 else rng.choice(NUMBERS) & ((1 << 8 * size) - 1)
    content[start : start + size] = value.to_bytes(size, "little" if entry.order == "<" else "big")
    return content


def set_tag(rng: random.Random, content: bytearray) -> bytearray:
    """A tag becomes another: one that steers reading, or any."""
    found = entries(content)
    if not found:
        return set_number(rng, content)
    known = (254, 256, 257, 258, 259, 262, 273, 277, 278, 279, 284, 317, 322, 323, 324, 325, 330, 338, 339, 347)
    spatial = (33550, 33922, 34264, 34735, 34736, 34737, 42112, 42113, 50674)
    start, size = rng.choice(found).fields()[0]
    tag = rng.choice((*known, *spatial, rng.randrange(65536)))
    content[start : start + size] = tag.to_bytes(size, "little" if content[:2] == b"II" else "big")
    return content


def swap_tags(rng: random.Random, content: bytearray) -> bytearray:
    found = entries(content)
    if len(found) < 2:
        return flip_bits(rng, content)
    one, other = rng.sample(found, 2)
    first, second = (bytes(content[entry.start : entry.start + entry.size]) for entry in (one, other))
    content[one.start : one.start + one.size], content[other.start : other.start + other.size] = second, first
    return content


def double_tag(rng: random.Random, content: bytearray) -> bytearray:
    """One tag written over another."""
    found = entries(content)
    if len(found) < 2:
        return flip_bits(rng, content)
    one, other = rng.sample(found, 2)
    content[other.start : other.start + other.size] = content[one.start : one.start + one.size]
    return content


def turn_back(rng: random.Random, content: bytearray) -> bytearray:
    """The next directory is an earlier one, or lies anywhere."""
    found = entries(content)
    if not found:
        return set_number(rng, content)
    end = found[-1].start + found[-1].size
    target = rng.choice((8, 16, found[0].start - 2, found[0].start - 8, rng.randrange(len(content))))
    size = 8 if found[-1].wide else 4
    content[end : end + size] = max(target, 0).to_bytes(size, "little" if content[:2] == b"II" else "big")
    return content


TAGS: tuple[Damage, ...] = (set_field, set_field, set_field, set_tag, swap_tags, double_tag, turn_back)


# -- lines of a text header


def change_word(rng: random.Random, content: bytearray) -> bytearray:
    """A word among the first hundred, mostly in the header, is another."""
    words = content.split(b" ")
    words[rng.randrange(min(len(words), 100))] = bytearray(rng.choice(WORDS).encode("latin-1"))
    return bytearray(b" ").join(words)


def change_value(rng: random.Random, content: bytearray) -> bytearray:
    lines = content.split(b"\n")
    at = rng.randrange(min(len(lines), 14))
    key = lines[at].split(b" ")[0]
    lines[at] = bytearray(key + b" " + rng.choice(WORDS).encode("latin-1"))
    return bytearray(b"\n").join(lines)


def shuffle_lines(rng: random.Random, content: bytearray) -> bytearray:
    """A line is left out, doubled, or exchanged with another."""
    lines = content.split(b"\n")
    one, other = rng.randrange(min(len(lines), 14)), rng.randrange(min(len(lines), 14))
    match rng.randrange(3):
        case 0:
            del lines[one]
        case 1:
            lines.insert(other, lines[one])
        case _:
            lines[one], lines[other] = lines[other], lines[one]
    return bytearray(b"\n").join(lines)


def add_line(rng: random.Random, content: bytearray) -> bytearray:
    lines = content.split(b"\n")
    lines.insert(rng.randrange(min(len(lines), 14) + 1), bytearray(rng.choice(LINES).encode()))
    return bytearray(b"\n").join(lines)


TEXT: tuple[Damage, ...] = (change_word, change_value, change_value, shuffle_lines, add_line)
