"""Makes the demonstration's repository and goes through it, command by command."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

from br3.dispatch.executors.local import this_br3
from br3.errors import Br3Error, Refused
from br3.repo.runner import Git, scrubbed

PROJECT = Path(__file__).parent / "project"

STEPS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("the plan: four builds, what they own, how they are verified", ("plan", "show")),
    ("a worktree and an environment for each; --trust approves the plan's commands", ("up", "--trust")),
    ("four agents at once; persistence fails its first verification and repairs itself", ("run",)),
    ("what came of it, by git's word", ("status",)),
    ("land all four in one tested step, tag, clean up, go through the checklist", ("finish",)),
)


def make(directory: Path | None) -> Path:
    """Make the repository in ``directory`` (new or empty; None: a new one in the temporary directory)."""
    if directory is None:
        directory = Path(tempfile.mkdtemp(prefix="br3-demo-")) / "tally"
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise Refused(f"{directory} is there already and not empty", hint="name another directory: br3 demo DIR")
    shutil.copytree(PROJECT, directory, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    # In the package it has another name, or it would hide files of the package itself from git.
    (directory / "gitignore").rename(directory / ".gitignore")
    git = Git(directory)
    git("init", "--quiet", "--initial-branch=main")
    git("config", "user.name", "br3 demo")
    git("config", "user.email", "demo@example.invalid")
    git("config", "commit.gpgSign", "false")
    git("config", "tag.gpgSign", "false")
    git("add", "--all")
    git("commit", "--quiet", "--message", "Begin a ledger")
    return directory


def walk(directory: Path, announce: Callable[[str, str], None]) -> None:
    """Run every step as a user would; Br3Error when one does not end with 0."""
    environment = scrubbed(os.environ)
    for remark, words in STEPS:
        announce(f"br3 {' '.join(words)}", remark)
        done = subprocess.run([*this_br3("br3"), *words], cwd=directory, env=environment, check=False)
        if done.returncode != 0:
            raise Br3Error(
                f"`br3 {' '.join(words)}` ended with exit code {done.returncode}",
                hint=f"the repository is left for a look: cd {directory}",
            )
