"""How good the estimates of own runs were: what was recorded before each run beside what it took."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from br3.estimate.calibration import Run
from br3.estimate.model import Target


@dataclass(frozen=True)
class Kept:
    """One run whose estimate was recorded: dollars or minutes."""

    run: Run
    p50: float
    p90: float
    actual: float

    @property
    def error(self) -> float:
        """ln(actual / P50): above 0, it took more."""
        return math.log(self.actual / self.p50)


@dataclass(frozen=True)
class Bias:
    """The median of ``error`` over so many runs, under a name."""

    name: str
    runs: int
    median_error: float


@dataclass(frozen=True)
class Report:
    """Shares of runs at or below P50 and P90, the factor that half of the estimates are within, and biases.

    None for what nothing is known of.
    """

    runs: int
    coverage_p50: float | None
    coverage_p90: float | None
    median_error_factor: float | None
    by_model: tuple[Bias, ...]
    by_kind: tuple[Bias, ...]
    kept: tuple[Kept, ...]


def report(runs: Iterable[Run], target: Target = "cost") -> Report:
    """The report of runs that have both an estimate and an outcome, in their order."""
    kept = tuple(one for run in runs if (one := _kept(run, target)) is not None)
    return Report(
        runs=len(kept),
        coverage_p50=_share([one.actual <= one.p50 for one in kept]),
        coverage_p90=_share([one.actual <= one.p90 for one in kept]),
        median_error_factor=math.exp(statistics.median(abs(one.error) for one in kept)) if kept else None,
        by_model=_biases(kept, lambda run: run.model),
        by_kind=_biases(kept, lambda run: run.kind or "build"),
        kept=kept,
    )


def _kept(run: Run, target: Target) -> Kept | None:
    cost = target == "cost"
    p50 = run.predicted_p50_usd if cost else run.predicted_p50_minutes
    p90 = run.predicted_p90_usd if cost else run.predicted_p90_minutes
    actual = run.outcome(target)
    if not p50 or not p90 or actual is None:
        return None
    return Kept(run, p50, p90, math.exp(actual))


def _biases(kept: Sequence[Kept], name: Callable[[Run], str]) -> tuple[Bias, ...]:
    errors: dict[str, list[float]] = {}
    for one in kept:
        errors.setdefault(name(one.run), []).append(one.error)
    return tuple(Bias(key, len(values), statistics.median(values)) for key, values in sorted(errors.items()))


def _share(told: Sequence[bool]) -> float | None:
    return sum(told) / len(told) if told else None
