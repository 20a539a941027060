"""What an agent is: how to call it, and how to read what it prints."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, Protocol

from br3.errors import UsageError

Sandbox = Literal["none", "bwrap", "agent"]
"""What keeps an agent to its own ground: nothing, bubblewrap (see ``sandbox``), or the CLI's own means."""


@dataclass(frozen=True)
class Request:
    """What an attempt asks of an agent. ``budget_usd`` is what may still be spent, None: no limit."""

    prompt_file: Path
    usage_file: Path
    worktree: Path
    model: str
    """A name that the agent knows; ``auto`` leaves the choice to it."""
    session: str
    """The id for a new session, where the agent takes one."""
    budget_usd: Decimal | None = None
    command: str | None = None
    _: KW_ONLY
    resume: str | None = None
    """The id of the session to go on in, as an earlier attempt's reader gave it; None begins a new one."""
    spent: tuple[Usage, ...] = ()
    """What earlier attempts have used in the session that is resumed: some agents report the session's sum."""
    config_dir: Path | None = None
    """A directory of the build's own for the agent's configuration and transcripts; None: the user's."""
    system_prompt: Path | None = None
    """A file whose text is added to the agent's system prompt, where ``Supports.system_prompt`` says so."""
    denied_commands: tuple[str, ...] = ("git push",)
    """How shell commands begin that the agent must not run, where ``Supports.denied_commands`` says so."""
    fallback_models: tuple[str, ...] = ()
    """Models for the agent itself to turn to, where it can."""
    sandbox: Sandbox = "none"
    network: bool = True
    """Whether the agent's own sandbox lets its tools use the network."""
    git_dirs: tuple[Path, ...] = ()
    """Git's directories that a commit in the worktree writes to, for the CLI's own sandbox."""


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
        """With a cost by the table of prices, when the agent reported tokens and no cost; unchanged without a price.

        Input or output that is not known makes the cost unknown.
        """
        counts = (self.input_tokens, self.output_tokens, self.cache_write_tokens, self.cache_read_tokens)
        if self.cost_usd is not None or self.model is None or self.input_tokens is None or self.output_tokens is None:
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
class Failure:
    """Why an attempt failed. ``cause`` is one of ``causes.CAUSES``, ``why`` says it in words.

    ``retry_after_s`` is how long the API asked to be left alone, ``model`` the last model that was tried when the agent
    itself turned to another one than it was asked for; None: not told.
    """

    cause: str
    why: str
    retry_after_s: float | None = None
    model: str | None = None


@dataclass(frozen=True)
class Seen:
    """What was seen of an attempt, as far as its cause is told from it. Each agent's ``failure`` judges one."""

    exit_code: int
    result: Mapping[str, Any] | None = None
    """The event by which the agent says how it ended."""
    errors: tuple[str, ...] = ()
    """The errors that it reported and did not get over, oldest first; the last few."""
    stderr: str = ""
    """The end of its standard error."""
    text: str = ""
    """The end of what it said."""
    denied: tuple[str, ...] = ()
    """The tools that it was denied."""
    model: str | None = None
    """The model that it turned to by itself, if it did."""


@dataclass(frozen=True)
class Outcome:
    """What an agent claims of itself at its end: success, or a ``Failure`` (its fields). ``report`` is its last word.

    ``total_usd`` is the agent's own figure of what the attempt has cost, where it gives one.
    """

    claims_success: bool
    cause: str | None = None
    why: str = ""
    report: str = ""
    retry_after_s: float | None = None
    model: str | None = None
    total_usd: Decimal | None = None


def denied(agent: str, tools: tuple[str, ...], model: str | None = None) -> Failure:
    """The failure of an agent that was not let do something: it says that it succeeded all the same."""
    return Failure("denied", f"{agent} was denied: {', '.join(tools)}", model=model)


def concluded(failure: Failure | None, report: str, total_usd: Decimal | None = None) -> Outcome:
    """The outcome of an attempt that failed in this way, or did not."""
    if failure is None:
        return Outcome(True, report=report, total_usd=total_usd)
    told = (failure.cause, failure.why, report, failure.retry_after_s, failure.model)
    return Outcome(False, *told, total_usd=total_usd)


@dataclass(frozen=True)
class Fallback:
    """A model that the agent itself turned to, from which one and why."""

    original: str
    model: str
    why: str


class Reader(Protocol):
    """Reads one attempt's output as it comes. Its memory does not grow with the output but for ``usage``."""

    usage: list[Usage]
    """What is certain so far, in order; entries are only ever added. Their sum is what the attempt has used."""
    activity: str
    """What it is doing just now, in a few words."""
    session: str | None
    """The id under which the attempt can be resumed; None: not at all, or not known yet."""
    fallbacks: list[Fallback]
    """Models that the agent turned to by itself; entries are only ever added."""
    limits: list[float | None]
    """Times that the API said that there were too many requests, and for how many seconds it asked to be left alone
    (None: it did not say), though the agent goes on; entries are only ever added."""

    def feed(self, line: bytes) -> None:
        """Take one line of standard output, without its newline."""

    def feed_error(self, line: bytes) -> None:
        """Take one line of standard error, without its newline."""

    def refresh(self) -> None:
        """Look at what the agent reports elsewhere than on its output."""

    def gave_up(self) -> bool:
        """Whether nothing but waiting is left, though the agent goes on: the failure is known already."""

    def outcome(self, exit_code: int) -> Outcome:
        """What the agent claims, once it has ended."""


@dataclass(frozen=True)
class Supports:
    """What br3 gets from an agent; ``docs/AGENTS.md`` is made from it. Texts are for people."""

    usage: str
    """When tokens are known."""
    cost: str
    """Where the cost comes from."""
    live_cost: bool
    """Whether a budget can be held while it works."""
    resume: bool
    budget: bool
    """Whether the CLI itself stops at a budget."""
    models: str
    """What ``model`` takes."""
    sandbox: tuple[Sandbox, ...] = ("none", "bwrap")
    system_prompt: bool = False
    denied_commands: bool = False


class Agent(Protocol):
    """One coding CLI."""

    name: str
    tested_with: str
    """The version that the module was tested with."""
    known_versions: tuple[str, ...]
    """Versions whose output is known to be read correctly, ``tested_with`` among them."""
    executable: str
    """The program's name on PATH."""
    install: str
    """The command that installs it."""
    variables: tuple[str, ...]
    """Environment variables it may have beside those every agent gets: its keys and settings."""
    keys: tuple[str, ...]
    """Those of ``variables`` that hold a key; one of them is enough."""
    login: tuple[str, ...]
    """Files in which its login is kept, and renewed: relative to its configuration directory."""
    settings: tuple[str, ...]
    """Files beside those with the user's settings for it, which name commands that it runs: it only reads them."""
    default_model: str | None
    """The model that it chooses by itself; None: that depends."""
    ladder: tuple[str, ...]
    """Models of its to turn to, cheap first, when the plan names none."""
    supports: Supports

    def missing(self) -> str | None:
        """The command that installs it, when it is not here; else None."""

    def home(self, environ: Mapping[str, str]) -> Path | None:
        """The user's own configuration directory of this agent; None when it has none."""

    def resumable(self, session: str, home: Path | None) -> bool:
        """Whether what it has kept of a session, in ``home``, is enough to go on in it."""

    def prepare(self, request: Request) -> None:
        """Fill ``request.config_dir`` with what the agent needs there; nothing without one."""

    def command(self, request: Request) -> list[str]:
        """The argument vector; the prompt comes on standard input."""

    def environment(self, request: Request) -> Mapping[str, str]:
        """Variables to set for it."""

    def reader(self, request: Request) -> Reader:
        """A fresh reader."""

    def render(self, line: bytes) -> str | None:
        """One line of its standard output for people; None to leave it out."""


def event_of(line: bytes) -> dict[str, Any] | None:
    """The JSON object on a line; None when there is none, whatever the bytes."""
    if line.lstrip()[:1] != b"{":
        return None
    try:
        event = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return event if isinstance(event, dict) else None


def mapping(value: object) -> dict[str, Any]:
    """``value`` when it is a JSON object, else an empty one: agents change what they print."""
    return value if isinstance(value, dict) else {}


def count(value: object) -> int | None:
    """A number of tokens; None for what is none."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def money(value: object) -> Decimal | None:
    """An amount in USD, at most ten decimals of it; None for what is none."""
    if value is None or isinstance(value, bool | dict | list):
        return None
    try:
        amount = Decimal(str(value))
    except ArithmeticError:
        return None
    if not amount.is_finite() or not 0 <= amount < _MOST_USD:
        return None
    exponent = amount.as_tuple().exponent
    return amount if isinstance(exponent, int) and exponent >= -10 else amount.quantize(_TENTH_DECIMAL)


_TENTH_DECIMAL = Decimal("1E-10")
_MOST_USD = Decimal(10) ** 12


def moment(stamp: object) -> datetime:
    """The time that an event carries; now, when it carries none."""
    try:
        found = datetime.fromisoformat(str(stamp))
    except ValueError:
        return datetime.now(UTC)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def first_line(text: str, most: int = 60) -> str:
    """The beginning of a text, as an activity is shown."""
    return text[:1000].strip().split("\n")[0][:most]


@dataclass
class Tail:
    """The last lines fed to it, for reports; bounded however much an agent prints."""

    limit: int = 40
    kept: deque[bytes] = field(default_factory=deque)

    def add(self, line: bytes) -> None:
        self.kept.append(line[:2000])
        if len(self.kept) > self.limit:
            self.kept.popleft()

    @property
    def lines(self) -> list[str]:
        return [line.decode(errors="replace").rstrip("\r") for line in self.kept]

    @property
    def text(self) -> str:
        return "\n".join(self.lines).strip()
