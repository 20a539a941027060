"""Every key of a plan is found on its line."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from typing import Any

import pytest

from br3.plan.lines import Lines
from br3.plan.problems import KeyPath

# Every whole number in this text is the number of its own line.
NUMBERED = '''\
top = 1
# not = 99
[plan]  # comment = 99
jobs = 4
"quoted key" = 5
'literal.key' = 6
dotted.inner."x y" = 7
text = """
jobs = 99
[[build]]
"""
after_text = 12
literal = \'\'\'
after_text = 99 \\\'\'\'
raw = 15
tricky = "a # b = [" # ] "
more = 17

[ spaced . table ]
x = 20
[[build]]
x = 22
list = [
  24, # first, with ] in it
  { deep = 25, "and" = 25 },
  [26,
   27],
]
  [build.verify]
  x = 30
  [[build.task]]
  x = 32
  [[build.task]]
  x = 34
  [build.task.extra]
  x = 36
[[build]]
x = 38
  [[build.task]]
  x = 40
inline = { a = 41, b = { c = 41 }, s = "}", d = [41, 41] }
quotes = """two at the end\\"""""
last = [43, "x"]
empty_list = []
empty_table = {}
when = 1979-05-27 07:32:00
end = 47'''


def numbers(value: Any, path: KeyPath = ()) -> Iterator[tuple[KeyPath, int]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from numbers(inner, (*path, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from numbers(inner, (*path, index))
    elif isinstance(value, int):
        yield path, value


@pytest.mark.parametrize(("path", "line"), list(numbers(tomllib.loads(NUMBERED))))
def test_a_value_is_on_the_line_where_it_is_written(path: KeyPath, line: int) -> None:
    assert Lines(NUMBERED).of(path) == line


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ((), 1),
        (("plan",), 3),
        (("spaced", "table"), 19),
        (("build",), 21),
        (("build", 0), 21),
        (("build", 0, "verify"), 29),
        (("build", 0, "task", 1), 33),
        (("build", 1), 37),
        (("build", 1, "task", 0), 39),
    ],
)
def test_a_table_is_on_the_line_of_its_header(path: KeyPath, line: int) -> None:
    assert Lines(NUMBERED).of(path) == line


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("plan", "missing"), 3),
        (("build", 0, "task", 1, "title"), 33),
        (("build", 7, "title"), 21),
        (("nothing", "at", "all"), 1),
    ],
)
def test_a_path_that_is_not_written_is_where_its_longest_known_part_is(path: KeyPath, line: int) -> None:
    assert Lines(NUMBERED).of(path) == line


def test_a_key_of_a_multi_line_value_is_on_the_line_of_the_key_not_of_its_end() -> None:
    assert Lines(NUMBERED).of(("plan", "text")) == 8
    assert Lines(NUMBERED).of(("build", 0, "list")) == 23


def test_an_empty_text_has_one_line() -> None:
    assert Lines("").of(("plan", "name")) == 1
