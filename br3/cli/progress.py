"""What is going on, while it goes on: a live table on a terminal, a line per change elsewhere. On standard error."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

import click

from br3.telemetry import BuildView, Event

if TYPE_CHECKING:
    from rich.table import Table

STATE_COLOURS = {
    "pending": "white",
    "preparing": "blue",
    "running": "yellow",
    "verifying": "magenta",
    "verified": "green",
    "landed": "green",
    "failed": "red",
    "skipped": "bright_black",
    "cancelled": "bright_black",
    "interrupted": "red",
}


class Progress(Protocol):
    """Both forms; an ``Observer`` of a dispatch."""

    def event(self, event: Event) -> None: ...

    def preparing(self, build: str, step: str) -> None: ...

    def waiting(self, build: str, why: str) -> None: ...

    def tick(self, builds: Mapping[str, BuildView]) -> None: ...

    def doing(self, build: str, activity: str) -> None: ...

    def step(self, text: str) -> None: ...


class Lines:
    """A line per change."""

    def __init__(self, width: int) -> None:
        self._width = width
        self._guard = threading.Lock()

    def event(self, event: Event) -> None:
        text = describe(event)
        if text and event.build:
            self._print(event.build, text)

    def preparing(self, build: str, step: str) -> None:
        if step not in ("waiting", "environment"):
            self._print(build, step)

    def waiting(self, build: str, why: str) -> None:
        self._print(build, why)

    def tick(self, builds: Mapping[str, BuildView]) -> None:
        """Nothing changes between changes."""

    def doing(self, build: str, activity: str) -> None:
        """Every step of an agent would be too much; br3 logs shows them."""

    def step(self, text: str) -> None:
        self._print("", text)

    def _print(self, build: str, text: str) -> None:
        with self._guard:
            stamp = time.strftime("%H:%M:%S")
            who = f"{build:<{self._width}}  " if build else ""
            click.echo(f"{stamp}  {who}{text}", err=True)


class Live:
    """A table that is redrawn in place, a row per build."""

    def __init__(self, builds: list[str]) -> None:
        self._rows: dict[str, tuple[str, str]] = dict.fromkeys(builds, ("pending", ""))
        self._views: Mapping[str, BuildView] = {}
        self._step = ""

    def event(self, event: Event) -> None:
        text = describe(event)
        if text and event.build in self._rows:
            self._rows[event.build] = (self._rows[event.build][0], text)

    def preparing(self, build: str, step: str) -> None:
        self._rows[build] = ("preparing", step)

    def waiting(self, build: str, why: str) -> None:
        self._rows[build] = (self._rows[build][0], why)

    def tick(self, builds: Mapping[str, BuildView]) -> None:
        self._views = builds
        for build, view in builds.items():
            if build in self._rows:
                self._rows[build] = (view.state, self._rows[build][1])

    def doing(self, build: str, activity: str) -> None:
        if build in self._rows and self._rows[build][0] == "running":
            self._rows[build] = ("running", printable(activity))

    def step(self, text: str) -> None:
        self._step = text

    def __rich__(self) -> Table:
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, padding=(0, 2, 0, 0), show_header=bool(self._rows))
        if self._rows:
            # The first four keep their room; what is going on just now takes what is left.
            width = min(max(len("build"), *map(len, self._rows)), 28)
            table.add_column("build", no_wrap=True, min_width=width, max_width=width, overflow="ellipsis")
            table.add_column("state", no_wrap=True, min_width=9)
            table.add_column("time", justify="right", no_wrap=True, min_width=7)
            table.add_column("cost", justify="right", no_wrap=True, min_width=8)
            table.add_column("now", no_wrap=True, overflow="ellipsis")
        for build, (state, text) in list(self._rows.items()):
            view = self._views.get(build)
            took = duration(since(view.began, view.since if view.ended else None)) if view and view.began else "–"
            colour = STATE_COLOURS.get(state, "white")
            table.add_row(build, Text(state, style=colour), took, cost_of(view), Text(text))
        if self._views:
            ended = sum(view.ended for view in self._views.values())
            table.caption, table.caption_justify = f"{ended} of {len(self._rows)} builds have ended", "left"
        if self._step:
            table.add_row(*([""] * (4 if self._rows else 0)), Text(self._step, style="dim"))
        return table


@contextmanager
def progress(builds: list[str]) -> Iterator[Progress]:
    """The form that fits where standard error goes."""
    import sys

    if not sys.stderr.isatty():
        yield Lines(max((len(b) for b in builds), default=0))
        return
    from rich.console import Console
    from rich.live import Live as RichLive

    table = Live(builds)
    with RichLive(table, console=Console(stderr=True), refresh_per_second=8, transient=True):
        yield table


def describe(event: Event) -> str:
    """An event in a few words; empty for what is nobody's news."""
    data: Mapping[str, Any] = event.data
    task = f"task {event.task}"
    match event.kind:
        case "worktree.created":
            return f"worktree {data['path']}"
        case "worktree.ready":
            made = {"copied": ", environment copied", "set up": ", set up"}.get(data["environment"], "")
            return f"ready in {data['duration_s']:.1f} s{made}"
        case "worktree.failed":
            return f"set-up failed: {data['command']}"
        case "task.started":
            return f"{task}: {data.get('title', '')}"
        case "attempt.started":
            model = "" if data.get("model") in (None, "auto") else f", {data['model']}"
            again = ", going on where it was" if data.get("resumed") else ""
            return f"{task}: attempt {event.attempt} with {data['agent']}{model}{again}"
        case "attempt.salvaged":
            return f"{task}: what a cut-off attempt had left is kept as {data['ref']}"
        case "model.fallback":
            return f"{task}: {data['from']} → {data['to']} ({data.get('reason')})"
        case "rate_limit.hit":
            return f"{task}: rate limit, nobody starts for {data.get('wait_s', 0):.0f} s"
        case "timeout.occurred":
            how = "printed nothing for" if data.get("what") == "silence" else "took more than"
            return f"{task}: {how} {data.get('limit_s') or 0:g} s"
        case "security.violation" if data.get("message"):
            return f"{task}: {data['message']}" if event.task else str(data["message"])
        case "usage.differs":
            return f"{task}: it says {data['agent_usd']} USD, recorded are {data['recorded_usd']} USD"
        case "attempt.finished" if data.get("cause"):
            return f"{task}: attempt {event.attempt} failed: {data.get('why')}"
        case "task.completed":
            return f"{task} done"
        case "task.carried":
            return f"{task} was done in run {data['from_run']}"
        case "build.verifying":
            return "its verification runs"
        case "build.repairing":
            return f"verification failed, repairing: {data.get('reason')}"
        case "build.verified":
            return "verified"
        case "build.failed" | "build.skipped" | "build.cancelled":
            return f"{event.kind.removeprefix('build.')}: {str(data.get('reason')).splitlines()[0]}"
        case "quality.passed" | "quality.failed":
            tests = data.get("tests")
            counts = f": {tests['passed']} passed, {tests['failed']} failed" if tests else ""
            return f"verification {event.kind.removeprefix('quality.')}{counts}"
        case "model.selected" if data.get("reason"):
            return f"{task}: {data['reason']}"
        case "budget.exceeded" if data.get("scope") == "P90":
            return f"{task}: dearer than nine in ten of its kind ({data.get('cost_usd')} USD)"
        case "budget.exceeded":
            return f"over the {data.get('scope')}'s budget"
        case _:
            return ""


def printable(text: str) -> str:
    """What an agent said, without what would move the cursor or change colours."""
    return "".join(character if character.isprintable() else " " for character in text)


def cost_of(view: BuildView | None) -> str:
    """What a build's attempts have cost so far, as far as is known."""
    costs = [a.cost_usd for a in view.attempts if a.cost_usd is not None] if view else []
    return f"{sum(costs):.2f} USD" if costs else "–"


def duration(seconds: float) -> str:
    """Seconds as people say them: 12 s, 3 m 05 s, 1 h 02 m."""
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} m {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} m"


def since(ts: str, until: str | None = None) -> float:
    """Seconds from one event's time to another's, or to now."""
    end = datetime.fromisoformat(until) if until else datetime.now(UTC)
    return (end - datetime.fromisoformat(ts)).total_seconds()
