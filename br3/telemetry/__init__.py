"""Events: written once, never changed; every state is a replay of them. Standard library only.

Promises: one writer has one segment and appends a line with one ``write()``; what changes a state is fsynced before
the writer goes on; a line torn by a crash is put aside by readers, never an error; secrets are masked before a line
is written; a disk that takes nothing stops nobody; only chatter is ever dropped; the order within a build is
(generation of its lock, sequence), never the clock.

Modules: ``events`` lists the kinds · ``journal`` writes and reads segments · ``archive``
keeps those of the past · ``locks`` holds flocks with their
generations · ``replay`` derives the states of runs, builds, tasks and attempts.
"""

from br3.telemetry.archive import read_events
from br3.telemetry.events import KINDS, Event
from br3.telemetry.journal import Follower, Journal
from br3.telemetry.locks import Lock, LockHeld, is_held
from br3.telemetry.replay import BuildView, IllegalMove, RunView, TaskView, replay

__all__ = [
    "KINDS",
    "BuildView",
    "Event",
    "Follower",
    "IllegalMove",
    "Journal",
    "Lock",
    "LockHeld",
    "RunView",
    "TaskView",
    "is_held",
    "read_events",
    "replay",
]
