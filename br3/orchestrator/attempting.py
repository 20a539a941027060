"""One attempt at a task: start the agent, follow it, and establish with git's word what came of it.

Order, so that a crash at any line is harmless: ``attempt.started`` is fsynced before the agent starts;
``attempt.finished``, with HEAD and the tree of what was left, before anything is committed; committing the same facts
again makes the same commit.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

from br3.agents import Outcome, Reader, Request, agent
from br3.agents.base import spent_usd
from br3.agents.process import Ended, Running, adopt, directory_for, start, watch
from br3.orchestrator.working import Work
from br3.plan.model import Task
from br3.repo import snapshots, worktrees
from br3.repo.refs import CommitId, TreeId
from br3.repo.snapshots import Snapshot
from br3.telemetry.journal import now
from br3.telemetry.replay import AttemptView
from br3.workspace import children

# Causes that are nobody's failure: the attempt does not count against the retries.
NOT_COUNTED = frozenset({"interrupted", "cancelled"})


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
    running = start(
        chosen.command(request),
        directory=directory,
        worktree=work.worktree,
        env=env,
        prompt_file=request.prompt_file,
    )
    return _follow(work, task, number, running, chosen.reader(request), left, scope)


def go_on(work: Work, task: Task, seen: AttemptView) -> Result:
    """Bring an attempt to its end whose orchestrator is gone: adopt its agent, or read the status it left."""
    directory = Path(seen.started["directory"])
    request = _request(work, task, directory, None, session=str(seen.started.get("session")))
    reader = agent(task.agent).reader(request)
    running = adopt(directory, work.mark)
    if running is not None:
        left, scope = work.left_usd()
        return _follow(work, task, seen.number, running, reader, left, scope)
    ended = watch(Running(directory, work.mark), reader, lambda: None)
    return _finish(work, task, seen.number, reader, ended)


def commit(work: Work, task: Task, number: int) -> CommitId:
    """Commit what the attempt left uncommitted, by the facts of its ``attempt.finished``; again is the same commit."""
    facts = work.view.tasks[task.id].attempts[number].finished
    left = Snapshot(
        head=CommitId(facts["head"]),
        branch=facts["branch"],
        head_tree=TreeId(facts["head_tree"]),
        tree=TreeId(facts["tree"]),
    )
    trailers = {"Br3-Run": work.run, "Br3-Build": work.build.id, "Br3-Task": task.id}
    return snapshots.commit_snapshot(work.worktree, left, f"{work.build.id}: {task.title}", trailers, facts["when"])


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


def _follow(
    work: Work, task: Task, number: int, running: Running, reader: Reader, left: Decimal | None, scope: str
) -> Result:
    began = datetime.fromisoformat(work.view.tasks[task.id].attempts[number].started_ts)
    record = _recorder(work, task, number, reader)

    def tick() -> str | None:
        record()
        if work.cancel.is_set():
            return "cancelled"
        spent = spent_usd(reader.usage)
        if left is not None and spent is not None and spent > left:
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
            work.say("usage.recorded", task=task.id, attempt=number, **usage.as_data())

    return record


def _finish(work: Work, task: Task, number: int, reader: Reader, ended: Ended) -> Result:
    _remove_stale_lock(work.worktree)
    outcome = _outcome(work, reader, ended)
    _recorder(work, task, number, reader)()
    left = work.snapshot()
    cause, why = outcome.cause, outcome.why
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


def _outcome(work: Work, reader: Reader, ended: Ended) -> Outcome:
    said = reader.outcome(ended.exit_code if ended.exit_code is not None else -1)
    why = {
        "cancelled": "it was stopped",
        "timeout": f"it took longer than {work.build.timeout_s:g} s",
        "budget": "its budget was spent",
    }
    if ended.stopped:
        return Outcome(False, ended.stopped, why[ended.stopped], said.report)
    if ended.exit_code is None:
        return Outcome(False, "interrupted", "it was interrupted from outside", said.report)
    return said


def _disproof(work: Work, task: Task, left: Snapshot) -> tuple[str | None, str]:
    """What git says against a claim of success: the wrong branch, or no change at all since the task began."""
    if left.branch != work.build.branch:
        where = left.branch or "a detached HEAD"
        return "wrong_branch", f"the agent left the worktree on {where} instead of {work.build.branch}"
    attempts = work.view.tasks[task.id].attempts
    first = attempts[min(attempts)].started.get("head")
    if left.head == first and not left.dirty:
        return "no_change", "the agent said that it was done, but nothing has changed in the worktree"
    return None, ""


def _no_money(work: Work, task: Task, scope: str) -> Result:
    budget = work.build.budget_usd if scope == "build" else work.plan.budget_usd
    work.say("budget.exceeded", "error", task=task.id, scope=scope, budget_usd=budget)
    return Result(False, "budget", f"the {scope}'s budget of {budget} USD is spent", 0)


def _remove_stale_lock(worktree: Path) -> None:
    """A git that was killed leaves its lock; all processes of this build have been ended, so it is nobody's."""
    directory = worktrees.git_dir(worktree)
    if directory is not None:
        (directory / "index.lock").unlink(missing_ok=True)
