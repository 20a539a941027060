"""``br3 estimate`` and ``br3 route``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from br3.cli import completing
from br3.cli.context import json_option, plan_option, repository
from br3.wording import listed

if TYPE_CHECKING:
    from br3.api.estimating import Estimates
    from br3.dispatch.forecasting import Forecast
    from br3.estimate.estimating import Estimate, UsdRange
    from br3.models.cascade import Decision
    from br3.plan.model import Plan
    from br3.repo.worktrees import Repository


@click.command()
@click.argument("what", nargs=-1, shell_complete=completing.builds)
@click.option("--ai", is_flag=True, help="Ask Claude for three ratings of each text; costs a fraction of a cent.")
@click.option(
    "--model",
    "models",
    multiple=True,
    shell_complete=completing.models,
    help="Estimate for this model; may be given more than once.",
)
@click.option("--replay", type=click.Path(path_type=Path, dir_okay=False), help="Back-test over past runs.")
@click.option("--report", is_flag=True, help="How good the estimates of your own runs were.")
@click.option("--svg", type=click.Path(path_type=Path, dir_okay=False), help="With --report: draw it into this file.")
@plan_option
@json_option
def estimate(
    what: tuple[str, ...],
    ai: bool,
    models: tuple[str, ...],
    replay: Path | None,
    report: bool,
    svg: Path | None,
    plan_file: Path | None,
    as_json: bool,
) -> int:
    """Say what builds will take: how hard, how long, how much, which files.

    WHAT are builds of the plan (all, without it), or a sentence; "-" reads the text from standard input. Offline
    unless --ai; learns from your own runs. It is an aid for budget and order: single tasks differ by more than a factor
    of two.
    """
    if replay is not None:
        return _replay(replay, as_json)
    if report or svg:
        return _report(svg, as_json)
    from br3.api.estimating import estimate_all
    from br3.cli.output import emit_json

    repo = repository()
    plan, text = _asked(repo, plan_file, what)
    found = estimate_all(repo, plan, what, text, models, ai=ai)
    _warn(found.warning)
    if as_json:
        emit_json(found.as_json())
        return 0
    _show(found)
    return 0


@click.command()
@click.argument("text")
@click.option("--cost-limit", type=click.FloatRange(min=0), metavar="USD", help="Leave out what costs more.")
@click.option("--model", shell_complete=completing.models, help="Take this one, and be told whether it looks right.")
@click.option("--file", "files", multiple=True, help="A file that will be changed; may be given more than once.")
@json_option
def route(text: str, cost_limit: float | None, model: str | None, files: tuple[str, ...], as_json: bool) -> int:
    """Say which model should do a task, and why.

    Cheap first and the verification decides, where that pays; the strongest at once where a mistake would be dear.
    """
    from br3.cli.output import emit_json, table
    from br3.dispatch import forecasting

    repo = repository()
    ground = forecasting.ground_of(repo, forecasting.base_commit(repo, None))
    _warn(ground.warning)
    ladder = forecasting.models_for(None, model or "auto", None)
    found = forecasting.forecast_text(ground, _text(text), ladder, paths=files)
    decision = forecasting.decided(found.estimate, ladder, ground.tried, "cascade", model or "auto", cost_limit)
    _record_decision(repo, decision)
    if as_json:
        emit_json(_route_json(found, decision))
        return 0
    if decision is None:
        click.echo("none of these models has a price: br3 models", err=True)
        return 1
    click.echo(f"{click.style(decision.model, bold=True)}\n{decision.reason}")
    if decision.warning:
        click.echo(f"{click.style('warning:', fg='yellow')} {decision.warning}", err=True)
    rows = [
        [" → ".join(way.models), f"{way.cost_usd:.2f} USD", f"{way.chance:.0%}"]
        for way in (decision.way, *decision.others)
        if way.chance
    ]
    click.echo("\n" + table(("way", "expected", "passes"), rows, right=(1, 2)))
    click.echo("\n" + _experience(found.estimate))
    return 0


def _asked(repo: Repository, plan_file: Path | None, what: Sequence[str]) -> tuple[Plan | None, str | None]:
    """The plan to estimate builds of, or the text: what is no build's name and has a space in it, or is "-"."""
    from br3.cli.context import load_plan
    from br3.errors import UsageError

    if len(what) == 1 and (what[0] == "-" or not what[0].strip() or any(c.isspace() for c in what[0].strip())):
        return None, _text(what[0])
    try:
        return load_plan(repo, plan_file)[0], None
    except UsageError:
        if plan_file is None and len(what) == 1 and not (repo.home / "br3.toml").exists():
            return None, _text(what[0])
        raise


def _text(given: str) -> str:
    from br3.errors import UsageError

    text = sys.stdin.buffer.read().decode(errors="replace") if given == "-" else given
    if not text.strip():
        raise UsageError("there is no text to estimate", hint='br3 estimate "what is to be done"')
    return text


def _warn(warning: str | None) -> None:
    if warning:
        click.echo(f"{click.style('warning:', fg='yellow')} {warning}", err=True)


def show_forecasts(found: Sequence[Forecast], *, err: bool = False) -> None:
    """The table of builds, and their sum."""
    from br3.cli.output import table
    from br3.dispatch.forecasting import summed

    rows = []
    for one in found:
        made, usd = one.estimate, one.usd()
        rows.append(
            [
                one.build or "this",
                made.level + (" !" if made.critical else ""),
                f"{made.score:.0f}",
                f"{_minutes(made.minutes.p50)} – {_minutes(made.minutes.p90)}",
                "unknown" if usd is None else f"{usd[0]:.2f} – {usd[1]:.2f} USD",
                " → ".join(one.decision.way.models) if one.decision else "–",
            ]
        )
    priced = [one for one in found if one.usd() is not None]
    if len(priced) > 1:
        low, high = summed(found)
        rows.append(["all", "", "", "", f"{low:.2f} – {high:.2f} USD", ""])
    heads = ("build", "level", "score", "minutes P50–P90", "cost P50–P90", "model")
    click.echo(table(heads, rows, right=(2,)), err=err)


def _show(found: Estimates) -> None:
    show_forecasts(found.builds)
    for one in found.builds:
        made = one.estimate
        name = f"{one.build}: " if one.build else ""
        click.echo("")
        click.echo(f"{name}{'; '.join(made.reasons)}")
        if made.critical:
            click.echo(f"  ! touches {', '.join(made.critical_because)}: look at what comes of it")
        if made.files:
            click.echo(f"  probably touches {listed([path for path, _ in made.files][:5])}")
        if one.decision:
            click.echo(f"  {one.decision.reason}")
            if one.decision.warning:
                click.echo(f"  {click.style('warning:', fg='yellow')} {one.decision.warning}")
        if made.offline_because:
            click.echo(f"  without Claude's ratings: {made.offline_because}")
    if found.overlaps:
        click.echo("")
    for pair in found.overlaps:
        click.echo(f"{click.style('warning:', fg='yellow')} {pair.said}", err=True)
    if found.overlaps and found.landing_order is not None:
        order = " → ".join(found.landing_order)
        click.echo(f"the fewest conflicts, probably, when they land in this order: {order}")
    click.echo("\n" + _experience(found.builds[0].estimate))


def _experience(made: Estimate) -> str:
    if made.prior_only:
        runs = "no own run" if not made.own_runs else f"{made.own_runs} own run{'s' if made.own_runs > 1 else ''}"
        return f"prior only: {runs} of this model known, so these are other people's medians"
    return f"from {made.own_runs} own runs of this model"


def _minutes(value: float) -> str:
    return f"{value:.0f}" if value >= 10 else f"{value:.1f}"


def _record_decision(repo: Repository, decision: Decision | None) -> None:
    from br3.telemetry import Journal

    if decision is not None:
        Journal(repo.common_dir).append("model.selected", model=decision.model, reason=decision.reason, by="br3 route")


def _route_json(found: Forecast, decision: Decision | None) -> dict[str, Any]:
    def told(cost: UsdRange | None) -> dict[str, str] | None:
        return None if cost is None else {"p50": f"{cost.p50:f}", "p90": f"{cost.p90:f}"}

    ways = [] if decision is None else [decision.way, *decision.others]
    return {
        "model": decision.model if decision else None,
        "reason": decision.reason if decision else None,
        "warning": decision.warning if decision else None,
        "ways": [
            {"models": list(way.models), "expected_usd": f"{way.cost_usd:.6f}", "chance": round(way.chance, 4)}
            for way in ways
        ],
        "critical": found.estimate.critical,
        "critical_because": list(found.estimate.critical_because),
        "cost_usd": {model: told(cost) for model, cost in found.estimate.cost_usd.items()},
        "own_runs": found.estimate.own_runs,
    }


def _replay(path: Path, as_json: bool) -> int:
    from br3.cli.output import emit_json
    from br3.estimate import replay as room
    from br3.estimate.estimating import look_at

    rows = room.read(path, lambda place, text: look_at(place, text).features)
    done = room.replay(rows)
    metrics = room.metrics(done)
    if as_json:
        emit_json({"estimates": [one.as_json() for one in done], "metrics": metrics})
        return 0
    for one in done:
        shown = one.as_json()
        cost, minutes = shown["cost_usd"], shown["minutes"]
        actual = "" if one.row.cost_usd is None else f"  took {one.row.cost_usd:.4f} USD"
        told = "unknown" if cost is None else f"{cost['p50']} – {cost['p90']} USD"
        lasts = "" if minutes is None else f", {minutes['p50']} – {minutes['p90']} min"
        click.echo(f"{shown['id']}  {shown['score']:5.1f}  {told}{lasts}{actual}")
    for name in ("cost_usd", "minutes"):
        found = metrics[name]
        click.echo(f"\n{name}: {found['runs']} runs")
        for key in ("coverage_p50", "coverage_p90", "coverage_p90_from_11", "median_error_factor", "within_2x", "rho"):
            click.echo(f"    {key:<22}{'–' if found[key] is None else found[key]}")
        for model, bias in found["bias"].items():
            click.echo(f"    bias of {model:<16}{bias:+.3f}")
    return 0


def _report(svg: Path | None, as_json: bool) -> int:
    from br3.cli.figures import figures
    from br3.cli.output import emit_json
    from br3.estimate import plotting, reporting
    from br3.estimate.history import own_runs

    with figures() as db:
        found = reporting.report(own_runs(db))
    if svg is not None:
        svg.write_text(plotting.svg(found), encoding="utf-8")
        click.echo(f"drawn: {svg}", err=True)
    if as_json:
        emit_json(plotting.as_json(found))
        return 0
    click.echo(plotting.text(found))
    return 0
