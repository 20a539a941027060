"""docs/PARALLEL.md names every test of what it claims."""

from __future__ import annotations

import re
from pathlib import Path

TESTS = Path(__file__).parents[1]
PAGE = (TESTS.parent / "docs" / "PARALLEL.md").read_text(encoding="utf-8")


def test_every_test_of_control_and_of_chaos_is_named_on_the_page() -> None:
    unnamed = {"test_the_history_shows_each_run_with_its_state_builds_and_cost"}
    unnamed.add("test_status_is_shown_again_as_it_changes_until_the_run_has_ended")
    for name in ("control", "chaos", "claims"):
        text = (TESTS / "integration" / f"test_{name}.py").read_text()
        assert not set(re.findall(r"^def (test_\w+)", text, re.M)) - unnamed - set(re.findall(r"`(test_\w+)`", PAGE))
