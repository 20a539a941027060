"""A build that begins again: which of its tasks are to be done anew, and its branch as it was before the first of them.

What comes off the branch, and what was uncommitted, is kept under ``refs/br3/retried/<build>/<commit>``. Every step
looks first whether it has been done already.
"""

from __future__ import annotations

from br3.errors import Br3Error
from br3.orchestrator.working import Work
from br3.plan.model import REPAIR
from br3.repo import merges, refs, snapshots
from br3.repo.refs import NULL_ID, CommitId
from br3.telemetry.journal import now


def set_back(work: Work, start: CommitId) -> CommitId:
    """Make the build ready for its retry; ``start`` is the commit that it began from, which is returned."""
    wanted = work.view.retry.get("from")
    ids = [task.id for task in work.build.tasks]
    views = work.view.tasks
    done = [name in views and views[name].state in ("completed", "skipped") for name in ids]
    first = ids.index(str(wanted)) if wanted in ids else done.index(False) if False in done else len(ids)
    if wanted in ids:
        _to(work, _before(work, ids[:first]) or start)
    for name in [*ids[first:], REPAIR]:
        if name in views and views[name].state != "pending":
            work.say("task.retried", task=name)
    return start


def _before(work: Work, earlier: list[str]) -> CommitId | None:
    """The commit of the last of these tasks, of this run or of those that it continues; None when they have none."""
    views = [work.view, *(run.builds[work.build.id] for run in work.chain[1:] if work.build.id in run.builds)]
    for name in reversed(earlier):
        for view in views:
            if name in view.tasks and view.tasks[name].commit:
                return CommitId(str(view.tasks[name].commit))
    return None


def _to(work: Work, commit: CommitId) -> None:
    """Set the branch back to ``commit``, when it is behind; what goes is kept."""
    left = work.snapshot()
    if left.branch != work.build.branch:
        raise Br3Error(f"the worktree {work.worktree} is on {left.branch or 'a detached HEAD'}, so it is not set back")
    if left.head == commit and not left.dirty:
        return
    if not refs.is_ancestor(work.git, commit, left.head):
        raise Br3Error(f"{commit[:10]}, where the retry begins, is not on {work.build.branch} any more")
    kept = left.head
    if left.dirty:
        when = now()
        dates = {"GIT_AUTHOR_DATE": when, "GIT_COMMITTER_DATE": when}
        message = f"br3: what {work.build.id} had uncommitted when it was retried"
        kept = merges.commit(work.git, left.tree, [left.head], message, env=dates)
    ref = f"refs/br3/retried/{work.build.id}/{kept[:12]}"
    if refs.resolve(work.git, ref) != kept and not refs.move(work.git, ref, kept, NULL_ID, "br3: before a retry"):
        raise Br3Error(f"{ref} is somebody else's", hint=f"git update-ref -d {ref}")
    work.say("build.set_back", ref=ref, commit=kept, to=commit)
    if left.dirty:
        snapshots.set_back(work.worktree, left)
    # --keep refuses where a local change would be lost.
    work.git("reset", "--quiet", "--keep", commit)
