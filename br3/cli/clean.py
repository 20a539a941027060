"""``br3 clean``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from br3.cli.context import current, json_option, pick, repository

if TYPE_CHECKING:
    from br3.release.cleaning import Cleaned


@click.command()
@click.argument("builds", nargs=-1)
@click.option("--force", is_flag=True, help="Remove what has not landed, too. Needs the builds' names.")
@json_option
def clean(builds: tuple[str, ...], force: bool, as_json: bool) -> int:
    """Remove worktrees and branches whose work has landed.

    Without BUILDS all of the plan, and what builds that the plan has no more have left. What has uncommitted or
    unlanded work is refused and named, with exit code 3.
    """
    from br3.cli.output import emit_json
    from br3.dispatch.sessions import departed
    from br3.errors import UsageError
    from br3.release.cleaning import clean as remove

    if force and not builds:
        raise UsageError("--force needs the names of the builds whose work may go", hint="br3 clean --force BUILD")
    session = current(repository())
    session.site()
    gone = departed(session)  # from the plan, but not from the disk
    names = {build.id for build in gone}
    wanted = pick(session, [b for b in builds if b not in names]) if not builds or set(builds) - names else []
    wanted += [build for build in gone if not builds or build.id in builds]
    cleaned = remove(session, wanted, force=force)
    if as_json:
        emit_json({"removed": cleaned.removed, "kept": cleaned.kept, "given_up": cleaned.given_up})
    else:
        show_cleaned(cleaned)
    return 3 if cleaned.kept else 0


def show_cleaned(cleaned: Cleaned) -> None:
    """What went and what stayed, and how to get back what was given up."""
    if cleaned.removed:
        click.echo(f"removed worktree and branch of {', '.join(cleaned.removed)}")
    elif not cleaned.kept:
        click.echo("nothing to clean up")
    for build, reason in cleaned.lost.items():
        click.echo(f"gone by force: {build}: {reason}")
    for branch, commit in cleaned.given_up.items():
        back = f"git update-ref {branch}" if branch.startswith("refs/") else f"git branch {branch}"
        click.echo(f"given up: {branch} was at {commit} ({back} {commit} brings it back)")
    for build, reason in cleaned.kept.items():
        click.echo(f"{click.style('kept', fg='yellow')}  {build}: {reason}", err=True)
    if any("worked on" not in reason for reason in cleaned.kept.values()):
        click.echo("next:  land it (br3 merge), commit it, or give it up: br3 clean --force BUILD", err=True)
