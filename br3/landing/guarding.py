"""What the guard says of a build that is about to land, in a repository with br3's hooks.

Hooks can be got past, and what br3 itself commits of an agent's work goes through none. Git processes: 6.
"""

from __future__ import annotations

import os
from typing import Any

from br3.dispatch.sessions import Session
from br3.dispatch.standing import Standing
from br3.errors import Br3Error
from br3.guard import check, commits, exemptions, places
from br3.guard import settings as guard
from br3.guard.findings import Finding, Outcome, at_least
from br3.guard.plumbing import CannotAsk, outside_of_hooks
from br3.orchestrator.proving import named, outside
from br3.repo.refs import CommitId
from br3.repo.runner import Git
from br3.repo.worktrees import Repository
from br3.telemetry import Journal
from br3.wording import printable

_MOST_SHOWN = 3


def fault_of(
    repository: Repository, build_id: str, *, run: str, base: str, start: str, commit: CommitId, journal: Journal
) -> str | None:
    """Why the build may not land: a finding in one of its commits, or a change outside of what it owns; None when
    there is nothing, or no hooks are installed. ``start`` is the commit that it began from. What ``BR3_SKIP`` lets
    pass is recorded. Br3Error when it cannot be told."""
    if not installed(repository):
        return None
    outside_of_hooks()
    git, top = repository.git, f"refs/heads/{base}"
    ids = git("rev-list", "--reverse", commit, "--not", top, start).text.split()
    changed = _own_changes(git, top, start, commit)
    try:
        settings = guard.load(str(repository.common_dir / guard.FILE))
        outcome = commits.scan(ids, settings, directory=str(repository.common_dir))
    except (guard.BadSettings, CannotAsk) as error:
        raise Br3Error(f"the guard could not look at {build_id}: {error}", hint="br3 hooks install") from error
    exemptions.sort_out(
        [finding for finding in places.outside(changed, build_id, settings) if finding.rule not in settings.off],
        outcome,
        skipped=exemptions.skipped_rules(os.environ),
        line_of=lambda finding, number: None,
        in_baseline=lambda name: False,
    )
    record_skips(journal, outcome, "merge", run=run, build=build_id)
    blocking = [finding for finding in outcome.findings if at_least(finding.severity, settings.fail_on)]
    if not blocking:
        return None
    shown = [_shown(finding) for finding in blocking[:_MOST_SHOWN]]
    more = [f"{len(blocking) - _MOST_SHOWN} more"] if len(blocking) > _MOST_SHOWN else []
    rules = ",".join(dict.fromkeys(finding.rule for finding in blocking))
    return f"the guard found {', '.join([*shown, *more])}; to let it land all the same: BR3_SKIP={rules} br3 merge"


def installed(repository: Repository) -> bool:
    """Whether br3's hooks guard the repository."""
    return (repository.common_dir / guard.FILE).exists()


def record_skips(
    journal: Journal, outcome: Outcome, hook: str, *, run: str | None = None, build: str | None = None
) -> None:
    """Record what ``BR3_SKIP`` let pass; comments and the baseline were recorded when it was committed."""
    for finding, use in outcome.allowed:
        if use == "skip":
            facts: dict[str, Any] = {"hook": hook, "use": use, **check.event_of(finding)[2]}
            journal.append("hook.allowed", "warning", run=run, build=build, **facts)


def not_owned(session: Session, standing: Standing) -> str | None:
    """What a build changes outside of what it owns, as a clause; by the plan alone, whether hooks are installed or not.
    None when there is nothing."""
    owns = standing.build.owns
    if not owns or standing.start is None or standing.commit is None or "ownership" in session.plan.hooks.off:
        return None
    base = f"refs/heads/{session.plan.base}"
    strange = outside(owns, sorted(_own_changes(session.repository.git, base, standing.start, standing.commit)))
    return f"changes what it does not own: {named(strange)}" if strange else None


def _own_changes(git: Git, base: str, start: str, commit: CommitId) -> set[str]:
    """The files that a build itself has changed. Git processes: 2.

    What it began from may hold what it needs, and base what others have landed since: neither is its own change.
    """
    return _changed(git, base, commit) & _changed(git, start, commit)


def _changed(git: Git, since: str, commit: CommitId) -> set[str]:
    """The files that were changed on the way to a commit, from where it left ``since``."""
    options = ("--name-only", "--no-renames", "--ignore-submodules=none", "-z")
    return set(git("diff", *options, f"{since}...{commit}").fields)


def _shown(finding: Finding) -> str:
    line = f":{finding.line}" if finding.line else ""
    return f"{printable(finding.file)}{line} {finding.rule} ({printable(finding.masked)})"
