"""What an orchestrator does beside its work: give signs of life, and heed what is asked of its build meanwhile.

``pulse`` is called by every loop in which it waits, at least once a second. Whatever does not come by here for minutes
hangs, and says so by its silence.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from typing import Any

from br3.agents.causes import CAUSES
from br3.errors import Interrupted
from br3.orchestrator import control, stopping
from br3.orchestrator.control import Request
from br3.orchestrator.working import Work
from br3.plan.model import Task
from br3.telemetry.replay import AttemptView
from br3.workspace import children, waking

_HEARTBEAT_S = 30.0


class Skipped(Exception):
    """The task at hand is not to be done."""


def heartbeat_s() -> float:
    """Seconds between two signs of life; tests shorten them by ``BR3_TEST_HEARTBEAT_S``."""
    return float(os.environ.get("BR3_TEST_HEARTBEAT_S") or _HEARTBEAT_S)


def pulse(work: Work) -> None:
    """Give a sign of life when it is time; take up what is asked; hold the build's processes, or let them go on."""
    _beat(work)
    requests = _mine(work)
    if any(one.what == "cancel" for one in requests):
        work.cancel.set()
    pause = control.pause_of(requests, work.build.id)
    leaving = work.cancel.is_set() or (work.at is not None and _is_skipped(requests, work.at[0]))
    _hold(work, pause is not None and bool(pause.facts.get("now")) and not leaving)


def clock(work: Work) -> float:
    """Seconds that count for a command of this build; a pulse each time that somebody asks."""
    pulse(work)
    return work.clock.now()


def heed(work: Work, task: Task | None = None) -> None:
    """Between two steps: Interrupted when the build is to end, Skipped when ``task`` is; rests while it is paused."""
    while True:
        pulse(work)
        if work.cancel.is_set():
            raise Interrupted("stopped by the user")
        requests = _mine(work)
        if task is not None and _is_skipped(requests, task.id):
            raise Skipped
        if control.pause_of(requests, work.build.id) is None:
            break
        if not work.view.paused:
            work.say("build.paused", now=False)
        waking.pause(1.0)
    if work.view.paused:
        work.say("build.continued")


def is_skipped(work: Work, task: str) -> bool:
    """Whether somebody asked to leave the task out."""
    return _is_skipped(_mine(work), task)


def notes(work: Work) -> list[Request]:
    """The notes for the build's next attempt: those that no attempt has been told which came to an end of its own."""
    forget_told(work)
    return _notes(work)


def forget_told(work: Work) -> None:
    """Settle the notes that an attempt was told; one that was cut off, or that met no answer, does not count."""
    waiting = _notes(work)
    if not waiting:
        return
    views = [work.view, *(run.builds[work.build.id] for run in work.chain if work.build.id in run.builds)]
    told = {name for view in views for one in view.attempts if _ended_by_itself(one) for name in one.started["notes"]}
    settle(work, [one for one in waiting if one.occasion in told])


def _notes(work: Work) -> list[Request]:
    return [one for one in _mine(work) if one.what == "tell"]


def _ended_by_itself(attempt: AttemptView) -> bool:
    cause = attempt.finished.get("cause")
    counts = cause not in CAUSES or CAUSES[cause].counts
    return bool(attempt.started.get("notes") and attempt.finished) and counts


def settle(work: Work, requests: Sequence[Request]) -> None:
    """What was asked is done, and stands in the journal."""
    for one in requests:
        control.settle(work.run_dir, one)


def why_stopped(work: Work) -> str:
    """Why this build ends before its time."""
    return control.BY_USER if any(one.what == "cancel" for one in _mine(work)) else stopping.reason(work.run_dir)


def _mine(work: Work) -> list[Request]:
    return [one for one in control.asked(work.run_dir) if one.build in (None, work.build.id)]


def _is_skipped(requests: Sequence[Request], task: str) -> bool:
    return any(one.what == "skip" and one.task == task for one in requests)


def _beat(work: Work) -> None:
    if time.monotonic() < work.next_beat:
        return
    work.next_beat = time.monotonic() + heartbeat_s()
    task, attempt = work.at or (None, None)
    facts: dict[str, Any] = {"elapsed_s": round(work.clock.now() - work.began, 3)} if work.at else {}
    run, build = work.run, work.build.id
    work.journal.append("build.heartbeat", run=run, build=build, task=task, attempt=attempt, gen=work.gen, **facts)


def _hold(work: Work, wanted: bool) -> None:
    """Stop all processes of the build as they are, or let them go on; the time stands still meanwhile."""
    if wanted == work.clock.held:
        return
    work.clock.now()
    work.clock.held = wanted
    if wanted:
        children.signal_marked(work.mark, signal.SIGSTOP)
        if not work.view.paused:
            work.say("build.paused", now=True)
    else:
        children.signal_marked(work.mark, signal.SIGCONT)
        if work.view.paused:
            work.say("build.continued")
