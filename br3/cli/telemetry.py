"""``br3 telemetry``."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from br3.cli import completing
from br3.cli.context import repository
from br3.cli.figures import figures, form_options, period_option, show
from br3.cli.groups import Group

if TYPE_CHECKING:
    from br3.telemetry import Event

_LEVELS = ("warning", "error", "critical")
_MOST_EVENTS = 1_000_000_000


@click.group(cls=Group)
def telemetry() -> None:
    """Summaries, events, performance and alerts of what was recorded."""


@telemetry.command()
@click.argument("kind", shell_complete=completing.kinds)
@click.option(
    "--run",
    "run_id",
    shell_complete=completing.runs,
    envvar="BR3_RUN",
    help="The run it belongs to.  [default: $BR3_RUN]",
)
@click.option(
    "--build",
    shell_complete=completing.builds,
    envvar="BR3_BUILD",
    help="The build it belongs to.  [default: $BR3_BUILD]",
)
@click.option(
    "--task", shell_complete=completing.tasks, envvar="BR3_TASK", help="The task it belongs to.  [default: $BR3_TASK]"
)
@click.option("--severity", type=click.Choice(["info", "warning", "error", "critical"]), default="info")
@click.option("--data", default="{}", metavar="JSON", help="An object with whatever belongs to it.")
def emit(kind: str, run_id: str | None, build: str | None, task: str | None, severity: str, data: str) -> int:
    """Write one event; for scripts and agents. States are br3's own: their kinds are refused."""
    from br3.errors import UsageError
    from br3.secrets import known_secrets, redact_value
    from br3.telemetry import KINDS, Journal

    if kind not in KINDS or KINDS[kind].state:
        open_kinds = sorted(k for k, facts in KINDS.items() if not facts.state)
        raise UsageError(f"{kind!r} is not a kind that can be written by hand", hint=f"one of: {', '.join(open_kinds)}")
    try:
        given = json.loads(data)
    except ValueError as error:
        raise UsageError(f"--data is not JSON: {error}") from error
    if not isinstance(given, dict):
        raise UsageError("--data must be a JSON object", hint="""--data '{"what": "…"}'""")
    taken = sorted(given.keys() & {"kind", "severity", "run", "build", "task", "attempt", "gen", "durable"})
    if taken:
        raise UsageError(f"--data may not carry {', '.join(taken)}: every event has that by itself")
    # Whoever calls this may put anything under any name; br3's own events have paths under some of them.
    clean = redact_value(given, known_secrets(os.environ))
    Journal(repository().common_dir).append(kind, severity, run_id, build, task, None, **clean)
    return 0


@telemetry.command()
@period_option
@form_options
def summary(period: str, as_json: bool, as_csv: bool) -> int:
    """Say how runs, builds and tasks went, and what they cost."""
    from br3.analytics import reports

    with figures() as db:
        report = reports.summary(db, period)  # type: ignore[arg-type]
    headers = {
        "key": "model",
        "tasks": "tasks",
        "success_rate": "succeeded",
        "duration_p50_s": "median",
        "duration_p95_s": "p95",
        "cost_per_task_usd": "cost per task",
    }
    show(report, as_json=as_json, as_csv=as_csv, name="models", headers=headers, before=_told(report.totals), empty="")
    return 0


def _told(totals: dict[str, Any]) -> str:
    from br3.cli.figures import cell

    if not totals["runs"] and not totals["tasks"] and not totals["input_tokens"] and totals["cost_usd"] is None:
        return "no data yet: br3 run makes some"
    named = {"hour": "the last hour", "day": "the last 24 hours", "week": "7 days", "month": "30 days"}
    states = {t: ", ".join(f"{n} {state}" for state, n in totals[t].items()) or "–" for t in ("runs", "builds")}
    tokens = ", ".join(f"{totals[f'{k}_tokens']:,} {k.replace('_', ' ')}" for k in _TOKEN_KINDS)
    incidents = [f"{totals[k]:,} {k.replace('_', ' ')}" for k in ("errors", "rate_limits", "timeouts", "fallbacks")]
    lines = [
        ("period", named.get(totals["period"], "everything")),
        ("runs", states["runs"]),
        ("builds", states["builds"]),
        ("tasks", f"{totals['tasks']:,}, {cell(totals['success_rate'], 'success_rate')} succeeded"),
        ("attempts", f"{totals['attempts']:,}, {totals['attempts_failed']:,} failed"),
        ("incidents", ", ".join(incidents)),
        ("tokens", tokens),
        ("cost", _cost(totals)),
        ("alerts", f"{totals['alerts']} stand (br3 telemetry alerts)" if totals["alerts"] else "none stands"),
    ]
    return "\n".join(f"{name:<10} {text}" for name, text in lines) + "\n"


_TOKEN_KINDS = ("input", "output", "cache_write", "cache_read")


def _cost(totals: Mapping[str, Any]) -> str:
    from br3.cli.figures import in_all

    total, untold = in_all(totals["cost_usd"], totals)
    unpriced = totals["unpriced_tokens"]
    if totals["cost_usd"] is None and not unpriced and not untold:
        return "nothing was reported"
    why = [f"{unpriced:,} tokens without a price"] if unpriced else []
    why += [untold] if untold else []
    return f"{total} ({'; '.join(why)})" if why else total


@telemetry.command()
@period_option
@click.option("--by", type=click.Choice(["model", "agent", "build"]), default="model", help="What to compare.")
@form_options
def performance(period: str, by: str, as_json: bool, as_csv: bool) -> int:
    """Compare how well and how fast tasks went."""
    from br3.analytics import reports

    with figures() as db:
        report = reports.performance(db, period, by)  # type: ignore[arg-type]
    headers = {
        "key": by,
        "tasks": "tasks",
        "failures": "failed",
        "success_rate": "succeeded",
        "attempts": "attempts",
        "duration_avg_s": "average",
        "duration_p50_s": "median",
        "duration_p95_s": "p95",
        "duration_p99_s": "p99",
        "cost_per_task_usd": "cost per task",
    }
    show(report, as_json=as_json, as_csv=as_csv, headers=headers, empty="no task has ended yet: br3 run")
    return 0


@telemetry.command()
@click.option("--level", type=click.Choice(_LEVELS), help="Only those of this level.")
@form_options
def alerts(level: str | None, as_json: bool, as_csv: bool) -> int:
    """List the thresholds that were crossed; those still crossed first."""
    from br3.analytics import reports

    with figures() as db:
        report = reports.alerts(db, level)
    headers = {"level": "level", "raised": "raised (UTC)", "cleared": "over (UTC)", "message": "what"}
    show(report, as_json=as_json, as_csv=as_csv, name="alerts", headers=headers, empty="no alert so far")
    return 0


@telemetry.command()
@click.option("--run", "run_id", shell_complete=completing.runs, help="Only this run's.")
@click.option("--build", shell_complete=completing.builds, help="Only this build's.")
@click.option("--kind", shell_complete=completing.kinds, help="Only this kind, or a beginning such as task.")
@click.option("--since", metavar="TIME", help="Only since then: 30m, 12h, 7d, or 2026-11-22T10:00.")
@click.option("--count", type=click.IntRange(1), default=100, help="At most that many, the newest.  [default: 100]")
@click.option("-f", "--follow", is_flag=True, help="Go on printing what is written, until Ctrl-C.")
@form_options
def events(
    run_id: str | None,
    build: str | None,
    kind: str | None,
    since: str | None,
    count: int,
    follow: bool,
    as_json: bool,
    as_csv: bool,
) -> int:
    """Print events, oldest first."""
    from br3.analytics import reports
    from br3.cli.output import emit_json
    from br3.errors import UsageError
    from br3.telemetry import Follower

    if follow and (as_json or as_csv):
        raise UsageError("--follow prints lines for people", hint="br3 telemetry events --json, again and again")
    begin = _moment(since) if since else None
    # Before the report, so that nothing falls between it and what follows.
    follower = Follower(repository().common_dir)
    seen = {(e.segment, e.seq) for e in follower.poll()} if follow else set()
    with figures() as db:
        report = reports.events(db, kind=kind, build=build, run=run_id, since=begin, count=min(count, _MOST_EVENTS))
    if as_json:
        emit_json(report.as_json("events"))
        return 0
    if as_csv:
        show(report, as_json=False, as_csv=True)
        return 0
    at = {name: place for place, name in enumerate(report.columns)}
    for row in report.rows:
        place = [row[at[name]] for name in ("build", "task", "attempt")]
        _print_event(reports.plain(row[at["ts"]]), row[at["kind"]], place, row[at["data"]])
    if not report.rows and not follow:
        click.echo("no such event" if kind or build or run_id or since else "no data yet: br3 run makes some")
    if follow:
        shown = {str(row[at["id"]]) for row in report.rows}
        _follow(follower, seen, shown, lambda e: _fits(e, run_id, build, kind))
    return 0


def _fits(event: Event, run: str | None, build: str | None, kind: str | None) -> bool:
    return (
        (run is None or event.run == run)
        and (build is None or event.build == build)
        and (kind is None or event.kind == kind or event.kind.startswith(f"{kind}."))
    )


def _follow(follower: Any, seen: set[tuple[str, int]], shown: set[str], fits: Any) -> None:
    import time

    while True:
        for event in sorted(follower.poll(), key=lambda e: (e.ts, e.segment, e.seq)):
            key = (event.segment, event.seq)
            if key not in seen and f"{event.segment}:{event.seq}" not in shown and fits(event):
                _print_event(event.ts, event.kind, [event.build, event.task, event.attempt], event.data)
        time.sleep(0.3)


def _print_event(ts: str, kind: str, place: list[Any], data: Any) -> None:
    where = " ".join(str(part) for part in place if part is not None)
    facts = json.dumps(data, ensure_ascii=False)
    facts = facts if not sys.stdout.isatty() or len(facts) <= 160 else facts[:159] + "…"
    click.echo(f"{ts}  {kind:<18}  {where:<20}  {facts}")


def _moment(text: str) -> datetime:
    """A moment as the analytics have it: UTC, without a zone."""
    import re

    from br3.errors import UsageError

    if match := re.fullmatch(r"(\d+)([mhd])", text):
        unit = {"m": "minutes", "h": "hours", "d": "days"}[match[2]]
        return (datetime.now(UTC) - timedelta(**{unit: int(match[1])})).replace(tzinfo=None)
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise UsageError(f"--since {text!r} is no time", hint="30m, 12h, 7d, 2026-11-22, 2026-11-22T10:00Z") from error
    return at.astimezone(UTC).replace(tzinfo=None)


@telemetry.command()
@click.argument("file", type=click.Path(dir_okay=False))
@click.option("--table", default="events", help="The table to write.  [default: events]")
def export(file: str, table: str) -> int:
    """Write a table to FILE: .csv, .json (one object a line) or .parquet."""
    from pathlib import Path

    from br3.analytics import exporting

    with figures() as db:
        rows = exporting.export(db, table, Path(file))
    click.echo(f"{rows:,} rows of {table} are in {file}")
    return 0
