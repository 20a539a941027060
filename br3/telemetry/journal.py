"""Segments of events: one writer each, one ``write()`` a line; reading, and following what others write.

A segment is ``<common dir>/br3/journal/<UTC start>-<pid>-<random>.jsonl``.
"""

from __future__ import annotations

import json
import os
import secrets as random_source
import socket
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from br3.secrets import known_secrets, redact, redact_value
from br3.telemetry.events import KINDS, SEVERITIES, Event, parse


def now() -> str:
    """The time as events carry it: UTC, microseconds, RFC 3339."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def journal_dir(common_dir: Path) -> Path:
    """Where the segments of a repository lie."""
    return common_dir / "br3" / "journal"


# What br3 itself makes and reads again: a password that happens to be a build's name must not change its path.
_MADE_HERE = frozenset(
    """agent attempt base base_commit branch builds checkout commands commit continues digest directory environment
    files from_run head head_tree left log model new old order path plan remote selected session start tag tree when
    with worktree""".split()
)


class Journal:
    """One process's pen. The segment comes into being with the first event. Threads may share it.

    ``gen`` is the generation of the lock under which this process writes (0: none); see ``locks``.
    """

    def __init__(self, common_dir: Path, *, gen: int = 0) -> None:
        self.directory = journal_dir(common_dir)
        self.gen = gen
        self._descriptor: int | None = None
        self._seq = 0
        self._guard = threading.Lock()
        self._known = known_secrets(os.environ)
        self._host = socket.gethostname()
        self._complained = False

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
        **data: Any,
    ) -> None:
        """Write one event. ValueError for a kind or severity that is not known.

        A disk that is full or read-only does not stop the work: the event goes to standard error, once.
        """
        if kind not in KINDS or severity not in SEVERITIES:
            raise ValueError(f"unknown event kind {kind!r} or severity {severity!r}")
        with self._guard:
            self._seq += 1
            event = {
                "ts": now(),
                "seq": self._seq,
                "gen": self.gen if gen is None else gen,
                "kind": kind,
                "severity": severity,
                "run": run,
                "build": build,
                "task": task,
                "attempt": attempt,
                "pid": os.getpid(),
                "host": self._host,
                "data": {k: v if k in _MADE_HERE else redact_value(v, self._known) for k, v in data.items()},
            }
            line = json.dumps(event, ensure_ascii=True, separators=(",", ":"), default=str) + "\n"
            try:
                self._write(line.encode("ascii"), durable=KINDS[kind].state)
            except OSError as error:
                self._complain(error, line)

    def redact(self, text: str) -> str:
        """``text`` with secrets masked, those of this process's environment included."""
        return redact(text, self._known)

    def close(self) -> None:
        """Let the segment go; a later ``append`` begins another."""
        with self._guard:
            if self._descriptor is not None:
                os.close(self._descriptor)
                self._descriptor = None

    def _write(self, line: bytes, *, durable: bool) -> None:
        if self._descriptor is None:
            self._descriptor = self._create()
        written = os.write(self._descriptor, line)
        if written < len(line):  # a disk that fills up in the middle: end the torn line so the next one is whole
            os.write(self._descriptor, b"\n")
            raise OSError("the disk took only a part of the event")
        if durable:
            os.fsync(self._descriptor)

    def _create(self) -> int:
        self.directory.mkdir(parents=True, exist_ok=True)
        start = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
        name = f"{start}-{os.getpid()}-{random_source.token_hex(3)}.jsonl"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
        descriptor = os.open(self.directory / name, flags, 0o600)
        directory = os.open(self.directory, os.O_RDONLY)
        try:
            os.fsync(directory)  # the name of the segment has to survive a crash as its content does
        finally:
            os.close(directory)
        return descriptor

    def _complain(self, error: OSError, line: str) -> None:
        if not self._complained:
            self._complained = True
            print(f"br3: cannot write to {self.directory}: {error}; events go here instead: {line}", file=sys.stderr)


class Follower:
    """Reads what is new in all segments each time it is asked; holds offsets, not files."""

    def __init__(self, common_dir: Path) -> None:
        self._directory = journal_dir(common_dir)
        self._offsets: dict[str, int] = {}
        self.rejected = 0
        """Whole lines that are no events; a torn last line is not counted, it may still be growing."""

    def poll(self) -> list[Event]:
        """Events written since the last call, in no order but each segment's own."""
        found: list[Event] = []
        try:
            entries = [e for e in os.scandir(self._directory) if e.name.endswith(".jsonl")]
        except FileNotFoundError:
            return found
        for entry in sorted(entries, key=lambda e: e.name):
            known = self._offsets.get(entry.name, 0)
            try:
                if entry.stat().st_size <= known:
                    continue
                with open(entry.path, "rb") as segment:
                    segment.seek(known)
                    fresh = segment.read()
            except FileNotFoundError:
                continue
            whole = fresh[: fresh.rfind(b"\n") + 1]
            offset = known
            for line in whole.split(b"\n")[:-1]:
                if line:
                    event = parse(line, entry.name.removesuffix(".jsonl"), offset)
                    if event is None:
                        self.rejected += 1
                    else:
                        found.append(event)
                offset += len(line) + 1
            self._offsets[entry.name] = offset
        return found


def read_events(common_dir: Path, run: str | None = None) -> Iterator[Event]:
    """All events of the repository, or of one run, ordered by time (for people; states use ``Event.order``)."""
    events = [e for e in Follower(common_dir).poll() if run is None or e.run == run]
    return iter(sorted(events, key=lambda e: (e.ts, e.segment, e.seq)))
