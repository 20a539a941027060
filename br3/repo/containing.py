"""Whether a branch's work is in base, so that the branch may go: proven by ancestry or by trees, never by a name.

A merge keeps a branch's commits, a squash or a rebase keeps only what they changed, and base has mostly gone on since.
So, in this order:

    ancestor     base's history has the commit itself; also when base has taken the change back since
    equal tree   base holds exactly the same files
    merged       merging the branch into base would change nothing
    landed       merging conflicts now, but into an earlier commit of base it would have changed nothing

What was squashed and then taken back on base would come in again with a merge: it counts as not contained, so that the
branch stays for who wants to land it again. A branch whose commits cancel each other out has landed nowhere either.

Processes: none for base itself, 1 for an ancestor, else up to 6, and 1 for each commit of base that changed the
branch's files when merging conflicts (at most 100).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from br3.repo import refs
from br3.repo.merges import Merged
from br3.repo.refs import CommitId, TreeId
from br3.repo.runner import Git

_MOST_COMMITS = 100
_MOST_TRIES = 3


@dataclass(frozen=True)
class Contained:
    """How base contains a branch (``ancestor``, ``equal tree``, ``merged``, ``landed``), and in which commit."""

    how: str
    commit: CommitId


def contained_in(git: Git, base: CommitId, tip: CommitId) -> Contained | None:
    """How ``base`` contains all that the branch at ``tip`` has to land; None when that is not proven."""
    if tip == base or refs.is_ancestor(git, tip, base):
        return Contained("ancestor", base)
    fork = git("merge-base", base, tip, ok=(0, 1)).text
    if fork and _cancels_out(git, CommitId(fork), tip):
        return None
    there, mine = refs.tree_of(git, base), refs.tree_of(git, tip)
    if there == mine:
        return Contained("equal tree", base)
    if not fork:
        return None  # unrelated histories
    drivers = _drivers(git)
    merged = _merge(git, base, tip, drivers)
    if merged.clean:
        return Contained("merged", base) if merged.tree == there else None
    for earlier in _touching(git, CommitId(fork), base, tip):
        merged = _merge(git, earlier, tip, drivers)
        if merged.clean:  # either it was there already, or it could come in: not landed yet, or taken back by then
            return Contained("landed", earlier) if merged.tree == refs.tree_of(git, earlier) else None
    return None


def delete_contained(
    git: Git, base: str, gone: Sequence[tuple[str, CommitId, CommitId]], proven: CommitId | None, reason: str
) -> bool:
    """Delete refs, each (ref, NULL_ID, where it is), in one transaction; False, and nothing done, when one has moved.

    ``proven`` is the tip that the branch ``base`` was found to contain: that is to be so at this very moment.
    """
    ref = f"refs/heads/{base}"
    for _ in range(_MOST_TRIES):
        held: list[tuple[str, CommitId, CommitId]] = []
        if proven:
            at = refs.resolve(git, ref)
            if at is None or contained_in(git, at, proven) is None:
                break
            held.append((ref, at, at))
        if not gone or refs.move_together(git, [*held, *gone], reason):
            return True
    return False


def _touching(git: Git, fork: CommitId, base: CommitId, tip: CommitId) -> list[CommitId]:
    """The newest commits of base since ``fork`` that changed a file which the branch changed, newest first."""
    changed = git("diff-tree", "-r", "-z", "--name-only", "--no-renames", fork, tip).fields
    asked = "\n".join([base, f"^{fork}", "--", *(f":(top,literal){path}" for path in changed)])
    found = git("rev-list", f"--max-count={_MOST_COMMITS}", "--stdin", input=os.fsencode(asked)).text
    return [CommitId(line) for line in found.split()]


def _cancels_out(git: Git, fork: CommitId, tip: CommitId) -> bool:
    """Whether the branch changed something and in the end nothing."""
    lines = [line.split() for line in git("log", "--format=%T %P", f"{fork}..{tip}").lines]
    if any(len(tree_and_parents) > 2 for tree_and_parents in lines):
        return False  # it has merged something, and that may be what it landed as
    start = refs.tree_of(git, fork)
    return bool(lines) and lines[0][0] == start and any(tree != start for tree, *_ in lines)


def _drivers(git: Git) -> dict[str, str]:
    """Every merge driver of the user's, as one that fails: a driver that keeps one side would prove anything."""
    keys = git("config", "--null", "--name-only", "--get-regexp", r"^merge\..*\.driver$", ok=(0, 1)).fields
    return dict.fromkeys(keys, "false")


def _merge(git: Git, ours: CommitId, theirs: CommitId, config: dict[str, str]) -> Merged:
    words = ("--write-tree", "-z", "--name-only", "--no-messages", ours, theirs)
    done = git("merge-tree", *words, ok=(0, 1), config=config)
    tree, *conflicts = done.fields
    return Merged(TreeId(tree), tuple(conflicts) if done.code == 0 or conflicts else ("?",))
