"""From the sections of a checked file to the plan: precedence, defaults, prompts read, nothing left to look up.

Command line and environment win over everything. Then the most specific wins: task, build, [defaults], the
user's own config.toml, and last what br3 itself assumes.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import TypeVar

from br3.plan import prompt_files
from br3.plan.detection import detect
from br3.plan.globs import with_slash
from br3.plan.location import worktree_root
from br3.plan.model import (
    DEFAULT_RETENTION_DAYS,
    DEFAULT_RETRIES,
    DEFAULT_TIMEOUT_S,
    Alerts,
    Build,
    Criterion,
    Estimates,
    Hooks,
    Landing,
    Plan,
    Release,
    Setup,
    Task,
    Verify,
)
from br3.plan.schema import (
    AlertsSection,
    BuildSection,
    HooksSection,
    PlanFile,
    SetupSection,
    TaskSection,
    VerifySection,
)
from br3.plan.settings import Settings

DEFAULT_JOBS = 4
DEFAULT_AGENT = "claude"
DEFAULT_MODEL = "auto"
DEFAULT_POLICY = "cascade"

T = TypeVar("T")
D = TypeVar("D")


def resolve(file: PlanFile, directory: Path, settings: Settings, have: Callable[[str], bool]) -> Plan:
    """The plan that a file without problems makes; ``directory`` is where the file lies."""
    over, under = settings.over, settings.under
    root = _root(directory)
    return Plan(
        name=file.plan.name or root.name,
        base=file.plan.base,
        jobs=_first(over.jobs, file.plan.jobs, under.plan.jobs, default=DEFAULT_JOBS),
        budget_usd=_usd(over.budget_usd, file.plan.budget_usd, under.plan.budget_usd),
        daily_budget_usd=_usd(file.plan.daily_budget_usd, under.plan.daily_budget_usd),
        worktrees=file.plan.worktrees,
        lands_by=file.plan.landing,
        builds=tuple(_build(build, file, directory, settings) for build in file.build),
        setup=_setup(file.setup, root, have),
        verify=_verify(file.verify),
        landing=Landing(
            window=file.landing.window or 0,
            on_conflict=file.landing.on_conflict,
            fetch=file.landing.fetch,
        ),
        release=Release(
            tag=file.release.tag,
            version=file.release.version,
            bump=file.release.bump,
            message=file.release.message,
            commit_message=file.release.commit_message,
            changelog=file.release.changelog,
            version_files=tuple(file.release.version_files),
            push=file.release.push,
            remote=file.release.remote,
        ),
        criteria=tuple(Criterion(c.name, run=c.run, ask=c.ask, sql=c.sql) for c in file.criterion),
        alerts=_alerts(file.alerts),
        estimate=Estimates(
            ai=file.estimate.ai,
            confirm_above_usd=_usd(file.estimate.confirm_above_usd),
            stop_at=file.estimate.stop_at,
        ),
        hooks=_hooks(file.hooks, root),
        retention_days=_first(file.plan.retention_days, under.plan.retention_days, default=DEFAULT_RETENTION_DAYS),
    )


def _build(build: BuildSection, file: PlanFile, directory: Path, settings: Settings) -> Build:
    root = _root(directory)
    over, defaults, under = settings.over, file.defaults, settings.under.defaults
    fallback = _first(build.fallback, defaults.fallback, under.fallback, default=None)
    return Build(
        id=build.id,
        title=build.title or build.id,
        branch=build.branch or f"build/{build.id}",
        worktree=build.worktree or build.id,
        tasks=_tasks(build, file, directory, settings),
        verify=_verify_of(build, file),
        prompt=_prompt(build, directory),
        message=build.message,
        owns=tuple(with_slash(pattern, root) for pattern in build.owns),
        shared=build.shared,
        deliverables=tuple(build.deliverables),
        after=tuple(build.after),
        needs=tuple(build.needs),
        setup=tuple(build.setup),
        env=tuple(_first(build.env, defaults.env, under.env, default=[])),
        retries=_first(over.retries, build.retries, defaults.retries, under.retries, default=DEFAULT_RETRIES),
        timeout_s=_first(over.timeout, build.timeout, defaults.timeout, under.timeout, default=DEFAULT_TIMEOUT_S),
        budget_usd=_usd(build.budget_usd, defaults.budget_usd, under.budget_usd),
        attempt_budget_usd=_usd(build.attempt_budget_usd, defaults.attempt_budget_usd, under.attempt_budget_usd),
        silence_s=_first(build.silence, defaults.silence, under.silence, default=None),
        sandbox=_first(build.sandbox, defaults.sandbox, under.sandbox, default="none"),
        network=_first(build.network, defaults.network, under.network, default=True),
        fallback=None if fallback is None else tuple(fallback),
        strategy=build.strategy or file.landing.strategy,
    )


def _tasks(build: BuildSection, file: PlanFile, directory: Path, settings: Settings) -> tuple[Task, ...]:
    """A build without tasks is one task; what it is to do is the build's own prompt."""
    listed = build.task or [TaskSection(id="1", title=build.title or build.id)]
    return tuple(_task(task, build, file, directory, settings) for task in listed)


def _task(task: TaskSection, build: BuildSection, file: PlanFile, directory: Path, settings: Settings) -> Task:
    over, defaults, under = settings.over, file.defaults, settings.under.defaults
    agent = _first(over.agent, task.agent, build.agent, defaults.agent, under.agent, default=DEFAULT_AGENT)
    command = task.command or build.command or defaults.command or under.command
    return Task(
        id=task.id,
        title=task.title or task.id,
        prompt=_prompt(task, directory),
        minutes=task.minutes,
        deliverables=tuple(task.deliverables),
        agent=agent,
        command=command if agent == "shell" else None,
        model=_first(over.model, task.model, build.model, defaults.model, under.model, default=DEFAULT_MODEL),
        policy=_first(over.policy, task.policy, build.policy, defaults.policy, under.policy, default=DEFAULT_POLICY),
    )


def _prompt(section: BuildSection | TaskSection, directory: Path) -> str:
    if section.prompt_file:
        return prompt_files.read(directory, section.prompt_file)
    return section.prompt or ""


def _verify_of(build: BuildSection, file: PlanFile) -> Verify:
    """The plan's minima count the tests of all builds together, so one build is not held to them."""
    if build.verify:
        return _verify(build.verify)
    whole = _verify(file.verify)
    return Verify(run=whole.run, artifacts=whole.artifacts)


def _verify(section: VerifySection | None) -> Verify:
    if section is None:
        return Verify()
    return Verify(
        run=tuple(section.run),
        min_passed=section.min_passed,
        min_coverage=section.min_coverage,
        artifacts=tuple(section.artifacts),
    )


def _alerts(section: AlertsSection) -> Alerts:
    given = Alerts()
    return Alerts(
        success_rate_min=section.success_rate_min or None,
        error_rate_max=section.error_rate_max or None,
        duration_avg_max_s=_first(section.duration_avg_max, default=given.duration_avg_max_s) or None,
        duration_p95_max_s=_first(section.duration_p95_max, default=given.duration_p95_max_s) or None,
        hourly_cost_max_usd=_usd(section.hourly_cost_max_usd),
        daily_cost_max_usd=_usd(section.daily_cost_max_usd),
        violations=section.security_violations,
        min_tasks=section.min_tasks,
        notify=section.notify,
    )


def _hooks(section: HooksSection, root: Path) -> Hooks:
    return Hooks(
        protect=tuple(section.protect),
        ignore=tuple(with_slash(pattern, root) for pattern in section.ignore),
        off=tuple(section.off),
        max_bytes=section.max_bytes,
        fail_on=section.fail_on,
        owns=section.owns,
        commit_msg=section.commit_msg,
        pre_push=tuple(section.pre_push),
        gitleaks=section.gitleaks,
        required=section.required,
        reference_transaction=section.reference_transaction,
    )


def _setup(section: SetupSection | None, root: Path, have: Callable[[str], bool]) -> Setup:
    if section:
        return Setup(run=tuple(section.run), copy=tuple(section.copy_))
    found = detect(root, have)
    return Setup(run=found.setup, copy=found.copy, detected=True)


def _root(directory: Path) -> Path:
    return worktree_root(directory) or directory.resolve()


def _first(*values: T | None, default: D) -> T | D:
    return next((value for value in values if value is not None), default)


def _usd(*amounts: float | None) -> str | None:
    """The first amount given, as a decimal string; 0 is how a plan writes "no limit"."""
    amount = _first(*amounts, default=0.0)
    return f"{Decimal(repr(amount)).normalize():f}" if amount else None
