"""Making the builds' worktrees and environments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from br3.api.consent import Consent, require_trust
from br3.api.listening import Following, OnEvent, interruptible
from br3.api.workspaces import Workspace
from br3.errors import Interrupted

if TYPE_CHECKING:
    from br3.dispatch.sessions import Session
    from br3.errors import Br3Error
    from br3.plan.model import Build
    from br3.workspace.preparing import Prepared


@dataclass(frozen=True)
class Made:
    """What was prepared, and by build why others could not be."""

    prepared: list[Prepared]
    errors: dict[str, Br3Error]


def begin(workspace: Workspace, builds: Sequence[str], consent: Consent) -> tuple[Session, list[Build]]:
    """The run that workspaces are made for, and the builds: without names those that have not landed.

    Raises UsageError, Refused.
    """
    from br3.dispatch import sessions
    from br3.dispatch.standing import standings

    plan, file = workspace.load()
    wanted = sessions.chosen(plan, builds)
    require_trust(workspace.repository.common_dir, plan, consent)
    session = sessions.begin(workspace.repository, plan, file)
    if not builds:
        landed = {one.id for one in standings(session, wanted, dirt={}) if one.landed}
        wanted = [build for build in wanted if build.id not in landed]
    return session, wanted


def prepare(
    workspace: Workspace, builds: Sequence[str], *, fresh: bool, consent: Consent, on_event: OnEvent | None
) -> Made:
    """Prepare the builds in parallel; those that fail do not stop the others."""
    from br3.dispatch.workspaces import prepare_all

    with interruptible():
        session, wanted = begin(workspace, builds, consent)
        following = Following(session.common_dir, session.run, on_event)
        try:
            made = Made(*prepare_all(session, wanted, _Silent(), fresh=fresh, tick=following.look))
        except Interrupted as stopped:
            raise KeyboardInterrupt from stopped
        following.look()
        return made


class _Silent:
    """Steps come from several threads; what matters of them is in the journal."""

    def preparing(self, build: str, step: str) -> None:
        pass
