"""docs/SECURITY.md cannot drift: its tables are made from the code (run this file to write them).

python tests/unit/test_docs_security.py
"""

from __future__ import annotations

from pathlib import Path

import pytest

from br3.guard import changed, claims, contents, places
from br3.guard.contents import OTHER_RULES
from br3.guard.settings import MAX_BYTES, Settings
from br3.repo.runner import PRIVATE
from br3.secrets.redaction import MIN_KNOWN_CHARS
from br3.secrets.rules import RULES
from br3.telemetry import Lock
from tests.pages import DOCS, generated, read, table, write

PAGE = DOCS / "SECURITY.md"

SEVERITIES = {
    "sql-injection": "high, medium, low",
    "conflict-marker": "medium",
    "file-size": "medium",
    "protected-branch": "high",
    "ownership": "high (low where it warns)",
    "claimed": "high for a build (low where it warns), low for a person",
}


def rules_table() -> str:
    rows = []
    for rule in RULES:
        words = [f"`{word.strip()}`" for word in rule.keywords]
        shown = ", ".join(words if len(words) <= 6 else [*words[:5], f"{len(words) - 5} more"])
        rows.append((f"`{rule.id}`", rule.description, rule.severity, shown, f"{rule.entropy:g}"))
    return table(("rule", "looks for", "severity", "keywords", "entropy, bits a byte"), *rows)


def others_table() -> str:
    rows = [(f"`{rule}`", told, SEVERITIES[rule]) for rule, told in OTHER_RULES.items()]
    return table(("rule", "looks for", "severity"), *rows)


def private_list() -> str:
    return ", ".join(f"`{name}`" for name in sorted(PRIVATE))


def as_generated() -> str:
    return generated(read(PAGE), {"rules": rules_table, "others": others_table, "private": private_list})


def test_the_tables_of_the_page_are_those_of_the_code() -> None:
    assert read(PAGE) == as_generated(), "python tests/unit/test_docs_security.py"


def test_severities_of_the_other_rules_are_those_of_their_findings(tmp_path: Path) -> None:
    (tmp_path / "br3" / "claims").mkdir(parents=True)
    (tmp_path / "br3" / "claims" / "b").write_text('run=r\nregex="/z"\n')
    settings = Settings(protect=("main",), owns={"a": ("/x",)})
    warned = Settings(owns={"a": ("/x",)}, owns_action="warn")
    found = [
        *contents.inspect("a", b"<<<<<<< x\n"),
        contents.oversize("a", 2, 1),
        *places.on_branch("main", settings),
        *places.outside(["y"], "a", settings),
    ]
    with Lock(tmp_path, "build", "b").acquire():
        found += claims.touched(["z"], "a", settings, str(tmp_path))
        assert [finding.severity for finding in claims.touched(["z"], None, settings, str(tmp_path))] == ["low"]
    assert claims.touched(["z"], "a", settings, str(tmp_path)) == []
    told = {finding.rule: finding.severity for finding in found}
    assert told.keys() == OTHER_RULES.keys() - {"sql-injection"} and OTHER_RULES.keys() == SEVERITIES.keys()
    assert all(SEVERITIES[rule].split(" ")[0] == severity for rule, severity in told.items())
    assert [finding.severity for finding in places.outside(["y"], "a", warned)] == ["low"]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_a_rule_can_be_told_in_a_table(rule: object) -> None:
    assert "|" not in f"{getattr(rule, 'description', '|')}{getattr(rule, 'keywords', '|')}"


def test_numbers_of_the_page_are_those_of_the_code() -> None:
    page = " ".join(read(PAGE).split())
    assert MAX_BYTES == 5 * 2**20 and "(5 MB unless set)" in page
    assert changed.MOST_BYTES == 64 * 2**20 and "diffs of 64 MB" in page
    assert MIN_KNOWN_CHARS == 8 and "(8 characters or more)" in page


if __name__ == "__main__":
    write(PAGE, as_generated())
