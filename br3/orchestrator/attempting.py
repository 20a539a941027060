"""One attempt at a task: start the agent, follow it, and establish with git's word what came of it.

Order, so that a crash at any line is harmless: ``attempt.started`` is fsynced before the agent starts;
``attempt.finished``, with HEAD and the tree of what was left, before anything is committed; committing the same facts
again makes the same commit.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from br3.agents import Outcome, Reader, Request, agent
from br3.agents.process import Ended, Running, adopt, directory_for, start, watch
from br3.errors import Br3Error
from br3.orchestrator.working import Work, known_sum
from br3.plan.model import Task
from br3.repo import refs, snapshots, worktrees
from br3.repo.refs import CommitId, TreeId
from br3.repo.snapshots import Snapshot
from br3.telemetry.journal import now
from br3.telemetry.replay import AttemptView
from br3.workspace import children

# Causes that are nobody's failure: the attempt does not count against the retries.
NOT_COUNTED = frozenset({"interrupted", "cancelled"})
MOST_INTERRUPTED = 5
"""Attempts of one task that may be interrupted before the next one counts: each may have cost money."""


_LOOK_AT_BUDGET_S = 1.0


@dataclass(frozen=True)
class Result:
    """What an attempt came to. ``why`` is for people and for the next attempt's prompt."""

    ok: bool
    cause: str | None
    why: str
    number: int


def attempt(work: Work, task: Task, prompt: str) -> Result:
    """Make the next attempt at ``task`` with ``prompt``."""
    left, scope = work.left_usd()
    if left is not None and left <= 0:
        return _no_money(work, task, scope)
    number = max(work.view.tasks[task.id].attempts, default=0) + 1
    directory = directory_for(work.run_dir, work.build.id, task.id, number)
    request = _request(work, task, directory, left)
    request.prompt_file.write_text(prompt, errors="surrogateescape")
    request.usage_file.touch()
    seen = work.snapshot()
    work.say(
        "attempt.started",
        task=task.id,
        attempt=number,
        agent=task.agent,
        model=task.model,
        directory=str(directory),
        session=request.session,
        head=seen.head,
        tree=seen.tree,
    )
    chosen = agent(task.agent)
    facts = work.facts() | {
        "BR3_TASK": task.id,
        "BR3_ATTEMPT": str(number),
        "BR3_PROMPT_FILE": str(request.prompt_file),
        "BR3_USAGE_FILE": str(request.usage_file),
    }
    env = children.agent_environment(work.worktree, facts, [*chosen.variables, *work.build.env])
    env.update(chosen.environment(request))
    # An agent's own `git add --all` leaves out what set-up made, as br3's commits do; no file of the user's changes.
    env |= {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "core.excludesFile", "GIT_CONFIG_VALUE_0": str(work.excludes)}
    running = start(
        chosen.command(request),
        directory=directory,
        worktree=work.worktree,
        env=env,
        prompt_file=request.prompt_file,
    )
    return _follow(work, task, number, running, chosen.reader(request))


def go_on(work: Work, task: Task, seen: AttemptView) -> Result:
    """Bring an attempt to its end whose orchestrator is gone: adopt its agent, or read the status it left."""
    directory = Path(seen.started["directory"])
    request = _request(work, task, directory, None, session=str(seen.started.get("session")))
    reader = agent(task.agent).reader(request)
    running = adopt(directory, work.mark)
    if running is not None:
        return _follow(work, task, seen.number, running, reader)
    ended = watch(Running(directory, work.mark), reader, lambda: None)
    if ended.exit_code is None:
        ended = Ended(None, "interrupted")
    return _finish(work, task, seen.number, reader, ended)


def commit(work: Work, task: Task, number: int) -> CommitId:
    """Commit what the attempt left uncommitted, by the facts of its ``attempt.finished``; again is the same commit."""
    return commit_facts(work, task, work.view.tasks[task.id].attempts[number].finished, work.run)


def commit_facts(work: Work, task: Task, facts: Mapping[str, Any], run: str) -> CommitId:
    """The same for the data of an ``attempt.finished``, of whichever run."""
    left = Snapshot(
        head=CommitId(facts["head"]),
        branch=facts["branch"],
        head_tree=TreeId(facts["head_tree"]),
        tree=TreeId(facts["tree"]),
    )
    trailers = {"Br3-Run": run, "Br3-Build": work.build.id, "Br3-Task": task.id}
    message = f"{work.build.id}: {task.title}"
    return snapshots.commit_snapshot(work.worktree, left, work.build.branch, message, trailers, facts["when"])


def _request(work: Work, task: Task, directory: Path, left: Decimal | None, *, session: str | None = None) -> Request:
    return Request(
        prompt_file=directory / "prompt.md",
        usage_file=directory / "usage.jsonl",
        worktree=work.worktree,
        model=task.model,
        session=session or str(uuid.uuid4()),
        budget_usd=left,
        command=task.command,
    )


def _follow(work: Work, task: Task, number: int, running: Running, reader: Reader) -> Result:
    began = datetime.fromisoformat(work.view.tasks[task.id].attempts[number].started_ts)
    record = _recorder(work, task, number, reader)
    limit: tuple[Decimal | None, str] = work.left_usd(task.id, number)
    looked = time.monotonic()

    def tick() -> str | None:
        nonlocal limit, looked
        record()
        if work.cancel.is_set():
            return "cancelled"
        if time.monotonic() - looked > _LOOK_AT_BUDGET_S and limit[0] is not None:
            limit, looked = work.left_usd(task.id, number), time.monotonic()  # other builds spend from it too
        left, scope = limit
        spent = known_sum(work.view.tasks[task.id].attempts[number].usage)
        if left is not None and spent > left:
            work.say("budget.exceeded", "error", task=task.id, scope=scope, cost_usd=str(spent), budget_usd=str(left))
            return "budget"
        if (datetime.now(UTC) - began).total_seconds() > work.build.timeout_s:
            work.say("timeout.occurred", "error", task=task.id, what="attempt", limit_s=work.build.timeout_s)
            return "timeout"
        return None

    return _finish(work, task, number, reader, watch(running, reader, tick))


def _recorder(work: Work, task: Task, number: int, reader: Reader) -> Callable[[], None]:
    """Writes usage as it becomes known; what an earlier orchestrator of the same attempt wrote is not written twice."""

    def record() -> None:
        for usage in reader.usage[len(work.view.tasks[task.id].attempts[number].usage) :]:
            work.say("usage.recorded", task=task.id, attempt=number, **usage.priced(datetime.now(UTC)).as_data())

    return record


def _finish(work: Work, task: Task, number: int, reader: Reader, ended: Ended) -> Result:
    remove_stale_lock(work.worktree)
    outcome = _outcome(work, reader, ended)
    _recorder(work, task, number, reader)()
    cause, why = outcome.cause, outcome.why
    try:
        left = work.snapshot()
    except Br3Error as error:
        return _without_snapshot(work, task, number, ended, outcome, error)
    if outcome.claims_success:
        cause, why = _disproof(work, task, left)
    work.say(
        "attempt.finished",
        "info" if cause is None else "warning",
        task=task.id,
        attempt=number,
        outcome="succeeded" if cause is None else "failed",
        cause=cause,
        why=work.journal.redact(why),
        exit_code=ended.exit_code,
        head=left.head,
        head_tree=left.head_tree,
        branch=left.branch,
        tree=left.tree,
        when=now(),
        report=work.journal.redact(outcome.report)[-4000:],
    )
    return Result(cause is None, cause, why, number)


def _without_snapshot(work: Work, task: Task, number: int, ended: Ended, outcome: Outcome, error: Br3Error) -> Result:
    """End an attempt that left a worktree which git cannot read: a failure of its own kind, with git's words."""
    cause = outcome.cause or "worktree"
    why = outcome.why or f"git cannot take up what the agent left: {error.message}"
    work.say(
        "attempt.finished",
        "warning",
        task=task.id,
        attempt=number,
        outcome="failed",
        cause=cause,
        why=work.journal.redact(why),
        exit_code=ended.exit_code,
        when=now(),
        report=work.journal.redact(outcome.report)[-4000:],
    )
    return Result(False, cause, why, number)


def _outcome(work: Work, reader: Reader, ended: Ended) -> Outcome:
    said = reader.outcome(ended.exit_code if ended.exit_code is not None else -1)
    why = {
        "cancelled": "it was stopped",
        "timeout": f"it took longer than {work.build.timeout_s:g} s",
        "budget": "its budget was spent",
        "interrupted": "it was interrupted together with its orchestrator",
    }
    if ended.stopped:
        return Outcome(False, ended.stopped, why[ended.stopped], said.report)
    if ended.exit_code is None:
        return Outcome(False, "killed", "it was killed from outside while it was watched", said.report)
    return said


def _disproof(work: Work, task: Task, left: Snapshot) -> tuple[str | None, str]:
    """What git says against a claim of success: the wrong branch, or no change at all since the task began."""
    if left.branch != work.build.branch:
        where = left.branch or "a detached HEAD"
        return "wrong_branch", f"the agent left the worktree on {where} instead of {work.build.branch}"
    attempts = work.view.tasks[task.id].attempts
    before = _before(work, task) or attempts[min(attempts)].started.get("head")
    nothing = "the agent said that it was done, but nothing has changed in the worktree"
    if left.tree == refs.tree_of(work.git, str(before)):
        return "no_change", nothing
    if not refs.is_ancestor(work.git, str(before), left.head):
        return "dropped_work", f"the agent took commits off the branch: {str(before)[:12]} is no longer part of it"
    base = f"refs/heads/{work.plan.base}"
    if left.head != before and not left.dirty and refs.is_ancestor(work.git, left.head, base):
        return "no_change", f"{nothing}: its branch only follows {work.plan.base}"
    droppings = snapshots.new_droppings(work.git, CommitId(str(before)), left.tree)
    if droppings:
        return "droppings", f"the agent committed what set-up makes: {', '.join(droppings)}"
    nested = snapshots.new_gitlinks(work.git, CommitId(str(before)), left.tree)
    if nested:
        return "nested_repository", f"the agent made a repository of its own in {', '.join(nested)}; it could not land"
    return None, ""


def _before(work: Work, task: Task) -> str | None:
    """The commit on which ``task`` builds: that of the task before it, or where the build started; None for repairs."""
    before = work.view.start
    for other in work.build.tasks:
        if other.id == task.id:
            return before
        done = work.view.tasks.get(other.id)
        before = done.commit if done is not None and done.commit else before
    return None


def _no_money(work: Work, task: Task, scope: str) -> Result:
    budget = work.build.budget_usd if scope == "build" else work.plan.budget_usd
    work.say("budget.exceeded", "error", task=task.id, scope=scope, budget_usd=budget)
    return Result(False, "budget", f"the {scope}'s budget of {budget} USD is spent", 0)


def remove_stale_lock(worktree: Path) -> None:
    """A git that was killed leaves its lock; all processes of this build have been ended, so it is nobody's."""
    directory = worktrees.git_dir(worktree)
    if directory is not None:
        (directory / "index.lock").unlink(missing_ok=True)
