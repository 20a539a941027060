"""Versions: SemVer and PEP 440 read and written, ordered, and followed by the next."""

from __future__ import annotations

import packaging.version
import pytest
from hypothesis import given
from hypothesis import strategies as st

from br3.release.versions import CHANGES, Version, bumped, following, parse, parse_either, pep440

NUMBER = st.integers(0, 10**6)
LABEL = st.one_of(
    NUMBER.map(str), st.from_regex(r"[0-9A-Za-z-]*[A-Za-z-][0-9A-Za-z-]*", fullmatch=True).filter(str.isascii)
)
BUILD = st.from_regex(r"[0-9A-Za-z-]{1,8}", fullmatch=True).filter(str.isascii)
ANY = st.builds(
    Version, NUMBER, NUMBER, NUMBER, st.lists(LABEL, max_size=4).map(tuple), st.lists(BUILD, max_size=3).map(tuple)
)
STAGED = st.builds(
    lambda core, stage, number: Version(*core, (stage, str(number)) if stage else ()),
    st.tuples(NUMBER, NUMBER, NUMBER),
    st.sampled_from(["", "alpha", "beta", "rc"]),
    NUMBER,
)


@given(ANY)
def test_what_is_written_is_read_as_the_same(version: Version) -> None:
    assert parse(str(version)) == version


@pytest.mark.parametrize(
    "text", ["1", "1.2", "01.2.3", "1.2.3-", "1.2.3-01", "1.2.3-a..b", "v1.2.3", "1.2.3+", " 1.2.3", "1.2.3\n", "١.2.3"]
)
def test_what_is_no_version_is_none(text: str) -> None:
    assert parse(text) is None


def test_versions_are_ordered_as_semver_says() -> None:
    # The example of SemVer, §11.
    texts = "1.0.0-alpha 1.0.0-alpha.1 1.0.0-alpha.beta 1.0.0-beta 1.0.0-beta.2 1.0.0-beta.11 1.0.0-rc.1 1.0.0 1.0.1"
    versions = [v for v in map(parse, texts.split()) if v]
    mixed = versions[::-1]
    assert sorted(mixed, key=lambda v: v.precedence) == versions
    assert len({v.precedence for v in versions}) == len(versions)


@given(ANY, BUILD)
def test_build_metadata_does_not_count(version: Version, build: str) -> None:
    other = Version(*version.core, version.pre, (build,))
    assert other.precedence == version.precedence


@given(ANY)
def test_the_form_for_python_is_one_that_packaging_tools_leave_as_it_is(version: Version) -> None:
    form = pep440(version)
    if form is not None:
        assert str(packaging.version.Version(form)) == form


@given(STAGED)
def test_a_staged_version_survives_the_form_for_python(version: Version) -> None:
    form = pep440(version)
    assert form is not None
    assert parse_either(form) == version


@given(STAGED, STAGED)
def test_the_form_for_python_keeps_the_order(one: Version, other: Version) -> None:
    forms = [packaging.version.Version(str(pep440(v))) for v in (one, other)]
    assert (one.precedence < other.precedence) == (forms[0] < forms[1])


@pytest.mark.parametrize(
    ("version", "form"),
    [
        ("3.1.0-alpha.4", "3.1.0a4"),
        ("1.0.0-beta", "1.0.0b0"),
        ("1.0.0-rc1", "1.0.0rc1"),
        ("1.0.0-preview.2", "1.0.0rc2"),
        ("1.0.0-dev.3", "1.0.0.dev3"),
        ("1.0.0+Build-7.001", "1.0.0+build.7.1"),
        ("1.0.0-nightly.1", None),
        ("1.0.0-alpha.1.2", None),
        ("1.0.0-7", None),
        ("1.0.0+a--b", None),
    ],
)
def test_the_form_for_python(version: str, form: str | None) -> None:
    found = parse(version)
    assert found is not None
    assert pep440(found) == form


@pytest.mark.parametrize(
    ("text", "version"), [("1.2", "1.2.0"), ("1.2.3.dev4", "1.2.3-dev.4"), ("1.0rc2", "1.0.0-rc.2")]
)
def test_python_s_versions_are_read(text: str, version: str) -> None:
    assert str(parse_either(text)) == version


@pytest.mark.parametrize("text", ["1.0.post1", "1!1.0", "latest", "1.0a1.dev2", "1.2.3.4"])
def test_python_s_versions_without_a_form_in_semver_are_none(text: str) -> None:
    assert parse_either(text) is None


@given(ANY, st.sampled_from(["major", "minor", "patch", "prerelease"]))
def test_the_next_version_is_higher(version: Version, level: str) -> None:
    found = bumped(version, level)  # type: ignore[arg-type]
    assert (found is None) == (level == "prerelease" and not version.pre)
    if found is not None:
        assert found.precedence > version.precedence
        assert found.build == ()


@pytest.mark.parametrize(
    ("version", "level", "after"),
    [
        ("1.2.3", "major", "2.0.0"),
        ("1.2.3", "minor", "1.3.0"),
        ("1.2.3", "patch", "1.2.4"),
        ("2.0.0-rc.1", "major", "2.0.0"),
        ("2.1.0-rc.1", "major", "3.0.0"),
        ("2.1.0-rc.1", "minor", "2.1.0"),
        ("2.1.1-rc.1", "minor", "2.2.0"),
        ("2.1.1-rc.1", "patch", "2.1.1"),
        ("3.1.0-alpha.4", "prerelease", "3.1.0-alpha.5"),
        ("3.1.0-alpha", "prerelease", "3.1.0-alpha.1"),
        ("1.2.3", "prerelease", "None"),
    ],
)
def test_the_next_version(version: str, level: str, after: str) -> None:
    found = parse(version)
    assert found is not None
    assert str(bumped(found, level)) == after  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("last", "final", "change", "since_final", "after"),
    [
        ("1.2.3", "1.2.3", "breaking", "breaking", "2.0.0"),
        ("1.2.3", "1.2.3", "feature", "feature", "1.3.0"),
        ("1.2.3", "1.2.3", "fix", "fix", "1.2.4"),
        ("0.2.3", "0.2.3", "breaking", "breaking", "0.3.0"),
        ("0.2.3", "0.2.3", "feature", "feature", "0.3.0"),
        ("0.2.3", "0.2.3", "fix", "fix", "0.2.4"),
        ("3.1.0-alpha.4", "3.0.5", "fix", "feature", "3.1.0-alpha.5"),
        ("3.1.0-alpha.4", "3.0.5", "breaking", "breaking", "4.0.0-alpha.1"),
        ("3.0.6-rc.2", "3.0.5", "feature", "feature", "3.1.0-rc.1"),
        ("3.1.0-alpha.4", None, "breaking", "breaking", "3.1.0-alpha.5"),
        ("0.4.0-beta", "0.3.0", "breaking", "breaking", "0.4.0-beta.1"),
    ],
)
def test_a_version_follows_from_what_changed(
    last: str, final: str | None, change: str, since_final: str, after: str
) -> None:
    versions = parse(last), parse(final or "")
    assert versions[0] is not None
    assert str(following(versions[0], versions[1], change, since_final)) == after  # type: ignore[arg-type]


@given(ANY, st.sampled_from(CHANGES), st.sampled_from(CHANGES))
def test_what_follows_is_higher(version: Version, change: str, since_final: str) -> None:
    final = None if version.pre else version
    found = following(version, final, change, since_final)  # type: ignore[arg-type]
    assert found.precedence > version.precedence
    assert bool(found.pre) == bool(version.pre)
