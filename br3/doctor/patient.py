"""What is looked at: the repository, and what can be known of its runs; read once for all that look."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from br3.dispatch.sessions import Session, find
from br3.doctor.saying import as_told
from br3.errors import Br3Error
from br3.plan.model import DEFAULT_WORKTREE_TEMPLATE, Plan
from br3.repo.worktrees import Repository, Worktree, list_worktrees, worktree_path
from br3.telemetry import RunView, is_held, read_events
from br3.telemetry.replay import RUN_ENDED, replay
from br3.workspace.notes import read_notes


@dataclass
class Patient:
    """``plan`` is what br3.toml says, None without one that is sound."""

    repository: Repository
    plan: Plan | None = None
    unreadable: Br3Error | None = field(default=None, init=False)
    """Why the newest run cannot be read, once ``session`` was asked for."""

    @property
    def common_dir(self) -> Path:
        return self.repository.common_dir

    @cached_property
    def session(self) -> Session | None:
        """The newest run."""
        try:
            return find(self.repository)
        except Exception as error:  # whatever a damaged record leads to
            self.unreadable = as_told(error)
            return None

    @cached_property
    def runs(self) -> dict[str, RunView]:
        """All runs that the journal tells of."""
        return self.session.runs if self.session is not None else replay(read_events(self.common_dir))

    @cached_property
    def linked(self) -> list[Worktree]:
        """The linked worktrees as git has them registered."""
        return list_worktrees(self.repository.git)[1:]

    @cached_property
    def build_of(self) -> dict[Path, str]:
        """Worktrees of builds: real path → build, by br3's note beside the registration, else by the newest run."""
        found: dict[Path, str] = {}
        if self.session is not None:
            found.update({path.resolve(): build for build, path in self.session.worktrees.items()})
        for tree in self.linked:
            noted = read_notes(tree.path).get("build")
            if noted:
                found[tree.path.resolve()] = str(noted)
        return found

    @cached_property
    def grounds(self) -> list[Path]:
        """The directories in which br3 puts worktrees here, as far as they are there."""
        found = {tree.path.parent for tree in self.linked}
        plan = self.session.plan if self.session is not None else self.plan
        found.add(worktree_path(self.repository, plan.worktrees if plan else DEFAULT_WORKTREE_TEMPLATE, "x").parent)
        if self.session is not None:
            found.update(path.parent for path in self.session.worktrees.values())
        return sorted(path for path in found if path.is_dir())

    def is_at_work(self, build: str) -> bool:
        """Whether somebody holds the build's lock."""
        return is_held(self.common_dir, "build", build)

    def is_unfinished(self, run: str) -> bool:
        """Whether a run may still go on."""
        return run in self.runs and self.runs[run].state not in RUN_ENDED
