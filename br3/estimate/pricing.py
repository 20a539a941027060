"""From the make-up of a run to dollars and back: tokens of each kind, at the prices of ``br3.models``.

Dollars are always those of the tokens that are told beside them. A kind of token that a model has no price for does not
exist at its vendor: it is counted as input.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Literal

from br3.errors import UsageError
from br3.estimate.calibration import Prior
from br3.estimate.model import Coefficients, Reference, Target
from br3.models import PriceRow, Tokens, rows
from br3.models.routing import same

Tier = Literal["strong", "middle", "small"]

# USD per million tokens of output from which on a model counts as of this tier.
_TIERS: tuple[tuple[Decimal, Tier], ...] = ((Decimal(20), "strong"), (Decimal(8), "middle"))
_MEASURED: dict[Target, tuple[str, ...]] = {
    "cost": ("claude-opus-4-5",),
    "minutes": ("claude-opus-4-5", "claude-haiku-4-5"),
}
_KINDS = ("input", "output", "cache_write_5m", "cache_read")


@dataclass(frozen=True)
class Rates:
    """What a run of a model is reckoned with: USD per million tokens by kind, and the make-up of a median run."""

    prices: dict[str, Decimal]
    reference: Reference

    @property
    def median_usd(self) -> float:
        """Dollars of the make-up as it stands."""
        return sum(float(self.prices[kind]) * count for kind, count in self._made_up().items()) / 1e6

    def tokens(self, cost_usd: float) -> Tokens:
        """The tokens, in the make-up of a median run, that cost about so much."""
        scale = cost_usd / self.median_usd if self.median_usd else 0.0
        return Tokens(**{kind: math.ceil(count * scale) for kind, count in self._made_up().items()})

    def usd(self, tokens: Tokens) -> Decimal:
        """What these tokens cost, exactly."""
        return sum((self.prices[kind] * getattr(tokens, kind) for kind in self.prices), Decimal(0)).scaleb(-6)

    def _made_up(self) -> dict[str, float]:
        found = dict.fromkeys(self.prices, 0.0)
        for kind in _KINDS:
            found[kind if kind in self.prices else "input"] += self.reference.tokens[kind]
        return found


def rates(coefficients: Coefficients, model: str, at: datetime | None = None) -> Rates | None:
    """Prices of a model today (or then) and what a run of it is like; None where its prices are not known."""
    row = _row(model, at or datetime.now(UTC))
    if row is None or row.input is None or row.output is None:
        return None
    prices = {kind: price for kind in _KINDS if (price := getattr(row, kind)) is not None}
    return Rates(prices, coefficients.references[tier(row.output)]) if any(prices.values()) else None


def tier(output_usd: Decimal) -> Tier:
    """How able a model is taken to be: as its maker prices its output."""
    return next((name for least, name in _TIERS if output_usd >= least), "small")


def priors(coefficients: Coefficients, model: str, at: datetime | None = None) -> dict[Target, Prior | None]:
    """ln of the median dollars and minutes of a model before any own run; cost is None without a price."""
    name = same(model)
    known = rates(coefficients, model, at)
    reference = known.reference if known else coefficients.references["middle"]
    return {
        "cost": Prior(math.log(known.median_usd), name in _MEASURED["cost"]) if known else None,
        "minutes": Prior(math.log(reference.minutes), name in _MEASURED["minutes"]),
    }


def _row(model: str, at: datetime) -> PriceRow | None:
    try:
        known = rows(same(model))
    except UsageError:  # of the user's own price list; br3 doctor says what is wrong with it
        return None
    fitting = [r for r in known if r.mode == "standard" and r.above_prompt_tokens == 0 and r.holds_on(at.date())]
    return fitting[0] if fitting else None
