"""docs/AGENTS.md cannot drift: its tables are made from the modules (run this file to write them).

python tests/unit/test_docs_agents.py
"""

from __future__ import annotations

import pytest

from br3.agents import GROUP, NAMES, agent
from br3.agents.causes import ANSWERS, CAUSES
from br3.agents.keys import FORMS
from br3.agents.sandbox import SECRET_FILES, SECRET_PLACES
from br3.workspace.children import GRACE_S
from tests.pages import DOCS, generated, read, table, write

PAGE = DOCS / "AGENTS.md"


def yes(value: bool) -> str:
    return "yes" if value else "no"


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
    rows = []
    for name in NAMES:
        found = agent(name)
        has = found.supports
        told = (has.usage, has.cost, yes(has.live_cost), yes(has.resume), yes(has.budget), has.models)
        rest = (yes(has.system_prompt), yes(has.denied_commands), ", ".join(f"`{one}`" for one in has.sandbox))
        rows.append((f"`{name}`", found.tested_with, *told, *rest))
    return table(head, *rows)


def causes_table() -> str:
    rows = [(f"`{cause.name}`", cause.meaning, f"`{cause.answer}`", yes(cause.counts)) for cause in CAUSES.values()]
    return table(("cause", "means", "answer", "counts"), *rows)


def answers_list() -> str:
    return "\n".join(f"- `{answer}`: {meaning}." for answer, meaning in ANSWERS.items())


def keys_table() -> str:
    rows = []
    for variable, form in FORMS.items():
        takers = ", ".join(f"`{name}`" for name in NAMES if variable in agent(name).keys)
        elsewhere = f"`{form.elsewhere}`" if form.elsewhere else ""
        rows.append((f"`{variable}`", form.provider, form.shape, elsewhere, takers))
    return table(("variable", "provider", "looks like", "another server", "agents"), *rows)


def hidden_list() -> str:
    return ", ".join(f"`~/{place}`" for place in (*SECRET_PLACES, *SECRET_FILES))


def ladders_table() -> str:
    rows = []
    for name in NAMES:
        found = agent(name)
        own = f"`{found.default_model}`" if found.default_model else "depends"
        rows.append((f"`{name}`", own, ", ".join(f"`{model}`" for model in found.ladder) or "none"))
    return table(("agent", "by itself", "ladder"), *rows)


BLOCKS = {
    "AGENTS.md": {
        "agents": agents_table,
        "causes": causes_table,
        "answers": answers_list,
        "keys": keys_table,
        "hidden": hidden_list,
    },
    "ROUTING.md": {"ladders": ladders_table},
}


@pytest.mark.parametrize("name", BLOCKS)
def test_the_tables_of_the_page_are_those_of_the_modules(name: str) -> None:
    assert read(DOCS / name) == generated(read(DOCS / name), BLOCKS[name]), "python tests/unit/test_docs_agents.py"


@pytest.mark.parametrize("name", NAMES)
def test_what_an_agent_supports_can_be_told_in_a_table(name: str) -> None:
    has = agent(name).supports
    assert all(text and "|" not in text for text in (has.usage, has.cost, has.models))
    assert set(has.sandbox) >= {"none", "bwrap"}


def test_numbers_and_names_of_the_page_are_those_of_the_code() -> None:
    page = read(PAGE)
    assert GRACE_S == 5 and "SIGTERM, five seconds, SIGKILL" in page
    assert f"`{GROUP}`" in page


if __name__ == "__main__":
    for name, blocks in BLOCKS.items():
        write(DOCS / name, generated(read(DOCS / name), blocks))
