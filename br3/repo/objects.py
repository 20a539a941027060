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


def commits_between(common_dir: Path, old: str, new: str, *, first_parent: bool = False) -> list[Commit]:
    """The commits that ``new`` has and ``old`` has not, newest first."""
    with git.Repo(common_dir) as repository:
        found = []
        for commit in repository.iter_commits(f"{old}..{new}", first_parent=first_parent):
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
