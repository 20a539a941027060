"""Which releases br3 made here, by the journal and by what the tags hold now."""

from __future__ import annotations

from dataclasses import dataclass

from br3.dispatch.sessions import Session
from br3.repo.refs import CommitId
from br3.repo.tags import Tag, merged_tags
from br3.telemetry import Event


@dataclass(frozen=True)
class Record:
    """A release that br3 made, whose tag is still what it made of it.

    ``before`` is base without its commit, the same as ``tag.commit`` when it has none. ``bump`` is what was asked for,
    None when it was named. ``remote``: where it was to be pushed when it was made; ``pushed`` and ``tried`` are the
    remotes that have it and those that were sent it.
    """

    tag: Tag
    before: CommitId
    version: str | None
    bump: str | None
    remote: str | None
    pushed: frozenset[str]
    tried: frozenset[str]

    @property
    def has_commit(self) -> bool:
        return self.before != self.tag.commit


def records(session: Session, base: str) -> list[Record]:
    """The releases on ``base`` as it stands, the newest first."""
    tags = {tag.name: tag for tag in merged_tags(session.repository.git, f"refs/heads/{base}")}
    found: dict[str, Record] = {}
    intents = [e for e in session.events if e.kind == "release.intent" and e.data.get("base", base) == base]
    for event in sorted(intents, key=lambda e: e.order, reverse=True):
        tag = tags.get(str(event.data.get("tag")))
        if tag is not None and tag.name not in found and made_by(event, tag):
            found[tag.name] = _record(session, event, tag)
    return list(found.values())


def made_by(event: Event, tag: Tag) -> bool:
    """Whether the tag is what the event says is about to be made; older ones name the commit only."""
    made = event.data.get("object")
    return tag.object == made if made else tag.commit == event.data.get("commit")


def _record(session: Session, intent: Event, tag: Tag) -> Record:
    data = intent.data
    later = [e for e in session.events if e.data.get("tag") == tag.name and e.kind.startswith("release.")]
    pushed = {str(e.data["remote"]) for e in later if e.kind == "release.pushed" and e.data["commit"] == tag.commit}
    tried = {str(e.data["remote"]) for e in later if e.kind in ("release.pushing", "release.rejected")}
    wanted = str(data["remote"]) if data.get("push") else None
    before = CommitId(data.get("before") or tag.commit)
    return Record(
        tag, before, data.get("version"), data.get("bump"), wanted, frozenset(pushed), frozenset(pushed | tried)
    )
