"""Which model takes over when one cannot go on: a pure answer from a list of models and what has been tried.

A list (a *ladder*) is in the order in which to climb: cheap first where br3 brings it, as the plan has it otherwise.
Sizes and prices are asked of the catalog; of a model that it does not know nothing is assumed, and it is no answer to a
question about size or speed.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Literal

from br3.errors import UsageError
from br3.models.catalog import canonical, find
from br3.models.families import newest
from br3.models.table import PriceRow

Wanted = Literal["larger_context", "faster", "other", "stronger"]
"""What is asked of the next model: a larger context, a quicker answer, to be another one, to be more able."""


def next_model(
    wanted: Wanted, model: str | None, ladder: Sequence[str], tried: Collection[str] = (), *, at: datetime | None = None
) -> str | None:
    """The model to turn to from ``model`` (None: the agent's own choice, not known); None when there is none.

    ``tried`` are models that have failed at this before, by any of their names; they are not answered again. ``other``
    is the next one up the ladder, then those below, nearest first.
    """
    spent = {same(name) for name in [*tried, *([model] if model else [])]}
    open_ = [name for name in ladder if same(name) not in spent]
    places = [same(name) for name in ladder]
    place = places.index(same(model)) if model and same(model) in places else None
    above = [name for name in ladder[place + 1 :] if name in open_] if place is not None else open_
    if wanted == "stronger":
        # Of a model that is not in the list it is not known which ones are above it.
        return above[0] if above and place is not None else None
    if wanted == "other":
        below = [name for name in reversed(ladder[:place]) if name in open_] if place is not None else []
        return next(iter([*above, *below]), None)
    if wanted == "larger_context":
        size = context_tokens(model) if model else None
        larger = [(found, name) for name in open_ if (found := context_tokens(name)) and size and found > size]
        return min(larger, key=lambda one: one[0])[1] if larger else None
    day = at or datetime.now(UTC)
    price = output_price(model, day) if model else None
    quicker = [(cost, name) for name in open_ if (cost := output_price(name, day)) and price and cost < price]
    return max(quicker, key=lambda one: one[0])[1] if quicker else None


def same(name: str) -> str:
    """One name for a model, whatever it was called by: short names, vendors' prefixes, dated snapshots."""
    bare = name.strip().lower().removesuffix("[1m]")
    try:
        return canonical(newest(bare) or bare)
    except UsageError:  # of the user's own price list; br3 doctor says what is wrong with it
        return bare


def known(name: str) -> bool:
    """Whether the catalog has a model of that name. Raises UsageError for a models.toml that is wrong."""
    bare = name.strip().lower().removesuffix("[1m]")
    return newest(bare) is not None or find(bare) is not None


def context_tokens(name: str) -> int | None:
    """How many tokens its context holds; None when the catalog does not say."""
    try:
        found = find(same(name))
    except UsageError:
        return None
    if found is None:
        return None
    sizes = [row.context_tokens for row in found.rows if row.context_tokens]
    return found.context_tokens or max(sizes, default=None)


def output_price(name: str, at: datetime) -> Decimal | None:
    """USD per million tokens of output on that day: models of one maker are slower the dearer they are."""
    try:
        found = find(same(name))
    except UsageError:
        return None
    today: list[PriceRow] = [r for r in found.rows if r.mode == "standard" and r.holds_on(at.date())] if found else []
    prices = [row.output for row in today if row.output is not None and row.above_prompt_tokens == 0]
    return min(prices, default=None)
