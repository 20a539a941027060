"""``br3 sql``."""

from __future__ import annotations

import click

from br3.cli.figures import figures, form_options, show


@click.command()
@click.argument("query")
@form_options
def sql(query: str, as_json: bool, as_csv: bool) -> int:
    """Ask the analytics in SQL; nothing can be changed, no file read."""
    from br3.analytics.reports import plain
    from br3.api.figures import ask
    from br3.cli.output import emit_json

    with figures(confined=True) as db:
        report = ask(db, query)
    if as_json:
        rows = [[plain(value) for value in row] for row in report.rows]
        emit_json({"columns": list(report.columns), "rows": rows})
    else:
        show(report, as_json=False, as_csv=as_csv, empty="no rows")
    return 0
