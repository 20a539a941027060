"""What other builds claim just now, for a hook: read from the files that dispatchers publish, held against the locks.

A claim counts while the lock of its build, or of the run that is going to do it, is held by a living process.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
from collections.abc import Iterable

from br3.guard.findings import Finding
from br3.guard.settings import Settings, any_of

CLAIMED = "claimed"


def touched(paths: Iterable[str], build: str | None, settings: Settings, common_dir: str) -> list[Finding]:
    """A finding for each changed path that another active build claims; what the own build owns is its own.

    Severity ``high`` where a build is stopped; ``low`` for a person, who is told and decides.
    """
    own = any_of(settings.owns.get(build, ())) if build else None
    open_paths = sorted({path for path in paths if own is None or own.fullmatch("/" + path) is None})
    severity = "high" if build and settings.owns_action == "block" else "low"
    found = []
    for other, run, pattern in _claims(common_dir):
        if other == build:
            continue
        for path in open_paths:
            if pattern.fullmatch("/" + path):
                fix = f"leave it to {other} while it is at work (run {run}; br3 claims), or set shared = true"
                raw = path.encode("utf-8", "surrogateescape")
                found.append(Finding(path, 0, CLAIMED, severity, f"claimed by {other}, which is at work", fix, raw))
    return found


def _claims(common_dir: str) -> list[tuple[str, str, re.Pattern[str]]]:
    """Build, run and ground of each claim that counts."""
    directory = os.path.join(common_dir, "br3", "claims")
    try:
        names = sorted(name for name in os.listdir(directory) if not name.startswith("."))
    except OSError:
        return []
    found = []
    for name in names:
        try:
            with open(os.path.join(directory, name), encoding="utf-8", errors="surrogateescape") as file:
                lines = file.read().split("\n")
            run = next(line[4:] for line in lines if line.startswith("run="))
            pattern = any_of(tuple(json.loads(line[6:]) for line in lines if line.startswith("regex=")))
        except (OSError, ValueError, StopIteration, re.error):
            continue  # it was just taken back, or is no claim
        if pattern is not None and (_is_held(common_dir, f"build-{name}") or _is_held(common_dir, f"run-{run}")):
            found.append((name, run, pattern))
    return found


def _is_held(common_dir: str, lock: str) -> bool:
    """As ``br3.telemetry.locks`` has it, without what its room brings with it: each commit beside a claim asks this."""
    try:
        descriptor = os.open(os.path.join(common_dir, "br3", "locks", lock), os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False  # gone, or nobody may read it: no reason to stop a commit
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return False
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
