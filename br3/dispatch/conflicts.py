"""Which builds would conflict, with base and with each other: seen while agents work, without merging anything.

Looked at are the tips of branches and, for who asks, what is uncommitted in worktrees, taken up through an index and a
store of objects that are thrown away. What two builds make of a third is not looked at: the train sees that.

Git processes: ``matrix`` those of ``standings`` and one, four for each worktree with uncommitted work, and those of
``Answers.ask``; ``known_conflicts`` one, and two more where there is a conflict.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

from br3.dispatch.conflict_answers import Answers
from br3.dispatch.sessions import Session, tip_of_base
from br3.dispatch.standing import Standing, generated, standings
from br3.errors import Br3Error
from br3.plan.model import Plan
from br3.plan.order import order_of_fewest_conflicts, put_aside
from br3.repo import merges, refs, snapshots
from br3.repo.radar import Conflict
from br3.repo.refs import CommitId
from br3.repo.runner import Git
from br3.workspace import preparing

_AT_ONCE = 4


@dataclass(frozen=True)
class Side:
    """A build as it would meet the others. ``commit`` is None while there is nothing of it.

    ``state``: landed, not begun (no branch), branch gone, no changes, or work. ``commit`` has what is ``uncommitted``
    (paths) in it, ``tip`` has not; ``problem`` says why a worktree could not be looked at.
    """

    id: str
    state: str
    tip: CommitId | None = None
    commit: CommitId | None = None
    uncommitted: tuple[str, ...] = ()
    problem: str | None = None


@dataclass(frozen=True)
class Pair:
    """Two builds, or base (``a``) and a build. ``known`` is False while one of them has nothing.

    ``uncommitted`` are the files that are in conflict only by what is uncommitted.
    """

    a: str
    b: str
    known: bool
    conflict: Conflict | None
    uncommitted: tuple[str, ...] = ()
    with_base: bool = False

    def as_json(self) -> dict[str, Any]:
        """The shape of ``conflicts --json``."""
        found = self.conflict
        return {
            "a": self.a,
            "b": self.b,
            "conflict": found is not None if self.known else None,
            "files": list(found.files) if found else [],
            "kinds": {kind: list(files) for kind, files in found.kinds.items()} if found else {},
            "uncommitted": list(self.uncommitted),
        }


@dataclass(frozen=True)
class Matrix:
    """All pairs of builds that have not landed, in plan order, and how they would best land.

    ``order`` are the builds with work; ``aside`` says of some of them which others would keep them from landing
    (empty: base does).
    """

    base: str
    base_commit: CommitId
    sides: tuple[Side, ...]
    pairs: tuple[Pair, ...]
    order: tuple[str, ...]
    aside: Mapping[str, tuple[str, ...]]

    @property
    def conflicts(self) -> list[Pair]:
        return [pair for pair in self.pairs if pair.conflict is not None]

    def as_json(self) -> dict[str, Any]:
        """The shape of ``conflicts --json``."""
        return {
            "base": self.base,
            "base_commit": self.base_commit,
            "builds": [
                {
                    "id": side.id,
                    "state": side.state,
                    "commit": side.tip,
                    "uncommitted": list(side.uncommitted),
                    "problem": side.problem,
                }
                for side in self.sides
            ],
            "pairs": [pair.as_json() for pair in self.pairs],
            "order": list(self.order),
            "aside": [{"id": name, "with": list(against) or [self.base]} for name, against in self.aside.items()],
        }


def matrix(session: Session, answers: Answers | None = None) -> Matrix:
    """All builds of the plan against base and each other, what is uncommitted included."""
    git = session.repository.git
    answers = answers or Answers(git)
    base = tip_of_base(session)
    found = standings(session)
    with merges.passing(git) as passing:
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            sides = list(pool.map(lambda standing: _side(session, standing, passing), found))
        return compared(session.plan, base, sides, answers, passing)


def tips(
    session: Session, branches: Mapping[str, refs.Branch], base: CommitId, landed: Collection[str] = ()
) -> list[Side]:
    """The builds by the tips of their branches alone; of those ``landed`` base need not contain the tips.

    Git processes: 2.
    """
    found = {build.id: branches.get(build.branch) for build in session.plan.builds}
    inside = refs.contained(session.repository.git, [tip.commit for tip in found.values() if tip], base)

    def side(name: str, tip: refs.Branch | None) -> Side:
        if tip is None:
            return Side(name, "not begun")
        if name in landed:
            return Side(name, "landed", tip.commit)
        # A build that needs others starts from a merge of theirs, which base does not contain.
        if tip.commit in inside or tip.commit == preparing.start_of(session.worktrees[name]):
            return Side(name, "no changes", tip.commit)
        return Side(name, "work", tip.commit, tip.commit)

    return [side(name, tip) for name, tip in found.items()]


def compared(plan: Plan, base: CommitId, sides: Sequence[Side], answers: Answers, git: Git | None = None) -> Matrix:
    """The matrix of these sides. ``git`` has the store in which commits of uncommitted work are."""
    at_work = {side.id: side for side in sides if side.state == "work"}
    around = [side for side in sides if side.state != "landed"]
    ground = Side(plan.base, "work", base, base)
    couples = [(ground, side) for side in around] + list(combinations(around, 2))
    asked = {
        couple
        for a, b in couples
        if a.commit and b.commit
        for couple in ((a.commit, b.commit), (a.tip or a.commit, b.tip or b.commit))
    }
    known = answers.ask(base, sorted(asked), git=git)
    pairs = []
    for a, b in couples:
        pair = Pair(a.id, b.id, bool(a.commit and b.commit), None, with_base=a is ground)
        if a.commit and b.commit:
            conflict, before = known[(a.commit, b.commit)], known[(a.tip or a.commit, b.tip or b.commit)]
            if conflict is not None:
                new = conflict.entries - (before.entries if before else frozenset())
                uncommitted = tuple(file for file in conflict.files if any(file == path for _, path in new))
                pair = replace(pair, conflict=conflict, uncommitted=uncommitted)
        pairs.append(pair)
    against = {frozenset((pair.a, pair.b)) for pair in pairs if pair.conflict and not pair.with_base}
    lost = {pair.b for pair in pairs if pair.conflict and pair.with_base}
    order = order_of_fewest_conflicts(plan, against, lost, at_work)
    aside = put_aside(plan, order, against, lost)
    return Matrix(plan.base, base, tuple(sides), tuple(pairs), tuple(order), aside)


def known_conflicts(session: Session, landed: Collection[str] = ()) -> list[Pair]:
    """The conflicts of the tips as they are now, as far as somebody has looked at them; ``landed`` builds have none."""
    git, plan = session.repository.git, session.plan
    branches = refs.branches(git, [plan.base, *(build.branch for build in plan.builds)])
    if plan.base not in branches:
        return []
    around = [(b.id, branches[b.branch]) for b in plan.builds if b.branch in branches and b.id not in landed]
    couples = list(combinations([(plan.base, branches[plan.base]), *around], 2))
    found = Answers(git).newest((a.commit, b.commit) for (_, a), (_, b) in couples)
    if not found:
        return []
    inside = refs.contained(git, [branch.commit for _, branch in around], branches[plan.base].commit)
    pairs = []
    for number, ((a, there), (b, here)) in enumerate(couples):
        conflict = found.get((there.commit, here.commit))
        with_base = number < len(around)
        if conflict and here.commit not in inside and (with_base or there.commit not in inside):
            pairs.append(Pair(a, b, True, conflict, with_base=with_base))
    return pairs


def _side(session: Session, standing: Standing, git: Git) -> Side:
    if standing.landed:
        return Side(standing.id, "landed", standing.tip)
    if standing.tip is None:
        return Side(standing.id, "branch gone" if standing.lost else "not begun")
    plain = Side(standing.id, "no changes", standing.tip)
    if standing.has_work:
        plain = Side(standing.id, "work", standing.tip, standing.tip)
    if not standing.dirty:
        return plain
    try:
        seen = snapshots.snapshot(standing.worktree, session.excludes, generated(standing), git=git)
    except Br3Error as error:
        # An agent is at work there: a file may go while it is read.
        return replace(plain, problem=f"what is uncommitted cannot be read: {error.message.splitlines()[0]}")
    if seen.branch != standing.build.branch:
        where = f"the branch {seen.branch}" if seen.branch else "no branch"
        return replace(plain, problem=f"its worktree is on {where}, so what is uncommitted there is not looked at")
    if not seen.dirty:
        return plain
    commit = merges.passing_commit(git, seen.tree, seen.head)
    return Side(standing.id, "work", standing.tip, commit, standing.dirty)
