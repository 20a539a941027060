"""docs/SECURITY.md cannot drift: its tables are made from the code (run this file to write them), its commands exist.

python tests/unit/test_docs_security.py
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from br3.cli import cli
from br3.guard import changed, contents, places
from br3.guard.contents import OTHER_RULES
from br3.guard.settings import MAX_BYTES, Settings
from br3.repo.runner import PRIVATE
from br3.secrets.redaction import MIN_KNOWN_CHARS
from br3.secrets.rules import RULES

PAGE = Path(__file__).parents[2] / "docs" / "SECURITY.md"
BENCHES = Path(__file__).parents[1] / "bench"

SEVERITIES = {
    "sql-injection": "high, medium, low",
    "conflict-marker": "medium",
    "file-size": "medium",
    "protected-branch": "high",
    "ownership": "high (low where it warns)",
}


def rules_table() -> str:
    lines = ["| rule | looks for | severity | keywords | entropy, bits a byte |", "| --- | --- | --- | --- | --- |"]
    for rule in RULES:
        words = [f"`{word.strip()}`" for word in rule.keywords]
        shown = ", ".join(words if len(words) <= 6 else [*words[:5], f"{len(words) - 5} more"])
        lines.append(f"| `{rule.id}` | {rule.description} | {rule.severity} | {shown} | {rule.entropy:g} |")
    return "\n".join(lines)


def others_table() -> str:
    lines = ["| rule | looks for | severity |", "| --- | --- | --- |"]
    return "\n".join([*lines, *(f"| `{rule}` | {told} | {SEVERITIES[rule]} |" for rule, told in OTHER_RULES.items())])


def private_list() -> str:
    return ", ".join(f"`{name}`" for name in sorted(PRIVATE))


def as_generated() -> str:
    page = PAGE.read_text(encoding="utf-8")
    for name, block in (("rules", rules_table()), ("others", others_table()), ("private", private_list())):
        page, count = re.subn(
            rf"(<!-- {name} -->\n).*?(<!-- end -->)", lambda m, b=block: f"{m[1]}{b}\n{m[2]}", page, count=1, flags=re.S
        )
        assert count == 1, name
    return page


def test_the_tables_of_the_page_are_those_of_the_code() -> None:
    assert PAGE.read_text(encoding="utf-8") == as_generated(), "python tests/unit/test_docs_security.py"


def test_severities_of_the_other_rules_are_those_of_their_findings() -> None:
    settings = Settings(protect=("main",), owns={"a": ("/x",)})
    warned = Settings(owns={"a": ("/x",)}, owns_action="warn")
    found = [
        *contents.inspect("a", b"<<<<<<< x\n"),
        contents.oversize("a", 2, 1),
        *places.on_branch("main", settings),
        *places.outside(["y"], "a", settings),
    ]
    told = {finding.rule: finding.severity for finding in found}
    assert told.keys() == OTHER_RULES.keys() - {"sql-injection"} and OTHER_RULES.keys() == SEVERITIES.keys()
    assert all(SEVERITIES[rule].split(" ")[0] == severity for rule, severity in told.items())
    assert [finding.severity for finding in places.outside(["y"], "a", warned)] == ["low"]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_a_rule_can_be_told_in_a_table(rule: object) -> None:
    assert "|" not in f"{getattr(rule, 'description', '|')}{getattr(rule, 'keywords', '|')}"


def test_every_command_and_option_of_the_page_exists() -> None:
    page = PAGE.read_text(encoding="utf-8")
    lines = re.findall(r"^    br3 (.*?)(?:  .*)?$", page, re.M) + re.findall(r"`br3 ([^`]+)`", page)
    assert len(lines) >= 8
    known = set(cli.list_commands(None))  # type: ignore[arg-type]
    for line in lines:
        command = line.split()[0]
        assert command in known, line
        said = CliRunner().invoke(cli, [command, "--help"])
        assert said.exit_code == 0 and all(option in said.output for option in re.findall(r"--[a-z-]+", line)), line


def test_numbers_of_the_page_are_those_of_the_code() -> None:
    page = " ".join(PAGE.read_text(encoding="utf-8").split())
    assert MAX_BYTES == 5 * 2**20 and "(5 MB unless set)" in page
    assert changed.MOST_BYTES == 64 * 2**20 and "diffs of 64 MB" in page
    assert MIN_KNOWN_CHARS == 8 and "(8 characters or more)" in page


def test_files_that_the_page_names_exist() -> None:
    for name in re.findall(r"`?(tests/[\w/*.]+\.py)", PAGE.read_text(encoding="utf-8")):
        assert list(PAGE.parents[1].glob(name)), name


if __name__ == "__main__":
    PAGE.write_text(as_generated(), encoding="utf-8")
