"""The sections of br3.toml and what each key may hold. What keys mean together is left to ``checks``.

Every model is strict (``"4"`` is no number) and forbids unknown keys. A refusal that pydantic has no name
for is raised with ``refuse``; ``messages`` turns all of them into plain words.
"""

from __future__ import annotations

import re
import string
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal, NoReturn, get_args

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

from br3.plan import durations, refnames
from br3.plan.model import DEFAULT_MAX_BYTES, DEFAULT_STOP_AT, DEFAULT_WORKTREE_TEMPLATE, REPAIR
from br3.plan.problems import KeyPath, did_you_mean, shown

AGENTS = ("claude", "codex", "gemini", "opencode", "aider", "shell", "manual")
"""The agents that br3 brings; packages may bring others by entry points of the group ``br3.agents``."""

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_PLACEHOLDERS = ("parent", "repo", "build")

REFUSED = "br3_refused"
"""The type of the errors that carry their message and hint in plain words."""


def refuse(message: str, hint: str | None = None) -> NoReturn:
    """Fail a validator with a message and a hint for people."""
    raise PydanticCustomError(REFUSED, "{message}", {"message": message, "hint": hint})


def _id(value: str) -> str:
    if not _ID.fullmatch(value):
        refuse(
            f"{shown(value)} cannot be an id",
            'letters, digits, ".", "_" and "-", at most 64, a letter or digit first',
        )
    return value


def _task_id(value: str) -> str:
    if value.casefold() == REPAIR:
        refuse(f"{shown(value)} is kept for the attempts that mend a failed verification", "choose another id")
    return _id(value)


def _ref(value: str) -> str:
    if reason := refnames.refusal(value):
        refuse(f"git refuses the name {shown(value)}: it {reason}")
    return value


def _path_component(value: str) -> str:
    if value in {"", ".", ".."} or "/" in value or "\\" in value or not value.isprintable():
        refuse(f"expected the name of one directory, got {shown(value)}", "[plan] worktrees says where it lies")
    if value.casefold() == ".git":
        refuse(f"{shown(value)} belongs to git")
    return value


def _path_inside(value: str) -> str:
    if not value.strip():
        refuse("expected a path, got an empty string")
    if "\\" in value:
        refuse(f"{shown(value)} has a backslash", 'separate directories with "/"')
    if value.startswith(("/", "~")):
        refuse(f"{shown(value)} is an absolute path", "write it relative to the repository")
    if ".." in PurePosixPath(value).parts:
        refuse(f'{shown(value)} leaves the repository with ".."')
    return value


def _glob(value: str) -> str:
    parts = PurePosixPath(_path_inside(value)).parts
    if not parts:
        refuse(f"{shown(value)} is the repository itself", "name files or directories in it")
    if any("**" in part and part != "**" for part in parts):
        refuse(f'{shown(value)}: "**" stands for whole directories only', 'write it between slashes: "**/x"')
    return value


def _pattern(value: str) -> str:
    if value.startswith("!"):
        refuse(f"{shown(value)} excludes", "list what the build may change")
    return _path_inside(value)


def _branch_pattern(value: str) -> str:
    if value.startswith("refs/"):
        refuse(f"{shown(value)} is a ref", "write the branch alone, such as main or release/*")
    if not value or not value.isprintable() or value != value.strip() or "\\" in value:
        refuse(f"{shown(value)} names no branch", "a branch, with * ? [a-z] as in a shell: main, release/*")
    return value


def _rule(value: str) -> str:
    from br3.guard.contents import rules

    if value not in rules():
        refuse(f"unknown rule {shown(value)}", did_you_mean(value, rules()) or "docs/SECURITY.md lists them")
    return value


def _command(value: str) -> str:
    if not value.strip():
        refuse("expected a command, got an empty string")
    return value


def _agent(value: str) -> str:
    if value in AGENTS:
        return value
    import importlib.metadata

    names = (*AGENTS, *sorted({entry.name for entry in importlib.metadata.entry_points(group="br3.agents")}))
    if value not in names:
        known = ", ".join(names[:-1]) + f" or {names[-1]}"
        refuse(f"unknown agent {shown(value)}", did_you_mean(value, names) or f"use {known}")
    return value


def _environment_name(value: str) -> str:
    if not _ENV_NAME.fullmatch(value):
        refuse(
            f"expected the name of an environment variable, got {shown(value)}",
            "names only; values come from the environment or .env",
        )
    return value


def _seconds(value: Any) -> float:
    try:
        return durations.seconds(value)
    except (ValueError, AttributeError):
        refuse(f'expected a duration such as "45s", "90m" or "1h30m", got {shown(value)}')


def _template(value: str) -> str:
    try:
        fields = list(string.Formatter().parse(value))
    except ValueError:
        refuse(f"{shown(value)} has a brace without its partner")
    for _, name, spec, conversion in fields:
        if name is not None and (name not in _PLACEHOLDERS or spec or conversion):
            refuse(
                f"unknown placeholder {shown('{' + name + '}')}",
                did_you_mean(name, _PLACEHOLDERS) or "there are {parent}, {repo} and {build}",
            )
    if "build" not in [name for _, name, _, _ in fields]:
        refuse(f"{shown(value)} would put every build in one place", "it must contain {build}")
    return value


BuildId = Annotated[str, AfterValidator(_id)]
TaskId = Annotated[str, AfterValidator(_task_id)]
RefName = Annotated[str, AfterValidator(_ref)]
DirectoryName = Annotated[str, AfterValidator(_path_component)]
InsidePath = Annotated[str, AfterValidator(_path_inside)]
InsideGlob = Annotated[str, AfterValidator(_glob)]
Pattern = Annotated[str, AfterValidator(_pattern)]
BranchPattern = Annotated[str, AfterValidator(_branch_pattern)]
Rule = Annotated[str, AfterValidator(_rule)]
Command = Annotated[str, AfterValidator(_command)]
Agent = Annotated[str, AfterValidator(_agent)]
EnvironmentName = Annotated[str, AfterValidator(_environment_name)]
Seconds = Annotated[float, BeforeValidator(_seconds)]
Template = Annotated[str, AfterValidator(_template)]
Text = Annotated[str, Field(min_length=1)]
Count = Annotated[int, Field(ge=0)]
AtLeastOne = Annotated[int, Field(ge=1)]
Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Fraction = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Policy = Literal["cascade", "fixed", "best"]
Sandbox = Literal["none", "bwrap", "agent"]
Percent = Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)]


class Section(BaseModel):
    """What all sections share."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class PlanSection(Section):
    """[plan]: the run as a whole."""

    name: Text | None = None
    base: RefName = "main"
    jobs: AtLeastOne | None = None
    budget_usd: Amount | None = None
    daily_budget_usd: Amount | None = None
    retention_days: Amount | None = None
    worktrees: Template = DEFAULT_WORKTREE_TEMPLATE


class SetupSection(Section):
    """[setup]: how a fresh worktree becomes usable."""

    run: list[Command] = []
    copy_: list[InsideGlob] = Field([], alias="copy")


class DefaultsSection(Section):
    """[defaults]: for every build that does not say otherwise."""

    agent: Agent | None = None
    model: Text | None = None
    fallback: list[Text] | None = None
    policy: Policy | None = None
    retries: Count | None = None
    timeout: Seconds | None = None
    silence: Seconds | None = None
    budget_usd: Amount | None = None
    attempt_budget_usd: Amount | None = None
    command: Command | None = None
    env: list[EnvironmentName] | None = None
    sandbox: Sandbox | None = None
    network: bool | None = None


class VerifySection(Section):
    """[verify] and [build.verify]: commands that must pass, and what they must show."""

    run: list[Command] = Field(min_length=1)
    min_passed: Count | None = None
    min_coverage: Percent | None = None
    artifacts: list[InsideGlob] = []


class ReleaseSection(Section):
    """[release]: the tag to make."""

    tag: RefName | None = None
    message: Text | None = None
    push: bool = False
    remote: Text = "origin"


class TaskSection(Section):
    """[[build.task]]: one agent conversation."""

    id: TaskId
    title: Text | None = None
    minutes: Amount | None = None
    prompt: Text | None = None
    prompt_file: InsidePath | None = None
    deliverables: list[Text] = []
    agent: Agent | None = None
    command: Command | None = None
    model: Text | None = None
    policy: Policy | None = None


class BuildSection(Section):
    """[[build]]: one unit of parallel work."""

    id: BuildId
    title: Text | None = None
    branch: RefName | None = None
    worktree: DirectoryName | None = None
    message: Text | None = None
    prompt: Text | None = None
    prompt_file: InsidePath | None = None
    owns: list[Pattern] = []
    shared: bool = False
    deliverables: list[Text] = []
    after: list[str] = []
    needs: list[str] = []
    setup: list[Command] = []
    agent: Agent | None = None
    command: Command | None = None
    model: Text | None = None
    fallback: list[Text] | None = None
    policy: Policy | None = None
    retries: Count | None = None
    timeout: Seconds | None = None
    silence: Seconds | None = None
    budget_usd: Amount | None = None
    attempt_budget_usd: Amount | None = None
    env: list[EnvironmentName] | None = None
    sandbox: Sandbox | None = None
    network: bool | None = None
    verify: VerifySection | None = None
    task: list[TaskSection] = []


class CriterionSection(Section):
    """[[criterion]]: one line of the success checklist."""

    name: Text
    run: Command | None = None
    ask: Text | None = None
    sql: Text | None = None


class EstimateSection(Section):
    """[estimate]: what is said before money is spent, and what stops an attempt that goes beyond it."""

    ai: bool = False
    confirm_above_usd: Amount | None = None
    stop_at: Percent = DEFAULT_STOP_AT


class AlertsSection(Section):
    """[alerts]: thresholds on what the analytics say; 0 switches one off."""

    success_rate_min: Fraction = 0.8
    error_rate_max: Fraction = 0.2
    duration_avg_max: Seconds | None = None
    duration_p95_max: Seconds | None = None
    hourly_cost_max_usd: Amount = 20.0
    daily_cost_max_usd: Amount = 100.0
    security_violations: bool = True
    min_tasks: AtLeastOne = 5
    notify: Command | None = None


class HooksSection(Section):
    """[hooks]: what br3's git hooks guard."""

    protect: list[BranchPattern] = []
    ignore: list[Pattern] = []
    off: list[Rule] = []
    max_bytes: Count = DEFAULT_MAX_BYTES
    fail_on: Literal["low", "medium", "high"] = "medium"
    owns: Literal["block", "warn"] = "block"
    commit_msg: Literal["conventional"] | None = None
    pre_push: list[Command] = []
    gitleaks: bool = False
    required: bool = False
    reference_transaction: bool = False


class PlanFile(Section):
    """The whole of br3.toml."""

    plan: PlanSection = PlanSection()
    setup: SetupSection | None = None
    defaults: DefaultsSection = DefaultsSection()
    verify: VerifySection | None = None
    release: ReleaseSection = ReleaseSection()
    alerts: AlertsSection = AlertsSection()
    estimate: EstimateSection = EstimateSection()
    hooks: HooksSection = HooksSection()
    build: list[BuildSection] = []
    criterion: list[CriterionSection] = []


class UserPlanSection(Section):
    """[plan] of the user's own config.toml."""

    jobs: AtLeastOne | None = None
    budget_usd: Amount | None = None
    daily_budget_usd: Amount | None = None
    retention_days: Amount | None = None


class UserFile(Section):
    """The user's own config.toml: what holds where neither the plan nor the command line says anything."""

    plan: UserPlanSection = UserPlanSection()
    defaults: DefaultsSection = DefaultsSection()


class Overrides(Section):
    """What the command line or ``BR3_*`` variables say over the plan; numbers may come as text."""

    model_config = ConfigDict(strict=False, extra="forbid", frozen=True)

    jobs: AtLeastOne | None = None
    agent: Agent | None = None
    model: Text | None = None
    policy: Policy | None = None
    retries: Count | None = None
    timeout: Seconds | None = None
    budget_usd: Amount | None = None


def section_at(root: type[Section], path: KeyPath) -> type[Section] | None:
    """The model of the table at that path; None where there is no table."""
    section = root
    for part in path:
        if isinstance(part, str):
            inner = sections_in(section).get(part)
            if inner is None:
                return None
            section = inner
    return section


def sections_in(section: type[Section]) -> dict[str, type[Section]]:
    """The tables (or arrays of tables) that a section can hold, by key."""
    return {key: inner for key, annotation in _annotations(section).items() for inner in _models_in(annotation)}


def keys_of(section: type[Section]) -> tuple[str, ...]:
    """The keys that may be written in a section."""
    return tuple(_annotations(section))


def is_array(section: type[Section], key: str) -> bool:
    """Whether the table under that key is written ``[[key]]``."""
    return "list[" in str(_annotations(section).get(key))


def _annotations(section: type[Section]) -> dict[str, Any]:
    return {field.alias or name: field.annotation for name, field in section.model_fields.items()}


def _models_in(annotation: Any) -> list[type[Section]]:
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return [annotation]
    return [model for inner in get_args(annotation) for model in _models_in(inner)]
