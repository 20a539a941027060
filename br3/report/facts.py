"""What a report shows. Money is in USD, moments are UTC, None is not known."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any


@dataclass(frozen=True)
class Spent:
    """What was paid. ``usd`` is the part that is known; ``unpriced_tokens`` have no price; ``silent_attempts`` have
    not said a word about what they took, be it that they ended so, were killed, or are at work."""

    usd: Decimal | None = None
    unpriced_tokens: int = 0
    silent_attempts: int = 0

    @property
    def whole(self) -> bool:
        """Whether that is all of it."""
        return self.usd is not None and not self.unpriced_tokens and not self.silent_attempts


@dataclass(frozen=True)
class Attempt:
    """One try at a task. ``state``: running, succeeded, failed."""

    run: str
    build: str
    task: str
    number: int
    state: str
    cause: str | None
    why: str | None
    agent: str | None
    model: str | None
    began: datetime
    ended: datetime | None
    cost_usd: Decimal | None
    known_usd: Decimal | None
    silent: bool
    """It did not say all that it took."""
    tokens: int | None


@dataclass(frozen=True)
class Task:
    """One task as it was planned, and what came of it; ``minutes`` is what the plan says."""

    id: str
    title: str
    planned: bool
    minutes: float | None
    state: str
    attempts: int
    carried: bool
    reason: str | None


@dataclass(frozen=True)
class Command:
    """A command of a verification and how it ended."""

    run: str
    exit_code: int | None
    duration_s: float | None


@dataclass(frozen=True)
class Range:
    """What was said beforehand: half of such builds take at most ``p50``, nine of ten at most ``p90``."""

    p50: float
    p90: float


@dataclass(frozen=True)
class Build:
    """One build: planned, estimated, done, verified, landed, spent. ``state`` is the word of ``br3 status``."""

    number: int
    id: str
    title: str
    branch: str
    state: str
    verified: bool
    landed: bool
    commit: str | None
    landed_as: str | None
    request: str | None
    reason: str | None
    aside: str | None
    agents: tuple[str, ...]
    models: tuple[str, ...]
    tasks: tuple[Task, ...]
    tests: Mapping[str, int] | None
    coverage: float | None
    min_passed: int | None
    min_coverage: float | None
    commands: tuple[Command, ...]
    began: datetime | None
    ended: datetime | None
    cost_usd: Decimal | None
    known_usd: Decimal | None
    tokens: int | None
    budget_usd: Decimal | None
    score: float | None
    level: str | None
    estimated_usd: Range | None
    estimated_minutes: Range | None
    notes: tuple[str, ...]

    @property
    def planned_minutes(self) -> float | None:
        """The sum of what the plan says of its tasks, where it says it of any."""
        known = [task.minutes for task in self.tasks if task.minutes is not None]
        return sum(known) if known else None


@dataclass(frozen=True)
class Bar:
    """A stretch of time. ``kind``: a phase of a build, ``paused``, ``landing``, or the state of an attempt."""

    kind: str
    began: datetime
    ended: datetime
    label: str


@dataclass(frozen=True)
class Mark:
    """A moment: ``landed``, ``aside``, ``conflict``, ``released``."""

    kind: str
    at: datetime
    label: str


@dataclass(frozen=True)
class Row:
    """A line of the timeline: phases above, attempts below."""

    label: str
    phases: tuple[Bar, ...]
    attempts: tuple[Bar, ...] = ()
    marks: tuple[Mark, ...] = ()


@dataclass(frozen=True)
class Payment:
    """What one model took in one attempt; ``usd`` None: it has no price."""

    at: datetime
    build: str | None
    model: str | None
    usd: Decimal | None
    unpriced_tokens: int


@dataclass(frozen=True)
class ModelCost:
    """A line of ``br3 costs --by model``, of these runs alone."""

    model: str
    cost_usd: Decimal | None
    unpriced_tokens: int
    input_tokens: int
    output_tokens: int
    cache_write_tokens: int
    cache_read_tokens: int

    @property
    def tokens(self) -> int:
        return self.input_tokens + self.output_tokens + self.cache_write_tokens + self.cache_read_tokens


@dataclass(frozen=True)
class Outcome:
    """An estimate beside what it came to, in ``unit`` (USD or minutes), for one build of one run."""

    build: str
    run: str
    model: str
    estimated: Range
    taken: float


@dataclass(frozen=True)
class Outcomes:
    """All of one unit, and how good they were: shares at or below P50 and P90, and the factor of the median error."""

    unit: str
    kept: tuple[Outcome, ...]
    coverage_p50: float | None
    coverage_p90: float | None
    median_error_factor: float | None


@dataclass(frozen=True)
class Meeting:
    """Two builds, or base (``a``) and a build. ``state``: conflict, none, unknown, landed; ``seen``: they were in
    conflict once, as br3 told while the run was at work."""

    a: str
    b: str
    state: str
    files: tuple[str, ...] = ()
    seen: bool = False
    seen_files: tuple[str, ...] = ()


@dataclass(frozen=True)
class Conflicts:
    """Every pair that can still meet, and those that met before. ``problem``: why it cannot be told."""

    sides: tuple[str, ...]
    meetings: tuple[Meeting, ...]
    problem: str | None = None


@dataclass(frozen=True)
class Check:
    """A line of the checklist as it was last looked at; ``at`` None: nobody has yet."""

    name: str
    met: bool | None
    seen: str
    at: datetime | None


@dataclass(frozen=True)
class Tagged:
    """A release on base that this run made; ``remotes`` have it, it has ``builds``."""

    tag: str
    commit: str
    version: str | None
    remotes: tuple[str, ...]
    builds: tuple[str, ...]


@dataclass(frozen=True)
class Facts:
    """All of it. ``runs`` are entries of ``br3 runs --json``: this run and those that it continues, newest first;
    ``aside_runs`` those that resolved conflicts for them."""

    made_at: datetime
    version: str
    project: str
    run: str
    plan: str
    state: str
    reason: str | None
    base: str
    base_commit: str
    base_now: str | None
    jobs: int
    lands_by: str
    began: datetime | None
    ended: datetime | None
    budget_usd: Decimal | None
    spent: Spent
    tokens: int | None
    runs: tuple[Mapping[str, Any], ...]
    aside_runs: tuple[Mapping[str, Any], ...]
    builds: tuple[Build, ...]
    attempts: tuple[Attempt, ...]
    timeline: tuple[Row, ...]
    payments: tuple[Payment, ...]
    models: tuple[ModelCost, ...]
    outcomes: tuple[Outcomes, ...]
    conflicts: Conflicts
    checklist: tuple[Check, ...]
    releases: tuple[Tagged, ...]
    whole_verify: Mapping[str, Any] | None
    problems: tuple[str, ...] = field(default=())

    @property
    def going_on(self) -> bool:
        """Whether there may be more of it."""
        return self.ended is None


def as_json(facts: Facts) -> dict[str, Any]:
    """The facts as ``--json`` prints them: money as text, times RFC 3339."""
    from br3.analytics.reports import plain

    found: dict[str, Any] = plain(_values(facts))
    return found


def redacted(value: Any, redact: Callable[[str], str]) -> Any:
    """A copy of facts, or of a part of them, with every text redacted."""
    if isinstance(value, str):
        return redact(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {f.name: redacted(getattr(value, f.name), redact) for f in dataclasses.fields(value)}
        return dataclasses.replace(value, **fields)
    if isinstance(value, Mapping):
        return {key: redacted(inner, redact) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(redacted(inner, redact) for inner in value)
    return value


def moment_of(ts: str) -> datetime:
    """An event's time, in UTC and without a zone."""
    at = datetime.fromisoformat(ts)
    return at.astimezone(UTC).replace(tzinfo=None) if at.tzinfo else at


def _values(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: _values(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {key: _values(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_values(inner) for inner in value]
    return value
