"""``br3 worktree``: worktrees every day, with and without a plan."""

from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from br3.cli import completing
from br3.cli.context import json_option, repository, trust_option
from br3.cli.groups import Group

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator

    from br3.cli.progress import Progress
    from br3.everyday.removing import Removed
    from br3.everyday.seeing import Row, Seen
    from br3.plan.model import Plan
    from br3.repo.worktrees import Repository

CD_FILE = "BR3_CD_FILE"
"""Where the shell's function (`br3 shell-init`) wants to read which directory to go to."""

_REASONS = {
    "gone": "its directory is gone; its branch stays",
    "a build that landed": "a build that landed",
    "landed": "squashed or rebased onto {base}",
    "ancestor": "merged into {base}",
    "equal tree": "{base} has the same files",
    "merged": "squashed or rebased onto {base}",
}

_NAME = click.argument("name", shell_complete=completing.worktrees)


@click.group(cls=Group)
def worktree() -> None:
    """Worktrees every day: make, list, switch, run, remove, prune.

    NAME is a branch, the name of the directory, a path, or a build's id; @ is where you are, - where you were before.
    """


@worktree.command()
@click.argument("branch", shell_complete=completing.branches)
@click.option(
    "--from", "start", metavar="BASE", shell_complete=completing.branches, help="Where a new branch starts.  [base]"
)
@click.option(
    "--path", "at", type=click.Path(path_type=Path), help="Where to put it.  [the plan's place for worktrees]"
)
@click.option("--no-setup", is_flag=True, help="Only add it: run nothing, bring nothing along.")
@click.option("--switch", "-s", "go", is_flag=True, help="Go there afterwards (needs br3 shell-init).")
@trust_option
@json_option
def new(branch: str, start: str | None, at: Path | None, no_setup: bool, go: bool, trusted: bool, as_json: bool) -> int:
    """Make a worktree for BRANCH, set up like a build's.

    A branch that exists is taken as it is, one that a single remote has is followed, any other begins at base. Ignored
    files that [setup] copy and .worktreeinclude name are brought along, and [setup] is run, or what the project needs
    by its files. Called again it does what is missing.
    """
    from br3.cli.output import emit_json
    from br3.everyday import making

    repo = repository()
    plan = _plan(repo)
    making.check_name(repo, plan, branch)
    if not no_setup:
        _require_setup_trust(repo, plan, trusted)
    if at is not None:
        at = Path(os.path.abspath(at))
    with _cancelling() as cancel, _steps() as shown:
        made = making.make(
            repo,
            plan,
            branch,
            start=start,
            at=at,
            set_up=not no_setup,
            report=lambda step: shown.step(step),
            cancel=cancel,
        )
    if as_json:
        emit_json(
            {
                "path": str(made.path),
                "branch": made.branch,
                "commit": made.commit,
                "how": made.how,
                "environment": made.environment,
                "port": made.port,
                "duration_s": round(made.duration_s, 3),
                "warnings": list(made.warnings),
            }
        )
    else:
        _show_made(made)
    for warning in made.warnings:
        click.echo(warning, err=True)
    if go and _go_to(made.path):
        _note_switch(made.path)
    elif go:
        click.echo(_no_shell_function(made.path), err=True)
    return 0


@worktree.command("list")
@click.option("--size", "measure", is_flag=True, help="Measure all sizes now, however long it takes.")
@json_option
def list_(measure: bool, as_json: bool) -> int:
    """List the worktrees and how they stand.

    \b
    changes   +staged ~modified ?untracked ✗conflicted, in files
    base      ↑commits that base has not ↓commits of base that are missing ✗files in conflict with base
    remote    the same beside the branch that it follows
    lines     added and removed since base, uncommitted ones included
    age       since its last commit

    On a terminal what takes longer is filled in as it comes, and sizes as they were measured last.
    """
    import shutil
    import sys

    from br3.cli import worktree_table
    from br3.everyday.cells import Filling
    from br3.everyday.seeing import see

    seen = see(Path.cwd())
    live = not as_json and sys.stdout.isatty() and os.environ.get("TERM") != "dumb"
    filling = Filling(seen, measure=measure, spare=live)
    if live:
        worktree_table.draw(seen, filling)
    else:
        filling.finish()
    if as_json:
        from br3.cli.output import emit_json

        emit_json(worktree_table.as_json(seen, filling.cells))
        return 0
    if not live:
        click.echo(worktree_table.plain(seen, filling.cells))
    lines = worktree_table.remarks(seen, filling.cells, shutil.get_terminal_size().columns if live else None)
    for line in ["", *lines] if lines else []:
        click.echo(line)
    return 0


@worktree.command()
@_NAME
def path(name: str) -> int:
    """Print where a worktree is."""
    _, row = _find(name)
    click.echo(os.fsencode(row.path))
    return 0


@worktree.command()
@_NAME
def switch(name: str) -> int:
    """Go to a worktree.

    A command cannot change the directory of the shell that called it: this needs the function that `br3 shell-init`
    prints, in your shell's configuration.
    """
    from br3.errors import UsageError
    from br3.everyday.naming import note_switch

    seen, row = _find(name)
    _require_there(row)
    if not _go_to(row.path):
        raise UsageError(
            "your shell has not been told how to follow br3", hint=_no_shell_function(row.path).removeprefix("next:  ")
        )
    note_switch(seen, row)
    return 0


@worktree.command(context_settings={"ignore_unknown_options": True})
@_NAME
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def run(name: str, command: tuple[str, ...]) -> int:
    """Run a command in a worktree: br3 worktree run NAME -- COMMAND…

    It sees your environment with the worktree's .venv first on PATH, BR3_WORKTREE, BR3_BASE and BR3_PORT. Its exit code
    is this one's.
    """
    from br3.errors import UsageError
    from br3.repo.runner import PRIVATE
    from br3.workspace import children, ports

    seen, row = _find(name)
    _require_there(row)
    facts = {
        "BR3_WORKTREE": str(row.path),
        "BR3_BASE": seen.base or "",
        "BR3_PORT": str(ports.port_of(seen.repository.common_dir, row.path)),
    }
    if row.build:
        facts["BR3_BUILD"] = row.build
    env = children.environment(row.path, facts, PRIVATE)  # the user's own command: it gets the user's own keys
    os.chdir(row.path)
    env["PWD"] = str(row.path)
    try:
        os.execvpe(command[0], list(command), env)
    except OSError as error:
        raise UsageError(f"{command[0]}: {error.strerror}", hint="sh -c '…' for what only a shell knows") from error


@worktree.command()
@_NAME
@click.option("--reason", help="Why; it is shown wherever the lock is in the way.")
def lock(name: str, reason: str | None) -> int:
    """Lock a worktree: neither br3 nor git removes or forgets it."""
    seen, row = _find(name)
    if row.registered.locked:
        why = f": {row.registered.locked_because}" if row.registered.locked_because else ""
        click.echo(f"{row.name} is locked already{why}")
        return 0
    words = ["--reason", reason] if reason else []
    seen.repository.git("worktree", "lock", *words, str(row.path))
    click.echo(f"locked {row.name}")
    return 0


@worktree.command()
@_NAME
def unlock(name: str) -> int:
    """Take the lock off a worktree."""
    seen, row = _find(name)
    if not row.registered.locked:
        click.echo(f"{row.name} is not locked")
        return 0
    seen.repository.git("worktree", "unlock", str(row.path))
    click.echo(f"unlocked {row.name}")
    return 0


@worktree.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME...", shell_complete=completing.worktrees)
@click.option("--force", is_flag=True, help="Give up what would be lost, too; it is named.")
@click.option("--keep-branch", is_flag=True, help="Remove the worktree only.")
@json_option
def remove(names: tuple[str, ...], force: bool, keep_branch: bool, as_json: bool) -> int:
    """Remove worktrees, and their branches when base has what is on them.

    What holds uncommitted work, commits that base has not, or a running process is refused and named, with exit code 3.
    A build's goes by the rules of br3 clean.
    """
    from br3.cli.output import emit_error, emit_json
    from br3.errors import Br3Error
    from br3.everyday import naming, removing
    from br3.everyday.removing import Removed
    from br3.everyday.seeing import see

    seen = see(Path.cwd())
    rows = {row.path: row for row in (naming.find(seen, name, Path.cwd()) for name in names)}
    followed = bool(os.environ.get(CD_FILE))
    total, errors = Removed(), []
    for row in rows.values():
        # The shell that called us is in it, and follows us out.
        spare = _ancestors() if row.current and followed else ()
        try:
            if row.build and _is_known(seen, row.build):
                done = _remove_build(seen, row.build, force=force)
            else:
                done = removing.remove(seen, row, force=force, keep_branch=keep_branch, spare=spare)
        except Br3Error as error:
            errors.append(error)
            continue
        _add_up(total, done)
        if row.current and not _go_to(seen.rows[0].path):
            click.echo(f"you were in it: cd {seen.rows[0].path}", err=True)
    if as_json:
        emit_json(_removed_as_json(total) | {"errors": [{"message": e.message, "hint": e.hint} for e in errors]})
    else:
        _show_removed(total)
    for told in errors:
        emit_error(told)
    return max((told.exit_code for told in errors), default=0)


@worktree.command()
@click.option("-n", "--dry-run", is_flag=True, help="Only say what would go.")
@json_option
def prune(dry_run: bool, as_json: bool) -> int:
    """Remove the worktrees and branches whose work base has, and forget those that are gone.

    Squashed and rebased work is found too. What has uncommitted changes, is locked, or holds no commit of its own yet
    stays.
    """
    from br3.cli.output import emit_json, show_gone
    from br3.errors import Br3Error
    from br3.everyday import removing
    from br3.everyday.removing import Removed
    from br3.everyday.seeing import see

    seen = see(Path.cwd())
    going, kept = removing.prunable(seen)
    landed = _landed(seen)
    total = Removed()
    reasons = {
        found.row.name: "gone" if found.row.state == "missing" else str(found.contained) for found in going
    } | dict.fromkeys(landed, "a build that landed")
    if not dry_run:
        for found in going:
            row = found.row
            try:
                done = removing.remove(seen, row, force=False, keep_branch=row.state == "missing")
                _add_up(total, done)
            except Br3Error as error:
                kept[row.name] = error.message
        for build in landed:
            try:
                _add_up(total, _remove_build(seen, build, force=False))
            except Br3Error as error:
                kept[build] = error.message
        removing.tidy_all(seen.rows)
    if as_json:
        shown = {"would_remove": reasons} if dry_run else _removed_as_json(total)
        emit_json({"dry_run": dry_run, **shown, "kept": kept})
        return 0
    for name, how in reasons.items():
        if dry_run or name in total.removed:
            said = _REASONS.get(how, f"{seen.base} has it: {how}").format(base=seen.base)
            click.echo(f"{'would remove' if dry_run else 'removed'}  {_printable(name)}  ({said})")
    if not reasons:
        click.echo("nothing to prune")
    show_gone(total.going, {}, {})
    for name, why in kept.items():
        click.echo(f"{click.style('kept', dim=True)}  {_printable(name)}: {why}", err=True)
    return 0


def _plan(repo: Repository) -> Plan:
    """The plan that counts here; where there is no br3.toml, one that only says what the project's files say."""
    from br3.api.workspaces import Workspace
    from br3.plan.location import PLAN_FILE
    from br3.workspace.notes import read_notes

    here = repo.worktree
    places = [here] if here is not None and not read_notes(here).get("build") else []
    for place in [*places, repo.top]:
        if (place / PLAN_FILE).is_file():
            return Workspace(place, plan=place / PLAN_FILE).plan()
    from br3.everyday.seeing import see_all
    from br3.plan.detection import detect, on_path
    from br3.plan.model import Plan, Setup

    found = detect(here or repo.top, on_path)
    setup = Setup(run=found.setup, copy=found.copy, detected=True)
    return Plan(name=repo.name, base=see_all(repo).base or "main", builds=(), setup=setup)


def _require_setup_trust(repo: Repository, plan: Plan, trusted: bool) -> None:
    """See that the user has approved the set-up's commands: only these are run."""
    from br3.cli.context import approve_commands
    from br3.workspace import trust

    commands = [trust.Command("set-up", "setup", text) for text in plan.setup.run]
    hint = "--trust approves them, --no-setup goes without; on a terminal you are asked"
    approve_commands(repo.common_dir, commands, "of the set-up's commands", hint, trusted=trusted)


def _find(name: str) -> tuple[Seen, Row]:
    from br3.everyday import naming
    from br3.everyday.seeing import see

    seen = see(Path.cwd())
    return seen, naming.find(seen, name, Path.cwd())


def _require_there(row: Row) -> None:
    from br3.errors import UsageError

    if not row.path.is_dir():
        raise UsageError(
            f"{row.path} is not there", hint="br3 worktree prune, where it is gone for good; else mount what holds it"
        )


def _go_to(path: Path) -> bool:
    """Tell the shell's function where to go; False when there is none that would listen."""
    file = os.environ.get(CD_FILE)
    if not file:
        return False
    Path(file).write_bytes(os.fsencode(path))
    return True


def _note_switch(path: Path) -> None:
    """Remember where we were before we go there."""
    from br3.everyday import naming
    from br3.everyday.seeing import see

    seen = see(Path.cwd())
    naming.note_switch(seen, naming.find(seen, str(path), Path.cwd()))


def _no_shell_function(path: Path) -> str:
    from shlex import quote

    shell = os.path.basename(os.environ.get("SHELL", "bash"))
    shell = shell if shell in ("bash", "zsh", "fish") else "bash"
    way = "br3 shell-init fish | source" if shell == "fish" else f'eval "$(br3 shell-init {shell})"'
    return f"next:  cd {quote(str(path))}; with `{way}` in your shell's configuration br3 goes there itself"


def _show_made(made: Any) -> None:
    if made.how == "there":
        done = {"unchanged": "is there", "none": "is there", "busy": "is being set up just now"}
        click.echo(f"{_printable(made.branch)} {done.get(made.environment, 'is set up')}: {made.path}")
        return
    how = {"created": "new branch", "attached": "branch as it was", "tracking": "follows its remote branch"}[made.how]
    environment = {
        "none": "",
        "set up": ", set up",
        "copied": ", environment copied",
        "files copied": ", files copied",
        "busy": ", being set up by somebody else",
    }.get(made.environment, "")
    commit = f" at {made.commit[:9]}" if made.commit else ""
    click.echo(f"{_printable(made.branch)}: {how}{commit}{environment}, port {made.port}, {made.duration_s:.1f} s")
    click.echo(os.fsencode(made.path))


def _add_up(total: Removed, done: Removed) -> None:
    total.removed += done.removed
    total.given_up |= done.given_up
    total.lost |= done.lost
    total.going |= done.going
    total.kept_branches |= done.kept_branches


def _removed_as_json(done: Removed) -> dict[str, Any]:
    return {"removed": done.removed, "given_up": done.given_up, "lost": done.lost, "ignored": done.going}


def _show_removed(done: Removed) -> None:
    from br3.cli.output import show_gone

    if done.removed:
        click.echo(f"removed {', '.join(map(_printable, done.removed))}")
    show_gone(done.going, done.lost, done.given_up)
    for branch, why in done.kept_branches.items():
        click.echo(f"the branch {_printable(branch)} stays: {why}", err=True)


# What knows of runs is loaded only where a worktree is a build's.


def _is_known(seen: Seen, build: str) -> bool:
    from br3.everyday import builds

    return builds.is_known(seen, build)


def _landed(seen: Seen) -> list[str]:
    if not any(row.build for row in seen.rows):
        return []
    from br3.everyday import builds

    return builds.landed(seen)


def _remove_build(seen: Seen, build: str, *, force: bool) -> Removed:
    from br3.everyday import builds

    return builds.remove(seen, build, force=force)


def _ancestors() -> list[int]:
    import psutil

    return [process.pid for process in psutil.Process().parents()]


def _printable(text: str) -> str:
    from br3.wording import printable

    return printable(text)


@contextmanager
def _cancelling() -> Iterator[threading.Event]:
    """An event that Ctrl-C and TERM set, so that what runs is ended in good order."""
    import signal
    import threading

    cancel = threading.Event()
    before = {n: signal.signal(n, lambda *_: cancel.set()) for n in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield cancel
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _steps() -> Iterator[Progress]:
    from br3.cli.progress import progress

    with progress([]) as shown:
        yield shown
