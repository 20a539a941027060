"""``br3 verify``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from br3.cli.context import current, json_option, pick, repository, require_trust, trust_option


@click.command()
@click.argument("builds", nargs=-1)
@trust_option
@json_option
def verify(builds: tuple[str, ...], trusted: bool, as_json: bool) -> int:
    """Run a build's verification and say what it showed.

    Commands, exit codes, tests, coverage, held against min_passed and min_coverage. The verdict is recorded for the
    tree at the tip of the build's branch; merge relies on it.
    """
    from br3.cli.output import emit_json
    from br3.cli.progress import progress
    from br3.dispatch.standing import standings

    repo = repository()
    session = current(repo)
    require_trust(repo.common_dir, session.plan, trusted)
    session.site()  # the excludes that decide what counts as uncommitted
    results = []
    with progress([]) as shown:
        for standing in standings(session, pick(session, builds)):
            if not builds and not (standing.present and standing.has_work):
                continue
            shown.step(f"verifying {standing.id}")
            results.append(_verify_one(session, standing))
    if as_json:
        emit_json({"builds": results})
    elif not results:
        click.echo("no build has anything to verify yet; next: br3 run")
    else:
        for result in results:
            _show(result, session.journal.redact)
    return 0 if all(result["verified"] for result in results) else 1


def _verify_one(session: Any, standing: Any) -> dict[str, Any]:
    from br3.landing.training import verify_build
    from br3.orchestrator.verification import tests_json
    from br3.repo.worktrees import operation_in_progress

    result: dict[str, Any] = {"id": standing.id, "verified": False, "commands": [], "tests": None, "coverage": None}
    if not standing.present:
        return result | {"reason": "its worktree is not there; br3 up makes it"}
    operation = operation_in_progress(standing.worktree)
    if operation:
        return result | {"reason": f"a {operation} is in progress in {standing.worktree}; finish it first"}
    if standing.dirty:
        return result | {"reason": f"uncommitted changes: {', '.join(standing.dirty[:5])}; commit them first"}
    verdict, directory = verify_build(session, standing)
    reason = verdict.reason
    if verdict.passed and not standing.has_work:
        reason = "it passes, but its branch has no commits: there is nothing to land"
    return result | {
        "verified": verdict.passed and standing.has_work,
        "commands": [
            {
                "run": r.run,
                "exit_code": r.exit_code,
                "duration_s": round(r.duration_s, 3),
                "tests": tests_json(r.tests),
                "log": str(r.log),
            }
            for r in verdict.results
        ],
        "tests": tests_json(verdict.tests),
        "coverage": verdict.coverage,
        "reason": reason,
        "warnings": list(verdict.warnings),
        "directory": str(directory),
    }


def _show(result: dict[str, Any], redact: Callable[[str], str]) -> None:
    from br3.workspace.children import tail

    sign = click.style("✓ verified", fg="green") if result["verified"] else click.style("✗ not verified", fg="red")
    click.echo(
        f"{click.style(result['id'], bold=True)}  {sign}" + (f": {result['reason']}" if result["reason"] else "")
    )
    for command in result["commands"]:
        click.echo(f"    {command['run']}  → exit {command['exit_code']}, {command['duration_s']:.1f} s")
        if command["exit_code"] != 0:
            for line in redact(tail(Path(command["log"]))).split("\n"):
                click.echo(f"        {line}")
            click.echo(f"        log: {command['log']}")
    tests = result["tests"]
    if tests:
        click.echo(f"    tests: {tests['passed']} passed, {tests['failed']} failed, {tests['skipped']} skipped")
    if result["coverage"] is not None:
        click.echo(f"    coverage: {result['coverage']:.1f} %")
    for warning in result.get("warnings", []):
        click.echo(f"    {warning}")
