"""The table of `br3 worktree list`: its columns, what goes when the terminal is narrow, and drawing it while it fills.

No rich here: the first rows are to stand there before that was imported.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from br3.cli.output import table
from br3.wording import listed, paid

if TYPE_CHECKING:
    from br3.everyday.cells import Cells, Filling
    from br3.everyday.seeing import Row, Seen

_HEADS = {
    "mark": "",
    "branch": "branch",
    "state": "state",
    "changes": "changes",
    "base": "base",
    "upstream": "remote",
    "lines": "lines",
    "agent": "agent",
    "cost": "cost",
    "age": "age",
    "size": "size",
    "port": "port",
    "path": "path",
}
_RIGHT = ("lines", "cost", "age", "size", "port")
_WAITS_FOR = {
    "changes": "changes",
    "base": "base",
    "upstream": "upstream",
    "lines": "lines",
    "agent": "build",
    "cost": "build",
    "size": "size",
}
# Room that is kept for what is still to come, so that columns do not jump.
_RESERVED = {"changes": 8, "base": 6, "upstream": 6, "lines": 9, "agent": 6, "cost": 8, "size": 6}
# What gives way first: a column that goes, or the most that a branch's name may take.
_CONCESSIONS: tuple[str | int, ...] = (
    "path",
    40,
    "size",
    "port",
    "agent",
    28,
    "upstream",
    "cost",
    "lines",
    20,
    "age",
    "state",
    "base",
    12,
)
_MOST_FILES = 4
_MOST_CONFLICTS = 5

Cell = tuple[str, dict[str, Any]]
"""Text, and how ``click.style`` shows it."""


def as_json(seen: Seen, cells: Sequence[Cells]) -> dict[str, Any]:
    """The shape of ``worktree list --json``."""
    return {
        "base": seen.base,
        "base_commit": seen.base_commit,
        "worktrees": [_row_as_json(row, cell) for row, cell in zip(seen.rows, cells, strict=True)],
    }


def _row_as_json(row: Row, cell: Cells) -> dict[str, Any]:
    from datetime import UTC, datetime

    standing, changes, lines = cell.standing, cell.changes, cell.lines
    when = datetime.fromtimestamp(row.committed, UTC).isoformat().replace("+00:00", "Z") if row.committed else None
    return {
        "path": str(row.path),
        "branch": row.branch or row.registered.held,
        "head": row.head,
        "main": row.main,
        "current": row.current,
        "state": row.state or None,
        "operation": row.operation,
        "locked": row.registered.locked and row.state != "adding",
        "locked_because": row.registered.locked_because or None if row.state != "adding" else None,
        "build": row.build,
        "run": row.run,
        "build_state": standing.word if standing else None,
        "alive": standing.alive if standing else None,
        "agent": _agent(cell) or None,
        "cost_usd": f"{standing.cost_usd}" if standing and standing.cost_usd is not None else None,
        "known_usd": f"{standing.known_usd}" if standing and standing.known_usd is not None else None,
        "staged": changes.staged if changes else None,
        "modified": changes.modified if changes else None,
        "untracked": changes.untracked if changes else None,
        "conflicted": changes.conflicted if changes else None,
        "ahead": cell.base.ahead if cell.base else None,
        "behind": cell.base.behind if cell.base else None,
        "conflicts": list(cell.conflicts) if cell.conflicts is not None else None,
        "upstream": row.upstream.removeprefix("refs/remotes/").removeprefix("refs/heads/") if row.upstream else None,
        "upstream_gone": cell.upstream_gone,
        "upstream_ahead": cell.upstream[0] if cell.upstream else None,
        "upstream_behind": cell.upstream[1] if cell.upstream else None,
        "lines_added": lines[0] if lines else None,
        "lines_removed": lines[1] if lines else None,
        "committed": when,
        "subject": row.subject or None,
        "size_bytes": cell.size_bytes,
        "port": row.port,
        "problem": cell.problem,
    }


def plain(seen: Seen, cells: Sequence[Cells]) -> str:
    """The whole table, for what is no terminal: nothing shortened, whole paths."""
    shown = _Shown.of(seen, cells, short_paths=False)
    return shown.text(shown.columns(), None)


def remarks(seen: Seen, cells: Sequence[Cells], width: int | None = None) -> list[str]:
    """What the table has no room for: files in conflict, what is gone or barred, and what to do about it; names are
    shortened so that lines of ``width`` mostly hold them."""
    from br3.wording import printable

    def name(row: Row) -> str:
        text = printable(row.name)
        return text if width is None else shortened(text, max(20, width // 2))

    conflicts, lines = [], []
    for row, cell in zip(seen.rows, cells, strict=True):
        if cell.conflicts:
            files = listed(cell.conflicts, _MOST_FILES)
            conflicts.append(f"{name(row)}: conflicts with {seen.base} in {files}")
        if row.registered.locked and row.registered.locked_because and row.state != "adding":
            lines.append(f"{name(row)}: locked: {printable(row.registered.locked_because)}")
        if cell.problem:
            lines.append(f"{name(row)}: {printable(cell.problem)}")
    if len(conflicts) > _MOST_CONFLICTS and width is not None:
        left = len(conflicts) - _MOST_CONFLICTS + 1
        conflicts[_MOST_CONFLICTS - 1 :] = [f"… and {left} more conflict with {seen.base}; br3 worktree list --json"]
    said = {
        "missing": "the directory is gone; br3 worktree prune",
        "unmounted": "not there, nor what holds it; left alone",
        "broken": "its .git file is gone; git worktree repair",
        "adding": "being added, or that was cut off; br3 worktree new BRANCH goes on",
    }
    lines += [f"{name(row)}: {said[row.state]}" for row in seen.rows if row.state in said]
    return conflicts + lines


@dataclass(frozen=True)
class _Shown:
    """All cells as text."""

    rows: tuple[dict[str, Cell], ...]
    coming: frozenset[str]

    @classmethod
    def of(cls, seen: Seen, cells: Sequence[Cells], *, short_paths: bool) -> _Shown:
        coming = frozenset(key for key, kind in _WAITS_FOR.items() if any(kind in cell.coming for cell in cells))
        now = time.time()
        rows = tuple(_cells(row, cell, seen, now, short_paths) for row, cell in zip(seen.rows, cells, strict=True))
        return cls(rows, coming)

    def columns(self) -> list[str]:
        """Those that have something in them, or will."""
        return [key for key in _HEADS if key in ("branch", "changes") or any(row[key][0] for row in self.rows)]

    def widths(self, columns: Sequence[str], longest_branch: int) -> dict[str, int]:
        found = {}
        for key in columns:
            width = max(len(_HEADS[key]), *(_width(row[key][0]) for row in self.rows))
            if key in self.coming:
                width = max(width, _RESERVED.get(key, 0))
            found[key] = min(width, longest_branch) if key == "branch" else width
        return found

    def fitting(self, width: int) -> tuple[list[str], dict[str, int]]:
        """The columns that fit, and how wide they are."""
        columns, longest = self.columns(), 200
        for concession in (None, *_CONCESSIONS):
            if isinstance(concession, int):
                longest = concession
            elif concession in columns:
                columns.remove(concession)
            widths = self.widths(columns, longest)
            if sum(widths.values()) + 2 * (len(widths) - 1) <= width:
                break
        return columns, widths

    def text(self, columns: Sequence[str], widths: dict[str, int] | None) -> str:
        """The table; ``widths`` None: as wide as it is."""
        rows = []
        for row in self.rows:
            shown = []
            for key in columns:
                text, style = row[key]
                if widths is not None and key == "branch":
                    text = shortened(text, widths[key])
                if widths is not None:
                    text += " " * (widths[key] - _width(text)) if key not in _RIGHT else ""
                    text = " " * (widths[key] - _width(text)) + text
                shown.append(click.style(text, **style) if style and text.strip() else text)
            rows.append(shown)
        right = [number for number, key in enumerate(columns) if key in _RIGHT]
        return table([_HEADS[key] for key in columns], rows, right=right)


def _cells(row: Row, cell: Cells, seen: Seen, now: float, short_paths: bool) -> dict[str, Cell]:
    from br3.wording import printable

    found: dict[str, Cell] = dict.fromkeys(_HEADS, ("", {}))
    for key, kind in _WAITS_FOR.items():
        if kind in cell.coming:
            found[key] = ("…", {"dim": True})
    found["mark"] = ("*" if row.current else "", {"fg": "green"})
    name = row.branch or row.registered.held or (f"{row.path.name} ({row.head[:9]})" if row.head else row.path.name)
    found["branch"] = (printable(name), {"bold": True} if row.current else {"dim": True} if not row.branch else {})
    found["state"] = _state(row, cell)
    if cell.changes is not None:
        found["changes"] = _changes(cell)
    if cell.base is not None:
        found["base"] = _distance(cell.base.ahead, cell.base.behind, cell.conflicts)
    if cell.upstream is not None:
        found["upstream"] = _distance(*cell.upstream, None)
    elif cell.upstream_gone:
        found["upstream"] = ("gone", {"fg": "yellow"})
    if cell.lines is not None and any(cell.lines):
        found["lines"] = (f"+{cell.lines[0]} −{cell.lines[1]}", {})
    elif "lines" not in cell.coming:
        found["lines"] = ("", {})
    if cell.standing is not None:
        found["agent"] = (_agent(cell), {})
        found["cost"] = (paid(cell.standing.cost_usd, cell.standing.known_usd).strip("–"), {})
    if row.committed is not None:
        found["age"] = (age(now - row.committed), {"dim": True})
    if cell.size_bytes is not None:
        found["size"] = (size(cell.size_bytes), {"dim": True})
    elif "size" in cell.coming:
        found["size"] = ("…", {"dim": True})
    found["port"] = ("" if row.port is None else str(row.port), {"dim": True})
    found["path"] = (printable(_short(row) if short_paths else str(row.path)), {"dim": True})
    return found


def _state(row: Row, cell: Cells) -> Cell:
    words: list[str] = []
    colour = "yellow"
    if cell.standing is not None:
        from br3.cli.progress import STATE_COLOURS

        word = cell.standing.word
        colour = STATE_COLOURS.get(word, "yellow")
        words.append(word if row.build == (row.branch or "").removeprefix("build/") else f"{row.build}: {word}")
    elif row.build:
        words.append(f"build {row.build}")
    if row.state:
        words.append({"unmounted": "not mounted"}.get(row.state, row.state))
        colour = "bright_black" if row.state in ("bare", "throw-away") else "red"
    if row.operation:
        words.append(row.operation)
    if row.registered.locked and row.state != "adding":
        words.append("locked")
    return ", ".join(words), {"fg": colour}


def _changes(cell: Cells) -> Cell:
    assert cell.changes is not None
    changes = cell.changes
    signs = (("✗", changes.conflicted), ("+", changes.staged), ("~", changes.modified), ("?", changes.untracked))
    text = " ".join(f"{sign}{number}" for sign, number in signs if number)
    return text, {"fg": "red" if changes.conflicted else "yellow"}


def _distance(ahead: int, behind: int, conflicts: Sequence[str] | None) -> Cell:
    parts = [f"↑{ahead}" if ahead else "", f"↓{behind}" if behind else "", f"✗{len(conflicts)}" if conflicts else ""]
    return " ".join(filter(None, parts)) or "=", {"fg": "red"} if conflicts else {"dim": True} if not ahead else {}


def _agent(cell: Cells) -> str:
    if cell.standing is None:
        return ""
    attempts = cell.standing.view.attempts
    last = attempts[-1].started.get("agent") if attempts else None
    return str(last or ", ".join(dict.fromkeys(task.agent for task in cell.standing.build.tasks)))


def _short(row: Row) -> str:
    relative, whole = os.path.relpath(row.path), str(row.path)
    return relative if len(relative) < len(whole) else whole


def age(seconds: float) -> str:
    """How long ago, in one number: 5 m, 3 h, 12 d, 7 w, 2 y."""
    minutes = max(0, int(seconds)) // 60
    for unit, length in (("y", 525_600), ("w", 20_160), ("d", 1_440), ("h", 60)):
        if minutes >= length:
            return f"{minutes // (10_080 if unit == 'w' else length)} {unit}"
    return f"{minutes} m"


def size(number: int) -> str:
    """Bytes as people say them, in powers of 1024."""
    amount = float(number)
    for unit in ("B", "K", "M", "G", "T"):
        if amount < 1024 or unit == "T":
            return f"{amount:.0f}{unit}" if amount >= 10 or unit == "B" else f"{amount:.1f}{unit}"
        amount /= 1024
    raise AssertionError


def shortened(text: str, width: int) -> str:
    """The text with its middle left out when it is too long: branches often begin alike, and end alike."""
    if _width(text) <= width:
        return text
    tail = (width - 1) // 2
    head = width - 1 - tail
    return f"{text[:head]}…{text[len(text) - tail :] if tail else ''}"


def _width(text: str) -> int:
    import unicodedata

    if text.isascii():
        return len(text)
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def draw(seen: Seen, filling: Filling) -> None:
    """Draw the table on the terminal at once, and again as cells come; the last picture is the whole table."""
    drawn = 0
    for _ in _first_and_then(filling):
        size = shutil.get_terminal_size()
        lines = _fitted(seen, filling.cells, size.columns)
        # What has scrolled away cannot be drawn over: the rest comes with the last picture.
        most = max(2, size.lines - 2)
        if len(lines) > most:
            lines = [*lines[: most - 1], click.style(f"… and {len(lines) - most + 1} more", dim=True)]
        _over(drawn, lines)
        drawn = len(lines)
    _over(drawn, _fitted(seen, filling.cells, shutil.get_terminal_size().columns))


def _first_and_then(filling: Filling) -> Iterator[None]:
    yield
    yield from filling.waiting()


def _fitted(seen: Seen, cells: Sequence[Cells], width: int) -> list[str]:
    shown = _Shown.of(seen, cells, short_paths=True)
    return shown.text(*shown.fitting(width - 1)).split("\n")


def _over(drawn: int, lines: Sequence[str]) -> None:
    up = f"\x1b[{drawn}A\r" if drawn else ""
    text = "".join(f"{line}\x1b[K\n" for line in lines)
    click.echo(f"{up}{text}\x1b[J", nl=False, color=False if os.environ.get("NO_COLOR") else None)
    sys.stdout.flush()
