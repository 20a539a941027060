"""Events: written once, never changed; every state is a replay of them. Standard library only.

Promises: one writer has one segment and appends a line with one ``write()``; what changes a state is fsynced before
the writer goes on; a line torn by a crash is put aside by readers, never an error; secrets are masked before a line
is written; what a disk does not take is told to whoever writes; only chatter is ever dropped; the order within a build
is (generation of its lock, sequence), never the clock.

Modules: ``events`` lists the kinds · ``journal`` writes and reads segments · ``archive``
keeps those of the past · ``locks`` holds flocks with their
generations · ``replay`` derives the states of runs, builds, tasks and attempts.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from br3.telemetry.archive import read_events
    from br3.telemetry.events import KINDS, Event
    from br3.telemetry.journal import Follower, Journal
    from br3.telemetry.locks import Lock, LockHeld, is_held
    from br3.telemetry.replay import BuildView, IllegalMove, RunView, TaskView

# Who only takes a lock, or writes one event, does not pay for the rest.
_FROM = {
    "archive": ("read_events",),
    "events": ("KINDS", "Event"),
    "journal": ("Follower", "Journal"),
    "locks": ("Lock", "LockHeld", "is_held"),
    "replay": ("BuildView", "IllegalMove", "RunView", "TaskView"),
}
_MODULE = {name: module for module, names in _FROM.items() for name in names}

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
]


def __getattr__(name: str) -> Any:
    if name not in _MODULE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_MODULE[name]}"), name)
    globals()[name] = value
    return value
