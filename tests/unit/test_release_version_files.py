"""Files that hold the version: found exactly once, in agreement, and not a byte changed but the version."""

from __future__ import annotations

import json
import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from br3.errors import UsageError
from br3.release.version_files import agreed, find, form_for, rewritten
from br3.release.versions import Version, parse

ALPHA = Version(3, 1, 0, ("alpha", "4"))

FILES = {
    "pyproject.toml": b'[build-system]\nrequires = ["x"]\n[project]\nname = "p"\nversion = "1.2.3"  # here\n'
    b'[tool.other]\nversion = "1.2.3"\n',
    "Cargo.toml": b"[package]\r\nname = 'p'\r\nversion = '1.2.3'\r\n[dependencies]\r\n"
    b'serde = { version = "1.2.3" }\r\n',
    "package.json": b'{"name": "p", "engines": {"version": "1.2.3"}, "version" : "1.2.3"}',
    "pkg/__init__.py": b'"""Doc."""\n__version__: str = \'1.2.3\'\nversion = "1.2.3"\n',
    "VERSION": b"1.2.3\r\n",
    'docs/conf.py:^release = "(.*)"': b'release = "1.2.3"\nold_release = "0"\n',
    "setup.txt:^version = (.*)$": b"version = 1.2.3\r\nname = p\r\n",
}


@pytest.mark.parametrize("entry", FILES)
def test_the_version_is_found_where_it_stands(entry: str) -> None:
    assert [place.text for place in find(entry, FILES[entry])] == ["1.2.3"]


@pytest.mark.parametrize("entry", FILES)
def test_nothing_changes_but_the_version(entry: str) -> None:
    content = FILES[entry]
    made = rewritten(content, find(entry, content), Version(1, 3, 0))
    assert made.count(b"1.3.0") == 1
    at = made.index(b"1.3.0")
    assert made[:at] == content[:at] and made[at + 5 :] == content[at + 5 :]


def test_it_is_the_project_s_version_that_changes_and_not_another_of_that_name() -> None:
    content = FILES["pyproject.toml"]
    data = tomllib.loads(rewritten(content, find("pyproject.toml", content), ALPHA).decode())
    assert (data["project"]["version"], data["tool"]["other"]["version"]) == ("3.1.0a4", "1.2.3")
    cargo = FILES["Cargo.toml"]
    data = tomllib.loads(rewritten(cargo, find("Cargo.toml", cargo), ALPHA).decode())
    assert (data["package"]["version"], data["dependencies"]["serde"]["version"]) == ("3.1.0-alpha.4", "1.2.3")
    package = FILES["package.json"]
    data = json.loads(rewritten(package, find("package.json", package), ALPHA))
    assert (data["version"], data["engines"]["version"]) == ("3.1.0-alpha.4", "1.2.3")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("pyproject.toml", b'[tool.poetry]\nversion = "1.2.3"\n'),
        ("pyproject.toml", b'project.version = "1.2.3"\n'),
        ("pyproject.toml", b'project = { name = "p", version = "1.2.3" }\n'),
        ("Cargo.toml", b'[package]\nversion.workspace = true\n[workspace.package]\nversion = "1.2.3"\n'),
    ],
)
def test_other_ways_of_writing_it(name: str, content: bytes) -> None:
    assert [place.text for place in find(name, content)] == ["1.2.3"]


def test_a_lock_of_npm_s_has_it_twice() -> None:
    content = b'{"version": "1.2.3", "packages": {"": {"version": "1.2.3"}, "node_modules/x": {"version": "1.2.3"}}}'
    data = json.loads(rewritten(content, find("package-lock.json", content), ALPHA))
    assert data["version"] == data["packages"][""]["version"] == "3.1.0-alpha.4"
    assert data["packages"]["node_modules/x"]["version"] == "1.2.3"


@pytest.mark.parametrize(
    ("entry", "content", "told"),
    [
        ("pyproject.toml", b'[project]\nname = "p"\ndynamic = ["version"]\n', "dynamic"),
        ("pyproject.toml", b'[other]\nversion = "1"\n', "has no [project] version or [tool.poetry] version"),
        ("pyproject.toml", b"[project\n", "cannot be read"),
        ("package.json", b'{"name": "p"}', 'has no "version"'),
        ("a.py", b"x = 1\n", "is not in it"),
        ("a.py", b'__version__ = "1"\n__version__ = "2"\n', "is in it 2 times"),
        ("x.txt:v(.)", b"v1 v2", "is in it 2 times"),
        ("x.txt:v(.)", b"w1", "is not in it"),
        ("x.txt:v(.)?$", b"v", "is not in it"),
        ("README.md", b"# A project\n\n1.2.3\n", "holds more (or less) than a version"),
        ("VERSION", b"", "holds more (or less) than a version"),
    ],
)
def test_what_is_not_there_once_is_an_error_that_names_the_file(entry: str, content: bytes, told: str) -> None:
    with pytest.raises(UsageError) as caught:
        find(entry, content)
    assert told in caught.value.message and entry.partition(":")[0] in caught.value.message


def test_files_agree_when_they_hold_one_version_in_their_own_forms() -> None:
    places = [*find("VERSION", b"3.1.0-alpha.4\n"), *find("a.py", b'__version__ = "3.1.0a4"\n')]
    assert agreed(places) == ALPHA
    assert agreed([]) is None


def test_files_that_do_not_agree_are_told_with_what_they_hold() -> None:
    places = [*find("VERSION", b"1.0.0"), *find("OTHER", b"1.0.0"), *find("a.py", b'__version__ = "1.0.1"')]
    with pytest.raises(UsageError, match=r"do not agree: VERSION, OTHER: 1.0.0; a.py: 1.0.1"):
        agreed(places)
    with pytest.raises(UsageError, match="VERSION holds 'latest'"):
        agreed(find("VERSION", b"latest"))


def test_a_version_that_python_has_no_form_for_cannot_be_written_there() -> None:
    with pytest.raises(UsageError, match="PEP 440"):
        form_for("pyproject.toml", Version(1, 0, 0, ("nightly", "1")))
    assert form_for("package.json", Version(1, 0, 0, ("nightly", "1"))) == "1.0.0-nightly.1"


def test_a_place_that_two_entries_name_is_written_once() -> None:
    content = b'[project]\nversion = "0.9.0"\n'
    places = [*find("pyproject.toml", content), *find('pyproject.toml:^version = "(.*)"', content)]
    assert rewritten(content, places, Version(0, 10, 0)) == b'[project]\nversion = "0.10.0"\n'
    overlapping = [*find("v.txt:v([0-9.]+)", b"v1.0.0"), *find("v.txt:(1.0).0", b"v1.0.0")]
    with pytest.raises(UsageError, match=r"v.txt: two entries find the version at the same place, once as 1.0"):
        rewritten(b"v1.0.0", overlapping, Version(1, 0, 1))


@given(st.binary(max_size=40), st.binary(max_size=40))
def test_bytes_around_a_version_stay_whatever_they_are(before: bytes, after: bytes) -> None:
    content = before.replace(b"@", b"") + b"@1.2.3@" + after.replace(b"@", b"")
    places = find("x.bin:@([^@]*)@", content)
    assert rewritten(content, places, Version(10, 0, 0)) == content.replace(b"@1.2.3@", b"@10.0.0@")
    assert parse(places[0].text) is not None
