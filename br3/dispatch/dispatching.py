"""Running a run: prepare, start orchestrators, follow the journal, until every build has ended or somebody stops it.

The loop only looks and decides; what takes long happens in threads (preparing) and processes (orchestrators).
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from br3.agents.causes import CAUSES
from br3.dispatch.analysing import Analyst
from br3.dispatch.claims import claims
from br3.dispatch.conflict_watching import ConflictWatch
from br3.dispatch.executors.local import Handle, LocalExecutor
from br3.dispatch.outcome import Observer, Outcome
from br3.dispatch.publishing import Published
from br3.dispatch.requirements import agent_variables
from br3.dispatch.room import Room
from br3.dispatch.sessions import Session
from br3.dispatch.standing import standings
from br3.dispatch.starts import StartConflict, start_commit
from br3.dispatch.watching import MOST_RESTARTS, Restarts, Signs
from br3.errors import Br3Error, Interrupted, Refused
from br3.orchestrator import control, ground, stopping
from br3.orchestrator.control import Request
from br3.orchestrator.proving import named, not_owned
from br3.orchestrator.showing import activity_of
from br3.plan.model import Build
from br3.plan.order import needed_by, needs_closure
from br3.repo.refs import CommitId
from br3.telemetry import BuildView, Event, Follower, Lock, LockHeld, is_held
from br3.telemetry.replay import RUN_ENDED, replay
from br3.workspace import children, waking
from br3.workspace.preparing import Prepared, Site, prepare
from br3.workspace.waking import Awake

_PAUSE_S, _LONGEST_PAUSE_S = 0.05, 0.4
_ACTIVITY_EVERY_S = 0.5
_STOP_WITHIN_S = 8.0
_LOOK_ELSEWHERE_S = 2.0


@dataclass(frozen=True)
class _Preparing:
    """A workspace that is being made; ``cancel`` ends it."""

    future: Future[Prepared]
    cancel: threading.Event


class Dispatcher:
    """One dispatch of some builds of a run. ``run`` does it; signals end it, and so does ``cancel``."""

    def __init__(
        self,
        session: Session,
        builds: Sequence[Build],
        observer: Observer,
        *,
        jobs: int,
        cancel: threading.Event | None = None,
    ) -> None:
        self.session = session
        self.builds = [build for build in builds if not build.manual]
        self.manual = [build for build in builds if build.manual]
        self.observer = observer
        self.jobs = jobs
        self.cancel = cancel or threading.Event()
        self._interrupted = False
        self._signals_seen = 0
        self._killing = False
        variables = agent_variables(session.source, builds)
        self._executor = LocalExecutor(session.common_dir, session.run, variables)
        self._follower = Follower(session.common_dir)
        self._events: list[Event] = []
        self._views: dict[str, BuildView] = {}
        self._handles: dict[str, Handle] = {}
        self._preparing: dict[str, _Preparing] = {}
        self._clock = Awake()
        self._room = Room(session, self._clock)
        self._signs = Signs()
        self._restarts: dict[str, Restarts] = {}
        self._paused = False
        self._gen = 0
        self._published = Published(session.common_dir, session.run)
        self._next_look: dict[str, float] = {}
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
            waking.woken(),
            ThreadPoolExecutor(max_workers=max(self.jobs, 1)) as pool,
            ConflictWatch(session) as conflicts,
        ):
            self._gen = lock.gen
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
            control.settle(session.run_dir, Request("cancel"))
            pause_s = _PAUSE_S
            while not self.cancel.is_set() and self._round(pool):
                pause_s = _PAUSE_S if self._look() else min(2 * pause_s, _LONGEST_PAUSE_S)
                self._published.update(b for b in [*self.builds, *self.manual] if not self._view(b.id).ended)
                self._stop_if_fatal()
                self._see_who_is_silent()
                self._tell_activity()
                self.observer.tick(self._views)
                self._looking.tick()
                waking.pause(pause_s)
            if self.cancel.is_set():
                self._stop()
            else:
                conflicts.finish()
            self._look()
            self._published.update(())
            outcome = self._end(lock.gen)
            before = self._signals_seen
            self._looking.finish(lambda: self._signals_seen > before)
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
        self._clock.now()
        self._collect_prepared()
        self._collect_ended()
        requests = self._heed()
        if self.cancel.is_set():
            return False
        for build in list(self._by_hand):
            if self._view(build.id).ended or not self._may_start(build) or control.pause_of(requests, build.id):
                continue
            self._by_hand.remove(build)
            self._start_or_skip(pool, build)
        for build in self.builds:
            if not self._is_waiting(build):
                continue
            if not self._may_start(build):
                continue
            restarts = self._restarts.get(build.id)
            if control.pause_of(requests, build.id):
                self._waits(build, f"paused; br3 resume {build.id} lets it go on")
            elif self._busy() >= self.jobs:
                self._waits(build, f"waits for one of {self.jobs} places")
            elif restarts is not None and self._clock.now() < restarts.not_before:
                self._waits(build, "its orchestrator is gone; another one takes over in a moment")
            elif not self._room.enough():
                self._waits(build, "waits for room on the disk")
            else:
                self._start_or_skip(pool, build)
        waiting = [build for build in self.builds if self._is_waiting(build)]
        # What waits for a person alone would wait here for ever.
        return bool(self._handles or self._preparing or any(not self._needs_a_person(b) for b in waiting))

    def _busy(self) -> int:
        """How many places are taken; a build that rests needs none."""
        return len(self._preparing) + sum(not self._view(build_id).paused for build_id in self._handles)

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
        if not earlier.ended:
            at_work = self._at_work_elsewhere(build_id)
            earlier = self.session.build_view(build_id)
            if at_work and not earlier.ended:
                return earlier
        if earlier.state != "verified":
            return BuildView(build_id, state=earlier.state if earlier.ended else "skipped")
        return earlier

    def _at_work_elsewhere(self, build_id: str) -> bool:
        """Whether another run is at work on a build that this one waits for; it is looked at now and then."""
        if not self._is_time(f"elsewhere {build_id}", _LOOK_ELSEWHERE_S):
            return True
        self.session.refresh()
        return any(claim.build == build_id for claim in claims(self.session.common_dir, self.session.runs))

    def _is_time(self, what: str, every_s: float) -> bool:
        if self._clock.now() < self._next_look.get(what, 0.0):
            return False
        self._next_look[what] = self._clock.now() + every_s
        return True

    def _heed(self) -> list[Request]:
        """Do what is asked of the run, and of builds that have no orchestrator; those that have one heed it there."""
        requests = control.asked(self.session.run_dir)
        self._pause_run(any(one.what == "pause" and one.build is None for one in requests))
        for request in requests:
            if request.what == "cancel" and request.build is None:
                control.settle(self.session.run_dir, request)
                self.cancel.set()
            build = next((b for b in [*self.builds, *self.manual] if b.id == request.build), None)
            if build is None:
                continue
            if build.id in self._handles or build.id in self._preparing:
                self._heed_at_work(build, request)
                continue
            if request.what == "cancel":
                if not self._view(build.id).ended:
                    self._write_end(build, "build.cancelled", control.BY_USER)
                if self._view(build.id).ended:
                    control.settle(self.session.run_dir, request)
            elif request.what == "retry":
                view = self._view(build.id)
                if view.ended and request.facts.get("saw", view.since) != view.since:
                    control.settle(self.session.run_dir, request)  # it has begun again and ended since that was asked
                else:
                    self._retry(build, request)
        return requests

    def _heed_at_work(self, build: Build, request: Request) -> None:
        """What is asked of a build that has somebody who heeds it, but for what nobody does there."""
        if request.what == "cancel" and build.id in self._preparing:
            self._preparing[build.id].cancel.set()
        elif request.what == "retry":
            self._look()
            if not self._view(build.id).ended:  # it has just begun again, for another who asked
                control.settle(self.session.run_dir, request)

    def _pause_run(self, wanted: bool) -> None:
        if wanted != self._paused:
            self._paused = wanted
            kind = "run.paused" if wanted else "run.resumed"
            facts: dict[str, Any] = {"reason": "by the user"} if wanted else {}
            self.session.journal.append(kind, run=self.session.run, gen=self._gen, **facts)

    def _retry(self, build: Build, request: Request) -> None:
        """Let a build begin again, and those that were skipped because they need it."""
        facts: dict[str, Any] = {"from": request.facts.get("from"), "model": request.facts.get("model")}
        if not self._write_retry(build, facts):
            return
        self._see_anew()
        for other in self.builds:
            if other.id in needed_by(self.session.plan, build.id) and self._view(other.id).state == "skipped":
                self._write_retry(other, {})
        control.settle(self.session.run_dir, request)

    def _write_retry(self, build: Build, facts: dict[str, Any]) -> bool:
        try:
            lock = Lock(self.session.common_dir, "build", build.id).acquire(wait_s=2)
        except LockHeld:
            return False  # somebody works on it: look again in the next round
        with lock:
            self._look()
            if self._view(build.id).ended or self._view(build.id).state == "pending":
                run = self.session.run
                self.session.journal.append("build.retried", run=run, build=build.id, gen=lock.gen, **facts)
                for known in (self._errors, self._restarts, self._waiting):
                    known.pop(build.id, None)
        self._look()
        return True

    def _see_who_is_silent(self) -> None:
        """Tell of orchestrators that give no sign of life, and end those that have given none for long.

        None is judged while the disk takes nothing: their signs cannot be written.
        """
        now = self._clock.now()
        self._room.enough()
        for build_id, handle in list(self._handles.items()):
            if self._room.takes_nothing:
                self._signs.heard(build_id, now)
            silence = self._signs.silent(build_id, now)
            if silence is None or not handle.is_orchestrator:
                continue
            since_s, over = silence
            facts: dict[str, Any] = {"since_s": round(since_s), "orchestrator": handle.pid, "ended": over}
            self.session.journal.append("build.silent", "error", run=self.session.run, build=build_id, **facts)
            if over:
                handle.stop(signal.SIGKILL)

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
        cancel = threading.Event()
        site = replace(self._site, cancel=cancel)
        self.observer.preparing(build.id, "waiting")
        future = pool.submit(
            prepare,
            site,
            build,
            start,
            lambda step: self.observer.preparing(build.id, step),
            announce=self._view(build.id).state in ("pending", "preparing"),
        )
        self._preparing[build.id] = _Preparing(future, cancel)
        future.add_done_callback(lambda _: waking.wake())

    def _collect_prepared(self) -> None:
        for build_id, preparing in list(self._preparing.items()):
            if not preparing.future.done():
                continue
            del self._preparing[build_id]
            build = self.session.plan.build(build_id)
            try:
                prepared = preparing.future.result()
            except Interrupted:
                continue
            except LockHeld:
                self._handles[build_id] = self._executor.attach(build_id)
            except Br3Error as error:
                if self._room.has_filled_up():
                    continue
                self._errors[build_id] = error
                log = getattr(error, "log", None)
                facts: dict[str, Any] = {"cause": "setup", "log": str(log) if log else None, "hint": error.hint}
                self._write_end(build, "build.failed", error.message, **facts)
            except Exception as error:  # or the others would be left at work without a dispatcher
                if self._room.has_filled_up():
                    continue
                self._errors[build_id] = Br3Error(f"{type(error).__name__}: {error}")
                self._write_end(build, "build.failed", f"{type(error).__name__}: {error}", cause="internal")
            else:
                self._warnings += [(build_id, warning) for warning in prepared.warnings]
                if not build.manual:
                    self._handles[build_id] = self._executor.start(build_id, prepared.path)
                    self._signs.heard(build_id, self._clock.now())

    def _collect_ended(self) -> None:
        for build_id, handle in list(self._handles.items()):
            if handle.alive():
                continue
            del self._handles[build_id]
            self._look()
            if self._view(build_id).ended:
                continue
            gone = ground.trouble(self.session.common_dir, self.session.worktrees[build_id])
            if gone is not None and not gone.full:
                raise gone
            if gone is not None:  # it waits for room, and that is no restart
                self._room.note_full()
                self._see_anew()
                continue
            done = sum(task.state == "completed" for task in self._view(build_id).tasks.values())
            restarts = self._restarts.setdefault(build_id, Restarts())
            wait_s = restarts.ended(done, self._clock.now())
            if wait_s is None:
                log = self.session.run_dir / build_id / "orchestrator.log"
                reason = f"its orchestrator ended {MOST_RESTARTS + 1} times without a result"
                build = self.session.plan.build(build_id)
                self._write_end(build, "build.failed", reason, cause="orchestrator", log=str(log))
            else:
                # It is waiting again: a later round prepares what is missing, by what is there now, and restarts it.
                facts: dict[str, Any] = {"restart": restarts.count, "wait_s": wait_s}
                run = self.session.run
                self.session.journal.append("build.restarting", "warning", run=run, build=build_id, **facts)
                self._see_anew()

    def _see_anew(self) -> None:
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
            # An agent may have outlived its orchestrator.
            children.end_marked(children.mark_of(self.session.common_dir, build.id))
            self._look()
            if not self._view(build.id).ended:
                severity = "error" if kind == "build.failed" else "warning"
                run = self.session.run
                self.session.journal.append(kind, severity, run, build.id, gen=lock.gen, reason=reason, **data)
        self._look()

    def _look(self, *, news: bool = True) -> bool:
        """Read what was written; views are rebuilt only when something was. ``news`` tells the observer of it."""
        fresh = [e for e in self._follower.poll() if e.run == self.session.run]
        for event in fresh:
            if event.build and event.pid != os.getpid():
                self._signs.heard(event.build, self._clock.now())
        fresh = [event for event in fresh if event.kind != "build.heartbeat"]
        if not fresh:
            return False
        self._events += fresh
        self._views = replay(self._events)[self.session.run].builds
        for event in sorted(fresh, key=lambda e: (e.ts, e.seq)) if news else []:
            self.observer.event(event)
        return True

    def _view(self, build_id: str) -> BuildView:
        return self._views.get(build_id) or BuildView(build_id)

    def _stop(self) -> None:
        """Stop orchestrators, then whatever carries a mark of theirs, within ten seconds; keep all work."""
        for handle in self._handles.values():
            handle.stop()
        for preparing in self._preparing.values():
            preparing.cancel.set()
        deadline = time.monotonic() + _STOP_WITHIN_S
        while time.monotonic() < deadline and not self._killing:
            if not any(h.alive() and h.is_orchestrator for h in self._handles.values()) and all(
                preparing.future.done() for preparing in self._preparing.values()
            ):
                break
            self._look()
            self.observer.tick(self._views)
            waking.pause(_PAUSE_S)
        for handle in self._handles.values():
            handle.stop(signal.SIGKILL)
        for build in [*self.builds, *self.manual]:
            at_work = self._handles.get(build.id)
            goes = at_work is not None and (at_work.is_orchestrator or not at_work.alive())
            if build.id in self._preparing or goes:
                children.end_marked(children.mark_of(self.session.common_dir, build.id), grace_s=0.5)
        self._look()
        for build in self.builds:
            if not self._view(build.id).ended:
                self._write_end(build, "build.cancelled", stopping.reason(self.session.run_dir))

    def _end(self, gen: int) -> Outcome:
        mine = {build.id: self._view(build.id) for build in [*self.builds, *self.manual]}
        waiting = [build.id for build in self.manual if not mine[build.id].ended]
        behind = [b.id for b in self.builds if not mine[b.id].ended and self._needs_a_person(b)]
        open_yet = {*waiting, *behind}
        unverified = [view.id for view in mine.values() if view.state != "verified" and view.id not in open_yet]
        data: dict[str, Any]
        if self._paused and not self.cancel.is_set():
            self.session.journal.append("run.resumed", run=self.session.run, gen=gen)
        if self._fatal is not None:
            kind, data = "run.failed", {"reason": f"{self._fatal.id}: {self._fatal.reason}"}
        elif self.cancel.is_set():
            kind, data = "run.cancelled", {"reason": "stopped by the user"}
        elif unverified:
            kind, data = "run.failed", {"reason": f"not verified: {', '.join(unverified)}"}
        elif open_yet:
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
        return Outcome(kind.removeprefix("run."), mine, waiting, self._warnings, self._interrupted)

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
            self._interrupted = True
            self._signals_seen += 1
            self.cancel.set()
            waking.wake()

        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {n: signal.signal(n, cancel) for n in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
