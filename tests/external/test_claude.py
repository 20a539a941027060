"""The real Claude Code, driven by br3 against an API on the loopback interface. No paid call is possible."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from tests.conftest import Scratch, toml, until

TOOLS = Path(__file__).parents[2] / ".external" / "node_modules" / ".bin"
FAKE_API = Path(__file__).parents[1] / "fakes" / "fake_api.py"


@pytest.fixture
def api(tmp_path: Path) -> Iterator[str]:
    """The address of a model API on this machine; it ends with the test."""
    portfile = tmp_path / "port"
    command = [
        sys.executable,
        str(FAKE_API),
        "--port",
        "0",
        "--portfile",
        str(portfile),
        "--log",
        str(tmp_path / "log"),
    ]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until(lambda: portfile.exists() and portfile.read_text().strip())
        yield f"http://127.0.0.1:{portfile.read_text().strip()}"
    finally:
        server.kill()
        server.wait()


@pytest.fixture
def environment(tmp_path: Path, api: str) -> dict[str, str]:
    assert (TOOLS / "claude").exists(), "Claude Code is not installed: run tests/external/install"
    # The API counts a scenario's steps by the first part of its path: every build gets its own.
    tools = tmp_path / "tools"
    tools.mkdir()
    wrapper = tools / "claude"
    wrapper.write_text(
        "#!/bin/sh\n"
        f'export ANTHROPIC_BASE_URL="{api}/r/$BR3_BUILD/$SCENARIO"\n'
        f'exec {shlex.quote(str((TOOLS / "claude").resolve()))} "$@"\n'
    )
    wrapper.chmod(0o755)
    return {
        "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}",
        "ANTHROPIC_API_KEY": "sk-" + "ant-" + "loopback-only-0000000000",
        "SCENARIO": "write_file",
        "CLAUDE_CONFIG_DIR": str(tmp_path / "claude-config"),
        "BR3_TRUST": "1",
    }


def plan(builds: str) -> str:
    text = '[plan]\nname = "t"\n[defaults]\nagent = "claude"\nmodel = "sonnet"\nretries = 0\nenv = ["SCENARIO"]\n'
    for build in builds:
        text += f'[[build]]\nid = "{build}"\nprompt = "Write agent.txt and commit it."\n'
        text += f"[build.verify]\nrun = [{toml('test -e agent.txt')}]\n"
    return text


def test_four_real_agents_write_and_commit_in_four_worktrees(repo: Scratch, environment: dict[str, str]) -> None:
    repo.plan(plan("abcd"))
    repo.br3("run", env=environment)
    builds = repo.status()["builds"]
    for build in "abcd":
        assert builds[build]["verified"]
        assert repo.git("log", "--format=%s", f"main..build/{build}") == "agent: add agent.txt"
    results = []
    for log in (repo.common_dir / "br3" / "runs").rglob("stdout.log"):
        lines = [json.loads(line) for line in log.read_bytes().split(b"\n") if line]
        results += [Decimal(str(line["total_cost_usd"])) for line in lines if line["type"] == "result"]
    assert len(results) == 4
    assert sum(Decimal(b["cost_usd"]) for b in builds.values()) == round(sum(results), 10) > 0
    assert "Created agent.txt and committed it." in repo.br3("status", "a").out


def test_a_budget_stops_the_agent_and_the_run_ends_with_4(repo: Scratch, environment: dict[str, str]) -> None:
    environment["SCENARIO"] = "expensive"
    repo.plan(plan("a").replace("retries = 0", "retries = 0\nbudget_usd = 0.50"))
    repo.br3("run", code=4, env=environment)
    assert repo.events("attempt.finished")[0].data["cause"] == "budget"
    assert Decimal(repo.status()["builds"]["a"]["cost_usd"]) > Decimal("0.5")


def test_a_wrong_key_ends_the_build_with_the_reason(repo: Scratch, environment: dict[str, str]) -> None:
    environment["SCENARIO"] = "r403"
    repo.plan(plan("a"))
    repo.br3("run", code=1, env=environment)
    assert repo.events("build.failed")[0].data["cause"] == "auth"
    everything = "".join(p.read_text() for p in (repo.common_dir / "br3" / "journal").iterdir())
    assert environment["ANTHROPIC_API_KEY"] not in everything


def test_ctrl_c_leaves_no_process_of_the_agent(
    repo: Scratch, environment: dict[str, str], api: str, tracked: str
) -> None:
    from tests.conftest import processes_with

    work = 'python3 -c \'import time; open("started", "w").close(); time.sleep(600)\''
    steps = [{"tool": "Bash", "input": {"command": work, "description": "work", "timeout": 600000}}]
    urllib.request.urlopen(f"{api}/__scenario/busy", json.dumps(steps).encode()).close()
    environment["SCENARIO"] = "busy"
    repo.plan(plan("a"))
    process = repo.start("run", env=environment)
    until(lambda: (repo.worktree("a") / "started").exists())
    process.send_signal(signal.SIGINT)
    process.communicate()
    assert process.returncode == 130
    left = [p.cmdline() for p in processes_with(tracked) if p.pid != os.getpid() and "fake_api" not in str(p.cmdline())]
    assert left == []
