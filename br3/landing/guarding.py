"""What the guard says of a build that is about to land, in a repository with br3's hooks.

Hooks can be got past, and what br3 itself commits of an agent's work goes through none. Git processes: 6.
"""

from __future__ import annotations

import os
from typing import Any

from br3.errors import Br3Error
from br3.guard import check, commits, exemptions, places
from br3.guard import settings as guard
from br3.guard.findings import Finding, Outcome, at_least, printable
from br3.guard.plumbing import CannotAsk, outside_of_hooks
from br3.repo.refs import CommitId
from br3.repo.runner import Git
from br3.repo.worktrees import Repository
from br3.telemetry import Journal

_MOST_SHOWN = 3


def fault_of(
    repository: Repository, build_id: str, *, run: str, base: str, start: str, commit: CommitId, journal: Journal
) -> str | None:
    """Why the build may not land: a finding in one of its commits, or a change outside of what it owns; None when
    there is nothing, or no hooks are installed. ``start`` is the commit that it began from. What ``BR3_SKIP`` lets
    pass is recorded. Br3Error when it cannot be told."""
    file = repository.common_dir / guard.FILE
    if not file.exists():
        return None
    outside_of_hooks()
    git, top = repository.git, f"refs/heads/{base}"
    ids = git("rev-list", "--reverse", commit, "--not", top, start).text.split()
    # What it began from may hold what it needs, and base what others have landed since: neither is its own change.
    changed = _changed(git, top, commit) & _changed(git, start, commit)
    try:
        settings = guard.load(str(file))
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


def record_skips(
    journal: Journal, outcome: Outcome, hook: str, *, run: str | None = None, build: str | None = None
) -> None:
    """Record what ``BR3_SKIP`` let pass; comments and the baseline were recorded when it was committed."""
    for finding, use in outcome.allowed:
        if use == "skip":
            facts: dict[str, Any] = {"hook": hook, "use": use, **check.event_of(finding)[2]}
            journal.append("hook.allowed", "warning", run=run, build=build, **facts)


def _changed(git: Git, since: str, commit: CommitId) -> set[str]:
    """The files that were changed on the way to a commit, from where it left ``since``."""
    options = ("--name-only", "--no-renames", "--ignore-submodules=none", "-z")
    return set(git("diff", *options, f"{since}...{commit}").fields)


def _shown(finding: Finding) -> str:
    line = f":{finding.line}" if finding.line else ""
    return f"{printable(finding.file)}{line} {finding.rule} ({printable(finding.masked)})"
