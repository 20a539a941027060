"""Whose the files are: what ``sudo`` has left is somebody else's, and the next command fails at it."""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterator
from pathlib import Path
from shlex import quote

from br3.analytics.inspecting import Finding
from br3.doctor.patient import Patient
from br3.repo.worktrees import claimed_by
from br3.wording import counted

_DEEP = frozenset({"environments"})
"""Not gone into: whole virtual environments, which are copied and never written."""


def files(patient: Patient) -> Iterator[Finding]:
    """What belongs to another user than the repository does, and what its owner may not write."""
    common_dir = patient.common_dir
    owner = common_dir.stat().st_uid
    strange: list[Path] = []
    closed: list[Path] = []
    for path in _ours(patient):
        try:
            facts = path.lstat()
        except OSError:
            continue  # gone meanwhile
        if facts.st_uid != owner:
            strange.append(path)
        elif path.is_dir() and not path.is_symlink() and not os.access(path, os.W_OK | os.X_OK):
            closed.append(path)
    if strange:
        name = _name(owner)
        roots = sorted({_root(patient, path) for path in strange})
        way = f"sudo chown -R {name} {' '.join(quote(str(root)) for root in roots)}"
        whose = _name(strange[0].lstat().st_uid)
        said = f"{_count(strange, 'belongs', 'belong')} to {whose} and not to {name}, as sudo leaves them"
        root = os.geteuid() == 0  # whom it does not stop
        mend = (lambda: _give_back(strange, owner)) if root else None
        yield Finding("files", root, f"{said}: {strange[0]}", way, root, mend)
    if closed and os.statvfs(closed[0]).f_flag & os.ST_RDONLY:
        way = f"mount it for writing again: df {quote(str(closed[0]))} says what is mounted there"
        yield Finding("files", False, f"the file system of {closed[0]} is read-only", way)
    elif closed:
        roots = sorted({_root(patient, path) for path in closed})
        way = f"chmod -R u+rwX {' '.join(quote(str(root)) for root in roots)}"
        yield Finding("files", False, f"{_count(closed, 'may', 'may')} not be written, such as {closed[0]}", way)
    if not strange and not closed:
        yield Finding("files", True, f"all are {_name(owner)}'s")


def _ours(patient: Patient) -> Iterator[Path]:
    """Everything that br3 keeps; of git's own, and of worktrees, what commands write there."""
    yield from _below(patient.repository.br3_dir)
    for name in ("objects", "refs", "logs", "worktrees"):
        yield from _below(patient.common_dir / name, depth=1 if name == "objects" else 8)
    for tree in patient.linked:
        if tree.path.is_dir():
            yield tree.path
            entry = claimed_by(tree.path)
            if entry is not None:
                yield tree.path / ".git"
            yield from (Path(one.path) for one in os.scandir(tree.path))


def _below(top: Path, depth: int = 8) -> Iterator[Path]:
    waiting = [(top, 0)]
    while waiting:
        directory, level = waiting.pop()
        if not os.path.lexists(directory):
            continue
        yield directory
        try:
            with os.scandir(directory) as entries:
                for entry in entries:
                    if not entry.is_dir(follow_symlinks=False) or entry.name in _DEEP or level + 1 >= depth:
                        yield Path(entry.path)
                    else:
                        waiting.append((Path(entry.path), level + 1))
        except OSError:
            continue  # it is told of by itself: it is not ours, or closed


def _root(patient: Patient, path: Path) -> Path:
    tops = [patient.repository.br3_dir, patient.common_dir, *(tree.path for tree in patient.linked)]
    return next((top for top in tops if path.is_relative_to(top)), path)


def _give_back(paths: list[Path], owner: int) -> str:
    for path in paths:
        os.chown(path, owner, -1, follow_symlinks=False)
    return f"{_count(paths, 'is', 'are')} {_name(owner)}'s again"


def _count(paths: list[Path], one: str, many: str) -> str:
    return f"{counted(len(paths), 'file')} {one if len(paths) == 1 else many}"


def _name(user: int) -> str:
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return f"user {user}"
