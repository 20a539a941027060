"""Do two builds that run at the same time own the same files? Then the later one would conflict at landing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from br3.plan.checks.raw import RawPlan, RawTable, edges, named
from br3.plan.globs import matches, overlap, with_slash
from br3.plan.order import reachable
from br3.plan.problems import Found, shown


def check(plan: RawPlan) -> Iterator[Found]:
    needs = edges(plan.builds, "needs")
    for j, later in enumerate(plan.builds):
        for earlier in plan.builds[:j]:
            if not (_meant(earlier, later) or _in_sequence(earlier, later, needs)):
                yield from _first_overlap(earlier, later, plan.worktree)


def _first_overlap(earlier: RawTable, later: RawTable, worktree: Path) -> Iterator[Found]:
    for path, pattern in later.texts("owns"):
        for _, other in earlier.texts("owns"):
            if _overlap(pattern, other, worktree):
                yield Found(
                    path,
                    f"{shown(pattern)} of {named(later)} overlaps {shown(other)} of {named(earlier)}",
                    "let one need the other, narrow a pattern, or set shared = true",
                )
                return


def _overlap(one: str, other: str, worktree: Path) -> bool:
    """What exists as a file has nothing below it, although its name (``LICENSE``) could be a directory's."""
    if _is_file(worktree / one):
        return matches(other, one)
    if _is_file(worktree / other):
        return matches(one, other)
    return overlap(with_slash(one, worktree), with_slash(other, worktree))


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name longer than the file system allows
        return False


def _meant(earlier: RawTable, later: RawTable) -> bool:
    return earlier.values.get("shared") is True or later.values.get("shared") is True


def _in_sequence(earlier: RawTable, later: RawTable, needs: dict[str, list[str]]) -> bool:
    one, other = earlier.text("id") or "", later.text("id") or ""
    return one in reachable(needs, other) or other in reachable(needs, one)
