"""The states of runs, builds, tasks and attempts: what replaying their events gives, stored nowhere else.

    run      created → running ⇄ paused → completed | failed | cancelled
    build    pending → preparing → running ⇄ verifying → verified | failed | skipped | cancelled
    task     pending → running → completed | failed | skipped
    attempt  running → succeeded | failed(cause)

A build that is retried is pending again, whatever it had come to, and so are its tasks from a certain one on. Paused is
no state of a build: it rests between two steps of the one that it is in.
Events of one build are replayed by (generation of its lock, sequence). Landed and put aside are no states: they are
derived from ancestry and from the train's events.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from br3.telemetry.events import KINDS, Event

_TOKENS = ("input_tokens", "output_tokens", "cache_write_tokens", "cache_read_tokens")

RUN_MOVES: dict[str, tuple[frozenset[str], str]] = {
    "run.created": (frozenset({""}), "created"),
    "run.started": (frozenset({"created"}), "running"),
    "run.attached": (frozenset({"running", "paused"}), "running"),
    "run.paused": (frozenset({"running"}), "paused"),
    "run.resumed": (frozenset({"paused"}), "running"),
    "run.completed": (frozenset({"running"}), "completed"),
    "run.failed": (frozenset({"running"}), "failed"),
    "run.cancelled": (frozenset({"created", "running", "paused"}), "cancelled"),
}
BUILD_MOVES: dict[str, tuple[frozenset[str], str]] = {
    "build.preparing": (frozenset({"pending", "preparing"}), "preparing"),
    "build.started": (frozenset({"pending", "preparing"}), "running"),
    "build.resumed": (frozenset({"running", "verifying"}), "running"),
    "build.verifying": (frozenset({"running"}), "verifying"),
    "build.repairing": (frozenset({"verifying"}), "running"),
    "build.verified": (frozenset({"verifying"}), "verified"),
    "build.failed": (frozenset({"pending", "preparing", "running", "verifying"}), "failed"),
    "build.skipped": (frozenset({"pending", "preparing"}), "skipped"),
    "build.cancelled": (frozenset({"pending", "preparing", "running", "verifying"}), "cancelled"),
    "build.retried": (frozenset({"pending", "verified", "failed", "skipped", "cancelled"}), "pending"),
}
TASK_MOVES: dict[str, tuple[frozenset[str], str]] = {
    "task.started": (frozenset({"pending"}), "running"),
    "task.completed": (frozenset({"running"}), "completed"),
    "task.carried": (frozenset({"pending"}), "completed"),
    "task.failed": (frozenset({"running"}), "failed"),
    "task.skipped": (frozenset({"pending", "running"}), "skipped"),
    "task.retried": (frozenset({"running", "completed", "failed", "skipped"}), "pending"),
}
ATTEMPT_MOVES: dict[str, tuple[frozenset[str], str]] = {
    "attempt.started": (frozenset({""}), "running"),
    "attempt.finished": (frozenset({"running"}), "finished"),
}
RUN_ENDED = frozenset({"completed", "failed", "cancelled"})
BUILD_ENDED = frozenset({"verified", "failed", "skipped", "cancelled"})


class IllegalMove(ValueError):
    """An event that its thing's state does not allow."""


def move(moves: dict[str, tuple[frozenset[str], str]], state: str, kind: str) -> str:
    """The state after an event of ``kind``; IllegalMove when ``state`` does not allow it."""
    allowed, after = moves[kind]
    if state not in allowed:
        raise IllegalMove(f"{kind} is not possible in state {state or '(none)'}")
    return after


@dataclass
class AttemptView:
    """One try at a task. ``finished`` holds the data of attempt.finished, ``usage`` that of usage.recorded."""

    number: int
    state: str = ""
    started: dict[str, Any] = field(default_factory=dict)
    started_ts: str = ""
    finished: dict[str, Any] = field(default_factory=dict)
    finished_ts: str = ""
    usage: list[dict[str, Any]] = field(default_factory=list)

    @property
    def cost_usd(self) -> Decimal | None:
        """What it cost; None when that is not known, for one of its models or for all."""
        costs = [u.get("cost_usd") for u in self.usage]
        if not costs or any(cost is None for cost in costs):
            return None
        return self.known_usd

    @property
    def known_usd(self) -> Decimal | None:
        """What is known of what it cost; None: nothing is."""
        return _total([u.get("cost_usd") for u in self.usage])

    @property
    def silent(self) -> bool:
        """Whether it did not say what it took, or one of its reports says neither tokens nor dollars."""
        return not self.usage or any(u.get("cost_usd") is None and not any(map(u.get, _TOKENS)) for u in self.usage)

    @property
    def tokens(self) -> int | None:
        """All tokens of all kinds; None when not known."""
        counts = [u.get(k) for u in self.usage for k in _TOKENS]
        known = [int(c) for c in counts if c is not None]
        return sum(known) if known else None


@dataclass
class TaskView:
    """A task's state, its attempts by number, and the commit that holds its work.

    ``since``: attempts up to this number were made before it was retried.
    """

    id: str
    title: str = ""
    state: str = "pending"
    commit: str | None = None
    reason: str | None = None
    digest: str | None = None
    carried: bool = False
    since: int = 0
    attempts: dict[int, AttemptView] = field(default_factory=dict)


@dataclass
class BuildView:
    """A build's state as its events tell it."""

    id: str
    state: str = "pending"
    start: str | None = None
    branch: str | None = None
    worktree: str | None = None
    commit: str | None = None
    cause: str | None = None
    reason: str | None = None
    log: str | None = None
    hint: str | None = None
    since: str | None = None
    began: str | None = None
    tasks: dict[str, TaskView] = field(default_factory=dict)
    quality: dict[str, Any] | None = None
    paused: bool = False
    retry: dict[str, Any] = field(default_factory=dict)
    """What it was last retried with (``from``, ``model``)."""
    beginning: bool = False
    """It was retried, and its orchestrator has not begun yet."""

    @property
    def attempts(self) -> list[AttemptView]:
        """All attempts, the latest last: tasks follow one another, and so do a task's attempts."""
        return [attempt for task in self.tasks.values() for attempt in task.attempts.values()]

    @property
    def ended(self) -> bool:
        return self.state in BUILD_ENDED


@dataclass
class RunView:
    """A run: its state, its builds, and what was odd about its events."""

    id: str
    state: str = ""
    facts: dict[str, Any] = field(default_factory=dict)
    created: str = ""
    ended: str | None = None
    reason: str | None = None
    selected: list[str] = field(default_factory=list)
    """The builds that its last dispatch was for."""
    builds: dict[str, BuildView] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    @property
    def continues(self) -> str | None:
        """The run whose work this one goes on with."""
        value = self.facts.get("continues")
        return str(value) if value else None

    @property
    def serves(self) -> str | None:
        """The run for which this one does something aside; nobody's newest run."""
        value = self.facts.get("serves")
        return str(value) if value else None


def replay(events: Iterable[Event]) -> dict[str, RunView]:
    """All runs that the events tell of, by id, oldest first. Illegal moves are noted in ``problems``, not applied."""
    per_run: dict[str, list[Event]] = {}
    for event in events:
        if event.run:
            per_run.setdefault(event.run, []).append(event)
    views = {run: _replay_run(run, mine) for run, mine in per_run.items()}
    return {run: views[run] for run in in_sequence({v.id: (v.created, v.continues) for v in views.values()})}


def in_sequence(runs: Mapping[str, tuple[str, str | None]]) -> list[str]:
    """Ids of runs, oldest first: ``runs`` is when each began and which it continues.

    What continues a run came after it, whatever the clock said then.
    """
    known: dict[str | None, tuple[str, int]] = {}
    for run in runs:
        chain: dict[str, str] = {}
        at: str | None = run
        while at is not None and at in runs and at not in known and at not in chain:
            chain[at], at = runs[at]
        latest, depth = known.get(at, ("", 0))
        for one in reversed(chain):
            latest, depth = max(latest, chain[one]), depth + 1
            known[one] = latest, depth
    return sorted(runs, key=lambda run: (*known[run], run))


def _replay_run(run_id: str, events: list[Event]) -> RunView:
    view = RunView(run_id)
    for event in sorted((e for e in events if e.kind in RUN_MOVES), key=lambda e: e.order):
        _apply(view, event, _apply_run)
    planned = view.facts.get("builds")
    for build_id in planned if isinstance(planned, list) else []:
        if isinstance(build_id, str):
            view.builds[build_id] = BuildView(build_id)
    per_build: dict[str, list[Event]] = {}
    for event in events:
        # Chatter may name anything; only what changes or proves a state tells of a build.
        if event.build and event.kind in KINDS and KINDS[event.kind].state:
            per_build.setdefault(event.build, []).append(event)
    for build_id, mine in per_build.items():
        build = view.builds.setdefault(build_id, BuildView(build_id))
        for event in sorted(mine, key=lambda e: e.order):
            _apply(view, event, lambda _, e, b=build: _apply_build(b, e))
    return view


def _apply(view: RunView, event: Event, step: Any) -> None:
    try:
        step(view, event)
    except (IllegalMove, KeyError, TypeError, AttributeError) as problem:
        where = "/".join(str(p) for p in (event.build, event.task, event.attempt) if p is not None)
        view.problems.append(f"{event.ts} {where or 'run'}: {problem} ({event.segment}:{event.offset})")


def _apply_run(view: RunView, event: Event) -> None:
    view.state = move(RUN_MOVES, view.state, event.kind)
    if event.kind == "run.created":
        view.facts, view.created = event.data, event.ts
    view.selected = event.data.get("selected") or view.selected
    if view.state in RUN_ENDED:
        view.ended, view.reason = event.ts, event.data.get("reason")


def _apply_build(build: BuildView, event: Event) -> None:
    if event.kind in BUILD_MOVES:
        build.state = move(BUILD_MOVES, build.state, event.kind)
        build.since = event.ts
        build.began = build.began or event.ts
        build.paused = False
        if event.kind == "build.retried":
            build.retry, build.beginning = event.data, True
        elif event.kind == "build.started":
            build.beginning = False
        for name in ("start", "branch", "worktree", "commit"):
            setattr(build, name, event.data.get(name) or getattr(build, name))
        for name in ("cause", "reason", "log", "hint"):
            setattr(build, name, event.data.get(name))
    elif event.kind in TASK_MOVES and event.task:
        task = build.tasks.setdefault(event.task, TaskView(event.task))
        after = move(TASK_MOVES, task.state, event.kind)
        if event.kind == "task.retried":
            task = TaskView(task.id, since=max(task.attempts, default=0), attempts=task.attempts)
            build.tasks[task.id] = task
            return
        task.state = after
        task.title = event.data.get("title") or task.title
        task.carried = task.carried or event.kind == "task.carried"
        task.digest = event.data.get("digest") or task.digest
        task.commit = event.data.get("commit") or task.commit
        task.reason = event.data.get("reason")
    elif event.task and event.attempt is not None:
        task = build.tasks.setdefault(event.task, TaskView(event.task))
        attempt = task.attempts.setdefault(event.attempt, AttemptView(event.attempt))
        if event.kind in ATTEMPT_MOVES:
            after = move(ATTEMPT_MOVES, attempt.state, event.kind)
            if event.kind == "attempt.started":
                attempt.state, attempt.started, attempt.started_ts = after, event.data, event.ts
            else:
                attempt.state = event.data["outcome"]
                attempt.finished, attempt.finished_ts = event.data, event.ts
        elif event.kind == "usage.recorded":
            attempt.usage.append(event.data)
    elif event.kind in ("build.paused", "build.continued"):
        build.paused = event.kind == "build.paused"
    elif event.kind in ("quality.passed", "quality.failed"):
        build.quality = {**event.data, "passed": event.kind == "quality.passed"}


def lineage(runs: dict[str, RunView], run_id: str) -> list[RunView]:
    """The run and those whose work it goes on with, newest first."""
    chain: list[RunView] = []
    at: str | None = run_id
    while at and at in runs and runs[at] not in chain:
        chain.append(runs[at])
        at = runs[at].continues
    return chain


@dataclass(frozen=True)
class Spent:
    """What builds have taken; None is not known. ``known_usd``: what is known of the cost."""

    cost_usd: Decimal | None
    known_usd: Decimal | None
    tokens: int | None
    models: tuple[str, ...]


def spent(chain: list[RunView], build_id: str | None = None) -> Spent:
    """Sum up a build's attempts over a lineage, or those of all builds. One attempt of unknown cost makes the sum
    unknown."""
    attempts = [a for run in chain for b in run.builds.values() if build_id in (None, b.id) for a in b.attempts]
    costs, tokens = [a.cost_usd for a in attempts], [a.tokens for a in attempts]
    models = dict.fromkeys(str(u["model"]) for a in attempts for u in a.usage if u.get("model"))
    return Spent(
        cost_usd=None if None in costs else _total(costs),
        known_usd=_total([a.known_usd for a in attempts]),
        tokens=None if not tokens or None in tokens else sum(t for t in tokens if t is not None),
        models=tuple(models),
    )


def _total(costs: Iterable[Any]) -> Decimal | None:
    """The sum of the costs that are known; None: none is."""
    known = [Decimal(str(cost)) for cost in costs if cost is not None]
    return sum(known, Decimal(0)) if known else None


def advance(
    build: BuildView,
    kind: str,
    *,
    gen: int,
    task: str | None = None,
    attempt: int | None = None,
    ts: str = "",
    data: dict[str, Any] | None = None,
) -> None:
    """Apply an event that is about to be written to a writer's own view; IllegalMove when it is not possible."""
    event = Event(ts, 0, gen, kind, "info", None, build.id, task, attempt, 0, "", data or {})
    _apply_build(build, event)
