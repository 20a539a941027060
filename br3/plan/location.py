"""Where the plan and the worktree around it are. Reads files only, so it works before git is asked anything."""

from __future__ import annotations

from pathlib import Path

from br3.errors import UsageError

PLAN_FILE = "br3.toml"


def find(start: Path) -> Path:
    """The br3.toml of ``start`` or of the nearest directory above it, not beyond the worktree's root."""
    for directory in _upwards(start):
        if (directory / PLAN_FILE).is_file():
            return directory / PLAN_FILE
        if (directory / ".git").exists():
            break
    raise UsageError(f"no {PLAN_FILE} here or above, up to the repository's root", hint="br3 init")


def worktree_root(start: Path) -> Path | None:
    """The root of the worktree that ``start`` is in, or None outside a repository."""
    return next((directory for directory in _upwards(start) if (directory / ".git").exists()), None)


def current_branch(root: Path) -> str | None:
    """The branch checked out in that worktree; None when HEAD is detached or cannot be read."""
    try:
        head = (_git_directory(root) / "HEAD").read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return None
    prefix = "ref: refs/heads/"
    branch = head.removeprefix(prefix)
    # With reftable, HEAD is a stub that names the branch `.invalid`.
    return branch if head.startswith(prefix) and branch != ".invalid" else None


def _upwards(start: Path) -> tuple[Path, ...]:
    start = start.resolve()
    return (start, *start.parents)


def _git_directory(root: Path) -> Path:
    """``.git``, or what it points to: in a linked worktree it is a file, ``gitdir: <path>``."""
    dot_git = root / ".git"
    if dot_git.is_file():
        return root / dot_git.read_text(encoding="utf-8").removeprefix("gitdir:").strip()
    return dot_git
