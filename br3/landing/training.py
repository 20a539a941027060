"""The train: verified builds stacked on base as objects, tested as candidates, landed in one step.

A build that conflicts or breaks the tests is put aside with the evidence, what needs it too, and the rest goes on.
Everything that was tested stays in the journal: a train that was killed decides the same again, and tests nothing
twice.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from br3.dispatch.sessions import Session, tip_of_base
from br3.errors import Br3Error
from br3.landing import diagnosing, upstream
from br3.landing.boarding import Aside, Boarding, Resolved, board, passenger
from br3.landing.moving import BaseMoved, Move, checkouts_of, cut_off, move, recover, try_checkouts
from br3.landing.scratch import discard_all
from br3.landing.searching import Candidate, Decision, Method, Verdicts, decide, window_pays_from
from br3.landing.stacking import Conflicting, Made, Stack
from br3.landing.testing import PURPOSE, Picture, Testing, named, verification_of, window_of
from br3.landing.verifying import Tested
from br3.orchestrator.verification import short_of
from br3.plan.model import Build
from br3.plan.order import needs_closure
from br3.repo import merges, refs
from br3.repo.refs import NULL_ID, CommitId
from br3.telemetry import Event, Lock

Report = Callable[[str], None]
Draw = Callable[[Picture], None]
_MOST_TRIES = 3
_FEWEST_SEEN = 20
"""Builds that must have been aboard before their failures say anything."""


@dataclass(frozen=True)
class Options:
    """How a train is asked to run. ``again``: what has failed before is tested anew."""

    one_by_one: bool = False
    dry_run: bool = False
    again: bool = False


@dataclass
class Train:
    """What a landing came to. ``before`` was there already, ``landed`` is new on base."""

    base: str
    base_before: CommitId
    base_after: CommitId
    landed: list[str] = field(default_factory=list)
    before: list[str] = field(default_factory=list)
    aside: list[Aside] = field(default_factory=list)
    test_runs: int = 0
    tests: Mapping[str, int] | None = None
    foreseen: Foreseen | None = None

    def as_json(self) -> dict[str, Any]:
        """The shape of ``merge --json``."""
        told: dict[str, Any] = {
            "base_before": self.base_before,
            "base_after": self.base_after,
            "landed": self.landed,
            "already_landed": self.before,
            "aside": [a.as_json() for a in self.aside],
            "test_runs": self.test_runs,
        }
        return told if self.foreseen is None else {**told, "foreseen": self.foreseen.as_json()}


@dataclass(frozen=True)
class Foreseen:
    """What a dry run says: the order, who lands how, who is verified first, and the test runs when all goes well."""

    order: Candidate
    strategies: Mapping[str, str]
    unverified: tuple[str, ...]
    method: Method
    candidates: tuple[Candidate, ...]
    known: int
    unfetched: str | None = None
    """The upstream of base that would be fetched first: what it has by then may change all this."""

    def as_json(self) -> dict[str, Any]:
        return {
            "order": list(self.order),
            "strategies": dict(self.strategies),
            "unverified": list(self.unverified),
            "method": self.method,
            "test_runs": len(self.candidates) - self.known + len(self.unverified),
            "known": self.known,
            "unfetched": self.unfetched,
        }


class CandidateFailed(Br3Error):
    """What would land does not pass the plan's verification; base stays where it is."""


def merge(
    session: Session,
    builds: Sequence[Build],
    report: Report = lambda _: None,
    options: Options = Options(),
    draw: Draw = lambda _: None,
) -> Train:
    """Land the verified ones of ``builds``. Raises CandidateFailed, Refused, LockHeld."""
    train = _merge(session, builds, report, options, draw, {})
    conflicts = [aside for aside in train.aside if aside.cause == "conflict"]
    if not conflicts or options.dry_run or session.plan.landing.on_conflict != "agent":
        return train
    from br3.landing.resolving import resolve

    resolved, left = resolve(session, conflicts, report)
    told = {aside.id: aside for aside in left}
    train.aside = [told.get(aside.id, aside) for aside in train.aside if aside.id not in resolved]
    if resolved:
        later = _merge(session, [session.plan.build(name) for name in resolved], report, options, draw, resolved)
        train.base_after = later.base_after
        train.landed += later.landed
        train.aside += later.aside
        train.test_runs += later.test_runs
        train.tests = later.tests or train.tests
    return train


def _merge(
    session: Session,
    builds: Sequence[Build],
    report: Report,
    options: Options,
    draw: Draw,
    resolved: Mapping[str, Resolved],
) -> Train:
    plan = session.plan
    with Lock(session.common_dir, "base", plan.base).acquire(wait_s=1) as lock, ExitStack() as stays:
        session.refresh()
        if options.dry_run:
            if cut_off(session.events, plan.base) is not None:
                raise Br3Error(f"a landing on {plan.base} was cut off and is finished first", hint="br3 merge")
            return _Attempt(session, builds, lock.gen, report, options, stays).foresee()
        finished = recover(session.repository, plan.base, session.events, session.journal, gen=lock.gen)
        if finished:
            report(f"finished a landing that was cut off: {', '.join(finished)}")
        discard_all(session, PURPOSE)
        runs = 0
        for _ in range(_MOST_TRIES):
            session.refresh()
            attempt = _Attempt(session, builds, lock.gen, report, options, stays, runs, draw, resolved)
            try:
                return attempt.land()
            except BaseMoved:
                runs = attempt.train.test_runs
                report(f"{plan.base} moved meanwhile; making the train again")
        raise Br3Error(f"{plan.base} moved {_MOST_TRIES} times while the train was verified", hint="br3 merge")


class _Attempt:
    """One try to land on base as it is now."""

    def __init__(
        self,
        session: Session,
        builds: Sequence[Build],
        gen: int,
        report: Report,
        options: Options,
        stays: ExitStack,
        runs: int = 0,
        draw: Draw = lambda _: None,
        resolved: Mapping[str, Resolved] = MappingProxyType({}),
    ) -> None:
        self.resolved, self.draw, self.stays = resolved, draw, stays
        self.session, self.builds, self.gen, self.report, self.options = session, builds, gen, report, options
        git, plan = session.repository.git, session.plan
        base = tip_of_base(session)
        self.git, self.plan, self.old = git, plan, base
        self.onto = plan.base
        self.train = Train(plan.base, base, base, test_runs=runs)
        self.needs = {build.id: needs_closure(plan, build.id) for build in plan.builds}
        self.commits: dict[str, CommitId] = {}
        self.method: Method = (
            "one-by-one" if options.one_by_one else method_for(session.events, window_of(plan), len(builds))
        )

    def foresee(self) -> Train:
        """What would happen; nothing does."""
        boarding, stack = self._board(look_only=True)
        order, refused = self._arrange(boarding, stack)
        self._aside_conflicts(refused)
        made = stack.at(order)
        if order:
            try_checkouts(checkouts_of(self.session.repository, self.plan.base), self.old, made.commit)
        candidates = tuple(
            want.candidate for want in decide(order, Verdicts(), window=window_of(self.plan), method=self.method).wants
        )
        passed = {e.data.get("tree") for e in self.session.events if e.kind == "quality.passed" and e.build is None}
        self.train.foreseen = Foreseen(
            order,
            {one.id: passenger(self.session, one).strategy for one in boarding.ready if one.id in order},
            tuple(boarding.unverified),
            self.method,
            candidates,
            sum(stack.at(candidate).tree in passed for candidate in candidates),
            upstream.followed(self.session)[0].removeprefix("refs/remotes/") if self.plan.landing.fetch else None,
        )
        return self.train

    def land(self) -> Train:
        """Land what passes. Raises BaseMoved when base is somewhere else by then."""
        session, train = self.session, self.train
        checkouts = checkouts_of(session.repository, self.plan.base)
        boarding, stack = self._board(look_only=False)
        train.test_runs += boarding.test_runs
        with Testing(
            session, stack, gen=self.gen, again=self.options.again, report=self.report, draw=self.draw
        ) as testing:
            if boarding.ready:
                testing.prepare()
            order, refused = self._arrange(boarding, stack)
            window = window_of(self.plan)
            self._say("landing.started", base_commit=self.old, order=list(order), method=self.method, window=window)
            for aside in train.aside:
                self._tell_aside(aside)
            if not order:
                self._aside_conflicts(refused)
                return self._nothing()
            try_checkouts(checkouts, self.old, stack.at(order).commit)  # before minutes go into a verification in vain
            try:
                settled, refused, decision = self._search(testing, stack, boarding, order, refused)
            finally:
                train.test_runs += testing.runs
                testing.runs = 0
            self._aside_conflicts(refused)
            culprits = diagnosing.asides(decision.aside, testing, session)
            for aside in culprits:
                self._put_aside(aside)
            if not settled:
                return self._none_passed(decision, testing)
            tested = testing.last[settled]
            self._hold_to_minima(settled, tested)
            made = stack.signed(settled) if merges.signs(self.git) else stack.at(settled)
            if self.plan.landing.fetch and upstream.moved(session, stack.base):
                raise BaseMoved
            self._move(settled, made, checkouts)
            train.tests = tested.tests
            before = testing.runs
            for aside in diagnosing.pairs(decision.aside, testing, session):
                train.aside = [aside if other.id == aside.id else other for other in train.aside]
                self._tell_aside(aside)
            train.test_runs += testing.runs - before
        return train

    def _board(self, *, look_only: bool) -> tuple[Boarding, Stack]:
        """Who boards, and what they are stacked on; who cannot is in the train by then."""
        session, train = self.session, self.train
        top = self.old
        if self.plan.landing.fetch:
            top = upstream.taken_in(session, self.old, fetch=not look_only)
            if top != self.old:
                self.onto = upstream.followed(session)[0].removeprefix("refs/remotes/")
        boarding = board(session, self.builds, self.report, look_only=look_only, resolved=self.resolved)
        train.before, train.aside = boarding.before, boarding.aside
        self.commits = {one.id: one.commit for one in boarding.ready if one.commit is not None}
        # Merge drivers of .gitattributes count as they would in a checkout of base.
        git = self.stays.enter_context(merges.attributed(self.git, merges.attributes_of(self.git, top)))
        return boarding, Stack(git, top, self.plan.base, [passenger(session, one) for one in boarding.ready])

    def _arrange(self, boarding: Boarding, stack: Stack) -> tuple[Candidate, list[Conflicting]]:
        """The order in which they can be stacked, and what conflicts."""
        return stack.arrange([one.id for one in boarding.ready], self.needs)

    def _search(
        self, testing: Testing, stack: Stack, boarding: Boarding, order: Candidate, refused: list[Conflicting]
    ) -> tuple[Candidate, list[Conflicting], Decision]:
        """The candidate that lands. What conflicted only with a build that is put aside gets another chance."""
        gone: set[str] = set()
        culprits: list[Any] = []
        while True:
            decision = testing.settle(
                order, self.needs, self.method, lambda decision: diagnosing.alone(decision, testing, self.session)
            )
            for candidate in decision.needs_later:
                self._say("landing.needs_later", "warning", builds=list(candidate), passes_in=list(decision.settled))
            culprits += [one for one in decision.aside if one.id not in gone]
            gone |= {build for one in decision.aside for build in (one.id, *one.dependents)}
            left = [one.id for one in boarding.ready if one.id not in gone]
            order, refused = stack.arrange(left, self.needs)
            if order == decision.settled or decision.base_fails:
                to_blame = () if decision.base_fails else tuple(culprits)
                whole = Decision(decision.settled, to_blame, (), base_fails=decision.base_fails)
                return decision.settled, refused, whole

    def _none_passed(self, decision: Decision, testing: Testing) -> Train:
        if decision.base_fails:
            tested = testing.last[()]
            raise self._failed(f"{self.plan.base} itself fails the verification: {tested.reason}", tested, None)
        return self._nothing()

    def _nothing(self) -> Train:
        reason = "no build can land" if self.train.aside else "nothing to land"
        self._say("landing.abandoned", reason=reason)
        return self.train

    def _hold_to_minima(self, settled: Candidate, tested: Tested) -> None:
        """What lands must show what [verify] asks of the whole."""
        wanted = verification_of(self.session, [self.plan.build(build) for build in settled])
        short = short_of(wanted, tested.tests["passed"] if tested.tests else None, tested.coverage)
        if short:
            fewer = "; the minima of [verify] are for the whole plan landed together"
            more = fewer if len(settled) < len(self.plan.builds) else ""
            raise self._failed(f"{named(settled, self.plan.base)} would land, but: {short}", tested, more)

    def _failed(self, reason: str, tested: Tested, more: str | None) -> CandidateFailed:
        self._say("landing.abandoned", "error", reason=reason)
        shown = [f"    {line}" for line in tested.ending.split("\n")] if tested.ending else []
        aside = [f"put aside before: {a.id}: {a.reason}" for a in self.train.aside]
        hint = (
            f"mend {'what was put aside, or ' if aside else ''}a build, and verify it again{more}"
            if more is not None
            else f"mend {self.plan.base}, or see whether the verification is right; then br3 merge --again"
        )
        log = [f"log: {tested.log}"] if tested.log else []
        return CandidateFailed("\n".join([f"nothing landed: {reason}", *aside, *shown, *log]), hint=hint)

    def _move(self, settled: Candidate, made: Made, checkouts: Sequence[Any]) -> None:
        session = self.session
        before = f"refs/br3/landed/{session.run}/before"
        there = refs.resolve(self.git, before) or NULL_ID
        step = Move(
            base=self.plan.base,
            old=self.old,
            new=made.commit,
            builds={build: self.commits[build] for build in settled},
            landed_as=made.landed_as,
            also=((before, self.old, there),),
        )
        move(self.git, step, checkouts, session.journal, run=session.run, gen=self.gen)
        self.train.base_after = made.commit
        # Not what was meant to land: what base contains now.
        inside = refs.contained(self.git, made.landed_as.values(), f"refs/heads/{self.plan.base}")
        self.train.landed = [build for build in settled if made.landed_as[build] in inside]

    def _aside_conflicts(self, refused: Sequence[Conflicting]) -> None:
        for one in refused:
            cause = "conflict" if one.against or one.files else "needs"
            # What it conflicts with is on base by the time that anybody reads this, but for a dry run.
            # Where nothing lands, base itself has not got what its upstream has.
            onto = self.onto if one.against == (self.plan.base,) else self.plan.base
            todo = diagnosing.to_resolve(onto) if one.files and one.against else None
            if todo and self.options.dry_run and self.plan.base not in one.against:
                has = "has" if len(one.against) == 1 else "have"
                todo = f"once {named(one.against, self.plan.base)} {has} landed, {todo}"
            self._put_aside(Aside(one.build, one.reason, one.against, one.files, cause=cause, next=todo))

    def _put_aside(self, aside: Aside) -> None:
        self.train.aside.append(aside)
        if not self.options.dry_run:
            self._tell_aside(aside)

    def _tell_aside(self, aside: Aside) -> None:
        facts = aside.as_json()
        facts.pop("id")
        self.session.journal.append(
            "landing.aside",
            "warning",
            run=self.session.run,
            build=aside.id,
            gen=self.gen,
            commit=self.commits.get(aside.id),
            **facts,
        )

    def _say(self, kind: str, severity: str = "info", **facts: Any) -> None:
        self.session.journal.append(kind, severity, run=self.session.run, gen=self.gen, base=self.plan.base, **facts)


def method_for(events: Sequence[Event], window: int, builds: int) -> Method:
    """The method that suits a train of so many builds, by how often builds have failed on the last trains."""
    started = sorted((e for e in events if e.kind == "landing.started"), key=lambda e: e.ts)[-20:]
    aboard = sum(len(e.data.get("order") or ()) for e in started)
    if aboard < _FEWEST_SEEN:
        return "prefix"
    since = started[0].ts
    failed = {
        (e.build, e.data.get("commit"))
        for e in events
        if e.kind == "landing.aside" and e.ts >= since and e.data.get("cause") == "verification"
    }
    return "window" if len(failed) / aboard > window_pays_from(builds, window) else "prefix"
