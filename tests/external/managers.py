"""The other hook managers as their users call them, and a git that has hooks by configuration.

Each gets a check before a commit, which refuses FORBIDDEN in a text file, a note after it, and one before a push; all
say in a log that they ran. Nothing is looked up outside of the checkout, nothing is fetched.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import Scratch

EXTERNAL = Path(__file__).parents[2] / ".external"
SCRIPTS = EXTERNAL / "venv" / "bin"
MODULES = EXTERNAL / "node_modules"
LEAST_GIT = (2, 54)

# What changes how a manager or its hook behaves.
SEALED_AWAY = ("CI", "HUSKY", "LEFTHOOK", "PREK_", "PRE_COMMIT", "SKIP", "npm_", "NPM_")

_PRE_COMMIT = """\
default_install_hook_types: [pre-commit, post-commit, pre-push]
repos:
- repo: local
  hooks:
  - {id: check, name: check, language: system, entry: sh ./check.sh, stages: [pre-commit],
     pass_filenames: false, always_run: true}
  - {id: note, name: note, language: system, entry: sh ./note.sh, stages: [post-commit],
     pass_filenames: false, always_run: true}
  - {id: push, name: push, language: system, entry: sh -c 'sh ./push.sh "$PRE_COMMIT_LOCAL_BRANCH"', stages: [pre-push],
     pass_filenames: false, always_run: true}
"""
_LEFTHOOK = """\
pre-commit: {commands: {check: {run: sh ./check.sh}}}
post-commit: {commands: {note: {run: sh ./note.sh}}}
pre-push: {commands: {push: {run: read ref rest && sh ./push.sh "$ref", use_stdin: true}}}
"""


@dataclass(frozen=True)
class Manager:
    """One manager: the files of its configuration, the commands that install and uninstall it (None: it has none)."""

    name: str
    files: dict[str, str]
    installing: tuple[str, ...]
    uninstalling: tuple[str, ...] | None

    def configure(self, repo: Scratch, log: Path) -> None:
        """Write configuration, check and note into the repository and commit them."""
        line = f">> {shlex.quote(str(log))}\n"
        repo.write("check.sh", f"printf 'checked\\n' {line}! git grep --cached --quiet FORBIDDEN -- '*.txt'\n")
        repo.write("note.sh", f"printf 'noted\\n' {line}")
        repo.write("push.sh", f"printf 'push of %s\\n' \"$1\" {line}")
        for name, text in self.files.items():
            repo.write(name, text)
        repo.commit(f"configure {self.name}")

    def install(self, cwd: Path, *, may_refuse: bool = False) -> None:
        """Install the manager's hooks as its user does."""
        done = self._run(self.installing, cwd)
        assert may_refuse or done.returncode == 0, done.stdout + done.stderr

    def uninstall(self, cwd: Path) -> None:
        """Take out the manager's hooks as its user does; where another holds their place, that does nothing."""
        assert self.uninstalling is not None
        self._run(self.uninstalling, cwd)

    def _run(self, command: tuple[str, ...], cwd: Path) -> subprocess.CompletedProcess[str]:
        assert Path(command[-2]).exists(), f"{self.name} is not installed: run tests/external/install"
        return subprocess.run(command, cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)


def _lefthook() -> str:
    """The program in npm's package for this platform, which the hook calls when lefthook is not on PATH."""
    found = sorted(MODULES.glob("lefthook-*/bin/lefthook"))
    return str(found[0] if found else MODULES / "lefthook")


def _both(*program: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    return (*program, "install"), (*program, "uninstall")


PRE_COMMIT = Manager("pre-commit", {".pre-commit-config.yaml": _PRE_COMMIT}, *_both(str(SCRIPTS / "pre-commit")))
PREK = Manager("prek", {".pre-commit-config.yaml": _PRE_COMMIT}, *_both(str(SCRIPTS / "prek")))
LEFTHOOK = Manager("lefthook", {"lefthook.yml": _LEFTHOOK}, *_both(_lefthook()))
HUSKY = Manager(
    "husky",
    {
        ".husky/pre-commit": "sh ./check.sh\n",
        ".husky/post-commit": "sh ./note.sh\n",
        ".husky/pre-push": 'read ref rest && sh ./push.sh "$ref"\n',
    },
    ("node", str(MODULES / "husky" / "bin.js"), ".husky"),
    None,
)
MANAGERS = (PRE_COMMIT, PREK, LEFTHOOK, HUSKY)


def seal(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    """Keep the user's settings and caches of the managers out."""
    for name in list(os.environ):
        if name.startswith(SEALED_AWAY):
            monkeypatch.delenv(name)
    monkeypatch.setenv("PRE_COMMIT_HOME", str(home / "pre-commit"))
    monkeypatch.setenv("PREK_HOME", str(home / "prek"))


def new_git() -> Path | None:
    """The directory of a git that has hooks by configuration: the machine's own, or the one that was built."""
    for path in (shutil.which("git"), *sorted(EXTERNAL.glob("git/*/bin/git"))):
        if path is not None and git_version(str(path)) >= LEAST_GIT:
            return Path(path).parent
    return None


def git_version(program: str) -> tuple[int, ...]:
    """The first two numbers of a git's version."""
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    return tuple(int(number) for number in said.split()[2].split(".")[:2])
