"""States, usage and metrics, made from events: of what a fold has touched, or of everything. Both give the same.

A fold touches the runs and sessions that its events tell of. Their rows are made anew; then so are the metrics of the
hours, days and weeks in which their rows stood before, or stand now. Late events are nothing special.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from br3.analytics.statements import statement
from br3.telemetry.events import KINDS
from br3.telemetry.replay import ATTEMPT_MOVES, BUILD_MOVES, RUN_MOVES, TASK_MOVES

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_OF_RUNS = ("usage", "attempts", "tasks", "builds", "runs")
_PERIODS = (("metrics_hourly", "hour"), ("metrics_daily", "day"), ("metrics_weekly", "week"))
_HOURS = """
    SELECT date_trunc('hour', ended) AS hour FROM tasks SEMI JOIN touched_runs USING (run)
    UNION SELECT date_trunc('hour', ended) FROM attempts SEMI JOIN touched_runs USING (run)
    UNION SELECT date_trunc('hour', ts) FROM usage SEMI JOIN touched_runs USING (run)
    UNION SELECT date_trunc('hour', ts) FROM usage SEMI JOIN touched_sessions USING (session)
"""
# In one go the whole history would have to be in memory.
_RUNS_AT_ONCE = 8000
_TELLING = tuple(kind for kind, facts in KINDS.items() if facts.state and kind != "usage.imported")


def derive_segments(db: DuckDBPyConnection, names: Sequence[str]) -> None:
    """Bring everything up to date with the events of some segments, which ``events`` has already."""
    db.execute(
        "CREATE OR REPLACE TEMP TABLE fresh_segments AS SELECT unnest($names) AS segment", {"names": list(names)}
    )
    db.execute("CREATE OR REPLACE TEMP VIEW recent AS SELECT * FROM events SEMI JOIN fresh_segments USING (segment)")
    derive_fresh(db, "recent")


def derive_fresh(db: DuckDBPyConnection, source: str = "fresh") -> None:
    """Bring everything up to date with the events in the temporary table ``source``, which ``events`` has already.

    Some of them may have been taken into account before.
    """
    _prepare(db)
    db.execute(f"INSERT INTO touched_runs SELECT DISTINCT run FROM {source} WHERE run IS NOT NULL")
    kinds = {str(row[0]) for row in db.execute(f"SELECT DISTINCT kind FROM {source}").fetchall()}
    if "usage.imported" in kinds:
        _take_imports(db, source)
    db.execute(f"INSERT INTO touched_hours SELECT DISTINCT date_trunc('hour', ts) FROM {source} WHERE {_INCIDENT}")
    _derive_runs(db)
    _derive_sessions(db)
    if "usage.recorded" in kinds:
        _derive_asked(db, source)
    _derive_metrics(db)
    if kinds & {"alert.raised", "alert.cleared"}:
        derive_alerts(db)
    if "estimate.made" in kinds:
        _again(db, "estimates")
    if kinds & {"hook.commit", "hook.merged", "hook.rewrote", "commit.measured"}:
        _again(db, "commits")


def derive_all(db: DuckDBPyConnection) -> None:
    """Make every derived table from ``events`` alone."""
    _prepare(db)
    for table in (*_OF_RUNS, "imports", *(name for name, _ in _PERIODS)):
        db.execute(f"DELETE FROM {table}")
    _take_imports(db, "events")
    db.execute("INSERT INTO touched_hours SELECT DISTINCT date_trunc('hour', ts) FROM events WHERE " + _INCIDENT)
    runs = db.execute("SELECT DISTINCT run FROM events WHERE run IS NOT NULL ORDER BY run").fetchall()
    for first in range(0, len(runs), _RUNS_AT_ONCE):
        some = [run for (run,) in runs[first : first + _RUNS_AT_ONCE]]
        db.execute("DELETE FROM touched_runs")
        db.execute("INSERT INTO touched_runs SELECT unnest($runs)", {"runs": some})
        _derive_runs(db, clear=False)
    db.execute("DELETE FROM touched_sessions")
    db.execute("INSERT INTO touched_sessions SELECT DISTINCT session FROM imports WHERE session IS NOT NULL")
    _derive_sessions(db, clear=False)
    _derive_asked(db, "events")
    _derive_metrics(db, everything=True)
    derive_alerts(db)
    _again(db, "estimates")
    _again(db, "commits")


def derive_alerts(db: DuckDBPyConnection) -> None:
    """Make the table of alerts from the events that tell of them."""
    _again(db, "alerts")


_INCIDENT = "kind IN ('error.occurred', 'rate_limit.hit', 'timeout.occurred', 'model.fallback')"


def _prepare(db: DuckDBPyConnection) -> None:
    db.execute("CREATE OR REPLACE TEMP TABLE touched_runs (run VARCHAR)")
    db.execute("CREATE OR REPLACE TEMP TABLE touched_sessions (session VARCHAR)")
    db.execute(statement("derive/in_turn"))
    db.execute("CREATE OR REPLACE TEMP TABLE touched_hours (hour TIMESTAMP)")
    moves = [
        (thing, before, kind, after)
        for thing, of in (("run", RUN_MOVES), ("build", BUILD_MOVES), ("task", TASK_MOVES), ("attempt", ATTEMPT_MOVES))
        for kind, (allowed, after) in of.items()
        for before in sorted(allowed)
    ]
    rows = ", ".join(f"('{thing}', '{before}', '{kind}', '{after}')" for thing, before, kind, after in moves)
    db.execute(f"CREATE OR REPLACE TEMP TABLE moves AS SELECT * FROM (VALUES {rows}) AS m(thing, before, kind, after)")


def _take_imports(db: DuckDBPyConnection, source: str) -> None:
    db.execute(statement("derive/fresh_imports").format(events=source))
    db.execute("INSERT INTO touched_sessions SELECT DISTINCT session FROM fresh_imports")
    db.execute(
        "INSERT INTO touched_sessions "
        "SELECT DISTINCT session FROM imports SEMI JOIN fresh_imports USING (agent, message)"
    )
    _touch_hours(db)
    row = db.execute(statement("derive/imports_repeated")).fetchone()
    if row is not None and not row[0]:
        db.execute("INSERT INTO imports SELECT * FROM fresh_imports")
        return
    db.execute("CREATE OR REPLACE TEMP TABLE kept_imports AS SELECT * FROM imports LIMIT 0")
    db.execute(statement("derive/imports"))
    db.execute("DELETE FROM imports WHERE (agent, message) IN (SELECT agent, message FROM kept_imports)")
    db.execute("INSERT INTO imports SELECT * FROM kept_imports")


def _derive_runs(db: DuckDBPyConnection, *, clear: bool = True) -> None:
    _gather(db, everything=not clear)
    if clear:
        # Sessions of the touched runs: an import of them may now be counted twice, or no more.
        db.execute(
            "INSERT INTO touched_sessions SELECT DISTINCT data ->> 'session' FROM mine "
            "WHERE kind = 'attempt.started' AND (data ->> 'session') IN (SELECT session FROM imports)"
        )
        _touch_hours(db)
        for table in _OF_RUNS:
            db.execute(f"DELETE FROM {table} WHERE run IN (SELECT run FROM touched_runs)")
    moves = {"tasks": TASK_MOVES, "builds": BUILD_MOVES, "runs": RUN_MOVES}
    for name in ("taken", "attempts", "usage", "tasks", "builds", "runs"):
        # Written out, so that what does not matter is passed over early.
        text = statement(f"derive/{name}").replace(":kinds", _quoted(moves.get(name, ())))
        db.execute(text.replace(":telling", _quoted(_TELLING)).replace(":reports", "mine"))
    if clear:
        _touch_hours(db)


def _gather(db: DuckDBPyConnection, *, everything: bool) -> None:
    """Make ``mine``, from which the states of the touched runs are told."""
    row = db.execute("SELECT min(run), max(run) FROM touched_runs").fetchone()
    first, last = (_quoted([str(bound or "")]) for bound in row or ("", ""))
    for other in ("TABLE", "VIEW"):
        if db.execute(f"SELECT 1 FROM duckdb_{other.lower()}s() WHERE {other.lower()}_name = 'mine'").fetchone():
            db.execute(f"DROP {other} mine")
    text = statement("derive/mine_of_all" if everything else "derive/mine")
    db.execute(text.replace(":first", first).replace(":last", last).replace(":telling", _quoted(_TELLING)))


def _quoted(names: Iterable[str]) -> str:
    return ", ".join("'" + name.replace("'", "''") + "'" for name in names)


def _derive_sessions(db: DuckDBPyConnection, *, clear: bool = True) -> None:
    if clear:
        db.execute("DELETE FROM usage WHERE source = 'import' AND session IN (SELECT session FROM touched_sessions)")
    db.execute(statement("derive/usage_of_imports"))
    if clear:
        _touch_hours(db)


def _derive_asked(db: DuckDBPyConnection, source: str) -> None:
    """What br3 itself asked of models: of no run, so that all of it is told again when some of it is new."""
    asked = "kind = 'usage.recorded' AND run IS NULL"
    hours = f"INSERT INTO touched_hours SELECT DISTINCT date_trunc('hour', ts) FROM {source} WHERE {asked} RETURNING 1"
    if not db.execute(hours).fetchall():
        return
    db.execute("DELETE FROM usage WHERE source = 'asked'")
    db.execute(statement("derive/taken").replace(":reports", "(FROM in_turn WHERE run IS NULL)"))
    db.execute(statement("derive/usage_asked"))


def _touch_hours(db: DuckDBPyConnection) -> None:
    db.execute(f"INSERT INTO touched_hours SELECT hour FROM ({_HOURS}) WHERE hour IS NOT NULL")


def _derive_metrics(db: DuckDBPyConnection, *, everything: bool = False) -> None:
    if everything:
        db.execute(
            "INSERT INTO touched_hours SELECT DISTINCT date_trunc('hour', ended) FROM tasks WHERE ended IS NOT NULL "
            "UNION SELECT DISTINCT date_trunc('hour', ended) FROM attempts WHERE ended IS NOT NULL "
            "UNION SELECT DISTINCT date_trunc('hour', ts) FROM usage"
        )
    row = db.execute("SELECT min(hour), max(hour) FROM touched_hours").fetchone()
    if row is None or row[0] is None:
        return
    for table, unit in _PERIODS:
        if not everything:
            db.execute(f"DELETE FROM {table} WHERE bucket IN (SELECT date_trunc('{unit}', hour) FROM touched_hours)")
        db.execute(
            statement("derive/metrics").format(unit=unit, table=table),
            {"since": row[0], "until": row[1]},
        )


def _again(db: DuckDBPyConnection, table: str) -> None:
    db.execute(f"DELETE FROM {table}")
    db.execute(statement(f"derive/{table}"))
