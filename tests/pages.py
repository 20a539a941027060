"""README and docs/*.md, taken apart for the tests that hold them, and their generated parts put in place."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
RECORDS = {"CASE_CLICK.md"}
"""Pages that tell what was seen once, elsewhere: sessions that cannot be played again, figures of that day."""

PAGES = [ROOT / "README.md", *sorted(DOCS.glob("*.md"))]

_FENCE = re.compile(r"^```([^\n`]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_INDENTED = re.compile(r"(?:(?<=\n\n)|\A)(?: {4}.*\n(?:\n(?= {4}))?)+")
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_CODE = re.compile(r"(?<!`)`([^`]+)`(?!`)")


@dataclass(frozen=True)
class Fence:
    """A block between ``` marks: the line that it begins in, the words behind the first mark, what it holds."""

    line: int
    info: tuple[str, ...]
    text: str


@dataclass(frozen=True)
class Part:
    """What stands between one heading and the next; the first of a page has the title None."""

    line: int
    title: str | None
    text: str


def read(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def fences(text: str, info: str | None = None) -> list[Fence]:
    """The blocks of a page between ``` marks; those whose first word is ``info``, when given."""
    found = [
        Fence(text.count("\n", 0, match.start()) + 1, tuple(match[1].split()), match[2])
        for match in _FENCE.finditer(text)
    ]
    return [fence for fence in found if info is None or fence.info[:1] == (info,)]


def indented(text: str) -> list[str]:
    """The blocks of a page that are indented by four, without the indent."""
    without = _COMMENT.sub("", _FENCE.sub("", text))
    return [re.sub(r"^ {4}", "", match[0], flags=re.MULTILINE) for match in _INDENTED.finditer(without)]


def prose(text: str) -> str:
    """A page without its blocks of code and its comments."""
    return _INDENTED.sub("", _COMMENT.sub("", _FENCE.sub("", text)))


def codes(text: str) -> list[str]:
    """What stands in code signs within the prose of a page; a line's end within one is a space."""
    return [" ".join(code.split()) for code in _CODE.findall(prose(text))]


def parts(text: str) -> list[Part]:
    """A page by its headings."""
    bare = _FENCE.sub(lambda match: re.sub(r"^#", "%", match[0], flags=re.MULTILINE), text)
    marks = [*re.finditer(r"^#{1,6} (.*)\n", bare, re.MULTILINE)]
    ends = [*(mark.start() for mark in marks), len(text)]
    found = [Part(1, None, text[: ends[0]])]
    for mark, end in zip(marks, ends[1:], strict=True):
        found.append(Part(text.count("\n", 0, mark.start()) + 1, mark[1], text[mark.end() : end]))
    return found


def anchors(text: str) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    found: list[str] = []
    for part in parts(text)[1:]:
        title = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", part.title or "").lower()
        slug = re.sub(r"[^\w\- ]", "", title).replace(" ", "-")
        again = sum(1 for other in found if re.fullmatch(rf"{re.escape(slug)}(-\d+)?", other))
        found.append(f"{slug}-{again}" if again else slug)
    return set(found)


def links(text: str) -> Iterator[str]:
    """Where a page's links and pictures lead."""
    yield from re.findall(r"\]\(([^)\s]+)\)", _CODE.sub("", prose(text)))


def generated(text: str, blocks: Mapping[str, Callable[[], str]]) -> str:
    """The page with each part between ``<!-- name -->`` and ``<!-- end -->`` made anew; ValueError where one is not.

    A part that begins on the line of its mark stays within that line.
    """
    for name, make in blocks.items():
        before, begin, rest = text.partition(f"<!-- {name} -->")
        old, end, after = rest.partition("<!-- end -->")
        if not begin or not end:
            raise ValueError(f"there is no part {name!r}")
        made = f"\n{make()}\n" if old.startswith("\n") else make()
        text = f"{before}{begin}{made}{end}{after}"
    return text


def write(page: Path, text: str) -> None:
    page.write_text(text, encoding="utf-8")


def row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def table(*rows: tuple[str, ...]) -> str:
    """A table; the first row is its head."""
    head, *rest = rows
    return "\n".join([row(*head), row(*["---"] * len(head)), *(row(*cells) for cells in rest)])
