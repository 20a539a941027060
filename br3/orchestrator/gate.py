"""One gate for all builds that use the same agent and model: when the API asks to wait, nobody starts before.

Its state is a small file under a lock, shared by orchestrators. When the wait is over one build goes first; the others
follow when its agent has been answered, so that a limit that still holds is met by one request and not by all.
"""

from __future__ import annotations

import json
import os
import random
import re
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from br3.telemetry import Lock, is_held

LONGEST_S = 3600.0
"""Most that is waited at once, however long the API asks to be left alone."""

_BASE_S, _MOST_S, _LEAST_S = 5.0, 300.0, 1.0
_FIRST_FOR_S = 120.0  # how long the one that went first may take to be answered
_FORGOTTEN_S = 900.0
_LOCK_S = 10.0


@dataclass
class State:
    """``hits`` in a row, closed from ``since`` to ``until`` (Unix times), and who goes first after that."""

    hits: int = 0
    since: float = 0.0
    until: float = 0.0
    first: str | None = None
    first_until: float = 0.0


class Gate:
    """The gate of one agent and model in one repository. ``clock`` gives Unix time, ``spread`` numbers from 0 to 1."""

    def __init__(
        self,
        common_dir: Path,
        agent: str,
        model: str,
        *,
        clock: Callable[[], float] = time.time,
        spread: Callable[[], float] = random.random,
    ) -> None:
        self._common_dir = common_dir
        self._name = re.sub(r"[^A-Za-z0-9._-]", "-", f"{agent}-{model}")[:100]
        self._path = common_dir / "br3" / "gates" / f"{self._name}.json"
        self._clock, self._spread = clock, spread

    def wait_s(self, build: str) -> float:
        """How many seconds ``build`` has to wait before it may start an agent; 0: now.

        After a limit the first that gets 0 goes alone until ``passed``; it must start at once.
        """
        if self._read().hits == 0:
            return 0.0
        with self._locked():
            state, now = self._read(), self._clock()
            if state.hits == 0:
                return 0.0
            if now > state.until + _FORGOTTEN_S:
                self._write(State())
                return 0.0
            if now < state.since:  # the clock was set back: what is left counts from now
                state.until, state.since = now + state.until - state.since, now
                self._write(state)
            if now < state.until:
                return min(state.until - now, LONGEST_S)
            ahead = state.first not in (None, build) and now < state.first_until
            if ahead and is_held(self._common_dir, "build", str(state.first)):
                return min(state.first_until - now, 1.0)
            state.first, state.first_until = build, now + _FIRST_FOR_S
            self._write(state)
            return 0.0

    def hit(self, asked_s: float | None) -> float:
        """The API said that there were too many requests, and to wait so long; returns for how long nobody starts.

        Without a time of its own: exponential, with full jitter. Hits while the gate is closed are one. Who goes first
        stays first: agents try again by themselves, and another build would come on top of that.
        """
        with self._locked():
            state, now = self._read(), self._clock()
            closed = state.since <= now < state.until
            if not closed:
                state.hits += 1
            # At most one and a half hours of doubling: the exponent stays small.
            most = min(_MOST_S, _BASE_S * 2 ** min(state.hits - 1, 10))
            delay = asked_s if asked_s is not None else self._spread() * most
            delay = min(max(_LEAST_S, delay), LONGEST_S)
            if not closed:
                state.since, state.until = now, now + delay
            else:
                state.until = max(state.until, now + delay)
            state.first_until = max(state.first_until, state.until + _FIRST_FOR_S)
            self._write(state)
            return state.until - now

    def release(self, build: str) -> None:
        """The agent of ``build`` has ended: if it went first, and was not answered, another may."""
        if self._read().first != build:
            return
        with self._locked():
            state = self._read()
            if state.first == build:
                state.first = None
                self._write(state)

    def passed(self) -> None:
        """An agent was answered: the limit is over."""
        if self._read().hits == 0:
            return
        with self._locked():
            if self._clock() >= self._read().until:
                self._write(State())

    def _locked(self) -> Lock:
        return Lock(self._common_dir, "gate", self._name).acquire(wait_s=_LOCK_S)

    def _read(self) -> State:
        try:
            return State(**json.loads(self._path.read_text()))
        except (OSError, ValueError, TypeError):
            return State()

    def _write(self, state: State) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        draft = self._path.with_name(f"{self._path.name}.{os.getpid()}")
        draft.write_text(json.dumps(asdict(state)))
        draft.replace(self._path)
