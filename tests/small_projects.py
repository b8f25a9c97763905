"""Projects of a few layers, written as their sections would be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mpmjax.project import Project


def raster(name: str, **keys: Any) -> dict[str, Any]:
    return {"name": name, "source": f"{name}.tif", "role": "index", "direction": "high"} | keys


def vector(name: str, **keys: Any) -> dict[str, Any]:
    source = {"name": name, "source": f"{name}.gpkg", "derive": "distance", "role": "distance", "direction": "low"}
    return source | keys


def make(folder: Path, layers: list[dict[str, Any]], **sections: Any) -> Project:
    return Project.model_validate({"folder": folder, "project": {"name": "x"}, "layers": layers} | sections)
