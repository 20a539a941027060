"""Verdicts: which tree passed which verification in which environment. The journal keeps them.

That key is the only one, for a build's verification, a train's candidates and whatever else asks; the same tree is
not tested twice.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from os import uname
from pathlib import Path

from br3.plan.model import Verify
from br3.repo.refs import TreeId
from br3.telemetry import Event


@dataclass(frozen=True)
class Key:
    """What a verdict belongs to: a tree, the digest of what verifies it, the digest of where it ran."""

    tree: TreeId
    commands: str
    environment: str


def key(tree: TreeId, verify: Verify, setups: Sequence[str], worktree: Path) -> Key:
    """The key for verifying ``tree`` with ``verify`` in ``worktree``, made by the set-up commands ``setups``."""
    commands = _digest([*verify.run, "", str(verify.min_passed), str(verify.min_coverage)])
    where = [_interpreter(worktree), sys.platform, uname().machine, *setups]
    return Key(tree, commands, _digest(where))


def find(events: Iterable[Event], wanted: Key) -> Event | None:
    """The newest verdict for the key, passed or failed, or None."""
    found = in_order(event for event in events if is_for(event, wanted))
    return found[-1] if found else None


def in_order(events: Iterable[Event]) -> list[Event]:
    """Verdicts, the oldest first. The clock decides only between those that were not written under the same lock, and
    one that was set back meanwhile is taken to have stood still."""
    chains: dict[str | None, list[Event]] = {}
    places: list[tuple[str, int, int, Event]] = []
    for event in events:
        if event.gen:
            chains.setdefault(event.build, []).append(event)
        else:
            places.append((event.ts, 0, len(places), event))
    for chain in chains.values():
        latest = ""
        for position, event in enumerate(sorted(chain, key=lambda e: e.order)):
            latest = max(latest, event.ts)
            places.append((latest, position, len(places), event))
    return [event for *_, event in sorted(places, key=lambda place: place[:-1])]


def is_for(event: Event, wanted: Key) -> bool:
    """Whether an event is a verdict for the key."""
    data = event.data
    return event.kind in ("quality.passed", "quality.failed") and (
        data.get("tree"),
        data.get("commands"),
        data.get("environment"),
    ) == (wanted.tree, wanted.commands, wanted.environment)


def _interpreter(worktree: Path) -> str:
    """The Python that verification finds first, with its version when it is a virtual environment's."""
    try:
        config = (worktree / ".venv" / "pyvenv.cfg").read_text()
        return "venv " + " ".join(re.findall(r"(?m)^version(?:_info)?\s*=\s*(\S+)", config))
    except OSError:
        found = shutil.which("python3")
        return str(Path(found).resolve()) if found else "no python"


def _digest(words: Sequence[str]) -> str:
    return hashlib.sha256(json.dumps(list(words)).encode()).hexdigest()[:24]
