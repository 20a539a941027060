"""Where a commit may go: no protected branch, nothing outside of what the build owns."""

from __future__ import annotations

from collections.abc import Iterable

from br3.guard.findings import Finding
from br3.guard.settings import Settings, any_of

PROTECTED = "protected-branch"
OWNERSHIP = "ownership"


def is_protected(branch: str, patterns: tuple[str, ...]) -> bool:
    """Whether a branch (without ``refs/heads/``) is one of those; ``*`` takes slashes too, as in sh's ``case``."""
    from fnmatch import fnmatchcase

    return any(fnmatchcase(branch, pattern) for pattern in patterns)


def on_branch(branch: str, settings: Settings) -> list[Finding]:
    """A finding when the branch is protected. An empty name is a detached HEAD."""
    if not branch or not is_protected(branch, settings.protect):
        return []
    fix = "commit on a branch of your own: git switch -c NAME; br3 merge lands it"
    return [Finding("", 0, PROTECTED, "high", branch, fix, branch.encode("utf-8", "surrogateescape"))]


def outside(paths: Iterable[str], build: str, settings: Settings) -> list[Finding]:
    """A finding for each changed path that the build does not own; a build without ``owns`` may change all.

    Severity ``high`` where that blocks, ``low`` where it warns.
    """
    owned = any_of(settings.owns.get(build, ()))
    if owned is None:
        return []
    severity = "high" if settings.owns_action == "block" else "low"
    fix = f"leave it to the build that owns it, or add it to `owns` of {build} in br3.toml"
    return [
        Finding(path, 0, OWNERSHIP, severity, f"not owned by {build}", fix, path.encode("utf-8", "surrogateescape"))
        for path in sorted(set(paths))
        if owned.fullmatch("/" + path) is None
    ]
