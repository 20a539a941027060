"""docs/AGENTS.md cannot drift: its tables are made from the modules (run this file to write them).

python tests/unit/test_docs_agents.py
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from br3.agents import GROUP, NAMES, agent
from br3.agents.causes import ANSWERS, CAUSES
from br3.agents.keys import FORMS
from br3.agents.sandbox import SECRET_FILES, SECRET_PLACES
from br3.workspace.children import GRACE_S

DOCS = Path(__file__).parents[2] / "docs"
PAGE = DOCS / "AGENTS.md"


def yes(value: bool) -> str:
    return "yes" if value else "no"


def row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def agents_table() -> str:
    head = (
        "agent",
        "tested with",
        "usage",
        "cost",
        "live",
        "resume",
        "stops itself",
        "models",
        "system prompt",
        "denied",
        "sandbox",
    )
    lines = [row(*head), row(*["---"] * len(head))]
    for name in NAMES:
        found = agent(name)
        has = found.supports
        told = (has.usage, has.cost, yes(has.live_cost), yes(has.resume), yes(has.budget), has.models)
        rest = (yes(has.system_prompt), yes(has.denied_commands), ", ".join(f"`{one}`" for one in has.sandbox))
        lines.append(row(f"`{name}`", found.tested_with, *told, *rest))
    return "\n".join(lines)


def causes_table() -> str:
    lines = [row("cause", "means", "answer", "counts"), row(*["---"] * 4)]
    for cause in CAUSES.values():
        lines.append(row(f"`{cause.name}`", cause.meaning, f"`{cause.answer}`", yes(cause.counts)))
    return "\n".join(lines)


def answers_list() -> str:
    return "\n".join(f"- `{answer}`: {meaning}." for answer, meaning in ANSWERS.items())


def keys_table() -> str:
    lines = [row("variable", "provider", "looks like", "another server", "agents"), row(*["---"] * 5)]
    for variable, form in FORMS.items():
        takers = ", ".join(f"`{name}`" for name in NAMES if variable in agent(name).keys)
        elsewhere = f"`{form.elsewhere}`" if form.elsewhere else ""
        lines.append(row(f"`{variable}`", form.provider, form.shape, elsewhere, takers))
    return "\n".join(lines)


def hidden_list() -> str:
    return ", ".join(f"`~/{place}`" for place in (*SECRET_PLACES, *SECRET_FILES))


def ladders_table() -> str:
    lines = [row("agent", "by itself", "ladder"), row(*["---"] * 3)]
    for name in NAMES:
        found = agent(name)
        own = f"`{found.default_model}`" if found.default_model else "depends"
        lines.append(row(f"`{name}`", own, ", ".join(f"`{model}`" for model in found.ladder) or "none"))
    return "\n".join(lines)


BLOCKS = {
    "AGENTS.md": {
        "agents": lambda: f"\n{agents_table()}\n",
        "causes": lambda: f"\n{causes_table()}\n",
        "answers": lambda: f"\n{answers_list()}\n",
        "keys": lambda: f"\n{keys_table()}\n",
        "hidden": hidden_list,
    },
    "ROUTING.md": {"ladders": lambda: f"\n{ladders_table()}\n"},
}


def as_generated(name: str) -> str:
    page = (DOCS / name).read_text(encoding="utf-8")
    for block, make in BLOCKS[name].items():
        before, begin, rest = page.partition(f"<!-- {block} -->")
        _, end, after = rest.partition("<!-- end -->")
        assert begin and end, block
        page = f"{before}{begin}{make()}{end}{after}"
    return page


@pytest.mark.parametrize("name", BLOCKS)
def test_the_tables_of_the_page_are_those_of_the_modules(name: str) -> None:
    assert (DOCS / name).read_text(encoding="utf-8") == as_generated(name), "python tests/unit/test_docs_agents.py"


@pytest.mark.parametrize("name", NAMES)
def test_what_an_agent_supports_can_be_told_in_a_table(name: str) -> None:
    has = agent(name).supports
    assert all(text and "|" not in text for text in (has.usage, has.cost, has.models))
    assert set(has.sandbox) >= {"none", "bwrap"}


def test_numbers_and_names_of_the_page_are_those_of_the_code() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert GRACE_S == 5 and "SIGTERM, five seconds, SIGKILL" in page
    assert f"`{GROUP}`" in page


def test_files_that_the_page_names_exist() -> None:
    named = re.findall(r"`((?:br3|tests)/[\w./]+)`", PAGE.read_text(encoding="utf-8"))
    assert named and all((PAGE.parents[1] / name).exists() for name in named)


if __name__ == "__main__":
    for name in BLOCKS:
        made = as_generated(name)
        (DOCS / name).write_text(made, encoding="utf-8")
