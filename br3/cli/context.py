"""What most commands begin with: the repository, the plan, the run, and the user's consent."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from br3.errors import UsageError
from br3.repo.worktrees import Repository, discover, git_dir

if TYPE_CHECKING:
    from br3.dispatch.sessions import Session
    from br3.plan.model import Build, Plan
    from br3.workspace.trust import Command

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
plan_option = click.option(
    "--plan",
    "plan_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The plan to use instead of the br3.toml found from here.",
)
trust_option = click.option(
    "--trust", "trusted", is_flag=True, envvar="BR3_TRUST", help="Approve the plan's commands without being asked."
)


def repository() -> Repository:
    """The repository we are in."""
    return discover(Path.cwd())


def load_plan(repo: Repository, plan_file: Path | None, **overrides: Any) -> tuple[Plan, Path]:
    """The plan as it stands in br3.toml, and where that is. A plan inside a build's worktree is never read."""
    from br3.plan.loading import find, load
    from br3.repo.refs import accepts_branch
    from br3.workspace.preparing import NOTES

    here = repo.worktree
    notes = git_dir(here) if here else None
    if here is not None and notes is not None and (notes / NOTES).exists() and plan_file is None:
        raise UsageError(
            f"{here} is the worktree of a build; its br3.toml is never used",
            hint=f"cd {repo.home} and call br3 there, or name the file: --plan FILE",
        )
    path = plan_file or find(Path.cwd())
    return load(path, overrides, git_accepts_branch=lambda name: accepts_branch(repo.git, name)), path


def current(repo: Repository) -> Session:
    """The newest run, whose frozen plan counts; when there is none yet, one for the plan as it stands."""
    from br3.dispatch.sessions import begin, find

    session = find(repo)
    return session if session is not None else begin(repo, *load_plan(repo, None))


def say_if_plan_changed(session: Session) -> None:
    """Tell a person when br3.toml is not what the run was frozen from; it counts from the next run on."""
    if plan_changed(session) and session.file is not None:
        name = Path(session.file["path"]).name
        click.echo(f"{name} has changed since run {session.run} was frozen; br3 run takes it up", err=True)


def pick(session: Session, names: Sequence[str]) -> list[Build]:
    """The builds named, by the frozen plan; says so when br3.toml has meanwhile become another."""
    from br3.dispatch.sessions import chosen

    try:
        return chosen(session.plan, names)
    except UsageError as error:
        if plan_changed(session):
            raise UsageError(
                f"{error.message}, as run {session.run} was frozen", hint="br3.toml has changed: br3 run takes it up"
            ) from error
        raise


def plan_changed(session: Session) -> bool:
    """Whether the plan's file is not what the run was frozen from."""
    from br3.repo.snapshots import file_digest

    file = session.file
    return file is not None and file_digest(Path(file["path"])) not in (None, "absent", file["digest"])


def require_trust(common_dir: Path, plan: Plan, trusted: bool) -> None:
    """See that the user has approved the plan's commands; on a terminal they are shown and asked for."""
    from br3.hooks import places
    from br3.workspace import trust

    fresh = trust.require(common_dir, plan, trusted=trusted, ask=ask_trust if _can_ask() else None)
    if places.is_installed(common_dir):
        from br3.hooks import installing

        installing.refresh(common_dir, plan)
    if fresh:
        from br3.telemetry import Journal

        how = "--trust" if trusted else "asked"
        Journal(common_dir).append("trust.given", approved=[c.text for c in fresh], how=how)


def require_identity(repo: Repository) -> None:
    """UsageError when git does not know in whose name to commit."""
    done = repo.git("var", "GIT_COMMITTER_IDENT", ok=(0, 1, 128))
    if done.code != 0:
        raise UsageError(
            "git does not know who you are, and br3 commits in your name",
            hint="git config --global user.name 'Your Name' && git config --global user.email you@example.com",
        )


def ask_trust(commands: list[Command]) -> bool:
    """Show the commands and ask a person for approval."""
    show_commands(commands)
    which = "this command" if len(commands) == 1 else f"these {len(commands)} commands"
    question = f"Run {which} on this machine, in this repository's worktrees?"
    return click.confirm(question, default=False, err=True)


def show_commands(commands: list[Command], approved: frozenset[str] | None = None) -> None:
    """Print commands by purpose, on standard error; ``approved`` are digests, to mark those that are."""
    purpose = None
    for command in commands:
        if command.purpose != purpose:
            purpose = command.purpose
            click.echo(click.style(f"{purpose}:", bold=True), err=True)
        # A control character could make the terminal show another command than the one that would run.
        text = "".join(c if c.isprintable() or c == "\n" else repr(c)[1:-1] for c in command.text)
        lines = text.strip("\n").split("\n")
        for number, line in enumerate(lines, start=1):
            where = click.style(f"  ({command.where})", dim=True) if number == len(lines) else ""
            sign = "" if approved is None or number > 1 else "✓ " if command.digest in approved else "· "
            click.echo(f"    {sign}{line}{where}", err=True)


def ask_yes_no() -> Callable[[str], bool] | None:
    """How to ask a person a question; None when there is nobody."""
    return (lambda question: click.confirm(question, default=False, err=True)) if _can_ask() else None


def _can_ask() -> bool:
    return sys.stdin.isatty() and sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
