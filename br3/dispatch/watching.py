"""How orchestrators fare: which are silent, which may be started again and when; and whether the disk has room.

All decisions, no processes: the dispatcher asks, and acts.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from br3.orchestrator.heeding import heartbeat_s

MOST_RESTARTS = 3
LEAST_FREE_BYTES = 1_000_000_000
LEAST_FREE_FILES = 10_000

_REPORTED_AFTER, _ENDED_AFTER = 4, 6
"""Periods without a sign of life."""


@dataclass
class Restarts:
    """How often one build's orchestrator ended without a result since it last got a task done."""

    count: int = 0
    done: int = 0
    not_before: float = 0.0

    def ended(self, done: int, now: float) -> float | None:
        """It has ended again, with so many tasks done; the seconds until the next may start, None: it was the last."""
        self.count = 1 if done > self.done else self.count + 1
        self.done = done
        if self.count > MOST_RESTARTS:
            return None
        wait_s = 0.5 * 4.0 ** (self.count - 1)
        self.not_before = now + wait_s
        return wait_s


class Signs:
    """When each orchestrator last gave a sign of life, by a clock that stands still with this process."""

    def __init__(self) -> None:
        self._heard: dict[str, float] = {}
        self._reported: set[str] = set()
        self._period_s = heartbeat_s()

    def heard(self, build: str, now: float) -> None:
        """There was one just now."""
        self._heard[build] = now
        self._reported.discard(build)

    def silent(self, build: str, now: float) -> tuple[float, bool] | None:
        """For how many seconds there was none, once it is told and once more when it is to be ended; None else."""
        silence_s = now - self._heard.setdefault(build, now)
        if silence_s > _ENDED_AFTER * self._period_s:
            self.heard(build, now)
            return silence_s, True
        if silence_s > _REPORTED_AFTER * self._period_s and build not in self._reported:
            self._reported.add(build)
            return silence_s, False
        return None


@dataclass(frozen=True, order=True)
class Free:
    """What is free on a disk. ``files``: how many can be made; None where the file system knows no bound."""

    bytes: int
    path: Path
    files: int | None = None

    @property
    def is_low(self) -> bool:
        """Whether nothing new should start there."""
        return self.bytes < LEAST_FREE_BYTES or (self.files is not None and self.files < LEAST_FREE_FILES)


def least_free(paths: Iterable[Path]) -> Free:
    """What is free where any of the paths lies, of the disk with the least.

    Tests put a file with a number in it in the place of the disk, by ``BR3_TEST_FREE_BYTES``.
    """
    found = []
    for path in paths:
        there = next(place for place in (path, *path.parents) if place.exists())
        pretended = os.environ.get("BR3_TEST_FREE_BYTES")
        disk = os.statvfs(there)
        free = int(Path(pretended).read_text()) if pretended else disk.f_bavail * disk.f_frsize
        found.append(Free(free, there, disk.f_favail if disk.f_files else None))
    return min(found, key=lambda one: (not one.is_low, one.bytes))
