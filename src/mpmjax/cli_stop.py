"""Ctrl-C and SIGTERM end the command within five seconds, and what they interrupt can be started again."""

from __future__ import annotations

import atexit
import contextlib
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, NoReturn

MESSAGE = (
    "Stopped. Start the same command again and it goes on where it stopped; "
    "nothing unfinished stands under a final name."
)

GRACE = 4.0
"""Seconds from the signal until the process is ended, unwound or not."""

ECHO = 0.3
"""Seconds in which a further signal is the first one again: `timeout` and its like signal a process and its group."""

SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))


class Stopped(BaseException):
    """The process was told to stop. No Exception, so that nothing on the way takes it for a failure to deal with."""

    def __init__(self, signum: int) -> None:
        super().__init__(signal.Signals(signum).name)
        self.signum = int(signum)


@contextmanager
def stopping() -> Iterator[None]:
    """End the process when SIGINT, SIGTERM or SIGHUP comes, with status 128 + the number of the signal.

    The first signal raises `Stopped` in the main thread, so that everything is put away on the way out; this then says
    MESSAGE and exits. Whatever keeps the process alive longer - a long call into a library, threads that do not end, an
    exception that was swallowed - a watchdog thread ends it GRACE seconds after the signal, or at once at a second
    signal that is no echo of the first. Work that is nevertheless finished before then ends with its own status.

    A signal that was ignored on entry (nohup, background jobs of a script) stays ignored. Outside the main thread
    nothing is done. Handlers and wakeup descriptor are restored when the body ends without a signal.

    Limit: handler and watchdog are Python, so a call that holds the GIL delays both until it returns. What this package
    calls for long (XLA, GDAL, its Numba functions) lets go of it. SIGQUIT (Ctrl-\\) and SIGKILL need no GIL; they leave
    the scratch folder behind, and nothing unfinished under a final name either.

    Raises:
        SystemExit: the process was told to stop.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    watch = _Watch()
    try:
        watch.install()
        yield
        watch.restore()
    except BaseException as error:
        # Libraries turn what passes through them into errors of their own: after a signal any failure is a stop.
        if watch.signum is None or (isinstance(error, SystemExit) and not error.code):
            watch.restore()
            raise
        watch.leave()


class _Watch:
    """Signal handlers of the main thread, and the thread that sees to it that the process ends."""

    def __init__(self) -> None:
        self.signum: int | None = None
        self._told = False
        self._handlers: dict[int, Any] = {}
        self._ends: tuple[int, int] | None = None
        self._wakeup = -1

    def install(self) -> None:
        """Start the watchdog, then take the signals."""
        own = [signum for signum in SIGNALS if signal.getsignal(signum) not in (signal.SIG_IGN, None)]
        self._ends = listening, telling = os.pipe()
        os.set_blocking(telling, False)
        threading.Thread(target=self._guard, args=(listening,), name="mpmjax-stop", daemon=True).start()
        # The interpreter's C handler writes the number of every signal there, whatever the main thread is doing.
        self._wakeup = signal.set_wakeup_fd(telling, warn_on_full_buffer=False)
        # A forked child shares the pipe: a signal to it must not be told to the watchdog of its parent.
        os.register_at_fork(after_in_child=self.restore)
        # Before libraries register theirs, so that it runs after those.
        atexit.register(self._end_if_stopped)
        for signum in own:
            self._handlers[signum] = signal.signal(signum, self._raise)

    def restore(self) -> None:
        """Give the signals back and let the watchdog go. Does nothing the second time."""
        if self._ends is None:
            return
        (_, telling), self._ends = self._ends, None
        for signum, handler in self._handlers.items():
            signal.signal(signum, handler)
        signal.set_wakeup_fd(self._wakeup)
        os.close(telling)
        atexit.unregister(self._end_if_stopped)

    def leave(self) -> NoReturn:
        """Say that it was stopped, and exit. Watchdog and handlers stay: threads may still hold the exit up."""
        self._tell()
        raise SystemExit(self._status) from None

    @property
    def _status(self) -> int:
        return 128 + (self.signum or 0)

    def _raise(self, signum: int, frame: FrameType | None) -> None:
        """The handler: the first signal unwinds the main thread, any other is the watchdog's. None on the way out."""
        if self.signum is None and self._ends is not None:
            self.signum = signum
            raise Stopped(signum)

    def _guard(self, listening: int) -> None:
        """Wait for a signal, then for a second one or for the time to be up; end the process. Or be let go."""
        first = _next(listening, None)
        start = time.monotonic()
        while first and (left := start + GRACE - time.monotonic()) > 0:
            told = _next(listening, left)
            if told == 0:
                first = 0
            elif told and time.monotonic() - start > ECHO:
                break
        if not first:
            os.close(listening)
            return
        if self.signum is None:
            self.signum = first
        if not self._told:
            self._told = True
            with contextlib.suppress(OSError):
                os.write(2, _lines(os.isatty(2)).encode())
        os._exit(self._status)

    def _tell(self) -> None:
        if not self._told:
            self._told = True
            with contextlib.suppress(OSError, ValueError):  # the terminal may be what went away
                sys.stderr.write(_lines(sys.stderr.isatty()))
                sys.stderr.flush()

    def _end_if_stopped(self) -> None:
        """The last thing at exit: what follows, the destructors of C++ libraries, has no watchdog any more."""
        if self.signum is not None:
            with contextlib.suppress(OSError, ValueError):
                sys.stdout.flush()
            os._exit(self._status)


def _lines(terminal: bool) -> str:
    """MESSAGE on a line of its own: on a terminal the cursor stands behind ^C or a line of progress."""
    return f"{chr(10) if terminal else ''}{MESSAGE}\n"


def _next(listening: int, seconds: float | None) -> int | None:
    """The next of SIGNALS; 0 when the other end was closed, None when the time (None: no end) was up before."""
    until = None if seconds is None else time.monotonic() + seconds
    while select.select([listening], [], [], None if until is None else max(0.0, until - time.monotonic()))[0]:
        told = os.read(listening, 1)
        if not told or told[0] in SIGNALS:  # others with handlers in Python are told of as well
            return told[0] if told else 0
    return None
