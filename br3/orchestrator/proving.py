"""What git says to an agent's claim that it has done its task."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from br3.orchestrator.working import Work
from br3.plan.globs import matches
from br3.plan.model import Task
from br3.repo import refs, snapshots
from br3.repo.refs import CommitId
from br3.repo.runner import Git
from br3.repo.snapshots import Snapshot
from br3.wording import listed

_MOST_NAMED = 8


def disproof(work: Work, task: Task, left: Snapshot) -> tuple[str | None, str]:
    """Why the claim does not hold, as a cause and in words; (None, "") when it does.

    It does not on the wrong branch, with no change since the task began, with commits taken off the branch, with what
    set-up makes committed, and with changes outside what the build owns (unless the plan only warns of them).
    """
    if left.branch != work.build.branch:
        where = left.branch or "a detached HEAD"
        return "wrong_branch", f"the agent left the worktree on {where} instead of {work.build.branch}"
    attempts = work.view.tasks[task.id].attempts
    before = CommitId(str(_before(work, task) or attempts[min(attempts)].started.get("head")))
    nothing = "the agent said that it was done, but nothing has changed in the worktree"
    if left.tree == refs.tree_of(work.git, before):
        return "no_change", nothing
    if not refs.is_ancestor(work.git, before, left.head):
        return "dropped_work", f"the agent took commits off the branch: {before[:12]} is no longer part of it"
    base = f"refs/heads/{work.plan.base}"
    if left.head != before and not left.dirty and refs.is_ancestor(work.git, left.head, base):
        return "no_change", f"{nothing}: its branch only follows {work.plan.base}"
    droppings = snapshots.new_droppings(work.git, before, left.tree)
    if droppings:
        return "droppings", f"the agent committed what set-up makes: {', '.join(droppings)}"
    nested = snapshots.new_gitlinks(work.git, before, left.tree)
    if nested:
        return "nested_repository", f"the agent made a repository of its own in {', '.join(nested)}; it could not land"
    strange = not_owned(work.git, work.build.owns, before, left.tree)
    if strange and work.plan.hooks.owns == "block" and "ownership" not in work.plan.hooks.off:
        return "not_owned", f"the agent changed what the build does not own: {named(strange)}; that must go back"
    return None, ""


def not_owned(git: Git, owns: Sequence[str], old: str, new: str) -> list[str]:
    """The paths that differ between two trees and match none of the patterns; none when there are no patterns."""
    if not owns:
        return []
    return outside(owns, git("diff-tree", "-r", "-z", "--name-only", "--no-renames", old, new).fields)


def outside(owns: Sequence[str], paths: Iterable[str]) -> list[str]:
    """Those of the paths that match none of the patterns."""
    return [path for path in paths if not any(matches(pattern, path) for pattern in owns)]


def named(paths: Sequence[str]) -> str:
    """The first few of many paths."""
    return listed(paths, _MOST_NAMED)


def _before(work: Work, task: Task) -> str | None:
    """The commit on which ``task`` builds: that of the task before it, or where the build started; None for repairs."""
    before = work.view.start
    for other in work.build.tasks:
        if other.id == task.id:
            return before
        done = work.view.tasks.get(other.id)
        before = done.commit if done is not None and done.commit else before
    return None
