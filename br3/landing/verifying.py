"""Verifying a commit where nobody works: in a throw-away worktree, unless this very tree has a verdict already.

What counts is a verdict from a throw-away worktree (an event without a build), or one that passed in a build's own
when that held nothing besides (``alone``): ignored files that no clone has may be what makes it pass. A tree is not
tested twice; one that failed is confirmed once, in a clean tree, and what has failed twice in a row is known to fail
until somebody asks for it to be tested again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from br3.dispatch.sessions import Session
from br3.landing.scratch import Scratch, scratch_worktree
from br3.orchestrator import verdicts
from br3.orchestrator.verification import Verdict, verify
from br3.plan.model import DEFAULT_TIMEOUT_S, Build, Verify
from br3.repo import refs
from br3.repo.refs import CommitId, TreeId
from br3.telemetry import Event, read_events
from br3.workspace.children import tail

Report = Callable[[str], None]


@dataclass(frozen=True)
class Subject:
    """What is verified: a commit, its tree, the commands, and the builds that it contains (whose set-up it needs)."""

    commit: CommitId
    tree: TreeId
    wanted: Verify
    builds: tuple[Build, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    """What the event says besides."""

    @property
    def setups(self) -> tuple[str, ...]:
        return tuple(command for build in self.builds for command in build.setup)


@dataclass(frozen=True)
class Tested:
    """How a subject fared. ``runs`` is 0 when the journal knew; ``failures`` counts those in a row, this one too."""

    passed: bool
    reason: str | None
    log: Path | None
    tests: Mapping[str, int] | None
    coverage: float | None
    runs: int
    failures: int
    ending: str = ""
    """The last lines of the log of what failed, redacted."""

    @property
    def confirmed(self) -> bool:
        """Whether it has failed twice."""
        return self.failures > 1


def subject(session: Session, commit: CommitId, wanted: Verify, builds: Sequence[Build] = (), **facts: Any) -> Subject:
    """The subject that a commit is. One git process."""
    return Subject(commit, refs.tree_of(session.repository.git, commit), wanted, tuple(builds), facts)


def verify_commit(
    session: Session, what: Subject, *, purpose: str, gen: int = 0, again: bool = False, report: Report = lambda _: None
) -> Tested:
    """Verify a commit in a throw-away worktree of its own. The caller holds a lock for ``purpose``."""
    with scratch_worktree(session, purpose, what.commit, what.builds, report) as scratch:
        directory = session.run_dir / f"_{purpose}"
        return verify_in(scratch, what, directory=directory, gen=gen, again=again, report=report)


def verify_in(
    scratch: Scratch,
    what: Subject,
    *,
    directory: Path,
    gen: int = 0,
    report: Report = lambda _: None,
    confirm: bool = False,
    again: bool = False,
) -> Tested:
    """Verify ``what`` in ``scratch``, and record the verdict.

    ``confirm``: it has failed once, and is tested once more in a clean tree, unless the journal knows of two failures.
    ``again``: failures that the journal knows do not count. Raises Br3Error when set-up fails, Interrupted.
    """
    session = scratch.session
    path = scratch.stand_at(what.commit, what.builds, report, clean=confirm)
    key = verdicts.key(what.tree, what.wanted, [*session.plan.setup.run, *what.setups], path)
    known = _known(read_events(session.common_dir), key)
    if known and known[-1].kind == "quality.passed":
        return _told(session, known[-1], 0)
    if known and not again and len(known) > (1 if confirm else 0):
        return _told(session, known[-1], len(known))
    failures = 0 if again and not confirm else len(known)
    logs = directory / (what.commit[:12] + (f"-{failures + 1}" if failures else ""))
    verdict = verify(
        what.wanted,
        worktree=path,
        environment=scratch.environment,
        directory=logs,
        timeout_s=max((build.timeout_s for build in what.builds), default=DEFAULT_TIMEOUT_S),
        excludes=session.excludes if session.excludes.exists() else None,
        cancel=scratch.cancel,
        report=report,
        lasting=False,
    )
    session.journal.append(
        "quality.passed" if verdict.passed else "quality.failed",
        "info" if verdict.passed else "error",
        run=None if session.run.startswith("_") else session.run,  # a session without a run has such a name
        gen=gen,
        tree=key.tree,
        commit=what.commit,
        commands=key.commands,
        environment=key.environment,
        **what.facts,
        **verdict.as_data(),
    )
    return _of(session, verdict, logs, 0 if verdict.passed else failures + 1)


def _known(events: Iterable[Event], key: verdicts.Key) -> list[Event]:
    """The newest verdict that counts; when it failed, all failures since the last that passed."""
    found: list[Event] = []
    for event in verdicts.in_order(e for e in events if verdicts.is_for(e, key) and counts(e)):
        alone = event.kind == "quality.passed" or (bool(found) and found[-1].kind == "quality.passed")
        found = [event] if alone else [*found, event]
    return found


def counts(event: Event) -> bool:
    """Whether a verdict says how a clone would fare."""
    return event.build is None or (event.kind == "quality.passed" and event.data.get("alone") is True)


def _told(session: Session, event: Event, failures: int) -> Tested:
    data = event.data
    failing = [r for r in data.get("results") or [] if r.get("exit_code") or data.get("reason")]
    log = Path(failing[-1]["log"]) if failing and failures else None
    return Tested(
        passed=event.kind == "quality.passed",
        reason=data.get("reason"),
        log=log,
        tests=data.get("tests"),
        coverage=data.get("coverage"),
        runs=0,
        failures=failures,
        ending=session.journal.redact(tail(log)) if log else "",
    )


def _of(session: Session, verdict: Verdict, logs: Path, failures: int) -> Tested:
    log = None if verdict.passed else verdict.failing.log if verdict.failing else logs
    return Tested(
        passed=verdict.passed,
        reason=verdict.reason,
        log=log,
        tests=verdict.as_data()["tests"],
        coverage=verdict.coverage,
        runs=1,
        failures=failures,
        ending=session.journal.redact(tail(log)) if verdict.failing and log else "",
    )
