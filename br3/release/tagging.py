"""The tag of what landed, and its push: base and tag in one atomic step of the remote."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from br3.dispatch.sessions import Session
from br3.dispatch.standing import Standing, standings
from br3.errors import Br3Error, Refused, UsageError
from br3.landing.moving import recover
from br3.plan.refnames import refusal
from br3.repo import refs
from br3.repo.refs import CommitId
from br3.repo.runner import Git, GitError
from br3.telemetry import Lock


@dataclass(frozen=True)
class Released:
    """The tag, the commit it names, and whether base and tag are at ``remote``.

    ``made`` and ``pushed_now`` say whether it was by this call.
    """

    tag: str
    commit: CommitId
    pushed: bool
    remote: str | None
    notes: str
    made: bool
    pushed_now: bool

    def as_json(self) -> dict[str, Any]:
        """The shape of ``release --json`` (DESIGN §9)."""
        version = self.tag.removeprefix("v") if self.tag[:1] == "v" else self.tag
        return {
            "tag": self.tag,
            "commit": self.commit,
            "pushed": self.pushed,
            "version": version,
            "notes": self.notes,
        }


def release(session: Session, *, tag: str | None, message: str | None, push: bool, remote: str) -> Released:
    """Tag base as it stands with what landed, and push both when ``push``. Doing it again finishes what is missing.

    Raises UsageError (no tag named, no such remote), Refused (the tag is there for something else), Br3Error (the
    remote said no: nothing changed there).
    """
    git, plan = session.repository.git, session.plan
    name = tag or plan.release.tag
    if not name:
        raise UsageError("no tag is named", hint="[release] tag in br3.toml, or: br3 release --tag v1.0.0")
    complaint = refusal(name)
    if complaint:
        raise UsageError(f"git does not take {name!r} as a tag's name: {complaint}", hint="br3 release --tag v1.0.0")
    with Lock(session.common_dir, "base", plan.base).acquire(wait_s=1) as lock:
        session.refresh()
        recover(session.repository, plan.base, session.events, session.journal, gen=lock.gen)
        session.refresh()
        base = refs.resolve(git, f"refs/heads/{plan.base}")
        landed = [s for s in standings(session) if s.landed]
        if base is None or not landed:
            raise Br3Error("nothing of this plan has landed yet, so there is nothing to tag", hint="br3 merge")
        if push:
            check_remote(git, remote)
        notes = notes_of(session, message or plan.release.message or plan.name, landed)
        commit, made = _tag(session, name, base, landed, notes, push, remote, lock.gen)
        pushed = _was_pushed(session, name, commit, remote)
        if push and not pushed:
            _push(session, name, commit, remote, lock.gen)
    done = pushed or push
    return Released(name, commit, done, remote if done else None, notes, made, pushed_now=push and not pushed)


def notes_of(session: Session, message: str, landed: Sequence[Standing]) -> str:
    """The tag's message: what the plan says, then what landed, with what each was verified by."""
    lines = [message.strip(), "", f"Landed on {session.plan.base}:", ""]
    for standing in landed:
        tests = standing.tests
        passed = tests["passed"] if tests else 0
        shown = f" ({passed} test{'' if passed == 1 else 's'} passed)" if tests else ""
        lines.append(f"- {standing.id}: {standing.build.title}{shown}")
        if len(standing.build.tasks) > 1:
            lines += [f"    - {task.id} {task.title}" for task in standing.build.tasks]
    return "\n".join(lines) + "\n"


def _tag(
    session: Session,
    name: str,
    base: CommitId,
    landed: Sequence[Standing],
    notes: str,
    push: bool,
    remote: str,
    gen: int,
) -> tuple[CommitId, bool]:
    """The commit the tag names, and whether it was made now. A tag of our own for what base contains is kept."""
    git = session.repository.git
    existing = refs.resolve(git, f"refs/tags/{name}")
    if existing is not None:
        if not _is_ours(session, name, existing) or not refs.is_ancestor(git, existing, base):
            raise Refused(f"the tag {name} exists already, at {existing[:12]}", hint=_OTHER_TAG)
        commits = {s.id: s.commit for s in landed if s.commit}
        inside = refs.contained(git, commits.values(), existing)
        later = [build for build, commit in commits.items() if commit not in inside]
        if later:
            raise Refused(f"the tag {name} is at {existing[:12]}, without {', '.join(later)}", hint=_OTHER_TAG)
        return existing, False
    facts: dict[str, Any] = {"tag": name, "commit": base}
    session.journal.append("release.intent", run=session.run, gen=gen, push=push, remote=remote, **facts)
    git("tag", "--annotate", "--file=-", "--cleanup=verbatim", "--", name, base, input=notes.encode())
    session.journal.append("release.tagged", run=session.run, gen=gen, **facts)
    return base, True


def check(session: Session, *, push: bool, remote: str) -> None:
    """See beforehand, before anything lands, that the plan's release can be made: its tag and its remote."""
    git, tag = session.repository.git, session.plan.release.tag
    if tag and push:
        check_remote(git, remote)
    existing = refs.resolve(git, f"refs/tags/{tag}") if tag else None
    if existing is None:
        return
    if not _is_ours(session, str(tag), existing):
        raise Refused(f"the tag {tag} exists already, at {existing[:12]}; nothing was landed", hint=_OTHER_TAG)
    more = [s.id for s in standings(session) if s.has_work]
    if more:
        raise Refused(
            f"the tag {tag} is at {existing[:12]} already, without {', '.join(more)}; nothing was landed",
            hint="name another in br3.toml and call br3 run, or: br3 merge, then br3 release --tag ANOTHER",
        )


_OTHER_TAG = "name another in br3.toml, [release] tag, or: br3 release --tag ANOTHER"


def _is_ours(session: Session, name: str, commit: CommitId) -> bool:
    facts = [e.data for e in session.events if e.kind in ("release.intent", "release.tagged")]
    return any((data.get("tag"), data.get("commit")) == (name, commit) for data in facts)


def check_remote(git: Git, remote: str) -> None:
    """UsageError when there is no such remote."""
    known = git("remote").text.split()
    if remote not in known:
        there = f"remotes here: {', '.join(known)}" if known else f"git remote add {remote} URL"
        raise UsageError(f"there is no remote {remote!r}; nothing was tagged or pushed", hint=there)


def _was_pushed(session: Session, name: str, commit: CommitId, remote: str) -> bool:
    return any(
        e.kind == "release.pushed"
        and (e.data.get("tag"), e.data.get("commit"), e.data.get("remote")) == (name, commit, remote)
        for e in session.events
    )


def _push(session: Session, name: str, commit: CommitId, remote: str, gen: int) -> None:
    git, base = Git(session.repository.top), session.plan.base
    specs = [f"refs/heads/{base}:refs/heads/{base}", f"refs/tags/{name}:refs/tags/{name}"]
    # Where nobody can answer, a question for a password would wait for ever.
    env = {} if sys.stdin.isatty() else {"GIT_TERMINAL_PROMPT": "0"}
    try:
        # Nothing but these two, whatever push.followTags or push.recurseSubmodules say.
        git("push", "--atomic", "--porcelain", "--no-follow-tags", "--recurse-submodules=no", remote, *specs, env=env)
    except GitError as error:
        reason = session.journal.redact(error.stderr.strip() or "the remote rejected it")
        session.journal.append(
            "release.rejected", "error", run=session.run, gen=gen, tag=name, remote=remote, reason=reason
        )
        raise Br3Error(
            f"{remote} did not take the push; nothing changed there, the tag {name} stays here\n{reason}",
            hint="when that is mended: br3 release --push (it then only pushes)",
        ) from error
    session.journal.append("release.pushed", run=session.run, gen=gen, tag=name, commit=commit, remote=remote)
