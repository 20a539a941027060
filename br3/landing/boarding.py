"""Who boards the train: builds with work that is verified, whole, and within what the guard lets pass."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from shlex import quote
from types import MappingProxyType
from typing import Any

from br3.dispatch import attending
from br3.dispatch.sessions import Session
from br3.dispatch.standing import Standing, standings
from br3.landing import guarding
from br3.landing.stacking import Passenger
from br3.orchestrator.recording import Elsewhere, run_verification, see_commit
from br3.orchestrator.verification import Verdict
from br3.orchestrator.working import open_work
from br3.plan.model import Build
from br3.plan.order import landing_order
from br3.repo import snapshots
from br3.repo.refs import CommitId
from br3.telemetry import Event, Lock, LockHeld
from br3.wording import listed

Report = Callable[[str], None]


@dataclass(frozen=True)
class Aside:
    """A build that does not land, why, with which builds, in which files, and where to look.

    ``cause``: ``boarding`` (it never came aboard), ``conflict``, ``verification``, or ``needs`` (what it needs does
    not land). ``next``: what to do before it is verified again.
    """

    id: str
    reason: str
    against: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    log: str | None = None
    cause: str = "boarding"
    next: str | None = None

    def as_json(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "reason": self.reason,
            "with": list(self.against),
            "files": list(self.files),
            "log": self.log,
            "cause": self.cause,
            "next": self.next,
        }


@dataclass(frozen=True)
class Resolved:
    """A build's work merged with base, conflicts resolved, and the verdict that its tree passed."""

    commit: CommitId
    verdict: Event


@dataclass
class Boarding:
    """Who is ready, in landing order, who is not and why, and what is on base ``before``. ``test_runs``: of builds
    that had no verdict yet."""

    ready: list[Standing] = field(default_factory=list)
    aside: list[Aside] = field(default_factory=list)
    before: list[str] = field(default_factory=list)
    unverified: list[str] = field(default_factory=list)
    """Ready but for a verdict (only when nothing is to be verified)."""
    test_runs: int = 0


def board(
    session: Session,
    builds: Sequence[Build],
    report: Report,
    *,
    look_only: bool = False,
    resolved: Mapping[str, Resolved] = MappingProxyType({}),
) -> Boarding:
    """See which of ``builds`` can land now; what has no verdict yet is verified, unless ``look_only``.

    ``resolved``: of builds that conflicted, what is to land of them instead.
    """
    boarding = Boarding()
    wanted = {build.id for build in builds}
    aboard: set[str] = set()
    standing_of = {standing.id: standing for standing in standings(session)}
    for build in landing_order(session.plan):
        standing = standing_of[build.id]
        if standing.landed:
            aboard.add(build.id)
            if build.id in wanted:
                boarding.before.append(build.id)
            continue
        if build.id not in wanted:
            continue
        missing = [needed for needed in build.needs if needed not in aboard]
        if missing:
            reason = f"it needs {', '.join(missing)}, which does not land"
            boarding.aside.append(Aside(build.id, reason, cause="needs"))
            continue
        if build.id in resolved:
            standing = dataclasses.replace(
                standing, commit=resolved[build.id].commit, verdict=resolved[build.id].verdict
            )
        reason, log = _obstacle(session, standing, boarding, report, look_only=look_only)
        if reason:
            boarding.aside.append(Aside(build.id, reason, log=log))
        else:
            aboard.add(build.id)
            boarding.ready.append(standing)
    return boarding


def passenger(session: Session, standing: Standing) -> Passenger:
    """The build as it is stacked. What others need lands as a merge: their histories contain its commits."""
    assert standing.commit is not None
    needed = any(standing.id in other.needs for other in session.plan.builds)
    trailers = {
        "Br3-Build": standing.id,
        "Br3-Run": session.run,
        "Br3-Model": ", ".join(standing.models) or "unknown",
        "Br3-Cost-Usd": "unknown" if standing.cost_usd is None else f"{standing.cost_usd:f}",
        "Br3-Tokens": "unknown" if standing.tokens is None else str(standing.tokens),
    }
    return Passenger(standing.build, standing.commit, "merge" if needed else standing.build.strategy, trailers)


def _obstacle(
    session: Session, standing: Standing, boarding: Boarding, report: Report, *, look_only: bool
) -> tuple[str, str | None]:
    """Why a build may not land, and a log; empty when it may."""
    view = standing.view
    if standing.alive:
        return "it is still being worked on", None
    if standing.lost:
        back = f"git branch {quote(standing.build.branch)} {standing.lost[:12]}"
        return f"its branch is gone; its work is {standing.lost[:12]}: {back}", None
    if not standing.has_work:
        if view.state in ("failed", "cancelled", "skipped"):
            return f"it has no commits: it is {view.state}{f', {view.reason}' if view.reason else ''}", None
        return ("it has no commits yet" if standing.branch_exists else "it has not been started"), None
    if standing.dirty:
        return f"uncommitted changes in {standing.worktree}: {listed(standing.dirty)}", None
    if standing.start and standing.commit:
        droppings = snapshots.new_droppings(session.repository.git, standing.start, standing.commit)
        if droppings:
            return f"it would land what set-up makes: {', '.join(droppings)}; take it out of its commits", None
        fault = guarding.fault_of(
            session.repository,
            standing.id,
            run=session.run,
            base=session.plan.base,
            start=standing.start,
            commit=standing.commit,
            journal=session.journal,
        )
        if fault:
            return fault, None
        if not guarding.installed(session.repository) and (strange := guarding.not_owned(session, standing)):
            report(f"warning: {standing.id} {strange}")
    if standing.passed:
        return "", None
    if standing.verdict is not None or (view.state not in ("verified",) and not standing.build.manual):
        reason = view.reason or f"it is {view.state}"
        if standing.verdict is not None:
            reason = str(standing.verdict.data.get("reason") or reason)
        return f"not verified: {reason} (br3 verify {standing.id} tries again)", view.log
    if not standing.present:
        again = f"br3 up {standing.id} makes it again, br3 verify {standing.id} verifies it"
        return f"not verified, and its worktree is gone; {again}", None
    if look_only:
        boarding.unverified.append(standing.id)
        return "", None
    report(f"verifying {standing.id}: its branch has no verdict yet")
    try:
        verdict, directory = verify_build(session, standing)
    except LockHeld:
        return "it is being worked on", None
    except Elsewhere as error:
        return f"not verified: {error.message} ({error.hint})", None
    boarding.test_runs += 1
    if verdict.passed:
        return "", None
    return f"not verified: {verdict.reason}", str(verdict.failing.log if verdict.failing else directory)


def verify_build(session: Session, standing: Standing) -> tuple[Verdict, Path]:
    """Verify a build's tip in its worktree, under its lock. The state of a manual build follows the verdict, and so
    does that of a run that waited for it alone.

    Raises Elsewhere when the worktree does not stand at that tip; LockHeld.
    """
    build = standing.build
    with Lock(session.common_dir, "build", build.id).acquire() as lock:
        work = open_work(session.common_dir, session.run, build.id, gen=lock.gen)
        commit, tree = standing.commit, standing.tree
        assert commit is not None and tree is not None
        see_commit(work, commit)  # it may be a while that somebody looked
        if work.snapshot().dirty:
            raise Elsewhere(f"uncommitted changes in {work.worktree}", hint="commit them, then again")
        moves = build.manual and not work.view.ended
        if moves and work.view.state in ("pending", "preparing"):
            work.say("build.started", start=standing.start, branch=build.branch, worktree=str(standing.worktree))
        if moves:
            work.say("build.verifying", commit=commit)
        verdict, directory = run_verification(work, commit, work.verdict_key(tree))
        done = verdict.passed and (standing.has_work or standing.landed)
        if moves and done:
            work.say("build.verified", commit=commit, tree=tree)
        elif moves:
            work.say("build.repairing", "warning", reason=verdict.reason or "its branch has no commits yet")
    if moves and done:
        attending.complete(session)
    return verdict, directory
