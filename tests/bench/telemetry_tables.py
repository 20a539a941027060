"""What the parts of the telemetry bench share: fresh processes, percentiles, aims and tables.

No bench by itself.
"""

from __future__ import annotations

import math
import multiprocessing
import os
import platform
import resource
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from measuring import Failed

SPAWN = multiprocessing.get_context("spawn")
"""Fresh interpreters, as the processes of br3 are; nothing of the bench's own memory is in them."""


@dataclass(frozen=True)
class Cost:
    """What a call took in a process of its own: its value, seconds, and the process's peak of resident memory."""

    value: Any
    wall: float
    cpu: float
    peak_bytes: int


def alone(function: Callable[..., Any], *arguments: Any, load: Sequence[str] = ()) -> Cost:
    """Call a module's function in a fresh process; ``load`` names modules whose import is not counted.

    Failed, with what it said, when it raises.
    """
    ours, its = SPAWN.Pipe(duplex=False)
    process = SPAWN.Process(target=_call, args=(its, function, arguments, tuple(load)))
    process.start()
    its.close()
    try:
        answer = ours.recv()
    except EOFError:
        answer = "it ended without an answer"
    process.join()
    if not isinstance(answer, Cost):
        raise Failed(f"{function.__name__}: {answer} (exit code {process.exitcode})")
    return answer


def _call(answer: Connection, function: Callable[..., Any], arguments: tuple[Any, ...], load: tuple[str, ...]) -> None:
    try:
        for name in load:
            __import__(name)
        cpu, wall = time.process_time(), time.perf_counter()
        value = function(*arguments)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        answer.send(Cost(value, wall, cpu, peak_rss_bytes()))
    except Exception as error:
        answer.send(f"{type(error).__name__}: {error}")


def peak_rss_bytes() -> int:
    """The most memory that this process had resident. ru_maxrss may be inherited from who started it on Linux."""
    try:
        status = Path("/proc/self/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) * 1024
    except OSError:
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else most * 1024


def percentile(ordered: Sequence[float], share: float) -> float:
    """The smallest figure that at least that share of them does not exceed (nearest rank)."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


@dataclass(frozen=True)
class Aim:
    """What a figure should be. ``at_most``: a limit from above, else from below."""

    limit: float
    unit: str
    at_most: bool = True

    def __str__(self) -> str:
        return f"{'<' if self.at_most else '>='} {self.limit:g} {self.unit}"

    def met(self, figure: float) -> bool:
        return figure < self.limit if self.at_most else figure >= self.limit


@dataclass
class Findings:
    """What was looked for and not found, for the end of the print-out."""

    missed: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    def hold(self, what: str, figure: float, aim: Aim) -> str:
        """The cell beside a figure that has an aim; one that is missed is marked and remembered."""
        if aim.met(figure):
            return f"{aim}: met"
        self.missed.append(f"{what}: {figure:.3g} {aim.unit}, the aim is {aim}")
        return f"{aim}: NOT MET"

    def show(self) -> None:
        """Say once more what was missed or could not be measured."""
        for line in self.missed:
            print(f"NOT MET  {line}")
        for line in self.failed:
            print(f"NOT MEASURED  {line}")
        if not self.missed and not self.failed:
            print("every aim is met")


def show_machine() -> None:
    """The line above the tables."""
    print(f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")


def table(title: str, heads: Sequence[str], rows: Sequence[Sequence[str]], *, left: Sequence[str] = ()) -> None:
    """Print a table; the first column and those named in ``left`` are set to the left, the others to the right."""
    widths = [max(len(line[i]) for line in [heads, *rows]) for i in range(len(heads))]
    print(f"\n{title}")
    for line in [heads, *rows]:
        cells = [
            cell.ljust(width) if i == 0 or heads[i] in left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        print("  ".join(cells).rstrip())
    sys.stdout.flush()
