"""A TCP port for each worktree, its own until it is gone: ``<common dir>/br3/ports.json``, path → port.

Where a worktree's port begins to be looked for follows from its path, so that it mostly gets the same one again after
it was removed and made anew. A port is probed once, when it is given; later the worktree's own server may be on it.
Below 32768, where Linux begins to give ports to whoever asks for any.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from br3.telemetry import Lock

FIRST, COUNT = 20_000, 12_000
_WAIT_S = 10.0


def port_of(common_dir: Path, worktree: Path) -> int:
    """The port of the worktree at that path, given to it now if it has none.

    Where nothing can be written it is one that is free now, and may be another the next time.
    """
    path = os.path.realpath(worktree)
    known = known_ports(common_dir).get(path)
    if known is not None:
        return known
    try:
        with _lock(common_dir):
            taken = without_gone(known_ports(common_dir), path)
            if path not in taken:
                taken[path] = _free(path, set(taken.values()))
                _write(common_dir, taken)
            return taken[path]
    except OSError:
        return _free(path, set(known_ports(common_dir).values()))


def free(common_dir: Path, worktree: Path) -> None:
    """Give the port of that worktree back; nothing when it has none."""
    path = os.path.realpath(worktree)
    if path not in known_ports(common_dir):
        return
    try:
        with _lock(common_dir):
            _write(common_dir, {other: port for other, port in known_ports(common_dir).items() if other != path})
    except OSError:
        pass  # who is given one next drops those of worktrees that are gone


def known_ports(common_dir: Path) -> dict[str, int]:
    """All that were given: real path of the worktree → port. A damaged file is as none."""
    try:
        found = json.loads(file_of(common_dir).read_text())
        return {path: port for path, port in found.items() if type(port) is int and 0 < port < 65_536}
    except (OSError, ValueError, AttributeError):
        return {}


def forget_gone(common_dir: Path) -> int:
    """Give back the ports of worktrees that are gone; how many they were."""
    with _lock(common_dir):
        known = known_ports(common_dir)
        kept = without_gone(known)
        if kept != known:
            _write(common_dir, kept)
        return len(known) - len(kept)


def _lock(common_dir: Path) -> Lock:
    from br3.telemetry import Lock  # who only reads does not pay for it

    return Lock(common_dir, "ports", "all").acquire(wait_s=_WAIT_S)


def file_of(common_dir: Path) -> Path:
    """Where they are kept."""
    return common_dir / "br3" / "ports.json"


def _write(common_dir: Path, ports: dict[str, int]) -> None:
    path = file_of(common_dir)
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    draft.write_text(json.dumps(ports, indent=0))
    draft.replace(path)


def without_gone(ports: dict[str, int], *others: str) -> dict[str, int]:
    """Without those whose directory is surely gone; ``others`` are worktrees that have no port yet."""
    parents = {os.path.dirname(path) for path in ports if not os.path.isdir(path)}
    away = {parent for parent in parents if may_be_unmounted(parent, [*ports, *others])}
    return {path: port for path, port in ports.items() if os.path.isdir(path) or os.path.dirname(path) in away}


def may_be_unmounted(parent: str | os.PathLike[str], known: Iterable[str]) -> bool:
    """Whether ``parent`` may be, or lie on, a volume that is not mounted: it is not there, or none of the ``known``
    worktrees in it is. What is found at a mount point without its volume is mostly an empty directory."""
    mine = [path for path in known if os.path.dirname(path) == os.fspath(parent)]
    return not os.path.isdir(parent) or not any(os.path.isdir(path) for path in mine)


def _free(path: str, taken: set[int]) -> int:
    import hashlib

    start = int(hashlib.sha256(os.fsencode(path)).hexdigest(), 16) % COUNT
    wanted = [port for step in range(COUNT) if (port := FIRST + (start + step) % COUNT) not in taken]
    return next((port for port in wanted if _can_be_bound(port)), wanted[0] if wanted else FIRST + start)


def _can_be_bound(port: int) -> bool:
    """Whether nobody listens there, by either protocol: `localhost` may be both."""
    import errno
    import socket

    for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        try:
            with socket.socket(family) as probe:
                probe.bind((address, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return False
    return True
