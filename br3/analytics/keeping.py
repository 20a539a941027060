"""Housekeeping: packing the journal, retention, the analytics file made again, or made small."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path

from br3.analytics.alerts import Rules
from br3.analytics.folding import Folded, fold, fold_into
from br3.analytics.store import STORAGE, WAIT_S, analytics_path, room_of, turn, writing
from br3.telemetry import Lock, LockHeld, archive
from br3.telemetry.journal import SUFFIX, journal_dir

DAY_S = 86_400
_LARGE_BYTES = 4_000_000
_NEW_S = 3600
_TIDY_S = 0.25
"""How long tidying up may keep somebody waiting who asked for something else."""


def freshen(common_dir: Path, rules: Rules | None, retention_days: float, *, wait_s: float = WAIT_S) -> Folded:
    """Fold what is new, then tidy up a little: archive what has ended, drop chatter that is too old (0: never)."""
    folded = fold(common_dir, rules, wait_s=wait_s)
    try:
        with Lock(common_dir, "journal", "archive").acquire(wait_s=0):
            tidy(common_dir, folded.packable, retention_days, until=time.monotonic() + _TIDY_S)
    except LockHeld:
        pass  # somebody is at it
    except OSError:
        pass  # no room, or no right: everything stays where it is, and is looked at the next time
    return folded


def tidy(common_dir: Path, packable: dict[str, int], retention_days: float, *, until: float | None = None) -> None:
    """Pack what may be packed and prune what is old; whoever calls it holds the archive's lock."""
    _drop_unborn(common_dir)
    for name, size in packable.items():
        if until is not None and (time.monotonic() > until or _may_wait(common_dir, name, size)):
            continue
        archive.pack(common_dir, name, size)
    if not retention_days:
        return
    oldest = time.time() - retention_days * DAY_S
    for packed in archive.packed_segments(common_dir).values():
        if until is not None and time.monotonic() > until:
            return
        if packed.pruned:  # whoever was killed while pruning has left the whole one beside it
            archive.place(common_dir, packed.name).unlink(missing_ok=True)
        # Packed after its last event, so that everything in it is older than the file.
        if not packed.pruned and packed.path.stat().st_mtime < oldest:
            archive.prune(common_dir, packed)


def _may_wait(common_dir: Path, name: str, size: int) -> bool:
    """Whether a segment is large and new: whoever has just imported it should not wait until it is packed."""
    try:
        written = (journal_dir(common_dir) / f"{name}{SUFFIX}").stat().st_mtime
    except FileNotFoundError:
        return True
    return size > _LARGE_BYTES and time.time() - written < _NEW_S


def _drop_unborn(common_dir: Path) -> None:
    """Remove what those left who were killed before a file had its name; what was to be in it is elsewhere."""
    unborn = [*journal_dir(common_dir).glob(".*.new"), *archive.archive_dir(common_dir).glob("[0-9]*/[0-9]*/.*.gz.*")]
    for path in unborn:
        try:
            if path.stat().st_mtime < time.time() - DAY_S:
                path.unlink()
        except FileNotFoundError:
            continue


def rebuild(common_dir: Path, rules: Rules | None = None, report: Callable[[str], None] = lambda _: None) -> Folded:
    """Make the file again from archive and journal; the old one serves until the new one is complete."""
    path = analytics_path(common_dir)
    fresh = path.with_name("analytics.rebuilt.duckdb")
    with Lock(common_dir, "analytics", "rebuild").acquire():
        _remove(fresh)
        with Lock(common_dir, "journal", "archive").acquire(wait_s=60):
            archive.write_index(common_dir)
        report("reading archive and journal")
        folded = fold_into(common_dir, fresh, None)
        report("taking its place")
        with turn(common_dir, exclusive=True):
            last = fold_into(common_dir, fresh, None, settle=True)
            _replace(fresh, path)
    folded.events += last.events
    folded.rejected += last.rejected
    folded.segments += last.segments
    folded.raised = fold(common_dir, rules).raised
    return folded


def compact(common_dir: Path) -> tuple[int, int]:
    """Write the file anew without the room that deleted rows have left; returns its size before and after, in bytes."""
    path = analytics_path(common_dir)
    fresh = path.with_name("analytics.compacted.duckdb")
    with writing(common_dir) as opened:
        _remove(fresh)
        db = opened.connection
        db.execute("CHECKPOINT")
        before = path.stat().st_size
        quoted = str(fresh).replace("'", "''")
        row = db.execute("SELECT current_database()").fetchone()
        db.execute(f"ATTACH '{quoted}' AS fresh (STORAGE_VERSION '{STORAGE}')")
        db.execute(f'COPY FROM DATABASE "{row[0] if row else ""}" TO fresh')
        db.execute("DETACH fresh")
        db.close()
        _replace(fresh, path)
    return before, path.stat().st_size


def _replace(fresh: Path, path: Path) -> None:
    # The old file's log would be replayed into the new one.
    Path(f"{path}.wal").unlink(missing_ok=True)
    fresh.rename(path)


def _remove(path: Path) -> None:
    for leftover in (path, Path(f"{path}.wal")):
        leftover.unlink(missing_ok=True)
    shutil.rmtree(room_of(path), ignore_errors=True)
