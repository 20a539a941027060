"""Plays the ``console`` blocks of a page as a person types them, and compares what is printed with what stands there.

The format is told in docs/CONTRIBUTING.md.
"""

from __future__ import annotations

import difflib
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from tests.pages import Fence, fences, read

GAP = "[…]"
HOME = "/home/me"
"""How the scratch place is written on a page."""

UNORDERED = "unordered"
"""The word for a block whose lines are printed in any order, with others between them."""

_MASKS = (
    (r"\b\d{8}-\d{6}-[a-z0-9]{4}\b", "RUN"),
    (r"\b\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?Z?)?\b", "DATE"),
    (r"\b\d\d:\d\d:\d\d\b", "TIME"),
    (r"\b(?=[0-9a-f]*\d)[0-9a-f]{7,40}\b", "ID"),
    (r"\b\d+(?:\.\d+)? (?:ms|s|min|m|h|d)\b(?: \d+ (?:s|min|m)\b)?", "TIME"),
    (r"\b\d+(?:\.\d+)? ?[KMG]B?\b", "SIZE"),
    (r"\b[1-6]\d{4}\b", "PORT"),
    (r"(?<=in )\d+\.\d+s\b", "TIME"),
    (r"[─-]{3,}", "---"),
    (r"\s+", " "),
)


@dataclass(frozen=True)
class Step:
    """What is typed, and what must be printed then."""

    typed: str
    shown: tuple[str, ...]
    line: int
    unordered: bool | None
    """None: nothing is compared, the command must succeed."""


@dataclass(frozen=True)
class Session:
    """The blocks of a page that follow each other in one place; ``place`` names what it holds to begin with."""

    page: Path
    place: str
    steps: tuple[Step, ...]

    def __str__(self) -> str:
        return f"{self.page.name}:{self.steps[0].line}"


def steps(block: Fence) -> list[Step]:
    """The commands of a block, each with the lines below it; a here-document belongs to its command.

    A block of ``sh run`` is one command that shows nothing and must succeed.
    """
    if block.info[0] == "sh":
        return [Step(block.text.rstrip(), (), block.line, None)]
    found: list[Step] = []
    lines = iter(enumerate(block.text.splitlines(), block.line + 1))
    for number, line in lines:
        if line.startswith("$ "):
            typed = [line[2:]]
            if document := re.search(r"<<-?'?(\w+)'?", line):
                typed += _until(document[1], lines)
            found.append(Step("\n".join(typed), (), number, UNORDERED in block.info))
        elif not found:
            raise ValueError(f"line {number}: a console block begins with a command")
        elif line.strip():
            found[-1] = replace(found[-1], shown=(*found[-1].shown, line))
    return found


def _until(end: str, lines: Iterator[tuple[int, str]]) -> Iterator[str]:
    for _, line in lines:
        yield line
        if line == end:
            return


def sessions(page: Path) -> Iterator[Session]:
    """The sessions of a page, in order; a block that names a place begins one."""
    place, collected = "", []
    for block in fences(read(page)):
        if block.info[:1] != ("console",) and block.info[:2] != ("sh", "run"):
            continue
        words = [word for word in block.info[1:] if word not in (UNORDERED, "run")]
        if words and collected:
            yield Session(page, place, tuple(collected))
            collected = []
        place = words[0] if words else place
        collected += steps(block)
    if collected:
        yield Session(page, place, tuple(collected))


def masked(line: str, root: Path | None = None) -> str:
    """A line without what differs from one time to the next."""
    if root is not None:
        line = line.replace(str(root), HOME)
    for pattern, word in _MASKS:
        line = re.sub(pattern, word, line)
    return line.strip()


def _pattern(shown: str) -> str:
    return ".*".join(re.escape(masked(piece)) for piece in shown.split(GAP)) if shown.strip() != GAP else ""


def differs(step: Step, printed: str, root: Path) -> str | None:
    """How what was printed differs from what is shown; None when it does not.

    A line that is ``[…]`` stands for any lines, within a line it stands for any text.
    """
    if step.unordered is None:
        return None
    lines = [masked(line, root) for line in printed.splitlines() if line.strip()]
    if step.unordered:
        for shown in step.shown:
            if not any(re.fullmatch(_pattern(shown), line) for line in [*lines, ""]):
                return f"never printed: {shown}\n" + "\n".join(lines)
        return None
    pattern = "".join(r"(?:.*\n)*?" if shown.strip() == GAP else _pattern(shown) + r"\n" for shown in step.shown)
    if re.fullmatch(pattern, "".join(f"{line}\n" for line in lines)):
        return None
    return "\n".join(
        difflib.unified_diff([masked(line) for line in step.shown], lines, "shown", "printed", lineterm="")
    )


def play(session: Session, home: Path, where: Path) -> None:
    """Type all of a session's commands into one shell that stands in ``where``; AssertionError where something differs.

    ``home`` is what the page calls ``/home/me``; what is printed is noted beside it.
    """
    noted = home.with_name("printed")
    noted.mkdir()
    script = "".join(
        f"{{ {step.typed}\n}} > {noted}/{number} 2>&1 < /dev/null\n"
        + ("test $? = 0 || exit 1\n" if step.unordered is None else "")
        for number, step in enumerate(session.steps)
    )
    (noted / "script").write_text(script, encoding="utf-8")
    done = subprocess.run(["sh", str(noted / "script")], cwd=where, capture_output=True, text=True)
    printed = ""
    for number, step in enumerate(session.steps):
        at = f"{session.page.name}:{step.line}"
        assert (noted / str(number)).exists(), f"{at}: never typed\n{printed}{done.stderr}"
        printed = (noted / str(number)).read_text(encoding="utf-8", errors="replace")
        told = differs(step, printed, home)
        assert told is None, f"{at}: $ {step.typed}\n{told}"


def put_tools(directory: Path) -> None:
    """What somebody who has installed br3, Python and git has on PATH; ``cat`` too, where this machine has none."""
    directory.mkdir()
    tools = {"br3": "-P -m br3", "python3": "", "python": ""}
    if shutil.which("cat") is None:
        tools["cat"] = '-c "import shutil, sys; shutil.copyfileobj(sys.stdin.buffer, sys.stdout.buffer)"'
    for name, words in tools.items():
        (directory / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" {words} "$@"\n')
        (directory / name).chmod(0o755)
