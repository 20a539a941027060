"""Own runs, read from the analytics file: what was known and estimated of each build, and what it took.

A build counts when it ended verified or failed, with all its attempts: repeats and failures are part of what a task
costs. Cancelled ones are left out: they tell what somebody had patience for.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from br3.estimate.calibration import Run
from br3.estimate.features import BY_NAME
from br3.estimate.model import RATINGS
from br3.models.routing import same

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


def own_runs(db: DuckDBPyConnection, repository: str = "") -> list[Run]:
    """The finished builds of an analytics file, in the order in which they ended.

    ``repository`` is a name for the one that the file belongs to. A build without a recorded estimate has no features:
    it still teaches what its model takes. An estimate for the model that did the work comes before others.
    """
    found: dict[tuple[str, str], tuple[bool, Run]] = {}
    for row in _rows(db):
        key = (row["run"], row["build"])
        model = same(row["model"] or "")
        fitting = bool(row["estimated_model"]) and same(row["estimated_model"]) == model
        if key in found and (found[key][0] or not fitting):
            continue
        data = _object(row["data"])
        found[key] = (
            fitting,
            Run(
                model=model,
                agent=row["agent"] or "",
                repository=repository,
                features=numbers_of(data.get("features"), BY_NAME),
                ratings=ratings_of(data.get("ratings")),
                # What has no price is not nothing: of such a run only the minutes are known.
                cost_usd=_positive(row["cost_usd"]) if not row["unpriced"] else None,
                minutes=_positive(row["minutes"]),
                kind=str(data.get("work") or ""),
                id=f"{row['run']}/{row['build']}",
                predicted_p50_usd=_positive(row["cost_p50_usd"]) if fitting else None,
                predicted_p90_usd=_positive(row["cost_p90_usd"]) if fitting else None,
                predicted_p50_minutes=_positive(row["minutes_p50"]) if fitting else None,
                predicted_p90_minutes=_positive(row["minutes_p90"]) if fitting else None,
            ),
        )
    return [run for _, run in found.values()]


def own_runs_of(common_dir: Path, repository: str = "") -> list[Run]:
    """As ``own_runs``, of a repository's analytics as the last fold left them; none where there is no such file.

    Raises Broken, Busy or what ``br3.analytics.reading`` raises of a file that this version of br3 can't read.
    """
    from br3.analytics import analytics_path, reading

    if not analytics_path(common_dir).exists():
        return []
    with reading(common_dir) as db:
        return own_runs(db, repository)


def numbers_of(data: Any, known: Mapping[str, object]) -> dict[str, float]:
    """The finite numbers under known names of an object that was recorded; everything else is left out."""
    if not isinstance(data, Mapping):
        return {}
    return {
        name: float(value)
        for name, value in data.items()
        if name in known and isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    }


def ratings_of(data: Any) -> dict[str, float] | None:
    """The three ratings that were recorded, or None where one of them is missing."""
    found = numbers_of(data, dict.fromkeys(RATINGS))
    return found if len(found) == len(RATINGS) else None


def _rows(db: DuckDBPyConnection) -> list[dict[str, Any]]:
    cursor = db.execute(_statement())
    columns = [column[0] for column in cursor.description or ()]
    return [dict(zip(columns, row, strict=True)) for row in cursor.fetchall()]


@cache
def _statement() -> str:
    return (resources.files("br3.estimate") / "sql" / "runs.sql").read_text(encoding="utf-8")


def _object(text: str | None) -> Mapping[str, Any]:
    try:
        data = json.loads(text or "{}")
    except ValueError:
        return {}
    return data if isinstance(data, Mapping) else {}


def _positive(value: Any) -> float | None:
    return float(value) if value is not None and math.isfinite(value) and value > 0 else None
