"""What has changed since the last release, by the messages of its commits (https://www.conventionalcommits.org).

Every commit speaks for itself, but for these: a merge whose own message has the form speaks for all that it brought,
unless something in it breaks; what was reverted, and the revert, say nothing; a commit whose subject has not the form
is taken by the lines that a forge's squash lists in its body.

Processes: ``commits_between`` 1.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from br3.release.versions import CHANGES, Change
from br3.repo.refs import CommitId
from br3.repo.runner import Git

_HEADER = re.compile(r"(?P<type>[A-Za-z]+)(?:\([^()\n]*\))?(?P<bang>!)?: +\S")
_BREAKING = re.compile(r"^BREAKING[ -]CHANGE: +\S", re.MULTILINE)
_LISTED = re.compile(r"^[*-] +(?=[A-Za-z]+(?:\([^()\n]*\))?!?: )", re.MULTILINE)
_REVERTS = re.compile(r"^This reverts commit ([0-9a-f]{40,64})\b", re.MULTILINE)
_CHANGES: dict[str, Change] = {"feat": "feature", "fix": "fix", "perf": "fix", "revert": "fix"}
_TYPES = frozenset({*_CHANGES, "build", "chore", "ci", "docs", "refactor", "style", "test"})


@dataclass(frozen=True)
class Commit:
    """A commit: its id, its parents, its whole message."""

    id: CommitId
    parents: tuple[CommitId, ...]
    message: str


def commits_between(git: Git, old: str | None, new: str) -> list[Commit]:
    """The commits that ``new`` has and ``old`` (None: nothing) has not, newest first, children before parents."""
    span = [new] if old is None else [new, f"^{old}"]
    words = ("-z", "--topo-order", "--format=%H %P%n%B")
    found = []
    for record in git("log", *words, *span, "--").out.split(b"\0"):
        ids, _, message = os.fsdecode(record).lstrip("\n").partition("\n")
        if ids:
            commit, *parents = map(CommitId, ids.split())
            found.append(Commit(commit, tuple(parents), message))
    return found


def change_of(message: str) -> Change | None:
    """What a commit with this message changes; None when it says nothing of the kind (docs, chore, free words)."""
    header = _HEADER.match(message)
    if header is None:
        listed = [change_of(message[found.end() :].split("\n")[0]) for found in _LISTED.finditer(message)]
        return "breaking" if _BREAKING.search(message) else greatest(listed)
    if header["bang"] or _BREAKING.search(message):
        return "breaking"
    return _CHANGES.get(header["type"].lower())


def has_form(message: str) -> bool:
    """Whether a message begins as a conventional commit's does, with one of the usual types."""
    header = _HEADER.match(message)
    return header is not None and header["type"].lower() in _TYPES


def greatest(changes: Iterable[Change | None]) -> Change | None:
    """The one that asks for the highest version."""
    return max((c for c in changes if c is not None), key=CHANGES.index, default=None)


def changes_in(commits: Sequence[Commit]) -> list[Change]:
    """What the commits of a range (newest first, whole) change, one for each that says something."""
    by_id = {commit.id: commit for commit in commits}
    brought = _brought(commits, by_id)
    silent = reverted(commits)
    for commit in commits:
        if commit.id in brought and commit.id not in silent and has_form(commit.message):
            silent |= {c for c in brought[commit.id] if change_of(by_id[c].message) != "breaking"}
    told = [change_of(commit.message) for commit in commits if commit.id not in silent]
    return [change for change in told if change is not None]


def _brought(commits: Sequence[Commit], by_id: dict[CommitId, Commit]) -> dict[CommitId, set[CommitId]]:
    """For each merge on the main line of the range, the commits that came with it."""
    line, at = [], commits[0].id if commits else None
    while at in by_id:
        line.append(by_id[at])
        at = by_id[at].parents[0] if by_id[at].parents else None
    seen = {commit.id for commit in line}
    found: dict[CommitId, set[CommitId]] = {}
    for commit in reversed(line):
        waiting, mine = list(commit.parents[1:]), set[CommitId]()
        while waiting:
            other = waiting.pop()
            if other in by_id and other not in seen:
                seen.add(other)
                mine.add(other)
                waiting.extend(by_id[other].parents)
        if commit.parents[1:]:
            found[commit.id] = mine
    return found


def reverted(commits: Sequence[Commit]) -> set[CommitId]:
    """Commits of a range (newest first) that were taken back in it, with what took them back.

    A revert may be reverted too; of a reverted merge all that it brought is gone.
    """
    known = {commit.id: commit for commit in commits}
    brought = _brought(commits, known)
    gone: set[CommitId] = set()
    for commit in commits:
        found = _REVERTS.search(commit.message)
        if found and commit.id not in gone and CommitId(found[1]) in known:
            target = CommitId(found[1])
            gone |= {commit.id, target, *brought.get(target, ())}
    return gone
