"""Back-test: past runs taken in order, each estimated before its outcome is learned.

A row is ``{id, text, repo, model, cost_usd, minutes}`` as JSON. ``repo`` is a path, or an object of ``repo_*`` numbers;
``agent``, ``repository`` (a name for the place of an object) and ``ratings`` may be there too. Without ``cost_usd`` or
``minutes`` nothing is learned of them.
"""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from br3.errors import UsageError
from br3.estimate.calibration import Calibration, Quantiles, Run
from br3.estimate.features import given_features, text_features
from br3.estimate.model import RATINGS, Coefficients, coefficients
from br3.estimate.pricing import priors
from br3.models.routing import same

LEARNING = 10
"""Coverage is told from the run after so many on: the first ones teach how wide P90 must be."""


@dataclass(frozen=True)
class Row:
    """One past run. ``features`` are those of its repository."""

    id: str
    text: str
    model: str
    agent: str
    repository: str
    features: Mapping[str, float]
    ratings: Mapping[str, float] | None
    cost_usd: float | None
    minutes: float | None


@dataclass(frozen=True)
class Replayed:
    """What was estimated of a row before its outcome was known, and the outcome."""

    row: Row
    score: float
    cost: Quantiles | None
    minutes: Quantiles | None

    def as_json(self) -> dict[str, Any]:
        """``{id, score, cost_usd: {p50, p90}, minutes: {p50, p90}}``; what is not known is null."""
        return {
            "id": self.row.id,
            "score": round(self.score, 1),
            "cost_usd": _shown(self.cost, lambda value: f"{value:.6f}"),
            "minutes": _shown(self.minutes, lambda value: round(value, 3)),
        }


def read(path: Path, features_at: Callable[[Path, str], Mapping[str, float]]) -> list[Row]:
    """The rows of a JSON Lines file. ``features_at(repository, text)`` looks at a repository that is named by its path.

    Raises UsageError with the line for what is no such row.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} can't be read: {error}") from error
    found = []
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            try:
                found.append(row_of(json.loads(line), features_at))
            except (ValueError, TypeError, KeyError, RecursionError) as error:
                said = f"no {error} in it" if isinstance(error, KeyError) else str(error)
                raise UsageError(
                    f"{path}:{number}: expected an object of id, text, repo, model, cost_usd, minutes: {said}"
                ) from error
    return found


def row_of(data: Any, features_at: Callable[[Path, str], Mapping[str, float]]) -> Row:
    """A row from JSON; ValueError, TypeError or KeyError for what is none."""
    if not isinstance(data, dict):
        raise TypeError("it is no object")
    text, repo = data["text"], data.get("repo")
    if not isinstance(text, str):
        raise TypeError("text is no text")
    if isinstance(repo, str):
        features, place = features_at(Path(repo), text), repo
    elif isinstance(repo, dict):
        features, place = given_features(repo), _place(data, repo)
    elif repo is None:
        features, place = {}, str(data.get("repository") or "")
    else:
        raise TypeError("repo is neither a path nor an object")
    return Row(
        id=str(data["id"]),
        text=text,
        model=str(data["model"]),
        agent=str(data.get("agent") or ""),
        repository=place,
        features=features,
        ratings=_ratings(data.get("ratings")),
        cost_usd=_number(data.get("cost_usd")),
        minutes=_number(data.get("minutes")),
    )


def replay(rows: Iterable[Row], using: Coefficients | None = None) -> list[Replayed]:
    """Each row estimated with what the rows before it have taught."""
    known = using or coefficients()
    calibration = Calibration(known)
    found = []
    for row in rows:
        features = {**text_features(row.text, known.vocabulary(row.text)), **row.features}
        before, model = priors(known, row.model), same(row.model)
        at = {"agent": row.agent, "repository": row.repository}
        score = known.score(
            known.effect("cost", features, row.ratings), calibration.effects, rated=row.ratings is not None
        )
        cost = calibration.predict("cost", model, before["cost"], features, row.ratings, **at)
        minutes = calibration.predict("minutes", model, before["minutes"], features, row.ratings, **at)
        found.append(Replayed(row, score, cost, minutes))
        run = Run(model, row.agent, row.repository, features, row.ratings, row.cost_usd, row.minutes, id=row.id)
        calibration.learn(run, before)
    return found


def metrics(replayed: Sequence[Replayed]) -> dict[str, Any]:
    """How good the estimates were, of cost and of minutes.

    ``coverage_p50`` and ``coverage_p90`` are shares of outcomes at or below; ``coverage_p90_from_11`` leaves out the
    first ten of each model; ``median_error_factor`` is the median of the larger of estimate/actual and actual/estimate;
    ``bias`` by model is the median of ln(actual/P50): above 0, it took more; ``rho`` is Spearman's.
    """
    return {
        "runs": len(replayed),
        "cost_usd": _of([(r.row.model, r.score, r.cost, r.row.cost_usd) for r in replayed]),
        "minutes": _of([(r.row.model, r.score, r.minutes, r.row.minutes) for r in replayed]),
    }


def _of(told: Sequence[tuple[str, float, Quantiles | None, float | None]]) -> dict[str, Any]:
    seen: dict[str, int] = {}
    pairs: list[tuple[str, int, float, Quantiles, float]] = []
    for model, score, quantiles, actual in told:
        if quantiles is not None and actual is not None and actual > 0:
            seen[model] = seen.get(model, 0) + 1
            pairs.append((model, seen[model], score, quantiles, actual))
    later = [pair for pair in pairs if pair[1] > LEARNING]
    errors = [math.log(actual / quantiles.p50) for _, _, _, quantiles, actual in pairs]
    bias: dict[str, list[float]] = {}
    for (model, *_), error in zip(pairs, errors, strict=True):
        bias.setdefault(model, []).append(error)
    return {
        "runs": len(pairs),
        "coverage_p50": _share(actual <= quantiles.p50 for _, _, _, quantiles, actual in pairs),
        "coverage_p90": _share(actual <= quantiles.p90 for _, _, _, quantiles, actual in pairs),
        "coverage_p90_from_11": _share(actual <= quantiles.p90 for _, _, _, quantiles, actual in later),
        "median_error_factor": round(math.exp(statistics.median(map(abs, errors))), 3) if errors else None,
        "within_2x": _share(abs(error) <= math.log(2) for error in errors),
        "bias": {model: round(statistics.median(values), 3) for model, values in sorted(bias.items())},
        "rho": _rounded(spearman([q.p50 for _, _, _, q, _ in pairs], [actual for *_, actual in pairs])),
        "rho_of_score": _rounded(spearman([score for _, _, score, _, _ in pairs], [actual for *_, actual in pairs])),
    }


def spearman(one: Sequence[float], other: Sequence[float]) -> float | None:
    """Spearman's rank correlation, ties at their mean rank; None where one of them does not vary."""
    if len(one) < 2:
        return None
    a, b = _ranks(one), _ranks(other)
    mean = (len(one) + 1) / 2
    top = math.fsum((x - mean) * (y - mean) for x, y in zip(a, b, strict=True))
    bottom = math.sqrt(math.fsum((x - mean) ** 2 for x in a) * math.fsum((y - mean) ** 2 for y in b))
    return top / bottom if bottom else None


def _ranks(values: Sequence[float]) -> list[float]:
    order = sorted(range(len(values)), key=values.__getitem__)
    found = [0.0] * len(values)
    at = 0
    while at < len(order):
        end = at
        while end + 1 < len(order) and values[order[end + 1]] == values[order[at]]:
            end += 1
        for place in order[at : end + 1]:
            found[place] = (at + end) / 2 + 1
        at = end + 1
    return found


def _place(data: Mapping[str, Any], repo: Mapping[str, Any]) -> str:
    """A name for the repository of an object: one that is given, else none (its size changes from commit to commit)."""
    return str(data.get("repository") or repo.get("repo") or repo.get("name") or "")


def _ratings(data: Any) -> dict[str, float] | None:
    if not isinstance(data, Mapping) or any(name not in data for name in RATINGS):
        return None
    return {name: float(data[name]) for name in RATINGS}


def _number(value: Any) -> float | None:
    if value is None or isinstance(value, bool):
        return None
    number = float(value)
    return number if math.isfinite(number) and number >= 0 else None


def _share(told: Iterable[bool]) -> float | None:
    values = list(told)
    return round(sum(values) / len(values), 3) if values else None


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)


def _shown(quantiles: Quantiles | None, form: Callable[[float], Any]) -> dict[str, Any] | None:
    return None if quantiles is None else {"p50": form(quantiles.p50), "p90": form(quantiles.p90)}
