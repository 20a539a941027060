"""``br3 prompt``."""

from __future__ import annotations

from pathlib import Path

import click

from br3.cli import completing
from br3.cli.context import pick, run_of_plan_option, workspace


@click.command()
@click.argument("build", shell_complete=completing.builds)
@run_of_plan_option
@click.option("--copy", is_flag=True, help="Put it on the clipboard instead of printing it.")
def prompt(build: str, plan_file: Path | None, copy: bool) -> int:
    """Print what to paste into an interactive agent.

    The prompt says what the build is asked to do, what it owns, and the verification it will be held to. Work in the
    build's worktree (br3 up makes it), then: br3 verify BUILD, br3 merge.
    """
    from br3.orchestrator.prompts import for_build

    session = workspace(plan_file).session()
    wanted = pick(session, [build])[0]
    text = for_build(session.plan, wanted, worktree=str(session.worktrees[wanted.id]))
    if copy:
        _to_clipboard(text)
        click.echo(f"the prompt of {wanted.id} is on the clipboard; work in {session.worktrees[wanted.id]}")
    else:
        click.echo(text, nl=False)
    return 0


def _to_clipboard(text: str) -> None:
    import shutil
    import subprocess

    from br3.errors import UsageError

    for command in (["pbcopy"], ["wl-copy"], ["xclip", "-selection", "clipboard"], ["xsel", "-ib"]):
        if shutil.which(command[0]):
            # wl-copy and xclip stay behind to serve the clipboard: they must not hold our output open.
            quiet = subprocess.DEVNULL
            subprocess.run(command, input=text.encode(), check=True, stdout=quiet, stderr=quiet)
            return
    raise UsageError(
        "no program for the clipboard was found", hint="install wl-clipboard or xclip, or leave --copy out"
    )
