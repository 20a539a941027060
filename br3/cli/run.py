"""``br3 run``."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import click

from br3.cli.context import (
    ask_yes_no,
    json_option,
    load_plan,
    plan_option,
    repository,
    require_identity,
    require_trust,
    trust_option,
)

if TYPE_CHECKING:
    from br3.dispatch.dispatching import Outcome
    from br3.dispatch.forecasting import Forecast
    from br3.dispatch.sessions import Session
    from br3.dispatch.standing import Standing
    from br3.plan.model import Build, Plan
    from br3.repo.worktrees import Repository


@click.command()
@click.argument("builds", nargs=-1)
@click.option("-j", "--jobs", type=click.IntRange(1, 256), help="Builds at once.  [default: the plan's jobs]")
@click.option("--agent", help="Use this agent (claude, codex, shell, manual, …) for every task.")
@click.option("--model", help="Use this model for every task.")
@click.option("--policy", type=click.Choice(["cascade", "fixed", "best"]), help="Which model begins, where it is open.")
@click.option("--retries", type=click.IntRange(0, 20), help="Further attempts for a task, and repairs for a build.")
@click.option("--timeout", help="Longest time of one attempt, such as 90m.")
@click.option("--yes", is_flag=True, help="Spend without being asked, also more than expected.")
@click.option("--budget", "budget_usd", type=float, metavar="USD", help="Most that the whole run may cost.")
@plan_option
@trust_option
@json_option
def run(
    builds: tuple[str, ...],
    jobs: int | None,
    agent: str | None,
    model: str | None,
    policy: str | None,
    retries: int | None,
    timeout: str | None,
    budget_usd: float | None,
    yes: bool,
    plan_file: Path | None,
    trusted: bool,
    as_json: bool,
) -> int:
    """Run the builds in parallel, each under its orchestrator.

    Makes what is missing of worktrees and environments, runs the tasks of each build with its agent, verifies,
    repairs. Without BUILDS it is for all of the plan.

    Called again, it goes on where it was: completed tasks are not repeated; when the last `br3 run` was killed, the
    orchestrators that still live are attached to. Ctrl-C stops everything that was started and keeps all work.
    """
    from br3.cli.output import count
    from br3.cli.progress import progress
    from br3.dispatch.dispatching import Dispatcher, missing_agents, odd_keys
    from br3.dispatch.sessions import begin, chosen

    repo = repository()
    require_identity(repo)
    plan, path = load_plan(
        repo,
        plan_file,
        jobs=jobs,
        agent=agent,
        model=model,
        policy=policy,
        retries=retries,
        timeout=timeout,
        budget_usd=budget_usd,
    )
    wanted = chosen(plan, builds)
    done = _nothing_to_do(repo, plan, wanted)
    if done is not None:
        return _say_done(done, wanted, as_json)
    missing_agents(plan, wanted)
    require_trust(repo.common_dir, plan, trusted)
    for complaint in odd_keys(repo.worktree, wanted):
        click.echo(f"warning: {complaint}", err=True)
    forecasts = _ask_before_spending(repo, plan, wanted, yes, as_json)
    session = begin(repo, plan, path)
    _keep(session, forecasts)
    for line in session.news:
        click.echo(line, err=True)
    if not as_json:
        click.echo(f"run {session.run}: {count(len(wanted), 'build')}, {plan.jobs} at once", err=True)
    with progress([build.id for build in wanted]) as shown:
        outcome = Dispatcher(session, wanted, shown, jobs=plan.jobs).run()
    session.refresh()
    _report(session, wanted, outcome, as_json)
    return outcome.exit_code


def _ask_before_spending(repo: Repository, plan: Plan, wanted: list[Build], yes: bool, as_json: bool) -> list[Forecast]:
    """Show what it will take; refused where that is above a limit and nobody says yes. Agents without a price are free.

    What is verified or landed already, and what an unfinished run has been asked about, is not asked again.
    """
    from br3.plan.model import UNPRICED

    priced = [build for build in wanted if any(task.agent not in UNPRICED for task in build.tasks)]
    priced = _still_to_do(repo, plan, priced) if priced else []
    if not priced:
        return []
    from br3.cli.estimate import record_spent, show_forecasts
    from br3.dispatch import forecasting
    from br3.errors import Br3Error, OverBudget

    try:
        ground = forecasting.ground_of(repo, forecasting.base_commit(repo, plan.base))
        found = [forecasting.forecast(ground, plan, build, ai=plan.estimate.ai) for build in priced]
    except (Br3Error, ArithmeticError, ValueError, OSError) as error:
        # An aid: what stands in its way must not stand in the way of the work. Budgets hold all the same.
        click.echo(f"{click.style('warning:', fg='yellow')} there is no estimate: {error}", err=True)
        return []
    record_spent(repo, found)
    if not as_json:
        show_forecasts(found, err=True)
        if any(one.estimate.prior_only for one in found):
            click.echo("prior only: other people's medians, until five own runs are known (br3 estimate)", err=True)
    _, p90 = forecasting.summed(found)
    limits = [("[plan] budget_usd", plan.budget_usd), ("[plan] daily_budget_usd", plan.daily_budget_usd)]
    limits.append(("[estimate] confirm_above_usd", plan.estimate.confirm_above_usd))
    over = [(name, limit) for name, limit in limits if limit and p90 > Decimal(limit)]
    above = [f"this may cost {p90:.2f} USD (P90), and {name} is {limit}" for name, limit in over]
    for build, one in zip(priced, found, strict=True):
        usd = one.usd()
        if usd is not None and build.budget_usd and usd[1] > Decimal(build.budget_usd):
            above.append(f"{build.id} may cost {usd[1]:.2f} USD (P90), and its budget_usd is {build.budget_usd}")
    if above and not yes:
        said = above[0]
        ask = ask_yes_no()
        if ask is None or not ask(f"{said}. Begin?"):
            raise OverBudget(f"{said}; nothing was begun", hint="br3 run --yes begins all the same; budgets still hold")
    return found


def _still_to_do(repo: Repository, plan: Plan, wanted: list[Build]) -> list[Build]:
    from br3.dispatch.standing import standings
    from br3.orchestrator.choosing import FORECASTS
    from br3.telemetry.replay import RUN_ENDED

    session = _newest_of(repo, plan)
    if session is None:
        return wanted
    if session.view.state not in RUN_ENDED and (session.run_dir / FORECASTS).exists():
        return []
    done = {s.id for s in standings(session, wanted) if s.landed or s.verified}
    return [build for build in wanted if build.id not in done]


def _keep(session: Session, forecasts: list[Forecast]) -> None:
    """What was forecast, for the orchestrators and for later reports."""
    if not forecasts:
        return
    from br3.dispatch.forecasting import write

    write(session.run_dir, forecasts, session.plan.estimate.stop_at)
    for one in forecasts:
        if one.priced:
            data = one.estimate.event(one.model, kind=one.agent)
            session.journal.append("estimate.made", run=session.run, build=one.build, **data)


def _nothing_to_do(repo: Repository, plan: Plan, wanted: list[Build]) -> Session | None:
    """The newest run, when it is of this very plan and all that is asked for is verified or landed as it stands."""
    from br3.dispatch.standing import standings

    session = _newest_of(repo, plan)
    if session is None or session.view.state != "completed":
        return None
    done = all(s.landed or s.verified for s in standings(session, wanted))
    return session if done else None


def _newest_of(repo: Repository, plan: Plan) -> Session | None:
    """The newest run, when it is of this very plan."""
    from br3.dispatch.sessions import find
    from br3.errors import Br3Error
    from br3.plan.frozen import digest

    try:
        session = find(repo)
    except Br3Error:
        return None  # begin says what is wrong with it
    return session if session is not None and session.digest == digest(plan) else None


def _say_done(session: Session, wanted: list[Build], as_json: bool) -> int:
    from br3.cli.output import emit_json
    from br3.cli.status import summary
    from br3.dispatch.standing import standings

    found = standings(session, wanted)
    if as_json:
        emit_json(summary(session, found))
    elif all(s.landed for s in found):
        click.echo(f"{_all(found)} landed on {session.plan.base} already; change the plan for more")
    else:
        click.echo(f"{_all(found)} verified; next: br3 finish (or br3 merge)")
    return 0


def _report(session: Session, wanted: list[Build], outcome: Outcome, as_json: bool) -> None:
    from br3.cli.logs import last_lines
    from br3.cli.output import emit_json
    from br3.cli.status import builds_table, summary
    from br3.dispatch.standing import standings

    found = standings(session, wanted)
    if as_json:
        emit_json(summary(session, found))
        return
    click.echo(builds_table(found, session))
    for build, warning in outcome.warnings:
        click.echo(f"{build}: {warning}", err=True)
    for standing in found:
        view = standing.view
        if view.state not in ("failed", "skipped") or not view.reason:
            continue
        click.echo(f"\n{click.style(standing.id, fg='red', bold=True)} {view.state}: {view.reason}", err=True)
        log = Path(view.log) if view.log else None
        if log is not None and log.is_file() and view.cause != "setup":
            beside = log.with_name("stdout.log")
            parts = last_lines(session, beside) if log.name == "stderr.log" and beside.is_file() else []
            for line in [*parts, *last_lines(session, log)]:
                click.echo(f"    {line}", err=True)
            click.echo(f"log: {log}", err=True)
        if view.hint:
            click.echo(f"next:  {view.hint}", err=True)
    click.echo("")
    _say_next(outcome, found)


def _all(found: list[Standing]) -> str:
    return "the build is" if len(found) == 1 else f"all {len(found)} builds are"


def _say_next(outcome: Outcome, found: list[Standing]) -> None:
    from br3.cli.output import count

    if outcome.state == "completed" and all(s.landed for s in found):
        click.echo(f"{_all(found)} landed already")
    elif outcome.state == "completed":
        click.echo(f"{_all(found)} verified; next: br3 finish (or br3 merge)")
    elif outcome.state == "cancelled":
        click.echo("stopped; worktrees and commits are as they were left; br3 run goes on from here", err=True)
    elif outcome.state == "paused":
        click.echo(f"for you to do: {', '.join(outcome.waiting)} (br3 prompt BUILD, then br3 verify BUILD)")
    else:
        if outcome.waiting:
            click.echo(f"for you to do: {', '.join(outcome.waiting)} (br3 prompt BUILD, then br3 verify BUILD)")
        good = sum(view.state == "verified" for view in outcome.builds.values())
        click.echo(
            f"{good} of {count(len(outcome.builds), 'build')} verified; br3 logs BUILD shows the others, "
            "br3 run tries them again" + (", br3 merge lands the verified ones" if good else ""),
            err=True,
        )
