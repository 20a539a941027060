"""Runs: finding the one that goes on, or making one. A run's plan is frozen in ``runs/<run>/plan.json``."""

from __future__ import annotations

import random
import string
import threading
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from shlex import quote
from typing import Any

from br3.dispatch.claims import claims, refuse_taken
from br3.errors import Br3Error, Refused, UsageError
from br3.orchestrator import control
from br3.plan.frozen import Frozen, differences, digest, freeze, thaw
from br3.plan.location import worktree_root
from br3.plan.model import Build, Plan
from br3.plan.problems import branches_here
from br3.repo import refs, snapshots, worktrees
from br3.repo.refs import CommitId
from br3.repo.snapshots import file_digest
from br3.repo.worktrees import Repository
from br3.telemetry import Event, Journal, Lock, RunView, is_held, read_events
from br3.telemetry.replay import RUN_ENDED, BuildView, lineage, replay
from br3.workspace.places import place_of
from br3.workspace.preparing import Site


@dataclass(frozen=True)
class SourceFile:
    """Where a plan was read, resolved; and that path below the top of its worktree, if it is in one."""

    path: Path
    below: str | None

    @classmethod
    def of(cls, path: Path, below: str | None = None) -> SourceFile:
        """The file at ``path``; ``below`` is what is known of a worktree that may be gone."""
        path = path.resolve()
        top = worktree_root(path.parent)
        return cls(path, path.relative_to(top).as_posix() if top is not None else below)

    def is_same(self, other: SourceFile) -> bool:
        """Whether both are one plan: of one file, or of its copy in another worktree or a repository that was moved."""
        return self.path == other.path or (self.below is not None and self.below == other.below)


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
    def own_chain(self) -> list[RunView]:
        """Those of the chain that have builds of this plan, which runs of other plans have not."""
        mine = {build.id for build in self.plan.builds}
        return [run for run in self.chain if run.id == self.run or mine & run.builds.keys()]

    @property
    def excludes(self) -> Path:
        return self.repository.br3_dir / "excludes"

    @property
    def source_file(self) -> SourceFile | None:
        """Where its plan was read."""
        return SourceFile.of(Path(self.file["path"]), self.file.get("below")) if self.file else None

    @property
    def is_newest(self) -> bool:
        """Whether commands that name no plan are of this run."""
        return self.run == next((run.id for run in reversed(self.runs.values()) if run.created and not run.serves), "")

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
        branches = refs.branches(git, [build.branch for build in self.plan.builds])
        known: dict[str, list[dict[str, Any]]] = {}
        of_worktrees = [e for e in self.events if e.build and e.kind in ("worktree.created", "worktree.removed")]
        for event in sorted(of_worktrees, key=lambda e: e.order):
            if event.kind == "worktree.created":
                known.setdefault(str(event.build), []).append(event.data)
            elif not _is_as_removed(branches.get(str(event.data.get("branch"))), event):
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
            branches=branches,
            places=self.worktrees,
            fresh=fresh,
            cancel=cancel or threading.Event(),
        )


def _is_as_removed(tip: refs.Branch | None, removed: Event) -> bool:
    """Whether the branch was brought back, by an undo or by hand."""
    return tip is not None and tip.commit == removed.data.get("commit")


def departed(session: Session) -> list[Build]:
    """Builds of earlier runs that the plan has no more and of which a worktree or a branch is left.

    The session learns where their worktrees are.
    """
    known = {build.id.casefold() for build in session.plan.builds}
    used = {build.branch for build in session.plan.builds}
    places = set(session.worktrees.values())
    found: dict[str, Build] = {}
    for run in session.chain[1:]:
        frozen = _frozen(session.repository, run)
        if frozen is None:
            continue
        for build in frozen.plan.builds:
            place = place_of(session.repository, frozen.plan, build, frozen.facts["worktrees"][build.id])
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


def other_plans(session: Session) -> dict[str, tuple[Path, str]]:
    """Builds of other plans that are still there, each with its plan's file and the newest run of that plan."""
    mine = session.source_file
    newest: dict[SourceFile, RunView] = {}
    for run in session.chain[1:]:
        frozen = _frozen(session.repository, run)
        source = _source_file(frozen) if frozen is not None else None
        if mine is not None and source is not None and not source.is_same(mine) and source.path.is_file():
            newest.setdefault(source, run)
    return {name: (source.path, run.id) for source, run in reversed(newest.items()) for name in run.builds}


def _frozen(repository: Repository, run: RunView) -> Frozen | None:
    try:
        return thaw(repository.br3_dir / "runs" / run.id)
    except Br3Error:
        return None


def _source_file(frozen: Frozen) -> SourceFile | None:
    file = frozen.facts.get("file")
    return SourceFile.of(Path(file["path"]), file.get("below")) if file else None


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


def tip_of_base(session: Session) -> CommitId:
    """Where the base branch is; Br3Error when it is not there. One git process."""
    found = refs.resolve(session.repository.git, f"refs/heads/{session.plan.base}")
    if found is None:
        raise base_gone(session)
    return found


def base_gone(session: Session) -> Br3Error:
    """What is said when the base branch is not there (any more)."""
    base = session.plan.base
    moved = [e for e in session.events if e.kind == "landing.moved" and e.data.get("base") == base]
    last = max(moved, key=lambda e: e.order, default=None)
    commit = last.data["new"] if last else session.base_commit
    return Br3Error(
        f"the base branch {base} is gone",
        hint=f"if it was renamed: [plan] base in br3.toml, then br3 run; else: git branch {quote(base)} {commit[:12]}",
    )


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
    known = [view.id for view in runs.values() if view.created and (run is not None or not view.serves)]
    if run is not None:
        matching = [name for name in known if name.startswith(run)]
        if len(matching) != 1:
            what = "no run begins" if not matching else f"{len(matching)} runs begin"
            raise UsageError(f"{what} with {run!r}", hint="br3 runs shows them all")
        known = matching
    if not known:
        return None
    frozen = thaw(repository.br3_dir / "runs" / known[-1])
    session = _session(repository, known[-1], frozen, events, runs)
    if run is not None:
        session.also = tuple(build.id for build in frozen.plan.builds)
        session.refresh()
    return session


def of_plan(repository: Repository, file: Path, plan: Plan | None) -> Session | None:
    """The newest run of the plan in that file, wherever it stood then; None when there is none. ``plan``: what stands
    there now, if anything."""
    wanted, made = SourceFile.of(file), digest(plan) if plan else None
    for run in _newest_first(repository):
        frozen = _frozen(repository, run)
        source = _source_file(frozen) if frozen is not None else None
        if frozen is not None and (frozen.digest == made or (source is not None and source.is_same(wanted))):
            return find(repository, run.id)
    return None


def of_build(repository: Repository, build: str) -> Session | None:
    """The newest run whose plan has that build."""
    for run in _newest_first(repository):
        if build.casefold() in {name.casefold() for name in run.builds}:
            return find(repository, run.id)
    return None


def _newest_first(repository: Repository) -> list[RunView]:
    """The runs that are somebody's own."""
    runs = replay(list(read_events(repository.common_dir)))
    return [run for run in reversed(runs.values()) if run.created and not run.serves]


def begin(
    repository: Repository, plan: Plan, file: Path | None = None, wanted: Sequence[Build] | None = None
) -> Session:
    """The run that goes on with this plan (read from ``file``): an unfinished one of the same plan, else a new one
    that continues the newest.

    ``wanted`` are the builds that are about to be worked on: Refused when another run is at work on one of them, or on
    ground of theirs. While the newest run is at work on others, a new one begins beside it.
    """
    base = _base(repository, plan)
    # Two who begin at once must not make two runs of one plan.
    with Lock(repository.common_dir, "runs", "all").acquire(wait_s=30):
        session = _begin(repository, plan, base, file, wanted)
        if wanted is not None:
            _close_left_behind(session, wanted)
        return session


def beside(session: Session, plan: Plan, base: CommitId) -> Session:
    """A run that serves another one: it is found by its id only, and is nobody's newest run."""
    return _create(session.repository, plan, base, None, continues=None, serves=session)


def _begin(
    repository: Repository, plan: Plan, base: CommitId, file: Path | None, wanted: Sequence[Build] | None
) -> Session:
    try:
        before = find(repository)
    except Br3Error as unreadable:
        session = _create(repository, plan, base, file, continues=None)
        session.news.append(f"the newest run cannot be read and is left alone: {unreadable.message}")
        return session
    made = digest(plan)
    if before is None:
        return _create(repository, plan, base, file, continues=None)
    of_this = _newest_of_this(before, plan, file)
    another = of_this is not before
    ended = before.view.state in RUN_ENDED
    if wanted is not None:
        at_work = not ended and is_held(before.common_dir, "run", before.run)
        taken = claims(before.common_dir, before.runs)
        older = _interrupted_with(before, wanted)
        if older is not None and older.digest == made:
            refuse_taken(plan, wanted, [claim for claim in taken if claim.run != older.run])
            return older
        # Orchestrators whose dispatcher has died are gone on with.
        refuse_taken(plan, wanted, [claim for claim in taken if at_work or another or claim.run != before.run])
        if at_work and not another:
            left = [build.id for build in wanted if build.id not in before.view.selected]
            session = _create(repository, plan, base, file, continues=before, asked=before, whole=True, only=left)
            session.news.append(f"run {before.run} is at work on other builds; this one goes on beside it")
            return session
    unfinished = of_this is not None and of_this.view.state not in RUN_ENDED
    busy = of_this is not None and another and unfinished and not _rests(of_this)  # with other builds than these
    if of_this is not None and _goes_on(of_this, made, base) and (wanted is None or not busy):
        return of_this
    changed = differences(of_this.plan, plan) if of_this is not None else []
    if of_this is not None and unfinished and not busy:
        _close(of_this, changed)
    left = [b.id for b in wanted or plan.builds if of_this is not None and b.id not in of_this.view.selected]
    only = left if busy else None
    session = _create(repository, plan, base, file, continues=before, asked=of_this, whole=unfinished, only=only)
    if another and not ended:
        # Interrupted, at rest or at work: it is gone on with when its plan is run again.
        session.news.append(f"run {before.run} is of another plan, and stays as it is")
    if changed and of_this is not None:
        more = [f"… and {len(changed) - 8} more"] if len(changed) > 8 else []
        session.news += [f"the plan has changed since run {of_this.run}:"]
        session.news += [f"    {one}" for one in (*changed[:8], *more)]
    return session


def _newest_of_this(before: Session, plan: Plan, file: Path | None) -> Session | None:
    """The newest run of the plan that is begun: ``before``, the newest of all, or an older one; None: there is none."""
    mine = before.source_file
    if file is None or mine is None or mine.is_same(SourceFile.of(file)) or before.digest == digest(plan):
        return before
    found = of_plan(before.repository, file, plan)
    # A plan whose file is gone is taken for this one under another name.
    return found if found is not None or mine.path.is_file() else before


def _goes_on(session: Session, made: str, base: CommitId) -> bool:
    """Whether the run is the one for a plan of that digest: unfinished, and not prepared for an older base in vain."""
    untouched = session.view.state == "created" and not any(e.run == session.run and e.build for e in session.events)
    unfinished = session.view.state not in RUN_ENDED
    return session.digest == made and unfinished and (session.base_commit == base or not untouched)


def _rests(session: Session) -> bool:
    """Whether nobody is at work on the run."""
    names = [("run", session.run), *(("build", build.id) for build in session.plan.builds)]
    return not any(is_held(session.common_dir, *name) for name in names)


def _interrupted_with(newest: Session, wanted: Sequence[Build]) -> Session | None:
    """The older run that was the last to work on ``wanted``, when it has not ended and has no dispatcher any more."""
    runs = [run for run in reversed(newest.runs.values()) if not run.serves]
    last = [next((run for run in runs if build.id in run.selected), None) for build in wanted]
    found = {run.id: run for run in last if run is not None}
    if len(found) != 1:
        return None  # what the others know of these builds would be lost on it
    (run,) = found.values()
    if run.id == newest.run or run.state in RUN_ENDED or is_held(newest.common_dir, "run", run.id):
        return None
    try:
        return find(newest.repository, run.id)
    except Br3Error:
        return None  # its plan is gone


def _close_left_behind(session: Session, wanted: Sequence[Build]) -> None:
    """End interrupted runs whose builds are all worked on elsewhere by now: nobody will go on with them."""
    elsewhere = {build.id for build in wanted}
    for run in reversed(session.runs.values()):
        mine = {build for build in run.selected if build not in run.builds or not run.builds[build].ended}
        held = [("run", run.id), *(("build", build) for build in mine)]
        is_left = run.selected and run.state not in RUN_ENDED and not run.serves and run.id != session.run
        if (
            is_left
            and (mine <= elsewhere or _plan_is_gone(session.repository, run))
            and not any(is_held(session.common_dir, *lock) for lock in held)
        ):
            with Lock(session.common_dir, "run", run.id).acquire() as lock:
                reason = "its builds are worked on in other runs"
                session.journal.append("run.cancelled", run=run.id, gen=lock.gen, reason=reason)
        elsewhere |= set(run.selected)


def _plan_is_gone(repository: Repository, run: RunView) -> bool:
    """Whether the file of a run's plan is not there any more, nor a copy of it in this worktree."""
    frozen = _frozen(repository, run)
    source = _source_file(frozen) if frozen is not None else None
    if source is None or source.path.is_file():
        return False
    return source.below is None or not (repository.top / source.below).is_file()


def _base(repository: Repository, plan: Plan) -> CommitId:
    commit = refs.resolve(repository.git, f"refs/heads/{plan.base}")
    if commit is None:
        known = refs.branches(repository.git)
        if not known:
            raise UsageError(
                f"the repository has no commit yet, so there is no {plan.base} to start from",
                hint="git add -A && git commit -m 'Begin'",
            )
        remote = f"origin/{plan.base}"
        fetched = refs.resolve(repository.git, f"refs/remotes/{remote}") is not None
        hint = f"git branch {quote(plan.base)} {quote(remote)}" if fetched else branches_here(known)
        raise UsageError(f"base = {plan.base!r}: there is no such local branch", hint=hint)
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


def _create(
    repository: Repository,
    plan: Plan,
    base: CommitId,
    file: Path | None,
    *,
    continues: Session | None,
    asked: Session | None = None,
    serves: Session | None = None,
    whole: bool = False,
    only: Collection[str] | None = None,
) -> Session:
    """``asked``: the run of this plan from which requests are handed over; ``whole`` and ``only``: which of them, see
    ``control.hand_over``."""
    suffix = "".join(random.choices(string.ascii_lowercase + string.digits, k=4))
    run = f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{suffix}"
    directory = repository.br3_dir / "runs" / run
    paths = {b.id: str(place_of(repository, plan, b, _stays(continues, plan, b))) for b in plan.builds}
    source = serves.source if serves is not None else repository.worktree
    made = freeze(
        plan,
        directory,
        worktrees=paths,
        base_commit=base,
        source=str(source) if source else None,
        file=_file_facts(file) if file else None,
    )
    if asked is not None:
        control.hand_over(asked.run_dir, directory, whole=whole, builds=only)
    journal = Journal(repository.common_dir)
    aside: dict[str, Any] = {"serves": serves.run} if serves is not None else {}
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
            continues=continues.run if continues else None,
            **aside,
        )
    events = list(read_events(repository.common_dir))
    return _session(repository, run, thaw(directory), events, replay(events), journal)


def _file_facts(file: Path) -> dict[str, str]:
    """What is kept of a plan's file; ``below``: its path below the top of its worktree, if it is in one."""
    facts, below = {"path": str(file.absolute()), "digest": str(file_digest(file))}, SourceFile.of(file).below
    return facts | ({"below": below} if below else {})


def _stays(before: Session | None, plan: Plan, build: Build) -> Path | None:
    """Where the run before has the build's worktree, when the plan puts it where that one's did."""
    if before is None:
        return None
    was = next((other for other in before.plan.builds if other.id == build.id), None)
    same = was is not None and (before.plan.worktrees, was.worktree) == (plan.worktrees, build.worktree)
    return before.worktrees[build.id] if same else None


def _session(
    repository: Repository,
    run: str,
    frozen: Frozen,
    events: list[Event],
    runs: dict[str, RunView],
    journal: Journal | None = None,
) -> Session:
    facts: Mapping[str, Any] = frozen.facts
    source = Path(facts["source"]) if facts.get("source") else None
    return Session(
        repository=repository,
        run=run,
        plan=frozen.plan,
        digest=frozen.digest,
        base_commit=CommitId(facts["base_commit"]),
        source=source if source is None or source.is_dir() else repository.top,
        file=facts.get("file"),
        worktrees={
            b.id: place_of(repository, frozen.plan, b, facts["worktrees"].get(b.id)) for b in frozen.plan.builds
        },
        journal=journal or Journal(repository.common_dir),
        events=events,
        runs=runs,
    )
