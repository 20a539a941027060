"""Preparing several builds' workspaces at once, for ``br3 up``."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Protocol

from br3.dispatch.sessions import Session
from br3.dispatch.starts import StartConflict, start_commit
from br3.errors import Br3Error, Interrupted, Refused
from br3.plan.model import Build
from br3.repo.refs import CommitId
from br3.workspace.preparing import Prepared, prepare


class Reporter(Protocol):
    """Who hears of the steps; called from several threads."""

    def preparing(self, build: str, step: str) -> None: ...


def prepare_all(
    session: Session,
    builds: Sequence[Build],
    reporter: Reporter,
    *,
    fresh: bool = False,
    tick: Callable[[], None] = lambda: None,
) -> tuple[list[Prepared], dict[str, Br3Error]]:
    """Prepare the builds in parallel; those that fail do not stop the others. Raises Interrupted on a signal.

    ``tick`` is called now and then meanwhile; what it raises stops everything.
    """
    cancel = threading.Event()
    site = session.site(fresh=fresh, cancel=cancel)
    numbers = (signal.SIGINT, signal.SIGTERM) if threading.current_thread() is threading.main_thread() else ()
    before = {n: signal.signal(n, lambda *_: cancel.set()) for n in numbers}

    def one(build: Build) -> Prepared:
        start = _start(session, build)
        pending = session.build_view(build.id).state in ("pending", "preparing")
        return prepare(site, build, start, lambda step: reporter.preparing(build.id, step), announce=pending)

    prepared: list[Prepared] = []
    errors: dict[str, Br3Error] = {}
    try:
        with ThreadPoolExecutor(max_workers=max(session.plan.jobs, 1)) as pool:
            futures = [(build, pool.submit(one, build)) for build in builds]
            # With a bound, again and again: a signal that comes just before a wait without one would not be seen.
            while wait([future for _, future in futures], timeout=0.2).not_done:
                try:
                    tick()
                except BaseException:
                    cancel.set()
                    raise
            for build, future in futures:
                try:
                    prepared.append(future.result())
                except Interrupted:
                    continue
                except Br3Error as error:
                    errors[build.id] = error
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if cancel.is_set():
        raise Interrupted("stopped; what was made stays", hint="br3 up goes on from here")
    return prepared, errors


def _start(session: Session, build: Build) -> CommitId:
    if not build.needs:
        return session.base_commit
    verified = {}
    for needed in session.plan.builds:
        view = session.build_view(needed.id)
        if view.state == "verified" and view.commit:
            verified[needed.id] = CommitId(view.commit)
    missing = [needed for needed in build.needs if needed not in verified]
    if missing:
        raise Refused(
            f"{build.id} needs {', '.join(missing)}, which is not verified yet",
            hint=f"br3 run does them in order, or prepare the others first: br3 up {' '.join(missing)}",
        )
    try:
        return start_commit(session.repository.git, session.plan, build, session.base_commit, verified)
    except StartConflict as conflict:
        raise Refused(f"{build.id}: {conflict}") from conflict
    except KeyError as error:
        raise Refused(f"{build.id} needs {error.args[0]}, which is not verified yet") from error
