"""The set-up of a worktree that somebody has just added, in the background of ``git worktree add``."""

from __future__ import annotations

import os
from pathlib import Path

from br3.errors import Br3Error
from br3.hooks.compiling import compiled_plan
from br3.repo.worktrees import discover
from br3.telemetry import Journal
from br3.workspace.provisioning import provision as provision_worktree


def provision(path: str) -> int:
    """Set the worktree at ``path`` up by the compiled plan; outlives the terminal that added it."""
    if os.getpid() != os.getsid(0):
        os.setsid()
    repository = discover(Path(path))
    try:
        plan = compiled_plan(repository.common_dir)
        if plan is not None and repository.worktree is not None:
            provision_worktree(repository, plan, Journal(repository.common_dir))
    except Br3Error:
        return 1  # it is in the journal, with its log
    return 0
