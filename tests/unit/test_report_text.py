"""The report as Markdown, and where a report may be written."""

from __future__ import annotations

import dataclasses
import re
from decimal import Decimal
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from br3.errors import Refused, UsageError
from br3.report.facts import Meeting, Spent
from br3.report.markdown import MARK, code, markdown, table, text
from br3.report.page import page
from br3.report.writing import form_of, place
from tests.report_facts import facts_of, texts_changed

HOSTILE = " | <b>bold</b> @octocat #12 [x](javascript:1) *a* _b_ ~~c~~ `d\n# head\n\n- item\x1b[31m\u202e"


def rendered(source: str) -> str:
    return str(MarkdownIt("commonmark").enable("table").enable("strikethrough").render(source))


def test_it_says_in_its_first_line_what_came_of_it() -> None:
    said = markdown(facts_of(4))
    assert said.startswith(f"{MARK}\n\n# week 1: 3 of 4 builds landed on main, released as v1.0.0\n")
    assert "**Paid: at least 0.60 USD**" in said
    assert "- ✓ all tests pass: `pytest` → 0" in said
    assert "- ? somebody has looked: not looked at yet: br3 finish does" in said


def test_a_table_has_a_row_for_each_build_and_its_columns_stand_below_each_other() -> None:
    lines = markdown(facts_of(40)).splitlines()
    rows = [line for line in lines if line.startswith("| build-")]
    assert len(rows) == 40
    assert len({len(row) for row in rows}) == 1
    assert "  unknown |" in next(row for row in rows if row.startswith("| build-4 "))


def test_hostile_text_is_no_markup_and_ends_no_row() -> None:
    keep = ("state", "kind", "unit", "lands_by", "cost_usd", "id")
    plain = rendered(markdown(facts_of(3)))
    html = rendered(markdown(texts_changed(facts_of(3), lambda said: said + HOSTILE, keep=keep)))
    for tag in ("<tr>", "<td", "<h1>", "<h2>", "<li>"):
        assert html.count(tag) == plain.count(tag), tag
    assert not re.search(r"<(b|a|em|s|img)\b", html)
    assert "\x1b" not in html and "\u202e" not in html


def test_nobody_is_mentioned_and_no_issue_is_named() -> None:
    assert text("@octocat closes #12, mail a@b.c") == "@<!-- -->octocat closes #<!-- -->12, mail a@<!-- -->b.c"
    assert text("fixes owner/repo#1 and GH-12") == "fixes owner/repo#<!-- -->1 and GH-<!-- -->12"
    assert text("owner/repo@0123456") == "owner/repo@<!-- -->0123456"


def test_no_address_becomes_a_link_and_no_dollars_a_formula() -> None:
    assert text("see www.a.org, HTTPS://a.org") == "see www<!-- -->.a.org, HTTPS:<!-- -->//a.org"
    assert text("$a$ and $$b$$").count("<span>$</span>") == text("$a$ and $$b$$").count("$") == 6
    bare = re.sub(r"<!-- -->|</?span>", "", rendered(text("$5, https://a.org, a/b#1, GH-2"))).strip()
    assert bare == "<p>$5, https://a.org, a/b#1, GH-2</p>"


def test_the_address_of_a_request_stays_a_link() -> None:
    one = facts_of(1).builds[0]
    for url, said in (("https://host/o/r/pull/1", "https://host/o/r/pull/1"), ("https://h/$x", None)):
        build = dataclasses.replace(one, landed=False, state="verified", request=url)
        told = markdown(dataclasses.replace(facts_of(1), builds=(build,)))
        assert f"- build-1: request {said or text(url)}\n" in told


def test_words_read_as_they_were_written_where_nothing_forces_otherwise() -> None:
    assert text("snake_case and a-b, 100 % (so)") == "snake_case and a-b, 100 % (so)"
    assert text("`a | b` fails") == "`a ¦ b` fails"
    for said in ("1. week", "12) week", "# head", "## head", "- item", "---", "===", "__init__", "_a_", "__a b__"):
        assert rendered("before\n" + text(said)).strip() == f"<p>before\n{said}</p>"
    assert code("a `b`") == "`` a `b` ``"


def test_columns_of_wide_letters_stand_below_each_other() -> None:
    assert table(["a", "b"], [["界界", "1"], ["x", "22"]], right=[1]) == [
        "| a    |   b |",
        "| ---- | --: |",
        "| 界界 |   1 |",
        "| x    |  22 |",
    ]


def test_what_is_not_known_is_said() -> None:
    said = markdown(facts_of(1, spent=Spent(None, 0, 2), models=(), tokens=None))
    assert "**Paid: unknown**" in said and "2 attempts did not say what they took" in said
    assert "0.00 USD" not in said
    nothing = markdown(facts_of(1, spent=Spent(), models=(), tokens=None, attempts=()))
    assert "**Paid: nothing yet**" in nothing


def test_a_run_beside_that_resolved_a_conflict_is_told_with_its_cost() -> None:
    beside = ({"run": "20261120-100000-efgh", "state": "completed", "verified": 1, "tokens": 5, "cost_usd": "0.20"},)
    said = markdown(facts_of(1, aside_runs=beside))
    assert "besides, to resolve conflicts, run `20261120-100000-efgh`: 0.20 USD" in said
    assert "resolved conflicts, beside" in page(facts_of(1, aside_runs=beside))


def test_over_the_budget_and_conflicts_are_told() -> None:
    facts = facts_of(2, budget_usd=Decimal("0.1"))
    assert "budget: 300% of 0.10 USD: over the budget" in markdown(facts)
    unknown = facts_of(2, budget_usd=Decimal("1"), spent=Spent(Decimal("0.3"), 0, 1))
    assert "budget: at least 30% of 1.00 USD" in markdown(unknown) and "at least 30% of 1.00 USD" in page(unknown)
    found = facts_of(2).conflicts
    meeting = Meeting("build-1", "build-2", "conflict", ("a|b.py",))
    told = markdown(facts_of(2, conflicts=type(found)(found.sides, (meeting,))))
    assert "- build-1 and build-2: conflict in `a¦b.py`" in told


def test_the_suffix_says_the_form() -> None:
    assert form_of(Path("r.HTML")) is page and form_of(Path("r.htm")) is page
    assert form_of(Path("r.md")) is markdown and form_of(None) is markdown and form_of(Path("-")) is markdown
    with pytest.raises(UsageError, match=r"r\.pdf: a report is \.html or \.md"):
        form_of(Path("r.pdf"))


def test_only_a_report_is_replaced_unless_it_is_asked_for(tmp_path: Path) -> None:
    for name, form in (("a.html", page), ("a.md", markdown)):
        (tmp_path / name).write_text(form(facts_of(1)))
        place(tmp_path / name, force=False)
    (tmp_path / "notes.md").write_text("mine\n")
    with pytest.raises(Refused, match="not a report of br3"):
        place(tmp_path / "notes.md", force=False)
    place(tmp_path / "notes.md", force=True)
    (tmp_path / "link.html").symlink_to(tmp_path / "nowhere")
    with pytest.raises(Refused):
        place(tmp_path / "link.html", force=False)
    with pytest.raises(UsageError, match="there is no directory"):
        place(tmp_path / "no" / "a.html", force=True)
    (tmp_path / "d.html").mkdir()
    with pytest.raises(UsageError, match="is a directory"):
        place(tmp_path / "d.html", force=True)
