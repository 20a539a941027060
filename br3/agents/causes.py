"""Why attempts fail, and what br3 does then: one table, from which docs/AGENTS.md is made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Answer = Literal["wait", "larger_model", "faster_model", "next_model", "retry", "stop_run", "fail", "cancel"]

ANSWERS: dict[Answer, str] = {
    "wait": "wait as the API asks, else exponentially with full jitter, all builds of the run together; then again",
    "larger_model": "try again with a model of a larger context",
    "faster_model": "try again with a faster model",
    "next_model": "try again with the next model",
    "retry": "try again, in the same session where the agent can, and say what went wrong",
    "stop_run": "stop the whole run at once, and say how to mend it",
    "fail": "end the build; what it has done so far is committed on its branch",
    "cancel": "nothing: the user asked for it",
}
"""What br3 does, for people. Where the answer needs a model and there is none, it is ``retry``."""


@dataclass(frozen=True)
class Cause:
    """A kind of failure. ``counts``: whether the attempt is one of the ``retries``; ``hint``: the next thing to do."""

    name: str
    meaning: str
    answer: Answer
    counts: bool = True
    hint: str | None = None


_ALL = (
    Cause("rate_limit", "the API says that there were too many requests", "wait", counts=False),
    Cause("overloaded", "the API is overloaded, broken or cannot be reached", "next_model"),
    Cause("context_too_long", "the conversation does not fit into the model's context", "larger_model"),
    Cause("timeout", "the attempt, or the API within it, took longer than it may", "faster_model"),
    Cause("silence", "the agent printed nothing for longer than it may", "retry"),
    Cause("model_not_found", "the API does not know the model, or not for this key", "next_model"),
    Cause(
        "auth",
        "the key or the login was not accepted",
        "stop_run",
        hint="log in with the agent's own command, or put its key into the environment or .env, then: br3 run",
    ),
    Cause(
        "credit",
        "the account has no credit left",
        "stop_run",
        hint="add credit to the account of the agent's key, then: br3 run",
    ),
    Cause(
        "budget",
        "the budget is spent",
        "fail",
        hint="raise budget_usd in br3.toml, or: br3 run --budget USD",
    ),
    Cause("refused", "the model declined the task", "next_model"),
    Cause("denied", "the agent was denied something that it tried", "retry"),
    Cause("crash", "the agent ended with an error of another kind", "retry"),
    Cause("no_change", "the agent said that it was done, and git shows no change", "retry"),
    Cause("wrong_branch", "the agent left the worktree on another branch", "retry"),
    Cause("dropped_work", "the agent took commits off the branch", "retry"),
    Cause("droppings", "the agent committed what set-up makes", "retry"),
    Cause("not_owned", "the agent changed files that the build does not own", "retry"),
    Cause("nested_repository", "the agent made a repository of its own, which cannot land", "retry"),
    Cause("worktree", "git cannot take up what the agent left", "retry"),
    Cause("killed", "the agent was ended from outside", "retry"),
    Cause("interrupted", "the agent ended together with its orchestrator", "retry", counts=False),
    Cause("cancelled", "the user stopped it", "cancel", counts=False),
)

CAUSES: dict[str, Cause] = {cause.name: cause for cause in _ALL}
"""Every cause that an attempt may end with, by name."""
