"""What an attempt that was cut off left uncommitted, put aside for an agent that has to begin again.

An agent that goes on in its session finds its files as it left them. One that cannot would find half of something that
it does not know: it begins at the last commit, and is told where the rest is.
"""

from __future__ import annotations

from br3.errors import Br3Error
from br3.orchestrator.working import Work
from br3.plan.model import Task
from br3.repo import merges, refs, snapshots
from br3.repo.refs import NULL_ID, CommitId
from br3.repo.snapshots import Snapshot
from br3.telemetry.replay import AttemptView

_CUT_OFF = frozenset({"interrupted", "cancelled", "killed", "skipped"})


def salvage(work: Work, task: Task) -> None:
    """Put aside what the last attempt at ``task`` left, and set the worktree back to its last commit.

    Nothing is done when it left nothing, when it was not cut off, or when somebody has changed the worktree since.
    """
    run, last = _last(work, task)
    if last is None or last.finished.get("cause") not in _CUT_OFF or "tree" not in last.finished:
        return
    left = work.snapshot()
    ref = _ref(work, task, run, last.number)
    kept = refs.resolve(work.git, ref)
    its = last.finished["tree"]
    if not left.dirty or left.branch != work.build.branch:
        return
    if left.tree != its and (kept is None or not _half_set_back(work, left, its)):
        return
    if kept is None:
        when = last.finished["when"]
        message = f"br3: what attempt {last.number} at {work.build.id} {task.id} left when it was cut off"
        dates = {"GIT_AUTHOR_DATE": when, "GIT_COMMITTER_DATE": when}
        made = merges.commit(work.git, left.tree, [left.head], message, env=dates)
        if not refs.move(work.git, ref, made, NULL_ID, message):
            raise Br3Error(f"{ref} is somebody else's", hint=f"git update-ref -d {ref}")
        work.say("attempt.salvaged", "warning", task=task.id, ref=ref, commit=made)
    snapshots.set_back(work.worktree, left)


def _half_set_back(work: Work, left: Snapshot, salvaged: str) -> bool:
    """Whether each path is as it was put aside or as at the last commit: setting back was cut off, nobody's is lost."""

    def differing(tree: str) -> set[str]:
        return set(work.git("diff-tree", "-r", "-z", "--name-only", "--no-renames", left.tree, tree).fields)

    return not differing(salvaged) & differing(left.head_tree)


def of_last(work: Work, task: Task) -> str | None:
    """The ref with what was put aside of the last attempt that was cut off; None when there is none."""
    run, last = _last(work, task)
    if last is None or last.finished.get("cause") not in _CUT_OFF:
        return None
    ref = _ref(work, task, run, last.number)
    found: CommitId | None = refs.resolve(work.git, ref)
    return ref if found else None


def _last(work: Work, task: Task) -> tuple[str, AttemptView | None]:
    """The newest attempt at the task, of this run or of those that it continues, and its run."""
    for run in work.chain:
        view = work.view if run.id == work.run else run.builds.get(work.build.id)
        attempts = view.tasks[task.id].attempts if view is not None and task.id in view.tasks else {}
        if attempts:
            return run.id, attempts[max(attempts)]
    return work.run, None


def _ref(work: Work, task: Task, run: str, number: int) -> str:
    return f"refs/br3/salvage/{work.build.id}/{run}/{task.id}-{number}"
