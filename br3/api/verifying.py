"""Verifying builds where they stand; the verdict is recorded, and landing relies on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from br3.api.consent import Consent, require_trust
from br3.api.listening import Following, OnEvent, interruptible
from br3.api.workspaces import Workspace, pick
from br3.wording import listed

if TYPE_CHECKING:
    from br3.dispatch.sessions import Session
    from br3.dispatch.standing import Standing


@dataclass(frozen=True)
class Verified:
    """What a build's verification showed. ``verified``: it passes, and there is something to land, or that has landed;
    else ``reason``.

    ``commands``: ``run``, ``exit_code``, ``duration_s``, ``tests``, ``log``. ``tests``: ``passed``, ``failed``,
    ``skipped``; ``coverage`` in percent; None where nothing was counted. ``directory`` keeps the logs.
    """

    id: str
    verified: bool = False
    reason: str | None = None
    commands: tuple[dict[str, Any], ...] = ()
    tests: dict[str, int] | None = None
    coverage: float | None = None
    warnings: tuple[str, ...] = ()
    directory: Path | None = None

    def as_json(self) -> dict[str, Any]:
        """An entry of ``br3 verify --json``."""
        told = {
            "id": self.id,
            "verified": self.verified,
            "commands": list(self.commands),
            "tests": self.tests,
            "coverage": self.coverage,
            "reason": self.reason,
        }
        if self.directory is None:
            return told
        return {**told, "warnings": list(self.warnings), "directory": str(self.directory)}


def verify(
    workspace: Workspace,
    builds: Sequence[str],
    consent: Consent,
    step: Callable[[str], None] = lambda _: None,
    on_event: OnEvent | None = None,
) -> Iterator[Verified]:
    """Verify the builds one after the other; without names those that have something to verify."""
    from br3.dispatch.standing import standings

    session = workspace.session()
    wanted = pick(session, builds)
    session.site()  # the excludes that decide what counts as uncommitted
    following = Following(session.common_dir, session.run, on_event)
    found = [one for one in standings(session, wanted) if builds or (one.present and one.has_work)]
    if any(one.present for one in found):
        require_trust(session.common_dir, session.plan, consent)
    for standing in found:
        step(f"verifying {standing.id}")
        with interruptible():
            verified = _verify_one(session, standing)
        following.look()
        yield verified


def _verify_one(session: Session, standing: Standing) -> Verified:
    from br3.landing.boarding import verify_build
    from br3.landing.guarding import not_owned
    from br3.orchestrator.recording import Elsewhere
    from br3.orchestrator.verification import tests_json
    from br3.repo.worktrees import operation_in_progress

    if not standing.present:
        return Verified(standing.id, reason="its worktree is not there; br3 up makes it")
    operation = operation_in_progress(standing.worktree)
    if operation:
        why = f"a {operation} is in progress in {standing.worktree}; finish it first"
        return Verified(standing.id, reason=why)
    if standing.dirty:
        why = f"uncommitted changes: {listed(standing.dirty)}; commit them first"
        return Verified(standing.id, reason=why)
    try:
        verdict, directory = verify_build(session, standing)
    except Elsewhere as error:
        return Verified(standing.id, reason=f"{error.message}; next: {error.hint}")
    strange = not_owned(session, standing)
    reason = verdict.reason
    if verdict.passed and standing.landed:
        reason = "it has landed already"
    elif verdict.passed and not standing.has_work:
        reason = "it passes, but its branch has no commits: there is nothing to land"
    return Verified(
        standing.id,
        verdict.passed and (standing.has_work or standing.landed),
        reason,
        commands=tuple(
            {
                "run": r.run,
                "exit_code": r.exit_code,
                "duration_s": round(r.duration_s, 3),
                "tests": tests_json(r.tests),
                "log": str(r.log),
            }
            for r in verdict.results
        ),
        tests=tests_json(verdict.tests),
        coverage=verdict.coverage,
        warnings=(*verdict.warnings, *([f"it {strange}"] if strange else [])),
        directory=directory,
    )
