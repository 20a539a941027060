"""``br3 up``."""

from __future__ import annotations

from pathlib import Path

import click

from br3.cli import completing
from br3.cli.context import consent, json_option, plan_option, trust_option, workspace


@click.command()
@click.argument("builds", nargs=-1, shell_complete=completing.builds)
@click.option("--fresh", is_flag=True, help="Run the set-up again, and not from an environment that was kept.")
@plan_option
@trust_option
@json_option
def up(builds: tuple[str, ...], fresh: bool, plan_file: Path | None, trusted: bool, as_json: bool) -> int:
    """Make the builds' worktrees and environments.

    Each build gets a worktree on a branch of its own, from the base branch as it is now, and the plan's set-up is run
    in it. Calling it again repairs what is missing and touches nothing else; what has landed is left out, unless named.
    """
    from br3.api.preparing import begin
    from br3.cli.output import emit_error, emit_json, table
    from br3.cli.progress import progress
    from br3.dispatch.workspaces import prepare_all

    session, wanted = begin(workspace(plan_file), builds, consent(trusted))
    with progress([build.id for build in wanted]) as shown:
        prepared, errors = prepare_all(session, wanted, shown, fresh=fresh)
    if as_json:
        emit_json(
            {
                "run": session.run,
                "builds": [
                    {
                        "id": p.build,
                        "worktree": str(p.path),
                        "start": p.start,
                        "how": p.how,
                        "environment": p.environment,
                        "duration_s": round(p.duration_s, 3),
                    }
                    for p in prepared
                ],
                "errors": [{"id": build, "message": e.message, "hint": e.hint} for build, e in errors.items()],
            }
        )
    else:
        for line in session.news:
            click.echo(line, err=True)
        rows = [[p.build, p.how, p.environment, f"{p.duration_s:.1f} s", str(p.path)] for p in prepared]
        if not wanted:
            click.echo("every build has landed; br3 up BUILD makes its worktree again all the same")
        if rows:
            click.echo(table(["build", "worktree", "environment", "time", "path"], rows, right=[3]))
        for p in prepared:
            for warning in p.warnings:
                click.echo(f"{p.build}: {warning}", err=True)
        for error in errors.values():
            emit_error(error)
    return max((error.exit_code for error in errors.values()), default=0)
