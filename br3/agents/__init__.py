"""Agents: one module per coding CLI, all of one shape, and the running of one safely.

Promises: an agent's output goes to files that outlive br3, its exit status too; it gets an environment by allow-list
and its own keys only; nothing it started outlives its attempt; what it says of itself is a claim: whether it
succeeded is decided with git's word by the orchestrator.
"""

from __future__ import annotations

import importlib

from br3.agents.base import Agent, Outcome, Reader, Request, Usage
from br3.errors import UsageError

NAMES = ("claude", "shell")
"""Agents that run by themselves; each is the module of that name. ``manual`` is a person and has none."""

__all__ = ["NAMES", "Agent", "Outcome", "Reader", "Request", "Usage", "agent"]


def agent(name: str) -> Agent:
    """The agent of that name; UsageError when br3 has none."""
    if name not in NAMES:
        raise UsageError(f"there is no agent {name!r}", hint=f"agents that run by themselves: {', '.join(NAMES)}")
    found: Agent = importlib.import_module(f"br3.agents.{name}").AGENT
    return found
