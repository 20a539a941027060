"""Taking a landing back: base goes to where it was before, when nothing was built on what landed."""

from __future__ import annotations

from br3.dispatch.sessions import Session
from br3.errors import Refused, UsageError
from br3.landing.moving import BaseMoved, Move, checkouts_of, move, recover
from br3.repo import refs
from br3.repo.refs import NULL_ID, CommitId
from br3.telemetry import Event, Lock
from br3.wording import counted


def undo(session: Session) -> Move:
    """Take back the last landing of the session's run; what was moved. Called again, it takes back the one before.

    Branches that a clean-up removed since are there again, in the same step: so the builds can land once more.

    Raises UsageError when the run has landed nothing, Refused when base has gone on, or a tag, another branch or a
    remote has what landed.
    """
    git, base = session.repository.git, session.plan.base
    with Lock(session.common_dir, "base", base).acquire(wait_s=1) as lock:
        session.refresh()
        recover(session.repository, base, session.events, session.journal, gen=lock.gen)
        session.refresh()
        standing = _standing(session)
        if not standing:
            raise UsageError(f"run {session.run} has landed nothing that still stands", hint="br3 status")
        old, new = (CommitId(standing[-1].data[key]) for key in ("old", "new"))
        _refuse_built_on(session, new)
        before = f"refs/br3/landed/{session.run}/before"
        there = refs.resolve(git, before) or NULL_ID
        previous = CommitId(standing[-2].data["old"]) if len(standing) > 1 else NULL_ID
        # The builds' branches may be gone by now: nothing else might hold their commits.
        kept = kept_as(session, new)
        also = [(kept, new, refs.resolve(git, kept) or NULL_ID)]
        also += [(before, previous, there)] if previous != there else []
        also += _branches_back(session, standing[-1])
        step = Move(base, new, old, also=tuple(also), what="undo")
        try:
            move(git, step, checkouts_of(session.repository, base), session.journal, run=session.run, gen=lock.gen)
        except BaseMoved:
            raise Refused(f"{base} moved meanwhile; nothing was taken back", hint="git log, then again") from None
    return step


def _branches_back(session: Session, landing: Event) -> list[tuple[str, CommitId, CommitId]]:
    """The builds' branches that a clean-up has removed since, to be made again: their work is to land once more."""
    found: list[tuple[str, CommitId, CommitId]] = []
    for build in session.plan.builds:
        tip, branch = landing.data["builds"].get(build.id), f"refs/heads/{build.branch}"
        git = session.repository.git
        if tip is not None and refs.resolve(git, branch) is None and refs.resolve(git, tip) is not None:
            found.append((branch, CommitId(tip), NULL_ID))
    return found


def branches_back(step: Move) -> list[str]:
    """The branches that an undo has made again."""
    return [ref.removeprefix("refs/heads/") for ref, _, old in step.also if ref.startswith("refs/heads/")]


def kept_as(session: Session, landed: CommitId) -> str:
    """The ref that keeps what was taken back from ``landed``: of each landing one, none has the commits of another."""
    return f"refs/br3/landed/{session.run}/undone-{landed[:12]}"


def _standing(session: Session) -> list[Event]:
    """The landings of the run that were not taken back, oldest first."""
    found: list[Event] = []
    mine = [e for e in session.events if e.kind == "landing.moved" and e.run == session.run]
    for event in sorted(mine, key=lambda e: e.order):
        if event.data.get("base") != session.plan.base:
            continue
        if event.data.get("what") == "undo":
            if found:
                found.pop()
        elif event.data.get("builds"):
            found.append(event)
    return found


def _refuse_built_on(session: Session, landed: CommitId) -> None:
    git, base = session.repository.git, session.plan.base
    now = refs.resolve(git, f"refs/heads/{base}")
    back = f"br3 release --undo, then br3 merge --undo {session.run}"
    if now != landed:
        if now is not None and refs.is_ancestor(git, landed, now):
            released = _released(session, landed, now)
            if released:
                raise Refused(f"{base} has a release on top of what landed: {released}", hint=back)
            commits = counted(refs.count_between(git, landed, now), "commit")
            raise Refused(f"{base} has {commits} on top of what landed", hint=_REVERT)
        raise Refused(f"{base} is not at what landed ({landed[:9]}) any more", hint="git log")
    form = "--format=%(refname)"
    holding = git("for-each-ref", form, "--contains", landed, "refs/heads", "refs/tags", "refs/remotes").text.split(
        "\n"
    )
    others = [ref for ref in holding if ref and ref != f"refs/heads/{base}"]
    if others:
        made = {f"refs/tags/{e.data.get('tag')}" for e in session.events if e.kind == "release.tagged"}
        hint = back if made.issuperset(others) else _REVERT
        raise Refused(f"what landed is in {', '.join(others[:5])} as well", hint=hint)


def _released(session: Session, landed: CommitId, now: CommitId) -> str:
    """The release whose commits are all that base has on top of what landed; empty when it is not so, or is pushed."""
    releases = [e for e in session.events if e.kind.startswith("release.")]
    pushed = {e.data.get("commit") for e in releases if e.kind == "release.pushed"}
    made = {e.data.get("commit"): e.data for e in releases if e.kind == "release.intent"}
    newest = made.get(now)
    at: str = now
    while at != landed:
        found = made.get(at)
        if found is None or at in pushed or found.get("before") in (None, at):
            return ""
        at = str(found["before"])
    return str(newest["tag"]) if newest else ""


_REVERT = (
    "take it back by a commit of its own for each build: git revert COMMIT, with -m 1 where that is a merge "
    "(git log --merges)"
)
