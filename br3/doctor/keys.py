"""Which keys are here and where they come from; whether others could read them."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from shlex import quote

from br3.agents import NAMES, agent
from br3.agents.keys import find
from br3.analytics.inspecting import Finding
from br3.doctor.patient import Patient
from br3.repo.worktrees import tracked

_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def keys(patient: Patient) -> Iterator[Finding]:
    """The keys by name, masked; then what is wrong with the file that they stand in."""
    top = patient.repository.worktree
    env_file = top / ".env" if top is not None else None
    found = {key.variable: key for name in NAMES for key in find(agent(name), os.environ, env_file)}
    if not found:
        yield Finding("keys", True, "none in the environment or in .env")
    for key in found.values():
        yield Finding("keys", True, f"{key.variable} {key.masked} from {key.source}")
    if top is None or env_file is None or not env_file.is_file():
        return
    if tracked(top, [".env"]):
        way = f"git -C {quote(str(top))} rm --cached .env, put .env into .gitignore, and have new keys made"
        yield Finding("keys", False, f"git tracks {env_file}: its keys are in the history", way)
    if env_file.stat().st_mode & _OTHERS and any(key.source == ".env" for key in found.values()):
        way = f"chmod 600 {quote(str(env_file))}"
        yield Finding("keys", True, f"others may read {env_file}", way, True, lambda: _close(env_file))


def _close(path: Path) -> str:
    path.chmod(stat.S_IMODE(path.stat().st_mode) & ~_OTHERS)
    return f"{path} is for you alone"
