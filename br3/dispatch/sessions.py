"""Runs: finding the one that goes on, or making one. A run's plan is frozen in ``runs/<run>/plan.json``."""

from __future__ import annotations

import random
import string
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from br3.errors import Br3Error, Refused, UsageError
from br3.plan.frozen import Frozen, differences, digest, freeze, thaw
from br3.plan.model import Build, Plan
from br3.repo import refs, snapshots, worktrees
from br3.repo.refs import CommitId
from br3.repo.snapshots import file_digest
from br3.repo.worktrees import Repository, worktree_path
from br3.telemetry import Event, Journal, Lock, RunView, is_held, read_events, replay
from br3.telemetry.replay import RUN_ENDED, BuildView, lineage
from br3.workspace.preparing import Site


@dataclass
class Session:
    """A run as a command sees it: its frozen plan, and all that the journal says."""

    repository: Repository
    run: str
    plan: Plan
    digest: str
    base_commit: CommitId
    source: Path | None
    worktrees: dict[str, Path]
    file: dict[str, str] | None
    """Where the plan was read, and the digest of what stood there."""
    journal: Journal
    events: list[Event]
    runs: dict[str, RunView]
    also: tuple[str, ...] = ()
    """Builds that the newest run does not have and whose events are wanted all the same."""
    news: list[str] = field(default_factory=list)
    """What a person should know about how this run was chosen."""

    @property
    def common_dir(self) -> Path:
        return self.repository.common_dir

    @property
    def run_dir(self) -> Path:
        return self.repository.br3_dir / "runs" / self.run

    @property
    def view(self) -> RunView:
        return self.runs.get(self.run) or RunView(self.run)

    @property
    def chain(self) -> list[RunView]:
        """This run and those it continues, newest first."""
        return lineage(self.runs, self.run)

    @property
    def excludes(self) -> Path:
        return self.repository.br3_dir / "excludes"

    def refresh(self) -> None:
        """Read the journal again."""
        self.events = list(read_events(self.common_dir, self.also))
        self.runs = replay(self.events)

    def build_view(self, build: str) -> BuildView:
        """The newest state of a build in this run or those it continues."""
        for run in self.chain:
            view = run.builds.get(build)
            if view is not None and (view.state != "pending" or view.tasks or build in run.selected):
                return view
        return BuildView(build)

    def site(self, *, fresh: bool = False, cancel: threading.Event | None = None) -> Site:
        """What preparing workspaces needs; two git processes, whatever the number of builds."""
        git = self.repository.git
        known: dict[str, list[dict[str, Any]]] = {}
        of_worktrees = [e for e in self.events if e.build and e.kind in ("worktree.created", "worktree.removed")]
        for event in sorted(of_worktrees, key=lambda e: e.order):
            if event.kind == "worktree.created":
                known.setdefault(str(event.build), []).append(event.data)
            else:
                known.pop(str(event.build), None)  # a branch of that name is somebody else's from now on
        return Site(
            repository=self.repository,
            plan=self.plan,
            run=self.run,
            journal=self.journal,
            run_dir=self.run_dir,
            excludes=snapshots.write_excludes(git, self.excludes),
            source=self.source,
            known=known,
            registered=worktrees.list_worktrees(git),
            branches=refs.branches(git, [build.branch for build in self.plan.builds]),
            fresh=fresh,
            cancel=cancel or threading.Event(),
        )


def departed(session: Session) -> list[Build]:
    """Builds of earlier runs that the plan has no more and of which a worktree or a branch is left.

    The session learns where their worktrees are.
    """
    known = {build.id.casefold() for build in session.plan.builds}
    used = {build.branch for build in session.plan.builds}
    places = set(session.worktrees.values())
    found: dict[str, Build] = {}
    for run in session.chain[1:]:
        try:
            frozen = thaw(session.repository.br3_dir / "runs" / run.id)
        except Br3Error:
            continue
        for build in frozen.plan.builds:
            place = Path(frozen.facts["worktrees"][build.id])
            # Under another id it is still a build of this plan.
            if build.id.casefold() not in known and build.branch not in used and place not in places:
                known.add(build.id.casefold())
                found[build.id] = build
                session.worktrees[build.id] = place
    branches = refs.branches(session.repository.git, [build.branch for build in found.values()])
    left = [b for b in found.values() if b.branch in branches or session.worktrees[b.id].exists()]
    if left:
        session.also = (*session.also, *(build.id for build in left))
        session.refresh()
    return left


def chosen(plan: Plan, ids: Sequence[str]) -> list[Build]:
    """The builds named, in plan order; all when none is. UsageError for an unknown one."""
    known = {build.id.casefold(): build for build in plan.builds}
    for name in ids:
        if name.casefold() not in known:
            import difflib

            near = difflib.get_close_matches(name, [b.id for b in plan.builds], n=1)
            hint = f"did you mean {near[0]}?" if near else "builds: " + ", ".join(b.id for b in plan.builds)
            raise UsageError(f"the plan has no build {name!r}", hint=hint)
    wanted = {name.casefold() for name in ids}
    return [build for build in plan.builds if not wanted or build.id.casefold() in wanted]


def latest(repository: Repository) -> Session:
    """The newest run, as it was frozen; UsageError when there is none."""
    session = find(repository)
    if session is None:
        raise UsageError("nothing has been run in this repository yet", hint="br3 run, or br3 up to prepare by hand")
    return session


def find(repository: Repository, run: str | None = None) -> Session | None:
    """The run with that id (or a unique beginning of it), or the newest; None when there is none."""
    events = list(read_events(repository.common_dir))
    runs = replay(events)
    known = [view.id for view in runs.values() if view.created]
    if run is not None:
        matching = [name for name in known if name.startswith(run)]
        if len(matching) != 1:
            what = "no run" if not matching else f"{len(matching)} runs"
            raise UsageError(f"{what} begin with {run!r}", hint="br3 status")
        known = matching
    if not known:
        return None
    frozen = thaw(repository.br3_dir / "runs" / known[-1])
    session = _session(repository, known[-1], frozen, events, runs)
    if run is not None:
        session.also = tuple(build.id for build in frozen.plan.builds)
        session.refresh()
    return session


def begin(repository: Repository, plan: Plan, file: Path | None = None) -> Session:
    """The run that goes on with this plan (read from ``file``): an unfinished one of the same plan, else a new one
    that continues the newest."""
    base = _base(repository, plan)
    # Two who begin at once must not make two runs of one plan.
    with Lock(repository.common_dir, "runs", "all").acquire(wait_s=30):
        return _begin(repository, plan, base, file)


def _begin(repository: Repository, plan: Plan, base: CommitId, file: Path | None) -> Session:
    try:
        before = find(repository)
    except Br3Error as unreadable:
        session = _create(repository, plan, base, file, continues=None)
        session.news.append(f"the newest run cannot be read and is left alone: {unreadable.message}")
        return session
    made = digest(plan)
    if before is not None:
        ended = before.view.state in RUN_ENDED
        untouched = before.view.state == "created" and not any(e.run == before.run and e.build for e in before.events)
        if before.digest == made and not ended and (before.base_commit == base or not untouched):
            return before
        changed = differences(before.plan, plan)
        if not ended:
            _close(before, changed)
        session = _create(repository, plan, base, file, continues=before.run)
        if changed:
            more = [f"… and {len(changed) - 8} more"] if len(changed) > 8 else []
            session.news += [f"the plan has changed since run {before.run}:", *(f"    {c}" for c in changed[:8] + more)]
        return session
    return _create(repository, plan, base, file, continues=None)


def _base(repository: Repository, plan: Plan) -> CommitId:
    commit = refs.resolve(repository.git, f"refs/heads/{plan.base}")
    if commit is None:
        known = sorted(refs.branches(repository.git))
        if not known:
            raise UsageError(
                f"the repository has no commit yet, so there is no {plan.base} to start from",
                hint="git add -A && git commit -m 'Begin'",
            )
        raise UsageError(
            f"base = {plan.base!r}: there is no such local branch",
            hint=f"branches here: {', '.join(known[:8])}",
        )
    return commit


def _close(session: Session, changed: list[str]) -> None:
    if is_held(session.common_dir, "run", session.run):
        raise Refused(
            f"run {session.run} is at work with an older state of the plan ({'; '.join(changed[:3])})",
            hint="let it end, or stop it with Ctrl-C where it runs",
        )
    busy = [b.id for b in session.plan.builds if is_held(session.common_dir, "build", b.id)]
    if busy:
        raise Refused(
            f"orchestrators of run {session.run} are still at work on {', '.join(busy)}, with an older plan",
            hint="br3 status; go on when they have ended",
        )
    reason = "the plan has changed" if changed else "base has moved on before anything was begun"
    with Lock(session.common_dir, "run", session.run).acquire() as lock:
        session.journal.append("run.cancelled", run=session.run, gen=lock.gen, reason=reason)


def _create(repository: Repository, plan: Plan, base: CommitId, file: Path | None, *, continues: str | None) -> Session:
    suffix = "".join(random.choices(string.ascii_lowercase + string.digits, k=4))
    run = f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{suffix}"
    directory = repository.br3_dir / "runs" / run
    paths = {b.id: str(worktree_path(repository, plan.worktrees, b.worktree)) for b in plan.builds}
    source = repository.worktree
    made = freeze(
        plan,
        directory,
        worktrees=paths,
        base_commit=base,
        source=str(source) if source else None,
        file={"path": str(file.absolute()), "digest": file_digest(file)} if file else None,
    )
    journal = Journal(repository.common_dir)
    with Lock(repository.common_dir, "run", run).acquire() as lock:
        journal.append(
            "run.created",
            run=run,
            gen=lock.gen,
            plan=plan.name,
            digest=made,
            base=plan.base,
            base_commit=base,
            builds=[build.id for build in plan.builds],
            continues=continues,
        )
    events = list(read_events(repository.common_dir))
    return _session(repository, run, thaw(directory), events, replay(events), journal)


def _session(
    repository: Repository,
    run: str,
    frozen: Frozen,
    events: list[Event],
    runs: dict[str, RunView],
    journal: Journal | None = None,
) -> Session:
    facts: Mapping[str, Any] = frozen.facts
    return Session(
        repository=repository,
        run=run,
        plan=frozen.plan,
        digest=frozen.digest,
        base_commit=CommitId(facts["base_commit"]),
        source=Path(facts["source"]) if facts.get("source") else None,
        file=facts.get("file"),
        worktrees={build: Path(path) for build, path in facts["worktrees"].items()},
        journal=journal or Journal(repository.common_dir),
        events=events,
        runs=runs,
    )
