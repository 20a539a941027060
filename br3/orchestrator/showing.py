"""What an agent is doing just now, for whoever looks: a small file beside the attempt's, gone when it has ended."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

_FILE = "now.json"
_EVERY_S = 0.5


class Now:
    """The file of one attempt. It is written at most twice a second, and only when something is new."""

    def __init__(self, build_dir: Path, task: str, attempt: int, redact: Callable[[str], str]) -> None:
        self._path = build_dir / _FILE
        self._facts = {"task": task, "attempt": attempt}
        self._redact = redact
        self._last: tuple[str, int] | None = None
        self._next = 0.0

    def tell(self, activity: str, usage: Sequence[Mapping[str, Any]]) -> None:
        """Say what it does; ``usage`` is what it has used so far."""
        told = (activity, len(usage))
        if told == self._last or time.monotonic() < self._next:
            return
        self._last, self._next = told, time.monotonic() + _EVERY_S
        draft = self._path.with_name(f".{_FILE}")
        try:
            draft.write_text(json.dumps({**self._facts, "activity": self._redact(activity)}))
            draft.replace(self._path)
        except OSError:  # a full disk stops nobody's work
            return

    def end(self) -> None:
        """It does nothing any more."""
        try:
            self._path.unlink(missing_ok=True)
        except OSError:
            return


def activity_of(build_dir: Path) -> str:
    """What the build's agent is doing; empty when none is at work."""
    try:
        return str(json.loads((build_dir / _FILE).read_text())["activity"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""
