"""Throw-away worktrees: detached, with the environment of the builds they contain; they hold nothing anybody made.

A worktree is made once and moved from commit to commit. What it is moved to finds it as a fresh one would be: files
that a test left are gone, and set-up has run anew unless the environment it makes is known to be the same.
"""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from br3.dispatch.sessions import Session
from br3.errors import Br3Error, Interrupted, Refused
from br3.plan.model import DEFAULT_TIMEOUT_S, Build
from br3.repo import worktrees
from br3.repo.refs import CommitId
from br3.repo.runner import Git
from br3.repo.worktrees import Worktree, worktree_path
from br3.workspace import children, environments, ports
from br3.workspace.copying import INCLUDE_FILE
from br3.workspace.notes import SCRATCH_MARK
from br3.workspace.preparing import bring_ignored

Report = Callable[[str], None]


class Scratch:
    """One throw-away worktree for ``purpose``; ``slot`` tells those of one purpose apart.

    The caller holds a lock that keeps others from the same purpose.
    """

    def __init__(self, session: Session, purpose: str, *, slot: int = 0, cancel: threading.Event | None = None) -> None:
        self.session = session
        self.path = _path(session, purpose, slot)
        self.cancel = cancel or threading.Event()
        self._purpose = purpose
        self._slot = slot
        self._made = False
        self._fresh_at: CommitId | None = None
        """The commit that it stands at, as long as nothing has run in it."""
        self._at: CommitId | None = None
        self._environment: str | None = None
        self._set_up_left: frozenset[str] = frozenset()

    def environment(self) -> dict[str, str]:
        """The environment of commands that run in it."""
        session, common_dir = self.session, self.session.common_dir
        facts = {
            "BR3_RUN": session.run,
            "BR3_WORKTREE": str(self.path),
            "BR3_BASE": session.plan.base,
            "BR3_PORT": str(ports.port_of(common_dir, self.path)),
            children.MARK: self.mark,
        }
        return children.environment(self.path, facts, {name for build in session.plan.builds for name in build.env})

    @property
    def mark(self) -> str:
        """The mark of the processes that run in it."""
        slot = f" {self._slot}" if self._slot else ""
        return children.mark_of(self.session.common_dir, f"{self._purpose} of {self.session.plan.base}{slot}")

    def stand_at(
        self, commit: CommitId, builds: Sequence[Build], report: Report = lambda _: None, *, clean: bool = False
    ) -> Path:
        """Put it at ``commit``, set up for what ``builds`` need; ``clean``: whatever it has been before. Its path.

        Raises Br3Error when a set-up command fails, Interrupted when ``cancel`` is set meanwhile.
        """
        commands = [*self.session.plan.setup.run, *(command for build in builds for command in build.setup)]
        if not self._made:
            self.make(commit)
        if self.cancel.is_set():
            raise Interrupted("a throw-away worktree is not needed any more")
        used = self._fresh_at is None
        if used:
            children.end_marked(self.mark)
            self._remove_others(self._set_up_left)
        if self._fresh_at != commit:
            self._move_to(commit)
        wanted = self._environment_for(commands)
        if clean or wanted is None or wanted != self._environment:
            if used:
                self._remove_others(frozenset())
            self._environment = None
            self._set_up_left = frozenset()
            if commands or self.session.plan.setup.copy:
                self._set_up(builds, report)
                self._set_up_left = frozenset(worktrees.others(self.path))
            self._environment = self._environment_for(commands)
        self._fresh_at = None
        return self.path

    def _move_to(self, commit: CommitId) -> None:
        git = Git(self.path)
        assert self._at is not None
        before, self._at = self._at, commit
        # Hard: it is nobody's. What stands in the way was left by a test.
        git("reset", "--quiet", "--hard", commit, "--")
        if git("diff-tree", "-r", "-z", "--name-only", before, commit, "--", ":(glob)**/.gitattributes").fields:
            # Files that are the same in both may be written in another way now: all of them anew.
            git("read-tree", "--empty")
            git("reset", "--quiet", "--hard", commit, "--")

    def make(self, commit: CommitId) -> None:
        """Make it, at ``commit``, before it is needed; not when ``cancel`` is set."""
        if self.cancel.is_set():
            return
        self._clear_away()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        worktrees.add(self.session.repository.git, self.path, branch=None, commit=commit, create=False)
        self._made = True
        self._fresh_at = self._at = commit
        _mark(self.path)

    def discard(self) -> None:
        """Remove it, and what a killed one left of it; Refused when the place is not ours."""
        self._clear_away()
        self._made = False
        self._fresh_at = None
        self._environment = None
        try:
            self.path.parent.rmdir()  # when it is empty
        except OSError:
            pass

    def _clear_away(self) -> None:
        """Remove what is there, but leave the directory above it, where another slot may be about to be made."""
        children.end_marked(self.mark)
        _discard(self.session, self.path)

    def _environment_for(self, commands: Sequence[str]) -> str | None:
        """What tells two environments apart; None when nobody can know what the commands make."""
        source = self.session.source
        brings = self.session.plan.setup.copy or (source is not None and (source / INCLUDE_FILE).exists())
        if not commands and not brings:
            return ""
        return environments.digest(commands, self.path) if environments.recognised(commands) else None

    def _remove_others(self, kept: frozenset[str]) -> None:
        """Remove what git does not track, ignored or not, but for ``kept``."""
        for name in worktrees.others(self.path):
            if name not in kept:
                there = self.path / name
                if there.is_dir() and not there.is_symlink():
                    shutil.rmtree(there, ignore_errors=True)
                else:
                    there.unlink(missing_ok=True)

    def _set_up(self, builds: Sequence[Build], report: Report) -> None:
        session, plan = self.session, self.session.plan
        bring_ignored(plan.setup.copy, session.source, self.path, plan.base)
        log = session.run_dir / f"_{self._purpose}" / f"setup{f'-{self._slot}' if self._slot else ''}.log"
        log.unlink(missing_ok=True)

        def run_each(commands: Sequence[str]) -> None:
            for command in commands:
                report(command)
                done = children.run_command(
                    command,
                    cwd=self.path,
                    env=self.environment(),
                    log=log,
                    timeout_s=DEFAULT_TIMEOUT_S,
                    cancel=self.cancel,
                )
                if done.cause == "cancelled":
                    raise Interrupted("the set-up of a throw-away worktree was stopped")
                if not done.ok:
                    shown = session.journal.redact(children.tail(log))
                    raise Br3Error(
                        f"set-up of a throw-away worktree failed: `{command}` ended with exit code {done.exit_code}\n"
                        f"{shown}\nlog: {log}"
                    )

        if plan.setup.run:
            environments.provide(
                plan.setup.run,
                self.path,
                session.common_dir,
                lambda: run_each(plan.setup.run),
                cancelled=self.cancel.is_set,
            )
        run_each([command for build in builds for command in build.setup])


@contextmanager
def scratch_worktree(
    session: Session,
    purpose: str,
    commit: CommitId,
    builds: Sequence[Build],
    report: Report = lambda _: None,
) -> Iterator[Scratch]:
    """A throw-away worktree at ``commit``, set up for what ``builds`` need; gone afterwards."""
    scratch = Scratch(session, purpose)
    try:
        scratch.stand_at(commit, builds, report)
        yield scratch
    finally:
        scratch.discard()


def discard_all(session: Session, purpose: str) -> None:
    """Remove every throw-away worktree for ``purpose`` and this plan's base that a killed command has left."""
    first = _path(session, purpose, 0)
    for found in worktrees.list_worktrees(session.repository.git):
        name, _, slot = found.path.name.partition(_SLOT)
        if name == first.name and worktrees.same_path(found.path.parent, first.parent) and (not slot or slot.isdigit()):
            Scratch(session, purpose, slot=int(slot or 0)).discard()


# quote() would have escaped it, so no branch's name has it.
_SLOT = "+"


def _path(session: Session, purpose: str, slot: int) -> Path:
    name = f"br3-{purpose}-{quote(session.plan.base, safe='')}{f'{_SLOT}{slot}' if slot else ''}"
    return worktree_path(session.repository, session.plan.worktrees, name)


def _discard(session: Session, path: Path) -> None:
    git = session.repository.git
    registered = next((w for w in worktrees.list_worktrees(git) if worktrees.same_path(w.path, path)), None)
    if registered is not None:
        if registered.branch is not None or not _is_ours(registered, path):
            raise Refused(
                f"{path} is in the way: br3 needs that place for a throw-away worktree",
                hint="give the build another `worktree`, or remove what is there",
            )
        if registered.adding:  # it was killed while git made it
            git("worktree", "unlock", str(path), ok=(0, 128))
        worktrees.remove(git, path)
        ports.free(session.common_dir, path)
    elif os.path.lexists(path):
        raise Br3Error(f"{path} is in the way and is not a worktree of this repository", hint="move it away")
    worktrees.empty_trash(path.parent)


def _mark(path: Path) -> None:
    """Say, beside git's registration of it, that the worktree is ours to throw away."""
    directory = worktrees.git_dir(path)
    if directory is not None:
        (directory / SCRATCH_MARK).touch()


def is_scratch(path: Path) -> bool:
    """Whether a worktree is one that br3 is about to throw away."""
    directory = worktrees.git_dir(path)
    return directory is not None and (directory / SCRATCH_MARK).exists()


def _is_ours(registered: Worktree, path: Path) -> bool:
    """Whether we made it, or (killed before the mark) it is gone or holds nothing but its commit."""
    directory = worktrees.git_dir(path)
    if directory is None:
        return registered.adding or not path.exists()
    marked = (directory / SCRATCH_MARK).exists() or not (directory / "index").exists()
    return registered.adding or marked or not worktrees.uncommitted(path)
