"""``br3 claims``."""

from __future__ import annotations

import click

from br3.cli.context import json_option, repository


@click.command()
@json_option
def claims(as_json: bool) -> int:
    """List which active build claims which files.

    A build claims what it owns from the moment that a run is to do it until it has ended, or whoever worked on it is
    gone. Another run that would work on the same ground is refused; commits of other builds there are stopped.
    """
    from br3.cli.output import emit_json, table
    from br3.dispatch.claims import claims as all_claims
    from br3.dispatch.sessions import find

    session = find(repository())
    found = all_claims(session.common_dir, session.runs) if session is not None else []
    if as_json:
        emit_json({"claims": [claim.as_json() for claim in found]})
    elif not found:
        click.echo("no build is active, so nothing is claimed")
    else:
        rows = [
            [
                c.build,
                c.state,
                ", ".join(c.owns) or "(no owns: nothing)",
                "shared" if c.shared else "",
                c.run,
                str(c.pid),
            ]
            for c in found
        ]
        click.echo(table(["build", "state", "claims", "", "run", "process"], rows, right=[5]))
    return 0
