"""Stopping: real processes in every kind of work, signalled, and how and how soon they end."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass

import pytest

from mpmjax import cli_stop
from mpmjax.cli_stop import ECHO, GRACE, MESSAGE, SIGNALS, stopping

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="signals and libc as on Linux")

WITHIN = 5.0
"""Seconds from the signal in which every process must have ended."""

START = """
import atexit, ctypes, os, signal, sys, threading, time
from concurrent.futures import ThreadPoolExecutor
from mpmjax.cli_stop import stopping
signal.signal(signal.SIGINT, signal.default_int_handler)  # a test run in the background has it ignored
signal.signal(signal.SIGTERM, signal.SIG_DFL)
signal.signal(signal.SIGHUP, signal.SIG_DFL)
def ready():
    print("ready", flush=True)
def lock_twice(library):  # a futex: signals do not make it return, as they would sleep()
    mutex = ctypes.create_string_buffer(64)
    library.pthread_mutex_lock(mutex)
    library.pthread_mutex_lock(mutex)
def hold_the_gil(seconds):
    library, mutex, until = ctypes.PyDLL(None), ctypes.create_string_buffer(64), (ctypes.c_long * 2)()
    library.pthread_mutex_lock(mutex)
    until[0] = int(time.time() + seconds)
    library.pthread_mutex_timedlock(mutex, until)
"""

WORK = {
    "sleep": "ready(); time.sleep(60)",
    "busy": "ready()\n    while True: pass",
    "waiting": "pool = ThreadPoolExecutor(2); late = pool.submit(time.sleep, 2); ready(); late.result()",
    "gil": "ready(); hold_the_gil(3)",
    "swallowed": "ready()\n    while True:\n        try: time.sleep(60)\n        except BaseException: pass",
    "c_call": "ready(); lock_twice(ctypes.CDLL(None))",
    "pool": "pool = ThreadPoolExecutor(1); pool.submit(lock_twice, ctypes.CDLL(None)); ready(); time.sleep(60)",
    "with_pool": (
        "with ThreadPoolExecutor(1) as pool:\n        late = pool.submit(lock_twice, ctypes.CDLL(None))\n"
        "        ready(); late.result()"
    ),
    "thread": "threading.Thread(target=lock_twice, args=[ctypes.CDLL(None)]).start(); ready(); time.sleep(60)",
    "at_exit": "atexit.register(time.sleep, 60); ready(); time.sleep(60)",
}
"""What the main thread does: the first four end by unwinding, the others must be ended."""

UNWOUND = ("sleep", "busy", "waiting", "gil")


@dataclass
class Ended:
    """How a process ended: status as a shell gives it, seconds after the first signal, stdout and stderr."""

    status: int
    seconds: float
    out: str
    err: str


class Process:
    """A Python process that runs `code` under START and waits until it says that it is ready."""

    def __init__(self, code: str) -> None:
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        self.child = subprocess.Popen([sys.executable, "-c", START + code], text=True, **pipes)
        assert self.child.stdout is not None
        assert self.child.stdout.readline() == "ready\n", self.child.communicate()[1]
        time.sleep(0.1)  # into the work
        self.signalled = 0.0

    def send(self, signum: int) -> None:
        self.signalled = self.signalled or time.monotonic()
        self.child.send_signal(signum)

    def end(self) -> Ended:
        try:
            out, err = self.child.communicate(timeout=30)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.communicate()
            pytest.fail("did not end")
        status = self.child.returncode
        return Ended(128 - status if status < 0 else status, time.monotonic() - self.signalled, out, err)


def under_stopping(work: str) -> str:
    return (
        f"try:\n  with stopping():\n   try:\n    {work}\n   finally: print('tidied', flush=True)\n"
        "finally: print('out', flush=True)\n"
    )


@pytest.fixture(scope="module")
def ended() -> dict[str, Ended]:
    """Every kind of work, stopped by SIGTERM; all at once, as most take the whole of the grace."""
    found: dict[str, Ended] = {}

    def watch(name: str, process: Process) -> None:
        process.send(signal.SIGTERM)
        found[name] = process.end()

    processes = {name: Process(under_stopping(work)) for name, work in WORK.items()}
    threads = [threading.Thread(target=watch, args=item) for item in processes.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


@pytest.mark.parametrize("name", WORK)
def test_every_work_ends_in_time(ended: dict[str, Ended], name: str) -> None:
    this = ended[name]
    assert this.status == 143, this.err
    assert this.seconds < WITHIN
    assert this.err == MESSAGE + "\n"
    if name in UNWOUND:
        assert this.out == "tidied\nout\n"
        assert this.seconds < GRACE
    else:
        assert this.seconds > GRACE - 0.2


@pytest.mark.parametrize("signum", SIGNALS)
def test_status_tells_the_signal(signum: int) -> None:
    process = Process(under_stopping(WORK["sleep"]))
    process.send(signum)
    this = process.end()
    assert (this.status, this.err, this.out) == (128 + signum, MESSAGE + "\n", "tidied\nout\n")
    assert this.seconds < 2.0


@pytest.mark.parametrize("name", ["c_call", "pool"])
def test_a_second_signal_ends_at_once(name: str) -> None:
    process = Process(under_stopping(WORK[name]))
    process.send(signal.SIGINT)
    time.sleep(ECHO + 0.3)
    process.send(signal.SIGINT)
    this = process.end()
    assert (this.status, this.err) == (130, MESSAGE + "\n")
    assert this.seconds < 2.0


def test_an_echo_does_not_disturb_the_unwinding() -> None:
    code = "with stopping():\n try: ready(); time.sleep(60)\n finally: time.sleep(0.5); print('tidied', flush=True)"
    process = Process(code)
    for _ in range(5):
        process.send(signal.SIGTERM)
        time.sleep(0.02)
    this = process.end()
    assert (this.status, this.err, this.out) == (143, MESSAGE + "\n", "tidied\n")


def test_a_failure_on_the_way_out_is_a_stop() -> None:
    """Libraries wrap what passes through them in errors of their own, and those become statuses of their own."""
    work = (
        "ready()\n    try: time.sleep(60)\n    except BaseException as error: raise RuntimeError('wrapped') from error"
    )
    process = Process(under_stopping(work))
    process.send(signal.SIGINT)
    this = process.end()
    assert (this.status, this.err) == (130, MESSAGE + "\n")


def test_work_that_is_finished_all_the_same() -> None:
    work = "ready()\n    try: time.sleep(60)\n    except BaseException: print('finished', flush=True); sys.exit(0)"
    process = Process(under_stopping(work))
    process.send(signal.SIGINT)
    this = process.end()
    assert (this.status, this.err) == (0, "")


def test_ignored_signals_stay_ignored() -> None:
    """As under nohup."""
    code = "signal.signal(signal.SIGHUP, signal.SIG_IGN)\nwith stopping(): ready(); time.sleep(1); print('done')"
    process = Process(code)
    process.send(signal.SIGHUP)
    this = process.end()
    assert (this.status, this.out, this.err) == (0, "done\n", "")


def test_a_signal_to_a_forked_child_is_not_for_the_parent() -> None:
    code = (
        "with stopping():\n child = os.fork()\n if not child: time.sleep(60)\n ready(); time.sleep(0.3)\n"
        " os.kill(child, signal.SIGTERM)\n status = os.waitpid(child, 0)[1]\n time.sleep(4.5)\n print(status)"
    )
    process = Process(code)
    process.signalled = time.monotonic()
    assert process.end() == Ended(0, pytest.approx(5.0, abs=1.5), f"{int(signal.SIGTERM)}\n", "")


def test_the_command_line_is_stopped() -> None:
    code = (
        "from mpmjax import pipeline\nfrom mpmjax.cli import main\n"
        "pipeline.report = lambda output: (ready(), time.sleep(60))\n"
        "sys.argv = ['mpmjax', 'report', 'nowhere']\nmain()\n"
    )
    process = Process(code)
    process.send(signal.SIGTERM)
    this = process.end()
    assert (this.status, this.err) == (143, MESSAGE + "\n")
    assert this.seconds < 2.0


def test_everything_is_given_back() -> None:
    before = [signal.getsignal(signum) for signum in SIGNALS]
    told, telling = os.pipe()
    os.set_blocking(telling, False)
    own = signal.set_wakeup_fd(telling)
    try:
        for error in (None, ValueError("end"), SystemExit(2)):
            with contextlib.nullcontext() if error is None else pytest.raises(type(error)), stopping():
                assert [signal.getsignal(signum) for signum in SIGNALS] != before
                if error is not None:
                    raise error
            assert [signal.getsignal(signum) for signum in SIGNALS] == before
            assert signal.set_wakeup_fd(telling) == telling
    finally:
        signal.set_wakeup_fd(own)
        os.close(told)
        os.close(telling)
    for thread in threading.enumerate():
        if thread.name == "mpmjax-stop":
            thread.join(2.0)
            assert not thread.is_alive()


def test_nothing_outside_the_main_thread() -> None:
    before, seen = [signal.getsignal(signum) for signum in SIGNALS], []

    def work() -> None:
        with stopping():
            seen.extend(signal.getsignal(signum) for signum in SIGNALS)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == before


def test_stopped_is_no_failure_to_deal_with() -> None:
    assert not issubclass(cli_stop.Stopped, Exception | KeyboardInterrupt)
    assert cli_stop.Stopped(signal.SIGTERM).signum == signal.SIGTERM
