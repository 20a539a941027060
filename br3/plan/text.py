"""A TOML file as read: its values, and the lines they stand on."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from br3.plan.lines import Lines
from br3.plan.problems import Found, Problem, dotted

_PLACE = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")


@dataclass(frozen=True)
class Source:
    """``file`` is the path as people are told it."""

    file: str
    data: dict[str, Any]
    lines: Lines


class Unreadable(Exception):
    """The file is not UTF-8 or not TOML, so that nothing else can be said about it."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(str(problem))
        self.problem = problem


def read(path: Path) -> Source:
    """The file's values and lines; Unreadable when there are none."""
    file, raw = said(path), path.read_bytes()
    try:
        text = raw.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise Unreadable(Problem(file, line, "", "not UTF-8", "save the file as UTF-8")) from error
    try:
        return Source(file, tomllib.loads(text), Lines(text))
    except RecursionError as error:
        raise Unreadable(Problem(file, 1, "", "lists or tables are nested too deeply")) from error
    except ValueError as error:
        raise Unreadable(_syntax_problem(file, text, str(error))) from error


def place(source: Source, findings: Iterable[Found]) -> list[Problem]:
    """The findings with their lines, in line order."""
    problems = [
        Problem(source.file, source.lines.of(found.path), dotted(found.path), found.message, found.hint)
        for found in findings
    ]
    return sorted(problems, key=lambda problem: problem.line)


def said(path: Path) -> str:
    """A path as people are told it: relative where it lies below the current directory."""
    here = Path.cwd()
    absolute = path.absolute()
    return str(absolute.relative_to(here)) if absolute.is_relative_to(here) else str(path)


def _syntax_problem(file: str, text: str, message: str) -> Problem:
    found = _PLACE.search(message)
    if found is None:
        return Problem(file, 1, "", message)
    line = int(found.group(1)) if found.group(1) else text.rstrip().count("\n") + 1
    column = f", column {found.group(2)}" if found.group(2) else ", at the end of the file"
    hint = "one key to a line" if message.startswith("Expected newline") else None
    return Problem(file, line, "", f"not TOML: {message[: found.start()]}{column}", hint)
