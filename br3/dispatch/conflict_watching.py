"""Conflicts while a run goes on: the tips of its branches compared as commits appear, each new conflict told once.

A thread of its own looks, so that the dispatcher's loop never waits for git. A look at tips that have not moved is one
git process every two seconds; one at a tip that has moved is two more, and those of ``Answers.ask`` for its pairs; one
at base that has moved, those of ``standings`` as well. What is uncommitted is not looked at here: ``br3 conflicts``
does.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Mapping
from types import TracebackType

from br3.dispatch.conflict_answers import Answers
from br3.dispatch.conflicts import Pair, compared, tips
from br3.dispatch.sessions import Session, find
from br3.dispatch.standing import standings
from br3.errors import Br3Error
from br3.repo import refs
from br3.repo.refs import CommitId
from br3.telemetry import Event

EVENT = "conflict.predicted"

_EVERY_S = 2.0
_MOST_OF_A_CORE = 0.1


class Told:
    """Which conflicts have been told: each once, and again only when its files are others or it had gone meanwhile."""

    def __init__(self, events: Iterable[Event] = ()) -> None:
        self._commits: set[tuple[str, str, str, str]] = set()
        self._standing: dict[tuple[str, str], tuple[str, ...]] = {}
        for event in events:
            if event.kind == EVENT and event.build:
                other, commits = str(event.data.get("with")), event.data.get("commits") or []
                if len(commits) == 2:
                    self._commits.add((other, event.build, commits[0], commits[1]))
                self._standing[(other, event.build)] = tuple(event.data.get("files") or ())

    def is_new(self, pair: Pair, a: CommitId, b: CommitId) -> bool:
        """Whether the pair, whose commits are ``a`` and ``b``, has a conflict to tell of; from now on it is told."""
        names = (pair.a, pair.b)
        if pair.conflict is None:
            self._standing.pop(names, None)
            return False
        same = self._standing.get(names) == pair.conflict.files
        known = (*names, a, b) in self._commits
        self._standing[names] = pair.conflict.files
        self._commits.add((*names, a, b))
        return not (same or known)


class ConflictWatch:
    """Looks while it is entered; ``finish`` looks once more at what the last commits brought."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._answers = Answers(session.repository.git)
        self._told: Told | None = None
        self._seen: Mapping[str, refs.Branch] = {}
        self._landed: frozenset[str] = frozenset()
        self._stop = threading.Event()
        # A daemon: a run that was cancelled does not wait for a look that takes long.
        self._thread = threading.Thread(target=self._watch, name="conflicts", daemon=True)

    def __enter__(self) -> ConflictWatch:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()

    def finish(self) -> None:
        """Stop looking, with a last look, so that a run too short for any has one as well."""
        self._stop.set()
        self._thread.join()
        self._look_bravely()

    def look(self) -> None:
        """Compare what has moved since the last look, and write an event for each conflict that is new."""
        session = self._session
        plan = session.plan
        branches = refs.branches(session.repository.git, [plan.base, *(build.branch for build in plan.builds)])
        if branches == self._seen or plan.base not in branches:
            return
        self._told = self._told or Told(session.events)
        base = branches[plan.base].commit
        if plan.base not in self._seen or self._seen[plan.base].commit != base:
            # Read anew: the dispatcher itself uses the session.
            now = find(session.repository, session.run)
            self._landed = (
                frozenset(standing.id for standing in standings(now) if standing.landed) if now else frozenset()
            )
        sides = tips(session, branches, base, self._landed)
        found = compared(plan, base, sides, self._answers)
        commits = {side.id: side.tip for side in sides}
        for pair in found.pairs:
            a, b = base if pair.with_base else commits[pair.a], commits[pair.b]
            if a and b and self._told.is_new(pair, a, b) and pair.conflict:
                told = pair.as_json()
                facts = {"with": pair.a, "files": told["files"], "kinds": told["kinds"], "commits": [a, b]}
                session.journal.append(EVENT, "warning", run=session.run, build=pair.b, **facts)
        self._seen = branches

    def _watch(self) -> None:
        pause_s = _EVERY_S
        while not self._stop.wait(pause_s):
            began = time.monotonic()
            self._look_bravely()
            pause_s = max(_EVERY_S, (time.monotonic() - began) / _MOST_OF_A_CORE)

    def _look_bravely(self) -> None:
        """A conflict that is not foreseen is met when the builds land: no reason to end a run."""
        try:
            self.look()
        except (Br3Error, OSError):
            pass  # a branch went while it was looked at, the disk is full: the next look may do better
        except RuntimeError:
            if not self._stop.is_set():  # no thread can be started any more in a process that is ending
                raise
