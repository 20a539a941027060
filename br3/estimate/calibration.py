"""What own runs teach: medians of each (agent, model), offsets of repositories, how wide P90 must be, weights.

All of it is learned one run after the other, in the order in which they ended, and each step is small:

- *median*: prior + n / (n + k) · (own middle − prior), k = 8 with a prior measured for this very model, else 2; the
  prior itself moves with what own runs of other models have shown; the middle is the mean of the middle three fifths,
  which wanders less than the median does;
- *repository*: the middle of what is left over there, times n / (n + 20);
- *P90*: own 90th percentile of what was left over, times n / (n + 10), the rest as shipped; on top of it an online
  quantile step (Gibbs and Candès, Adaptive conformal inference, 2021): a miss widens by nine times what a hit narrows;
- *weights*: ridge on what is left over, drawn to the shipped weights as strongly as ``_PRIOR_TASKS`` tasks would.

A run is all attempts of a build or task together, failed ones too: that is what it cost.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from br3.estimate.model import Coefficients, Line, Target
from br3.estimate.ridge import solve

PRIOR_ONLY_BELOW = 5
"""With fewer own runs of a model the estimate is “prior only”."""

_SAME, _OTHER, _PLACE, _WIDTH = 8.0, 2.0, 20.0, 10.0
_PRIOR_TASKS = 200.0
_REFIT_FROM, _REFIT_EVERY = 20, 5
_REMEMBERED = 200
_TARGETS: tuple[Target, ...] = ("cost", "minutes")
_LEVEL = 0.9
_NARROWEST = 0.05


@dataclass(frozen=True)
class Run:
    """One finished run: what was known before (features, ratings), and what it took (None: not known)."""

    model: str
    agent: str = ""
    repository: str = ""
    features: Mapping[str, float] = field(default_factory=dict)
    ratings: Mapping[str, float] | None = None
    cost_usd: float | None = None
    minutes: float | None = None
    kind: str = ""
    id: str = ""
    predicted_p50_usd: float | None = None
    predicted_p90_usd: float | None = None
    predicted_p50_minutes: float | None = None
    predicted_p90_minutes: float | None = None

    def outcome(self, target: Target) -> float | None:
        """ln of what it took; None when that is not known, or nothing."""
        value = self.cost_usd if target == "cost" else self.minutes
        return math.log(value) if value is not None and math.isfinite(value) and value > 0 else None


@dataclass(frozen=True)
class Prior:
    """ln of the median before any own run; ``measured``: for this very model and agent."""

    median: float
    measured: bool = False


@dataclass(frozen=True)
class Quantiles:
    """P50 and P90 in the unit of the target, and of how many own runs of the model they know."""

    p50: float
    p90: float
    own_runs: int

    @property
    def prior_only(self) -> bool:
        return self.own_runs < PRIOR_ONLY_BELOW


@dataclass
class _Key:
    """What is known of one (agent, model). ``rest`` is what was left after effects and offsets."""

    prior: Prior
    rest: list[float] = field(default_factory=list)
    errors: list[float] = field(default_factory=list)
    step: float = 0.0
    runs: int = 0


class _Learner:
    """One target: cost or minutes."""

    def __init__(self, coefficients: Coefficients, target: Target) -> None:
        self.coefficients = coefficients
        self.target: Target = target
        self.keys: dict[tuple[str, str], _Key] = {}
        self.places: dict[str, list[float]] = {}
        self.lines: dict[str, Line] = {**coefficients.lines[target], **coefficients.plan}
        self.names = list(self.lines)
        self.change: dict[str, float] = {}
        self._matrix = [[0.0] * len(self.names) for _ in self.names]
        self._right = [0.0] * len(self.names)
        self._seen = 0

    def effect(self, features: Mapping[str, float], ratings: Mapping[str, float] | None) -> float:
        shipped = self.coefficients.effect(self.target, features, ratings)
        return shipped + math.fsum(self.change[name] * self._z(name, features) for name in self.change)

    def changes(self, features: Mapping[str, float]) -> dict[str, float]:
        """By feature, what own runs have changed of its effect."""
        return {name: change * self._z(name, features) for name, change in self.change.items()}

    def predict(self, key: tuple[str, str], prior: Prior, place: str, effect: float) -> tuple[float, float, int]:
        known = self.keys.get(key) or _Key(prior)
        middle = self._middle(key, known) + self._offset(place) + effect
        return middle, middle + self._width(known), known.runs

    def learn(self, key: tuple[str, str], prior: Prior, run: Run) -> None:
        actual = run.outcome(self.target)
        if actual is None:
            return
        known = self.keys.setdefault(key, _Key(prior))
        effect = self.effect(run.features, run.ratings)
        offset = self._offset(run.repository)
        middle = self._middle(key, known) + offset + effect
        width = self._width(known)
        # The step is decided by what would have been said before the run.
        size = max(0.06, 0.5 / math.sqrt(known.runs + 1))
        known.step += size * (_LEVEL if actual > middle + width else _LEVEL - 1)
        known.step = max(-1.0, min(2.0, known.step))
        if known.runs >= PRIOR_ONLY_BELOW:
            self._weigh(run.features, actual - middle)
        known.runs += 1
        _remember(known.rest, actual - effect - offset)
        _remember(known.errors, actual - middle)
        _remember(self.places.setdefault(run.repository, []), actual - effect - self._middle(key, known))

    def _middle(self, key: tuple[str, str], known: _Key) -> float:
        others = [
            middle_of(other.rest) - other.prior.median
            for name, other in self.keys.items()
            if name != key and len(other.rest) >= PRIOR_ONLY_BELOW
        ]
        prior = known.prior.median
        if others and not known.prior.measured:
            prior += statistics.fmean(others) * len(others) / (len(others) + 1)
        if not known.rest:
            return prior
        count = len(known.rest)
        share = count / (count + (_SAME if known.prior.measured else _OTHER))
        return prior + share * (middle_of(known.rest) - prior)

    def _offset(self, place: str) -> float:
        here = self.places.get(place, [])
        if len(self.places) < 2 or not here:
            return 0.0  # of one repository alone the medians know all there is
        return middle_of(here) * len(here) / (len(here) + _PLACE)

    def _width(self, known: _Key) -> float:
        shipped = self.coefficients.spread[self.target]
        count = len(known.errors)
        if count >= PRIOR_ONLY_BELOW:
            ordered = sorted(known.errors)
            own = ordered[min(count - 1, math.ceil(_LEVEL * (count + 1)) - 1)]
            shipped += count / (count + _WIDTH) * (own - shipped)
        return max(_NARROWEST, shipped + known.step)

    def _z(self, name: str, features: Mapping[str, float]) -> float:
        line = self.lines[name]
        return Line(line.mean, line.deviation, 1.0).effect(features[name]) if name in features else 0.0

    def _weigh(self, features: Mapping[str, float], left: float) -> None:
        left = max(-2.0, min(2.0, left))
        z = [self._z(name, features) for name in self.names]
        for i, one in enumerate(z):
            if one:
                self._right[i] += one * left
                row = self._matrix[i]
                for j, other in enumerate(z):
                    row[j] += one * other
        # What is left over was seen with the change so far: the equations are for the whole change.
        if self.change:
            so_far = math.fsum(self.change[name] * z[at] for at, name in enumerate(self.names))
            for i, one in enumerate(z):
                self._right[i] += one * so_far
        self._seen += 1
        if self._seen >= _REFIT_FROM and self._seen % _REFIT_EVERY == 0:
            matrix = [
                [value + (_PRIOR_TASKS if i == j else 0.0) for j, value in enumerate(row)]
                for i, row in enumerate(self._matrix)
            ]
            self.change = dict(zip(self.names, solve(matrix, self._right), strict=True))
            # A build that owns more is never estimated lower.
            self.change["owns"] = max(self.change["owns"], -self.lines["owns"].weight)


class Calibration:
    """Own history, run by run. Not for several threads."""

    def __init__(
        self, coefficients: Coefficients, runs: Iterable[tuple[Run, Mapping[Target, Prior | None]]] = ()
    ) -> None:
        self.learners: dict[Target, _Learner] = {target: _Learner(coefficients, target) for target in _TARGETS}
        self.effects: list[float] = []
        self.coefficients = coefficients
        for run, priors in runs:
            self.learn(run, priors)

    def learn(self, run: Run, priors: Mapping[Target, Prior | None]) -> None:
        """Take a finished run into account. Without a prior (no price is known) its own figure becomes the first."""
        _remember(self.effects, self.coefficients.effect("cost", run.features, run.ratings))
        for target in _TARGETS:
            actual = run.outcome(target)
            if actual is not None:
                self.learners[target].learn((run.agent, run.model), priors.get(target) or Prior(actual), run)

    def predict(
        self,
        target: Target,
        model: str,
        prior: Prior | None,
        features: Mapping[str, float],
        ratings: Mapping[str, float] | None = None,
        *,
        agent: str = "",
        repository: str = "",
    ) -> Quantiles | None:
        """P50 and P90 in dollars or minutes; None where neither a prior nor a run of the model says anything."""
        learner = self.learners[target]
        key = (agent, model)
        known = learner.keys.get(key)
        if prior is None and known is None:
            return None
        start = prior or (known.prior if known else Prior(0.0))
        effect = learner.effect(features, ratings)
        p50, p90, runs = learner.predict(key, start, repository, effect)
        return Quantiles(_exp(p50), _exp(p90), runs)

    def runs_of(self, model: str, agent: str = "") -> int:
        """How many own runs of a model are known, by either target."""
        return max(
            (learner.keys[(agent, model)].runs for learner in self.learners.values() if (agent, model) in learner.keys),
            default=0,
        )


def middle_of(values: Iterable[float]) -> float:
    """The mean of the middle three fifths of some numbers; of fewer than four their median."""
    ordered = sorted(values)
    cut = len(ordered) // 5
    return statistics.fmean(ordered[cut : len(ordered) - cut]) if len(ordered) >= 4 else statistics.median(ordered)


def _remember(values: list[float], value: float) -> None:
    values.append(value)
    del values[:-_REMEMBERED]


def _exp(value: float) -> float:
    """Finite whatever was learned: between a thousandth of a cent and ten million."""
    return math.exp(max(-11.5, min(16.0, value)))
