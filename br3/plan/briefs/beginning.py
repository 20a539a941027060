"""A plan from little: the frame that a repository gives it, and builds from a list of issues."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from br3.plan.briefs.placing import Here
from br3.plan.briefs.quantities import split_minutes
from br3.plan.briefs.signs import plain, slug, title
from br3.plan.briefs.structure import mended, parts
from br3.plan.briefs.writing import Data, Sketch, toml
from br3.plan.template import NOTHING_TO_RUN


@dataclass(frozen=True)
class Issue:
    """One entry of a list: its number as it is written (or empty), its title, what stands below it."""

    line: int
    number: str
    title: str
    minutes: float | None = None
    more: str = ""
    done: bool = False


_NUMBER = re.compile(
    r"^(?:#|GH-|issue )?(?P<number>\d{1,6}|[A-Z][A-Z0-9]+-\d{1,6})(?:\t\w+)?\s*[:.)\t–—-]*\s+(?P<title>\S.*)$", re.I
)
_BY_NUMBER = re.compile(r"^(?:#|GH-)\d{1,6}[\s:.)–—-]+\S")
_PLAIN_LINE = re.compile(r"^(?:#|GH-)?(?:\d{1,6}|[A-Z][A-Z0-9]+-\d{1,6})[\s:.)–—-]+\S")


def issues(text: str) -> tuple[list[Issue], list[int]]:
    """The entries of a list (checkboxes, bullets, numbers, ``#12 title``), and the lines that are none."""
    lines = text.replace("\r\n", "\n").split("\n")
    # "#12 title" is no heading, and lines of "12<TAB>OPEN<TAB>title" are no paragraph.
    found: list[Issue] = []
    rest: list[int] = []
    for part in parts(mended(lines)[0]):
        if part.kind == "item" and part.level == 1:
            # Markdown takes "#12 title" right below an item for the rest of it.
            below = [n for n in range(part.first + 1, part.last + 1) if _BY_NUMBER.match(lines[n - 1])]
            own = part.text.partition(lines[below[0] - 1].strip())[0].strip() if below else part.text
            found.append(_issue(part.first, own, part.checked is True))
            for number, end in pairwise([*below, part.last + 1]):
                found.append(_more(_issue(number, lines[number - 1], False), "\n".join(lines[number : end - 1])))
        elif part.level >= 1 and part.kind in ("text", "item", "fence") and found:
            more = "\n".join(lines[part.first - 1 : part.last])
            found[-1] = _more(found[-1], more)
        elif part.kind in ("text", "heading") and _PLAIN_LINE.match(part.text):
            found.append(_issue(part.first, part.text, False))
        elif part.kind != "rule":
            rest += [number for number in part.numbers if lines[number - 1].strip()]
    return found, rest


def _issue(line: int, text: str, done: bool) -> Issue:
    cells = [cell.strip() for cell in text.split("\t") if cell.strip()]
    if len(cells) >= 3 and re.fullmatch(r"#?\d+", cells[0]):  # as `gh issue list` prints them
        return Issue(line, cells[0].lstrip("#"), title(cells[2]), done=cells[1].upper() in ("CLOSED", "MERGED"))
    shown = plain(text)
    numbered = _NUMBER.match(shown) if re.match(r"#|GH-|issue |[A-Z]+-\d|\d+\s", shown, re.IGNORECASE) else None
    name, length, behind = split_minutes(numbered["title"] if numbered else shown)
    return Issue(line, numbered["number"] if numbered else "", title(name), length, behind, done)


def _more(issue: Issue, more: str) -> Issue:
    from dataclasses import replace

    return replace(issue, more=f"{issue.more}\n{more}".strip("\n"))


def build_of(issue: Issue, taken: Sequence[str]) -> Data:
    """The build that an issue becomes; its id is none of ``taken``."""
    name = slug(issue.title, 32) or "build"
    name = f"{issue.number}-{name}" if issue.number else name
    name = slug(name, 48) if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name) else name
    unique, number = name, 2
    while unique.casefold() in {other.casefold() for other in taken}:
        unique, number = f"{name}-{number}", number + 1
    told = f"{issue.title}\n" + (f"\n{_dedented(issue.more)}\n" if issue.more else "")
    build: Data = {"id": unique, "title": f"#{issue.number} {issue.title}" if issue.number.isdigit() else issue.title}
    build["prompt"] = told
    if issue.minutes:
        build["task"] = [{"id": "1", "title": issue.title, "minutes": issue.minutes}]
    return build


def _dedented(text: str) -> str:
    import textwrap

    return textwrap.dedent(text).strip("\n")


def frame(here: Here, name: str = "", base: str = "") -> Data:
    """What the repository says of any plan: its name, base, set-up and how it is tested."""
    found = here.detected
    data: Data = {"plan": {"name": name or here.root.name or "plan", "base": base or here.branch or "main"}}
    if found.setup or found.copy:
        data["setup"] = {key: list(value) for key, value in (("run", found.setup), ("copy", found.copy)) if value}
    data["defaults"] = {"agent": "claude"}
    data["verify"] = {"run": list(found.verify) or [NOTHING_TO_RUN]}
    return data


def written(data: Data, head: Sequence[str], here: Here, remarks: Sequence[tuple[int, str]] = ()) -> str:
    """The file: ``head`` says where the plan comes from; ``remarks`` are of builds, by their place."""
    sketch = Sketch(data, head=[*head, *_NEXT])
    if not here.detected.verify and data.get("verify", {}).get("run") == [NOTHING_TO_RUN]:
        sketch.remark(("verify",), "how this project is tested was not recognised; this fails until you say it")
    for at, text in remarks:
        sketch.remark(("build", at), text)
    return toml(sketch)


_NEXT = (
    "",
    "    br3 plan check      says everything that is wrong with this file",
    "    br3 plan show       shows what starts when, and what lands after what",
    "    br3 run             runs the builds; br3 finish lands, releases and cleans up",
)
