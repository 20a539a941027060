"""The estimate of a build, a plan or a sentence: everything of this room put together. Pure, but for ``look``.

facts = look(git, common_dir, commit, text)              # the repository: probable files and their features
history = learned(own_runs_of(common_dir))               # own runs
made = estimate(text, facts, history, ["sonnet", "opus"], plan=facts_of_build(build, tracked))
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from br3.estimate import retrieval
from br3.estimate.calibration import PRIOR_ONLY_BELOW, Calibration, Prior, Quantiles, Run
from br3.estimate.features import (
    PlanFacts,
    new_and_changed,
    plan_features,
    repository_features,
    text_features,
)
from br3.estimate.index import directory, index_of
from br3.estimate.model import (
    VERY_COMPLEX,
    Coefficients,
    Level,
    Target,
    coefficients,
    level,
    reasons,
    risks,
)
from br3.estimate.pricing import priors, rates
from br3.estimate.ratings import Asking, NotRated, Rated, rate
from br3.models import Tokens
from br3.models.routing import same
from br3.plan.globs import matches
from br3.plan.model import Build
from br3.repo.refs import resolve
from br3.repo.runner import Git
from br3.repo.worktrees import discover


@dataclass(frozen=True)
class Looked:
    """What a repository says to a text: features, and the probable files with their scores (the best has 1)."""

    features: Mapping[str, float] = field(default_factory=dict)
    files: tuple[tuple[str, float], ...] = ()
    repository: str = ""


@dataclass(frozen=True)
class MinutesRange:
    """Minutes at P50 and P90."""

    p50: float
    p90: float


@dataclass(frozen=True)
class UsdRange:
    """Dollars at P50 and P90, and the tokens that cost exactly as much by the price table; None without a price."""

    p50: Decimal
    p90: Decimal
    tokens_p50: Tokens | None
    tokens_p90: Tokens | None
    own_runs: int = 0


@dataclass(frozen=True)
class Estimate:
    """What a piece of work will take.

    ``cost_usd`` is by model as it was asked for, None where neither a price nor own runs are known. ``minutes`` are of
    the first model. ``prior_only``: fewer than five own runs of it are known. ``critical_because`` are reasons for
    care, not for effort. ``offline_because`` says why there are no ratings although they were asked for.
    """

    score: float
    level: Level
    critical: bool
    critical_because: tuple[str, ...]
    minutes: MinutesRange
    minutes_by_model: Mapping[str, MinutesRange]
    cost_usd: Mapping[str, UsdRange | None]
    files: tuple[tuple[str, float], ...]
    reasons: tuple[str, ...]
    own_runs: int
    prior_only: bool
    features: Mapping[str, float]
    ratings: Mapping[str, float] | None = None
    offline_because: str | None = None

    @property
    def among_the_largest(self) -> bool:
        """Whether hardly any task of reference is larger."""
        return self.score >= VERY_COMPLEX

    def event(self, model: str, kind: str = "") -> dict[str, Any]:
        """The data of ``estimate.made`` for one model: what a report shows, and what own history learns from."""
        cost, minutes = self.cost_usd.get(model), self.minutes_by_model.get(model, self.minutes)
        return {
            "model": model,
            "score": round(self.score, 2),
            "level": self.level,
            "critical": self.critical,
            "minutes_p50": round(minutes.p50, 3),
            "minutes_p90": round(minutes.p90, 3),
            "cost_p50_usd": f"{cost.p50:f}" if cost else None,
            "cost_p90_usd": f"{cost.p90:f}" if cost else None,
            "work": kind,
            "features": {name: round(value, 5) for name, value in sorted(self.features.items())},
            "ratings": dict(self.ratings) if self.ratings else None,
            "files": [path for path, _ in self.files[:5]],
        }


@dataclass(frozen=True)
class History:
    """Own runs, and what they have taught."""

    calibration: Calibration
    runs: tuple[Run, ...] = ()


def learned(runs: Iterable[Run] = (), using: Coefficients | None = None, at: datetime | None = None) -> History:
    """Own history from finished runs in the order in which they ended. ``at``: the day whose prices the priors have."""
    known = using or coefficients()
    kept = tuple(runs)
    before: dict[str, Mapping[Target, Prior | None]] = {}
    for run in kept:
        before.setdefault(run.model, priors(known, run.model, at))
    return History(Calibration(known, ((run, before[run.model]) for run in kept)), kept)


def look(git: Git, common_dir: Path, commit: str, text: str, *, repository: str = "", count: int = 10) -> Looked:
    """The probable files of a task and the features of its repository at a commit, whose index is kept."""
    index = index_of(git, common_dir, commit)
    matching = retrieval.ranked(index, text, count)
    features = repository_features(retrieval.facts_of(index, matching))
    return Looked(features, tuple((match.path, round(match.score, 4)) for match in matching), repository)


def look_at(path: Path, text: str) -> Looked:
    """As ``look``, of the commit that is checked out at a path; nothing where the repository has no commit yet.

    Raises UsageError for a path that does not exist or lies in no repository.
    """
    found = discover(path)
    head = resolve(Git(path), "HEAD")
    if head is None:
        return Looked(repository=str(found.common_dir))
    return look(found.git, found.common_dir, head, text, repository=str(found.common_dir))


def asking_in(common_dir: Path, model: str = "haiku", **how: Any) -> Asking:
    """How to ask for ratings, which are kept beside the indexes of a repository."""
    return Asking(model=model, kept_in=directory(common_dir), **how)


def estimate(
    text: str,
    facts: Looked,
    history: History,
    models: Sequence[str],
    *,
    agent: str = "",
    plan: PlanFacts | None = None,
    paths: Iterable[str] = (),
    rated: Rated | NotRated | None = None,
    at: datetime | None = None,
) -> Estimate:
    """The estimate of a text.

    ``models`` by any of their names, the one to be used first; ``paths``: what the plan says will be changed, read for
    risks; ``rated``: what ``ratings.rate`` answered. Raises ValueError without a model.
    """
    if not models:
        raise ValueError("an estimate is of at least one model")
    calibration = history.calibration
    known = calibration.coefficients
    features = {**text_features(text, known.vocabulary(text)), **facts.features}
    if plan is not None:
        features |= plan_features(plan)
    ratings = dict(rated.ratings) if isinstance(rated, Rated) else None
    effects = known.effects("cost", features, ratings)
    score = known.score(math.fsum(effects.values()), calibration.effects, rated=ratings is not None)
    minutes: dict[str, MinutesRange] = {}
    cost: dict[str, UsdRange | None] = {}
    for model in models:
        name, before = same(model), priors(known, model, at)

        def told(target: Target, name: str = name, before: Mapping[Target, Prior | None] = before) -> Quantiles | None:
            return calibration.predict(
                target, name, before[target], features, ratings, agent=agent, repository=facts.repository
            )

        spent, lasting = told("cost"), told("minutes")
        cost[model] = _usd(known, model, spent, at) if spent else None
        if lasting:
            minutes[model] = MinutesRange(lasting.p50, lasting.p90)
    own = calibration.runs_of(same(models[0]), agent)
    careful = risks(text, paths)
    return Estimate(
        score=score,
        level=level(score),
        critical=bool(careful),
        critical_because=careful,
        minutes=minutes[models[0]],
        minutes_by_model=minutes,
        cost_usd=cost,
        files=facts.files,
        reasons=reasons(effects),
        own_runs=own,
        prior_only=own < PRIOR_ONLY_BELOW,
        features=features,
        ratings=ratings,
        offline_because=rated.said if isinstance(rated, NotRated) else None,
    )


def text_of_build(build: Build) -> str:
    """All that a build's agents are told: its title and prompt, each task's, and the deliverables."""
    parts = [build.title, build.prompt]
    for task in build.tasks:
        parts += [task.title if task.title != build.title else "", task.prompt]
        parts += [f"- {line}" for line in task.deliverables]
    parts += [f"- {line}" for line in build.deliverables]
    return "\n".join(dict.fromkeys(part.strip() for part in parts if part.strip()))


def facts_of_build(build: Build, tracked: Sequence[str] | None = None) -> PlanFacts:
    """What the plan says of a build. ``tracked`` are the repository's files, to count those that ``owns`` covers."""
    lines = [*build.deliverables, *(line for task in build.tasks for line in task.deliverables)]
    new, changed = new_and_changed([*lines, *build.prompt.splitlines()[:2000]])
    minutes = [task.minutes for task in build.tasks if task.minutes is not None]
    return PlanFacts(
        tasks=len(build.tasks),
        deliverables=len(lines),
        new_files=new,
        changed_files=changed,
        owned_files=owned_files(build.owns, tracked),
        minutes=sum(minutes) if minutes else None,
        verification=len(build.verify.run),
    )


def owned_files(owns: Sequence[str], tracked: Sequence[str] | None) -> int:
    """How many files ``owns`` covers; a pattern that names none yet is a file to be made. Never less for more of it."""
    if tracked is None:
        return len(set(owns))
    covered: set[str] = set()
    to_make = 0
    for pattern in sorted(set(owns)):
        named = [path for path in tracked if matches(pattern, path)]
        covered.update(named)
        to_make += not named
    return len(covered) + to_make


def estimate_build(
    build: Build,
    facts: Looked,
    history: History,
    models: Sequence[str],
    *,
    tracked: Sequence[str] | None = None,
    rated: Rated | NotRated | None = None,
    at: datetime | None = None,
) -> Estimate:
    """The estimate of one build of a plan; ``facts`` are what ``look`` found for ``text_of_build(build)``."""
    agent = next((task.agent for task in build.tasks), "")
    return estimate(
        text_of_build(build),
        facts,
        history,
        models,
        agent=agent,
        plan=facts_of_build(build, tracked),
        paths=build.owns,
        rated=rated,
        at=at,
    )


def rated_by_claude(text: str, facts: Looked, asking: Asking) -> Rated | NotRated:
    """Ratings of a text with the five files that match best."""
    return rate(text, [path for path, _ in facts.files[:5]], asking)


@dataclass(frozen=True)
class Overlap:
    """Two builds that will probably touch the same files."""

    a: str
    b: str
    files: tuple[str, ...]

    @property
    def said(self) -> str:
        """For people."""
        return f"{self.a} and {self.b} will probably both touch {', '.join(self.files)}"


def overlaps(files: Mapping[str, Sequence[tuple[str, float]]], least: float = 0.5, among: int = 5) -> list[Overlap]:
    """Builds (by id) that share probable files: among the first five of both, with at least half the best score."""
    likely = {build: {path for path, score in found[:among] if score >= least} for build, found in files.items()}
    builds = list(files)
    return [
        Overlap(a, b, tuple(sorted(shared)))
        for at, a in enumerate(builds)
        for b in builds[at + 1 :]
        if (shared := likely[a] & likely[b])
    ]


_MILLIONTH = Decimal("0.000001")


def _usd(known: Coefficients, model: str, spent: Quantiles, at: datetime | None) -> UsdRange:
    priced = rates(known, model, at)
    if priced is None:
        return UsdRange(_decimal(spent.p50), _decimal(spent.p90), None, None, spent.own_runs)
    p50, p90 = priced.tokens(spent.p50), priced.tokens(spent.p90)
    return UsdRange(priced.usd(p50), priced.usd(p90), p50, p90, spent.own_runs)


def _decimal(value: float) -> Decimal:
    return Decimal(value).quantize(_MILLIONTH)
