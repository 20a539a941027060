"""``br3 conflicts``."""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from br3.cli.context import json_option, repository
from br3.errors import Br3Error

if TYPE_CHECKING:
    from br3.dispatch.conflict_answers import Answers
    from br3.dispatch.conflicts import Matrix, Pair, Side
    from br3.dispatch.sessions import Session

_EVERY_S = 1.0
_MOST_OF_A_CORE = 0.2
_LONGEST_NAME = 28
_SHORTEST_NAME = 10


@click.command()
@click.option("--watch", is_flag=True, help="Go on, and show what changes, until Ctrl-C.")
@json_option
def conflicts(watch: bool, as_json: bool) -> int:
    """Show which builds would conflict, and how best to land them.

    Each build that has not landed is merged with base and with each other one, as objects, what is uncommitted in the
    worktrees included; no branch, index or file is touched. With --watch --json: one object a line, for each change.
    """
    from br3.cli.output import emit_json

    if watch:
        _watch(as_json)
        return 0
    session, found = _looked(None)
    if as_json:
        emit_json({"run": session.run, **found.as_json()})
    else:
        click.echo(picture(session, found))
    return 0


def _looked(answers: Answers | None) -> tuple[Session, Matrix]:
    from br3.dispatch.conflicts import matrix
    from br3.dispatch.sessions import latest

    session = latest(repository())
    return session, matrix(session, answers)


def _watch(as_json: bool) -> None:
    """Show each change; Ctrl-C is how it is meant to end."""
    from br3.cli.output import SCHEMA
    from br3.cli.progress import redrawn

    try:
        if as_json:
            for _, session, found in _changing():
                click.echo(json.dumps({"schema": SCHEMA, "run": session.run, **found.as_json()}, ensure_ascii=False))
            return
        with redrawn() as show:
            for before, session, found in _changing():
                show(picture(session, found), changes(before, found) if before else None)
    except KeyboardInterrupt:
        return


def _changing() -> Iterator[tuple[Matrix | None, Session, Matrix]]:
    """The matrix before and now, whenever it is another one; looked at the more seldom the longer a look takes."""
    from br3.dispatch.conflict_answers import Answers

    answers = Answers(repository().git)
    before: Matrix | None = None
    failed = False
    while True:
        began = time.monotonic()
        try:
            session, found = _looked(answers)
        except Br3Error:
            if before is None or failed:
                raise
            failed = True  # a worktree or a branch went just while it was looked at
        else:
            failed = False
            if found != before:
                yield before, session, found
                sys.stdout.flush()
            before = found
        time.sleep(max(_EVERY_S, (time.monotonic() - began) / _MOST_OF_A_CORE))


def picture(session: Session, found: Matrix) -> str:
    """The matrix, a line per conflict, and the order: all that a person is shown."""
    lines = [f"{click.style(session.plan.name, bold=True)}  run {session.run}  base {found.base}", ""]
    around = [side for side in found.sides if side.state != "landed"]
    landed = [side.id for side in found.sides if side.state == "landed"]
    if around:
        width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
        lines += [*_grid(found, around, width), ""]
    lines += [said(pair, found) for pair in found.conflicts]
    lines += [f"{side.id}: {side.problem}" for side in found.sides if side.problem]
    if landed:
        lines.append(f"landed: {', '.join(landed)}")
    return "\n".join([*lines, *_advice(found)])


def said(pair: Pair, found: Matrix) -> str:
    """One conflict in a line."""
    from br3.cli.progress import named_files

    assert pair.conflict is not None
    names = f"{click.style(pair.b, bold=True)} × {click.style(pair.a, bold=True)}"
    whose = [side.id for side in found.sides if side.id in (pair.a, pair.b) and side.uncommitted]
    mark = f"uncommitted in {' and '.join(whose)}"
    return f"{names}: {named_files(pair.conflict.kinds, pair.uncommitted, mark)}"


def changes(before: Matrix, now: Matrix) -> list[str]:
    """What is new since the last look, a line each."""
    lines = []
    earlier = {(pair.a, pair.b, pair.with_base): pair for pair in before.pairs}
    for pair in now.pairs:
        was = earlier.get((pair.a, pair.b, pair.with_base))
        if pair.conflict and (was is None or (was.conflict, was.uncommitted) != (pair.conflict, pair.uncommitted)):
            lines.append(said(pair, now))
        elif not pair.conflict and was and was.conflict:
            lines.append(f"{pair.b} × {pair.a}: no conflict any more")
    states = {side.id: side.state for side in before.sides}
    lines += [f"{side.id}: {side.state}" for side in now.sides if states.get(side.id) != side.state]
    if (now.order, now.aside) != (before.order, before.aside):
        lines += _advice(now)
    return lines


def _grid(found: Matrix, around: list[Side], width: int | None) -> list[str]:
    """A row per build, a column for base and for each build before it: how many files are in conflict.

    Within ``width`` names are cut first, and the columns that still have no room stand in a table below.
    """
    cells = {(pair.a, pair.b, pair.with_base): pair for pair in found.pairs}
    seen = {sign for pair in found.pairs for sign in _cell(pair)[:2]}
    marks = int("*" in seen)
    numbers = [str(number) for number in range(1, len(around) + 1)]
    figures = max(len(numbers[-1]), *(len(_cell(pair)[0]) for pair in found.pairs))
    label, base = min(max(len(side.id) for side in around), _LONGEST_NAME), _short(found.base)
    ends = [" " * (2 - marks) + side.state if side.state != "work" else "" for side in around]
    each, left = 1 + figures + marks, len(numbers[-1]) + 4
    room = len(around) - 1
    if width is not None:
        free = width - left - len(base) - marks - max(map(len, ends))
        label = max(min(label, free - each * room), min(label, _SHORTEST_NAME))
        room = max(1, (free - label) // each)
    lines: list[str] = []
    for first in range(0, max(1, len(around) - 1), max(1, room)):
        columns = range(first, min(first + room, len(around) - 1))
        head = " " * (left + label) + (base + " " * marks if not first else "")
        head += "".join(f" {numbers[at]:>{figures}}" + " " * marks for at in columns)
        lines.append(click.style(head.rstrip(), dim=True))
        for at in range(first + 1 if first else 0, len(around)):
            side = around[at]
            row = f"{click.style(f'{numbers[at]:>{len(numbers[-1])}}', dim=True)}  {_short(side.id, label):<{label}}  "
            row += _drawn(cells[(found.base, side.id, True)], len(base), marks) if not first else ""
            for other in columns[: max(0, at - first)]:
                row += " " + _drawn(cells[(around[other].id, side.id, False)], figures, marks)
            row += click.style(ends[at], dim=True) if ends[at] and not first else ""
            lines.append(row.rstrip())
    key = ["· merge"] if "·" in seen else []
    key += ["1, 2, … files in conflict"] if found.conflicts else []
    key += ["* by what is uncommitted"] if "*" in seen else []
    key += ["– nothing to compare yet"] if "–" in seen else []
    if width is not None and len("   ".join(key)) > width:
        key = ["   ".join(key[:2]), "   ".join(key[2:])]
        return [*lines, *(click.style(part, dim=True) for part in key)]
    return [*lines, click.style("   ".join(key), dim=True)]


def _cell(pair: Pair) -> tuple[str, str, str]:
    """What a pair looks like, its mark, and its colour."""
    if not pair.known:
        return "–", "", "bright_black"
    if pair.conflict is None:
        return "·", "", "green"
    files = pair.conflict.files
    count = "×" if not files else str(len(files)) if len(files) < 100 else "99+"
    if files and {*files} == {*pair.uncommitted}:
        return count, "*", "yellow"
    return count, "", "red"


def _drawn(pair: Pair, width: int, marks: int) -> str:
    """Where there are marks a column for them follows, so that figures stand below each other."""
    text, mark, colour = _cell(pair)
    return click.style(f"{text:>{width}}{mark}", fg=colour) + " " * (marks - len(mark))


def _short(name: str, longest: int = _LONGEST_NAME) -> str:
    return name if len(name) <= longest else f"{name[: longest - 1]}…"


def _advice(found: Matrix) -> list[str]:
    """The order to land in, and what would be put aside then."""
    if all(side.state == "landed" for side in found.sides):
        return ["every build has landed"]
    if not found.order:
        return ["no build has changed anything yet"]
    landing = [name for name in found.order if name not in found.aside]
    if not found.conflicts:
        return [f"no conflicts; they can land as {' → '.join(landing)}"]
    lines = [f"the fewest conflicts, when they land as {' → '.join(landing)}"]
    lines = lines if landing else [f"none of them can land on {found.base} as it is"]
    lost = {pair.b for pair in found.conflicts if pair.with_base}
    for name, against in found.aside.items():
        needs = not {*against}.isdisjoint(found.aside)  # what is put aside itself stands in nobody's way
        names = " and ".join([*([found.base] if name in lost and not needs else []), *against])
        lines.append(
            f"put aside{' then' if landing else ''}: {name} ({'needs' if needs else 'conflicts with'} {names})"
        )
    return lines
