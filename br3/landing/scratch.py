"""Throw-away worktrees: detached, with the environment of the builds they contain; they hold nothing anybody made."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from br3.dispatch.sessions import Session
from br3.errors import Br3Error, Refused
from br3.plan.model import DEFAULT_TIMEOUT_S, Build
from br3.repo import worktrees
from br3.repo.refs import CommitId
from br3.repo.worktrees import worktree_path
from br3.workspace import children, environments
from br3.workspace.preparing import bring_ignored


def scratch_path(session: Session, purpose: str) -> Path:
    """Where the throw-away worktree for ``purpose`` and this plan's base lies."""
    name = f"br3-{purpose}-{quote(session.plan.base, safe='')}"
    return worktree_path(session.repository, session.plan.worktrees, name)


def scratch_environment(session: Session, worktree: Path, purpose: str) -> dict[str, str]:
    """The environment of commands in a throw-away worktree."""
    common_dir = session.common_dir
    facts = {
        "BR3_RUN": session.run,
        "BR3_WORKTREE": str(worktree),
        "BR3_BASE": session.plan.base,
        "BR3_PORT": str(children.port_for(common_dir, len(session.plan.builds))),
        children.MARK: children.mark_of(common_dir, f"{purpose} of {session.plan.base}"),
    }
    return children.environment(worktree, facts, {name for build in session.plan.builds for name in build.env})


@contextmanager
def scratch_worktree(
    session: Session,
    purpose: str,
    commit: CommitId,
    builds: Sequence[Build],
    report: Callable[[str], None] = lambda _: None,
) -> Iterator[Path]:
    """A worktree at ``commit``, set up for what ``builds`` need; gone afterwards.

    The caller holds a lock that keeps others from the same ``purpose``; what a killed one left is removed first.
    """
    path = scratch_path(session, purpose)
    _discard(session, path)
    path.parent.mkdir(parents=True, exist_ok=True)
    worktrees.add(session.repository.git, path, branch=None, commit=commit, create=False)
    try:
        _mark(path)
        _set_up(session, path, purpose, builds, report)
        yield path
    finally:
        children.end_marked(scratch_environment(session, path, purpose)[children.MARK])
        _discard(session, path)


def _discard(session: Session, path: Path) -> None:
    git = session.repository.git
    registered = next((w for w in worktrees.list_worktrees(git) if worktrees.same_path(w.path, path)), None)
    if registered is not None:
        if registered.branch is not None or not (registered.adding or _is_ours(path)):
            raise Refused(
                f"{path} is in the way: br3 needs that place for a throw-away worktree",
                hint="give the build another `worktree`, or remove what is there",
            )
        if registered.adding:  # it was killed while git made it
            git("worktree", "unlock", str(path), ok=(0, 128))
        worktrees.remove(git, path)
    elif path.exists():
        raise Br3Error(f"{path} is in the way and is not a worktree of this repository", hint="move it away")
    worktrees.empty_trash(path.parent)
    try:
        path.parent.rmdir()  # when it is empty
    except OSError:
        pass


_MARK = "br3-scratch"


def _mark(path: Path) -> None:
    """Say, beside git's registration of it, that the worktree is ours to throw away."""
    directory = worktrees.git_dir(path)
    if directory is not None:
        (directory / _MARK).touch()


def is_scratch(path: Path) -> bool:
    """Whether a worktree is one that br3 is about to throw away."""
    directory = worktrees.git_dir(path)
    return directory is not None and (directory / _MARK).exists()


def _is_ours(path: Path) -> bool:
    """Whether we made it, or (killed before the mark) it is gone or holds nothing but its commit."""
    directory = worktrees.git_dir(path)
    if directory is None:
        return not path.exists()
    return (directory / _MARK).exists() or not (directory / "index").exists() or not worktrees.uncommitted(path)


def _set_up(session: Session, path: Path, purpose: str, builds: Sequence[Build], report: Callable[[str], None]) -> None:
    plan = session.plan
    bring_ignored(plan.setup.copy, session.source, path, plan.base)
    log = session.run_dir / f"_{purpose}" / "setup.log"
    log.unlink(missing_ok=True)

    def run_each(commands: Sequence[str]) -> None:
        for command in commands:
            report(command)
            env = scratch_environment(session, path, purpose)
            done = children.run_command(command, cwd=path, env=env, log=log, timeout_s=DEFAULT_TIMEOUT_S)
            if not done.ok:
                shown = session.journal.redact(children.tail(log))
                raise Br3Error(
                    f"set-up of a throw-away worktree failed: `{command}` ended with exit code {done.exit_code}\n"
                    f"{shown}\nlog: {log}"
                )

    if plan.setup.run:
        environments.provide(plan.setup.run, path, session.common_dir, lambda: run_each(plan.setup.run))
    run_each([command for build in builds for command in build.setup])
