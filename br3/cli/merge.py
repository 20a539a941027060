"""``br3 merge``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from br3.cli import completing
from br3.cli.context import (
    consent,
    json_option,
    name_plan_of,
    run_of_plan_option,
    say,
    say_if_plan_changed,
    trust_option,
    workspace,
)
from br3.cli.output import tame
from br3.wording import counted

if TYPE_CHECKING:
    from br3.landing.requests import Requested
    from br3.landing.training import Foreseen, Train


@click.command()
@click.argument("builds", nargs=-1, shell_complete=completing.builds)
@click.option(
    "--only",
    multiple=True,
    metavar="BUILD",
    shell_complete=completing.builds,
    help="Land this one; the same as naming it.",
)
@click.option(
    "--skip", multiple=True, metavar="BUILD", shell_complete=completing.builds, help="Leave this one for later."
)
@click.option("--dry-run", is_flag=True, help="Say what would land, and do nothing.")
@click.option("--one-by-one", is_flag=True, help="Test one build after the other.")
@click.option("--again", is_flag=True, help="Test anew what has failed before, unchanged as it is.")
@click.option(
    "--pr/--local", "by_request", default=None, help="Open pull requests, or land here.  [default: the plan's]"
)
@click.option(
    "--undo",
    metavar="RUN",
    shell_complete=completing.runs,
    help="Take back the last landing of RUN, when nothing was built on it.",
)
@run_of_plan_option
@trust_option
@json_option
def merge(
    builds: tuple[str, ...],
    only: tuple[str, ...],
    skip: tuple[str, ...],
    dry_run: bool,
    one_by_one: bool,
    again: bool,
    by_request: bool | None,
    undo: str | None,
    plan_file: Path | None,
    trusted: bool,
    as_json: bool,
) -> int:
    """Land the verified builds on the base branch, in one step.

    Each becomes a merge commit on top of the last (or what [landing] strategy says). Several stacks of them are
    tested at once; a build that conflicts or breaks the tests is put aside with the evidence, and base moves once, to
    what passed. Nothing is pushed, unless the plan or --pr says that builds land by pull request: then their branches
    are, a request is opened for each (with gh or glab) or printed, and base stays where it is.
    """
    from br3.api import landing
    from br3.cli.output import emit_json
    from br3.cli.progress import progress
    from br3.errors import UsageError
    from br3.landing.requests import Requested
    from br3.landing.training import Options

    if undo is not None:
        if builds or only or skip or dry_run or one_by_one or again or plan_file:
            raise UsageError("--undo takes a landing back; it goes with no other option", hint="br3 merge --undo RUN")
        return _undo(undo, as_json=as_json)
    wanted = [*builds, *only]
    boarding = landing.board(
        workspace(plan_file), wanted, skip, consent(trusted), dry_run=dry_run, by_request=by_request
    )
    if not as_json:
        say_if_plan_changed(boarding.session)
    with progress([]) as shown:
        done = landing.go(boarding, shown, Options(one_by_one=one_by_one, dry_run=dry_run, again=again))
    if as_json:
        emit_json(done.as_json())
    elif isinstance(done, Requested):
        show_requested(done)
    elif done.foreseen is not None:
        show_foreseen(done, done.foreseen)
    else:
        show_train(done)
    return 1 if (done.failed if isinstance(done, Requested) else done.aside) else 0


def show_requested(requested: Requested) -> None:
    """What was pushed, which requests there are, and the texts of those that a person has to open."""
    colours = {"opened": "green", "open": "green", "merged": "green", "rejected": "red", "not opened": "red"}
    _show_aside(requested)
    for one in requested.requests:
        state = "request" if one.state == "printed" else one.state
        state = "to open" if one.state == "foreseen" else state
        click.echo(f"{click.style(f'{state:<10}', fg=colours.get(one.state, 'yellow'))} {one.id}: {one.title}")
        if one.state == "foreseen":
            click.echo(f"           would push {one.branch} to {requested.remote}")
            continue
        if one.pushed:
            click.echo(f"           pushed {one.branch} → {requested.remote}")
        if one.reason:
            click.echo("           " + tame(one.reason).replace("\n", "\n           "))
        if one.url:
            click.echo(f"           {'open it at ' if one.state in ('printed', 'not opened') else ''}{one.url}")
        if one.state == "rejected" and ("fetch first" in str(one.reason) or "fast-forward" in str(one.reason)):
            seen = f"git fetch {requested.remote} {one.branch}, git merge FETCH_HEAD"
            say(f"           next: in its worktree {seen}; then br3 verify {one.id} and br3 merge again")
        elif one.state != "rejected":
            click.echo(f"           text: {one.text}")
        if one.state == "printed" and one.pushed:
            click.echo()
            click.echo(one.text.read_text(encoding="utf-8"))
    if requested.before:
        click.echo(f"landed earlier: {', '.join(requested.before)}")
    for warning in requested.warnings:
        click.echo(f"{click.style('note', fg='yellow')}  {warning}", err=True)
    if any(one.state != "foreseen" for one in requested.requests):
        base, pull = requested.base, f"git pull {requested.remote} {requested.base}"
        say(f"{base} is still {requested.commit[:9]}; once they are merged there: {pull}, then br3 finish")
    elif requested.requests:
        click.echo("nothing was pushed")
    elif not requested.before:
        click.echo("nothing to request")


def _undo(run: str, *, as_json: bool) -> int:
    from br3.api import landing
    from br3.cli.output import emit_json
    from br3.landing.undoing import branches_back, kept_as

    session, step = landing.undo(workspace(), run)
    if as_json:
        emit_json(
            {
                "run": session.run,
                "base": step.base,
                "base_before": step.old,
                "base_after": step.new,
                "branches_back": branches_back(step),
            }
        )
    else:
        kept = kept_as(session, step.old)
        click.echo(f"taken back: {step.base}: {step.old[:9]} → {step.new[:9]}; what had landed is kept as {kept}")
        back = branches_back(step)
        again = "br3 merge lands them again" if len(back) > 1 else "br3 merge lands it again"
        if back:
            name_plan_of(session)
            say(f"there again: {', '.join(back)}; {again}")
    return 0


def show_foreseen(train: Train, foreseen: Foreseen) -> None:
    """What would land, in which order, what would not, and the test runs."""
    for position, build in enumerate(foreseen.order, start=1):
        first = ", verified first" if build in foreseen.unverified else ""
        click.echo(f"{position:>3}  {build}  {click.style(f'({foreseen.strategies[build]}{first})', dim=True)}")
    _show_aside(train)
    if train.before:
        click.echo(f"landed earlier: {', '.join(train.before)}")
    if foreseen.order:
        runs = len(foreseen.candidates) - foreseen.known
        known = f" ({counted(foreseen.known, 'verdict')} known)" if foreseen.known else ""
        how = {"prefix": ", at once", "window": " at once, and more behind them", "one-by-one": ", one after the other"}
        if not runs:
            other = "other " if foreseen.unverified else ""
            click.echo(f"no {other}test runs{known}")
        else:
            several = how[foreseen.method] if runs > 1 else ""
            click.echo(f"{counted(runs, 'test run')}{known}{several}; more only when one fails")
    else:
        click.echo("nothing would land")
    if foreseen.unfetched:
        click.echo(
            f"{foreseen.unfetched} as it was last seen: br3 merge fetches it first, and lands on what it has then"
        )


def show_train(train: Train) -> None:
    """What landed, what was put aside and why."""
    _show_aside(train)
    for build in train.landed:
        click.echo(f"{click.style('landed', fg='green')}  {build}")
    if train.before:
        click.echo(f"landed earlier: {', '.join(train.before)}")
    if train.landed:
        shown = f", {counted(train.tests['passed'], 'test')} passed on it" if train.tests else ""
        click.echo(f"{train.base}: {train.base_before[:9]} → {train.base_after[:9]}{shown}")
    elif not train.before:
        click.echo(f"nothing landed; {train.base} is still {train.base_before[:9]}")


def _show_aside(train: Train | Requested) -> None:
    for aside in train.aside:
        say(f"{click.style('aside', fg='yellow')}   {aside.id}: {tame(aside.reason)}")
        if aside.log:
            click.echo(f"        log: {aside.log}")
        if aside.next:
            say(f"        next: {aside.next}; then br3 verify {aside.id}")
