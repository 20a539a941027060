"""Processes that run in a directory: their working directory or an open file is at or below it.

Linux tells through /proc (a few readlinks for each process), other systems through psutil. What belongs to other users
is not seen. This very process is left out; the shell that it was called from is not.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

_HAS_PROC = os.path.isdir("/proc/self/fd")
_LONGEST = 60
_DELETED = " (deleted)"


@dataclass(frozen=True)
class Occupant:
    """A process in a directory; ``command`` is its command line, cut after 60 characters."""

    pid: int
    command: str

    def __str__(self) -> str:
        return f"{self.command} (pid {self.pid})"


def occupants(directories: Sequence[Path]) -> dict[Path, list[Occupant]]:
    """Who runs in each of ``directories``; those without anybody are left out."""
    tops = {os.path.realpath(directory): directory for directory in directories}
    found: dict[Path, list[Occupant]] = {}
    if not tops:
        return found
    for pid in _pids():
        if pid != os.getpid():
            for directory in {tops[top] for place in _places(pid) for top in tops if _is_below(place, top)}:
                found.setdefault(directory, []).append(Occupant(pid, _command(pid)))
    return found


def is_in(pid: int, directory: Path) -> bool:
    """Whether that process (still) runs in ``directory``."""
    top = os.path.realpath(directory)
    return any(_is_below(place, top) for place in _places(pid))


def _is_below(place: str, top: str) -> bool:
    return place == top or place.startswith(top + os.sep)


def _pids() -> list[int]:
    if _HAS_PROC:
        return sorted(int(name) for name in os.listdir("/proc") if name.isdigit())
    import psutil

    return sorted(psutil.pids())


def _places(pid: int) -> Iterator[str]:
    """The working directory and the open files of a process, as far as one may look."""
    if not _HAS_PROC:
        yield from _places_by_psutil(pid)
        return
    directory = f"/proc/{pid}"
    try:
        links = [f"{directory}/cwd", *(f"{directory}/fd/{name}" for name in os.listdir(f"{directory}/fd"))]
    except OSError:
        return
    for link in links:
        try:
            yield os.readlink(link).removesuffix(_DELETED)
        except OSError:
            continue


def _places_by_psutil(pid: int) -> Iterator[str]:
    import psutil

    try:
        process = psutil.Process(pid)
        yield process.cwd()
        yield from (file.path for file in process.open_files())
    except (psutil.Error, OSError):
        return


def _command(pid: int) -> str:
    import psutil

    try:
        process = psutil.Process(pid)
        program, *rest = process.cmdline() or [process.name()]
        words = " ".join([os.path.basename(program), *rest])
    except psutil.Error:
        return "?"
    shown = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in words)
    return shown if len(shown) <= _LONGEST else shown[: _LONGEST - 1] + "…"
