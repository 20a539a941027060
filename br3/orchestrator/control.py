"""What people ask of a run while it goes on: small files below the run's directory, so that a request outlives both.

    <run>/_control/pause            the run is to rest            {"now": true: agents are stopped as they are}
    <run>/_control/pause@BUILD      one build is
    <run>/_control/cancel           the run is to end, by its dispatcher
    <run>/_control/cancel@BUILD     a build is to end
    <run>/_control/retry@BUILD      it is to begin again          {"from": task or null, "model": name or null,
                                                                   "saw": when the build had ended}
    <run>/_control/skip@BUILD@TASK  a task is not to be done
    <run>/_control/tell@BUILD@ID    a note for its next attempt   {"text": …}

A file appears whole, under its name, so asking twice is asking once. Whoever does what was asked removes it, after the
event that says so; a pause stays until somebody takes it back. No build's id begins with a line, so no build's
directory is in the way.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from br3.telemetry.journal import now, sync_directory

DIRECTORY = "_control"
BY_USER = "cancelled by the user"


@dataclass(frozen=True)
class Request:
    """One thing asked. ``task`` is a note's id for ``tell``; ``at`` is when it was asked."""

    what: str
    build: str | None = None
    task: str | None = None
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return "@".join(word for word in (self.what, self.build, self.task) if word)

    @property
    def occasion(self) -> str:
        """Which time this was asked: what has been done may be asked again in the same words."""
        return f"{self.name}@{self.facts.get('at')}"


def ask(run_dir: Path, request: Request) -> bool:
    """Put a request where the run finds it; False when just that was asked before and is still to be done."""
    before = _read(run_dir / DIRECTORY / request.name)
    if before is not None and {**before.facts, "at": None} == {**request.facts, "at": None}:
        return False
    _write(run_dir, request)
    return True


def asked(run_dir: Path) -> list[Request]:
    """All that is to be done, what was asked first at the head."""
    try:
        names = sorted(os.listdir(run_dir / DIRECTORY))
    except (FileNotFoundError, NotADirectoryError):
        return []
    found = [_read(run_dir / DIRECTORY / name) for name in names if not name.startswith(".")]
    return sorted((one for one in found if one is not None), key=lambda one: str(one.facts.get("at")))


def settle(run_dir: Path, request: Request) -> bool:
    """It is done, or taken back; False when it was not there any more."""
    try:
        (run_dir / DIRECTORY / request.name).unlink()
    except FileNotFoundError:
        return False
    return True


def pause_of(requests: Iterable[Request], build: str | None) -> Request | None:
    """The pause that holds for a build (None: for the run as a whole); one with ``now`` goes before one without."""
    mine = [one for one in requests if one.what == "pause" and one.build in (None, build)]
    return max(mine, key=lambda one: bool(one.facts.get("now")), default=None)


def note(build: str, text: str) -> Request:
    """A note for a build; the same text again is the same note."""
    return Request(
        "tell", build, hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()[:12], {"text": text}
    )


def hand_over(old: Path, new: Path, *, whole: bool, builds: Collection[str] | None = None) -> None:
    """What was asked of a run is asked of the one that goes on with it.

    ``whole``: pauses and cancellations too, where the old one was interrupted. ``builds``: only what was asked of
    these, and no longer of the old run, which goes on beside the new one without them.
    """
    for request in asked(old):
        if request.what == "cancel" and request.build is None:
            continue  # it was that run which was to end
        if (whole or request.what in ("retry", "skip", "tell")) and (builds is None or request.build in builds):
            _write(new, request)
            if builds is not None:
                settle(old, request)


def _write(run_dir: Path, request: Request) -> None:
    directory = run_dir / DIRECTORY
    directory.mkdir(parents=True, exist_ok=True)
    handle, draft = tempfile.mkstemp(dir=directory, prefix=".")
    try:
        with os.fdopen(handle, "w", errors="surrogateescape") as file:
            json.dump({"at": now(), **request.facts}, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, directory / request.name)
    except BaseException:
        Path(draft).unlink(missing_ok=True)
        raise
    sync_directory(directory)


def _read(path: Path) -> Request | None:
    try:
        facts = json.loads(path.read_text(errors="surrogateescape"))
    except (OSError, ValueError):
        return None
    what, _, rest = path.name.partition("@")
    build, _, task = rest.partition("@")
    return Request(what, build or None, task or None, facts if isinstance(facts, dict) else {})
