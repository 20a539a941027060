"""Append: what writing one event costs, with 1, 8 and 32 processes that write at once, in br3's journal and elsewhere.

A part of the telemetry bench. Each writer is a fresh process; all begin together and write one event after another
without a pause, which is the worst that can be. A latency is the wall time of one call, over all writers.

  journal            br3's Journal.append of a note of about 330 bytes; no fsync
  journal, state     the same of task.started, fsynced (for information)
  SQLite WAL         a connection kept open, synchronous=NORMAL, busy_timeout 60 s, one INSERT per transaction
  DuckDB each        duckdb imported once; for each event connect, INSERT, close; while the file is locked again after
                     1 ms, then up to 64 ms, with jitter
  JSON list          for each event: flock, load, append, write another file, rename; begins with 1,000 events

The rivals do not redact. Those that cannot do their events in the time given stop there: *done* is how many of all
were written, *gave up* how many writers were waiting at the end; their last wait counts as a latency.
"""

from __future__ import annotations

import fcntl
import json
import math
import os
import random
import sqlite3
import statistics
import time
from array import array
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from measuring import Failed, Scratch, note
from telemetry_tables import SPAWN, Aim, Findings, percentile, table

from br3.telemetry import Journal
from br3.telemetry.journal import now

WRITERS = (1, 8, 32)
AIM = Aim(100, "µs")
_RUN, _BUILD, _TASK = "20261122-104501-a3f2", "persistence", "B.1"
_COLUMNS = "ts, seq, gen, kind, severity, run, build, task, attempt, pid, host, data"
_SCHEMA = (
    "CREATE TABLE events (ts {stamp}, seq BIGINT, gen BIGINT, kind {text}, severity {text}, run {text}, build {text}, "
    "task {text}, attempt BIGINT, pid BIGINT, host {text}, data {json})"
)
_INSERT = f"INSERT INTO events ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_LISTED_BEFORE = 1_000

Append = Callable[[int], None]
"""Writes the event of that number."""
Late = Callable[[], bool]
"""Whether the time of the round is over."""


class GaveUp(Exception):
    """The time was over before the event was written."""


@dataclass(frozen=True)
class Way:
    """A way to keep events. ``prepare`` is called once, ``begin`` in each writer before the round."""

    name: str
    events: int  # of all writers together
    begin: Callable[[Path, Late], Append]
    prepare: Callable[[Path], None] = lambda place: None


@dataclass(frozen=True)
class Measured:
    """One round of a way: latencies and CPU of the calls in µs, sorted."""

    wall: list[float]
    cpu: list[float]
    done: int
    gave_up: int
    seconds: float


def measure(place: Scratch, runs: int, events: int | None, seconds: float, findings: Findings) -> None:
    """The part: the table. ``events`` replaces each way's own number; ``seconds`` is what a round may take."""
    rows: list[list[str]] = []
    found: dict[tuple[str, int], list[Measured]] = {}
    for number in range(runs):
        for writers in WRITERS:
            for way in WAYS:
                note(f"append, round {number + 1} of {runs}: {way.name}, {writers} writers")
                directory = place.path / f"append-{number}-{writers}-{way.name.replace(' ', '-')}"
                directory.mkdir()
                count = max(writers, min(events or way.events, way.events)) // writers
                measured = _round(way, directory, writers, count, seconds)
                found.setdefault((way.name, writers), []).append(measured)
    for writers in WRITERS:
        beside = _middle(found[JOURNAL.name, writers], lambda m: percentile(m.wall, 0.99))
        for way in WAYS:
            rounds = found[way.name, writers]
            count = max(writers, min(events or way.events, way.events)) // writers * writers
            rows.append(_row(way.name, writers, rounds, count, beside, findings))
    heads = "|writers|p50 µs|p99 µs|max µs|CPU p99|events/s|done|gave up|p99 to journal|aim for p99".split("|")
    title = f"append: latency of one event, median of {runs} rounds (max: of all), {seconds:g} s at most for each"
    table(title, heads, rows, left=("aim for p99",))


def _row(name: str, writers: int, rounds: list[Measured], count: int, beside: float, findings: Findings) -> list[str]:
    p99 = _middle(rounds, lambda m: percentile(m.wall, 0.99))
    figures = (
        _middle(rounds, lambda m: percentile(m.wall, 0.5)),
        p99,
        max(m.wall[-1] for m in rounds),
        _middle(rounds, lambda m: percentile(m.cpu, 0.99)),
    )
    held = ""
    if name == JOURNAL.name and writers == max(WRITERS):
        held = findings.hold(f"append, {name}, {writers} writers, p99", p99, AIM)
    done = int(_middle(rounds, lambda m: m.done))
    return [
        name,
        str(writers),
        *(f"{figure:,.0f}" if figure >= 100 else f"{figure:.1f}" for figure in figures),
        f"{_middle(rounds, lambda m: m.done / m.seconds):,.0f}",
        f"{done:,}" if done == count else f"{done:,} of {count:,}",
        str(max(m.gave_up for m in rounds)),
        f"{p99 / beside:,.1f}x",
        held,
    ]


def _middle(rounds: list[Measured], figure: Callable[[Measured], float]) -> float:
    return statistics.median(figure(measured) for measured in rounds)


def _round(way: Way, place: Path, writers: int, count: int, seconds: float) -> Measured:
    way.prepare(place)
    gate = SPAWN.Barrier(writers)
    processes = [
        SPAWN.Process(target=_write, args=(way.name, place, number, count, seconds, gate)) for number in range(writers)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    if any(process.exitcode for process in processes):
        raise Failed(f"append: {way.name} with {writers} writers: a writer failed")
    wall, cpu = array("Q"), array("Q")
    facts = []
    for number in range(writers):
        wall.frombytes((place / f"wall-{number}").read_bytes())
        cpu.frombytes((place / f"cpu-{number}").read_bytes())
        facts.append(json.loads((place / f"facts-{number}").read_text()))
    return Measured(
        wall=sorted(figure / 1000 for figure in wall),
        cpu=sorted(figure / 1000 for figure in cpu),
        done=sum(fact["done"] for fact in facts),
        gave_up=sum(fact["gave_up"] for fact in facts),
        seconds=max(fact["ended"] for fact in facts) - min(fact["began"] for fact in facts),
    )


def _write(name: str, place: Path, number: int, count: int, seconds: float, gate: Any) -> None:
    """One writer, in its own process: its latencies go into files of ``place``."""
    way = next(way for way in WAYS if way.name == name)
    wall, cpu = array("Q"), array("Q")
    deadline = math.inf

    def late() -> bool:
        return time.monotonic() > deadline

    append = way.begin(place, late)
    gave_up = False
    gate.wait(timeout=300)
    began = time.monotonic()
    deadline = began + seconds
    for event in range(count):
        cpu_before, before = time.thread_time_ns(), time.perf_counter_ns()
        try:
            append(event)
        except GaveUp:
            gave_up = True
        after, cpu_after = time.perf_counter_ns(), time.thread_time_ns()
        wall.append(after - before)
        cpu.append(cpu_after - cpu_before)
        if gave_up or late():
            break
    facts = {"done": len(wall) - gave_up, "gave_up": gave_up, "began": began, "ended": time.monotonic()}
    (place / f"wall-{number}").write_bytes(wall.tobytes())
    (place / f"cpu-{number}").write_bytes(cpu.tobytes())
    (place / f"facts-{number}").write_text(json.dumps(facts))


def _remark(number: int) -> dict[str, Any]:
    """What an agent says at work."""
    text = f"step {number}: ran 34 tests of tests/test_persistence.py, 2 skipped; looking at core/persistence/store.py"
    return {"text": text, "source": "agent"}


def _values(number: int) -> tuple[Any, ...]:
    """The same event for a table."""
    data = json.dumps(_remark(number), separators=(",", ":"))
    return (now(), number, 0, "note", "info", _RUN, _BUILD, _TASK, 1, os.getpid(), "workstation", data)


def _journal(place: Path, late: Late) -> Append:
    pen = Journal(place)
    return lambda number: pen.append("note", "info", _RUN, _BUILD, _TASK, 1, **_remark(number))


def _journal_state(place: Path, late: Late) -> Append:
    pen = Journal(place)
    return lambda number: pen.append("task.started", "info", _RUN, _BUILD, _TASK, **_remark(number))


def _prepare_sqlite(place: Path) -> None:
    connection = sqlite3.connect(place / "events.sqlite")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute(_SCHEMA.format(stamp="TEXT", text="TEXT", json="TEXT"))
    connection.close()


def _sqlite(place: Path, late: Late) -> Append:
    connection = sqlite3.connect(place / "events.sqlite", timeout=60, isolation_level=None)
    connection.execute("PRAGMA synchronous = NORMAL")

    def append(number: int) -> None:
        connection.execute(_INSERT, _values(number))

    return append


def _prepare_duckdb(place: Path) -> None:
    import duckdb

    with duckdb.connect(place / "events.duckdb") as connection:
        connection.execute(_SCHEMA.format(stamp="TIMESTAMP", text="VARCHAR", json="JSON"))


def _duckdb(place: Path, late: Late) -> Append:
    import duckdb

    def append(number: int) -> None:
        pause = 0.001
        while True:
            try:
                with duckdb.connect(place / "events.duckdb", config={"threads": 1}) as connection:
                    connection.execute(_INSERT, _values(number))
                return
            except duckdb.IOException as error:
                if late():
                    raise GaveUp from error
            time.sleep(pause * random.uniform(0.5, 1))
            pause = min(0.064, pause * 2)

    return append


def _prepare_list(place: Path) -> None:
    names = _COLUMNS.split(", ")
    before = [dict(zip(names, _values(number), strict=True)) for number in range(_LISTED_BEFORE)]
    (place / "events.json").write_text(json.dumps(before))


def _list(place: Path, late: Late) -> Append:
    names = _COLUMNS.split(", ")
    path, fresh = place / "events.json", place / f"events.{os.getpid()}.json"
    lock = os.open(place / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def append(number: int) -> None:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            if late():
                raise GaveUp
            events = json.loads(path.read_bytes())
            events.append(dict(zip(names, _values(number), strict=True)))
            fresh.write_text(json.dumps(events, separators=(",", ":")))
            fresh.rename(path)
        finally:
            fcntl.flock(lock, fcntl.LOCK_UN)

    return append


JOURNAL = Way("journal", 160_000, _journal)
WAYS = (
    JOURNAL,
    Way("journal, state", 4_000, _journal_state),
    Way("SQLite WAL", 40_000, _sqlite, _prepare_sqlite),
    Way("DuckDB each", 4_000, _duckdb, _prepare_duckdb),
    Way("JSON list", 4_000, _list, _prepare_list),
)
