"""The segment that shell hooks share. ``hooks.jsonl`` is a symbolic link to it, so that they open it by one name.

A hook appends ``\\n{…}\\n`` in one write of under 4 KB; that it opens the file by name each time makes rotation a
matter of pointing the link elsewhere. Whoever still has the old one open appends there, and is read there.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from br3.telemetry.journal import ROTATE_BYTES, SUFFIX, journal_dir, new_name, sync_directory

LATE_S = 600.0
"""A segment that hooks no longer open by name is taken for finished this long after its last line."""


def hooks_link(common_dir: Path) -> Path:
    """What the shell hooks append to."""
    return journal_dir(common_dir) / f"hooks{SUFFIX}"


def is_hooks_segment(name: str) -> bool:
    """Whether a segment is one that hooks share."""
    return "-hooks-" in name


def settle(common_dir: Path) -> None:
    """Give what hooks have written a name that stays, and turn the link when the segment is large.

    Whoever calls it holds the right to write the analytics file, so that only one does.
    """
    link = hooks_link(common_dir)
    while link.exists() and not link.is_symlink():  # hooks wrote before there was a link
        name = new_name("hooks")
        link.rename(link.with_name(name + SUFFIX))
        try:
            link.symlink_to(name + SUFFIX)
        except FileExistsError:
            continue  # a hook came in between; what it wrote is a segment too
        sync_directory(link.parent)
    if link.is_symlink() and link.exists() and link.stat().st_size >= ROTATE_BYTES:
        beside = link.with_name(".hooks.new")
        beside.unlink(missing_ok=True)
        beside.symlink_to(new_name("hooks") + SUFFIX)
        beside.rename(link)
        sync_directory(link.parent)


def begin(common_dir: Path) -> Path:
    """Make the link, so that hooks may append; returns it."""
    link = hooks_link(common_dir)
    link.parent.mkdir(parents=True, exist_ok=True)
    try:
        link.symlink_to(new_name("hooks") + SUFFIX)
    except FileExistsError:
        pass
    return link


def finished(common_dir: Path, segment: os.DirEntry[str]) -> bool:
    """Whether no hook will append to a shared segment any more, for all that can be told."""
    link = hooks_link(common_dir)
    if link.is_symlink() and os.readlink(link) == segment.name:
        return False
    return time.time() - segment.stat().st_mtime > LATE_S
