"""What asking Claude directly has cost, as usage like any other."""

from __future__ import annotations

from datetime import UTC, datetime

from br3.agents.base import Usage
from br3.models import Tokens
from br3.models.asking import Spent


def usage_of(spent: Spent, source: str) -> list[Usage]:
    """Priced usage of what was answered, and one of unknown cost where a request met no answer; [] if none was sent."""
    found: list[Usage] = []
    if spent.tokens != Tokens():
        counts = (spent.tokens.input, spent.tokens.output, spent.tokens.cache_write_5m, spent.tokens.cache_read)
        found.append(Usage(spent.model, *counts, source=source).priced(datetime.now(UTC)))
    if spent.unknown:
        found.append(Usage(spent.model, source=source))
    return found
