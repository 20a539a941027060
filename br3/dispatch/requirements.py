"""What the agents of builds need of this machine: that they are installed, their keys, their variables."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from br3.agents import agent
from br3.agents.keys import find
from br3.errors import UsageError
from br3.orchestrator import confining
from br3.plan.model import Build, Plan
from br3.workspace import children


def missing_agents(plan: Plan, builds: Sequence[Build]) -> None:
    """UsageError when an agent of the builds is not installed, Refused when a sandbox does not work here."""
    for name in {task.agent for build in builds for task in build.tasks} - {"manual"}:
        complaint = agent(name).missing()
        if complaint:
            raise UsageError(
                f"the plan {plan.name} needs an agent that is not here: {name}",
                hint=f'{complaint}; or use another: agent = "shell" or "manual"',
            )
    confining.check(builds)


def odd_keys(source: Path | None, builds: Sequence[Build]) -> list[str]:
    """What is wrong with the keys of the builds' agents, in words that do not show them. They are not tried."""
    env_file = source / ".env" if source is not None else None
    names = sorted({task.agent for build in builds for task in build.tasks} - {"manual"})
    found = [key.complaint for name in names for key in find(agent(name), os.environ, env_file)]
    return list(dict.fromkeys(complaint for complaint in found if complaint))


def agent_variables(source: Path | None, builds: Sequence[Build]) -> dict[str, str]:
    """The variables of ``.env`` that an agent of these builds may have; the environment itself wins over them."""
    if source is None or not (source / ".env").is_file():
        return {}
    from dotenv import dotenv_values

    names = {name for build in builds for name in build.env}
    for name in {task.agent for build in builds for task in build.tasks} - {"manual"}:
        names.update(agent(name).variables)
    values = dotenv_values(source / ".env")
    chosen = {k: v for k, v in values.items() if k in names and v is not None and k not in os.environ}
    return {**chosen, children.AGENT_ONLY: " ".join(chosen)}
