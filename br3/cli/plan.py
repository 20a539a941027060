"""``br3 plan``: check the plan, or show what it will do; the ways to a plan stand in modules of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from br3.cli.groups import Group
from br3.cli.plan_import import import_
from br3.cli.plan_new import new
from br3.cli.plan_split import split
from br3.wording import counted

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from rich.console import RenderableType
    from rich.table import Table
    from rich.tree import Tree

    from br3.estimate.estimating import Overlap
    from br3.plan.checking import Checked
    from br3.plan.model import Build, Plan, Verify

_FILE = click.argument("file", required=False, type=click.Path(dir_okay=False))
_JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")


@click.group(cls=Group)
def plan() -> None:
    """Check or show the plan; make one from a brief, answers or a goal."""


for _command in (import_, new, split):
    plan.add_command(_command)


@plan.command()
@_FILE
@_JSON
@click.pass_context
def check(ctx: click.Context, file: str | None, as_json: bool) -> None:
    """Say everything that is wrong with the plan, at once.

    FILE is the nearest br3.toml when it is not given. Exits with 2 when there are problems.
    """
    from br3.plan.loading import look_at

    path = _path(file)
    checked = look_at(path)
    pairs = _likely_overlaps(checked, path)
    if as_json:
        _emit_checked(checked, pairs)
    else:
        _print_checked(checked, path)
        for pair in pairs:
            click.echo(f"warning: {pair.said}", err=True)
    if checked.problems:
        ctx.exit(2)


@plan.command()
@_FILE
@_JSON
def show(file: str | None, as_json: bool) -> None:
    """Show what starts when, what each build does, and in which order they land.

    FILE is the nearest br3.toml when it is not given.
    """
    from br3.plan.loading import load
    from br3.plan.order import landing_order

    loaded = load(_path(file))
    order = [build.id for build in landing_order(loaded)]
    if as_json:
        from br3.cli.output import emit_json

        emit_json(_plan_data(loaded, order))
        return
    click.echo(_rendered(_starts(loaded, order), "", _builds_table(loaded), ""))
    click.echo(f"lands on {loaded.base}: {' → '.join(order)}")


def _path(file: str | None) -> Path:
    from pathlib import Path

    from br3.plan.location import find

    return Path(file) if file else find(Path.cwd())


def _likely_overlaps(checked: Checked, path: Path) -> list[Overlap]:
    """Builds that will probably touch the same files, by what base looks like now; none outside a repository."""
    if checked.plan is None or len(checked.plan.builds) < 2:
        return []
    from br3.dispatch.forecasting import base_commit, likely_overlaps
    from br3.errors import Br3Error
    from br3.estimate.estimating import look, text_of_build
    from br3.repo.worktrees import discover

    try:
        repo = discover(path.absolute().parent)
        commit = base_commit(repo, checked.plan.base)
        files = {b.id: look(repo.git, repo.common_dir, commit, text_of_build(b)).files for b in checked.plan.builds}
    except Br3Error:
        return []
    return likely_overlaps(checked.plan, files)


def _emit_checked(checked: Checked, pairs: list[Overlap]) -> None:
    from dataclasses import asdict

    from br3.cli.output import emit_json

    emit_json(
        {
            "ok": checked.plan is not None,
            "errors": [asdict(problem) for problem in checked.problems],
            "warnings": [asdict(warning) for warning in checked.warnings],
            "builds": [_ordered(build) for build in checked.plan.builds] if checked.plan else [],
            "overlaps": [asdict(pair) for pair in pairs],
        }
    )


def _print_checked(checked: Checked, path: Path) -> None:
    from br3.plan.text import said

    for problem in checked.problems:
        click.echo(str(problem), err=True)
    for warning in checked.warnings:
        click.echo(f"warning: {warning}", err=True)
    if checked.problems:
        click.echo(counted(len(checked.problems), "problem"), err=True)
    elif checked.plan:
        click.echo(f"{said(path)} is fine: {_summary(checked.plan)}")


def _summary(plan: Plan) -> str:
    parts = [
        counted(len(plan.builds), "build"),
        counted(sum(len(build.tasks) for build in plan.builds), "task"),
        f"{plan.jobs} at once",
        f"base {plan.base}",
    ]
    if plan.budget_usd:
        parts.append(f"budget ${plan.budget_usd}")
    return ", ".join(parts)


def _ordered(build: Build) -> dict[str, Any]:
    return {"id": build.id, "branch": build.branch, "after": build.after, "needs": build.needs}


def _plan_data(plan: Plan, order: list[str]) -> dict[str, Any]:
    from dataclasses import asdict

    return {
        "name": plan.name,
        "base": plan.base,
        "jobs": plan.jobs,
        "budget_usd": plan.budget_usd,
        "builds": [
            {
                **_ordered(build),
                "title": build.title,
                "tasks": [
                    {
                        "id": task.id,
                        "title": task.title,
                        "minutes": task.minutes,
                        "agent": task.agent,
                        "model": task.model,
                    }
                    for task in build.tasks
                ],
                "verify": asdict(build.verify),
            }
            for build in plan.builds
        ],
        "landing_order": order,
    }


def _rendered(*parts: RenderableType) -> str:
    """The parts as wide as the terminal, or 80 columns; without the blanks that rich fills its lines with."""
    from rich.console import Console

    console = Console(highlight=False, markup=False)
    with console.capture() as capture:
        for part in parts:
            console.print(part)
    return "\n".join(line.rstrip() for line in capture.get().split("\n")[:-1])


def _starts(plan: Plan, order: list[str]) -> Tree:
    """A build hangs below the last-landing one that it needs, and names the others it needs too."""
    from rich.text import Text
    from rich.tree import Tree

    tree = Tree(Text(f"{_plain(plan.name)}: what starts when, {plan.jobs} at once"))
    nodes: dict[str, Tree] = {}
    for build_id in order:
        build = plan.build(build_id)
        needs = sorted(build.needs, key=order.index)
        label = Text(build_id, style="bold")
        if build.title != build_id:
            label.append(f"  {_plain(build.title)}", style="not bold")
        label.append(f"  on {_plain(build.branch)}", style="not bold dim")
        if len(needs) > 1:
            label.append(f"  (needs {', '.join(needs[:-1])} too)", style="not bold dim")
        nodes[build_id] = (nodes[needs[-1]] if needs else tree).add(label)
    return tree


def _builds_table(plan: Plan) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("build", no_wrap=True)
    table.add_column("tasks", justify="right")
    table.add_column("min", justify="right")
    table.add_column("agent")
    table.add_column("lands after", overflow="fold")
    table.add_column("verified by", overflow="fold")
    for build in plan.builds:
        minutes = [task.minutes for task in build.tasks if task.minutes is not None]
        cells: list[Iterable[str]] = [
            [build.id],
            [str(len(build.tasks))],
            [f"{sum(minutes):g}" if minutes else "–"],
            dict.fromkeys(task.agent for task in build.tasks),
            dict.fromkeys((*build.needs, *build.after)) or ["–"],
            _verification(build.verify),
        ]
        table.add_row(*(Text("\n".join(map(_plain, lines))) for lines in cells))
    return table


def _verification(verify: Verify) -> list[str]:
    parts = [*verify.run]
    if verify.min_passed is not None:
        parts.append(f"≥ {verify.min_passed} tests")
    if verify.min_coverage is not None:
        parts.append(f"≥ {verify.min_coverage:g} % covered")
    return parts


def _plain(text: str) -> str:
    """Text of the plan on one line and without control characters, which could steer the terminal."""
    return "".join(char if char.isprintable() else " " for char in text)
