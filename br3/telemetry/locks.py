"""Locks of the repository: flock files that die with their holder, and count how often they were taken.

The count is the generation: events written under a lock carry it, so that the order of two holders' events never
depends on a clock. Children do not inherit a lock (descriptors are close-on-exec).
"""

from __future__ import annotations

import fcntl
import os
import time
import urllib.parse
from pathlib import Path
from types import TracebackType

from br3.errors import Refused


class LockHeld(Refused):
    """Another living process holds the lock. ``pid`` is what it wrote there, or None."""

    def __init__(self, what: str, pid: int | None) -> None:
        message, hint = f"{what} is being worked on" + (f" by process {pid}" if pid else ""), "br3 status"
        if what.startswith("base "):
            message = under_way(what.removeprefix("base "), pid)
            hint = "wait until it has ended (br3 status shows it), then the same command again"
        super().__init__(message, hint=hint)
        self.pid = pid


def under_way(base: str, pid: int | None) -> str:
    """What is said while somebody holds the lock of ``base``."""
    return f"a landing or a release on {base} is under way" + (f" in process {pid}" if pid else "")


def lock_path(common_dir: Path, kind: str, name: str) -> Path:
    """The file of the lock on ``kind`` (run, build, base, …) ``name``; any name is a safe file name here."""
    return common_dir / "br3" / "locks" / f"{kind}-{urllib.parse.quote(name, safe='')}"


class Lock:
    """An exclusive lock, held from ``acquire`` to ``release`` or the process's end; also a context manager.

    ``gen`` is its generation, one higher than that of the holder before.
    """

    def __init__(self, common_dir: Path, kind: str, name: str) -> None:
        self.path = lock_path(common_dir, kind, name)
        self.what = f"{kind} {name}"
        self.gen = 0
        self._descriptor: int | None = None

    def acquire(self, wait_s: float = 0.25) -> Lock:
        """Take the lock; LockHeld when another process still holds it after ``wait_s`` seconds.

        The default outlasts the moment in which ``is_held`` asks.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        deadline = time.monotonic() + wait_s
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    holder = _numbers(descriptor)[1]
                    os.close(descriptor)
                    raise LockHeld(self.what, holder) from None
                time.sleep(0.02)
        self.gen = (_numbers(descriptor)[0] or 0) + 1
        # One write of fixed width: a reader sees the old numbers or the new ones.
        os.pwrite(descriptor, f"{self.gen:012d} {os.getpid():012d}\n".encode(), 0)
        os.fsync(descriptor)
        self._descriptor = descriptor
        return self

    def release(self) -> None:
        """Give the lock up; the file stays, it carries the generation."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> Lock:
        return self if self._descriptor is not None else self.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def is_held(common_dir: Path, kind: str, name: str) -> bool:
    """Whether a living process holds the lock."""
    return is_locked(lock_path(common_dir, kind, name))


def is_locked(path: Path) -> bool:
    """Whether a living process has locked the file; False when it is gone."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        # Shared: two who only ask do not see each other.
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return False
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)


def _numbers(descriptor: int) -> tuple[int | None, int | None]:
    words = os.pread(descriptor, 64, 0).split()
    return (int(words[0]), int(words[1])) if len(words) == 2 else (None, None)


def holder(common_dir: Path, kind: str, name: str) -> int | None:
    """The process that holds the lock, as far as is known."""
    if not is_held(common_dir, kind, name):
        return None
    try:
        descriptor = os.open(lock_path(common_dir, kind, name), os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        return _numbers(descriptor)[1]
    finally:
        os.close(descriptor)


def held(common_dir: Path) -> list[str]:
    """The locks that living processes hold: ``build a``, ``run 20261122-…``."""
    found = []
    for path in sorted((common_dir / "br3" / "locks").glob("*-*")):
        kind, _, name = path.name.partition("-")
        name = urllib.parse.unquote(name)
        if is_held(common_dir, kind, name):
            found.append(f"{kind} {name}")
    return found
