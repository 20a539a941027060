"""What an orchestrator holds while it works on its build."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from br3.errors import Br3Error
from br3.orchestrator import ground, verdicts
from br3.orchestrator.ledger import Ledger
from br3.orchestrator.verdicts import Key
from br3.orchestrator.verification import left_by_a_cut_off_one
from br3.plan.frozen import thaw
from br3.plan.model import Build, Plan
from br3.repo import snapshots
from br3.repo.refs import TreeId
from br3.repo.runner import Git
from br3.repo.snapshots import Snapshot, file_digest
from br3.repo.worktrees import Repository
from br3.telemetry import KINDS, BuildView, Journal, RunView, read_events
from br3.telemetry.journal import now
from br3.telemetry.replay import advance, lineage, replay
from br3.workspace import children
from br3.workspace.places import place_of
from br3.workspace.ports import port_of
from br3.workspace.preparing import facts_for_children, left_by_setup
from br3.workspace.waking import Awake


@dataclass
class Work:
    """One build of one run, under its lock: where things are, what has happened, and the pen to write on."""

    common_dir: Path
    run: str
    plan: Plan
    build: Build
    journal: Journal
    gen: int
    worktree: Path
    view: BuildView
    chain: list[RunView]
    """This run and those it continues, newest first, as they stood when the work began."""
    cancel: threading.Event = field(default_factory=threading.Event)
    clock: Awake = field(default_factory=Awake)
    """What counts of the time: neither a machine asleep nor a pause."""
    at: tuple[str, int] | None = None
    """Task and number of the attempt that is made just now; ``began`` is when, by ``clock``."""
    began: float = 0.0
    next_beat: float = 0.0
    ledger: Ledger | None = None
    """For budgets, once there is one to look after."""

    @property
    def git(self) -> Git:
        return Git(self.worktree)

    @property
    def run_dir(self) -> Path:
        return self.common_dir / "br3" / "runs" / self.run

    @property
    def build_dir(self) -> Path:
        return self.run_dir / self.build.id

    @property
    def excludes(self) -> Path:
        return self.common_dir / "br3" / "excludes"

    @property
    def mark(self) -> str:
        return children.mark_of(self.common_dir, self.build.id)

    def say(
        self,
        kind: str,
        severity: str = "info",
        *,
        task: str | None = None,
        attempt: int | None = None,
        **data: Any,
    ) -> None:
        """Write an event of this build; IllegalMove, and nothing written, when its state does not allow it.

        GivenWay when one on which its state rests cannot be written: what nobody knows of must not be built on.
        """
        advance(self.view, kind, gen=self.gen, task=task, attempt=attempt, ts=now(), data=data)
        known = self.journal.append(kind, severity, self.run, self.build.id, task, attempt, gen=self.gen, **data)
        if not known and KINDS[kind].state:
            unknown = Br3Error(f"{kind} of {self.build.id} cannot be written to the journal", hint="br3 doctor")
            raise ground.trouble(self.common_dir, self.worktree) or ground.GivenWay(unknown)

    def directory_of(self, task: str, attempt: int) -> Path:
        """Where an attempt of this run has its files, wherever the repository was when it was made."""
        return self.build_dir / f"{task}-{attempt}"

    def generated(self) -> dict[str, str]:
        """What set-up and the last verification left and nobody has touched since: path → digest."""
        views = [self.view, *(run.builds[self.build.id] for run in self.chain if self.build.id in run.builds)]
        quality = next((view.quality for view in views if view.quality), None)
        cut_off = left_by_a_cut_off_one(self.worktree, self.excludes)
        left = {**left_by_setup(self.worktree), **((quality or {}).get("left") or {}), **cut_off}
        return {path: digest for path, digest in left.items() if file_digest(self.worktree / path) == digest}

    def snapshot(self) -> Snapshot:
        """The worktree as it is, without what set-up and verification left in it."""
        return snapshots.snapshot(self.worktree, self.excludes, list(self.generated()))

    def facts(self) -> dict[str, str]:
        """The ``BR3_*`` variables of this build."""
        return facts_for_children(
            self.common_dir,
            run=self.run,
            build=self.build,
            worktree=self.worktree,
            base=self.plan.base,
            port=port_of(self.common_dir, self.worktree),
        )

    def environment(self) -> dict[str, str]:
        """The environment of a set-up or verification command, as things stand now."""
        return children.environment(self.worktree, self.facts(), self.build.env)

    def verdict_key(self, tree: TreeId) -> Key:
        """The key of this build's verification of ``tree``."""
        return verdicts.key(tree, self.build.verify, [*self.plan.setup.run, *self.build.setup], self.worktree)

    def left_usd(self, task: str | None = None, attempt: int | None = None) -> tuple[Decimal | None, str]:
        """What may still be spent, and whose budget that is (attempt, build, run, day); None without a limit.

        Read from the journal. What the attempt ``attempt`` of ``task`` has spent so far is not subtracted.
        """
        limits: list[tuple[Decimal, str]] = []
        if self.build.attempt_budget_usd:
            limits.append((Decimal(self.build.attempt_budget_usd), "attempt"))
        if self.build.budget_usd or self.plan.budget_usd or self.plan.daily_budget_usd:
            this = (self.run, self.build.id, task, attempt)
            runs, everyone = [run.id for run in self.chain] or [self.run], [build.id for build in self.plan.builds]
            self.ledger = self.ledger or Ledger(self.common_dir, everyone)
            self.ledger.look()
            if self.plan.daily_budget_usd:
                others = self.ledger.of_day(now()[:10], but=this)
                limits.append((Decimal(self.plan.daily_budget_usd) - others, "day"))
            if self.build.budget_usd:
                mine = self.ledger.of_lineage(runs, [self.build.id], but=this)
                limits.append((Decimal(self.build.budget_usd) - mine, "build"))
            if self.plan.budget_usd:
                spent = self.ledger.of_lineage(runs, everyone, but=this)
                limits.append((Decimal(self.plan.budget_usd) - spent, "run"))
        return min(limits, default=(None, ""), key=lambda limit: limit[0])


def open_work(common_dir: Path, run: str, build_id: str, *, gen: int) -> Work:
    """Everything needed to work on a build, read from the frozen plan and the journal; its lock must be held."""
    frozen = thaw(common_dir / "br3" / "runs" / run)
    runs = replay(read_events(common_dir, [build.id for build in frozen.plan.builds]))
    build = frozen.plan.build(build_id)
    mine = runs.get(run) or RunView(run)
    return Work(
        common_dir=common_dir,
        run=run,
        plan=frozen.plan,
        build=build,
        journal=Journal(common_dir, gen=gen),
        gen=gen,
        worktree=place_of(Repository(common_dir, None), frozen.plan, build, frozen.facts["worktrees"][build_id]),
        view=mine.builds.get(build_id) or BuildView(build_id),
        chain=lineage(runs, run),
    )
