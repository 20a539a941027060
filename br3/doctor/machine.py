"""Git's version, the room on the disks, and the clock."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from br3.analytics.inspecting import Finding
from br3.dispatch.watching import LEAST_FREE_BYTES
from br3.doctor.patient import Patient
from br3.everyday.sizes import measure
from br3.hooks.installing import CONFIG_SINCE
from br3.repo import trash
from br3.telemetry import read_events

LEAST_GIT = (2, 39)
_FUTURE_S = 120.0


def git(patient: Patient) -> Iterator[Finding]:
    """Whether it is new enough, and what a newer one would give."""
    said = patient.repository.git("--version").text.removeprefix("git version ")
    found = re.match(r"(\d+)\.(\d+)", said)
    version = (int(found[1]), int(found[2])) if found else (0, 0)
    if version < LEAST_GIT:
        yield Finding("git", False, f"{said} is too old", f"install git {_dotted(LEAST_GIT)} or newer")
    elif version < CONFIG_SINCE:
        yield Finding("git", True, f"{said}; from {_dotted(CONFIG_SINCE)} on hooks can be installed by configuration")
    else:
        yield Finding("git", True, said)


def _dotted(version: tuple[int, int]) -> str:
    return ".".join(map(str, version))


def disk(patient: Patient) -> Iterator[Finding]:
    """What is free where br3 writes, and what it takes up."""
    disks: dict[int, Path] = {}
    for place in [patient.common_dir, *patient.grounds]:
        disks.setdefault(os.stat(place).st_dev, place)
    for number, place in enumerate(disks.values()):
        free = shutil.disk_usage(place).free
        low = free < LEAST_FREE_BYTES
        where = "" if len(disks) == 1 else f" at {place}"
        said = f"{_size(free)} free{where}" + (", and nothing new starts below 1 GB" if low else "")
        if number == 0:
            said += f"; br3 takes up {_taken(patient)}"
        yield Finding("disk", not low, said, "make room: br3 clean removes worktrees that have landed" if low else None)


def _taken(patient: Patient) -> str:
    kept = patient.repository.br3_dir
    parts = {name: _below(kept / name) for name in ("runs", "environments", "journal", "archive")}
    parts["analytics"] = sum(os.stat(path).st_size for path in kept.glob("analytics*"))
    parts["worktrees"] = sum(_below(tree.path) for tree in patient.linked)
    parts["trash"] = sum(_below(path) for ground in patient.grounds for path in trash.lying_in(ground))
    told = ", ".join(f"{name} {_size(size)}" for name, size in parts.items() if size >= 100_000)
    return f"{_size(sum(parts.values()))}{f' ({told})' if told else ''}"


def _below(directory: Path) -> int:
    found = measure(directory, directory) if directory.is_dir() else None
    return found.bytes if found else 0


def _size(number: int) -> str:
    return f"{number / 1e9:.1f} GB" if number >= 100_000_000 else f"{number / 1e6:.1f} MB"


def clock(patient: Patient) -> Iterator[Finding]:
    """Whether events come from the future: then the clock was set back since they were written."""
    times = (datetime.fromisoformat(event.ts) for event in read_events(patient.common_dir))
    newest = max(times, default=None)
    ahead_s = (newest - datetime.now(UTC)).total_seconds() if newest else 0.0
    if ahead_s <= _FUTURE_S:
        yield Finding("clock", True, "no event is of the future")
        return
    ahead = f"{ahead_s / 60:.0f} minutes" if ahead_s < 7200 else f"{ahead_s / 3600:.0f} hours"
    said = f"the newest event is {ahead} ahead of the clock, which was set back; times shown are odd, the order is not"
    yield Finding("clock", True, said, f"see that the clock is right: date -u says {datetime.now(UTC):%H:%M}", odd=True)
