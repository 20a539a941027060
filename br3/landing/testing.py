"""Candidates under test: several at once, each in a throw-away worktree of its own that moves on to the next.

Which ones is decided anew after each verdict; what is of no use any more is stopped. Threads only wait for processes.
"""

from __future__ import annotations

import dataclasses
import functools
import os
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from types import TracebackType

from br3.dispatch.sessions import Session
from br3.errors import Interrupted
from br3.landing import verifying
from br3.landing.scratch import Scratch
from br3.landing.searching import Candidate, Decision, Known, Method, Verdicts, Want, decide
from br3.landing.stacking import Conflicting, Stack
from br3.landing.verifying import Subject, Tested
from br3.plan.model import Build, Plan, Verify
from br3.repo import refs, worktrees
from br3.repo.refs import CommitId

Report = Callable[[str], None]
PURPOSE = "train"
_DEFAULT_WINDOW = 4
_LONGEST_WAIT_S = 0.2


@dataclass(frozen=True)
class Picture:
    """A train under test: its builds in order, those that pass or are aside, and the candidates that are being tested,
    each with the time (``time.monotonic``) since when."""

    order: Candidate
    passing: Candidate
    aside: tuple[str, ...]
    running: tuple[tuple[Candidate, float], ...]


@dataclass(eq=False)
class _Job:
    want: Want
    subject: Subject
    scratch: Scratch
    future: Future[Tested | None]
    since: float


def _nothing_spare(decision: Decision) -> Sequence[Candidate]:
    return ()


class Testing:
    """Tests candidates of one stack; a context manager that leaves no process and no worktree behind.

    ``again``: failures that the journal knows of do not count. The base's lock is held.
    """

    def __init__(
        self,
        session: Session,
        stack: Stack,
        *,
        gen: int,
        again: bool,
        report: Report,
        draw: Callable[[Picture], None] = lambda _: None,
    ) -> None:
        self.window = window_of(session.plan)
        self.runs = 0
        self.known = Verdicts()
        self.last: dict[Candidate, Tested] = {}
        """The newest verdict on each candidate; of one that failed, the failure."""
        self.conflicts: dict[Candidate, Conflicting] = {}
        self._session = session
        self._stack = stack
        self._gen = gen
        self._again = again
        self._report = report
        self._draw = draw
        self._pool = ThreadPoolExecutor(self.window, thread_name_prefix="candidate")
        # One after the other, in the order of what is wanted: what is most urgent stands first.
        self._makers = ThreadPoolExecutor(1, thread_name_prefix="worktree")
        self._jobs: dict[tuple[Candidate, bool], _Job] = {}
        self._stopped: list[_Job] = []
        """What is not wanted any more and has not ended yet; its worktree is not free."""
        self._free: list[Scratch] = []
        self._ahead: tuple[Scratch, Future[None]] | None = None
        self._slots = 0
        self._by_tree: dict[tuple[str, ...], Candidate] = {}
        self._order: Candidate = ()

    def __enter__(self) -> Testing:
        return self

    def prepare(self) -> None:
        """Begin to make the first worktree at what the stack stands on: a checkout takes longer than to stack.

        A hook of checkouts may make files from what is checked out, so with one the worktree waits for its candidate.
        """
        if not worktrees.has_hook(self._session.repository.git, "post-checkout"):
            self._ahead = self._begin(self._stack.base)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop(())
        scratches = [*self._free, *(job.scratch for job in self._stopped)]
        if self._ahead is not None:
            self._ahead[0].cancel.set()
            scratches.append(self._ahead[0])
        self._makers.shutdown(wait=True)
        self._pool.shutdown(wait=True, cancel_futures=True)
        for scratch in scratches:
            scratch.discard()

    def settle(
        self,
        order: Sequence[str],
        needs: Mapping[str, Collection[str]],
        method: Method,
        spare: Callable[[Decision], Sequence[Candidate]] = _nothing_spare,
    ) -> Decision:
        """Test until nothing is left to decide about ``order``; where a place is free, what is ``spare`` as well, which
        may still be under test afterwards. Raises Br3Error when a set-up fails."""
        self._order = tuple(order)
        while True:
            decision = decide(
                order, self.known, window=self.window, needs=needs, running=list(self._jobs), method=method
            )
            more = [Want(one) for one in spare(decision) if one not in self.known]
            if decision.done:
                self._stop([want.key for want in more])
                return decision
            self._run([*decision.wants, *more][: self.window], functools.partial(self._drawn, order, decision))

    def test(self, candidates: Sequence[Candidate]) -> None:
        """Test these, at most ``window`` of them, and nothing else, until a verdict comes in."""
        self._run([Want(candidate) for candidate in candidates if candidate not in self.known][: self.window])

    def passes(self, candidate: Candidate) -> bool:
        """Whether it is known to pass."""
        known = self.known.get(candidate)
        return known is not None and known.passed > 0

    def tip(self, build: str) -> CommitId:
        """What is stacked of a build."""
        return self._stack.passengers[build].tip

    def contains_base(self, build: str) -> bool:
        """Whether the build's branch has all that it is stacked on when it is stacked alone. One git process."""
        return refs.is_ancestor(self._session.repository.git, self._stack.base, self.tip(build))

    def subject(self, want: Want) -> Subject:
        """What is tested of a candidate. Minima are for what lands, not for parts of it: see ``short_of``."""
        builds = [self._session.plan.build(build) for build in want.candidate]
        made = self._stack.at(want.candidate)
        wanted = dataclasses.replace(verification_of(self._session, builds), min_passed=None, min_coverage=None)
        facts = {"builds": list(want.candidate), "assumed": list(want.assumed)}
        return Subject(made.commit, made.tree, wanted, tuple(builds), facts)

    def _drawn(self, order: Sequence[str], decision: Decision) -> None:
        aside = [build for one in decision.aside for build in (one.id, *one.dependents)]
        running = [(job.want.candidate, job.since) for job in self._jobs.values()]
        self._draw(Picture(tuple(order), decision.settled, tuple(aside), tuple(running)))

    def _run(self, wants: Sequence[Want], started: Callable[[], None] = lambda: None) -> None:
        """Start what is wanted and stop what is not, then wait until something ends."""
        self._stop([want.key for want in wants])
        for want in wants:
            room = len(self._jobs) + len(self._stopped) < self.window
            if want.key not in self._jobs and room and self._start(want):
                return  # known without a run: what is wanted may have changed
        if not self._jobs and not self._stopped:
            return
        started()
        futures = [job.future for job in (*self._jobs.values(), *self._stopped)]
        # With a bound, again and again: a signal that comes just before a wait without one would not be seen.
        while not wait(futures, timeout=_LONGEST_WAIT_S, return_when=FIRST_COMPLETED).done:
            pass
        ended = [job for job in (*self._jobs.values(), *self._stopped) if job.future.done()]
        self._jobs = {key: job for key, job in self._jobs.items() if job not in ended}
        self._stopped = [job for job in self._stopped if job not in ended]
        self._free += [job.scratch for job in ended]
        for job in ended:
            tested = job.future.result()
            if tested is not None:
                self._note(job.want, tested)

    def _start(self, want: Want) -> bool:
        """Begin to test; True when there is nothing to test, because it is known."""
        try:
            subject = self.subject(want)
        except Conflicting as refusal:
            # It cannot be made, and what contains it neither.
            for length in range(1, len(want.candidate) + 1):
                part = want.candidate[:length]
                if part[-1] == refusal.build:
                    self.conflicts[part] = refusal
                    self.known[part] = Known(failed=2)
            self.known[want.candidate] = Known(failed=2)
            return True
        same = (subject.tree, *subject.setups, *subject.wanted.run)
        twin = self._by_tree.setdefault(same, want.candidate)
        if twin != want.candidate and not want.confirm:
            if twin in self.known:
                self.known[want.candidate] = self.known[twin]
                self.last[want.candidate] = self.last[twin]
                return True
            if any(job.want.candidate == twin for job in self._jobs.values()):
                return False  # that one's verdict will do
            self._by_tree[same] = want.candidate
        making = None
        if self._free:
            scratch = self._free.pop()
            scratch.cancel = threading.Event()
        elif self._ahead is not None:
            scratch, making = self._ahead
            self._ahead = None
        else:
            scratch, making = self._begin(subject.commit)
        future = self._pool.submit(self._test, scratch, making, subject, want)
        self._jobs[want.key] = _Job(want, subject, scratch, future, time.monotonic())
        return False

    def _begin(self, commit: CommitId) -> tuple[Scratch, Future[None]]:
        """Begin to make another worktree."""
        scratch = Scratch(self._session, PURPOSE, slot=self._slots)
        self._slots += 1
        return scratch, self._makers.submit(scratch.make, commit)

    def _test(self, scratch: Scratch, making: Future[None] | None, subject: Subject, want: Want) -> Tested | None:
        if making is not None:
            making.result()
        name = self._name(want.candidate)
        once_more = " once more" if want.confirm else ""
        several = len(subject.wanted.run) > 1 or subject.setups or self._session.plan.setup.run
        try:
            return verifying.verify_in(
                scratch,
                subject,
                directory=self._session.run_dir / f"_{PURPOSE}",
                gen=self._gen,
                report=lambda command: self._report(f"testing {name}{once_more}{f': {command}' if several else ''}"),
                confirm=want.confirm,
                again=self._again,
            )
        except Interrupted:
            if not scratch.cancel.is_set():
                raise
            return None

    def _note(self, want: Want, tested: Tested) -> None:
        before = self.known.get(want.candidate) or Known()
        failed = before.failed if tested.passed else max(before.failed + 1, tested.failures)
        self.known[want.candidate] = Known(before.passed + tested.passed, failed)
        self.last[want.candidate] = tested
        self.runs += tested.runs
        name = self._name(want.candidate)
        one = len(want.candidate) < 2
        how = ("passes" if one else "pass") if tested.passed else f"{'fails' if one else 'fail'}: {tested.reason}"
        self._report(f"{name} {how}{'' if tested.runs else ' (known)'}")
        if want.confirm and tested.passed:
            self._session.journal.append(
                "landing.flaky",
                "warning",
                run=self._session.run,
                gen=self._gen,
                builds=list(want.candidate),
                reason="failed once and passed once, on the same tree",
            )

    def _name(self, candidate: Candidate) -> str:
        """A candidate as a stretch of the train: from its first build up to its last, and which are left out."""
        if not candidate:
            return self._session.plan.base
        at = self._order.index(candidate[-1]) if candidate[-1] in self._order else 0
        below = [build for build in self._order[:at] if build not in candidate]
        if len(candidate) < 4 or len(below) > 2:
            return named(candidate, self._session.plan.base)
        without = f" without {', '.join(below)}" if below else ""
        return f"{candidate[0]} … {candidate[-1]}{without} ({len(candidate)} builds)"

    def _stop(self, wanted: Sequence[tuple[Candidate, bool]]) -> None:
        """Stop what is not wanted; its end is not waited for."""
        for key in [key for key in self._jobs if key not in wanted]:
            job = self._jobs.pop(key)
            job.scratch.cancel.set()
            self._stopped.append(job)


def window_of(plan: Plan) -> int:
    """How many candidates are tested at once."""
    return plan.landing.window or min(_DEFAULT_WINDOW, os.cpu_count() or 1)


def verification_of(session: Session, builds: Sequence[Build]) -> Verify:
    """What a candidate that contains ``builds`` is held to: the plan's [verify]; without one, all that the builds
    are held to themselves, since two green branches can make a red one."""
    if session.plan.verify.run:
        return session.plan.verify
    return Verify(run=tuple(dict.fromkeys(command for build in builds for command in build.verify.run)))


def named(candidate: Candidate, base: str) -> str:
    """A candidate as people are told of it."""
    if len(candidate) > 4:
        return f"{candidate[0]} … {candidate[-1]} ({len(candidate)} builds)"
    return ", ".join(candidate) or base
