"""Secrets in a brief: nothing of them is left, and every line stays where it was."""

from __future__ import annotations

from pathlib import Path

import pytest

from br3.plan.briefs import Here, import_brief
from br3.plan.briefs.masking import TOLD, masked
from br3.plan.detection import Detected

DASHES = "-" * 5
BODY = [letter * 64 for letter in "MNOPQR"]
BEGIN, END = (f"{DASHES}{word} RSA PRIVATE KEY{DASHES}" for word in ("BEGIN", "END"))
KEY = [BEGIN, *BODY, END]
TOKEN = "ghp" + "_" + "a1B2" * 9
BEFORE, AFTER = ["# Plan", "", "## Build A: Search", "", "Put this key there:", ""], ["", "## Build B: Export", "x", ""]


def none_left(text: str) -> bool:
    return not any(line in text for line in [*BODY, TOKEN])


@pytest.mark.parametrize("lead", ["", "    ", "> ", "  - "])
def test_a_key_of_several_lines_is_masked_and_no_line_moves(lead: str) -> None:
    lines = [*BEFORE, *(lead + line for line in KEY), *AFTER]
    safe, secret = masked(lines)
    assert none_left("\n".join(safe))
    assert len(safe) == len(lines) and safe[:6] == BEFORE and safe[-4:] == AFTER
    assert secret == [7] and safe[6].startswith(lead + BEGIN)


def test_a_key_without_its_end_leaves_the_heading_behind_it() -> None:
    lines = [*BEFORE, *KEY[:-1], *AFTER]
    safe, secret = masked(lines)
    assert none_left("\n".join(safe))
    assert len(safe) == len(lines) and safe[-3:] == AFTER[-3:] and secret == [7]


def test_several_secrets_are_each_masked_in_their_place() -> None:
    lines = [*BEFORE, *KEY, *AFTER, f"token {TOKEN}", *KEY, *AFTER, *KEY, "last"]
    safe, secret = masked(lines)
    assert none_left("\n".join(safe))
    assert len(safe) == len(lines) and secret == [7, 19, 20, 32]
    assert safe[14:18] == AFTER and safe[27:31] == AFTER and safe[-1] == "last"


def test_a_secret_on_the_line_behind_a_key_stays_on_it() -> None:
    safe, secret = masked([f"a {TOKEN}", *KEY, f"b {TOKEN}", "c"])
    assert none_left("\n".join(safe)) and secret == [1, 2, 10]
    assert safe[9].startswith("b ") and safe[10] == "c"


def test_lines_without_secrets_stay_as_they_are() -> None:
    assert masked([*BEFORE, *AFTER]) == ([*BEFORE, *AFTER], [])


def test_a_brief_with_a_private_key_becomes_a_plan_without_it() -> None:
    text = "\n".join([*BEFORE, "```", *KEY, "```", *AFTER])
    made = import_brief(text, "brief.md", Here(Path("/nowhere/at/all"), "main", Detected()))
    assert none_left(made.text) and none_left("\n".join(made.read.ledger.lines))
    assert [build["title"] for build in made.sketch.data["build"]] == ["Search", "Export"]
    assert [note.line for note in made.notes if note.text == TOLD] == [8]
