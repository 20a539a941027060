"""Nothing of a brief is dropped silently: what is not in the plan is listed, wherever it stands."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from br3.plan.briefs import Here, Imported, import_brief
from br3.plan.briefs.ledger import _FORMS
from br3.plan.detection import Detected

BRIEFS = {path.name: path.read_text() for path in sorted((Path(__file__).parents[1] / "briefs").glob("*.md"))}
SHAPES = (
    "{w}",
    "{w} {w} {w}, and then some more words that no plan has a key for.",
    "- {w} thing",
    "  - {w} thing below",
    "- [ ] {w} to do",
    "- [x] {w} was done",
    "1. {w} (30 min)",
    "1.1 {w} (30 min)",
    "# {w}",
    "### {w}",
    "### Build Q: {w}",
    "#### Tasks {w}",
    "**{w}:** value",
    "**{w}**",
    "**Branch:** feature/{w}",
    "**Worktree:** ../wt-{w}",
    "**Depends on:** {w}",
    "**Owns:** `src/{w}/`, not {w}",
    "**Verify:** `pytest tests/{w}`",
    "**Expected:** 12 tests and {w}",
    "**Time:** 2h, {w}",
    "**Agent:** {w}",
    "**Model:** {w}",
    "**Budget:** $3 {w}",
    "**Commit message:** {w}",
    "**Setup:** {w}",
    "{w}: something",
    "TASK: {w}",
    "DELIVERABLES: {w}",
    "Run: {w}",
    "> {w} quoted",
    "| {w} | b | c | d | e | f | g | h |",
    "    {w} indented",
    "# {w} as a comment",
    "run-{w} --now",
    "git frobnicate {w}",
    "git checkout {w}",
    "git merge {w}",
    "git merge main -m '{w}'",
    "git commit -m '{w}'",
    "git push {w}",
    "git push origin {w}",
    "git tag -a v9 -m '{w}'",
    "git worktree add ../{w} feature/{w}",
    "git worktree remove ../{w}",
    "git branch -d {w}",
    "git pull {w}",
    "cd /home/{w}",
    "cd {w} && pytest",
    "pip install {w}",
    "python3 -m venv {w}",
    "echo {w}",
    "code {w}",
    "cp {w} .env",
    "export X={w}",
    "pytest {w}  # Expected: 3 tests",
    "pytest  # Expected: 3 tests {w}",
    "for x in {w} b; do",
    "`{w}`",
    "<!-- {w} -->",
    "<b>{w}</b>",
    "[{w}](https://example.invalid/{w})",
    "[{w}]: https://example.invalid",
    "{w}\n---",
    "```{w}",
    "---",
    "name: {w}",
    "Merge `feature/search` then {w}",
    "Tag v3.2.1 {w}",
)


def imported(text: str) -> Imported:
    return import_brief(text, "brief.md", Here(Path("/nowhere/at/all"), "main", Detected()))


STEP = int(os.environ.get("BR3_TEST_EVERY", "83"))


@pytest.mark.parametrize("name", BRIEFS)
def test_a_line_put_in_anywhere_is_in_the_plan_or_listed(name: str) -> None:
    lines = BRIEFS[name].split("\n")
    for number, shape in enumerate(SHAPES):
        for at in range(number % STEP, len(lines) + 1, STEP):
            made = imported("\n".join([*lines[:at], shape.format(w="zqxwv"), *lines[at:]]))
            if "zqxwv" in shape.format(w="zqxwv"):
                assert "zqxwv" in made.text.casefold(), f"{shape!r} before line {at + 1} of {name}"


FORM = {word for words in _FORMS.values() for word in words}
"""What only says of what kind a value is."""
EVERYTHING = [line for text in BRIEFS.values() for line in text.split("\n")]


@settings(max_examples=150, deadline=None)
@given(st.lists(st.sampled_from(EVERYTHING), min_size=1, max_size=60))
@example([])
@example(["  - Verify: `python -m pytest tests/audit -q`", "Tasks:"])
def test_lines_of_briefs_in_any_order_make_a_file_that_holds_them(lines: list[str]) -> None:
    check("\n".join(lines))


@settings(max_examples=150, deadline=None)
@given(st.text(alphabet=st.sampled_from("ab1 \t\n#-*`|:.>[]()'\"\\$&;/=+\u2192é\x00\x1b\r"), max_size=300))
@example("---\n[: x\n---\n")
@example("---\na: &x [*x]\n---\n")
@example("```\n" * 3)
@example("| a |\n|---|\n")
@example("1\t111")
@example("1`111`")
def test_any_text_makes_a_file(text: str) -> None:
    check(text)


def _values(data: object) -> Iterator[str]:
    if isinstance(data, str):
        yield data
    elif isinstance(data, dict | list):
        for one in data.values() if isinstance(data, dict) else data:
            yield from _values(one)


def check(text: str) -> None:
    made = imported(text)
    assert tomllib.loads(made.text) == made.sketch.data
    assert made.text == imported(text).text
    listed = {line.line for line in made.unplaced}
    texts = [made.text, *_values(made.sketch.data)]  # in the file a tab is an escape, which hides the word behind it
    written = {word for text in texts for word in re.findall(r"[^\W_]{3,}", text.casefold())}
    for number, line in enumerate(made.read.ledger.lines, start=1):
        fate = made.read.ledger.fate(number)
        if line.strip() and number not in listed and fate in ("values", "whole"):
            plain = re.sub("[`*]", "", line)  # a word may be written half as code
            words = set(re.findall(r"[^\W_]{3,}", f"{line} {plain}".casefold())) - FORM
            assert not words or words & written, line
        assert fate is not None or number in listed or not line.strip(), line
