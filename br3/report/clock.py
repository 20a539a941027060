"""An axis of time on which hours when nobody was at work take no more room than it needs to say so."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

_LEAST_GAP_S = 120.0
_GAP_OF_WORK = 0.2
_WIDTH_OF_GAP = 4.0
_MOST_FOR_GAPS = 30.0
_STEPS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800, 604800)


@dataclass(frozen=True)
class Stretch:
    """Time that is drawn true to scale, from ``left`` to ``right`` in percent."""

    began: datetime
    ended: datetime
    left: float
    right: float


@dataclass(frozen=True)
class Gap:
    """Time that was left out, between two stretches."""

    left: float
    right: float
    seconds: float


@dataclass(frozen=True)
class Tick:
    """A moment to name. ``day``: it is the first of its day."""

    at: float
    moment: datetime
    day: bool


@dataclass(frozen=True)
class Clock:
    """Moments as percent of a width."""

    stretches: tuple[Stretch, ...]

    @property
    def gaps(self) -> tuple[Gap, ...]:
        pairs = zip(self.stretches, self.stretches[1:], strict=False)
        return tuple(Gap(a.right, b.left, (b.began - a.ended).total_seconds()) for a, b in pairs)

    def at(self, moment: datetime) -> float:
        """Where a moment lies, from 0 to 100; one that was left out lies where the next stretch begins."""
        for one in self.stretches:
            if moment <= one.began:
                return one.left
            if moment <= one.ended:
                whole = (one.ended - one.began).total_seconds()
                share = (moment - one.began).total_seconds() / whole if whole else 0.0
                return one.left + share * (one.right - one.left)
        return self.stretches[-1].right

    def ticks(self, most: int = 6) -> list[Tick]:
        """Round moments to name, ``most`` of them or fewer, and the beginnings of stretches."""
        busy = sum((s.ended - s.began).total_seconds() for s in self.stretches)
        step = next((s for s in _STEPS_S if busy / s <= most - 1), None) or busy / (most - 1)
        moments: list[tuple[float, datetime]] = []
        for one in self.stretches:
            midnight = one.began.replace(hour=0, minute=0, second=0, microsecond=0)
            number = -(-(one.began - midnight).total_seconds() // step)
            found = [one.began]
            while (moment := midnight + timedelta(seconds=number * step)) <= one.ended:
                found.append(moment)
                number += 1
            for moment in found:
                at = self.at(moment)
                # Beginnings first: what would stand too near to one gives way.
                if all(abs(at - other) >= 80 / most for other, _ in moments):
                    moments.append((at, moment))
        ticks, day = [], None
        for at, moment in sorted(moments):
            ticks.append(Tick(at, moment, moment.date() != day))
            day = moment.date()
        return ticks


def clock_of(busy: Iterable[tuple[datetime, datetime]]) -> Clock | None:
    """The axis for what was busy from when to when; None when there is nothing."""
    merged: list[list[datetime]] = []
    for began, ended in sorted(busy):
        if merged and began <= merged[-1][1]:
            merged[-1][1] = max(merged[-1][1], ended)
        else:
            merged.append([began, ended])
    if not merged:
        return None
    at_work = sum((ended - began).total_seconds() for began, ended in merged)
    least = max(_LEAST_GAP_S, _GAP_OF_WORK * at_work)
    joined: list[list[datetime]] = [merged[0]]
    for began, ended in merged[1:]:
        if (began - joined[-1][1]).total_seconds() < least:
            joined[-1][1] = ended
        else:
            joined.append([began, ended])
    if sum((ended - began).total_seconds() for began, ended in joined) < 1:
        joined[-1][1] += timedelta(seconds=1)  # something has to be drawn
    return Clock(_laid_out(joined))


def _laid_out(spans: Sequence[Sequence[datetime]]) -> tuple[Stretch, ...]:
    gap = min(_WIDTH_OF_GAP, _MOST_FOR_GAPS / max(len(spans) - 1, 1))
    whole = sum((ended - began).total_seconds() for began, ended in spans)
    room = 100 - gap * (len(spans) - 1)
    stretches, left = [], 0.0
    for began, ended in spans:
        right = left + room * (ended - began).total_seconds() / whole
        stretches.append(Stretch(began, ended, left, right))
        left = right + gap
    return tuple(stretches)
