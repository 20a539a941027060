"""Where the worktree of a build is: where its run put it, also when the repository has been moved since."""

from __future__ import annotations

import os
from pathlib import Path

from br3.plan.model import Build, Plan
from br3.repo.worktrees import Repository, claimed_by, worktree_path


def place_of(repository: Repository, plan: Plan, build: Build, noted: str | Path | None) -> Path:
    """``noted`` while something is there that is not another repository's; else where the plan puts it now."""
    if noted is not None and os.path.lexists(noted) and is_ours(repository, Path(noted)):
        return Path(noted)
    return worktree_path(repository, plan.worktrees, build.worktree)


def is_ours(repository: Repository, path: Path) -> bool:
    """Whether no other repository has the worktree there: one was copied together with its registrations."""
    entry = claimed_by(path)
    return entry is None or not entry.exists() or entry.resolve().parent == repository.common_dir / "worktrees"
