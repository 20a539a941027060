"""Thresholds on what the analytics say, looked at after every fold; a crossing is an event, written once.

An alert stays raised while its value stays beyond the threshold, and is raised again only after it has come back. A
security violation is an alert by itself, raised once and never cleared.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from br3.analytics.statements import statement
from br3.telemetry import Journal

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


@dataclass(frozen=True)
class Rules:
    """Thresholds; None switches one off. Rates and durations are of the last 24 hours, once ``min_tasks`` ended."""

    success_rate_min: float | None = 0.80
    error_rate_max: float | None = 0.20
    duration_avg_max_s: float | None = 3600.0
    duration_p95_max_s: float | None = 7200.0
    hourly_cost_max_usd: Decimal | None = Decimal(20)
    daily_cost_max_usd: Decimal | None = Decimal(100)
    violations: bool = True
    min_tasks: int = 5

    @classmethod
    def of(cls, given: dict[str, Any]) -> Rules:
        """Rules from the ``alerts`` of a frozen plan; what is absent has its default, 0 switches a rule off."""
        known = {f.name for f in fields(cls)}
        values = {k: v for k, v in given.items() if k in known}
        for name in ("hourly_cost_max_usd", "daily_cost_max_usd"):
            if values.get(name) is not None:
                values[name] = Decimal(str(values[name]))
        switches = ("violations", "min_tasks")
        final: dict[str, Any] = {k: v if v or k in switches else None for k, v in values.items()}
        return cls(**final)


@dataclass(frozen=True)
class Alert:
    """One crossing. ``value`` and ``threshold`` are in the unit that ``message`` names."""

    rule: str
    level: str
    message: str
    value: str
    threshold: str

    def as_json(self) -> dict[str, Any]:
        return {f.name: getattr(self, f.name) for f in fields(self)}


@dataclass(frozen=True)
class _Measured:
    rule: str
    value: float | Decimal | None
    threshold: float | Decimal | None
    below: bool
    text: str
    level: str = "warning"

    @property
    def crossed(self) -> bool | None:
        """None: cannot be said, for want of data or because the rule is off."""
        if self.value is None or self.threshold is None:
            return None
        return self.value < self.threshold if self.below else self.value > self.threshold


def evaluate(
    db: DuckDBPyConnection, common_dir: Path, rules: Rules, now: datetime | None = None
) -> tuple[list[Alert], bool]:
    """Compare, and write to the journal what has been crossed or has come back since.

    Returns what was raised, and whether anything was written. Whoever calls it holds the writing connection, so that a
    crossing is seen by one.
    """
    at = now or datetime.now(UTC)
    raised: list[Alert] = []
    back: list[_Measured] = []
    standing = {str(rule) for (rule,) in db.execute("SELECT rule FROM alerts WHERE cleared IS NULL").fetchall()}
    for measured in _measure(db, rules, at):
        if measured.crossed and measured.rule not in standing:
            limits = (measured.value, measured.threshold)
            raised.append(
                Alert(
                    measured.rule,
                    measured.level,
                    measured.text.format(*(_told(measured.rule, limit) for limit in limits)),
                    *(_shown(limit) for limit in limits),
                )
            )
        elif not measured.crossed and measured.rule in standing:  # back, switched off, or nothing is known any more
            back.append(measured)
    if rules.violations:
        raised += _violations(db)
    if raised or back:
        journal = Journal(common_dir)
        for alert in raised:
            severity = "critical" if alert.level == "critical" else "warning"
            journal.append("alert.raised", severity, durable=False, **alert.as_json())
        for measured in back:
            value, threshold = _shown(measured.value), _shown(measured.threshold)
            journal.append("alert.cleared", durable=False, rule=measured.rule, value=value, threshold=threshold)
        journal.sync()
        journal.close()
    return raised, bool(raised or back)


def _measure(db: DuckDBPyConnection, rules: Rules, now: datetime) -> list[_Measured]:
    plain = now.astimezone(UTC).replace(tzinfo=None)
    row = db.execute(statement("alerts/measures"), {"now": plain}).fetchone()
    assert row is not None
    tasks, attempts, hour_usd, day_usd = row
    enough = tasks["tasks"] >= rules.min_tasks
    tried = attempts["attempts"] >= rules.min_tasks
    return [
        _Measured(
            "success_rate",
            tasks["success"] if enough else None,
            rules.success_rate_min,
            True,
            "of the last 24 hours' tasks {} succeeded, less than {}",
        ),
        _Measured(
            "error_rate",
            attempts["failed"] if tried else None,
            rules.error_rate_max,
            False,
            "of the last 24 hours' attempts {} failed, more than {}",
        ),
        _Measured(
            "duration_avg",
            tasks["mean"] if enough else None,
            rules.duration_avg_max_s,
            False,
            "the last 24 hours' tasks took {} s on average, more than {} s",
        ),
        _Measured(
            "duration_p95",
            tasks["p95"] if enough else None,
            rules.duration_p95_max_s,
            False,
            "of the last 24 hours' tasks the slowest 5 % took {} s or longer, more than {} s",
        ),
        _Measured(
            "hourly_cost",
            hour_usd or Decimal(0),
            rules.hourly_cost_max_usd,
            False,
            "this hour cost {} USD, more than {}",
        ),
        _Measured(
            "daily_cost", day_usd or Decimal(0), rules.daily_cost_max_usd, False, "this day cost {} USD, more than {}"
        ),
    ]


def _violations(db: DuckDBPyConnection) -> list[Alert]:
    found: list[Alert] = []
    counted = db.execute(statement("alerts/violations_counted")).fetchone()
    if counted is None or counted[0] <= counted[1]:
        return found
    untold = db.execute(statement("alerts/untold")).fetchall()
    given = {"segments": [str(segment) for segment, _ in untold], "numbers": [int(seq) for _, seq in untold]}
    for event, severity, build, rule, message in db.execute(statement("alerts/violations"), given).fetchall():
        where = f" in {build}" if build else ""
        text = f"security violation{where}: {message or rule or 'see its event'} ({event})"
        level = "critical" if severity == "critical" else "error"
        found.append(Alert(f"violation {event}", level, text, rule or "", ""))
    return found


def _told(rule: str, value: float | Decimal | None) -> str:
    """As people say it: shares in percent."""
    return f"{100 * value:.3g} %" if value is not None and rule.endswith("_rate") else _shown(value)


def _shown(value: float | Decimal | None) -> str:
    if isinstance(value, Decimal):
        return f"{value:.2f}"
    return "" if value is None else f"{value:.3g}" if value < 1000 else f"{value:.0f}"
