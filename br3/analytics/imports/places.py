"""Whose a line is: by the worktree it was written in, else by the branch."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Place:
    """A worktree of this repository, one that is or one that was; ``build`` is whose it is, None for nobody's.

    ``since`` (RFC 3339, UTC): from when on; a path that several builds have had in turn comes once for each.
    """

    path: Path
    build: str | None
    since: str | None = None


@dataclass(frozen=True)
class Span:
    """From ``since`` up to before ``until`` (RFC 3339 or ``±infinity``) lines are of ``build``; None: of no build."""

    since: str
    until: str
    build: str | None


class Map:
    """The places of a repository, as given and with their symbolic links resolved, and its builds' branches."""

    def __init__(self, places: Sequence[Place], branches: Mapping[str, str]) -> None:
        self._branches = branches
        self._at: dict[str, list[Place]] = {}
        for place in sorted(places, key=lambda place: place.since or ""):
            for path in {os.path.abspath(place.path), os.path.realpath(place.path)}:
                self._at.setdefault(path, []).append(place)

    def spans(self, cwd: str | None, branch: str | None) -> list[Span]:
        """Whose the lines of a directory and branch are, over time; empty where it lies in no known place."""
        here = next((self._at[path] for path in _upwards(cwd) if path in self._at), None) if cwd else None
        if here is None:
            return []
        otherwise = self._branches.get(branch or "")
        starts = [place.since or "-infinity" for place in here]
        spans = [
            Span(start, end, place.build or otherwise)
            for place, start, end in zip(here, starts, [*starts[1:], "infinity"], strict=True)
        ]
        return spans if starts[0] == "-infinity" else [Span("-infinity", starts[0], otherwise), *spans]


def _upwards(path: str) -> Iterator[str]:
    path = os.path.normpath(path)
    yield path
    while (above := os.path.dirname(path)) not in (path, ""):
        yield above
        path = above
