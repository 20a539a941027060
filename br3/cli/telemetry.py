"""``br3 telemetry``."""

from __future__ import annotations

import json
import sys

import click

from br3.cli.context import json_option, repository


@click.group()
def telemetry() -> None:
    """Write events to the journal, or print them."""


@telemetry.command()
@click.argument("kind")
@click.option("--run", "run_id", envvar="BR3_RUN", help="The run it belongs to.  [default: $BR3_RUN]")
@click.option("--build", envvar="BR3_BUILD", help="The build it belongs to.  [default: $BR3_BUILD]")
@click.option("--task", envvar="BR3_TASK", help="The task it belongs to.  [default: $BR3_TASK]")
@click.option("--severity", type=click.Choice(["info", "warning", "error", "critical"]), default="info")
@click.option("--data", default="{}", metavar="JSON", help="An object with whatever belongs to it.")
def emit(kind: str, run_id: str | None, build: str | None, task: str | None, severity: str, data: str) -> int:
    """Write one event; for scripts and agents. States are br3's own: their kinds are refused."""
    from br3.errors import UsageError
    from br3.telemetry import KINDS, Journal

    if kind not in KINDS or KINDS[kind].state:
        open_kinds = sorted(k for k, facts in KINDS.items() if not facts.state)
        raise UsageError(f"{kind!r} is not a kind that can be written by hand", hint=f"one of: {', '.join(open_kinds)}")
    try:
        given = json.loads(data)
    except ValueError as error:
        raise UsageError(f"--data is not JSON: {error}") from error
    if not isinstance(given, dict):
        raise UsageError("--data must be a JSON object", hint="""--data '{"what": "…"}'""")
    taken = sorted(given.keys() & {"kind", "severity", "run", "build", "task", "attempt", "gen"})
    if taken:
        raise UsageError(f"--data may not carry {', '.join(taken)}: every event has that by itself")
    Journal(repository().common_dir).append(kind, severity, run_id, build, task, None, **given)
    return 0


@telemetry.command()
@click.option("--run", "run_id", help="Only this run's.")
@click.option("--build", help="Only this build's.")
@click.option("--kind", help="Only this kind, or a beginning such as task.")
@json_option
def events(run_id: str | None, build: str | None, kind: str | None, as_json: bool) -> int:
    """Print the events of the journal, oldest first."""
    from br3.cli.output import emit_json
    from br3.telemetry import read_events

    found = []
    for event in read_events(repository().common_dir, run_id):
        if (build and event.build != build) or (kind and not event.kind.startswith(kind)):
            continue
        if as_json:
            found.append(event.as_json())
        else:
            where = " ".join(str(p) for p in (event.build, event.task, event.attempt) if p is not None)
            facts = json.dumps(event.data, ensure_ascii=False)
            facts = facts if not sys.stdout.isatty() or len(facts) <= 160 else facts[:159] + "…"
            click.echo(f"{event.ts}  {event.kind:<18}  {where:<20}  {facts}")
    if as_json:
        emit_json({"events": found})
    return 0
