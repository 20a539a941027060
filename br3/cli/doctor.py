"""``br3 doctor``."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from br3.cli.context import json_option, repository

if TYPE_CHECKING:
    from br3.analytics.inspecting import Finding


def _prices() -> Finding:
    from br3 import models
    from br3.analytics.inspecting import Finding
    from br3.errors import UsageError

    try:
        return Finding("prices", True, f"{len(models.catalog())} models")
    except UsageError as error:
        return Finding("prices", False, error.message, error.hint)


@click.command()
@json_option
def doctor(as_json: bool) -> int:
    """Look whether the journal, the analytics and the prices are well."""
    from br3.analytics import inspecting
    from br3.cli.output import emit_json

    found = [*inspecting.examine(repository().common_dir), _prices()]
    if as_json:
        emit_json({"ok": all(f.ok for f in found), "findings": [asdict(f) for f in found]})
    else:
        for finding in found:
            sign = click.style("✓", fg="green") if finding.ok else click.style("✗", fg="red")
            click.echo(f"{sign} {finding.what:<10} {finding.said}")
            if finding.hint:
                click.echo(f"  {click.style('next:', fg='cyan')} {finding.hint}")
    return 0 if all(f.ok for f in found) else 1
