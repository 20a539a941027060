"""Refs: reading where they point, moving them by compare-and-swap, asking what contains what."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NewType

from br3.repo.runner import Git, GitError

CommitId = NewType("CommitId", str)
TreeId = NewType("TreeId", str)

NULL_ID = CommitId("0" * 40)
"""As the old value of a compare-and-swap: the ref must not exist yet."""


@dataclass(frozen=True)
class Branch:
    """Where a branch points, and the tree of that commit."""

    name: str
    commit: CommitId
    tree: TreeId


def resolve(git: Git, expression: str) -> CommitId | None:
    """The commit that ``expression`` names, or None."""
    done = git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{expression}^{{commit}}", ok=(0, 1, 128))
    return CommitId(done.text) if done.code == 0 else None


def tree_of(git: Git, commit: str) -> TreeId:
    """The tree of a commit."""
    return TreeId(git("rev-parse", "--verify", "--end-of-options", f"{commit}^{{tree}}").text)


def branches(git: Git, names: Iterable[str] | None = None) -> dict[str, Branch]:
    """The local branches (or those of ``names`` that exist), by name, in one process."""
    patterns = ["refs/heads"] if names is None else [f"refs/heads/{name}" for name in names]
    if not patterns:
        return {}
    listing = git("for-each-ref", "--format=%(refname)%00%(objectname)%00%(tree)", *patterns).lines
    found = {}
    for line in listing:
        ref, commit, tree = line.split("\0")
        name = ref.removeprefix("refs/heads/")
        # A pattern also matches everything below it.
        if names is None or f"refs/heads/{name}" in patterns:
            found[name] = Branch(name, CommitId(commit), TreeId(tree))
    return found


def behind(git: Git, branch: str) -> str:
    """The branch that a branch stands for, where it is a symbolic ref; itself, where it is none."""
    target = git("symbolic-ref", "--quiet", f"refs/heads/{branch}", ok=(0, 1, 128)).text
    return target.removeprefix("refs/heads/") or branch


def accepts_branch(git: Git, name: str) -> bool:
    """Whether git takes ``name`` as a branch's name."""
    # What git takes for another name of a branch, such as @{-1}, is not one. It accepts @, and cannot use it.
    done = git("check-ref-format", "--branch", name, ok=(0, 1, 128))
    return done.code == 0 and done.text == name != "@"


def move(git: Git, ref: str, new: CommitId, old: CommitId, reason: str) -> bool:
    """Set ``ref`` to ``new`` if it still is ``old`` (``NULL_ID``: does not exist); False if it is not."""
    try:
        git("update-ref", "--create-reflog", "-m", reason, ref, new, old)
    except GitError:
        seen = resolve(git, ref)
        if seen == old or (seen is None and old == NULL_ID):
            raise  # not a lost race: a lock file, a hook or the disk said no
        return False
    return True


def move_together(git: Git, updates: Sequence[tuple[str, str, str]], reason: str) -> bool:
    """Set refs in one transaction: all of ``(ref, new, old)`` or none; False if one no longer is ``old``.

    ``NULL_ID`` as old: it must not exist yet; as new: it is deleted. Git processes: 1.
    """
    lines = ["start"]
    for ref, new, old in updates:
        if new == NULL_ID:
            lines += ["option no-deref", f"delete {ref}\0{old}"]  # of a symbolic ref not what it points to
        elif old == NULL_ID:
            lines.append(f"create {ref}\0{new}")
        else:
            lines.append(f"update {ref}\0{new}\0{old}")
    text = "\0".join([*lines, "prepare", "commit", ""])
    try:
        git("update-ref", "--stdin", "-z", "--create-reflog", "-m", reason, input=os.fsencode(text))
    except GitError:
        for ref, _, old in updates:
            done = git("rev-parse", "--verify", "--quiet", "--end-of-options", ref, ok=(0, 1, 128))
            if (done.text if done.code == 0 else NULL_ID) != old:
                return False
        raise  # not a lost race: a lock file, a hook or the disk said no
    return True


def delete(git: Git, ref: str, old: CommitId) -> None:
    """Delete ``ref`` if it still is ``old``; GitError otherwise."""
    git("update-ref", "-d", ref, old)


def contained(git: Git, commits: Iterable[CommitId], target: str) -> set[CommitId]:
    """Those of ``commits`` that are reachable from ``target``, in one process; unknown objects are not."""
    wanted = set(commits)
    if not wanted:
        return set()
    spec = "\n".join([*sorted(wanted), f"^{target}"]).encode()
    outside = set(git("rev-list", "--ignore-missing", "--stdin", input=spec).text.split())
    present = git("cat-file", "--batch-check=%(objectname) %(objecttype)", input="\n".join(sorted(wanted)).encode())
    known = {line.split()[0] for line in present.lines if line.endswith(" commit")}
    return {commit for commit in wanted if commit in known and commit not in outside}


def is_ancestor(git: Git, commit: str, target: str) -> bool:
    """Whether ``commit`` is ``target`` or one of its ancestors."""
    return git("merge-base", "--is-ancestor", commit, target, ok=(0, 1)).code == 0


def count_between(git: Git, old: str, new: str) -> int:
    """How many commits ``new`` has that ``old`` has not."""
    return int(git("rev-list", "--count", f"{old}..{new}").text)
