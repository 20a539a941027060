"""What follows from commit ids alone, kept: how far two commits are apart, where they part, how many lines lie between.

``<common dir>/br3/distances.cache`` has a line per answer: the two ids, ahead, behind, the fork (``-``: none), lines
added and removed. Lines are only appended, each after a newline of its own; above a bound the older half goes, by a
rename. What two processes write at once may be lost that way, and is found out again.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from br3.repo.distances import Distance, Pair
from br3.repo.refs import CommitId

_BOUND_BYTES = 400_000


@dataclass(frozen=True)
class Answer:
    """The distance of two commits, and the lines added and removed from where they part to the second."""

    distance: Distance
    lines: tuple[int, int]


def known(common_dir: Path) -> dict[Pair, Answer]:
    """All that is kept; a line that is none is passed over."""
    try:
        text = _path(common_dir).read_text()
    except (OSError, ValueError):
        return {}
    found: dict[Pair, Answer] = {}
    for line in text.split("\n"):
        words = line.split(" ")
        if len(words) != 8 or words[7] != ".":
            continue
        try:
            ahead, behind, added, removed = int(words[2]), int(words[3]), int(words[5]), int(words[6])
        except ValueError:
            continue
        fork = None if words[4] == "-" else CommitId(words[4])
        pair = (CommitId(words[0]), CommitId(words[1]))
        found[pair] = Answer(Distance(ahead, behind, fork), (added, removed))
    return found


def keep(common_dir: Path, fresh: Mapping[Pair, Answer]) -> None:
    """Keep what was found; a disk that takes nothing makes the next one slower, and nothing else."""
    if not fresh:
        return
    lines = []
    for (first, second), answer in fresh.items():
        distance, (added, removed) = answer.distance, answer.lines
        # The dot at the end tells a whole line from one that was cut off.
        lines.append(
            f"\n{first} {second} {distance.ahead} {distance.behind} {distance.fork or '-'} {added} {removed} .\n"
        )
    path = _path(common_dir)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.write(descriptor, "".join(lines).encode())
            grown = os.fstat(descriptor).st_size
        finally:
            os.close(descriptor)
        if grown > _BOUND_BYTES:
            text = path.read_text()
            draft = path.with_name(f"{path.name}.{os.getpid()}")
            draft.write_text(text[text.index("\n", len(text) // 2) :])
            draft.replace(path)
    except (OSError, ValueError):
        pass


def _path(common_dir: Path) -> Path:
    return common_dir / "br3" / "distances.cache"
