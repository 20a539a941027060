"""``br3 costs``."""

from __future__ import annotations

import sys

import click

from br3.cli.context import repository
from br3.cli.figures import figures, form_options, in_all, period_option, show
from br3.cli.groups import Group
from br3.wording import counted


@click.group(cls=Group, invoke_without_command=True)
@period_option
@click.option(
    "--by",
    type=click.Choice(["model", "build", "day", "task", "run"]),
    default="model",
    help="What to add up.  [default: model]",
)
@click.option("--budget", is_flag=True, help="Show what is left of the plan's budgets, and what it will come to.")
@form_options
@click.pass_context
def costs(ctx: click.Context, period: str, by: str, budget: bool, as_json: bool, as_csv: bool) -> int:
    """Show what models, builds, days, tasks or runs have cost."""
    if ctx.invoked_subcommand is not None:
        return 0
    if budget:
        return _budget(as_json, as_csv)
    from br3.analytics import reports

    with figures() as db:
        report = reports.costs(db, period, by)  # type: ignore[arg-type]
    headers = {
        "key": by,
        "cost_usd": "cost",
        "input_tokens": "input",
        "output_tokens": "output",
        "cache_write_tokens": "cache written",
        "cache_read_tokens": "cache read",
    }
    total, untold = in_all(report.totals["total_usd"], report.totals)
    after = untold
    if report.rows:
        after = f"\ntotal  {total}"
        if report.totals["unpriced_tokens"]:
            # The user can do something about these.
            after += f", and {report.totals['unpriced_tokens']:,} tokens that have no price"
            after += " (~/.config/br3/models.toml can say one)"
        if untold:
            after += f"; {untold}"
    empty = "no usage yet: br3 run makes some, br3 costs import reads that of your own sessions"
    show(report, as_json=as_json, as_csv=as_csv, headers=headers, after=after, empty=empty)
    return 0


def _budget(as_json: bool, as_csv: bool) -> int:
    from br3.api.figures import budgets_of
    from br3.dispatch.sessions import latest
    from br3.report import telling
    from br3.report.facts import Spent

    session = latest(repository())
    with figures() as db:
        report = budgets_of(db, session)
    headers = {
        "key": "build",
        "budget_usd": "budget",
        "cost_usd": "spent",
        "left_usd": "left",
        "forecast_usd": "forecast",
        "unpriced_tokens": "unpriced tokens",
        "tasks_done": "tasks done",
        "tasks": "of",
    }
    at = {name: place for place, name in enumerate(report.columns)}
    over = [
        f"{row[at['key']]} is going to cost more than its budget"
        for row in report.rows
        if row[at["budget_usd"]] is not None and (row[at["forecast_usd"]] or 0) > row[at["budget_usd"]]
    ]
    unknown = []
    for row in report.rows:
        spent = Spent(*(row[at[name]] for name in ("cost_usd", "unpriced_tokens", "silent_attempts")))
        if why := telling.unknowns(spent):
            unknown.append(f"spent on {row[at['key']]}: {telling.spent(spent)} ({why})")
    show(report, as_json=as_json, as_csv=as_csv, headers=headers, after="\n".join([*unknown, *over]))
    return 0


@costs.command("import")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def import_(as_json: bool) -> int:
    """Read the costs of your own Claude Code and Codex sessions in this repository."""
    from br3.cli.output import emit_json
    from br3.dispatch.importing import import_costs

    shown = 0
    terminal = sys.stderr.isatty()

    def progress(done: int, total: int) -> None:
        nonlocal shown
        share = 100 * done // max(total, 1)
        if terminal and share != shown:
            shown = share
            click.echo(f"\rreading transcripts: {share} % of {total / 1e6:,.0f} MB", nl=done >= total, err=True)

    scanned, taken = import_costs(repository(), progress)
    for warning in taken.warnings:
        click.echo(warning, err=True)
    if as_json:
        emit_json(
            {
                "messages": scanned.messages,
                "files_read": scanned.files_read,
                "bytes_read": scanned.bytes_read,
                "skipped_lines": scanned.skipped_lines,
                "elsewhere": scanned.elsewhere,
                "unpriced": dict(scanned.unpriced_models),
            }
        )
        return 0
    if not scanned.files_read:
        click.echo("nothing is new since the last import")
        return 0
    click.echo(
        f"{counted(scanned.messages, 'new message')} in {counted(scanned.files_read, 'transcript')}; next: br3 costs"
    )
    if scanned.elsewhere:
        click.echo(f"{counted(scanned.elsewhere, 'message')} of other projects left out")
    for model, messages in sorted(scanned.unpriced_models.items()):
        click.echo(
            f"no price is known for {model} ({counted(messages, 'message')}); ~/.config/br3/models.toml can say one"
        )
    if scanned.skipped_lines:
        click.echo(f"{counted(scanned.skipped_lines, 'line')} could not be read")
    return 0
