"""Reports: how long the usual questions take over a million events and over ten times as many.

A part of the telemetry bench. Each report is measured three ways: asked on a connection that is open; with opening and
closing the file; and as the command that a user types, its process included, which looks for new events first and goes
on packing the journal for a quarter of a second. The figures are medians after one time that is not counted. For
comparison, cost by model and day from the raw events: by DuckDB, and by SQLite with an index on the kind.
"""

from __future__ import annotations

import sqlite3
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from measuring import BR3, note
from telemetry_fold import Ground
from telemetry_tables import Aim, Findings, alone, table

AIM = Aim(100, "ms")

_RAW = """\
SELECT json_extract_string(data, '$.model') AS model, date_trunc('day', ts) AS day,
    sum(CAST(json_extract_string(data, '$.cost_usd') AS DECIMAL(18, 10)))
FROM events WHERE kind = 'usage.recorded' GROUP BY ALL ORDER BY ALL
"""
_RAW_SQLITE = """\
SELECT data ->> '$.model', substr(ts, 1, 10), sum(data ->> '$.cost_usd')
FROM events WHERE kind = 'usage.recorded' GROUP BY 1, 2 ORDER BY 1, 2
"""
_RAW_NAME = "raw events, cost by model and day"


@dataclass(frozen=True)
class Report:
    """A question: the command's words, and the function of br3.analytics.reports with what it is given."""

    words: tuple[str, ...]
    function: str
    given: tuple[tuple[str, Any], ...] = ()

    @property
    def name(self) -> str:
        return " ".join(self.words)

    def ask(self, connection: Any) -> object:
        """In this process, on an open connection."""
        from br3.analytics import reports

        return getattr(reports, self.function)(connection, **dict(self.given))


USUAL = (
    Report(("telemetry", "summary"), "summary"),
    Report(("telemetry", "summary", "--period", "week"), "summary", (("period", "week"),)),
    Report(("telemetry", "performance"), "performance"),
    Report(("telemetry", "alerts"), "alerts"),
    Report(("telemetry", "events", "--count", "50"), "events", (("count", 50),)),
    *(Report(("costs", "--by", by), "costs", (("by", by),)) for by in ("model", "build", "day", "task", "run")),
    Report(("costs", "--by", "model", "--period", "month"), "costs", (("by", "model"), ("period", "month"))),
)


@dataclass(frozen=True)
class Taken:
    """Medians in seconds of one report."""

    asked: float
    opened: float


def measure(grounds: tuple[Ground, ...], runs: int, findings: Findings) -> None:
    """The part: a table for each size."""
    small = grounds[0]
    for ground in grounds:
        repository, _ = ground.folded
        note(f"reports over {ground.events:,} events")
        taken: dict[str, Taken] = alone(time_reports, repository / ".git", runs).value
        rows = []
        for report in USUAL:
            found = taken[report.name]
            held = ""
            if ground is grounds[-1]:
                what = f"report {report.name!r} at {ground.events:,}"
                held = findings.hold(f"{what}, opening included", found.opened * 1000, AIM)
            command = [BR3, *report.words, "--json"]
            ground.place.run(command, repository)
            walls = [ground.place.run(command, repository).wall for _ in range(runs)]
            rows.append([report.name, _ms(found.asked), _ms(found.opened), _ms(statistics.median(walls)), held])
        rows.append([_RAW_NAME, _ms(taken[_RAW_NAME].asked), _ms(taken[_RAW_NAME].opened), "", ""])
        if ground is small:
            if not ground.sqlite_file.exists():
                ground.to_sqlite()
            rows.append(["SQLite, the same", _ms(alone(time_sqlite, ground.sqlite_file, runs).value), "", "", ""])
        heads = ("", "asked ms", "opened, asked, closed ms", "command ms", "aim for the second")
        title = f"reports over {ground.events:,} events, median of {runs}"
        table(title, heads, rows, left=("aim for the second",))


def time_reports(common_dir: Path, runs: int) -> dict[str, Taken]:
    """Every report of this process, and the raw one."""
    from br3.analytics import reading

    asks: dict[str, Callable[[Any], object]] = {report.name: report.ask for report in USUAL}
    asks[_RAW_NAME] = lambda connection: connection.execute(_RAW).fetchall()
    taken = {}
    for name, ask in asks.items():
        with reading(common_dir) as connection:
            ask(connection)
            asked = [_timed(lambda ask=ask, on=connection: ask(on)) for _ in range(runs)]

        def whole(ask: Callable[[Any], object] = ask) -> None:
            with reading(common_dir) as connection:
                ask(connection)

        opened = [_timed(whole) for _ in range(runs)]
        taken[name] = Taken(statistics.median(asked), statistics.median(opened))
    return taken


def time_sqlite(path: Path, runs: int) -> float:
    """The comparison's seconds."""
    connection = sqlite3.connect(path)
    connection.execute("CREATE INDEX IF NOT EXISTS events_kind ON events (kind)")
    connection.execute("ANALYZE")
    connection.commit()
    connection.execute(_RAW_SQLITE).fetchall()
    taken = statistics.median(_timed(lambda: connection.execute(_RAW_SQLITE).fetchall()) for _ in range(runs))
    connection.close()
    return taken


def _timed(ask: Callable[[], object]) -> float:
    before = time.perf_counter()
    ask()
    return time.perf_counter() - before


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:,.1f}"
