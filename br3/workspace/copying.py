"""Copying files: a reflink where the filesystem has it, else the bytes. Never a hard link: agents write."""

from __future__ import annotations

import os
import shutil
import stat
import sys
from collections.abc import Iterable
from pathlib import Path

from br3.repo.runner import Git

_FICLONE = 0x40049409  # linux/fs.h: _IOW(0x94, 9, int)


def copy_file(source: Path | str, target: Path | str) -> None:
    """Copy one regular file with its mode and times (compiled Python is valid only for its source's time)."""
    if not _reflink(source, target):
        shutil.copyfile(source, target, follow_symlinks=False)
    shutil.copystat(source, target, follow_symlinks=False)


def copy_tree(source: Path, target: Path, *, keep_shared: bool = False) -> None:
    """Copy a directory; symbolic links stay links; sockets, pipes and devices are left out.

    ``keep_shared``: a file that is hard-linked already (uv links environments to its cache) is linked once more, which
    shares nothing that was not shared before. A file that is nobody else's is always copied.
    """
    target.mkdir(parents=True, exist_ok=True)
    with os.scandir(source) as entries:
        for entry in entries:
            to = target / entry.name
            if entry.is_symlink():
                to.symlink_to(os.readlink(entry.path))
            elif entry.is_dir():
                copy_tree(Path(entry.path), to, keep_shared=keep_shared)
            elif stat.S_ISREG((facts := entry.stat(follow_symlinks=False)).st_mode) and not (
                keep_shared and facts.st_nlink > 1 and _link(entry.path, to)
            ):
                copy_file(entry.path, to)
    shutil.copystat(source, target)


def _link(source: str, target: Path) -> bool:
    try:
        os.link(source, target)
        return True
    except OSError:
        return False


DRAFT = ".br3-draft-"
"""How the names of unfinished copies begin; they stand at the top of a worktree and are never committed."""


def remove_drafts(worktree: Path) -> None:
    """Remove unfinished copies of a br3 that was killed; the caller holds the lock of the worktree's build."""
    for draft in worktree.glob(f"{DRAFT}*"):
        if draft.is_dir() and not draft.is_symlink():
            shutil.rmtree(draft, ignore_errors=True)
        else:
            draft.unlink(missing_ok=True)


def matching(patterns: Iterable[str], source: Path) -> list[str]:
    """The paths, relative to ``source``, that match ``patterns`` (paths or globs); nothing of git's own."""
    found = [path.relative_to(source) for pattern in patterns for path in sorted(source.glob(pattern))]
    return [str(path) for path in dict.fromkeys(found) if ".git" not in path.parts]


INCLUDE_FILE = ".worktreeinclude"
"""Names ignored files to bring along, a pattern a line as in .gitignore; other tools read it too."""


def included(source: Path) -> list[str]:
    """The paths, relative to ``source``, that its ``.worktreeinclude`` names: none that git tracks, directories as
    one, no repositories. One process, none without that file."""
    if not (source / INCLUDE_FILE).is_file():
        return []
    words = ("--others", "--ignored", f"--exclude-from={INCLUDE_FILE}", "--directory", "-z")
    found = [name.removesuffix("/") for name in Git(source)("ls-files", *words).fields]
    return [name for name in found if not os.path.lexists(source / name / ".git")]


def bring_along(names: Iterable[str], source: Path, target: Path) -> list[str]:
    """Copy the files and directories ``names`` from ``source`` to ``target``; what is there stays as it is.

    Returns those that were copied.
    """
    copied = []
    for name in names:
        found, to = source / name, target / name
        if os.path.lexists(to):
            continue
        to.parent.mkdir(parents=True, exist_ok=True)
        # Under another name first: a file that is there is whole.
        draft = target / f"{DRAFT}{os.getpid()}"
        if found.is_symlink():
            draft.symlink_to(os.readlink(found))
        elif found.is_dir():
            copy_tree(found, draft)
        else:
            copy_file(found, draft)
        draft.rename(to)
        copied.append(name)
    return copied


def _reflink(source: Path | str, target: Path | str) -> bool:
    if sys.platform == "darwin":
        import ctypes

        libc = ctypes.CDLL(None, use_errno=True)
        return bool(libc.clonefile(os.fsencode(source), os.fsencode(target), 1) == 0)
    if not sys.platform.startswith("linux") or os.stat(source).st_dev in _no_reflink:
        return False
    import fcntl

    with Path(source).open("rb") as reading, Path(target).open("wb") as writing:
        try:
            fcntl.ioctl(writing.fileno(), _FICLONE, reading.fileno())
            return True
        except OSError:
            # Asked once per filesystem: a tree of thousands of files would pay for each refusal.
            _no_reflink.add(os.stat(source).st_dev)
            return False


_no_reflink: set[int] = set()
