"""Why attempts fail, and what br3 does then: one table, from which docs/AGENTS.md is made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Answer = Literal["wait", "larger_model", "faster_model", "next_model", "retry", "stop_run", "fail", "cancel"]

ANSWERS: dict[Answer, str] = {
    "wait": "wait as the API asks, else exponentially with full jitter, all builds together; then again",
    "larger_model": "try again with a model of a larger context",
    "faster_model": "try again with a faster model",
    "next_model": "try again with the next model; when all were overloaded, `wait` and begin with the first",
    "retry": "try again, in the same session where the agent can, and say what went wrong",
    "stop_run": "stop the whole run at once, and say how to mend it",
    "fail": "end the build; what it has done so far is committed on its branch",
    "cancel": "nothing: the user asked for it",
}
"""What br3 does, for people. Where the answer needs a model and there is none, it is ``retry``."""


@dataclass(frozen=True)
class Cause:
    """A kind of failure. ``counts``: whether the attempt is one of the ``retries``.

    ``hint`` is the next thing to do, with ``{build}`` in it where the build is named.
    """

    name: str
    meaning: str
    answer: Answer
    counts: bool = True
    hint: str | None = None


_TELL_IT = "say more in the prompt or take a stronger model, then: br3 run (br3 logs {build} shows what it did)"
_LOOK = "br3 logs {build} shows what it did; br3 run tries again"
_AGAIN = "br3 run tries again, in the same session where the agent can"

_ALL = (
    Cause("rate_limit", "the API says that there were too many requests", "wait", False, "later: br3 run"),
    Cause("unreachable", "the API cannot be reached", "wait", False, "when the network is back: br3 run"),
    Cause(
        "overloaded",
        "the API is overloaded or broken",
        "next_model",
        counts=False,
        hint="later: br3 run; or name other models: fallback = [...]",
    ),
    Cause(
        "context_too_long",
        "the conversation does not fit into the model's context",
        "larger_model",
        hint="make smaller tasks of it, or name models of a larger context: fallback = [...]",
    ),
    Cause(
        "timeout",
        "the attempt, or the API within it, took longer than it may",
        "faster_model",
        hint='make smaller tasks of it, or raise timeout = "…" in br3.toml',
    ),
    Cause("silence", "the agent printed nothing for longer than it may", "retry", hint=_LOOK),
    Cause(
        "model_not_found",
        "the API does not know the model, or not for this key",
        "next_model",
        hint="br3 models lists names; correct model = … or fallback = [...], then: br3 run",
    ),
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
    Cause("budget", "the budget is spent", "fail", hint="raise it in br3.toml, then: br3 run"),
    Cause("refused", "the model declined the task", "next_model", hint=_TELL_IT),
    Cause(
        "denied",
        "the agent was denied something that it tried",
        "retry",
        hint="tell it in the prompt to do without; br3 logs {build} shows what it tried",
    ),
    Cause("crash", "the agent ended with an error of another kind", "retry", hint=_LOOK),
    Cause("no_change", "the agent said that it was done, and git shows no change", "retry", hint=_TELL_IT),
    Cause("wrong_branch", "the agent left the worktree on another branch", "retry", hint=_LOOK),
    Cause("dropped_work", "the agent took commits off the branch", "retry", hint=_LOOK),
    Cause("droppings", "the agent committed what set-up makes", "retry", hint="list it in .gitignore, then: br3 run"),
    Cause(
        "not_owned",
        "the agent changed files that the build does not own",
        "retry",
        hint='widen owns in br3.toml, or [hooks] owns = "warn", then: br3 run; or br3 retry {build} --from TASK',
    ),
    Cause("nested_repository", "the agent made a repository of its own, which cannot land", "retry", hint=_LOOK),
    Cause("worktree", "git cannot take up what the agent left", "retry", hint="br3 status {build} says where it lies"),
    Cause("killed", "the agent was ended from outside", "retry", hint=_AGAIN),
    Cause("interrupted", "the agent ended together with its orchestrator", "retry", False, _AGAIN),
    Cause("cancelled", "the user stopped it", "cancel", counts=False),
    Cause("skipped", "the user skipped the task", "cancel", counts=False),
)

CAUSES: dict[str, Cause] = {cause.name: cause for cause in _ALL}
"""Every cause that an attempt may end with, by name."""
