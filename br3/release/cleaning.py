"""Clean-up: worktrees and branches whose work is on base. What would be lost is named and stays."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from br3.dispatch.sessions import Session
from br3.dispatch.standing import Standing, standings
from br3.plan.model import Build
from br3.repo import refs, worktrees
from br3.repo.refs import CommitId
from br3.repo.runner import Git
from br3.telemetry import Lock, LockHeld
from br3.workspace import children


@dataclass
class Cleaned:
    """What was removed, what was not and why, and what ``--force`` gave up (branch → commit)."""

    removed: list[str] = field(default_factory=list)
    kept: dict[str, str] = field(default_factory=dict)
    given_up: dict[str, str] = field(default_factory=dict)
    lost: dict[str, str] = field(default_factory=dict)
    """Per build, why it would have been kept without ``--force``."""


def clean(session: Session, builds: Sequence[Build], *, force: bool = False) -> Cleaned:
    """Remove the worktrees of ``builds`` and their branches where nothing is lost by that.

    ``force`` also removes what has not landed; the commits stay in the object store for git's usual grace period.
    """
    cleaned = Cleaned()
    for build in builds:
        try:
            # Under the lock first, then looking: nobody works on the build between the look and the removal.
            with Lock(session.common_dir, "build", build.id).acquire() as lock:
                children.end_marked(children.mark_of(session.common_dir, build.id))  # an agent whose orchestrator died
                standing = standings(session, [build])[0]
                if standing.present or standing.branch_exists:
                    _clean_one(session, standing, cleaned, force=force, gen=lock.gen)
        except LockHeld:
            cleaned.kept[build.id] = "it is still being worked on"
    _tidy(session)
    return cleaned


def _clean_one(session: Session, standing: Standing, cleaned: Cleaned, *, force: bool, gen: int) -> None:
    reason = _would_lose(session, standing)
    if reason and not force:
        cleaned.kept[standing.id] = reason
        return
    _remove(session, standing, gen)
    cleaned.given_up |= _forget_agents(session, standing.id)
    cleaned.removed.append(standing.id)
    if reason:
        cleaned.lost[standing.id] = reason
    if reason and standing.tip:
        cleaned.given_up[standing.build.branch] = standing.tip


def _would_lose(session: Session, standing: Standing) -> str | None:
    path = standing.worktree
    if standing.present and worktrees.git_dir(path) is None:
        return f"{path} is no worktree any more: its .git file is gone or replaced, so nobody can tell what is in it"
    reason = _checked_out_elsewhere(session, standing)
    if standing.present and reason is None:
        reason = _stray_head(standing) or _nested_repository(path)
    if reason:
        return reason
    if standing.dirty:
        more = f" and {len(standing.dirty) - 5} more" if len(standing.dirty) > 5 else ""
        return f"uncommitted changes in {standing.worktree}: {', '.join(standing.dirty[:5])}{more}"
    if standing.has_work and standing.tip:
        base = f"refs/heads/{session.plan.base}"
        count = refs.count_between(session.repository.git, base, standing.tip)
        if count:
            commits = "1 commit" if count == 1 else f"{count} commits"
            return f"{commits} on {standing.build.branch} not landed"
    return None


def _stray_head(standing: Standing) -> str | None:
    """Commits that only the worktree's own HEAD holds."""
    git = Git(standing.worktree)
    head = refs.resolve(git, "HEAD")
    if head is not None and not git("for-each-ref", "--contains", head, "--count=1", "refs/heads", "refs/tags").text:
        return f"HEAD of {standing.worktree} holds commits ({head[:9]}) that are on no branch"
    return None


def _checked_out_elsewhere(session: Session, standing: Standing) -> str | None:
    for other in worktrees.list_worktrees(session.repository.git):
        if other.branch == standing.build.branch and not worktrees.same_path(other.path, standing.worktree):
            return f"its branch {standing.build.branch} is checked out in {other.path}"
    return None


def _nested_repository(worktree: Path) -> str | None:
    """A repository inside the worktree whose objects would go with it."""
    for directory, names, files in os.walk(worktree):
        if Path(directory) == worktree:
            names[:] = [n for n in names if n not in (".venv", "node_modules")]
        elif ".git" in names or ".git" in files:
            # Fine as long as what is checked out there came from its remote, and nothing was changed.
            nested = Git(Path(directory))
            if nested("status", "--porcelain", ok=(0, 128)).out.strip():
                return f"{directory} is a repository of its own, with uncommitted changes"
            found = Git(Path(directory))("for-each-ref", "--contains", "HEAD", "--count=1", "refs/remotes", ok=(0, 128))
            if not found.text.strip():
                return f"{directory} is a repository of its own, at a commit that no remote of it has"
    return None


def _remove(session: Session, standing: Standing, gen: int) -> None:
    git = session.repository.git
    here = [w for w in worktrees.list_worktrees(git) if worktrees.same_path(w.path, standing.worktree)]
    if here:
        worktrees.remove(git, here[0].path)
    if standing.tip:
        refs.delete(git, f"refs/heads/{standing.build.branch}", standing.tip)
    session.journal.append(
        "worktree.removed",
        run=session.run,
        build=standing.id,
        gen=gen,
        path=str(standing.worktree),
        branch=standing.build.branch,
        commit=standing.commit,
    )


def _forget_agents(session: Session, build: str) -> dict[str, str]:
    """Their sessions with a build that is gone, and what was salvaged of its cut-off attempts, which is returned."""
    shutil.rmtree(session.repository.br3_dir / "agents" / build, ignore_errors=True)
    git = session.repository.git
    listing = git("for-each-ref", "--format=%(refname) %(objectname)", f"refs/br3/salvage/{build}/").text
    salvaged = dict(line.split(" ") for line in listing.splitlines())
    for ref, commit in salvaged.items():
        refs.delete(git, ref, CommitId(commit))
    return salvaged


def _tidy(session: Session) -> None:
    """Empty directories that held worktrees, and what a removal that was killed left there."""
    for directory in {path.parent for path in session.worktrees.values()}:
        if directory.is_dir():
            worktrees.empty_trash(directory)
            try:
                directory.rmdir()
            except OSError:
                pass
