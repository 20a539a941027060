"""Merging without a checkout: trees by ``merge-tree``, commits by ``commit-tree``.

Processes: ``merge_trees`` 1 · ``commit`` 1 · ``with_trailers`` 1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from br3.repo.refs import CommitId, TreeId
from br3.repo.runner import Git


@dataclass(frozen=True)
class Merged:
    """The outcome of merging two commits: the tree, and the paths in conflict (empty: clean)."""

    tree: TreeId
    conflicts: tuple[str, ...]

    @property
    def clean(self) -> bool:
        return not self.conflicts


def merge_trees(git: Git, ours: str, theirs: str) -> Merged:
    """Merge two commits as trees. The tree of a conflicting merge holds conflict markers: never commit it."""
    done = git("merge-tree", "--write-tree", "-z", "--name-only", "--no-messages", ours, theirs, ok=(0, 1))
    tree, *conflicts = done.fields
    if done.code == 1 and not conflicts:
        conflicts = ["(git names no file)"]
    return Merged(TreeId(tree), tuple(dict.fromkeys(conflicts)))


def commit(
    git: Git,
    tree: TreeId,
    parents: Sequence[CommitId],
    message: str,
    *,
    env: Mapping[str, str] | None = None,
) -> CommitId:
    """Write a commit object; author and committer as git has them (``env`` may fix their dates)."""
    words = [word for parent in parents for word in ("-p", parent)]
    done = git("commit-tree", *words, "-F", "-", tree, input=message.encode(errors="surrogateescape"), env=env)
    return CommitId(done.text)


def with_trailers(git: Git, message: str, trailers: Mapping[str, str]) -> str:
    """``message`` with trailers in its last block, by git's own rules; those that are there already stay."""
    words = [word for key, value in trailers.items() for word in ("--trailer", f"{key}: {value}")]
    text = message.rstrip("\n") + "\n"
    done = git(
        "interpret-trailers",
        "--no-divider",
        "--if-exists",
        "doNothing",
        *words,
        input=text.encode(errors="surrogateescape"),
    )
    return done.text + "\n"
