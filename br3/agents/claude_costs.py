"""What Claude Code says that a session has cost, as usage of one attempt.

Its totals (``modelUsage``) include sub-agents, and earlier turns of a session that was resumed. What the attempt's
turns have come to so far is subtracted from them, so that every entry is new and the sum is the CLI's own figure.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from br3.agents.base import Usage, count, event_of, mapping, moment, money
from br3.errors import UsageError

_TOTALS = ("inputTokens", "outputTokens", "cacheCreationInputTokens", "cacheReadInputTokens")
TURN_FIELDS = ("input_tokens", "output_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")
_ID = re.compile(r"[0-9A-Za-z-]+")
_TAIL_BYTES = 256 * 1024


@dataclass(frozen=True)
class Sum:
    """Tokens (input, output, cache written, cache read) and dollars of one model; ``cost_usd`` None: not known."""

    tokens: tuple[int, int, int, int] = (0, 0, 0, 0)
    cost_usd: Decimal | None = Decimal(0)

    def __add__(self, other: Sum) -> Sum:
        cost = None if self.cost_usd is None or other.cost_usd is None else self.cost_usd + other.cost_usd
        a, b = self.tokens, other.tokens
        return Sum((a[0] + b[0], a[1] + b[1], a[2] + b[2], a[3] + b[3]), cost)

    def __sub__(self, other: Sum) -> Sum:
        cost = None if self.cost_usd is None else self.cost_usd - (other.cost_usd or 0)
        a, b = self.tokens, other.tokens
        return Sum((a[0] - b[0], a[1] - b[1], a[2] - b[2], a[3] - b[3]), cost)


Totals = dict[str, Sum]
"""By model."""


def totals(models: Mapping[str, Any], *, known: bool = True) -> Totals:
    """The sums of a ``modelUsage`` object. A price that the CLI guessed is not known."""
    found: Totals = {}
    for name, raw in models.items():
        usage = mapping(raw)
        tokens = [count(usage.get(field)) or 0 for field in _TOTALS]
        cost = money(usage.get("costUSD")) if known and usage.get("costBasis") != "unknown" else None
        model = plain(name)
        found[model] = found.get(model, Sum()) + Sum((tokens[0], tokens[1], tokens[2], tokens[3]), cost)
    return found


def added(one: Totals, other: Totals) -> Totals:
    """Both together."""
    return {model: one.get(model, Sum()) + other.get(model, Sum()) for model in {**one, **other}}


def subtracted(one: Totals, other: Totals) -> Totals:
    """``one`` without ``other``."""
    return {model: had - other.get(model, Sum()) for model, had in one.items()}


def used(usage: Iterable[Usage]) -> Totals:
    """What entries come to; what is not known counts as nothing."""
    found: Totals = {}
    for one in usage:
        tokens = (one.input_tokens, one.output_tokens, one.cache_write_tokens, one.cache_read_tokens)
        counts = tuple(n or 0 for n in tokens)
        had = Sum((counts[0], counts[1], counts[2], counts[3]), one.cost_usd or Decimal(0))
        found[one.model or ""] = found.get(one.model or "", Sum()) + had
    return found


def rest(final: Totals, recorded: Totals) -> list[Usage]:
    """The entries that bring what is recorded up to the CLI's own figure."""
    entries = []
    for model, had in subtracted(final, recorded).items():
        if any(had.tokens) or had.cost_usd:
            entries.append(Usage(model or None, *had.tokens, cost_usd=had.cost_usd))
    return entries


def of_turn(model: str, usage: Mapping[str, Any], stamp: object) -> Usage | None:
    """One finished turn, priced by the table; None when it has no price: then only the CLI's own figure counts."""
    from br3.models import Tokens, price

    counts = [count(usage.get(field)) for field in TURN_FIELDS]
    if counts[0] is None or counts[1] is None:
        return None
    written, long = counts[2] or 0, count(mapping(usage.get("cache_creation")).get("ephemeral_1h_input_tokens")) or 0
    long = min(long, written)
    tokens = Tokens(counts[0], counts[1], written - long, long, counts[3] or 0)
    try:
        found = price(model, moment(stamp), tokens)
    except UsageError:  # of the user's own price list; br3 doctor says what is wrong with it
        return None
    if found.cost_usd is None or found.price is None:
        return None
    return Usage(
        model, counts[0], counts[1], written, counts[3] or 0, cost_usd=found.cost_usd, source="table", price=found.price
    )


def of_session(home: Path | None, session: str | None) -> Totals | None:
    """What a session's transcript says of its cost at its end, also after SIGTERM; None when it does not."""
    for transcript in transcripts(home, session) if home and session else []:
        with transcript.open("rb") as source:
            source.seek(max(0, source.seek(0, os.SEEK_END) - _TAIL_BYTES))
            lines = source.read().split(b"\n")
        for line in reversed(lines):
            event = event_of(line) if b'"cost-state"' in line else None
            if event and event.get("type") == "cost-state":
                return totals(mapping(event.get("modelUsage")), known=event.get("hasUnknownModelCost") is not True)
    return None


def transcripts(home: Path, session: str) -> list[Path]:
    """The files in which Claude Code has kept a session; none when it has not."""
    return sorted((home / "projects").glob(f"*/{session}.jsonl")) if _ID.fullmatch(session) else []


def plain(model: str) -> str:
    """A model's name without the context size that some versions put behind it."""
    return model.removesuffix("[1m]")
