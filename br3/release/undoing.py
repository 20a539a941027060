"""Taking a release back, base and tag in one transaction, as long as nobody else can have it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from br3.dispatch.sessions import Session
from br3.errors import Br3Error, Refused, UsageError
from br3.landing.moving import BaseMoved, Move, checkouts_of, move, recover
from br3.release import pushing
from br3.release.records import Record, records
from br3.repo import refs
from br3.repo.refs import NULL_ID, CommitId
from br3.repo.tags import tag_at
from br3.telemetry import Lock
from br3.wording import counted


@dataclass(frozen=True)
class Undone:
    """A release that is no more: its tag, and where base was and is."""

    tag: str
    before: CommitId
    after: CommitId

    def as_json(self) -> dict[str, Any]:
        return {"tag": self.tag, "undone": True, "base_before": self.before, "base_after": self.after}


def undo(session: Session, tag: str | None) -> Undone:
    """Take back the newest release (or that of ``tag``): base to before its commit, the tag gone.

    Raises Refused when it is pushed or may be, when something was built on it, or a local change is in the way.
    """
    base, git, journal = session.plan.base, session.repository.git, session.journal
    with Lock(session.common_dir, "base", base).acquire(wait_s=1) as lock:
        session.refresh()
        recover(session.repository, base, session.events, journal, gen=lock.gen)
        session.refresh()
        cut_off = _cut_off(session)
        if cut_off is not None and tag in (None, cut_off.tag):
            journal.append("release.undone", run=session.run, gen=lock.gen, tag=cut_off.tag, commit=cut_off.before)
            return cut_off
        record = _wanted(session, tag)
        name, commit = record.tag.name, record.tag.commit
        _refuse_pushed(session, record)
        _refuse_built_on(session, record)
        facts: dict[str, Any] = {"tag": name, "commit": commit}
        journal.append(
            "release.undoing", run=session.run, gen=lock.gen, **facts, object=record.tag.object, before=record.before
        )
        deletion = (f"refs/tags/{name}", NULL_ID, record.tag.object)
        if record.has_commit:
            step = Move(base, commit, record.before, also=(deletion,), what=f"release --undo {name}")
            try:
                move(git, step, checkouts_of(session.repository, base), journal, run=session.run, gen=lock.gen)
            except BaseMoved as moved:
                raise Refused(f"{base} has moved meanwhile; nothing was taken back", hint="br3 status") from moved
        elif not refs.move_together(git, [deletion], f"br3 release --undo {name}"):
            raise Refused(f"the tag {name} has changed meanwhile; nothing was taken back", hint=f"git show {name}")
        journal.append("release.undone", run=session.run, gen=lock.gen, **facts)
    return Undone(name, commit, record.before)


def _cut_off(session: Session) -> Undone | None:
    """The release that an undo which was killed has taken back without saying so."""
    mine = [e for e in session.events if e.kind in ("release.undoing", "release.undone", "release.tagged")]
    last = max(mine, key=lambda e: e.order, default=None)
    if last is None or last.kind != "release.undoing" or tag_at(session.repository.git, last.data["tag"]) is not None:
        return None
    undone = Undone(last.data["tag"], CommitId(last.data["commit"]), CommitId(last.data["before"]))
    moved = [e for e in session.events if e.kind == "landing.moved" and e.order > last.order]
    went = undone.before == undone.after or any(e.data.get("new") == undone.after for e in moved)
    return undone if went else None  # else somebody has deleted the tag, and base is where it was


def _wanted(session: Session, tag: str | None) -> Record:
    known = records(session, session.plan.base)
    if tag is None and known:
        return known[0]
    found = next((record for record in known if record.tag.name == tag), None)
    if found is not None:
        return found
    if tag is None:
        raise Br3Error(f"br3 has made no release on {session.plan.base} that could be taken back", hint="br3 status")
    there = f"; it made {', '.join(record.tag.name for record in known[:5])}" if known else ""
    raise UsageError(f"br3 has made no release {tag} on {session.plan.base}{there}", hint="br3 release --undo")


def _refuse_pushed(session: Session, record: Record) -> None:
    git, name = session.repository.git, record.tag.name
    what_then = "others may have it: make another release that mends it, br3 release --bump patch"
    if record.pushed:
        raise Refused(f"{name} is at {', '.join(sorted(record.pushed))} already; nothing was taken back", what_then)
    holding = git("for-each-ref", "--contains", record.tag.commit, "--format=%(refname:short)", "refs/remotes").lines
    if record.has_commit and holding:
        raise Refused(f"{holding[0]} contains {name} already; nothing was taken back", what_then)
    known = git("remote").lines
    for remote in dict.fromkeys([*sorted(record.tried), record.remote or session.plan.release.remote]):
        if remote not in known:
            continue
        try:
            there = pushing.look(session, remote, name)
        except Br3Error as error:
            if remote not in record.tried:
                continue  # nothing was ever sent there by us, and br3 works offline
            raise Refused(
                f"{name} was sent to {remote}, which does not say whether it has it; nothing was taken back",
                hint=f"when it answers: br3 release --undo ({error.message.splitlines()[-1]})",
            ) from error
        unknown = there.base is not None and refs.resolve(git, there.base) is None
        if record.has_commit and unknown:
            raise Refused(
                f"{remote} has commits on {session.plan.base} that are not here, and may have {name} with them; "
                "nothing was taken back",
                hint=f"git fetch {remote}, then: br3 release --undo",
            )
        contained = there.base is not None and not unknown and refs.is_ancestor(git, record.tag.commit, there.base)
        if there.tag == record.tag.object or (record.has_commit and contained):
            raise Refused(f"{remote} has {name} already; nothing was taken back", what_then)


def _refuse_built_on(session: Session, record: Record) -> None:
    """Refused when base or anything else has gone on from the release's commit."""
    if not record.has_commit:
        return
    git, base, name = session.repository.git, session.plan.base, record.tag.name
    if refs.resolve(git, f"refs/heads/{base}") != record.tag.commit:
        count = refs.count_between(git, record.tag.commit, f"refs/heads/{base}")
        raise Refused(
            f"{base} has gone on since {name} by {counted(count, 'commit')}; nothing was taken back",
            hint=f"the tag alone: git tag -d {name}; its changes: git revert {record.tag.commit[:12]}",
        )
    spans = ("--contains", record.tag.commit, "--format=%(refname)", "refs/heads", "refs/tags")
    others = set(git("for-each-ref", *spans).lines) - {f"refs/heads/{base}", f"refs/tags/{name}"}
    if others:
        told = ", ".join(ref.removeprefix("refs/heads/").removeprefix("refs/tags/") for ref in sorted(others)[:5])
        raise Refused(
            f"{told} {'is' if len(others) == 1 else 'are'} built on {name}; nothing was taken back",
            hint=f"the tag alone: git tag -d {name}",
        )
