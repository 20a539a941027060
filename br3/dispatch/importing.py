"""Usage of sessions that br3 did not run: transcripts read, what is new journaled, then taken up.

The segment gets its name in the journal only when it is complete; how far each transcript was read is noted, in
``<common dir>/br3/imports.json``, after that. Whoever is killed in between, or has lost the file, reads the same again,
and each message still counts once. When nothing is new, DuckDB is not even loaded.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path

from br3.analytics.imports import Offset, Place, Scanned, scan, sources
from br3.analytics.imports.fresh import begin
from br3.analytics.store import reading
from br3.dispatch.observing import TakenUp, take_up
from br3.repo import worktrees
from br3.repo.worktrees import Repository
from br3.telemetry import Lock
from br3.telemetry.journal import SUFFIX, journal_dir, new_name, now, sync_directory

_NOTES = "imports.json"
_OWN = "SELECT session, max(ended), bool_or(ended IS NULL) FROM attempts WHERE session IS NOT NULL GROUP BY session"
_PLACES = """
    SELECT data ->> 'path', build, data ->> 'branch', ts FROM events
    WHERE kind = 'worktree.created' AND build IS NOT NULL ORDER BY ts, segment, seq
"""


def import_costs(repository: Repository, progress: Callable[[int, int], None]) -> tuple[Scanned, TakenUp]:
    """Read what is new in the user's transcripts; ``progress`` gets the bytes read and those there are.

    LockHeld when another import is at work.
    """
    common_dir = repository.common_dir
    with Lock(common_dir, "imports", "all").acquire():
        found, known = sources(os.environ), _offsets(common_dir)
        if all(begin(file, known.get(file.path)) is None for file in found.files):
            return Scanned(), TakenUp(None)
        taken = take_up(common_dir, repository.home)
        places, branches, own = _known(repository)
        hidden = journal_dir(common_dir) / f".import-{os.getpid()}.new"
        hidden.parent.mkdir(parents=True, exist_ok=True)
        for left in hidden.parent.glob(".import-*.new"):  # of an import that was killed
            left.unlink()
        try:
            scanned = scan(
                sources=found,
                known=known,
                places=places,
                branches=branches,
                own=own,
                segment=hidden,
                now=now(),
                scratch=repository.br3_dir / "imports.tmp",
                progress=progress,
            )
            if scanned.written:
                with open(hidden, "rb") as segment:
                    os.fsync(segment.fileno())
                hidden.rename(hidden.with_name(new_name(str(os.getpid())) + SUFFIX))
                sync_directory(hidden.parent)
                taken = take_up(common_dir, repository.home)
        finally:
            hidden.unlink(missing_ok=True)
        if scanned.offsets:
            _note(common_dir, {**known, **{offset.path: offset for offset in scanned.offsets}})
        return scanned, taken


def _known(repository: Repository) -> tuple[list[Place], dict[str, str], dict[str, str | None]]:
    """What the analytics know: places, builds by branch, and br3's own sessions with their ends."""
    with reading(repository.common_dir) as db:
        made = db.execute(_PLACES).fetchall()
        sessions = db.execute(_OWN).fetchall()
    places = [Place(Path(path), build, f"{ts.isoformat()}Z") for path, build, _, ts in made if path]
    branches = {str(branch): str(build) for _, build, branch, _ in made if branch}
    of_builds = {place.path for place in places}
    registered = [tree.path for tree in worktrees.list_worktrees(repository.git)]
    places += [Place(path, None) for path in (*registered, repository.home) if path not in of_builds]
    own = {str(s): None if running else f"{ended.isoformat()}Z" for s, ended, running in sessions}
    return places, branches, own


def _offsets(common_dir: Path) -> dict[str, Offset]:
    """How far each transcript was read; nothing where that is not known."""
    try:
        data = json.loads((common_dir / "br3" / _NOTES).read_text(encoding="utf-8"))
        return {path: Offset(path, *facts) for path, facts in data["files"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _note(common_dir: Path, offsets: Mapping[str, Offset]) -> None:
    files = {path: dataclasses.astuple(offset)[1:] for path, offset in offsets.items()}
    path = common_dir / "br3" / _NOTES
    beside = path.with_suffix(".new")
    beside.write_text(json.dumps({"files": files}), encoding="utf-8", errors="surrogateescape")
    beside.rename(path)
