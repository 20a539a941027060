"""``br3 clean``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from br3.cli import completing
from br3.cli.context import json_option, run_of_plan_option, say, workspace

if TYPE_CHECKING:
    from br3.release.cleaning import Cleaned


@click.command()
@click.argument("builds", nargs=-1, shell_complete=completing.builds)
@click.option("--force", is_flag=True, help="Remove what has not landed, too. Needs the builds' names.")
@run_of_plan_option
@json_option
def clean(builds: tuple[str, ...], force: bool, plan_file: Path | None, as_json: bool) -> int:
    """Remove worktrees and branches whose work has landed.

    Without BUILDS all of the plan, and what builds that the plan has no more have left. What has uncommitted or
    unlanded work is refused and named, with exit code 3.
    """
    from br3.api import finishing
    from br3.cli.output import emit_json

    cleaned = finishing.clean(workspace(plan_file), builds, force=force)
    if as_json:
        emit_json(finishing.cleaned_json(cleaned))
    else:
        show_cleaned(cleaned)
    return 3 if cleaned.kept else 0


def show_cleaned(cleaned: Cleaned) -> None:
    """What went and what stayed, and how to get back what was given up."""
    from br3.cli.output import show_gone

    if cleaned.removed:
        click.echo(f"removed worktree and branch of {', '.join(cleaned.removed)}")
    elif not cleaned.kept:
        click.echo("nothing to clean up")
    show_gone(cleaned.ignored, cleaned.lost, cleaned.given_up)
    for build, branch in cleaned.left.items():
        click.echo(f"stays: the worktree of {build} was on another branch, {branch}")
    for build, reason in cleaned.kept.items():
        click.echo(f"{click.style('kept', fg='yellow')}  {build}: {reason}", err=True)
    if cleaned.forcible and all(cleaned.kept[name].startswith("processes still run") for name in cleaned.forcible):
        say("next:  leave those directories, or end what runs there, then: br3 clean", err=True)
    elif cleaned.forcible:
        say("next:  land it (br3 merge), save it, or give it up: br3 clean --force BUILD", err=True)
