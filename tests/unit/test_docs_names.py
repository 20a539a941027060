"""Every key, event, variable and exit code that a page names exists; those that exist are on a page."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import pytest
import yaml

from br3 import errors
from br3.plan.schema import PlanFile, section_at
from br3.plan.settings import _FROM_ENVIRONMENT
from br3.telemetry import KINDS
from tests.pages import DOCS, PAGES, ROOT, codes, fences, parts, prose, read
from tests.unit.test_docs_plan import SECTIONS, fields
from tests.unit.test_house import ORDER

OTHER_FILES = {"[project]", "[package]", "[tool.poetry]", "[workspace.package]"}
"""Sections of files that are not br3.toml."""

COLUMNS = {"usage.price"}
"""Names with a dot that look like an event and are columns of the analytics."""

NOT_ERRORS = {0, errors.OVER_BUDGET}

every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


@every_page
def test_sections_and_keys_of_the_plan_that_a_page_names_exist(page: Path) -> None:
    for code in codes(read(page)):
        if named := re.match(r"(\[+[a-z.]+\]+)(?: (\w+))?", code):
            section, key = named.groups()
            assert section in OTHER_FILES or section in SECTIONS, code
            assert section in OTHER_FILES or key is None or key in fields(section), code


@every_page
def test_every_block_of_toml_json_or_yaml_is_one(page: Path) -> None:
    for block in fences(read(page)):
        for name, parse in (("toml", tomllib.loads), ("json", json.loads), ("yaml", yaml.safe_load)):
            if block.info[:1] == (name,):
                assert parse(block.text), block.text


@every_page
def test_every_key_in_a_block_of_toml_exists(page: Path) -> None:
    def look(table: object, at: tuple[str | int, ...]) -> None:
        if isinstance(table, dict):
            known = section_at(PlanFile, at)
            assert known is not None, at
            for key, value in table.items():
                assert key in {field.alias or name for name, field in known.model_fields.items()}, (*at, key)
                look(value, (*at, key))
        elif isinstance(table, list):
            for item in table:
                look(item, at) if isinstance(item, dict) else None

    for block in fences(read(page), "toml"):
        look(tomllib.loads(block.text), ())


@every_page
def test_events_that_a_page_names_exist(page: Path) -> None:
    families = {kind.split(".")[0] for kind in KINDS}
    for code in codes(read(page)):
        if re.fullmatch(r"[a-z_]+\.[a-z_]+", code) and code.split(".")[0] in families:
            assert code in KINDS or code in COLUMNS, code


@every_page
def test_exit_codes_that_a_page_names_exist(page: Path) -> None:
    told = re.findall(r"exit code (?:is |was )?(\d+)", prose(read(page)))
    assert {int(code) for code in told} <= exit_codes()


def exit_codes() -> set[int]:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.Br3Error)]
    return NOT_ERRORS | {kind.exit_code for kind in kinds}


def test_readme_names_every_exit_code() -> None:
    line = re.search(r"Exit codes: (.*?)\n\n", read(ROOT / "README.md"), re.DOTALL)
    assert line is not None
    assert {int(code) for code in re.findall(r"(?:^|· |\n)(\d+) ", line[1])} == exit_codes()


def test_every_room_of_the_house_is_named_in_its_order() -> None:
    (house,) = [part.text for part in parts(read(DOCS / "CONTRIBUTING.md")) if part.title == "The house"]
    named = codes(house.partition("the top:")[2].partition(". A room")[0])
    assert named == [room for room in ORDER if room != "__main__"]


def variables(*places: str) -> set[str]:
    files = [path for place in places for path in (ROOT / place).rglob("*") if path.suffix in (".py", ".sh", "")]
    texts = [path.read_text(encoding="utf-8") for path in files if path.is_file()]
    return {name for text in texts for name in re.findall(r"\bBR3_[A-Z_]*[A-Z]\b", text)}


def test_variables_that_pages_name_are_read_and_those_that_are_read_are_named() -> None:
    named = {name for page in PAGES for name in re.findall(r"\bBR3_[A-Z_]*[A-Z]\b", read(page))}
    read_by_br3 = variables("br3", "hooks") | set(_FROM_ENVIRONMENT)
    assert named <= read_by_br3 | variables("tests")
    assert read_by_br3 - {"BR3_COMPLETE"} <= named, "click's own aside, it has no page"
