"""``br3 runs``."""

from __future__ import annotations

import click

from br3.cli.context import json_option, repository
from br3.wording import paid


@click.command()
@click.option("-n", "--number", type=click.IntRange(1), default=20, show_default=True, help="So many of the newest.")
@json_option
def runs(number: int, as_json: bool) -> int:
    """List the runs of this repository, the newest first.

    A run is interrupted when it has not ended and nobody is at work on it: br3 run goes on with the newest one.
    """
    from br3.cli.output import emit_json, table
    from br3.cli.progress import STATE_COLOURS, duration, since
    from br3.dispatch.attending import history

    found = history(repository())[:number]
    if as_json:
        emit_json({"runs": [past.as_json() for past in found]})
        return 0
    if not found:
        click.echo("nothing has been run in this repository yet; next: br3 run", err=True)
        return 0
    rows = []
    for past in found:
        view = past.view
        ended = view.ended if not past.alive else None
        rows.append(
            [
                view.id,
                click.style(past.state, fg=STATE_COLOURS.get(past.state, "yellow")),
                f"{past.verified}/{past.builds}",
                "–" if past.tokens is None else f"{past.tokens:,}",
                paid(past.cost_usd, past.known_usd),
                duration(since(view.created, ended)) if ended or past.alive else "–",
                f"for {view.serves}" if view.serves else str(view.facts.get("plan") or ""),
            ]
        )
    click.echo(table(["run", "state", "verified", "tokens", "cost", "time", "plan"], rows, right=[2, 3, 4, 5]))
    return 0
