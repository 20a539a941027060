"""``br3 attach``."""

from __future__ import annotations

import click

from br3.cli import completing
from br3.cli.context import json_option, name_plan_of, repository


@click.command()
@click.argument("run", required=False, shell_complete=completing.runs)
@json_option
def attach(run: str | None, as_json: bool) -> int:
    """Follow a run that is at work, as br3 run shows it.

    RUN is the beginning of a run's id; without it the newest run that is at work. Ctrl-C ends the following, not the
    run. The exit code is that of the run.
    """
    from br3.api.running import done_before, followed, nobody_at_work
    from br3.cli.progress import progress
    from br3.cli.run import report
    from br3.dispatch import attending

    session, wanted = followed(repository(), run)
    name_plan_of(session)
    try:
        if not as_json:
            click.echo(f"run {session.run}: {attending.state_of(session)}", err=True)
        with progress([build.id for build in wanted], done_before(session, wanted)) as shown:
            outcome = attending.follow(session, shown)
    except KeyboardInterrupt:
        click.echo(
            f"\nrun {session.run} goes on without you; br3 attach follows it again, br3 cancel ends it", err=True
        )
        return 0
    session.refresh()
    if outcome is None:
        raise nobody_at_work(session)
    report(session, wanted, outcome, as_json)
    return outcome.exit_code
