"""The analytics of a run that goes on, kept up to date by a process of their own."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable

from br3.dispatch.executors.local import inherited, this_br3
from br3.dispatch.sessions import Session
from br3.workspace import waking

_ANALYSE_EVERY_S = 60.0
_LONGEST_PAUSE_S = 0.4


class Analyst:
    """Has the analytics taken up each minute of a run, by a process of its own, so that alerts come while it works."""

    def __init__(self, session: Session) -> None:
        command = [*this_br3("br3.dispatch.observing"), str(session.common_dir), str(session.repository.home)]
        self._command = command
        self._child: subprocess.Popen[bytes] | None = None
        self._next = time.monotonic() + _ANALYSE_EVERY_S

    def tick(self) -> None:
        """Start it when it is time and the last one has ended."""
        if time.monotonic() < self._next or (self._child is not None and self._child.poll() is None):
            return
        self._next = time.monotonic() + _ANALYSE_EVERY_S
        null = subprocess.DEVNULL
        self._child = subprocess.Popen(
            self._command, stdin=null, stdout=null, stderr=null, env=inherited(), start_new_session=True
        )

    def finish(self, is_enough: Callable[[], bool]) -> None:
        """After a run that was long enough to be looked at: look once more, and wait for it, until it is enough."""
        if self._child is None or not self._wait(is_enough):
            return
        self._next = 0
        self.tick()
        self._wait(is_enough)

    def _wait(self, is_enough: Callable[[], bool]) -> bool:
        while self._child is not None and self._child.poll() is None:
            if is_enough():
                return False  # it goes on by itself
            waking.pause(_LONGEST_PAUSE_S)
        return True
