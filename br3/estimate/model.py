"""The offline model: coefficients from ``coefficients.json``, and what they say of features. A dot product, no more.

``effect`` is in log units: what is to be added to ``ln`` of the median cost (or minutes) of a model. A feature adds
``weight · z``, where z is its distance from the mean in standard deviations, at most ±3; one that is not known adds
nothing. Scores are percentiles of the effect on cost among tasks of reference, or among own runs when there are enough.
"""

from __future__ import annotations

import json
import math
import re
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from br3.estimate.features import BY_NAME, words_of

PATH = Path(__file__).with_name("coefficients.json")

Target = Literal["cost", "minutes"]
Level = Literal["simple", "moderate", "complex"]

FARTHEST = 3.0
"""So many standard deviations from the mean count, however far a feature is: no text is an outlier without end."""
LEVELS: tuple[tuple[float, Level], ...] = ((40.0, "simple"), (75.0, "moderate"))
"""Below these percentiles; ``complex`` above. From ``VERY_COMPLEX`` on it is said to be among the largest."""
VERY_COMPLEX = 93.0
RATINGS = ("debugging_complexity", "codebase_scope", "solution_hint")
"""What Claude is asked for, each from 1 to 5."""
ENOUGH_FOR_PERCENTILES = 50


@dataclass(frozen=True)
class Line:
    """One feature of a model: where its middle is, how far it spreads, what one standard deviation adds to ``ln``."""

    mean: float
    deviation: float
    weight: float

    def effect(self, value: float) -> float:
        """What the feature adds at ``value``."""
        z = (value - self.mean) / self.deviation
        return self.weight * max(-FARTHEST, min(FARTHEST, z))


@dataclass(frozen=True)
class Reference:
    """What a task takes at the median, before anything is known of it, by how able (and dear) the model is."""

    tokens: Mapping[str, float]
    minutes: float


class Coefficients:
    """The contents of a coefficients file."""

    def __init__(self, data: Mapping[str, Any]) -> None:
        self.about: Mapping[str, Any] = data["about"]
        self.lines: dict[Target, dict[str, Line]] = {
            "cost": _lines(data["cost"]),
            "minutes": _lines(data["minutes"]),
        }
        self.rated: dict[Target, dict[str, Line]] = {
            "cost": _lines(data["rated"]["cost"]),
            "minutes": _lines(data["rated"]["minutes"]),
        }
        self.plan: dict[str, Line] = _lines(data["plan"])
        self.quantiles: dict[str, list[float]] = data["quantiles"]
        self.spread: dict[Target, float] = data["spread"]
        self.references = {name: Reference(**facts) for name, facts in data["references"].items()}
        self._words: Mapping[str, Sequence[float]] = data["vocabulary"]["words"]

    def vocabulary(self, text: str) -> float:
        """What the words of a text say: ln(story points) above the average; 0 where none of them is known."""
        counts = Counter(word for word in words_of(text) if word in self._words)
        if not counts:
            return 0.0
        total = squares = 0.0
        for word in sorted(counts):
            idf, weight = self._words[word]
            value = (1 + math.log(counts[word])) * idf
            squares += value * value
            total += value * weight
        return total / math.sqrt(squares)

    def effects(
        self, target: Target, features: Mapping[str, float], ratings: Mapping[str, float] | None = None
    ) -> dict[str, float]:
        """By feature, what it adds to ``ln`` of cost or minutes. With ``ratings`` the other features add less."""
        found = _effects(self.lines[target], features)
        if ratings is not None:
            rated = self.rated[target]
            share = rated["offline"].weight
            found = {name: share * effect for name, effect in found.items()}
            found |= _effects(rated, ratings)
        return found | _effects(self.plan, features)

    def effect(
        self, target: Target, features: Mapping[str, float], ratings: Mapping[str, float] | None = None
    ) -> float:
        """The sum of ``effects``."""
        return math.fsum(self.effects(target, features, ratings).values())

    def score(self, effect: float, own: Sequence[float] = (), *, rated: bool = False) -> float:
        """0 to 100: the percentile of an effect on cost among the reference and, the more there are, own runs'."""
        shipped = _percentile(self.quantiles["rated" if rated else "offline"], effect)
        if not own:
            return shipped
        share = len(own) / (len(own) + ENOUGH_FOR_PERCENTILES)
        return share * _percentile(sorted(own), effect) + (1 - share) * shipped


def level(score: float) -> Level:
    """The level of a score."""
    return next((name for below, name in LEVELS if score < below), "complex")


@cache
def coefficients() -> Coefficients:
    """Those that ship with br3."""
    return Coefficients(json.loads(PATH.read_bytes()))


def reasons(effects: Mapping[str, float], count: int = 3) -> tuple[str, ...]:
    """The features that moved an estimate most, in words, with the factor of each."""
    moving = sorted(
        (item for item in effects.items() if abs(item[1]) >= 0.005), key=lambda item: (-abs(item[1]), item[0])
    )
    return tuple(f"{_words(name, effect)} (×{math.exp(effect):.2f})" for name, effect in moving[:count])


_RATED = {
    "debugging_complexity": ("Claude finds the cause hard to find", "Claude finds the cause easy to find"),
    "codebase_scope": ("Claude expects changes in many places", "Claude expects a change in one place"),
    "solution_hint": ("Claude sees how to solve it", "Claude sees no hint at a solution"),
}


def _words(name: str, effect: float) -> str:
    lines = coefficients()
    line = lines.plan.get(name) or lines.lines["cost"].get(name) or lines.rated["cost"].get(name)
    high = (effect > 0) == (line is None or line.weight >= 0)
    if name in _RATED:
        return _RATED[name][0 if high else 1]
    return BY_NAME[name].high if high else BY_NAME[name].low


_RISKS: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (reason, re.compile(pattern, re.IGNORECASE))
    for reason, pattern in (
        (
            "authentication",
            r"\bauth(?:enticat\w+|oriz\w+|n|z)?\b|\blog-?ins?\b|\bpasswords?\b|\boauth\d?\b|\bsso\b|\bjwts?\b"
            r"|\bsession tokens?\b|\bpermissions?\b|(?:^|/)(?:auth|login|permissions?|sessions?)(?:/|\.|_)",
        ),
        (
            "migrations",
            r"\bmigrat(?:e|es|ing|ions?)\b|\bschema changes?\b|\balembic\b|\b(?:alter|drop) table\b"
            r"|(?:^|/)migrations?/",
        ),
        (
            "secrets",
            r"\bsecrets?\b|\bcredentials?\b|\bapi[ _-]?keys?\b|\bprivate keys?\b|\bencrypt\w*\b"
            r"|(?:^|/)(?:secrets?|crypto)(?:/|\.|_)|(?:^|/)\.env\b",
        ),
        (
            "deletion",
            r"\bdelet(?:e|es|ing|ion)\b|\bdrop (?:the )?(?:table|database|column|index)\b|\bpurg(?:e|es|ing)\b"
            r"|\btruncat(?:e|es|ing)\b|\bwip(?:e|es|ing)\b|\brm -rf?\b",
        ),
        (
            "release paths",
            r"\breleas(?:e|es|ing)\b|\bdeploy(?:s|ed|ing|ment|ments)?\b|\bpublish(?:es|ing)?\b|\bproduction\b|\brollbacks?\b"
            r"|(?:^|/)(?:\.github/workflows|deploy|release|terraform|helm|k8s)(?:/|\.|_)",
        ),
    )
)


def risks(text: str, paths: Iterable[str] = ()) -> tuple[str, ...]:
    """Why mistakes in this task could hurt, each in a few words; empty where nothing was found. No measure of effort.

    Read are the text and ``paths``: those that the plan says will be changed (not those that only match).
    """
    found = []
    named = sorted(set(paths))
    for reason, pattern in _RISKS:
        said = pattern.search(text[:200_000])
        if said:
            found.append(f"{reason}: it says “{' '.join(said[0].strip('/._').split())[:40]}”")
        elif path := next((path for path in named if pattern.search(path)), None):
            found.append(f"{reason}: it changes {path}")
    return tuple(found)


def _lines(data: Mapping[str, Sequence[float]]) -> dict[str, Line]:
    return {name: Line(*numbers) for name, numbers in data.items()}


def _effects(lines: Mapping[str, Line], values: Mapping[str, float]) -> dict[str, float]:
    return {
        name: line.effect(values[name])
        for name, line in lines.items()
        if name in values and math.isfinite(values[name])
    }


def _percentile(ordered: Sequence[float], value: float) -> float:
    """Where a value stands among ordered ones, 0 to 100; between two of them by how near it is."""
    if not ordered:
        return 50.0
    left, right = bisect_left(ordered, value), bisect_right(ordered, value)
    if left != right or left in (0, len(ordered)):
        place = (left + right) / 2
    else:
        below, above = ordered[left - 1], ordered[left]
        place = left - 0.5 + (value - below) / (above - below)
    return max(0.0, min(100.0, 100.0 * place / len(ordered)))
