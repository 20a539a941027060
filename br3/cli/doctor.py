"""``br3 doctor``."""

from __future__ import annotations

import shlex
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from br3.cli.context import json_option, repository

if TYPE_CHECKING:
    from br3.agents.probing import Probe
    from br3.analytics.inspecting import Finding
    from br3.repo.worktrees import Repository


def _prices() -> Finding:
    from br3 import models
    from br3.analytics.inspecting import Finding
    from br3.errors import UsageError

    try:
        return Finding("prices", True, f"{len(models.catalog())} models")
    except UsageError as error:
        return Finding("prices", False, error.message, error.hint)


def _hooks(repo: Repository) -> list[Finding]:
    """Hooks as they were installed, and what only hooks, or the lack of them, can have done."""
    from br3.analytics.inspecting import Finding
    from br3.cli.hooks import plan_if_sound
    from br3.hooks import looking

    found = []
    bare = looking.bare_with_checkout(repo)
    if bare is not None:
        found.append(Finding("checkout", False, bare.said, bare.hint))
    plan = plan_if_sound(repo)
    standing = looking.standing(repo, plan)
    if standing.form is None and not standing.troubles:
        return [*found, Finding("hooks", True, "not installed")]
    for state in standing.hooks:
        if not state.ok:
            found.append(Finding("hooks", False, f"{state.hook}: {state.said}", "br3 hooks install"))
    found += [Finding("hooks", False, trouble.said, trouble.hint) for trouble in standing.troubles]
    if standing.ok:
        found.append(Finding("hooks", True, f"{len(standing.hooks)} installed"))
    for path in looking.not_set_up(repo, plan):
        found.append(
            Finding("worktrees", False, f"{path} was never set up", f"cd {shlex.quote(str(path))} && br3 hooks setup")
        )
    return found


def _agents(repo: Repository) -> list[Finding]:
    """Each agent that is here: its version, its login or key. None is asked for more than its version."""
    import os
    import sys
    from concurrent.futures import ThreadPoolExecutor

    from br3.agents import NAMES, agent, brought_along
    from br3.agents.probing import probe
    from br3.analytics.inspecting import Finding
    from br3.cli.hooks import plan_if_sound
    from br3.errors import UsageError

    env_file = repo.worktree / ".env" if repo.worktree else None
    plan = plan_if_sound(repo)
    wanted = {task.agent for build in plan.builds for task in build.tasks} if plan else set()

    def look(name: str) -> Probe | UsageError:
        try:
            return probe(name, os.environ, env_file)
        except UsageError as error:
            return error

    names = [name for name in (*NAMES, *brought_along()) if name != "shell"]
    with ThreadPoolExecutor(max_workers=len(names)) as pool:
        looks = dict(zip(names, pool.map(look, names), strict=True))
    found, absent = [], []
    for name, seen in looks.items():
        if isinstance(seen, UsageError):
            found.append(Finding("agents", False, seen.message, seen.hint))
        elif seen.installed:
            # What the plan does not need is told, and stops nobody.
            needed = name in wanted or plan is None
            keyless = name in wanted and not seen.login and not seen.keys and sys.platform != "darwin"
            hint = seen.hint or (f"log in with {name}, or set {agent(name).keys[0]}" if keyless else None)
            found.append(Finding("agents", not keyless and (seen.ready or not needed), _agent_line(seen), hint))
        elif name in wanted:
            found.append(Finding("agents", False, f"{name} is not installed, and the plan needs it", seen.hint))
        else:
            absent.append(name)
    if absent:
        found.append(Finding("agents", True, f"not installed: {', '.join(absent)}"))
    return found


def _agent_line(seen: Probe) -> str:
    parts = [f"{seen.agent} {seen.version or '(no version)'}"]
    if seen.known is False:
        parts.append(f"br3 was tested with {seen.tested_with}")
    if seen.login:
        parts.append(f"logged in ({seen.login})")
    parts += [f"{key.variable} {key.masked} from {key.source}" for key in seen.keys]
    if not seen.login and not seen.keys:
        parts.append("neither a login nor a key was found")
    return "; ".join([*parts, *seen.complaints])


@click.command()
@json_option
def doctor(as_json: bool) -> int:
    """Look whether journal, analytics, prices, hooks and agents are well."""
    from br3.analytics import inspecting
    from br3.cli.output import emit_json

    repo = repository()
    found = [*inspecting.examine(repo.common_dir), _prices(), *_hooks(repo), *_agents(repo)]
    if as_json:
        emit_json({"ok": all(f.ok for f in found), "findings": [asdict(f) for f in found]})
    else:
        for finding in found:
            sign = click.style("✓", fg="green") if finding.ok else click.style("✗", fg="red")
            click.echo(f"{sign} {finding.what:<10} {finding.said}")
            if finding.hint:
                click.echo(f"  {click.style('next:', fg='cyan')} {finding.hint}")
    return 0 if all(f.ok for f in found) else 1
