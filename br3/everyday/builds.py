"""Worktrees of builds among the others: they go by the rules of `br3 clean`, and only by those."""

from __future__ import annotations

from br3.dispatch.sessions import Session, departed, find
from br3.dispatch.standing import standings
from br3.errors import Refused
from br3.everyday.removing import Removed
from br3.everyday.seeing import Seen
from br3.plan.model import Build
from br3.release.cleaning import clean


def is_known(seen: Seen, build: str) -> bool:
    """Whether the newest run has that build, or an earlier one has left it."""
    session = find(seen.repository)
    return session is not None and any(found.id == build for found in _all(session))


def landed(seen: Seen) -> list[str]:
    """The builds with a worktree that have landed and at which nobody is at work, but for where we are."""
    mine = {row.build for row in seen.rows if row.build and not row.current}
    session = find(seen.repository) if mine else None
    if session is None:
        return []
    session.site()
    builds = [build for build in _all(session) if build.id in mine]
    return [s.id for s in standings(session, builds) if s.landed and not s.dirty and not s.alive]


def remove(seen: Seen, build: str, *, force: bool) -> Removed:
    """Remove a build's worktree and branch as `br3 clean` does; Refused, with its reason, when that keeps it."""
    session = find(seen.repository)
    if session is None:
        raise Refused(f"nothing is known of the build {build}", hint=f"br3 clean {build}")
    session.site()
    done = clean(session, [found for found in _all(session) if found.id == build], force=force)
    if build in done.kept:
        hint = f"land it (br3 merge), save it, or give it up: br3 clean --force {build}"
        raise Refused(f"{build} stays: {done.kept[build]}", hint=hint if build in done.forcible else None)
    return Removed(list(done.removed), dict(done.given_up), dict(done.lost), dict(done.ignored))


def _all(session: Session) -> list[Build]:
    return [*session.plan.builds, *departed(session)]
