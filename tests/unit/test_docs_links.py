"""Links lead somewhere, anchors included; files and tests that pages name are there; README leads to every page."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

from tests.pages import DOCS, PAGES, RECORDS, ROOT, anchors, codes, indented, links, read

LINKED = [*PAGES, ROOT / "CHANGELOG.md"]

OURS = re.compile(r"(?<![\w./-])(?:br3|tests|docs|hooks|\.ci)/[\w./*-]*\w")
"""A path of this repository."""


FIELDS = {"test_runs"}
"""Names that begin like a test and are fields of what commands give."""


@cache
def known_tests() -> set[str]:
    named = re.compile(r"^(?:def|class) ([Tt]est\w+)", re.MULTILINE)
    return {name for path in (ROOT / "tests").rglob("test_*.py") for name in named.findall(read(path))}


@pytest.mark.parametrize("page", LINKED, ids=lambda page: page.name)
def test_links_lead_to_files_and_headings_that_are_there(page: Path) -> None:
    for target in links(read(page)):
        if target.startswith(("http://", "https://")):
            continue
        path, _, anchor = target.partition("#")
        led = page.parent / path if path else page
        assert led.exists(), target
        assert not anchor or anchor in anchors(read(led)), target


@pytest.mark.parametrize("page", [page for page in PAGES if page.name not in RECORDS], ids=lambda page: page.name)
def test_files_of_this_repository_that_a_page_names_are_there(page: Path) -> None:
    for code in [*codes(read(page)), *indented(read(page))]:
        for name in OURS.findall(code):
            assert list(ROOT.glob(name)), name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_tests_that_a_page_names_are_there(page: Path) -> None:
    for code in codes(read(page)):
        if re.fullmatch(r"test_\w+", code) and code not in FIELDS:
            assert code in known_tests()
        elif re.fullmatch(r"test_\w+\.py", code):
            assert list((ROOT / "tests").rglob(code)), code


def test_readme_leads_to_every_page() -> None:
    led = {target.partition("#")[0] for target in links(read(ROOT / "README.md"))}
    assert {f"docs/{page.name}" for page in DOCS.glob("*.md")} <= led


def test_anchors_are_made_as_code_hosts_make_them() -> None:
    text = "# `[plan]`: the run as a whole\n\n```\n# no heading\n```\n\n## What, why & [how](x.md)\n\n## A\n\n## A\n"
    assert anchors(text) == {"plan-the-run-as-a-whole", "what-why--how", "a", "a-1"}
