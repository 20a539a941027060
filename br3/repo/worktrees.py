"""Worktrees: finding the repository, adding, inspecting and removing worktrees.

What may be deleted, and by what: ``remove`` moves a worktree's directory out of the way and drops its one registry
entry; it is called only for worktrees whose ``uncommitted`` paths are none or were given up by the user.
A repository-wide prune is never run: it would also unregister a worktree on an unmounted volume.

Processes: ``discover`` 1 · ``list_worktrees`` 1, in a submodule 2 · ``add`` 3 (and its writers) ·
``uncommitted`` 1 · ``remove`` 1.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import shlex
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from br3.errors import Refused, UsageError
from br3.repo import trash
from br3.repo.refs import CommitId
from br3.repo.runner import Git, GitError

_MOST_WRITERS = 4
_COMMIT_ID = re.compile("[0-9a-f]{40}|[0-9a-f]{64}")


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

    @cached_property
    def home(self) -> Path:
        """The directory that stands for the repository: that of its main worktree, or the bare repository's."""
        if self.common_dir.name in (".git", ".bare"):
            return self.common_dir.parent
        return _far_worktree(self.common_dir) or self.common_dir

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
    locked_because: str = ""
    adding: bool = False
    """Git is adding it just now, or was killed while it did."""
    prunable: bool = False
    held: str | None = None
    """The branch that a rebase or a bisect there has taken off HEAD, and puts back when it ends."""


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
            detached = "detached" in facts
            found.append(
                Worktree(
                    path=Path(facts["worktree"]),
                    head=CommitId(facts["HEAD"]) if "HEAD" in facts else None,
                    branch=facts["branch"].removeprefix("refs/heads/") if "branch" in facts else None,
                    bare="bare" in facts,
                    locked="locked" in facts,
                    locked_because=facts.get("locked", ""),
                    adding=facts.get("locked") == "initializing",
                    prunable="prunable" in facts,
                    held=_held_branch(Path(facts["worktree"])) if detached else None,
                )
            )
    if found and not found[0].bare and not (found[0].path / ".git").exists():
        # Of a submodule git tells where its git directory is, not where it is checked out.
        place = _far_worktree(git.directory)
        if place is not None:
            held = _held_branch(place) if found[0].branch is None else None
            found[0] = replace(found[0], path=place, held=held)
    return found


def _far_worktree(common_dir: Path) -> Path | None:
    """Where the main worktree of a repository is whose git directory lies elsewhere, as a submodule's does."""
    told = Git(common_dir)("config", "--get", "core.worktree", ok=(0, 1, 128)).text
    return Path(os.path.normpath(common_dir / told)) if told else None


def _held_branch(worktree: Path) -> str | None:
    directory = git_dir(worktree) or worktree / ".git"
    for name in ("rebase-merge/head-name", "rebase-apply/head-name", "BISECT_START"):
        try:
            said = (directory / name).read_text(errors="surrogateescape").removesuffix("\n")
        except (OSError, ValueError):
            continue
        if said.startswith("refs/heads/"):
            return said.removeprefix("refs/heads/")
        if name == "BISECT_START" and not _COMMIT_ID.fullmatch(said):
            return said
    return None


def same_path(a: Path, b: Path) -> bool:
    """Whether two paths name one place, through symbolic links, also when it does not exist."""
    return a.resolve() == b.resolve()


def git_dir(worktree: Path) -> Path | None:
    """The git directory of a linked worktree, read from its ``.git`` file; None when that is missing or broken."""
    target = claimed_by(worktree)
    return target if target is not None and target.is_dir() else None


def claimed_by(worktree: Path) -> Path | None:
    """The git directory that the ``.git`` file of a worktree names, there or not; None without such a file."""
    try:
        pointer = (worktree / ".git").read_text(errors="surrogateescape")
    except (OSError, ValueError):
        return None
    return worktree / pointer.removeprefix("gitdir: ").removesuffix("\n") if pointer.startswith("gitdir: ") else None


def entry_of(git: Git, path: Path) -> Path | None:
    """The entry in this repository's registry for a worktree at ``path``, there or not."""
    for entry in sorted((git.directory / "worktrees").glob("*")):
        try:
            if Path((entry / "gitdir").read_text(errors="surrogateescape").removesuffix("\n")).parent == path:
                return entry
        except OSError:
            continue
    return None


def lost_touch(git: Git, worktree: Path) -> Path | None:
    """The git directory that a worktree names and that is not there, while this repository has one of that name: one
    of the two was moved. ``git worktree repair PATH`` brings them together; None when nothing of that kind is so."""
    entry = claimed_by(worktree)
    if entry is None or entry.exists():
        return None
    return entry if (git.directory / "worktrees" / entry.name).is_dir() else None


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
            git("worktree", "add", "--quiet", *how, config=_several_writers(git))
    except GitError as error:
        # post-checkout's exit code becomes the command's, though the worktree is there and complete.
        standing = git_dir(path)
        if standing is None or not (standing / "index").exists():
            raise
        complaint = error.stderr.strip()
    # Exit code 1 says that some entry is not up to date (a filter or a hook rewrote it): not our concern.
    git.at(path)("update-index", "-q", "--refresh", ok=(0, 1))
    return complaint


def _several_writers(git: Git) -> dict[str, str]:
    """Settings by which git writes the files of a checkout from several processes, unless the user has set how many.

    Most of its time a checkout waits for the disk: of 5,000 files in half the time, with two cores.
    """
    writers = min(_MOST_WRITERS, os.cpu_count() or 1)
    if writers < 2 or git("config", "--get", "checkout.workers", ok=(0, 1)).code == 0:
        return {}
    return {"checkout.workers": f"{writers}"}


def has_hook(git: Git, name: str) -> bool:
    """Whether git calls anything as the hook ``name``: a script, or a command of its configuration. Two processes."""
    script = git("rev-parse", "--path-format=absolute", "--git-path", f"hooks/{name}").text
    if os.access(script, os.X_OK):
        return True
    events = git("config", "--null", "--get-regexp", r"^hook\..*\.event$", ok=(0, 1)).fields
    return any(said.partition("\n")[2] == name for said in events)


def follow(git: Git, branch: str, upstream: str) -> None:
    """Make ``upstream`` (``origin/x``) what ``branch`` follows; in turn, for the configuration has one lock."""
    with _one_at_a_time(git):
        git("branch", "--quiet", f"--set-upstream-to={upstream}", branch)


def unfollow(git: Git, branch: str) -> None:
    """Forget what a branch followed that is no more: another one of its name begins anew."""
    with _one_at_a_time(git):
        git("config", "--remove-section", f"branch.{branch}", ok=(0, 128))


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


def others(worktree: Path, leave_out: Sequence[str] = ()) -> list[str]:
    """What git does not track there, ignored or not, directories as one with a slash at their end; ``leave_out`` are
    patterns as in .gitignore. One process."""
    excluded = [f"--exclude={pattern}" for pattern in leave_out]
    return Git(worktree)("ls-files", "--others", "--directory", "--no-empty-directory", "-z", *excluded).fields


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


def remove(git: Git, path: Path) -> None:
    """Remove a worktree, at its path as registered, whose content the caller has found dispensable.

    The directory is renamed first, so that a process which still writes there cannot leave half of it behind under
    the old name; then only its own registry entry is dropped. ``empty_trash`` deletes it. Raises Refused when it cannot
    be renamed, GitError when git keeps the entry (it is locked); then everything is as it was.
    """
    aside = _set_aside(path) if os.path.lexists(path) else None
    try:
        with _one_at_a_time(git):
            git("worktree", "remove", str(path))
    except GitError:
        if aside is not None:
            aside.rename(path)
        raise


def remove_unregistered(git: Git, path: Path) -> bool:
    """Remove a directory that is a worktree by its ``.git`` file alone: git's entry for it is gone or damaged.

    False, and nothing is done, when that file does not say that it is one of this repository's.
    """
    entry = _claimed_entry(git, path)
    if entry is None:
        return False
    _set_aside(path)
    with _one_at_a_time(git):
        shutil.rmtree(entry, ignore_errors=True)
    return True


def _set_aside(path: Path) -> Path:
    try:
        if path.is_symlink():
            raise OSError(errno.EXDEV, "it is a symbolic link")
        return trash.set_aside(path)
    except OSError as error:
        raise Refused(
            f"{path} cannot be moved out of the way: {error.strerror or error}",
            hint=f"nothing in it would be lost: git worktree remove --force {shlex.quote(str(path))}",
        ) from error


def _claimed_entry(git: Git, path: Path) -> Path | None:
    """The entry in this repository's registry, there or not, that the ``.git`` file of a directory names."""
    named = claimed_by(path)
    entry = named.resolve() if named is not None else None
    return entry if entry is not None and entry.parent == (git.directory / "worktrees").resolve() else None


def empty_trash(directory: Path) -> None:
    """Delete what removals left in ``directory``, in the background when it is much.

    What a removal that was killed has renamed and git still has registered stays until it is removed again.
    """
    trash.delete([leftover for leftover in trash.lying_in(directory) if git_dir(leftover) is None])


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
