"""What an agent is asked, rendered from the plan."""

from __future__ import annotations

from collections.abc import Sequence

from br3.plan.model import Build, Plan, Task

_MOST_OUTPUT_CHARS = 20_000
_COMMITTED = "You may commit; what you leave uncommitted is committed for you."


def for_task(
    plan: Plan,
    build: Build,
    task: Task,
    *,
    worktree: str,
    done: Sequence[str] = (),
    trouble: str | None = None,
    salvaged: str | None = None,
    again: bool = False,
    notes: Sequence[str] = (),
) -> str:
    """The prompt of one attempt at ``task``; ``trouble`` is what went wrong before, with output.

    ``salvaged`` is the ref with what an attempt that was cut off had left uncommitted; ``again``: the agent goes on in
    the session of the attempt before, and knows the rest. ``notes`` are what a person has to say meanwhile.
    """
    if again:
        return _go_on(task, trouble, notes)
    parts = [_opening(plan, build, worktree)]
    if build.prompt:
        parts.append(f"## The build\n\n{build.prompt.strip()}")
    if len(build.tasks) > 1:
        lines = [f"{_sign(t, task, done)} {t.id} {t.title}{_minutes(t)}" for t in build.tasks]
        parts.append("## Its tasks\n\n" + "\n".join(lines) + f"\n\nDo {task.id} now, and only that.")
    parts.append(_task(task))
    parts += _held_to(build)
    if trouble:
        parts.append(_trouble(trouble))
    if salvaged:
        parts.append(_begun_before(salvaged))
    parts += _told(notes)
    parts.append(_closing())
    return "\n\n".join(parts) + "\n"


def _told(notes: Sequence[str]) -> list[str]:
    return ["## A word from the person you work for\n\n" + "\n\n".join(n.strip() for n in notes)] if notes else []


def _go_on(task: Task, trouble: str | None, notes: Sequence[str]) -> str:
    parts = [
        f"Go on with task {task.id}: {task.title}. It is not done yet. What you have changed so far is still there: "
        "look at the state of the worktree first."
    ]
    if trouble:
        parts.append(_trouble(trouble))
    parts += _told(notes)
    parts.append(_closing())
    return "\n\n".join(parts) + "\n"


def for_build(plan: Plan, build: Build, *, worktree: str) -> str:
    """The prompt of a whole build, for a person or an interactive agent."""
    parts = [_opening(plan, build, worktree)]
    if build.prompt:
        parts.append(f"## The build\n\n{build.prompt.strip()}")
    parts += [_task(task) for task in build.tasks if task.prompt or len(build.tasks) > 1]
    parts += _held_to(build)
    parts.append(_closing())
    return "\n\n".join(parts).replace(_COMMITTED, "Commit your work on this branch.") + "\n"


def for_repair(
    plan: Plan,
    build: Build,
    *,
    worktree: str,
    trouble: str,
    salvaged: str | None = None,
    notes: Sequence[str] = (),
) -> str:
    """The prompt of an attempt that mends a failed verification; ``salvaged`` and ``notes`` as in ``for_task``."""
    parts = [
        _opening(plan, build, worktree),
        "## Repair\n\nAll tasks of this build are done and committed, but its verification fails. "
        "Find the cause and mend it. Do not weaken or remove tests to make them pass.",
    ]
    if build.prompt:
        parts.append(f"## What the build was asked to do\n\n{build.prompt.strip()}")
    parts += [_task(task) for task in build.tasks]
    parts += _held_to(build)
    parts.append(_trouble(trouble))
    if salvaged:
        parts.append(_begun_before(salvaged))
    parts += _told(notes)
    parts.append(_closing())
    return "\n\n".join(parts) + "\n"


def _begun_before(salvaged: str) -> str:
    return (
        "## What was begun before\n\nAn earlier attempt at this task was cut off. What it had left uncommitted is "
        f"kept as the commit `{salvaged}` (`git diff HEAD...{salvaged}`); the worktree is as at its last commit. "
        "Take over from it what is good."
    )


def _opening(plan: Plan, build: Build, worktree: str) -> str:
    return (
        f"# {build.title}\n\n"
        f"You work on the build `{build.id}` of the plan “{plan.name}”, alone, in the git worktree {worktree} "
        f"on its branch `{build.branch}`. Other builds are at work in other worktrees of the same repository. "
        "Stay in this directory and on this branch; do not push, merge, rebase or change git's configuration. "
        f"{_COMMITTED}"
    )


def _task(task: Task) -> str:
    text = f"## Task {task.id}: {task.title}{_minutes(task)}"
    if task.prompt:
        text += f"\n\n{task.prompt.strip()}"
    if task.deliverables:
        text += "\n\nDeliverables:\n" + "\n".join(f"- {d}" for d in task.deliverables)
    return text


def _held_to(build: Build) -> list[str]:
    parts = []
    if build.deliverables:
        parts.append("## Deliverables\n\n" + "\n".join(f"- {d}" for d in build.deliverables))
    if build.owns:
        owned = "\n".join(f"- {pattern}" for pattern in build.owns)
        parts.append(f"## What you may change\n\nOnly these paths; everything else belongs to others:\n\n{owned}")
    lines = [f"- `{command}`" for command in build.verify.run]
    if build.verify.min_passed is not None:
        lines.append(f"- at least {build.verify.min_passed} tests must pass")
    if build.verify.min_coverage is not None:
        lines.append(f"- coverage of at least {build.verify.min_coverage:g} %")
    parts.append("## Verification\n\nThe build is held to this, run in the worktree:\n\n" + "\n".join(lines))
    return parts


def _trouble(trouble: str) -> str:
    text = trouble.strip()
    if len(text) > _MOST_OUTPUT_CHARS:
        text = "[…]\n" + text[-_MOST_OUTPUT_CHARS:]
    fence = "```" if "```" not in text else "~~~~"
    return f"## What went wrong before\n\n{fence}\n{text}\n{fence}"


def _closing() -> str:
    return (
        "## When you are done\n\nReport in a few lines: what you changed (files), what you ran and what it showed, "
        "and what is open."
    )


def _sign(task: Task, current: Task, done: Sequence[str]) -> str:
    return "- [x]" if task.id in done else "- [>]" if task.id == current.id else "- [ ]"


def _minutes(task: Task) -> str:
    return f" ({task.minutes:g} min)" if task.minutes else ""
