"""Events of the journal to whoever called, while something long goes on; and signals as the commands take them."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from br3.telemetry import BuildView, Event, Follower

if TYPE_CHECKING:
    from br3.landing.testing import Picture

OnEvent = Callable[[Event], None]


class Telling:
    """Tells ``on_event`` what a dispatch tells it; ``stop`` is set when ``cancel`` is, and when ``on_event`` raised.

    ``error`` is what it raised; it is not called again.
    """

    def __init__(self, on_event: OnEvent | None, cancel: threading.Event | None) -> None:
        self._on_event, self._cancel = on_event, cancel
        self.stop = threading.Event()
        self.error: BaseException | None = None

    def event(self, event: Event) -> None:
        if self._on_event is None or self.error is not None:
            return
        try:
            self._on_event(event)
        except BaseException as error:
            self.error = error
            self.stop.set()

    def preparing(self, build: str, step: str) -> None:
        """It is in the journal."""

    def waiting(self, build: str, why: str) -> None:
        """What waits has not begun."""

    def tick(self, builds: Mapping[str, BuildView]) -> None:
        if self._cancel is not None and self._cancel.is_set():
            self.stop.set()

    def doing(self, build: str, activity: str) -> None:
        """What an agent does in between is in its log."""


class Passing(Telling):
    """The same for who only looks on: what ``on_event`` raises goes through."""

    def event(self, event: Event) -> None:
        if self._on_event is not None:
            self._on_event(event)


class Following:
    """Tells ``on_event`` of each event of ``run`` that was written since it was made; told to look by what goes on."""

    def __init__(self, common_dir: Path, run: str, on_event: OnEvent | None) -> None:
        self._run, self._on_event = run, on_event
        self._thread = threading.get_ident()
        self._follower = Follower(common_dir)
        if on_event is not None:
            self._follower.poll()

    def look(self) -> None:
        if self._on_event is None or threading.get_ident() != self._thread:
            return  # candidates are tested in threads of their own; who called looks a moment later
        fresh = [event for event in self._follower.poll() if event.run == self._run]
        for event in sorted(fresh, key=lambda event: (event.ts, event.seq)):
            self._on_event(event)

    def step(self, text: str) -> None:
        self.look()

    def train(self, picture: Picture) -> None:
        self.look()


@contextmanager
def interruptible() -> Iterator[None]:
    """While it lasts SIGTERM raises KeyboardInterrupt, as Ctrl-C does, so that what was started is ended.

    In the main thread, and where the program has no handler of its own.
    """
    main = threading.current_thread() is threading.main_thread()
    if not main or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
