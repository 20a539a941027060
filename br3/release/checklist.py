"""The success checklist: the plan's criteria, each with a verdict and with what was seen."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from br3.dispatch.sessions import Session, tip_of_base
from br3.errors import Br3Error
from br3.landing.scratch import scratch_worktree
from br3.plan.model import DEFAULT_TIMEOUT_S, Criterion
from br3.telemetry import Lock
from br3.workspace import children

_QUERY_TIMEOUT_S = 60.0


@dataclass(frozen=True)
class Checked:
    """One criterion: met (True, False, or None: not known), and what was seen."""

    name: str
    met: bool | None
    seen: str

    @property
    def sign(self) -> str:
        return {True: "✓", False: "✗", None: "?"}[self.met]


def run_commands(session: Session, report: Callable[[str], None] = lambda _: None) -> dict[str, Checked]:
    """Evaluate the criteria that are commands, by name.

    They run in a throw-away worktree of base as it stands, so that they leave nothing in the user's checkout.
    """
    commands = [c for c in session.plan.criteria if c.run]
    return _run_all(session, commands, report) if commands else {}


def conclude(session: Session, seen: dict[str, Checked], ask: Callable[[str], bool] | None) -> Iterator[Checked]:
    """Every criterion in the plan's order; ``ask`` puts a question to a person, None when there is nobody."""
    for criterion in session.plan.criteria:
        result = seen.get(criterion.name) or _without_command(session, criterion, ask)
        session.journal.append("criterion.checked", run=session.run, name=result.name, met=result.met, seen=result.seen)
        yield result


def _run_all(session: Session, commands: list[Criterion], report: Callable[[str], None]) -> dict[str, Checked]:
    base = tip_of_base(session)
    seen = {}
    with (
        Lock(session.common_dir, "checklist", session.plan.base).acquire(wait_s=60),
        scratch_worktree(session, "checklist", base, session.plan.builds, report) as scratch,
    ):
        for number, criterion in enumerate(commands, start=1):
            command = criterion.run or ""
            log = session.run_dir / "_checklist" / f"{number}.log"
            log.unlink(missing_ok=True)
            done = children.run_command(
                command,
                cwd=scratch.path,
                env=scratch.environment(),
                log=log,
                timeout_s=DEFAULT_TIMEOUT_S,
            )
            last = children.tail(log, 1).strip()[:100]
            shown = f": {session.journal.redact(last)}" if last else ""
            seen[criterion.name] = Checked(criterion.name, done.ok, f"`{command}` → {done.exit_code}{shown}")
    return seen


def _asked_of_analytics(session: Session, name: str, text: str) -> Checked:
    """Met when the first value of the first row is true, a number other than 0, or a text that is not empty."""
    import duckdb

    from br3.analytics import reports
    from br3.analytics.store import reading
    from br3.dispatch.observing import take_up

    taken = take_up(session.common_dir, session.repository.home)
    if taken.folded is None:
        return Checked(name, None, "; ".join(taken.warnings))
    try:
        with reading(session.common_dir, confined=True) as db:
            timer = threading.Timer(_QUERY_TIMEOUT_S, db.interrupt)
            timer.start()
            try:
                answer = reports.query(db, text)
            finally:
                timer.cancel()
    except (duckdb.Error, Br3Error) as error:
        return Checked(name, None, f"`{text}` → {str(error).strip().splitlines()[0]}")
    if not answer.rows:
        return Checked(name, False, f"`{text}` → no rows")
    first = answer.rows[0][0]
    return Checked(name, bool(first), session.journal.redact(f"`{text}` → {reports.plain(first)}"))


def _without_command(session: Session, criterion: Criterion, ask: Callable[[str], bool] | None) -> Checked:
    if criterion.sql:
        return _asked_of_analytics(session, criterion.name, criterion.sql)
    if ask is None:
        return Checked(criterion.name, None, f"nobody was asked: {criterion.ask}")
    answer = ask(criterion.ask or criterion.name)
    return Checked(criterion.name, answer, "answered by the user")
