"""``br3 demo``."""

from __future__ import annotations

import time
from pathlib import Path

import click


@click.command()
@click.argument("directory", required=False, type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "--scene",
    type=click.Choice(["week", "landing"]),
    default="week",
    help="week: four builds from plan to release; landing: two builds that break together.",
)
def demo(directory: Path | None, scene: str) -> int:
    """Make a small repository and take four builds all the way.

    Needs no network, no key and no coding agent. Prints every br3 command that it runs; the repository stays, in
    DIRECTORY or in a new temporary directory, for a look around.
    """
    from br3.demo.making import SCENES, make, walk

    began = time.monotonic()
    played = SCENES[scene]
    made = make(played, directory.absolute() if directory else None)
    click.echo(f"a repository with a plan, br3.toml, in {made}")

    def announce(command: str, remark: str) -> None:
        click.echo("")
        click.echo(click.style(f"# {remark}", dim=True))
        click.echo(click.style(f"$ {command}", bold=True))

    walk(played, made, announce)
    click.echo("")
    click.echo(f"done in {time.monotonic() - began:.1f} s. Look around: cd {made} && git log --graph --oneline")
    click.echo("In your own repository: br3 init, then br3 run, then br3 finish.")
    return 0
