"""A Markdown text as a flat list of parts, each with the lines it stands on.

CommonMark with tables, read by markdown-it-py. Before that ``mended`` closes what people leave open, without moving a
line: a fence inside a fence of the same length, and a fence that is never closed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cache
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.token import Token

Kind = Literal["heading", "text", "item", "fence", "row", "rule"]


@dataclass(frozen=True)
class Part:
    """One piece. Lines count from 1; ``last`` is included.

    ``text``: inline Markdown, of a fence its content; a paragraph is one part for each of its lines. ``level``: of a
    heading 1 to 6, of an item its depth from 1, of a text the depth of the item that it stands in. ``mark``: of an item
    ``-`` or ``3.``, of a fence the word behind it. ``cells``: of a row of a table, which ``head`` begins.
    """

    kind: Kind
    first: int
    last: int
    text: str
    level: int = 0
    mark: str = ""
    checked: bool | None = None
    cells: tuple[str, ...] = ()
    head: bool = False

    @property
    def numbers(self) -> range:
        """The lines it stands on."""
        return range(self.first, self.last + 1)

    @property
    def content(self) -> list[tuple[int, str]]:
        """The lines of a fence's content, with their numbers."""
        start = self.first + (1 if self.mark != "indented" else 0)
        return [(start + at, line) for at, line in enumerate(self.text.removesuffix("\n").split("\n"))]


@dataclass
class Section:
    """A heading, what stands below it, and its sub-sections. The document itself is one of level 0."""

    title: str
    level: int
    line: int
    parts: list[Part] = field(default_factory=list)
    sections: list[Section] = field(default_factory=list)
    parent: Section | None = None

    def walk(self) -> Iterator[Section]:
        """This section and all below it, in their order."""
        yield self
        for section in self.sections:
            yield from section.walk()

    def everything(self) -> Iterator[Part]:
        """All parts of it and of its sub-sections, whose headings come as parts."""
        yield from self.parts
        for section in self.sections:
            yield Part("heading", section.line, section.line, section.title, section.level)
            yield from section.everything()


_FENCE = re.compile(r"^(?P<indent> {0,3}(?:(?:[-*+]|\d{1,9}[.)]) +)*)(?P<fence>`{3,}|~{3,})(?P<info>[^`]*)$")
_CHECKBOX = re.compile(r"\[([ xX])\]\s+")
_SECTION = re.compile(r"^(?:#{1,6} \S|-{3,}\s*$)")


def mended(lines: list[str]) -> tuple[list[str], list[tuple[int, str]]]:
    """The lines with fences that end where their writer meant; and, by line, what had to be assumed."""
    found, notes = list(lines), []
    at = 0
    while at < len(found):
        opening = _FENCE.match(found[at])
        if opening is None:
            at += 1
            continue
        end, inner = _end_of_fence(found, at, opening["fence"])
        if end is None:
            end = _where_it_should_end(found, at)
            notes.append((at + 1, f"the fence is never closed; it was taken to end at line {end}"))
            if end < len(found):
                found[end - 1] = opening["fence"]
                end -= 1
        elif inner:
            longer = opening["fence"][0] * (inner + 1)
            found[at] = found[at].replace(opening["fence"], longer, 1)
            found[end] = found[end].replace(found[end].strip(), longer, 1)
            notes.append((at + 1, "a fence stands inside this one; it was taken to end with the outer one"))
        at = end + 1
    return found, notes


def _end_of_fence(lines: list[str], start: int, fence: str) -> tuple[int | None, int]:
    """Where the fence that opens at ``start`` is closed, and how long the longest fence inside it is.

    A fence with a word behind it cannot close one, so it was meant to open another.
    """
    open_inside: list[str] = []
    longest = 0
    for at in range(start + 1, len(lines)):
        found = _FENCE.match(lines[at])
        if found is None or found["fence"][0] != fence[0]:
            continue
        closes = len(found["fence"]) >= len(open_inside[-1] if open_inside else fence) and not found["info"].strip()
        if closes and not open_inside:
            return at, longest
        if closes:
            open_inside.pop()
            longest = max(longest, len(found["fence"]))
        elif found["info"].strip() and len(found["fence"]) >= len(fence):
            open_inside.append(found["fence"])
            longest = max(longest, len(found["fence"]))
    if open_inside:  # what looked like an inner fence has no end of its own: then there was none
        return _plain_end(lines, start, fence), 0
    return None, 0


def _plain_end(lines: list[str], start: int, fence: str) -> int | None:
    for at in range(start + 1, len(lines)):
        found = _FENCE.match(lines[at])
        closing = found is not None and found["fence"][0] == fence[0] and not found["info"].strip()
        if closing and found is not None and len(found["fence"]) >= len(fence):
            return at
    return None


def _where_it_should_end(lines: list[str], start: int) -> int:
    """The blank line (as a number from 1) before the next section; else the end of the text."""
    for at in range(start + 2, len(lines)):
        if _SECTION.match(lines[at]) and not lines[at - 1].strip():
            return at
    return len(lines)


@cache
def _parser() -> MarkdownIt:
    from markdown_it import MarkdownIt

    return MarkdownIt("commonmark").enable("table")


def parts(lines: list[str], offset: int = 0) -> list[Part]:
    """The parts of a text whose first line has the number ``offset + 1``."""
    tokens = _parser().parse("\n".join(lines) + "\n")
    found = list(_read(tokens))
    if not offset:
        return found
    return [replace(part, first=part.first + offset, last=part.last + offset) for part in found]


def _read(tokens: list[Token]) -> Iterator[Part]:
    depth = 0
    marks: list[str] = []
    kind: Kind = "text"
    cells: list[str] = []
    head = False
    fresh = False  # the first paragraph of an item is still to come
    row = (0, 0)
    for token in tokens:
        first, last = (token.map[0] + 1, token.map[1]) if token.map else (0, 0)
        match token.type:
            case "bullet_list_open" | "ordered_list_open":
                depth += 1
            case "bullet_list_close" | "ordered_list_close":
                depth -= 1
                fresh = False
            case "list_item_open":
                marks.append(f"{token.info}{token.markup}")
                fresh = True
            case "list_item_close":
                marks.pop()
                fresh = False
            case "heading_open":
                kind = "heading"
            case "heading_close":
                kind = "text"
            case "thead_open":
                head = True
            case "tr_open":
                row, cells = (first, last), []
            case "tr_close":
                yield Part("row", row[0], row[1], " | ".join(cells), cells=tuple(cells), head=head)
                head = False
            case "inline" if token.level and kind != "heading" and _in_table(token, row):
                cells.append(token.content)
            case "inline" if kind == "heading":
                yield Part("heading", first, last, token.content.replace("\n", " "), level=_level(tokens, token))
            case "inline" if fresh:
                fresh = False
                yield _item(token.content, first, last, depth, marks[-1])
            case "inline":
                for at, line in enumerate(token.content.split("\n")):
                    yield Part("text", first + at, first + at, line, level=depth)
            case "fence":
                fresh = False
                yield Part("fence", first, last, token.content, level=depth, mark=token.info.strip() or "")
            case "code_block":
                fresh = False
                shown = len(token.content.rstrip("\n").split("\n"))
                yield Part("fence", first, first + shown - 1, token.content, level=depth, mark="indented")
            case "hr":
                yield Part("rule", first, last, "")


def _in_table(token: Token, row: tuple[int, int]) -> bool:
    return token.map is not None and row != (0, 0) and token.map[0] + 1 == row[0]


def _level(tokens: list[Token], inline: Token) -> int:
    return int(tokens[tokens.index(inline) - 1].tag[1:])


def _item(content: str, first: int, last: int, depth: int, mark: str) -> Part:
    text = " ".join(line.strip() for line in content.split("\n"))
    box = _CHECKBOX.match(text)
    if box is None:
        return Part("item", first, last, text, level=depth, mark=mark)
    return Part("item", first, last, text[box.end() :], level=depth, mark=mark, checked=box[1] != " ")


def sections(found: list[Part]) -> Section:
    """The parts below their headings; the document itself is what is returned."""
    root = Section("", 0, 0)
    here = root
    for part in found:
        if part.kind != "heading":
            here.parts.append(part)
            continue
        while here.level >= part.level and here.parent is not None:
            here = here.parent
        here.sections.append(Section(part.text, part.level, part.first, parent=here))
        here = here.sections[-1]
    return root
