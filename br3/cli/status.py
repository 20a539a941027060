"""``br3 status``."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from br3.cli.context import json_option, pick, repository

if TYPE_CHECKING:
    from br3.dispatch.sessions import Session
    from br3.dispatch.standing import Standing
    from br3.telemetry import Event


@click.command()
@click.argument("build", required=False)
@click.option("--run", "run_id", help="Another run than the newest; the beginning of its id is enough.")
@json_option
def status(build: str | None, run_id: str | None, as_json: bool) -> int:
    """Show what every build is doing and what it has cost.

    States are replayed from the journal; verified and landed are what git says at this moment. With BUILD: its tasks,
    attempts, commits, and what its agent reported.
    """
    from br3.cli.output import emit_json
    from br3.dispatch.sessions import find
    from br3.dispatch.standing import standings
    from br3.errors import UsageError

    session = find(repository(), run_id)
    if session is None:
        if as_json:
            emit_json({"run": None, "state": None, "builds": [], "alerts": []})
            return 0
        raise UsageError("nothing has been run in this repository yet", hint="br3 run, or br3 init for a first plan")
    found = standings(session, pick(session, [build] if build else []))
    if as_json:
        emit_json(summary(session, found))
        return 0
    if build:
        _detail(session, found[0])
        return 0
    click.echo(_headline(session))
    click.echo(builds_table(found, session))
    for line in _remarks(session, found):
        click.echo(line)
    return 0


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
    return {
        "run": session.run,
        "state": session.view.state,
        "plan": session.plan.name,
        "base": session.plan.base,
        "builds": [standing.as_json() for standing in found],
        "alerts": [dict(event.data) for event in standing_alerts(session.events)],
        "problems": session.view.problems,
    }


def builds_table(found: list[Standing], session: Session | None = None) -> str:
    """A row per build; with ``session`` also what was estimated of each before it began."""
    from br3.cli.output import table

    expected = estimated(session) if session is not None else {}

    rows = []
    for standing in found:
        rows.append(
            [
                standing.id,
                _state(standing),
                _tasks(standing),
                _tests(standing),
                "–" if standing.tokens is None else f"{standing.tokens:,}",
                "–" if standing.cost_usd is None else f"{standing.cost_usd:.2f} USD",
                *([expected.get(standing.id, "–")] if expected else []),
                _time(standing),
                standing.build.branch,
            ]
        )
    heads = ["build", "state", "tasks", "tests", "tokens", "cost", "time", "branch"]
    if expected:
        heads.insert(6, "estimated")
    if all(standing.build.branch == f"build/{standing.id}" for standing in found):
        heads, rows = heads[:-1], [row[:-1] for row in rows]  # the branch says nothing that the id does not
    return table(heads, rows, right=[4, 5, 6, 7] if expected else [4, 5, 6])


def estimated(session: Session) -> dict[str, str]:
    """Per build, P50 and P90 in USD as they were said before the run began; the newest, where it was said again."""
    found = {}
    for event in session.events:
        low, high = event.data.get("cost_p50_usd"), event.data.get("cost_p90_usd")
        if event.kind == "estimate.made" and event.run == session.run and event.build and low and high:
            found[event.build] = f"{float(low):.2f} – {float(high):.2f}"
    return found


def _headline(session: Session) -> str:
    from br3.telemetry import is_held

    view = session.view
    state = view.state
    if state == "running" and not is_held(session.common_dir, "run", session.run):
        state = "running, without a dispatcher (br3 run attaches)"
    what = click.style(session.plan.name, bold=True)
    return f"{what}  run {session.run}  {state}  base {session.plan.base}"


def _state(standing: Standing) -> str:
    from br3.cli.progress import STATE_COLOURS

    state = standing.view.state
    if standing.landed:
        state = "landed"
    elif standing.interrupted:
        state = "interrupted"
    elif state == "preparing" and not standing.alive and standing.ready:
        state = "ready"
    elif standing.verified and standing.aside:
        state = "aside"
    elif state == "verified" and not standing.verified:
        state = "changed"
    elif standing.verified:
        state = "verified"
    return click.style(state, fg=STATE_COLOURS.get(state, "yellow"))


def _tasks(standing: Standing) -> str:
    tasks = standing.view.tasks
    planned = [task.id for task in standing.build.tasks]
    done = sum(t.state == "completed" for t in tasks.values() if t.id in planned)
    at = next((t for t in tasks.values() if t.state == "running"), None)
    text = f"{done}/{len(planned)}"
    if at is None and len(tasks) > len(planned):
        text += " +repair"
    if at is not None and not standing.landed:
        text += f", at {at.id}"
        if len(at.attempts) > 1:
            text += f" (attempt {len(at.attempts)})"
    return text


def _tests(standing: Standing) -> str:
    tests = standing.tests
    if not tests:
        return "–"
    return f"{tests['passed']} passed" + (f", {tests['failed']} failed" if tests["failed"] else "")


def _time(standing: Standing) -> str:
    from br3.cli.progress import duration, since

    view = standing.view
    if not view.began or view.state in ("pending", "preparing"):
        return "–"
    return duration(since(view.began, view.since if view.ended else None))


def _remarks(session: Session, found: list[Standing]) -> list[str]:
    from br3.dispatch.sessions import departed
    from br3.landing.moving import cut_off

    lines = []
    for s in found:
        if s.view.reason and s.view.state in ("failed", "skipped", "cancelled") and not s.landed:
            lines.append(f"{s.id}: {s.view.reason.splitlines()[0]}")
        lines += [f"{s.id}: {message}" for message in _beyond(session, s.id)]
        if s.aside and not s.landed:
            lines.append(f"{s.id}: put aside by the last merge: {s.aside}")
        if s.branch_exists and not s.present and not s.landed and s.view.state != "pending":
            lines.append(f"{s.id}: its worktree is gone (br3 up {s.id} makes it again from its branch)")
        if s.dirty and not s.alive:
            lines.append(f"{s.id}: uncommitted in its worktree: {', '.join(s.dirty[:4])}")
        if s.view.state == "verified" and not s.verified and not s.landed and s.has_work and not s.dirty:
            why = "its branch has changed since it was verified"
            if s.commit == s.view.commit:
                why = "not verified with the environment as it is now"
            lines.append(f"{s.id}: {why} (br3 verify {s.id})")
        if s.interrupted:
            lines.append(f"{s.id}: its orchestrator is gone; br3 run goes on from its last completed task")
        if s.build.manual and not s.landed and not s.verified:
            lines.append(f"{s.id}: yours to do (br3 prompt {s.id}, then br3 verify {s.id})")
    if len(found) == len(session.plan.builds):
        for build in departed(session):
            lines.append(f"{build.id}: gone from the plan, but not its worktree or branch (br3 clean {build.id})")
    if cut_off(session.events, session.plan.base) is not None:
        lines.append(f"a landing on {session.plan.base} was cut off; br3 merge finishes it")
    lines += [f"alert: {event.data.get('message')}" for event in standing_alerts(session.events)]
    lines += [f"journal: {problem}" for problem in session.view.problems]
    return ["", *lines] if lines else []


def _beyond(session: Session, build: str) -> list[str]:
    """What a build's agents did beyond their ground, in this run."""
    events = (e for e in session.events if e.kind == "security.violation" and e.build == build)
    return [str(e.data["message"]) for e in events if e.run == session.run and e.data.get("message")]


def _detail(session: Session, standing: Standing) -> None:
    from br3.cli.progress import printable
    from br3.orchestrator.showing import activity_of
    from br3.repo.objects import commits_between

    view = standing.view
    click.echo(f"{click.style(standing.id, bold=True)}  {standing.build.title}  {_state(standing)}")
    click.echo(f"branch    {standing.build.branch}" + ("" if standing.branch_exists else " (removed)"))
    click.echo(f"worktree  {standing.worktree}" + ("" if standing.present else " (removed)"))
    if view.reason:
        click.echo(f"reason    {view.reason}")
    if view.log:
        click.echo(f"log       {view.log}")
    click.echo(f"tests     {_tests(standing)}")
    activity = activity_of(session.run_dir / standing.id) if standing.alive else ""
    if activity:
        click.echo(f"now       {printable(activity)}")
    if view.hint and view.ended:
        click.echo(f"next      {view.hint}")
    report = None
    for task in view.tasks.values():
        state = "stopped" if task.state == "running" and view.ended else task.state
        click.echo(f"\n{task.id}: {task.title}: {state}" + (" in an earlier run" if task.carried else ""))
        for attempt in task.attempts.values():
            facts = attempt.finished
            how = attempt.state if not facts.get("cause") else f"failed ({facts['cause']}): {facts.get('why')}"
            cost = "" if attempt.cost_usd is None else f", {attempt.cost_usd:.4f} USD"
            asked, did = attempt.started.get("model"), attempt.finished.get("model")
            names = [str(name) for name in (asked, did) if name not in (None, "auto")]
            who = ", ".join([str(attempt.started.get("agent")), *([" → ".join(dict.fromkeys(names))] if names else [])])
            who += ", going on where it was" if attempt.started.get("resumed") else ""
            click.echo(f"    attempt {attempt.number} with {who}: {how}{cost}")
            report = facts.get("report") or report
    if standing.start and standing.commit and (standing.has_work or standing.landed):
        click.echo("\ncommits")
        for commit in commits_between(session.common_dir, standing.start, standing.commit):
            size = f"{commit.files} files, +{commit.insertions} −{commit.deletions}"
            click.echo(f"    {commit.id[:9]}  {commit.subject}  ({size})")
    for line in _remarks(session, [standing]):
        click.echo(line)
    if report:
        click.echo("\nwhat its agent reported")
        for line in str(report).split("\n"):
            click.echo(f"    {line}")
