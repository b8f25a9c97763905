"""What threads leave goes back to the system."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import re
from concurrent.futures import ThreadPoolExecutor
import numpy as np
from mpmjax.stream.memory import steady_heap

def resident():
    return int(re.search(r"VmRSS:\\s+(\\d+)", open("/proc/self/status").read())[1]) / 1024

steady_heap()
before = resident()
with ThreadPoolExecutor(8) as pool:
    arrays = list(pool.map(lambda n: np.ones((2 + n % 3) << 17), range(120)))
    pins = [np.ones(1 << 12) for _ in arrays]
held = resident() - before
del arrays
print(held, resident() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc, and glibc's heap is what is steadied")
def test_freed_arrays_go_back() -> None:
    said = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, timeout=60)
    held, left = (float(value) for value in said.stdout.split())
    assert held > 250, "MiB; the arrays were really there"
    assert left < 30
