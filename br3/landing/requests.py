"""Landing by pull request: the verified builds' branches are pushed, and a request is opened for each, or printed.

    who may board (as for a train) → ask the remote → push what it lacks → ask for requests → open what is missing

Base does not move here; it moves on the forge, and once that was pulled the builds count as landed. Pushes are plain:
what the remote does not take as a fast-forward it refuses, and that is told for each branch. Doing it again pushes
and opens nothing twice, also after a ``kill -9`` at any step: the remote and the forge are asked, not the journal.
Git processes: 6, and a few for each build that boards.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from br3.dispatch.sessions import Session, tip_of_base
from br3.dispatch.standing import Standing
from br3.errors import Br3Error, UsageError
from br3.landing.boarding import Aside, board
from br3.landing.describing import text_of, title_of
from br3.landing.forges import Forge, place_of, standing_for
from br3.landing.moving import recover
from br3.plan.model import Build
from br3.repo import refs
from br3.repo.containing import contained_in
from br3.repo.refs import CommitId
from br3.repo.runner import Git, GitError, Result
from br3.telemetry import Lock
from br3.wording import counted

FAILURES = ("rejected", "not opened")
"""States that leave a request to be made."""


@dataclass
class Request:
    """A build's request. ``state``: foreseen, rejected, printed, opened, open, merged, closed or not opened; ``pushed``
    says whether its branch was, just now; ``url`` is the request's, or where one is opened by hand."""

    id: str
    branch: str
    commit: CommitId
    title: str
    text: Path
    state: str = "foreseen"
    pushed: bool = False
    url: str | None = None
    reason: str | None = None

    def as_json(self) -> dict[str, Any]:
        return {**vars(self), "text": str(self.text)}


@dataclass
class Requested:
    """What came of it. ``before``: the builds that are on base already."""

    base: str
    commit: CommitId
    remote: str
    requests: list[Request] = field(default_factory=list)
    before: list[str] = field(default_factory=list)
    aside: list[Aside] = field(default_factory=list)
    landed: tuple[str, ...] = ()
    """Nothing: base does not move here."""
    warnings: list[str] = field(default_factory=list)
    test_runs: int = 0

    @property
    def failed(self) -> bool:
        """Whether anything is left to be done here."""
        return bool(self.aside) or any(request.state in FAILURES for request in self.requests)

    def as_json(self) -> dict[str, Any]:
        """The shape of ``merge --json``, where nothing lands."""
        return {
            "base_before": self.commit,
            "base_after": self.commit,
            "landed": list(self.landed),
            "already_landed": self.before,
            "aside": [aside.as_json() for aside in self.aside],
            "test_runs": self.test_runs,
            "remote": self.remote,
            "requests": [request.as_json() for request in self.requests],
            "warnings": self.warnings,
        }


def request(
    session: Session,
    builds: Sequence[Build],
    report: Callable[[str], None] = lambda _: None,
    *,
    dry_run: bool = False,
) -> Requested:
    """Push the verified ones of ``builds`` to the plan's remote and see that each has a request.

    ``dry_run`` verifies, pushes and opens nothing. Raises UsageError (no such remote), Br3Error (the remote cannot be
    reached or has no such base), LockHeld.
    """
    plan, git = session.plan, session.repository.git
    remote = plan.release.remote
    _check_remote(git, remote)
    with Lock(session.common_dir, "base", plan.base).acquire(wait_s=1) as lock:
        session.refresh()
        if not dry_run and recover(session.repository, plan.base, session.events, session.journal, gen=lock.gen):
            session.refresh()
        base = tip_of_base(session)
        boarding = board(session, builds, report, look_only=dry_run)
        session.refresh()  # for the verdicts that were made just now
        requested = Requested(plan.base, base, remote, before=boarding.before, aside=boarding.aside)
        requested.test_runs = boarding.test_runs
        ready = []
        for standing in boarding.ready:
            assert standing.commit is not None
            if contained_in(git, base, standing.commit) is None:
                ready.append(standing)
            else:
                requested.before.append(standing.id)  # squashed or rebased on the forge
        requested.requests = [_prepare(session, standing) for standing in ready]
        if not dry_run and ready:
            _push(session, requested, lock.gen, report)
            _open(session, requested, ready, lock.gen, report)
    return requested


def _check_remote(git: Git, remote: str) -> None:
    known = git("remote").text.split("\n")
    if remote not in known:
        there = f"remotes here: {', '.join(known)}" if any(known) else f"git remote add {remote} URL"
        raise UsageError(f"there is no remote {remote!r} to push to; nothing was pushed", hint=there)


def _prepare(session: Session, standing: Standing) -> Request:
    assert standing.commit is not None
    place = session.run_dir / standing.id / "request.md"
    title = session.journal.redact(title_of(standing))
    return Request(standing.id, standing.build.branch, standing.commit, title, place)


def _push(session: Session, requested: Requested, gen: int, report: Callable[[str], None]) -> None:
    """Push the branches that the remote has not as they are; what it refuses is noted in the requests."""
    remote = requested.remote
    report(f"asking {remote}")
    there = _tips(session, requested)
    top = there.get(f"refs/heads/{requested.base}")
    if top is None:
        raise Br3Error(
            f"{remote} has no branch {requested.base} that a request could be for; nothing was pushed",
            hint=f"git push {remote} {requested.base}",
        )
    if top != requested.commit:
        requested.warnings.append(_difference(session.repository.git, requested, top))
    behind = [r for r in requested.requests if there.get(f"refs/heads/{r.branch}") != r.commit]
    if not behind:
        return
    report(f"pushing {', '.join(request.branch for request in behind)} to {remote}")
    refused = _refused(session, remote, behind)
    for request in behind:
        reason = refused.get(request.branch)
        facts: dict[str, Any] = {"branch": request.branch, "commit": request.commit, "remote": remote}
        if reason is None:
            request.pushed = True
            session.journal.append("landing.pushed", run=session.run, build=request.id, gen=gen, **facts)
        else:
            request.state, request.reason = "rejected", reason
            session.journal.append(
                "landing.rejected", "error", run=session.run, build=request.id, gen=gen, reason=reason, **facts
            )


def _talk(session: Session, *words: str, ok: Sequence[int] = (0,)) -> Result:
    """Git with the remote. Br3Error, redacted, when it cannot be reached."""
    # Where nobody can answer, a question for a password would wait for ever.
    env = {} if sys.stdin.isatty() else {"GIT_TERMINAL_PROMPT": "0"}
    try:
        return Git(session.repository.top)(*words, env=env, ok=ok)
    except GitError as error:
        said = session.journal.redact(error.stderr.strip() or f"exit code {error.code}")
        raise Br3Error(
            f"git {words[0]} failed; nothing was opened\n{said}", hint="mend that, then: br3 merge"
        ) from error


def _tips(session: Session, requested: Requested) -> dict[str, str]:
    wanted = [f"refs/heads/{name}" for name in (requested.base, *(r.branch for r in requested.requests))]
    # What is pushed to may be another repository than what is fetched from (pushurl); of several it is the first.
    place = session.repository.git("remote", "get-url", "--push", "--", requested.remote).lines[0]
    listing = _talk(session, "ls-remote", "--", place, *wanted).lines
    return {ref: commit for commit, _, ref in (line.partition("\t") for line in listing)}


def _difference(git: Git, requested: Requested, top: str) -> str:
    base, remote = requested.base, requested.remote
    if refs.resolve(git, top) is None or not refs.is_ancestor(git, top, requested.commit):
        return f"{base} at {remote} has commits that {base} here has not: git pull {remote} {base}"
    commits = counted(refs.count_between(git, top, requested.commit), "commit")
    return f"{base} here is {commits} ahead of {remote}; requests may show them too, until: git push {remote} {base}"


def _refused(session: Session, remote: str, requests: Sequence[Request]) -> dict[str, str]:
    """Push to explicit refs, nothing else and nothing by force; the branches that were refused, and why."""
    specs = [f"{request.commit}:refs/heads/{request.branch}" for request in requests]
    words = ("--porcelain", "--no-follow-tags", "--recurse-submodules=no", "--", remote, *specs)
    done = _talk(session, "push", *words, ok=(0, 1))
    told = [line.split("\t") for line in done.lines if line.count("\t") == 2]
    said = os.fsdecode(done.err).splitlines()
    remarks = "".join(f"; {line}" for line in said if line.startswith("remote: "))
    if not told:  # exit code 1 without a word on any: a hook here
        return dict.fromkeys((request.branch for request in requests), session.journal.redact("; ".join(said)))
    return {
        names.rpartition(":")[2].removeprefix("refs/heads/"): session.journal.redact(summary + remarks)
        for flag, names, summary in told
        if flag == "!"
    }


def _open(
    session: Session,
    requested: Requested,
    ready: Sequence[Standing],
    gen: int,
    report: Callable[[str], None],
) -> None:
    place = place_of(session.repository.git, requested.remote)
    forge = Forge(place, session.repository.top) if place else None
    addresses: dict[str, str] = {}
    for standing, request in zip(ready, requested.requests, strict=True):
        if request.state == "rejected":
            continue
        text = text_of(session, standing, addresses)
        request.text.parent.mkdir(parents=True, exist_ok=True)
        request.text.write_text(text, encoding="utf-8", errors="replace")
        request.state, request.url = "printed", place.page(requested.base, request.branch) if place else None
        if forge is not None and forge.present:
            report(f"asking {forge.program} for a request of {request.id}")
            _see_to(session, forge, requested, request, text, gen)
        if request.state in ("opened", "open", "merged") and request.url:
            addresses[request.id] = request.url


def _see_to(session: Session, forge: Forge, requested: Requested, request: Request, text: str, gen: int) -> None:
    """Open the request unless there is one."""
    try:
        found = standing_for(forge.find(request.branch, requested.base), request.commit)
        if found is not None:
            request.state, request.url = found.state, found.url
            return
        request.url = forge.open(request.branch, requested.base, request.title, text)
    except Br3Error as error:
        request.state, request.reason = "not opened", session.journal.redact(error.message)
        return
    request.state = "opened"
    session.journal.append(
        "landing.requested",
        run=session.run,
        build=request.id,
        gen=gen,
        branch=request.branch,
        commit=request.commit,
        base=requested.base,
        url=request.url,
    )
