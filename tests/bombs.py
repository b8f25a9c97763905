"""Files of a few bytes that claim to be huge, without end, or nested beyond measure. Made by hand, tag by tag."""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import rasterio
from districts import CRS, corner
from raster_seeds import write

HUGE = 400_000
SHORT, LONG, DOUBLE, ASCII = 3, 4, 12, 2
PACK = {SHORT: "H", LONG: "I", DOUBLE: "d", ASCII: "s"}
DEFLATE = 8

Tags = Mapping[int, tuple[int, Sequence[float] | bytes]]
"""Tag -> type and values."""

PLACE: Tags = {
    33550: (DOUBLE, (60.0, 60.0, 0.0)),
    33922: (DOUBLE, (0.0, 0.0, 0.0, 640_000.0, 3_700_000.0, 0.0)),
    34735: (SHORT, (1, 1, 0, 2, 1024, 0, 1, 1, 3072, 0, 1, 32639)),
}
"""UTM 39 N, so that nothing but its size can be said against a file."""


def image(width: int, height: int, block: int, *, compression: int = 1, tiled: bool = True, bands: int = 1) -> Tags:
    """The tags of bytes in square tiles, or in strips of `block` rows; all blocks are what follows the directories."""
    own: dict[int, tuple[int, Sequence[float] | bytes]] = {
        256: (LONG, [width]),
        257: (LONG, [height]),
        258: (SHORT, [8]),
        259: (SHORT, [compression]),
        262: (SHORT, [1]),
        277: (SHORT, [bands]),
    }
    if tiled:
        return own | {322: (LONG, [block]), 323: (LONG, [block])}
    return own | {278: (LONG, [block])}


def tiff(path: Path, *directories: Tags, data: bytes = b"", next_of_last: int = 0) -> Path:
    """A classic TIFF of these directories, in the order of a chain, and the data that their blocks share."""
    parts, at = [b"II*\0", struct.pack("<I", 8)], 8
    sizes = [_size(tags) for tags in directories]
    end = 8 + sum(sizes)
    for number, (tags, size) in enumerate(zip(directories, sizes, strict=True)):
        following = at + size if number + 1 < len(directories) else next_of_last
        parts.append(_directory(_with_blocks(tags, end, len(data)), at, following))
        at += size
    path.write_bytes(b"".join(parts) + data)
    return path


def _with_blocks(tags: Tags, start: int, size: int) -> Tags:
    """Offsets and counts of all blocks, which are the same bytes; one where there would be too many."""
    if 256 not in tags:
        return tags
    width, height = int(tags[256][1][0]), int(tags[257][1][0])
    block = int(tags[322 if 322 in tags else 278][1][0])
    count = -(-width // block) * -(-height // block) if 322 in tags else -(-height // block)
    count = count if count < 100_000 and start else 1
    where, sizes = (324, 325) if 322 in tags else (273, 279)
    return {**tags, where: (LONG, [start] * count), sizes: (LONG, [size] * count)}


def _size(tags: Tags) -> int:
    return len(_directory(_with_blocks(tags, 1, 0), 0, 0))


def _directory(tags: Tags, at: int, following: int) -> bytes:
    entries, after = [], b""
    behind = at + 2 + 12 * len(tags) + 4
    for tag, (kind, values) in sorted(tags.items()):
        content = values if isinstance(values, bytes) else struct.pack(f"<{len(values)}{PACK[kind]}", *values)
        if len(content) > 4:
            entries.append(struct.pack("<HHII", tag, kind, len(values), behind + len(after)))
            after += content
        else:
            entries.append(struct.pack("<HHI", tag, kind, len(values)) + content.ljust(4, b"\0"))
    return struct.pack("<H", len(tags)) + b"".join(entries) + struct.pack("<I", following) + after


def zeros(size: int) -> bytes:
    """So many zeros, deflated: about a thousandth."""
    packer, part = zlib.compressobj(9), bytes(1 << 20)
    whole = [packer.compress(part) for _ in range(size >> 20)]
    return b"".join((*whole, packer.compress(bytes(size & ((1 << 20) - 1))), packer.flush()))


SMALL: Tags = {**image(50, 40, 40, tiled=False), **PLACE}
NOISE = bytes(range(250)) * 8
"""The cells of SMALL."""


def sparse(path: Path, side: int, block: int, **profile: Any) -> Path:
    """A TIFF without a single block."""
    tiled = {"tiled": True, "blockxsize": block, "blockysize": block, "sparse_ok": True, "BIGTIFF": "YES"}
    stated = {"width": side, "height": side, "count": 1, "dtype": "float32", "crs": CRS, "transform": corner()}
    with rasterio.open(path, "w", driver="GTiff", **stated | tiled | profile):
        pass
    return path


def beside(path: Path, suffix: str, make: Callable[[Path], Path]) -> Path:
    """A sound raster with something beside it."""
    make(Path(f"{path}{suffix}"))
    return tiff(path, SMALL, data=NOISE)


def text(path: Path, content: str) -> Path:
    path.write_text(content)
    return path


def raw(folder: Path, cols: int, rows: int, bands: int, size: int) -> Path:
    place = "ulxmap 640030\nulymap 3699970\nxdim 60\nydim 60\n"
    text(folder / "a.hdr", f"ncols {cols}\nnrows {rows}\nnbands {bands}\nnbits 8\n{place}")
    with (folder / "a.bil").open("wb") as file:
        os.truncate(file.fileno(), size)
    return folder / "a.bil"


def grid_header(cols: int, rows: int) -> str:
    return f"ncols {cols}\nnrows {rows}\nxllcorner 640000\nyllcorner 3697600\ncellsize 60\nNODATA_value -9999\n1 2 3\n"


def one_block(path: Path) -> Path:
    """A large raster of which little is stored is sound."""
    sparse(path, 100_000, 512, compress="deflate", nodata=-1)
    with rasterio.open(path, "r+") as file:
        window = rasterio.windows.Window(0, 0, 512, 512)  # pyright: ignore[reportCallIssue]
        file.write(file.read(1, window=window) + 3.0, 1, window=window)
    return path


def projection(folder: Path) -> Path:
    path = write(folder / "a.bil", "int16", driver="EHdr")
    text(folder / "a.prj", "PROJCS[" * 1_000_000 + "x" * 3_000_000)
    return path


HOLLOW: Tags = {**image(60_000, 60_000, 60_000, compression=DEFLATE), **PLACE}
MASK: Tags = {**image(50, 40, 60_000, compression=DEFLATE), 254: (LONG, [4]), 262: (SHORT, [4]), 258: (SHORT, [1])}
FLAGS = b'<GDALMetadata><Item name="INTERNAL_MASK_FLAGS_1">2</Item></GDALMetadata>\0'
BESIDE: Tags = {**image(50, 40, 60_000, compression=DEFLATE), 42112: (ASCII, FLAGS)}
REDUCED: Tags = {**image(25, 20, 60_000, compression=DEFLATE), 254: (LONG, [1])}

REFUSED: Mapping[str, Callable[[Path], Path]] = {
    "a strip of everything": lambda at: tiff(at / "a.tif", {**image(HUGE, HUGE, HUGE, tiled=False), **PLACE}),
    "a strip of everything, deflated": lambda at: tiff(
        at / "a.tif", {**image(HUGE, HUGE, HUGE, tiled=False, compression=DEFLATE), **PLACE}, data=zeros(1 << 20)
    ),
    "strips that are nowhere": lambda at: tiff(at / "a.tif", {**image(HUGE, HUGE, 1, tiled=False), **PLACE}),
    "tiles that are nowhere": lambda at: tiff(at / "a.tif", {**image(HUGE, HUGE, 512), **PLACE}),
    "122 bytes": lambda at: tiff(at / "a.tif", image(HUGE, HUGE, HUGE, tiled=False)),
    "2.9 TB, nothing stored, large tiles": lambda at: sparse(at / "a.tif", 850_000, 13_312, compress="deflate"),
    "2.9 TB, nothing stored": lambda at: sparse(at / "a.tif", 850_000, 2048),
    "a tile of 3.6 GB": lambda at: tiff(at / "a.tif", HOLLOW, data=zeros(1 << 22)),
    "65,535 bands in large tiles": lambda at: tiff(
        at / "a.tif", {**image(4096, 4096, 4096, compression=DEFLATE, bands=65_535), **PLACE}, data=zeros(1 << 20)
    ),
    "65,535 bands": lambda at: tiff(
        at / "a.tif", {**image(5, 4, 4, bands=65_535, tiled=False), **PLACE}, data=os.urandom(65_535 * 20)
    ),
    "ascii of long rows": lambda at: text(at / "a.asc", grid_header(2_000_000_000, 10)),
    "ascii of many rows": lambda at: text(at / "a.asc", grid_header(10, 2_000_000_000)),
    "ascii, square": lambda at: text(at / "a.asc", grid_header(HUGE, HUGE)),
    "raw of long rows": lambda at: raw(at, 2_000_000_000, 9, 1, 99),
    "raw, square": lambda at: raw(at, HUGE, HUGE, 1, 99),
    "raw of many bands": lambda at: raw(at, 9, 9, 60_000, 99),
    "a nested sidecar": lambda at: beside(
        at / "a.tif", ".msk", lambda path: text(path, "<VRTDataset>" + "<a>" * 100_000)
    ),
}  # fmt: skip
"""Name -> who writes it into a folder. None of them may be taken for evidence."""

HANDLED: Mapping[str, Callable[[Path], Path]] = {
    "directories in a ring": lambda at: tiff(at / "a.tif", SMALL, REDUCED, data=NOISE, next_of_last=8),
    "60,000 directories": lambda at: tiff(at / "a.tif", SMALL, *[{254: (LONG, [1])}] * 60_000, data=NOISE),
    "a mask in a tile of 3.6 GB": lambda at: tiff(at / "a.tif", SMALL, MASK, data=NOISE),
    "a mask beside in a tile of 3.6 GB": lambda at: beside(
        at / "a.tif", ".msk", lambda path: tiff(path, BESIDE, data=zeros(1 << 22))
    ),
    "an overview in a tile of 3.6 GB": lambda at: tiff(at / "a.tif", SMALL, REDUCED, data=NOISE),
    "tiles of 484 MB that share their bytes": lambda at: tiff(
        at / "a.tif", {**image(176_000, 176_000, 22_000, compression=DEFLATE), **PLACE}, data=zeros(22_000**2)
    ),
    "raw of 1 TB, without a byte on the disk": lambda at: raw(at, 10**6, 10**6, 1, 10**12),
    "sparse of 40 GB, one block stored": lambda at: one_block(at / "a.tif"),
    "metadata nested 100,000 deep": lambda at: tiff(
        at / "a.tif", {**SMALL, 42112: (ASCII, b"<GDALMetadata>" + b"<a>" * 100_000)}, data=NOISE
    ),
    "a sidecar nested 100,000 deep": lambda at: beside(
        at / "a.tif", ".aux.xml", lambda path: text(path, "<PAMDataset>" + "<a>" * 100_000)
    ),
    "a projection of 10 MB": projection,
}
"""What may be refused or read, but in time and within the memory."""
