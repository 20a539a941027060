"""Collects what a report shows, from where each other command has it. Nothing is written but answers about conflicts.

Git processes: those of ``standings``, of ``conflicts.compared`` for what has not been compared yet, and five more.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from br3 import __version__
from br3.dispatch.attending import Past, for_a_person, past
from br3.dispatch.sessions import Session, base_gone
from br3.dispatch.standing import Standing, landed_commits, standings
from br3.errors import Br3Error
from br3.landing.describing import estimate_of
from br3.repo import refs
from br3.report.facts import (
    Attempt,
    Build,
    Check,
    Command,
    Conflicts,
    Facts,
    Meeting,
    ModelCost,
    Outcome,
    Outcomes,
    Payment,
    Range,
    Spent,
    Tagged,
    Task,
    moment_of,
    redacted,
)
from br3.report.timeline import attempts_of, rows_of

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from br3.dispatch.conflicts import Pair


def gather(session: Session, db: DuckDBPyConnection, now: datetime | None = None) -> Facts:
    """All that a report of this run shows, secrets redacted; ``db`` is the analytics with everything folded in.

    ``now``: in UTC, without a zone.
    """
    now = now or datetime.now(UTC).replace(tzinfo=None)
    standing = standings(session)
    attempts = attempts_of(session)
    runs = [run.id for run in session.own_chain]
    parts = [past(session.common_dir, run) for run in session.own_chain]
    serving = [past(session.common_dir, v) for v in session.runs.values() if v.serves in runs and v.created]
    models = _models(db, runs)
    view = session.view
    found = Facts(
        made_at=now,
        version=__version__,
        project=session.repository.home.name,
        run=session.run,
        plan=session.plan.name,
        state=parts[0].state if view.created else "created",
        reason=view.reason or _waits_for(session, parts[0]),
        base=session.plan.base,
        base_commit=session.base_commit,
        base_now=refs.resolve(session.repository.git, f"refs/heads/{session.plan.base}"),
        jobs=session.plan.jobs,
        lands_by=session.plan.lands_by,
        began=_first_moment(session),
        ended=moment_of(view.ended) if view.ended and not parts[0].alive else None,
        budget_usd=_decimal(session.plan.budget_usd),
        spent=_spent(models, attempts),
        tokens=sum(model.tokens for model in models) if models else None,
        runs=tuple(part.as_json() for part in parts),
        aside_runs=tuple(part.as_json() for part in serving),
        builds=_builds(session, standing),
        attempts=attempts,
        timeline=rows_of(session, standing, attempts, now),
        payments=_payments(db, runs),
        models=models,
        outcomes=_outcomes(db, runs),
        conflicts=_conflicts(session, standing),
        checklist=_checklist(session),
        releases=_releases(session, standing),
        whole_verify=_whole(session),
        problems=tuple(view.problems),
    )
    clean: Facts = redacted(found, session.journal.redact)
    return clean


def _first_moment(session: Session) -> datetime | None:
    """When the first run of the chain was made; None when the journal has lost that."""
    created = session.own_chain[-1].created if session.own_chain else ""
    return moment_of(created) if created else None


def _builds(session: Session, standing: Iterable[Standing]) -> tuple[Build, ...]:
    brought = landed_commits(session)
    runs = {run.id for run in session.own_chain}
    mine = [event for event in session.events if event.run in runs and event.build]
    found = []
    for number, one in enumerate(standing, start=1):
        plan, view = one.build, one.view
        quality = (one.verdict.data if one.verdict else view.quality) or {}
        if not one.has_work and not one.landed:
            quality = {}  # as in Standing.tests
        events = [event for event in mine if event.build == one.id]
        made = estimate_of(session, one.id)
        said: Mapping[str, Any] = made.data if made is not None else {}
        requests = [str(e.data.get("url")) for e in events if e.kind == "landing.requested" and e.data.get("url")]
        found.append(
            Build(
                number=number,
                id=one.id,
                title=plan.title,
                branch=plan.branch,
                state=one.word,
                verified=one.verified or one.landed,
                landed=one.landed,
                commit=one.commit,
                landed_as=brought[one.id][1] if one.landed and one.id in brought else None,
                request=requests[-1] if requests else None,
                reason=None if one.landed else view.reason,
                aside=None if one.landed else one.aside,
                agents=tuple(dict.fromkeys(task.agent for task in plan.tasks)),
                models=one.models,
                tasks=_tasks(one),
                tests=one.tests,
                coverage=quality.get("coverage"),
                min_passed=plan.verify.min_passed,
                min_coverage=plan.verify.min_coverage,
                commands=tuple(
                    Command(str(r.get("run")), r.get("exit_code"), r.get("duration_s"))
                    for r in quality.get("results") or ()
                ),
                began=moment_of(view.began) if view.began else None,
                ended=moment_of(view.since) if view.since and view.ended else None,
                cost_usd=one.cost_usd,
                known_usd=one.known_usd,
                tokens=one.tokens,
                budget_usd=_decimal(plan.budget_usd),
                score=said.get("score"),
                level=said.get("level"),
                estimated_usd=_range(said.get("cost_p50_usd"), said.get("cost_p90_usd")),
                estimated_minutes=_range(said.get("minutes_p50"), said.get("minutes_p90")),
                notes=tuple(dict.fromkeys(note for event in events if (note := _note(event.kind, event.data)))),
            )
        )
    return tuple(found)


def _tasks(one: Standing) -> tuple[Task, ...]:
    """The plan's, and those that mended a verification."""
    views = dict(one.view.tasks)
    found = []
    for task in one.build.tasks:
        view = views.pop(task.id, None)
        state = view.state if view else "completed" if one.build.manual and one.landed else "pending"
        tried = len(view.attempts) if view else 0
        carried, reason = (view.carried, view.reason) if view else (False, None)
        found.append(Task(task.id, task.title, True, task.minutes, state, tried, carried, reason))
    for view in views.values():
        found.append(Task(view.id, view.title, False, None, view.state, len(view.attempts), view.carried, view.reason))
    return tuple(found)


def _note(kind: str, data: Mapping[str, Any]) -> str:
    """What a reader of a report should know of how it went; empty for all else."""
    match kind:
        case "security.violation":
            return str(data.get("message") or "")
        case "budget.exceeded":
            amount = f" of {data['budget_usd']} USD" if data.get("budget_usd") else ""
            return f"over the {data.get('scope')}'s budget{amount}"
        case "build.repairing":
            return f"verification failed and was mended: {_first_line(data.get('reason'))}"
        case "build.retried":
            return "was retried"
        case "model.fallback":
            return f"{data.get('from')} gave way to {data.get('to')}: {_first_line(data.get('reason'))}"
        case "build.silent":
            return "its orchestrator gave no sign of life"
        case "usage.differs":
            return f"its agent says {data.get('agent_usd')} USD, recorded are {data.get('recorded_usd')} USD"
        case _:
            return ""


def _models(db: DuckDBPyConnection, runs: Sequence[str]) -> tuple[ModelCost, ...]:
    from br3.analytics import reports

    found = reports.costs(db, "all", "model", runs)
    rows = [dict(zip(found.columns, row, strict=True)) for row in found.rows]
    return tuple(ModelCost(model=row.pop("key"), **row) for row in rows)


def _payments(db: DuckDBPyConnection, runs: Sequence[str]) -> tuple[Payment, ...]:
    from br3.analytics import reports

    return tuple(Payment(*row) for row in reports.payments(db, runs).rows)


def _spent(models: Sequence[ModelCost], attempts: Sequence[Attempt]) -> Spent:
    known = [model.cost_usd for model in models if model.cost_usd is not None]
    return Spent(
        usd=sum(known, Decimal(0)) if known else None,
        unpriced_tokens=sum(model.unpriced_tokens for model in models),
        silent_attempts=sum(attempt.silent for attempt in attempts),
    )


def _outcomes(db: DuckDBPyConnection, runs: Sequence[str]) -> tuple[Outcomes, ...]:
    """Dollars and minutes, as ``br3 estimate --report`` judges them, of these runs alone."""
    from br3.estimate import reporting
    from br3.estimate.history import own_runs
    from br3.estimate.model import Target

    mine = [run for run in own_runs(db) if run.id.partition("/")[0] in runs]
    targets: tuple[tuple[Target, str], ...] = (("cost", "USD"), ("minutes", "minutes"))
    found = []
    for target, unit in targets:
        told = reporting.report(mine, target)
        kept = []
        for one in told.kept:
            run, _, build = one.run.id.partition("/")
            kept.append(Outcome(build, run, one.run.model, Range(one.p50, one.p90), one.actual))
        found.append(Outcomes(unit, tuple(kept), told.coverage_p50, told.coverage_p90, told.median_error_factor))
    return tuple(found)


def _conflicts(session: Session, standing: Sequence[Standing]) -> Conflicts:
    """Who conflicts with whom now, by what is committed, and who did while the run was at work."""
    seen = _seen_conflicts(session)
    base = session.plan.base
    ids = [one.id for one in standing]
    try:
        pairs = _pairs(session, [one.id for one in standing if one.landed])
        problem = None
    except Br3Error as error:
        pairs, problem = [], error.message
    gone = {one.id for one in standing if one.landed}
    meetings = []
    for pair in pairs:
        if pair.a in gone or pair.b in gone:
            continue  # with what has landed nothing meets any more but base
        state = "unknown" if not pair.known else "none" if pair.conflict is None else "conflict"
        then = seen.pop(frozenset((pair.a, pair.b)), None)
        files = tuple(pair.conflict.files) if pair.conflict else ()
        meetings.append(Meeting(pair.a, pair.b, state, files, then is not None, then or ()))
    order = {name: place for place, name in enumerate([base, *ids])}
    for couple, files in seen.items():
        a, *b = sorted(couple, key=lambda name: order.get(name, len(order)))
        if b and a in order and b[0] in order:
            meetings.append(Meeting(a, b[0], "landed" if gone & couple else "unknown", (), True, files))
    return Conflicts((base, *ids), tuple(meetings), problem)


def _pairs(session: Session, landed: Sequence[str]) -> Sequence[Pair]:
    from br3.dispatch.conflict_answers import Answers
    from br3.dispatch.conflicts import compared, tips

    git, plan = session.repository.git, session.plan
    branches = refs.branches(git, [plan.base, *(build.branch for build in plan.builds)])
    if plan.base not in branches:
        raise base_gone(session)
    base = branches[plan.base].commit
    return compared(plan, base, tips(session, branches, base, landed), Answers(git)).pairs


def _seen_conflicts(session: Session) -> dict[frozenset[str], tuple[str, ...]]:
    """Pairs that were told to be in conflict while the run was at work, or when they were to land, with the files."""
    runs = {run.id for run in session.own_chain}
    found: dict[frozenset[str], tuple[str, ...]] = {}
    for event in session.events:
        if event.run not in runs or event.build is None:
            continue
        if event.kind in ("conflict.predicted", "landing.aside", "landing.resolving"):
            others = event.data.get("with")
            files = event.data.get("files") or ()
            if not others or not files:
                continue
            for other in [others] if isinstance(others, str) else others:
                couple = frozenset((str(event.build), str(other)))
                found[couple] = tuple(dict.fromkeys([*found.get(couple, ()), *map(str, files)]))
    return found


def _checklist(session: Session) -> tuple[Check, ...]:
    """The plan's criteria with what was last seen of each, in this run or those that it continues."""
    runs = {run.id for run in session.own_chain}
    last: dict[str, Check] = {}
    for event in session.events:
        if event.kind == "criterion.checked" and event.run in runs:
            met = event.data.get("met")
            name = str(event.data.get("name"))
            seen = str(event.data.get("seen") or "")
            last[name] = Check(name, met if isinstance(met, bool) else None, seen, moment_of(event.ts))
    return tuple(last.get(c.name) or Check(c.name, None, "", None) for c in session.plan.criteria)


def _waits_for(session: Session, run: Past) -> str | None:
    """Whom a run waits for that nobody has paused."""
    theirs = for_a_person(session) if run.state == "paused" and not run.alive else []
    return f"a person has to go on: {', '.join(theirs)}" if theirs else None


def _releases(session: Session, standing: Sequence[Standing]) -> tuple[Tagged, ...]:
    from br3.release.records import records

    git = session.repository.git
    if refs.resolve(git, f"refs/heads/{session.plan.base}") is None:
        return ()
    runs = {run.id for run in session.own_chain}
    mine = {str(e.data.get("tag")) for e in session.events if e.kind == "release.intent" and e.run in runs}
    made = [record for record in records(session, session.plan.base) if record.tag.name in mine]
    trained = landed_commits(session)
    landed = {s.id: trained[s.id][1] if s.id in trained else s.commit for s in standing if s.landed}
    there = {build: commit for build, commit in landed.items() if commit}
    found = []
    for one in made:
        inside = refs.contained(git, there.values(), one.tag.commit)
        builds = tuple(build for build, commit in there.items() if commit in inside)
        found.append(Tagged(one.tag.name, one.tag.commit, one.version, tuple(sorted(one.pushed)), builds))
    return tuple(found)


def _whole(session: Session) -> Mapping[str, Any] | None:
    """What the last landing of these runs brought base to, and what was counted there."""
    from br3.release.landed import tests_of

    runs = {run.id for run in session.own_chain}
    moved = [e for e in session.events if e.kind == "landing.completed" and e.run in runs and e.data.get("new")]
    last = max(moved, key=lambda e: e.ts, default=None)
    if last is None:
        return None
    commit = str(last.data["new"])
    return {"commit": commit, "tests": tests_of(session, commit, session.plan.verify)}


def _range(low: Any, high: Any) -> Range | None:
    if low in (None, "") or high in (None, ""):
        return None
    return Range(float(low), float(high))


def _decimal(text: str | None) -> Decimal | None:
    return Decimal(text) if text and Decimal(text) else None


def _first_line(value: Any) -> str:
    return str(value or "").strip().split("\n")[0]
