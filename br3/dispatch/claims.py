"""What builds claim while they are active: the ground that their plan says they own, and their own name.

Derived from locks and the journal at each look, never kept: a claim ends with its build, or with the process that
worked on it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from br3.errors import Br3Error, Refused
from br3.plan.frozen import thaw
from br3.plan.globs import overlap
from br3.plan.model import Build, Plan
from br3.plan.order import needs_closure
from br3.telemetry import RunView
from br3.telemetry.locks import holder
from br3.telemetry.replay import RUN_ENDED


@dataclass(frozen=True)
class Claim:
    """One active build. ``pid`` is the dispatcher of its run, or its orchestrator where that goes on alone."""

    build: str
    run: str
    state: str
    owns: tuple[str, ...]
    shared: bool
    pid: int
    alone: bool = False

    def as_json(self) -> dict[str, Any]:
        """The shape of ``claims --json``."""
        return {
            "build": self.build,
            "run": self.run,
            "state": self.state,
            "owns": list(self.owns),
            "shared": self.shared,
            "pid": self.pid,
        }


def claims(common_dir: Path, runs: Mapping[str, RunView]) -> list[Claim]:
    """The claims of all runs, in the order of the runs; ``runs`` as replayed just now."""
    found: dict[str, Claim] = {}
    for run in runs.values():
        if not run.created or run.state in RUN_ENDED:
            continue
        try:
            plan = thaw(common_dir / "br3" / "runs" / run.id).plan
        except Br3Error:
            continue
        dispatcher = holder(common_dir, "run", run.id)
        for build in plan.builds:
            view = run.builds.get(build.id)
            if view is None or view.ended:
                continue
            at_work = view.state in ("preparing", "running", "verifying")
            pid = holder(common_dir, "build", build.id) if at_work else None
            # A dispatcher that has not said yet what it is for may be for any.
            selected = dispatcher is not None and (build.id in run.selected or not run.selected)
            pid = dispatcher if selected or (pid and dispatcher) else pid
            if pid is not None:
                found[build.id] = Claim(build.id, run.id, view.state, build.owns, build.shared, pid, not dispatcher)
    return list(found.values())


def refuse_taken(plan: Plan, wanted: Sequence[Build], taken: Iterable[Claim]) -> None:
    """Refused when a build is at work in another run, or owns what a build of another run claims."""
    for claim in taken:
        for build in wanted:
            if build.id.casefold() == claim.build.casefold():
                follow = f"br3 run {build.id} goes on with it" if claim.alone else f"br3 attach {claim.run} follows it"
                raise Refused(
                    f"{build.id} is being worked on in run {claim.run} by process {claim.pid}",
                    hint=f"{follow}; br3 cancel {build.id} ends it",
                )
            met = None if build.shared or claim.shared or _in_sequence(plan, build, claim) else _meeting(build, claim)
            if met is not None:
                raise Refused(
                    f"{build.id} owns {met[0]}, and {claim.build}, at work in run {claim.run}, claims {met[1]}",
                    hint=f"let it end (br3 attach {claim.run}), or set shared = true for one of them",
                )


def _meeting(build: Build, claim: Claim) -> tuple[str, str] | None:
    return next(((mine, its) for mine in build.owns for its in claim.owns if overlap(mine, its)), None)


def _in_sequence(plan: Plan, build: Build, claim: Claim) -> bool:
    """Whether one of the two needs the other: then they are not at work at the same time."""
    if all(other.id != claim.build for other in plan.builds):
        return False
    return claim.build in needs_closure(plan, build.id) or build.id in needs_closure(plan, claim.build)
