"""Ignored files of a worktree that would go with it: git tells nobody, and they may be the only ones of their kind.

    as set-up left it, or the same in the checkout that it was copied from   → goes
    a copied file that was changed, or one that people write by hand         → lost: its removal is refused
    anything else (logs, outputs of tests)                                   → goes, and is named

Environments and caches are nobody's work. Processes: ``listed`` 1.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from br3.repo.runner import Git
from br3.repo.snapshots import DROPPINGS, file_digest

BY_HAND = (".env", ".env.*", "*.env", ".envrc", "*.local", "*.local.*", "*.key", "*.pem", "*.p12", ".npmrc", ".netrc")
"""Names of ignored files that a person writes."""


@dataclass(frozen=True)
class AtRisk:
    """Paths that would be lost, each with the reason, and those that only go."""

    lost: tuple[str, ...]
    going: tuple[str, ...]


def listed(worktree: Path) -> list[str]:
    """The files and directories (with a slash at the end) that match a pattern of git's to ignore; no droppings."""
    return uncommitted_and_listed(worktree)[1]


def uncommitted_and_listed(worktree: Path, excludes: Path | None = None) -> tuple[list[str], list[str]]:
    """Paths with changes that no commit holds, and those that git ignores, by one look at the worktree."""
    words = ("--porcelain", "-z", "--untracked-files=all", "--ignored=matching", "--no-renames")
    config = {"core.excludesFile": str(excludes)} if excludes else {}
    entries = Git(worktree)("status", *words, config=config).fields
    hidden = [entry[3:] for entry in entries if entry.startswith("!! ")]
    dirty = [entry[3:] for entry in entries if not entry.startswith("!! ")]
    return dirty, [name for name in hidden if not _is_dropping(name)]


def stamps(worktree: Path) -> dict[str, str]:
    """Each of ``listed`` with what tells whether it is still the same: size and time; for a directory nothing."""
    return {name: _stamp(worktree / name) for name in listed(worktree)}


def at_risk(
    worktree: Path,
    source: Path | None,
    copied: Iterable[str],
    known: Mapping[str, str],
    names: Iterable[str] | None = None,
) -> AtRisk:
    """What of the ignored files is lost when the worktree goes.

    ``copied`` are the paths that were brought from ``source``, ``known`` the ``stamps`` when set-up had ended.
    ``names`` are those of ``listed``, from who has them.
    """
    lost, going = [], []
    brought = set(copied)
    for name in listed(worktree) if names is None else names:
        plain, stamp = name.removesuffix("/"), known.get(name)
        if stamp and stamp == _stamp(worktree / name):
            continue
        if plain in brought and source is not None:
            lost += [f"{path} (changed since it was copied)" for path in _changed(worktree, source, plain)]
        elif stamp == "" or (source is not None and _same(worktree / plain, source / plain)):
            continue  # a directory that set-up made is its own
        elif not name.endswith("/") and _matches(plain, BY_HAND):
            lost.append(f"{name} (ignored by git, and nowhere else)")
        else:
            going.append(name)
    return AtRisk(tuple(lost), tuple(going))


def _changed(worktree: Path, source: Path, name: str) -> list[str]:
    """The files at or below a copied path that are not as they are in ``source``."""
    here = worktree / name
    if here.is_symlink() or not here.is_dir():
        return [] if _same(here, source / name) else [name]
    found = []
    for directory, _, files in os.walk(here):
        for file in files:
            path = Path(directory, file)
            inside = str(path.relative_to(worktree))
            if not _is_dropping(inside) and not _same(path, source / inside):
                found.append(inside)
    return found


def _same(a: Path, b: Path) -> bool:
    if a.is_dir() or b.is_dir():
        return False
    try:
        first, second = os.lstat(a), os.lstat(b)
    except OSError:
        return False
    if (first.st_size, first.st_mtime_ns) == (second.st_size, second.st_mtime_ns):
        return True  # a copy has the time of what it was copied from
    return first.st_size == second.st_size and file_digest(a) == file_digest(b)


def _stamp(path: Path) -> str:
    if path.is_dir() and not path.is_symlink():
        return ""
    try:
        facts = os.lstat(path)
    except OSError:
        return "gone"
    return f"{facts.st_size} {facts.st_mtime_ns}"


def _is_dropping(name: str) -> bool:
    patterns = [pattern.removesuffix("/") for pattern in DROPPINGS]
    return any(_matches(part, patterns) for part in PurePosixPath(name).parts)


def _matches(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(PurePosixPath(name).name, pattern) for pattern in patterns)
