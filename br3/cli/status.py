"""``br3 status``."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from br3.cli import completing
from br3.cli.context import about, hinted, json_option, pick, repository
from br3.wording import counted, listed, paid

if TYPE_CHECKING:
    from br3.dispatch.conflicts import Pair
    from br3.dispatch.sessions import Session
    from br3.dispatch.standing import Standing
    from br3.plan.model import Build
    from br3.repo.objects import Commit
    from br3.repo.worktrees import Repository


@click.command()
@click.argument("build", required=False, shell_complete=completing.builds)
@click.option("-w", "--watch", is_flag=True, help="Show it again as it changes, until Ctrl-C or the end of the run.")
@click.option(
    "--run",
    "run_id",
    shell_complete=completing.runs,
    help="Another run than the newest; the beginning of its id is enough.",
)
@json_option
def status(build: str | None, watch: bool, run_id: str | None, as_json: bool) -> int:
    """Show what every build is doing and what it has cost.

    States are replayed from the journal; verified and landed are what git says at this moment. With BUILD: its tasks,
    attempts, commits, and what its agent reported. In the place of BUILD a run's id may stand.
    """
    repo = repository()
    build, run_id = _build_or_run(repo, build, run_id)
    if watch:
        from br3.cli import watching

        return watching.watch(repo, build, run_id, as_json)
    return show(repo, build, run_id, as_json)


def _build_or_run(repo: Repository, name: str | None, run_id: str | None) -> tuple[str | None, str | None]:
    """What a name means: a run's id begins with a day, and no build of the newest run is called so."""
    if name is None or run_id is not None or not name[:8].isdigit() or len(name) < 8:
        return name, run_id
    from br3.dispatch.sessions import find

    session = find(repo)
    builds = [build.id.casefold() for build in session.plan.builds] if session is not None else []
    return (name, None) if name.casefold() in builds else (None, name)


@dataclass(frozen=True)
class Picture:
    """What status shows, but for what the clock says. ``gone``: builds that have left the plan and not the disk;
    ``commits``: of the one build that was asked for; ``base_gone``: there is no such branch."""

    session: Session
    found: list[Standing]
    conflicts: list[Pair]
    gone: list[Build]
    commits: list[Commit]
    base_gone: bool = False


def look(repo: Repository, build: str | None, run_id: str | None) -> Picture | None:
    """All that has to be asked of git and the journal; None when nothing has been run yet."""
    from br3.dispatch.conflicts import known_conflicts
    from br3.dispatch.sessions import departed, find
    from br3.dispatch.standing import standings
    from br3.repo.refs import resolve

    session = find(repo, run_id)
    if session is None:
        return None
    found = standings(session, pick(session, [build] if build else []))
    conflicts = known_conflicts(session, [standing.id for standing in found if standing.landed])
    commits: list[Commit] = []
    base_gone = resolve(repo.git, f"refs/heads/{session.plan.base}") is None
    if build:
        from br3.repo.objects import own_commits

        one = found[0]
        conflicts = [pair for pair in conflicts if one.id in (pair.a, pair.b)]
        if one.start and one.commit and (one.has_work or one.landed):
            base = None if one.landed or base_gone else session.plan.base
            commits = own_commits(session.common_dir, one.start, one.commit, base)
    gone = departed(session) if len(found) == len(session.plan.builds) else []
    return Picture(session, found, conflicts, gone, commits, base_gone)


def show(repo: Repository, build: str | None, run_id: str | None, as_json: bool) -> int:
    from br3.cli.output import emit_json
    from br3.errors import UsageError

    picture = look(repo, build, run_id)
    if picture is None and as_json:
        emit_json({"run": None, "state": None, "builds": [], "alerts": [], "conflicts": []})
    elif picture is None:
        raise UsageError("nothing has been run in this repository yet", hint="br3 run, or br3 init for a first plan")
    elif as_json:
        emit_json(drawn_as_json(picture))
    else:
        click.echo("\n".join(drawn(picture, build)))
    return 0


def drawn_as_json(picture: Picture) -> dict[str, Any]:
    """The object of ``status --json``."""
    from br3.api.looking import summary

    conflicts = [pair.as_json() for pair in picture.conflicts]
    return {**summary(picture.session, picture.found), "conflicts": conflicts}


def drawn(picture: Picture, build: str | None) -> list[str]:
    """The lines to show, of all builds or of the one that was asked for."""
    from br3.cli.output import tame

    if build:
        return [tame(line) for line in _detail(picture)]
    headline = hinted(_headline(picture.session), about(picture.session))
    return [tame(line) for line in (headline, builds_table(picture.found, picture.session), *_remarks(picture))]


def builds_table(found: list[Standing], session: Session | None = None) -> str:
    """A row per build; with ``session`` also what was estimated of each before it began."""
    import shutil
    import sys

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
                paid(standing.cost_usd, standing.known_usd),
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
    # Columns in which nothing stands give way before the others.
    narrowing = ["branch", "tokens", "tests", "estimated", "time", "cost"]
    narrowing.sort(key=lambda head: head in heads and any(row[heads.index(head)] != "–" for row in rows))
    return table(
        heads,
        rows,
        right=[4, 5, 6, 7] if expected else [4, 5, 6],
        width=shutil.get_terminal_size().columns if sys.stdout.isatty() else None,
        giving_way=narrowing,
    )


def estimated(session: Session) -> dict[str, str]:
    """Per build, P50 and P90 in USD as they were said before the run began; the newest, where it was said again."""
    found = {}
    for event in session.events:
        low, high = event.data.get("cost_p50_usd"), event.data.get("cost_p90_usd")
        if event.kind == "estimate.made" and event.run == session.run and event.build and low and high:
            found[event.build] = f"{float(low):.2f} – {float(high):.2f}"
    return found


def _headline(session: Session) -> str:
    from br3.dispatch.attending import at_work, for_a_person, state_of
    from br3.orchestrator import control
    from br3.telemetry import is_held

    state = state_of(session)
    if state == "running" and not is_held(session.common_dir, "run", session.run):
        state = "running, without a dispatcher (br3 run attaches)"
    elif state == "paused" and at_work(session):
        state += " (br3 resume lets it go on)"
    elif state == "paused":
        state += ", it waits for you" if for_a_person(session) else " (br3 run goes on with it)"
    elif state == "interrupted" and control.pause_of(control.asked(session.run_dir), None):
        state += ", and paused (br3 resume, then br3 run)"
    elif state == "interrupted":
        state += " (br3 run goes on with it)"
    what = click.style(session.plan.name, bold=True)
    return f"{what}  run {session.run}  {state}  base {session.plan.base}"


def _state(standing: Standing) -> str:
    from br3.cli.progress import STATE_COLOURS

    state = standing.word
    return click.style(state, fg=STATE_COLOURS.get(state, "yellow"))


def _tasks(standing: Standing) -> str:
    if standing.build.manual:
        return "–"  # whoever does it by hand tells of the whole
    tasks = standing.view.tasks
    planned = [task.id for task in standing.build.tasks]
    done = sum(t.state == "completed" for t in tasks.values() if t.id in planned)
    at = next((t for t in tasks.values() if t.state == "running"), None)
    text = f"{done}/{len(planned)}"
    left_out = sum(t.state == "skipped" for t in tasks.values())
    text += f", {left_out} skipped" if left_out else ""
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


def _remarks(picture: Picture) -> list[str]:
    from br3.api.looking import standing_alerts
    from br3.cli.progress import named_files
    from br3.dispatch.claims import claims
    from br3.dispatch.sessions import base_gone, other_plans
    from br3.landing.moving import cut_off
    from br3.repo.worktrees import operation_in_progress
    from br3.telemetry.locks import holder, is_held, under_way

    session, lines = picture.session, []
    for s in picture.found:
        operation = None if s.alive or not s.present else operation_in_progress(s.worktree)
        if s.view.reason and s.view.state in ("failed", "skipped", "cancelled") and not (s.landed or s.verified):
            lines.append(f"{s.id}: {s.view.reason.splitlines()[0]}")
        lines += [f"{s.id}: {message}" for message in _beyond(session, s.id)]
        if s.aside and not s.landed:
            lines.append(f"{s.id}: put aside by the last merge: {s.aside}")
            lines += [] if operation else _after_aside(s)
        if s.branch_exists and not s.present and not s.landed and s.view.state != "pending":
            lines.append(f"{s.id}: its worktree is gone (br3 up {s.id} makes it again from its branch)")
        if operation:
            lines.append(f"{s.id}: a {operation} is in progress in its worktree; end it there, then br3 verify {s.id}")
        elif s.dirty and not s.alive:
            lines.append(f"{s.id}: uncommitted in its worktree: {listed(s.dirty)}")
        if s.view.state == "verified" and not s.verified and not s.landed and s.has_work and (s.refuted or not s.dirty):
            why = "its branch has changed since it was verified"
            if s.commit == s.view.commit:
                why = "not verified with the environment as it is now"
            if s.refuted:
                why = f"its verification failed since: {s.refuted.splitlines()[0]}"
            lines.append(f"{s.id}: {why} (br3 verify {s.id})")
        if s.interrupted:
            lines.append(f"{s.id}: its orchestrator is gone; br3 run goes on from its last completed task")
        if s.build.manual and not s.landed and not s.verified:
            first = "" if s.present else f"br3 up {s.id}, "
            lines.append(f"{s.id}: yours to do ({first}br3 prompt {s.id}, then br3 verify {s.id})")
    if picture.base_gone:
        error = base_gone(session)
        lines.append(f"{error.message}; {error.hint}")
    for pair in picture.conflicts:
        if pair.conflict and not _told_by_the_train(picture, pair):
            lines.append(f"{pair.b}: would conflict with {pair.a} in {named_files(pair.conflict.kinds)}")
    told: list[str] = []
    if len(picture.found) == len(session.plan.builds):
        beside: dict[str, list[str]] = {}
        for claim in claims(session.common_dir, session.runs):
            if claim.run != session.run:
                beside.setdefault(claim.run, []).append(claim.build)
        others = other_plans(session) if picture.gone else {}
        for build in picture.gone:
            if build.id in others:
                file, run = others[build.id]
                told.append(f"{build.id}: of the plan {os.path.relpath(file)} (br3 status --run {run})")
            elif not any(build.id in busy for busy in beside.values()):
                lines.append(f"{build.id}: gone from the plan, but not its worktree or branch (br3 clean {build.id})")
        lines += [f"run {run} is at work on {', '.join(busy)}" for run, busy in beside.items()]
    if is_held(session.common_dir, "base", session.plan.base):
        lines.append(under_way(session.plan.base, holder(session.common_dir, "base", session.plan.base)))
    elif cut_off(session.events, session.plan.base) is not None:
        lines.append(f"a landing on {session.plan.base} was cut off; br3 merge finishes it")
    lines += [f"alert: {event.data.get('message')}" for event in standing_alerts(session.events)]
    lines += [f"journal: {problem}" for problem in session.view.problems]
    lines = [*(hinted(line, about(session)) for line in lines), *told]
    return ["", *lines] if lines else []


def _after_aside(standing: Standing) -> list[str]:
    """What to do about a build that the last train put aside, as it was said then."""
    todo = standing.put_aside.data.get("next") if standing.put_aside else None
    return [f"    next: {todo}; then br3 verify {standing.id}"] if todo else []


def _told_by_the_train(picture: Picture, pair: Pair) -> bool:
    """Whether a conflict is the one for which the last train has put a build aside: with base, or with what landed."""
    facts = [s.put_aside.data for s in picture.found if s.id == pair.b and s.put_aside and not s.landed]
    base = picture.session.plan.base
    return any(told.get("cause") == "conflict" and pair.a in (base, *told.get("with", ())) for told in facts)


def _beyond(session: Session, build: str) -> list[str]:
    """What a build's agents did beyond their ground, in this run."""
    events = (e for e in session.events if e.kind == "security.violation" and e.build == build)
    return [str(e.data["message"]) for e in events if e.run == session.run and e.data.get("message")]


def _detail(picture: Picture) -> list[str]:
    from br3.cli.progress import printable
    from br3.orchestrator.showing import activity_of

    session, standing = picture.session, picture.found[0]
    view = standing.view
    lines = []
    lines.append(f"{click.style(standing.id, bold=True)}  {standing.build.title}  {_state(standing)}")
    lines.append(f"branch    {standing.build.branch}" + ("" if standing.branch_exists else " (removed)"))
    lines.append(f"worktree  {standing.worktree}" + ("" if standing.present else " (removed)"))
    if view.reason:
        lines.append(f"reason    {view.reason}")
    if view.log:
        lines.append(f"log       {view.log}")
    lines.append(f"tests     {_tests(standing)}")
    activity = activity_of(session.run_dir / standing.id) if standing.alive else ""
    if activity:
        lines.append(f"now       {printable(activity)}")
    if view.hint and view.ended:
        lines.append(hinted(f"next      {view.hint}", about(session)))
    report = None
    for task in view.tasks.values():
        state = "stopped" if task.state == "running" and view.ended else task.state
        lines.append(f"\n{task.id}: {task.title}: {state}" + (" in an earlier run" if task.carried else ""))
        for attempt in task.attempts.values():
            facts = attempt.finished
            how = attempt.state if not facts.get("cause") else f"failed ({facts['cause']}): {facts.get('why')}"
            least = "" if attempt.cost_usd is not None else "at least "
            cost = "" if attempt.known_usd is None else f", {least}{attempt.known_usd:.4f} USD"
            asked, did = attempt.started.get("model"), attempt.finished.get("model")
            names = [str(name) for name in (asked, did) if name not in (None, "auto")]
            who = ", ".join([str(attempt.started.get("agent")), *([" → ".join(dict.fromkeys(names))] if names else [])])
            who += ", going on where it was" if attempt.started.get("resumed") else ""
            lines.append(f"    attempt {attempt.number} with {who}: {how}{cost}")
            report = facts.get("report") or report
    if picture.commits:
        lines.append("\ncommits")
        for commit in picture.commits:
            size = f"{counted(commit.files, 'file')}, +{commit.insertions} −{commit.deletions}"
            lines.append(f"    {commit.id[:9]}  {commit.subject}  ({size})")
    lines += _remarks(picture)
    if report:
        lines.append("\nwhat its agent reported")
        lines += [f"    {line}" for line in str(report).split("\n")]
    return lines
