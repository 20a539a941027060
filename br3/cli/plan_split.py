"""``br3 plan split``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from br3.cli.plan_files import (
    FORCE,
    OUTPUT,
    asking,
    check_target,
    looking,
    place_of,
    record,
    say_checked,
    verdict,
    write,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from br3.dispatch.forecasting import Forecast
    from br3.plan.model import Plan
    from br3.repo.worktrees import Repository


@click.command()
@click.argument("goal")
@click.option("--ai", is_flag=True, help="Ask Claude, which costs a few cents; without it nothing can be proposed.")
@click.option("--model", default="sonnet", show_default=True, help="The model that is asked.")
@OUTPUT
@FORCE
def split(goal: str, ai: bool, model: str, output: Path | None, force: bool) -> int:
    """Let Claude split a GOAL into builds that do not overlap.

    GOAL is a sentence or more ("-": standard input). What each build owns is checked against the others; what it will
    take is estimated. The outcome is a file for you to read: nothing is run.
    """
    from br3.cli.context import repository
    from br3.dispatch import forecasting
    from br3.errors import Br3Error, UsageError
    from br3.models.asking import NotAnswered
    from br3.plan.briefs.beginning import frame, written
    from br3.plan.splitting import Ground
    from br3.plan.splitting import split as propose
    from br3.plan.text import said

    text = _goal(goal)
    if not ai:
        raise UsageError("only Claude can split a goal, which costs a few cents", hint='br3 plan split "GOAL" --ai')
    here, target = place_of(output)
    check_target(target, force)
    repo = repository()
    ground = forecasting.ground_of(repo, forecasting.base_commit(repo, here.branch))
    likely = [path for path, _ in ground.look(text).files]
    files = tuple(dict.fromkeys([*likely, *ground.tracked]))
    answer = propose(text, Ground(here.root, files, here.detected.verify), asking(model))
    record(answer.spent)
    if isinstance(answer, NotAnswered):
        raise Br3Error(f"Claude has proposed nothing: {answer.said}", hint="br3 plan new asks you instead")
    data = frame(here, answer.name)
    data["build"] = list(answer.builds)
    head = ["The plan of a run, proposed by Claude for this goal:", "", *(f"    {line}" for line in text.splitlines())]
    head += ["", *(f"- {note}" for note in answer.notes)] if answer.notes else []
    draft = written(data, head, here)
    found = _forecasts(repo, ground, draft, here)
    final = written(data, head, here, _remarks(found))
    write(target, final, force)
    for note in answer.notes:
        click.echo(note, err=True)
    checked = verdict(target, final, here)
    say_checked(checked, target, final)
    if found:
        from br3.cli.estimate import show_forecasts

        click.echo("", err=True)
        show_forecasts(found, err=True)
    if target is not None and not checked.problems:
        click.echo(f"next: read {said(target)}, every line; then {looking('check', target)}", err=True)
    return 2 if checked.problems else 0


def _goal(given: str) -> str:
    import sys

    from br3.errors import UsageError
    from br3.secrets import redact

    text = sys.stdin.buffer.read().decode(errors="replace") if given == "-" else given
    if not text.strip():
        raise UsageError("there is no goal", hint='br3 plan split "what is to be reached" --ai')
    return redact(text.strip())


def _forecasts(repo: Repository, ground: Any, text: str, here: Any) -> list[Forecast]:
    """What each build will take; nothing where the plan has problems, which are told afterwards."""
    from br3.dispatch import forecasting

    plan: Plan | None = verdict(None, text, here).plan
    if plan is None:
        return []
    return [forecasting.forecast(ground, plan, build) for build in plan.builds]


def _remarks(found: Sequence[Forecast]) -> list[tuple[int, str]]:
    remarks = []
    for at, one in enumerate(found):
        minutes, usd = one.estimate.minutes, one.usd()
        money = f", {usd[0]:.2f} to {usd[1]:.2f} USD" if usd is not None else ""
        care = f"; touches {', '.join(one.estimate.critical_because)}" if one.estimate.critical else ""
        remarks.append(
            (at, f"estimated: {one.estimate.level}, {minutes.p50:.0f} to {minutes.p90:.0f} minutes{money}{care}")
        )
    return remarks
