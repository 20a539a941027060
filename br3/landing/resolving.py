"""Conflicts handed to an agent, where the plan says ``[landing] on_conflict = "agent"``.

A build that conflicts with what has landed is merged with base as objects, conflict markers and all, and an agent
resolves them in a fresh worktree, under a run of its own (so budgets, retries, sandbox and journal are those of any
build). What passes the build's verification lands as a merge of base into the build's branch, which itself stays as it
is. Once for each pair: what an agent could not resolve is left to people.
"""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from br3.dispatch.dispatching import Dispatcher
from br3.dispatch.requirements import missing_agents
from br3.dispatch.sessions import Session, beside, find, tip_of_base
from br3.dispatch.standing import Standing, standings
from br3.errors import Br3Error, Interrupted, UsageError
from br3.landing.boarding import Aside, Resolved
from br3.plan.model import Build, Criterion, Plan, Release, Task, Verify
from br3.repo import merges, refs, worktrees
from br3.repo.refs import CommitId
from br3.telemetry import BuildView, Event, Lock, LockHeld

Report = Callable[[str], None]
_MARKERS = ("<" * 7, ">" * 7)


def resolve(session: Session, asides: Sequence[Aside], report: Report) -> tuple[dict[str, Resolved], list[Aside]]:
    """Have an agent resolve each conflict; what came of it, and the builds that stay put aside, with the reason.

    Raises Interrupted. The base's lock is not held: this may take long.
    """
    try:
        with Lock(session.common_dir, "resolving", session.plan.base).acquire() as lock:
            session.refresh()
            return _resolve_all(session, asides, lock.gen, report)
    except LockHeld:
        busy = "another br3 merge has an agent resolve it"
        return {}, [dataclasses.replace(aside, reason=f"{aside.reason}; {busy}") for aside in asides]


def _resolve_all(
    session: Session, asides: Sequence[Aside], gen: int, report: Report
) -> tuple[dict[str, Resolved], list[Aside]]:
    resolved: dict[str, Resolved] = {}
    left: list[Aside] = []
    standing_of = {standing.id: standing for standing in standings(session)}
    for aside in asides:
        try:
            resolved[aside.id] = _resolve(session, aside, standing_of, gen, report)
        except Interrupted:
            raise
        except Br3Error as error:
            left.append(dataclasses.replace(aside, reason=f"{aside.reason}; {error.message}"))
    return resolved, left


def _resolve(session: Session, aside: Aside, standing_of: Mapping[str, Standing], gen: int, report: Report) -> Resolved:
    plan = session.plan
    build, tip = plan.build(aside.id), standing_of[aside.id].commit
    if build.manual or tip is None:
        raise Br3Error("it has no agent that could resolve it")
    sides = _sides(session, aside, standing_of)
    before = _earlier(session, build, sides)
    if before is not None:
        child = find(session.repository, str(before.data["child"]))
        assert child is not None
    else:
        child = _begin(session, build, tip, aside, sides, gen)
    mine = child.plan.builds[0]
    facts = next(e for e in reversed(session.events) if e.data.get("child") == child.run)
    view = child.build_view(mine.id)
    if not view.ended:
        missing_agents(child.plan, child.plan.builds)
        report(f"{build.id}: an agent resolves its conflicts with {' and '.join(sides) or plan.base}")
        outcome = Dispatcher(child, child.plan.builds, _Heard(build.id, report), jobs=1).run()
        if outcome.state == "cancelled":
            raise Interrupted("the resolving of conflicts was stopped", hint="br3 merge goes on from here")
        child.refresh()
        view = outcome.builds[mine.id]
    if view.state != "verified" or view.commit is None:
        where = f" (its worktree: {child.worktrees[mine.id]})" if child.worktrees[mine.id].is_dir() else ""
        raise Br3Error(f"an agent could not resolve it, and is asked once only: {view.reason}{where}")
    return _finish(session, child, view, build, CommitId(facts.data["commit"]), CommitId(facts.data["base_commit"]))


def _sides(session: Session, aside: Aside, standing_of: Mapping[str, Standing]) -> tuple[str, ...]:
    """The builds on base that have changed the files in conflict; the other side of the pair."""
    git = session.repository.git
    found = []
    for other in standing_of.values():
        if other.landed and other.start and other.commit and other.id != aside.id:
            changed = git("diff-tree", "-r", "-z", "--name-only", "--no-renames", other.start, other.commit).fields
            if set(changed) & set(aside.files):
                found.append(other.id)
    return tuple(sorted(found))


def _earlier(session: Session, build: Build, sides: Sequence[str]) -> Event | None:
    """The attempt at this very pair that was made already; one that a person stopped does not count."""
    chain = {run.id for run in session.chain}
    mine = [e for e in session.events if e.kind == "landing.resolving" and e.build == build.id]
    for event in sorted(mine, key=lambda e: e.order, reverse=True):
        if event.run in chain:
            child = session.runs.get(str(event.data.get("child")))
            stopped = child is not None and any(view.state == "cancelled" for view in child.builds.values())
            if tuple(event.data.get("with") or ()) == tuple(sides) and child is not None and not stopped:
                return event
    return None


def _begin(session: Session, build: Build, tip: CommitId, aside: Aside, sides: Sequence[str], gen: int) -> Session:
    git, plan = session.repository.git, session.plan
    base = tip_of_base(session)
    merged = merges.merge_trees(git, base, tip)
    if merged.clean:
        raise Br3Error(f"it merges with {plan.base} as it is now", hint="br3 merge")
    start = merges.commit(git, merged.tree, [tip, base], f"Merge {plan.base} into {build.branch}, in conflict\n")
    number = 1 + sum(e.kind == "landing.resolving" and e.build == build.id for e in session.events)
    child = beside(session, _plan(session, build, number, merged.conflicts, aside, sides), start)
    facts: dict[str, Any] = {"child": child.run, "commit": tip, "base_commit": base}
    facts |= {"files": list(merged.conflicts), "with": list(sides)}
    session.journal.append("landing.resolving", run=session.run, build=build.id, gen=gen, **facts)
    session.refresh()
    return child


def _plan(
    session: Session, build: Build, number: int, files: Sequence[str], aside: Aside, sides: Sequence[str]
) -> Plan:
    """A plan of one build with one task: to resolve the conflicts."""
    plan = session.plan
    names = {other.id.casefold() for other in plan.builds}
    name = f"{build.id[:48]}-resolve-{number}"
    while name.casefold() in names:
        name += "x"
    last = build.tasks[-1]
    task = Task(
        id="resolve",
        title="Resolve the conflicts",
        prompt=_prompt(plan, build, files, sides),
        agent=last.agent,
        command=last.command,
        model=last.model,
        policy=last.policy,
    )
    markers = " ".join(f"-e '^{marker} '" for marker in _MARKERS)
    none_left = f"! git grep -n {markers} -- {' '.join(shlex.quote(f':(literal){path}') for path in files)}"
    mine = dataclasses.replace(
        build,
        id=name,
        title=f"Conflicts of {build.id} with {' and '.join(sides) or plan.base}",
        branch=f"br3-resolve/{name}",
        worktree=name,
        tasks=(task,),
        verify=dataclasses.replace(build.verify, run=(none_left, *build.verify.run)),
        prompt="",
        message=None,
        owns=(),
        deliverables=(),
        after=(),
        needs=(),
    )
    no_criteria: tuple[Criterion, ...] = ()
    return dataclasses.replace(
        plan,
        name=f"{plan.name}: {mine.title}",
        builds=(mine,),
        budget_usd=_left_usd(session),
        verify=Verify(),
        release=Release(),
        criteria=no_criteria,
    )


def _left_usd(session: Session) -> str | None:
    """What the run may still spend."""
    if session.plan.budget_usd is None:
        return None
    costs = [a.cost_usd for run in session.chain for view in run.builds.values() for a in view.attempts]
    left = Decimal(session.plan.budget_usd) - sum((cost for cost in costs if cost is not None), Decimal(0))
    if left <= 0:
        raise UsageError("the run's budget is spent, so no agent resolves it")
    return f"{left:f}"


def _prompt(plan: Plan, build: Build, files: Sequence[str], sides: Sequence[str]) -> str:
    others = " and ".join(f"`{side}`" for side in sides)
    landed = f"where {others} landed meanwhile" if sides else "which has moved on meanwhile"
    parts = [
        f"The build `{build.id}` is to land on `{plan.base}`, {landed}. In this worktree both are merged already; "
        "where they contradict each other the files hold conflict markers, or one side has changed what the other "
        "removed. Resolve every conflict so that both sides do what they were meant to do. Leave no conflict marker, "
        "drop neither side's work, and change nothing that the conflicts do not ask for.",
        "Files in conflict:\n\n" + "\n".join(f"- {path}" for path in files),
    ]
    for side in [build, *(plan.build(name) for name in sides)]:
        texts = [side.prompt.strip(), *(f"{task.title}: {task.prompt.strip()}" for task in side.tasks if task.prompt)]
        parts.append(f"### What `{side.id}` ({side.title}) was to do\n\n" + "\n\n".join(text for text in texts if text))
    return "\n\n".join(parts)


def _finish(session: Session, child: Session, view: BuildView, build: Build, tip: CommitId, base: CommitId) -> Resolved:
    """One merge commit of what was resolved, kept by a ref; the worktree and the branch of the resolving go."""
    git, mine = session.repository.git, child.plan.builds[0]
    made = CommitId(str(view.commit))
    tree = refs.tree_of(git, made)
    passed = [e for e in child.events if e.build == mine.id and e.kind == "quality.passed" and e.data["tree"] == tree]
    if not passed:
        raise Br3Error("what an agent resolved has no verdict that passed")
    message = f"Merge {session.plan.base} into {build.branch}, conflicts resolved\n"
    text = merges.with_trailers(git, message, {"Br3-Build": build.id, "Br3-Run": child.run})
    commit = merges.commit(git, tree, [tip, base], text)
    git("update-ref", f"refs/br3/resolved/{child.run}", commit)
    path = child.worktrees[mine.id]
    if path.is_dir() and not worktrees.uncommitted(path, child.excludes):
        worktrees.remove(git, path)
        worktrees.empty_trash(path.parent)
        refs.delete(git, f"refs/heads/{mine.branch}", made)
    return Resolved(commit, passed[-1])


class _Heard:
    """What is heard of the agent's work, as steps of the merge."""

    def __init__(self, build: str, report: Report) -> None:
        self._build = build
        self._report = report

    def event(self, event: Event) -> None:
        if event.kind in ("attempt.started", "quality.passed", "quality.failed", "build.failed"):
            reason = event.data.get("reason")
            self._report(f"{self._build}: {event.kind.replace('.', ' ')}{f': {reason}' if reason else ''}")

    def preparing(self, build: str, step: str) -> None:
        """Too short to tell."""

    def waiting(self, build: str, why: str) -> None:
        self._report(f"{self._build}: {why}")

    def tick(self, builds: Mapping[str, BuildView]) -> None:
        """Nothing to redraw."""

    def doing(self, build: str, activity: str) -> None:
        self._report(f"{self._build}: {activity}")
