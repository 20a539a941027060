"""What worktrees take on the disk: measured when there is time, or asked for, and kept in ``<common dir>/br3``.

A measurement counts until the worktree's index or its topmost directory is written again, and ten minutes at least: a
build may have filled a directory that neither shows. Blocks are counted as the filesystem has them; what is hard-linked
or shared with other files counts for each.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_FRESH_S = 600.0
_BLOCK = 512  # stat(2): st_blocks is in these, whatever the filesystem's own


@dataclass(frozen=True)
class Size:
    """``bytes`` on the disk, measured at ``when`` (seconds since 1970), while it bore ``stamp``."""

    bytes: int
    when: float
    stamp: str

    def is_fresh(self, worktree: Path, git_dir: Path) -> bool:
        """Whether it need not be measured again."""
        return 0 <= time.time() - self.when < _FRESH_S and self.stamp == stamp_of(worktree, git_dir)


def known(common_dir: Path) -> dict[str, Size]:
    """All that is kept: real path → size."""
    try:
        found = json.loads((common_dir / "br3" / "sizes.json").read_text())
        return {path: Size(int(size[0]), float(size[1]), str(size[2])) for path, size in found.items()}
    except (OSError, ValueError, TypeError, AttributeError, LookupError):
        return {}


def keep(common_dir: Path, fresh: Mapping[str, Size]) -> None:
    """Keep these beside the others, but for those whose worktree is gone. A lost one is measured again."""
    kept = {path: size for path, size in {**known(common_dir), **fresh}.items() if os.path.isdir(path)}
    path = common_dir / "br3" / "sizes.json"
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft.write_text(json.dumps({name: [size.bytes, size.when, size.stamp] for name, size in kept.items()}))
        draft.replace(path)
    except OSError:
        pass


def measure(worktree: Path, git_dir: Path, deadline: float | None = None) -> Size | None:
    """What the worktree takes; None when ``deadline`` (of the monotonic clock) comes first."""
    stamp, total = stamp_of(worktree, git_dir), 0
    waiting = [os.fspath(worktree)]
    git = os.path.join(worktree, ".git")
    while waiting:
        if deadline is not None and time.monotonic() > deadline:
            return None
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    if entry.name == ".git" and entry.path == git:
                        continue  # of the main worktree: that is everybody's
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
                    else:
                        total += entry.stat(follow_symlinks=False).st_blocks
        except OSError:
            continue
    return Size(total * _BLOCK, time.time(), stamp)


def stamp_of(worktree: Path, git_dir: Path) -> str:
    """What changes when files come or go at the top, or git writes the index."""
    times = []
    for path in (worktree, git_dir / "index"):
        try:
            times.append(str(os.stat(path).st_mtime_ns))
        except OSError:
            times.append("-")
    return " ".join(times)
