"""Which paths a pattern names, and when two patterns can name the same one."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from br3.plan.globs import matches, overlap, with_slash

NAMES = st.text("ab-]", min_size=1, max_size=3)
PATHS = st.lists(NAMES, min_size=1, max_size=4).map("/".join)


@st.composite
def patterns_for(draw: st.DrawFn, path: str) -> str:
    """A pattern that often, but not always, names the path: parts of it made wild."""
    parts = []
    for name in path.split("/"):
        wild = "".join(
            draw(st.sampled_from((char, char, "?", "*", f"[!{char}c]", f"[{char}c]", "[a-b]"))) for char in name
        )
        parts += draw(st.sampled_from(([wild], [wild], [wild], ["**"], [], ["**", wild], [wild, "**"])))
    return "/".join(parts) + draw(st.sampled_from(("", "", "/", "/**")))


@st.composite
def a_path_and_two_patterns(draw: st.DrawFn) -> tuple[str, str, str]:
    path = draw(PATHS)
    return path, draw(patterns_for(path)), draw(patterns_for(path))


@given(a_path_and_two_patterns())
def test_patterns_that_name_the_same_path_overlap(example: tuple[str, str, str]) -> None:
    path, one, other = example
    if matches(one, path) and matches(other, path):
        assert overlap(one, other)


@given(a_path_and_two_patterns())
def test_a_pattern_overlaps_a_file_exactly_when_it_names_it(example: tuple[str, str, str]) -> None:
    path, pattern, _ = example
    file = path + ".py"
    assert overlap(pattern, file) == matches(pattern, file)


@given(a_path_and_two_patterns())
def test_overlap_has_no_direction(example: tuple[str, str, str]) -> None:
    _, one, other = example
    assert overlap(one, other) == overlap(other, one)


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        ("core", "core"),
        ("core", "core/db/x.py"),
        ("core/", "core/x.py"),
        ("./core", "core/x.py"),
        (".", "anything/at/all"),
        ("core/**", "core/a/b/c.py"),
        ("**/test_*.py", "test_a.py"),
        ("**/test_*.py", "a/b/test_a.py"),
        ("a/**/z", "a/z"),
        ("a/**/z", "a/b/c/z"),
        ("a/**/z", "a/z/below"),
        (".github", ".github/workflows/ci.yml"),
        ("v1.2/", "v1.2/x"),
        ("*.py", "x.py"),
        ("?.py", "x.py"),
        ("[a-c].py", "b.py"),
        ("[!a-c].py", "d.py"),
        ("[^a].py", "d.py"),
        ("[]].py", "].py"),
        ("[a", "[a"),
        ("a.c", "a.c"),
    ],
)
def test_a_pattern_names(pattern: str, path: str) -> None:
    assert matches(pattern, path)


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        ("core", "core2/x"),
        ("core", "a/core"),
        ("*.py", "a/x.py"),
        ("src/*.py", "src/a/x.py"),
        ("?.py", "xy.py"),
        ("[a-c].py", "d.py"),
        ("[!a-c].py", "b.py"),
        ("[!a]", "/"),
        ("setup.py", "setup.py/below"),
        ("a.c", "abc"),
        ("a/**/z", "az"),
    ],
)
def test_a_pattern_does_not_name(pattern: str, path: str) -> None:
    assert not matches(pattern, path)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("core/**", "core/db.py"),
        ("core", "core/db/models.py"),
        ("core/", "core/*.py"),
        ("**", "x"),
        ("**/a", "a/**"),
        ("a/**/b", "a/x/**"),
        ("*.py", "test_*"),
        ("a*b", "*ab*"),
        ("[a-f]*", "[d-z]x"),
        ("[!a]", "[!b]"),
        ("src/*/api.py", "src/web/**"),
    ],
)
def test_these_overlap(one: str, other: str) -> None:
    assert overlap(one, other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("core/**", "docs/**"),
        ("core", "core2"),
        ("*.py", "*.md"),
        ("*.py", "src/*.py"),
        ("a?", "a"),
        ("a*b", "b*a"),
        ("[a-c]x", "[d-f]x"),
        ("[!a]", "a"),
        ("src/*/api.py", "src/api.py"),
        ("a/**/b.py", "a/**/c.py"),
        ("tests/test_a*.py", "tests/test_b*.py"),
        ("setup.py", "**/*.md"),
    ],
)
def test_these_do_not_overlap(one: str, other: str) -> None:
    assert not overlap(one, other)


def test_a_directory_whose_name_has_an_extension_is_marked_by_a_slash(tmp_path: Path) -> None:
    (tmp_path / "v1.2").mkdir()
    assert with_slash("v1.2", tmp_path) == "v1.2/"
    assert with_slash("v1.3", tmp_path) == "v1.3"
    assert with_slash("v1.*", tmp_path) == "v1.*"
