"""The next attempt at a task: with which model, in which session. Told from the journal alone, so a restart agrees.

A model is left when it *cannot* (overloaded, not known, refused, too small a context, too slow), whatever the plan asks
for, unless ``fallback = []``. It is left for a more able one, because its work did not hold, only where the plan leaves
the choice open: ``model = "auto"``, or models named in ``fallback``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from br3.agents import Agent, Usage, agent
from br3.agents.causes import CAUSES
from br3.models.routing import Wanted, next_model, same
from br3.orchestrator.gate import Gate
from br3.orchestrator.working import Work
from br3.plan.model import REPAIR, Task
from br3.telemetry.replay import AttemptView

AUTO = "auto"
FORECASTS = "estimates.json"
"""In a run's directory: what was forecast of its builds before it began."""

# A session that ended so is not gone on with: it would end so again.
_NEW_SESSION = frozenset({"context_too_long", "refused", "model_not_found"})
_QUALITY = frozenset(
    {
        "no_change",
        "crash",
        "wrong_branch",
        "dropped_work",
        "droppings",
        "nested_repository",
        "not_owned",
        "verification",
    }
)
_CANNOT: dict[str, Wanted] = {"larger_model": "larger_context", "faster_model": "faster", "next_model": "other"}
_PATIENCE = 3
"""Limits in a row of one model, after which another one is asked; the waiting goes on without one."""
_LONG_WAIT_S = 900.0


@dataclass(frozen=True)
class Session:
    """A session to go on in: its id, and what earlier attempts have used in it."""

    id: str
    spent: tuple[Usage, ...] = ()


@dataclass(frozen=True)
class Choice:
    """What the next attempt gets. ``left`` is the model that it takes over from, ``why`` the cause."""

    model: str
    session: Session | None = None
    left: str | None = None
    why: str | None = None


def choose(work: Work, task: Task) -> Choice:
    """The model and session of the next attempt at ``task``."""
    attempts = _of_this_run(work, task)
    if not attempts:
        # What a session remembers is not there any more where the branch was set back.
        again = bool(work.view.retry.get("from"))
        return Choice(_begins(work, task), None if again else session_of(work, task))
    last = attempts[-1]
    model = str(last.started.get("model") or task.model)
    other, why = _other_model(work, task, attempts, model)
    chosen = Choice(other or model, session_of(work, task))
    if other is None or other == model:
        return chosen
    return Choice(chosen.model, chosen.session, effective(agent(task.agent), last) or model, why)


def gate_of(work: Work, task: Task, model: str) -> Gate:
    """The gate of a model: one, whatever builds call it, and for those too that leave the choice to the agent."""
    asked = agent(task.agent).default_model if model == AUTO else model
    return Gate(work.common_dir, task.agent, same(asked) if asked else AUTO)


def forecast_of(work: Work) -> dict[str, Any]:
    """What was forecast of the build before the run began; nothing where there is none, or where it cannot be read."""
    try:
        found = json.loads((work.run_dir / FORECASTS).read_text()).get(work.build.id)
    except (OSError, ValueError, AttributeError):
        return {}
    return found if isinstance(found, dict) else {}


def _begins(work: Work, task: Task) -> str:
    """The model of a first attempt: the plan's, else the one that was forecast to do; a repair begins further up."""
    if task.model != AUTO or task.policy == "fixed":
        return task.model
    order = [str(model) for model in forecast_of(work).get("order") or []]
    if not order:
        return task.model
    if task.id != REPAIR:
        return order[0]
    done = [a for view in work.view.tasks.values() for a in view.attempts.values() if view.id != REPAIR]
    last = effective(agent(task.agent), done[-1]) if done else order[0]
    return next_model("stronger", last, order) or last or order[0]


def fallbacks_within(work: Work, task: Task, model: str) -> tuple[str, ...]:
    """The models that the agent itself may turn to while ``model`` is overloaded, in order."""
    known = agent(task.agent)
    at = known.default_model if model == AUTO else model
    ladder = models_of(work, task, known)
    chosen: list[str] = []
    while at is not None and (found := next_model("other", at, ladder, chosen)) is not None:
        chosen.append(found)
    return tuple(chosen)


def models_of(work: Work, task: Task, known: Agent) -> tuple[str, ...]:
    """The models to turn to: the plan's, else those that br3 knows for the agent."""
    if work.build.fallback is None:
        return known.ladder
    return tuple(dict.fromkeys([*([] if task.model == AUTO else [task.model]), *work.build.fallback]))


def effective(known: Agent, attempt: AttemptView) -> str | None:
    """The model that did an attempt: what was asked for, else what wrote most of it, else the agent's default."""
    turned_to = attempt.finished.get("model")
    asked = attempt.started.get("model")
    if turned_to or (asked and asked != AUTO):
        return str(turned_to or asked)
    written: dict[str, int] = {}
    for usage in attempt.usage:
        if usage.get("model"):
            name = str(usage["model"])
            written[name] = written.get(name, 0) + int(usage.get("output_tokens") or 0)
    return max(written, key=lambda name: written[name]) if written else known.default_model


def session_of(work: Work, task: Task) -> Session | None:
    """The session that the last attempt at ``task`` left, when it can be gone on with; of earlier runs too."""
    known = agent(task.agent)
    if not known.supports.resume:
        return None
    last = next(reversed(_history(work, task)), None)
    if last is None or last.started.get("agent") != task.agent:
        return None
    cause = last.finished.get("cause")
    session = last.finished.get("session")
    failed_again = cause == "crash" and last.started.get("resumed")
    if not session or cause in _NEW_SESSION or failed_again:
        return None
    if not known.resumable(str(session), config_dir(work, task.agent)):
        return None
    return Session(str(session), spent_in(work, str(session)))


def spent_in(work: Work, session: str, before: AttemptView | None = None) -> tuple[Usage, ...]:
    """What attempts of this build have used in a session, up to and without ``before``."""
    found: list[Usage] = []
    for attempt in _all_attempts(work):
        if attempt is before:
            break
        if session in (attempt.finished.get("session"), attempt.started.get("session")):
            found += [_usage(data) for data in attempt.usage]
    return tuple(found)


def config_dir(work: Work, name: str) -> Path:
    """The configuration directory of an agent that is this build's own; it outlives runs, for sessions to go on."""
    return work.common_dir / "br3" / "agents" / work.build.id / name


def _other_model(work: Work, task: Task, attempts: Sequence[AttemptView], model: str) -> tuple[str | None, str | None]:
    """The model to turn to after what the attempts have come to, and the cause; (None, None): stay."""
    known = agent(task.agent)
    ladder = models_of(work, task, known)
    last = attempts[-1]
    cause = str(last.finished.get("cause") or "")
    at = effective(known, last)
    wanted: Wanted | None = _CANNOT.get(CAUSES[cause].answer) if cause in CAUSES else None
    if cause == "rate_limit" and _is_stuck(attempts):
        wanted = "other"
    if wanted is not None:
        tried = [name for attempt in attempts for name in _failed_at(known, attempt)]
        found = next_model(wanted, at, ladder, tried)
        if found is None and cause == "overloaded":
            # All are: after a while the first is asked again, and not the weakest for ever.
            return (task.model, cause) if task.model != model else (None, None)
        return found, cause
    if not (task.model == AUTO or work.build.fallback):
        return None, None
    ladder = forecast_of(work).get("order") or ladder if task.model == AUTO else ladder
    # Repairs are judged by the verification, not by themselves: another one is needed, so the last did not hold.
    mended = task.id == REPAIR
    failed = [a for a in attempts if (mended and a.state == "succeeded") or a.finished.get("cause") in _QUALITY]
    same_model = [a for a in failed if at and same(effective(known, a) or "") == same(at)]
    if len(same_model) < (1 if mended else 2):
        return None, None
    return next_model("stronger", at, ladder), cause or "verification"


def all_overloaded(work: Work, task: Task) -> bool:
    """Whether the last attempt ended because no model takes requests: then waiting is what is left."""
    attempts = _of_this_run(work, task)
    if not attempts or attempts[-1].finished.get("cause") != "overloaded":
        return False
    known, last = agent(task.agent), attempts[-1]
    tried = [name for attempt in attempts for name in _failed_at(known, attempt)]
    return next_model("other", effective(known, last), models_of(work, task, known), tried) is None


def asked_s(work: Work, task: Task) -> float | None:
    """For how long the API asked to be left alone when the last attempt ended; None when it did not say."""
    asked = _of_this_run(work, task)[-1].finished.get("retry_after_s")
    return None if asked is None else float(asked)


def _failed_at(known: Agent, attempt: AttemptView) -> list[str]:
    """The models that an attempt has found to be of no use, those among them that the agent turned to by itself."""
    cause = str(attempt.finished.get("cause"))
    if cause != "rate_limit" and (cause not in CAUSES or CAUSES[cause].answer != "next_model"):
        return []
    return [str(name) for name in [*(attempt.finished.get("tried") or []), effective(known, attempt)] if name]


def _is_stuck(attempts: Sequence[AttemptView]) -> bool:
    """Whether waiting for this model has been tried long enough, or would take too long."""
    asked = attempts[-1].finished.get("retry_after_s")
    if asked is not None and float(asked) > _LONG_WAIT_S:
        return True
    recent = attempts[-_PATIENCE:]
    models = {attempt.started.get("model") for attempt in recent}
    limited = all(attempt.finished.get("cause") == "rate_limit" for attempt in recent)
    return len(recent) == _PATIENCE and limited and len(models) == 1


def _of_this_run(work: Work, task: Task) -> list[AttemptView]:
    view = work.view.tasks.get(task.id)
    return [a for a in view.attempts.values() if a.finished and a.number > view.since] if view else []


def _history(work: Work, task: Task) -> list[AttemptView]:
    """The attempts at this very task, oldest first, of earlier runs too as long as it was asked the same."""
    found: list[AttemptView] = []
    digest = work.view.tasks[task.id].digest if task.id in work.view.tasks else None
    for run in reversed(work.chain[1:]):
        view = run.builds[work.build.id].tasks.get(task.id) if work.build.id in run.builds else None
        if view is not None and view.digest == digest:
            found += [a for a in view.attempts.values() if a.finished]
    mine = work.view.tasks.get(task.id)
    return found + ([a for a in mine.attempts.values() if a.finished] if mine else [])


def _all_attempts(work: Work) -> Iterator[AttemptView]:
    for run in reversed(work.chain[1:]):
        if work.build.id in run.builds:
            yield from run.builds[work.build.id].attempts
    yield from work.view.attempts


def _usage(data: dict[str, Any]) -> Usage:
    counts = (data.get(f"{kind}_tokens") for kind in ("input", "output", "cache_write", "cache_read"))
    cost = data.get("cost_usd")  # below zero where the table had said too much
    return Usage(data.get("model"), *counts, cost_usd=None if cost is None else Decimal(str(cost)))
