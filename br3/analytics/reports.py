"""Questions about what was recorded, each answered with columns and rows that can be printed in any form.

Periods are whole hours in UTC up to now: ``hour`` is this hour and the last one; ``day``, ``week`` and ``month`` are 24
hours, 7 and 30 days; ``all`` is everything. Rows have a full order, so that the same data is the same report.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal

from br3.analytics.statements import statement
from br3.errors import UsageError

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

Period = Literal["hour", "day", "week", "month", "all"]
PERIODS: tuple[Period, ...] = ("hour", "day", "week", "month", "all")
_REACH = {
    "hour": timedelta(hours=1),
    "day": timedelta(days=1),
    "week": timedelta(days=7),
    "month": timedelta(days=30),
}
NO_BUILD = "(no build)"
_NOBODY = {"build": NO_BUILD, "model": "(unknown model)", "run": "(no run)", "task": "(no task)"}
COST_KEYS = ("model", "build", "day", "task", "run")
PERFORMANCE_KEYS = ("model", "agent", "build")
_TOKENS = ("input_tokens", "output_tokens", "cache_write_tokens", "cache_read_tokens")


@dataclass(frozen=True)
class Report:
    """``rows`` under ``columns``, and ``totals`` that belong to the whole."""

    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]
    totals: dict[str, Any] = field(default_factory=dict)

    def dicts(self) -> list[dict[str, Any]]:
        """The rows as objects, values as they are."""
        return [dict(zip(self.columns, row, strict=True)) for row in self.rows]

    def as_json(self, name: str = "rows") -> dict[str, Any]:
        """``totals``, and the rows as objects under ``name``; values as ``plain`` makes them."""
        return {
            **{key: plain(value) for key, value in self.totals.items()},
            name: [dict(zip(self.columns, map(plain, row), strict=True)) for row in self.rows],
        }


def plain(value: Any) -> Any:
    """A value as JSON has it: money and other decimals as text, times RFC 3339 in UTC, JSON columns as objects."""
    match value:
        case Decimal():
            return money(value)
        case datetime():
            return value.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        case date():
            return value.isoformat()
        case Mapping():
            return {key: plain(inner) for key, inner in value.items()}
        case list() | tuple():
            return [plain(inner) for inner in value]
        case bytes():
            return value.hex()
        case float() if not math.isfinite(value):
            return None  # JSON has no name for it
        case None | bool() | int() | float() | str():
            return value
        case _:
            return str(value)


def money(amount: Decimal) -> str:
    """Dollars as text without rounding: at least two places, no more zeros than that."""
    whole, _, part = f"{amount:f}".partition(".")
    return f"{whole}.{part.rstrip('0').ljust(2, '0')}"


def since(period: Period, now: datetime | None = None) -> datetime | None:
    """Where a period begins: a whole hour in UTC, without a zone as the analytics have it; None for everything."""
    if period == "all":
        return None
    at = (now or datetime.now(UTC)).astimezone(UTC).replace(tzinfo=None, minute=0, second=0, microsecond=0)
    return at - _REACH[period]


def summary(db: DuckDBPyConnection, period: Period = "all") -> Report:
    """Everything since a moment in one page; the rows are how tasks went by model."""
    begin = since(period)
    # Whole days add up from fewer rows.
    table = "metrics_daily" if begin is None else "metrics_hourly"
    totals = _one(db, statement("reports/totals").format(metrics=table), {"since": begin})
    states: dict[str, dict[str, int]] = {"runs": {}, "builds": {}}
    for thing, state, n in db.execute(statement("reports/states"), {"since": begin}).fetchall():
        states[thing][state] = n
    by_model = performance(db, period, "model")
    row = db.execute("SELECT count(*) FROM alerts WHERE cleared IS NULL").fetchone()
    rate = totals["successes"] / totals["tasks"] if totals["tasks"] else None
    facts = {"period": period, "since": begin, **states, **totals, **_unknown(db, begin), "success_rate": rate}
    return Report(by_model.columns, by_model.rows, {**facts, "alerts": row[0] if row else 0})


def performance(db: DuckDBPyConnection, period: Period = "all", by: str = "model") -> Report:
    """How tasks went, by model, agent or build."""
    text = statement("reports/performance").format(by=by, column=by)
    return _many(db, text, {"since": since(period), "none": _NOBODY.get(by, f"(no {by})")})


def costs(
    db: DuckDBPyConnection, period: Period = "all", by: str = "model", runs: Sequence[str] | None = None
) -> Report:
    """Money and tokens by model, build, day, task or run, of all or of some runs; what has no price is in
    ``unpriced_tokens``; attempts that told nothing of what they took are ``silent_attempts`` of the totals, requests of
    br3's own that were not answered ``unanswered_requests``."""
    begin = since(period)
    order = "key" if by == "day" else "cost_usd DESC NULLS LAST, unpriced_tokens DESC, key"
    given: dict[str, Any] = {"since": begin, "none": _NOBODY.get(by, "")}
    if by in ("task", "run") or runs is not None:
        columns = {"task": "build || '/' || task", "day": "strftime(ts, '%Y-%m-%d')"}
        column = columns.get(by, by)
        given["runs"] = None if runs is None else list(runs)
        text = statement("reports/costs_usage").format(by=by, column=column, order=order)
    else:
        column = "strftime(bucket, '%Y-%m-%d')" if by == "day" else by
        table = "metrics_daily" if begin is None else "metrics_hourly"
        text = statement("reports/costs_metrics").format(by=by, column=column, order=order, metrics=table)
    found = _many(db, text, given)
    if by == "model":
        found = _by_canonical_name(found)
    at = {name: place for place, name in enumerate(found.columns)}
    known = [row[at["cost_usd"]] for row in found.rows if row[at["cost_usd"]] is not None]
    totals: dict[str, Any] = {
        "total_usd": sum(known, Decimal(0)) if known else None,
        "unpriced_tokens": sum(row[at["unpriced_tokens"]] for row in found.rows),
    }
    for name in _TOKENS:
        totals[name] = sum(row[at[name]] for row in found.rows)
    totals |= _unknown(db, begin, runs)
    return Report(found.columns, found.rows, totals)


def _unknown(db: DuckDBPyConnection, begin: datetime | None, runs: Sequence[str] | None = None) -> dict[str, int]:
    """How much there is of which nobody knows what it cost."""
    row = db.execute(statement("reports/unanswered"), {"since": begin}).fetchone() if runs is None else None
    silent = sum(_silent(db, begin, runs).values())
    return {"silent_attempts": silent, "unanswered_requests": row[0] if row else 0}


def _silent(db: DuckDBPyConnection, begin: datetime | None, runs: Sequence[str] | None) -> dict[str, int]:
    """How many attempts have told nothing of what they took, by build."""
    given = {"since": begin, "runs": None if runs is None else list(runs)}
    return dict(db.execute(statement("reports/silent"), given).fetchall())


def _by_canonical_name(report: Report) -> Report:
    """The rows of one model under its several names (prefixes, context sizes, dates) added up."""
    from br3.models import canonical

    merged: dict[str, list[Any]] = {}
    for row in report.rows:
        try:
            name = canonical(row[0])
        except UsageError:  # of the user's own price list
            name = row[0]
        known = merged.setdefault(name, [name, None, *([0] * (len(row) - 2))])
        for place, value in enumerate(row[1:], start=1):
            if value is not None:
                known[place] = value if known[place] is None else known[place] + value
    order = sorted(merged.values(), key=lambda row: (row[1] is None, -(row[1] or 0), -row[2], row[0]))
    return Report(report.columns, [tuple(row) for row in order])


@dataclass(frozen=True)
class Budgeted:
    """What may be spent on a build, or on the run (``build`` None), and how many tasks the plan has for it."""

    build: str | None
    budget_usd: Decimal | None
    tasks: int


def budgets(db: DuckDBPyConnection, runs: Sequence[str], planned: Sequence[Budgeted]) -> Report:
    """Spent, left and expected for each of ``planned``, over the runs of one lineage.

    ``forecast_usd`` is what it comes to when the tasks that are left cost what those that are done did on average.
    ``silent_attempts`` told nothing of what they took: where there are any, more than ``cost_usd`` was spent.
    """
    found = db.execute(statement("reports/budgets"), {"runs": list(runs)}).fetchall()
    spent = {build: (cost, unpriced, done) for build, cost, unpriced, done in found}
    silent = _silent(db, None, runs)
    rows = []
    builds = {item.build for item in planned}
    for item in planned:
        # Of the whole run those of its plan: that counts when it is held to its budget.
        counted = builds if item.build is None else {item.build}
        mine = [spent[b] for b in spent if b in counted]
        costs_known = [cost for cost, _, _ in mine if cost is not None]
        cost = sum(costs_known, Decimal(0)) if costs_known else None
        done = sum(n for _, _, n in mine)
        left = item.budget_usd - (cost or Decimal(0)) if item.budget_usd is not None else None
        expected = cost / done * max(item.tasks, done) if cost is not None and done else None
        forecast = expected.quantize(Decimal("0.0001")) if expected is not None else None
        unpriced = sum(tokens for _, tokens, _ in mine)
        untold = sum(n for b, n in silent.items() if b in counted)
        rows.append((item.build or "(run)", item.budget_usd, cost, left, forecast, unpriced, done, item.tasks, untold))
    names = "key budget_usd cost_usd left_usd forecast_usd unpriced_tokens tasks_done tasks silent_attempts"
    return Report(tuple(names.split()), rows)


def payments(db: DuckDBPyConnection, runs: Sequence[str]) -> Report:
    """What some runs took, a row per model and attempt: when it was told, by which build, and its dollars."""
    return _many(db, statement("reports/payments"), {"runs": list(runs)})


def events(
    db: DuckDBPyConnection,
    *,
    kind: str | None = None,
    build: str | None = None,
    run: str | None = None,
    since: datetime | None = None,
    count: int = 100,
) -> Report:
    """The newest ``count`` events that fit, oldest first. ``kind`` may be a beginning such as ``task``."""
    given = {"kind": kind, "build": build, "run": run, "since": since, "count": count}
    found = _many(db, statement("reports/events"), given)
    at = found.columns.index("data")
    rows = [(*row[:at], json.loads(row[at]), *row[at + 1 :]) for row in reversed(found.rows)]
    return Report(found.columns, rows)


def alerts(db: DuckDBPyConnection, level: str | None = None) -> Report:
    """Alerts, those that stand first."""
    return _many(db, statement("reports/alerts"), {"level": level})


def query(db: DuckDBPyConnection, text: str) -> Report:
    """What a statement of somebody's answers; the connection must be a confined one."""
    statements = db.extract_statements(text)
    if not statements:
        raise UsageError("there is no question in it", hint='br3 sql "SELECT count(*) FROM events"')
    for statement_before in statements[:-1]:
        db.execute(statement_before)
    text = statements[-1].query
    found = db.execute(text)
    described = found.description or []
    zoned = [str(name) for name, kind, *_ in described if "TIME ZONE" in str(kind)]
    if zoned:  # fetching them would need a library of time zones
        quoted = [name.replace('"', '""') for name in zoned]
        as_text = ", ".join(f'"{name}"::VARCHAR AS "{name}"' for name in quoted)
        found = db.execute(f"SELECT * REPLACE ({as_text}) FROM ({text.strip().rstrip(';')}\n)")
    columns = tuple(str(name) for name, *_ in described)
    return Report(columns, found.fetchall() if columns else [])


def _many(db: DuckDBPyConnection, text: str, given: Mapping[str, Any]) -> Report:
    found = db.execute(text, dict(given))
    return Report(tuple(str(column[0]) for column in found.description or ()), found.fetchall())


def _one(db: DuckDBPyConnection, text: str, given: Mapping[str, Any]) -> dict[str, Any]:
    report = _many(db, text, given)
    return dict(zip(report.columns, report.rows[0], strict=True))
