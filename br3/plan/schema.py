"""The sections of br3.toml and what each key may hold. What keys mean together is left to ``checks``.

Every model is strict (``"4"`` is no number) and forbids unknown keys. A refusal that pydantic has no name
for is raised with ``refuse``; ``messages`` turns all of them into plain words.
"""

from __future__ import annotations

import re
import string
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal, NoReturn, get_args

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

from br3.plan import durations, jobs, refnames
from br3.plan.model import (
    DEFAULT_MAX_BYTES,
    DEFAULT_RELEASE_COMMIT,
    DEFAULT_STOP_AT,
    DEFAULT_WORKTREE_TEMPLATE,
    REPAIR,
)
from br3.plan.problems import KeyPath, did_you_mean, shown
from br3.plan.semver import SEMVER

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


def _release_version(value: str) -> str:
    if not re.fullmatch(SEMVER, value):
        refuse(f"{shown(value)} is no version", "three numbers, and what kind of prerelease: 1.2.0, 1.2.0-alpha.1")
    return value


def _version_file(value: str) -> str:
    path, colon, pattern = value.partition(":")
    _path_inside(path)
    if colon:
        try:
            groups = re.compile(pattern).groups
        except re.error as error:
            refuse(f"what follows the colon of {shown(value)} is no regular expression: {error}")
        if groups != 1:
            refuse(f"the regular expression of {shown(value)} has {groups} groups", "one: that of the version")
    return value


def _command(value: str) -> str:
    if not value.strip():
        refuse("expected a command, got an empty string")
    if "\0" in value:
        refuse(f"{shown(value)} has a NUL character, which no command can have")
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


def _jobs(value: Any) -> Any:
    return jobs.here() if value == "auto" else value


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


@dataclass(frozen=True)
class Kind:
    """What a value is called on docs/PLAN.md, one of them and many."""

    one: str
    many: str = ""


def key(default: Any, meaning: str, *, unsaid: str = "none", **rest: Any) -> Any:
    """A key of a section. ``unsaid`` is what holds where nothing is said, in words, when the default is None."""
    return Field(default, description=meaning, json_schema_extra={"unsaid": unsaid}, **rest)


BuildId = Annotated[str, AfterValidator(_id), Kind("id", "ids")]
TaskId = Annotated[str, AfterValidator(_task_id), Kind("id")]
BuildName = Annotated[str, Kind("id", "ids")]
RefName = Annotated[str, AfterValidator(_ref), Kind("branch")]
TagName = Annotated[str, AfterValidator(_ref), Kind("tag")]
DirectoryName = Annotated[str, AfterValidator(_path_component), Kind("name")]
InsidePath = Annotated[str, AfterValidator(_path_inside), Kind("path")]
InsideGlob = Annotated[str, AfterValidator(_glob), Kind("path", "paths, globs")]
Pattern = Annotated[str, AfterValidator(_pattern), Kind("pattern", "patterns")]
BranchPattern = Annotated[str, AfterValidator(_branch_pattern), Kind("branch pattern", "branch patterns")]
Rule = Annotated[str, AfterValidator(_rule), Kind("rule", "rules")]
Command = Annotated[str, AfterValidator(_command), Kind("command", "commands")]
ReleaseVersion = Annotated[str, AfterValidator(_release_version), Kind("version")]
VersionFile = Annotated[str, AfterValidator(_version_file), Kind("path", "paths, `path:regex`")]
Agent = Annotated[str, AfterValidator(_agent), Kind("agent")]
EnvironmentName = Annotated[str, AfterValidator(_environment_name), Kind("name", "names")]
Seconds = Annotated[float, BeforeValidator(_seconds), Kind("duration")]
Template = Annotated[str, AfterValidator(_template), Kind("template")]
Text = Annotated[str, Field(min_length=1), Kind("text", "text")]
Model = Annotated[Text, Kind("model", "models")]
Count = Annotated[int, Field(ge=0), Kind("whole number ≥ 0")]
AtLeastOne = Annotated[int, Field(ge=1), Kind("whole number ≥ 1")]
Jobs = Annotated[AtLeastOne, BeforeValidator(_jobs), Kind('whole number ≥ 1, or `"auto"`')]
Amount = Annotated[float, Field(ge=0, allow_inf_nan=False), Kind("number ≥ 0")]
Fraction = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False), Kind("number, 0 to 1")]
Policy = Literal["cascade", "fixed", "best"]
Strategy = Literal["merge", "squash", "rebase"]
Sandbox = Literal["none", "bwrap", "agent"]
Percent = Annotated[float, Field(ge=0, le=100, allow_inf_nan=False), Kind("number, 0 to 100")]


class Section(BaseModel):
    """What all sections share."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class PlanSection(Section):
    """[plan]: the run as a whole."""

    name: Text | None = key(
        None, "shown; first line of the tag's message when `[release]` has none", unsaid="the directory's name"
    )
    base: RefName = key("main", "local branch that builds start from and land on")
    jobs: Jobs | None = key(None, "builds at work at once; `auto`: by cores, memory and disk", unsaid="`4`")
    budget_usd: Amount | None = key(None, "most that the whole run may cost; 0: no limit", unsaid="no limit")
    daily_budget_usd: Amount | None = key(
        None, "most that all runs here may cost in a day (UTC); 0: no limit", unsaid="no limit"
    )
    retention_days: Amount | None = key(None, "how long [chatter](TELEMETRY.md) is kept; 0: for ever", unsaid="30 days")
    landing: Literal["local", "pr"] = key("local", "`pr`: by [pull request](LANDING.md#by-pull-request); base stays")
    worktrees: Template = key(DEFAULT_WORKTREE_TEMPLATE, "where worktrees lie; must contain `{build}`")


class SetupSection(Section):
    """[setup]: how a fresh worktree becomes usable."""

    run: list[Command] = key([], "run in turn in every worktree; one that fails ends the build")
    copy_: list[InsideGlob] = key(
        [], "ignored files to bring along from your checkout, as by `.worktreeinclude`", alias="copy"
    )


class DefaultsSection(Section):
    """[defaults]: for every build that does not say otherwise."""

    agent: Agent | None = key(
        None, "who works: `claude`, `codex`, …, `shell` (runs `command`), or `manual`: you do it", unsaid='`"claude"`'
    )
    model: Text | None = key(None, "the model asked of the agent; `auto` leaves the choice to it", unsaid='`"auto"`')
    fallback: list[Model] | None = key(
        None, "to turn to when a model cannot, in this order; `[]`: to none", unsaid="those br3 knows"
    )
    policy: Policy | None = key(None, "which model begins, where it is open", unsaid='`"cascade"`')
    retries: Count | None = key(
        None, "further attempts at a task, and attempts to mend a build's verification", unsaid="`2`"
    )
    timeout: Seconds | None = key(
        None, "longest time of one attempt, one set-up command, one verification command", unsaid='`"2h"`'
    )
    silence: Seconds | None = key(
        None, "longest time that an agent may print nothing", unsaid="30 minutes, none for `shell`"
    )
    budget_usd: Amount | None = key(None, "most that one build may cost; 0: no limit", unsaid="no limit")
    attempt_budget_usd: Amount | None = key(None, "most that one attempt may cost; 0: no limit", unsaid="no limit")
    command: Command | None = key(None, "what the agent `shell` runs; other agents pass it over")
    env: list[EnvironmentName] | None = key(
        None, "variables that agents may see, from the environment, else from `.env`", unsaid="`[]`"
    )
    sandbox: Sandbox | None = key(
        None, "what keeps agents to their worktree; `agent`: its own means", unsaid='`"none"`'
    )
    network: bool | None = key(None, "whether agents in a sandbox have the network", unsaid="`true`")


class VerifySection(Section):
    """[verify] and [build.verify]: commands that must pass, and what they must show."""

    run: list[Command] = key(..., "run in turn up to the first that does not end with exit code 0", min_length=1)
    min_passed: Count | None = key(None, "tests that must pass, all commands together")
    min_coverage: Percent | None = key(None, "least coverage, in percent")
    artifacts: list[InsideGlob] = key([], "copied from the worktree into the run's directory")


class LandingSection(Section):
    """[landing]: how the train lands builds."""

    window: AtLeastOne | None = key(None, "candidates that are tested at once", unsaid="the cores, at most 4")
    strategy: Strategy = key("merge", "what a build becomes on base")
    on_conflict: Literal["aside", "agent"] = key("aside", "whether an agent tries to resolve a conflict")
    fetch: bool = key(False, "fetch base's upstream, and land on top of it")


class ReleaseSection(Section):
    """[release]: the tag to make, and what changes with it."""

    tag: TagName | None = key(
        None, "annotated tag to make on base, or its form with the place of a version", unsaid="`v{version}`"
    )
    version: ReleaseVersion | None = key(
        None, "what is released, by SemVer: `1.2.0`, `1.2.0-alpha.1`", unsaid="of the tag"
    )
    bump: Literal["auto", "major", "minor", "patch", "prerelease"] | None = key(
        None, "instead of a version: the one after the last tag"
    )
    message: Text | None = key(
        None, "first lines of its message; what landed is listed below them", unsaid="the plan's name"
    )
    commit_message: Text = key(DEFAULT_RELEASE_COMMIT, "of the commit that changes files; `{tag}`, `{version}`")
    changelog: InsidePath | None = key(None, "file that gets a section with what landed")
    version_files: list[VersionFile] = key([], "files that hold the version")
    push: bool = key(False, "push base and tag together, both or neither")
    remote: Text = key("origin", "where to")


class TaskSection(Section):
    """[[build.task]]: one agent conversation."""

    id: TaskId = key(..., "unique within the build; `repair` is kept for mending a verification")
    title: Text | None = key(None, "shown; in prompts and in the subject of the task's commit", unsaid="the id")
    minutes: Amount | None = key(None, "how long it may take; shown and told to the agent, not enforced")
    prompt: Text | None = key(None, "what to do, after the build's own prompt")
    prompt_file: InsidePath | None = key(None, "a file with the prompt instead, looked for beside the plan")
    deliverables: list[Text] = key([], "listed in its prompt")
    agent: Agent | None = key(None, "a build is `manual` in all its tasks or in none", unsaid="of the build")
    command: Command | None = key(None, "as in `[defaults]`", unsaid="of the build")
    model: Text | None = key(None, "as in `[defaults]`", unsaid="of the build")
    policy: Policy | None = key(None, "as in `[defaults]`", unsaid="of the build")


class BuildSection(Section):
    """[[build]]: one unit of parallel work."""

    id: BuildId = key(..., "its name in commands, events and messages")
    title: Text | None = key(None, "shown, and the heading of its prompts", unsaid="the id")
    branch: RefName | None = key(
        None, "made at the start of the build; one that holds other work is refused", unsaid="`build/<id>`"
    )
    worktree: DirectoryName | None = key(
        None, "name of its directory, the `{build}` of `[plan] worktrees`", unsaid="the id"
    )
    message: Text | None = key(None, "message of its merge commit on base", unsaid="`Merge build <id>: <title>`")
    prompt: Text | None = key(None, "what to do; all its tasks are told it")
    prompt_file: InsidePath | None = key(None, "a file with the prompt instead, looked for beside the plan")
    owns: list[Pattern] = key([], "what it may change")
    shared: bool = key(False, "its `owns` may overlap those of other builds")
    deliverables: list[Text] = key([], "listed in its prompts")
    after: list[BuildName] = key([], "builds that land before it, if they land")
    needs: list[BuildName] = key([], "builds that must be verified before it starts")
    setup: list[Command] = key([], "run after `[setup] run`, for this build only")
    agent: Agent | None = key(None, "as in `[defaults]`", unsaid="of `[defaults]`")
    command: Command | None = key(None, "as in `[defaults]`", unsaid="of `[defaults]`")
    model: Text | None = key(None, "as in `[defaults]`", unsaid="of `[defaults]`")
    fallback: list[Model] | None = key(None, "instead of the list in `[defaults]`", unsaid="of `[defaults]`")
    policy: Policy | None = key(None, "as in `[defaults]`", unsaid="of `[defaults]`")
    retries: Count | None = key(None, "as in `[defaults]`", unsaid="of `[defaults]`")
    timeout: Seconds | None = key(None, "as in `[defaults]`", unsaid="of `[defaults]`")
    silence: Seconds | None = key(None, "as in `[defaults]`", unsaid="of `[defaults]`")
    budget_usd: Amount | None = key(None, "as in `[defaults]`; 0: no limit for this build", unsaid="of `[defaults]`")
    attempt_budget_usd: Amount | None = key(None, "as in `[defaults]`", unsaid="of `[defaults]`")
    env: list[EnvironmentName] | None = key(None, "instead of the list in `[defaults]`", unsaid="of `[defaults]`")
    sandbox: Sandbox | None = key(None, "as in `[defaults]`", unsaid="of `[defaults]`")
    network: bool | None = key(None, "as in `[defaults]`", unsaid="of `[defaults]`")
    strategy: Strategy | None = key(None, "as in `[landing]`", unsaid="of `[landing]`")
    verify: VerifySection | None = key(None, "see `[build.verify]`", unsaid="`run` of `[verify]`")
    task: list[TaskSection] = key([], "see `[[build.task]]`", unsaid="one task, id 1")


class CriterionSection(Section):
    """[[criterion]]: one line of the success checklist."""

    name: Text = key(..., "what should be true")
    run: Command | None = key(None, "✓ when it ends with exit code 0, else ✗")
    ask: Text | None = key(None, "a yes-or-no question; `?` where nobody can be asked")
    sql: Text | None = key(None, "a query of the [analytics](TELEMETRY.md): ✓ when its first value is true")


class EstimateSection(Section):
    """[estimate]: what is said before money is spent, and what stops an attempt that goes beyond it."""

    ai: bool = key(False, "ask Claude for three ratings of each build, as with `--ai`")
    confirm_above_usd: Amount | None = key(None, "ask before a run whose P90 is above this")
    stop_at: Percent = key(DEFAULT_STOP_AT, "percentile of an attempt's expected cost at which it is stopped; 0: never")


class AlertsSection(Section):
    """[alerts]: thresholds on what the analytics say; 0 switches one off."""

    success_rate_min: Fraction = key(0.8, "least share of tasks that succeed")
    error_rate_max: Fraction = key(0.2, "most attempts that fail, as a share")
    duration_avg_max: Seconds | None = key(None, "longest a task may take on average", unsaid="one hour")
    duration_p95_max: Seconds | None = key(None, "longest that 95 of 100 tasks may take", unsaid="two hours")
    hourly_cost_max_usd: Amount = key(20.0, "most that the current hour may cost")
    daily_cost_max_usd: Amount = key(100.0, "most that the current day (UTC) may cost")
    security_violations: bool = key(True, "whether every security violation is an alert")
    min_tasks: AtLeastOne = key(5, "tasks, or attempts, from which rates and durations count")
    notify: Command | None = key(None, "run for every new alert, which it gets as JSON on standard input")


class HooksSection(Section):
    """[hooks]: what br3's git hooks guard."""

    protect: list[BranchPattern] = key([], "branches that only br3's landing may move: `main`, `release/*`")
    ignore: list[Pattern] = key([], "files that are not looked at")
    off: list[Rule] = key([], "rules that are not used")
    max_bytes: Count = key(DEFAULT_MAX_BYTES, "most bytes that one commit may add to one file; 0: any")
    fail_on: Literal["low", "medium", "high"] = key("medium", "the least severity that stops a commit or push")
    owns: Literal["block", "warn"] = key("block", "what a change outside of the build's `owns` does")
    commit_msg: Literal["conventional"] | None = key(None, "the form that messages must have")
    pre_push: list[Command] = key([], "must pass on the commit that is pushed, in a throw-away worktree")
    gitleaks: bool = key(False, "`br3 scan` and pre-push ask gitleaks as well; it must be on PATH")
    required: bool = key(False, "where br3 is gone, hooks that guard let nothing pass")
    reference_transaction: bool = key(False, "protect against fast-forward, `reset` and `branch -f` as well")


class PlanFile(Section):
    """The whole of br3.toml."""

    plan: PlanSection = PlanSection()
    setup: SetupSection | None = None
    defaults: DefaultsSection = DefaultsSection()
    verify: VerifySection | None = None
    landing: LandingSection = LandingSection()
    release: ReleaseSection = ReleaseSection()
    alerts: AlertsSection = AlertsSection()
    estimate: EstimateSection = EstimateSection()
    hooks: HooksSection = HooksSection()
    build: list[BuildSection] = []
    criterion: list[CriterionSection] = []


class UserPlanSection(Section):
    """[plan] of the user's own config.toml."""

    jobs: Jobs | None = None
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

    jobs: Jobs | None = None
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
