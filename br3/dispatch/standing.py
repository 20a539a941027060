"""Where builds stand, by git's word at this moment: what a step once reported counts for nothing here.

Landed: the build's commit is reachable from base, and it is not just what the build started from. Verified: a verdict
*passed* for the tree at the tip of its branch, these commands and this environment, and nothing uncommitted.

Processes: 3, and one for each worktree that stands; where builds land by pull request up to 6 for each that has not
landed as it is.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
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
from br3.repo.containing import contained_in
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
    known_usd: Decimal | None
    """What is known of its cost; more than that when ``cost_usd`` is None."""
    tokens: int | None
    models: tuple[str, ...]
    put_aside: Event | None
    """That the last train put it aside, while its tip is still the same."""
    quality: dict[str, Any] | None = None
    """What was last recorded of its verification, in whichever run."""
    lost: CommitId | None = None
    """The last commit of its work, when its branch was deleted and base has not got it; not by br3."""

    @property
    def id(self) -> str:
        return self.build.id

    @property
    def aside(self) -> str | None:
        """Why the last train put it aside, while its tip is still the same."""
        return str(self.put_aside.data["reason"]) if self.put_aside else None

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
    def refuted(self) -> str | None:
        """Why the verification of its tip failed, if it was verified and did."""
        if self.verdict is None or self.passed:
            return None
        return str(self.verdict.data.get("reason") or "it did not pass")

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
        quality = self.verdict.data if self.verdict else self.quality
        return quality.get("tests") if quality else None

    @property
    def interrupted(self) -> bool:
        """Whether its events say that it is at work, and nobody is."""
        return self.view.state in ("running", "verifying") and not self.alive and not self.build.manual

    @property
    def word(self) -> str:
        """Its state in one word, with what git says of it at this moment."""
        state = self.view.state
        if self.landed:
            return "landed"
        if self.interrupted:
            return "interrupted"
        if self.view.paused and self.alive:
            return "paused"
        if self.alive and state in ("preparing", "running", "verifying"):
            return state  # what its branch has passed by now is about to change
        if state == "preparing" and (self.ready or not self.present):
            return "ready" if self.ready else "pending"  # its worktree was removed again
        if self.verified:
            return "aside" if self.aside else "verified"
        if state == "verified":
            return "failed" if self.refuted else "changed"
        return state

    def as_json(self) -> dict[str, Any]:
        """The shape of ``status --json``."""
        return {
            "id": self.id,
            "state": self.view.state,
            "alive": self.alive,
            "paused": self.view.paused and self.alive,
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
            "known_usd": None if self.known_usd is None else f"{self.known_usd}",
            "tokens": self.tokens,
            "reason": self.view.reason or (self.refuted if self.word == "failed" else None),
            "log": self.view.log,
        }


def standings(
    session: Session, builds: list[Build] | None = None, dirt: Mapping[str, Sequence[str]] | None = None
) -> list[Standing]:
    """Where the plan's builds (or some) stand. ``dirt`` are the uncommitted paths by build, for who knows them."""
    wanted = list(session.plan.builds) if builds is None else builds
    git = session.repository.git
    tips = refs.branches(git, [build.branch for build in wanted])
    landings = _landings(session)
    landed_as = {build: _as_landed(build, event) for build, event in landings.items()}
    commits: dict[str, CommitId] = {}
    for build in wanted:
        tip = tips.get(build.branch)
        recorded = landed_as[build.id][0] if build.id in landed_as else session.build_view(build.id).commit
        if tip is not None:
            commits[build.id] = tip.commit
        elif recorded:
            commits[build.id] = CommitId(recorded)
    evidence = {build.id: _evidence(session, build) for build in wanted}
    newest = {build.id: _newest(session, build) for build in wanted}
    asked = {*commits.values(), *(there for _, there in landed_as.values())}.union(*evidence.values())
    inside = refs.contained(git, asked, f"refs/heads/{session.plan.base}")
    missing = [commit for commit in commits.values() if commit not in inside]
    elsewhere = _squashed(session, missing, {tip.commit for tip in tips.values()})
    known = dirt if dirt is not None else _all_dirt(session, wanted)
    found = []
    for build in wanted:
        view = session.build_view(build.id)
        worktree = session.worktrees[build.id]
        tip = tips.get(build.branch)
        commit = commits.get(build.id)
        start = _start(session, view, worktree)
        earlier = landed_as.get(build.id)
        trained = earlier is not None and earlier[1] in inside
        # Squashed or replayed, the tip itself never gets there.
        replayed = trained and tip is not None and earlier is not None and tip.commit == earlier[0]
        squashed = tip is not None and tip.commit in elsewhere
        in_base = replayed or squashed or (tip is not None and tip.commit in inside)
        done = _done_as_asked(build, view) and (tip is None or in_base)
        # Somebody merged it by hand: what this build is known to have made is on base.
        there = inside | elsewhere
        held = in_base or tip is None  # a clean-up removes the branch
        merged = start is not None and held and any(e in there and e != start for e in evidence[build.id])
        # Without its branch the journal has to tell what the last of its work was.
        last = newest[build.id] if tip is None else None
        if last is not None and last.commit not in there and (earlier is None or last.commit != earlier[0]):
            merged = False
            trained = trained and not _later(session, last.run, str(landings[build.id].run))
        landed = done and (trained or merged)
        if landed and trained and earlier is not None:
            commit = earlier[0]
        verdict = None
        if tip is not None:
            setups = [*session.plan.setup.run, *build.setup]
            # That it fails where nothing else lies is the train's to say; here it may pass.
            told = (e for e in session.events if e.build is not None or e.kind != "quality.failed")
            verdict = verdicts.find(told, verdicts.key(tip.tree, build.verify, setups, worktree))
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
                dirty=tuple(p for p in known.get(build.id, ()) if not _generated(worktree, p, view)),
                verdict=verdict,
                landed=landed,
                alive=is_held(session.common_dir, "build", build.id),
                cost_usd=took.cost_usd,
                known_usd=took.known_usd,
                tokens=took.tokens,
                models=took.models,
                put_aside=_aside(session, build, commit),
                quality=next(
                    (v.quality for run in session.chain if (v := run.builds.get(build.id)) and v.quality), None
                ),
                lost=last.commit
                if last and not landed and last.commit not in there and not was_removed(session, build.id)
                else None,
            )
        )
    return found


def _squashed(session: Session, commits: list[CommitId], tips: set[CommitId]) -> set[CommitId]:
    """Of these commits those whose work base has without them: a forge squashed or rebased it. ``tips`` are there."""
    if session.plan.lands_by != "pr" or not commits:
        return set()
    git = session.repository.git
    base = refs.resolve(git, f"refs/heads/{session.plan.base}")
    if base is None:
        return set()
    # Of a branch that a clean-up has removed git keeps the commits for a while.
    there = [commit for commit in commits if commit in tips or refs.resolve(git, commit) is not None]
    return {commit for commit in there if contained_in(git, base, commit) is not None}


def _all_dirt(session: Session, builds: list[Build]) -> dict[str, list[str]]:
    with ThreadPoolExecutor(max_workers=min(8, (os.cpu_count() or 1) * 2)) as pool:
        return dict(zip([b.id for b in builds], pool.map(lambda b: _dirty(session, b), builds), strict=True))


def landed_commits(session: Session) -> dict[str, tuple[CommitId, CommitId]]:
    """By build, which tip of its branch a train was to land, and the commit on base that was to bring it, by the
    lineage's landing events; ancestry has the last word."""
    return {build: _as_landed(build, event) for build, event in _landings(session).items()}


def _landings(session: Session) -> dict[str, Event]:
    """By build, the event of the train by which it was last to land."""
    lineage_ids = {run.id for run in session.chain}
    intents = [e for e in session.events if e.kind == "landing.intent" and e.run in lineage_ids]
    ordered = sorted(intents, key=lambda e: e.order)
    return {build: event for event in ordered for build in event.data.get("builds") or {}}


def _as_landed(build: str, landing: Event) -> tuple[CommitId, CommitId]:
    tip = landing.data["builds"][build]
    return CommitId(tip), CommitId((landing.data.get("as") or {}).get(build, tip))


@dataclass(frozen=True)
class _Last:
    """The last commit that a build is known to have made, and the run that it was made in."""

    commit: CommitId
    run: str


def _newest(session: Session, build: Build) -> _Last | None:
    for run in session.chain:
        view = run.builds.get(build.id)
        if view is None:
            continue
        if view.beginning:
            return None  # it is to be done anew
        passed = view.quality.get("commit") if view.quality and view.quality.get("passed") else None
        done = [task.commit for task in view.tasks.values() if task.state == "completed" and task.commit]
        commit = passed or view.commit or (done[-1] if done else None)
        if commit:
            return _Last(CommitId(commit), run.id)
    return None


def _later(session: Session, one: str, other: str) -> bool:
    """Whether a run of the lineage came after another; the lineage is told from the newest on."""
    ids = [run.id for run in session.chain]
    return ids.index(one) < ids.index(other)


def was_removed(session: Session, build: str) -> bool:
    """Whether br3 itself removed a build's worktree and branch, as it was told to, and has not made them again."""
    kinds = ("worktree.created", "worktree.removed")
    mine = sorted((e for e in session.events if e.build == build and e.kind in kinds), key=lambda e: e.order)
    return bool(mine) and mine[-1].kind == "worktree.removed"


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
    done = {task.id: task.digest for task in view.tasks.values() if task.state in ("completed", "skipped")}
    return all(done.get(task.id) == task_digest(build, task) for task in build.tasks)


def _aside(session: Session, build: Build, commit: CommitId | None) -> Event | None:
    # What else may keep a build aside shows by itself, or has gone by.
    mine = [e for e in session.events if e.kind == "landing.aside" and e.build == build.id]
    seen = [e for e in mine if e.data.get("files") or e.data.get("cause") == "verification"]
    last = max(seen, key=lambda e: e.order, default=None)
    return last if last and commit and last.data.get("commit") == commit else None


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


def generated(standing: Standing) -> list[str]:
    """Paths in the build's worktree that are, byte for byte, what set-up or verification wrote: nobody's work."""
    worktree = standing.worktree
    return [path for path in _left(worktree, standing.view) if _generated(worktree, path, standing.view)]


def _generated(worktree: Path, path: str, view: BuildView) -> bool:
    """Whether an uncommitted path is what set-up or verification itself wrote, byte for byte."""
    left = _left(worktree, view)
    return path in left and file_digest(worktree / path) == left[path]


def _left(worktree: Path, view: BuildView) -> dict[str, str]:
    return {**preparing.left_by_setup(worktree), **((view.quality or {}).get("left") or {})}
