"""What an agent is: how to call it, and how to read what it prints."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Protocol

from br3.errors import UsageError


@dataclass(frozen=True)
class Request:
    """What an attempt asks of an agent. ``budget_usd`` is what may still be spent, None: no limit."""

    prompt_file: Path
    usage_file: Path
    worktree: Path
    model: str
    session: str
    budget_usd: Decimal | None = None
    command: str | None = None


@dataclass(frozen=True)
class Usage:
    """Tokens and dollars of one model; None is not known, never 0. ``input_tokens`` is without the cache."""

    model: str | None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_write_tokens: int | None = None
    cache_read_tokens: int | None = None
    _: KW_ONLY
    cost_usd: Decimal | None = None
    source: str = "agent"
    price: str | None = None
    """The price row that ``cost_usd`` was computed with, when the agent did not say what it cost."""

    def as_data(self) -> dict[str, Any]:
        """The fields of a ``usage.recorded`` event; money as a decimal string."""
        by_table = {"price": self.price} if self.price else {}
        return {
            "model": self.model,
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "cache_write_tokens": self.cache_write_tokens,
            "cache_read_tokens": self.cache_read_tokens,
            "cost_usd": None if self.cost_usd is None else str(self.cost_usd),
            "source": self.source,
            **by_table,
        }

    def priced(self, at: datetime) -> Usage:
        """With a cost by the table of prices, when the agent reported tokens and no cost; unchanged without a price."""
        counts = (self.input_tokens, self.output_tokens, self.cache_write_tokens, self.cache_read_tokens)
        if self.cost_usd is not None or self.model is None or all(count is None for count in counts):
            return self
        from br3.models import Tokens, price

        given = [count or 0 for count in counts]
        # How long the cache is to live is not told here; the shorter time is what agents use by default.
        tokens = Tokens(input=given[0], output=given[1], cache_write_5m=given[2], cache_read=given[3])
        try:
            found = price(self.model, at, tokens)
        except UsageError:  # of the user's own price list; br3 doctor says what is wrong with it
            return self
        if found.cost_usd is None:
            return self
        return replace(self, cost_usd=found.cost_usd, source="table", price=found.price)


@dataclass(frozen=True)
class Outcome:
    """What an agent claims of itself at its end. ``cause`` names the kind of failure, ``why`` says it in words."""

    claims_success: bool
    cause: str | None = None
    why: str = ""
    report: str = ""


class Reader(Protocol):
    """Reads one attempt's output as it comes."""

    usage: list[Usage]
    """What is certain so far, in order; entries are only ever added."""
    activity: str
    """What it is doing just now, in a few words."""

    def feed(self, line: bytes) -> None:
        """Take one line of standard output, without its newline."""

    def refresh(self) -> None:
        """Look at what the agent reports elsewhere than on standard output."""

    def outcome(self, exit_code: int) -> Outcome:
        """What the agent claims, once it has ended."""


class Agent(Protocol):
    """One coding CLI. ``tested_with`` names the version the module was tested with."""

    name: str
    tested_with: str
    variables: tuple[str, ...]
    """Environment variables it may have beside those every agent gets: its keys and settings."""

    def missing(self) -> str | None:
        """The command that installs it, when it is not here; else None."""

    def command(self, request: Request) -> list[str]:
        """The argument vector; the prompt comes on standard input."""

    def environment(self, request: Request) -> Mapping[str, str]:
        """Variables to set for it."""

    def reader(self, request: Request) -> Reader:
        """A fresh reader."""

    def render(self, line: bytes) -> str | None:
        """One line of its standard output for people; None to leave it out."""


@dataclass
class Tail:
    """The last lines fed to it, for reports; bounded however much an agent prints."""

    limit: int = 40
    lines: list[str] = field(default_factory=list)

    def add(self, line: bytes) -> None:
        self.lines.append(line[:2000].decode(errors="replace").rstrip("\r"))
        del self.lines[: -self.limit]

    @property
    def text(self) -> str:
        return "\n".join(self.lines).strip()
