"""The tag of what landed, and its push: base and tag in one atomic step of the remote."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from br3.dispatch.sessions import Session
from br3.dispatch.standing import Standing, standings
from br3.errors import Br3Error, Refused, UsageError
from br3.repo import refs
from br3.repo.refs import CommitId
from br3.repo.runner import Git, GitError
from br3.telemetry import Lock


@dataclass(frozen=True)
class Released:
    """The tag, the commit it names, whether base and tag are at ``remote``; ``news`` is whether this call made it."""

    tag: str
    commit: CommitId
    pushed: bool
    remote: str | None
    notes: str
    made: bool

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
    with Lock(session.common_dir, "base", plan.base).acquire(wait_s=1) as lock:
        session.refresh()
        base = refs.resolve(git, f"refs/heads/{plan.base}")
        landed = [s for s in standings(session) if s.landed]
        if base is None or not landed:
            raise Br3Error("nothing of this plan has landed yet, so there is nothing to tag", hint="br3 merge")
        if push:
            _check_remote(git, remote)
        notes = notes_of(session, message or plan.release.message or plan.name, landed)
        commit, made = _tag(session, name, base, notes, push, remote, lock.gen)
        pushed = _was_pushed(session, name, commit, remote)
        if push and not pushed:
            _push(session, name, commit, remote, lock.gen)
            pushed = True
    return Released(name, commit, pushed, remote if pushed else None, notes, made)


def notes_of(session: Session, message: str, landed: Sequence[Standing]) -> str:
    """The tag's message: what the plan says, then what landed, with what each was verified by."""
    lines = [message.strip(), "", f"Landed on {session.plan.base}:", ""]
    for standing in landed:
        tests = standing.tests
        shown = f" ({tests['passed']} tests passed)" if tests else ""
        lines.append(f"- {standing.id}: {standing.build.title}{shown}")
        if len(standing.build.tasks) > 1:
            lines += [f"    - {task.id} {task.title}" for task in standing.build.tasks]
    return "\n".join(lines) + "\n"


def _tag(
    session: Session, name: str, base: CommitId, notes: str, push: bool, remote: str, gen: int
) -> tuple[CommitId, bool]:
    """The commit the tag names, and whether it was made now. A tag of our own for what base contains is kept."""
    git = session.repository.git
    existing = refs.resolve(git, f"refs/tags/{name}")
    if existing is not None:
        ours = any(
            e.kind in ("release.intent", "release.tagged")
            and e.data.get("tag") == name
            and e.data["commit"] == existing
            for e in session.events
        )
        if not ours or not refs.is_ancestor(git, existing, base):
            raise Refused(f"the tag {name} exists already, at {existing[:12]}", hint="br3 release --tag ANOTHER")
        return existing, False
    facts: dict[str, Any] = {"tag": name, "commit": base}
    session.journal.append("release.intent", run=session.run, gen=gen, push=push, remote=remote, **facts)
    git("tag", "--annotate", "--file=-", "--cleanup=verbatim", "--", name, base, input=notes.encode())
    session.journal.append("release.tagged", run=session.run, gen=gen, **facts)
    return base, True


def _check_remote(git: Git, remote: str) -> None:
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
    git, base = session.repository.git, session.plan.base
    specs = [f"refs/heads/{base}:refs/heads/{base}", f"refs/tags/{name}:refs/tags/{name}"]
    # Where nobody can answer, a question for a password would wait for ever.
    env = {} if sys.stdin.isatty() else {"GIT_TERMINAL_PROMPT": "0"}
    try:
        git("push", "--atomic", "--porcelain", remote, *specs, env=env)
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
