"""``br3 trust``."""

from __future__ import annotations

from pathlib import Path

import click

from br3.cli.context import json_option, load_plan, plan_option, repository, show_commands, trust_option


@click.command()
@click.option("--list", "only_list", is_flag=True, help="Only show the commands and whether they are approved.")
@click.option("--revoke", is_flag=True, help="Forget all approvals for this repository.")
@plan_option
@trust_option
@json_option
def trust(only_list: bool, revoke: bool, plan_file: Path | None, trusted: bool, as_json: bool) -> int:
    """See and approve the commands that the plan would run.

    A plan is code from whoever wrote it. Approvals are kept outside the repository, for exactly these texts; a command
    that changes is asked for again.
    """
    from br3.cli.context import require_trust
    from br3.cli.output import emit_json
    from br3.workspace import trust as room

    repo = repository()
    if revoke:
        count = room.revoke(repo.common_dir)
        if as_json:
            emit_json({"forgotten": count})
            return 0
        click.echo(f"forgot {count} approvals for {repo.common_dir}")
        return 0
    plan, _ = load_plan(repo, plan_file)
    commands = room.commands_of(plan)
    open_ones = {command.digest for command in room.missing(repo.common_dir, commands)}
    if as_json:
        entries = [
            {"purpose": c.purpose, "where": c.where, "run": c.text, "approved": c.digest not in open_ones}
            for c in commands
        ]
        emit_json({"commands": entries})
        return 0
    if only_list:
        show_commands(commands, frozenset(c.digest for c in commands) - open_ones)
        click.echo(f"{len(commands) - len(open_ones)} of {len(commands)} commands are approved")
        return 0
    require_trust(repo.common_dir, plan, trusted)
    click.echo(f"all {len(commands)} commands of {plan.name} are approved")
    return 0
