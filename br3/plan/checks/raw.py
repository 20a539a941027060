"""The plan as parsed, before anything is known about its types: values of the wrong type count as absent."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from br3.plan.location import worktree_root
from br3.plan.problems import KeyPath, shown
from br3.plan.settings import Settings


@dataclass(frozen=True)
class RawTable:
    """One table and where it stands."""

    path: KeyPath
    values: dict[str, Any]

    def text(self, key: str) -> str | None:
        """The string under that key, unless it is empty or no string."""
        value = self.values.get(key)
        return value if isinstance(value, str) and value else None

    def texts(self, key: str) -> list[tuple[KeyPath, str]]:
        """The strings of the list under that key, each with its own path."""
        value = self.values.get(key)
        items = value if isinstance(value, list) else []
        return [((*self.path, key, i), item) for i, item in enumerate(items) if isinstance(item, str)]

    def at(self, key: str) -> KeyPath:
        """The path of that key."""
        return (*self.path, key)

    def tables(self, key: str) -> list[RawTable]:
        """The tables of the array under that key."""
        value = self.values.get(key)
        items = value if isinstance(value, list) else []
        return [RawTable((*self.path, key, i), item) for i, item in enumerate(items) if isinstance(item, dict)]

    def table(self, key: str) -> RawTable:
        """The table under that key; empty when there is none."""
        value = self.values.get(key)
        return RawTable((*self.path, key), value if isinstance(value, dict) else {})


@dataclass(frozen=True)
class RawPlan:
    """The whole file, the directory it lies in, and what is said outside it."""

    root: RawTable
    directory: Path
    settings: Settings
    git_accepts_branch: Callable[[str], bool] | None = None

    @property
    def builds(self) -> list[RawTable]:
        return self.root.tables("build")

    @property
    def worktree(self) -> Path:
        return worktree_root(self.directory) or self.directory.resolve()

    @property
    def base(self) -> str:
        return self.root.table("plan").text("base") or "main"

    def inherited(self, key: str, *tables: RawTable) -> str | None:
        """What holds for a task or build: outside and above, the given tables in order, the defaults."""
        return (
            getattr(self.settings.over, key, None)
            or next((said for table in tables if (said := table.text(key))), None)
            or self.root.table("defaults").text(key)
            or getattr(self.settings.under.defaults, key)
        )


def named(build: RawTable) -> str:
    """A build as messages name it."""
    return f"build {shown(build.text('id') or f'#{build.path[-1]}')}"


def branch_of(build: RawTable) -> str | None:
    """The branch a build will have; None when neither it nor the id is given."""
    build_id = build.text("id")
    return build.text("branch") or (f"build/{build_id}" if build_id else None)


def edges(builds: list[RawTable], *keys: str) -> dict[str, list[str]]:
    """From each build's id to the ids listed under those keys, itself left out."""
    return {
        build_id: [other for key in keys for _, other in build.texts(key) if other != build_id]
        for build in builds
        if (build_id := build.text("id"))
    }
