"""``br3 doctor``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from br3.cli.context import about, hinted, json_option, repository

if TYPE_CHECKING:
    from br3.analytics.inspecting import Finding
    from br3.doctor import Mended
    from br3.repo.worktrees import Repository

_SIGNS = {"ok": ("✓", "green"), "warn": ("!", "yellow"), "bad": ("✗", "red")}


@click.command()
@click.option("--fix", is_flag=True, help="Mend what can be mended without losing anything.")
@json_option
def doctor(fix: bool, as_json: bool) -> int:
    """Look whether all is well, and say what mends it.

    Git, journal, analytics, disk, clock, whose the files are, hooks, agents, keys, worktrees, branches, processes,
    locks, ports and requests. The exit code is 1 when something needs somebody. With --fix it mends what loses
    nobody's work, also beside a run that is at work, and looks again.
    """
    from br3.cli.hooks import plan_of
    from br3.cli.output import emit_json
    from br3.doctor import examine, mend
    from br3.errors import Br3Error

    repo = repository()
    plan = unsound = None
    try:
        plan = plan_of(repo, None)
    except Br3Error as error:
        unsound = error
    mended: list[Mended] = []
    found: list[Finding] = []
    if fix:
        for done in mend(list(examine(repo, plan, unsound))):
            mended.append(done)
            if not as_json:
                _show_mended(done)
    call = {} if as_json else _about_newest(repo)
    for finding in examine(repo, plan, unsound):
        found.append(finding)
        if not as_json:
            _show(finding, call)
    well = all(finding.ok for finding in found)
    if as_json:
        tried = {"mended": [done.as_json() for done in mended]} if fix else {}
        emit_json({"ok": well, "findings": [finding.as_json() for finding in found], **tried})
    elif not fix and any(finding.mend is not None for finding in found):
        click.echo("br3 doctor --fix mends what says so, and nothing else")
    return 0 if well else 1


def _about_newest(repo: Repository) -> dict[str, Any]:
    """What hints have to name; nothing where the newest run cannot be read."""
    from br3.dispatch.sessions import find
    from br3.errors import Br3Error

    try:
        session = find(repo)
    except Br3Error:
        return {}
    return about(session) if session is not None else {}


def _show(finding: Finding, call: dict[str, Any]) -> None:
    sign, colour = _SIGNS[finding.state]
    click.echo(f"{click.style(sign, fg=colour)} {finding.what:<10} {finding.said}")
    if finding.hint:
        # Nothing stands behind a command: it is going to be pasted.
        way = "next (or --fix):" if finding.mend is not None else "next:"
        click.echo(f"  {click.style(way, fg='cyan')} {hinted(finding.hint, call)}")


def _show_mended(done: Mended) -> None:
    click.echo(f"{click.style('fix', fg='cyan')}  {done.what}: {done.said}")
    if done.done is not None:
        click.echo(f"  {click.style('done:', fg='green')} {done.done}")
    else:
        click.echo(f"  {click.style('not done:', fg='yellow')} {done.error}")
