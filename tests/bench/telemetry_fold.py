"""Fold: a journal brought into DuckDB by br3, beside what DuckDB and SQLite need for the same bytes. And its memory.

Two parts of the telemetry bench. Each fold is one call in a fresh process, from nothing to a closed file; importing is
not counted.

  br3 fold        br3.analytics.fold of a journal of segments of 1 MB
  bare read_json  the same bytes in one file: CREATE TABLE; INSERT … SELECT … FROM read_json(…), with as many threads
  SQLite          the same file: json.loads of each line, executemany in one transaction, WAL, synchronous=NORMAL
  br3 fold again  a thousand more events for the first one's file (for information)
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import statistics
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

from measuring import Failed, Scratch, note
from telemetry_events import BYTES_PER_EVENT, Made, join, make
from telemetry_tables import Aim, Cost, Findings, alone, table

from br3.telemetry.journal import journal_dir

RATE_AIM = Aim(0.6, "x", at_most=False)
MEMORY_AIM = Aim(512, "MB")
_MORE = 1_000
_BARE_COLUMNS = {
    "ts": "TIMESTAMP",
    "seq": "BIGINT",
    "gen": "BIGINT",
    "kind": "VARCHAR",
    "severity": "VARCHAR",
    "run": "VARCHAR",
    "build": "VARCHAR",
    "task": "VARCHAR",
    "attempt": "INTEGER",
    "pid": "BIGINT",
    "host": "VARCHAR",
    "data": "JSON",
}


class Ground:
    """A journal of that many events, made once, and repositories that have it as theirs."""

    def __init__(self, place: Scratch, events: int) -> None:
        self.place = place
        self.events = events
        self._repositories = 0

    @cached_property
    def made(self) -> Made:
        """The journal; nobody folds this one."""
        needed = self.events * BYTES_PER_EVENT * 3
        if shutil.disk_usage(self.place.path).free < needed:
            raise Failed(
                f"{self.events:,} events need {needed / 1e9:.1f} GB of free disk below {self.place.path.parent}"
            )
        note(f"making {self.events:,} events")
        return make(self.place.path / f"journal-{self.events}", self.events)

    @cached_property
    def file(self) -> Path:
        """The same bytes as one file."""
        path = self.place.path / f"events-{self.events}.jsonl"
        join(self.made.segments, path)
        return path

    @property
    def sqlite_file(self) -> Path:
        """The events in SQLite, put there by ``to_sqlite``."""
        return self.place.path / f"events-{self.events}.sqlite"

    def to_sqlite(self) -> Cost:
        """Bring the events into SQLite, in place of what was there."""
        cost = alone(fold_sqlite, self.file, self.sqlite_file)
        _see_that_all_came("SQLite", cost.value, self.events)
        return cost

    @cached_property
    def folded(self) -> tuple[Path, Cost]:
        """A repository whose analytics have all of it, and what folding that from nothing took."""
        repository = self.repository()
        note(f"folding {self.events:,} events")
        return repository, self.fold(repository)

    def repository(self) -> Path:
        """A fresh git repository with the whole journal, unfolded. The segments are links: no bytes are copied."""
        self._repositories += 1
        path = self.place.path / f"repository-{self.events}-{self._repositories}"
        path.mkdir()
        (path / "README.md").write_text("# bench\n")
        self.place.commit_all(path, "Begin")
        directory = journal_dir(path / ".git")
        directory.mkdir(parents=True)
        for segment in self.made.segments:
            os.link(segment, directory / segment.name)
        return path

    def fold(self, repository: Path) -> Cost:
        """Fold, in a fresh process, what is in a repository's journal; Failed unless it is all of this one."""
        cost = alone(fold_br3, repository / ".git", load=("duckdb", "br3.analytics"))
        _see_that_all_came("br3.analytics.fold", cost.value["events"], self.events)
        if cost.value["rejected"]:
            raise Failed(f"br3.analytics.fold rejected {cost.value['rejected']} of {self.events} events")
        return cost


def measure_fold(ground: Ground, runs: int, findings: Findings) -> None:
    """The part: rates side by side."""
    rows: dict[str, list[Cost]] = {"br3 fold": [], "bare read_json": [], "SQLite": [], "br3 fold again": []}
    missing = None
    for number in range(runs):
        note(f"fold, round {number + 1} of {runs}, {ground.events:,} events")
        threads = os.cpu_count() or 1
        if missing is None:
            try:
                threads = _fold_twice(ground, rows)
            except Failed as error:
                missing = error
        rows["bare read_json"].append(_bare(ground, threads))
        rows["SQLite"].append(ground.to_sqlite())
    size = ground.made.size / 1e6
    title = f"fold: {ground.events:,} events, {size:,.0f} MB in {len(ground.made.segments)} segments, {runs} rounds"
    heads = "|s, min|s|s, max|CPU s|events/s|MB/s|peak MB|rate to bare|aim".split("|")
    bare = statistics.median(cost.wall for cost in rows["bare read_json"])
    shown = []
    for name, costs in rows.items():
        if not costs:
            continue
        walls = sorted(cost.wall for cost in costs)
        wall, again = statistics.median(walls), name == "br3 fold again"
        ratio = bare / wall
        held = findings.hold(f"fold of {ground.events:,}, rate to bare", ratio, RATE_AIM) if name == "br3 fold" else ""
        shown.append(
            [
                name,
                *(f"{figure:.2f}" for figure in (walls[0], wall, walls[-1])),
                f"{statistics.median(cost.cpu for cost in costs):.2f}",
                f"{(_MORE if again else ground.events) / wall:,.0f}",
                "" if again else f"{size / wall:,.0f}",
                f"{max(cost.peak_bytes for cost in costs) / 1e6:,.0f}",
                "" if again else f"{ratio:.2f}x",
                held,
            ]
        )
    table(title, heads, shown, left=("aim",))
    if missing is not None:
        raise missing


def measure_memory(ground: Ground, findings: Findings) -> None:
    """The part: what folding the large journal from nothing needs."""
    repository, cost = ground.folded
    peak = cost.peak_bytes / 1e6
    file = (repository / ".git" / "br3" / "analytics.duckdb").stat().st_size
    held = findings.hold(f"memory of the fold of {ground.events:,}", peak, MEMORY_AIM)
    heads = "|events|journal MB|s|CPU s|events/s|file MB|peak MB|aim".split("|")
    figures = [f"{ground.events:,}", f"{ground.made.size / 1e6:,.0f}", f"{cost.wall:.1f}", f"{cost.cpu:.1f}"]
    figures += [f"{ground.events / cost.wall:,.0f}", f"{file / 1e6:,.0f}", f"{peak:,.0f}", held]
    table("memory: one fold from nothing", heads, [["br3 fold", *figures]], left=("aim",))


def fold_br3(common_dir: Path) -> dict[str, Any]:
    """One fold, in a process of its own."""
    from br3.analytics import fold

    folded = fold(common_dir)
    return {"events": folded.events, "rejected": folded.rejected, "waited_s": getattr(folded, "waited_s", None)}


def fold_bare(file: Path, target: Path, threads: int) -> int:
    """What DuckDB does when it is asked plainly; returns the rows."""
    import duckdb

    columns = ", ".join(f"{name} {kind}" for name, kind in _BARE_COLUMNS.items())
    read = ", ".join(f"{name}: '{kind}'" for name, kind in _BARE_COLUMNS.items())
    with duckdb.connect(target, config={"threads": threads}) as connection:
        connection.execute("SET enable_progress_bar = false")  # it would be drawn into the tables
        connection.execute(f"CREATE TABLE events ({columns})")
        source = f"read_json(?, columns = {{{read}}}, format = 'newline_delimited')"
        connection.execute(f"INSERT INTO events SELECT * FROM {source}", [str(file)])
        found = connection.execute("SELECT count(*) FROM events").fetchone()
    return int(found[0]) if found else 0


def fold_sqlite(file: Path, target: Path) -> int:
    """What a user of SQLite writes, into a fresh file; returns the rows."""
    names = tuple(_BARE_COLUMNS)

    def rows() -> Iterator[tuple[Any, ...]]:
        with file.open("rb") as lines:
            for line in lines:
                event = json.loads(line)
                event["data"] = json.dumps(event["data"], separators=(",", ":"))
                yield tuple(event[name] for name in names)

    target.unlink(missing_ok=True)
    connection = sqlite3.connect(target, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute(f"CREATE TABLE events ({', '.join(names)})")
    connection.execute("BEGIN")
    done = connection.executemany(f"INSERT INTO events VALUES ({', '.join('?' * len(names))})", rows()).rowcount
    connection.execute("COMMIT")
    connection.close()
    return done


def _fold_twice(ground: Ground, rows: dict[str, list[Cost]]) -> int:
    """All, then a thousand more; returns how many threads br3 gives to DuckDB."""
    repository = ground.repository()
    common_dir = repository / ".git"
    rows["br3 fold"].append(ground.fold(repository))
    threads = alone(threads_of, common_dir).value
    make(common_dir, _MORE, seed=2)
    again = alone(fold_br3, common_dir, load=("duckdb", "br3.analytics"))
    _see_that_all_came("br3.analytics.fold, again", again.value["events"], _MORE)
    rows["br3 fold again"].append(again)
    shutil.rmtree(repository)
    return int(threads)


def threads_of(common_dir: Path) -> int:
    """How many threads br3's connections have."""
    from br3.analytics import reading

    with reading(common_dir) as connection:
        found = connection.execute("SELECT current_setting('threads')").fetchone()
    return int(found[0]) if found else 1


def _bare(ground: Ground, threads: int) -> Cost:
    target = ground.place.path / "bare.duckdb"
    cost = alone(fold_bare, ground.file, target, threads, load=("duckdb",))
    _see_that_all_came("bare read_json", cost.value, ground.events)
    target.unlink()
    return cost


def _see_that_all_came(who: str, found: int, events: int) -> None:
    if found != events:
        raise Failed(f"{who}: {found:,} of {events:,} events arrived")
