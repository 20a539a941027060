"""The agent ``shell``: any command, run by ``sh -c`` in the worktree.

It finds the prompt on standard input and in the file named by ``BR3_PROMPT_FILE``. It may report usage as JSON lines,
appended to the file named by ``BR3_USAGE_FILE``: ``{"model": "…", "input_tokens": 1, "output_tokens": 2,
"cache_write_tokens": 0, "cache_read_tokens": 0, "cost_usd": "0.01"}``, each key optional.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from br3.agents.base import (
    Failure,
    Fallback,
    Outcome,
    Request,
    Seen,
    Supports,
    Tail,
    Usage,
    concluded,
    count,
    event_of,
    money,
)
from br3.agents.following import Followed
from br3.agents.telling import ended

_COUNTS = ("input_tokens", "output_tokens", "cache_write_tokens", "cache_read_tokens")


class ShellReader:
    """Keeps the last lines as the report, and reads the usage file as it grows."""

    def __init__(self, usage_file: Path, command: str) -> None:
        self.usage: list[Usage] = []
        self.session: str | None = None
        self.fallbacks: list[Fallback] = []
        self.limits: list[float | None] = []
        self._file = Followed(usage_file)
        self._command = command
        self._tail = Tail()
        self._last = b""

    @property
    def activity(self) -> str:
        """The last line that says anything."""
        return self._last[:240].decode(errors="replace").rstrip("\r")[:60]

    def feed(self, line: bytes) -> None:
        self._tail.add(line)
        if line and not line.isspace():
            self._last = line[:240]

    def feed_error(self, line: bytes) -> None:
        """Nothing is told from it."""

    def refresh(self) -> None:
        self._file.feed(self._told)

    def gave_up(self) -> bool:
        return False

    def outcome(self, exit_code: int) -> Outcome:
        return concluded(failure(Seen(exit_code, {"command": self._command})), self._tail.text)

    def _told(self, line: bytes) -> None:
        usage = parse_usage(line)
        if usage is not None:
            self.usage.append(usage)


class Shell:
    """See the module."""

    name = "shell"
    tested_with = "POSIX sh"
    known_versions = ("POSIX sh",)
    executable = "/bin/sh"
    install = ""
    variables: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    login: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()
    default_model = None
    ladder: tuple[str, ...] = ()
    supports = Supports(
        usage="as the command reports it",
        cost="as the command reports it, else by the table",
        live_cost=True,
        resume=False,
        budget=False,
        models="passed over",
    )

    def missing(self) -> str | None:
        return None

    def home(self, environ: Mapping[str, str]) -> Path | None:
        return None

    def resumable(self, session: str, home: Path | None) -> bool:
        return False

    def prepare(self, request: Request) -> None:
        """It has no configuration."""

    def command(self, request: Request) -> list[str]:
        return ["/bin/sh", "-c", request.command or ""]

    def environment(self, request: Request) -> Mapping[str, str]:
        return {}

    def reader(self, request: Request) -> ShellReader:
        return ShellReader(request.usage_file, " ".join((request.command or "").split())[:200])

    def render(self, line: bytes) -> str | None:
        return line.decode(errors="replace")


AGENT = Shell()


def failure(seen: Seen) -> Failure | None:
    """Why it failed; None for exit code 0."""
    if seen.exit_code == 0:
        return None
    command = seen.result["command"] if seen.result else "the command"
    cause = ended("shell", seen.exit_code).cause
    return Failure(cause, f"`{command}` ended with exit code {seen.exit_code}")


def parse_usage(line: bytes) -> Usage | None:
    """One line of a usage file; None when it is not one. Numbers that are no numbers are not known."""
    raw = event_of(line)
    if raw is None:
        return None
    counts = [count(raw.get(name)) for name in _COUNTS]
    model = raw.get("model")
    return Usage(str(model) if model else None, *counts, cost_usd=money(raw.get("cost_usd")))
