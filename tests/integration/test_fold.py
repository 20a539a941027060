"""From the journal into the analytics, each event exactly once: whoever writes, is killed, or left odd lines behind."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from br3.analytics import fold, folding, keeping, reports
from br3.analytics.store import Broken, analytics_path, reading
from br3.dispatch.observing import take_up
from br3.telemetry import Journal, read_events
from br3.telemetry.archive import archive_dir, packed_segments
from br3.telemetry.journal import create_segment, journal_dir, segments, writer_lives
from br3.telemetry.replay import replay
from tests.conftest import Scratch, until
from tests.integration.journals import (
    TABLES,
    afresh,
    ask,
    at,
    attempt,
    facts,
    held,
    line,
    segment,
    written,
)

pytestmark = pytest.mark.usefixtures("made_once")

NAME = "20260302T100000-1-aaaaaa"


# -- many processes ----------------------------------------------------------------------------------------------------

WRITER = """
import os, sys
from pathlib import Path
from br3.telemetry import Journal

common_dir, number, count, acknowledged = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
slow = sys.argv[5:] == ["slow"]  # every event is waited for on the disk
journal = Journal(common_dir)
told = os.open(acknowledged, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
n = 0
while count == 0 or n < count:
    kind = "trust.given" if n % 400 == 399 or slow else "error.occurred" if n % 10 == 9 else "note"
    journal.append(kind, run=None, writer=number, n=n)
    os.write(told, b".")
    n += 1
"""

FOLDER = """
import sys, time
from pathlib import Path
from br3.analytics import fold, folding, reading

common_dir, small = Path(sys.argv[1]), sys.argv[2] == "small"
if small:  # as if each fold were a large one
    folding._ONE_TRANSACTION, folding._AT_ONCE, folding._WHOLE_FROM = 20_000, 100_000, 1_000
while True:
    print("fold", flush=True)
    fold(common_dir)
    with reading(common_dir) as db:
        all_of_them, different = db.execute(
            "SELECT count(*), count(DISTINCT (segment, seq)) FROM events").fetchone()
        (in_metrics,) = db.execute("SELECT coalesce(sum(errors), 0) FROM metrics_daily").fetchone()
    print(all_of_them, different, int(in_metrics), flush=True)
"""


def python(source: str, *words: object, **more: Any) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", source, *map(str, words)], text=True, **more)


@contextmanager
def ended_afterwards() -> Iterator[list[subprocess.Popen[str]]]:
    """Processes that do not outlive the test, however it ends."""
    started: list[subprocess.Popen[str]] = []
    try:
        yield started
    finally:
        for process in started:
            if process.poll() is None:
                process.kill()
            process.wait()
            if process.stdout is not None:
                process.stdout.close()


def acknowledged(directory: Path, number: int) -> int:
    try:
        return (directory / str(number)).stat().st_size
    except FileNotFoundError:
        return 0


def counts_of(output: str) -> list[tuple[int, int, int]]:
    """What a folder saw after each of its folds."""
    lines = [words.split() for words in output.splitlines() if words != "fold"]
    return [(int(a), int(b), int(c)) for a, b, c in lines if c]


def test_thirty_two_processes_write_while_another_folds_and_queries_and_nothing_is_lost_or_doubled(
    tmp_path: Path,
) -> None:
    with ended_afterwards() as started:
        seen = tmp_path / "seen"
        with open(seen, "w") as out:
            folder = python(FOLDER, tmp_path, "large", stdout=out)
        started.append(folder)
        writers = [python(WRITER, tmp_path, n, 2000, tmp_path / str(n)) for n in range(32)]
        started += writers
        assert [writer.wait() for writer in writers] == [0] * 32
        until(lambda: any(a == 64_000 for a, _, _ in counts_of(seen.read_text())) or folder.poll() is not None)
        assert folder.poll() is None, "the folder ended by itself"
    history = counts_of(seen.read_text())
    assert [a for a, _, _ in history] == sorted(a for a, _, _ in history)
    assert all(rows == different for rows, different, _ in history)
    fold(tmp_path)
    assert ask(tmp_path, "SELECT count(*), count(DISTINCT (segment, seq)) FROM events") == [(64_000, 64_000)]
    per_writer = "SELECT data ->> 'writer', count(*), count(DISTINCT data ->> 'n') FROM events GROUP BY 1"
    assert {(rows, different) for _, rows, different in ask(tmp_path, per_writer)} == {(2000, 2000)}
    assert ask(tmp_path, "SELECT sum(errors) FROM metrics_daily") == [(32 * (200 - 5),)]
    assert ask(tmp_path, "SELECT count(*) FROM rejected") == [(0,)]


def test_writers_and_folders_killed_at_random_lose_and_double_no_acknowledged_event(tmp_path: Path) -> None:
    chance = random.Random(20261122)
    mortal = {n: chance.randrange(50, 1500) for n in range(16)}
    with ended_afterwards() as started:
        writers = {n: python(WRITER, tmp_path, n, 0 if n in mortal else 1000, tmp_path / str(n)) for n in range(24)}
        started += writers.values()
        folder, kills = python(FOLDER, tmp_path, "large", stdout=subprocess.PIPE), 0
        started.append(folder)
        while any(writer.poll() is None for writer in writers.values()) or kills < 8:
            for n, limit in mortal.items():
                if writers[n].poll() is None and acknowledged(tmp_path, n) >= limit:
                    writers[n].kill()
                    writers[n].wait()
            assert folder.stdout is not None
            if folder.stdout.readline() == "fold\n" and chance.random() < 0.7:
                # Somewhere in the fold that it has just begun; wherever it is, nothing may come of it.
                for _ in range(chance.randrange(40_000)):
                    pass
                folder.kill()
                folder.wait()
                kills += 1
                folder = python(FOLDER, tmp_path, chance.choice(["small", "large"]), stdout=subprocess.PIPE)
                started.append(folder)
            assert folder.poll() is None, "the folder ended by itself"
        assert {n for n, writer in writers.items() if writer.returncode == -signal.SIGKILL} == set(mortal)
    fold(tmp_path)
    assert ask(tmp_path, "SELECT count(*) = count(DISTINCT (segment, seq)) FROM events") == [(True,)]
    per_writer = """
        SELECT (data ->> 'writer')::INTEGER, count(*), count(DISTINCT data ->> 'n'), max((data ->> 'n')::INTEGER) + 1
        FROM events GROUP BY 1"""
    rows = {n: counts for n, *counts in ask(tmp_path, per_writer)}
    for n in writers:
        have, different, last = rows[n]
        told = acknowledged(tmp_path, n)
        assert have == different == last
        # A writer that was killed may have written one that it could not acknowledge any more.
        assert told <= have <= told + (1 if n in mortal else 0)
    in_files = sum(path.read_bytes().count(b"\n") for path in journal_dir(tmp_path).glob("*.jsonl"))
    assert sum(have for have, _, _ in rows.values()) == in_files
    assert {reason for (reason,) in ask(tmp_path, "SELECT reason FROM rejected")} <= {"torn"}
    assert afresh(tmp_path, tmp_path) == held(tmp_path)


@pytest.mark.parametrize("where", ["_take_lines", "_set_offsets", "deriving.derive_fresh"])
def test_a_fold_killed_halfway_leaves_everything_to_the_next_one(tmp_path: Path, where: str) -> None:
    segment(tmp_path, NAME, [line("note", n) for n in range(1, 6)])
    fold(tmp_path)
    segment(tmp_path, NAME, [line("note", n) for n in range(6, 9)])
    source = f"""
import os, sys
from pathlib import Path
from br3.analytics import deriving, folding
real = folding.{where}
def die(*given, **named):
    real(*given, **named)
    os.kill(os.getpid(), 9)
folding.{where} = die
folding.fold(Path(sys.argv[1]))
"""
    assert python(source, tmp_path).wait() == -signal.SIGKILL
    assert fold(tmp_path).events == 3
    assert ask(tmp_path, "SELECT list(seq ORDER BY seq) FROM events") == [(list(range(1, 9)),)]


@pytest.mark.parametrize("where", ["_take_whole", "_set_offsets", "deriving.derive_all"])
def test_a_large_fold_killed_halfway_is_finished_by_the_next_one_states_included(tmp_path: Path, where: str) -> None:
    for number in range(4):
        lines = [line("run.created", 1, run=f"r{number}"), *(line("note", n, run=f"r{number}") for n in range(2, 30))]
        segment(tmp_path, f"20260302T10000{number}-1-aaaaaa", lines)
    source = f"""
import os, sys
from pathlib import Path
from br3.analytics import deriving, folding
folding._ONE_TRANSACTION, folding._AT_ONCE, folding._WHOLE_FROM = 100, 1_000, 1_000
real, calls = folding.{where}, []
def die(*given, **named):
    result = real(*given, **named)
    calls.append(1)
    if len(calls) == 2 or "{where}" == "deriving.derive_all":
        os.kill(os.getpid(), 9)
    return result
folding.{where} = die
folding.fold(Path(sys.argv[1]))
"""
    assert python(source, tmp_path).wait() == -signal.SIGKILL
    fold(tmp_path)
    assert ask(tmp_path, "SELECT count(*), count(DISTINCT (segment, seq)) FROM events") == [(4 * 29, 4 * 29)]
    assert ask(tmp_path, "SELECT count(*) FROM runs WHERE state = 'created'") == [(4,)]
    assert held(tmp_path) == afresh(tmp_path, tmp_path)


# -- what lines may look like ------------------------------------------------------------------------------------------

HERE = {"run": "r", "build": "b", "task": "t", "attempt": 1}
FAR = 2**63 - 1


def used(seq: int, number: int = 1, **data: Any) -> bytes:
    return line("usage.recorded", seq, **{**HERE, "attempt": number}, data={"model": "m", **data})


def in_data(seq: int, raw: bytes) -> bytes:
    """An event with ``raw`` as a value in its data."""
    return line("note", seq, data={"x": 0}).replace(b'{"x":0}', b'{"x":' + raw + b"}")


TAKEN = {
    "text that is not ASCII": line("note", 2, data={"é": "✓ 𝄞"}).decode().encode("ascii"),
    "UTF-8 that is not escaped": in_data(2, '"✓ é 𝄞"'.encode()),
    "a NUL in a string": line("note", 2, build="a\0b", data={"x\0": "\0"}),
    "half of a surrogate pair in data": line("note", 2, data={"path": "caf\udce9"}),
    "half of a surrogate pair in a state": line("run.created", 2, run="r", data={"plan": "\ud800", "builds": ["b"]}),
    "blanks around it": b"  \t" + line("note", 2)[:-1] + b" \r\n",
    "no severity, host and data": b'{"ts":"2026-03-02T10:00:00Z","seq":2,"kind":"note"}\n',
    "nulls for what may be missing": line("note", 2, severity=None, host=None, pid=None, gen=None, data=None),
    "fields that nobody knows": written({**facts("note", 2), "colour": "red", "shape": [1, {"a": None}]}),
    "keys that the fold itself uses": written({**facts("note", 2), "segment": "other", "number": [7], "filename": "x"}),
    "a number that is none": line("note", 2, data={"x": float("nan"), "y": float("inf")}),
    "a number of 400 digits": in_data(2, b"9" * 400),
    "tokens beyond 64 bits": used(2, input_tokens=FAR, output_tokens=FAR),
    "tokens that do not add up in 64 bits": used(2, input_tokens=FAR) + used(3, input_tokens=FAR, cost_usd="1"),
    "attempts' tokens beyond 64 bits": used(2, input_tokens=FAR) + used(3, 2, input_tokens=FAR),
    "tokens of another type": used(2, input_tokens="12", output_tokens={"a": 1}, cache_read_tokens=1.5, model=["m"]),
    "a cost that is no number": used(2, input_tokens=1, cost_usd="NaN") + used(3, 2, cost_usd=[]),
    "a cost that is too large": used(2, input_tokens=1, cost_usd="1e40"),
    "costs that add up to too much": used(2, cost_usd="60000000") + used(3, cost_usd="60000000"),
    "an imported message of too many tokens": line(
        "usage.imported",
        2,
        data={"agent": "a", "session": "s", "message": "m", "input_tokens": FAR, "output_tokens": FAR},
    ),
    "an imported message without anything": line("usage.imported", 2),
    "an imported message at no time": line("usage.imported", 2, data={"agent": "a", "message": "m", "at": "noon"}),
    "an alert without a level": line("alert.raised", 2, data={"rule": "x"}),
    "an alert without a rule": line("alert.raised", 2) + line("alert.cleared", 3),
    "an estimate of words": line("estimate.made", 2, data={"score": "high", "cost_p50_usd": "1e40"}),
    "tests of another type": line("quality.passed", 2, run="r", build="b", data={"tests": 5, "coverage": "most"}),
    "tests beyond 32 bits": line("quality.passed", 2, run="r", build="b", data={"tests": {"passed": 2**40}}),
    "an exit code beyond 32 bits": line("attempt.started", 2, **HERE)
    + line("attempt.finished", 3, **HERE, data={"outcome": "failed", "exit_code": 2**40}),
    "no build among the builds": line("run.created", 2, run="r", data={"builds": [None, "b"]}),
}
EITHER = {
    "builds that are objects": line("run.created", 2, run="r", data={"builds": [{"a": 1}]}),
    "builds that are a number": line("run.created", 2, run="r", data={"builds": 5}),
    "data that is text": line("run.created", 2, run="r", data="text"),
    "data that is a list": line("build.started", 2, run="r", build="b", data=[1]),
    "a kind that is a list": written({**facts("note", 2), "kind": ["note"]}),
    "a run that is a list": line("run.started", 2, run=["r"]),
    "a build that is an object": line("build.started", 2, run="r", build={"a": 1}),
    "an attempt that is text": line("attempt.started", 2, run="r", build="b", task="t", attempt="first"),
    "an attempt beyond 32 bits": line("attempt.started", 2, run="r", build="b", task="t", attempt=2**40),
    "a generation that is text": line("note", 2, gen="first"),
    "a generation beyond 64 bits": line("note", 2, gen=2**70),
    "a process beyond 32 bits": line("note", 2, pid=2**40),
    "a number beyond 64 bits": line("note", 2**70, ts=at(2)),
    "a number with a fraction": line("note", 2).replace(b'"seq":2', b'"seq":1.7'),
    "an endless number": line("note", 2).replace(b'"seq":2', b'"seq":1e999'),
    "a time without end": line("error.occurred", 2, ts="infinity"),
    "a time that is a number": line("note", 2, ts=5),
    "a time that no calendar has": line("error.occurred", 2, ts="290000-01-01T00:00:00Z"),
    "an attempt that never ends": line("attempt.started", 2, **HERE)
    + line("attempt.finished", 3, ts="infinity", **HERE, data={"outcome": "failed"}),
    "an attempt of 300,000 years": line("attempt.started", 2, **HERE, ts="0001-01-01T00:00:00Z")
    + line("attempt.finished", 3, ts="290000-01-01T00:00:00Z", **HERE, data={"outcome": "failed"}),
    "the same key twice": line("note", 2)[:-2] + b',"kind":"error.occurred"}\n',
    "a comma too many": line("note", 2)[:-2] + b",}\n",
    "a byte order mark": b"\xef\xbb\xbf" + line("note", 2),
    "two bytes a letter": line("note", 2)[:-1].decode().encode("utf-16-le") + b"\n",
    "a number of 5,000 digits": in_data(2, b"9" * 5000),
    "lists within lists": in_data(2, b"[" * 100_000 + b"]" * 100_000),
    "9 MB": line("note", 2, data={"x": "x" * 9_000_000}),
    "40 MB": line("note", 2, data={"x": "x" * 40_000_000}),
    "surrogates as if they were UTF-8": in_data(2, b'"\xed\xa0\x80"'),
}
REFUSED = {
    "a byte that is no UTF-8": in_data(2, b'"\xff"'),
    "nothing but NULs": b"\0" * 300 + b"\n",
    "words": b"something else\n",
    "half of an event": line("note", 2)[:60] + b"\n",
    "two events on one line": line("note", 2)[:-1] + line("note", 3),
    "values that are no object": b'[1]\n5\n"x"\nnull\ntrue\n',
    "an empty object": b"{}\n",
    "no kind": b'{"ts":"2026-03-02T10:00:00Z","seq":2}\n',
    "no time": b'{"kind":"note","seq":2}\n',
    "brackets only": b"[" * 200_000 + b"\n",
}
ODD = {**TAKEN, **EITHER, **REFUSED}
# No line of br3's: what reads whole segments is more forgiving than what reads lines.
LOOSE = {
    "a number with a fraction",
    "a number that is none",
    "a comma too many",
    "a number of 5,000 digits",
    "lists within lists",
    "9 MB",
}


def fold_as(monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    """Fold line by line, or as large folds are."""
    limits = (0, 0, 0) if how == "whole" else (1 << 40, 1 << 40, 1 << 40)
    for name, limit in zip(("_ONE_TRANSACTION", "_AT_ONCE", "_WHOLE_FROM"), limits, strict=True):
        monkeypatch.setattr(folding, name, limit)


@pytest.mark.parametrize("what", sorted(ODD))
def test_an_odd_line_never_stops_the_fold_and_comes_to_the_same_in_small_folds_and_large_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    first, odd, last = line("note", 1), ODD[what], line("task.started", 9, run="z", build="b", task="t")
    both: dict[str, Any] = {}
    for how in ("by line", "whole"):
        common_dir = tmp_path / how.replace(" ", "-")
        segment(common_dir, NAME, first + odd + last)
        fold_as(monkeypatch, how)
        folded = fold(common_dir)
        assert (again := fold(common_dir)).events == again.rejected == 0
        seen = held(common_dir)
        assert folded.events == len(seen["events"]) and folded.rejected == len(seen["rejected"])
        neighbours = "SELECT count(*) FROM events WHERE seq IN (1, 9) AND kind IN ('note', 'task.started')"
        missing = "SELECT count(*) FROM events WHERE segment IS NULL OR seq IS NULL OR ts IS NULL OR kind IS NULL"
        with reading(common_dir) as db:
            assert db.execute(neighbours).fetchall() == [(2,)], "its neighbours are there"
            assert db.execute("SELECT state FROM tasks WHERE run = 'z'").fetchall() == [("running",)]
            assert db.execute(missing).fetchall() == [(0,)]
        lines = [part for part in odd.split(b"\n") if part.strip()]
        assert len(seen["events"]) - 2 + len(seen["rejected"]) == len(lines), "each line is taken or told of"
        begins = {len(first) + odd.index(part) for part in lines}
        assert {offset for _, offset, _, _ in seen["rejected"]} <= begins, "what is told is where it stands"
        if what in TAKEN:
            assert seen["rejected"] == []
        if what in REFUSED:
            assert len(seen["events"]) == 2
        json.dumps([[reports.plain(value) for value in row] for row in seen["events"]])
        both[how] = seen
    assert both["by line"] == both["whole"] or what in LOOSE


@pytest.mark.parametrize("what", sorted(ODD))
def test_an_odd_line_stops_no_replay_of_states(tmp_path: Path, what: str) -> None:
    segment(tmp_path, NAME, line("note", 1) + ODD[what] + line("task.started", 9, run="z", build="b", task="t"))
    assert replay(read_events(tmp_path))["z"].builds["b"].tasks["t"].state == "running"


@pytest.mark.parametrize("how", ["by line", "whole"])
@pytest.mark.parametrize("tail", [line("note", 2)[:-1], line("note", 2)[:40], b"\0\0\0", b"  "])
def test_what_a_dead_writer_left_without_a_newline_is_put_aside_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str, tail: bytes
) -> None:
    fold_as(monkeypatch, how)
    segment(tmp_path, NAME, line("note", 1) + tail)
    fold(tmp_path)
    fold(tmp_path)
    assert ask(tmp_path, "SELECT list(seq) FROM events") == [([1],)]
    told = ask(tmp_path, 'SELECT "offset", reason FROM rejected')
    assert told == ([(len(line("note", 1)), "torn")] if tail.strip() else [])


def test_half_a_line_of_a_living_writer_is_waited_for(tmp_path: Path) -> None:
    descriptor = create_segment(journal_dir(tmp_path), NAME)
    try:
        whole = line("note", 1)
        os.write(descriptor, whole + line("note", 2)[:40])
        assert (first := fold(tmp_path)).events == 1 and first.rejected == 0
        os.write(descriptor, line("note", 2)[40:])
        assert (second := fold(tmp_path)).events == 1 and second.rejected == 0
    finally:
        os.close(descriptor)


def test_empty_segments_and_blank_lines_are_nothing(tmp_path: Path) -> None:
    segment(tmp_path, NAME, b"")
    segment(tmp_path, "20260302T100001-1-bbbbbb", b"\n\n  \n\t\r\n")
    folded = fold(tmp_path)
    assert (folded.events, folded.rejected) == (0, 0)
    segment(tmp_path, NAME, line("note", 1))
    assert fold(tmp_path).events == 1


def test_rejected_says_segment_byte_and_reason_and_masks_secrets(tmp_path: Path) -> None:
    key = "sk-ant-api03-" + "Ab3" * 31 + "AA"
    segment(tmp_path, NAME, line("note", 1) + b'{"broken": "%s"\n' % key.encode() + line("note", 3))
    fold(tmp_path)
    ((name, offset, reason, text),) = ask(tmp_path, "FROM rejected")
    assert (name, offset, reason) == (NAME, len(line("note", 1)), "no event")
    assert text.startswith('{"broken"') and key not in text


def test_where_duckdb_cannot_keep_a_file_it_is_said_and_nothing_is_lost(tmp_path: Path) -> None:
    common_dir = tmp_path / "what?"
    segment(common_dir, NAME, line("note", 1))
    with pytest.raises(Broken, match="question mark"):
        fold(common_dir)
    assert len(list(read_events(common_dir))) == 1
    assert take_up(common_dir, tmp_path).folded is None


def test_a_repository_s_path_may_hold_what_patterns_are_made_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "a [b] * 'c' \"d\" é"
    monkeypatch.delattr(os, "memfd_create", raising=False)  # as on macOS
    common_dir = tmp_path / name
    segment(common_dir, NAME, line("note", 1))
    assert fold(common_dir).events == 1
    for how in ("whole", "by line"):
        fold_as(monkeypatch, how)
        assert keeping.rebuild(common_dir).events == 1
    keeping.compact(common_dir)
    assert ask(common_dir, "SELECT count(*) FROM events") == [(1,)]


def test_an_event_with_bytes_of_a_file_name_that_are_no_text_is_in_the_analytics(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.append("worktree.created", build="b", path=os.fsdecode(b"/tmp/caf\xe9"))
    journal.append("note", text=os.fsdecode(b"caf\xe9"))
    journal.close()
    folded = fold(tmp_path)
    assert (folded.events, folded.rejected) == (2, 0)


# -- one journal, however it is folded ---------------------------------------------------------------------------------


def story(first_hour: int, run: str, *, priced: bool = True, ends: bool = True) -> list[bytes]:
    """A run of two builds over some hours, with everything that tables are made of."""
    began = 3600.0 * first_hour
    number = iter(range(1, 1000))

    def told(kind: str, after: float, **more: Any) -> bytes:
        return line(kind, next(number), ts=at(began + after), run=run, **more)

    lines = [told("run.created", 0, data={"plan": "p", "base": "main", "builds": ["a", "b", "later"]})]
    lines += [told("run.started", 1), told("note", 1, build="a", data={"text": "é ✓"}), told("hook.checkout", 1)]
    lines.append(told("hook.commit", 1, data={"hook": "post-commit", "commit": "c" * 40}))
    for build in ("a", "b"):
        lines += [told("build.preparing", 2, build=build)]
        lines += [told("build.started", 3, build=build, data={"branch": f"build/{build}", "worktree": "/w"})]
        for task, took in (("one", 100.25), ("two", 4000.5)):
            lines += [told("task.started", 4, build=build, task=task, data={"title": f"{task} ✓"})]
            for n in (1, 2) if task == "two" else (1,):
                outcome = "failed" if task == "two" and n == 1 else "succeeded"
                usage = [
                    {
                        "model": "m1",
                        "input_tokens": 10 * n,
                        "output_tokens": 5,
                        "cost_usd": "0.0000000123",
                        "source": "x",
                    },
                    {"model": "m2", "input_tokens": 3, "cache_read_tokens": 7, "cost_usd": "1.10" if priced else None},
                ]
                session = f"{run}-{build}-{task}-{n}"
                lines += attempt(
                    run, build, task, n, next(number), outcome=outcome, began=began + 5, took_s=took * n,
                    session=session, model="auto", usage=usage,
                )  # fmt: skip
                for _ in range(3):
                    next(number)
            lines += [told("task.completed", took * 2 + 9, build=build, task=task, data={"commit": "c0ffee"})]
        lines += [told("build.verifying", 8100, build=build, data={"commit": "c1"})]
        tests = {"tests": {"passed": 7, "failed": 0, "skipped": 1}, "coverage": 81.5}
        lines += [told("quality.passed", 8200, build=build, data=tests)]
        lines += [told("build.verified", 8201, build=build, data={"commit": "c2"})]
    lines += [told("rate_limit.hit", 30, build="a"), told("error.occurred", 4000), told("timeout.occurred", 5000)]
    lines += [
        told("model.fallback", 5000, build="b"),
        told("performance.degraded", 5001),
        told("build.verified", 9, build="a"),
    ]
    lines += [told("estimate.made", 1, build="a", data={"model": "m1", "score": 3.5, "cost_p50_usd": "0.10"})]
    lines += [told("security.violation", 60, build="b", data={"rule": "no-push"})]
    lines += [told("alert.raised", 70, data={"rule": f"daily_cost {run}", "level": "warning", "message": "much"})]
    lines += [told("alert.cleared", 90, data={"rule": f"daily_cost {run}"})]
    for n in range(3):
        message = {"agent": "claude", "session": f"{run}-mine", "message": f"m{n}", "request": "q", "model": "m1"}
        sums = {"input_tokens": n, "output_tokens": 2, "cost_usd": "0.25", "at": at(began + 3600 * n)}
        lines += [line("usage.imported", next(number), ts=at(began), build=None, data={**message, **sums})]
    if ends:
        lines += [told("run.completed", 9000)]
    return lines


MALFORMED = [b"no event\n", b"\n", b'{"ts":"2026-03-02T10:00:00Z"}\n', b'"\xff"\n', b"[]\n"]


def test_one_journal_gives_the_same_tables_in_bits_in_lines_at_once_and_in_portions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = random.Random(7)
    contents: dict[str, bytes] = {}
    for n in range(4):
        lines = story(30 * n, f"run{n}", priced=n != 2, ends=n != 3)
        for odd in MALFORMED:
            lines.insert(chance.randrange(len(lines)), odd)
        contents[f"20260302T10000{n}-1-aaaaaa"] = b"".join(lines)
    contents["20260302T100009-1-aaaaaa"] = line("note", 1) + b'{"ts":"20'
    found = {}

    bits = tmp_path / "bits"
    open_ones = {name: create_segment(journal_dir(bits), name) for name in contents}
    left = dict(contents)
    while any(left.values()):
        for name, descriptor in open_ones.items():
            size = chance.randrange(6000)
            os.write(descriptor, left[name][:size])
            left[name] = left[name][size:]
        fold(bits)
    for descriptor in open_ones.values():
        os.close(descriptor)
    fold(bits)
    found["bits"] = held(bits)

    for how in ("by line", "whole", "portions"):
        common_dir = tmp_path / how.replace(" ", "-")
        for name, content in contents.items():
            segment(common_dir, name, content)
        fold_as(monkeypatch, "by line" if how == "by line" else "whole")
        if how == "portions":
            monkeypatch.setattr(folding, "_AT_ONCE", 25_000)
            monkeypatch.setattr(folding, "_WHOLE_FROM", 20_000)
        fold(common_dir)
        found[how] = held(common_dir)
    assert len(found["bits"]["rejected"]) == 4 * 4 + 1
    assert {len(rows) > 0 for rows in found["bits"].values()} == {True}
    for how in ("by line", "whole", "portions"):
        assert found[how] == found["bits"], how


def test_lines_of_shell_hooks_are_numbered_by_where_they_begin_in_small_and_large_folds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hook = b'\n{"ts":"2026-03-02T10:00:00Z","kind":"hook.checkout","data":{"hook":"pre-commit"}}\n'
    seen = {}
    for how in ("by line", "whole"):
        common_dir = tmp_path / how.replace(" ", "-")
        segment(common_dir, "hooks", hook * 3)
        fold_as(monkeypatch, how)
        fold(common_dir)
        segment(common_dir, "hooks", hook)
        fold(common_dir)
        seen[how] = ask(common_dir, "SELECT seq, kind FROM events ORDER BY seq")
        assert ask(common_dir, "SELECT count(DISTINCT segment) FROM events") == [(1,)]
    assert seen["by line"] == seen["whole"] == [(1 + n * len(hook), "hook.checkout") for n in range(4)]


# -- made again --------------------------------------------------------------------------------------------------------


def answers(common_dir: Path) -> dict[str, str]:
    """Every report in full, as its ``--json`` prints it."""
    with reading(common_dir, confined=True) as db:
        found = {"summary": reports.summary(db).as_json("models")}
        found |= {f"costs {by}": reports.costs(db, by=by).as_json() for by in reports.COST_KEYS}
        found |= {f"performance {by}": reports.performance(db, by=by).as_json() for by in reports.PERFORMANCE_KEYS}
        found["events"] = reports.events(db, count=100_000).as_json("events")
        found["alerts"] = reports.alerts(db).as_json("alerts")
        for table in TABLES:
            # Whether a segment has been seen in the archive is a note of the fold to itself.
            columns = "segment, folded" if table == "segments" else "*"
            found[f"sql {table}"] = reports.query(db, f"SELECT {columns} FROM {table} ORDER BY ALL").as_json()
    return {name: json.dumps(told) for name, told in found.items()}


def lived(common_dir: Path) -> None:
    """A history of five runs and a segment of nothing but chatter, folded as it came."""
    for n in range(5):
        segment(common_dir, f"2026030{n + 1}T100000-1-aaaaaa", [*story(24 * n, f"run{n}", priced=n != 1), *MALFORMED])
        fold(common_dir)
    segment(common_dir, "20260309T100000-1-aaaaaa", [line("note", n, data={"n": n}) for n in range(1, 50)] + [b"{torn"])
    fold(common_dir)


def test_a_file_made_again_answers_every_question_alike_from_journal_archive_and_after_retention(
    tmp_path: Path,
) -> None:
    lived(tmp_path)
    before = answers(tmp_path)
    keeping.rebuild(tmp_path)
    assert answers(tmp_path) == before

    keeping.tidy(tmp_path, fold(tmp_path).packable, 0)
    assert segments(tmp_path) == {} and len(packed_segments(tmp_path)) == 6
    assert answers(tmp_path) == before
    keeping.rebuild(tmp_path)
    assert answers(tmp_path) == before

    for packed in packed_segments(tmp_path).values():
        os.utime(packed.path, (0, 0))
    keeping.freshen(tmp_path, None, 30)
    fold(tmp_path)
    after = answers(tmp_path)
    kept = {k: v for k, v in before.items() if k not in ("events", "sql events", "sql segments")}
    assert {k: after[k] for k in kept} == kept
    kinds = Counter(event["kind"] for event in json.loads(before["events"])["events"])
    left = Counter(event["kind"] for event in json.loads(after["events"])["events"])
    assert kinds - left == {"note": 49 + 5, "hook.checkout": 5, "performance.degraded": 5}
    keeping.rebuild(tmp_path)
    assert answers(tmp_path) == after


def test_retention_off_keeps_chatter_for_ever(tmp_path: Path) -> None:
    lived(tmp_path)
    keeping.tidy(tmp_path, fold(tmp_path).packable, 0)
    for packed in packed_segments(tmp_path).values():
        os.utime(packed.path, (0, 0))
    before = answers(tmp_path)
    keeping.freshen(tmp_path, None, 0)
    assert answers(tmp_path) == before
    assert not any(packed.pruned for packed in packed_segments(tmp_path).values())


def test_a_segment_that_is_in_the_journal_and_in_the_archive_counts_once(tmp_path: Path) -> None:
    lived(tmp_path)
    before = answers(tmp_path)
    copies = {name: Path(entry.path).read_bytes() for name, entry in segments(tmp_path).items()}
    keeping.tidy(tmp_path, fold(tmp_path).packable, 0)
    for name, content in copies.items():  # as if killed just before it was taken out of the journal
        segment(tmp_path, name, content)
    fold(tmp_path)
    assert answers(tmp_path) == before
    keeping.rebuild(tmp_path)
    assert answers(tmp_path) == before


def test_a_segment_of_a_run_that_goes_on_is_not_packed(tmp_path: Path) -> None:
    segment(tmp_path, NAME, story(0, "ended"))
    segment(tmp_path, "20260302T100001-1-bbbbbb", story(0, "going", ends=False))
    assert set(fold(tmp_path).packable) == {NAME}


KILLED_REBUILD = """
import os, sys
from pathlib import Path
from br3.analytics import deriving, folding, keeping
def die(*given, **named):
    os.kill(os.getpid(), 9)
room = {"deriving": deriving, "folding": folding, "keeping": keeping}[sys.argv[2]]
if sys.argv[4] == "after":
    real = getattr(room, sys.argv[3])
    setattr(room, sys.argv[3], lambda *given, **named: (real(*given, **named), die()))
else:
    setattr(room, sys.argv[3], die)
keeping.rebuild(Path(sys.argv[1]))
"""


@pytest.mark.parametrize(
    ("room", "name", "when"),
    [
        ("folding", "_set_offsets", "after"),
        ("keeping", "_replace", "before"),
        ("keeping", "_replace", "after"),
    ],
)
def test_a_rebuild_that_is_killed_leaves_the_old_file_or_the_new_one_and_can_be_repeated(
    tmp_path: Path, room: str, name: str, when: str
) -> None:
    lived(tmp_path)
    before = answers(tmp_path)
    assert python(KILLED_REBUILD, tmp_path, room, name, when).wait() == -signal.SIGKILL
    assert answers(tmp_path) == before
    assert fold(tmp_path).events == 0
    keeping.rebuild(tmp_path)
    assert answers(tmp_path) == before
    left = {path.name for path in (tmp_path / "br3").iterdir()}
    assert left == {"analytics.duckdb", "journal", "locks"}


def test_writers_go_on_during_a_rebuild_and_nothing_is_lost(tmp_path: Path) -> None:
    lived(tmp_path)
    before = len(read := list(read_events(tmp_path)))
    assert read
    with ended_afterwards() as started:
        numbers = range(3)
        started += [python(WRITER, tmp_path, n, 0, tmp_path / str(n), "slow") for n in numbers]
        for target in (10, 100):
            until(lambda target=target: all(acknowledged(tmp_path, n) >= target for n in numbers))
            keeping.rebuild(tmp_path)
            fold(tmp_path)
    fold(tmp_path)
    rows = dict(ask(tmp_path, "SELECT (data ->> 'writer')::INTEGER, count(*) FROM events GROUP BY ALL"))
    assert rows.pop(None) == before
    assert all(acknowledged(tmp_path, n) <= rows[n] <= acknowledged(tmp_path, n) + 1 for n in numbers)
    assert ask(tmp_path, "SELECT count(*) = count(DISTINCT (segment, seq)) FROM events") == [(True,)]
    assert held(tmp_path) == afresh(tmp_path, tmp_path)


def test_rebuild_mends_a_file_that_is_broken_and_one_that_is_gone(tmp_path: Path) -> None:
    lived(tmp_path)
    before = answers(tmp_path)
    analytics_path(tmp_path).write_bytes(b"not a database")
    keeping.rebuild(tmp_path)
    assert answers(tmp_path) == before
    analytics_path(tmp_path).unlink()
    keeping.rebuild(tmp_path)
    assert answers(tmp_path) == before


def test_an_archived_segment_that_is_cut_off_stops_neither_rebuild_nor_fold(tmp_path: Path) -> None:
    lived(tmp_path)
    keeping.tidy(tmp_path, fold(tmp_path).packable, 0)
    first, second, *_ = sorted(archive_dir(tmp_path).glob("*/*/*.gz"))
    first.write_bytes(first.read_bytes()[:-200])
    second.write_bytes(b"")
    keeping.rebuild(tmp_path)
    assert ask(tmp_path, "SELECT count(*) FROM runs WHERE state = 'completed'") >= [(3,)]
    assert {
        name for (name,) in ask(tmp_path, "SELECT segment FROM rejected WHERE reason NOT IN ('no event', 'torn')")
    } == {path.name.removesuffix(".jsonl.gz") for path in (first, second)}


def test_compacting_changes_no_answer(tmp_path: Path) -> None:
    lived(tmp_path)
    before = answers(tmp_path)
    keeping.compact(tmp_path)
    assert answers(tmp_path) == before
    segment(tmp_path, "20260310T100000-1-aaaaaa", line("note", 1))
    assert fold(tmp_path).events == 1


def test_rebuild_as_a_command_answers_alike_to_the_byte(repo: Scratch) -> None:
    lived(repo.common_dir)
    asked = [
        ("telemetry", "summary", "--json"),
        ("telemetry", "events", "--count", "100000", "--json"),
        ("costs", "--by", "day", "--json"),
        ("sql", "FROM usage ORDER BY ALL", "--json"),
    ]
    # Rules of the default thresholds raise their alerts at the first of these.
    repo.br3("telemetry", "alerts")
    before = [repo.br3(*words).out for words in asked]
    assert repo.br3("db", "rebuild", "--json").json["rejected"] == 5 * 4 + 1
    assert [repo.br3(*words).out for words in asked] == before


def test_the_sums_of_a_run_are_exact(tmp_path: Path) -> None:
    segment(tmp_path, NAME, story(0, "r"))
    fold(tmp_path)
    # 2 builds × (1 + 2 attempts) × (0.0000000123 + 1.10), and 3 imported messages of 0.25.
    assert ask(tmp_path, "SELECT sum(cost_usd) FROM metrics_daily") == [
        (6 * Decimal("1.1000000123") + Decimal("0.75"),)
    ]
    assert writer_lives(next(iter(journal_dir(tmp_path).glob("*.jsonl")))) is False


def test_a_file_of_another_program_in_the_journal_is_left_alone(tmp_path: Path) -> None:
    segment(tmp_path, NAME, line("note", 1))
    (journal_dir(tmp_path) / "notes.txt").write_text("mine")
    (journal_dir(tmp_path) / "folder.d").mkdir()
    fold(tmp_path)
    keeping.freshen(tmp_path, None, 30)
    assert (journal_dir(tmp_path) / "notes.txt").read_text() == "mine"
    shutil.rmtree(journal_dir(tmp_path) / "folder.d")
