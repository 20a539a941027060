"""Journals made by hand: events as lines, segments as files, and what the analytics hold of them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from br3.analytics import reading, store
from br3.analytics.folding import fold_into
from br3.telemetry.journal import SUFFIX, journal_dir

BEGIN = datetime(2026, 3, 2, 10, 0, tzinfo=UTC)
TABLES = (
    "events runs builds tasks attempts usage metrics_hourly metrics_daily metrics_weekly alerts estimates imports "
    "commits rejected segments"
).split()


def at(seconds: float) -> str:
    """A moment that many seconds after the beginning, as events carry it."""
    return (BEGIN + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def facts(kind: str, seq: int, *, ts: str | None = None, gen: int = 1, **more: Any) -> dict[str, Any]:
    """The object of an event; what is not given is as a writer would leave it."""
    head = {"ts": ts or at(seq), "seq": seq, "gen": gen, "kind": kind, "severity": "info"}
    where = {"run": None, "build": None, "task": None, "attempt": None, "pid": 1, "host": "h", "data": {}}
    return {**head, **where, **more}


def line(kind: str, seq: int, **more: Any) -> bytes:
    """One event as it stands in a segment, with its newline."""
    return written(facts(kind, seq, **more))


def written(event: dict[str, Any]) -> bytes:
    return json.dumps(event, separators=(",", ":")).encode() + b"\n"


def segment(common_dir: Path, name: str, content: bytes | Iterable[bytes]) -> Path:
    """Add to a segment that no living process writes; it is made when it is not there."""
    path = journal_dir(common_dir) / f"{name}{SUFFIX}"
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "ab") as file:
        file.write(content if isinstance(content, bytes) else b"".join(content))
    return path


def attempt(
    run: str,
    build: str,
    task: str,
    number: int,
    first: int,
    *,
    outcome: str = "succeeded",
    took_s: float = 60,
    began: float = 0,
    session: str | None = None,
    model: str = "m",
    usage: Sequence[dict[str, Any]] = (),
) -> list[bytes]:
    """The lines of one attempt: its start, what it took, its end."""
    where = {"run": run, "build": build, "task": task, "attempt": number}
    started = {"agent": "claude", "model": model, "session": session}
    end = at(began + took_s)
    return [
        line("attempt.started", first, ts=at(began), **where, data=started),
        *(line("usage.recorded", first + 1 + n, ts=end, **where, data=u) for n, u in enumerate(usage)),
        line("attempt.finished", first + 1 + len(usage), ts=end, **where, data={"outcome": outcome}),
    ]


@pytest.fixture(scope="session")
def empty_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An analytics file as it is made, with nothing in it."""
    path = tmp_path_factory.mktemp("empty") / "analytics.duckdb"
    store._make(path)
    return path


@pytest.fixture
def made_once(monkeypatch: pytest.MonkeyPatch, empty_file: Path) -> None:
    """To make a file takes as long as all that most tests do with it: here it is copied."""
    monkeypatch.setattr(store, "_make", lambda path: shutil.copyfile(empty_file, path))


def ask(common_dir: Path, text: str, *given: Any) -> list[tuple[Any, ...]]:
    """What the analytics answer, as the last fold left them."""
    with reading(common_dir) as db:
        return list(db.execute(text, list(given)).fetchall())


def held(common_dir: Path, *tables: str) -> dict[str, list[tuple[Any, ...]]]:
    """Whole tables, each in a full order."""
    with reading(common_dir) as db:
        return {t: db.execute(f"FROM {t} ORDER BY ALL").fetchall() for t in tables or TABLES}


def afresh(common_dir: Path, directory: Path, *tables: str) -> dict[str, list[tuple[Any, ...]]]:
    """The same, of a file made anew from the same journal and archive; the present one is not touched."""
    import duckdb

    path = directory / "afresh.duckdb"
    for leftover in directory.glob("afresh.duckdb*"):
        leftover.unlink()
    fold_into(common_dir, path, None)
    with duckdb.connect(str(path), read_only=True) as db:
        return {t: db.execute(f"FROM {t} ORDER BY ALL").fetchall() for t in tables or TABLES}
