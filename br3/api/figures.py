"""The analytics, asked: fresh numbers first, then one report."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

from br3.api.workspaces import Workspace, opened
from br3.errors import UsageError

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from br3.analytics.reports import Period, Report
    from br3.dispatch.observing import TakenUp
    from br3.dispatch.sessions import Session
    from br3.repo.worktrees import Repository


@contextmanager
def fresh(
    repository: Repository, told: Callable[[TakenUp], None], *, confined: bool = False
) -> Iterator[DuckDBPyConnection]:
    """The analytics with everything in them that the journal has; ``told`` hears what came of bringing them up to date.

    Raises Broken (a Br3Error) when DuckDB cannot work with the file, Busy when others keep it for too long.
    """
    from br3.analytics.store import reading
    from br3.dispatch.observing import take_up

    taken = take_up(repository.common_dir, repository.home)
    if taken.broken is not None:
        raise taken.broken
    told(taken)
    with reading(repository.common_dir, confined=confined) as db:
        yield db


def ask(db: DuckDBPyConnection, query: str) -> Report:
    """What a statement of somebody's answers, over a confined connection; UsageError in DuckDB's words."""
    import duckdb

    from br3.analytics import reports

    try:
        return reports.query(db, query)
    except duckdb.Error as error:
        said = str(error).strip().splitlines()
        raise UsageError("\n".join(said), hint="br3 sql 'SHOW TABLES'; docs/TELEMETRY.md has them all") from error


class Analytics:
    """Read-only answers about everything that was recorded; each first takes up what the journal has since.

    A Report has ``columns``, ``rows`` (tuples of plain values: money as Decimal, times as datetime in UTC without a
    zone), ``totals``, ``dicts()`` and ``as_json()``. ``warnings`` says why the last answer may be old.

    Periods: ``hour``, ``day``, ``week``, ``month``, ``all``. Raises UsageError for what cannot be asked, and Br3Error
    when the file cannot be worked with.
    """

    def __init__(self, workspace: Workspace | str | Path = ".") -> None:
        self._repository = opened(workspace).repository
        self.warnings: list[str] = []

    def sql(self, query: str) -> Report:
        """Ask in SQL, as ``br3 sql`` does: nothing can be changed, no file read. The last statement answers."""
        with self._fresh(confined=True) as db:
            return ask(db, query)

    def costs(self, by: str = "model", period: Period = "all") -> Report:
        """Money and tokens by model, build, day, task or run; ``totals["total_usd"]`` is None when nothing is known."""
        from br3.analytics import reports

        _one_of("by", by, reports.COST_KEYS)
        _one_of("period", period, reports.PERIODS)
        with self._fresh() as db:
            return reports.costs(db, period, by)

    def performance(self, by: str = "model", period: Period = "all") -> Report:
        """How tasks went by model, agent or build: ``success_rate`` (0 to 1), durations in seconds, cost per task."""
        from br3.analytics import reports

        _one_of("by", by, reports.PERFORMANCE_KEYS)
        _one_of("period", period, reports.PERIODS)
        with self._fresh() as db:
            return reports.performance(db, period, by)

    def summary(self, period: Period = "all") -> Report:
        """Runs, builds, tasks, incidents, tokens and money in ``totals``; the rows are by model."""
        from br3.analytics import reports

        _one_of("period", period, reports.PERIODS)
        with self._fresh() as db:
            return reports.summary(db, period)

    def events(
        self,
        *,
        kind: str | None = None,
        build: str | None = None,
        run: str | None = None,
        since: datetime | None = None,
        count: int = 100,
    ) -> Report:
        """The newest ``count`` events that fit, oldest first. ``kind`` may be a beginning such as ``task``; ``since``
        is in UTC, without a zone."""
        from br3.analytics import reports

        with self._fresh() as db:
            return reports.events(db, kind=kind, build=build, run=run, since=since, count=count)

    def alerts(self, level: str | None = None) -> Report:
        """Thresholds that were crossed, those that still are first; ``level``: warning, error or critical."""
        from br3.analytics import reports

        with self._fresh() as db:
            return reports.alerts(db, level)

    def budgets(self) -> Report:
        """What is left of the budgets of the newest run and its builds, and what it will come to."""
        from br3.dispatch.sessions import latest

        session = latest(self._repository)
        with self._fresh() as db:
            return budgets_of(db, session)

    def _fresh(self, *, confined: bool = False) -> AbstractContextManager[DuckDBPyConnection]:
        return fresh(self._repository, lambda taken: setattr(self, "warnings", taken.warnings), confined=confined)


def budgets_of(db: DuckDBPyConnection, session: Session) -> Report:
    """Spent, left and expected of the run's lineage, by build and in all."""
    from br3.analytics import reports
    from br3.analytics.reports import Budgeted

    plan = session.plan

    def amount(text: str | None) -> Decimal | None:
        return Decimal(text) if text else None

    planned = [Budgeted(b.id, amount(b.budget_usd), len(b.tasks)) for b in plan.builds]
    planned.append(Budgeted(None, amount(plan.budget_usd), sum(len(b.tasks) for b in plan.builds)))
    return reports.budgets(db, [run.id for run in session.chain], planned)


def _one_of(what: str, given: str, known: tuple[str, ...]) -> None:
    if given not in known:
        raise UsageError(f"{what} cannot be {given!r}", hint=f"one of: {', '.join(known)}")
