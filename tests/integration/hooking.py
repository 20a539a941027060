"""Repositories with br3's hooks installed, in every place where git runs hooks; made once per module, then copied.

``BR3_TEST_GIT`` names a directory that is put first on PATH: the same tests, with another git.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from random import Random
from typing import Any

import pytest

from br3.secrets.examples import fill
from br3.telemetry import Event
from tests.conftest import PYTHON, Said, Scratch

OTHER_GIT = os.environ.get("BR3_TEST_GIT")
"""Read while the module is imported: the seal takes the variable away."""

SECRET = fill("ghp_<<a36>>", Random(7))
RUN, BUILD, TASK = "20260102-030405-abcd", "docs", "D.1"
TRAILERS = f"Br3-Run: {RUN}\nBr3-Build: {BUILD}"

PLAN = """\
[plan]
name = "hooks"
[hooks]
protect = ["main", "release/*"]
[verify]
run = ["true"]
[[build]]
id = "docs"
agent = "shell"
command = "true"
"""

ODD = "a b'c\"d\n\u00fc\u4e2d"
"""A name with spaces, both quotes, a line break and letters beyond ASCII."""


@pytest.fixture
def chosen_git(sealed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The git under test, and a repository's beginning without samples of hooks."""
    if OTHER_GIT:
        monkeypatch.setenv("PATH", OTHER_GIT + os.pathsep + os.environ["PATH"])
    empty = sealed / "template"
    empty.mkdir()
    with (sealed / ".gitconfig").open("a") as config:
        config.write(f"[init]\n    templateDir = {empty}\n[advice]\n    ignoredHook = false\n")


def git_version() -> tuple[int, int]:
    """The version of the git under test; to be asked inside a test."""
    words = (
        subprocess.run(["git", "--version"], check=True, capture_output=True, text=True).stdout.split()[2].split(".")
    )
    return int(words[0]), int(words[1])


def by_config() -> bool:
    """Whether br3 installs hooks by git's configuration here."""
    return git_version() >= (2, 54)


class Ground(Scratch):
    """A place where git is called: a worktree, by the directory in it that is the current one."""

    def __init__(self, path: Path, *, name: str = "", env: dict[str, str] | None = None) -> None:
        super().__init__(path)
        self.name = name
        """What git calls this worktree; empty in a main one."""
        self.env = env or {}

    def call(self, *words: str, given: str = "", env: dict[str, str] | None = None, cwd: Path | None = None) -> Said:
        """Run git; what it printed and its exit code, whatever that is."""
        done = subprocess.run(
            ["git", *words],
            cwd=cwd or self.path,
            env={**os.environ, **self.env, **(env or {})},
            input=given.encode(),
            capture_output=True,
        )
        said = Said(done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"))
        assert SECRET not in said.err, f"a hook of git {words} shows the secret"
        return said

    def git(self, *words: str, cwd: Path | None = None, check: bool = True, env: dict[str, str] | None = None) -> str:
        said = self.call(*words, cwd=cwd, env=env)
        assert not check or said.code == 0, f"git {words}: {said.err}"
        return said.out.removesuffix("\n")

    @property
    def common_dir(self) -> Path:
        printed = self.git("rev-parse", "--path-format=absolute", "--git-common-dir")
        return Path(printed).resolve()

    @property
    def git_dir(self) -> Path:
        return Path(self.git("rev-parse", "--path-format=absolute", "--git-dir"))

    @property
    def top(self) -> Path:
        return Path(self.git("rev-parse", "--show-toplevel"))

    @property
    def tip(self) -> str:
        """What HEAD is at; empty on an unborn branch."""
        return self.git("rev-parse", "--verify", "--quiet", "HEAD", check=False)

    @property
    def trailers(self) -> str:
        """What git takes for trailers in HEAD's message."""
        return self.git("log", "-1", "--format=%(trailers:only)").rstrip("\n")

    @property
    def message(self) -> str:
        return self.git("log", "-1", "--format=%B").rstrip("\n")

    def plain(self, *words: str, env: dict[str, str] | None = None) -> str:
        """Git without hooks of br3: to make what a test begins with."""
        return self.git(*words, env={**(env or {}), "BR3_HOOKS": "own", "BR3_SKIP": ""})

    def stage(self, name: str = "new.txt", text: str = "text\n") -> Path:
        """A new content of a file, staged."""
        path = self.write(name, text)
        self.git("add", "--sparse", "--", f":(literal){name}")
        return path

    def record(self, name: str = "new.txt", text: str = "text\n", message: str = "change") -> str:
        """A commit that no hook sees; its id."""
        self.stage(name, text)
        self.plain("commit", "--quiet", "--message", message)
        return self.tip

    def of_build(self, run: str = RUN, build: str = BUILD) -> None:
        """Make this the worktree of a build, as preparing it does."""
        (self.git_dir / "br3-build").write_text(f"run={run}\nbuild={build}\n")

    def linked(self, path: Path, *words: str, start: str = "HEAD") -> Ground:
        """A worktree added without hooks."""
        self.plain("worktree", "add", "--quiet", *words, os.fspath(path), start)
        made = Ground(path)
        made.name = made.git_dir.name
        return made

    def commits(self) -> list[tuple[str, str, str]]:
        """(commit, branch, worktree) of each commit that was recorded, in order."""
        return [named(e) for e in self.events("hook.commit")]


def named(event: Event) -> tuple[str, str, str]:
    """(commit, branch, worktree) of an event; what goes as hexadecimal digits is decoded."""
    commit, branch, worktree = (value(event, name) for name in ("commit", "branch", "worktree"))
    return commit, branch, worktree


def value(event: Event, name: str) -> str:
    """A field of an event of a shell hook."""
    if f"{name}_hex" in event.data:
        return bytes.fromhex(event.data[f"{name}_hex"]).decode()
    return str(event.data.get(name, ""))


def kinds(events: Iterable[Event]) -> list[str]:
    return [event.kind for event in events]


def lines_of_br3(said: Said) -> list[str]:
    """What br3 told on standard error."""
    return [line for line in said.err.splitlines() if line.startswith(("br3: ", "next: "))]


def began(path: Path, *, branch: str = "work") -> Ground:
    """A repository with two commits and a plan: ``main``, and ``work`` where it stands."""
    path.mkdir(parents=True)
    ground = Ground(path)
    ground.git("init", "--quiet")
    ground.write("br3.toml", PLAN)
    ground.write("file.txt", "one\ntwo\nthree\n")
    ground.git("add", "--all")
    ground.git("commit", "--quiet", "--message", "begin")
    ground.git("switch", "--quiet", "--create", branch)
    ground.write("file.txt", "one\ntwo\nthree\nfour\n")
    ground.git("commit", "--quiet", "--all", "--message", "second")
    return ground


Maker = Callable[[Path], Any]


class Templates:
    """Directories that are made once, and copied for each test."""

    def __init__(self, factory: pytest.TempPathFactory) -> None:
        self._root = factory.mktemp("templates")
        self._made: dict[str, tuple[Path, Any]] = {}

    def copy(self, name: str, make: Maker, to: Path) -> Any:
        """A copy of what ``make`` leaves in a directory; and what it returned. Paths in git's files follow."""
        if name not in self._made:
            place = Path(tempfile.mkdtemp(dir=self._root))
            self._made[name] = (place, make(place))
        place, answer = self._made[name]
        shutil.copytree(place, to, symlinks=True, dirs_exist_ok=True)
        for found in [found for name in (".git", "gitdir", "config", "config.worktree") for found in to.rglob(name)]:
            if found.is_file():
                found.write_bytes(found.read_bytes().replace(os.fsencode(place), os.fsencode(to)))
        return answer


@pytest.fixture(scope="module")
def templates(tmp_path_factory: pytest.TempPathFactory) -> Templates:
    return Templates(tmp_path_factory)


def installed(place: Path) -> Ground:
    """``project`` with hooks."""
    ground = began(place / "project")
    ground.git("branch", "release/1")
    ground.br3("hooks", "install")
    return ground


@pytest.fixture
def ground(templates: Templates, tmp_path: Path, chosen_git: None) -> Ground:
    """The main worktree of a repository with hooks, on ``work``; ``main`` and ``release/*`` are protected."""
    templates.copy("main", installed, tmp_path)
    return Ground(tmp_path / "project")


def linked(place: Path) -> str:
    """``side``, a linked worktree of ``project``, on a branch of that name; what git calls it."""
    return installed(place).linked(place / "side", "-b", "side").name


@pytest.fixture(params=["main worktree", "linked worktree"])
def spot(request: pytest.FixtureRequest, templates: Templates, tmp_path: Path, chosen_git: None) -> Ground:
    """The main worktree, and a linked one."""
    name = templates.copy("linked", linked, tmp_path)
    if request.param == "main worktree":
        return Ground(tmp_path / "project")
    return Ground(tmp_path / "side", name=name)


def diverged(ground: Ground, name: str = "mine.txt", other: str = "other.txt") -> str:
    """A commit here, and one on another history; the id of that."""
    start = ground.tip
    there = ground.record(other, "theirs\n", "theirs")
    ground.plain("reset", "--quiet", "--hard", start)
    ground.record(name, "ours\n", "ours")
    return there


def editor(directory: Path, source: str) -> str:
    """A Python program as git's editor: ``lines`` is the file that it is given, and what is written back."""
    directory.mkdir(parents=True, exist_ok=True)
    program = Path(tempfile.mkstemp(dir=directory, prefix="editor-", suffix=".py")[1])
    program.write_text(
        "import sys\n"
        "with open(sys.argv[-1], encoding='utf-8', newline='') as file: lines = file.read().split('\\n')\n"
        f"{source}\n"
        "with open(sys.argv[-1], 'w', encoding='utf-8', newline='') as file: file.write('\\n'.join(lines))\n"
    )
    return f"{PYTHON} '{program}'"


def writing_message(directory: Path, text: str) -> dict[str, str]:
    """The environment of an editor that replaces the first line."""
    return {"GIT_EDITOR": editor(directory, f"lines[0] = {text!r}")}


def todo(directory: Path, *words: str) -> dict[str, str]:
    """The environment of an editor of ``rebase -i``: the n-th line gets the n-th word."""
    source = (
        f"words = list({words!r})\n"
        "done = [line.split(' ', 1) for line in lines if line and not line.startswith('#')]\n"
        "lines = [f'{word} {rest[1]}' for word, rest in zip(words, done, strict=True)] + ['']"
    )
    return {"GIT_SEQUENCE_EDITOR": editor(directory, source)}
