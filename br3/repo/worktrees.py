"""Worktrees: finding the repository, adding, inspecting and removing worktrees.

What may be deleted, and by what: ``remove`` moves a worktree's directory out of the way and drops its one registry
entry; it is called only for worktrees whose ``uncommitted`` paths are none or were given up by the user.
A repository-wide prune is never run: it would also unregister a worktree on an unmounted volume.

Processes: ``discover`` 1 · ``list_worktrees`` 1 · ``add`` 2 · ``uncommitted`` 1 · ``remove`` 1.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from br3.errors import Refused, UsageError
from br3.repo.refs import CommitId
from br3.repo.runner import Git, GitError


@dataclass(frozen=True)
class Repository:
    """A repository as seen from one directory.

    ``common_dir`` is shared by all its worktrees; ``worktree`` is the root of the one we are in, or None (bare, or
    inside the git directory).
    """

    common_dir: Path
    worktree: Path | None

    @property
    def git(self) -> Git:
        """Git for what concerns the whole repository: it needs no checkout, so none can be in the way."""
        return Git(self.common_dir)

    @property
    def br3_dir(self) -> Path:
        """Everything that br3 keeps."""
        return self.common_dir / "br3"

    @property
    def home(self) -> Path:
        """The directory that stands for the repository: that of its main worktree, or the bare repository's."""
        return self.common_dir.parent if self.common_dir.name in (".git", ".bare") else self.common_dir

    @property
    def top(self) -> Path:
        """Where a person would call git: the main worktree, or the bare repository. Relative remotes start there."""
        return self.home if (self.home / ".git").exists() else self.common_dir

    @property
    def name(self) -> str:
        """The repository's name, for worktree paths."""
        return self.home.name.removesuffix(".git") or self.home.name


@dataclass(frozen=True)
class Worktree:
    """One line of git's registry of worktrees. ``branch`` is None when HEAD is detached."""

    path: Path
    head: CommitId | None
    branch: str | None
    bare: bool = False
    locked: bool = False
    adding: bool = False
    """Git is adding it just now, or was killed while it did."""
    prunable: bool = False


def discover(directory: Path) -> Repository:
    """The repository that ``directory`` lies in; UsageError when it lies in none."""
    questions = ("--git-common-dir", "--is-bare-repository", "--is-inside-work-tree", "--show-toplevel")
    done = Git(directory)("rev-parse", "--path-format=absolute", *questions, ok=(0, 128))
    lines = done.text.split("\n")
    # A path may have line breaks: what tells where the first one ends are the two answers after it.
    answers = ("true", "false")
    at = next((n for n in range(1, len(lines) - 1) if lines[n] in answers and lines[n + 1] in answers), None)
    if at is None:
        said = os.fsdecode(done.err).strip()
        if "dubious ownership" in said or "safe.directory" in said:
            raise Refused(f"git does not trust {directory}: {said.splitlines()[0]}")
        raise UsageError(f"{directory} is not in a git repository", hint="go to your repository, or: git init")
    inside = lines[at + 1] == "true" and done.code == 0
    return Repository(Path("\n".join(lines[:at])).resolve(), Path("\n".join(lines[at + 2 :])) if inside else None)


def list_worktrees(git: Git) -> list[Worktree]:
    """All registered worktrees, the main one first."""
    found = []
    for record in git("worktree", "list", "--porcelain", "-z").out.split(b"\0\0"):
        facts: dict[str, str] = {}
        for field in os.fsdecode(record).split("\0"):
            key, _, value = field.partition(" ")
            facts[key] = value
        if "worktree" in facts:
            found.append(
                Worktree(
                    path=Path(facts["worktree"]),
                    head=CommitId(facts["HEAD"]) if "HEAD" in facts else None,
                    branch=facts["branch"].removeprefix("refs/heads/") if "branch" in facts else None,
                    bare="bare" in facts,
                    locked="locked" in facts,
                    adding=facts.get("locked") == "initializing",
                    prunable="prunable" in facts,
                )
            )
    return found


def same_path(a: Path, b: Path) -> bool:
    """Whether two paths name one place, through symbolic links, also when it does not exist."""
    return a.resolve() == b.resolve()


def git_dir(worktree: Path) -> Path | None:
    """The git directory of a linked worktree, read from its ``.git`` file; None when that is missing or broken."""
    try:
        pointer = (worktree / ".git").read_text(errors="surrogateescape")
    except (OSError, ValueError):
        return None
    if not pointer.startswith("gitdir: "):
        return None
    target = worktree / pointer.removeprefix("gitdir: ").removesuffix("\n")
    return target if target.is_dir() else None


def add(git: Git, path: Path, *, branch: str | None, commit: CommitId, create: bool) -> str | None:
    """Add a worktree at ``path``: on a new branch from ``commit`` (``create``), on an existing ``branch``, or
    detached at ``commit`` (``branch`` is None).

    ``--no-track``: parallel adds from a remote branch otherwise race for the lock of the config file. The index is
    refreshed once, or every later status would hash every file again. Returns what git said when a hook of the
    user's failed although the worktree stands, else None.
    """
    if branch is None:
        how = ["--detach", "--", str(path), commit]
    elif create:
        how = ["--no-track", "-b", branch, "--", str(path), commit]
    else:
        how = ["--", str(path), branch]
    complaint = None
    try:
        with _one_at_a_time(git):
            git("worktree", "add", "--quiet", *how)
    except GitError as error:
        # post-checkout's exit code becomes the command's, though the worktree is there and complete.
        standing = git_dir(path)
        if standing is None or not (standing / "index").exists():
            raise
        complaint = error.stderr.strip()
    # Exit code 1 says that some entry is not up to date (a filter or a hook rewrote it): not our concern.
    git.at(path)("update-index", "-q", "--refresh", ok=(0, 1))
    return complaint


def finish_checkout(git: Git, seen: Worktree) -> bool:
    """Finish the checkout of a worktree whose adding was killed; says whether there was anything to finish.

    Such a worktree holds nothing but a part of its commit's files: nobody has worked in it yet.
    """
    directory = git_dir(seen.path)
    if directory is None or not (seen.adding or not (directory / "index").exists()):
        return False
    with _one_at_a_time(git):  # so that no other br3 is adding it at this moment
        if seen.adding:
            git("worktree", "unlock", str(seen.path), ok=(0, 128))
        (directory / "index.lock").unlink(missing_ok=True)
        git.at(seen.path)("reset", "--quiet", "--hard")
    git.at(seen.path)("update-index", "-q", "--refresh", ok=(0, 1))
    return True


@contextmanager
def _one_at_a_time(git: Git) -> Iterator[None]:
    """Hold other br3 processes off the registry of worktrees.

    An add that lists a worktree which another add has half written fails (1 of 40 when measured), possibly after it
    has made its branch. In turn, four adds take 1.2 times as long as at once.
    """
    descriptor = os.open(git.directory, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def uncommitted(worktree: Path, excludes: Path | None = None) -> list[str]:
    """Paths with changes that no commit holds: modified, staged, untracked; ignored files are not among them."""
    config = {"core.excludesFile": str(excludes)} if excludes else {}
    listing = Git(worktree)("status", "--porcelain", "-z", "--untracked-files=all", "--no-renames", config=config)
    return [entry[3:] for entry in listing.fields]


def operation_in_progress(worktree: Path) -> str | None:
    """The name of a merge, rebase, cherry-pick, revert or bisect that waits in ``worktree``, or None."""
    directory = git_dir(worktree) or worktree / ".git"
    for marker, name in (
        ("MERGE_HEAD", "merge"),
        ("rebase-merge", "rebase"),
        ("rebase-apply", "rebase"),
        ("CHERRY_PICK_HEAD", "cherry-pick"),
        ("REVERT_HEAD", "revert"),
        ("BISECT_LOG", "bisect"),
    ):
        if (directory / marker).exists():
            return name
    return None


_TRASH = ".br3-trash-"


def remove(git: Git, path: Path) -> None:
    """Remove a worktree whose content the caller has found dispensable.

    The directory is renamed first, so that a process which still writes there cannot leave half of it behind under
    the old name; then only its own registry entry is dropped.
    """
    trash = path.parent / f"{_TRASH}{secrets.token_hex(4)}"
    if path.exists():
        path.rename(trash)
    try:
        with _one_at_a_time(git):
            git("worktree", "remove", str(path))
    except GitError:
        if trash.exists():
            trash.rename(path)
        raise
    shutil.rmtree(trash, ignore_errors=True)


def empty_trash(directory: Path) -> None:
    """Delete what a removal that was killed left in ``directory``; their registry entries are gone already."""
    for leftover in directory.glob(f"{_TRASH}*"):
        if git_dir(leftover) is None:
            shutil.rmtree(leftover, ignore_errors=True)


def worktree_path(repository: Repository, template: str, name: str) -> Path:
    """The path of a build's worktree by the plan's template; relative templates start at the repository."""
    home = repository.home
    text = template.format(parent=home.parent, repo=repository.name, build=name)
    return Path(os.path.abspath(home / Path(text).expanduser()))


def tracked(worktree: Path, paths: Sequence[str]) -> list[str]:
    """Those of ``paths`` that git tracks there."""
    if not paths:
        return []
    return Git(worktree)("ls-files", "-z", "--", *(f":(literal){p}" for p in paths)).fields
