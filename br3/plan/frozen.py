"""The plan as a run keeps it: resolved once into ``plan.json``, with its digest. Standard library only."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from br3.errors import Br3Error, UsageError
from br3.plan.model import Build, Plan, from_json, to_json

FROZEN_FILE = "plan.json"
_LONGEST_SHOWN = 40
_NOT_ITS_WORK = ("jobs", "retention_days", "hooks", "estimate")


@dataclass(frozen=True)
class Frozen:
    """A run's plan. ``facts`` is what was written beside it, such as the commit that builds start from."""

    plan: Plan
    digest: str
    facts: dict[str, Any]


def digest(plan: Plan) -> str:
    """SHA-256, in hex, of the plan as canonical JSON: sorted keys, no spaces, UTF-8.

    How many builds are at work at once, how long chatter is kept, and what hooks guard is left out: that is not what a
    run does.
    """
    return _digest(to_json(plan))


def _digest(data: dict[str, Any]) -> str:
    told = {name: value for name, value in data.items() if name not in _NOT_ITS_WORK}
    canonical = json.dumps(told, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode(errors="surrogatepass")).hexdigest()


def freeze(plan: Plan, directory: Path, **facts: Any) -> str:
    """Write ``plan.json`` into ``directory``, whole or not at all, and return the plan's digest."""
    made = digest(plan)
    directory.mkdir(parents=True, exist_ok=True)
    content = json.dumps({**facts, "digest": made, "plan": to_json(plan)}, ensure_ascii=False, indent=1)
    handle, temporary = tempfile.mkstemp(dir=directory, prefix=f".{FROZEN_FILE}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(directory / FROZEN_FILE)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return made


def thaw(directory: Path) -> Frozen:
    """The plan frozen in ``directory``; an error when there is none or it is not what was frozen."""
    path = directory / FROZEN_FILE
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        # The digest is of what was written: another version of br3 may have fields that this one has not.
        written, noted = facts.pop("plan"), facts.pop("digest")
        plan = from_json(written)
    except FileNotFoundError as error:
        raise UsageError(f"there is no plan in {directory}", hint="br3 run begins a new run") from error
    except (ValueError, TypeError, KeyError) as error:
        raise Br3Error(f"{path} is damaged: {error}", hint="start a new run: br3 run") from error
    if _digest(written) != noted:
        raise Br3Error(f"{path} was changed after it was frozen", hint="start a new run: br3 run")
    return Frozen(plan, noted, facts)


def differences(old: Plan, new: Plan) -> list[str]:
    """What changed from one plan to another, a short line for each thing."""
    sections = ("setup", "verify", "landing", "release", "alerts", "estimate", "hooks")
    lines = [f"plan: {change}" for change in _fields(old, new, skip=(*sections, "builds", "criteria"))]
    for section in sections:
        lines += [f"{section}: {change}" for change in _fields(getattr(old, section), getattr(new, section))]
    if old.criteria != new.criteria:
        lines.append("criteria: changed")
    lines += _builds(old, new)
    return lines


def _builds(old: Plan, new: Plan) -> Iterator[str]:
    before = {build.id: build for build in old.builds}
    after = {build.id: build for build in new.builds}
    yield from (f"build {build_id}: gone" for build_id in before if build_id not in after)
    for build_id, build in after.items():
        if build_id not in before:
            yield f"build {build_id}: new"
        else:
            yield from (f"build {build_id}{change}" for change in _build(before[build_id], build))
    if before.keys() == after.keys() and list(before) != list(after):
        yield f"order of builds: {', '.join(before)} → {', '.join(after)}"


def _build(old: Build, new: Build) -> Iterator[str]:
    yield from (f": {change}" for change in _fields(old, new, skip=("tasks", "verify")))
    yield from (f", verify: {change}" for change in _fields(old.verify, new.verify))
    before = {task.id: task for task in old.tasks}
    after = {task.id: task for task in new.tasks}
    yield from (f", task {task_id}: gone" for task_id in before if task_id not in after)
    for task_id, task in after.items():
        if task_id not in before:
            yield f", task {task_id}: new"
        else:
            yield from (f", task {task_id}: {change}" for change in _fields(before[task_id], task))
    if before.keys() == after.keys() and list(before) != list(after):
        yield f": order of tasks {', '.join(before)} → {', '.join(after)}"


def _fields(old: Any, new: Any, skip: tuple[str, ...] = ()) -> Iterator[str]:
    for field in dataclasses.fields(old):
        was, now = getattr(old, field.name), getattr(new, field.name)
        if field.name not in skip and was != now:
            said = f"{field.name} {_shown(was)} → {_shown(now)}"
            yield said if len(said) <= 2 * _LONGEST_SHOWN and "\n" not in said else f"{field.name} changed"


def _shown(value: Any) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(str, value)) or "none"
    return "none" if value is None or value == "" else str(value)
