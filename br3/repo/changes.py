"""What is changed in a worktree and not committed, counted as people think of it.

Processes: ``changes`` 1 · ``uncommitted_lines`` 1 for what is staged, 1 for what is not · ``unseen`` 1, and 4 where git
was told not to look at something that is there.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from br3.repo import worktrees
from br3.repo.distances import shortstat
from br3.repo.runner import Git

_MOST_PATHS = 500


@dataclass(frozen=True)
class Changes:
    """Numbers of paths: ``staged``, ``modified`` (not staged), ``untracked``, ``conflicted`` (a merge that waits).

    ``paths`` are all of them, ``tracked`` those that git knows.
    """

    staged: int
    modified: int
    untracked: int
    conflicted: int
    paths: tuple[str, ...]
    tracked: tuple[str, ...]


def changes(worktree: Path, excludes: Path | None = None, *, each_untracked: bool = False) -> Changes:
    """The changes in a worktree; an untracked directory counts as one path unless ``each_untracked``."""
    # Several are asked at once: threads of each would only be in each other's way.
    config = {"core.preloadIndex": "false"} | ({"core.excludesFile": str(excludes)} if excludes else {})
    untracked = f"--untracked-files={'all' if each_untracked else 'normal'}"
    told = Git(worktree)("status", "--porcelain=v2", "-z", untracked, "--no-renames", config=config)
    staged = modified = new = conflicted = 0
    paths, tracked = [], []
    for entry in told.fields:
        kind, _, rest = entry.partition(" ")
        if kind == "?":
            new += 1
            paths.append(rest)
            continue
        if kind not in ("1", "u"):
            continue
        path = rest.split(" ", 7 if kind == "1" else 9)[-1]
        if kind == "u":
            conflicted += 1
        else:
            staged += rest[0] != "."
            modified += rest[1] != "."
        paths.append(path)
        tracked.append(path)
    return Changes(staged, modified, new, conflicted, tuple(paths), tuple(tracked))


def unseen(worktree: Path) -> list[str]:
    """Tracked files with changes that no status shows: marked --assume-unchanged or --skip-worktree."""
    git = Git(worktree)
    # git-ls-files(1): a lower case letter is the one mark, S the other; sparse files are not there.
    listed = (entry.partition(" ") for entry in git("ls-files", "-v", "-z").fields)
    marked = [path for sign, _, path in listed if sign in "Shsm" and os.path.lexists(worktree / path)]
    index = (worktrees.git_dir(worktree) or worktree / ".git") / "index"
    if not marked or not index.exists():
        return []
    with tempfile.TemporaryDirectory(prefix="br3-index-") as scratch:
        env = {"GIT_INDEX_FILE": str(shutil.copy2(index, Path(scratch) / "index"))}
        names = b"".join(os.fsencode(path) + b"\0" for path in marked)
        for unmark in ("--no-assume-unchanged", "--no-skip-worktree"):  # of both in one call git heeds the first
            git("update-index", unmark, "-z", "--stdin", input=names, env=env)
        git("update-index", "-q", "--refresh", env=env, ok=(0, 1))
        return git("diff-files", "-z", "--name-only", env=env).fields


def uncommitted_lines(worktree: Path, found: Changes) -> tuple[int, int]:
    """Lines added and removed since HEAD in the tracked ``found``: what is staged, and on top of that what is not.

    Not ``git diff HEAD``: for one path too that looks at every file there is.
    """
    git = Git(worktree, (("GIT_LITERAL_PATHSPECS", "1"),))
    some = found.tracked if len(found.tracked) <= _MOST_PATHS else ()
    how = ("--shortstat", "--no-ext-diff", "--no-textconv", "--no-renames")
    told = []
    if found.staged:
        told.append(shortstat(git("diff-index", "--cached", *how, "HEAD", "--", *some).text))
    if found.modified:
        told.append(shortstat(git("diff-files", *how, "--", *some).text))
    return sum(added for added, _ in told), sum(removed for _, removed in told)
