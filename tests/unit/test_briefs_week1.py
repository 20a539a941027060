"""One real brief, as its author saved it: everything that its README lists comes out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from br3.plan.briefs import Here, Imported, import_brief
from br3.plan.checking import check
from br3.plan.detection import Detected
from br3.plan.loading import load
from br3.plan.model import Plan
from br3.plan.order import landing_order

BRIEF = Path(__file__).parents[1] / "briefs" / "week1.md"
LINES = BRIEF.read_text().split("\n")

EXPECTED: dict[str, dict[str, Any]] = {
    "integration": {
        "title": "Integration Layer",
        "branch": "build/integration-layer",
        "worktree": "br3-integration",
        "setup": (),
        "run": ("pytest tests/integration/ -v --cov=core/integrations",),
        "min_passed": 20,
        "min_coverage": 90,
        "message": "feat: Wire integrations into orchestrator",
        "owns": {"core/orchestrator.py", "core/integrations/**", "tests/integration/**"},
        "tasks": [
            ("A.1", "Wire Telemetry into Orchestrator", 90),
            ("A.2", "Wire Routing into Orchestrator", 90),
            ("A.3", "Wire Parallel Coordinator", 60),
            ("A.4", "Integration Tests", 30),
        ],
        "prompt": (66, 90),
    },
    "persistence": {
        "title": "Persistence Layer",
        "branch": "build/persistence-layer",
        "worktree": "br3-persistence",
        "setup": ("pip install sqlalchemy alembic",),
        "run": ("pytest tests/test_persistence.py tests/test_event_storage.py tests/test_metrics_db.py -v",),
        "min_passed": 18,
        "min_coverage": None,
        "message": "feat: Add persistence layer",
        "owns": {
            "core/persistence/**",
            "core/routing/cost_tracker.py",
            "core/telemetry/event_collector.py",
            "tests/test_persistence.py",
            "tests/test_event_storage.py",
            "tests/test_metrics_db.py",
        },
        "tasks": [
            ("B.1", "Cost Tracking Database", 90),
            ("B.2", "Event Storage Optimization", 90),
            ("B.3", "Metrics Aggregation", 60),
            ("B.4", "Database Migrations", 30),
        ],
        "prompt": (102, 126),
    },
    "ai-layer": {
        "title": "AI Integration",
        "branch": "build/ai-integration",
        "worktree": "br3-ai-layer",
        "setup": ("pip install anthropic python-dotenv",),
        "run": (
            "pytest tests/test_claude_client.py tests/test_ai_complexity.py tests/test_fallback.py "
            "tests/test_key_manager.py -v",
        ),
        "min_passed": 15,
        "min_coverage": None,
        "message": "feat: Add Claude API integration",
        "owns": {
            "core/ai/**",
            "core/routing/complexity_estimator.py",
            "core/routing/fallback_handler.py",
            ".env.example",
            "tests/test_claude_client.py",
            "tests/test_ai_complexity.py",
            "tests/test_fallback.py",
            "tests/test_key_manager.py",
        },
        "tasks": [
            ("C.1", "Claude API Client", 90),
            ("C.2", "Real Complexity Estimation", 90),
            ("C.3", "Model Fallback Handler", 60),
            ("C.4", "API Key Management", 30),
        ],
        "prompt": (138, 164),
    },
    "docs-tests": {
        "title": "Documentation & E2E",
        "branch": "build/docs-and-tests",
        "worktree": "br3-docs-tests",
        "setup": (),
        "run": ("pytest tests/e2e/ -v",),
        "min_passed": 5,
        "min_coverage": None,
        "message": "docs: Update documentation accuracy and add E2E tests",
        "owns": {
            "SECURITY.md",
            "ROUTING.md",
            "TELEMETRY.md",
            "PARALLEL.md",
            "BUILD_4E_COMPLETE.md",
            "docs/QUICKSTART.md",
            "docs/INTEGRATION_GUIDE.md",
            "docs/API_REFERENCE.md",
            "tests/e2e/**",
            "README.md",
        },
        "tasks": [
            ("D.1", "Fix Documentation Accuracy", 90),
            ("D.2", "Create User Guides", 60),
            ("D.3", "End-to-End Tests", 90),
            ("D.4", "README Updates", 30),
        ],
        "prompt": (176, 202),
    },
}


@pytest.fixture(scope="module")
def made() -> Imported:
    return import_brief(BRIEF.read_text(), BRIEF.name, Here(Path("/nowhere/at/all"), "main", Detected()))


@pytest.fixture
def plan(made: Imported, tmp_path: Path) -> Plan:
    path = tmp_path / "br3.toml"
    path.write_text(made.text)
    return load(path, environ={}, have=lambda tool: False)


def test_the_plan_passes_the_check(made: Imported, tmp_path: Path) -> None:
    path = tmp_path / "br3.toml"
    path.write_text(made.text)
    checked = check(path)
    assert (checked.problems, checked.warnings) == ((), ())


@pytest.mark.parametrize("name", EXPECTED)
def test_a_build_is_what_the_brief_says(plan: Plan, name: str) -> None:
    build, wanted = plan.build(name), EXPECTED[name]
    assert [b.id for b in plan.builds] == list(EXPECTED)
    assert (build.title, build.branch, build.worktree) == (wanted["title"], wanted["branch"], wanted["worktree"])
    assert (build.setup, build.message, set(build.owns)) == (wanted["setup"], wanted["message"], wanted["owns"])
    assert (build.verify.run, build.verify.min_passed) == (wanted["run"], wanted["min_passed"])
    assert build.verify.min_coverage == wanted["min_coverage"]
    assert [(task.id, task.title, task.minutes) for task in build.tasks] == wanted["tasks"]


@pytest.mark.parametrize("name", EXPECTED)
def test_a_prompt_is_the_fenced_text_letter_by_letter(plan: Plan, name: str) -> None:
    first, last = EXPECTED[name]["prompt"]
    assert plan.build(name).prompt == "\n".join(LINES[first - 1 : last]) + "\n"


def test_set_up_verification_order_and_release_of_the_whole(plan: Plan, made: Imported) -> None:
    assert (plan.base, plan.jobs) == ("main", 4)
    assert plan.setup.run == ("python3 -m venv .venv", "pip install -e .")
    assert [build.id for build in landing_order(plan)] == ["docs-tests", "persistence", "ai-layer", "integration"]
    assert (plan.verify.run, plan.verify.min_passed) == (("pytest tests/ -v --cov=core --cov-report=html",), 220)
    release = plan.release
    assert (release.tag, release.push, release.remote) == ("v3.1.0-alpha.4", True, "origin")
    written = LINES[261].split('"')[1]
    assert release.message == written and written.startswith("Week 1: Critical gaps closed")
    assert "perhaps “Week 1: Critical gaps closed - 49% → 72%”" in " ".join(made.text.replace("\n#", " ").split())


def test_eight_lines_of_the_checklist_are_checked_and_two_are_asked(plan: Plan) -> None:
    assert [c.name for c in plan.criteria] == [line.removeprefix("- [ ] ") for line in LINES[277:287]]
    asked = [c.name for c in plan.criteria if c.ask]
    assert asked == ["72% overall completion (up from 49%)", "Documentation accurate (no false claims)"]
    assert all((c.run is None) != (c.sql is None) for c in plan.criteria if not c.ask)


def test_claims_about_what_was_built_are_checked_by_the_tests_of_it(plan: Plan) -> None:
    by_name = {c.name: c.run for c in plan.criteria if c.run}
    assert by_name["Cost tracking persisted to SQLite"] == "pytest tests/test_persistence.py -v"
    assert by_name["Events rotated and compressed (1MB files)"] == "pytest tests/test_event_storage.py -v"
    assert by_name["AI complexity estimation available (optional)"] == "pytest tests/test_ai_complexity.py -v"
    assert by_name["Orchestrator emits telemetry events automatically"] == plan.build("integration").verify.run[0]


def test_only_the_timeline_the_next_steps_and_the_percentages_are_left(made: Imported) -> None:
    left = {line.line for line in made.unplaced}
    assert left == {
        3,
        4,
        5,
        18,
        *range(20, 28),
        291,
        *range(293, 299),
        302,
        *range(304, 309),
        310,
        314,
        *range(316, 323),
        324,
    }
    assert not any(line.missing for line in made.unplaced)
    for line in made.unplaced:
        assert f"{line.line:>5}  " in made.text


def test_what_was_changed_and_what_is_missing_here_is_said(made: Imported) -> None:
    said = {note.line: note.text for note in made.notes}
    assert "here a worktree installs itself: pip install -e ." in said[49]
    assert "/Users/dev/Projects/BuildRunner3/.buildrunner/WEEK1_BUILD_PLAN.md (line 70)" in said[66]
    assert "core/orchestrator.py (line 80)" in said[66]
    assert "taken for this repository: /Users/dev/Projects/BuildRunner3" in said[0]


def test_no_command_names_the_other_machine(made: Imported) -> None:
    data = made.sketch.data
    commands = [*data["setup"]["run"], *data["verify"]["run"]]
    for build in data["build"]:
        commands += [*build.get("setup", []), *build["verify"]["run"]]
    commands += [criterion.get("run", "") for criterion in data["criterion"]]
    assert not any("/Users" in command for command in commands)


def test_a_path_that_is_in_this_repository_is_told_as_such(tmp_path: Path) -> None:
    (tmp_path / ".buildrunner").mkdir()
    (tmp_path / ".buildrunner/WEEK1_BUILD_PLAN.md").touch()
    made = import_brief(BRIEF.read_text(), BRIEF.name, Here(tmp_path, "main", Detected()))
    assert any("; here it is .buildrunner/WEEK1_BUILD_PLAN.md" in note.text for note in made.notes)
