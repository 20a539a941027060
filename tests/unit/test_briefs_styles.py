"""Briefs as other people write them: a table, checkboxes, phases, front matter, one that is half finished."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from br3.plan.briefs import Here, Imported, import_brief
from br3.plan.checking import check
from br3.plan.detection import Detected
from br3.plan.model import Plan

BRIEFS = Path(__file__).parents[1] / "briefs"
STYLES = ("table", "checkboxes", "phases", "frontmatter", "halffinished")


def imported(text: str, detected: Detected = Detected()) -> Imported:  # noqa: B008
    return import_brief(text, "brief.md", Here(Path("/nowhere/at/all"), "main", detected))


def of(name: str) -> Imported:
    return imported((BRIEFS / f"{name}.md").read_text())


def plan_of(made: Imported, tmp_path: Path) -> Plan:
    path = tmp_path / "br3.toml"
    path.write_text(made.text)
    checked = check(path, have=lambda tool: False)
    assert checked.plan is not None, checked.problems
    return checked.plan


def facts(plan: Plan) -> dict[str, dict[str, Any]]:
    return {
        b.id: {
            "title": b.title,
            "branch": b.branch,
            "owns": list(b.owns),
            "verify": (*b.verify.run, b.verify.min_passed, b.verify.min_coverage),
            "tasks": [(t.id, t.title, t.minutes) for t in b.tasks],
        }
        for b in plan.builds
    }


def left(made: Imported) -> set[int]:
    return {line.line for line in made.unplaced}


@pytest.mark.parametrize("name", STYLES)
def test_the_plan_passes_the_check(name: str, tmp_path: Path) -> None:
    plan_of(of(name), tmp_path)


def test_a_table_of_builds_with_sections(tmp_path: Path) -> None:
    made = of("table")
    plan = plan_of(made, tmp_path)
    assert facts(plan) == {
        "pdf": {
            "title": "PDF rendering",
            "branch": "feat/pdf",
            "owns": ["src/pdf/**", "tests/pdf/**"],
            "verify": ("npm test -- tests/pdf", 14, None),
            "tasks": [("1.1", "Layout primitives", 60), ("1.2", "Invoice template", 90), ("1.3", "Golden files", 30)],
        },
        "tax-rules": {
            "title": "Tax rules",
            "branch": "feat/tax-rules",
            "owns": ["src/tax/**", "tests/tax/**"],
            "verify": ("npm test -- tests/tax", 22, None),
            "tasks": [("2.1", "Table of rates", 45), ("2.2", "Lookup by date", 45), ("2.3", "Reverse charge", 60)],
        },
        "portal": {
            "title": "Customer portal",
            "branch": "feat/portal",
            "owns": ["src/portal/**", "tests/portal/**", "public/portal.css"],
            "verify": ("npm test -- tests/portal", 9, None),
            "tasks": [("3.1", "Login by link", 90), ("3.2", "List and download", 120), ("3.3", "Styles", 30)],
        },
    }
    assert (plan.build("portal").needs, plan.build("pdf").after) == (("tax-rules",), ("tax-rules",))
    assert "Careful: Swiss rates changed in 2024." in plan.build("tax-rules").prompt
    assert plan.build("pdf").tasks[0].prompt == "boxes, text, lines\n"
    assert (plan.base, plan.setup.run, plan.setup.copy) == ("develop", ("npm ci",), (".env",))
    assert (plan.verify.run, plan.verify.min_passed) == (("npm test", "npm run lint"), 120)
    assert (plan.release.tag, plan.release.message, plan.release.push) == ("v2.0.0", "Invoicing 2.0", True)
    assert plan.build("pdf").message == "feat(pdf): invoices as PDF"
    assert {3, 68, 70, 72, 73} <= left(made) and 48 in left(made)


def test_a_list_with_checkboxes(tmp_path: Path) -> None:
    made = of("checkboxes")
    plan = plan_of(made, tmp_path)
    assert [b.id for b in plan.builds] == ["search", "export", "audit"]
    search, export, audit = plan.builds
    assert [(t.title, t.minutes) for t in search.tasks] == [
        ("Index documents on save", 120),
        ("Query endpoint with paging", 90),
        ("Highlighting", 45),
    ]
    assert search.verify.run == ("python -m pytest tests/test_search.py",) and search.verify.min_passed == 12
    assert export.tasks[0].prompt == "- must not hold the whole file in memory\n"
    assert export.setup == ("pip install xlsxwriter",) and export.message == "Add CSV export"
    assert audit.needs == ("search",) and audit.owns == ("app/audit/**", "tests/audit/**")
    assert (plan.base, plan.budget_usd, plan.release.tag, plan.verify.min_passed) == ("trunk", "25", "v1.12.0", 90)
    assert [bool(c.ask) for c in plan.criteria] == [False, True, False, False, True]
    assert {21, 31, 32} <= left(made), "what is ticked off, and the rules for everybody"


def test_a_minimum_of_coverage_that_nothing_measures_is_not_set(tmp_path: Path) -> None:
    made = of("checkboxes")
    assert plan_of(made, tmp_path).build("export").verify.min_coverage is None
    assert "85 % coverage is expected, but nothing in [build.verify] measures it" in made.text
    whole = imported("# P\n\n## Build A: b\nDo.\n\n## Verification\nRun `pytest -q`. 40 tests pass, coverage 85%.\n")
    assert whole.sketch.data["verify"] == {"run": ["pytest -q"], "min_passed": 40}
    assert "85 % coverage is expected, but nothing in [verify] measures it" in whole.text


def test_what_is_ticked_off_or_forbidden_is_no_task(tmp_path: Path) -> None:
    made = imported(
        "# W\n\n## Build A: Search\n\nTasks:\n\n- [x] Decide on a library\n- [ ] Write it\n"
        "- Do NOT touch `src/app.py`\n\n## Build B: Index\n\n- [x] All of it\n"
    )
    search, index = plan_of(made, tmp_path).builds
    assert [task.title for task in (*search.tasks, *index.tasks)] == ["Write it", "All of it"]
    assert "Do NOT touch `src/app.py`" in (search.prompt or "") and left(made) == {7}


def test_minima_that_nothing_could_count_are_listed_as_not_placed() -> None:
    brief = (
        "# W\n\n## Build A: Search\n\n```\nYou are build A.\n\nPlease implement the search in src/search.py.\n```\n\n"
        "Done when:\n- 10+ tests pass\n- coverage ≥ 80 %\n"
    )
    assert left(imported(brief)) == {12, 13}
    assert left(imported(brief + "\nVerify: `pytest --cov`\n")) == set()


def test_numbered_phases_need_each_other(tmp_path: Path) -> None:
    made = of("phases")
    plan = plan_of(made, tmp_path)
    assert [(b.id, b.needs) for b in plan.builds] == [
        ("foundation", ()),
        ("endpoints", ("foundation",)),
        ("cutover", ("endpoints",)),
    ]
    assert [(t.id, t.title, t.minutes) for t in plan.build("cutover").tasks] == [
        ("3.1", "Remove legacy/", 20),
        ("3.2", "Image and start command", 20),
        ("3.3", "Runbook", 20),
    ]
    assert plan.build("endpoints").verify.min_coverage == 92
    assert plan.build("endpoints").prompt.endswith("Keep the JSON byte for byte: clients compare hashes.\n")
    assert plan.setup.run[0] == "python3 -m venv .venv", "venv is renamed to where br3 looks"
    assert (plan.release.tag, plan.release.message) == ("v4.0.0", "FastAPI")
    assert any("each phase was taken to need the one before" in note.text for note in made.notes)


def test_yaml_front_matter(tmp_path: Path) -> None:
    made = of("frontmatter")
    plan = plan_of(made, tmp_path)
    assert (plan.name, plan.jobs, plan.budget_usd) == ("Thermostat firmware, October", 2, "12.5")
    assert (plan.verify.run, plan.verify.min_passed) == (("cargo test --workspace",), 64)
    assert (plan.release.tag, plan.release.message, plan.release.push) == ("fw-2026.10", "October firmware", False)
    assert {t.agent for b in plan.builds for t in b.tasks} == {"codex"}
    assert plan.build("radio").after == ("display",)
    assert plan.build("ota").needs == ("radio",)
    assert [t.minutes for t in plan.build("radio").tasks] == [60, 90]
    assert plan.build("ota").prompt.startswith("Write the update client.")
    assert [t.title for t in plan.build("ota").tasks] == [
        "Download with resume",
        "Verify signature",
        "Swap and roll back",
    ]
    assert plan.build("display").verify.min_passed == 7
    assert left(made) == {16, 43, 49}
    assert plan.criteria[1].run == "cargo clippy --workspace -- -D warnings"


def test_one_that_is_half_finished(tmp_path: Path) -> None:
    made = of("halffinished")
    plan = plan_of(made, tmp_path)
    images, coupons, third = plan.builds
    assert [t.title for t in images.tasks] == ["thumbnail job", "backfill command"]
    assert images.worktree == "shop-images" and images.verify.run == ("pytest tests/test_images.py",)
    assert "- ???" in images.prompt
    assert coupons.branch == "feature/coupons" and [t.minutes for t in coupons.tasks] == [60, 90]
    assert "## Agent 3" not in coupons.prompt, "the fence that is never closed ends before the next section"
    assert third.title == "Agent 3"
    assert left(made) == {3, 39}
    assert any("never closed" in note.text for note in made.notes)


def test_names_of_builds_in_plain_lines(tmp_path: Path) -> None:
    made = imported(
        "Tonight\n\nBuild 1: payments\n  branch: kim/payments\n  check with: go test ./payments/...\n\n"
        "Build 2: emails\n  branch: kim/emails\n  do: templates\n  check with: go test ./emails/...\n\n"
        "Then merge emails, then payments.\nTag v2.3.0.\n"
    )
    plan = plan_of(made, tmp_path)
    assert [(b.id, b.branch, b.after) for b in plan.builds] == [
        ("payments", "kim/payments", ("emails",)),
        ("emails", "kim/emails", ()),
    ]
    assert plan.release.tag == "v2.3.0" and not made.unplaced


def test_worktrees_are_given_to_the_builds_that_they_are_named_after(tmp_path: Path) -> None:
    made = imported(
        "# X\n\n```sh\ncd ~/code/app\ngit worktree add ../app-auth -b f/auth main\n"
        "git worktree add ../app-ui -b f/ui main\n```\n\n## Agent A: Login and auth\n\n- [ ] Forms (1h)\n\n"
        "## Agent B: UI\n\n- [ ] Colours (1h)\n\nVerify: `make test`\n"
    )
    plan = plan_of(made, tmp_path)
    assert [(b.id, b.branch, b.worktree) for b in plan.builds] == [
        ("auth", "f/auth", "app-auth"),
        ("ui", "f/ui", "app-ui"),
    ]


def test_a_secret_in_a_brief_is_masked_and_told() -> None:
    key = "ghp_" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"
    made = imported(f"# X\n\n## Build A: Y\n\nUse {key} to read issues.\n")
    assert key not in made.text
    assert [note.line for note in made.notes if "secret" in note.text] == [5]


def test_without_a_checklist_files_that_are_delivered_are_criteria(tmp_path: Path) -> None:
    made = imported(
        "# X\n\n## Build A: Y\n\nDeliverables:\n- `src/a.py`\n- `docs/a.md` with an example\n\nVerify: `make test`\n"
    )
    (criterion,) = plan_of(made, tmp_path).criteria
    assert criterion.run == "test -e src/a.py && test -e docs/a.md"


def test_checkboxes_below_a_label_with_a_text_of_its_own_are_tasks(tmp_path: Path) -> None:
    made = imported(
        "# Plan\n\n## Build A: Alpha\nOwns: src/alpha.py, tests/test_alpha.py\n\n"
        "- [ ] create the class Alpha in src/alpha.py\n- [ ] create tests\n\n"
        "## Build B: Beta\nfiles: b.py\n\n- [ ] refactor b.py (20 min)\n"
    )
    a, b = plan_of(made, tmp_path).builds
    assert [task.title for task in a.tasks] == ["create the class Alpha in src/alpha.py", "create tests"]
    assert a.owns == ("src/alpha.py", "tests/test_alpha.py")
    assert [(task.title, task.minutes) for task in b.tasks] == [("refactor b.py", 20)]


def test_a_sentence_that_only_says_what_a_build_needs_is_its_needs(tmp_path: Path) -> None:
    made = imported(
        "# Plan\n\n## Build A: Storage\n\n- [ ] store\n\n"
        "## Build B: Totals\n\nDepends on Build A.\n\n- [ ] totals\n\n"
        "## Build C: Report\n\n- Needs builds A and Totals\n- Needs Python 3.13 and storage\n- [ ] page\n\n"
        "## Build D: Page\n\n```\nYou are build D.\n\nWaits for `report`.\nWrite the page.\n```\n\n"
        "## Build E: Tests\n\nIs blocked by Page.\n\n- [ ] run\n\n"
        "## Build F: Words\n\nIt requires Build A. It needs tests.\n\nIt needs tests.\n\n- [ ] write\n"
    )
    assert left(made) == set()
    plan = plan_of(made, tmp_path)
    assert {build.id: build.needs for build in plan.builds} == {
        "storage": (),
        "totals": ("storage",),
        "report": ("storage", "totals"),
        "page": ("report",),
        "tests": ("page",),
        "words": (),
    }
    assert "It needs tests." in (plan.build("words").prompt or "")
    assert "Python 3.13 and storage" in (plan.build("report").prompt or "")
