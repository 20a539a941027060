"""What people ask of runs: checked against where each build stands, written down, and whoever is at work is woken.

Every function says in words what it did and what will happen when; what cannot be is refused, with nothing written.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from br3.dispatch.claims import Claim, claims
from br3.dispatch.sessions import Session, find
from br3.errors import Refused, UsageError
from br3.orchestrator import control, stopping
from br3.orchestrator.control import Request
from br3.plan.model import Build
from br3.plan.order import needs_closure
from br3.repo.worktrees import Repository
from br3.telemetry import BuildView, is_held
from br3.telemetry.locks import holder
from br3.telemetry.replay import RUN_ENDED
from br3.workspace.waking import WAKE

_STOPS_WITHIN_S = 30.0


@dataclass(frozen=True)
class Said:
    """What came of a request, for one build, or for the run as a whole (None). ``new``: it was not asked before."""

    build: str | None
    text: str
    new: bool = True

    def as_json(self) -> dict[str, Any]:
        return {"build": self.build, "said": self.text, "new": self.new}


@dataclass(frozen=True)
class Target:
    """A run, and the builds of it that are meant; none: the run as a whole."""

    session: Session
    builds: tuple[Build, ...]


def targets(repository: Repository, names: Sequence[str], run: str | None = None) -> list[Target]:
    """The runs that are meant. Without names all that are at work, else the newest; UsageError when there is none."""
    newest = find(repository, run)
    if newest is None:
        raise UsageError("nothing has been run in this repository yet", hint="br3 run")
    active = claims(newest.common_dir, newest.runs)
    if not names:
        at_work = [run] if run else list(dict.fromkeys(claim.run for claim in active))
        sessions = [session for name in at_work if (session := find(repository, name)) is not None]
        return [Target(session, ()) for session in sessions or [newest]]
    found: dict[str, Target] = {}
    for name in names:
        session = newest if run else _session_of(repository, newest, name, active)
        build = _build(session, name)
        before = found[session.run].builds if session.run in found else ()
        found[session.run] = Target(session, (*before, build))
    return list(found.values())


def pause(target: Target, *, now: bool) -> list[Said]:
    """Let the run, or builds of it, rest: after the attempt at hand, or with ``now`` where they are."""
    session = target.session
    _require_unfinished(session)
    _require_part(target)
    said = []
    for build in target.builds or (None,):
        view = session.build_view(build.id) if build else None
        if build and view and view.ended:
            raise Refused(f"{build.id} is {view.state} already: there is nothing to pause", hint="br3 status")
        new = _ask(session, Request("pause", build.id if build else None, facts={"now": now}))
        said.append(Said(build.id if build else None, _pausing(session, build, now), new))
    _wake(session)
    return said


def resume(target: Target) -> list[Said]:
    """Take a pause back. Of a run that rests as a whole some builds can go on by themselves."""
    session = target.session
    _require_part(target)
    requests, by_whom = control.asked(session.run_dir), _by_whom(session)
    whole = next((one for one in requests if one.what == "pause" and one.build is None), None)
    if not target.builds:
        found = [one for one in requests if one.what == "pause"]
        for one in found:
            control.settle(session.run_dir, one)
        if not found:
            return [Said(None, f"run {session.run} is not paused", new=False)]
        said = [Said(None, f"run {session.run} goes on{by_whom}")]
    else:
        said = []
        wanted = {build.id for build in target.builds}
        if whole is not None:
            for other in session.plan.builds:
                if other.id not in wanted and not session.build_view(other.id).ended:
                    control.ask(session.run_dir, Request("pause", other.id, facts=whole.facts))
            control.settle(session.run_dir, whole)
        for build in target.builds:
            own = control.settle(session.run_dir, Request("pause", build.id))
            paused = own or whole is not None
            said.append(Said(build.id, f"goes on{by_whom}" if paused else "is not paused", paused))
    if any(one.new for one in said):
        _tell(session, "resume", target)
    _wake(session)
    return said


def cancel_builds(target: Target) -> list[Said]:
    """End builds of a run; the others go on."""
    session = target.session
    _require_unfinished(session)
    _require_part(target)
    for build in target.builds:
        view = session.build_view(build.id)
        if view.ended:
            raise Refused(f"{build.id} is {view.state} already: there is nothing to cancel", hint="br3 status")
    said = []
    for build in target.builds:
        # Looked at beforehand: a dispatcher that heeds it at once holds the build's lock for a moment.
        at_work = _alive(session, build)
        new = _ask(session, Request("cancel", build.id))
        if at_work:
            text = "is being stopped; what it has done stays in its worktree, and br3 retry begins it again"
        elif _dispatcher(session):
            text = "will not be started"
        else:
            text = "is noted as cancelled; nobody is at work on it, and the next br3 run heeds it"
        said.append(Said(build.id, text, new))
    _wake(session)
    return said


def cancel_run(session: Session) -> list[Said]:
    """End a run: through its dispatcher, or where there is none by becoming one for that moment."""
    _require_unfinished(session)
    _tell(session, "cancel", Target(session, ()))
    pid = _dispatcher(session)
    if pid is not None:
        stopping.note(session.run_dir, control.BY_USER)
        # Not by TERM: the dispatcher may be a thread of somebody's program.
        control.ask(session.run_dir, Request("cancel"))
        _wake(session)
        deadline = time.monotonic() + _STOPS_WITHIN_S
        while is_held(session.common_dir, "run", session.run) and time.monotonic() < deadline:
            time.sleep(0.05)
        if is_held(session.common_dir, "run", session.run):
            return [Said(None, f"run {session.run} is being stopped by its dispatcher, process {pid}")]
        control.settle(session.run_dir, Request("cancel"))
        session.refresh()
    if session.view.state not in RUN_ENDED:
        from br3.dispatch.dispatching import Dispatcher
        from br3.dispatch.outcome import Quiet

        selected = [b for b in session.plan.builds if b.id in session.view.selected] or list(session.plan.builds)
        dispatcher = Dispatcher(session, selected, Quiet(), jobs=1)
        dispatcher.cancel.set()
        dispatcher.run()
    for request in control.asked(session.run_dir):
        if request.what == "pause":  # nothing is left that could rest
            control.settle(session.run_dir, request)
    return [Said(None, f"run {session.run} is stopped; worktrees and commits are as they were left")]


def retry(target: Target, start: str | None, model: str | None) -> list[Said]:
    """Let builds begin again: at the first task that is not done, or at ``start``; with ``model``, if given."""
    session, said = target.session, []
    for build in target.builds:
        view = session.build_view(build.id)
        ids = [task.id for task in build.tasks]
        if start is not None and start.casefold() not in [name.casefold() for name in ids]:
            raise UsageError(f"{build.id} has no task {start!r}", hint=f"tasks: {', '.join(ids)}")
        begins = next((name for name in ids if start and name.casefold() == start.casefold()), None)
        _require_retriable(session, build, view, begins)
    for build in target.builds:
        begins = next((task.id for task in build.tasks if start and task.id.casefold() == start.casefold()), None)
        control.settle(session.run_dir, Request("cancel", build.id))
        new = _ask(
            session,
            Request(
                "retry", build.id, facts={"from": begins, "model": model, "saw": session.build_view(build.id).since}
            ),
        )
        what = f"begins again at {begins}" if begins else "begins again at the first task that is not done"
        what += f" with {model}" if model else ""
        if _dispatcher(session) is None:
            unmet = [n for n in needs_closure(session.plan, build.id) if session.build_view(n).state != "verified"]
            once = f", once {' and '.join(unmet)} can be verified: br3 run" if unmet else f": br3 run {build.id}"
            what += f", with the next run{once}"
        elif build.id not in session.view.selected:
            what += f", once run {session.run} has ended: br3 run {build.id}"
        if begins:
            what += " (what comes off its branch is kept under refs/br3/retried)"
        said.append(Said(build.id, what, new))
    _wake(session)
    return said


def skip(session: Session, build: Build, task: str) -> list[Said]:
    """Leave a task of a build out."""
    _require_agent(build, "leave a task out")
    view = session.build_view(build.id)
    state = view.tasks[task].state if task in view.tasks else "pending"
    if state in ("completed", "skipped"):
        raise Refused(f"task {task} of {build.id} is {state} already", hint=f"br3 retry {build.id} --from {task}")
    if view.state == "verified":
        raise Refused(f"{build.id} is verified already", hint=f"br3 status {build.id}")
    at_work = _alive(session, build)
    new = _ask(session, Request("skip", build.id, task))
    if state == "running" and at_work:
        text = f"task {task} is stopped and left out; what it left uncommitted is kept aside"
    elif view.ended:
        text = f"task {task} is left out when the build begins again: br3 retry {build.id}"
    else:
        text = f"task {task} will be left out"
        text += "" if at_work or _dispatcher(session) else "; the next br3 run heeds it"
    _wake(session)
    return [Said(build.id, text, new)]


def tell(session: Session, build: Build, text: str) -> list[Said]:
    """A note for the build's next attempt."""
    view = session.build_view(build.id)
    if not text.strip():
        raise UsageError("there is nothing to tell", hint=f'br3 tell {build.id} "…"')
    _require_agent(build, "tell")
    if view.state == "verified":
        raise Refused(
            f"{build.id} is verified already: no attempt would be told", hint=f"br3 retry {build.id} --from TASK"
        )
    request = control.note(build.id, text)
    new = control.ask(session.run_dir, request)
    if new:
        _tell(session, "tell", Target(session, (build,)), text=text)
    when = "its next attempt is told"
    if view.ended:
        when += f", once it begins again: br3 retry {build.id}"
    elif _alive(session, build):
        when += "; the one at hand is not: br3 cancel and br3 retry begin another at once"
    return [Said(build.id, when, new)]


def task_named(session: Session, name: str) -> tuple[Build, str]:
    """The build and the task of ``BUILD/TASK``, or of a task's id that only one build has."""
    of, slash, task = name.rpartition("/")
    builds = [_build(session, of)] if slash else list(session.plan.builds)
    found = [(b, t.id) for b in builds for t in b.tasks if t.id.casefold() == task.casefold()]
    if len(found) == 1:
        return found[0]
    if not found:
        where = f"{builds[0].id} has" if slash else "the plan has"
        tasks = ", ".join(f"{b.id}/{t.id}" for b in builds for t in b.tasks)
        raise UsageError(f"{where} no task {task!r}", hint=f"tasks: {tasks}")
    raise UsageError(
        f"{len(found)} builds have a task {task!r}", hint="which one: " + ", ".join(f"{b.id}/{t}" for b, t in found)
    )


def _session_of(repository: Repository, newest: Session, name: str, active: Sequence[Claim]) -> Session:
    """The run in which a build of that name is at work, else the newest one."""
    run = next((claim.run for claim in active if claim.build.casefold() == name.casefold()), newest.run)
    found = newest if run == newest.run else find(repository, run)
    assert found is not None
    return found


def _build(session: Session, name: str) -> Build:
    from br3.dispatch.sessions import chosen

    return chosen(session.plan, [name])[0]


def _require_unfinished(session: Session) -> None:
    if session.view.state in RUN_ENDED:
        has = "has failed" if session.view.state == "failed" else f"is {session.view.state}"
        raise Refused(f"run {session.run} {has} already", hint="br3 run begins or goes on")


def _require_part(target: Target) -> None:
    """Refused for builds that a run at work has not been started for: nobody would heed it there."""
    session = target.session
    strange = [build.id for build in target.builds if build.id not in session.view.selected]
    if strange and session.view.selected and _dispatcher(session):
        raise Refused(f"{strange[0]} is no part of run {session.run}", hint=f"br3 run {strange[0]} begins it beside")


def _require_agent(build: Build, what: str) -> None:
    if build.manual:
        raise Refused(f"{build.id} is done by hand: there is nobody to {what}", hint=f"br3 prompt {build.id}")


def _require_retriable(session: Session, build: Build, view: BuildView, begins: str | None) -> None:
    if build.manual:
        raise Refused(f"{build.id} is done by hand", hint=f"br3 prompt {build.id}, then br3 verify {build.id}")
    if not view.ended:
        if view.state == "pending":
            raise Refused(f"{build.id} has not begun yet: there is nothing to retry", hint=f"br3 run {build.id}")
        raise Refused(
            f"{build.id} is at work ({view.state})",
            hint=f"br3 cancel {build.id} stops it; then br3 retry {build.id}",
        )
    from br3.dispatch.standing import standings

    if standings(session, [build])[0].landed:
        raise Refused(f"{build.id} has landed on {session.plan.base}", hint="put more work into a build of its own")
    if view.state == "verified" and begins is None:
        raise Refused(f"{build.id} is verified", hint=f"br3 retry {build.id} --from TASK does it again from there")


def _pausing(session: Session, build: Build | None, now: bool) -> str:
    if build is None:
        alive = [b.id for b in session.plan.builds if _alive(session, b)]
        how = "agents are stopped as they are, and their time stands still" if now else "each rests after its attempt"
        if not alive and _dispatcher(session) is None:
            return f"run {session.run} is paused; nobody is at work on it, and the next br3 run heeds it"
        return f"run {session.run} is paused: {how}, nothing new begins until br3 resume"
    if session.build_view(build.id).state == "preparing":
        return "rests as soon as its workspace is made, until br3 resume"
    if _alive(session, build):
        if now:
            return "its agent is stopped as it is, and its time stands still, until br3 resume"
        return "rests after the attempt at hand, until br3 resume"
    return "is not begun until br3 resume"


def _by_whom(session: Session) -> str:
    return "" if _dispatcher(session) else "; nothing new is begun without a dispatcher: br3 run"


def _ask(session: Session, request: Request) -> bool:
    new = control.ask(session.run_dir, request)
    if new:
        builds = tuple(b for b in session.plan.builds if b.id == request.build)
        _tell(session, request.what, Target(session, builds), task=request.task, **request.facts)
    return new


def _tell(session: Session, what: str, target: Target, *, task: str | None = None, **facts: Any) -> None:
    for build in target.builds or (None,):
        name = build.id if build else None
        session.journal.append("control.asked", run=session.run, build=name, task=task, what=what, facts=facts)


def _alive(session: Session, build: Build) -> bool:
    return is_held(session.common_dir, "build", build.id)


def _dispatcher(session: Session) -> int | None:
    return holder(session.common_dir, "run", session.run)


def _wake(session: Session) -> None:
    """Whoever is at work looks at once; who does not know the signal passes it over."""
    pids = [_dispatcher(session), *(holder(session.common_dir, "build", b.id) for b in session.plan.builds)]
    for pid in pids:
        if pid is not None:
            try:
                os.kill(pid, WAKE)
            except (ProcessLookupError, PermissionError):
                continue
