"""``br3 verify``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from br3.cli import completing
from br3.cli.context import (
    build_here,
    consent,
    json_option,
    run_of_plan_option,
    say,
    trust_option,
    workspace,
    workspace_of,
)
from br3.cli.output import tame

if TYPE_CHECKING:
    from br3.api.verifying import Verified


@click.command()
@click.argument("builds", nargs=-1, shell_complete=completing.builds)
@run_of_plan_option
@trust_option
@json_option
def verify(builds: tuple[str, ...], plan_file: Path | None, trusted: bool, as_json: bool) -> int:
    """Run a build's verification and say what it showed.

    Commands, exit codes, tests, coverage, held against min_passed and min_coverage. The verdict is recorded for the
    tree at the tip of the build's branch; merge relies on it. Without BUILDS: in a build's worktree that build,
    elsewhere all that have work.
    """
    from br3.api import verifying
    from br3.cli.output import emit_json
    from br3.cli.progress import progress
    from br3.telemetry import Journal

    here = workspace(plan_file)
    if not builds and (builds := build_here(here)) and plan_file is None:
        here = workspace_of(here, builds[0])
    with progress([]) as shown:
        results = list(verifying.verify(here, builds, consent(trusted), shown.step))
    if as_json:
        emit_json({"builds": [result.as_json() for result in results]})
    elif not results:
        say("no build has anything to verify yet; next: br3 run")
    else:
        redact = Journal(here.repository.common_dir).redact
        for result in results:
            _show(result, redact)
    return 0 if all(result.verified for result in results) else 1


def _show(result: Verified, redact: Callable[[str], str]) -> None:
    from br3.workspace.children import tail

    sign = click.style("✓ verified", fg="green") if result.verified else click.style("✗ not verified", fg="red")
    click.echo(f"{click.style(result.id, bold=True)}  {sign}" + (f": {tame(result.reason)}" if result.reason else ""))
    for command in result.commands:
        click.echo(f"    {command['run']}  → exit {command['exit_code']}, {command['duration_s']:.1f} s")
        if command["exit_code"] != 0:
            for line in redact(tail(Path(command["log"]))).split("\n"):
                click.echo(f"        {tame(line)}")
            click.echo(f"        log: {command['log']}")
    tests = result.tests
    if tests:
        click.echo(f"    tests: {tests['passed']} passed, {tests['failed']} failed, {tests['skipped']} skipped")
    if result.coverage is not None:
        click.echo(f"    coverage: {result.coverage:.1f} %")
    for warning in result.warnings:
        click.echo(f"    {warning}")
