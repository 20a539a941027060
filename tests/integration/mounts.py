"""A mount namespace of one's own: small disks and read-only directories that are real, and gone with the process.

``python -m tests.integration.mounts MODULE FUNCTION DIRECTORY`` calls a function in one. Root may do that; anybody else
in a user namespace besides, where the system allows it (Linux).
"""

from __future__ import annotations

import ctypes
import importlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

_NEW_MOUNTS, _NEW_USER = 0x20000, 0x10000000  # sched.h
_READ_ONLY, _REMOUNT, _BIND, _BELOW, _PRIVATE = 1, 32, 4096, 16384, 1 << 18  # sys/mount.h
_CANNOT = 77


def in_own_mounts(scene: Callable[[Path], None], directory: Path) -> None:
    """Play a scene, a function of a module of tests, in ``directory``, with mounts of its own."""
    words = [sys.executable, "-m", __name__, scene.__module__, scene.__name__, str(directory)]
    done = subprocess.run(words, cwd=Path(__file__).parents[2], check=False, capture_output=True, text=True)
    if done.returncode == _CANNOT:
        pytest.skip(f"nothing can be mounted here, so neither a full disk nor a read-only one is tried: {done.stderr}")
    assert done.returncode == 0, done.stdout + done.stderr


def small_disk(place: Path, size: int) -> None:
    """A disk of that many bytes at ``place``; again: it gets that size."""
    there = os.path.ismount(place)
    place.mkdir(exist_ok=True)
    _mount("none", place, "tmpfs", _REMOUNT if there else 0, f"size={size}")


def fill(place: Path) -> None:
    """Leave nothing free on the disk at ``place``."""
    facts = os.statvfs(place)
    small_disk(place, (facts.f_blocks - facts.f_bfree) * facts.f_frsize + 4096)
    with open(place / "filled", "wb", buffering=0) as filling:
        try:
            while True:
                filling.write(b"x" * 4096)
        except OSError:
            pass
    assert os.statvfs(place).f_bavail == 0


def read_only(place: Path) -> None:
    """Let nothing be written in ``place``, by nobody."""
    _mount(str(place), place, None, _BIND, None)
    _mount(None, place, None, _REMOUNT | _BIND | _READ_ONLY, None)


def writable(place: Path) -> None:
    """Take ``read_only`` back."""
    if _libc().umount2(os.fsencode(place), 2):  # MNT_DETACH: whoever has a file open there keeps it
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _mount(source: str | None, place: Path, kind: str | None, flags: int, options: str | None) -> None:
    words = [word.encode() if word is not None else None for word in (source, str(place), kind)]
    said = _libc().mount(*words, ctypes.c_ulong(flags), options.encode() if options else None)
    if said:
        raise OSError(ctypes.get_errno(), f"mount: {os.strerror(ctypes.get_errno())}", str(place))


def _enter() -> None:
    user, group = os.getuid(), os.getgid()
    if _libc().unshare(_NEW_MOUNTS | (0 if user == 0 else _NEW_USER)):
        raise OSError(ctypes.get_errno(), f"unshare: {os.strerror(ctypes.get_errno())}")
    if user != 0:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
    _mount("none", Path("/"), None, _BELOW | _PRIVATE, None)


if __name__ == "__main__":
    try:
        _enter()
    except (OSError, AttributeError) as error:  # another system has no unshare at all
        print(error, file=sys.stderr)
        sys.exit(_CANNOT)
    getattr(importlib.import_module(sys.argv[1]), sys.argv[2])(Path(sys.argv[3]))
