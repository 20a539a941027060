"""``br3 release``."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from br3.cli.context import (
    consent,
    json_option,
    run_of_plan_option,
    say,
    say_if_plan_changed,
    trust_option,
    workspace,
)
from br3.errors import UsageError
from br3.release.naming import BUMPS, Wish

if TYPE_CHECKING:
    from br3.dispatch.sessions import Session
    from br3.release.making import Released


@click.command()
@click.option("--tag", help="The tag's name, or its form: 'v{version}'.  [default: the plan's]")
@click.option("--version", help="The version, such as 1.2.0 or 1.2.0-alpha.1.  [default: the plan's]")
@click.option("--bump", type=click.Choice(BUMPS), help="The version after the last; auto: by what the commits say.")
@click.option("-m", "--message", help="The first lines of the tag's message.  [default: the plan's]")
@click.option("--push/--no-push", default=None, help="Push base and tag together.  [default: the plan's, else not]")
@click.option("--remote", help="Where to push.  [default: the plan's, else origin]")
@click.option("-n", "--dry-run", is_flag=True, help="Show what would be changed, tagged and pushed; change nothing.")
@click.option("--undo", is_flag=True, help="Take the last release back, if nothing of it is pushed.")
@run_of_plan_option
@trust_option
@json_option
def release(
    tag: str | None,
    version: str | None,
    bump: str | None,
    message: str | None,
    push: bool | None,
    remote: str | None,
    dry_run: bool,
    undo: bool,
    plan_file: Path | None,
    trusted: bool,
    as_json: bool,
) -> int:
    """Tag what landed; push only when asked.

    An annotated tag on the base branch with the message and a summary of what landed. Where the plan has a changelog
    or version files, they are changed in a commit that is verified first; base and tag then move in one step. The
    push is atomic: base and tag arrive together or not at all. Called again it finishes what is missing.
    """
    from br3.api import finishing
    from br3.cli.output import emit_json
    from br3.cli.progress import progress
    from br3.release import making

    if undo and (version or bump or message or push is not None or remote or dry_run):
        raise UsageError("--undo takes a release back; with it goes --tag only", hint="br3 release --undo")
    if undo:
        return _take_back(workspace(plan_file).session(), tag, as_json)
    wish = Wish(tag=tag, version=version, bump=bump, message=message, push=push, remote=remote)
    session = finishing.release_ready(workspace(plan_file), wish, consent(trusted), dry_run=dry_run)
    if not as_json:
        say_if_plan_changed(session)
    if dry_run:
        would = making.rehearse(session, wish)
        if as_json:
            emit_json(would.as_json())
        else:
            show_rehearsal(would, session.plan.base)
        return 0
    with progress([]) as shown:
        released = making.release(session, wish, shown.step)
    if as_json:
        emit_json(released.as_json())
    else:
        asked = "" if tag is version is bump is None else f" --tag {shlex.quote(released.tag)}"
        show_release(released, session.plan.base, f"br3 release{asked} --push")
    return 0


def _take_back(session: Session, tag: str | None, as_json: bool) -> int:
    from br3.cli.output import emit_json
    from br3.release.undoing import undo as take_back

    undone = take_back(session, tag)
    if as_json:
        emit_json(undone.as_json())
    else:
        click.echo(f"{click.style('taken back', fg='yellow')}  {undone.tag}: the tag is gone")
        if undone.before != undone.after:
            click.echo(f"{session.plan.base}: {undone.before[:9]} → {undone.after[:9]}")
    return 0


def show_release(released: Released, base: str, to_push: str = "br3 release --push") -> None:
    """The tag, and where it is."""
    how = click.style("tagged", fg="green") if released.made else "tagged already:"
    click.echo(f"{how}  {released.tag} at {str(released.commit)[:9]}")
    if released.edits:
        files = ", ".join(edit.path for edit in released.edits)
        click.echo(f"{base}: {released.before[:9]} → {str(released.commit)[:9]}, changed {files}")
    if released.pushed:
        click.echo(f"pushed to {released.remote}" + ("" if released.pushed_now else " earlier"))
        _show_unsent(released)
    else:
        say(f"not pushed ({to_push} does that)")


def _show_unsent(released: Released) -> None:
    """Earlier releases that nobody asked to push, and how to send them."""
    if released.unsent:
        names = [shlex.quote(tag) for tag in released.unsent]
        one = len(names) == 1
        sends = f"git push {shlex.quote(str(released.remote))} {' '.join(names)} sends {'it' if one else 'them'}"
        click.echo(f"{', '.join(released.unsent)} {'is' if one else 'are'} not there ({sends})")


def show_rehearsal(would: Released, base: str) -> None:
    """What a release would change, tag and push."""

    from br3.wording import printable

    def dim(text: str) -> str:
        return click.style(text, dim=True)

    if would.made:
        click.echo(f"{click.style(would.tag, bold=True)}  {dim(would.reason)}")
        for edit in would.edits:
            click.echo(f"{'new file' if edit.before is None else 'changes'}  {edit.path}")
            for line in edit.diff():
                colour = {"+": "green", "-": "red"}.get(line[:1])
                click.echo(f"    {click.style(printable(line), fg=colour)}".rstrip())
        if would.edits:
            on = dim(f"(on {base} at {would.before[:9]}, and verifies it)")
            click.echo(f"commits  {would.commit_message} {on}")
        where = f"{base} at {would.before[:9]}" if would.commit else "that commit"
        click.echo(f"tags     {would.tag}, on {where}")
        for line in would.notes.rstrip("\n").split("\n"):
            click.echo(f"    {printable(line)}".rstrip())
    else:
        click.echo(f"{would.tag} is tagged already, at {str(would.commit)[:9]}")
    if would.pushed_now:
        click.echo(f"pushes   {base} and {would.tag} to {would.remote}")
        _show_unsent(would)
    elif would.pushed:
        click.echo(f"pushed to {would.remote} earlier")
        _show_unsent(would)
    else:
        click.echo("pushes   nothing (--push would push both)")
    click.echo(dim("nothing was changed: this was a dry run"))
