"""A whole `mpmjax run`, training and all, killed at any moment and started again: the bytes of one never killed."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from districts import make_district
from faulty import digests

pytestmark = pytest.mark.faults

KILLS = int(os.environ.get("MPMJAX_RUN_KILLS", "20"))
VARIES = ("date", "times", "command")


class Runs:
    """The command in processes of its own. JAX keeps what it compiled: else that would be most of a run."""

    def __init__(self, folder: Path) -> None:
        stream = {"tile": 16, "workers": 2}
        model = {"members": 1, "steps": 20}
        self.project = make_district(folder / "district", shape=(64, 80), mask=False, stream=stream, model=model)
        kept = {
            "JAX_COMPILATION_CACHE_DIR": str(folder / "compiled"),
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        }
        self._environment = {**os.environ, **kept}

    def start(self, output: Path) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "mpmjax", "run", str(self.project), "--output", str(output)]
        return subprocess.Popen(
            command, env=self._environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True
        )

    def finish(self, output: Path) -> float:
        """To the end; the seconds it took."""
        began = time.monotonic()
        process = self.start(output)
        said = process.communicate(timeout=600)[1].decode()
        assert process.returncode == 0, said
        return time.monotonic() - began


def content(output: Path) -> dict[str, Any]:
    """Every output: its bytes' checksum; of run.json and the report what is the same in each run."""
    found: dict[str, Any] = dict(digests(output))
    record = json.loads((output / "run.json").read_text())
    record["outputs"].pop("report.html")
    found["run.json"] = {name: value for name, value in record.items() if name not in VARIES}
    text = (output / "report.html").read_text()
    found["report.html"] = re.sub(r"<h3>Times</h3>.*?</section>|<dt>Date</dt>.*?</dd>", "", text, flags=re.DOTALL)
    return found


def test_killed_in_any_stage(tmp_path: Path) -> None:
    runs, random_, stages = Runs(tmp_path), random.Random(1), Counter[str]()
    runs.finish(tmp_path / "warm")
    seconds = runs.finish(tmp_path / "whole")
    expected = content(tmp_path / "whole")
    assert expected == content(tmp_path / "warm")
    began = time.monotonic()
    while stages.total() < KILLS:
        output = tmp_path / "killed"
        process = runs.start(output)
        try:
            process.communicate(timeout=random_.uniform(0.2, 1.0) * seconds)
        except subprocess.TimeoutExpired:
            os.kill(process.pid, signal.SIGKILL)
            process.communicate()
            stages[stage(output)] += 1
        runs.finish(output)
        assert content(output) == expected, stages
        shutil.rmtree(output)
    print(
        f"{KILLS} of {KILLS} whole runs with training, killed once ({dict(stages)}), ended with the bytes of an "
        f"undisturbed one; {(time.monotonic() - began) / KILLS:.1f} s each"
    )


def stage(output: Path) -> str:
    """Which stage a run was in, by its log."""
    log = output / ".mpmjax" / "log.jsonl"
    events = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    begun = [event["stage"] for event in events if event["event"] == "stage_start"]
    return begun[-1] if begun else "start"
