"""``br3 sql``."""

from __future__ import annotations

import click

from br3.cli.figures import figures, form_options, show


@click.command()
@click.argument("query")
@form_options
def sql(query: str, as_json: bool, as_csv: bool) -> int:
    """Ask the analytics in SQL; nothing can be changed, no file read."""
    import duckdb

    from br3.analytics import reports
    from br3.cli.output import emit_json
    from br3.errors import UsageError

    with figures(confined=True) as db:
        try:
            report = reports.query(db, query)
        except duckdb.Error as error:
            said = str(error).strip().splitlines()
            raise UsageError("\n".join(said), hint="br3 sql 'SHOW TABLES'; docs/TELEMETRY.md has them all") from error
    if as_json:
        rows = [[reports.plain(value) for value in row] for row in report.rows]
        emit_json({"columns": list(report.columns), "rows": rows})
    else:
        show(report, as_json=False, as_csv=as_csv, empty="no rows")
    return 0
