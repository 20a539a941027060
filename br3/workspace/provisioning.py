"""Setting up a worktree that br3 did not add: by the plan's ``[setup]``, and that of the build whose branch it is on.

Once: what was done is remembered as for the worktrees of builds, so neither does again what the other has done.
Git processes: at most 3.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path

from br3.errors import Br3Error, Refused
from br3.plan.model import DEFAULT_TIMEOUT_S, Build, Plan
from br3.repo import worktrees
from br3.repo.worktrees import Repository
from br3.telemetry import Journal, Lock, LockHeld, is_held
from br3.workspace import children, environments, trust
from br3.workspace.preparing import bring_ignored, read_notes, setup_digest, tell_hooks, write_notes


def is_set_up(worktree: Path) -> bool:
    """Whether somebody has set the linked worktree up, as far as br3 knows."""
    return bool(read_notes(worktree).get("ready"))


def is_being_set_up(repository: Repository, worktree: Path) -> bool:
    """Whether somebody is at it now."""
    return is_held(repository.common_dir, "worktree", _name(worktree))


def log_of(repository: Repository, worktree: Path) -> Path:
    """Where the output of its set-up is."""
    return repository.br3_dir / "worktrees" / _name(worktree) / "setup.log"


def provision(
    repository: Repository,
    plan: Plan,
    journal: Journal,
    report: Callable[[str], None] = lambda _: None,
) -> str:
    """Set up the linked worktree that ``repository`` was found from; says what was done: ``set up``, ``copied`` (a kept
    environment), ``unchanged``, or ``busy`` when somebody else is at it.

    Raises Refused when it is no linked worktree, or commands were not approved; Br3Error when one fails.
    """
    path = repository.worktree
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
        with lock.acquire() if lock else nullcontext(), Lock(repository.common_dir, "worktree", _name(path)).acquire():
            return _provision(repository, plan, build, path, journal, report)
    except LockHeld:
        return "busy"


def _provision(
    repository: Repository,
    plan: Plan,
    build: Build | None,
    path: Path,
    journal: Journal,
    report: Callable[[str], None],
) -> str:
    notes = read_notes(path)
    wanted = setup_digest(plan, build)
    if notes.get("ready") == wanted and (not notes.get("venv") or (path / ".venv").is_dir()):
        return "unchanged"
    began = time.monotonic()
    log = log_of(repository, path)
    log.parent.mkdir(parents=True, exist_ok=True)
    log.unlink(missing_ok=True)
    main = repository.top
    _, warnings = bring_ignored(plan.setup.copy, main if main != repository.common_dir else None, path, plan.base)
    mark = children.mark_of(repository.common_dir, f"worktree {path}")
    children.end_marked(mark)  # of a set-up that was cut off

    def run_each(wanted: Sequence[str]) -> None:
        for command in wanted:
            report(command)
            _run(repository, plan, path, command, mark, log, journal)

    how = "set up"
    try:
        if plan.setup.run:
            how = environments.provide(plan.setup.run, path, repository.common_dir, lambda: run_each(plan.setup.run))
        if build is not None:
            run_each(build.setup)
    finally:
        children.end_marked(mark)
    directory = worktrees.git_dir(path)
    if build is not None and directory is not None:
        tell_hooks(directory, build.id, read_notes(path).get("run"))
    write_notes(path, {**read_notes(path), "ready": wanted, "venv": (path / ".venv").is_dir()})
    journal.append(
        "worktree.ready",
        path=str(path),
        duration_s=round(time.monotonic() - began, 3),
        how="provisioned",
        environment=how,
        warnings=warnings,
    )
    return how


def _run(repository: Repository, plan: Plan, path: Path, command: str, mark: str, log: Path, journal: Journal) -> None:
    facts = {
        "BR3_WORKTREE": str(path),
        "BR3_BASE": plan.base,
        "BR3_PORT": str(children.port_for(repository.common_dir, len(plan.builds) + 1)),
        children.MARK: mark,
    }
    with log.open("a") as text:
        text.write(f"$ {command}\n")
    env = children.environment(path, facts, {name for build in plan.builds for name in build.env})
    done = children.run_command(command, cwd=path, env=env, log=log, timeout_s=DEFAULT_TIMEOUT_S)
    if not done.ok:
        journal.append(
            "worktree.failed", "error", path=str(path), command=command, exit_code=done.exit_code, log=str(log)
        )
        raise Br3Error(
            f"set-up of {path} failed: `{command}` ended with exit code {done.exit_code}\n"
            f"{journal.redact(children.tail(log))}\nlog: {log}",
            hint="mend it, then: br3 hooks setup",
        )


def _build_of(repository: Repository, plan: Plan, path: Path) -> Build | None:
    """The build whose branch is checked out there."""
    found = worktrees.list_worktrees(repository.git)
    branch = next((tree.branch for tree in found if worktrees.same_path(tree.path, path)), None)
    return next((build for build in plan.builds if build.branch == branch), None)


def _name(worktree: Path) -> str:
    """A name for what belongs to a worktree, by its path."""
    digest = hashlib.sha256(str(worktree.resolve()).encode(errors="surrogateescape")).hexdigest()[:12]
    return f"{worktree.name[:40]}-{digest}"
