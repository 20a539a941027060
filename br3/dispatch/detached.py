"""A dispatcher as a process of its own session: it outlives the terminal, and writes a log below the run's directory.

The module that it runs is the caller's: what it prints is not this room's business.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from br3.dispatch.executors.local import inherited, this_br3
from br3.dispatch.sessions import Session
from br3.errors import Br3Error
from br3.orchestrator.exits import BUSY
from br3.plan.model import Build
from br3.telemetry.locks import LockHeld, holder, is_held
from br3.workspace.children import tail

LOG = "dispatcher.log"
_SAYS_WITHIN_S = 5.0


def start(session: Session, builds: Sequence[Build], *, jobs: int, module: str) -> tuple[int, Path]:
    """Start it and wait until it holds the run's lock; its process and its log.

    LockHeld when somebody else was quicker with the same run, and has said which builds it is for; Br3Error when it
    ends for another reason.
    """
    log = session.run_dir / LOG
    with log.open("ab") as sink:
        before = sink.tell()
        child = subprocess.Popen(
            [
                *this_br3(module),
                str(session.repository.home),
                session.run,
                str(jobs),
                *(build.id for build in builds),
            ],
            cwd=session.repository.home,
            env=inherited(),
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    while holder(session.common_dir, "run", session.run) != child.pid:
        if child.poll() is not None:
            if child.returncode == 0:
                break  # so short that it was over before anybody looked
            if child.returncode == BUSY:
                _wait_for_selection(session)
                raise LockHeld(f"run {session.run}", holder(session.common_dir, "run", session.run))
            said = tail(log, start=before) or f"exit code {child.returncode}"
            raise Br3Error(f"the dispatcher ended as soon as it began:\n{said}", hint=f"its log: {log}")
        time.sleep(0.02)
    return child.pid, log


def _wait_for_selection(session: Session) -> None:
    """Wait until the run's dispatcher has said what it is for; before that it counts as at work on all builds."""
    deadline = time.monotonic() + _SAYS_WITHIN_S
    while is_held(session.common_dir, "run", session.run) and time.monotonic() < deadline:
        session.refresh()
        if session.view.selected:
            return
        time.sleep(0.02)
