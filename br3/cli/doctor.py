"""``br3 doctor``."""

from __future__ import annotations

import shlex
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from br3.cli.context import json_option, repository

if TYPE_CHECKING:
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


@click.command()
@json_option
def doctor(as_json: bool) -> int:
    """Look whether journal, analytics, prices and hooks are well."""
    from br3.analytics import inspecting
    from br3.cli.output import emit_json

    repo = repository()
    found = [*inspecting.examine(repo.common_dir), _prices(), *_hooks(repo)]
    if as_json:
        emit_json({"ok": all(f.ok for f in found), "findings": [asdict(f) for f in found]})
    else:
        for finding in found:
            sign = click.style("✓", fg="green") if finding.ok else click.style("✗", fg="red")
            click.echo(f"{sign} {finding.what:<10} {finding.said}")
            if finding.hint:
                click.echo(f"  {click.style('next:', fg='cyan')} {finding.hint}")
    return 0 if all(f.ok for f in found) else 1
