"""What an orchestrator holds while it works on its build."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from br3.orchestrator import verdicts
from br3.orchestrator.verdicts import Key
from br3.orchestrator.verification import left_by_a_cut_off_one
from br3.plan.model import Build, Plan
from br3.repo import snapshots
from br3.repo.refs import TreeId
from br3.repo.runner import Git
from br3.repo.snapshots import Snapshot, file_digest
from br3.telemetry import BuildView, Journal, RunView, read_events, replay
from br3.telemetry.archive import usage_of_day
from br3.telemetry.journal import now
from br3.telemetry.replay import advance, lineage
from br3.workspace import children
from br3.workspace.preparing import facts_for_children, left_by_setup, port_of


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
        """Write an event of this build; IllegalMove, and nothing written, when its state does not allow it."""
        advance(self.view, kind, gen=self.gen, task=task, attempt=attempt, ts=now(), data=data)
        self.journal.append(kind, severity, self.run, self.build.id, task, attempt, gen=self.gen, **data)

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
            port=port_of(self.common_dir, self.plan, self.build),
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
        mine_now = self.view.tasks[task].attempts.get(attempt) if task and attempt else None
        own = known_sum(mine_now.usage) if mine_now else Decimal(0)
        limits: list[tuple[Decimal, str]] = []
        if self.build.attempt_budget_usd:
            limits.append((Decimal(self.build.attempt_budget_usd), "attempt"))
        if self.plan.daily_budget_usd:
            this = (self.run, self.build.id, task, attempt)
            today = usage_of_day(self.common_dir, now()[:10])
            others = [e.data for e in today if (e.run, e.build, e.task, e.attempt) != this]
            limits.append((Decimal(self.plan.daily_budget_usd) - known_sum(others), "day"))
        if self.build.budget_usd or self.plan.budget_usd:
            runs = replay(read_events(self.common_dir, [build.id for build in self.plan.builds]))
            chain = lineage(runs, self.run) or self.chain
            if self.build.budget_usd:
                mine = known_cost(chain, [self.build.id]) - own
                limits.append((Decimal(self.build.budget_usd) - mine, "build"))
            if self.plan.budget_usd:
                everyone = [build.id for build in self.plan.builds]
                limits.append((Decimal(self.plan.budget_usd) - known_cost(chain, everyone) + own, "run"))
        return min(limits, default=(None, ""), key=lambda limit: limit[0])


def known_cost(chain: list[RunView], builds: list[str]) -> Decimal:
    """What is known to have been spent on ``builds`` in a lineage; attempts of unknown cost count as nothing here."""
    views = [run.builds[build] for run in chain for build in builds if build in run.builds]
    return sum((known_sum(attempt.usage) for view in views for attempt in view.attempts), Decimal(0))


def known_sum(usage: list[dict[str, Any]]) -> Decimal:
    """The known dollars among the data of usage events."""
    return sum((Decimal(str(u["cost_usd"])) for u in usage if u.get("cost_usd") is not None), Decimal(0))
