"""The README: its commands are the ones that are run, and every command of br3 is named."""

from __future__ import annotations

import re
from pathlib import Path

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


def test_every_command_is_named() -> None:
    for commands in COMMANDS.values():
        for name in commands:
            assert re.search(rf"`?br3 {name}\b", README), name
