"""Runs that are held up, met by another run, or told to stop."""

from __future__ import annotations

import random
import shutil
import signal
import time
from collections import Counter
from pathlib import Path

import pytest
from faulty import SCRATCH, Bench, Server

pytestmark = pytest.mark.faults


def begin(bench: Bench, output: Path) -> None:
    """Start a run, and wait until it holds its folder."""
    bench.start(output)
    while not (output / SCRATCH / "lock").exists():
        time.sleep(0.002)


def test_held_up(calm: Bench, output: Path) -> None:
    """SIGSTOP and SIGCONT at random moments: nothing is noticed."""
    random_, held = random.Random(1), 0
    for _ in range(10):
        calm.start(output)
        for _ in range(3):
            if calm.server.wait(random_.uniform(0.0, 0.4 * calm.seconds)) is None:
                calm.server.kill(signal.SIGSTOP)
                time.sleep(0.3)
                calm.server.kill(signal.SIGCONT)
                held += 1
            else:
                break
        else:
            assert calm.server.ended().status == 0
        calm.require_same(output)
        shutil.rmtree(output)
    print(f"held up {held} times in 10 runs: the same bytes")


def test_two_runs_in_one_folder(calm: Bench, output: Path) -> None:
    """The second is refused, the first is unharmed; also where the first is held up, and when it was killed."""
    second = Server(calm.folder)
    random_, refused = random.Random(2), 0
    try:
        for number in range(10):
            begin(calm, output)
            if calm.server.wait(random_.uniform(0.0, 0.6 * calm.seconds)) is not None:
                shutil.rmtree(output)
                continue
            if number % 2:
                calm.server.kill(signal.SIGSTOP)
            second.start(calm.command(output), output)
            ended = second.ended()
            assert (ended.status, "is at work in this folder" in ended.said) == (2, True), ended
            refused += 1
            calm.server.kill(signal.SIGCONT)
            if number % 3 == 0:
                calm.server.kill()
            status = calm.server.ended().status
            assert status == (-signal.SIGKILL if number % 3 == 0 else 0)
            if status:
                calm.screen(output)
            calm.require_same(output)
            shutil.rmtree(output)
    finally:
        second.close()
    print(f"{refused} of {refused} second runs were refused; the first ended with the same bytes")
    assert refused > 5


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_told_to_stop(calm: Bench, output: Path, number: signal.Signals, status: int) -> None:
    """At random moments: its own exit status within five seconds, what stands is whole, and it goes on."""
    random_, ends, slowest = random.Random(3), Counter[int](), 0.0
    while ends[status] < 20:
        begin(calm, output)
        if calm.server.wait(random_.uniform(0.0, 0.9 * calm.seconds)) is None:
            then = time.monotonic()
            calm.server.kill(number)
            ended = calm.server.ended()
            slowest = max(slowest, time.monotonic() - then)
            assert ended.status in (0, status), ended
            ends[ended.status] += 1
            if output.exists():
                calm.require_whole_names(output)
            if ended.status:
                assert "goes on where it stopped" in ended.said, ended
                assert "Traceback" not in ended.said, ended
                calm.screen(output)
        calm.require_same(output)
        shutil.rmtree(output)
    print(f"{number.name}: exit statuses {dict(ends)}, after {slowest:.1f} s at most; then the same bytes")
    assert slowest < 5.0
