"""Compiled functions kept on disk are never older than what they were compiled from."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np

from mpmjax.ops import _compile

CALLER = """
from mine.ops._compile import compiled
from mine.ops.called import half
@compiled
def f(x):
    return half(x)
print(f(8.0), sum(f.stats.cache_hits.values()))
"""
CALLED = """
from mine.ops._compile import compiled
from mine.reference import PART
@compiled
def half(x):
    return x * PART
"""


def test_a_change_in_another_file_is_compiled_anew(tmp_path: Path) -> None:
    """By itself Numba looks at the file of the function only, and would go on with the code that was called before."""
    package = tmp_path / "mine"
    for room in ("ops", "reference"):
        (package / room).mkdir(parents=True)
    shutil.copy(_compile.__file__, package / "ops")
    (package / "ops" / "caller.py").write_text(CALLER)
    (package / "ops" / "called.py").write_text(CALLED)

    def run(part: float) -> tuple[float, int]:
        (package / "reference" / "__init__.py").write_text(f"PART = {part}\n")
        command = [sys.executable, "-c", "import mine.ops.caller"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
        found, hits = done.stdout.split()
        return float(found), int(hits)

    assert run(0.5) == (4.0, 0)
    assert run(0.5) == (4.0, 1), "nothing was kept"
    assert run(0.25) == (2.0, 0)


def test_division_by_zero_is_numpys() -> None:
    divide = _compile.compiled(lambda a, b: a / b)
    assert divide(1.0, 0.0) == np.inf
    assert np.isnan(divide(0.0, 0.0))
