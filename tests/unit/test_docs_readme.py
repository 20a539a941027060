"""The README: its commands are the ones that are run, its session is one that happened."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from br3.cli import COMMANDS

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def block(marker: str) -> str:
    """The indented block that follows a marker."""
    after = README.split(f"<!-- {marker} -->", 1)[1]
    lines = []
    for line in after.splitlines()[1:]:
        if line and not line.startswith("    "):
            break
        lines.append(line.removeprefix("    "))
    return "\n".join(lines).strip("\n")


def test_the_two_commands_are_one_line_each() -> None:
    assert block("first command").endswith("br3 demo") and "\n" not in block("first command")
    assert block("second command").endswith("-m pytest -n auto") and "\n" not in block("second command")


def test_ci_runs_the_second_command_as_it_stands_here() -> None:
    ci = ROOT / ".ci" / "run"
    assert "<!-- second command -->" in ci.read_text()


def normalised(text: str) -> str:
    """Without what differs from one run to the next: times, ids, object names."""
    text = re.sub(r"\d\d:\d\d:\d\d", "TIME", text)
    text = re.sub(r"\d{8}-\d{6}-[a-z0-9]{4}", "RUN", text)
    text = re.sub(r"\b[0-9a-f]{9,40}\b", "ID", text)
    text = re.sub(r"\d+ s\b", "N s", text)
    return re.sub(r" +", " ", text).strip()


@pytest.fixture(scope="module")
def demonstration(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """The lines of a demonstration of now."""
    root = tmp_path_factory.mktemp("readme")
    command = [sys.executable, "-m", "br3", "demo", str(root / "tally")]
    env = {**os.environ, "HOME": str(root)}
    done = subprocess.run(command, cwd=root, env=env, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stderr
    return {normalised(line) for line in (done.stdout + done.stderr).splitlines()}


def test_every_line_of_the_session_is_printed_by_the_demonstration(demonstration: set[str]) -> None:
    session = [line for line in block("session").splitlines() if line.strip() and line.strip() != "[…]"]
    assert len(session) > 20
    for line in session:
        assert normalised(line) in demonstration, line


def test_every_command_is_named(tmp_path: Path) -> None:
    for commands in COMMANDS.values():
        for name in commands:
            assert re.search(rf"`?br3 {name}\b", README), name


@pytest.mark.parametrize("path", [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")], ids=lambda p: p.name)
def test_links_within_the_repository_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", path.read_text()):
        if not target.startswith(("http://", "https://")):
            assert (path.parent / target).exists(), target
