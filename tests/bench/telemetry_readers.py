"""Readers: sixteen processes that open the analytics and ask, again and again, beside one that writes and folds.

A part of the telemetry bench. The fold's wait is what it had to wait for its turn to write (``Folded.waited_s``), a
reader's is the time until it may ask. First the folding process does its rounds alone, then with the readers.
"""

from __future__ import annotations

import time
from array import array
from pathlib import Path
from typing import Any

from measuring import Failed, note
from telemetry_fold import Ground, fold_br3
from telemetry_tables import SPAWN, Aim, Findings, percentile, table

from br3.telemetry import Journal

AIM = Aim(300, "ms")
READERS = 16
_SECONDS = 10.0
_EVENTS_PER_ROUND = 500
_QUESTION = "SELECT state, count(*) FROM builds GROUP BY state"


def measure(ground: Ground, findings: Findings) -> None:
    """The part: waits of the fold without and with readers, and those of the readers."""
    repository, _ = ground.folded
    common_dir = repository / ".git"
    note(f"readers: folding {_SECONDS:g} s alone, then beside {READERS} readers")
    alone_waits, alone_walls = _round(repository, common_dir, 0)[0]
    (waits, walls), reads = _round(repository, common_dir, READERS)
    worst = percentile(waits, 1) * 1000
    held = findings.hold(f"worst wait of the fold beside {READERS} readers", worst, AIM)
    rows = [
        _row("fold's wait, alone", alone_waits, ""),
        _row(f"fold's wait, {READERS} readers", waits, held),
        _row("fold as a whole, alone", alone_walls, ""),
        _row(f"fold as a whole, {READERS} readers", walls, ""),
        _row("a reader's wait", reads, ""),
    ]
    title = f"readers: {ground.events:,} events before, {_EVENTS_PER_ROUND} more for each fold, {_SECONDS:g} s"
    table(title, "|times|p50 ms|p99 ms|worst ms|aim for the worst".split("|"), rows, left=("aim for the worst",))


def _row(name: str, seconds: list[float], held: str) -> list[str]:
    figures = [percentile(seconds, share) * 1000 for share in (0.5, 0.99, 1)]
    return [name, f"{len(seconds):,}", *(f"{figure:,.1f}" for figure in figures), held]


def _round(place: Path, common_dir: Path, readers: int) -> tuple[tuple[list[float], list[float]], list[float]]:
    """(waits, walls) of the folds and the waits of all readers, each sorted."""
    gate = SPAWN.Barrier(readers + 1)
    processes = [SPAWN.Process(target=_read, args=(common_dir, place / f"reads-{n}", gate)) for n in range(readers)]
    processes.append(SPAWN.Process(target=_fold, args=(common_dir, place / "folds", gate)))
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    if any(process.exitcode for process in processes):
        raise Failed(f"readers: a process failed, {readers} readers")
    folds = _load(place / "folds")
    reads = sorted(wait for n in range(readers) for wait in _load(place / f"reads-{n}"))
    return (sorted(folds[::2]), sorted(folds[1::2])), reads


def _fold(common_dir: Path, target: Path, gate: Any) -> None:
    figures = array("d")
    journal = Journal(common_dir)
    fold_br3(common_dir)
    gate.wait(timeout=300)
    deadline = time.monotonic() + _SECONDS
    while time.monotonic() < deadline:
        for number in range(_EVENTS_PER_ROUND):
            journal.append("note", text=f"step {number}", source="agent")
        before = time.perf_counter()
        folded = fold_br3(common_dir)
        wall = time.perf_counter() - before
        if folded["waited_s"] is None:
            raise Failed("br3.analytics.fold does not say how long it waited")
        figures.extend((folded["waited_s"], wall))
    journal.close()
    target.write_bytes(figures.tobytes())


def _read(common_dir: Path, target: Path, gate: Any) -> None:
    from br3.analytics import reading

    figures = array("d")
    gate.wait(timeout=300)
    deadline = time.monotonic() + _SECONDS
    while time.monotonic() < deadline:
        before = time.perf_counter()
        with reading(common_dir) as connection:
            figures.append(time.perf_counter() - before)
            connection.execute(_QUESTION).fetchall()
    target.write_bytes(figures.tobytes())


def _load(path: Path) -> array[float]:
    figures = array("d")
    figures.frombytes(path.read_bytes())
    return figures
