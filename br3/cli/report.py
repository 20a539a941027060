"""``br3 report``."""

from __future__ import annotations

from pathlib import Path

import click

from br3.cli import completing
from br3.cli.context import json_option, repository


@click.command()
@click.argument("run", required=False, shell_complete=completing.runs)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False, allow_dash=True),
    help='Write it here: *.html is a page with plots, *.md Markdown; "-": print it.  [default: Markdown, printed]',
)
@click.option("--force", is_flag=True, help="Replace a file that is not a report of br3.")
@json_option
def report(run: str | None, output: Path | None, force: bool, as_json: bool) -> int:
    """Report on a run: planned, done, verified, landed, spent.

    Of the newest run, or of RUN; the beginning of its id is enough. What was done in the runs that it continues counts
    too, as in br3 status and br3 costs --budget. A page is one file that loads nothing, for a browser or a printer. An
    older report in its place is replaced, any other file only with --force. Nothing is run: the checklist is as
    br3 finish last saw it.
    """
    from br3.cli.figures import figures
    from br3.cli.output import emit_json
    from br3.cli.plan_files import write
    from br3.dispatch.sessions import find
    from br3.errors import UsageError
    from br3.report.facts import as_json as shape
    from br3.report.gathering import gather
    from br3.report.writing import form_of, place

    form = form_of(output)
    target = None if output is None or str(output) == "-" else output
    if target is not None:
        if as_json:
            raise UsageError("--json prints to standard output; -o writes a page or Markdown", hint="leave one out")
        place(target, force)
    repo = repository()
    session = find(repo, run)
    if session is None:
        raise UsageError("nothing has been run in this repository yet", hint="br3 run, or br3 init for a first plan")
    with figures() as db:
        facts = gather(session, db)
    if as_json:
        emit_json(shape(facts))
        return 0
    said = form(facts)
    if target is None:
        click.echo(said, nl=False)
        return 0
    place(target, force)  # gathering took a while
    write(target, said, force=True)
    click.echo(f"written: {target}", err=True)
    return 0
