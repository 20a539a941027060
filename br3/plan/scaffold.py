"""What ``br3 init`` leaves in a repository. Files that are there are never written over."""

from __future__ import annotations

from collections.abc import Callable
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
        _ignore_env(root / ".gitignore"),
    )
    return Scaffold(detected, base, files)


def _new(path: Path, text: str) -> Written:
    try:
        with path.open("x", encoding="utf-8", newline="\n") as file:
            file.write(text)
    except FileExistsError:
        return Written(path, "left as it is", changed=False)
    return Written(path, "written", changed=True)


def _ignore_env(path: Path) -> Written:
    """Add the line ``.env``, in the file's own line endings, and with a last newline only if it had one."""
    old = path.read_bytes() if path.exists() else b""
    if _ignores_env(old.decode("utf-8", errors="replace")):
        return Written(path, "left as it is", changed=False)
    newline = b"\r\n" if b"\r\n" in old else b"\n"
    ends_open = old and not old.endswith(b"\n")
    with path.open("ab") as file:
        file.write(newline + _ENV.encode() if ends_open else _ENV.encode() + newline)
    return Written(path, f"{_ENV} added" if old else "written", changed=True)


def _ignores_env(text: str) -> bool:
    """Whether a line about .env is there and no later line takes it back: in .gitignore the last one wins."""
    ignored = False
    for line in text.splitlines():
        pattern = line.rstrip()
        if pattern.removeprefix("!") in _IGNORING:
            ignored = not pattern.startswith("!")
    return ignored
