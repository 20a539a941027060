"""Setting up a worktree that br3 did not add: by the plan's ``[setup]``, and that of the build whose branch it is on.

Once: what was done is remembered as for the worktrees of builds, so neither does again what the other has done.
Git processes: at most 3, and 5 more where there is anything to run or to bring along.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from br3.errors import Br3Error, Interrupted, Refused
from br3.plan.model import DEFAULT_TIMEOUT_S, Build, Plan
from br3.repo import snapshots, worktrees
from br3.repo.worktrees import Repository
from br3.telemetry import Journal, Lock, LockHeld, is_held
from br3.workspace import children, environments, trust
from br3.workspace.notes import name_of, read_notes, tell_hooks, write_notes
from br3.workspace.ports import port_of
from br3.workspace.preparing import (
    bring_ignored,
    look,
    made_since,
    setup_digest,
    to_bring,
)


@dataclass(frozen=True)
class Provisioned:
    """``how``: ``set up``, ``copied`` (a kept environment), ``files copied`` (there is nothing to run), ``none``,
    ``unchanged``, or ``busy`` when somebody else is at it."""

    how: str
    warnings: tuple[str, ...] = ()


def is_set_up(worktree: Path) -> bool:
    """Whether somebody has set the linked worktree up, as far as br3 knows."""
    return bool(read_notes(worktree).get("ready"))


def is_being_set_up(repository: Repository, worktree: Path) -> bool:
    """Whether somebody is at it now."""
    return is_held(repository.common_dir, "worktree", name_of(worktree))


def log_of(repository: Repository, worktree: Path) -> Path:
    """Where the output of its set-up is."""
    return repository.br3_dir / "worktrees" / name_of(worktree) / "setup.log"


def provision(
    repository: Repository,
    plan: Plan,
    journal: Journal,
    report: Callable[[str], None] = lambda _: None,
    *,
    source: Path | None = None,
    cancel: threading.Event | None = None,
    again: str = "br3 hooks setup",
) -> Provisioned:
    """Set up the linked worktree that ``repository`` was found from; ``again`` is the command that goes on with it.

    Ignored files are brought from ``source``, the main worktree where that is not said.

    Raises Refused when it is no linked worktree, or commands were not approved; Br3Error when one fails.
    """
    path = repository.worktree
    source = source or (repository.top if repository.top != repository.common_dir else None)
    if path is None or worktrees.git_dir(path) is None:
        raise Refused("this is not a linked worktree, and only those are set up", hint="git worktree list")
    build = _build_of(repository, plan, path)
    commands = [*plan.setup.run, *(build.setup if build is not None else ())]
    unapproved = trust.missing(
        repository.common_dir,
        [c for c in trust.commands_of(plan) if c.purpose == "set-up" and c.text in commands],
    )
    if unapproved:
        raise Refused("set-up has commands that nobody has approved", hint="br3 trust")
    lock = Lock(repository.common_dir, "build", build.id) if build is not None else None
    try:
        with (
            lock.acquire() if lock else nullcontext(),
            Lock(repository.common_dir, "worktree", name_of(path)).acquire(),
        ):
            return _provision(
                repository, plan, build, path, journal, report, source, cancel or threading.Event(), again
            )
    except LockHeld:
        return Provisioned("busy")


def _provision(
    repository: Repository,
    plan: Plan,
    build: Build | None,
    path: Path,
    journal: Journal,
    report: Callable[[str], None],
    source: Path | None,
    cancel: threading.Event,
    again: str,
) -> Provisioned:
    notes = read_notes(path)
    wanted = setup_digest(plan, build)
    if notes.get("ready") == wanted and (not notes.get("venv") or (path / ".venv").is_dir()):
        return Provisioned("unchanged")
    commands = [*plan.setup.run, *(build.setup if build is not None else ())]
    if not commands and not (source and to_bring(plan.setup.copy, source)):
        write_notes(path, notes | {"ready": wanted})
        return Provisioned("none")
    began = time.monotonic()
    excludes = snapshots.write_excludes(repository.git, repository.br3_dir / "excludes")
    before = look(path, excludes)
    copied, warnings = bring_ignored(plan.setup.copy, source, path, plan.base)
    log = log_of(repository, path)
    log.parent.mkdir(parents=True, exist_ok=True)
    log.unlink(missing_ok=True)
    mark = children.mark_of(repository.common_dir, f"worktree {path}")
    children.end_marked(mark)  # of a set-up that was cut off

    def run_each(wanted: Sequence[str]) -> None:
        for command in wanted:
            report(command)
            _run(repository, plan, path, command, mark, log, journal, cancel, again)

    how = "set up" if commands else "files copied" if copied else "none"
    try:
        if plan.setup.run:
            how = environments.provide(
                plan.setup.run,
                path,
                repository.common_dir,
                lambda: run_each(plan.setup.run),
                cancelled=cancel.is_set,
            )
        if build is not None:
            run_each(build.setup)
    finally:
        children.end_marked(mark)
    directory = worktrees.git_dir(path)
    if build is not None and directory is not None:
        tell_hooks(directory, build.id, read_notes(path).get("run"))
    notes = read_notes(path)
    write_notes(path, notes | {"ready": wanted} | made_since(before, path, excludes, notes, copied))
    journal.append(
        "worktree.ready",
        path=str(path),
        duration_s=round(time.monotonic() - began, 3),
        how="provisioned",
        environment=how,
        warnings=warnings,
    )
    return Provisioned(how, tuple(warnings))


def _run(
    repository: Repository,
    plan: Plan,
    path: Path,
    command: str,
    mark: str,
    log: Path,
    journal: Journal,
    cancel: threading.Event,
    again: str,
) -> None:
    facts = {
        "BR3_WORKTREE": str(path),
        "BR3_BASE": plan.base,
        "BR3_PORT": str(port_of(repository.common_dir, path)),
        children.MARK: mark,
    }
    with log.open("a") as text:
        text.write(f"$ {command}\n")
    env = children.environment(path, facts, {name for build in plan.builds for name in build.env})
    done = children.run_command(command, cwd=path, env=env, log=log, timeout_s=DEFAULT_TIMEOUT_S, cancel=cancel)
    if done.cause == "cancelled":
        raise Interrupted(f"the set-up of {path} was stopped", hint=f"the worktree stays; {again} goes on")
    if not done.ok:
        journal.append(
            "worktree.failed", "error", path=str(path), command=command, exit_code=done.exit_code, log=str(log)
        )
        raise Br3Error(
            f"set-up of {path} failed: `{command}` ended with exit code {done.exit_code}\n"
            f"{journal.redact(children.tail(log))}\nlog: {log}",
            hint=f"mend it, then: {again}",
        )


def _build_of(repository: Repository, plan: Plan, path: Path) -> Build | None:
    """The build whose branch is checked out there."""
    found = worktrees.list_worktrees(repository.git)
    branch = next((tree.branch for tree in found if worktrees.same_path(tree.path, path)), None)
    return next((build for build in plan.builds if build.branch == branch), None)
