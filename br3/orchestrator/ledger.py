"""What has been spent, kept up to date from the journal: by a lineage of runs, and by all runs on a day.

Each look reads only what was appended since the one before, so that many orchestrators can look each second.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from decimal import Decimal
from pathlib import Path
from typing import Any

from br3.telemetry import Event, Follower, read_events
from br3.telemetry.archive import usage_of_day
from br3.telemetry.journal import segments

Attempt = tuple[str | None, str | None, str | None, int | None]
"""Run, build, task and number."""


def known_sum(usage: Iterable[dict[str, Any]]) -> Decimal:
    """The known dollars among the data of usage events."""
    return sum((Decimal(str(u["cost_usd"])) for u in usage if u.get("cost_usd") is not None), Decimal(0))


class Ledger:
    """Usage events by their ids. Attempts of unknown cost count as nothing here."""

    def __init__(self, common_dir: Path, builds: Collection[str]) -> None:
        """``builds``: those whose events are wanted also where they are in the archive."""
        self._common_dir = common_dir
        self._builds = builds
        self._usage: dict[tuple[str, int], Event] = {}
        self._follower: Follower | None = None
        self._days: set[str] = set()

    def look(self) -> None:
        """Take in what was recorded since the last look."""
        if self._follower is None or set(self._follower.seen()) - segments(self._common_dir).keys():
            # Begun just now, or a segment has gone to the archive, perhaps with lines that were not read yet.
            self._follower = Follower(self._common_dir)
            self._days.clear()
            self._take(read_events(self._common_dir, self._builds))
        self._take(self._follower.poll())

    def of_lineage(self, runs: Collection[str], builds: Collection[str], *, but: Attempt) -> Decimal:
        """Dollars spent on ``builds`` in ``runs``, without the attempt ``but``."""
        return self._sum(e for e in self._usage.values() if e.run in runs and e.build in builds and _by(e) != but)

    def of_day(self, day: str, *, but: Attempt) -> Decimal:
        """Dollars spent by all runs on a UTC day (``2026-11-22``), without the attempt ``but``."""
        if day not in self._days:
            self._take(usage_of_day(self._common_dir, day))
            self._days.add(day)
        return self._sum(e for e in self._usage.values() if e.ts.startswith(day) and _by(e) != but)

    def _take(self, events: Iterable[Event]) -> None:
        self._usage.update({(e.segment, e.seq): e for e in events if e.kind == "usage.recorded"})

    @staticmethod
    def _sum(events: Iterable[Event]) -> Decimal:
        return known_sum(event.data for event in events)


def _by(event: Event) -> Attempt:
    return (event.run, event.build, event.task, event.attempt)
