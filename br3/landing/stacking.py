"""Candidates as commits: builds stacked on base, made as objects when they are asked for, each once.

No worktree and no ref is touched. Git processes: 3 for a build that lands as a merge (``merge-tree``,
``interpret-trailers``, ``commit-tree``), 2 where another candidate has it too; 1 more for its subjects when squashed;
up to 5 for each commit that is rebased.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NoReturn

from br3.landing.searching import Candidate
from br3.plan.model import Build
from br3.repo import merges, refs
from br3.repo.refs import CommitId, TreeId
from br3.repo.runner import Git, GitError
from br3.wording import listed


@dataclass(frozen=True)
class Passenger:
    """A build that boards: the tip of its branch, how it lands, and what its commit says besides."""

    build: Build
    tip: CommitId
    strategy: str = "merge"
    trailers: Mapping[str, str] = field(default_factory=dict)

    @property
    def id(self) -> str:
        return self.build.id


@dataclass(frozen=True)
class _Recipe:
    """A commit but for its first parent: how to make it again, signed."""

    tree: TreeId
    others: tuple[CommitId, ...]
    message: str
    env: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Made:
    """A candidate: its commit, its tree, and by build the commit that brought it."""

    commit: CommitId
    tree: TreeId
    landed_as: Mapping[str, CommitId]
    recipes: tuple[_Recipe, ...] = ()


class Conflicting(Exception):
    """``build`` cannot be stacked on the builds before it: the files, and what it conflicts with."""

    def __init__(self, build: str, reason: str, files: Sequence[str] = (), against: Sequence[str] = ()) -> None:
        super().__init__(reason)
        self.build = build
        self.reason = reason
        self.files = tuple(files)
        self.against = tuple(against)


class Stack:
    """Builds on top of ``base``, in any selection and order; ``name`` is what base is called."""

    def __init__(self, git: Git, base: CommitId, name: str, passengers: Sequence[Passenger]) -> None:
        self.git = git
        self.base = base
        self._name = name
        self.passengers = {one.id: one for one in passengers}
        self._made: dict[Candidate, Made] = {(): Made(base, refs.tree_of(git, base), {})}
        self._refused: dict[Candidate, Conflicting] = {}
        self._messages: dict[str, str] = {}

    def at(self, candidate: Candidate) -> Made:
        """The candidate as a commit; Conflicting when one of its builds cannot be stacked on those before it."""
        made = self._made.get(candidate)
        if made is None:
            below = self.at(candidate[:-1])
            if candidate in self._refused:
                raise self._refused[candidate]
            try:
                made = self._add(below, candidate)
            except Conflicting as refusal:
                self._refused[candidate] = refusal
                raise
            self._made[candidate] = made
        return made

    def arrange(self, order: Sequence[str], needs: Mapping[str, Sequence[str]]) -> tuple[Candidate, list[Conflicting]]:
        """As many of the builds as can be stacked in this order, and why the others cannot.

        What needs a build that cannot be stacked is left out too.
        """
        stacked: Candidate = ()
        refused: list[Conflicting] = []
        for build in order:
            gone = [r.build for r in refused if r.build in needs.get(build, ())]
            if gone:
                refused.append(Conflicting(build, f"it needs {', '.join(gone)}, which was put aside"))
                continue
            try:
                self.at((*stacked, build))
            except Conflicting as refusal:
                refused.append(refusal)
            else:
                stacked = (*stacked, build)
        return stacked, refused

    def signed(self, candidate: Candidate) -> Made:
        """The candidate made again with signed commits: the same trees, messages and authors."""
        parent = self.base
        landed_as: dict[str, CommitId] = {}
        for length in range(1, len(candidate) + 1):
            for recipe in self._made[candidate[:length]].recipes:
                parent = merges.commit(
                    self.git, recipe.tree, [parent, *recipe.others], recipe.message, env=dict(recipe.env), sign=True
                )
            landed_as[candidate[length - 1]] = parent
        return Made(parent, self._made[candidate].tree, landed_as)

    def _add(self, below: Made, candidate: Candidate) -> Made:
        passenger = self.passengers[candidate[-1]]
        try:
            merged = merges.merge_trees(self.git, below.commit, passenger.tip)
        except GitError as error:
            if "unrelated histories" not in error.stderr:
                raise
            raise Conflicting(
                passenger.id, f"it has no history in common with {self._name}", (), (self._name,)
            ) from None
        if not merged.clean:
            against = self._against(passenger, candidate[:-1])
            reason = f"conflicts with {' and '.join(against)} in {listed(merged.conflicts, 8)}"
            raise Conflicting(passenger.id, reason, merged.conflicts, against)
        if passenger.strategy == "rebase":
            recipes = self._replayed(below, passenger, merged.tree)
        elif passenger.strategy == "squash":
            recipes = [_Recipe(merged.tree, (), self._message(passenger, below.commit))]
        else:
            recipes = [_Recipe(merged.tree, (passenger.tip,), self._message(passenger, below.commit))]
        top = below.commit
        for recipe in recipes:
            top = merges.commit(
                self.git, recipe.tree, [top, *recipe.others], recipe.message, env=dict(recipe.env) or None
            )
        return Made(top, merged.tree, {**below.landed_as, passenger.id: top}, tuple(recipes))

    def _against(self, passenger: Passenger, below: Candidate) -> tuple[str, ...]:
        if not merges.merge_trees(self.git, self.base, passenger.tip).clean:
            return (self._name,)
        tips = {other: self.passengers[other].tip for other in below}
        pairs = [other for other, tip in tips.items() if not merges.merge_trees(self.git, tip, passenger.tip).clean]
        return tuple(pairs) or below

    def _message(self, passenger: Passenger, below: CommitId) -> str:
        if passenger.id not in self._messages:
            build = passenger.build
            if passenger.strategy == "squash":
                listing = self.git("log", "--reverse", "--no-merges", "--format=%s", passenger.tip, f"^{below}").lines
                subjects = "\n".join(f"* {subject}" for subject in listing)
                text = f"{build.message or build.title}\n\n{subjects}"
            else:
                text = build.message or f"Merge build {build.id}: {build.title}"
            self._messages[passenger.id] = merges.with_trailers(self.git, text, passenger.trailers)
        return self._messages[passenger.id]

    def _replayed(self, below: Made, passenger: Passenger, wanted: TreeId) -> list[_Recipe]:
        """The build's own commits one after the other, each as a change to what is below it."""
        recipes: list[_Recipe] = []
        tree = below.tree
        for commit in _commits(self.git, passenger.tip, below.commit):
            picked = merges.pick(self.git, tree, commit.parent_tree, commit.tree)
            if not picked.clean:
                files = ", ".join(picked.conflicts[:8])
                _cannot_rebase(passenger, f"its commit {commit.id[:9]} conflicts in {files}", picked.conflicts)
            if picked.tree != tree:
                recipes.append(_Recipe(picked.tree, (), commit.message, commit.author))
                tree = picked.tree
        if tree != wanted:
            _cannot_rebase(passenger, "its commits replayed are not what its merge is")
        if recipes:
            last = recipes.pop()
            message = merges.with_trailers(self.git, last.message, passenger.trailers)
            recipes.append(_Recipe(last.tree, (), message, last.env))
        return recipes


def _cannot_rebase(passenger: Passenger, reason: str, files: Sequence[str] = ()) -> NoReturn:
    raise Conflicting(passenger.id, f"cannot be rebased: {reason} (strategy merge or squash can land it)", files)


@dataclass(frozen=True)
class _Commit:
    id: str
    tree: TreeId
    parent_tree: TreeId
    message: str
    author: tuple[tuple[str, str], ...]


def _commits(git: Git, tip: CommitId, below: CommitId) -> list[_Commit]:
    """The commits that ``tip`` has and ``below`` has not, oldest first, without merges. Two git processes."""
    form = "%H%x00%T%x00%P%x00%an%x00%ae%x00%ad%x00%B"
    options = ("--reverse", "--topo-order", "--no-merges", "--date=raw", f"--format={form}")
    records = os.fsdecode(git("log", "-z", *options, tip, f"^{below}").out).split("\0")
    raw = [records[at : at + 7] for at in range(0, len(records) - 6, 7)]
    parents = [record[2].split(" ")[0] for record in raw]
    asked = "".join(f"{parent}^{{tree}}\n" if parent else "\n" for parent in parents).encode()
    trees = [line.split(" ")[0] for line in git("cat-file", "--batch-check", input=asked).lines]
    empty = TreeId(git("mktree", input=b"").text) if "" in parents else TreeId("")
    found = []
    for (commit, tree, _, name, email, date, message), parent, above in zip(raw, parents, trees, strict=True):
        author = (("GIT_AUTHOR_NAME", name), ("GIT_AUTHOR_EMAIL", email), ("GIT_AUTHOR_DATE", f"@{date}"))
        found.append(_Commit(commit, TreeId(tree), TreeId(above) if parent else empty, message, author))
    return found
