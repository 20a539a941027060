"""docs/INTEGRATION_GUIDE.md: its workflows, hooks and settings, run as CI, hook managers and Claude Code do."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import Scratch, shell_plan, writing
from tests.consoles import put_tools
from tests.pages import DOCS, fences, read

PAGE = read(DOCS / "INTEGRATION_GUIDE.md")
SECRET = "AKIA" + "Q3EGTHY7XKM2WPLD"


def block(name: str) -> str:
    """The block behind a mark of the page."""
    return fences(PAGE.partition(f"<!-- {name} -->")[2])[0].text


def commands(steps: list[dict[str, Any]]) -> list[str]:
    """What the steps of a workflow run but for installing, on a pull request to main."""
    typed = [step["run"] for step in steps if "run" in step and "install" not in step["run"]]
    return [command.replace("${{ github.base_ref }}", "main") for command in typed]


@pytest.fixture
def checkout(repo: Scratch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scratch:
    """A checkout with a remote and a plan; br3 is on PATH."""
    put_tools(tmp_path / "bin")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=":")
    repo.plan(shell_plan({"one": writing("one"), "two": writing("two")}) + '[release]\ntag = "v1.0.0"\n')
    repo.git("init", "--quiet", "--bare", str(tmp_path / "remote.git"))
    repo.git("remote", "add", "origin", str(tmp_path / "remote.git"))
    repo.git("push", "--quiet", "--set-upstream", "origin", "main")
    return repo


def typed(repo: Scratch, command: str, given: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(["sh", "-c", command], cwd=repo.path, input=given, capture_output=True, text=True)


def leak(repo: Scratch) -> Path:
    """A file with a secret, not yet staged."""
    return repo.write("leak.py", f'key = "{SECRET}"\n')


def test_the_workflow_of_pull_requests_lets_a_clean_one_pass_and_stops_a_secret(checkout: Scratch) -> None:
    workflow = yaml.safe_load(block("workflow of pull requests"))
    steps = commands(workflow["jobs"]["guard"]["steps"])
    assert [step.split()[1] for step in steps] == ["plan", "scan"]
    checkout.git("switch", "--quiet", "--create", "change")
    checkout.write("fine", "x\n")
    checkout.commit()
    assert [typed(checkout, step).returncode for step in steps] == [0, 0]
    leak(checkout)
    checkout.commit()
    checkout.git("rm", "--quiet", "leak.py")
    checkout.commit()
    assert [typed(checkout, step).returncode for step in steps] == [0, 1]


def test_the_workflow_of_a_run_lands_pushes_and_exports(checkout: Scratch) -> None:
    workflow = yaml.safe_load(block("workflow of a run"))
    steps = commands(workflow["jobs"]["run"]["steps"])
    for step in steps:
        done = typed(checkout, step)
        assert done.returncode == 0, done.stderr
    assert checkout.head("origin/main") == checkout.head("main") == checkout.head("v1.0.0^{commit}")
    assert checkout.git("ls-tree", "--name-only", "main").split() == ["README.md", "br3.toml", "one", "two"]
    assert (checkout.path / "usage.csv").exists() and (checkout.common_dir / "br3" / "runs").is_dir()


@pytest.mark.parametrize("manager", ["pre-commit", "lefthook", "husky"])
def test_what_a_hook_manager_calls_stops_a_secret(checkout: Scratch, manager: str) -> None:
    (command,) = set(re.findall(r"br3 scan .*", block(manager)))
    assert typed(checkout, command).returncode == 0
    leak(checkout)
    checkout.git("add", "leak.py")
    assert typed(checkout, command).returncode == 1


def test_the_hooks_of_claude_code_tell_the_state_and_send_a_secret_back(checkout: Scratch) -> None:
    hooks = json.loads(block("hooks"))["hooks"]
    (begins,) = hooks["SessionStart"][0]["hooks"]
    assert "br3 run" in typed(checkout, begins["command"]).stdout
    (written,) = hooks["PostToolUse"][0]["hooks"]
    fine = json.dumps({"tool_input": {"file_path": str(checkout.path / "README.md")}})
    assert typed(checkout, written["command"], fine).returncode == 0
    found = typed(checkout, written["command"], json.dumps({"tool_input": {"file_path": str(leak(checkout))}}))
    assert found.returncode == 2 and "leak.py:1" in found.stderr


def test_the_skill_has_a_head_that_claude_code_reads() -> None:
    _, head, text = block("skill").split("---\n", 2)
    facts = yaml.safe_load(head)
    assert facts.keys() == {"name", "description"} and facts["name"] == "br3"
    assert 0 < len(facts["description"]) <= 1024 and text.strip()
