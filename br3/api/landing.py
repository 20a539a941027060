"""Landing verified builds on the base branch, here or by pull request."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from br3.api.consent import Consent, require_identity, require_trust_to_end
from br3.api.listening import Following, OnEvent, interruptible
from br3.api.workspaces import Names, Workspace, names, opened, pick
from br3.errors import UsageError

if TYPE_CHECKING:
    from br3.dispatch.sessions import Session
    from br3.landing.moving import Move
    from br3.landing.requests import Requested
    from br3.landing.testing import Picture
    from br3.landing.training import Options, Train
    from br3.plan.model import Build


class Watcher(Protocol):
    """Who watches a landing."""

    def step(self, text: str) -> None:
        """What is done next, in words."""

    def train(self, picture: Picture) -> None:
        """What is under test, whenever that changes."""


@dataclass(frozen=True)
class Boarding:
    """Builds that are to land, those named or all, and how: ``by_request``, else here."""

    session: Session
    builds: list[Build]
    by_request: bool


def land(
    workspace: Workspace | str | Path = ".",
    builds: Names = (),
    *,
    skip: Names = (),
    dry_run: bool = False,
    one_by_one: bool = False,
    again: bool = False,
    by_request: bool | None = None,
    trust: bool = False,
    on_event: OnEvent | None = None,
) -> Train | Requested:
    """Land the verified builds on the base branch in one step, as ``br3 merge`` does. Nothing is pushed.

    ``skip`` leaves builds for later; ``dry_run`` only foresees; ``one_by_one`` tests one after the other; ``again``
    tests anew what has failed before. Returns a Train: ``landed`` and ``before`` (ids), ``base_before``, ``base_after``
    (commits), ``aside`` (``id``, ``reason``, ``files``, ``log``, ``next``: what to do about it), ``test_runs``. With
    ``by_request`` (None: as the plan says) branches are pushed and requests opened instead: a Requested with
    ``requests``, ``before`` and ``aside``. Both have ``as_json()``.

    Raises UsageError, Refused (not approved; a checkout in the way; base being landed on), CandidateFailed (a Br3Error)
    when what would land does not pass, KeyboardInterrupt; base is then where it was.
    """
    from br3.landing.training import Options

    with interruptible():
        boarding = board(
            opened(workspace), names(builds), names(skip), Consent(trust), dry_run=dry_run, by_request=by_request
        )
        following = Following(boarding.session.common_dir, boarding.session.run, on_event)
        done = go(boarding, following, Options(one_by_one=one_by_one, dry_run=dry_run, again=again))
        following.look()
        return done


def board(
    workspace: Workspace,
    builds: Sequence[str],
    skip: Sequence[str],
    consent: Consent,
    *,
    dry_run: bool,
    by_request: bool | None,
) -> Boarding:
    """Who is to land, with everything settled that has to be before. UsageError, Refused."""
    require_identity(workspace.repository)
    session = workspace.session()
    left_out = {build.id for build in pick(session, skip)} if skip else set()
    wanted = [build for build in pick(session, builds) if build.id not in left_out]
    if left_out and not wanted:
        whom = "every build" if not builds else "all of them" if len(left_out) > 1 else min(left_out)
        raise UsageError(f"there is nothing to land: --skip leaves {whom} out", hint="br3 merge without --skip")
    if not dry_run:
        require_trust_to_end(session, consent)
    session.site()
    return Boarding(session, wanted, session.plan.lands_by == "pr" if by_request is None else by_request)


def go(boarding: Boarding, watcher: Watcher, options: Options) -> Train | Requested:
    """Land them, or ask for it."""
    if boarding.by_request:
        from br3.landing.requests import request

        return request(boarding.session, boarding.builds, watcher.step, dry_run=options.dry_run)
    from br3.landing.training import merge

    return merge(boarding.session, boarding.builds, watcher.step, options, watcher.train)


def undo(workspace: Workspace, run: str) -> tuple[Session, Move]:
    """Take back the last landing of the run whose id begins so; Refused when something was built on it."""
    from br3.dispatch.sessions import find
    from br3.landing.undoing import undo as take_back

    session = find(workspace.repository, run)
    if session is None:
        raise UsageError("nothing has been run in this repository yet", hint="br3 run")
    return session, take_back(session)
