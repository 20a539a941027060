"""Where everything stands, as the journal and git say at this moment."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from br3.dispatch.sessions import Session
    from br3.dispatch.standing import Standing
    from br3.telemetry import Event


@dataclass(frozen=True)
class Status:
    """A run and its builds. ``state`` is the run's: created, running, paused, completed, failed, cancelled, or
    interrupted: it has not ended, and nobody is at work on it."""

    run: str
    state: str
    builds: tuple[Standing, ...]
    _json: dict[str, Any]

    def build(self, build_id: str) -> Standing:
        """The build with that id; KeyError if there is none."""
        return _by_id(self.builds, build_id)

    def as_json(self) -> dict[str, Any]:
        """The object of ``br3 status --json``, without conflicts."""
        return self._json


def status_of(session: Session, builds: Iterable[Standing]) -> Status:
    """Builds of a session with the run that they belong to."""
    found = tuple(builds)
    told = summary(session, list(found))
    return Status(session.run, str(told["state"]), found, told)


def _by_id(builds: Iterable[Standing], build_id: str) -> Standing:
    for standing in builds:
        if standing.id == build_id:
            return standing
    raise KeyError(build_id)


def standing_alerts(events: Iterable[Event]) -> list[Event]:
    """The alerts that have been raised and not cleared; of security violations those of the last day."""
    standing: dict[str, Event] = {}
    for event in events:  # in the order of time
        rule = str(event.data.get("rule"))
        if event.kind == "alert.raised":
            standing[rule] = event
        elif event.kind == "alert.cleared":
            standing.pop(rule, None)
    yesterday = (datetime.now(UTC) - timedelta(days=1)).isoformat()
    # Nothing ever clears a violation; in `br3 telemetry alerts` it stays.
    return [e for rule, e in standing.items() if not rule.startswith("violation ") or e.ts >= yesterday]


def summary(session: Session, found: list[Standing]) -> dict[str, Any]:
    """The shape of ``status --json`` and ``run --json``."""
    from br3.dispatch.attending import state_of

    return {
        "run": session.run,
        "state": state_of(session),
        "plan": session.plan.name,
        "base": session.plan.base,
        "builds": [standing.as_json() for standing in found],
        "alerts": [dict(event.data) for event in standing_alerts(session.events)],
        "problems": session.view.problems,
    }
