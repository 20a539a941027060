"""What builds, or a sentence, will take: asked before anything is spent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from br3.api.workspaces import Names, Workspace, names, opened
from br3.errors import UsageError

if TYPE_CHECKING:
    from br3.dispatch.forecasting import Forecast, Ground
    from br3.estimate.estimating import Overlap
    from br3.plan.model import Plan
    from br3.repo.worktrees import Repository


@dataclass(frozen=True)
class Estimates:
    """What was asked for, each with ``build`` (empty for a text), ``model``, ``usd()`` (P50 and P90, None without a
    price) and ``estimate``: ``score`` (0 to 100), ``level``, ``critical``, ``minutes.p50``, ``minutes.p90``,
    ``cost_usd`` by model, ``files``, ``reasons``.

    ``overlaps`` are builds that will probably touch the same files; ``landing_order`` has the fewest conflicts, None
    unless all builds were asked for. ``warning`` says what could not be read.
    """

    builds: tuple[Forecast, ...]
    overlaps: tuple[Overlap, ...] = ()
    landing_order: tuple[str, ...] | None = None
    warning: str | None = None

    @property
    def usd(self) -> tuple[Decimal, Decimal] | None:
        """P50 and P90 of all that have a price, together, in USD; None when nothing has one."""
        from br3.dispatch.forecasting import summed

        return summed(self.builds) if any(one.usd() is not None for one in self.builds) else None

    def as_json(self) -> dict[str, Any]:
        """The object of ``br3 estimate --json``."""
        from br3.dispatch.forecasting import as_json

        told: dict[str, Any] = {"builds": [as_json(one) for one in self.builds]}
        told["overlaps"] = [asdict(pair) for pair in self.overlaps]
        if self.landing_order is not None:
            told["landing_order"] = list(self.landing_order)
        return told


def estimate(
    workspace: Workspace | str | Path = ".",
    builds: Names = (),
    *,
    text: str | None = None,
    models: Sequence[str] = (),
    ai: bool = False,
) -> Estimates:
    """Say what builds of the plan (all, without names) or ``text`` will take, as ``br3 estimate`` does.

    Offline, unless ``ai``, or for builds ``[estimate] ai = true`` in the plan, asks Claude for three ratings of each,
    which is paid for. ``models`` are those to compare for a text. Raises UsageError without a plan, a text or a commit.
    """
    workspace = opened(workspace)
    if text is not None and not text.strip():
        raise UsageError("there is no text to estimate", hint='br3 estimate "what is to be done"')
    plan = workspace.plan() if text is None else None
    return estimate_all(workspace.repository, plan, names(builds), text, models, ai=ai)


def estimate_all(
    repository: Repository,
    plan: Plan | None,
    builds: Sequence[str],
    text: str | None,
    models: Sequence[str],
    *,
    ai: bool,
) -> Estimates:
    """The same for a plan that was read, or a text."""
    from br3.dispatch import forecasting
    from br3.dispatch.sessions import chosen

    ground: Ground = forecasting.ground_of(repository, forecasting.base_commit(repository, plan.base if plan else None))
    if plan is None:
        ladder = models or forecasting.models_for(None, "auto", None)
        found = [forecasting.forecast_text(ground, text or "", ladder, ai=ai)]
    else:
        found = [forecasting.forecast(ground, plan, build, ai=ai or plan.estimate.ai) for build in chosen(plan, builds)]
    record_spent(repository, found)
    pairs = forecasting.likely_overlaps(plan, {one.build: one.estimate.files for one in found if one.build})
    order = None
    if plan is not None and len(found) == len(plan.builds):
        order = tuple(forecasting.landing_order_for(plan, pairs))
    return Estimates(tuple(found), tuple(pairs), order, ground.warning)


def record_spent(repository: Repository, found: Sequence[Forecast]) -> None:
    """What asking Claude has cost is usage like any other."""
    from br3.agents.asked import usage_of
    from br3.telemetry import Journal

    for one in found:
        for usage in usage_of(one.rated.spent, "estimate") if one.rated is not None and one.rated.spent else ():
            Journal(repository.common_dir).append("usage.recorded", **usage.as_data())
