"""The agent ``shell``: any command, run by ``sh -c`` in the worktree.

It finds the prompt on standard input and in the file named by ``BR3_PROMPT_FILE``. It may report usage as JSON lines,
appended to the file named by ``BR3_USAGE_FILE``: ``{"model": "…", "input_tokens": 1, "output_tokens": 2,
"cache_write_tokens": 0, "cache_read_tokens": 0, "cost_usd": "0.01"}``, each key optional.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from pathlib import Path

from br3.agents.base import Outcome, Request, Tail, Usage

_COUNTS = ("input_tokens", "output_tokens", "cache_write_tokens", "cache_read_tokens")


class ShellReader:
    """Keeps the last lines as the report, and reads the usage file as it grows."""

    def __init__(self, usage_file: Path, command: str) -> None:
        self.usage: list[Usage] = []
        self.activity = ""
        self._file = usage_file
        self._command = command
        self._offset = 0
        self._tail = Tail()

    def feed(self, line: bytes) -> None:
        self._tail.add(line)
        if line.strip():
            self.activity = self._tail.lines[-1][:60]

    def refresh(self) -> None:
        try:
            with self._file.open("rb") as source:
                source.seek(self._offset)
                fresh = source.read()
        except FileNotFoundError:
            return
        whole = fresh[: fresh.rfind(b"\n") + 1]
        self._offset += len(whole)
        self.usage += [u for u in map(parse_usage, whole.split(b"\n")) if u is not None]

    def outcome(self, exit_code: int) -> Outcome:
        report = self._tail.text
        if exit_code == 0:
            return Outcome(True, report=report)
        return Outcome(False, "crash", f"`{self._command}` ended with exit code {exit_code}", report)


class Shell:
    """See the module."""

    name = "shell"
    tested_with = "POSIX sh"
    variables: tuple[str, ...] = ()

    def missing(self) -> str | None:
        return None

    def command(self, request: Request) -> list[str]:
        return ["/bin/sh", "-c", request.command or ""]

    def environment(self, request: Request) -> Mapping[str, str]:
        return {}

    def reader(self, request: Request) -> ShellReader:
        return ShellReader(request.usage_file, " ".join((request.command or "").split())[:200])

    def render(self, line: bytes) -> str | None:
        return line.decode(errors="replace")


AGENT = Shell()


def parse_usage(line: bytes) -> Usage | None:
    """One line of a usage file; None when it is not one. Numbers that are no numbers are not known."""
    try:
        raw = json.loads(line)
    except ValueError:
        return None
    if not isinstance(raw, dict):
        return None
    counts = [_count(raw.get(name)) for name in _COUNTS]
    model = raw.get("model")
    return Usage(str(model) if model else None, *counts, cost_usd=_money(raw.get("cost_usd")))


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _money(value: object) -> Decimal | None:
    if value is None or isinstance(value, bool):
        return None
    try:
        amount = Decimal(str(value))
    except InvalidOperation:
        return None
    return amount if amount.is_finite() and amount >= 0 else None
