"""Deleting directories that were renamed out of the way: little at once, much in the background.

    remove: rename beside itself (one system call) → drop the registry entry → here

The background is a process of its own session with the lowest priority and nothing inherited, so it outlives the
command and the terminal. When it is killed, the trash lies where it lay and the next call deletes it.
Run as a program (``python -I -S trash.py PATH…``) this module deletes those paths. Standard library only.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

PREFIX = ".br3-trash-"
"""How the names of directories that are to be deleted begin."""

# Deleting these takes less than starting a process does.
_FEW = 256

_started: list[subprocess.Popen[bytes]] = []


def set_aside(path: Path) -> Path:
    """Rename a directory to a name beside it that marks it as trash; OSError when it cannot be."""
    to = path.parent / f"{PREFIX}{os.urandom(4).hex()}"
    path.rename(to)
    return to


def lying_in(directory: Path) -> list[Path]:
    """What lies in ``directory`` to be deleted."""
    return sorted(directory.glob(f"{PREFIX}*"))


def delete(paths: Sequence[Path]) -> None:
    """Delete ``paths``, and the directories that held them when nothing is left in those."""
    _started[:] = [process for process in _started if process.poll() is None]
    if not paths:
        return
    if not _few(paths) and _start(paths):
        return
    _delete(paths)


def _few(paths: Sequence[Path]) -> bool:
    left = _FEW
    for path in paths:
        for _, directories, files in os.walk(path):
            left -= len(directories) + len(files)
            if left < 0:
                return False
    return True


def _start(paths: Sequence[Path]) -> bool:
    command = [sys.executable, "-I", "-S", os.path.abspath(__file__), *map(str, paths)]
    try:
        process = subprocess.Popen(
            command,
            cwd="/",
            env={},  # no mark of a build either, by which it would be ended
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError:
        return False
    _started.append(process)
    return True


def _delete(paths: Sequence[Path]) -> None:
    for path in paths:
        shutil.rmtree(path, ignore_errors=True)
        if path.exists():
            _make_writable(path)  # caches of packages are often read-only
            shutil.rmtree(path, ignore_errors=True)
    for directory in {path.parent for path in paths}:
        try:
            directory.rmdir()  # when it is empty
        except OSError:
            pass


def _make_writable(path: Path) -> None:
    for directory, _, _ in os.walk(path):
        try:
            os.chmod(directory, 0o700)
        except OSError:
            pass


def mounted_below(path: Path) -> list[Path]:
    """What is mounted at or below ``path``, where the system tells (Linux): deleting would go on in there."""
    try:
        lines = Path("/proc/self/mountinfo").read_bytes().split(b"\n")[:-1]
    except OSError:
        return []
    # proc(5): the fifth field is the mount point, with spaces and the like as octal escapes.
    points = [Path(os.fsdecode(_unescaped(line.split(b" ")[4]))) for line in lines]
    top = path.resolve()
    return sorted({point for point in points if point.is_relative_to(top)})


def _unescaped(field: bytes) -> bytes:
    for code, plain in ((rb"\040", b" "), (rb"\011", b"\t"), (rb"\012", b"\n"), (rb"\134", b"\\")):
        field = field.replace(code, plain)
    return field


if __name__ == "__main__":
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    os.nice(19)
    _delete([Path(path) for path in sys.argv[1:]])
