"""The real agent CLIs as br3 finds them on PATH, each sent to an API on the loopback interface.

No paid call is possible.
Every build has its own address (``/r/BUILD/SCENARIO``), so that builds at once take the steps of a scenario each for
itself. What the API was asked is in its log; what a CLI says of its own usage, in what br3 keeps of its output.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import urllib.request
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import psutil

from tests.conftest import Scratch, processes_with, toml, until, words_of

FAKE_API = Path(__file__).parents[1] / "fakes" / "fake_api.py"
EXTERNAL = Path(__file__).parents[2] / ".external"
TOOLS = EXTERNAL / "node_modules" / ".bin"
BUBBLEWRAP = EXTERNAL / "bubblewrap" / "usr" / "bin"

MODELS = {
    "claude": "sonnet",
    "codex": "gpt-5.5",
    "gemini": "gemini-2.5-flash",
    "opencode": "loopback/gpt-5.5",
}
"""What the tests ask for. The price table knows them; codex offers newer ones no tool by name, but a language."""

COMMIT = "printf 'hello\\n' > agent.txt && git add agent.txt && git commit -q -m 'agent: add agent.txt'"

_WRAPPERS = {
    "claude": 'export ANTHROPIC_BASE_URL="$address"\nexec {program} "$@"\n',
    "codex": 'exec {program} -c "model_providers.loopback.base_url=\\"$address/v1\\"" "$@"\n',
    "gemini": 'export GOOGLE_GEMINI_BASE_URL="$address"\nexec {program} "$@"\n',
    "opencode": 'export LOOPBACK="$address/v1"\nexec {program} "$@"\n',
}

_CODEX = """\
model_provider = "loopback"
[model_providers.loopback]
name = "loopback"
base_url = "http://127.0.0.1:9/never"
env_key = "OPENAI_API_KEY"
wire_api = "responses"
"""

_OPENCODE = {
    "provider": {
        "loopback": {
            "npm": "@ai-sdk/openai-compatible",
            "name": "loopback",
            "options": {"baseURL": "{env:LOOPBACK}", "apiKey": "{env:" + "OPENAI_API_KEY}"},
            "models": {MODELS["opencode"].partition("/")[2]: {}},
        }
    }
}


@dataclass(frozen=True)
class Api:
    """A model API on this machine: its address, and its log."""

    address: str
    log: Path

    def scenario(self, name: str, steps: list[dict[str, Any]]) -> None:
        """Add a scenario; the steps are described in tests/fakes/fake_api.py."""
        urllib.request.urlopen(f"{self.address}/__scenario/{name}", json.dumps(steps).encode()).close()

    def requests(self, build: str | None = None) -> list[dict[str, Any]]:
        """What agents asked so far, in order: one entry per turn."""
        lines = self.log.read_bytes().split(b"\n")[:-1] if self.log.exists() else []
        entries = [json.loads(line) for line in lines]
        return [one for one in entries if one.get("agent") and build in (None, one["run"])]


@contextmanager
def serving(directory: Path, *, bodies: bool = False, everything: bool = False) -> Iterator[Api]:
    """Such an API, while it lasts; its log is in ``directory``, with ``bodies`` also what it was asked in full.

    ``everything``: requests that offer no tools go through a scenario too.
    """
    portfile, log = directory / "port", directory / "log"
    command = [sys.executable, str(FAKE_API), "--port", "0", "--portfile", str(portfile), "--log", str(log)]
    command += ["--all"] if everything else []
    quiet = subprocess.DEVNULL
    env = {**os.environ, **({"FAKE_LOG_BODY": "1"} if bodies else {})}
    server = subprocess.Popen(command, env=env, stdout=quiet, stderr=quiet)
    try:
        until(lambda: portfile.exists() and portfile.read_text().strip())
        yield Api(f"http://127.0.0.1:{portfile.read_text().strip()}", log)
    finally:
        server.kill()
        server.wait()


def missing(agent: str) -> str | None:
    """Why an agent could not be installed; None when it is there."""
    if (TOOLS / agent).exists():
        return None
    told = EXTERNAL / "missing"
    return told.read_text().strip() if told.exists() else "run tests/external/install"


def install_wrappers(directory: Path, home: Path, api: Api) -> None:
    """Put all agents that are there into ``directory``, and into HOME what sends them to ``api``."""
    directory.mkdir()
    for agent, text in _WRAPPERS.items():
        if missing(agent) is None:
            program = shlex.quote(str((TOOLS / agent).resolve()))
            wrapper = directory / agent
            wrapper.write_text(
                f'#!/bin/sh\naddress="{api.address}/r/$BR3_BUILD/$SCENARIO"\n' + text.format(program=program)
            )
            wrapper.chmod(0o755)
    (home / ".codex").mkdir()
    (home / ".codex" / "config.toml").write_text(_CODEX)
    (home / "opencode.json").write_text(json.dumps(_OPENCODE))


def plan(
    builds: Iterable[str],
    agent: str = "claude",
    *,
    defaults: str = "",
    head: str = "",
    tasks: int = 1,
    verify: str = "test -e agent.txt",
) -> str:
    """A plan in which each build's agent is to commit agent.txt."""
    text = f'[plan]\nname = "t"\n{head}\n[defaults]\nagent = "{agent}"\nmodel = "{MODELS[agent]}"\nretries = 0\n'
    text += f'env = ["SCENARIO"]\n{defaults}\n'
    for build in builds:
        text += f'[[build]]\nid = "{build}"\nprompt = "Write agent.txt and commit it."\n'
        for number in range(tasks if tasks > 1 else 0):
            text += f'[[build.task]]\nid = "T{number + 1}"\ntitle = "task {number + 1}"\n'
        text += f"[build.verify]\nrun = [{toml(verify)}]\n"
    return text


def bash(command: str, **more: Any) -> dict[str, Any]:
    """A step of a scenario: the agent's shell tool runs ``command``."""
    return {"tool": "Bash", "input": {"command": command, "description": "work", "timeout": 600000}, **more}


def said(repo: Scratch, build: str) -> list[dict[str, Any]]:
    """The events that a build's agents printed, of all attempts of all runs, in order."""
    logs = sorted((repo.common_dir / "br3" / "runs").glob(f"*/{build}/*/stdout.log"))
    lines = [line for log in logs for line in log.read_bytes().split(b"\n") if line.startswith(b"{")]
    return [json.loads(line) for line in lines if line.endswith(b"}")]


def recorded(repo: Scratch, build: str) -> dict[str, int]:
    """The tokens of a build in the journal, by kind."""
    usage = [event.data for event in repo.events("usage.recorded") if event.build == build]
    assert usage, f"no usage of {build} was recorded"
    kinds = ("input", "output", "cache_write", "cache_read")
    return {kind: sum(one[f"{kind}_tokens"] or 0 for one in usage) for kind in kinds}


def cost(repo: Scratch, build: str) -> Decimal:
    """What the journal says that a build has cost so far."""
    usage = [event.data for event in repo.events("usage.recorded") if event.build == build]
    return sum((Decimal(one["cost_usd"]) for one in usage), Decimal(0))


def left(tracked: str, tag: str) -> list[list[str]]:
    """The command lines of processes that are left of a test's agents, also of those that hid their environment."""
    found = {process.pid: process for process in [*processes_with(tracked), *_named(tag)]}
    lines = []
    for pid, process in found.items():
        words = words_of(process)
        if pid != os.getpid() and words and "fake_api" not in " ".join(words):
            lines.append(words)
    return lines


def _named(tag: str) -> Iterator[psutil.Process]:
    for process in psutil.process_iter():
        try:
            if tag in process.cmdline() and process.status() != psutil.STATUS_ZOMBIE:
                yield process
        except psutil.Error:
            continue
