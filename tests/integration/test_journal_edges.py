"""Edges of journal and turnstile: who is stopped in the queue, what a filling disk takes in part, what is very long."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from br3.analytics import fold
from br3.telemetry import Journal, archive, hooks
from br3.telemetry.journal import segments
from tests.integration.test_analytics_file import TELL

QUEUE = """
import fcntl
from br3.analytics.store import Busy, reading
with open(common / "br3" / "locks" / "queue", "r+b") as held:
    fcntl.flock(held, fcntl.LOCK_EX)  # as one who was stopped (SIGSTOP) just there
    try:
        with reading(common, wait_s=0.05):
            tell("in")
    except Busy:
        tell("busy")
"""


def test_a_reader_waits_no_longer_than_it_said_whoever_stands_in_the_queue(tmp_path: Path) -> None:
    fold(tmp_path)
    with reading_once(tmp_path):
        pass
    command = [sys.executable, "-c", TELL + QUEUE, str(tmp_path)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=30)
    assert done.stdout.strip() in ("busy", "in"), done.stderr


def reading_once(common: Path):
    from br3.analytics.store import reading

    return reading(common)


def test_late_lines_that_the_disk_takes_in_part_are_not_given_up(tmp_path: Path, monkeypatch) -> None:
    line = '\n{"ts":"2026-01-02T03:04:05.000000Z","kind":"hook.checkout","data":{"hook":"%s"}}\n'
    with hooks.begin(tmp_path).open("a") as link:
        link.write(line % "first")
    late = hooks.hooks_link(tmp_path).open("a")
    ((name, entry),) = segments(tmp_path).items()
    note, write = archive._note, os.write

    def meanwhile(*words):
        note(*words)
        late.write(line % "late")
        late.close()
        monkeypatch.setattr(archive.os, "write", lambda descriptor, data: write(descriptor, data[:20]))

    monkeypatch.setattr(archive, "_note", meanwhile)
    with pytest.raises(OSError):
        archive.pack(tmp_path, name, entry.stat().st_size)


def test_the_archive_keeps_no_half_files_of_killed_packers(tmp_path: Path) -> None:
    from br3.analytics import keeping

    pen = Journal(tmp_path)
    pen.append("note")
    pen.close()
    keeping.freshen(tmp_path, None, 30)
    (packed,) = archive.packed_segments(tmp_path).values()
    half = packed.path.with_name(f".{packed.path.name}.123")
    half.write_bytes(b"half")
    os.utime(half, (0, 0))
    keeping.freshen(tmp_path, None, 30)
    assert not half.exists()


def test_an_event_that_is_in_the_file_is_not_called_lost(tmp_path: Path, monkeypatch, capfd) -> None:
    from br3.telemetry import journal, read_events

    pen = Journal(tmp_path)
    pen.append("note")
    with monkeypatch.context() as context:

        def fails(_: int) -> None:
            raise OSError(5, "Input/output error")

        context.setattr(journal.os, "fsync", fails)
        pen.append("security.violation", rule="x")
    pen.append("note")
    kinds = [e.kind for e in read_events(tmp_path)]
    print(kinds, capfd.readouterr().err)
    assert kinds.count("security.violation") + sum(k == "journal.lost" for k in kinds) == 1


def test_an_event_however_long_gets_into_the_analytics(tmp_path: Path) -> None:
    pen = Journal(tmp_path)
    pen.append("error.occurred", "error", message="word " * 2_000_000)
    pen.close()
    folded = fold(tmp_path)
    assert (folded.events, folded.rejected) == (1, 0)
