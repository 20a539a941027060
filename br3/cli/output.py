"""How commands print: one JSON object, aligned tables, and errors that end with the next command."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from shlex import quote
from typing import Any

import click

from br3.errors import Br3Error
from br3.wording import fits

# A sequence for a terminal; a colour is the group. Texts (titles, links) go on to their end.
_ESCAPE = re.compile(r"(\x1b\[[\d;:]*m)|\x1b(?:[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?|\[[0-?]*[ -/]*[@-~]|[ -/]*[0-~])?")
_CONCEALS = re.compile(r"\[(?:[\d;:]*[;:])?0*8(?:[;:]|m)")

SCHEMA = 1
"""Version of every ``--json`` shape; raised when a key changes its meaning or goes away."""


def tame(text: str) -> str:
    """What others wrote (agents, names of files), with its colours, without all else that a terminal would obey."""
    colours = False
    said = []
    for place, part in enumerate(_ESCAPE.split(text.rstrip("\r"))):
        if place % 2 == 0:
            said.append("".join(c if fits(c) or c in "\n\t" else " " for c in part))
        elif part and not _CONCEALS.search(part):
            colours = True
            said.append(part)
    return "".join([*said, "\x1b[0m"] if colours else said)


def emit_json(data: dict[str, Any]) -> None:
    """Print one object with ``"schema": 1`` first; non-ASCII is kept."""
    click.echo(json.dumps({"schema": SCHEMA, **data}, ensure_ascii=False, indent=2, default=str))


def emit_json_line(data: dict[str, Any]) -> None:
    """The same in one line, for what is printed more than once."""
    click.echo(json.dumps({"schema": SCHEMA, **data}, ensure_ascii=False, default=str))


def emit_error(error: Br3Error, *, as_json: bool = False) -> None:
    """Print what happened and, on a second line, what to do next, on standard error.

    ``as_json`` puts the same into an object on standard output.
    """
    if as_json:
        facts = {"message": error.message, "hint": error.hint, "exit_code": error.exit_code}
        emit_json({"error": facts})
    click.echo(f"{click.style('error:', fg='red', bold=True)} {tame(error.message)}", err=True)
    if error.hint:
        click.echo(f"{click.style('next:', fg='cyan', bold=True)}  {tame(error.hint)}", err=True)


def table(
    headers: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    right: Sequence[int] = (),
    width: int | None = None,
    giving_way: Sequence[str] = (),
) -> str:
    """Columns as wide as their widest cell, two spaces apart; ``right`` names right-aligned columns.

    Cells may carry ANSI styles: widths are counted without them. Where it is wider than ``width`` the columns under the
    heads ``giving_way`` are left out, the first one first, until it fits.
    """
    grid = [[click.style(head, dim=True) for head in headers], *[list(row) for row in rows]]
    widths = [max(_width(row[i]) for row in grid) for i in range(len(headers))]
    shown = list(range(len(headers)))
    for head in giving_way:
        if width is None or sum(widths[i] + 2 for i in shown) - 2 <= width:
            break
        shown = [i for i in shown if headers[i] != head]
    lines = []
    for row in grid:
        cells = []
        for i, cell in ((i, row[i]) for i in shown):
            gap = " " * (widths[i] - _width(cell))
            cells.append(gap + cell if i in right else cell + gap)
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def _width(cell: str) -> int:
    import unicodedata

    plain = click.unstyle(cell)
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in plain)


def show_gone(ignored: Mapping[str, Sequence[str]], lost: Mapping[str, str], given_up: Mapping[str, str]) -> None:
    """What went with worktrees, by name: ignored files, what force gave up, and branches (how to have them back)."""
    from br3.wording import listed, printable

    for name, files in ignored.items():
        click.echo(f"ignored files went with {printable(name)}: {listed(files)}")
    for name, reason in lost.items():
        click.echo(f"gone by force: {printable(name)}: {reason}")
    for branch, commit in given_up.items():
        back = f"git {'update-ref' if branch.startswith('refs/') else 'branch'} {quote(branch)}"
        click.echo(f"given up: {printable(branch)} was at {commit} ({back} {commit} brings it back)")
