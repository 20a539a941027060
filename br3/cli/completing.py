"""What the shell completes: names of worktrees, branches, builds, runs, tasks, models, agents.

Each is called at a press of a key: no plan is checked, nothing heavy imported, and what cannot be read is nothing to
offer, never an error.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

Names = Iterable[tuple[str, str]]
"""Names, each with a few words of help."""

_Complete = Callable[[click.Context, click.Parameter, str], "list[CompletionItem]"]


def _completion(names: Callable[[click.Context], Names]) -> _Complete:
    @wraps(names)
    def complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        from click.shell_completion import CompletionItem

        given = ctx.params.get(param.name or "") or ()
        taken = {given} if isinstance(given, str) else set(given)
        try:
            found = dict(names(ctx))
        except Exception:  # whatever it is: a key was pressed, and nobody asked for a traceback
            return []
        return [
            CompletionItem(n, help=said) for n, said in found.items() if n.startswith(incomplete) and n not in taken
        ]

    return complete


@_completion
def worktrees(ctx: click.Context) -> Names:
    """Branches of worktrees, names of detached ones, ids of builds."""
    from br3.everyday.naming import names_of
    from br3.everyday.seeing import see

    for row in see(Path.cwd()).rows:
        for name in names_of(row)[:1] + ([row.build] if row.build else []):
            yield name, row.subject[:60]


@_completion
def branches(ctx: click.Context) -> Names:
    """Local branches, and those of remotes by their own names."""
    from br3.repo.worktrees import discover

    git = discover(Path.cwd()).git
    told = git("for-each-ref", "--format=%(refname)%00%(contents:subject)", "refs/heads", "refs/remotes").lines
    for line in told:
        ref, _, subject = line.partition("\0")
        name = ref.removeprefix("refs/heads/").removeprefix("refs/remotes/")
        if not ref.endswith("/HEAD"):
            yield name, subject[:60]


@_completion
def builds(ctx: click.Context) -> Names:
    """Builds of br3.toml as it stands, and of the newest run."""
    for build in _plan_s_builds():
        yield str(build["id"]), str(build.get("title") or "")


def tasks(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Tasks of the build that was named, else of all; BUILD/TASK for one that several have, or after a slash."""
    return (_tasks_of_builds if "/" in incomplete else _tasks)(ctx, param, incomplete)


@_completion
def _tasks(ctx: click.Context) -> Names:
    builds = _plan_s_builds()
    # Before the value of an option what was given so far is not assigned to parameters yet.
    given = ctx.params.get("build") or next(iter(ctx.args), "")
    mine = [build for build in builds if str(build["id"]).casefold() == str(given).casefold()]
    found = [(str(build["id"]), *named) for build in mine or builds for named in _tasks_in(build)]
    ids = [task.casefold() for _, task, _ in found]
    for build, task, title in found:
        yield task if ids.count(task.casefold()) == 1 else f"{build}/{task}", title


@_completion
def _tasks_of_builds(ctx: click.Context) -> Names:
    for build in _plan_s_builds():
        for task, title in _tasks_in(build):
            yield f"{build['id']}/{task}", title


def _tasks_in(build: dict[str, Any]) -> Names:
    """Its tasks; a build without any is one, called 1."""
    for task in build.get("task") or build.get("tasks") or ({"id": "1", "title": build.get("title")},):
        yield str(task["id"]), str(task.get("title") or "")


@_completion
def runs(ctx: click.Context) -> Names:
    """Runs, the newest first."""
    common = _common_dir()
    if common is not None:
        for name in sorted(os.listdir(common / "br3" / "runs"), reverse=True):
            yield name, ""


@_completion
def models(ctx: click.Context) -> Names:
    """Models of the table of prices."""
    import json

    from br3.models import table

    path = Path(table.__file__).with_name("prices.json")
    for name, facts in json.loads(path.read_text())["models"].items():
        yield name, str(facts.get("provider") or "")


@_completion
def agents(ctx: click.Context) -> Names:
    """The agents that br3 brings."""
    known = (("claude", "Claude Code"), ("codex", ""), ("gemini", ""), ("opencode", ""), ("aider", ""))
    yield from (*known, ("shell", "any command"), ("manual", "a person, or an agent that you sit in"))


@_completion
def kinds(ctx: click.Context) -> Names:
    """Kinds of events."""
    from br3.telemetry.events import KINDS

    for kind, facts in KINDS.items():
        yield kind, facts.meaning


def _plan_s_builds() -> list[dict[str, Any]]:
    import json
    import tomllib

    from br3.plan.location import find

    found: dict[str, dict[str, Any]] = {}
    common = _common_dir()
    if common is not None:
        try:
            newest = max(os.listdir(common / "br3" / "runs"))
            plan = json.loads((common / "br3" / "runs" / newest / "plan.json").read_text())["plan"]
            found |= {build["id"]: build for build in plan["builds"]}
        except (OSError, ValueError, KeyError):
            pass
    try:
        plan = tomllib.loads(find(Path.cwd()).read_text(encoding="utf-8"))
        found |= {build["id"]: build for build in plan.get("build") or ()}
    except Exception:  # a plan that is being written
        pass
    return list(found.values())


def _common_dir() -> Path | None:
    """The repository's common directory, by its files: no process for a press of a key."""
    from br3.plan.location import worktree_root

    root = worktree_root(Path.cwd())
    if root is None:
        return None
    directory = root / ".git"
    if directory.is_file():
        directory = (root / directory.read_text().removeprefix("gitdir:").strip()).resolve()
        shared = directory / "commondir"
        directory = (directory / shared.read_text().strip()).resolve() if shared.exists() else directory
    return directory
