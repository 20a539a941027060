"""Commands of a plan when br3 is interrupted: none of what they started stays."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from br3.workspace import children, waking
from tests.conftest import processes_with, until

SLEEP = f"{sys.executable} -c 'import time; time.sleep(600)'"

# Interrupted as soon as the child has been forked: `br3 verify` with Ctrl-C at its first moment.
AT_ITS_START = """
import os, signal, subprocess, sys
from pathlib import Path
from br3.workspace import children

class Interrupting(subprocess.Popen):
    def _execute_child(self, *args, **more):
        super()._execute_child(*args, **more)
        os.kill(os.getpid(), signal.SIGINT)

subprocess.Popen = Interrupting
env = {**os.environ, children.MARK: sys.argv[1]}
try:
    children.run_command(sys.argv[3], cwd=Path("."), env=env, log=Path(sys.argv[2]), timeout_s=600)
except KeyboardInterrupt:
    sys.exit(7)
"""


def test_an_interrupt_while_a_command_is_started_leaves_none(tmp_path: Path, tracked: str) -> None:
    command = [sys.executable, "-c", AT_ITS_START, f"mark {tmp_path}", str(tmp_path / "log"), f"exec {SLEEP}"]
    assert subprocess.run(command, check=False).returncode == 7
    assert processes_with(tracked) == []


def test_what_a_command_starts_while_it_is_ended_is_ended_too(tmp_path: Path, tracked: str) -> None:
    cancel = threading.Event()
    env = {**os.environ, children.MARK: f"mark {tmp_path}"}
    command = f"trap '{SLEEP.replace(chr(39), chr(34))} & exit 0' TERM; : > ready; while :; do :; done"
    done: list[children.Finished] = []

    def run() -> None:
        done.append(
            children.run_command(command, cwd=tmp_path, env=env, log=tmp_path / "log", timeout_s=600, cancel=cancel)
        )

    thread = threading.Thread(target=run)
    thread.start()
    until((tmp_path / "ready").exists)
    cancel.set()
    thread.join()
    assert [one.cause for one in done] == ["cancelled"]
    assert processes_with(tracked) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_that_was_held_back_arrives_and_its_handler_is_back(number: signal.Signals) -> None:
    seen: list[str] = []
    before = signal.signal(number, lambda *_: seen.append("signal"))
    try:
        with waking.uninterrupted():
            signal.raise_signal(number)
            seen.append("body")
        assert seen == ["body", "signal"]
        signal.raise_signal(number)
        assert seen == ["body", "signal", "signal"]
    finally:
        signal.signal(number, before)
