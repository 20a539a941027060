"""One hermetic world for every test: HOME, git's configuration, dates and the editor are sealed; git is real."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
from hypothesis import settings

from br3.telemetry import Event, read_events
from tests import forking

PYTHON = shlex.quote(sys.executable)

EXAMPLES = int(os.environ.get("BR3_TEST_EXAMPLES") or 1)
"""How many times the usual number of examples tests of properties look at; read before the seal takes it away."""

# The same examples each time, but where more are asked for: what a new one finds belongs to whoever looks for it.
settings.register_profile("steady", derandomize=True)
if EXAMPLES == 1:
    settings.load_profile("steady")

_SEALED_AWAY = ("BR3_", "GIT_", "ANTHROPIC_", "CLAUDE", "OPENAI_", "PYTEST_ADDOPTS", "VIRTUAL_ENV", "XDG_")

GITCONFIG = """\
[user]
    name = A Tester
    email = tester@example.invalid
[init]
    defaultBranch = main
[commit]
    gpgSign = false
[protocol "file"]
    allow = always
[gc]
    autoDetach = false
"""
"""Upkeep that a git call begins ends with that call (2.47 and later detach it after each commit): what a test copies
or compares afterwards holds still."""


@pytest.hookimpl(optionalhook=True)  # nobody needs several workers
def pytest_xdist_auto_num_workers() -> int:
    """What ``-n auto`` means here: one more than there are cores, since many tests wait for processes."""
    return (psutil.cpu_count(logical=False) or os.cpu_count() or 1) + 1


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long tests first: what is begun last is short, so that no worker waits for another at the end."""
    order = {"e2e": 0, "integration": 1, "unit": 2}
    items.sort(key=lambda item: order.get(item.path.parent.name, 0))


@pytest.fixture(autouse=True)
def sealed(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A HOME of the test's own, and nothing of the machine's settings."""
    home = tmp_path_factory.mktemp("home")
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # These tests go on in somebody's background: what they start would ignore Ctrl-C too, and be waited for.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    for name in list(os.environ):
        if name.startswith(_SEALED_AWAY):
            monkeypatch.delenv(name)
    (home / ".gitconfig").write_text(GITCONFIG)
    for name, value in {
        "HOME": str(home),
        "GIT_CONFIG_GLOBAL": str(home / ".gitconfig"),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_AUTHOR_DATE": "2026-01-02T03:04:05Z",
        "GIT_COMMITTER_DATE": "2026-01-02T03:04:05Z",
        "EDITOR": "false",
        "GIT_EDITOR": "false",
        "TZ": "UTC",
        "LC_ALL": "C.UTF-8",
        "NO_COLOR": "1",
    }.items():
        monkeypatch.setenv(name, value)
    return home


@dataclass
class Said:
    """What a br3 command printed, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        data = json.loads(self.out)
        assert data["schema"] == 1
        return dict(data)

    @property
    def all(self) -> str:
        return self.out + self.err


class Scratch:
    """A repository to work in, and br3 as a user calls it."""

    forks = True
    """Whether ``br3`` may be forked from a process that has imported it; tests/e2e starts it as a user does."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def git(self, *words: str, cwd: Path | None = None, check: bool = True) -> str:
        done = subprocess.run(["git", *words], cwd=cwd or self.path, check=False, capture_output=True, text=True)
        assert not check or done.returncode == 0, f"git {words}: {done.stderr}"
        return done.stdout.removesuffix("\n")

    def write(self, name: str, text: str, *, root: Path | None = None) -> Path:
        target = (root or self.path) / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
        return target

    def commit(self, message: str = "change", *, cwd: Path | None = None) -> str:
        self.git("add", "--all", cwd=cwd)
        self.git("commit", "--quiet", "--allow-empty", "--message", message, cwd=cwd)
        return self.git("rev-parse", "HEAD", cwd=cwd)

    def plan(self, text: str, *, commit: bool = True) -> None:
        self.write("br3.toml", text)
        if commit:
            self.commit("plan")

    def start(self, *words: str, cwd: Path | None = None, env: dict[str, str] | None = None) -> subprocess.Popen[str]:
        """Start a br3 command in a session of its own, without a terminal."""
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "br3", *words],
            cwd=cwd or self.path,
            env={**os.environ, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def br3(
        self, *words: str, code: int | None = 0, cwd: Path | None = None, env: dict[str, str] | None = None
    ) -> Said:
        """Run a br3 command; ``code`` is the exit code it must have (None: any)."""
        environment = {**os.environ, **(env or {})}
        source = forking.source(environment) if self.forks else None
        if source is not None:
            said = Said(*source.run(words, cwd or self.path, environment))
        else:
            process = self.start(*words, cwd=cwd, env=env)
            out, err = process.communicate()
            said = Said(process.returncode, out, err)
        assert code is None or said.code == code, f"br3 {' '.join(words)} → {said.code}\n{said.out}\n{said.err}"
        return said

    @property
    def common_dir(self) -> Path:
        return Path(self.git("rev-parse", "--path-format=absolute", "--git-common-dir")).resolve()

    def worktree(self, build: str) -> Path:
        return self.path.parent / f"{self.path.name}.worktrees" / build

    def events(self, *kinds: str) -> list[Event]:
        return [e for e in read_events(self.common_dir) if not kinds or e.kind in kinds]

    def status(self) -> dict[str, Any]:
        """``br3 status --json`` with its builds by id."""
        data = self.br3("status", "--json").json
        return {**data, "builds": {build["id"]: build for build in data["builds"]}}

    def head(self, ref: str = "main") -> str:
        return self.git("rev-parse", "--verify", ref)


@pytest.fixture
def repo(tmp_path: Path) -> Scratch:
    """A repository with one commit on main: a README."""
    return begun(tmp_path / "project")


def begun(path: Path) -> Scratch:
    """Make such a repository."""
    scratch = Scratch(path)
    path.mkdir(parents=True)
    scratch.git("init", "--quiet")
    scratch.write("README.md", "# project\n")
    scratch.commit("begin")
    return scratch


def script(directory: Path, name: str, source: str) -> str:
    """A Python script outside the repository, as the words of a shell command that runs it."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / name
    path.write_text(source)
    return f"{PYTHON} {shlex.quote(str(path))}"


def writing(name: str, text: str = "x") -> str:
    """A shell command that writes a file, with nothing but sh."""
    return f"printf '%s\\n' {shlex.quote(text)} > {shlex.quote(name)}"


def making(directory: str) -> str:
    """A shell command that makes a directory and those above it; a machine with Python and git has no mkdir."""
    return f"{PYTHON} -c 'import os, sys; os.makedirs(sys.argv[1], exist_ok=True)' {shlex.quote(directory)}"


def toml(text: str) -> str:
    """A TOML basic string."""
    return json.dumps(text)


def shell_plan(builds: dict[str, str], *, head: str = "", verify: str = "true", extra: str = "") -> str:
    """A plan of shell builds: id → command; each verified by ``verify``. ``extra`` follows each build's own keys."""
    text = f'[plan]\nname = "test"\n{head}\n[defaults]\nagent = "shell"\nretries = 1\n[verify]\nrun = ["true"]\n'
    for build, command in builds.items():
        text += f'[[build]]\nid = "{build}"\ncommand = {toml(command)}\n{extra}\n'
        text += f"[build.verify]\nrun = [{toml(verify)}]\n"
    return text


def until(condition: Callable[[], Any], *, seconds: float = 60) -> Any:
    """Wait for a condition; a bound against hanging, not a measurement."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError("it never became true")


# Agents get an allow-list of variables; names that begin with XDG_ are on it.
_TRACKING = "XDG_BR3_TEST"


def processes_with(text: str) -> list[psutil.Process]:
    """Living processes but this one whose environment has the variable of ``tracked`` with this value."""
    found, me = [], os.getpid()
    for process in psutil.process_iter():
        try:
            if (
                process.pid != me
                and process.environ().get(_TRACKING) == text
                and process.status() != psutil.STATUS_ZOMBIE
            ):
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found


def words_of(process: psutil.Process) -> list[str]:
    """What a process was started with; empty when it is gone."""
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def kill_all(text: str) -> None:
    """SIGKILL for each process of a test, and for what one of them started meanwhile, until none is left."""

    def none_left() -> bool:
        found = processes_with(text)
        for process in found:
            with suppress(psutil.Error):
                process.kill()
        return not found

    until(none_left)


@pytest.fixture
def tracked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A value that every process started in this test inherits, agents too; what is left at the end is ended."""
    value = str(tmp_path)
    monkeypatch.setenv(_TRACKING, value)
    yield value
    kill_all(value)
