"""``br3 release``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from br3.cli.context import current, json_option, repository, require_identity

if TYPE_CHECKING:
    from br3.release.tagging import Released


@click.command()
@click.option("--tag", help="The tag's name.  [default: the plan's]")
@click.option("-m", "--message", help="The first lines of the tag's message.  [default: the plan's]")
@click.option("--push/--no-push", default=None, help="Push base and tag together.  [default: the plan's, else not]")
@click.option("--remote", help="Where to push.  [default: the plan's, else origin]")
@json_option
def release(
    tag: str | None,
    message: str | None,
    push: bool | None,
    remote: str | None,
    as_json: bool,
) -> int:
    """Tag what landed; push only when asked.

    An annotated tag on the base branch with the message and a summary of what landed. The push is atomic: base and
    tag arrive together or not at all. Called again it finishes what is missing.
    """
    from br3.cli.output import emit_json
    from br3.release.tagging import release as make

    repo = repository()
    require_identity(repo)
    session = current(repo)
    wanted = session.plan.release
    released = make(
        session,
        tag=tag,
        message=message,
        push=wanted.push if push is None else push,
        remote=remote or wanted.remote,
    )
    if as_json:
        emit_json(released.as_json())
    else:
        show_release(released)
    return 0


def show_release(released: Released) -> None:
    """The tag, and where it is."""
    how = click.style("tagged", fg="green") if released.made else "tagged already:"
    click.echo(f"{how}  {released.tag} at {released.commit[:9]}")
    if released.pushed:
        click.echo(f"pushed to {released.remote}" + ("" if released.pushed_now else " earlier"))
    else:
        click.echo("not pushed (br3 release --push does that)")
