"""What the builds work with: prices, hooks, agents."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from shlex import quote

from br3 import models
from br3.agents import NAMES, agent, brought_along
from br3.agents.probing import Probe, probe
from br3.analytics.inspecting import Finding
from br3.doctor.patient import Patient
from br3.errors import UsageError
from br3.hooks import looking


def prices(patient: Patient) -> Iterator[Finding]:
    """Whether the list of prices, with the user's own, can be read."""
    try:
        yield Finding("prices", True, f"{len(models.catalog())} models")
    except UsageError as error:
        yield Finding("prices", False, error.message, error.hint)


def hooks(patient: Patient) -> Iterator[Finding]:
    """Hooks as they were installed, and what only hooks, or the lack of them, can have done."""
    repo, plan = patient.repository, patient.plan
    bare = looking.bare_with_checkout(repo)
    if bare is not None:
        yield Finding("checkout", False, bare.said, bare.hint)
    standing = looking.standing(repo, plan)
    if standing.form is None and not standing.troubles:
        yield Finding("hooks", True, "not installed")
        return
    for state in standing.hooks:
        if not state.ok:
            yield Finding("hooks", False, f"{state.hook}: {state.said}", "br3 hooks install")
    yield from (Finding("hooks", False, trouble.said, trouble.hint) for trouble in standing.troubles)
    if standing.ok:
        yield Finding("hooks", True, f"{len(standing.hooks)} installed")
    for path in looking.not_set_up(repo, plan):
        way = f"cd {quote(str(path))} && br3 hooks setup"
        yield Finding("worktrees", False, f"{path} was never set up", way)


def agents(patient: Patient) -> Iterator[Finding]:
    """Each agent that is here: its version, its login or key. None is asked for more than its version."""
    repo, plan = patient.repository, patient.plan
    env_file = repo.worktree / ".env" if repo.worktree else None
    wanted = {task.agent for build in plan.builds for task in build.tasks} if plan else set()

    def look(name: str) -> Probe | UsageError:
        try:
            return probe(name, os.environ, env_file)
        except UsageError as error:
            return error

    names = [name for name in (*NAMES, *brought_along()) if name != "shell"]
    with ThreadPoolExecutor(max_workers=len(names)) as pool:
        looks = dict(zip(names, pool.map(look, names), strict=True))
    absent = []
    for name, seen in looks.items():
        if isinstance(seen, UsageError):
            yield Finding("agents", False, seen.message, seen.hint)
        elif seen.installed:
            # What the plan does not need is told, and stops nobody.
            needed = name in wanted or plan is None
            keyless = name in wanted and not seen.login and not seen.keys and sys.platform != "darwin"
            hint = seen.hint or (f"log in with {name}, or set {agent(name).keys[0]}" if keyless else None)
            yield Finding("agents", not keyless and (seen.ready or not needed), _line(seen), hint)
        elif name in wanted:
            yield Finding("agents", False, f"{name} is not installed, and the plan needs it", seen.hint)
        else:
            absent.append(name)
    if absent:
        yield Finding("agents", True, f"not installed: {', '.join(absent)}")


def _line(seen: Probe) -> str:
    parts = [f"{seen.agent} {seen.version or '(no version)'}"]
    if seen.known is False:
        parts.append(f"br3 was tested with {seen.tested_with}")
    if seen.login:
        parts.append(f"logged in ({seen.login})")
    parts += [f"{key.variable} {key.masked} from {key.source}" for key in seen.keys]
    if not seen.login and not seen.keys:
        parts.append("neither a login nor a key was found")
    return "; ".join([*parts, *seen.complaints])
