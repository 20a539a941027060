"""What br3 remembers of a worktree, beside git's own registration of it (``<git dir>/br3.json``), with which it goes.

Keys: ``build``, ``run``, ``branch`` of a build's · ``start``, the commit it began with · ``ready``, a digest of the
set-up that was run · ``venv`` · ``left``, ``ignored``, ``brought``: what set-up made, which is nobody's work.
Light: who lists worktrees reads it for each of them.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from br3.errors import Br3Error
from br3.repo import worktrees

NOTES = "br3.json"
HOOKS_NOTES = "br3-build"
SCRATCH_MARK = "br3-scratch"
"""Name of an empty file beside the notes: the worktree is br3's own, to be thrown away."""


def read_notes(worktree: Path) -> dict[str, Any]:
    """What br3 remembers about a worktree, beside git's own registration of it; nothing when it is not known."""
    directory = worktrees.git_dir(worktree)
    try:
        return dict(json.loads((directory / NOTES).read_text())) if directory else {}
    except (OSError, ValueError):
        return {}


def write_notes(worktree: Path, notes: dict[str, Any]) -> None:
    """Remember that; whole or not at all."""
    directory = worktrees.git_dir(worktree)
    if directory is None:
        raise Br3Error(f"the worktree {worktree} has no git directory")
    draft = directory / f"{NOTES}.draft"
    draft.write_text(json.dumps(notes))
    draft.replace(directory / NOTES)
    if notes.get("build"):
        tell_hooks(directory, str(notes["build"]), notes.get("run"))


def tell_hooks(directory: Path, build: str, run: str | None) -> None:
    """Say whose worktree it is, in its git directory, in a form that sh can read."""
    draft = directory / f"{HOOKS_NOTES}.draft"
    draft.write_text((f"run={run}\n" if run else "") + f"build={build}\n")
    draft.replace(directory / HOOKS_NOTES)


def name_of(worktree: Path) -> str:
    """A name for what belongs to a worktree, by its path."""
    digest = hashlib.sha256(str(worktree.resolve()).encode(errors="surrogateescape")).hexdigest()[:12]
    return f"{worktree.name[:40]}-{digest}"
