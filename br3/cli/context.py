"""What most commands begin with: the repository, the plan, the run, and the user's consent."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from br3.repo.worktrees import Repository, discover

if TYPE_CHECKING:
    from br3.api.consent import Consent
    from br3.api.workspaces import Workspace
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
run_of_plan_option = click.option(
    "--plan",
    "plan_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The newest run of this plan, instead of the newest of all.",
)
trust_option = click.option(
    "--trust", "trusted", is_flag=True, envvar="BR3_TRUST", help="Approve the plan's commands without being asked."
)


def repository() -> Repository:
    """The repository we are in."""
    return discover(Path.cwd())


def workspace(plan_file: Path | None = None) -> Workspace:
    """The repository we are in, with the plan that was named."""
    from br3.api.workspaces import Workspace

    class Here(Workspace):
        def session(self) -> Session:
            session = super().session()
            name_plan_of(session)  # whatever is said from now on is said of it
            return session

    if plan_file is not None:
        _call()["plan"] = plan_file
    return Here(Path.cwd(), plan=plan_file)


def _call() -> dict[str, Any]:
    """What this call is about, so that what it hints at is done with the same. ``plan``: the plan's file that was
    named · ``run``: a run's id."""
    context = click.get_current_context(silent=True)
    return context.ensure_object(dict) if context is not None else {}


def about(session: Session) -> dict[str, Any]:
    """What hints have to name so that they are of this run: its plan, where that is another than the one that is found
    from here, and where there is a newer run both."""
    from br3.dispatch.sessions import SourceFile
    from br3.errors import UsageError
    from br3.plan.location import find

    call: dict[str, Any] = {} if session.is_newest else {"run": session.run}
    source = session.source_file
    if source is not None and source.path.is_file():
        try:
            found = source.is_same(SourceFile.of(find(Path.cwd())))
        except UsageError:
            found = False
        if call or not found:
            call["plan"] = Path(os.path.relpath(source.path))
    return call | _call()


def hinted(text: str, call: Mapping[str, Any] | None = None) -> str:
    """A text in which commands are named, each with the plan or the run that ``call`` is about; this call, without it.

    What stands between backticks is quoted, and left as it is.
    """
    call = _call() if call is None else call
    if not call:
        return text
    import re
    import shlex

    def named(found: re.Match[str]) -> str:
        key = str(found.lastgroup)
        if key == "file":
            return str(call.get("plan", found[0]))
        return f"{found[0]} --{key} {shlex.quote(str(call[key]))}" if key in call else found[0]

    return re.sub(
        r"`[^`]*`"
        r"|(?P<file>(?<![\w./-])br3\.toml\b)"
        r"|\bbr3 (?P<plan>up|run|trust|prompt|verify|merge(?! --undo)|finish|release|clean)(?![-\w])(?! --plan)"
        r"|\bbr3 (?P<run>status|logs|pause|resume|cancel|retry|skip|tell)(?![-\w])(?! --run)",
        named,
        text,
    )


def say(text: str, *, err: bool = False) -> None:
    """Print a line that names commands, see ``hinted``."""
    click.echo(hinted(text), err=err)


def name_plan_of(session: Session) -> None:
    """See that what is hinted at from now on is done with this run."""
    _call().update(about(session))


def build_here(workspace: Workspace) -> tuple[str, ...]:
    """The build in whose worktree we are, if we are in one."""
    from br3.workspace.notes import read_notes

    here = workspace.repository.worktree
    build = read_notes(here).get("build") if here is not None else None
    return (str(build),) if build else ()


def workspace_of(here: Workspace, build: str) -> Workspace:
    """The same, of the newest run that has the build: that of another plan may be newer."""
    from br3.dispatch.sessions import of_build

    session = of_build(here.repository, build)
    if session is None or session.is_newest or session.file is None:
        return here
    return workspace(Path(session.file["path"]))


def load_plan(repo: Repository, plan_file: Path | None, **overrides: Any) -> tuple[Plan, Path]:
    """The plan as it stands in br3.toml, and where that is. A plan inside a build's worktree is never read."""
    return workspace(plan_file).load(**overrides)


def say_if_plan_changed(session: Session) -> None:
    """Tell a person when br3.toml is not what the run was frozen from; it counts from the next run on."""
    from br3.api.workspaces import plan_changed

    if plan_changed(session) and session.file is not None:
        name = Path(session.file["path"]).name
        broken = _not_toml(Path(session.file["path"]))
        if broken:
            click.echo(f"{name} cannot be read ({broken}); the plan is that of run {session.run}", err=True)
            return
        click.echo(f"{name} has changed since run {session.run} was frozen; br3 run takes it up", err=True)


def _not_toml(path: Path) -> str | None:
    """Why the file cannot be read, or None."""
    import tomllib

    try:
        tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        return str(error)
    return None


def pick(session: Session, names: Sequence[str]) -> list[Build]:
    """The builds named, by the frozen plan."""
    from br3.api.workspaces import pick

    return pick(session, names)


def consent(trusted: bool) -> Consent:
    """What the user has said, or can be asked on a terminal, where commands are shown first."""
    from br3.api.consent import Consent

    return Consent(trusted, ask_trust if _can_ask() else None, "--trust")


def require_trust(common_dir: Path, plan: Plan, trusted: bool) -> None:
    """See that the user has approved the plan's commands; on a terminal they are shown and asked for."""
    from br3.api import consent as room

    room.require_trust(common_dir, plan, consent(trusted))


def approve_commands(common_dir: Path, commands: list[Command], whose: str, hint: str, *, trusted: bool) -> None:
    """The same for some commands; ``whose`` and ``hint`` are for the refusal where nobody can be asked."""
    from br3.api import consent as room

    room.require_commands(common_dir, commands, whose, hint, consent(trusted))


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
