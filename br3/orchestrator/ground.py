"""What a build stands on: the repository in its place, a disk that takes what is written, its worktree, its branch.

A full disk, a directory that may not be written and a repository that was moved are no failure of a build: whoever
works on it ends without a word, and another goes on where it was once that is mended.
"""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path
from shlex import quote

from br3.errors import Br3Error, told
from br3.repo import refs
from br3.repo.containing import contained_in
from br3.repo.refs import NULL_ID, CommitId
from br3.repo.runner import Git
from br3.telemetry.journal import journal_dir

LEAST_BYTES = 50_000_000
LEAST_FILES = 100
"""With less on its disk no attempt begins."""


class GivenWay(Br3Error):
    """The work cannot go on here, and nothing of it has failed. ``full``: there is no room on the disk."""

    def __init__(self, said: Br3Error, *, full: bool = False) -> None:
        super().__init__(said.message, said.hint)
        self.full = full


def trouble(common_dir: Path, worktree: Path | None = None) -> GivenWay | None:
    """What has given way; None when the repository is there and a few bytes can be written in it."""
    if not common_dir.is_dir():
        moved = Br3Error(
            f"the repository is not at {common_dir} any more",
            hint="where it is now: br3 doctor, then br3 run goes on",
        )
        return GivenWay(moved)
    places = [journal_dir(common_dir), *([worktree] if worktree is not None and worktree.is_dir() else [])]
    for place in places:
        complaint = cannot_write(place)
        if complaint is not None:
            return GivenWay(told(complaint), full=complaint.errno in (errno.ENOSPC, errno.EDQUOT))
    return no_room(*places)


def no_room(*places: Path) -> GivenWay | None:
    """Where less than ``LEAST_BYTES`` are free, or fewer than ``LEAST_FILES`` can be made."""
    for place in places:
        disk = os.statvfs(place)
        if disk.f_bavail * disk.f_frsize < LEAST_BYTES or (disk.f_files and disk.f_favail < LEAST_FILES):
            return GivenWay(told(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(place))), full=True)
    return None


def cannot_write(directory: Path) -> OSError | None:
    """Why no file can be written in ``directory``, which is made when it is not there; None when one can."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=directory, prefix=".br3-draft-") as probe:
            probe.write(b"x" * 4096)
            probe.flush()
            os.fsync(probe.fileno())
    except OSError as error:
        return OSError(error.errno, error.strerror, str(directory))
    return None


def was_moved(git: Git, branch: str, commit: str) -> bool:
    """Whether ``branch`` once stood at ``commit`` and does not contain it any more, by its own reflog.

    A branch of the same name that was made anew knows nothing of it.
    """
    ref = f"refs/heads/{branch}"
    if refs.resolve(git, ref) is None or refs.resolve(git, commit) is None or refs.is_ancestor(git, commit, ref):
        return False
    return commit in git("log", "-g", "--format=%H", ref, "--", ok=(0, 128)).text.split()


def rewritten(git: Git, branch: str, commit: str) -> CommitId | None:
    """The tip of a branch that was moved and holds all that ``commit`` made, in other commits: it was rebased, or
    amended. None when it was not, or when that is not proven."""
    tip = refs.resolve(git, f"refs/heads/{branch}")
    if tip is None or not was_moved(git, branch, commit):
        return None
    return tip if contained_in(git, tip, CommitId(commit)) is not None else None


def keep(git: Git, build: str, commit: str) -> str:
    """Hold a commit that came off its branch by a ref of its own; the ref."""
    ref = f"refs/br3/moved/{build}/{commit[:12]}"
    if refs.resolve(git, ref) is None:
        refs.move(git, ref, CommitId(commit), NULL_ID, "br3: its branch was moved away from it")
    return ref


def way_back(worktree: Path, commit: str) -> str:
    """The git command that, in ``worktree``, sets its branch to ``commit`` again and loses no file."""
    index = Git(worktree)("diff-index", "--cached", "--quiet", commit, ok=(0, 1, 128)).code
    # With the index still as it was only the branch has moved: files, also those not committed, are as they were left.
    return f"git -C {quote(str(worktree))} reset --quiet {'--soft' if index == 0 else '--keep'} {commit}"
