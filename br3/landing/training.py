"""The train: verified builds merged one on top of the other as objects, verified as a whole, landed in one step.

This is its plain form: one candidate, the one that contains everything. A build that conflicts is put aside; when the
candidate's verification fails, nothing lands.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from br3.dispatch.sessions import Session
from br3.dispatch.standing import Standing, standings
from br3.errors import Br3Error
from br3.landing import guarding
from br3.landing.moving import BaseMoved, Move, checkouts_of, move, recover, try_checkouts
from br3.landing.scratch import scratch_environment, scratch_worktree
from br3.orchestrator import verdicts
from br3.orchestrator.building import open_work, run_verification
from br3.orchestrator.verification import Verdict, verify
from br3.plan.model import DEFAULT_TIMEOUT_S, Build, Verify
from br3.plan.order import landing_order
from br3.repo import merges, refs, snapshots
from br3.repo.refs import CommitId
from br3.telemetry import Lock, LockHeld, read_events
from br3.workspace.children import tail

_MOST_TRIES = 3


@dataclass(frozen=True)
class Aside:
    """A build that does not land, why, with which builds it conflicts, in which files, and where to look."""

    id: str
    reason: str
    against: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    log: str | None = None

    def as_json(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "reason": self.reason,
            "with": list(self.against),
            "files": list(self.files),
            "log": self.log,
        }


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
    verdict: Verdict | None = None

    def as_json(self) -> dict[str, Any]:
        """The shape of ``merge --json`` (DESIGN §9)."""
        return {
            "base_before": self.base_before,
            "base_after": self.base_after,
            "landed": self.landed,
            "already_landed": self.before,
            "aside": [a.as_json() for a in self.aside],
            "test_runs": self.test_runs,
        }


class CandidateFailed(Br3Error):
    """What would land does not pass the plan's verification; base stays where it is."""


def merge(session: Session, builds: Sequence[Build], report: Callable[[str], None] = lambda _: None) -> Train:
    """Land the verified ones of ``builds``. Raises CandidateFailed, Refused, LockHeld."""
    plan = session.plan
    with Lock(session.common_dir, "base", plan.base).acquire(wait_s=1) as lock:
        session.refresh()
        finished = recover(session.repository, plan.base, session.events, session.journal, gen=lock.gen)
        if finished:
            report(f"finished a landing that was cut off: {', '.join(finished)}")
            session.refresh()
        for _ in range(_MOST_TRIES):
            try:
                return _train(session, builds, lock.gen, report)
            except BaseMoved:
                report(f"{plan.base} moved meanwhile; making the train again")
        raise Br3Error(f"{plan.base} moved {_MOST_TRIES} times while the train was verified", hint="br3 merge")


def _train(session: Session, builds: Sequence[Build], gen: int, report: Callable[[str], None]) -> Train:
    git, plan, journal = session.repository.git, session.plan, session.journal
    base = refs.resolve(git, f"refs/heads/{plan.base}")
    if base is None:
        raise Br3Error(f"the base branch {plan.base} is gone", hint=f"git branch {plan.base} COMMIT")
    checkouts = checkouts_of(session.repository, plan.base)
    train = Train(plan.base, base, base)
    found = standings(session)
    ready = _ready(session, found, builds, train, report)
    order = [standing.id for standing in ready]
    journal.append("landing.started", run=session.run, gen=gen, base=plan.base, base_commit=base, order=order)
    top, stacked = _stack(session, ready, base, train)
    commits = {standing.id: standing.commit for standing in found}
    for aside in train.aside:
        facts = {**aside.as_json(), "commit": commits[aside.id]}
        facts.pop("id")
        journal.append("landing.aside", "warning", run=session.run, build=aside.id, gen=gen, **facts)
    if not stacked:
        reason = "no build can land" if train.aside else "nothing to land"
        journal.append("landing.abandoned", run=session.run, gen=gen, reason=reason)
        return train
    try_checkouts(checkouts, base, top)  # before minutes go into a verification that could not be used
    _verify_candidate(session, top, [plan.build(build_id) for build_id in stacked], train, gen, report)
    move(git, Move(plan.base, base, top, stacked), checkouts, journal, run=session.run, gen=gen)
    train.base_after, train.landed = top, list(stacked)
    return train


def _ready(
    session: Session,
    found: Sequence[Standing],
    builds: Sequence[Build],
    train: Train,
    report: Callable[[str], None],
) -> list[Standing]:
    """The builds that may board, in landing order; the others are noted in the train."""
    wanted = {build.id for build in builds}
    ready: list[Standing] = []
    aboard: set[str] = set()
    standing_of = {s.id: s for s in found}
    for build in landing_order(session.plan):
        standing = standing_of[build.id]
        if standing.landed:
            aboard.add(build.id)
            if build.id in wanted:
                train.before.append(build.id)
            continue
        if build.id not in wanted:
            continue
        missing = [needed for needed in build.needs if needed not in aboard]
        reason, log = (f"it needs {', '.join(missing)}, which does not land", None) if missing else ("", None)
        if not reason:
            reason, log = _obstacle(session, standing, train, report)
        if reason:
            train.aside.append(Aside(build.id, reason, log=log))
        else:
            aboard.add(build.id)
            ready.append(standing)
    return ready


def _obstacle(
    session: Session, standing: Standing, train: Train, report: Callable[[str], None]
) -> tuple[str, str | None]:
    """Why a build may not land, and a log; empty when it may. What has no verdict is verified now."""
    view = standing.view
    if standing.alive:
        return "it is still being worked on", None
    if not standing.has_work:
        return ("it has no commits yet" if standing.branch_exists else "it has not been started"), None
    if standing.dirty:
        return f"uncommitted changes in {standing.worktree}: {', '.join(standing.dirty[:5])}", None
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
    if standing.passed:
        return "", None
    if standing.verdict is not None or (view.state not in ("verified",) and not standing.build.manual):
        reason = view.reason or f"it is {view.state}"
        if standing.verdict is not None:
            reason = str(standing.verdict.data.get("reason") or reason)
        return f"not verified: {reason} (br3 verify {standing.id} tries again)", view.log
    if not standing.present:
        return "not verified, and its worktree is gone", None
    report(f"verifying {standing.id}: its branch has no verdict yet")
    try:
        verdict, directory = verify_build(session, standing)
    except LockHeld:
        return "it is being worked on", None
    train.test_runs += 1
    if verdict.passed:
        return "", None
    return f"not verified: {verdict.reason}", str(verdict.failing.log if verdict.failing else directory)


def verify_build(session: Session, standing: Standing) -> tuple[Verdict, Path]:
    """Verify a build's tip in its worktree, under its lock; the state of a manual build follows the verdict."""
    build = standing.build
    with Lock(session.common_dir, "build", build.id).acquire() as lock:
        work = open_work(session.common_dir, session.run, build.id, gen=lock.gen)
        commit, tree = standing.commit, standing.tree
        assert commit is not None and tree is not None
        moves = build.manual and not work.view.ended
        if moves and work.view.state in ("pending", "preparing"):
            work.say("build.started", start=standing.start, branch=build.branch, worktree=str(standing.worktree))
        if moves:
            work.say("build.verifying", commit=commit)
        verdict, directory = run_verification(work, commit, work.verdict_key(tree))
        if moves and verdict.passed:
            work.say("build.verified", commit=commit, tree=tree)
        elif moves:
            work.say("build.repairing", "warning", reason=verdict.reason)
        return verdict, directory


def _stack(
    session: Session, ready: Sequence[Standing], base: CommitId, train: Train
) -> tuple[CommitId, dict[str, CommitId]]:
    """Merge commits, one on top of the other, for all that merge cleanly; what conflicts is noted in the train."""
    git = session.repository.git
    top = base
    stacked: dict[str, CommitId] = {}
    for standing in ready:
        build = standing.build
        commit = standing.commit
        assert commit is not None
        missing = [needed for needed in build.needs if any(a.id == needed for a in train.aside)]
        if missing:
            train.aside.append(Aside(build.id, f"it needs {', '.join(missing)}, which was put aside"))
            continue
        merged = merges.merge_trees(git, top, commit)
        if not merged.clean:
            against = _conflicts_with(session, commit, base, stacked)
            files = merged.conflicts
            reason = f"conflicts with {' and '.join(against)} in {', '.join(files[:8])}"
            train.aside.append(Aside(build.id, reason, against, files))
            continue
        title = build.message or f"Merge build {build.id}: {build.title}"
        message = merges.with_trailers(git, title, _trailers(session, standing))
        top = merges.commit(git, merged.tree, [top, commit], message)
        stacked[build.id] = commit
    return top, stacked


def _conflicts_with(
    session: Session, commit: CommitId, base: CommitId, stacked: dict[str, CommitId]
) -> tuple[str, ...]:
    git = session.repository.git
    if not merges.merge_trees(git, base, commit).clean:
        return (session.plan.base,)
    pairs = tuple(other for other, tip in stacked.items() if not merges.merge_trees(git, tip, commit).clean)
    return pairs or tuple(stacked)


def _trailers(session: Session, standing: Standing) -> dict[str, str]:
    return {
        "Br3-Build": standing.id,
        "Br3-Run": session.run,
        "Br3-Model": ", ".join(standing.models) or "unknown",
        "Br3-Cost-Usd": "unknown" if standing.cost_usd is None else f"{standing.cost_usd:f}",
        "Br3-Tokens": "unknown" if standing.tokens is None else str(standing.tokens),
    }


def verification_of(session: Session, builds: Sequence[Build]) -> Verify:
    """What a candidate that contains ``builds`` is held to: the plan's [verify]; without one, all that the builds
    are held to themselves, since two green branches can make a red one."""
    if session.plan.verify.run:
        return session.plan.verify
    return Verify(run=tuple(dict.fromkeys(command for build in builds for command in build.verify.run)))


def _verify_candidate(
    session: Session,
    commit: CommitId,
    builds: Sequence[Build],
    train: Train,
    gen: int,
    report: Callable[[str], None],
) -> None:
    git, plan = session.repository.git, session.plan
    wanted = verification_of(session, builds)
    tree = refs.tree_of(git, commit)
    setups = [*plan.setup.run, *(command for build in builds for command in build.setup)]
    with scratch_worktree(session, "train", commit, builds, report) as path:
        key = verdicts.key(tree, wanted, setups, path)
        known = verdicts.find(read_events(session.common_dir), key)
        # Only what passed in a throw-away worktree counts: a build's own may hold ignored files that no clone has.
        if known is not None and known.kind == "quality.passed" and known.build is None:
            report("this very tree has passed already")
            return
        directory = session.run_dir / "_train" / commit[:12]
        verdict = verify(
            wanted,
            worktree=path,
            environment=lambda: scratch_environment(session, path, "train"),
            directory=directory,
            timeout_s=max((build.timeout_s for build in builds), default=DEFAULT_TIMEOUT_S),
            excludes=session.excludes if session.excludes.exists() else None,
            report=lambda command: report(f"verifying what would land ({', '.join(b.id for b in builds)}): {command}"),
        )
    train.test_runs += 1
    train.verdict = verdict
    session.journal.append(
        "quality.passed" if verdict.passed else "quality.failed",
        "info" if verdict.passed else "error",
        run=session.run,
        gen=gen,
        tree=key.tree,
        commit=commit,
        commands=key.commands,
        environment=key.environment,
        **verdict.as_data(),
    )
    if not verdict.passed:
        names = [build.id for build in builds]
        fail = "together fail" if len(names) > 1 else "on top of base fails"
        reason = f"{', '.join(names)} {fail} the verification: {verdict.reason}"
        session.journal.append("landing.abandoned", "error", run=session.run, gen=gen, reason=reason)
        log = verdict.failing.log if verdict.failing else directory
        ending = session.journal.redact(tail(log)) if verdict.failing else ""
        shown = [f"    {line}" for line in ending.split("\n")] if ending else []
        aside = [f"put aside before: {a.id}: {a.reason}" for a in train.aside]
        fewer = f", or land fewer: br3 merge {' '.join(names[:-1])}" if len(names) > 1 else ""
        if verdict.failing is None and len(names) < len(session.plan.builds):
            fewer += "; the minima of [verify] are for the whole plan landed together"
        raise CandidateFailed(
            "\n".join([f"nothing landed: {reason}", *aside, *shown, f"log: {log}"]),
            hint=f"mend {'what was put aside, or ' if aside else ''}a build, and verify it again{fewer}",
        )
