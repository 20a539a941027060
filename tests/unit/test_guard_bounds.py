"""What the guard does with hostile text grows with its length and no quicker: by counting steps, never by a clock."""

from __future__ import annotations

import re
from re import _constants as codes  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from br3.guard import contents, exemptions, sql_naming, sql_python, sql_script
from br3.guard.findings import Finding, Outcome
from br3.secrets import redaction, rules

REPEATS = (codes.MAX_REPEAT, codes.MIN_REPEAT)
UNBOUNDED = 100_000


def ways(parsed: Any) -> int:
    """In how many ways the repeats of a pattern may share out a text among them, where one lies within another.

    A repeat that gives nothing back (possessive, atomic, followed by nothing) has one way.
    """
    most = 1
    for code, argument in parsed:
        if code in REPEATS:
            least, upper, inner = argument
            size = 1 if least == upper else min(int(upper), UNBOUNDED)
            within = ways(inner)
            most = max(most, size * within if within > 1 else size)
        elif code is codes.POSSESSIVE_REPEAT:
            most = max(most, ways(argument[2]))
        elif code is codes.ATOMIC_GROUP:
            most = max(most, 1)
        elif code is codes.BRANCH:
            most = max(most, *(ways(branch) for branch in argument[1]))
        elif code is codes.SUBPATTERN:
            most = max(most, ways(argument[3]))
        elif code in (codes.ASSERT, codes.ASSERT_NOT):
            most = max(most, ways(argument[1]))
    return most


PATTERNS = {
    **{f"rule {rule.id}": rule.pattern for rule in rules.RULES},
    **{f"redaction {rule.id}": rule.pattern for rule in redaction.RULES},
    "statement": sql_naming.STATEMENT,
    "template": sql_script._JS_TEMPLATE.pattern,
    "plus": sql_script._JS_PLUS.pattern,
    "allow": exemptions._ALLOW,
    "any": redaction._ANY.pattern,
}


@pytest.mark.parametrize("name", PATTERNS)
def test_no_repeat_within_a_repeat_has_many_ways_to_share_out_a_text(name: str) -> None:
    assert ways(parser.parse(PATTERNS[name])) <= UNBOUNDED


@pytest.mark.parametrize("rule", rules.RULES, ids=lambda rule: rule.id)
def test_a_match_of_a_rule_is_never_longer_than_a_few_pages(rule: rules.Rule) -> None:
    longest = parser.parse(rule.pattern).getwidth()[1]
    assert longest <= 10_000


@pytest.mark.parametrize("pattern", [r"(?:--[^x]*x\s*)*", r"(?:a+)+", r"(?:/.*?/ *)*b"])
def test_the_measure_knows_what_is_hostile(pattern: str) -> None:
    assert ways(parser.parse(pattern)) > UNBOUNDED


class Counting:
    """A compiled pattern that counts what it is asked, and how much it was given to read."""

    def __init__(self, pattern: re.Pattern[bytes]) -> None:
        self.pattern = pattern
        self.asked = 0

    def match(self, *given: Any) -> re.Match[bytes] | None:
        self.asked += 1
        return self.pattern.match(*given)

    def finditer(self, *given: Any) -> Any:
        self.asked += 1
        return self.pattern.finditer(*given)


def test_a_template_without_an_end_is_tried_once(monkeypatch: pytest.MonkeyPatch) -> None:
    counting = Counting(sql_script._JS_TEMPLATE)
    monkeypatch.setattr(sql_script, "_JS_TEMPLATE", counting)
    assert sql_script.find(b"db.query(`select" + rb"\`" * 5000, None) == []
    assert counting.asked == 1


def test_the_calls_of_a_script_are_gathered_once_for_all_its_templates(monkeypatch: pytest.MonkeyPatch) -> None:
    counting = Counting(sql_script._JS_GIVEN)
    monkeypatch.setattr(sql_script, "_JS_GIVEN", counting)
    code = "".join(f"const q{n} = `SELECT a FROM t WHERE b = ${{x}}`;\n" for n in range(500)) + "db.query(q7)\n"
    assert [line for line, *_ in sql_script.find(code.encode(), None)] == [8]
    assert counting.asked == 1


def made_of_one_another(number: int) -> bytes:
    names = [f"v{n}" for n in range(number)]
    parts = "".join(f"{{{name}}}" for name in names)
    lines = [f'    {name} = f"{parts}"' for name in names for _ in range(2)]
    return "\n".join(["def f(cur):", *lines, '    cur.execute(f"SELECT {v0} FROM {v1}")', ""]).encode()


def test_names_that_are_made_of_one_another_are_not_followed_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = 0
    is_over = sql_python._Names.is_over

    def counted(names: sql_python._Names) -> bool:
        nonlocal steps
        steps += 1
        return is_over(names)

    monkeypatch.setattr(sql_python._Names, "is_over", counted)
    for number in (4, 8, 16):
        steps = 0
        assert [line for line, *_ in sql_python.find(made_of_one_another(number), None)] == [2 * number + 2]
        assert steps < 20 * sql_python._MOST_STEPS


@pytest.mark.parametrize(
    "hole", ["-" * 500 + "x", "x" + ".a" * 900, "x" + ".y()" * 900, "(" * 150 + "x" + ")" * 150, "+".join("x" * 3000)]
)
def test_what_is_nested_deeply_is_told_and_stops_nothing(hole: str) -> None:
    found = contents.built_sql("a.py", f'cur.execute("SELECT a FROM t WHERE b=" + {hole})\n'.encode(), None)
    assert len(found) <= 1
    assert contents.built_sql("a.py", b'cur.execute(f"SELECT a FROM t WHERE b={x' + b".a" * 900 + b'}")', None)


def test_comments_on_a_line_are_read_once_for_all_its_findings() -> None:
    asked = []

    def line_of(finding: Finding, number: int) -> bytes:
        asked.append(number)
        return b"x = 1  # br3-allow: jwt"

    found = [Finding("a.js", 7, "github", "high", "***", "fix", b"%d" % n) for n in range(50)]
    outcome = Outcome()
    exemptions.sort_out(found, outcome, skipped=frozenset(), line_of=line_of, in_baseline=lambda name: False)
    assert len(outcome.findings) == 50 and asked == [7, 6]


def test_a_comment_s_sign_is_looked_for_near_its_word_only() -> None:
    assert exemptions.allowed_rules(b"# " + b"x" * 150 + b" br3-allow: jwt") == {"jwt"}
    assert exemptions.allowed_rules(b"# " + b"x" * 900 + b" br3-allow: jwt") == frozenset()
    assert exemptions.allowed_rules(b"'br3-allow: jwt'" + b" " * 300 + b"# br3-allow: github") == {"github"}


NOISE = st.lists(
    st.sampled_from(
        ["`", "\\", "${", "}", "(", ")", "'", '"', "/*", "*/", "--", "\n", " ", "select ", " from ", "query(",
         ".execute(", "f'", "x", "+", "=", "update ", " set ", "{y}", "%s", "const a = ", "lambda: ", "\0", "\udc80"]
    ),
    max_size=40,
).map("".join)  # fmt: skip


@settings(derandomize=True, max_examples=500, deadline=None)
@given(NOISE, st.sampled_from(["a.py", "a.ts"]))
def test_no_text_makes_the_search_for_sql_fail(noise: str, path: str) -> None:
    data = contents.plain(noise.encode("utf-8", "surrogateescape") + b"\ncur.execute('select')")
    contents.built_sql(path, data, None)
    contents.built_sql(path, data, {1, 2})
