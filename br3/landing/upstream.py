"""What base's upstream has meanwhile, where the plan says ``[landing] fetch = true``."""

from __future__ import annotations

import sys

from br3.dispatch.sessions import Session
from br3.errors import Br3Error, Refused, UsageError
from br3.repo import refs
from br3.repo.refs import CommitId
from br3.repo.runner import Git, GitError


def taken_in(session: Session, base: CommitId, *, fetch: bool = True) -> CommitId:
    """The commit to land on: base, or what its upstream has on top of it. Refused when the two have parted.

    Without ``fetch`` the upstream is taken to be where it was seen last.
    """
    there = _fetched(session) if fetch else _seen(session, base)
    git = session.repository.git
    if refs.is_ancestor(git, there, base):
        return base
    if refs.is_ancestor(git, base, there):
        return there
    name = session.plan.base
    raise Refused(
        f"{name} and its upstream have parted: each has commits that the other has not",
        hint=f"bring them together (git pull --rebase, or git merge, on {name}), then br3 merge",
    )


def moved(session: Session, landed_on: CommitId) -> bool:
    """Whether the upstream has by now what ``landed_on`` has not."""
    return not refs.is_ancestor(session.repository.git, _fetched(session), landed_on)


def followed(session: Session) -> tuple[str, str, str]:
    """What base follows: the ref here, the remote, the ref there. UsageError when it follows nothing at a remote."""
    repository, name = session.repository, session.plan.base
    form = "%(upstream)%00%(upstream:remotename)%00%(upstream:remoteref)"
    told = repository.git("for-each-ref", f"--format={form}", f"refs/heads/{name}").text
    tracking, remote, there = told.split("\0")
    if not tracking or not remote:
        raise UsageError(
            f"[landing] fetch = true, but {name} has no upstream", hint=f"git branch -u origin/{name} {name}"
        )
    if not tracking.startswith("refs/remotes/"):
        # Of a mirror, or of another branch here: fetching would set that branch to what is there, whatever it has.
        raise UsageError(
            f"[landing] fetch = true, but what {name} follows, {tracking}, is a branch of this repository",
            hint=f"git branch -u REMOTE/{name} {name}, or [landing] fetch = false",
        )
    return tracking, remote, there


def is_at(session: Session, remote: str) -> bool:
    """Whether base follows the branch of the same name at ``remote``, and what is pushed there goes to where it is
    fetched from. UsageError: see ``followed``."""
    if followed(session)[1:] != (remote, f"refs/heads/{session.plan.base}"):
        return False
    git = session.repository.git
    fetched, pushed = (git("remote", "get-url", *how, "--", remote).lines for how in ((), ("--push", "--all")))
    return pushed == fetched


def _seen(session: Session, base: CommitId) -> CommitId:
    """Where the upstream of ``base`` was when it was last fetched; base itself when it never was."""
    return refs.resolve(session.repository.git, followed(session)[0]) or base


def _fetched(session: Session) -> CommitId:
    """Fetch the upstream of base; the commit that it is at. Two git processes, and the fetch."""
    repository, name = session.repository, session.plan.base
    tracking, remote, there = followed(session)
    # Where nobody can answer, a question for a password would wait for ever.
    env = {} if sys.stdin.isatty() else {"GIT_TERMINAL_PROMPT": "0"}
    try:
        options = ("--quiet", "--no-tags", "--no-write-fetch-head", "--recurse-submodules=no", "--")
        Git(repository.top)("fetch", *options, remote, f"+{there}:{tracking}", env=env)
    except GitError as error:
        said = session.journal.redact(error.stderr.strip())
        raise Br3Error(
            f"could not fetch {remote}: {said}", hint="br3 merge again, or [landing] fetch = false"
        ) from None
    commit = refs.resolve(repository.git, tracking)
    if commit is None:
        raise Br3Error(f"{remote} has no {there}", hint=f"git push -u {remote} {name}, or [landing] fetch = false")
    return commit
