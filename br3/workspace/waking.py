"""Waiting that costs nothing, and time as a process has lived it.

A loop that waits in ``pause`` is woken when a child of this process ends, and by TERM, INT and ``WAKE``: so it can look
rarely and still act at once. ``Awake`` counts the seconds in which this process was at work: what passes while the
machine sleeps, or while the process is stopped, is no time-out of anybody's.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

WAKE = signal.SIGURG
"""Who does not know this signal ignores it: a process that only seems to be br3's is not harmed."""

_MOST_S = 5.0
_UNWOKEN_S = 0.1

_pipe: tuple[int, int] | None = None


@contextmanager
def woken() -> Iterator[None]:
    """While it lasts, ``pause`` in the main thread ends early at signals. Elsewhere than there it changes nothing."""
    global _pipe
    if _pipe is not None or threading.current_thread() is not threading.main_thread():
        yield
        return
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    os.set_blocking(writing, False)
    before = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    # Only signals with a handler wake; what theirs do is left alone.
    added = [number for number in (signal.SIGCHLD, WAKE) if signal.getsignal(number) in (signal.SIG_DFL, None)]
    for number in added:
        signal.signal(number, lambda *_: None)
    _pipe = (reading, writing)
    try:
        yield
    finally:
        _pipe = None
        for number in added:
            signal.signal(number, signal.SIG_DFL)
        signal.set_wakeup_fd(before)
        os.close(reading)
        os.close(writing)


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Hold INT and TERM back while it lasts; they are delivered at its end. Elsewhere than in the main thread it
    changes nothing.

    For the start of a child: where the handler raises, the child would be there and nobody know of it. Blocking the
    signals instead would block them for the child too.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    held: list[int] = []
    before = {int(number): signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    handled = {number: handler for number, handler in before.items() if callable(handler)}
    for number in handled:
        signal.signal(number, lambda number, _: held.append(number))
    try:
        yield
    finally:
        for number, handler in handled.items():
            signal.signal(number, handler)
        for number in dict.fromkeys(held):
            signal.raise_signal(number)


def wake() -> None:
    """End the main thread's ``pause``; from any thread."""
    pipe = _pipe
    if pipe is not None:
        try:
            os.write(pipe[1], b"\0")
        except OSError:
            pass  # full: it is awake anyway


def pause(seconds: float, child: subprocess.Popen[bytes] | None = None) -> None:
    """Wait at most so long: until a signal comes, or ``child`` ends."""
    if _pipe is None or threading.current_thread() is not threading.main_thread():
        if child is None:
            time.sleep(min(seconds, _UNWOKEN_S))
            return
        try:
            child.wait(timeout=min(seconds, _UNWOKEN_S))
        except subprocess.TimeoutExpired:
            pass
        return
    reading = _pipe[0]
    select.select([reading], [], [], seconds)
    try:
        while os.read(reading, 4096):
            pass
    except BlockingIOError:
        pass


class Awake:
    """A clock that stands still while this process does, and while ``held``.

    Between two questions at most ``most_s`` seconds count, so it has to be asked more often than that.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, most_s: float = _MOST_S) -> None:
        self._clock, self._most_s = clock, most_s
        self._last, self._passed = clock(), 0.0
        self.held = False

    def now(self) -> float:
        """Seconds lived so far."""
        at = self._clock()
        if not self.held:
            self._passed += min(max(at - self._last, 0.0), self._most_s)
        self._last = at
        return self._passed
