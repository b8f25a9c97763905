"""mpmjax: label-free mineral prospectivity screening of rasters far larger than memory.

The public names are loaded when they are first used, so that importing mpmjax loads neither jax nor numba.
"""

from __future__ import annotations

import importlib
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mpmjax.autoencoder.checkpoint import load_screener
    from mpmjax.errors import MpmError
    from mpmjax.pipeline import compare, explain, fit, prepare, report, run, screen, validate, verify
    from mpmjax.project import Project, load_project
    from mpmjax.types import Screener

__version__ = version("mpmjax")

_HOMES = {
    "run": "pipeline",
    "fit": "pipeline",
    "prepare": "pipeline",
    "screen": "pipeline",
    "validate": "pipeline",
    "verify": "pipeline",
    "report": "pipeline",
    "compare": "pipeline",
    "explain": "pipeline",
    "load_project": "project",
    "Project": "project",
    "load_screener": "autoencoder.checkpoint",
    "Screener": "types",
    "MpmError": "errors",
}

__all__ = [
    "MpmError",
    "Project",
    "Screener",
    "compare",
    "explain",
    "fit",
    "load_project",
    "load_screener",
    "prepare",
    "report",
    "run",
    "screen",
    "validate",
    "verify",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'mpmjax' has no attribute {name!r}")
    return getattr(importlib.import_module(f"mpmjax.{_HOMES[name]}"), name)
