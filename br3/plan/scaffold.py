"""What ``br3 init`` leaves in a repository. Files that are there are never written over."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from br3.plan.detection import Detected, detect
from br3.plan.location import PLAN_FILE, current_branch
from br3.plan.template import environment_example, plan_text

_ENV = ".env"
_IGNORING = {".env", "/.env", ".env*", "/.env*", "*.env", "**/.env"}


@dataclass(frozen=True)
class Written:
    """One file, and what was done: "written", "left as it is", ….  ``changed`` says whether it differs now."""

    path: Path
    what: str
    changed: bool


@dataclass(frozen=True)
class Scaffold:
    """What was detected, the base branch of the new plan, and each file's fate."""

    detected: Detected
    base: str
    files: tuple[Written, ...]


def scaffold(root: Path, have: Callable[[str], bool]) -> Scaffold:
    """Give the repository with that root a plan, an .env.example, and an ignored .env."""
    detected = detect(root, have)
    base = current_branch(root) or "main"
    files = (
        _new(root / PLAN_FILE, plan_text(root.name or "plan", base, detected)),
        _new(root / ".env.example", environment_example()),
        _ignore(root / ".gitignore", detected.kinds),
    )
    return Scaffold(detected, base, files)


_MADE_BY_SETUP = {
    "python": (".venv/", "__pycache__/", "*.egg-info/"),
    "node": ("node_modules/",),
    "rust": ("target/",),
}
"""What the detected set-up and its tests leave in a worktree: an agent's `git add --all` would commit it."""


def _new(path: Path, text: str) -> Written:
    try:
        with path.open("x", encoding="utf-8", newline="\n") as file:
            file.write(text)
    except FileExistsError:
        return Written(path, "left as it is", changed=False)
    return Written(path, "written", changed=True)


def _ignore(path: Path, kinds: Sequence[str]) -> Written:
    """Add what git must not see, in the file's own line endings, and with a last newline only if it had one."""
    old = path.read_bytes() if path.exists() else b""
    text = old.decode("utf-8", errors="replace")
    present = {line.strip().strip("/") for line in text.split("\n")}
    made = [line for kind in kinds for line in _MADE_BY_SETUP.get(kind, ()) if line.strip("/") not in present]
    missing = ([] if _ignores_env(text) else [_ENV]) + made
    if not missing:
        return Written(path, "left as it is", changed=False)
    newline = b"\r\n" if b"\r\n" in old else b"\n"
    ends_open = bool(old) and not old.endswith(b"\n")
    added = newline.join(line.encode() for line in missing)
    with path.open("ab") as file:
        file.write(newline + added if ends_open else added + newline)
    return Written(path, f"{', '.join(missing)} added" if old else "written", changed=True)


def _ignores_env(text: str) -> bool:
    """Whether a line about .env is there and no later line takes it back: in .gitignore the last one wins."""
    ignored = False
    for line in text.split("\n"):
        pattern = line.rstrip()
        if pattern.removeprefix("!") in _IGNORING:
            ignored = not pattern.startswith("!")
    return ignored
