"""What is going on, while it goes on: a live table on a terminal, a line per change elsewhere. On standard error."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol

import click

from br3.telemetry import BuildView, Event

if TYPE_CHECKING:
    from rich.console import RenderableType

    from br3.landing.testing import Picture

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
    "paused": "cyan",
    "completed": "green",
}

_MOST_FILES = 6


class Progress(Protocol):
    """Both forms; an ``Observer`` of a dispatch."""

    def event(self, event: Event) -> None: ...

    def preparing(self, build: str, step: str) -> None: ...

    def waiting(self, build: str, why: str) -> None: ...

    def tick(self, builds: Mapping[str, BuildView]) -> None: ...

    def doing(self, build: str, activity: str) -> None: ...

    def step(self, text: str) -> None: ...

    def train(self, picture: Picture) -> None: ...


class Lines:
    """A line per change."""

    def __init__(self, width: int) -> None:
        self._width = width
        self._guard = threading.Lock()

    def event(self, event: Event) -> None:
        text = describe(event)
        if text:
            self._print(event.build or "", text)

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

    def train(self, picture: Picture) -> None:
        """Its steps are told by ``step``."""

    def _print(self, build: str, text: str) -> None:
        with self._guard:
            stamp = time.strftime("%H:%M:%S")
            who = f"{build:<{self._width}}  " if build else ""
            click.echo(f"{stamp}  {who}{text}", err=True)


class Live:
    """A table that is redrawn in place, a row per build; ``done``: the state of those that have nothing left to do."""

    def __init__(self, builds: list[str], done: Mapping[str, str] = MappingProxyType({})) -> None:
        self._done = done
        self._rows: dict[str, tuple[str, str]] = {build: (done.get(build, "pending"), "") for build in builds}
        self._views: Mapping[str, BuildView] = {}
        self._step = ""
        self._train: Picture | None = None

    def event(self, event: Event) -> None:
        text = describe(event)
        if text and event.build in self._rows:
            self._rows[event.build] = (self._rows[event.build][0], text)
        elif text and event.build is None:
            self._step = "" if event.kind == "run.resumed" else text

    def preparing(self, build: str, step: str) -> None:
        self._rows[build] = ("preparing", step)

    def waiting(self, build: str, why: str) -> None:
        self._rows[build] = (self._rows[build][0], why)

    def tick(self, builds: Mapping[str, BuildView]) -> None:
        self._views = builds
        for build, view in builds.items():
            if build in self._rows and build not in self._done:
                self._rows[build] = ("paused" if view.paused else view.state, self._rows[build][1])

    def doing(self, build: str, activity: str) -> None:
        if build in self._rows and self._rows[build][0] == "running":
            self._rows[build] = ("running", printable(activity))

    def step(self, text: str) -> None:
        self._step = text

    def train(self, picture: Picture) -> None:
        self._train = picture

    def __rich__(self) -> RenderableType:
        from rich.table import Table
        from rich.text import Text

        if self._train is not None:
            return _of_train(self._train, self._step)
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
            ended = sum(build in self._done or _has_ended(self._views.get(build)) for build in self._rows)
            table.caption, table.caption_justify = f"{ended} of {len(self._rows)} builds have ended", "left"
        if self._step:
            step = Text(self._step, style="dim", no_wrap=True, overflow="ellipsis")
            table.add_row(*([""] * (4 if self._rows else 0)), step)
        return table


def _has_ended(view: BuildView | None) -> bool:
    return view is not None and view.ended


def _of_train(train: Picture, step: str) -> RenderableType:
    """A row for each build, a column for each candidate under test, with a dot where it contains the build; below it
    what is done just now, on one line however long it is, so that the picture stays where it is."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    now = time.monotonic()
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("build", no_wrap=True, max_width=28, overflow="ellipsis")
    table.add_column("", no_wrap=True, min_width=6)
    for _, began in train.running:
        table.add_column(duration(now - began), justify="center", no_wrap=True, min_width=5)
    for build in train.order:
        state = "passes" if build in train.passing else "aside" if build in train.aside else ""
        colour = {"passes": "green", "aside": "yellow"}.get(state, "")
        dots = [Text("●" if build in candidate else "", style="yellow") for candidate, _ in train.running]
        table.add_row(build, Text(state, style=colour), *dots)
    return Group(table, Text(step, style="dim", no_wrap=True, overflow="ellipsis"))


@contextmanager
def progress(builds: list[str], done: Mapping[str, str] = MappingProxyType({})) -> Iterator[Progress]:
    """The form that fits where standard error goes; ``done``: see ``Live``."""
    import sys

    if not sys.stderr.isatty():
        yield Lines(max((len(b) for b in builds), default=0))
        return
    from rich.console import Console
    from rich.live import Live as RichLive

    table = Live(builds, done)
    with RichLive(table, console=Console(stderr=True), refresh_per_second=8, transient=True):
        yield table


@contextmanager
def redrawn() -> Iterator[Callable[[str, Sequence[str] | None], None]]:
    """How to show a picture that changes, on standard output, and the lines that say what did (None: the first one).

    On a terminal the picture is drawn in place; elsewhere the first one is printed, and then the lines.
    """
    import sys

    if not sys.stdout.isatty():

        def show(picture: str, changes: Sequence[str] | None) -> None:
            stamp = time.strftime("%H:%M:%S")
            for line in [picture] if changes is None else [f"{stamp}  {change}" for change in changes]:
                click.echo(line)

        yield show
        return
    from rich.console import Console
    from rich.live import Live as RichLive
    from rich.text import Text

    with RichLive(console=Console(), auto_refresh=False) as live:
        yield lambda picture, _: live.update(Text.from_ansi(picture), refresh=True)


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
        case "task.skipped":
            return f"{task} left out: {data.get('reason')}"
        case "build.retried":
            begins = f" at task {data['from']}" if data.get("from") else ""
            return f"begins again{begins}" + (f" with {data['model']}" if data.get("model") else "")
        case "build.set_back":
            return f"its branch is set back to {str(data['to'])[:9]}; what came off it is kept as {data['ref']}"
        case "build.paused":
            return "stopped as it is, until br3 resume" if data.get("now") else "rests until br3 resume"
        case "build.continued":
            return "goes on"
        case "build.resumed":
            return "another orchestrator goes on with it"
        case "build.restarting":
            return f"its orchestrator is gone; another one takes over in {data.get('wait_s', 0):g} s"
        case "build.silent":
            what = "ended, another one takes over" if data.get("ended") else "still waited for"
            return f"its orchestrator has given no sign of life for {data.get('since_s')} s: {what}"
        case "run.paused" if data.get("reason") == "by the user":
            return "the run is paused until br3 resume"
        case "run.resumed":
            return "the run goes on"
        case "disk.low":
            free = (data.get("free_bytes") or 0) / 1e9
            if free >= 1:
                return f"only {data.get('free_files')} files can be made at {data.get('path')}: nothing new starts"
            return f"only {free:.2f} GB are free at {data.get('path')}: nothing new starts until there is 1 GB"
        case "task.carried":
            return f"{task} was done in run {data['from_run']}"
        case "conflict.predicted":
            return f"would conflict with {data['with']} in {named_files(data['kinds'])}"
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


def named_files(kinds: Mapping[str, Sequence[str]], marked: Collection[str] = (), mark: str = "uncommitted") -> str:
    """The files of a conflict with their kinds, the first few: ``a.py (content), b.py (add/add, uncommitted)``."""
    by_file: dict[str, list[str]] = {}
    for kind, files in kinds.items():
        for file in files:
            by_file.setdefault(file, []).append(kind)
    if not by_file:
        return ", ".join(kinds)
    told = []
    for file, how in list(by_file.items())[:_MOST_FILES]:
        told.append(f"{printable(file)} ({', '.join([*how, *([mark] if file in marked else [])])})")
    more = len(by_file) - len(told)
    return ", ".join([*told, *([f"and {more} more"] if more else [])])


def printable(text: str) -> str:
    """What an agent said, without what would move the cursor or change colours."""
    return "".join(character if character.isprintable() else " " for character in text)


def cost_of(view: BuildView | None) -> str:
    """What a build's attempts have cost so far, as far as is known."""
    costs = [a.known_usd for a in view.attempts if a.known_usd is not None] if view else []
    return f"{sum(costs):.2f} USD" if costs else "–"


def duration(seconds: float) -> str:
    """Seconds as people say them: 12 s, 3 m 05 s, 1 h 02 m; ? when the clock was set back meanwhile."""
    whole = int(seconds)
    if whole < 0:
        return "?"
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} m {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} m"


def since(ts: str, until: str | None = None) -> float:
    """Seconds from one event's time to another's, or to now."""
    end = datetime.fromisoformat(until) if until else datetime.now(UTC)
    return (end - datetime.fromisoformat(ts)).total_seconds()
