"""docs/CLI.md is what ``--help`` says (run this file to write it); every command and option that a page names is there.

python tests/unit/test_docs_cli.py
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from br3.cli import COMMANDS, cli
from tests.pages import DOCS, PAGES, codes, fences, generated, indented, read, table, write

PAGE = DOCS / "CLI.md"

WIDTH = 90
"""Characters of a line of help on the page."""

END_OF_COMMAND = re.compile(r"#|&&|[|;>)`\"'\\]|  | →")
"""What ends a br3 command within a line: a remark, another command, a quote."""

NO_SHELL = (("text",), ("python",), ("sql",), ("toml",), ("markdown",))
"""Blocks in which the word br3 calls nothing."""

FOREIGN = {
    "--atomic": "git push",
    "--no-checkout": "git worktree add",
    "--no-verify": "git commit",
    "--skip-worktree": "git update-index",
    "--orphan": "git worktree add",
    "--cov": "pytest",
    "--repository": "a bench's own",
    "--continue": "git rebase",
    "--write-tree": "git merge-tree",
}
"""Options that pages name without the command, which is not br3."""


def below(command: click.Command, words: tuple[str, ...] = ("br3",)) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """A command and all that are below it, each with the words that call it."""
    yield words, command
    if isinstance(command, click.Group):
        for name in command.list_commands(click.Context(command)):
            inner = command.get_command(click.Context(command), name)
            assert inner is not None
            yield from below(inner, (*words, name))


EVERY = dict(below(cli))


def said(words: tuple[str, ...]) -> str:
    """What ``--help`` prints."""
    parent = None
    for at in range(1, len(words) + 1):
        context = {"terminal_width": WIDTH, "max_content_width": WIDTH, "help_option_names": ["-h", "--help"]}
        parent = click.Context(EVERY[words[:at]], info_name=words[at - 1], parent=parent, **context)  # type: ignore[arg-type]
    assert parent is not None
    return EVERY[words].get_help(parent)


def commands_text() -> str:
    text = [f"```text\n{said(('br3',))}\n```"]
    for title, commands in COMMANDS.items():
        text.append(f"## {title}")
        for name in commands:
            for words, _ in below(EVERY["br3", name], ("br3", name)):
                text.append(f"{'#' * (len(words) + 1)} {' '.join(words)}\n\n```text\n{said(words)}\n```")
    return "\n\n".join(text)


def index_table() -> str:
    rows = []
    for title, commands in COMMANDS.items():
        named = ", ".join(f"[`{name}`](#br3-{name})" for name in commands)
        rows.append((title.lower(), named))
    return table(("to …", "commands"), *rows)


def as_generated() -> str:
    return generated(read(PAGE), {"index": index_table, "commands": commands_text})


def test_the_page_is_what_help_says() -> None:
    assert read(PAGE) == as_generated(), "python tests/unit/test_docs_cli.py"


def lines_of_code(text: str) -> Iterator[str]:
    """All that stands in code on a page, line by line; of a session only what is typed."""
    for block in [fence.text for fence in fences(text) if fence.info[:1] not in NO_SHELL] + indented(text):
        lines = block.splitlines()
        yield from [line for line in lines if line.startswith("$ ")] or lines
    for prose in (text, *(fence.text for fence in fences(text, "markdown"))):
        yield from codes(prose)


def calls(line: str) -> Iterator[list[str]]:
    """The br3 commands in a line of code, as words."""
    for match in re.finditer(r"(?:^|[\s(\"'|&])br3 (?=-|[a-z])", line.partition(" # ")[0]):
        yield END_OF_COMMAND.split(line[match.end() :])[0].split()


def options(command: click.Command) -> dict[str, click.Parameter]:
    return {option: param for param in command.params for option in (*param.opts, *param.secondary_opts)}


def unknown_in(words: list[str]) -> str | None:
    """The first word of a call that is neither a command nor one of its options; None when all are."""
    at: tuple[str, ...] = ("br3",)
    rest = iter(words)
    for word in rest:
        bare, _, value = word.strip("[]….,:").partition("=")
        if word == "--":
            return None
        if bare.startswith("-") and len(bare) > 1:
            if bare in ("-h", "--help"):
                continue
            if bare not in (known := options(EVERY[at])):
                return f"{' '.join(at)} {bare}"
            if not value and not getattr(known[bare], "is_flag", False):
                next(rest, None)
        elif isinstance(EVERY[at], click.Group) and re.match(r"[a-z]", bare):
            if (*at, bare) not in EVERY:
                return " ".join((*at, bare))
            at = (*at, bare)
    return None


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_that_a_page_names_is_there_with_its_options(page: Path) -> None:
    unknown = {unknown_in(words) for line in lines_of_code(read(page)) for words in calls(line)}
    assert unknown <= {None}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_option_that_a_page_names_alone_is_one(page: Path) -> None:
    known = {"--help", *(option for command in EVERY.values() for option in options(command))}
    alone = {code.split()[0].partition("=")[0] for code in codes(read(page)) if re.match(r"--[a-z]", code)}
    assert alone - known <= set(FOREIGN)


def test_commands_are_found_wherever_they_stand_in_code() -> None:
    named = {words[0] for page in PAGES for line in lines_of_code(read(page)) for words in calls(line) if words}
    assert {name for commands in COMMANDS.values() for name in commands} <= named
    assert [*calls("PATH=x br3 run && br3 finish --push  # br3 lands")] == [["run"], ["finish", "--push"]]
    assert unknown_in(["worktree", "mak"]) == "br3 worktree mak" and unknown_in(["run", "--jbs"]) == "br3 run --jbs"
    assert unknown_in(["worktree", "run", "x", "--", "pytest", "--cov"]) is None


if __name__ == "__main__":
    write(PAGE, as_generated())
