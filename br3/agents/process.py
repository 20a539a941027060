"""Running one agent: through a shim that keeps its exit status, its output in files that are followed.

Files of an attempt, all in its directory: ``prompt.md``, ``stdout.log``, ``stderr.log``, ``usage.jsonl``, ``pid`` (of
the shim) and ``exit`` (the status, written by the shim when the agent has ended). They are enough to go on with an
attempt whose orchestrator died: the agent is adopted while it lives, and its status is known when it does not.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from br3.agents.base import Reader
from br3.workspace import children

# Signals reach the whole group; the shim waits for the agent to act on them and then still writes the status. A
# handler, unlike ignoring, is not inherited by the agent.
_SHIM = """trap : TERM INT HUP
printf '%s\\n' "$$" > "$1/pid"
directory=$1; shift
"$@"
code=$?
printf '%s\\n' "$code" > "$directory/exit"
"""

_CHUNK = 1 << 20
_LONGEST_LINE = 32 << 20  # lines of 3.5 MB are normal; what is longer than this is cut, or memory would follow it


@dataclass
class Running:
    """An agent that was started or adopted. ``child`` is None when it is not ours to wait for."""

    directory: Path
    mark: str
    child: subprocess.Popen[bytes] | None = None

    def exit_code(self) -> int | None:
        """The agent's status, once the shim has written it whole."""
        try:
            text = (self.directory / "exit").read_text()
        except OSError:
            return None
        return int(text) if text.endswith("\n") else None

    def gone(self) -> bool:
        """Whether the shim has ended, with or without having written a status."""
        if self.child is not None:
            return self.child.poll() is not None
        return _shim_pid(self.directory) not in children.marked(self.mark)


def start(
    command: Sequence[str], *, directory: Path, worktree: Path, env: Mapping[str, str], prompt_file: Path
) -> Running:
    """Start an agent in a session of its own; its environment must carry the build's mark."""
    with (
        prompt_file.open("rb") as prompt,
        (directory / "stdout.log").open("ab") as out,
        (directory / "stderr.log").open("ab") as err,
    ):
        child = subprocess.Popen(
            ["/bin/sh", "-c", _SHIM, "br3-shim", str(directory), *command],
            cwd=worktree,
            env=dict(env),
            stdin=prompt,
            stdout=out,
            stderr=err,
            start_new_session=True,
        )
    return Running(directory, env[children.MARK], child)


def adopt(directory: Path, mark: str) -> Running | None:
    """The agent of an attempt whose orchestrator is gone, if it still runs."""
    running = Running(directory, mark)
    if running.exit_code() is not None or running.gone():
        return None
    return running


@dataclass(frozen=True)
class Ended:
    """How an attempt's process ended: its status (None: not known), and why br3 stopped it, if it did."""

    exit_code: int | None
    stopped: str | None = None


def watch(running: Running, reader: Reader, tick: Callable[[], str | None], pause_s: float = 0.1) -> Ended:
    """Follow an agent to its end; then end whatever it left behind.

    ``tick`` is asked about ten times a second and names a reason to stop it (``timeout``, ``budget``, ``cancelled``),
    or None. The reader has seen all output when this returns.
    """
    followed = _Followed(running.directory / "stdout.log")
    stopped = None
    while stopped is None:
        code = running.exit_code()
        if code is not None or running.gone():
            break
        followed.feed(reader)
        reader.refresh()
        stopped = tick()
        if stopped is None:
            _wait(running, pause_s)
    children.end_marked(running.mark)
    if running.child is not None:
        running.child.wait()
    followed.feed(reader, last=True)
    reader.refresh()
    return Ended(running.exit_code(), stopped)


class _Followed:
    """Feeds a growing file to a reader by lines, split on newline bytes only; memory is bounded by one line."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self._rest: list[bytes] = []

    def feed(self, reader: Reader, *, last: bool = False) -> None:
        try:
            with self._path.open("rb") as source:
                source.seek(self._offset)
                while chunk := source.read(_CHUNK):
                    self._offset += len(chunk)
                    *lines, rest = chunk.split(b"\n")
                    for line in lines:
                        reader.feed(b"".join([*self._rest, line]))
                        self._rest = []
                    if rest and sum(map(len, self._rest)) < _LONGEST_LINE:
                        self._rest.append(rest)
        except FileNotFoundError:
            return
        if last and self._rest:
            reader.feed(b"".join(self._rest))
            self._rest = []


def _wait(running: Running, pause_s: float) -> None:
    if running.child is None:
        time.sleep(max(pause_s, 0.5))  # looking for an adopted process reads the whole process table
        return
    try:
        running.child.wait(timeout=pause_s)
    except subprocess.TimeoutExpired:
        pass


def _shim_pid(directory: Path) -> int | None:
    try:
        return int((directory / "pid").read_text())
    except (OSError, ValueError):
        return None


def directory_for(run_dir: Path, build: str, task: str, attempt: int) -> Path:
    """Where an attempt's files lie; made when it is not there."""
    path = run_dir / build / f"{task}-{attempt}"
    path.mkdir(parents=True, exist_ok=True)
    os.chmod(path, 0o700)  # prompts and output may hold what is nobody else's business
    return path
