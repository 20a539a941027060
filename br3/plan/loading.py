"""One call from a file to a plan that can be run, with what the command line and the environment say."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from br3.plan.checking import Checked, check
from br3.plan.detection import on_path
from br3.plan.location import find as find
from br3.plan.model import Plan
from br3.plan.problems import PlanErrors
from br3.plan.settings import gather
from br3.repo.refs import accepts_branch, branches
from br3.repo.runner import Git, GitError


def load(
    path: Path,
    overrides: Mapping[str, object] | None = None,
    environ: Mapping[str, str] = os.environ,
    *,
    git_accepts_branch: Callable[[str], bool] | None = None,
    have: Callable[[str], bool] = on_path,
) -> Plan:
    """The plan at ``path``, resolved.

    ``overrides`` are the values of command line options as they were typed, by name: jobs, agent, model,
    retries, timeout, and budget_usd (of the whole run); None means not given. Raises UsageError when there is no such
    file and PlanErrors, with all problems, when it cannot be used.
    """
    settings = gather(overrides or {}, environ)
    checked = check(path, git_accepts_branch=git_accepts_branch, settings=settings, have=have)
    if checked.plan is None:
        raise PlanErrors(checked.problems)
    return checked.plan


def look_at(path: Path) -> Checked:
    """All that is wrong with the plan at ``path``, the environment's and the user's settings included.

    Raises UsageError when there is no such file.
    """
    return check(
        path,
        git_accepts_branch=accepting(Path.cwd()),
        branches=lambda: local_branches(path.absolute().parent),
        settings=gather({}, os.environ),
    )


def local_branches(directory: Path) -> list[str]:
    """The local branches of the repository that ``directory`` lies in; [] when it lies in none, or has none yet."""
    try:
        return sorted(branches(Git(directory)))
    except GitError:
        return []


def accepting(directory: Path) -> Callable[[str], bool]:
    """How to ask git whether it takes a name for a branch; ``directory`` need not be in a repository."""
    git = Git(directory)
    return lambda name: accepts_branch(git, name)
