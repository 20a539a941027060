"""Agents: one module per coding CLI, all of one shape, and the running of one safely.

Promises: an agent's output goes to files that outlive br3, its exit status too; it gets an environment by allow-list
and its own keys only; nothing it started outlives its attempt; what it says of itself is a claim: whether it
succeeded is decided with git's word by the orchestrator. What is not known of its usage is None, never 0.

Modules: ``base`` says what an agent is · ``claude`` (with ``claude_costs``), ``codex``, ``gemini``, ``opencode``,
``aider`` and ``shell`` are agents · ``causes`` is the table of failures and answers, ``telling`` reads causes from
words · ``process`` runs one, ``ending`` leaves none of its processes, ``following`` reads its files · ``configuration``
links a build's own directory to the login · ``keys``, ``probing``: what is here · ``sandbox``: bubblewrap.

Packages may bring agents of their own: an entry point in the group ``br3.agents`` that names an object of ``Agent``'s
shape. One of the name of an agent here is passed over.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from br3.agents.base import Agent, Outcome, Reader, Request, Usage
from br3.errors import UsageError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint, EntryPoints

NAMES = ("claude", "codex", "gemini", "opencode", "aider", "shell")
"""Agents that run by themselves; each is the module of that name. ``manual`` is a person and has none."""

GROUP = "br3.agents"

_SHAPE = (
    "tested_with known_versions executable install variables keys login settings default_model ladder supports "
    "missing home resumable prepare command environment reader render"
).split()

__all__ = ["GROUP", "NAMES", "Agent", "Outcome", "Reader", "Request", "Usage", "agent", "brought_along"]


def agent(name: str) -> Agent:
    """The agent of that name; UsageError when there is none, or when the package that brings it is broken."""
    if name in NAMES:
        found: Agent = importlib.import_module(f"br3.agents.{name}").AGENT
        return found
    for entry in _entries():
        if entry.name == name:
            return _loaded(entry)
    known = ", ".join([*NAMES, *brought_along()])
    raise UsageError(f"there is no agent {name!r}", hint=f"agents that run by themselves: {known}")


def brought_along() -> tuple[str, ...]:
    """The names of agents of other packages; nothing is imported."""
    return tuple(sorted({entry.name for entry in _entries()} - set(NAMES)))


def _entries() -> EntryPoints:
    import importlib.metadata  # 20 ms, for those who have agents of other packages

    return importlib.metadata.entry_points(group=GROUP)


def _loaded(entry: EntryPoint) -> Agent:
    package = entry.dist.name if entry.dist else entry.value
    hint = f"mend or remove the package {package}, or use another agent"
    try:
        found: Agent = entry.load()
    except Exception as error:  # whatever a foreign module does at import
        why = f"{type(error).__name__}: {error}".split("\n")[0]
        raise UsageError(f"the agent {entry.name!r} of {package} cannot be loaded: {why}", hint=hint) from error
    lacking = [name for name in _SHAPE if not hasattr(found, name)]
    if lacking:
        raise UsageError(f"the agent {entry.name!r} of {package} lacks {', '.join(lacking)}", hint=hint)
    return found
