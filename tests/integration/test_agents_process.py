"""Real processes: nothing that an agent started outlives it, its limits hold, and its output costs little memory."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from br3.agents import Request, agent, ending
from br3.agents.base import Failure, Outcome, concluded
from br3.agents.process import Ended, Running, adopt, start, watch
from br3.agents.shell import ShellReader
from br3.workspace import children
from tests.conftest import PYTHON, script, until


class Attempt:
    """One attempt with the agent ``shell``, as the orchestrator makes it."""

    def __init__(self, tmp_path: Path) -> None:
        self.directory = tmp_path / "attempt"
        self.directory.mkdir()
        self.worktree = tmp_path / "worktree"
        self.worktree.mkdir()
        self.mark = children.mark_of(tmp_path, "a")

    def request(self, command: str) -> Request:
        prompt = self.directory / "prompt.md"
        prompt.touch()
        return Request(prompt, self.directory / "usage.jsonl", self.worktree, "auto", "s", command=command)

    def start(self, command: str) -> Running:
        request = self.request(command)
        return start(
            agent("shell").command(request),
            directory=self.directory,
            worktree=self.worktree,
            env={**os.environ, children.MARK: self.mark},
            prompt_file=request.prompt_file,
        )

    def run(self, command: str, tick: Callable[[], str | None] = lambda: None, **more: float) -> Ended:
        self.reader = agent("shell").reader(self.request(command))
        return watch(self.start(command), self.reader, tick, pause_s=0.02, **more)

    def reads(self, name: str) -> str:
        path = self.worktree / name
        return path.read_text().strip() if path.exists() else ""


@pytest.fixture
def attempt(tmp_path: Path, tracked: str) -> Iterator[Attempt]:
    yield Attempt(tmp_path)
    _be_no_subreaper()


def _be_no_subreaper() -> None:
    """Starting an agent made these tests the parent of all orphans, those of tests to come too."""
    if ending._is_subreaper and ending._LIBC is not None:
        ending.reap(())
        ending._LIBC.prctl(ending._PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)
        ending._is_subreaper = False


def living(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


# A daemon: its own session, no signal but KILL ends it, and nothing of the environment that it was given.
DAEMON = """\
import os, signal, sys
signal.signal(signal.SIGTERM, signal.SIG_IGN)
signal.signal(signal.SIGHUP, signal.SIG_IGN)
if os.fork(): os._exit(0)
os.setsid()
if os.fork(): os._exit(0)
if "cleared" in sys.argv and "again" not in sys.argv:
    os.execve(sys.executable, [sys.executable, __file__, "cleared", "again"], {})
with open("daemon.part", "w") as out:
    out.write(str(os.getpid()))
os.rename("daemon.part", "daemon")
while True: signal.pause()
"""


def program(source: str) -> str:
    """A Python program as the words of a shell command; ``wait(path)`` in it waits for a file."""
    wait = "import os, signal, sys, time\ndef wait(path):\n    while not os.path.exists(path): time.sleep(0.02)\n"
    return f"{PYTHON} -u -c {shlex.quote(wait + source)}"


def waiting_for(path: str) -> str:
    return program(f"wait({path!r})")


SHORT_S = 0.2
"""For what acts on no TERM however long it is given."""

NEEDS_SUBREAPER = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has subreapers")


@pytest.mark.parametrize("how", ["marked", pytest.param("cleared", marks=NEEDS_SUBREAPER)])
def test_a_daemon_is_ended_after_a_normal_exit(attempt: Attempt, tmp_path: Path, how: str) -> None:
    daemon = script(tmp_path / "tools", "daemon.py", DAEMON)
    before = {child.pid for child in psutil.Process().children()}
    ended = attempt.run(f"{daemon} {how}; {waiting_for('daemon')}", grace_s=SHORT_S)
    assert ended == Ended(0)
    assert not living(int(attempt.reads("daemon")))
    assert {child.pid for child in psutil.Process().children()} <= before  # not even as a zombie


def test_what_ignores_term_is_killed_and_the_status_is_known(attempt: Attempt) -> None:
    stubborn = "signal.signal(signal.SIGTERM, signal.SIG_IGN)\nopen('me', 'w').write(str(os.getpid()))\nsignal.pause()"
    ended = attempt.run(
        f"exec {program(stubborn)}", lambda: "timeout" if attempt.reads("me") else None, grace_s=SHORT_S
    )
    assert ended.stopped == "timeout"
    assert ended.exit_code == 137
    assert not living(int(attempt.reads("me")))


def test_an_agent_may_put_things_in_order_at_term(attempt: Attempt) -> None:
    polite = "signal.signal(signal.SIGTERM, lambda *_: (print('bye'), sys.exit(7)))\nopen('me', 'w').write('x')\n"
    ended = attempt.run(
        f"exec {program(polite + 'while True: signal.pause()')}", lambda: "cancelled" if attempt.reads("me") else None
    )
    assert ended == Ended(7, "cancelled")
    assert attempt.reader.outcome(7).report == "bye"


def test_children_that_were_there_before_are_left_alone(attempt: Attempt) -> None:
    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    try:
        assert attempt.run("true") == Ended(0)
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


def test_orphans_that_end_by_themselves_leave_no_zombies(attempt: Attempt) -> None:
    orphan = program("os.fork() or open('orphan', 'w').close()")
    before = {child.pid for child in psutil.Process().children()}
    attempt.run(f"{orphan}; {waiting_for('orphan')}")
    assert {child.pid for child in psutil.Process().children()} <= before


def test_silence_ends_an_agent(attempt: Attempt) -> None:
    ended = attempt.run(f"echo something; exec {waiting_for('never')}", silence_s=0.3)
    assert ended.stopped == "silence"


def test_an_agent_that_prints_is_not_silent(attempt: Attempt) -> None:
    # Each line comes well within the limit, all of them take longer than it.
    ended = attempt.run(program("for i in range(8): print(i, file=sys.stderr); time.sleep(0.25)"), silence_s=1.5)
    assert ended == Ended(0)


class Hopeless(ShellReader):
    """Gives up at the first word on standard error."""

    said = b""

    def feed_error(self, line: bytes) -> None:
        self.said = self.said or line

    def gave_up(self) -> bool:
        return bool(self.said)

    def outcome(self, exit_code: int) -> Outcome:
        return concluded(Failure("rate_limit", self.said.decode()), "")


def test_an_agent_that_only_waits_is_ended_and_its_reader_tells_why(attempt: Attempt) -> None:
    stubborn = "signal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint('Attempt 2 failed', file=sys.stderr)\n"
    command = f"exec {program(stubborn + 'signal.pause()')}"
    reader = Hopeless(attempt.directory / "usage.jsonl", command)
    ended = watch(attempt.start(command), reader, lambda: None, pause_s=0.02, grace_s=SHORT_S)
    assert ended == Ended(137)
    assert reader.outcome(137).why == "Attempt 2 failed"


def test_an_adopted_agent_is_followed_to_its_end(attempt: Attempt, tmp_path: Path) -> None:
    running = attempt.start(f"echo one; {waiting_for('go')}; echo two; exit 3")
    adopted = until(lambda: adopt(attempt.directory, attempt.mark))
    (attempt.worktree / "go").touch()
    reader = agent("shell").reader(attempt.request(""))
    assert watch(adopted, reader, lambda: None, pause_s=0.02) == Ended(3)
    assert reader.outcome(3).report == "one\ntwo"
    assert running.child is not None and running.child.wait() == 0


@NEEDS_SUBREAPER
def test_a_daemon_of_an_adopted_agent_is_ended_though_nothing_leads_to_it(attempt: Attempt, tmp_path: Path) -> None:
    daemon = script(tmp_path / "tools", "daemon.py", DAEMON)
    running = attempt.start(f"{daemon} cleared; {waiting_for('go')}")
    until(lambda: attempt.reads("daemon"))
    adopted = until(lambda: adopt(attempt.directory, attempt.mark))
    (attempt.worktree / "go").touch()
    reader = agent("shell").reader(attempt.request(""))
    assert watch(adopted, reader, lambda: None, pause_s=0.02, grace_s=SHORT_S) == Ended(0)
    assert not living(int(attempt.reads("daemon")))
    assert running.child is not None and running.child.wait() == 0
    ending.reap(())


def test_a_number_that_is_another_process_s_by_now_is_not_ended(attempt: Attempt) -> None:
    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
    try:
        (attempt.directory / "pid").write_text(f"{other.pid}\n")
        assert watch(
            Running(attempt.directory, attempt.mark), agent("shell").reader(attempt.request("")), lambda: None
        ) == Ended(None)
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


def test_limits_are_looked_at_however_fast_an_agent_prints(attempt: Attempt) -> None:
    looked = 0

    def tick() -> str | None:
        nonlocal looked
        looked += 1
        return "budget" if looked > 3 else None

    flood = (
        "import sys, time\nblock = b'x' * 99 + b'\\n'\n"
        "for _ in range(500): sys.stdout.buffer.write(block * 10_000)\n"
        "sys.stdout.flush()\ntime.sleep(600)"
    )
    ended = attempt.run(f"exec {PYTHON} -c {shlex.quote(flood)}", tick)
    assert ended.stopped == "budget"


# Memory is measured in a process of its own; what the reader's output is read with is the same for every agent.
MEASURE = """\
import resource, sys
from pathlib import Path
from br3.agents import Request, agent, ending
from br3.agents.process import Running, watch
from br3.workspace import children

def peak_kib():
    if sys.platform == "linux":  # what getrusage says there begins with the peak of the parent
        status = Path("/proc/self/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024

directory, name = Path(sys.argv[1]), sys.argv[2]
reader = agent(name).reader(Request(directory / "p", directory / "u", directory, "auto", "s", command="c"))
children.marked("none")
before = peak_kib()
watch(Running(directory, "none"), reader, lambda: None)
reader.outcome(0)
print(peak_kib() - before)
"""

MB = 1 << 20


def one_line_of(path: Path, size: int) -> None:
    with path.open("wb") as out:
        out.write(b'{"type":"assistant","message":"')
        out.truncate(size)  # NUL bytes that take no room on the disk
        out.seek(0, os.SEEK_END)
        out.write(b'"}')


def short_lines_of(path: Path, size: int) -> None:
    # Among other lines those that cost a reader most: each is another message that does not end.
    number, other = 0, b"some forty bytes that are of no interest.\n" * 25_000
    with path.open("wb") as out:
        while out.tell() < size:
            for number in range(number, number + 2000):  # noqa: B020
                out.write(b'{"type":"assistant","message":{"id":"%d","usage":{"input_tokens":1}}}\n' % number)
            out.write(other)


@pytest.mark.parametrize("name", ["claude", "shell"])
@pytest.mark.parametrize(("write", "size"), [(one_line_of, 400 * MB), (short_lines_of, 120 * MB)])
def test_output_of_any_size_costs_less_than_50_mb(
    tmp_path: Path, name: str, write: Callable[[Path, int], None], size: int
) -> None:
    write(tmp_path / "stdout.log", size)
    (tmp_path / "exit").write_text("0\n")
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, str(tmp_path), name], capture_output=True, text=True, check=True
    )
    (tmp_path / "stdout.log").unlink()
    assert int(done.stdout) < 50 * 1024, f"{int(done.stdout) / 1024:.0f} MB"


def test_without_a_subreaper_no_statuses_of_orphans_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ending, "_is_subreaper", False)
    monkeypatch.delattr(os, "waitid")  # macOS has it from Python 3.13 on
    ending.reap(())
