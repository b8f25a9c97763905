"""A fitted Screener on disk: screener.safetensors (arrays) and screener.json (everything else, with both checksums).

Opening one runs no code: safetensors holds plain arrays, JSON plain values. The checksums are ours because one flipped
bit passes unseen through safetensors, and through every digit of a number in JSON.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from mpmjax.errors import ScreenerError
from mpmjax.stream.files import write_file
from mpmjax.types import Membership, Screener

FORMAT = "mpmjax-screener-3"
ARRAYS = "screener.safetensors"
REST = "screener.json"


def save_screener(screener: Screener, folder: Path) -> tuple[Path, Path]:
    """Write both files into `folder`; the same Screener gives the same bytes.

    Raises:
        DiskError: a file cannot be written.
    """
    content, rest = _contents(screener)
    # The JSON names the checksum of the arrays, so it goes last.
    return write_file(folder / ARRAYS, content), write_file(folder / REST, rest)


def screener_checksum(screener: Screener) -> str:
    """sha256 of the screener.json that `save_screener` would write, which names that of the arrays."""
    return hashlib.sha256(_contents(screener)[1].encode()).hexdigest()


def _contents(screener: Screener) -> tuple[bytes, str]:
    """Of screener.safetensors and screener.json."""
    tables = {
        f"membership.{index}.{axis}": knots
        for index, m in enumerate(screener.memberships)
        for axis, knots in (("x", m.knots_x), ("y", m.knots_y))
        if knots is not None
    }
    arrays = {name: np.ascontiguousarray(values) for name, values in sorted({**screener.arrays, **tables}.items())}
    content = save(arrays)
    rest = {
        "format": FORMAT,
        "sha256": hashlib.sha256(content).hexdigest(),
        "layers": [dict(layer) for layer in screener.layers],
        "memberships": [m.record() for m in screener.memberships],
        "settings": dict(screener.settings),
        "diagnostics": dict(screener.diagnostics),
    }
    rest["checksum"] = _checksum(json.loads(json.dumps(rest, allow_nan=False)))
    return content, json.dumps(rest, indent=1, allow_nan=False)


def load_screener(path: str | Path) -> Screener:
    """Read a Screener.

    Args:
        path: the folder, screener.safetensors or screener.json.

    Raises:
        ScreenerError: a file is missing, damaged, of another format, or the two do not belong together.
    """
    path = Path(path)
    folder = path if path.is_dir() else path.parent
    rest, content = _read_json(folder / REST), _read(folder / ARRAYS)
    if rest.get("format") != FORMAT:
        raise ScreenerError(
            f"{folder / REST}: format {rest.get('format')!r}, this version reads {FORMAT!r}. Fit again."
        )
    if _checksum(rest) != rest.get("checksum"):
        raise ScreenerError(
            f"{folder / REST}: its contents do not fit the checksum in it: the file is damaged or was edited. Copy it "
            "again, or fit again."
        )
    if hashlib.sha256(content).hexdigest() != rest.get("sha256"):
        raise ScreenerError(
            f"{folder / ARRAYS}: its checksum is not the one in {REST}: the file is damaged, or the two are from "
            "different fits. Copy both files again, or fit again."
        )
    try:
        arrays = load(content)
        memberships = tuple(_membership(i, record, arrays) for i, record in enumerate(rest["memberships"]))
        return Screener(
            tuple(rest["layers"]),
            memberships,
            {name: values for name, values in arrays.items() if not name.startswith("membership.")},
            rest["settings"],
            rest["diagnostics"],
        )
    except (KeyError, TypeError, SafetensorError) as error:
        raise ScreenerError(f"{folder}: not a complete Screener ({error!r}). Fit again.") from error


def _membership(index: int, record: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Membership:
    x, y = (arrays.get(f"membership.{index}.{axis}") for axis in "xy")
    return Membership(**record, knots_x=x, knots_y=y)


def _checksum(rest: Mapping[str, Any]) -> str:
    """sha256 of what the JSON says, this checksum left out: of its meaning, not of its white space."""
    meaning = {key: value for key, value in rest.items() if key != "checksum"}
    return hashlib.sha256(json.dumps(meaning, sort_keys=True).encode()).hexdigest()


def _read_json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(_read(path))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ScreenerError(
            f"{path}: not valid JSON ({error}): the file is damaged. Copy it again, or fit again."
        ) from error
    if not isinstance(found, dict):
        raise ScreenerError(f"{path}: not a Screener. Name the folder that `mpmjax fit` wrote.")
    return found


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ScreenerError(f"{path}: {error.strerror}. Name the folder that `mpmjax fit` wrote.") from error
