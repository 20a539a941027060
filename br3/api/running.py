"""Running builds, from the plan to the outcome: what stands in the way, what it will take, dispatching, the result."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

from br3.api.consent import Consent, require_identity, require_trust
from br3.api.listening import OnEvent, Passing, Telling, interruptible
from br3.api.looking import Status, status_of
from br3.api.workspaces import Names, Workspace, names, opened
from br3.errors import Br3Error, OverBudget, Refused

if TYPE_CHECKING:
    from br3.dispatch.forecasting import Forecast
    from br3.dispatch.outcome import Observer
    from br3.dispatch.outcome import Outcome as Ended
    from br3.dispatch.sessions import Session
    from br3.dispatch.standing import Standing
    from br3.plan.model import Build, Plan
    from br3.repo.worktrees import Repository


@dataclass(frozen=True)
class Outcome:
    """How a run ended. ``state``: completed, failed, cancelled, or paused when a person has to go on.

    ``builds`` are those that were asked for, in the plan's order: ``id``, ``verified``, ``landed``, ``commit``,
    ``tests``, ``cost_usd``, ``view.state``, ``view.reason``, …. ``exit_code`` is that of ``br3 run``: 0, 1, 4 (a budget
    is spent) or 130. ``waiting`` are builds that a person has to do, ``warnings`` pairs of a build and what went only
    well enough.
    """

    status: Status
    exit_code: int
    waiting: tuple[str, ...] = ()
    warnings: tuple[tuple[str, str], ...] = ()

    @property
    def run(self) -> str:
        """The run's id."""
        return self.status.run

    @property
    def state(self) -> str:
        return self.status.state

    @property
    def builds(self) -> tuple[Standing, ...]:
        return self.status.builds

    def build(self, build_id: str) -> Standing:
        """The build with that id; KeyError if there is none."""
        return self.status.build(build_id)

    def as_json(self) -> dict[str, Any]:
        """The object of ``br3 run --json``."""
        return self.status.as_json()


def run(
    workspace: Workspace | str | Path = ".",
    builds: Names = (),
    *,
    jobs: int | str | None = None,
    agent: str | None = None,
    model: str | None = None,
    policy: str | None = None,
    retries: int | None = None,
    timeout: str | None = None,
    budget_usd: float | str | None = None,
    trust: bool = False,
    yes: bool = False,
    on_event: OnEvent | None = None,
    cancel: threading.Event | None = None,
) -> Outcome:
    """Run builds of the plan (all, without names) in parallel, each under its orchestrator, as ``br3 run`` does.

    Settings go over the plan's: ``timeout`` such as "90m", ``budget_usd`` for the whole run, ``jobs`` may be "auto".
    ``trust`` approves the plan's commands; ``yes`` spends also more than expected. ``on_event`` gets each event of the
    run as it is written. ``cancel`` ends it from another thread once it is set: the outcome is ``cancelled``.

    Called again it goes on where it was. Raises UsageError (plan, builds, agent not there), Refused (not approved, or
    somebody else is at work on it), OverBudget (may cost more than a limit, and not ``yes``), KeyboardInterrupt after
    Ctrl-C or SIGTERM, when all was stopped and kept. That a build fails is an outcome, not an error.
    """
    settings = {
        "jobs": jobs,
        "agent": agent,
        "model": model,
        "policy": policy,
        "retries": retries,
        "timeout": timeout,
        "budget_usd": budget_usd,
    }
    with interruptible():
        begun = begin(opened(workspace), names(builds), settings, Consent(trust), lambda cost: yes or not cost.above)
        if begun.done:
            return outcome_of(begun.session, begun.builds, None)
        telling = Telling(on_event, cancel)
        session, ended = begun.dispatch(telling, telling.stop)
        if telling.error is not None:
            raise telling.error
        if ended.interrupted:
            raise KeyboardInterrupt
        session.refresh()
        return outcome_of(session, begun.builds, ended)


def attach(workspace: Workspace, run: str | None, on_event: OnEvent | None) -> Outcome:
    """Follow a run that is at work to its end; see ``Workspace.attach``."""
    from br3.dispatch.attending import follow

    session, wanted = followed(workspace.repository, run)
    with interruptible():
        ended = follow(session, Passing(on_event, None))
    if ended is None:
        raise nobody_at_work(session)
    session.refresh()
    return outcome_of(session, wanted, ended)


def followed(repository: Repository, run: str | None) -> tuple[Session, list[Build]]:
    """The run to follow, and its builds: that whose id begins so, else the newest that is at work, else the newest."""
    from br3.dispatch.claims import claims
    from br3.dispatch.sessions import find, latest

    session = find(repository, run) if run else None
    if session is None:
        session = latest(repository)
        at_work = [claim.run for claim in claims(session.common_dir, session.runs)]
        if at_work and session.run not in at_work:
            session = find(repository, at_work[-1])
    assert session is not None
    selected = session.view.selected
    return session, [build for build in session.plan.builds if not selected or build.id in selected]


def done_before(session: Session, wanted: list[Build]) -> dict[str, str]:
    """The builds that a run has nothing to do for, and their state in a word: landed, or verified by a person."""
    from br3.dispatch.standing import standings

    if len(session.chain) == 1 and not session.view.builds:
        return {}  # nothing has ever been done, and git need not be asked
    found = standings(session, wanted)
    return {one.id: one.word for one in found if one.landed or (one.build.manual and one.verified)}


def nobody_at_work(session: Session) -> Br3Error:
    """What to say of a run that has stopped without an end."""
    return Br3Error(f"nobody is at work on run {session.run} any more", hint="br3 run goes on with it")


@dataclass(frozen=True)
class Cost:
    """What a run may take, before it begins. ``above`` are the limits that it may go over, in words, the plan's first.

    ``trouble`` says why there is no estimate.
    """

    forecasts: tuple[Forecast, ...] = ()
    above: tuple[str, ...] = ()
    trouble: str | None = None


@dataclass(frozen=True)
class Begun:
    """A run that is ready to be dispatched. ``done``: there is nothing to do, all of it is verified or landed."""

    repository: Repository
    plan: Plan
    file: Path
    session: Session
    builds: list[Build]
    done: bool = False

    def dispatch(self, observer: Observer, cancel: threading.Event | None = None) -> tuple[Session, Ended]:
        """Run it to the end; ``cancel`` stops it. The run that it came to is another where somebody was quicker.

        Raises Refused when somebody else is at work on the same builds.
        """
        from br3.dispatch import sessions
        from br3.dispatch.dispatching import Dispatcher
        from br3.telemetry import LockHeld

        jobs = self.plan.jobs
        try:
            return self.session, Dispatcher(self.session, self.builds, observer, jobs=jobs, cancel=cancel).run()
        except LockHeld:
            # Somebody else was quicker with the same run: it says who has what, or begins another beside it.
            session = sessions.begin(self.repository, self.plan, self.file, self.builds)
        return session, Dispatcher(session, self.builds, observer, jobs=jobs, cancel=cancel).run()


def begin(
    workspace: Workspace,
    builds: Sequence[str],
    settings: Mapping[str, object],
    consent: Consent,
    weigh: Callable[[Cost], bool],
    warn: Callable[[str], None] = lambda _: None,
) -> Begun:
    """See that nothing stands in the way, and find or make the run.

    ``weigh`` is told what it will take where that is known or asked for, and says whether to begin: OverBudget if not.
    ``warn`` gets what is odd about keys. Raises UsageError, Refused.
    """
    from br3.dispatch import sessions
    from br3.dispatch.requirements import missing_agents, odd_keys
    from br3.plan.frozen import digest

    repository = workspace.repository
    require_identity(repository)
    plan, file = workspace.load(**settings)
    wanted = sessions.chosen(plan, builds)
    newest = _newest(repository)
    same = newest if newest is not None and newest.digest == digest(plan) else None
    if same is not None and _nothing_to_do(same, wanted):
        return Begun(repository, plan, file, same, wanted, done=True)
    missing_agents(plan, wanted)
    if newest is not None:
        _refuse_lost(newest, wanted)
    require_trust(repository.common_dir, plan, consent)
    for complaint in odd_keys(repository.worktree, wanted):
        warn(complaint)
    cost = _cost(repository, plan, wanted, same)
    if not weigh(cost):
        raise OverBudget(
            f"{cost.above[0]}; nothing was begun", hint="br3 run --yes begins all the same; budgets still hold"
        )
    session = sessions.begin(repository, plan, file, wanted)
    _keep(session, cost.forecasts)
    return Begun(repository, plan, file, session, wanted)


def _refuse_lost(session: Session, wanted: list[Build]) -> None:
    """Refused when work that was done, and is asked for just so, went with a branch that somebody deleted: it is still
    there, and is not paid for again unasked. Git processes: 4."""
    from br3.dispatch.standing import standings
    from br3.orchestrator.asking import task_digest

    asked = {build.id: {task_digest(build, task) for task in build.tasks} for build in wanted}
    mine = [build for build in session.plan.builds if build.id in asked]
    for one in standings(session, mine, dirt={}):
        ended = [task for task in one.view.tasks.values() if task.state == "completed"]
        done = [task.id for task in ended if task.digest in asked[one.id]]
        if one.lost and done:
            branch, commit = quote(one.build.branch), one.lost[:12]
            raise Refused(
                f"{one.build.branch} is gone, and {commit}, the work of {one.id}, has not landed",
                hint=f"git branch {branch} {commit} brings it back; to have it done again, after that: "
                f"br3 retry {one.id} --from {done[0]}",
            )


def outcome_of(session: Session, wanted: list[Build], ended: Ended | None) -> Outcome:
    """How the builds stand after a dispatch; None: there was nothing to do."""
    from br3.dispatch.standing import standings

    status = status_of(session, standings(session, wanted))
    if ended is None:
        return Outcome(status, 0)
    return Outcome(status, ended.exit_code, tuple(ended.waiting), tuple(ended.warnings))


def _cost(repository: Repository, plan: Plan, wanted: list[Build], same: Session | None) -> Cost:
    """What is still to be paid for; agents without a price are free.

    What is verified or landed already, and what an unfinished run has been asked about, is not asked again.
    """
    from br3.plan.model import UNPRICED

    priced = [build for build in wanted if any(task.agent not in UNPRICED for task in build.tasks)]
    priced = _still_to_do(same, priced) if priced else []
    if not priced:
        return Cost()
    from br3.api.estimating import record_spent
    from br3.dispatch import forecasting

    try:
        ground = forecasting.ground_of(repository, forecasting.base_commit(repository, plan.base))
        found = [forecasting.forecast(ground, plan, build, ai=plan.estimate.ai) for build in priced]
    except (Br3Error, ArithmeticError, ValueError, OSError) as error:
        # An aid: what stands in its way must not stand in the way of the work. Budgets hold all the same.
        return Cost(trouble=f"there is no estimate: {error}")
    record_spent(repository, found)
    _, p90 = forecasting.summed(found)
    limits = [("[plan] budget_usd", plan.budget_usd), ("[plan] daily_budget_usd", plan.daily_budget_usd)]
    limits.append(("[estimate] confirm_above_usd", plan.estimate.confirm_above_usd))
    over = [(name, limit) for name, limit in limits if limit and p90 > Decimal(limit)]
    above = [f"this may cost {p90:.2f} USD (P90), and {name} is {limit}" for name, limit in over]
    for build, one in zip(priced, found, strict=True):
        usd = one.usd()
        if usd is not None and build.budget_usd and usd[1] > Decimal(build.budget_usd):
            above.append(f"{build.id} may cost {usd[1]:.2f} USD (P90), and its budget_usd is {build.budget_usd}")
    return Cost(tuple(found), tuple(above))


def _still_to_do(session: Session | None, wanted: list[Build]) -> list[Build]:
    from br3.dispatch.standing import standings
    from br3.orchestrator.choosing import FORECASTS
    from br3.telemetry.replay import RUN_ENDED

    if session is None:
        return wanted
    done = {s.id for s in standings(session, wanted) if s.landed or s.verified}
    if session.view.state not in RUN_ENDED and (session.run_dir / FORECASTS).exists():
        done |= set(session.view.selected)
    return [build for build in wanted if build.id not in done]


def _keep(session: Session, forecasts: Sequence[Forecast]) -> None:
    """What was forecast, for the orchestrators and for later reports."""
    if not forecasts:
        return
    from br3.dispatch.forecasting import write

    write(session.run_dir, forecasts, session.plan.estimate.stop_at)
    for one in forecasts:
        if one.priced:
            data = one.estimate.event(one.model, kind=one.agent)
            session.journal.append("estimate.made", run=session.run, build=one.build, **data)


def _nothing_to_do(session: Session, wanted: list[Build]) -> bool:
    """Whether all that is asked for is verified or landed as it stands."""
    from br3.dispatch.standing import standings
    from br3.orchestrator import control

    if session.view.state != "completed" or any(one.what == "retry" for one in control.asked(session.run_dir)):
        return False
    return all(s.landed or s.verified for s in standings(session, wanted))


def _newest(repository: Repository) -> Session | None:
    from br3.dispatch.sessions import find

    try:
        return find(repository)
    except Br3Error:
        return None  # begin says what is wrong with it
