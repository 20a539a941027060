"""Commits as people read them, through GitPython; imported only where they are shown."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import git


@dataclass(frozen=True)
class Commit:
    """One commit: its id, its first line, its author's name, and what it changed (lines)."""

    id: str
    subject: str
    author: str
    files: int
    insertions: int
    deletions: int


def own_commits(common_dir: Path, old: str, new: str, base: str | None = None) -> list[Commit]:
    """The commits that were made from ``old`` to ``new``, newest first: without what was merged into them, and without
    what ``base`` has."""
    with git.Repo(common_dir) as repository:
        found = []
        without = [f"^{one}" for one in (old, base) if one]
        for commit_id in repository.git.rev_list(new, *without, first_parent=True).split():
            commit = repository.commit(commit_id)
            total = commit.stats.total
            found.append(
                Commit(
                    id=commit.hexsha,
                    subject=str(commit.summary),
                    author=str(commit.author.name),
                    files=total["files"],
                    insertions=total["insertions"],
                    deletions=total["deletions"],
                )
            )
    return found
