"""What the builds of a plan will take, and which model begins: asked before a run spends money.

One look at the repository and at own history serves all builds. What was found is kept in the run's directory
(``estimates.json``), where its orchestrators choose models by it, and as ``estimate.made`` events.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from br3.agents import Agent, agent
from br3.agents.keys import find
from br3.errors import Br3Error
from br3.estimate.calibration import Run
from br3.estimate.estimating import (
    Estimate,
    History,
    Looked,
    MinutesRange,
    Overlap,
    UsdRange,
    asking_in,
    estimate,
    estimate_build,
    learned,
    look,
    overlaps,
    rated_by_claude,
    text_of_build,
)
from br3.estimate.experience import Tried, options, percentile_usd, tried_in
from br3.estimate.history import own_runs
from br3.estimate.ratings import NotRated, Rated, Spent
from br3.models import Tokens
from br3.models.cascade import Decision, Policy, decide
from br3.orchestrator.choosing import FORECASTS
from br3.plan.globs import matches
from br3.plan.model import UNPRICED, Build, Plan
from br3.plan.order import needs_closure, order_of_fewest_conflicts
from br3.repo.runner import Git
from br3.repo.worktrees import Repository


@dataclass(frozen=True)
class Ground:
    """What all estimates of a repository share. ``warning`` says what could not be read."""

    git: Git
    common_dir: Path
    commit: str
    history: History
    tried: tuple[Tried, ...] = ()
    tracked: tuple[str, ...] = ()
    warning: str | None = None
    env_file: Path | None = None

    def look(self, text: str) -> Looked:
        """The probable files of a text."""
        return look(self.git, self.common_dir, self.commit, text, repository=str(self.common_dir))

    def rated(self, text: str, found: Looked) -> Rated | NotRated:
        """Claude's ratings; the key comes from the environment, else from ``.env``, and is looked at first."""
        key = next(iter(find(agent("claude"), os.environ, self.env_file)), None)
        asking = asking_in(self.common_dir)
        if key is not None and key.complaint:
            return NotRated("no key", key.complaint, Spent(asking.model))
        if key is not None and key.variable == "ANTHROPIC_API_KEY":
            asking = replace(asking, api_key=key.value)
        return rated_by_claude(text, found, asking)


@dataclass(frozen=True)
class Forecast:
    """What one build will take. ``decision`` says which model begins; None where the agent has no price.

    ``models`` are those that were compared, weakest first; ``rated``: what asking Claude came to, if it was asked.
    """

    build: str
    agent: str
    estimate: Estimate
    models: tuple[str, ...]
    decision: Decision | None
    rated: Rated | NotRated | None = None

    @property
    def priced(self) -> bool:
        return self.decision is not None

    @property
    def model(self) -> str:
        """The model that begins."""
        return self.decision.model if self.decision else self.models[0]

    def usd(self) -> tuple[Decimal, Decimal] | None:
        """P50 and P90 of the way that was chosen; None without a price."""
        if self.decision is None:
            return None
        # The first model alone, and at P90 all that it may have to be handed on to.
        costs = [self.estimate.cost_usd.get(model) for model in self.decision.way.models]
        known = [cost for cost in costs if cost is not None]
        if not known:
            return None
        return known[0].p50, max(known[0].p90, max(cost.p90 for cost in known))


def ground_of(repository: Repository, commit: str) -> Ground:
    """Look at own history once. An analytics file that cannot be read is told of, and estimates do without it."""
    from br3.analytics import analytics_path, reading

    common_dir = repository.common_dir
    runs: list[Run] = []
    tried: list[Tried] = []
    warning = None
    try:
        if analytics_path(common_dir).exists():
            with reading(common_dir) as db:
                runs, tried = own_runs(db, str(common_dir)), tried_in(db)
    except Br3Error as error:
        warning = f"own runs could not be read, so estimates do without them: {error.message}"
    git = repository.git
    tracked = tuple(git("ls-tree", "-r", "-z", "--name-only", commit).fields)
    env_file = repository.worktree / ".env" if repository.worktree else None
    return Ground(git, common_dir, commit, learned(runs), tuple(tried), tracked, warning, env_file)


def forecast(ground: Ground, plan: Plan, build: Build, *, ai: bool = False) -> Forecast:
    """The estimate of one build, and the decision which model begins."""
    task = build.tasks[0]
    found = ground.look(text_of_build(build))
    known = None if task.agent in UNPRICED else agent(task.agent)
    models = models_for(known, task.model, build.fallback)
    rated = None
    if ai and known is not None:
        rated = ground.rated(text_of_build(build), found)
    made = estimate_build(build, found, ground.history, _first(models, task.model), tracked=ground.tracked, rated=rated)
    if made.prior_only and len(build.tasks) > 1:
        made = _times(made, len(build.tasks))
    decision = None
    if known is not None:
        decision = decided(made, models, ground.tried, task.policy, task.model)
    return Forecast(build.id, task.agent, made, models, decision, rated)


def _times(made: Estimate, tasks: int) -> Estimate:
    """Other people's medians are of one conversation; each task is one. Own runs are of whole builds already."""

    def usd(cost: UsdRange) -> UsdRange:
        told = [None if one is None else _tokens(one, tasks) for one in (cost.tokens_p50, cost.tokens_p90)]
        return replace(cost, p50=cost.p50 * tasks, p90=cost.p90 * tasks, tokens_p50=told[0], tokens_p90=told[1])

    def minutes(one: MinutesRange) -> MinutesRange:
        return MinutesRange(one.p50 * tasks, one.p90 * tasks)

    return replace(
        made,
        minutes=minutes(made.minutes),
        minutes_by_model={model: minutes(one) for model, one in made.minutes_by_model.items()},
        cost_usd={model: None if cost is None else usd(cost) for model, cost in made.cost_usd.items()},
    )


def _tokens(one: Tokens, times: int) -> Tokens:
    counts = (one.input, one.output, one.cache_write_5m, one.cache_write_1h, one.cache_read)
    return Tokens(*(count * times for count in counts))


def forecast_text(
    ground: Ground, text: str, models: Sequence[str], *, ai: bool = False, paths: Sequence[str] = ()
) -> Forecast:
    """The same for a sentence that is in no plan."""
    found = ground.look(text)
    rated = ground.rated(text, found) if ai else None
    made = estimate(text, found, ground.history, models, paths=paths, rated=rated)
    return Forecast("", "", made, tuple(models), decided(made, models, ground.tried, "cascade", "auto"), rated)


def decided(
    made: Estimate,
    models: Sequence[str],
    tried: Sequence[Tried],
    policy: str,
    model: str,
    cost_limit_usd: float | None = None,
) -> Decision | None:
    """Which model begins; None where none of them has a price."""
    choices = options(made, models, tried)
    if not choices:
        return None
    named = None if model == "auto" else model
    kind: Policy = "best" if policy == "best" else "cascade"
    return decide(choices, policy=kind, risks=made.critical_because, fixed=named, cost_limit_usd=cost_limit_usd)


def models_for(known: Agent | None, model: str, fallback: Sequence[str] | None) -> tuple[str, ...]:
    """The models that a build may use, weakest first; what is estimated for an agent without models is Claude's."""
    ladder = tuple(fallback) if fallback else known.ladder if known and known.ladder else agent("claude").ladder
    if model == "auto" or model in ladder:
        return ladder
    return (model, *ladder) if fallback else (*ladder, model)


def write(run_dir: Path, forecasts: Sequence[Forecast], stop_at: float) -> None:
    """Keep what orchestrators decide by, beside what was kept for other builds of the run."""
    try:
        found: dict[str, Any] = json.loads((run_dir / FORECASTS).read_text())
    except (OSError, ValueError):
        found = {}
    for one in forecasts:
        if one.decision is None:
            continue
        costs = {}
        for model in one.models:
            cost = one.estimate.cost_usd.get(model)
            if cost is not None:
                # Of other people's runs too little is known of how dear the dearest are.
                stops = 0 < stop_at < 100 and not one.estimate.prior_only
                limit = percentile_usd(cost, stop_at) if stops else None
                costs[model] = {"p90_usd": str(cost.p90), "stop_usd": None if limit is None else f"{limit:.6f}"}
        found[one.build] = {
            "model": one.decision.model,
            "reason": one.decision.reason,
            "order": list(one.decision.way.models),
            "expected_usd": f"{one.decision.way.cost_usd:.6f}",
            "chance": round(one.decision.way.chance, 4),
            "costs": costs,
        }
    run_dir.mkdir(parents=True, exist_ok=True)
    draft = run_dir / f".{FORECASTS}"
    draft.write_text(json.dumps(found))
    draft.replace(run_dir / FORECASTS)


def summed(forecasts: Sequence[Forecast]) -> tuple[Decimal, Decimal]:
    """P50 and P90 of all builds that have a price, in USD.

    P90s are not added up: that all builds are dear at once is rarer than one in ten. Their distances from P50 add up
    like independent errors.
    """
    known = [usd for one in forecasts if (usd := one.usd()) is not None]
    p50 = sum((low for low, _ in known), Decimal(0))
    over = sum(((high - low) ** 2 for low, high in known), Decimal(0)).sqrt()
    return p50, p50 + over


def likely_overlaps(plan: Plan | None, files: Mapping[str, Sequence[tuple[str, float]]]) -> list[Overlap]:
    """Builds that will probably touch the same files, where nothing in the plan says that they do not.

    Left out are those of which one needs the other, and files that only one of the two may change.
    """
    found = []
    for pair in overlaps(files):
        if plan is None:
            found.append(pair)
            continue
        a, b = plan.build(pair.a), plan.build(pair.b)
        if a.id in needs_closure(plan, b.id) or b.id in needs_closure(plan, a.id):
            continue
        shared = tuple(f for f in pair.files if all(not x.owns or any(matches(p, f) for p in x.owns) for x in (a, b)))
        if shared:
            found.append(Overlap(pair.a, pair.b, shared))
    return found


def landing_order_for(plan: Plan, pairs: Sequence[Overlap]) -> list[str]:
    """The builds in an order to land in: the plan's own, and where it leaves it open, those without overlaps first.

    What lands first never conflicts; the fewer builds are left that share files with others, the later they come.
    """
    return order_of_fewest_conflicts(plan, {frozenset((pair.a, pair.b)) for pair in pairs})


def as_json(one: Forecast) -> dict[str, Any]:
    """The shape of DESIGN §9."""
    made = one.estimate
    return {
        "id": one.build or None,
        "score": round(made.score, 1),
        "level": made.level,
        "critical": made.critical,
        "critical_because": list(made.critical_because),
        "minutes": {"p50": round(made.minutes.p50, 2), "p90": round(made.minutes.p90, 2)},
        "cost_usd": {model: _cost_json(made.cost_usd.get(model)) for model in one.models},
        "files": [{"path": path, "score": score} for path, score in made.files],
        "model": one.model if one.priced else None,
        "policy": list(one.decision.way.models) if one.decision else [],
        "reason": one.decision.reason if one.decision else None,
        "warning": one.decision.warning if one.decision else None,
        "reasons": list(made.reasons),
        "own_runs": made.own_runs,
        "prior_only": made.prior_only,
        "ratings": dict(made.ratings) if made.ratings else None,
        "offline_because": made.offline_because,
    }


def _cost_json(cost: UsdRange | None) -> dict[str, Any] | None:
    if cost is None:
        return None
    tokens = {
        name: None if one is None else one.prompt + one.output
        for name, one in (("tokens_p50", cost.tokens_p50), ("tokens_p90", cost.tokens_p90))
    }
    return {"p50": f"{cost.p50:f}", "p90": f"{cost.p90:f}", **tokens}


def base_commit(repository: Repository, base: str | None) -> str:
    """What estimates look at: the base branch, else HEAD."""
    from br3.repo import refs

    for name in ([f"refs/heads/{base}"] if base else []) + ["HEAD"]:
        found = refs.resolve(repository.git, name)
        if found:
            return found
    from br3.errors import UsageError

    raise UsageError("the repository has no commit yet, so there is nothing to look at", hint="git commit first")


def _first(models: Sequence[str], model: str) -> list[str]:
    """The models with the one that is asked for first."""
    return list(dict.fromkeys([model, *models])) if model != "auto" else list(models)
