"""Making a worktree that is no build's: added, ignored files brought along, set up; again: what is missing of that.

Git processes for a new one: 6 (name, worktrees, branches, start, add, index), and 1 for a branch that a remote has.
Killed at any moment, the same command goes on: a half-made checkout is finished, a set-up that was cut off run again.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from shlex import quote

from br3.errors import Refused, UsageError
from br3.plan.model import Plan
from br3.repo import refs, worktrees
from br3.repo.refs import CommitId
from br3.repo.runner import Git
from br3.repo.worktrees import Repository, Worktree, worktree_path
from br3.telemetry import Journal, Lock
from br3.workspace import ports
from br3.workspace.notes import read_notes, write_notes
from br3.workspace.provisioning import provision


@dataclass(frozen=True)
class Made:
    """``how``: created, attached (the branch was there), tracking (it is a remote's), or there (it was made before).

    ``environment``: ``set up``, ``copied`` (a kept one), ``unchanged``, ``busy`` (somebody is at it), ``none``.
    """

    path: Path
    branch: str
    commit: CommitId | None
    how: str
    environment: str
    port: int
    duration_s: float
    warnings: tuple[str, ...] = ()


def directory_name(branch: str) -> str:
    """The name of a branch's directory: a slash is a dash there."""
    return branch.replace("/", "-")


def check_name(repository: Repository, plan: Plan, branch: str) -> None:
    """UsageError for a name that git does not take, Refused for the branch of a build."""
    if branch in ("", "@", "-"):
        what = f"{branch} means a worktree that is there" if branch else "it is empty"
        raise UsageError(f"a branch cannot be named {branch!r}: {what}", hint="br3 worktree new NAME")
    if not refs.accepts_branch(repository.git, branch):
        raise UsageError(
            f"git takes no branch named {branch!r}", hint="git check-ref-format --help says what a name is"
        )
    build = next((build for build in plan.builds if build.branch == branch), None)
    if build is not None:
        raise Refused(f"{branch} is the branch of the build {build.id}", hint=f"br3 up {build.id} makes its worktree")


def make(
    repository: Repository,
    plan: Plan,
    branch: str,
    *,
    start: str | None = None,
    at: Path | None = None,
    set_up: bool = True,
    report: Callable[[str], None] = lambda _: None,
    cancel: threading.Event | None = None,
) -> Made:
    """Make a worktree for ``branch``, new from ``start`` (base where None) or as it is, at the plan's place or ``at``.

    ``check_name`` has let the name through, and the commands of ``plan.setup`` were approved. Raises Refused for what
    is in the way, Br3Error when set-up fails: the worktree stays, and the same call goes on.
    """
    began = time.monotonic()
    git = repository.git
    path = at or worktree_path(repository, plan.worktrees, directory_name(branch))
    with Lock(repository.common_dir, "worktree", f"of {branch}").acquire():
        here = next((w for w in worktrees.list_worktrees(git) if branch in (w.branch, w.held)), None)
        if here is not None:
            how, commit, complaint = "there", here.head, None
            path = _go_on(repository, here, at)
        else:
            report("adding worktree")
            how, commit, complaint = _add(repository, plan, branch, start, path)
            write_notes(path, {"start": commit, "branch": branch, "by": "worktree new"})
            journal = Journal(repository.common_dir)
            journal.append("worktree.created", path=str(path), branch=branch, start=commit)
        port = ports.port_of(repository.common_dir, path)
        warnings = [f"a hook of yours failed in the new worktree: {complaint}"] if complaint else []
        environment = "none"
        if set_up and (how != "there" or read_notes(path).get("by")):
            done = provision(
                Repository(repository.common_dir, path),
                plan,
                Journal(repository.common_dir),
                report,
                source=_source(repository),
                cancel=cancel,
                again=f"br3 worktree new {quote(branch)}",
            )
            environment, warnings = done.how, [*warnings, *done.warnings]
    return Made(path, branch, commit, how, environment, port, time.monotonic() - began, tuple(warnings))


def _source(repository: Repository) -> Path | None:
    """Where ignored files are brought from: the main worktree; beside a bare repository the worktree we are in."""
    return repository.top if repository.top != repository.common_dir else repository.worktree


def _go_on(repository: Repository, here: Worktree, at: Path | None) -> Path:
    """The place of a worktree that has the branch already, mended if its adding was cut off; Refused when it is no
    place to go on in."""
    if here.path.is_dir():
        worktrees.finish_checkout(repository.git, here)
        build = read_notes(here.path).get("build")
        if build:
            raise Refused(f"{here.branch} is checked out in {here.path}, for the build {build}", hint=f"br3 up {build}")
        if at is not None and not worktrees.same_path(at, here.path):
            raise Refused(
                f"{here.branch} is checked out in {here.path} already",
                hint=f"git worktree move {quote(str(here.path))} {quote(str(at))}",
            )
        return here.path
    raise Refused(
        f"{here.branch} is registered as checked out in {here.path}, and there is nothing",
        hint="br3 worktree prune, where it is gone for good; else mount what holds it",
    )


def _add(
    repository: Repository, plan: Plan, branch: str, start: str | None, path: Path
) -> tuple[str, CommitId, str | None]:
    """Add it; how, the commit, and what a hook of the user's complained of."""
    git = repository.git
    local, remotes = _known(git, branch)
    if os.path.lexists(path) and (not path.is_dir() or path.is_symlink() or any(path.iterdir())):
        raise Refused(f"{path} exists and is no worktree of {branch}", hint="move it away, or: --path DIRECTORY")
    if local is not None:
        if start is not None and refs.resolve(git, start) != local:
            raise Refused(
                f"the branch {branch} exists, and it is not at {start}",
                hint=f"leave --from out to take it as it is, or: git branch -m {branch} {branch}-old",
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        return "attached", local, worktrees.add(git, path, branch=branch, commit=local, create=False)
    upstream = None
    if start is None and remotes:
        if len(remotes) > 1:
            raise UsageError(
                f"{branch} is a branch of {len(remotes)} remotes: {', '.join(remotes)}", hint=f"--from {remotes[0]}"
            )
        upstream = remotes[0]
    commit = refs.resolve(git, upstream or start or plan.base)
    if commit is None and start is None and refs.resolve(git, "HEAD") is None:
        raise UsageError("the repository has no commit yet", hint="git add -A && git commit -m 'Begin'")
    if commit is None:
        raise UsageError(f"there is no commit {start or plan.base!r} to start from", hint="--from BRANCH or COMMIT")
    path.parent.mkdir(parents=True, exist_ok=True)
    complaint = worktrees.add(git, path, branch=branch, commit=commit, create=True)
    if upstream:
        worktrees.follow(git, branch, upstream)
    return ("tracking" if upstream else "created"), commit, complaint


def _known(git: Git, branch: str) -> tuple[CommitId | None, list[str]]:
    """Where the local branch is, and the remote branches of its name (``origin/…``); UsageError when git cannot have
    it beside another branch."""
    parts = branch.split("/")
    above = ["/".join(parts[:n]) for n in range(1, len(parts))]
    patterns = [f"refs/heads/{name}" for name in (branch, *above)] + [f"refs/remotes/*/{branch}"]
    told = git("for-each-ref", "--format=%(refname) %(objectname)", *patterns).lines
    local, remotes = None, []
    for line in told:
        ref, commit = line.rsplit(" ", 1)
        name = ref.removeprefix("refs/heads/")
        if ref.startswith("refs/remotes/"):
            if ref.split("/", 3)[3] == branch:
                remotes.append(ref.removeprefix("refs/remotes/"))
        elif name == branch:
            local = CommitId(commit)
        elif name in above or name.startswith(f"{branch}/"):
            raise UsageError(f"git cannot have a branch {branch} beside {name}", hint="take another name")
    return local, remotes
