"""Making a release, all of it or nothing:

    files written into a new tree → release commit → verified → tag object → release.intent
    → base and tag in one transaction → checkout follows → release.tagged → push

Whatever is cut off before the transaction has left nothing; what is cut off after it is finished by the same command.
Without files to change there is no commit: the tag is of base as it stands.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from br3.dispatch.sessions import Session, tip_of_base
from br3.dispatch.standing import Standing, standings
from br3.errors import Br3Error, Refused
from br3.landing import upstream, verifying
from br3.landing.moving import BaseMoved, Move, checkouts_of, move, recover, try_checkouts
from br3.landing.testing import verification_of
from br3.release import pushing
from br3.release.conventional import commits_between
from br3.release.landed import landed_in
from br3.release.naming import Asked, Wish, asked
from br3.release.proposing import Edit, NothingToRelease, Proposal, propose, refuse_without_next
from br3.release.records import Record, records
from br3.repo import editing, merges, refs
from br3.repo.refs import NULL_ID, CommitId
from br3.repo.runner import Git
from br3.repo.tags import Tag, make_tag, message_of, tag_at, taken_by
from br3.telemetry import Lock

_MOST_TRIES = 3
_OTHER_TAG = "name another in br3.toml, [release] tag, or: br3 release --tag ANOTHER"

Report = Callable[[str], None]


@dataclass(frozen=True)
class Released:
    """A release: its tag, the commit it names, whether base and tag are at ``remote``.

    ``made`` and ``pushed_now``: by this call. ``before`` is base without the release's commit, the same as ``commit``
    when it has none. ``dry``: it only would be so, and ``pushed`` whether it would be. ``unsent``: the tags of
    earlier releases that ``remote`` has not, the oldest first.
    """

    tag: str
    version: str | None
    reason: str
    commit: CommitId | None
    before: CommitId
    notes: str
    remote: str | None = None
    pushed: bool = False
    made: bool = False
    pushed_now: bool = False
    dry: bool = False
    edits: tuple[Edit, ...] = field(default=())
    commit_message: str | None = None
    unsent: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """The shape of ``release --json``, and more: with ``dry_run`` there is no ``commit`` yet."""
        found: dict[str, Any] = {
            "tag": self.tag,
            "commit": self.commit,
            "pushed": self.pushed,
            "version": self.version or self.tag.removeprefix("v"),
            "notes": self.notes,
            "base_before": self.before,
            "remote": self.remote,
            "unsent": list(self.unsent),
        }
        if self.made or self.dry:
            found["reason"] = self.reason
            found["files"] = [{"path": edit.path, "diff": edit.diff()} for edit in self.edits]
        return found | ({"dry_run": True} if self.dry else {})


class ReleaseFailed(Br3Error):
    """The release's commit does not pass the verification; base stays where it is, and there is no tag."""


def release(session: Session, wish: Wish, report: Report = lambda _: None) -> Released:
    """Make the release that is wanted, or finish it. Raises UsageError, Refused, Br3Error."""
    wanted = asked(session.plan.release, wish)
    with Lock(session.common_dir, "base", session.plan.base).acquire(wait_s=1) as lock:
        session.refresh()
        recover(session.repository, session.plan.base, session.events, session.journal, gen=lock.gen)
        for _ in range(_MOST_TRIES):
            session.refresh()
            try:
                return _released(session, wanted, wish, lock.gen, report)
            except BaseMoved:
                report(f"{session.plan.base} moved meanwhile; looking at it again")
        raise Br3Error(f"{session.plan.base} moved {_MOST_TRIES} times meanwhile", hint="br3 release")


def rehearse(session: Session, wish: Wish) -> Released:
    """What ``release`` would do; nothing is changed."""
    wanted = asked(session.plan.release, wish)
    base, standing = _ground(session)
    remote = _remote(session, wish)
    earlier = _earlier(session, wanted, base, standing, remote)
    if earlier is not None:
        told = replace(_of_earlier(session, earlier), dry=True)
        if remote is None:
            return told
        specs, unsent = _to_push(session, remote, earlier.tag)
        return replace(told, remote=remote, pushed=True, pushed_now=bool(specs), unsent=unsent)
    proposal = _proposed(session, wanted, wish, base, standing, remote)
    message = proposal.commit_message if proposal.edits else None
    return replace(
        _of_proposal(proposal, None if proposal.edits else base),
        remote=remote,
        pushed=remote is not None,
        pushed_now=remote is not None,
        dry=True,
        commit_message=message,
    )


def check(session: Session, wish: Wish) -> None:
    """See beforehand, before anything lands, that the plan's release can be made: its tag and its remote."""
    wanted = asked(session.plan.release, wish)
    base, standing = _ground(session, landed=False)
    refuse_without_next(session, wanted, base)
    remote = _remote(session, wish)
    existing = tag_at(session.repository.git, wanted.tag) if wanted.tag else None
    if wanted.tag and existing is None:
        _refuse_taken(session.repository.git, wanted.tag, session.plan.base, "nothing was landed")
    if existing is not None:
        more = [s.id for s in standing if s.has_work]
        mine = next((r for r in records(session, session.plan.base) if r.tag == existing), None)
        if mine is None:
            raise Refused(
                f"the tag {wanted.tag} exists already, at {existing.commit[:12]}; nothing was landed", hint=_OTHER_TAG
            )
        if more:
            raise Refused(
                f"the tag {wanted.tag} is at {existing.commit[:12]} already, without {', '.join(more)}; "
                "nothing was landed",
                hint="name another in br3.toml and call br3 run, or: br3 merge, then br3 release --tag ANOTHER",
            )
    if remote is not None:
        tag = wanted.tag if existing is None else None
        there = pushing.look(session, remote, tag)
        lands = session.plan.lands_by != "pr" and any(s.has_work for s in standing)
        if lands and session.plan.landing.fetch and upstream.is_at(session, remote):
            there = replace(there, base=None)  # landing takes up what the remote has on base
        pushing.refuse_what_cannot_go(session, there, tag, base)


def _ground(session: Session, *, landed: bool = True) -> tuple[CommitId, list[Standing]]:
    base = tip_of_base(session)
    standing = standings(session)
    if landed and not any(s.landed for s in standing):
        raise Br3Error("nothing of this plan has landed yet, so there is nothing to tag", hint="br3 merge")
    return base, standing


def _remote(session: Session, wish: Wish) -> str | None:
    """Where to push; None: nowhere."""
    wants = session.plan.release.push if wish.push is None else wish.push
    return (wish.remote or session.plan.release.remote) if wants else None


def _released(session: Session, wanted: Asked, wish: Wish, gen: int, report: Report) -> Released:
    base, standing = _ground(session)
    remote = _remote(session, wish)
    earlier = _earlier(session, wanted, base, standing, remote)
    if earlier is not None:
        done = _of_earlier(session, earlier)
    else:
        proposal = _proposed(session, wanted, wish, base, standing, remote)
        done = _make(session, proposal, wanted.bump, standing, remote, gen, report)
    if remote is None:
        return done
    tag = tag_at(session.repository.git, done.tag)
    if tag is None:
        raise Br3Error(f"the tag {done.tag} has vanished", hint="br3 release")
    specs, unsent = _to_push(session, remote, tag)
    done = replace(done, remote=remote, pushed=True, pushed_now=bool(specs), unsent=unsent)
    if specs:
        report(f"pushing {session.plan.base} and {done.tag} to {remote}")
        pushing.push(session, remote, specs, tag, session.run, gen)
    elif earlier is None or remote not in earlier.pushed:
        facts: dict[str, Any] = {"tag": tag.name, "remote": remote, "commit": tag.commit}
        session.journal.append("release.pushed", run=session.run, gen=gen, **facts)
    return done


def _to_push(session: Session, remote: str, tag: Tag) -> tuple[list[str], tuple[str, ...]]:
    """What a remote lacks of the release of a tag, by its own word, and the tags of earlier ones that it lacks."""
    known = records(session, session.plan.base)
    others = [record.tag.name for record in reversed(known) if record.tag.name != tag.name]
    there = pushing.look(session, remote, tag.name, others)
    sent = any(record.tag == tag and remote in record.pushed for record in known)
    lacking = tuple(name for name in others if name not in there.tags)
    return pushing.missing(session, there, tag, sent=sent), lacking


def _earlier(
    session: Session, wanted: Asked, base: CommitId, standing: Sequence[Standing], remote: str | None
) -> Record | None:
    """The release that is wanted, if it is there already: it may have to be pushed yet."""
    known = records(session, session.plan.base)
    if wanted.tag is None:
        newest = known[0] if known else None
        same = newest is not None and wanted.bump in ("auto", newest.bump)  # another step is another release
        if newest is None or not same or not wanted.versions([newest.tag]):
            return None
        unpushed = remote is not None and remote == newest.remote and remote not in newest.pushed
        current = newest.tag.commit == base or (unpushed and not _later(session, newest.tag, base, standing))
        return newest if current else None
    existing = tag_at(session.repository.git, wanted.tag)
    if existing is None:
        return None
    mine = next((record for record in known if record.tag == existing), None)
    if mine is None:
        raise Refused(f"the tag {wanted.tag} exists already, at {existing.commit[:12]}", hint=_OTHER_TAG)
    later = _later(session, existing, base, standing)
    if later:
        raise Refused(f"the tag {wanted.tag} is at {existing.commit[:12]}, without {', '.join(later)}", hint=_OTHER_TAG)
    return mine


def _later(session: Session, tag: Tag, base: CommitId, standing: Sequence[Standing]) -> list[str]:
    """The builds that have landed since."""
    commits = commits_between(session.repository.git, tag.commit, base)
    return [build.id for build in landed_in(session, commits, standing)]


def _proposed(
    session: Session, wanted: Asked, wish: Wish, base: CommitId, standing: Sequence[Standing], remote: str | None
) -> Proposal:
    """The release to make, when nothing is in its way."""
    git = session.repository.git
    newest = next(iter(records(session, session.plan.base)), None)
    try:
        proposal = propose(session, wanted, base, standing, newest.tag if newest else None, wish.message)
    except NothingToRelease as nothing:
        if newest is not None and remote is not None and remote not in newest.pushed:
            tag = newest.tag.name
            more = f"; or {nothing.hint}" if nothing.hint else ""
            nothing.hint = f"{tag} was not pushed: {pushing.command(session, tag, remote)} does that{more}"
        raise
    _refuse_taken(git, proposal.tag, proposal.base, "nothing was tagged")
    if remote is not None:
        there = pushing.look(session, remote, proposal.tag)
        pushing.refuse_what_cannot_go(session, there, proposal.tag, base)
    return proposal


def _refuse_taken(git: Git, tag: str, base: str, so: str) -> None:
    other = taken_by(git, tag)
    if other == tag:
        raise Refused(f"the tag {tag} exists already, and is not on {base}; {so}", hint=_OTHER_TAG)
    if other is not None:
        raise Refused(f"git cannot have a tag {tag} beside the tag {other}; {so}", hint=_OTHER_TAG)


def _ref(proposal: Proposal) -> str:
    return f"refs/tags/{proposal.tag}"


def _make(
    session: Session,
    proposal: Proposal,
    bump: str | None,
    standing: Sequence[Standing],
    remote: str | None,
    gen: int,
    report: Report,
) -> Released:
    git, journal = session.repository.git, session.journal
    commit = proposal.commit
    checkouts = checkouts_of(session.repository, proposal.base) if proposal.edits else []
    if proposal.edits:
        commit = _commit(Git(session.repository.top), proposal)
        try_checkouts(checkouts, proposal.commit, commit)  # before minutes go into a verification
        _verify(session, proposal, commit, standing, gen, report)
    made = make_tag(Git(session.repository.top), proposal.tag, commit, proposal.notes)
    facts: dict[str, Any] = {"base": proposal.base, "tag": proposal.tag, "commit": commit, "object": made}
    version = str(proposal.version) if proposal.version else None
    more: dict[str, Any] = {
        "before": proposal.commit,
        "version": version,
        "bump": bump,
        "push": remote is not None,
        "remote": remote,
    }
    journal.append("release.intent", run=session.run, gen=gen, **facts, **more)
    creation = (_ref(proposal), made, NULL_ID)
    if proposal.edits:
        step = Move(proposal.base, proposal.commit, commit, also=(creation,), what=f"release {proposal.tag}")
        move(git, step, checkouts, journal, run=session.run, gen=gen)
    else:
        head = f"refs/heads/{proposal.base}"
        # Base is named too: the tag is of base as it stands, or it is not made.
        if not refs.move_together(git, [(head, commit, commit), creation], f"br3 release {proposal.tag}"):
            if refs.resolve(git, head) != commit:
                raise BaseMoved
            raise Refused(f"somebody made the tag {proposal.tag} meanwhile", hint="the same command again")
    journal.append("release.tagged", run=session.run, gen=gen, **facts)
    return _of_proposal(proposal, commit)


def _commit(git: Git, proposal: Proposal) -> CommitId:
    tree = editing.tree_with(git, proposal.commit, {edit.path: edit.after for edit in proposal.edits})
    message = proposal.commit_message.rstrip("\n") + "\n"
    return merges.commit(git, tree, [proposal.commit], message, sign=merges.signs(git))


def _verify(
    session: Session,
    proposal: Proposal,
    commit: CommitId,
    standing: Sequence[Standing],
    gen: int,
    report: Report,
) -> None:
    builds = [s.build for s in standing if s.landed]
    wanted = verification_of(session, builds)
    subject = verifying.subject(session, commit, wanted, builds)
    tested = verifying.verify_commit(
        session,
        subject,
        purpose="train",
        gen=gen,
        again=True,
        report=lambda command: report(f"verifying {proposal.tag}: {command}"),
    )
    if not tested.passed:
        shown = [f"    {line}" for line in tested.ending.split("\n")] if tested.ending else []
        files = ", ".join(edit.path for edit in proposal.edits)
        raise ReleaseFailed(
            "\n".join(
                [
                    f"nothing was released: with {files} changed for {proposal.tag} the whole fails the verification: "
                    f"{tested.reason}",
                    *shown,
                    f"log: {tested.log}",
                ]
            ),
            hint="br3 release --dry-run shows what would be changed; mend what fails, land it, then br3 release",
        )


def _of_proposal(proposal: Proposal, commit: CommitId | None) -> Released:
    return Released(
        proposal.tag,
        str(proposal.version) if proposal.version else None,
        proposal.reason,
        commit,
        proposal.commit,
        proposal.notes,
        made=True,
        edits=proposal.edits,
    )


def _of_earlier(session: Session, record: Record) -> Released:
    notes, remote = message_of(session.repository.git, record.tag.name), next(iter(sorted(record.pushed)), None)
    known = (record.tag.name, record.version, "made before", record.tag.commit, record.before, notes)
    return Released(*known, remote, pushed=remote is not None)
