"""Segments whose writer is gone and whose runs have ended: compressed, and still read where a state needs them.

A segment moves to ``<common dir>/br3/archive/YYYY/MM/<segment>.jsonl.gz``. Beside them, ``index.jsonl`` says per
segment which builds it tells of, and repeats its state events that belong to no build, so that reading the states of
the builds at hand opens only the few files that matter, however long the history. The index can be made again.

Dropping chatter keeps every other line where it is: the lines that go become blanks of the same length, so that no
event's position changes.
"""

from __future__ import annotations

import gzip
import json
import os
import zlib
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache
from pathlib import Path

from br3.telemetry.events import KINDS, Event, event_of, parse
from br3.telemetry.journal import SUFFIX, events_in, journal_dir, segments, sync_directory

PACKED = SUFFIX + ".gz"
PRUNED = ".kept" + PACKED
"""Ending of a segment whose chatter has been dropped."""


def archive_dir(common_dir: Path) -> Path:
    """Where compressed segments lie, by year and month of their beginning."""
    return common_dir / "br3" / "archive"


@dataclass(frozen=True)
class Packed:
    """One compressed segment; ``pruned``: its chatter has been dropped."""

    name: str
    path: Path
    pruned: bool

    def read(self) -> bytes:
        """The segment as it was, but for dropped chatter."""
        with gzip.open(self.path, "rb") as packed:
            data = packed.read()
        if not data:
            raise EOFError("the file is empty")
        return data


def packed_segments(common_dir: Path) -> dict[str, Packed]:
    """All compressed segments by name, oldest first."""
    found: dict[str, Packed] = {}
    for path in archive_dir(common_dir).glob("[0-9]*/[0-9]*/*" + PACKED):
        pruned = path.name.endswith(PRUNED)
        name = path.name.removesuffix(PRUNED if pruned else PACKED)
        # Both stand there when somebody was killed while dropping chatter: the kept lines are complete.
        if pruned or name not in found:
            found[name] = Packed(name, path, pruned)
    return dict(sorted(found.items()))


def place(common_dir: Path, name: str, ending: str = PACKED) -> Path:
    """Where a segment of that name lies in the archive."""
    date = name.removeprefix("hooks-")[:6]
    year, month = (date[:4], date[4:6]) if date.isdigit() else ("0000", "00")
    return archive_dir(common_dir) / year / month / f"{name}{ending}"


def pack(common_dir: Path, name: str, size: int) -> bool:
    """Move a segment whose writer is gone into the archive; False, and nothing done, when it is not ``size`` bytes.

    At every moment the segment is in the journal, in the archive, or in both.
    """
    source = journal_dir(common_dir) / f"{name}{SUFFIX}"
    try:
        with open(source, "rb") as segment:
            data = segment.read()
            if len(data) != size:
                return False
            if not data:  # of a writer that was killed before its first event
                source.unlink()
                return True
            _write_packed(place(common_dir, name), data)
            _note(common_dir, name, data)
            source.unlink()
            late = segment.read()
    except FileNotFoundError:
        return False  # somebody else has done it
    if late:  # a shell hook that had it open all the while
        _keep_late(common_dir, late)
    return True


def prune(common_dir: Path, packed: Packed) -> int:
    """Drop the chatter of a compressed segment, nothing else; returns how many events went."""
    lines, dropped = packed.read().split(b"\n"), 0
    offset = 0
    for number, line in enumerate(lines):
        event = parse(line, packed.name, offset) if line else None
        offset += len(line) + 1
        if event is not None and is_chatter(event.kind):
            lines[number] = b" " * len(line)
            dropped += 1
    _write_packed(place(common_dir, packed.name, PRUNED), b"\n".join(lines))
    packed.path.unlink()
    return dropped


def is_chatter(kind: str) -> bool:
    """Whether events of the kind are dropped after the retention. Unknown kinds, of another version, are kept."""
    return kind in KINDS and not KINDS[kind].kept


def _write_packed(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        # No time stamp inside: the same segment is the same file.
        beside.write_bytes(gzip.compress(data, compresslevel=6, mtime=0))
        descriptor = os.open(beside, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        beside.rename(path)
        sync_directory(path.parent)
    finally:
        beside.unlink(missing_ok=True)


def _keep_late(common_dir: Path, late: bytes) -> None:
    from br3.telemetry.journal import create_segment, new_name

    descriptor = create_segment(journal_dir(common_dir), new_name("hooks"))
    try:
        if os.write(descriptor, late) < len(late):
            raise OSError("the disk took only a part of what a hook wrote last")
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


# -- index -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Entry:
    """What the index says of one segment: the builds it tells of, and its state events that belong to no build."""

    name: str
    builds: frozenset[str]
    events: tuple[Event, ...]


def index_path(common_dir: Path) -> Path:
    """The index of the archive."""
    return archive_dir(common_dir) / "index.jsonl"


def entry_line(name: str, data: bytes) -> bytes:
    """The line of the index for a segment's content."""
    builds: set[str] = set()
    kept = []
    # Imported usage is no state of a build, and there is so much of it that it is not even read.
    told = data if b'"usage.imported"' not in data else _without_imports(data)
    for event in events_in(told, name):
        if isinstance(event, int) or not (event.kind in KINDS and KINDS[event.kind].state):
            continue
        if event.build:
            builds.add(event.build)
        else:
            kept.append((event.offset, data[event.offset : data.index(b"\n", event.offset)]))
    facts = {"segment": name, "builds": sorted(builds), "events": [[at, json.loads(line)] for at, line in kept]}
    return json.dumps(facts, separators=(",", ":")).encode() + b"\n"


def _without_imports(data: bytes) -> bytes:
    """The same with blanks for events of imports, so that all others stay where they are."""
    return b"\n".join(b" " * len(line) if b'"usage.imported"' in line else line for line in data.split(b"\n"))


def _note(common_dir: Path, name: str, data: bytes) -> None:
    # Begins with a newline, so that a line torn by a crash cannot spoil this one.
    line = b"\n" + entry_line(name, data)
    descriptor = os.open(index_path(common_dir), os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        if os.write(descriptor, line) < len(line):
            raise OSError("the disk took only a part of the index")
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def entries(common_dir: Path) -> dict[str, Entry]:
    """The index, by segment; empty when there is no archive yet."""
    try:
        raw = index_path(common_dir).read_bytes()
    except FileNotFoundError:
        return {}
    found: dict[str, Entry] = {}
    for line in raw.split(b"\n"):
        try:
            facts = json.loads(line)
            name, builds = str(facts["segment"]), frozenset(facts["builds"])
            events = [event_of(raw, name, at) for at, raw in facts["events"]]
        except (ValueError, KeyError, TypeError):
            continue
        found[name] = Entry(name, builds, tuple(events))
    return found


def write_index(common_dir: Path) -> None:
    """Make the index again from the archive; whoever calls it holds the archive's lock."""
    lines = []
    for packed in packed_segments(common_dir).values():
        try:
            lines.append(entry_line(packed.name, packed.read()))
        except (OSError, EOFError, zlib.error):
            continue  # damaged: a fold says so
    path = index_path(common_dir)
    if lines or path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_suffix(".new")
        beside.write_bytes(b"".join(lines))
        beside.rename(path)


# -- reading -----------------------------------------------------------------------------------------------------------


def read_events(common_dir: Path, builds: Collection[str] = ()) -> Iterator[Event]:
    """The events from which states are told, ordered by time (for people; states use ``Event.order``).

    That is: everything in the journal, and of the archive what belongs to no build, to the builds of the newest run, or
    to ``builds``. Chatter that has gone to the archive is not among it.
    """
    # The journal first: a segment that moves meanwhile is then seen twice, never missed.
    live = segments(common_dir)
    found: list[Event] = []
    read: set[str] = set()
    for name, entry in live.items():
        try:
            with open(entry.path, "rb") as segment:
                found += [e for e in events_in(segment.read(), name) if not isinstance(e, int)]
            read.add(name)
        except FileNotFoundError:
            continue
    index = {name: entry for name, entry in entries(common_dir).items() if name not in read}
    if index:
        found += _from_archive(common_dir, index, found, builds)
    return iter(sorted(found, key=lambda e: (e.ts, e.segment, e.seq)))


def usage_of_day(common_dir: Path, day: str) -> list[Event]:
    """The ``usage.recorded`` events of a UTC day (``2026-11-22``), of all runs, wherever they lie by now.

    A segment that was begun more than a month before that day is not looked for in the archive.
    """
    live = segments(common_dir)
    packed = [name for name in packed_segments(common_dir) if name not in live]
    after = (date.fromisoformat(day) - timedelta(days=31)).strftime("%Y%m%d")
    found: list[Event] = []
    for name, entry in live.items():
        try:
            found += _usage_in(Path(entry.path).read_bytes(), name, day)
        except FileNotFoundError:
            packed.append(name)  # it has been packed meanwhile
    for name in packed:
        if after <= name[:8] <= day.replace("-", ""):
            found += _packed_usage(common_dir, name, day)
    return found


@lru_cache(maxsize=512)
def _packed_usage(common_dir: Path, name: str, day: str) -> tuple[Event, ...]:
    return tuple(_usage_in(_content(common_dir, name), name, day))


def _usage_in(data: bytes, name: str, day: str) -> Iterator[Event]:
    if b'"usage.recorded"' in data and day.encode() in data:
        for event in events_in(data, name):
            if not isinstance(event, int) and event.kind == "usage.recorded" and event.ts.startswith(day):
                yield event


def _from_archive(
    common_dir: Path, index: dict[str, Entry], live: Iterable[Event], builds: Collection[str]
) -> list[Event]:
    from br3.telemetry.replay import in_sequence  # who has no archive does not pay for it

    created = [e for e in live if e.kind == "run.created"]
    created += [e for entry in index.values() for e in entry.events if e.kind == "run.created"]
    known = {e.run: e for e in created if e.run and not e.data.get("serves")}
    order = in_sequence({run: (e.ts, e.data.get("continues")) for run, e in known.items()})
    wanted = {*builds, *((known[order[-1]].data.get("builds") or []) if order else [])}
    found: list[Event] = []
    for entry in index.values():
        found += entry.events
        if not entry.builds.isdisjoint(wanted):
            events = events_in(_content(common_dir, entry.name), entry.name)
            found += [e for e in events if not isinstance(e, int) and e.build in wanted]
    return found


def _content(common_dir: Path, name: str) -> bytes:
    """A segment of the archive; nothing when it is damaged, which a fold tells of."""
    # Twice, since the whole one may become the pruned one between two looks.
    for ending in (PRUNED, PACKED, PRUNED):
        try:
            return Packed(name, place(common_dir, name, ending), ending == PRUNED).read()
        except FileNotFoundError:
            continue
        except (OSError, EOFError, zlib.error):
            break
    return b""
