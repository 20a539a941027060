"""Orchestrators as processes of this machine, each in a session of its own, so that they outlive the dispatcher."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from br3.orchestrator.exits import BUSY
from br3.repo.runner import scrubbed
from br3.telemetry import is_held
from br3.telemetry.locks import holder
from br3.workspace import children

ORCHESTRATOR = "br3.orchestrator"
"""The module that is run."""


class Handle:
    """An orchestrator at work. ``child`` is None for one that an earlier dispatcher started."""

    def __init__(self, common_dir: Path, build: str, child: subprocess.Popen[bytes] | None) -> None:
        self.build = build
        self._common_dir = common_dir
        self._child = child

    def alive(self) -> bool:
        """Whether it still works."""
        if self._child is not None and self._child.poll() is None:
            return True
        # One that found the lock taken has made room for whoever holds it.
        busy = self._child is None or self._child.returncode == BUSY
        return busy and is_held(self._common_dir, "build", self.build)

    @property
    def pid(self) -> int | None:
        """Its process, as far as is known."""
        if self._child is not None and self._child.poll() is None:
            return self._child.pid
        return holder(self._common_dir, "build", self.build)

    @property
    def is_orchestrator(self) -> bool:
        """Whether it is one, and not a person's command that holds the build for a moment, such as br3 verify."""
        if self._child is not None and self._child.poll() is None:
            return True
        import psutil

        try:
            return ORCHESTRATOR in psutil.Process(self.pid or -1).cmdline()
        except (psutil.Error, ValueError):
            return False

    def stop(self, number: int = signal.SIGTERM) -> None:
        """Ask it to stop (TERM), or make it (KILL); what is no orchestrator is left alone."""
        pid = self.pid
        if pid is not None and self.alive() and self.is_orchestrator:
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                pass


class LocalExecutor:
    """Starts ``python -m br3.orchestrator`` with this interpreter."""

    def __init__(self, common_dir: Path, run: str, variables: Mapping[str, str]) -> None:
        self._common_dir = common_dir
        self._run = run
        self._variables = variables

    def start(self, build: str, worktree: Path) -> Handle:
        """Start the build's orchestrator in its worktree."""
        log = self._common_dir / "br3" / "runs" / self._run / build / "orchestrator.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as sink:
            child = subprocess.Popen(
                [*this_br3(ORCHESTRATOR), str(self._common_dir), self._run, build],
                cwd=worktree,
                env={**inherited(), **self._variables},
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return Handle(self._common_dir, build, child)

    def attach(self, build: str) -> Handle:
        """A handle for an orchestrator that is already at work."""
        return Handle(self._common_dir, build, None)


def inherited() -> dict[str, str]:
    """The environment for processes of br3 itself: approval was for the one that was told of it."""
    return {k: v for k, v in scrubbed(os.environ).items() if k != "BR3_TRUST" and k != children.MARK}


_START = """
import runpy, sys
sys.path.insert(0, sys.argv[1])
del sys.argv[:2]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""


def this_br3(module: str) -> list[str]:
    """The words that run a module of this very br3, wherever it lies, with this interpreter.

    Not through PYTHONPATH: children would inherit it, and a project that br3 also depends on would be tested in br3's
    copy. ``-P``: the current directory may hold a package called br3, or a json.py.
    """
    here = str(Path(__file__).resolve().parents[3])
    return [sys.executable, "-P", "-c", _START, here, module]
