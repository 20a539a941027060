"""What has to be settled before anything is run or committed: approved commands, and the user's name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from br3.errors import Br3Error, UsageError

if TYPE_CHECKING:
    from br3.dispatch.sessions import Session
    from br3.plan.model import Plan
    from br3.repo.worktrees import Repository
    from br3.workspace.trust import Command


@dataclass(frozen=True)
class Consent:
    """Whether commands that the user has not approved before may run: ``trusted``, or when ``ask`` says so.

    ``told`` is what the journal tells of ``trusted``.
    """

    trusted: bool = False
    ask: Callable[[list[Command]], bool] | None = None
    told: str = "trust=True"


def require_trust(common_dir: Path, plan: Plan, consent: Consent) -> None:
    """See that every command of the plan is approved, and compile its hooks where br3's are installed. Refused."""
    from br3.hooks import places
    from br3.workspace import trust

    fresh = trust.require(common_dir, plan, trusted=consent.trusted, ask=consent.ask)
    if places.is_installed(common_dir):
        from br3.hooks import installing

        installing.refresh(common_dir, plan)
    _note(common_dir, fresh, consent)


def require_trust_to_end(session: Session, consent: Consent) -> None:
    """The same for what comes after a run. While no build has any work nobody needs an approval: Br3Error says so."""
    from br3.dispatch.standing import standings
    from br3.workspace import trust

    open_yet = not consent.trusted and trust.missing(session.common_dir, trust.commands_of(session.plan))
    if open_yet and not any(s.has_work or s.landed or s.dirty for s in standings(session)):
        raise Br3Error("nothing has been run yet: no build has any work", hint="br3 run")
    require_trust(session.common_dir, session.plan, consent)


def require_commands(common_dir: Path, commands: Sequence[Command], whose: str, hint: str, consent: Consent) -> None:
    """The same for some commands; ``whose`` and ``hint`` are for the refusal where nobody can be asked."""
    from br3.workspace import trust

    fresh = trust.require_commands(common_dir, commands, whose, hint, trusted=consent.trusted, ask=consent.ask)
    _note(common_dir, fresh, consent)


def _note(common_dir: Path, fresh: list[Command], consent: Consent) -> None:
    if fresh:
        from br3.telemetry import Journal

        how = consent.told if consent.trusted else "asked"
        Journal(common_dir).append("trust.given", approved=[command.text for command in fresh], how=how)


def require_identity(repository: Repository) -> None:
    """UsageError when git does not know in whose name to commit."""
    done = repository.git("var", "GIT_COMMITTER_IDENT", ok=(0, 1, 128))
    if done.code != 0:
        raise UsageError(
            "git does not know who you are, and br3 commits in your name",
            hint="git config --global user.name 'Your Name' && git config --global user.email you@example.com",
        )
