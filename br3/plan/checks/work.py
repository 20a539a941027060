"""Is there work, does somebody do it, are they told what to do, and does something verify it?"""

from __future__ import annotations

import re
from collections.abc import Iterator

from br3.plan import prompt_files
from br3.plan.checks.raw import RawPlan, RawTable
from br3.plan.problems import Found, did_you_mean, nearest, shown
from br3.plan.schema import AGENTS

WITH_A_SANDBOX = frozenset({"codex"})
"""Agents that bring a sandbox; that of an agent of another package is asked when it starts."""


def check(plan: RawPlan) -> Iterator[Found]:
    values = plan.root.values
    # `[[builds]]` and `[build]` are reported as what they are; that there are no builds follows from it.
    if not values.get("build") and not nearest("build", [key for key in values if key != "build"]):
        yield Found((), "there is no [[build]]", "add one: id, prompt, and what verifies it")
    for build in plan.builds:
        yield from _verification(plan, build)
        yield from _prompt(plan, build)
        yield from _instructed(plan, build)
        for task in build.tables("task"):
            yield from _prompt(plan, task)
            yield from _commanded(plan, task, build)
        if not build.tables("task"):
            yield from _commanded(plan, build)
        yield from _manual_as_a_whole(plan, build)
        yield from _confined(plan, build)
        yield from _known_models(plan, build)
    for criterion in plan.root.tables("criterion"):
        yield from _criterion(criterion)
    yield from _release(plan.root.table("release"))


def _verification(plan: RawPlan, build: RawTable) -> Iterator[Found]:
    if "verify" not in build.values and "verify" not in plan.root.values:
        yield Found(build.path, "nothing verifies this build", "add [build.verify] or [verify] with run")


def _prompt(plan: RawPlan, table: RawTable) -> Iterator[Found]:
    file = table.text("prompt_file")
    if file is None:
        return
    where = table.at("prompt_file")
    if "prompt" in table.values:
        yield Found(where, "there is a prompt as well", "keep prompt or prompt_file")
    try:
        prompt_files.read(plan.directory, file)
    except prompt_files.Outside:
        yield Found(where, f"{shown(file)} leads out of the repository", "keep the prompt itself beside the plan")
    except UnicodeDecodeError:
        yield Found(where, f"{shown(file)} is not UTF-8")
    except (OSError, ValueError):
        yield Found(where, f"there is no file {shown(file)}", "it is looked for beside the plan")


def _instructed(plan: RawPlan, build: RawTable) -> Iterator[Found]:
    """A build's own prompt tells all its tasks; without it each task must say what it is."""
    if build.values.keys() & {"prompt", "prompt_file"}:
        return
    for part in build.tables("task") or [build]:
        says_itself = part is not build and part.values.keys() & {"prompt", "prompt_file", "title"}
        if not says_itself and (plan.inherited("agent", part, build) or "claude") not in ("shell", "manual"):
            yield Found(part.path, "nothing tells the agent what to do", "add prompt, prompt_file or [[build.task]]")


def _manual_as_a_whole(plan: RawPlan, build: RawTable) -> Iterator[Found]:
    """A person works in the worktree or an orchestrator does; they cannot take turns."""
    agents = [plan.inherited("agent", task, build) or "claude" for task in build.tables("task")]
    if "manual" in agents and len(set(agents)) > 1:
        others = ", ".join(sorted(set(agents) - {"manual"}))
        yield Found(build.path, f"some of its tasks are manual and some are for {others}", "make two builds of it")


def _known_models(plan: RawPlan, build: RawTable) -> Iterator[Found]:
    """A name that the catalog does not know is most likely a slip; the agent may know it all the same."""
    from br3.errors import UsageError
    from br3.models import catalog
    from br3.models.families import FAMILIES
    from br3.models.routing import known

    for table in [build, *build.tables("task")]:
        name = table.text("model")
        agent = plan.inherited("agent", table, build) or "claude"
        if name is None or name == "auto" or agent not in ("claude", "codex", "gemini"):
            continue
        try:
            if known(name):
                continue
            near = did_you_mean(name, [*(family.alias for family in FAMILIES), *(model.id for model in catalog())])
        except UsageError:  # of the user's own price list; br3 doctor says what is wrong with it
            continue
        yield Found(table.at("model"), f"no model {shown(name)} is known here", near, warning=True)


def _confined(plan: RawPlan, build: RawTable) -> Iterator[Found]:
    """Whether what is to keep its agents to their ground can do so."""
    sandbox = plan.inherited("sandbox", build) or "none"
    where = build.at("sandbox") if "sandbox" in build.values else build.path
    for part in build.tables("task") or [build]:
        agent = plan.inherited("agent", part, build) or "claude"
        if sandbox == "agent" and agent in AGENTS and agent not in WITH_A_SANDBOX:
            own = " or ".join(sorted(WITH_A_SANDBOX))
            yield Found(where, f'sandbox = "agent": {agent} has none of its own', f'use "bwrap", or the agent {own}')
            break
    closed = next((t for t in (build, plan.root.table("defaults")) if isinstance(t.values.get("network"), bool)), None)
    if closed is not None and closed.values["network"] is False and sandbox == "none":
        yield Found(closed.at("network"), "without a sandbox nothing holds the network", 'add sandbox = "bwrap"')
    elif closed is not None and closed.values["network"] is False and sandbox == "bwrap":
        agents = {plan.inherited("agent", part, build) or "claude" for part in build.tables("task") or [build]}
        cut_off = sorted(agents - {"shell", "manual"})
        if cut_off:
            said = f"{', '.join(cut_off)} cannot reach a model without the network"
            yield Found(closed.at("network"), said, "only a model on this machine's own disk would do", warning=True)


def _commanded(plan: RawPlan, *tables: RawTable) -> Iterator[Found]:
    agent = plan.inherited("agent", *tables) or "claude"
    if agent == "shell" and not plan.inherited("command", *tables):
        where = tables[0].at("agent") if "agent" in tables[0].values else tables[0].path
        yield Found(where, 'agent = "shell" has no command to run', "add command here or in [defaults]")
    own = tables[0]
    if own.text("command") and agent != "shell" and not plan.settings.over.agent:
        yield Found(
            own.at("command"),
            f"the agent is {agent}, which runs no command",
            'add agent = "shell"',
            warning=True,
        )


def _criterion(criterion: RawTable) -> Iterator[Found]:
    given = [key for key in ("run", "ask", "sql") if key in criterion.values]
    if len(given) != 1:
        said = " and ".join(given) or "none of them"
        yield Found(criterion.path, f"expected exactly one of run, ask and sql, got {said}")


def _release(release: RawTable) -> Iterator[Found]:
    named = release.values.keys() & {"tag", "version", "bump"}
    tag, version = release.text("tag"), release.text("version")
    if not named:
        for key, what in (("push", "to push"), ("changelog", "to write of"), ("version_files", "to write")):
            if release.values.get(key):
                yield Found(release.at(key), f"there is no release {what}", "add tag, version or bump", warning=True)
    if "version" in release.values and "bump" in release.values:
        yield Found(release.at("bump"), "there is a version as well", "keep version or bump")
    if tag and "{version}" in tag and not named & {"version", "bump"}:
        yield Found(release.at("tag"), f"{shown(tag)} asks for a version", 'add version, or bump = "auto"')
    if tag and "{version}" not in tag and "bump" in release.values:
        yield Found(release.at("tag"), f"{shown(tag)} is one release only", 'write it with its place: "v{version}"')
    if tag and "{version}" not in tag and version and not re.fullmatch(rf"(?:.*[^0-9.])?{re.escape(version)}", tag):
        yield Found(release.at("tag"), f"{shown(tag)} is not of version {shown(version)}", 'write "v{version}"')
    changelog = release.text("changelog")
    for path, entry in release.texts("version_files"):
        if changelog and entry.partition(":")[0] == changelog:
            yield Found(path, f"{shown(changelog)} is the changelog", "its section names the version already")
