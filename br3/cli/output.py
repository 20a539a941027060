"""How commands print: one JSON object, aligned tables, and errors that end with the next command."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import click

from br3.errors import Br3Error

SCHEMA = 1
"""Version of every ``--json`` shape; raised when a key changes its meaning or goes away."""


def emit_json(data: dict[str, Any]) -> None:
    """Print one object with ``"schema": 1`` first; non-ASCII is kept."""
    click.echo(json.dumps({"schema": SCHEMA, **data}, ensure_ascii=False, indent=2, default=str))


def emit_error(error: Br3Error, *, as_json: bool = False) -> None:
    """Print what happened and, on a second line, what to do next, on standard error.

    ``as_json`` puts the same into an object on standard output.
    """
    if as_json:
        facts = {"message": error.message, "hint": error.hint, "exit_code": error.exit_code}
        emit_json({"error": facts})
    click.echo(f"{click.style('error:', fg='red', bold=True)} {error.message}", err=True)
    if error.hint:
        click.echo(f"{click.style('next:', fg='cyan', bold=True)}  {error.hint}", err=True)


def table(headers: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[int] = ()) -> str:
    """Columns as wide as their widest cell, two spaces apart; ``right`` names right-aligned columns.

    Cells may carry ANSI styles: widths are counted without them.
    """
    grid = [[click.style(head, dim=True) for head in headers], *[list(row) for row in rows]]
    widths = [max(_width(row[i]) for row in grid) for i in range(len(headers))]
    lines = []
    for row in grid:
        cells = []
        for i, cell in enumerate(row):
            gap = " " * (widths[i] - _width(cell))
            cells.append(gap + cell if i in right else cell + gap)
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def _width(cell: str) -> int:
    import unicodedata

    plain = click.unstyle(cell)
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in plain)


def count(number: int, thing: str) -> str:
    """A number and its noun: 1 build, 2 builds."""
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"
