"""How often the work of a tier of models was accepted, and what it cost, in own runs: what routing decides by."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING

from br3.estimate.estimating import Estimate, UsdRange
from br3.models.cascade import PRIORS, Beta, Option, easier_of
from br3.models.families import tier_of
from br3.models.routing import same

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_Z90 = 1.2815515655446004  # of the standard normal distribution
_MOST_SPREAD = 3.0


@dataclass(frozen=True)
class Tried:
    """One build's first model: whether its work was accepted as it was, and what the build cost (USD)."""

    model: str
    accepted: bool
    cost_usd: float | None


def tried_in(db: DuckDBPyConnection) -> list[Tried]:
    """The finished builds of an analytics file whose model is known, in the order in which they ended."""
    statement = (resources.files("br3.estimate") / "sql" / "experience.sql").read_text(encoding="utf-8")
    rows = db.execute(statement).fetchall()
    return [Tried(same(model), bool(accepted), None if usd is None else float(usd)) for model, accepted, usd in rows]


def options(estimate: Estimate, models: Sequence[str], tried: Iterable[Tried] = ()) -> list[Option]:
    """The models that a router may choose from, in the order given (weakest first); without a price none is one.

    Acceptance is that of the tier: a prior worth ten runs, and own runs.
    """
    known = list(tried)
    found = []
    for model in models:
        cost = estimate.cost_usd.get(model)
        tier = tier_of(same(model)) or "medium"
        if cost is None:
            continue
        of_tier = [one for one in known if (tier_of(one.model) or "medium") == tier]
        passed = sum(one.accepted for one in of_tier)
        belief: Beta = PRIORS[tier].after(passed, len(of_tier) - passed)
        own = [one for one in known if one.model == same(model) and one.cost_usd]
        easier = easier_of([o.cost_usd or 0 for o in own if o.accepted], [o.cost_usd or 0 for o in own])
        found.append(Option(model, mean_usd(cost), belief, easier))
    return found


def mean_usd(cost: UsdRange) -> float:
    """The mean of a cost that is told by P50 and P90, which is above P50: it is spread as a lognormal is."""
    p50 = float(cost.p50)
    return p50 * math.exp(spread(cost) ** 2 / 2)


def spread(cost: UsdRange) -> float:
    """The standard deviation of ln(cost), at most 3."""
    p50, p90 = float(cost.p50), float(cost.p90)
    return min(_MOST_SPREAD, math.log(p90 / p50) / _Z90) if 0 < p50 <= p90 else 0.0


def percentile_usd(cost: UsdRange, percent: float) -> float:
    """The cost that so many of a hundred such tasks stay below; ``percent`` above 0 and below 100."""
    from statistics import NormalDist

    return float(cost.p50) * math.exp(spread(cost) * NormalDist().inv_cdf(percent / 100))
