"""Makes a demonstration's repository and goes through it, command by command."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from br3.dispatch.executors.local import this_br3
from br3.errors import Br3Error, Refused
from br3.repo.runner import Git, scrubbed

PROJECT = Path(__file__).parent / "project"


@dataclass(frozen=True)
class Step:
    """A br3 command, what it shows, and the exit code that it ends with."""

    remark: str
    words: tuple[str, ...]
    code: int = 0


@dataclass(frozen=True)
class Scene:
    """A repository to begin with, what it is called, and the steps through it."""

    project: Path
    name: str
    steps: tuple[Step, ...]


SCENES = {
    "week": Scene(
        PROJECT,
        "tally",
        (
            Step("the plan: four builds, what they own, how they are verified", ("plan", "show")),
            Step("a worktree and an environment for each; --trust approves the plan's commands", ("up", "--trust")),
            Step("four agents at once; persistence fails its first verification and repairs itself", ("run",)),
            Step("what came of it, by git's word", ("status",)),
            Step("land all four in one tested step, tag, clean up, go through the checklist", ("finish",)),
        ),
    ),
    "landing": Scene(
        Path(__file__).parent / "project_of_landing",
        "prices",
        (
            Step("three builds, each verified by the tests as they are on its own branch", ("run", "--trust")),
            Step(
                "rename changed a function's name, receipt calls the old one: no conflict, and red together",
                ("merge", "--dry-run"),
            ),
            Step("what passes lands; what breaks it is put aside, with the build it breaks with", ("merge",), 1),
            Step("what came of it, by git's word", ("status",)),
        ),
    ),
}


def make(scene: Scene, directory: Path | None) -> Path:
    """Make the scene's repository in ``directory`` (new or empty; None: a new one in the temporary directory)."""
    if directory is None:
        directory = Path(tempfile.mkdtemp(prefix="br3-demo-")) / scene.name
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise Refused(f"{directory} is there already and not empty", hint="name another directory: br3 demo DIR")
    shutil.copytree(scene.project, directory, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    # In the package it has another name, or it would hide files of the package itself from git.
    (directory / "gitignore").rename(directory / ".gitignore")
    git = Git(directory)
    git("init", "--quiet", "--initial-branch=main")
    git("config", "user.name", "br3 demo")
    git("config", "user.email", "demo@example.invalid")
    git("config", "commit.gpgSign", "false")
    git("config", "tag.gpgSign", "false")
    git("add", "--all")
    git("commit", "--quiet", "--message", f"Begin {scene.name}")
    return directory


def walk(scene: Scene, directory: Path, announce: Callable[[str, str], None]) -> None:
    """Run every step as a user would; Br3Error when one does not end as it should."""
    environment = scrubbed(os.environ)
    for step in scene.steps:
        command = f"br3 {' '.join(step.words)}"
        announce(command, step.remark)
        done = subprocess.run([*this_br3("br3"), *step.words], cwd=directory, env=environment, check=False)
        if done.returncode != step.code:
            raise Br3Error(
                f"`{command}` ended with exit code {done.returncode}",
                hint=f"the repository is left for a look: cd {directory}",
            )
