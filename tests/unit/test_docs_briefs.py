"""docs/BRIEFS.md names every option of its commands, and keys that exist; what it says is recognised is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from br3.cli.plan import plan
from br3.plan.briefs import Here, import_brief
from br3.plan.briefs.quantities import minutes
from br3.plan.detection import Detected
from br3.plan.schema import PlanFile, sections_in
from tests.unit.test_docs_plan import SECTIONS, fields

PAGE = (Path(__file__).parents[2] / "docs" / "BRIEFS.md").read_text()


def test_every_option_of_these_commands_is_named() -> None:
    for name in ("import", "new", "split"):
        for parameter in plan.commands[name].params:
            long = [option for option in parameter.opts if option.startswith("--")]
            assert not long or long[0] in (*re.findall(r"--[a-z-]+", PAGE), "--json", "--model", "--output"), long


def test_keys_of_the_table_exist() -> None:
    known = {*SECTIONS, *(key for section in SECTIONS for key in fields(section)), *sections_in(PlanFile)}
    rows = [line.split(" | ")[-1].rstrip(" |") for line in PAGE.splitlines() if line.startswith("| ")][2:]
    for cell in rows:
        for code in re.findall(r"`([^`]+)`", cell):
            assert set(code.split(" ")) <= known, code


@pytest.mark.parametrize(
    ("text", "wanted"), [("90 min", 90), ("1.5h", 90), ("45m", 45), ("~2 hours", 120), ("1-2 h", 120)]
)
def test_lengths_of_time_are_read_as_the_page_says(text: str, wanted: float) -> None:
    assert text.strip("~") in PAGE or text == "1-2 h"
    assert minutes(text) == wanted


def test_headings_of_the_table_are_builds() -> None:
    row = next(line for line in PAGE.splitlines() if line.startswith("| headings such as"))
    for name in re.findall(r"“([^”]+)”", row):
        text = f"# X\n\n## The builds\n\n### {name.lstrip('# ').replace('…', 'Foundation')}\n\n- [ ] do it\n"
        made = import_brief(text, "x.md", Here(Path("/nowhere/at/all"), "main", Detected()))
        assert len(made.sketch.data["build"]) == 1, name
