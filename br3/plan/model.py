"""The plan as the other rooms see it: frozen dataclasses, standard library only.

``loading`` makes them from br3.toml through the pydantic schema; ``frozen`` writes them to a run's
``plan.json`` and reads them back. Orchestrators read the frozen plan only, so they never pay for pydantic.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from br3.plan.checking import Checked

REPAIR = "repair"
"""Id of the task that holds the attempts which mend a failed verification; no plan may use it."""

UNPRICED = frozenset({"shell", "manual"})
"""Agents of which nothing is known of what they cost."""

DEFAULT_TIMEOUT_S = 2 * 3600.0
DEFAULT_RETRIES = 2
DEFAULT_SILENCE_S = 30 * 60.0
DEFAULT_RETENTION_DAYS = 30.0
DEFAULT_STOP_AT = 97.0
DEFAULT_MAX_BYTES = 5 * 1024 * 1024
DEFAULT_RELEASE_COMMIT = "chore: Release {tag}"
DEFAULT_WORKTREE_TEMPLATE = "{parent}/{repo}.worktrees/{build}"


@dataclass(frozen=True)
class Verify:
    """Commands that must exit 0, and what they must show. Counts are minima; coverage is in percent."""

    run: tuple[str, ...] = ()
    min_passed: int | None = None
    min_coverage: float | None = None
    artifacts: tuple[str, ...] = ()


@dataclass(frozen=True)
class Setup:
    """How a fresh worktree becomes usable. ``detected`` says that the plan had no [setup]."""

    run: tuple[str, ...] = ()
    copy: tuple[str, ...] = ()
    detected: bool = False


@dataclass(frozen=True)
class Task:
    """One agent conversation; ``agent``, ``command`` and ``model`` are resolved (never inherited).

    ``prompt`` is the task's own; it is empty when the build's says it all.
    """

    id: str
    title: str
    prompt: str
    minutes: float | None = None
    deliverables: tuple[str, ...] = ()
    agent: str = "claude"
    command: str | None = None
    model: str = "auto"
    policy: str = "cascade"


@dataclass(frozen=True)
class Build:
    """One unit of parallel work, all defaults applied. ``verify`` is never without a command.

    ``fallback`` are the models to turn to, in order; None: those that br3 knows for the agent.
    """

    id: str
    title: str
    branch: str
    worktree: str
    tasks: tuple[Task, ...]
    verify: Verify
    prompt: str = ""
    message: str | None = None
    owns: tuple[str, ...] = ()
    shared: bool = False
    deliverables: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    setup: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    retries: int = DEFAULT_RETRIES
    timeout_s: float = DEFAULT_TIMEOUT_S
    budget_usd: str | None = None
    attempt_budget_usd: str | None = None
    silence_s: float | None = None
    sandbox: str = "none"
    network: bool = True
    fallback: tuple[str, ...] | None = None
    strategy: str = "merge"

    @property
    def manual(self) -> bool:
        """Whether a person (or an interactive agent) does the work."""
        return all(task.agent == "manual" for task in self.tasks)


@dataclass(frozen=True)
class Release:
    """The tag to make, the version it is of, the files that get it, and whether to push.

    ``tag`` may have a place for the version, which ``version`` says, or ``bump`` lets follow from the last one.
    ``message`` defaults to the plan's name.
    """

    tag: str | None = None
    version: str | None = None
    bump: str | None = None
    message: str | None = None
    commit_message: str = DEFAULT_RELEASE_COMMIT
    changelog: str | None = None
    version_files: tuple[str, ...] = ()
    push: bool = False
    remote: str = "origin"

    @property
    def named(self) -> bool:
        """Whether the plan says what is to be released."""
        return any((self.tag, self.version, self.bump))

    @property
    def changes_files(self) -> bool:
        return bool(self.changelog or self.version_files)


@dataclass(frozen=True)
class Landing:
    """How the train runs. ``window``: candidates tested at once; 0: one for each core, at most four."""

    window: int = 0
    on_conflict: str = "aside"
    fetch: bool = False


@dataclass(frozen=True)
class Alerts:
    """Thresholds over the last 24 hours, None: off; rates from 0 to 1. ``notify`` is run for each new alert."""

    success_rate_min: float | None = 0.8
    error_rate_max: float | None = 0.2
    duration_avg_max_s: float | None = 3600.0
    duration_p95_max_s: float | None = 7200.0
    hourly_cost_max_usd: str | None = "20"
    daily_cost_max_usd: str | None = "100"
    violations: bool = True
    min_tasks: int = 5
    notify: str | None = None


@dataclass(frozen=True)
class Estimates:
    """``stop_at``: the percentile of an attempt's expected cost at which it is stopped, 0: never."""

    ai: bool = False
    confirm_above_usd: str | None = None
    stop_at: float = DEFAULT_STOP_AT


@dataclass(frozen=True)
class Hooks:
    """What br3's git hooks guard. ``max_bytes`` 0: a commit may add any number to a file; ``owns``: block or warn."""

    protect: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    off: tuple[str, ...] = ()
    max_bytes: int = DEFAULT_MAX_BYTES
    fail_on: str = "medium"
    owns: str = "block"
    commit_msg: str | None = None
    pre_push: tuple[str, ...] = ()
    gitleaks: bool = False
    required: bool = False
    reference_transaction: bool = False


@dataclass(frozen=True)
class Criterion:
    """One line of the success checklist; exactly one of ``run``, ``ask``, ``sql`` is set."""

    name: str
    run: str | None = None
    ask: str | None = None
    sql: str | None = None


@dataclass(frozen=True)
class Plan:
    """A whole plan, resolved: prompt files read, defaults applied. Money is a decimal string in USD."""

    name: str
    base: str
    builds: tuple[Build, ...]
    jobs: int = 4
    budget_usd: str | None = None
    daily_budget_usd: str | None = None
    worktrees: str = DEFAULT_WORKTREE_TEMPLATE
    lands_by: str = "local"
    """``local``: the train moves base here; ``pr``: requests are opened, and base moves on the forge."""
    setup: Setup = Setup()
    verify: Verify = Verify()
    landing: Landing = Landing()
    release: Release = Release()
    criteria: tuple[Criterion, ...] = ()
    alerts: Alerts = Alerts()
    estimate: Estimates = Estimates()
    hooks: Hooks = Hooks()
    retention_days: float = DEFAULT_RETENTION_DAYS

    @classmethod
    def load(cls, path: str | Path | None = None) -> Plan:
        """The plan in that file, else in the br3.toml found from the current directory upwards.

        Raises UsageError when there is none, and PlanErrors, one with all ``problems``, when it cannot be used.
        """
        from br3.plan.loading import accepting, find, load

        return load(Path(path) if path is not None else find(Path.cwd()), git_accepts_branch=accepting(Path.cwd()))

    @staticmethod
    def check(path: str | Path | None = None) -> Checked:
        """The same without raising for what is wrong in it: ``plan`` (None with problems), ``problems``, ``warnings``.

        Each has ``file``, ``line`` (from 1; 0: of none), ``key``, ``message``, ``hint``. UsageError without a file.
        """
        from br3.plan.loading import find, look_at

        return look_at(Path(path) if path is not None else find(Path.cwd()))

    def build(self, build_id: str) -> Build:
        """The build with that id; KeyError if there is none."""
        for build in self.builds:
            if build.id == build_id:
                return build
        raise KeyError(build_id)


def to_json(plan: Plan) -> dict[str, Any]:
    """The plan as plain JSON values; tuples become lists."""
    return dataclasses.asdict(plan)


def from_json(data: dict[str, Any]) -> Plan:
    """The inverse of ``to_json``; fields that another version of br3 wrote and this one does not know are left out."""

    def tuples(kind: Any, fields: dict[str, Any]) -> Any:
        known = {field.name for field in dataclasses.fields(kind)}
        return kind(**{k: tuple(v) if isinstance(v, list) else v for k, v in fields.items() if k in known})

    builds = tuple(
        tuples(
            Build,
            {
                **build,
                "tasks": tuple(tuples(Task, task) for task in build["tasks"]),
                "verify": tuples(Verify, build["verify"]),
            },
        )
        for build in data["builds"]
    )
    plan: Plan = tuples(
        Plan,
        {
            **data,
            "builds": builds,
            "setup": tuples(Setup, data["setup"]),
            "verify": tuples(Verify, data["verify"]),
            "landing": tuples(Landing, data.get("landing") or {}),
            "release": tuples(Release, data["release"]),
            "alerts": tuples(Alerts, data.get("alerts") or {}),
            "estimate": tuples(Estimates, data.get("estimate") or {}),
            "hooks": tuples(Hooks, data.get("hooks") or {}),
            "criteria": tuple(tuples(Criterion, criterion) for criterion in data["criteria"]),
        },
    )
    return plan
