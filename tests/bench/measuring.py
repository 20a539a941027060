"""What the benches share: a sealed scratch directory, a child's wall and CPU time, and the table.

No bench by itself. Wall time is what a user waits; CPU is user and system time of the child and all that it waited
for. A figure is the median of its runs, a ratio the ratio of two medians; nothing here passes or fails by time.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

SCRIPTS = Path(sysconfig.get_path("scripts"))
BR3 = str(SCRIPTS / "br3")

# Where the installers find their packages is the user's business; everything else of the user's stays out.
_INSTALLER_SETTINGS = ("PIP_", "UV_")
_LEFT_OUT = ("GIT_", "BR3_", "PYTHON", "XDG_", "VIRTUAL_ENV", "COVERAGE_")


@dataclass(frozen=True)
class Spent:
    """What one run of a command took, in seconds."""

    wall: float
    cpu: float

    def __add__(self, other: Spent) -> Spent:
        return Spent(self.wall + other.wall, self.cpu + other.cpu)


@dataclass
class Row:
    """One line of the table: runs of one thing, compared with ``beside`` where there is something to compare with."""

    name: str
    runs: list[Spent] = field(default_factory=list)
    beside: Row | None = None


class Failed(Exception):
    """A command of the bench did not work, so there is nothing to measure."""


@dataclass(frozen=True)
class Scratch:
    """A directory with a home, caches and a git configuration of its own."""

    path: Path
    env: dict[str, str]

    def run(self, command: Sequence[str], cwd: Path) -> Spent:
        """Run a command to its end and say what it took. Failed, with what it printed, unless it exits with 0."""
        with tempfile.TemporaryFile() as sink:
            began = time.perf_counter()
            child = subprocess.Popen(
                command, cwd=cwd, env=self.env, stdin=subprocess.DEVNULL, stdout=sink, stderr=subprocess.STDOUT
            )
            _, status, usage = os.wait4(child.pid, 0)
            wall = time.perf_counter() - began
            child.returncode = os.waitstatus_to_exitcode(status)
            if child.returncode != 0:
                sink.seek(0)
                printed = sink.read().decode(errors="replace").rstrip()
                raise Failed(f"`{' '.join(command)}` ended with exit code {child.returncode}:\n{printed}")
        return Spent(wall, usage.ru_utime + usage.ru_stime)

    def read(self, command: Sequence[str], cwd: Path) -> str:
        """What a command prints. Failed unless it exits with 0."""
        done = subprocess.run(
            command, cwd=cwd, env=self.env, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise Failed(f"`{' '.join(command)}` ended with exit code {done.returncode}:\n{done.stdout}{done.stderr}")
        return done.stdout.strip()

    def git(self, cwd: Path, *words: str) -> str:
        """What git answers."""
        return self.read(["git", *words], cwd)

    def commit_all(self, repository: Path, message: str) -> None:
        """Make ``repository`` a git repository with everything in it committed on main."""
        self.git(repository, "init", "--quiet", "--initial-branch=main")
        self.git(repository, "add", "--all", "--force")
        self.git(repository, "commit", "--quiet", f"--message={message}")


@contextmanager
def scratch() -> Iterator[Scratch]:
    """A sealed scratch directory, removed at the end. This interpreter's scripts lead PATH."""
    if not Path(BR3).exists():
        raise Failed(f"br3 is not installed for {sys.executable}: pip install -e . in the checkout")
    path = Path(tempfile.mkdtemp(prefix="br3-bench-")).resolve()
    try:
        env = {k: v for k, v in os.environ.items() if not k.startswith(_LEFT_OUT)}
        env["PATH"] = os.pathsep.join([str(SCRIPTS), os.environ.get("PATH", os.defpath)])
        env |= {"HOME": str(path / "home"), "GIT_CONFIG_NOSYSTEM": "1"}
        for name in ("CONFIG", "STATE", "CACHE", "DATA", "RUNTIME"):
            directory = path / "home" / name.lower()
            directory.mkdir(parents=True, mode=0o700)
            env[f"XDG_{name}_{'DIR' if name == 'RUNTIME' else 'HOME'}"] = str(directory)
        env |= _installers_config()
        (path / "home" / ".gitconfig").write_text("[user]\n\tname = Bench\n\temail = bench@example.invalid\n")
        env["GIT_CONFIG_GLOBAL"] = str(path / "home" / ".gitconfig")
        yield Scratch(path, env)
    finally:
        shutil.rmtree(path, ignore_errors=True)


def _installers_config() -> dict[str, str]:
    """The user's own pip.conf and uv.toml: without them a mirror is not found once HOME is another."""
    config = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    files = {"PIP_CONFIG_FILE": config / "pip" / "pip.conf", "UV_CONFIG_FILE": config / "uv" / "uv.toml"}
    return {k: str(v) for k, v in files.items() if k not in os.environ and v.is_file()}


def arguments(description: str | None, *, runs: int) -> argparse.ArgumentParser:
    """The options that every bench has."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-n", "--runs", type=int, default=runs, help=f"rounds to measure (default: {runs})")
    return parser


def note(text: str) -> None:
    """Say on standard error what is going on."""
    print(f"# {text}", file=sys.stderr, flush=True)


def show(rows: Sequence[Row], *, digits: int = 2) -> None:
    """Print the table: per row wall and CPU seconds, and how they compare with the row beside it."""
    heads = ["", "runs", "seconds", "min", "median", "max", "ratio", "to"]
    lines = []
    for row in rows:
        for measure in ("wall", "cpu"):
            figures = [getattr(spent, measure) for spent in row.runs]
            middle = statistics.median(figures)
            beside = row.beside and statistics.median(getattr(spent, measure) for spent in row.beside.runs)
            ratio = f"{middle / beside:.2f}x" if beside else ""
            shown = [f"{figure:.{digits}f}" for figure in (min(figures), middle, max(figures))]
            to = row.beside.name if row.beside else ""
            lines.append([row.name, str(len(figures)), measure, *shown, ratio, to])
    widths = [max(len(line[i]) for line in [heads, *lines]) for i in range(len(heads))]
    left = (0, 2, 7)
    print(f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    for line in [heads, *lines]:
        cells = [
            cell.ljust(w) if i in left else cell.rjust(w) for i, (cell, w) in enumerate(zip(line, widths, strict=True))
        ]
        print("  ".join(cells).rstrip())


def main(bench: Callable[[], None]) -> None:
    """Run a bench; a failure is told without a traceback."""
    try:
        bench()
    except Failed as error:
        sys.exit(f"the bench failed: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
