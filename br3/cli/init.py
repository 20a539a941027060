"""``br3 init``."""

from __future__ import annotations

import click


@click.command()
def init() -> None:
    """Write a commented br3.toml for the project found here.

    Also writes .env.example and keeps .env out of git. Files that are there are left as they are.
    """
    from pathlib import Path

    from br3.errors import UsageError
    from br3.plan.detection import on_path
    from br3.plan.location import worktree_root
    from br3.plan.scaffold import scaffold

    root = worktree_root(Path.cwd())
    if root is None:
        raise UsageError("not in a git repository, and every build needs one", hint="git init")
    made = scaffold(root, have=on_path)
    click.echo(f"{root}: {', '.join(made.detected.kinds) or 'no kind of project recognised'}")
    for file in made.files:
        click.echo(f"  {file.path.name:<12}  {file.what}")
    if made.files[0].changed:
        click.echo(f"next: edit the build in br3.toml (base is {made.base}), then `br3 plan check`;")
        click.echo("      commit br3.toml, .env.example and .gitignore: worktrees are made from what is committed")
