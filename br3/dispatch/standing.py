"""Where builds stand, by git's word at this moment: what a step once reported counts for nothing here.

Landed: the build's commit is reachable from base, and it is not just what the build started from. Verified: a verdict
*passed* for the tree at the tip of its branch, these commands and this environment, and nothing uncommitted.

Processes: 3, and one for each worktree that stands.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from br3.dispatch.sessions import Session
from br3.orchestrator import verdicts
from br3.orchestrator.asking import task_digest
from br3.plan.model import Build
from br3.repo import refs, worktrees
from br3.repo.refs import CommitId, TreeId
from br3.repo.runner import GitError
from br3.repo.snapshots import file_digest
from br3.telemetry import BuildView, Event, is_held
from br3.telemetry.replay import spent
from br3.workspace import preparing


@dataclass(frozen=True)
class Standing:
    """One build now. ``commit`` is the tip of its branch, or what landed of it when the branch is gone."""

    build: Build
    view: BuildView
    worktree: Path
    present: bool
    start: CommitId | None
    tip: CommitId | None
    commit: CommitId | None
    in_base: bool
    tree: TreeId | None
    dirty: tuple[str, ...]
    verdict: Event | None
    landed: bool
    alive: bool
    cost_usd: Decimal | None
    tokens: int | None
    models: tuple[str, ...]
    aside: str | None
    """Why the last train put it aside, while its tip is still the same."""

    @property
    def id(self) -> str:
        return self.build.id

    @property
    def branch_exists(self) -> bool:
        return self.tip is not None

    @property
    def has_work(self) -> bool:
        """Whether its branch has anything to land."""
        return self.tip is not None and self.tip != self.start and not self.in_base

    @property
    def passed(self) -> bool:
        """Whether its tip has a verdict *passed*."""
        return self.verdict is not None and self.verdict.kind == "quality.passed"

    @property
    def verified(self) -> bool:
        return self.has_work and self.passed and not self.dirty

    @property
    def ready(self) -> bool:
        """Whether its worktree is there and set up."""
        return self.present and preparing.is_ready(self.worktree)

    @property
    def tests(self) -> dict[str, int] | None:
        """What its last verification counted."""
        if not self.has_work and not self.landed:
            return None  # a verdict of the tree it started from says nothing about it
        quality = self.verdict.data if self.verdict else self.view.quality
        return quality.get("tests") if quality else None

    @property
    def interrupted(self) -> bool:
        """Whether its events say that it is at work, and nobody is."""
        return self.view.state in ("running", "verifying") and not self.alive and not self.build.manual

    def as_json(self) -> dict[str, Any]:
        """The shape of ``status --json`` (DESIGN §9)."""
        return {
            "id": self.id,
            "state": self.view.state,
            "alive": self.alive,
            "branch": self.build.branch,
            "worktree": str(self.worktree) if self.present else None,
            "commit": self.commit,
            "tasks": [
                {"id": t.id, "title": t.title, "state": t.state, "attempts": len(t.attempts), "carried": t.carried}
                for t in self.view.tasks.values()
            ],
            "verified": self.verified or self.landed,  # nothing lands unverified, and its branch may be gone
            "landed": self.landed,
            "aside": None if self.landed else self.aside,
            "uncommitted": list(self.dirty),
            "tests": self.tests,
            "cost_usd": None if self.cost_usd is None else f"{self.cost_usd}",
            "tokens": self.tokens,
            "reason": self.view.reason,
            "log": self.view.log,
        }


def standings(session: Session, builds: list[Build] | None = None) -> list[Standing]:
    """Where the plan's builds (or some) stand."""
    wanted = list(session.plan.builds) if builds is None else builds
    git = session.repository.git
    tips = refs.branches(git, [build.branch for build in wanted])
    landed_as = _landed_commits(session)
    commits: dict[str, CommitId] = {}
    for build in wanted:
        tip = tips.get(build.branch)
        recorded = landed_as.get(build.id) or session.build_view(build.id).commit
        if tip is not None:
            commits[build.id] = tip.commit
        elif recorded:
            commits[build.id] = CommitId(recorded)
    evidence = {build.id: _evidence(session, build) for build in wanted}
    asked = {*commits.values(), *map(CommitId, landed_as.values())}.union(*evidence.values())
    inside = refs.contained(git, asked, f"refs/heads/{session.plan.base}")
    with ThreadPoolExecutor(max_workers=min(8, (os.cpu_count() or 1) * 2)) as pool:
        dirt = dict(zip([b.id for b in wanted], pool.map(lambda b: _dirty(session, b), wanted), strict=True))
    found = []
    for build in wanted:
        view = session.build_view(build.id)
        worktree = session.worktrees[build.id]
        tip = tips.get(build.branch)
        commit = commits.get(build.id)
        start = _start(session, view, worktree)
        earlier = landed_as.get(build.id)
        in_base = tip is not None and tip.commit in inside
        done = _done_as_asked(build, view) and (tip is None or in_base)
        trained = earlier is not None and earlier in inside
        # Somebody merged it by hand: what this build is known to have made is on base.
        merged = start is not None and in_base and any(e in inside and e != start for e in evidence[build.id])
        landed = done and (trained or merged)
        if landed and trained and earlier is not None:
            commit = CommitId(earlier)
        verdict = None
        if tip is not None:
            setups = [*session.plan.setup.run, *build.setup]
            verdict = verdicts.find(session.events, verdicts.key(tip.tree, build.verify, setups, worktree))
        took = spent(session.chain, build.id)
        found.append(
            Standing(
                build=build,
                view=view,
                worktree=worktree,
                present=worktree.is_dir(),
                start=start,
                tip=tip.commit if tip else None,
                commit=commit,
                in_base=in_base,
                tree=tip.tree if tip else None,
                dirty=tuple(p for p in dirt[build.id] if not _generated(worktree, p, view)),
                verdict=verdict,
                landed=landed,
                alive=is_held(session.common_dir, "build", build.id),
                cost_usd=took.cost_usd,
                tokens=took.tokens,
                models=took.models,
                aside=_aside(session, build, commit),
            )
        )
    return found


def _landed_commits(session: Session) -> dict[str, str]:
    """Which commit of a build a train moved base to, by the lineage's landing events; ancestry has the last word."""
    lineage_ids = {run.id for run in session.chain}
    found: dict[str, str] = {}
    for event in session.events:
        if event.kind == "landing.intent" and event.run in lineage_ids:
            found.update(event.data.get("builds") or {})
    return found


def _evidence(session: Session, build: Build) -> set[CommitId]:
    """Commits that this build is known to have made: of its tasks, and those that were verified."""
    found: set[CommitId] = set()
    for run in session.chain:
        view = run.builds.get(build.id)
        if view is not None:
            made = [task.commit for task in view.tasks.values()]
            made += [view.quality.get("commit")] if view.quality and view.quality.get("passed") else []
            found.update(CommitId(commit) for commit in made if commit)
    return found


def _done_as_asked(build: Build, view: BuildView) -> bool:
    """Whether the plan asks for just what was completed; what a person did by hand is taken as it is."""
    if build.manual:
        return True
    done = {task.id: task.digest for task in view.tasks.values() if task.state == "completed"}
    return all(done.get(task.id) == task_digest(build, task) for task in build.tasks)


def _aside(session: Session, build: Build, commit: CommitId | None) -> str | None:
    # Conflicts only: what else may keep a build aside shows by itself, or has gone by.
    mine = [e for e in session.events if e.kind == "landing.aside" and e.build == build.id]
    last = max((e for e in mine if e.data.get("files")), key=lambda e: e.order, default=None)
    return str(last.data["reason"]) if last and commit and last.data.get("commit") == commit else None


def _start(session: Session, view: BuildView, worktree: Path) -> CommitId | None:
    noted = preparing.start_of(worktree) or view.start
    if noted:
        return CommitId(noted)
    created = [e.data["start"] for e in session.events if e.kind == "worktree.created" and e.build == view.id]
    return CommitId(created[-1]) if created else None


def _dirty(session: Session, build: Build) -> list[str]:
    worktree = session.worktrees[build.id]
    if worktrees.git_dir(worktree) is None:
        return []
    try:
        return worktrees.uncommitted(worktree, session.excludes if session.excludes.exists() else None)
    except GitError as error:
        return [f"(git cannot tell: {error.stderr.strip().splitlines()[0] if error.stderr.strip() else error.code})"]


def _generated(worktree: Path, path: str, view: BuildView) -> bool:
    """Whether an uncommitted path is what set-up or verification itself wrote, byte for byte."""
    left = {**preparing.left_by_setup(worktree), **((view.quality or {}).get("left") or {})}
    return path in left and file_digest(worktree / path) == left[path]
