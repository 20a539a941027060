"""The slower half of pre-push: what is pushed where, its new commits, and the commands of ``[hooks] pre_push``.

Every line that git gives is looked at. Commands run on the commit that is pushed, in a throw-away worktree, never in
the one that the push was started from; a tree that has passed once is not tested again.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from br3.dispatch.sessions import Session
from br3.errors import Refused, UsageError
from br3.guard import check, commits, exemptions, gitleaks
from br3.guard import settings as guarding
from br3.guard.findings import Finding, Outcome, at_least
from br3.guard.places import is_protected
from br3.hooks.compiling import compiled_plan
from br3.landing import verifying
from br3.landing.guarding import record_skips
from br3.orchestrator import verdicts
from br3.plan.model import Plan, Verify
from br3.repo import refs
from br3.repo.refs import CommitId
from br3.repo.worktrees import Repository, discover
from br3.telemetry import Journal, Lock, read_events
from br3.workspace import trust

RULE = "protected-branch"
_HEADS = "refs/heads/"


@dataclass(frozen=True)
class Ref:
    """One line of what is pushed. An id of zeros is none: a deletion here, a new ref there."""

    local: str
    commit: str
    remote: str
    there: str

    @property
    def deletes(self) -> bool:
        return not self.commit.strip("0")

    @property
    def new(self) -> bool:
        return not self.there.strip("0")

    @property
    def branch(self) -> str | None:
        """The branch at the remote; None when it is a tag or another ref."""
        return self.remote.removeprefix(_HEADS) if self.remote.startswith(_HEADS) else None


def push(remote: str, given: bytes) -> int:
    """Look at a push; 0 when it may go, 1 when not. ``given`` are git's lines."""
    repository = _repository()
    pushed = read_refs(given)
    journal = Journal(repository.common_dir)
    settings = guarding.load(str(repository.common_dir / guarding.FILE))
    plan = compiled_plan(repository.common_dir)
    outcome = _new_commits(repository, remote, pushed, settings)
    _protected(repository, pushed, settings, outcome)
    _record(journal, outcome, settings)
    if check.tell(outcome, settings, "nothing was pushed"):
        return 1
    if plan is not None and plan.hooks.pre_push and not _commands(repository, plan, pushed, journal):
        return 1
    names = [ref.remote for ref in pushed]
    heads = [ref.commit for ref in pushed if not ref.deletes]
    journal.append("hook.pushed", hook="pre-push", remote=remote, refs=names[:50], commits=heads[:50])
    return 0


def _repository() -> Repository:
    """The one that git pushes from: a git directory that it names (``--git-dir``) counts, not what lies around us."""
    named = os.environ.get("GIT_DIR")
    if named is None:
        return discover(Path.cwd())
    by_name = discover(Path(named))
    try:
        here = discover(Path.cwd())
    except UsageError:
        return by_name
    return here if here.common_dir == by_name.common_dir else by_name


def read_refs(given: bytes) -> list[Ref]:
    """The lines of pre-push, split from the right: the local side may be any expression, with spaces too."""
    found = []
    for line in given.decode(errors="surrogateescape").split("\n"):  # names may hold U+2028
        words = line.rsplit(" ", 3)
        if len(words) == 4:
            found.append(Ref(*words))
    return found


def _new_commits(repository: Repository, remote: str, pushed: Sequence[Ref], settings: guarding.Settings) -> Outcome:
    """What is wrong with what the remote does not have yet, as far as is known here."""
    root = str(repository.worktree or repository.common_dir)
    wanted = [ref.commit for ref in pushed if not ref.deletes]
    if not wanted:
        return Outcome()
    known = [ref.there for ref in pushed if not ref.new]
    of_remote = f"--remotes={remote}" if re.fullmatch(r"[\w.-]+", remote) else "--remotes"
    listed = repository.git(
        "rev-list", "--reverse", "--ignore-missing", *dict.fromkeys(wanted), "--not", of_remote, *dict.fromkeys(known)
    )
    ids = listed.text.split()
    outcome = commits.scan(ids, settings, directory=root)
    if settings.gitleaks:
        for commit in ids:
            gitleaks.add(outcome, Path(root), commits=f"{commit}^!")
    return outcome


def _protected(repository: Repository, pushed: Sequence[Ref], settings: guarding.Settings, outcome: Outcome) -> None:
    """Findings for what may not happen to a protected branch of the remote.

    It may be moved forward to what br3 has landed there; everything else is refused.
    """
    skipped = exemptions.skipped_rules(os.environ)
    for ref in pushed:
        if ref.branch is None or not is_protected(ref.branch, settings.protect):
            continue
        if ref.deletes:
            said, fix = "would be deleted", "keep it: it is protected by [hooks] protect"
        elif not ref.new and not _goes_forward(repository, ref):
            said, fix = (
                "would be forced to another history",
                "fetch, bring the work onto what is there, push without force",
            )
        elif not ref.new and not has_landed(repository.common_dir, ref.commit):
            said, fix = (
                "would get what br3 has not landed",
                "push a branch of its own, or br3 merge and push what landed",
            )
        else:
            continue
        finding = Finding("", 0, RULE, "high", f"{ref.branch} {said}", fix, ref.branch.encode(errors="surrogateescape"))
        if RULE in skipped:
            outcome.allowed.append((finding, "skip"))
        else:
            outcome.findings.append(finding)


def _goes_forward(repository: Repository, ref: Ref) -> bool:
    """Whether what is there stays part of the history; not when it is not even known here."""
    known = repository.git("cat-file", "-e", f"{ref.there}^{{commit}}", ok=(0, 1, 128)).code == 0
    return known and refs.is_ancestor(repository.git, ref.there, ref.commit)


def has_landed(common_dir: Path, commit: str) -> bool:
    """Whether a landing of br3 has moved a branch to that commit."""
    return any(e.kind == "landing.moved" and e.data.get("new") == commit for e in read_events(common_dir))


def _record(journal: Journal, outcome: Outcome, settings: guarding.Settings) -> None:
    for finding in outcome.findings:
        if at_least(finding.severity, settings.fail_on):
            kind, severity, told = check.event_of(finding)
            facts: dict[str, Any] = {"hook": "pre-push", **told}
            journal.append(kind, severity, **facts)
    record_skips(journal, outcome, "pre-push")


def _commands(repository: Repository, plan: Plan, pushed: Sequence[Ref], journal: Journal) -> bool:
    """Whether the commands of ``pre_push`` pass on every commit that is pushed to a branch."""
    wanted = [command for command in trust.commands_of(plan) if command.purpose in ("pre-push", "set-up")]
    if trust.missing(repository.common_dir, wanted):
        raise Refused("[hooks] pre_push has commands that nobody has approved, so nothing was pushed", hint="br3 trust")
    commits_of = dict.fromkeys(ref.commit for ref in pushed if ref.branch is not None and not ref.deletes)
    return all(_passes(repository, plan, CommitId(commit), journal) for commit in commits_of)


def _passes(repository: Repository, plan: Plan, commit: CommitId, journal: Journal) -> bool:
    wanted = Verify(run=plan.hooks.pre_push)
    setups = plan.setup.run
    tree = refs.tree_of(repository.git, commit)
    session = _session(repository, plan, commit, journal)
    # An environment of the same interpreter and set-up is the same, wherever it is: most often there is one here.
    if repository.worktree is not None and _has_passed(
        repository, verdicts.key(tree, wanted, setups, repository.worktree)
    ):
        _say(f"{commit[:10]} has passed already")
        return True
    subject = verifying.Subject(commit, tree, wanted, facts={"hook": "pre-push"})
    with Lock(repository.common_dir, "push", "all").acquire(wait_s=24 * 3600):
        # Whoever pushes again wants to know whether it passes now.
        tested = verifying.verify_commit(
            session, subject, purpose="push", again=True, report=lambda command: _say(f"{commit[:10]}: {command}")
        )
    if tested.passed and not tested.runs:
        _say(f"{commit[:10]} has passed already")
    if not tested.passed:
        for line in tested.ending.split("\n") if tested.ending else ():
            print(f"    {line}", file=sys.stderr)
        print(f"br3: pre-push: nothing was pushed: {tested.reason}\nbr3: log: {tested.log}", file=sys.stderr)
        journal.append("hook.blocked", "warning", hook="pre-push", rule="pre_push", commit=commit)
    return tested.passed


def _has_passed(repository: Repository, key: verdicts.Key) -> bool:
    # Only what passed in a throw-away worktree counts: any other may hold files that no clone has.
    known = verdicts.find((e for e in read_events(repository.common_dir) if e.build is None), key)
    return known is not None and known.kind == "quality.passed"


def _session(repository: Repository, plan: Plan, commit: CommitId, journal: Journal) -> Session:
    """What a throw-away worktree needs to know; no run."""
    return Session(
        repository=repository,
        run="_push",
        plan=plan,
        digest="",
        base_commit=commit,
        source=repository.worktree,
        worktrees={},
        file=None,
        journal=journal,
        events=[],
        runs={},
    )


def _say(text: str) -> None:
    print(f"br3: pre-push: {text}", file=sys.stderr, flush=True)
