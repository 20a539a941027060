"""Settings, places and the ways out."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from br3.guard import check, exemptions, places
from br3.guard.findings import Finding, Outcome, at_least
from br3.guard.settings import MAX_BYTES, BadSettings, Settings, load
from br3.wording import printable

GUARD = Path(check.__file__).parent


@pytest.mark.parametrize(
    ("line", "rules"),
    [
        ("x = 1  # br3-allow: github", {"github"}),
        ("x = 1;  // br3-allow: github, jwt", {"github", "jwt"}),
        ("<!-- br3-allow: private-key -->", {"private-key"}),
        ("-- a test value, br3-allow: generic-secret , jwt because", {"generic-secret", "jwt"}),
        ("; br3-allow:github", {"github"}),
        ("# BR3-ALLOW: GitHub", {"github"}),
        ("x = 'br3-allow: github'", set()),
        ("# br3-allow", set()),
        ("# nothing", set()),
    ],
)
def test_a_comment_names_the_rules_that_it_allows(line: str, rules: set[str]) -> None:
    assert exemptions.allowed_rules(line.encode()) == rules


def test_on_the_line_above_only_a_comment_that_stands_alone_counts() -> None:
    assert exemptions.allowed_above(b"    # br3-allow: jwt") == {"jwt"}
    assert exemptions.allowed_above(b"x = 1  # br3-allow: jwt") == frozenset()


def finding(rule: str = "github", content: bytes = b"secret", file: str = "a", line: int = 1) -> Finding:
    return Finding(file, line, rule, "high", "***", "fix", content)


def test_a_secret_has_one_digest_wherever_it_lies_and_anything_else_one_for_its_file() -> None:
    assert exemptions.digest(finding(file="a", line=1)) == exemptions.digest(finding(file="b", line=9))
    assert exemptions.digest(finding(content=b"other")) != exemptions.digest(finding())
    assert exemptions.digest(finding("jwt")) != exemptions.digest(finding())
    assert exemptions.digest(finding("sql-injection", file="a")) != exemptions.digest(
        finding("sql-injection", file="b")
    )


def sorted_out(
    *found: Finding, skipped: str = "", lines: tuple[bytes, ...] = (), baseline: tuple[str, ...] = ()
) -> Outcome:
    outcome = Outcome()
    exemptions.sort_out(
        found,
        outcome,
        skipped=exemptions.skipped_rules({"BR3_SKIP": skipped}),
        line_of=lambda _, number: lines[number - 1] if 0 < number <= len(lines) else None,
        in_baseline=baseline.__contains__,
    )
    return outcome


def test_each_way_out_is_told_by_its_name() -> None:
    one, two = finding(), finding("jwt")
    assert [use for _, use in sorted_out(one, two, skipped="github, jwt").allowed] == ["skip", "skip"]
    assert [use for _, use in sorted_out(one, lines=(b"# br3-allow: github",)).allowed] == ["comment"]
    outcome = sorted_out(one, two, baseline=(exemptions.digest(one),))
    assert [use for _, use in outcome.allowed] == ["baseline"]
    assert outcome.findings == [two] and outcome.digests == {exemptions.digest(one)}


def test_a_way_out_for_one_rule_is_none_for_another() -> None:
    for outcome in (sorted_out(finding(), skipped="jwt"), sorted_out(finding(), lines=(b"# br3-allow: jwt",))):
        assert len(outcome.findings) == 1 and not outcome.allowed


def test_writing_the_baseline_again_changes_nothing_and_stale_ones_go_only_when_asked(tmp_path: Path) -> None:
    root = str(tmp_path)
    one, two = finding(), finding("jwt")
    assert exemptions.write_baseline(root, [one, two], keep=None) == (2, 0)
    before = {path.name: path.read_bytes() for path in (tmp_path / ".br3/baseline").iterdir()}
    assert set(before) == {exemptions.digest(one), exemptions.digest(two)}
    assert exemptions.write_baseline(root, [one], keep=None) == (0, 0)
    assert {path.name: path.read_bytes() for path in (tmp_path / ".br3/baseline").iterdir()} == before
    assert exemptions.write_baseline(root, [one], keep=set()) == (0, 1)
    assert exemptions.write_baseline(root, [], keep={exemptions.digest(one)}) == (0, 0)


@pytest.mark.parametrize(
    ("branch", "protected"),
    [
        ("main", True),
        ("release/1.2", True),
        ("release/1/2", True),
        ("mainline", False),
        ("feature", False),
        ("", False),
    ],
)
def test_branches_are_protected_as_a_case_of_sh_matches(branch: str, protected: bool) -> None:
    settings = Settings(protect=("main", "release/*"))
    assert bool(places.on_branch(branch, settings)) == protected


def test_what_a_build_does_not_own_is_told_once_a_path() -> None:
    settings = Settings(owns={"a": ("/core(?:/[^/]+)*", r"/[^/]*\.md")})
    paths = ["core/x.py", "README.md", "docs/y.md", "docs/y.md", "corex"]
    assert [f.file for f in places.outside(paths, "a", settings)] == ["corex", "docs/y.md"]
    assert places.outside(paths, "another", settings) == []


@pytest.mark.parametrize(("action", "severity"), [("block", "high"), ("warn", "low")])
def test_leaving_the_own_ground_blocks_or_warns(action: str, severity: str) -> None:
    settings = Settings(owns={"a": ("/core",)}, owns_action=action)
    assert [f.severity for f in places.outside(["x"], "a", settings)] == [severity]


def test_settings_are_read_and_all_of_them_may_be_missing(tmp_path: Path) -> None:
    file = tmp_path / "guard.json"
    file.write_text('{"schema": 1}')
    assert load(str(file)).max_bytes == load(None).max_bytes == MAX_BYTES
    told = {"schema": 1, "max_bytes": 7, "fail_on": "high", "off": ["jwt"], "ignore": ["/vendor(?:/[^/]+)*"]}
    file.write_text(json.dumps({**told, "protect": ["main"], "owns": {"a": ["/x"]}, "owns_action": "warn"}))
    settings = load(str(file))
    assert (settings.max_bytes, settings.fail_on, settings.off) == (7, "high", frozenset({"jwt"}))
    assert settings.ignores("vendor/a/b") and not settings.ignores("vendored")
    assert (settings.protect, settings.owns, settings.owns_action) == (("main",), {"a": ("/x",)}, "warn")


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"schema": 2}', '{"schema": 1, "ignore": ["("]}', '{"schema": 1, "fail_on": "never"}',
     '{"schema": 1, "max_bytes": "many"}', '{"schema": 1, "protect": 3}'],
)  # fmt: skip
def test_settings_that_cannot_be_meant_are_an_error(tmp_path: Path, text: str) -> None:
    file = tmp_path / "guard.json"
    file.write_text(text)
    with pytest.raises(BadSettings):
        load(str(file))


def test_severities_have_an_order() -> None:
    assert at_least("high", "medium") and at_least("medium", "medium") and not at_least("low", "medium")


def test_a_name_cannot_paint_over_a_terminal() -> None:
    assert printable("a\x1b[2Jb\nc\udcffé") == r"a\x1b[2Jb\nc\udcffé"
    assert printable("\u202ea \U0001f468\u200d\U0001f469") == "\\u202ea \U0001f468\u200d\U0001f469"


def test_the_hook_s_entry_starts_without_what_is_slow_to_import() -> None:
    program = (
        f"import sys; sys.path.append({str(GUARD.parent.parent)!r})\n"
        "from br3.guard import check, staged, commits, sql_python, sql_script\n"
        "print(*sorted(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-I", "-S", "-c", program], capture_output=True, text=True, check=True)
    slow = {
        "dataclasses",
        "typing",
        "pathlib",
        "subprocess",
        "inspect",
        "tomllib",
        "json",
        "hashlib",
        "click",
        "br3.repo",
    }
    assert not slow & set(done.stdout.split())


def test_only_scans_that_no_hook_starts_use_the_slower_modules() -> None:
    slow = (
        "import subprocess",
        "from pathlib",
        "from dataclasses",
        "from typing",
        "from br3.repo",
        "from br3.secrets import red",
    )
    using = {path.name for path in GUARD.glob("*.py") if any(word in path.read_text() for word in slow)}
    assert using == {"trees.py", "gitleaks.py", "sarif.py"}
