"""What is wrong with a plan, and how it is said: one line with the file, the line, the key and a hint."""

from __future__ import annotations

import datetime
import difflib
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from shlex import quote
from typing import Any

from br3.errors import UsageError
from br3.plan.location import PLAN_FILE
from br3.wording import counted

KeyPath = tuple[str | int, ...]
"""Where a value stands in the parsed file: ``("build", 1, "task", 0, "title")``."""

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_LONGEST_SHOWN = 48


@dataclass(frozen=True)
class Found:
    """One thing a check found, before it is known on which line it stands. A warning stops nobody."""

    path: KeyPath
    message: str
    hint: str | None = None
    warning: bool = False


@dataclass(frozen=True)
class Problem:
    """One thing wrong with a file. ``line`` counts from 1, and is 0 when it belongs to no line."""

    file: str
    line: int
    key: str
    message: str
    hint: str | None = None

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}" if self.line else self.file
        what = f"{self.key}: {self.message}" if self.key else self.message
        return f"{where}: {what}" + (f" ({self.hint})" if self.hint else "")


class PlanErrors(UsageError):
    """The plan, or a setting that it is resolved with, cannot be used; the message has a line per problem."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        count = counted(len(problems), "problem")
        lines = "\n".join(str(problem) for problem in problems)
        if all(problem.line == 0 and not problem.file.endswith(".toml") for problem in problems):
            super().__init__(lines)  # an option or a variable: the plan itself may be fine
        else:
            files = {problem.file for problem in problems if problem.file.endswith(".toml")}
            file = f" {quote(files.pop())}" if len(files) == 1 and not min(files).endswith(PLAN_FILE) else ""
            super().__init__(f"the plan has {count}\n{lines}", hint=f"correct this, then `br3 plan check{file}`")


def dotted(path: KeyPath) -> str:
    """A key path as it is said to people: ``build[1].task[0].title``."""
    said = ""
    for part in path:
        if isinstance(part, int):
            said += f"[{part}]"
        else:
            key = part if _BARE_KEY.fullmatch(part) else json.dumps(part, ensure_ascii=False)
            said += f".{key}" if said else key
    return said


def shown(value: Any) -> str:
    """A value as TOML would write it, short enough for a message; control characters are escaped."""
    match value:
        case str():
            text = json.dumps(value, ensure_ascii=False)
            return text if len(text) <= _LONGEST_SHOWN else f'{text[: _LONGEST_SHOWN - 4]}…"'
        case bool():
            return "true" if value else "false"
        case list() | tuple():
            return "a list"
        case dict():
            return "a table"
        case datetime.date() | datetime.time():
            return value.isoformat()
        case _:
            return str(value)[:_LONGEST_SHOWN]


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that was probably meant, compared without regard to case."""
    by_folded = {name.casefold(): name for name in known}
    near = difflib.get_close_matches(word.casefold(), by_folded, n=1)
    return by_folded[near[0]] if near else None


def branches_here(known: Iterable[str]) -> str:
    """A hint naming the first few local branches that there are."""
    return f"branches here: {', '.join(sorted(known)[:8])}"


def did_you_mean(word: str, known: Iterable[str]) -> str | None:
    """A hint naming the known word that was probably meant, or None."""
    near = nearest(word, known)
    return f"did you mean {shown(near)}?" if near else None
