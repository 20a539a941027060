"""Who did what when: the phases of each build, its attempts, and how base moved; from the events of a lineage.

States follow the order of events; their times only say where they are drawn, so a clock that was set back makes a bar
short, never negative.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime

from br3.dispatch.sessions import Session
from br3.dispatch.standing import Standing
from br3.report.facts import Attempt, Bar, Mark, Row, moment_of
from br3.telemetry import Event, is_held

# What a build is at from this event on; None: nobody is at work on it.
_PHASES: dict[str, str | None] = {
    "build.preparing": "preparing",
    "build.started": "running",
    "build.resumed": "running",
    "build.verifying": "verifying",
    "build.repairing": "repairing",
    "build.verified": None,
    "build.failed": None,
    "build.skipped": None,
    "build.cancelled": None,
}
_LANDING_ENDS = ("landing.completed", "landing.abandoned")
_MARKS = {
    "build.verified": "verified",
    "build.failed": "failed",
    "build.cancelled": "cancelled",
    "landing.aside": "aside",
    "landing.requested": "requested",
    "conflict.predicted": "conflict",
}


def attempts_of(session: Session) -> tuple[Attempt, ...]:
    """Every attempt of the run and of those that it continues, in the order in which they began."""
    found = []
    for run in session.own_chain:
        for build in run.builds.values():
            for task in build.tasks.values():
                for one in task.attempts.values():
                    if not one.started_ts:
                        continue
                    facts = one.finished
                    models = [u.get("model") for u in one.usage] + [facts.get("model"), one.started.get("model")]
                    known = [str(model) for model in models if model not in (None, "", "auto")]
                    found.append(
                        Attempt(
                            run=run.id,
                            build=build.id,
                            task=task.id,
                            number=one.number,
                            state=one.state,
                            cause=_text(facts.get("cause")),
                            why=_text(facts.get("why")),
                            agent=_text(one.started.get("agent")),
                            model=known[0] if known else None,
                            began=moment_of(one.started_ts),
                            ended=moment_of(one.finished_ts) if one.finished_ts else None,
                            cost_usd=one.cost_usd,
                            known_usd=one.known_usd,
                            silent=one.silent,
                            tokens=one.tokens,
                        )
                    )
    return tuple(sorted(found, key=lambda a: (a.began, a.build, a.task, a.number)))


def rows_of(
    session: Session, standing: Sequence[Standing], attempts: Iterable[Attempt], now: datetime
) -> tuple[Row, ...]:
    """A row per build that anything is known of, and one for how base moved."""
    runs = {run.id for run in session.own_chain}
    mine = [event for event in session.events if event.run in runs]
    tried: dict[str, list[Attempt]] = {}
    for attempt in attempts:
        tried.setdefault(attempt.build, []).append(attempt)
    alive = {one.id for one in standing if one.alive}
    rows = []
    for one in standing:
        events = sorted((e for e in mine if e.build == one.id), key=lambda e: (e.run or "", *e.order))
        row = _row_of_build(one.id, events, tried.get(one.id, []), now if one.id in alive else None)
        if row.phases or row.attempts or row.marks:
            rows.append(row)
    landing = is_held(session.common_dir, "base", session.plan.base)
    base = _row_of_base(session.plan.base, mine, now if landing else None)
    return (*rows, *([base] if base.phases or base.marks else []))


def _row_of_build(build: str, events: Sequence[Event], tried: Sequence[Attempt], now: datetime | None) -> Row:
    """``now`` for a build that somebody is at work on; else what has no end ends with the last that is known."""
    last = now or max((moment_of(e.ts) for e in events), default=None)
    attempts = [
        _bar(a.state or "running", a.began, a.ended or last, f"{a.task} attempt {a.number}: {_outcome(a)}")
        for a in tried
    ]
    marks = []
    for event in events:
        kind = _MARKS.get(event.kind)
        if kind:
            said = str(event.data.get("reason") or "").split("\n")[0]
            against = f" with {event.data['with']}" if event.kind == "conflict.predicted" else ""
            marks.append(Mark(kind, moment_of(event.ts), f"{kind}{against}{': ' if said else ''}{said}"))
    return Row(build, (*_phases(events, last), *_pauses(events, last)), tuple(attempts), tuple(marks))


def _phases(events: Iterable[Event], last: datetime | None) -> list[Bar]:
    found: list[Bar] = []
    at: tuple[str, datetime] | None = None
    for event in events:
        if event.kind not in _PHASES:
            continue
        moment, phase = moment_of(event.ts), _PHASES[event.kind]
        if at is not None:
            found.append(_bar(at[0], at[1], moment, at[0]))
        at = (phase, moment) if phase else None
    if at is not None:
        found.append(_bar(at[0], at[1], last, at[0]))
    return found


def _pauses(events: Iterable[Event], last: datetime | None) -> list[Bar]:
    found: list[Bar] = []
    began: datetime | None = None
    for event in events:
        moment = moment_of(event.ts)
        if event.kind == "build.paused":
            began = began or moment
        elif began is not None and (event.kind == "build.continued" or event.kind in _PHASES):
            found.append(_bar("paused", began, moment, "paused"))
            began = None
    if began is not None:
        found.append(_bar("paused", began, last, "paused"))
    return found


def _row_of_base(base: str, events: Collection[Event], now: datetime | None) -> Row:
    """``now`` while somebody lands; else a landing without an end was cut off at the last that is known."""
    bars, marks = [], []
    began: datetime | None = None
    for event in sorted((e for e in events if e.kind.startswith(("landing.", "release."))), key=lambda e: e.ts):
        moment = moment_of(event.ts)
        if event.kind == "landing.started":
            began = began or moment
        elif event.kind in _LANDING_ENDS and began is not None:
            bars.append(_bar("landing", began, moment, f"landing on {base}"))
            began = None
        if event.kind == "landing.moved":
            brought = ", ".join(event.data.get("builds") or ()) or str(event.data.get("what") or "")
            marks.append(Mark("landed", moment, f"{base} moved: {brought}"))
        elif event.kind in ("release.tagged", "release.pushed", "release.undone"):
            done = event.kind.removeprefix("release.")
            marks.append(Mark("released", moment, f"{done} {event.data.get('tag')}"))
    if began is not None:
        last = now or max(moment_of(e.ts) for e in events)
        how = "at work" if now else "without an end"
        bars.append(_bar("landing", began, last, f"landing on {base}, {how}"))
    return Row(base, tuple(bars), (), tuple(marks))


def _bar(kind: str, began: datetime, ended: datetime | None, label: str) -> Bar:
    return Bar(kind, began, max(began, ended or began), label)


def _outcome(attempt: Attempt) -> str:
    if attempt.state == "failed":
        return f"failed ({attempt.cause})" if attempt.cause else "failed"
    return attempt.state or "running"


def _text(value: object) -> str | None:
    return None if value in (None, "") else str(value)
