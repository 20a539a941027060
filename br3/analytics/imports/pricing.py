"""Prices laid out for a join: ``models.price`` for hundreds of thousands of messages at once.

The answer depends on the model, the mode, the day and on how long the prompt is; of the first three there are few
combinations, so that each gets its rows of (shortest, longest prompt, price). Prices are whole numbers of a unit that
divides them all, so that the sums are exact.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from br3.models import PriceRow, rows

KINDS = ("input", "output", "cache_write_5m", "cache_write_1h", "cache_read")
LONGEST_PROMPT = (1 << 62) - 1
_COST_DECIMALS = 10
_PER_TOKENS_DECIMALS = 6


@dataclass(frozen=True)
class Span:
    """Prompts of ``shortest`` to ``longest`` tokens and the row they are priced at, if any."""

    shortest: int
    longest: int
    row: PriceRow | None


def spans(model: str, mode: str, day: date) -> Iterator[Span]:
    """All lengths of prompts on one UTC day, each with its price. UsageError for a models.toml that is wrong."""
    steps: dict[int, PriceRow] = {}
    for row in rows(model):
        if row.mode == mode and row.holds_on(day):
            steps.setdefault(row.above_prompt_tokens, row)
    shortest, current = 0, steps.get(0)
    for above in sorted(steps):
        if above > 0:
            yield Span(shortest, above, current)
            shortest, current = above + 1, steps[above]
    yield Span(shortest, LONGEST_PROMPT, current)


def decimals(priced: Iterable[PriceRow]) -> int:
    """How many decimals make every price (USD per million tokens) a whole number, and a cost one of 1e-10 USD."""
    found = [-int(price.as_tuple().exponent) for row in priced for price in _prices(row)]
    return max([_COST_DECIMALS - _PER_TOKENS_DECIMALS, *found])


def in_units(row: PriceRow | None, kind: str, decimals: int) -> int | None:
    """A price as a whole number; None: unknown."""
    price: Decimal | None = getattr(row, kind, None)
    return None if price is None else int(price.scaleb(decimals))


def units_per_cost(decimals: int) -> int:
    """How many units (of tokens times price) make 1e-10 USD."""
    return int(10 ** (decimals + _PER_TOKENS_DECIMALS - _COST_DECIMALS))


def _prices(row: PriceRow) -> Iterator[Decimal]:
    yield from (price for kind in KINDS if (price := getattr(row, kind)) is not None)
