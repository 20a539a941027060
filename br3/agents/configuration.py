"""A configuration directory of a build's own for its agent, linked to the user's login.

Builds that share one directory share transcripts, memory and running totals. The login stays one: agents renew it, and
a copy would be worth nothing once the other was renewed.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path


def link_login(config_dir: Path, home: Path | None, names: Iterable[str], settings: Iterable[str] = ()) -> None:
    """Make ``config_dir`` (mode 0700), with a symbolic link to each of the user's files that is there.

    Links to other places are an agent's doing and go, and so does anything in the place of ``settings``.
    """
    config_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    given = tuple(settings)
    for name in (*names, *given):
        link = config_dir / name
        ours = home is not None and link.is_symlink() and os.readlink(link) == str(home / name)
        if not ours and (link.is_symlink() or (name in given and link.is_file())):
            link.unlink()
        if home is None or not (home / name).is_file() or link.is_symlink() or link.exists():
            continue
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(home / name)


def bring_back_login(config_dir: Path, home: Path, names: Iterable[str]) -> list[str]:
    """Where an agent put a renewed login in the place of the link, make it the user's; returns which were renewed.

    One that the user has renewed since stays.
    """
    renewed = []
    for name in names:
        link, own = config_dir / name, home / name
        if link.is_symlink() or not link.is_file() or not own.is_file():
            continue
        if link.stat().st_mtime_ns >= own.stat().st_mtime_ns:
            fresh = own.with_name(f".{own.name}.br3-{os.getpid()}")
            descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "wb") as sink:
                sink.write(link.read_bytes())
            fresh.replace(own)
            renewed.append(name)
        link.unlink()
        link.symlink_to(own)
    return renewed


def write_private(path: Path, text: str) -> None:
    """A file that only the user may read, and the directories above it. A link in its place goes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_symlink():
        path.unlink()
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as sink:
        sink.write(text)
