"""What the guard says of a build that is about to land, in a repository with br3's hooks.

Hooks can be got past, and what br3 itself commits of an agent's work goes through none. Git processes: 5.
"""

from __future__ import annotations

from br3.errors import Br3Error
from br3.guard import commits, places
from br3.guard import settings as guard
from br3.guard.findings import Finding, at_least, printable
from br3.guard.plumbing import CannotAsk
from br3.repo.refs import CommitId
from br3.repo.worktrees import Repository

_MOST_SHOWN = 3


def fault_of(repository: Repository, build_id: str, *, base: str, commit: CommitId) -> str | None:
    """Why the build may not land: a finding in one of its commits, or a change outside of what it owns; None when
    there is nothing, or no hooks are installed. Br3Error when that cannot be told."""
    file = repository.common_dir / guard.FILE
    if not file.exists():
        return None
    git, top = repository.git, f"refs/heads/{base}"
    ids = git("rev-list", "--reverse", commit, "--not", top).text.split()
    changed = git("diff", "--name-only", "--no-renames", "-z", f"{top}...{commit}").fields
    try:
        settings = guard.load(str(file))
        outcome = commits.scan(ids, settings, directory=str(repository.common_dir))
    except (guard.BadSettings, CannotAsk) as error:
        raise Br3Error(f"the guard could not look at {build_id}: {error}", hint="br3 hooks install") from error
    found = [*outcome.findings, *places.outside(changed, build_id, settings)]
    blocking = [finding for finding in found if at_least(finding.severity, settings.fail_on)]
    if not blocking:
        return None
    shown = [_shown(finding) for finding in blocking[:_MOST_SHOWN]]
    more = [f"{len(blocking) - _MOST_SHOWN} more"] if len(blocking) > _MOST_SHOWN else []
    return f"the guard finds {'; '.join([*shown, *more])}"


def _shown(finding: Finding) -> str:
    line = f":{finding.line}" if finding.line else ""
    return f"{printable(finding.file)}{line} {finding.rule} {printable(finding.masked)}"
