"""How journal and analytics are: shapes, sizes, what could not be written or read."""

from __future__ import annotations

import errno
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from shlex import quote
from typing import Any

from br3.analytics import migrations
from br3.analytics.store import WAIT_S, analytics_path, connect, in_our_words, turn, writing
from br3.errors import Br3Error, UsageError, told
from br3.telemetry import read_events
from br3.telemetry.archive import packed_segments
from br3.telemetry.journal import journal_dir, segments
from br3.wording import counted


@dataclass(frozen=True)
class State:
    """The file and what feeds it. ``version`` is None when there is no file; ``behind_bytes`` are not folded yet."""

    path: str
    version: int | None
    newest: int
    bytes: int
    events: int
    rejected: int
    segments: int
    archived: int
    behind_bytes: int

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    def lines(self) -> list[tuple[str, str]]:
        """For people: name and text."""
        if self.version is None:
            shape = "there is no file yet; any report makes it"
        else:
            shape = f"{self.version}" + (f" of {self.newest}" if self.version != self.newest else " (the newest)")
        return [
            ("file", self.path),
            ("shape", shape),
            ("size", f"{self.bytes / 1e6:.1f} MB"),
            ("events", f"{self.events:,}" + (f", {self.rejected:,} lines rejected" if self.rejected else "")),
            ("journal", f"{self.segments:,} segments, {self.behind_bytes:,} bytes not taken up yet"),
            ("archive", f"{self.archived:,} segments"),
        ]


def inspect(common_dir: Path, *, wait_s: float = WAIT_S) -> State:
    """Look, and change nothing."""
    path = analytics_path(common_dir)
    version: int | None = None
    events = rejected = 0
    folded: dict[str, int] = {}
    if path.exists():
        with turn(common_dir, exclusive=False, wait_s=wait_s), in_our_words(path):
            db = connect(path, read_only=True, deadline=time.monotonic() + wait_s)
            try:
                version = migrations.version(db)
                if version:
                    events, rejected = (_count(db, table) for table in ("events", "rejected"))
                    rows = db.execute("SELECT segment, folded FROM segments").fetchall()
                    folded = {str(name): int(at) for name, at in rows}
            finally:
                db.close()
    live = segments(common_dir)
    behind = sum(max(0, _size(entry) - folded.get(name, 0)) for name, entry in live.items())
    return State(
        path=str(path),
        version=version,
        newest=migrations.newest(),
        bytes=path.stat().st_size if path.exists() else 0,
        events=events,
        rejected=rejected,
        segments=len(live),
        archived=len(packed_segments(common_dir)),
        behind_bytes=behind,
    )


def _size(entry: os.DirEntry[str]) -> int:
    try:
        return entry.stat().st_size
    except FileNotFoundError:
        return 0  # in the archive by now, and taken up before


def migrate(common_dir: Path) -> tuple[int, int]:
    """Bring the file to the newest shape, destructive migrations included; returns the shapes before and after."""
    path = analytics_path(common_dir)
    there = path.exists()
    with writing(common_dir, migrate=False) as opened:
        before = migrations.version(opened.connection) if there else 0
        opened.connection = migrations.bring_up(opened.connection, path, destructive=True)
        return before, migrations.version(opened.connection)


def roll_back(common_dir: Path, to: int | None) -> tuple[list[str], int]:
    """Undo migrations down to shape ``to`` (None: the one before); returns their names and the shape now."""
    path = analytics_path(common_dir)
    if not path.exists():
        raise Br3Error("there are no analytics yet, so there is nothing to undo", hint="br3 db migrate")
    with writing(common_dir, migrate=False) as opened:
        have = migrations.version(opened.connection)
        target = max(have - 1, 0) if to is None else to
        if target > have:
            raise UsageError(f"the file has shape {have}, which is below {target}", hint="br3 db migrate")
        undone = migrations.roll_back(opened.connection, path, target)
        return [f"{m.number:03d}_{m.name}" for m in undone], target


@dataclass(frozen=True)
class Finding:
    """One thing that a doctor looked at; ``ok`` False needs somebody. ``hint`` is the command that mends it.

    ``odd``: well enough, and worth knowing. ``mend`` mends it where that loses nothing, and says what it did.
    """

    what: str
    ok: bool
    said: str
    hint: str | None = None
    odd: bool = False
    mend: Callable[[], str] | None = None

    @property
    def state(self) -> str:
        """``ok``, ``warn`` or ``bad``."""
        return "bad" if not self.ok else "warn" if self.odd else "ok"

    def as_json(self) -> dict[str, Any]:
        """The shape of ``doctor --json``."""
        facts = {"what": self.what, "state": self.state, "ok": self.ok, "said": self.said, "hint": self.hint}
        return {**facts, "fixable": self.mend is not None}


def examine(common_dir: Path) -> list[Finding]:
    """Journal and analytics: can they be written, is there room, was anything lost or unreadable."""
    return [_writable(common_dir), _lost(common_dir), *_file(common_dir)]


def _writable(common_dir: Path) -> Finding:
    directory = journal_dir(common_dir)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=directory, prefix=".probe-") as probe:
            probe.write(b"x" * 4096)
            probe.flush()
            os.fsync(probe.fileno())
    except OSError as error:
        said = told(OSError(error.errno, error.strerror, str(directory))).message
        return Finding("journal", False, f"cannot be written: {said}", _way_to_write(error, directory))
    return Finding("journal", True, f"can be written, {counted(len(segments(common_dir)), 'segment')}")


def _way_to_write(error: OSError, directory: Path) -> str:
    where = quote(str(directory))
    match error.errno:
        case errno.ENOSPC | errno.EDQUOT:
            return f"make room: df -h {where}"
        case errno.EROFS:
            return f"mount it for writing again: df {where} says what is mounted there"
        case errno.EACCES | errno.EPERM:
            return f'chmod -R u+rwX {where}, or sudo chown -R "$USER" {where}'
        case _:
            return f"see what is there: ls -ld {where}"


def _lost(common_dir: Path) -> Finding:
    lost = [e for e in read_events(common_dir) if e.kind == "journal.lost"]
    if not lost:
        return Finding("events", True, "none was lost")
    number = sum(int(e.data.get("events") or 0) for e in lost)
    said = f"{number} could not be written, the last before {lost[-1].ts}; they went to standard error"
    # Nothing brings them back, so it is no fault that lasts.
    return Finding("events", True, said, "they may be in the logs under .git/br3/runs", odd=True)


def _file(common_dir: Path) -> list[Finding]:
    path = analytics_path(common_dir)
    if not path.exists():
        return [Finding("analytics", True, "no file yet; any report makes it")]
    try:
        state = inspect(common_dir, wait_s=5)
        if state.version is not None and state.version > state.newest:
            return [Finding("analytics", False, "made by a newer br3", "use that br3, or br3 db rebuild")]
        found = [Finding("analytics", True, f"shape {state.version}, {counted(state.events, 'event')}")]
        if state.rejected:
            found.append(_rejected(common_dir, state.rejected))
    except Br3Error as error:
        return [Finding("analytics", False, error.message, error.hint)]
    return found


def _rejected(common_dir: Path, number: int) -> Finding:
    with turn(common_dir, exclusive=False), in_our_words(analytics_path(common_dir)):
        db = connect(analytics_path(common_dir), read_only=True, deadline=time.monotonic() + 5)
        try:
            rows = db.execute(
                'SELECT segment, "offset", reason FROM rejected ORDER BY segment, "offset" LIMIT 3'
            ).fetchall()
            odd = int((db.execute("SELECT count(*) FROM rejected WHERE reason <> 'torn'").fetchone() or (0,))[0])
        finally:
            db.close()
    shown = "; ".join(f"{segment} at byte {offset}: {reason}" for segment, offset, reason in rows)
    torn = odd == 0
    said = f"{counted(number, 'line')} {'is no event' if number == 1 else 'are no events'} ({shown})"
    # A process that was killed while it wrote leaves half a line; nobody can do anything about that.
    return Finding("rejected", torn, said, None if torn else 'br3 sql "FROM rejected"')


def _count(db: Any, table: str) -> int:
    row = db.execute(f"SELECT count(*) FROM {table}").fetchone()
    return int(row[0]) if row else 0
