"""What is here of an agent: its program and version, a login or a key. No more than ``--version`` is ever run."""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from br3.agents import Agent, agent
from br3.agents.keys import Key, find
from br3.workspace import children

_MOST_S = 60.0
_VERSION = re.compile(rb"\b(\d+\.\d+\.\d+(?:[-+.][0-9A-Za-z.-]+)?)\b")


@dataclass(frozen=True)
class Probe:
    """What was found. None is not known: a version that was not told, a login that leaves no file."""

    agent: str
    installed: bool
    version: str | None
    tested_with: str
    known: bool | None
    """Whether the module knows this version's output."""
    login: Path | None
    """The file that a login has left."""
    keys: tuple[Key, ...]
    complaints: tuple[str, ...] = ()
    hint: str | None = None

    @property
    def ready(self) -> bool:
        """Whether it can be used, as far as one can tell without calling anybody."""
        return self.installed and not self.complaints


def probe(name: str, environ: Mapping[str, str], env_file: Path | None = None) -> Probe:
    """Look at one agent; UsageError when there is none of that name.

    It gets no key and no more of the environment than any agent.
    """
    found = agent(name)
    install = found.missing()
    if install:
        return Probe(name, False, None, found.tested_with, None, None, (), (f"{name} is not installed",), install)
    version = found.tested_with if name == "shell" else _version(found.executable)
    known = None if version is None else version in found.known_versions
    login = _login(found, environ)
    keys = tuple(find(found, environ, env_file))
    complaints = [key.complaint for key in keys if key.complaint]
    hint = None
    if version is None:
        complaints.append(f"{found.executable} --version says no version")
    if complaints:
        hint = "correct it in the environment or in .env" if keys else found.install
    return Probe(name, True, version, found.tested_with, known, login, keys, tuple(complaints), hint)


def standing(name: str, environ: Mapping[str, str], env_file: Path | None = None) -> str:
    """Whether an agent can be used here, without running it: ``yes``, ``not installed``, ``no login or key``."""
    found = agent(name)
    if found.missing():
        return "not installed"
    if find(found, environ, env_file) or _login(found, environ):
        return "yes"
    return "no login or key"


def _login(found: Agent, environ: Mapping[str, str]) -> Path | None:
    """The file that a login has left."""
    home = found.home(environ)
    logins = [home / file for file in found.login] if home else []
    return next((file for file in logins if file.is_file()), None)


def _version(executable: str) -> str | None:
    env = children.agent_environment(Path("/"), {}, ())
    with tempfile.TemporaryDirectory(prefix="br3-") as empty:  # what lies in a project may change what a CLI does
        try:
            done = subprocess.run(
                [executable, "--version"],
                cwd=empty,
                env=env,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=_MOST_S,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
    found = _VERSION.search(done.stdout)
    return found[1].decode() if found and done.returncode == 0 else None
