"""What the commands that show figures have in common: fresh numbers first, then one report in the form asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, TypeVar

import click

from br3.cli.context import repository
from br3.report.wording import seconds, usd
from br3.wording import counted

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from br3.analytics.reports import Report
    from br3.dispatch.observing import TakenUp

F = TypeVar("F", bound=Callable[..., Any])

PERIODS = ("hour", "day", "week", "month", "all")
period_option = click.option(
    "--period", type=click.Choice(PERIODS), default="all", help="The last hour, 24 hours, 7 or 30 days.  [default: all]"
)


def form_options(function: F) -> F:
    """``--json`` and ``--csv``."""
    function = click.option("--csv", "as_csv", is_flag=True, help="Print comma-separated values.")(function)
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")(function)


@contextmanager
def figures(*, confined: bool = False) -> Iterator[DuckDBPyConnection]:
    """The analytics with everything in them that the journal has; says so when they could not be brought up to date."""
    from br3.api.figures import fresh

    with fresh(repository(), _tell, confined=confined) as db:
        yield db


def _tell(taken: TakenUp) -> None:
    for warning in taken.warnings:
        click.echo(warning, err=True)
    for alert in taken.folded.raised if taken.folded else ():
        click.echo(f"{click.style('alert:', fg='yellow', bold=True)} {alert.message}", err=True)


def show(
    report: Report,
    *,
    as_json: bool,
    as_csv: bool,
    name: str = "rows",
    headers: dict[str, str] | None = None,
    empty: str = "no data yet: br3 run makes some",
    before: str = "",
    after: str = "",
) -> None:
    """Print a report: as JSON, as CSV, or as a table between ``before`` and ``after``.

    ``headers`` names the columns that the table shows, in order, with their headings.
    """
    from br3.cli.output import emit_json, table

    if as_json:
        emit_json(report.as_json(name))
        return
    if as_csv:
        write_csv(report)
        return
    if before:
        click.echo(before)
    if not report.rows:
        click.echo(empty)
    else:
        chosen = headers or {column: column for column in report.columns}
        places = [report.columns.index(column) for column in chosen]
        rows = [[cell(row[place], report.columns[place]) for place in places] for row in report.rows]
        numbers = [
            n
            for n, place in enumerate(places)
            if all(row[place] is None or isinstance(row[place], int | float | Decimal) for row in report.rows)
        ]
        click.echo(table(list(chosen.values()), rows, right=numbers))
    if after:
        click.echo(after)


def in_all(amount: Decimal | None, totals: Mapping[str, Any]) -> tuple[str, str]:
    """What was paid in all, as far as it is known, and who did not say what they took; the latter may be empty."""
    from br3.report import telling
    from br3.report.facts import Spent

    silent, unanswered = totals["silent_attempts"], totals["unanswered_requests"]
    why = [said] if (said := telling.unknowns(Spent(silent_attempts=silent))) else []
    if unanswered:
        why.append(f"{counted(unanswered, 'request')} to a model {'was' if unanswered == 1 else 'were'} not answered")
    paid = Spent(amount, totals["unpriced_tokens"], silent + unanswered)
    return telling.UNKNOWN if amount is None else telling.spent(paid), "; ".join(why)


def write_csv(report: Report) -> None:
    """The columns and rows as RFC 4180 has them; what is not known is empty."""
    import csv
    import json
    import sys

    from br3.analytics.reports import plain

    def cell_of(value: Any) -> Any:
        said = "" if value is None else plain(value)
        return json.dumps(said, ensure_ascii=False) if isinstance(said, (dict, list)) else said

    out = csv.writer(sys.stdout)
    out.writerow(report.columns)
    for row in report.rows:
        out.writerow([cell_of(value) for value in row])


def cell(value: Any, column: str) -> str:
    """A value as people read it; ``column`` says what it is: ``*_usd``, ``*_s``, ``*_rate``."""
    if value is None:
        return "–"
    if column.endswith("_usd"):
        return usd(value)
    if column.endswith("_rate"):
        return f"{100 * value:.0f} %"
    if column.endswith("_s"):
        return seconds(float(value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S")
    return str(value)
