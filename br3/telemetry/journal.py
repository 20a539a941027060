"""Segments of events: one writer each, one ``write()`` a line; reading, and following what others write.

A segment is ``<common dir>/br3/journal/<UTC start>-<pid>-<random>.jsonl``; its writer holds a flock on it, so that
others see when it is gone, and begins another at 1 MB. The shell hooks share one: ``hooks.jsonl`` is a symbolic link
to the segment that takes their lines now.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets as random_source
import socket
import sys
import threading
import time
import weakref
from collections.abc import Collection, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from br3.secrets import known_secrets, redact, redact_value
from br3.telemetry.events import KINDS, SEVERITIES, Event, parse
from br3.telemetry.locks import is_locked

ROTATE_BYTES = 1_000_000
SUFFIX = ".jsonl"


_encode = json.JSONEncoder(separators=(",", ":"), default=str, allow_nan=False).encode
_this_second = (0, "")


def now() -> str:
    """The time as events carry it: UTC, microseconds, RFC 3339."""
    global _this_second
    second, rest = divmod(time.time_ns(), 1_000_000_000)
    known, shown = _this_second  # one assignment below, so that threads see both or neither
    if second != known:
        shown = time.strftime("%Y-%m-%dT%H:%M:%S.", time.gmtime(second))
        _this_second = (second, shown)
    return f"{shown}{rest // 1000:06d}Z"


def journal_dir(common_dir: Path) -> Path:
    """Where the segments of a repository lie."""
    return common_dir / "br3" / "journal"


def new_name(writer: str) -> str:
    """A segment's name: when it began, whose it is, and something random; names sort by time."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{writer}-{random_source.token_hex(3)}"


# What br3 itself makes and reads again: a password that happens to be a build's name must not change its path.
_MADE_HERE = frozenset(
    """agent attempt base base_commit branch builds checkout commands commit continues digest directory environment
    files from_run head head_tree left log model new old order path plan remote selected session start tag tree when
    with worktree""".split()
)


_PENS: weakref.WeakSet[Journal] = weakref.WeakSet()


def _after_fork() -> None:
    # Another thread may have held it at that moment; in the child there is none to let go of it.
    for pen in list(_PENS):
        pen._guard = threading.Lock()


os.register_at_fork(after_in_child=_after_fork)


class Journal:
    """One process's pen. The segment comes into being with the first event. Threads may share it.

    ``gen`` is the generation of the lock under which this process writes (0: none); see ``locks``.
    """

    def __init__(self, common_dir: Path, *, gen: int = 0) -> None:
        self.directory = journal_dir(common_dir)
        self.gen = gen
        self._descriptor: int | None = None
        self._size = 0
        self._torn = False
        self._lost = 0
        self._pid = 0
        self._seq = 0
        self._guard = threading.Lock()
        self._known = known_secrets(os.environ)
        self._host = socket.gethostname()
        _PENS.add(self)

    def append(
        self,
        kind: str,
        severity: str = "info",
        run: str | None = None,
        build: str | None = None,
        task: str | None = None,
        attempt: int | None = None,
        *,
        gen: int | None = None,
        durable: bool | None = None,
        **data: Any,
    ) -> bool:
        """Write one event. ValueError for a kind or severity that is not known.

        What changes a state is on the disk when this returns; ``durable`` False leaves that to ``sync``, for many at
        once.

        A disk that is full or read-only does not stop the work: the event goes to standard error instead (then this
        says False), and how many did is written as ``journal.lost`` as soon as that is possible.
        """
        if kind not in KINDS or severity not in SEVERITIES:
            raise ValueError(f"unknown event kind {kind!r} or severity {severity!r}")
        made_here = _MADE_HERE if KINDS[kind].state else frozenset[str]()
        clean: dict[str, Any] = redact_value({k: v for k, v in data.items() if k not in made_here}, self._known)
        clean |= {k: v for k, v in data.items() if k in made_here}
        where = {"run": run, "build": build, "task": task, "attempt": attempt}
        with self._guard:
            if self._pid != os.getpid():  # a fork has two processes on one segment; the child begins its own
                self._begin_as(os.getpid())
            line = self._line(kind, severity, self.gen if gen is None else gen, where, clean)
            try:
                self._write(line, durable=KINDS[kind].state if durable is None else durable)
            except OSError as error:
                self._complain(error, line)
                return False
            if self._lost:
                self._tell_lost()
            return True

    def redact(self, text: str) -> str:
        """``text`` with secrets masked, those of this process's environment included."""
        return redact(text, self._known)

    def sync(self) -> None:
        """See that everything written is on the disk."""
        with self._guard:
            if self._descriptor is not None:
                os.fsync(self._descriptor)

    def close(self) -> None:
        """Let the segment go; a later ``append`` begins another."""
        with self._guard:
            self._let_go()

    def _begin_as(self, pid: int) -> None:
        # Closing the inherited descriptor leaves the parent's lock alone: the lock is the file's, not the number's.
        self._let_go()
        self._pid, self._seq, self._lost = pid, 0, 0

    def _let_go(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _line(self, kind: str, severity: str, gen: int, where: dict[str, Any], data: dict[str, Any]) -> bytes:
        self._seq += 1
        head = {"ts": now(), "seq": self._seq, "gen": gen, "kind": kind, "severity": severity}
        event = {**head, **where, "pid": self._pid, "host": self._host, "data": data}
        try:
            text = _encode(event)
        except ValueError:  # NaN and infinity, which JSON does not have
            text = _encode(json.loads(json.dumps(event, default=str), parse_constant=str))
        return (text + "\n").encode("ascii")

    def _write(self, line: bytes, *, durable: bool) -> None:
        if self._descriptor is not None and self._size >= ROTATE_BYTES:
            os.fsync(self._descriptor)  # ``sync`` will not see this one any more
            self._let_go()
        if self._descriptor is None:
            self._descriptor, self._size, self._torn = (
                create_segment(self.directory, new_name(str(self._pid))),
                0,
                False,
            )
        # A disk that filled up in the middle of a line left it torn: end it, so that this one is whole.
        out = b"\n" + line if self._torn else line
        written = os.write(self._descriptor, out)
        self._size += written
        if written < len(out):
            self._torn = True
            raise OSError("the disk took only a part of the event")
        self._torn = False
        if durable:
            try:
                os.fsync(self._descriptor)
            except OSError as error:  # written it is; how long that holds, the disk will show
                self._warn(f"br3: {self.directory}: {error}\n")

    def _complain(self, error: OSError, line: bytes) -> None:
        self._lost += 1
        said = f"br3: cannot write to {self.directory}: {error}; events go here instead:\n" if self._lost == 1 else ""
        self._warn(said + line.decode("ascii"))

    @staticmethod
    def _warn(text: str) -> None:
        if sys.stderr is None:  # nowhere to go; print would take standard output
            return
        try:
            print(text, end="", file=sys.stderr, flush=True)
        except (OSError, ValueError):
            pass  # on the same disk, or closed

    def _tell_lost(self) -> None:
        where = dict.fromkeys(("run", "build", "task", "attempt"))
        line = self._line("journal.lost", "error", 0, where, {"events": self._lost})
        try:
            self._write(line, durable=True)
        except OSError:
            return
        self._lost = 0


def create_segment(directory: Path, name: str) -> int:
    """A new segment, locked by this process; returns its descriptor, for appending.

    It gets its name only once it is locked: whoever sees it sees whether its writer lives.
    """
    directory.mkdir(parents=True, exist_ok=True)
    hidden = directory / f".{name}.new"
    descriptor = os.open(hidden, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        hidden.rename(directory / f"{name}{SUFFIX}")
        sync_directory(directory)  # the name of the segment has to survive a crash as its content does
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def writer_lives(segment: Path) -> bool:
    """Whether the process that writes a segment is still there; False for a segment that is gone."""
    return is_locked(segment)


def sync_directory(directory: Path) -> None:
    """Make the names in a directory survive a crash."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def segments(common_dir: Path) -> dict[str, os.DirEntry[str]]:
    """The segments in the journal by name, oldest first; the link ``hooks.jsonl`` is none."""
    try:
        entries = [e for e in os.scandir(journal_dir(common_dir)) if e.name.endswith(SUFFIX)]
    except (FileNotFoundError, NotADirectoryError):
        return {}
    named = {e.name.removesuffix(SUFFIX): e for e in entries if not e.name.startswith(".") and not e.is_symlink()}
    return dict(sorted(named.items()))


def events_in(data: bytes, segment: str, offset: int = 0) -> Iterator[Event | int]:
    """The events on the whole lines of ``data``, which begins at ``offset`` of its segment.

    A line that is none comes as the offset where it begins.
    """
    for line in data[: data.rfind(b"\n") + 1].split(b"\n")[:-1]:
        if line and not line.isspace():
            yield parse(line, segment, offset) or offset
        offset += len(line) + 1


class Follower:
    """Reads what is new in all segments each time it is asked; holds offsets, not files."""

    def __init__(self, common_dir: Path) -> None:
        self._common_dir = common_dir
        self._offsets: dict[str, int] = {}
        self.rejected = 0
        """Whole lines that are no events; a torn last line is not counted, it may still be growing."""

    def poll(self) -> list[Event]:
        """Events written since the last call, in no order but each segment's own."""
        found: list[Event] = []
        for name, entry in segments(self._common_dir).items():
            known = self._offsets.get(name, 0)
            try:
                if entry.stat().st_size <= known:
                    continue
                with open(entry.path, "rb") as segment:
                    segment.seek(known)
                    fresh = segment.read()
            except FileNotFoundError:
                continue  # in the archive by now, and folded before
            for event in events_in(fresh, name, known):
                if isinstance(event, int):
                    self.rejected += 1
                else:
                    found.append(event)
            self._offsets[name] = known + fresh.rfind(b"\n") + 1
        return found

    def seen(self) -> Collection[str]:
        """The segments of which something was read."""
        return self._offsets.keys()
