"""What a request cost: tokens times prices, exactly."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_EVEN, Context, Decimal, localcontext

from br3.models.catalog import rows
from br3.models.names import SYNTHETIC
from br3.models.table import KINDS, Mode, PriceRow

_TENTH_DECIMAL = Decimal("1E-10")
# Wide enough that only the last step rounds, whatever context the caller has set.
_EXACT = Context(prec=100, rounding=ROUND_HALF_EVEN)


@dataclass(frozen=True)
class Tokens:
    """Tokens of one request, by what they cost; ``input`` is without those written to or read from a cache."""

    input: int = 0
    output: int = 0
    cache_write_5m: int = 0
    cache_write_1h: int = 0
    cache_read: int = 0

    @property
    def prompt(self) -> int:
        """All that was sent: what tiers go by."""
        return self.input + self.cache_write_5m + self.cache_write_1h + self.cache_read


@dataclass(frozen=True)
class Priced:
    """``cost_usd`` to ten decimals, None for unknown; ``price`` is the id of the row that was applied, if any was."""

    cost_usd: Decimal | None
    price: str | None


def price(model: str, at: datetime, tokens: Tokens, *, batch: bool = False, fast: bool = False) -> Priced:
    """What one request cost at a time (without a zone: UTC).

    Unknown where the model has no price for that day and mode, or none for a kind of token that was used. Messages of
    Claude Code's own making cost nothing. Raises UsageError for a models.toml that is wrong.
    """
    if model.strip().lower() == SYNTHETIC:
        return Priced(_TENTH_DECIMAL * 0, None)
    if batch and fast:
        return Priced(None, None)
    mode: Mode = "batch" if batch else "fast" if fast else "standard"
    day = (at.astimezone(UTC) if at.tzinfo else at).date()
    row = _applied(rows(model), mode, day, tokens.prompt)
    return Priced(_cost(row, tokens), row.id) if row else Priced(None, None)


def _applied(known: tuple[PriceRow, ...], mode: Mode, day: date, prompt_tokens: int) -> PriceRow | None:
    candidates = (
        row
        for row in known
        if row.mode == mode
        and row.holds_on(day)
        and (row.above_prompt_tokens == 0 or row.above_prompt_tokens < prompt_tokens)
    )
    return max(candidates, key=lambda row: row.above_prompt_tokens, default=None)


def _cost(row: PriceRow, tokens: Tokens) -> Decimal | None:
    with localcontext(_EXACT):
        total = Decimal(0)
        for kind in KINDS:
            count: int = getattr(tokens, kind)
            if count:
                usd_per_million: Decimal | None = getattr(row, kind)
                if usd_per_million is None:
                    return None
                total += usd_per_million * count
        return total.scaleb(-6).quantize(_TENTH_DECIMAL)
