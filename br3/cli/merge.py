"""``br3 merge``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from br3.cli.context import (
    current,
    json_option,
    pick,
    repository,
    require_identity,
    require_trust,
    say_if_plan_changed,
    trust_option,
)

if TYPE_CHECKING:
    from br3.landing.training import Train


@click.command()
@click.argument("builds", nargs=-1)
@trust_option
@json_option
def merge(builds: tuple[str, ...], trusted: bool, as_json: bool) -> int:
    """Land the verified builds on the base branch, in one step.

    Each becomes a merge commit on top of the last, the plan's verification runs on the result, and only then base
    moves, once. A build that conflicts is put aside with its files named. Nothing is pushed.
    """
    from br3.cli.output import emit_json
    from br3.cli.progress import progress
    from br3.landing.training import merge as land

    repo = repository()
    require_identity(repo)
    session = current(repo)
    require_trust(repo.common_dir, session.plan, trusted)
    session.site()
    if not as_json:
        say_if_plan_changed(session)
    with progress([]) as shown:
        train = land(session, pick(session, builds), shown.step)
    if as_json:
        emit_json(train.as_json())
    else:
        show_train(train)
    return 1 if train.aside else 0


def show_train(train: Train) -> None:
    """What landed, what was put aside and why."""
    from br3.cli.output import count

    for aside in train.aside:
        click.echo(f"{click.style('aside', fg='yellow')}   {aside.id}: {aside.reason}")
        if aside.log:
            click.echo(f"        log: {aside.log}")
        if aside.files:
            click.echo(
                f"        next: in its worktree git merge {train.base}, resolve, commit; then br3 verify {aside.id}"
            )
    for build in train.landed:
        click.echo(f"{click.style('landed', fg='green')}  {build}")
    if train.before:
        click.echo(f"landed earlier: {', '.join(train.before)}")
    if train.landed:
        tests = train.verdict.tests if train.verdict else None
        shown = f", {count(tests.passed, 'test')} passed on it" if tests else ""
        click.echo(f"{train.base}: {train.base_before[:9]} → {train.base_after[:9]}{shown}")
    elif not train.before:
        click.echo(f"nothing landed; {train.base} is still {train.base_before[:9]}")
