"""A build from its first task to its verdict. Every step looks first whether it has been done already."""

from __future__ import annotations

import dataclasses
import os
import signal
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path
from shlex import quote
from typing import Any

from br3.agents import agent
from br3.agents.causes import CAUSES
from br3.agents.keys import find
from br3.errors import OVER_BUDGET, Br3Error, Interrupted
from br3.orchestrator import ground, heeding, prompts, retrying, salvaging, verdicts
from br3.orchestrator.asking import task_digest
from br3.orchestrator.attempting import (
    MOST_INTERRUPTED,
    NOT_COUNTED,
    REJECTED,
    Result,
    attempt,
    commit,
    commit_facts,
    go_on,
    remove_stale_lock,
)
from br3.orchestrator.choosing import AUTO, Choice, all_overloaded, asked_s, choose, forecast_of, gate_of
from br3.orchestrator.control import Request as Asked
from br3.orchestrator.exits import BUSY, CANCELLED, FAILED, STUCK, VERIFIED
from br3.orchestrator.recording import Elsewhere, run_verification
from br3.orchestrator.verification import Verdict
from br3.orchestrator.working import Work, open_work
from br3.plan.model import REPAIR, Task
from br3.repo import refs, worktrees
from br3.telemetry import Lock, LockHeld, read_events
from br3.telemetry.replay import TaskView
from br3.wording import listed
from br3.workspace import children, preparing, waking

SKIPPED = "skipped by the user"
_NO_REQUESTS = ("rate_limit", "unreachable", "overloaded")


class BuildFailed(Exception):
    """The build ends here. ``cause`` is one word, ``reason`` a sentence, ``log`` where to look."""

    def __init__(self, cause: str, reason: str, log: Path | None = None, hint: str | None = None) -> None:
        super().__init__(reason)
        self.cause, self.reason, self.log, self.hint = cause, reason, log, hint


_GO_ON = "br3 run makes it again from its branch and goes on"


def _lost(work: Work) -> str:
    return f"its worktree {work.worktree} is gone; {work.build.branch} has what was committed"


def _hint(cause: str, build: str) -> str | None:
    """What to do next about a cause, for people."""
    hint = CAUSES[cause].hint if cause in CAUSES else None
    return hint.format(build=build) if hint else None


def orchestrate(common_dir: Path, run: str, build_id: str) -> int:
    """Take the build through what is left of it; returns the exit code."""
    try:
        return _orchestrate(common_dir, run, build_id)
    except ground.GivenWay as gone:
        print(f"br3: {build_id} rests: {gone.message} ({gone.hint})", file=sys.stderr)
        return STUCK


def _orchestrate(common_dir: Path, run: str, build_id: str) -> int:
    cancel = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: cancel.set())
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # the terminal may go, the work stays
    lock = Lock(common_dir, "build", build_id)
    try:
        lock.acquire()
    except LockHeld:
        return BUSY
    with lock, waking.woken():
        work = open_work(common_dir, run, build_id, gen=lock.gen)
        work.cancel = cancel
        if work.view.ended:
            return VERIFIED if work.view.state == "verified" else FAILED
        try:
            _build(work)
        except BuildFailed as failure:
            log = str(failure.log) if failure.log else None
            hint = failure.hint or _hint(failure.cause, build_id)
            work.say("build.failed", "error", cause=failure.cause, reason=failure.reason, log=log, hint=hint)
            return OVER_BUDGET if failure.cause == "budget" else FAILED
        except Interrupted:
            work.say("build.cancelled", "warning", reason=heeding.why_stopped(work))
            heeding.settle(work, [Asked("cancel", build_id)])
            return CANCELLED
        except Exception as error:
            gone = error if isinstance(error, ground.GivenWay) else ground.trouble(common_dir, work.worktree)
            if gone is not None:
                raise gone from None
            if not work.worktree.is_dir():
                work.say("build.failed", "error", cause="worktree", reason=_lost(work), hint=_GO_ON)
                return FAILED
            # Whatever it was, the build must not look as if it were still running.
            told = str(error) if isinstance(error, Br3Error) else f"{type(error).__name__}: {error}"
            reason = work.journal.redact(told)
            work.say("build.failed", "critical", cause="internal", reason=reason)
            if isinstance(error, Br3Error):
                return FAILED
            raise
        return VERIFIED


def _build(work: Work) -> None:
    _begin(work)
    _carry_over(work)
    _see_branch(work)
    for task in (_asked_anew(work, task) for task in work.build.tasks):
        if work.view.tasks.get(task.id, TaskView(task.id)).state not in ("completed", "skipped"):
            try:
                _do_task(work, task)
            except heeding.Skipped:
                _skip(work, task)
        heeding.settle(work, [Asked("skip", work.build.id, task.id)])
    _verify_and_repair(work)


def _asked_anew(work: Work, task: Task) -> Task:
    """The task with the model that its build was retried with."""
    model = work.view.retry.get("model")
    return dataclasses.replace(task, model=str(model)) if model else task


def _skip(work: Work, task: Task) -> None:
    """Leave a task out; what an attempt at it had left uncommitted is put aside."""
    if task.id in work.view.tasks and work.view.tasks[task.id].attempts:
        children.end_marked(work.mark)
        remove_stale_lock(work.worktree)
        salvaging.salvage(work, task)
    digest = task_digest(work.build, task)
    work.say("task.skipped", "warning", task=task.id, title=task.title, reason=SKIPPED, digest=digest)


def _begin(work: Work) -> None:
    start = preparing.start_of(work.worktree)
    if start is None:
        raise BuildFailed("worktree", f"the worktree {work.worktree} is not there or was not made by br3")
    if work.view.beginning:
        start = retrying.set_back(work, start)
    if work.view.state in ("pending", "preparing"):
        work.say("build.started", start=start, branch=work.build.branch, worktree=str(work.worktree))
    else:
        work.say("build.resumed")
    manual = [task.id for task in work.build.tasks if task.agent == "manual"]
    if manual:
        raise BuildFailed("manual", f"task {manual[0]} is manual: a build is manual as a whole or not at all")


def _carry_over(work: Work) -> None:
    """Take over what earlier runs completed on this very branch, as long as the tasks are the same, in order."""
    if work.view.tasks:
        return
    for earlier in work.chain[1:]:
        before = earlier.builds.get(work.build.id)
        if before is None or not before.tasks:
            continue
        for task in work.build.tasks:
            done = before.tasks.get(task.id)
            if task.id == work.view.retry.get("from"):
                return
            if done is None or done.digest != task_digest(work.build, task):
                return
            if done.state == "skipped":
                work.say("task.skipped", task=task.id, title=task.title, reason=SKIPPED, digest=done.digest)
                continue
            landed = _commit_of(work, task, done, earlier.id)
            if landed is None:
                return
            if not refs.is_ancestor(work.git, landed, "HEAD"):
                again = ground.rewritten(work.git, work.build.branch, landed)
                if again is None:
                    _stop_if_moved(work, task, landed)
                    return
                landed = again
            work.say(
                "task.carried",
                task=task.id,
                title=task.title,
                commit=landed,
                digest=done.digest,
                from_run=earlier.id,
            )
        return


def _see_branch(work: Work) -> None:
    """The last commit of the tasks that this run has completed must be on the branch; BuildFailed when it was taken."""
    done = [(task, work.view.tasks[task.id].commit) for task in work.build.tasks if task.id in work.view.tasks]
    commits = [(task, commit) for task, commit in done if commit and work.view.tasks[task.id].state == "completed"]
    head = refs.resolve(work.git, "HEAD")
    if head is None:
        branch, last = work.build.branch, commits[-1][1] if commits else work.view.start
        back = f"git branch {quote(branch)} {last or work.plan.base} makes it again; then br3 run"
        raise BuildFailed("branch", f"{branch} is gone, which its worktree is on", hint=back)
    if commits and not refs.is_ancestor(work.git, commits[-1][1], head):
        _stop_if_moved(work, *commits[-1])


def _stop_if_moved(work: Work, task: Task, commit: str) -> None:
    """BuildFailed when somebody moved the branch away from the commit of a task that is done: it is kept."""
    branch, git = work.build.branch, work.git
    if not ground.was_moved(git, branch, commit):
        return
    kept = ground.keep(git, work.build.id, commit)
    back = ground.way_back(work.worktree, commit)
    raise BuildFailed(
        "branch",
        f"{branch} was moved: it no longer has {commit[:12]}, which completed task {task.id} (kept as {kept})",
        hint=f"{back} takes it back; br3 retry {work.build.id} --from {task.id} does it again",
    )


def _commit_of(work: Work, task: Task, done: TaskView, run: str) -> str | None:
    """The commit of a task that an earlier run completed, also when it was cut off just before committing."""
    if done.state == "completed":
        return done.commit
    last = done.attempts[max(done.attempts)] if done.attempts else None
    if last is None or last.state != "succeeded":
        return None
    remove_stale_lock(work.worktree)
    return commit_facts(work, task, last.finished, run)


def _do_task(work: Work, task: Task) -> None:
    """Attempts until one succeeds and is committed. Raises BuildFailed when the retries are used up."""
    view = work.view.tasks.get(task.id)
    if view is None or view.state == "pending":
        work.say("task.started", task=task.id, title=task.title, digest=task_digest(work.build, task))
    result = _unfinished(work, task)
    trouble = None
    while result is None or not result.ok:
        if result is not None:
            _stop_if_final(work, task, result)
            trouble = result.why
        counted = _counted(work, task)
        if counted > work.build.retries:
            last = _last_cause(work, task)
            work.say("task.failed", "error", task=task.id, cause=last[0], reason=last[1])
            raise BuildFailed(last[0], f"task {task.id}: {last[1]}", _log_of_last(work, task))
        heeding.heed(work, task)
        choice = _ready(work, task)
        done = [t.id for t in work.view.tasks.values() if t.state == "completed"]
        notes = heeding.notes(work)
        text = prompts.for_task(
            work.plan,
            work.build,
            task,
            worktree=str(work.worktree),
            done=done,
            trouble=_with_output(work, task, trouble),
            salvaged=salvaging.of_last(work, task) if choice.session is None else None,
            again=choice.session is not None,
            notes=[str(note.facts.get("text")) for note in notes],
        )
        result = attempt(work, task, text, choice, notes)
    work.say("task.completed", task=task.id, commit=commit(work, task, result.number))


def _ready(work: Work, task: Task) -> Choice:
    """What the next attempt gets, once the gate lets it start; the worktree as it is to begin from."""
    gone = ground.no_room(work.common_dir, work.worktree)
    if gone is not None:
        raise gone
    choice = choose(work, task)
    if choice.session is None:
        salvaging.salvage(work, task)
    first = not work.view.tasks[task.id].attempts if task.id in work.view.tasks else True
    if first and task.model == AUTO and choice.model != AUTO:
        known = forecast_of(work)
        facts: dict[str, Any] = {name: known.get(name) for name in ("reason", "order", "expected_usd", "chance")}
        work.say("model.selected", task=task.id, model=choice.model, by="br3", **facts)
    if choice.left is not None:
        told: dict[str, Any] = {"from": choice.left, "to": choice.model, "reason": choice.why, "by": "br3"}
        work.say("model.fallback", "warning", task=task.id, **told)
    _wait_at_gate(work, task, choice)
    return choice


def _wait_at_gate(work: Work, task: Task, choice: Choice) -> None:
    """Until the API takes requests again; BuildFailed when it has not for as long as an attempt may take."""
    gate = gate_of(work, task, choice.model)
    if all_overloaded(work, task):
        gate.hit(asked_s(work, task))
    waited_s = _limited_s(work, task)
    while (wait_s := gate.wait_s(work.build.id)) > 0:
        heeding.heed(work, task)
        if waited_s > work.build.timeout_s:
            cause, why = _last_cause(work, task)
            reason = f"task {task.id}: the API has taken no requests for {_length(waited_s)}: {why}"
            work.say("task.failed", "error", task=task.id, cause=cause, reason=reason)
            raise BuildFailed(cause, reason, _log_of_last(work, task))
        pause_s = min(wait_s, 0.5)
        waking.pause(pause_s)
        waited_s += pause_s


def _length(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} minutes"


def _limited_s(work: Work, task: Task) -> float:
    """For how long attempts at this task have met nothing but limits, up to now; an answer is more than that."""
    began = None
    for one in reversed(list(work.view.tasks[task.id].attempts.values())):
        if one.finished.get("cause") not in _NO_REQUESTS:
            break
        began = one.finished_ts
        if any(usage.get("source") != REJECTED for usage in one.usage):
            break
    return 0.0 if began is None else (datetime.now(UTC) - datetime.fromisoformat(began)).total_seconds()


def _unfinished(work: Work, task: Task) -> Result | None:
    """What an earlier orchestrator left of its last attempt: a result to commit, an agent to adopt, or nothing."""
    view = work.view.tasks[task.id]
    if not view.attempts:
        children.end_marked(work.mark)
        return None
    last = view.attempts[max(view.attempts)]
    is_of_before = last.number <= view.since  # the task is done anew
    if last.state == "running" and not is_of_before:
        return go_on(work, task, last)
    children.end_marked(work.mark)
    remove_stale_lock(work.worktree)
    if is_of_before:
        if last.state == "running":
            go_on(work, task, last)  # for what it cost
        return None
    if last.state == "succeeded":
        return Result(True, None, "", last.number)
    cause = str(last.finished.get("cause"))
    if cause in CAUSES and CAUSES[cause].answer in ("stop_run", "fail"):  # it was about to end the build
        return Result(False, cause, str(last.finished.get("why")), last.number)
    return None


def _stop_if_final(work: Work, task: Task, result: Result) -> None:
    """Some failures are not mended by another try."""
    if result.cause == "cancelled":
        raise Interrupted("stopped by the user")
    if result.cause == "skipped":
        raise heeding.Skipped
    if result.cause in CAUSES and CAUSES[result.cause].answer == "stop_run":
        work.say("task.failed", "error", task=task.id, cause=result.cause, reason=result.why)
        raise BuildFailed(
            result.cause, f"task {task.id}: {result.why}", _log_of_last(work, task), _of_key(task, result)
        )
    if result.cause == "budget":
        facts = work.view.tasks[task.id].attempts[result.number].finished if result.number else {}
        if facts.get("branch") == work.build.branch:
            commit(work, task, result.number)  # paid work is kept, on the build's branch and no other
        work.say("task.failed", "error", task=task.id, cause="budget", reason=result.why)
        raise BuildFailed("budget", f"task {task.id}: {result.why}")


def _of_key(task: Task, result: Result) -> str | None:
    """What to do about a key that was not accepted, with its name and not the key; None where there is none."""
    keys = find(agent(task.agent), os.environ, None) if result.cause == "auth" else []
    if not keys:
        return None
    told = f"{keys[0].variable} ({keys[0].masked})"
    return f"{told} is what {task.agent} was given: correct it in the environment or in .env, then: br3 run"


def _verify_and_repair(work: Work) -> None:
    repair = _repair_task(work)
    if REPAIR in work.view.tasks and work.view.tasks[REPAIR].state == "running":
        result = _unfinished(work, repair)
        if result is not None and result.ok:
            commit(work, repair, result.number)
        elif result is not None:
            _stop_if_final(work, repair, result)
    if _cut_off_work(work):
        _repair(work, repair, None, None)
    while True:
        heeding.heed(work)
        verdict, log = _verify(work)
        if verdict is None or verdict.passed:
            if REPAIR in work.view.tasks and work.view.tasks[REPAIR].state == "running":
                work.say("task.completed", task=REPAIR, commit=refs.resolve(work.git, "HEAD"))
            tip = work.snapshot()
            work.say("build.verified", commit=tip.head, tree=tip.head_tree)
            return
        _repair(work, repair, verdict, log)


def _cut_off_work(work: Work) -> bool:
    """Whether the worktree holds what an attempt left that did not come to its end: it belongs into a repair."""
    views = [work.view, *(run.builds[work.build.id] for run in work.chain if work.build.id in run.builds)]
    attempts = next((view.attempts for view in views if view.attempts), [])
    if not attempts or attempts[-1].state == "succeeded" or work.build.retries == 0:
        return False
    tip = work.snapshot()
    return tip.dirty and tip.branch == work.build.branch


def _verify(work: Work) -> tuple[Verdict | None, Path | None]:
    """Verify the tip of the branch; (None, None) when it has passed already. Records the verdict."""
    tip = work.snapshot()
    work.say("build.verifying", commit=tip.head)
    if tip.branch != work.build.branch:
        raise BuildFailed("wrong_branch", f"the worktree is on {tip.branch or 'a detached HEAD'}")
    if tip.dirty:
        paths = worktrees.uncommitted(work.worktree, work.excludes)
        where = f"{work.worktree}: {listed(paths)}"
        raise BuildFailed("uncommitted", f"uncommitted changes in {where}; commit or discard them there")
    key = work.verdict_key(tip.head_tree)
    known = verdicts.find(read_events(work.common_dir), key)
    if known is not None and known.kind == "quality.passed":
        return None, None
    try:
        verdict, directory = run_verification(work, tip.head, key, clock=lambda: heeding.clock(work))
    except Elsewhere as error:
        raise BuildFailed("wrong_branch", error.message, hint=error.hint) from error
    failing = verdict.failing
    return verdict, failing.log if failing else directory


def _repair(work: Work, repair: Task, verdict: Verdict | None, log: Path | None) -> None:
    """Attempts that mend the verification, until one changed something; BuildFailed when the retries are used up.

    Without a verdict the trouble is work that an attempt left uncommitted when it was cut off.
    """
    reason = "an attempt was cut off before it came to its end"
    if verdict is not None:
        reason = verdict.reason or "the verification failed"
    shown = children.tail(verdict.results[-1].log, 200) if verdict and verdict.results else ""
    trouble = work.journal.redact(f"{reason}\n\n{shown}")
    while True:
        used = _counted(work, repair) if REPAIR in work.view.tasks else 0
        if used >= work.build.retries:
            if used:
                work.say("task.failed", "error", task=REPAIR, cause="verification", reason=reason)
            raise BuildFailed("verification", reason, log)
        heeding.heed(work)
        if work.view.state == "verifying":
            work.say("build.repairing", "warning", reason=reason)
        if REPAIR not in work.view.tasks or work.view.tasks[REPAIR].state == "pending":
            work.say("task.started", task=REPAIR, title=repair.title)
        choice = _ready(work, repair)
        salvaged = salvaging.of_last(work, repair) if choice.session is None else None
        notes = heeding.notes(work)
        text = prompts.for_repair(
            work.plan,
            work.build,
            worktree=str(work.worktree),
            trouble=trouble,
            salvaged=salvaged,
            notes=[str(note.facts.get("text")) for note in notes],
        )
        result = attempt(work, repair, text, choice, notes)
        if result.ok:
            commit(work, repair, result.number)
            return
        _stop_if_final(work, repair, result)
        trouble += f"\n\nThe last attempt to repair this: {result.why}"


def _repair_task(work: Work) -> Task:
    last = work.build.tasks[-1]
    return Task(
        id=REPAIR,
        title="mend what the verification found",
        prompt="",
        agent=last.agent,
        command=last.command,
        model=str(work.view.retry.get("model") or last.model),
        policy=last.policy,
    )


def _counted(work: Work, task: Task) -> int:
    view = work.view.tasks[task.id]
    causes = [a.finished.get("cause") for a in view.attempts.values() if a.finished and a.number > view.since]
    limited = causes.count("rate_limit")  # the waiting for it has an end of its own
    free = sum(cause in NOT_COUNTED for cause in causes) - limited
    return len(causes) - limited - min(free, MOST_INTERRUPTED)


def _last_cause(work: Work, task: Task) -> tuple[str, str]:
    attempts = work.view.tasks[task.id].attempts
    facts = attempts[max(attempts)].finished
    return str(facts.get("cause") or "crash"), str(facts.get("why") or "the agent failed")


def _log_of_last(work: Work, task: Task) -> Path | None:
    attempts = work.view.tasks[task.id].attempts
    if not attempts:
        return None
    directory = work.directory_of(task.id, max(attempts))
    errors = directory / "stderr.log"
    return errors if errors.exists() and errors.stat().st_size else directory / "stdout.log"


def _with_output(work: Work, task: Task, trouble: str | None) -> str | None:
    """The trouble of the last attempt with the end of what it printed."""
    attempts = work.view.tasks[task.id].attempts
    if not attempts or (trouble is None and not attempts[max(attempts)].finished.get("cause")):
        return None
    last = attempts[max(attempts)]
    directory = work.directory_of(task.id, last.number)
    shown = "\n".join(filter(None, (children.tail(directory / name, 60) for name in ("stdout.log", "stderr.log"))))
    return work.journal.redact(f"{trouble or last.finished.get('why') or ''}\n\n{shown}")
