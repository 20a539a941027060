"""Running a run: prepare, start orchestrators, follow the journal, until every build has ended or somebody stops it.

The loop only looks and decides; what takes long happens in threads (preparing) and processes (orchestrators).
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from br3.agents import agent
from br3.agents.causes import CAUSES
from br3.agents.keys import find
from br3.dispatch.executors.local import Handle, LocalExecutor, inherited, this_br3
from br3.dispatch.sessions import Session
from br3.dispatch.standing import standings
from br3.dispatch.starts import StartConflict, start_commit
from br3.errors import OVER_BUDGET, Br3Error, Interrupted, Refused, UsageError
from br3.orchestrator import confining, stopping
from br3.orchestrator.proving import named, not_owned
from br3.orchestrator.showing import activity_of
from br3.plan.model import Build, Plan
from br3.plan.order import needs_closure
from br3.repo.refs import CommitId
from br3.telemetry import BuildView, Event, Follower, Lock, LockHeld, is_held, replay
from br3.telemetry.replay import RUN_ENDED
from br3.workspace import children
from br3.workspace.preparing import Prepared, Site, prepare

_PAUSE_S = 0.05
_ACTIVITY_EVERY_S = 0.5
_ANALYSE_EVERY_S = 60.0
_STOP_WITHIN_S = 8.0
_MOST_RESTARTS = 3


class Observer(Protocol):
    """Who watches a run."""

    def event(self, event: Event) -> None:
        """An event of the run was written."""

    def preparing(self, build: str, step: str) -> None:
        """A workspace is being made; called from several threads."""

    def waiting(self, build: str, why: str) -> None:
        """A build cannot start yet; told once for each reason."""

    def tick(self, builds: Mapping[str, BuildView]) -> None:
        """Called in every round of the loop."""

    def doing(self, build: str, activity: str) -> None:
        """What the build's agent does just now; told when it is something else."""


@dataclass
class Outcome:
    """How a dispatch ended. ``waiting`` are manual builds that a person still has to do."""

    state: str
    builds: dict[str, BuildView]
    waiting: list[str] = field(default_factory=list)
    warnings: list[tuple[str, str]] = field(default_factory=list)
    """Per build what went well enough, but not quite."""

    @property
    def exit_code(self) -> int:
        """0 all verified, 1 some build failed, 4 a budget was spent, 130 stopped."""
        if self.state == "cancelled":
            return 130
        if any(view.cause == "budget" for view in self.builds.values()):
            return OVER_BUDGET
        return 0 if self.state in ("completed", "paused") else 1


def missing_agents(plan: Plan, builds: Sequence[Build]) -> None:
    """UsageError when an agent of the builds is not installed, Refused when a sandbox does not work here."""
    for name in {task.agent for build in builds for task in build.tasks} - {"manual"}:
        complaint = agent(name).missing()
        if complaint:
            raise UsageError(
                f"the plan {plan.name} needs an agent that is not here: {name}",
                hint=f'{complaint}; or use another: agent = "shell" or "manual"',
            )
    confining.check(builds)


def odd_keys(source: Path | None, builds: Sequence[Build]) -> list[str]:
    """What is wrong with the keys of the builds' agents, in words that do not show them. They are not tried."""
    env_file = source / ".env" if source is not None else None
    names = sorted({task.agent for build in builds for task in build.tasks} - {"manual"})
    found = [key.complaint for name in names for key in find(agent(name), os.environ, env_file)]
    return list(dict.fromkeys(complaint for complaint in found if complaint))


def agent_variables(source: Path | None, builds: Sequence[Build]) -> dict[str, str]:
    """The variables of ``.env`` that an agent of these builds may have; the environment itself wins over them."""
    if source is None or not (source / ".env").is_file():
        return {}
    from dotenv import dotenv_values

    names = {name for build in builds for name in build.env}
    for name in {task.agent for build in builds for task in build.tasks} - {"manual"}:
        names.update(agent(name).variables)
    values = dotenv_values(source / ".env")
    chosen = {k: v for k, v in values.items() if k in names and v is not None and k not in os.environ}
    return {**chosen, children.AGENT_ONLY: " ".join(chosen)}


class Analyst:
    """Has the analytics taken up each minute of a run, by a process of its own, so that alerts come while it works."""

    def __init__(self, session: Session) -> None:
        command = [*this_br3("br3.dispatch.observing"), str(session.common_dir), str(session.repository.home)]
        self._command = command
        self._child: subprocess.Popen[bytes] | None = None
        self._next = time.monotonic() + _ANALYSE_EVERY_S

    def tick(self) -> None:
        """Start it when it is time and the last one has ended."""
        if time.monotonic() < self._next or (self._child is not None and self._child.poll() is None):
            return
        self._next = time.monotonic() + _ANALYSE_EVERY_S
        null = subprocess.DEVNULL
        self._child = subprocess.Popen(
            self._command, stdin=null, stdout=null, stderr=null, env=inherited(), start_new_session=True
        )

    def finish(self) -> None:
        """After a run that was long enough to be looked at: look once more, and wait for it."""
        if self._child is None:
            return
        self._child.wait()
        self._next = 0
        self.tick()
        self._child.wait()


class Dispatcher:
    """One dispatch of some builds of a run. ``run`` does it; signals end it."""

    def __init__(self, session: Session, builds: Sequence[Build], observer: Observer, *, jobs: int) -> None:
        self.session = session
        self.builds = [build for build in builds if not build.manual]
        self.manual = [build for build in builds if build.manual]
        self.observer = observer
        self.jobs = jobs
        self.cancel = threading.Event()
        self._killing = False
        variables = agent_variables(session.source, builds)
        self._executor = LocalExecutor(session.common_dir, session.run, variables)
        self._follower = Follower(session.common_dir)
        self._events: list[Event] = []
        self._views: dict[str, BuildView] = {}
        self._handles: dict[str, Handle] = {}
        self._preparing: dict[str, Future[Prepared]] = {}
        self._restarts: dict[str, int] = {}
        self._waiting: dict[str, str] = {}
        self._by_hand: list[Build] = []
        """Manual builds whose workspace is still to be made."""
        self._warnings: list[tuple[str, str]] = []
        self._done: dict[str, BuildView] = {}
        """Builds that git says are verified or landed as they stand, whatever this run's events say."""
        self._errors: dict[str, Br3Error] = {}
        self._site: Site | None = None
        self._looking = Analyst(session)
        self._doing: dict[str, str] = {}
        self._next_activity = 0.0
        self._fatal: BuildView | None = None
        """The build whose failure ends the run: nothing else would fare better."""

    def run(self) -> Outcome:
        """Run to the end. Raises LockHeld when another dispatcher is at work on this run."""
        session = self.session
        with (
            Lock(session.common_dir, "run", session.run).acquire() as lock,
            self._signals(),
            ThreadPoolExecutor(max_workers=max(self.jobs, 1)) as pool,
        ):
            session.refresh()
            if session.view.state in RUN_ENDED:
                raise Refused(f"run {session.run} has just ended elsewhere", hint="br3 status")
            self._see_what_is_done()
            attached = session.view.state in ("running", "paused")
            ids = [build.id for build in [*self.builds, *self.manual]]
            kind = "run.attached" if attached else "run.started"
            session.journal.append(kind, run=session.run, gen=lock.gen, jobs=self.jobs, selected=ids)
            self._site = session.site(cancel=self.cancel)
            self._look(news=False)
            self._attach()
            self._by_hand = [b for b in self.manual if self._view(b.id).state in ("pending", "preparing")]
            stopping.forget(session.run_dir)
            while not self.cancel.is_set() and self._round(pool):
                self._look()
                self._stop_if_fatal()
                self._tell_activity()
                self.observer.tick(self._views)
                self._looking.tick()
                time.sleep(_PAUSE_S)
            if self.cancel.is_set():
                self._stop()
            self._look()
            outcome = self._end(lock.gen)
            self._looking.finish()
            return outcome

    def _stop_if_fatal(self) -> None:
        """A key or an account that was not accepted stops the whole run: every other request would be in vain."""
        for view in self._views.values():
            answer = CAUSES[view.cause].answer if view.cause in CAUSES else None
            if view.state == "failed" and answer == "stop_run":
                self._fatal = view
                stopping.note(self.session.run_dir, f"the run was stopped: {view.id}: {view.reason}")
                self.cancel.set()

    def _tell_activity(self) -> None:
        if time.monotonic() < self._next_activity:
            return
        self._next_activity = time.monotonic() + _ACTIVITY_EVERY_S
        for build_id in self._handles:
            activity = activity_of(self.session.run_dir / build_id)
            if activity and activity != self._doing.get(build_id):
                self._doing[build_id] = activity
                self.observer.doing(build_id, activity)

    def _see_what_is_done(self) -> None:
        """Landed builds are not made again, and what a person has verified needs no word of this run's."""
        for standing in standings(self.session):
            if standing.commit and (standing.landed or (standing.build.manual and standing.verified)):
                self._done[standing.id] = BuildView(standing.id, state="verified", commit=standing.commit)
        self.builds = [build for build in self.builds if build.id not in self._done]
        self.manual = [build for build in self.manual if build.id not in self._done]

    def _round(self, pool: ThreadPoolExecutor) -> bool:
        """One look at everything; False when nothing is left to do."""
        self._collect_prepared()
        self._collect_ended()
        for build in list(self._by_hand):
            if self._view(build.id).ended or not self._may_start(build):
                continue
            self._by_hand.remove(build)
            self._start_or_skip(pool, build)
        for build in self.builds:
            if not self._is_waiting(build):
                continue
            if not self._may_start(build):
                continue
            if len(self._handles) + len(self._preparing) >= self.jobs:
                self._waits(build, f"waits for one of {self.jobs} places")
            else:
                self._start_or_skip(pool, build)
        waiting = [build for build in self.builds if self._is_waiting(build)]
        # What waits for a person alone would wait here for ever.
        return bool(self._handles or self._preparing or any(not self._needs_a_person(b) for b in waiting))

    def _is_waiting(self, build: Build) -> bool:
        view = self._view(build.id)
        busy = build.id in self._handles or build.id in self._preparing
        return not view.ended and not busy and build.id not in self._errors

    def _may_start(self, build: Build) -> bool:
        """Whether all that it needs is verified; it is skipped when that cannot be any more."""
        for needed in needs_closure(self.session.plan, build.id):
            view = self._needed(needed)
            if view.ended and view.state != "verified":
                self._write_end(build, "build.skipped", f"it needs {needed}, which is {view.state}")
                return False
            if view.state != "verified":
                self._waits(build, f"waits for {needed}")
                return False
        return True

    def _start_or_skip(self, pool: ThreadPoolExecutor, build: Build) -> None:
        try:
            start = self._start(build)
        except StartConflict as conflict:
            self._write_end(build, "build.skipped", str(conflict), files=list(conflict.files))
            return
        self._prepare(pool, build, start)

    def _waits(self, build: Build, why: str) -> None:
        if self._waiting.get(build.id) != why:
            self._waiting[build.id] = why
            self.observer.waiting(build.id, why)

    def _needs_a_person(self, build: Build) -> bool:
        manual = {b.id for b in self.manual}
        return any(
            n in manual and self._needed(n).state != "verified" for n in needs_closure(self.session.plan, build.id)
        )

    def _needed(self, build_id: str) -> BuildView:
        """The state of a build that another needs, also when it is no part of this dispatch."""
        if build_id in self._done:
            return self._done[build_id]
        if any(b.id == build_id for b in [*self.builds, *self.manual]):
            return self._view(build_id)
        earlier = self.session.build_view(build_id)
        if earlier.state != "verified":
            return BuildView(build_id, state=earlier.state if earlier.ended else "skipped")
        return earlier

    def _start(self, build: Build) -> CommitId:
        if not build.needs:
            return self.session.base_commit
        verified = {}
        for other in self.session.plan.builds:
            commit = self._needed(other.id).commit
            if commit:
                verified[other.id] = CommitId(commit)
        git = self.session.repository.git
        return start_commit(git, self.session.plan, build, self.session.base_commit, verified)

    def _prepare(self, pool: ThreadPoolExecutor, build: Build, start: CommitId) -> None:
        assert self._site is not None
        site = self._site
        self.observer.preparing(build.id, "waiting")
        self._preparing[build.id] = pool.submit(
            prepare,
            site,
            build,
            start,
            lambda step: self.observer.preparing(build.id, step),
            announce=self._view(build.id).state in ("pending", "preparing"),
        )

    def _collect_prepared(self) -> None:
        for build_id, future in list(self._preparing.items()):
            if not future.done():
                continue
            del self._preparing[build_id]
            build = self.session.plan.build(build_id)
            try:
                prepared = future.result()
            except Interrupted:
                continue
            except LockHeld:
                self._handles[build_id] = self._executor.attach(build_id)
            except Br3Error as error:
                self._errors[build_id] = error
                log = getattr(error, "log", None)
                facts = {"cause": "setup", "log": str(log) if log else None, "hint": error.hint}
                self._write_end(build, "build.failed", error.message, **facts)
            except Exception as error:  # or the others would be left at work without a dispatcher
                self._errors[build_id] = Br3Error(f"{type(error).__name__}: {error}")
                self._write_end(build, "build.failed", f"{type(error).__name__}: {error}", cause="internal")
            else:
                self._warnings += [(build_id, warning) for warning in prepared.warnings]
                if not build.manual:
                    self._handles[build_id] = self._executor.start(build_id, prepared.path)

    def _collect_ended(self) -> None:
        for build_id, handle in list(self._handles.items()):
            if handle.alive():
                continue
            del self._handles[build_id]
            self._look()
            if self._view(build_id).ended:
                continue
            self._restarts[build_id] = self._restarts.get(build_id, 0) + 1
            if self._restarts[build_id] > _MOST_RESTARTS:
                log = self.session.run_dir / build_id / "orchestrator.log"
                reason = f"its orchestrator ended {_MOST_RESTARTS + 1} times without a result"
                build = self.session.plan.build(build_id)
                self._write_end(build, "build.failed", reason, cause="orchestrator", log=str(log))
            else:
                # It is waiting again: the next round prepares what is missing, by what is there now, and restarts it.
                self.session.refresh()
                self._site = self.session.site(cancel=self.cancel)

    def _attach(self) -> None:
        """Take over the orchestrators that an earlier dispatcher started and that still live."""
        for build in self.builds:
            if not self._view(build.id).ended and is_held(self.session.common_dir, "build", build.id):
                self._handles[build.id] = self._executor.attach(build.id)

    def _write_end(self, build: Build, kind: str, reason: str, **data: Any) -> None:
        """End a build that has no orchestrator; under its lock, so that the order of its events is certain."""
        try:
            lock = Lock(self.session.common_dir, "build", build.id).acquire(wait_s=2)
        except LockHeld:
            self._errors.pop(build.id, None)  # somebody works on it after all: look again in the next round
            return
        with lock:
            self._look()
            if not self._view(build.id).ended:
                severity = "error" if kind == "build.failed" else "warning"
                run = self.session.run
                self.session.journal.append(kind, severity, run, build.id, gen=lock.gen, reason=reason, **data)
        self._look()

    def _look(self, *, news: bool = True) -> None:
        """Read what was written; views are rebuilt only when something was. ``news`` tells the observer of it."""
        fresh = [e for e in self._follower.poll() if e.run == self.session.run]
        if not fresh:
            return
        self._events += fresh
        self._views = replay(self._events)[self.session.run].builds
        for event in sorted(fresh, key=lambda e: (e.ts, e.seq)) if news else []:
            self.observer.event(event)

    def _view(self, build_id: str) -> BuildView:
        return self._views.get(build_id) or BuildView(build_id)

    def _stop(self) -> None:
        """Stop orchestrators, then whatever carries a mark of theirs, within ten seconds; keep all work."""
        for handle in self._handles.values():
            handle.stop()
        deadline = time.monotonic() + _STOP_WITHIN_S
        while time.monotonic() < deadline and not self._killing:
            if not any(h.alive() for h in self._handles.values()) and all(f.done() for f in self._preparing.values()):
                break
            self._look()
            self.observer.tick(self._views)
            time.sleep(_PAUSE_S)
        for handle in self._handles.values():
            handle.stop(signal.SIGKILL)
        for build in [*self.builds, *self.manual]:
            if build.id in self._handles or build.id in self._preparing:
                children.end_marked(children.mark_of(self.session.common_dir, build.id), grace_s=0.5)
        self._look()
        for build in self.builds:
            if not self._view(build.id).ended:
                self._write_end(build, "build.cancelled", stopping.reason(self.session.run_dir))

    def _end(self, gen: int) -> Outcome:
        mine = {build.id: self._view(build.id) for build in [*self.builds, *self.manual]}
        waiting = [build.id for build in self.manual if not mine[build.id].ended]
        waiting += [b.id for b in self.builds if not mine[b.id].ended and self._needs_a_person(b)]
        unverified = [view.id for view in mine.values() if view.state != "verified" and view.id not in waiting]
        data: dict[str, Any]
        if self._fatal is not None:
            kind, data = "run.failed", {"reason": f"{self._fatal.id}: {self._fatal.reason}"}
        elif self.cancel.is_set():
            kind, data = "run.cancelled", {"reason": "stopped by the user"}
        elif unverified:
            kind, data = "run.failed", {"reason": f"not verified: {', '.join(unverified)}"}
        elif waiting:
            kind, data = "run.paused", {"reason": f"a person has to go on: {', '.join(waiting)}"}
        else:
            kind, data = "run.completed", {}
        self.session.journal.append(kind, run=self.session.run, gen=gen, **data)
        self._look()
        for build in self.builds:
            self._warnings += self._not_owned(build, mine[build.id])
        for event in self._events:
            if event.kind == "security.violation" and event.build in mine and event.data.get("message"):
                self._warnings.append((event.build, str(event.data["message"])))
        for view in mine.values():
            self._warnings += [(view.id, warning) for warning in (view.quality or {}).get("warnings") or []]
        return Outcome(kind.removeprefix("run."), mine, waiting, self._warnings)

    def _not_owned(self, build: Build, view: BuildView) -> list[tuple[str, str]]:
        """What a build has changed outside the ground that the plan gave it."""
        if not build.owns or not view.start or not view.commit:
            return []
        strange = not_owned(self.session.repository.git, build.owns, view.start, view.commit)
        return [(build.id, f"changed outside what it owns: {named(strange)}")] if strange else []

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """Ctrl-C and TERM cancel; a second one does not wait. HUP is left alone: orchestrators outlive us anyway."""

        def cancel(*_: object) -> None:
            self._killing = self.cancel.is_set()
            self.cancel.set()

        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {n: signal.signal(n, cancel) for n in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
