"""Running one agent: through a shim that keeps its exit status, its output in files that are followed.

Files of an attempt, all in its directory: ``prompt.md``, ``stdout.log``, ``stderr.log``, ``usage.jsonl``, ``pid`` (of
the shim) and ``exit`` (the status, written by the shim when the agent has ended). They are enough to go on with an
attempt whose orchestrator died: the agent is adopted while it lives, and its status is known when it does not.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from br3.agents import ending
from br3.agents.base import Reader
from br3.agents.following import Followed
from br3.workspace import children, waking
from br3.workspace.waking import Awake

if TYPE_CHECKING:
    import psutil

# Signals reach the whole group; the shim waits for the agent to act on them and then still writes the status. A
# handler, unlike ignoring, is not inherited by the agent.
_SHIM = """trap : TERM INT HUP
printf '%s\\n' "$$" > "$1/pid"
directory=$1; shift
"$@"
code=$?
{ printf '%s\\n' "$code" > "$directory/exit"; } 2> /dev/null
"""


_LONGEST_PAUSE_S, _ADOPTED_PAUSE_S = 1.0, 0.5


@dataclass
class Running:
    """An agent that was started or adopted. ``child`` is None when it is not ours to wait for."""

    directory: Path
    mark: str
    child: subprocess.Popen[bytes] | None = None
    others: Collection[int] | None = None
    """Children of this process that were there before the agent: not its. None: no child of this process is."""
    seen: dict[int, psutil.Process] = field(default_factory=dict)
    """What an adopted agent has started so far. With the shim it would lose what ties those without a mark to it."""

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
        import psutil

        pids = children.marked(self.mark)
        for pid in set(pids) - set(self.seen):
            try:
                self.seen[pid] = psutil.Process(pid)
            except psutil.Error:
                continue
        return _shim_pid(self.directory) not in pids

    def in_sight(self) -> list[int]:
        """Those of ``seen`` that still live."""
        return [pid for pid, process in self.seen.items() if process.is_running()]


def start(
    command: Sequence[str], *, directory: Path, worktree: Path, env: Mapping[str, str], prompt_file: Path
) -> Running:
    """Start an agent in a session of its own; its environment must carry the build's mark.

    This process becomes a subreaper, where there are such.
    """
    ending.become_subreaper()
    others = ending.children_now()
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
            preexec_fn=ending.in_the_shim,
        )
    return Running(directory, env[children.MARK], child, others)


def adopt(directory: Path, mark: str) -> Running | None:
    """The agent of an attempt whose orchestrator is gone, if it still runs."""
    running = Running(directory, mark)
    if running.exit_code() is not None or running.gone():
        return None
    return running


@dataclass(frozen=True)
class Ended:
    """How an attempt's process ended: its status (None: not known), and why br3 stopped it, if it did.

    An agent that was stopped because it gave up counts as not stopped: its reader knows the cause.
    """

    exit_code: int | None
    stopped: str | None = None


def watch(
    running: Running,
    reader: Reader,
    tick: Callable[[], str | None],
    pause_s: float = 0.1,
    *,
    silence_s: float | None = None,
    grace_s: float = children.GRACE_S,
    hear: Callable[[bytes], None] = lambda line: None,
    clock: Callable[[], float] | None = None,
) -> Ended:
    """Follow an agent to its end; then end whatever it left behind.

    ``tick`` is asked about ten times a second while the agent prints something, once a second while it does not, and
    when a signal comes; it names a reason to stop it (``timeout``, ``budget``, ``cancelled``), or None. With
    ``silence_s`` the reason is ``silence`` once it has printed nothing for so many seconds of ``clock``. Between TERM
    and KILL lie ``grace_s`` seconds. The reader has seen all output when this returns, ``hear`` each line before it.
    One agent at a time in one process: what this process's children leave behind meanwhile is taken for the agent's.
    """
    clock = clock or Awake().now
    output = _Output(running.directory, reader, hear)
    stopped, gave_up = None, False
    heard, rest_s = clock(), pause_s
    while stopped is None and not gave_up:
        code = running.exit_code()
        if code is not None or running.gone():
            break
        before = output.offset
        more = output.feed()
        reader.refresh()
        rest_s = min(2 * rest_s, _LONGEST_PAUSE_S)
        if output.offset != before:
            heard, rest_s = clock(), pause_s
        stopped, gave_up = tick(), reader.gave_up()
        if stopped is None and silence_s is not None and clock() - heard > silence_s:
            stopped = "silence"
        if stopped is None and not gave_up and not more:
            # Looking for an adopted one reads the whole process table; what it starts is known only by such looks.
            waking.pause(rest_s if running.child is not None else _ADOPTED_PAUSE_S, running.child)
        if running.child is not None and running.others is not None:
            ending.reap({*running.others, running.child.pid})
    ending.end_all(running.mark, running.others, _shim_of(running), grace_s, running.in_sight())
    if running.child is not None:
        running.child.wait()
        ending.reap(running.others or ())
    output.feed(last=True)
    reader.refresh()
    return Ended(running.exit_code(), stopped)


class _Output:
    """Both of an agent's files of output, fed to its reader."""

    def __init__(self, directory: Path, reader: Reader, hear: Callable[[bytes], None]) -> None:
        self._reader, self._hear = reader, hear
        self._out = Followed(directory / "stdout.log")
        self._err = Followed(directory / "stderr.log")

    @property
    def offset(self) -> int:
        return self._out.offset + self._err.offset

    def feed(self, *, last: bool = False) -> bool:
        more = self._err.feed(self._take_error, last=last)
        return self._out.feed(self._take, last=last) or more

    def _take(self, line: bytes) -> None:
        self._hear(line)
        self._reader.feed(line)

    def _take_error(self, line: bytes) -> None:
        self._hear(line)
        self._reader.feed_error(line)


def _shim_of(running: Running) -> int | None:
    if running.child is not None:
        return running.child.pid
    pid = _shim_pid(running.directory)  # of an adopted one; the number may be somebody else's by now
    return pid if pid in children.marked(running.mark) else None


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
