"""One attempt at a task: start the agent, follow it, and establish with git's word what came of it.

Order, so that a crash at any line is harmless: ``attempt.started`` is fsynced before the agent starts;
``attempt.finished``, with HEAD and the tree of what was left, before anything is committed; committing the same facts
again makes the same commit.
"""

from __future__ import annotations

import dataclasses
import os
import signal
import time
import uuid
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from br3.agents import Agent, Outcome, Reader, Request, agent
from br3.agents.base import Usage
from br3.agents.causes import CAUSES
from br3.agents.configuration import bring_back_login
from br3.agents.process import Ended, Running, adopt, directory_for, start, watch
from br3.errors import Br3Error
from br3.orchestrator import confining, ground, heeding, trespass
from br3.orchestrator.choosing import Choice, Session, config_dir, fallbacks_within, forecast_of, gate_of, spent_in
from br3.orchestrator.control import Request as Asked
from br3.orchestrator.gate import Gate
from br3.orchestrator.ledger import known_sum
from br3.orchestrator.proving import disproof
from br3.orchestrator.showing import Now
from br3.orchestrator.working import Work
from br3.plan.model import DEFAULT_SILENCE_S, Task
from br3.repo import snapshots, worktrees
from br3.repo.refs import CommitId, TreeId
from br3.repo.snapshots import Snapshot
from br3.telemetry import read_events
from br3.telemetry.journal import now
from br3.telemetry.replay import AttemptView
from br3.workspace import children

# Causes that are nobody's failure: the attempt does not count against the retries.
NOT_COUNTED = frozenset(name for name, cause in CAUSES.items() if not cause.counts)
MOST_INTERRUPTED = 5
"""Attempts of one task that may be interrupted before the next one counts: each may have cost money."""

REJECTED = "rejected"
"""The source of usage that is nothing, since the API did not let the request in."""

_REJECTED = frozenset({"rate_limit", "unreachable", "auth", "credit", "model_not_found"})

_LOOK_AT_BUDGET_S = 1.0
_STRANGE_USD = Decimal("0.000001")


@dataclass(frozen=True)
class Result:
    """What an attempt came to. ``why`` is for people and for the next attempt's prompt."""

    ok: bool
    cause: str | None
    why: str
    number: int


def attempt(work: Work, task: Task, prompt: str, choice: Choice, notes: Sequence[Asked] = ()) -> Result:
    """Make the next attempt at ``task`` with ``prompt``, in which ``notes`` stand."""
    left, scope = work.left_usd()
    if left is not None and left <= 0:
        return _no_money(work, task, scope)
    number = max(work.view.tasks[task.id].attempts, default=0) + 1
    directory = directory_for(work.run_dir, work.build.id, task.id, number)
    request = _request(work, task, directory, choice.model, choice.session, left)
    request.prompt_file.write_text(prompt, errors="surrogateescape")
    request.usage_file.touch()
    chosen = agent(task.agent)
    chosen.prepare(request)
    ground = confining.prepare(work, chosen, request)
    trespass.begin(work)
    seen = work.snapshot()
    work.say(
        "attempt.started",
        task=task.id,
        attempt=number,
        agent=task.agent,
        model=choice.model,
        directory=str(directory),
        session=request.resume or request.session,
        resumed=request.resume is not None,
        sandbox=request.sandbox,
        budget_usd=None if left is None else str(left),
        head=seen.head,
        tree=seen.tree,
        notes=[note.occasion for note in notes],
    )
    command = confining.wrap(chosen.command(request), ground)
    running = start(
        command,
        directory=directory,
        worktree=work.worktree,
        env=_environment(work, task, number, chosen, request),
        prompt_file=request.prompt_file,
    )
    return _follow(work, task, number, running, chosen.reader(request), request, Counter(), elapsed_s=0.0)


def go_on(work: Work, task: Task, seen: AttemptView) -> Result:
    """Bring an attempt to its end whose orchestrator is gone: adopt its agent, or read the status it left."""
    directory = work.directory_of(task.id, seen.number)
    its_session = str(seen.started.get("session"))
    session = Session(its_session, spent_in(work, its_session, seen)) if seen.started.get("resumed") else None
    model = str(seen.started.get("model") or task.model)
    request = _request(work, task, directory, model, session, None, fresh=its_session)
    reader = agent(task.agent).reader(request)
    children.signal_marked(work.mark, signal.SIGCONT)  # a pause may have been taken back while nobody was there
    running = adopt(directory, work.mark)
    told = _told(work, task, seen.number)
    if running is not None:
        elapsed_s = _elapsed_s(work, task, seen.number)
        return _follow(work, task, seen.number, running, reader, request, told, elapsed_s=elapsed_s)
    refused = confining.Refusals()
    ended = watch(Running(directory, work.mark), reader, lambda: None, hear=refused.hear)
    if ended.exit_code is None:
        ended = Ended(None, "interrupted")
    record = _recorder(work, task, seen.number, reader, told)
    return _finish(work, task, seen.number, reader, ended, request, refused, record, cut_off=True)


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


def _request(
    work: Work,
    task: Task,
    directory: Path,
    model: str,
    session: Session | None,
    left: Decimal | None,
    *,
    fresh: str | None = None,
) -> Request:
    return Request(
        prompt_file=directory / "prompt.md",
        usage_file=directory / "usage.jsonl",
        worktree=work.worktree,
        model=model,
        session=fresh or str(uuid.uuid4()),
        budget_usd=left,
        command=task.command,
        resume=session.id if session else None,
        spent=session.spent if session else (),
        config_dir=config_dir(work, task.agent),
        fallback_models=fallbacks_within(work, task, model),
        sandbox=confining.kind_of(work.build.sandbox),
        network=work.build.network,
        git_dirs=confining.git_dirs(work),
    )


def _environment(work: Work, task: Task, number: int, chosen: Agent, request: Request) -> dict[str, str]:
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
    return env | trespass.tracing(request.prompt_file.parent)


def _told(work: Work, task: Task, number: int) -> Counter[str]:
    """How many events of each kind an earlier orchestrator has written of this attempt."""
    this = (work.run, work.build.id, task.id, number)
    events = read_events(work.common_dir, [work.build.id])
    return Counter(event.kind for event in events if (event.run, event.build, event.task, event.attempt) == this)


def _follow(
    work: Work,
    task: Task,
    number: int,
    running: Running,
    reader: Reader,
    request: Request,
    told: Counter[str],
    *,
    elapsed_s: float,
) -> Result:
    view = work.view.tasks[task.id].attempts[number]
    work.at, work.began = (task.id, number), work.clock.now() - elapsed_s
    refused = confining.Refusals()
    record = _recorder(work, task, number, reader, told)
    limited = _limits(work, task, number, reader, request, told)
    shown = Now(work.build_dir, task.id, number, work.journal.redact)
    limit: tuple[Decimal | None, str] = work.left_usd(task.id, number)
    looked = time.monotonic()
    over = ""
    forecast = forecast_of(work)
    is_dear = False

    def tick() -> str | None:
        nonlocal limit, looked, over, is_dear
        record()
        limited()
        shown.tell(reader.activity, view.usage)
        heeding.pulse(work)
        if work.cancel.is_set():
            return "cancelled"
        if heeding.is_skipped(work, task.id):
            return "skipped"
        if time.monotonic() - looked > _LOOK_AT_BUDGET_S and limit[0] is not None:
            limit, looked = work.left_usd(task.id, number), time.monotonic()  # other builds spend from it too
        left, scope = limit
        spent = known_sum(view.usage)
        if left is not None and spent > left:
            budget = _budget(work, scope)
            work.say("budget.exceeded", "error", task=task.id, scope=scope, cost_usd=str(spent), budget_usd=budget)
            over = f"{_spent_of(scope, budget)}, {spent:.4f} USD by this attempt"
            return "budget"
        warned, stop = _beyond(work, request.model, forecast)
        if stop is not None:
            work.say("budget.exceeded", "error", task=task.id, scope="estimate", budget_usd=stop, cost_usd=str(spent))
            over = f"the build has cost more than {stop} USD, as hardly one of its kind does ([estimate] stop_at)"
            return "budget"
        if warned is not None and not is_dear:
            is_dear = True
            work.say("budget.exceeded", "warning", task=task.id, scope="P90", budget_usd=warned, cost_usd=str(spent))
        if work.clock.now() - work.began > work.build.timeout_s:
            work.say("timeout.occurred", "error", task=task.id, what="attempt", limit_s=work.build.timeout_s)
            return "timeout"
        return None

    try:
        silence_s = _silence_s(work, task)
        ended = watch(running, reader, tick, silence_s=silence_s, hear=refused.hear, clock=work.clock.now)
    finally:
        shown.end()
        work.at = None
    limited()
    if ended.stopped == "silence":
        work.say("timeout.occurred", "error", task=task.id, what="silence", limit_s=_silence_s(work, task))
    return _finish(work, task, number, reader, ended, request, refused, record, over=over)


def _elapsed_s(work: Work, task: Task, number: int) -> float:
    """How long an attempt has been at work, as its last orchestrator last said."""
    this = (work.run, work.build.id, task.id, number)
    beats = [
        float(event.data.get("elapsed_s") or 0)
        for event in read_events(work.common_dir, [work.build.id])
        if event.kind == "build.heartbeat" and (event.run, event.build, event.task, event.attempt) == this
    ]
    return max(beats, default=0.0)


def _beyond(work: Work, model: str, forecast: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """The P90 that the build's cost in this run is above, and the limit at which it is stopped; None: it is not."""
    costs = (forecast.get("costs") or {}).get(model) or {}
    if not costs:
        return None, None
    spent = known_sum([usage for attempt in work.view.attempts for usage in attempt.usage])
    p90, stop = costs.get("p90_usd"), costs.get("stop_usd")
    above = p90 if p90 and spent > Decimal(p90) else None
    return above, stop if stop and spent > Decimal(stop) else None


def _silence_s(work: Work, task: Task) -> float | None:
    """How long the agent may print nothing. A shell command may have nothing to say for hours."""
    given = work.build.silence_s
    return given if given is not None or task.agent == "shell" else DEFAULT_SILENCE_S


def _recorder(work: Work, task: Task, number: int, reader: Reader, told: Counter[str]) -> Callable[[], None]:
    """Writes usage as it becomes known; what an earlier orchestrator of the same attempt wrote is not written twice.

    So does it with the models that the agent turned to by itself.
    """
    turned = told["model.fallback"]

    def record() -> None:
        nonlocal turned
        for usage in reader.usage[len(work.view.tasks[task.id].attempts[number].usage) :]:
            work.say("usage.recorded", task=task.id, attempt=number, **usage.priced(datetime.now(UTC)).as_data())
        for fallback in reader.fallbacks[turned:]:
            facts: dict[str, Any] = {
                "from": fallback.original,
                "to": fallback.model,
                "reason": fallback.why,
                "by": task.agent,
            }
            work.say("model.fallback", "warning", task=task.id, attempt=number, **facts)
            turned += 1

    return record


def _limits(
    work: Work, task: Task, number: int, reader: Reader, request: Request, told: Counter[str]
) -> Callable[[], None]:
    """Closes the gate for all builds at each rate limit that the agent meets, and opens it when it is answered."""
    gate = gate_of(work, task, request.model)
    met, answered = told["rate_limit.hit"], len(work.view.tasks[task.id].attempts[number].usage)

    def look() -> None:
        nonlocal met, answered
        for asked_s in reader.limits[met:]:
            met += 1
            _close(work, task, number, gate, asked_s)
        if len(reader.usage) > answered:
            answered = len(reader.usage)
            gate.passed()

    return look


def _close(work: Work, task: Task, number: int, gate: Gate, asked_s: float | None) -> None:
    wait_s = gate.hit(asked_s)
    facts: dict[str, Any] = {"agent": task.agent, "retry_after_s": asked_s, "wait_s": round(wait_s, 3)}
    work.say("rate_limit.hit", "warning", task=task.id, attempt=number, **facts)


def _finish(
    work: Work,
    task: Task,
    number: int,
    reader: Reader,
    ended: Ended,
    request: Request,
    refused: confining.Refusals,
    record: Callable[[], None],
    *,
    cut_off: bool = False,
    over: str = "",
) -> Result:
    remove_stale_lock(work.worktree)
    outcome = _outcome(work, task, reader, ended, over)
    if ended.stopped is None and not outcome.claims_success and ground.no_room(work.common_dir, work.worktree):
        outcome = dataclasses.replace(outcome, cause="interrupted", why="the disk was full")
    record()
    if outcome.cause in _REJECTED and not reader.usage and not work.view.tasks[task.id].attempts[number].usage:
        # What was not let in is not billed; without this the costs of the whole build would not be known.
        nothing = Usage(None, 0, 0, 0, 0, cost_usd=Decimal(0), source=REJECTED)
        work.say("usage.recorded", task=task.id, attempt=number, **nothing.as_data())
    _compare(work, task, number, outcome)
    gate = gate_of(work, task, request.model)
    if outcome.cause == "unreachable":
        gate.hit(outcome.retry_after_s)
    if outcome.cause == "rate_limit":  # what the agent waited between its own tries is no answer to its giving up
        _close(work, task, number, gate, outcome.retry_after_s)
    elif outcome.claims_success:
        gate.passed()
    gate.release(work.build.id)
    chosen = agent(task.agent)
    home = chosen.home(os.environ)
    if request.config_dir is not None and home is not None:
        bring_back_login(request.config_dir, home, chosen.login)
    facts: dict[str, Any] = {
        "exit_code": ended.exit_code,
        "session": reader.session,
        "model": outcome.model or (reader.fallbacks[-1].model if reader.fallbacks else None),
        "tried": list(dict.fromkeys(name for turn in reader.fallbacks for name in (turn.original, turn.model))),
        "retry_after_s": outcome.retry_after_s,
        "when": now(),
        "report": work.journal.redact(outcome.report)[-4000:],
    }
    cause, why = outcome.cause, outcome.why
    try:
        confining.bring_back(work, request)
        trespass.end(work, task.id, number, refused.tried, request.prompt_file.parent, cut_off=cut_off)
        left = work.snapshot()
    except Br3Error as error:
        gone = ground.trouble(work.common_dir, work.worktree)
        if gone is not None:
            raise gone from error
        # The worktree or its branch is in a state that git cannot read: a failure of its own kind, with git's words.
        cause = cause or "worktree"
        why = why or f"git cannot take up what the agent left: {error.message}"
    else:
        if outcome.claims_success:
            cause, why = disproof(work, task, left)
        facts |= {"head": left.head, "head_tree": left.head_tree, "branch": left.branch, "tree": left.tree}
    work.say(
        "attempt.finished",
        "info" if cause is None else "warning",
        task=task.id,
        attempt=number,
        outcome="succeeded" if cause is None else "failed",
        cause=cause,
        why=work.journal.redact(why),
        **facts,
    )
    heeding.forget_told(work)
    return Result(cause is None, cause, why, number)


def _compare(work: Work, task: Task, number: int, outcome: Outcome) -> None:
    """Whether what was recorded is what the agent itself says that the attempt has cost."""
    usage = work.view.tasks[task.id].attempts[number].usage
    if outcome.total_usd is None or any(one.get("cost_usd") is None for one in usage):
        return
    recorded = known_sum(usage)
    if abs(recorded - outcome.total_usd) > _STRANGE_USD:
        told: dict[str, Any] = {"recorded_usd": str(recorded), "agent_usd": str(outcome.total_usd)}
        work.say("usage.differs", "warning", task=task.id, attempt=number, **told)


def _outcome(work: Work, task: Task, reader: Reader, ended: Ended, over: str) -> Outcome:
    said = reader.outcome(ended.exit_code if ended.exit_code is not None else -1)
    why = {
        "cancelled": "it was stopped",
        "skipped": "its task was skipped by the user",
        "timeout": f"it took longer than {work.build.timeout_s:g} s",
        "silence": f"it printed nothing for {_silence_s(work, task) or 0:g} s",
        "budget": over or "its budget was spent",
        "interrupted": "it was interrupted together with its orchestrator",
    }
    if ended.stopped:
        return Outcome(False, ended.stopped, why[ended.stopped], said.report, total_usd=said.total_usd)
    if ended.exit_code is None:
        return Outcome(False, "killed", "it was killed from outside while it was watched", said.report)
    return said


def _no_money(work: Work, task: Task, scope: str) -> Result:
    budget = _budget(work, scope)
    work.say("budget.exceeded", "error", task=task.id, scope=scope, budget_usd=budget)
    return Result(False, "budget", _spent_of(scope, budget), 0)


def _budget(work: Work, scope: str) -> str | None:
    return {
        "attempt": work.build.attempt_budget_usd,
        "build": work.build.budget_usd,
        "run": work.plan.budget_usd,
        "day": work.plan.daily_budget_usd,
    }[scope]


def _spent_of(scope: str, budget: str | None) -> str:
    key = {
        "attempt": "attempt_budget_usd",
        "build": "budget_usd of the build",
        "run": "[plan] budget_usd, or --budget",
        "day": "[plan] daily_budget_usd; the day ends at 00:00 UTC",
    }[scope]
    return f"the {scope}'s budget of {budget} USD is spent ({key})"


def remove_stale_lock(worktree: Path) -> None:
    """A git that was killed leaves its lock; all processes of this build have been ended, so it is nobody's."""
    directory = worktrees.git_dir(worktree)
    if directory is not None:
        (directory / "index.lock").unlink(missing_ok=True)
