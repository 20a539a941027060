"""Words that more than one room says the same way."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from decimal import Decimal


def paid(cost: Decimal | None, known: Decimal | None) -> str:
    """What was paid, in cents: all of it, or what is known of it; a dash where nothing is."""
    if cost is not None:
        return f"{cost:.2f} USD"
    return "–" if known is None else f"≥ {known:.2f} USD"


def counted(number: int, thing: str) -> str:
    """A number and its noun: 1 build, 2 builds."""
    return f"{number:,} {thing}" if number == 1 else f"{number:,} {thing}s"
