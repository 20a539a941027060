"""``br3 hooks``."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from br3.cli.context import json_option, load_plan, plan_option, repository
from br3.cli.groups import Group
from br3.errors import Br3Error, UsageError
from br3.wording import counted

if TYPE_CHECKING:
    from br3.hooks.installing import Done
    from br3.hooks.looking import Standing
    from br3.plan.model import Plan
    from br3.repo.worktrees import Repository


@click.group(cls=Group)
def hooks() -> None:
    """Install br3's git hooks, see what they guard, take them out.

    They look for secrets, protected branches and what a build does not own, add a build's trailers to its commits,
    record commits, set new worktrees up and gate pushes. BR3_HOOKS=0 switches them off for one command.
    """


@hooks.command()
@click.option("--form", type=click.Choice(["config", "shims"]), help="By git's configuration (2.54) or as shims.")
@click.option("--tracked", is_flag=True, help="Write into a hooks' directory that git tracks, such as .husky.")
@click.option("--outside", is_flag=True, help="Write into a hooks' directory outside of the repository.")
@plan_option
@json_option
def install(form: str | None, tracked: bool, outside: bool, plan_file: Path | None, as_json: bool) -> int:
    """Install the hooks, or bring them up to date.

    A hook that is there already is called first, and comes back byte for byte with `br3 hooks uninstall`.
    """
    from br3.cli.output import emit_json
    from br3.hooks import compiling, installing

    repo = repository()
    plan = plan_of(repo, plan_file)
    done = installing.install(repo, plan, form=form, tracked=tracked, outside=outside)
    if as_json:
        emit_json(_done(done))
        return 0
    where = "git's configuration of this repository" if done.directory is None else _short(done.directory)
    here = repo.worktree is not None and done.directory is not None and _is_in(done.directory, repo)
    click.echo(f"{counted(len(done.hooks), 'hook')} in {where}, for {'this worktree' if here else 'all its worktrees'}")
    for hook, maker in done.kept.items():
        click.echo(f"  {hook}: {maker} is called first")
    for note in done.notes:
        click.echo(f"  {note}")
    if plan is None:
        click.echo("no br3.toml: secrets, SQL built from strings, conflict markers and large files are guarded")
    else:
        protect = ", ".join(plan.hooks.protect) or "none ([hooks] protect)"
        owners = sum(1 for build in plan.builds if build.owns)
        click.echo(f"protected branches: {protect}; builds with ground of their own: {owners} of {len(plan.builds)}")
        waiting = compiling.unapproved(repo.common_dir, plan)
        if waiting:
            click.echo(f"not approved, so not run by hooks: {', '.join(waiting)}")
            click.echo(f"{click.style('next:', fg='cyan')} br3 trust")
    return 0


@hooks.command()
@json_option
def uninstall(as_json: bool) -> int:
    """Take the hooks out and put back what was there before."""
    from br3.cli.output import emit_json
    from br3.hooks import installing

    done = installing.uninstall(repository())
    if as_json:
        emit_json(_done(done))
        return 0
    click.echo("br3's hooks are out; what was recorded is kept")
    for hook, maker in done.kept.items():
        click.echo(f"  {hook}: {maker} is there again")
    for note in done.notes:
        click.echo(f"  {note}")
    return 0


@hooks.command()
@json_option
def status(as_json: bool) -> int:
    """Show how the hooks stand, in this worktree and the others.

    Exit code 0: as installed, 1: something is not, or nothing is installed.
    """
    from br3.cli.output import emit_json
    from br3.hooks import looking

    repo = repository()
    found = looking.standing(repo, plan_if_sound(repo))
    if as_json:
        emit_json(_standing(found))
    else:
        _print(found)
    return 0 if found.ok else 1


@hooks.command("run", context_settings={"ignore_unknown_options": True})
@click.argument("hook")
@click.argument("args", nargs=-1, type=click.UNPROCESSED)
def run_hook(hook: str, args: tuple[str, ...]) -> int:
    """Run one of br3's hooks as git would; for hooks of your own that call it."""
    from br3.hooks import places

    if hook not in places.ALL:
        raise UsageError(f"br3 has no hook {hook}", hint=f"hooks: {', '.join(places.HOOKS)}")
    repo = repository()
    script = places.home(repo.common_dir) / hook
    if not script.exists():
        raise UsageError("br3's hooks are not installed in this repository", hint="br3 hooks install")
    if repo.worktree is not None and not os.environ.get("GIT_DIR"):
        os.chdir(repo.worktree)  # where git starts hooks
    os.execv(script, [str(script), *args])


@hooks.command()
def setup() -> int:
    """Set this linked worktree up, as hooks do for one that was just added.

    What is set up already stays as it is; what somebody else is setting up is told, with its log.
    """
    from br3.hooks.compiling import compiled_plan
    from br3.telemetry import Journal
    from br3.workspace.provisioning import log_of, provision

    repo = repository()
    plan = compiled_plan(repo.common_dir)
    if plan is None:
        raise UsageError("no plan was compiled for the hooks", hint="br3 hooks install, where br3.toml is")
    done = provision(repo, plan, Journal(repo.common_dir), lambda command: click.echo(f"$ {command}"))
    if done.how == "busy":
        click.echo(f"it is being set up just now: tail -f {log_of(repo, repo.worktree or Path.cwd())}")
    else:
        click.echo("it is set up already" if done.how == "unchanged" else f"{repo.worktree}: {done.how}")
    return 0


def plan_of(repo: Repository, plan_file: Path | None) -> Plan | None:
    """The plan as it stands, None where there is none; in a build's worktree the one that was compiled."""
    from br3.hooks.compiling import compiled_plan
    from br3.plan.location import PLAN_FILE

    here = repo.worktree
    if plan_file is None and (here is None or not (here / PLAN_FILE).exists() or _is_a_build_s(here)):
        compiled = compiled_plan(repo.common_dir)
        if compiled is not None or not (repo.top / PLAN_FILE).exists():
            return compiled
        plan_file = repo.top / PLAN_FILE
    return load_plan(repo, plan_file)[0]


def plan_if_sound(repo: Repository) -> Plan | None:
    """The same, and None for one with mistakes: `br3 plan check` tells them."""
    try:
        return plan_of(repo, None)
    except Br3Error:
        return None


def _is_a_build_s(worktree: Path) -> bool:
    from br3.workspace.notes import read_notes

    return bool(read_notes(worktree).get("build"))


def _done(done: Done) -> dict[str, object]:
    facts = asdict(done)
    return {**facts, "directory": str(facts["directory"]) if facts["directory"] else None}


def _standing(found: Standing) -> dict[str, object]:
    return {
        "ok": found.ok,
        "form": found.form,
        "directory": str(found.directory) if found.directory else None,
        "hooks": [{**asdict(state), "ok": state.ok} for state in found.hooks],
        "troubles": [asdict(trouble) for trouble in found.troubles],
    }


def _print(found: Standing) -> None:
    from br3.cli.output import table

    if found.form is None and not found.troubles:
        click.echo("br3's hooks are not installed in this repository")
        click.echo(f"{click.style('next:', fg='cyan')} br3 hooks install")
        return
    rows = [
        [state.hook, click.style(state.state, fg="green" if state.ok else "red"), state.said] for state in found.hooks
    ]
    if rows:
        click.echo(table(["hook", "state", ""], rows))
    for trouble in found.troubles:
        click.echo(f"{click.style('✗', fg='red')} {trouble.said}")
        click.echo(f"  {click.style('next:', fg='cyan')} {trouble.hint}")
    if any(not state.ok for state in found.hooks) and not found.troubles:
        click.echo(f"{click.style('next:', fg='cyan')} br3 hooks install")


def _is_in(directory: Path, repo: Repository) -> bool:
    """Whether a hooks' directory is part of a worktree, so that another worktree has its own."""
    resolved, root = directory.resolve(), repo.worktree
    inside = root is not None and resolved.is_relative_to(root.resolve())
    return inside and not resolved.is_relative_to(repo.common_dir)


def _short(path: Path) -> str:
    try:
        return os.fspath(path.relative_to(Path.cwd()))
    except ValueError:
        return os.fspath(path)
