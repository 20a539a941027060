"""Looking on: following a run that somebody else dispatches, to its end; ending one that waited for persons alone; and
the runs of the past."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from br3.dispatch.outcome import Observer, Outcome
from br3.dispatch.sessions import Session
from br3.errors import Br3Error
from br3.orchestrator import control
from br3.orchestrator.showing import activity_of
from br3.plan.frozen import thaw
from br3.plan.model import Plan
from br3.plan.order import needs_closure
from br3.repo.worktrees import Repository
from br3.telemetry import BuildView, Event, Follower, Lock, LockHeld, RunView, is_held, read_events
from br3.telemetry.replay import RUN_ENDED, replay, spent

_PAUSE_S = 0.2
_ALONE_S = 3.0


def at_work(session: Session) -> bool:
    """Whether a dispatcher, or an orchestrator of the run, lives."""
    return _at_work(session.common_dir, session.view)


def _at_work(common_dir: Path, run: RunView) -> bool:
    if is_held(common_dir, "run", run.id):
        return True
    active = [name for name, view in run.builds.items() if view.state in ("preparing", "running", "verifying")]
    return any(is_held(common_dir, "build", name) for name in active)


def state_of(session: Session) -> str:
    """The run's state as it is shown everywhere.

    That of the journal, but ``interrupted`` when it has begun, has not ended, and nobody is at work on it; ``paused``
    when whoever is at work rests by request, or a person has to go on.
    """
    return _state(session.common_dir, session.view, session.plan)


def _state(common_dir: Path, run: RunView, plan: Plan | None = None) -> str:
    if run.state not in ("running", "paused"):
        return run.state
    directory = common_dir / "br3" / "runs" / run.id
    if _at_work(common_dir, run):
        return "paused" if control.pause_of(control.asked(directory), None) else "running"
    if run.state == "paused":
        try:
            plan = plan or thaw(directory).plan
            if not _left(run, plan) - _behind(plan, {build.id for build in plan.builds if build.manual}):
                return "paused"
        except Br3Error:
            pass  # without its plan nobody goes on with it
    return "interrupted"


def for_a_person(session: Session) -> list[str]:
    """The builds that a person has to do, where all others that are left wait for them; else none."""
    plan, run = session.plan, session.view
    left = _left(run, plan)
    theirs = {b.id for b in plan.builds if b.manual and b.id in left}
    return [build.id for build in plan.builds if build.id in theirs] if left <= _behind(plan, theirs) else []


def _left(run: RunView, plan: Plan) -> set[str]:
    """The builds of the run that have not ended."""
    return {b.id for b in plan.builds if b.id in _selected(run) and not run.builds[b.id].ended}


def _behind(plan: Plan, some: set[str]) -> set[str]:
    """These builds, and those that need one of them."""
    return {build.id for build in plan.builds if some & {build.id, *needs_closure(plan, build.id)}}


def _selected(run: RunView) -> Sequence[str]:
    """The builds that the run's last dispatch was for."""
    return [name for name in run.selected if name in run.builds] or list(run.builds)


def complete(session: Session) -> None:
    """End a run that waits for persons alone once they have done everything; a dispatcher at work does so itself."""
    if session.view.state != "paused":
        return
    try:
        lock = Lock(session.common_dir, "run", session.run).acquire()
    except LockHeld:
        return
    with lock:
        session.refresh()
        run = session.view
        if run.state == "paused" and all(session.build_view(name).state == "verified" for name in run.selected):
            for kind in ("run.resumed", "run.completed"):
                session.journal.append(kind, run=session.run, gen=lock.gen)
            session.refresh()


def follow(session: Session, observer: Observer) -> Outcome | None:
    """Tell ``observer`` of the run until it has ended; None when nobody is at work on it any more."""
    follower, events = Follower(session.common_dir), []
    first, alone_since = True, None
    doing: dict[str, str] = {}
    waits: dict[str, str] = {}
    while True:
        fresh = [event for event in follower.poll() if event.run == session.run]
        events += fresh
        if fresh:
            session.runs[session.run] = replay(events)[session.run]
            for event in [] if first else sorted(fresh, key=lambda e: (e.ts, e.seq)):
                observer.event(event)
        first = False
        observer.tick(session.view.builds)
        _tell_waiting(session, observer, waits)
        _tell_activity(session, observer, doing)
        if session.view.state in RUN_ENDED:
            return outcome(session)
        if at_work(session):
            alone_since = None
        elif session.view.state == "paused" and for_a_person(session):
            return outcome(session)
        elif alone_since is None:
            alone_since = time.monotonic()
        elif time.monotonic() - alone_since > _ALONE_S:  # between two of its processes nobody may hold a lock
            return None
        time.sleep(_PAUSE_S)


def _tell_waiting(session: Session, observer: Observer, told: dict[str, str]) -> None:
    """Why builds have not begun, as far as the journal and the requests show it."""
    requests = control.asked(session.run_dir)
    for name in _selected(session.view):
        if session.build_view(name).state != "pending":
            continue
        needed = next((n for n in needs_closure(session.plan, name) if session.build_view(n).state != "verified"), None)
        why = f"waits for {needed}" if needed else ""
        if not needed and control.pause_of(requests, name):
            why = f"paused; br3 resume {name} lets it go on"
        if why and told.get(name) != why:
            told[name] = why
            observer.waiting(name, why)


def _tell_activity(session: Session, observer: Observer, doing: dict[str, str]) -> None:
    for build in session.plan.builds:
        activity = activity_of(session.run_dir / build.id)
        if activity and activity != doing.get(build.id):
            doing[build.id] = activity
            observer.doing(build.id, activity)


def outcome(session: Session) -> Outcome:
    """How a run has ended, as the journal tells it."""
    selected = session.view.selected or [build.id for build in session.plan.builds]
    views = {name: session.view.builds.get(name) or BuildView(name) for name in selected}
    return Outcome(session.view.state, views, for_a_person(session))


@dataclass(frozen=True)
class Past:
    """One run in the history. ``state``: as it is shown; ``alive``: somebody is at work on it; ``verified`` of so many
    ``builds``, those that it was last for."""

    view: RunView
    state: str
    alive: bool
    verified: int
    builds: int
    cost_usd: Decimal | None
    known_usd: Decimal | None
    tokens: int | None

    def as_json(self) -> dict[str, Any]:
        """The shape of an entry of ``runs --json``."""
        facts = self.view.facts
        return {
            "run": self.view.id,
            "state": self.state,
            "plan": facts.get("plan"),
            "base": facts.get("base"),
            "continues": self.view.continues,
            "serves": self.view.serves,
            "created": self.view.created,
            "ended": self.view.ended,
            "reason": self.view.reason,
            "builds": [{"id": v.id, "state": v.state} for v in self.view.builds.values()],
            "selected": self.view.selected,
            "verified": self.verified,
            "cost_usd": None if self.cost_usd is None else f"{self.cost_usd}",
            "known_usd": None if self.known_usd is None else f"{self.known_usd}",
            "tokens": self.tokens,
        }


def history(repository: Repository) -> list[Past]:
    """All runs that the journal and its archive tell of, the newest first."""
    common_dir = repository.common_dir
    created = [e for e in read_events(common_dir) if e.kind == "run.created"]
    builds = {str(name) for event in created for name in event.data.get("builds") or []}
    events: list[Event] = list(read_events(common_dir, builds))
    return [past(common_dir, view) for view in reversed(replay(events).values()) if view.created]


def past(common_dir: Path, view: RunView) -> Past:
    """One run, by itself: without those that it continues."""
    took = spent([view])
    selected = _selected(view)
    return Past(
        view=view,
        state=_state(common_dir, view),
        alive=view.state not in RUN_ENDED and _at_work(common_dir, view),
        verified=sum(view.builds[name].state == "verified" for name in selected),
        builds=len(selected),
        cost_usd=took.cost_usd,
        known_usd=took.known_usd,
        tokens=took.tokens,
    )
