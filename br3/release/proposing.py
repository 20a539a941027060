"""What a release would be: its version, its tag, its notes, the files it changes. Nothing is written here.

Everything is read from base as it stands, never from a checkout.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from br3.dispatch.sessions import Session
from br3.dispatch.standing import Standing
from br3.errors import Br3Error, UsageError
from br3.landing.testing import verification_of
from br3.release import changelog, notes, version_files
from br3.release.conventional import Commit, changes_in, commits_between, greatest
from br3.release.landed import Landed, landed_in, tests_of
from br3.release.naming import Asked
from br3.release.versions import CHANGES, Change, Version, bumped, following
from br3.repo import editing
from br3.repo.editing import File
from br3.repo.history import is_cut_off, touching
from br3.repo.refs import CommitId
from br3.repo.tags import Tag, merged_tags
from br3.wording import counted

FIRST = Version(0, 1, 0)
"""The first version, where neither tags nor files tell of one."""


class NothingToRelease(Br3Error):
    """There is no commit of a kind that makes a version."""


@dataclass(frozen=True)
class Edit:
    """A file as the release would have it; ``before`` is None when it is new."""

    path: str
    before: File | None
    after: File

    def diff(self) -> list[str]:
        """Lines with ``+``, ``-`` or a space before them; ``@@`` where something is left out."""
        old = version_files.decoded(self.before.content).splitlines() if self.before else []
        new = version_files.decoded(self.after.content).splitlines()
        return list(difflib.unified_diff(old, new, n=1, lineterm=""))[2:]


@dataclass(frozen=True)
class Proposal:
    """A release that can be made on ``commit``, base as it stands. ``reason`` is why it has this version."""

    tag: str
    version: Version | None
    reason: str
    base: str
    commit: CommitId
    landed: tuple[Landed, ...]
    edits: tuple[Edit, ...]
    notes: str
    commit_message: str


def propose(
    session: Session, wanted: Asked, base: CommitId, standing: Sequence[Standing], own: Tag | None, message: str | None
) -> Proposal:
    """The release that is asked for. ``own`` is the newest tag that br3 made here.

    Raises UsageError (no version follows, files that do not fit), NothingToRelease.
    """
    git, release = session.repository.git, session.plan.release
    ranked = wanted.versions([tag for tag in merged_tags(git, base) if tag.name != wanted.tag])
    last = ranked[0] if ranked else None
    since = last[1] if last else own
    commits = commits_between(git, since.commit if since else None, base)
    paths = dict.fromkeys(version_files.path_of(entry) for entry in release.version_files)
    files = editing.read_files(git, base, [*paths, *([release.changelog] if release.changelog else [])])
    places = {path: _places(release.version_files, path, files.get(path)) for path in paths}
    held = version_files.agreed([place for found in places.values() for place in found])
    version, reason = wanted.version, "as asked for"
    if wanted.tag is None:
        if last is None and is_cut_off(git):
            raise UsageError(
                f"this clone is shallow, and what there is of {session.plan.base} has no release that one could follow",
                hint="git fetch --unshallow --tags; or name it: br3 release --version 1.2.0",
            )
        final = next(((v, tag) for v, tag in ranked if not v.pre), None)
        since_final = commits_between(git, final[1].commit, base) if final and final != last else commits
        version, reason = _next(session, wanted, last, final, held, commits, since_final)
    if version and last and version.precedence < last[0].precedence:
        raise UsageError(
            f"{version} comes before {last[0]}, which {session.plan.base} contains as {last[1].name}",
            hint="br3 release --bump auto, or a higher version",
        )
    tag = wanted.tag or (wanted.tag_of(version) if version else "")
    if version is None and (places or release.changelog):
        raise UsageError(
            f"the tag {tag} has no version in it, and files are to get one",
            hint="br3 release --version 1.2.0, or a tag such as v1.2.0",
        )
    landed = landed_in(session, commits, standing)
    whole = verification_of(session, [s.build for s in standing if s.landed])
    before = tests_of(session, since.commit, whole) if since else None
    after = tests_of(session, base, whole)
    title = message or release.message or session.plan.name
    edits = []
    if version is not None:
        edits = [_rewritten(files[path], path, found, version) for path, found in places.items()]
    if version is not None and release.changelog:
        mine = _own_words(session, since, base, release.changelog, landed)
        today = datetime.now(UTC).date().isoformat()
        section = notes.section(str(version), tag, today, landed, mine, title, before, after)
        edits.append(_with_section(files.get(release.changelog), release.changelog, section))
    return Proposal(
        tag,
        version,
        reason,
        session.plan.base,
        base,
        tuple(landed),
        tuple(edit for edit in edits if edit.before is None or edit.before.content != edit.after.content),
        notes.tag_message(title, session.plan.base, landed, before, after),
        release.commit_message.replace("{tag}", tag).replace("{version}", str(version)),
    )


def _next(
    session: Session,
    wanted: Asked,
    last: tuple[Version, Tag] | None,
    final: tuple[Version, Tag] | None,
    held: Version | None,
    commits: Sequence[Commit],
    since_final: Sequence[Commit],
) -> tuple[Version, str]:
    """The version that follows, and why."""
    if wanted.bump != "auto":
        if last is None:
            return _first(session, wanted, held)
        found = bumped(last[0], wanted.bump)  # type: ignore[arg-type]
        if found is None:
            raise _no_prerelease(last[0])
        return found, f"{wanted.bump}, after {last[0]}"
    if last is None:
        return _first(session, wanted, held)
    changes = changes_in(commits)
    change, in_all = greatest(changes), greatest(changes_in(since_final))
    if change is None or in_all is None:
        what = f"{counted(len(commits), 'commit')}, no feat, no fix, nothing breaking" if commits else "no commits"
        raise NothingToRelease(
            f"there is nothing to release on {session.plan.base} since {last[1].name}: {what}",
            hint="br3 release --bump patch makes one all the same" if commits else None,
        )
    return following(last[0], final[0] if final else None, change, in_all), f"{_counted(changes)} since {last[1].name}"


def _first(session: Session, wanted: Asked, held: Version | None) -> tuple[Version, str]:
    """The version of the first release, which is nobody's successor."""
    if wanted.bump == "prerelease" and not (held and held.pre):
        raise (
            _no_prerelease(held)
            if held
            else UsageError(
                f"there is no release on {session.plan.base} yet that a prerelease could follow",
                hint=f"name the first: br3 release --version {FIRST}-alpha.1",
            )
        )
    return (held, "the first release, as its files say") if held else (FIRST, "the first release")


def refuse_without_next(session: Session, wanted: Asked, base: CommitId) -> None:
    """UsageError where no version can follow, as far as that is known before anything lands."""
    if wanted.bump != "prerelease":
        return
    ranked = wanted.versions(merged_tags(session.repository.git, base))
    if not ranked and not session.plan.release.version_files:
        _first(session, wanted, None)
    elif ranked and not ranked[0][0].pre:
        raise _no_prerelease(ranked[0][0])


def _no_prerelease(current: Version) -> UsageError:
    return UsageError(
        f"{current} is no prerelease, so the next one could be called anything",
        hint=f"name it: br3 release --version {_by_patch(current)}-alpha.1",
    )


def _by_patch(version: Version) -> str:
    return f"{version.major}.{version.minor}.{version.patch + 1}"


def _counted(changes: Sequence[Change]) -> str:
    names = {"breaking": "breaking change", "feature": "feature", "fix": "fix"}
    counts = [(changes.count(kind), names[kind]) for kind in reversed(CHANGES)]
    plural = {"fix": "fixes"}
    return ", ".join(f"{n} {name if n == 1 else plural.get(name, name + 's')}" for n, name in counts if n)


def _places(entries: Sequence[str], path: str, file: File | None) -> list[version_files.Place]:
    if file is None or not file.regular:
        what = "no file" if file is None else "no regular file"
        raise UsageError(f"version_files: there is {what} {path} on base", hint="commit it there, or mend br3.toml")
    mine = [entry for entry in entries if version_files.path_of(entry) == path]
    return [place for entry in mine for place in version_files.find(entry, file.content)]


def _rewritten(file: File, path: str, places: Sequence[version_files.Place], version: Version) -> Edit:
    return Edit(path, file, File(file.mode, version_files.rewritten(file.content, places, version)))


def _with_section(file: File | None, path: str, section: changelog.Section) -> Edit:
    if file is not None and not file.regular:
        raise UsageError(f"changelog: {path} is no regular file on base", hint="[release] changelog in br3.toml")
    text = version_files.decoded(file.content) if file else ""
    made = changelog.with_section(text, section).encode("utf-8", "surrogateescape")
    return Edit(path, file, File(file.mode if file else "100644", made))


def _own_words(session: Session, since: Tag | None, base: CommitId, path: str, landed: Sequence[Landed]) -> list[str]:
    """The builds that have said in the changelog themselves what they are; they are not listed a second time."""
    commits = touching(session.repository.git, since.commit if since else None, base, path)
    return [build.id for build in landed if build.commit in commits]
