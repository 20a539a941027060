"""``br3 plan check`` and ``br3 plan show`` as a user sees them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import br3
from br3.cli import COMMANDS, cli
from br3.cli.plan import plan
from br3.errors import UsageError

PLAN = """\
[plan]
name = "week-1"
jobs = 2
budget_usd = 20
[verify]
run = ["pytest -q"]
[[build]]
id = "persistence"
title = "Persistence [bold]layer"
branch = "build/persistence-layer-of-everything"
prompt = "x"
after = ["docs"]
[build.verify]
run = ["pytest tests/test_persistence.py -v"]
min_passed = 18
min_coverage = 90
[[build.task]]
id = "B.1"
title = "Cost tracking"
minutes = 90
[[build.task]]
id = "B.2"
title = "Schema"
minutes = 45.5
agent = "shell"
command = "make schema"
[[build]]
id = "docs"
prompt = "x"
[[build]]
id = "api"
prompt = "x"
needs = ["docs", "persistence"]
"""
BROKEN = '[plan]\nname = "x"\njob = 1\n[[build]]\nid = "a"\n'


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in list(os.environ):
        if name.startswith(("BR3_", "XDG_")) or name in {"COLUMNS", "FORCE_COLOR", "TTY_COMPATIBLE"}:
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    root = tmp_path / "project"
    (root / ".git").mkdir(parents=True)
    monkeypatch.chdir(root)
    return root


def run(*args: str) -> Result:
    result = CliRunner().invoke(cli, ["plan", *args])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def told(*args: str) -> Any:
    return json.loads(run(*args).stdout)


def test_a_fine_plan_is_one_line(project: Path) -> None:
    (project / "br3.toml").write_text(PLAN)
    result = run("check")
    assert result.exit_code == 0
    assert result.output == "br3.toml is fine: 3 builds, 4 tasks, 2 at once, base main, budget $20\n"


def test_problems_are_lines_on_standard_error_and_the_code_is_2(project: Path) -> None:
    (project / "br3.toml").write_text(BROKEN)
    result = run("check")
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.splitlines() == [
        'br3.toml:3: plan.job: unknown key (did you mean "jobs"?)',
        "br3.toml:4: build[0]: nothing verifies this build (add [build.verify] or [verify] with run)",
        "br3.toml:4: build[0]: nothing tells the agent what to do (add prompt, prompt_file or [[build.task]])",
        "3 problems",
    ]


def test_a_warning_is_told_and_the_plan_is_still_fine(project: Path) -> None:
    (project / "br3.toml").write_text(PLAN + "[release]\npush = true\n")
    result = run("check")
    assert result.exit_code == 0
    assert (
        result.stderr == "warning: br3.toml:35: release.push: there is no release to push (add tag, version or bump)\n"
    )


def test_a_setting_outside_the_plan_is_checked_with_it(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (project / "br3.toml").write_text(PLAN)
    monkeypatch.setenv("BR3_JOBS", "four")
    assert run("check").stderr.splitlines()[0] == 'BR3_JOBS: expected a whole number, got "four"'


def test_a_named_file_is_checked(project: Path) -> None:
    (project / "other.toml").write_text(PLAN)
    assert run("check", "other.toml").output.startswith("other.toml is fine")


def test_the_plan_is_found_from_below(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (project / "br3.toml").write_text(PLAN)
    (project / "deep").mkdir()
    monkeypatch.chdir(project / "deep")
    assert run("check").exit_code == 0


@pytest.mark.parametrize("command", ["check", "show"])
def test_without_a_plan_the_next_command_is_init(command: str) -> None:
    for args in ([command], [command, "nowhere.toml"]):
        with pytest.raises(UsageError) as caught:
            run(*args)
        assert caught.value.hint == "br3 init"


def test_check_as_json_gives_the_builds(project: Path) -> None:
    (project / "br3.toml").write_text(PLAN)
    assert told("check", "--json") == {
        "schema": 1,
        "ok": True,
        "errors": [],
        "warnings": [],
        "overlaps": [],
        "builds": [
            {"id": "persistence", "branch": "build/persistence-layer-of-everything", "after": ["docs"], "needs": []},
            {"id": "docs", "branch": "build/docs", "after": [], "needs": []},
            {"id": "api", "branch": "build/api", "after": [], "needs": ["docs", "persistence"]},
        ],
    }


def test_check_as_json_gives_the_errors(project: Path) -> None:
    (project / "br3.toml").write_text(BROKEN)
    result = run("check", "--json")
    assert result.exit_code == 2
    data = json.loads(result.stdout)
    assert (data["ok"], data["builds"]) == (False, [])
    assert data["errors"][0] == {
        "file": "br3.toml",
        "line": 3,
        "key": "plan.job",
        "message": "unknown key",
        "hint": 'did you mean "jobs"?',
    }


def test_show_as_json_gives_tasks_and_the_landing_order(project: Path) -> None:
    (project / "br3.toml").write_text(PLAN)
    data = told("show", "--json")
    assert data["landing_order"] == ["docs", "persistence", "api"]
    assert [task["id"] for task in data["builds"][0]["tasks"]] == ["B.1", "B.2"]
    assert data["builds"][0]["title"] == "Persistence [bold]layer"
    assert data["builds"][0]["verify"]["min_passed"] == 18


def test_show_gives_the_order_of_starting_as_a_tree(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (project / "br3.toml").write_text(PLAN)
    monkeypatch.setenv("COLUMNS", "200")
    assert run("show").output.split("\n\n")[0].splitlines() == [
        "week-1: what starts when, 2 at once",
        "├── docs  on build/docs",
        "└── persistence  Persistence [bold]layer  on build/persistence-layer-of-everything",
        "    └── api  on build/api  (needs docs too)",
    ]


def test_show_gives_each_builds_work_and_verification(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (project / "br3.toml").write_text(PLAN)
    monkeypatch.setenv("COLUMNS", "200")
    rows = [line.split("  ") for line in run("show").output.split("\n\n")[1].splitlines()]
    assert [[cell.strip() for cell in row if cell] for row in rows[1:4]] == [
        [
            "persistence",
            "2",
            "135.5",
            "claude",
            "docs",
            "pytest tests/test_persistence.py -v",
        ],
        ["shell", "≥ 18 tests"],
        ["≥ 90 % covered"],
    ]


def test_a_narrow_table_folds_what_is_long_and_leaves_nothing_out(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "br3.toml").write_text(PLAN)
    narrow = run("show").output
    monkeypatch.setenv("COLUMNS", "200")
    wide = run("show").output
    assert narrow != wide
    assert sorted("".join(narrow.split())) == sorted("".join(wide.split()))


def test_show_ends_with_the_landing_order(project: Path) -> None:
    (project / "br3.toml").write_text(PLAN)
    assert run("show").output.splitlines()[-1] == "lands on main: docs → persistence → api"


def test_show_keeps_to_80_columns_and_leaves_no_blanks_at_line_ends(project: Path) -> None:
    (project / "br3.toml").write_text(PLAN)
    for line in run("show").output.splitlines():
        assert len(line) <= 80
        assert line == line.rstrip()


def test_show_lets_no_control_character_of_the_plan_through(project: Path) -> None:
    (project / "br3.toml").write_text(PLAN.replace("Persistence [", r"\u001bc["))
    assert "\x1b" not in run("show").output


def test_show_of_a_broken_plan_tells_its_problems(project: Path) -> None:
    (project / "br3.toml").write_text(BROKEN)
    with pytest.raises(UsageError, match=r"br3\.toml:3: plan\.job: unknown key"):
        run("show")


def test_its_one_line_help_is_the_one_in_the_overview() -> None:
    assert plan.help == COMMANDS["Plan"]["plan"][2]


def test_the_commands_are_listed_without_loading_pydantic_or_rich() -> None:
    program = "import sys, br3.cli.plan, br3.cli.init; print({'pydantic', 'rich'} & sys.modules.keys())"
    shown = subprocess.run(
        [sys.executable, "-c", program],
        cwd=Path(br3.__file__).parent.parent,
        capture_output=True,
        text=True,
        check=True,
    )
    assert shown.stdout == "set()\n"
