"""Whether the disk has room for another build."""

from __future__ import annotations

from typing import Any

from br3.dispatch.sessions import Session
from br3.dispatch.watching import least_free
from br3.orchestrator import ground
from br3.workspace.waking import Awake

_LOOK_AT_DISK_S = 2.0
_ROOM_FOR_AN_EVENT = 100_000


class Room:
    """The room that a run has. It is looked at now and then; that there is none is told once, until there was some."""

    def __init__(self, session: Session, clock: Awake) -> None:
        self._session = session
        self._clock = clock
        self._next_look = 0.0
        self._low = False
        self.takes_nothing = False
        """Whether not even an event can be written."""

    def enough(self) -> bool:
        """Whether something new may start."""
        now = self._clock.now()
        if now >= self._next_look:
            self._next_look = now + _LOOK_AT_DISK_S
            free = least_free([self._session.common_dir, *self._session.worktrees.values()])
            # Quotas tell nobody what is free: once it took nothing it is tried.
            nothing = free.bytes < _ROOM_FOR_AN_EVENT or free.files == 0
            self.takes_nothing = nothing or (self.takes_nothing and self._is_full())
            low = free.is_low or self.takes_nothing
            if low and not self._low and not self.takes_nothing:
                facts: dict[str, Any] = {"free_bytes": free.bytes, "path": str(free.path), "free_files": free.files}
                self._session.journal.append("disk.low", "warning", run=self._session.run, **facts)
            self._low = low
        return not self._low

    def has_filled_up(self) -> bool:
        """Whether what has just failed did so for want of room; then nothing new starts until there is some."""
        if not self._is_full():
            return False
        self.note_full()
        return True

    def note_full(self) -> None:
        """Somebody has seen that the disk takes nothing."""
        self._low = self.takes_nothing = True

    def _is_full(self) -> bool:
        gone = ground.trouble(self._session.common_dir)
        return gone is not None and gone.full
