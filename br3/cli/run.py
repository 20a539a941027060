"""``br3 run``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from br3.cli import completing
from br3.cli.context import ask_yes_no, consent, json_option, name_plan_of, plan_option, say, trust_option, workspace
from br3.wording import counted

if TYPE_CHECKING:
    from br3.api.running import Cost
    from br3.dispatch.outcome import Outcome
    from br3.dispatch.sessions import Session
    from br3.dispatch.standing import Standing
    from br3.plan.model import Build


@click.command()
@click.argument("builds", nargs=-1, shell_complete=completing.builds)
@click.option(
    "-j", "--jobs", metavar="N", help="Builds at once; auto: by cores, memory and disk.  [default: the plan's jobs]"
)
@click.option(
    "--agent", shell_complete=completing.agents, help="Use this agent (claude, codex, shell, manual, …) for every task."
)
@click.option("--model", shell_complete=completing.models, help="Use this model for every task.")
@click.option("--policy", type=click.Choice(["cascade", "fixed", "best"]), help="Which model begins, where it is open.")
@click.option("--retries", type=click.IntRange(0, 20), help="Further attempts for a task, and repairs for a build.")
@click.option("--timeout", help="Longest time of one attempt, such as 90m.")
@click.option("-d", "--detach", is_flag=True, help="Leave it to a process of its own; br3 attach follows it.")
@click.option("--yes", is_flag=True, help="Spend without being asked, also more than expected.")
@click.option("--budget", "budget_usd", type=float, metavar="USD", help="Most that the whole run may cost.")
@plan_option
@trust_option
@json_option
def run(
    builds: tuple[str, ...],
    jobs: str | None,
    agent: str | None,
    model: str | None,
    policy: str | None,
    retries: int | None,
    timeout: str | None,
    budget_usd: float | None,
    detach: bool,
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
    With --detach br3 cancel does that.
    """
    from br3.api import running
    from br3.cli.output import emit_json
    from br3.cli.progress import progress
    from br3.dispatch import detached, sessions
    from br3.orchestrator import control
    from br3.telemetry import LockHeld

    settings = {
        "jobs": jobs,
        "agent": agent,
        "model": model,
        "policy": policy,
        "retries": retries,
        "timeout": timeout,
        "budget_usd": budget_usd,
    }
    begun = running.begin(
        workspace(plan_file),
        builds,
        settings,
        consent(trusted),
        lambda cost: _ask_before_spending(cost, yes, as_json),
        lambda complaint: click.echo(f"warning: {complaint}", err=True),
    )
    plan, session, wanted = begun.plan, begun.session, begun.builds
    if begun.done:
        return _say_done(session, wanted, as_json)
    for line in session.news:
        click.echo(line, err=True)
    if not as_json:
        click.echo(f"run {session.run}: {counted(len(wanted), 'build')}, {plan.jobs} at once", err=True)
    if control.pause_of(control.asked(session.run_dir), None) is not None:
        click.echo(f"run {session.run} is paused; br3 resume lets it go on", err=True)
    if detach:
        try:
            pid, log = detached.start(session, wanted, jobs=plan.jobs, module="br3.cli.detached")
        except LockHeld:
            session = sessions.begin(begun.repository, plan, begun.file, wanted)  # as begun.dispatch does
            for line in session.news:
                click.echo(line, err=True)
            pid, log = detached.start(session, wanted, jobs=plan.jobs, module="br3.cli.detached")
        if as_json:
            emit_json({"run": session.run, "pid": pid, "log": str(log)})
            return 0
        click.echo(f"at work as process {pid}, in a session of its own; its log: {log}", err=True)
        click.echo("next: br3 attach (follow it) · br3 status · br3 pause, resume, cancel, tell", err=True)
        click.echo(session.run)
        return 0
    with progress([build.id for build in wanted], running.done_before(session, wanted)) as shown:
        session, outcome = begun.dispatch(shown)
    session.refresh()
    report(session, wanted, outcome, as_json)
    return outcome.exit_code


def _ask_before_spending(cost: Cost, yes: bool, as_json: bool) -> bool:
    """Show what it will take; where that is above a limit somebody has to say yes."""
    if cost.trouble:
        click.echo(f"{click.style('warning:', fg='yellow')} {cost.trouble}", err=True)
    if cost.forecasts and not as_json:
        from br3.cli.estimate import show_forecasts

        show_forecasts(cost.forecasts, err=True)
        if any(one.estimate.prior_only for one in cost.forecasts):
            click.echo("prior only: other people's medians, until five own runs are known (br3 estimate)", err=True)
    if not cost.above or yes:
        return True
    ask = ask_yes_no()
    return ask is not None and ask(f"{cost.above[0]}. Begin?")


def _say_done(session: Session, wanted: list[Build], as_json: bool) -> int:
    from br3.api.looking import summary
    from br3.cli.output import emit_json
    from br3.dispatch.standing import standings

    found = standings(session, wanted)
    if as_json:
        emit_json(summary(session, found))
    elif all(s.landed for s in found):
        click.echo(f"{_all(found)} landed on {session.plan.base} already; change the plan for more")
    else:
        _say_good(found)
    return 0


def report(session: Session, wanted: list[Build], outcome: Outcome, as_json: bool) -> None:
    """What came of a run: a row per build, why each failed and where to look, and what to do next."""
    from br3.api.looking import summary
    from br3.cli.logs import last_lines
    from br3.cli.output import emit_json, tame
    from br3.cli.status import builds_table
    from br3.dispatch.standing import standings

    found = standings(session, wanted)
    if as_json:
        emit_json(summary(session, found))
        return
    name_plan_of(session)
    click.echo(builds_table(found, session))
    for build, warning in outcome.warnings:
        click.echo(f"{build}: {warning}", err=True)
    for standing in found:
        view = standing.view
        if view.state not in ("failed", "skipped") or not view.reason:
            continue
        click.echo(f"\n{click.style(standing.id, fg='red', bold=True)} {view.state}: {tame(view.reason)}", err=True)
        log = Path(view.log) if view.log else None
        if log is not None and log.is_file() and view.cause != "setup":
            beside = log.with_name("stdout.log")
            parts = last_lines(session, beside) if log.name == "stderr.log" and beside.is_file() else []
            for line in [*parts, *last_lines(session, log)]:
                click.echo(f"    {line}", err=True)
            click.echo(f"log: {log}", err=True)
        if view.hint:
            say(f"next:  {view.hint}", err=True)
    click.echo("")
    _say_next(outcome, found)


def _all(found: list[Standing]) -> str:
    return {1: "the build is", 2: "both builds are"}.get(len(found), f"all {len(found)} builds are")


def _say_good(found: list[Standing]) -> None:
    landed, aside = sum(one.landed for one in found), [one for one in found if one.aside and not one.landed]
    for one in aside:
        click.echo(f"{one.id} was put aside by the last landing: {one.aside}")
    if aside:
        say("next: change what is in the way, on its branch or on base, then br3 merge tries again")
        return
    how = f"{_all(found)} verified"
    if landed:
        how = f"{counted(len(found) - landed, 'build')} verified, {landed} landed before"
    say(f"{how}; next: br3 finish (or br3 merge)")


def _say_next(outcome: Outcome, found: list[Standing]) -> None:
    if outcome.state == "completed" and all(s.landed for s in found):
        click.echo(f"{_all(found)} landed already")
    elif outcome.state == "completed":
        _say_good(found)
    elif outcome.state == "cancelled":
        say("stopped; worktrees and commits are as they were left; br3 run goes on from here", err=True)
    elif outcome.state == "paused":
        for one in found:
            if one.view.state == "verified" and not (one.verified or one.landed):
                why = f": {one.refuted.splitlines()[0]}" if one.refuted else ""
                say(f"{one.id} was verified and is not as it is now{why}; mend it, then br3 verify {one.id}")
        say(f"for you to do: {', '.join(outcome.waiting)} (br3 prompt BUILD, then br3 verify BUILD)")
    else:
        if outcome.waiting:
            say(f"for you to do: {', '.join(outcome.waiting)} (br3 prompt BUILD, then br3 verify BUILD)")
        landed = sum(one.landed for one in found)
        others = [one.id for one in found if not one.landed and not one.verified and one.id not in outcome.waiting]
        good = sum(one.verified for one in found if not one.landed)
        before = f", {landed} landed before" if landed else ""
        logs = "BUILD shows the others, br3 run tries them again"
        if len(others) == 1:
            logs = f"{others[0]} shows why, br3 run tries it again"
        say(
            f"{good} of {counted(len(found) - landed, 'build')} verified{before}; br3 logs {logs}"
            + (f", br3 merge lands {'the verified one' if good == 1 else 'the verified ones'}" if good else ""),
            err=True,
        )
