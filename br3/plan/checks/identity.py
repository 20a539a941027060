"""Can ids, branches and worktree names stand beside each other, also where case does not count?"""

from __future__ import annotations

from collections.abc import Iterator

from br3.plan import refnames
from br3.plan.checks.raw import RawPlan, RawTable, branch_of, named
from br3.plan.problems import Found, KeyPath, shown


def check(plan: RawPlan) -> Iterator[Found]:
    yield from _unique_ids(plan.builds)
    for build in plan.builds:
        yield from _unique_ids(build.tables("task"))
        yield from _branch(plan, build)
    for j, later in enumerate(plan.builds):
        for earlier in plan.builds[:j]:
            if _folded(earlier.text("id")) != _folded(later.text("id")):
                yield from _same_branch(earlier, later)
                yield from _same_worktree(earlier, later)


def _unique_ids(tables: list[RawTable]) -> Iterator[Found]:
    seen: set[str] = set()
    for table in tables:
        if given := table.text("id"):
            if given.casefold() in seen:
                yield Found(table.at("id"), f"{shown(given)} is used twice", "case does not count")
            seen.add(given.casefold())


def _branch(plan: RawPlan, build: RawTable) -> Iterator[Found]:
    branch = branch_of(build)
    if branch is None:
        return
    where = _where(build, "branch")
    refused = refnames.refusal(branch)
    # A branch that is written down and refused is reported by the schema.
    if refused and "branch" not in build.values:
        yield Found(where, f"git refuses the branch {shown(branch)}: it {refused}", "set branch")
    elif not refused and not _accepted(plan, branch):
        yield Found(where, f"git refuses the name {shown(branch)}")
    if branch.casefold() == plan.base.casefold():
        yield Found(where, f"{shown(branch)} is the base that builds land on", "give the build its own branch")
    elif _exclude(branch, plan.base):
        yield Found(where, *_exclusion(branch, f"the base {shown(plan.base)}"))


def _accepted(plan: RawPlan, branch: str) -> bool:
    return refnames.ordinary(branch) or plan.git_accepts_branch is None or plan.git_accepts_branch(branch)


def _same_branch(earlier: RawTable, later: RawTable) -> Iterator[Found]:
    one, other = branch_of(earlier), branch_of(later)
    if one is None or other is None:
        return
    if one.casefold() == other.casefold():
        yield Found(_where(later, "branch"), f"{named(earlier)} has the branch {shown(one)} too")
    elif _exclude(one, other):
        yield Found(_where(later, "branch"), *_exclusion(other, f"{shown(one)} of {named(earlier)}"))


def _same_worktree(earlier: RawTable, later: RawTable) -> Iterator[Found]:
    one = earlier.text("worktree") or earlier.text("id")
    other = later.text("worktree") or later.text("id")
    if one and other and one.casefold() == other.casefold():
        yield Found(_where(later, "worktree"), f"{named(earlier)} has the worktree {shown(one)} too")


def _exclude(one: str, other: str) -> bool:
    one, other = one.casefold(), other.casefold()
    return one.startswith(other + "/") or other.startswith(one + "/")


def _exclusion(branch: str, beside: str) -> tuple[str, str]:
    return (
        f"the branch {shown(branch)} cannot exist beside {beside}",
        "git keeps branches as paths, and a file cannot be a directory too",
    )


def _where(build: RawTable, key: str) -> KeyPath:
    return build.at(key if key in build.values else "id")


def _folded(text: str | None) -> str | None:
    return text.casefold() if text else None
