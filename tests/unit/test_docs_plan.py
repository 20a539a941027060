"""docs/PLAN.md says what the schema says: its tables of keys are made from it (run this file to write them).

python tests/unit/test_docs_plan.py
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

import click
import pytest
from pydantic.fields import FieldInfo

from br3 import errors
from br3.agents.shell import parse_usage
from br3.cli.run import run
from br3.orchestrator import attempting
from br3.plan import durations
from br3.plan.checking import check
from br3.plan.globs import matches
from br3.plan.model import Plan
from br3.plan.schema import Kind, PlanFile, Section, UserFile, is_array, keys_of, sections_in
from br3.plan.settings import _FROM_ENVIRONMENT
from br3.workspace import preparing
from br3.workspace.environments import recognised
from tests import pages
from tests.pages import DOCS, generated, read, write

PAGE = DOCS / "PLAN.md"

Table = dict[str, dict[str, str]]
"""The rows of a table by their first cell, each with its other cells by column."""


def sections(model: type[Section] = PlanFile, prefix: str = "") -> Iterator[tuple[str, type[Section]]]:
    """The sections of the file as they are written: ``[plan]``, ``[[build]]``, ``[[build.task]]``, …."""
    for key, inner in sections_in(model).items():
        yield (f"[[{prefix}{key}]]" if is_array(model, key) else f"[{prefix}{key}]"), inner
        yield from sections(inner, f"{prefix}{key}.")


SECTIONS = dict(sections())
KEYS = [(section, key) for section, model in SECTIONS.items() for key in keys_of(model)]


@cache
def chapters() -> dict[str, str]:
    """The page's chapters by their heading, or by the section that the heading begins with."""
    parts = re.split(r"^## (.*)\n", read(PAGE), flags=re.MULTILINE)
    headings = [match[1] if (match := re.match(r"`(.+?)`", heading)) else heading for heading in parts[1::2]]
    return dict(zip(headings, parts[2::2], strict=True))


@cache
def table(heading: str) -> Table:
    """The one table of a chapter."""
    lines = [line for line in chapters()[heading].splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    columns = cells[0]
    return {row[0].strip("`"): dict(zip(columns, row, strict=True)) for row in cells[2:]}


def literal(cell: str) -> Any:
    """The value that a cell states, when all of it is one TOML value in code; else None."""
    code = re.fullmatch(r"`([^`]+)`", cell)
    try:
        return tomllib.loads(f"value = {code[1]}")["value"] if code else None
    except tomllib.TOMLDecodeError:
        return None


@pytest.fixture
def bare(tmp_path: Path) -> Plan:
    """The plan that says nothing which it need not say."""
    path = tmp_path / "br3.toml"
    path.write_text('[verify]\nrun = ["true"]\n[[build]]\nid = "b"\nprompt = "Do it."\n')
    plan = check(path, have=lambda tool: False).plan
    assert plan is not None
    return plan


def fields(section: str) -> dict[str, FieldInfo]:
    """The fields of a section by their keys."""
    return {field.alias or name: field for name, field in SECTIONS[section].model_fields.items()}


def kind(annotation: Any, metadata: Sequence[Any] = (), many: bool = False) -> str:
    """What a key holds, in words."""
    if get_origin(annotation) is Annotated:
        annotation, *metadata = get_args(annotation)
    named = [found for found in metadata if isinstance(found, Kind)]
    if named:
        return named[-1].many if many else named[-1].one
    if annotation is bool:
        return "true or false"
    if get_origin(annotation) is Literal:
        *first, last = [f"`{value}`" for value in get_args(annotation)]
        return f"{', '.join(first)} or {last}" if first else last
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return "tables" if many else "table"
    inner = [part for part in get_args(annotation) if part is not type(None)]
    if get_origin(annotation) is list:
        told = kind(inner[0], many=True)
        return told if told == "tables" else f"list of {told}"
    return kind(inner[0])


def default(field: FieldInfo) -> str:
    """What holds where nothing is said: a TOML value, or words."""
    assert isinstance(field.json_schema_extra, dict)
    if field.is_required():
        return "required"
    unsaid = field.json_schema_extra["unsaid"]
    return str(unsaid) if field.default is None or unsaid != "none" else f"`{json.dumps(field.default)}`"


def keys_table(section: str) -> str:
    rows = [
        (f"`{key}`", kind(field.annotation, field.metadata), default(field), field.description or "")
        for key, field in fields(section).items()
    ]
    return pages.table(("key", "type", "default", "meaning"), *rows)


def as_generated() -> str:
    return generated(read(PAGE), {section: partial(keys_table, section) for section in SECTIONS})


def test_the_tables_of_keys_are_those_of_the_schema() -> None:
    assert read(PAGE) == as_generated(), "python tests/unit/test_docs_plan.py"


@pytest.mark.parametrize("section", SECTIONS)
def test_every_key_is_explained(section: str) -> None:
    for key, field in fields(section).items():
        assert field.description and "|" not in field.description, key


def test_no_table_is_of_a_section_that_does_not_exist() -> None:
    assert sorted(heading for heading in chapters() if heading.startswith("[")) == sorted(SECTIONS)


@pytest.mark.parametrize(("section", "key"), KEYS, ids=lambda part: part)
def test_a_stated_default_is_the_schema_s(section: str, key: str, bare: Plan) -> None:
    cell = table(section)[key]["default"]
    model = SECTIONS[section]
    field = next(field for name, field in model.model_fields.items() if (field.alias or name) == key)
    if field.is_required():
        assert cell == "required"
    elif field.default is None:
        # The schema leaves it open; what is stated as a value is what resolving makes of it.
        assert cell != "required"
        if (stated := literal(cell)) is not None:
            assert (durations.seconds(stated) if key == "timeout" else stated) == resolved(bare, section, key)
    elif key not in sections_in(model):
        assert literal(cell) == field.default


def resolved(plan: Plan, section: str, key: str) -> Any:
    """What a plan that says nothing about the key gets; a duration in seconds."""
    if section == "[plan]":
        return getattr(plan, key)
    assert section == "[defaults]", f"{section} {key}: nothing fills it in"
    build = plan.builds[0]
    of_build = {
        "retries": build.retries,
        "timeout": build.timeout_s,
        "env": list(build.env),
        "sandbox": build.sandbox,
        "network": build.network,
    }
    return of_build[key] if key in of_build else getattr(build.tasks[0], key)


@pytest.mark.parametrize(
    ("section", "key"),
    [
        ("[plan]", "jobs"),
        *(("[defaults]", key) for key in ("agent", "model", "retries", "timeout", "env", "sandbox", "network")),
    ],
)
def test_what_br3_fills_in_by_itself_is_stated_as_a_value(section: str, key: str) -> None:
    assert literal(table(section)[key]["default"]) is not None


def test_the_minimal_plan_gets_the_defaults_that_are_put_in_words(bare: Plan, tmp_path: Path) -> None:
    build = bare.builds[0]
    assert (bare.name, build.title, build.worktree, build.branch) == (tmp_path.name, "b", "b", "build/b")
    assert [task.id for task in build.tasks] == ["1"]
    assert build.verify.run == ("true",)
    assert (bare.budget_usd, build.budget_usd, build.tasks[0].command, bare.release.tag) == (None, None, None, None)


def test_every_setting_outside_the_plan_is_named_with_its_option() -> None:
    rows = table("What wins").values()
    assert {row["environment"].strip("`") for row in rows} - {"–"} == set(_FROM_ENVIRONMENT)
    options = {f"--{name}" if name != "budget_usd" else "--budget" for name in _FROM_ENVIRONMENT.values()}
    assert {row["command line"].strip("`") for row in rows} - {"–"} == options
    of_run = {option for param in run.params if isinstance(param, click.Option) for option in param.opts}
    assert options <= of_run


def test_every_key_of_the_user_s_own_file_is_named() -> None:
    known = {f"[{name}] {key}" for name, inner in sections_in(UserFile).items() for key in keys_of(inner)}
    assert {row["config.toml"].strip("`") for row in table("What wins").values()} == known


def test_the_complete_plan_of_the_introduction_is_fine(tmp_path: Path) -> None:
    blocks = re.findall(r"^```toml\n(.*?)^```$", read(PAGE), re.MULTILINE | re.DOTALL)
    assert len(blocks) == 1
    path = tmp_path / "br3.toml"
    path.write_text(blocks[0])
    checked = check(path)
    assert (checked.problems, checked.warnings) == ((), ())
    assert checked.plan is not None
    assert recognised(checked.plan.setup.run)
    assert set(tomllib.loads(blocks[0])) >= {"plan", "setup", "verify", "release", "build", "criterion"}


def test_every_variable_that_commands_see_is_in_the_table() -> None:
    sources = [Path(module.__file__ or "").read_text() for module in (attempting, preparing)]
    given = {name for source in sources for name in re.findall(r'"(BR3_[A-Z_]+)":', source)}
    assert set(table("What commands and agents see")) == given


def test_the_line_shown_for_the_usage_file_is_read_in_full() -> None:
    text = chapters()["What commands and agents see"].replace("\n", " ")
    shown = re.search(r'`(\{"model".*?\})`', text)
    assert shown is not None
    usage = parse_usage(shown[1].encode())
    assert usage is not None
    assert None not in usage.as_data().values()


def test_every_exit_code_is_in_the_table() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.Br3Error)]
    assert set(table("Exit codes")) == {"0", str(errors.OVER_BUDGET), *(str(k.exit_code) for k in kinds)}


def test_patterns_mean_what_is_said_of_owns() -> None:
    assert "`core` and `core/` are `core/**`" in chapters()["What `owns` means"]
    for pattern in ("core", "core/", "core/**"):
        assert matches(pattern, "core/deep/down.py")
    assert not matches("core/*", "core/deep/down.py")
    assert matches("**/*.md", "README.md")
    assert matches("[!a-z].py", "A.py") and not matches("[a-z].py", "A.py")


def test_lines_are_short_enough_for_an_editor() -> None:
    assert [line for line in read(PAGE).splitlines() if len(line) > 120] == []


if __name__ == "__main__":
    write(PAGE, as_generated())
