"""The push of a release: base and tag in one atomic step of the remote, and what the remote has beforehand."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from br3.dispatch.sessions import Session, tip_of_base
from br3.errors import Br3Error, Refused, UsageError
from br3.repo import refs
from br3.repo.refs import CommitId
from br3.repo.runner import Git, GitError
from br3.repo.tags import Tag


@dataclass(frozen=True)
class Remote:
    """What a remote has of a release: where base stands there, and what its tag of that name holds; None: nothing.

    ``tags``: those that it has of all that were asked for.
    """

    name: str
    base: CommitId | None
    tag: str | None
    tags: frozenset[str] = frozenset()


def look(session: Session, name: str, tag: str | None, also: Sequence[str] = ()) -> Remote:
    """Ask a remote; for the tags ``also``, too. UsageError when there is no such one, Br3Error: it does not answer."""
    git, base = Git(session.repository.top), f"refs/heads/{session.plan.base}"
    url = _url(git, name)
    wanted = [base, *(f"refs/tags/{name}" for name in ([tag] if tag else []) + list(also))]
    try:
        lines = git("ls-remote", "--", url, *wanted, env=_unasked()).lines
    except GitError as error:
        reason = session.journal.redact(error.stderr.strip() or "it did not answer")
        raise Br3Error(
            f"{name} cannot be asked what it has; nothing was tagged or pushed\n{reason}",
            hint="when it answers: the same command again; without a push: --no-push",
        ) from error
    held = {ref: held for held, _, ref in (line.partition("\t") for line in lines)}
    there = held.get(base)
    tags = frozenset(ref.removeprefix("refs/tags/") for ref in held if ref.startswith("refs/tags/"))
    return Remote(name, CommitId(there) if there else None, held.get(f"refs/tags/{tag}"), tags)


def refuse_what_cannot_go(session: Session, remote: Remote, tag: str | None, base: CommitId) -> None:
    """Refused, before anything is made, when the remote could not take a release of ``base``."""
    if tag and remote.tag is not None:
        raise Refused(
            f"{remote.name} has a tag {tag} already, at {remote.tag[:12]}; nothing was tagged or pushed",
            hint=f"see it: git fetch {remote.name} tag {tag}; or name another: br3 release --tag ANOTHER",
        )
    if remote.base is not None and not _contains(session.repository.git, base, remote.base):
        name, there = session.plan.base, remote.name
        raise Refused(
            f"{there} has commits on {name} that are not here; nothing was tagged or pushed",
            hint=f"take them up first: git fetch {there} && git merge {there}/{name}; then the same command again",
        )


def missing(session: Session, remote: Remote, tag: Tag, *, sent: bool) -> list[str]:
    """What the remote lacks of a release that is made here, as refspecs: base as it stands, the tag, or nothing.

    A base that the remote has is left alone. ``sent``: the release was pushed there before. Raises Refused: it has
    another tag of that name, or commits on base that are not here.
    """
    git, name, there = session.repository.git, session.plan.base, remote.name
    base = tip_of_base(session)
    if remote.tag not in (None, tag.object):
        raise Refused(
            f"{there} has another tag {tag.name}, at {str(remote.tag)[:12]}; nothing was pushed",
            hint=f"br3 release --undo, then name another: br3 release --tag ANOTHER (theirs: git fetch {there})",
        )
    specs = [] if remote.tag else [f"{tag.object}:refs/tags/{tag.name}"]
    unknown = remote.base is not None and refs.resolve(git, remote.base) is None
    if remote.tag and (sent if unknown else remote.base is not None and _contains(git, remote.base, tag.commit)):
        return []
    if remote.base is not None and not unknown and _contains(git, remote.base, base):
        return specs
    if remote.base is not None and not _contains(git, base, remote.base):
        take = f"git fetch {there} && git merge {there}/{name}"
        raise Refused(
            f"{there} has commits on {name} that are not here; nothing was pushed, and {tag.name} is only here",
            hint=f"make it anew on top of theirs: git fetch {there}, br3 release --undo, git merge {there}/{name}, "
            f"the same command; or as it is: {take}, then {command(session, tag.name, there)}",
        )
    return [f"{base}:refs/heads/{name}", *specs]


def command(session: Session, tag: str, remote: str) -> str:
    """The command that pushes the release of that tag, and does nothing else."""
    where = "" if remote == session.plan.release.remote else f" --remote {shlex.quote(remote)}"
    return f"br3 release --tag {shlex.quote(tag)} --push{where}"


def push(session: Session, name: str, specs: Sequence[str], tag: Tag, run: str, gen: int) -> None:
    """Push ``specs`` of the release, all or none. Raises Br3Error (the remote said no: nothing changed there)."""
    git, base = Git(session.repository.top), session.plan.base
    on = refs.resolve(git, f"refs/heads/{base}")
    stays = f"the tag {tag.name}, and {base} at {str(on)[:9]}, stay"
    facts: dict[str, Any] = {"tag": tag.name, "remote": name}
    session.journal.append("release.pushing", run=run, gen=gen, commit=tag.commit, **facts)
    try:
        # Nothing but these two, whatever push.followTags or push.recurseSubmodules say.
        words = ("--atomic", "--porcelain", "--no-follow-tags", "--recurse-submodules=no", "--")
        git("push", *words, name, *specs, env=_unasked())
    except KeyboardInterrupt as stopped:
        stopped.add_note(
            f"whether {name} has taken {tag.name} is not known; {stays} here\n"
            f"next: {command(session, tag.name, name)} pushes what it lacks; br3 release --undo takes the release back"
        )
        raise
    except GitError as error:
        reason = session.journal.redact(error.stderr.strip() or "the remote rejected it")
        session.journal.append("release.rejected", "error", run=run, gen=gen, reason=reason, **facts)
        raise Br3Error(
            f"{name} did not take the push; nothing changed there, {stays} here\n{reason}",
            hint=f"when that is mended, the same command again, or {command(session, tag.name, name)}: "
            "it then only pushes; or take the release back: br3 release --undo",
        ) from error
    session.journal.append("release.pushed", run=run, gen=gen, commit=tag.commit, **facts)


def _url(git: Git, name: str) -> str:
    known = git("remote").lines
    if name not in known:
        there = f"remotes here: {', '.join(known)}" if known else f"git remote add {name} URL"
        raise UsageError(f"there is no remote {name!r}; nothing was tagged or pushed", hint=there)
    urls = git("remote", "get-url", "--push", "--all", "--", name).lines
    if len(urls) > 1:
        raise UsageError(
            f"{name} pushes to {len(urls)} places, and no push is one step in all; nothing was tagged or pushed",
            hint="--remote NAME, one that has a single place",
        )
    return urls[0]


def _contains(git: Git, commit: CommitId, other: CommitId) -> bool:
    """Whether ``commit`` contains ``other``; what is not here is in nothing."""
    return refs.resolve(git, other) is not None and refs.is_ancestor(git, other, commit)


def _unasked() -> dict[str, str]:
    """Where nobody can answer, a question for a password would wait for ever."""
    return {} if sys.stdin.isatty() and "GIT_TERMINAL_PROMPT" not in os.environ else {"GIT_TERMINAL_PROMPT": "0"}
