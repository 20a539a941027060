"""Events from the journal into the analytics file, each exactly once.

Of every segment the bytes from where the last fold stopped up to the last newline are read; their rows and the new
offset commit in one transaction. A fold of ordinary size is one transaction with everything that follows from it; a
large one (a rebuild) commits as it goes, with a mark that makes whoever comes next derive everything anew.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from br3.analytics import alerts, deriving
from br3.analytics.alerts import Rules
from br3.analytics.measuring import measure
from br3.analytics.statements import statement
from br3.analytics.store import WAIT_S, private, writing
from br3.secrets import redact
from br3.telemetry import hooks
from br3.telemetry.archive import Packed, is_chatter, packed_segments
from br3.telemetry.events import KINDS
from br3.telemetry.journal import events_in, segments, writer_lives

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_ONE_TRANSACTION = 32_000_000
"""Bytes up to which a fold is one transaction."""
_AT_ONCE = 360_000_000
"""Bytes of a transaction of a large fold; smaller ones leave part-filled row groups that are written twice."""
_BYTES_PER_EVENT = 350
_WHOLE_FROM = 100_000
LONGEST_LINE = 32_000_000


@dataclass
class Folded:
    """What a fold did. ``packable`` are segments that belong in the archive now, with their size in bytes."""

    events: int = 0
    rejected: int = 0
    segments: int = 0
    waited_s: float = 0.0
    took_s: float = 0.0
    raised: list[alerts.Alert] = field(default_factory=list)
    packable: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class _Source:
    """New bytes of one segment, from ``offset`` on; ``size`` is where they end when nobody writes any more."""

    name: str
    path: Path
    offset: int
    size: int
    finished: bool
    packed: Packed | None = None

    @property
    def whole(self) -> bool:
        """Whether DuckDB may read the file by itself: complete, and nobody adds to it meanwhile."""
        return self.finished and self.offset == 0 and not hooks.is_hooks_segment(self.name) and self._ends_whole()

    def _ends_whole(self) -> bool:
        if self.packed is not None:
            return True  # a torn end was rejected when it was first read, and comes as an odd row now
        with open(self.path, "rb") as segment:
            segment.seek(-1, os.SEEK_END)
            return segment.read(1) == b"\n"

    def read(self) -> bytes:
        if self.packed is not None:
            return self.packed.read()[self.offset :]
        with open(self.path, "rb") as segment:
            segment.seek(self.offset)
            return segment.read()


def fold(common_dir: Path, rules: Rules | None = None, *, wait_s: float = WAIT_S) -> Folded:
    """Take up what is new in the journal; raise and clear alerts by ``rules``.

    Busy when the file cannot be had within ``wait_s`` seconds; what the journal holds is then folded another time.
    """
    with writing(common_dir, wait_s=wait_s) as opened:
        folded = _fold(opened.connection, common_dir, rules, settle=True)
    folded.waited_s = opened.waited_s
    return folded


def fold_into(common_dir: Path, path: Path, rules: Rules | None, *, settle: bool = False) -> Folded:
    """The same into a file of its own, which nobody else knows of; ``settle`` by whoever has the turn."""
    with private(path) as db:
        return _fold(db, common_dir, rules, settle=settle)


def _fold(db: DuckDBPyConnection, common_dir: Path, rules: Rules | None, *, settle: bool) -> Folded:
    began = time.monotonic()
    folded = Folded()
    if settle:
        hooks.settle(common_dir)
    _fold_new(db, common_dir, folded)
    if rules is not None:
        if measure(db, common_dir):
            _fold_new(db, common_dir, folded)
        folded.raised, told = alerts.evaluate(db, common_dir, rules)
        if told:
            _fold_new(db, common_dir, folded)
    folded.packable = _packable(db, common_dir)
    folded.took_s = time.monotonic() - began
    return folded


def _fold_new(db: DuckDBPyConnection, common_dir: Path, folded: Folded) -> None:
    known = {str(name): (int(at), pruned) for name, at, pruned in db.execute("FROM segments").fetchall()}
    sources, pruned, settled = _sources(common_dir, known)
    if settled:
        with _transaction(db):
            query = "UPDATE segments SET pruned = false WHERE segment IN (SELECT unnest($names))"
            db.execute(query, {"names": settled})
    _drop_chatter(db, pruned)
    size = sum(source.size - source.offset for source in sources)
    if size > _ONE_TRANSACTION:
        anew = _marked(db, "derive") is not None or _count(db) < size / _BYTES_PER_EVENT
        with _transaction(db):
            _mark(db, "derive", "all")
        for some in _portions(sources):
            with _transaction(db):
                _take(db, some, folded, derive=False)
        if not anew:  # much came, but far less than there is
            with _transaction(db):
                deriving.derive_segments(db, [source.name for source in sources])
                _mark(db, "derive", None)
    elif sources:
        with _transaction(db):
            _take(db, sources, folded, derive=_marked(db, "derive") is None)
    if _marked(db, "derive"):
        with _transaction(db):
            deriving.derive_all(db)
            _mark(db, "derive", None)


def _sources(common_dir: Path, known: dict[str, tuple[int, bool | None]]) -> tuple[list[_Source], list[str], list[str]]:
    """What is new, the segments of which chatter has been dropped since, and those now seen whole in the archive."""
    found: list[_Source] = []
    pruned: list[str] = []
    settled: list[str] = []
    # The journal first: what moves to the archive meanwhile was folded before, or is found there.
    live = segments(common_dir)
    for name, entry in live.items():
        at, _ = known.get(name, (0, None))
        try:
            size = entry.stat().st_size
            if size > at:
                shared = hooks.is_hooks_segment(name)
                done = hooks.finished(common_dir, entry) if shared else not writer_lives(Path(entry.path))
                # Asked after the lock: a writer that went in between may have written more.
                size = os.stat(entry.path).st_size
                found.append(_Source(name, Path(entry.path), at, size, done))
        except FileNotFoundError:
            continue
    for name, packed in packed_segments(common_dir).items():
        at, seen = known.get(name, (0, None))
        if name in live or seen == packed.pruned:
            continue
        # Its file says how long it is; that is asked once.
        size = _unpacked_size(packed.path) if seen is None else at
        if size > at or name not in known:
            found.append(_Source(name, packed.path, at, size, True, packed))
        elif packed.pruned:
            pruned.append(name)
        else:
            settled.append(name)
    return found, pruned, settled


def _unpacked_size(path: Path) -> int:
    try:
        with open(path, "rb") as packed:
            packed.seek(-4, os.SEEK_END)  # gzip ends with it
            return int.from_bytes(packed.read(4), "little")
    except OSError:
        return 0


def _portions(sources: list[_Source]) -> Iterator[list[_Source]]:
    some: list[_Source] = []
    size = 0
    for source in sources:
        some.append(source)
        size += source.size - source.offset
        if size >= _AT_ONCE:
            yield some
            some, size = [], 0
    if some:
        yield some


def _take(db: DuckDBPyConnection, sources: list[_Source], folded: Folded, *, derive: bool) -> None:
    """Rows and offsets of ``sources``, within the caller's transaction."""
    whole = [] if derive else [s for s in sources if s.whole and s.size >= _WHOLE_FROM]
    rest = [s for s in sources if s not in whole] if whole else sources
    rest = [*_take_whole(db, whole, folded), *rest]
    lines, offsets = _lines(db, rest, folded)
    if lines:
        _take_lines(db, lines, folded)
        if derive:
            deriving.derive_fresh(db)
    _set_offsets(db, offsets)


def _take_whole(db: DuckDBPyConnection, sources: list[_Source], folded: Folded) -> list[_Source]:
    """Let DuckDB read whole segments; returns those that hold a line which is no event, not taken."""
    import duckdb

    if not sources:
        return []
    try:
        row = db.execute(statement("fold/whole_segments"), {"files": [str(s.path) for s in sources]}).fetchone()
    except duckdb.Error:
        # A line that is too long, a byte that is no text: read line by line, which says where.
        _abandon(db)
        db.execute("BEGIN")
        return sources
    folded.events += int(row[0]) if row else 0
    odd = "SELECT DISTINCT segment FROM events WHERE kind IS NULL"
    bad = {str(name) for (name,) in db.execute(odd).fetchall()}
    for name in bad:
        gone = db.execute("DELETE FROM events WHERE segment = ?", [name]).fetchone()
        folded.events -= int(gone[0]) if gone else 0
    good = [s for s in sources if s.name not in bad]
    folded.segments += len(good)
    _set_offsets(db, {s.name: (s.size, s.packed.pruned if s.packed is not None else None) for s in good})
    return [s for s in sources if s.name in bad]


@dataclass(frozen=True)
class _Line:
    """One event as it will be handed to DuckDB, and where it stands."""

    segment: str
    number: int
    offset: int
    text: bytes

    def told(self) -> bytes:
        """The line with its place in front, under names that no event has."""
        return b'{"br3:segment":"%s","br3:number":%d,' % (self.segment.encode(), self.number) + self.text[1:]


def _lines(
    db: DuckDBPyConnection, sources: list[_Source], folded: Folded
) -> tuple[list[_Line], dict[str, tuple[int, bool | None]]]:
    """The events of ``sources``, and where the next fold begins."""
    lines: list[_Line] = []
    offsets: dict[str, tuple[int, bool | None]] = {}
    for source in sources:
        pruned = source.packed.pruned if source.packed is not None else None
        try:
            data = source.read()
        except FileNotFoundError:
            continue
        except (OSError, EOFError, zlib.error) as error:
            _reject(db, folded, source.name, source.offset, f"cannot be read: {error}", b"")
            offsets[source.name] = (source.offset, pruned)
            continue
        end = data.rfind(b"\n") + 1
        for event in events_in(data, source.name, source.offset):
            at = (event if isinstance(event, int) else event.offset) - source.offset
            line = data[at : data.index(b"\n", at)].strip()
            if isinstance(event, int) or len(line) > LONGEST_LINE:
                why = "no event" if isinstance(event, int) else "too long"
                _reject(db, folded, source.name, source.offset + at, why, line)
            else:
                text = _without_halves(line) if b"\\ud" in line else line
                lines.append(_Line(source.name, event.seq, event.offset, text))
        if source.finished and data[end:].strip():
            _reject(db, folded, source.name, source.offset + end, "torn", data[end:])
        if source.finished:
            end = len(data)
        if end:
            offsets[source.name] = (source.offset + end, pruned)
            folded.segments += 1
    return lines, offsets


def _without_halves(line: bytes) -> bytes:
    """A line whose bytes of file names (half surrogate pairs) became �: replay can tell them, DuckDB refuses them."""
    text = json.dumps(json.loads(line), ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode()


def _take_lines(db: DuckDBPyConnection, lines: list[_Line], folded: Folded) -> None:
    with _file_of(line.told() for line in lines) as file:
        db.execute(statement("fold/lines"), {"file": file})
    row = db.execute("INSERT INTO events BY NAME FROM fresh").fetchone()
    taken = int(row[0]) if row else 0
    folded.events += taken
    if taken < len(lines):  # what Python reads and DuckDB doesn't
        have = {(str(s), int(n)) for s, n in db.execute("SELECT segment, seq FROM fresh").fetchall()}
        for line in lines:
            if (line.segment, line.number) not in have:
                _reject(db, folded, line.segment, line.offset, "a value of another type", line.text)


@contextmanager
def _file_of(lines: Iterable[bytes]) -> Iterator[str]:
    # Small as it is, it need not touch the disk where the system has files in memory.
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("br3-fold")
        with open(descriptor, "wb") as file:
            file.write(b"\n".join(lines) + b"\n")
            file.flush()
            yield f"/proc/self/fd/{descriptor}"
    else:
        # Not in the repository: its path may hold what DuckDB takes for a pattern.
        with tempfile.NamedTemporaryFile(prefix="br3-fold-") as file:
            file.write(b"\n".join(lines) + b"\n")
            file.flush()
            yield file.name


def _reject(db: DuckDBPyConnection, folded: Folded, segment: str, offset: int, reason: str, line: bytes) -> None:
    folded.rejected += 1
    shown = redact(line[:2000].decode("utf-8", "replace").replace("\x00", "�"))
    db.execute("INSERT INTO rejected VALUES (?, ?, ?, ?)", [segment, offset, reason, shown])


def _set_offsets(db: DuckDBPyConnection, offsets: dict[str, tuple[int, bool | None]]) -> None:
    if not offsets:
        return
    names = list(offsets)
    facts = {"names": names, "at": [offsets[n][0] for n in names], "pruned": [offsets[n][1] for n in names]}
    db.execute("DELETE FROM segments WHERE segment IN (SELECT unnest($names))", {"names": names})
    db.execute("INSERT INTO segments SELECT unnest($names), unnest($at), unnest($pruned)", facts)


def _drop_chatter(db: DuckDBPyConnection, names: list[str]) -> None:
    if names:
        kinds = [kind for kind in KINDS if is_chatter(kind)]
        with _transaction(db):
            db.execute(
                "DELETE FROM events WHERE segment IN (SELECT unnest($names)) AND kind IN (SELECT unnest($kinds))",
                {"names": names, "kinds": kinds},
            )
            db.execute("UPDATE segments SET pruned = true WHERE segment IN (SELECT unnest($names))", {"names": names})


def _packable(db: DuckDBPyConnection, common_dir: Path) -> dict[str, int]:
    """Segments that are folded to the end, whose writer is gone and whose runs have ended."""
    folded = {str(name): int(at) for name, at in db.execute("SELECT segment, folded FROM segments").fetchall()}
    ready: dict[str, int] = {}
    for name, entry in segments(common_dir).items():
        try:
            if folded.get(name, 0) == entry.stat().st_size and (
                hooks.finished(common_dir, entry)
                if hooks.is_hooks_segment(name)
                else not writer_lives(Path(entry.path))
            ):
                ready[name] = folded.get(name, 0)
        except FileNotFoundError:
            continue
    if not ready:
        return {}
    open_ones = db.execute(statement("fold/unfinished"), {"names": list(ready)}).fetchall()
    for (name,) in open_ones:
        ready.pop(str(name), None)
    return ready


@contextmanager
def _transaction(db: DuckDBPyConnection) -> Iterator[None]:
    db.execute("BEGIN")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        _abandon(db)
        raise


def _abandon(db: DuckDBPyConnection) -> None:
    import duckdb

    try:
        db.execute("ROLLBACK")
    except duckdb.Error:
        pass  # the error that made us come here has done it


def _count(db: DuckDBPyConnection) -> int:
    row = db.execute("SELECT count(*) FROM events").fetchone()
    return int(row[0]) if row else 0


def _marked(db: DuckDBPyConnection, name: str) -> str | None:
    row = db.execute("SELECT value FROM settings WHERE name = ?", [name]).fetchone()
    return str(row[0]) if row else None


def _mark(db: DuckDBPyConnection, name: str, value: str | None) -> None:
    db.execute("DELETE FROM settings WHERE name = ?", [name])
    if value is not None:
        db.execute("INSERT INTO settings VALUES (?, ?)", [name, value])
