"""``br3 costs``."""

from __future__ import annotations

import sys

import click

from br3.cli.context import repository
from br3.cli.figures import figures, form_options, period_option, show, usd


@click.group(invoke_without_command=True)
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
    total, unpriced = report.totals["total_usd"], report.totals["unpriced_tokens"]
    after = ""
    if report.rows:
        after = f"\ntotal  {usd(total) if total is not None else 'unknown'}"
        if unpriced:
            after += f", and {unpriced:,} tokens that have no price (~/.config/br3/models.toml can say one)"
    empty = "no usage yet: br3 run makes some, br3 costs import reads that of your own sessions"
    show(report, as_json=as_json, as_csv=as_csv, headers=headers, after=after, empty=empty)
    return 0


def _budget(as_json: bool, as_csv: bool) -> int:
    from decimal import Decimal

    from br3.analytics import reports
    from br3.analytics.reports import Budgeted
    from br3.dispatch.sessions import latest

    session = latest(repository())
    plan = session.plan

    def amount(text: str | None) -> Decimal | None:
        return Decimal(text) if text else None

    planned = [Budgeted(b.id, amount(b.budget_usd), len(b.tasks)) for b in plan.builds]
    planned.append(Budgeted(None, amount(plan.budget_usd), sum(len(b.tasks) for b in plan.builds)))
    with figures() as db:
        report = reports.budgets(db, [run.id for run in session.chain], planned)
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
    show(report, as_json=as_json, as_csv=as_csv, headers=headers, after="\n".join(over))
    return 0


@costs.command("import")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def import_(as_json: bool) -> int:
    """Read the costs of your own Claude Code and Codex sessions in this repository."""
    from br3.cli.output import count, emit_json
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
        f"{count(scanned.messages, 'new message')} in {count(scanned.files_read, 'transcript')}; next: br3 costs"
    )
    if scanned.elsewhere:
        click.echo(f"{count(scanned.elsewhere, 'message')} of other projects left out")
    for model, messages in sorted(scanned.unpriced_models.items()):
        click.echo(
            f"no price is known for {model} ({count(messages, 'message')}); ~/.config/br3/models.toml can say one"
        )
    if scanned.skipped_lines:
        click.echo(f"{count(scanned.skipped_lines, 'line')} could not be read")
    return 0
