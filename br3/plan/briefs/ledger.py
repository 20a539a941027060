"""What became of each line of a brief. A line that nobody has claimed is listed: nothing is dropped silently.

Claims are checked at the end: every word of a line that is said to be placed must be found in what was written, or be
one of those that form the line and carry nothing else. A line of which words are missing is listed too, with them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

Fate = Literal["values", "whole", "meaning", "structure"]
"""``values``: its words are in the plan · ``whole``: it stands there as written · ``meaning``: a command or a remark
that br3's own working stands for · ``structure``: a heading, a fence, a row of dashes."""

_WORD = re.compile(r"[^\W_]{3,}")
_LENGTH = re.compile(r"(?:\d+h)?\d+(?:m|h|d|min|mins|hr|hrs)", re.IGNORECASE)
_DECORATION = re.compile(r"^[\s|:*_=~`#>+-]*$")
# Words of the form, which say what the rest of a line is.
_OF_FORM = frozenset(
    "the and for with this that from into then each all its are will run use see via min mins minute minutes "
    "hour hours hrs build builds prompt phase track stream workstream agent task tasks step branch branches "
    "worktree worktrees path owns owned files file verify verification test tests expected passing pass passes "
    "passed coverage tag message release merge merges commit after needs depends depend lands land order none "
    "requires waits blocked "
    "title name base budget usd parallel create created creates modify directory titled called before least "
    "more than must should you have your est estimate estimated time new".split()
)
# Of headings and lines that lead to what follows them, when what follows is placed.
_OF_STRUCTURE = _OF_FORM | frozenset(
    "bash console shell text txt zsh plaintext markdown terminal toml yaml true false success criteria "
    "checklist acceptance definition done when complete completed finish final setup once commands command what "
    "building copy paste these below here how work works streams agents prompts parallel using git list "
    "assignments execute deliverables steps full whole together every one two three four five both strategy "
    "plan sequence install installation environment preparation bootstrap next now week day sprint following "
    "which who does open start ready notes instructions execution overview details clean cleanup tracks phases "
    "features tickets green should everything individual per project initial commit push release releasing "
    "tagging claude code codex gemini your outputs may change touch allowed checks afterwards they their are".split()
)
# Of commands whose meaning br3's own working has.
_OF_COMMANDS = _OF_STRUCTURE | frozenset(
    "add remove source activate bin venv python python3 pip tree worktree dir done origin main master annotate "
    "only force squash delete checkout switch pull fetch rebase status log code cursor echo dependencies deps "
    "additional extra important careful first last local remote cov html editable pyproject env bash shell "
    "console text follow tags zsh plaintext markdown terminal set create make sure virtual".split()
)
_FORMS: dict[Fate, frozenset[str]] = {
    "values": _OF_FORM,
    "structure": _OF_STRUCTURE,
    "meaning": _OF_COMMANDS,
}


@dataclass(frozen=True)
class Unplaced:
    """A line that the plan does not hold. ``missing``: only these words of it; empty when none of it was placed."""

    line: int
    text: str
    under: str
    missing: tuple[str, ...] = ()


class Ledger:
    """The lines of one brief, from 1, and what became of them."""

    def __init__(self, lines: list[str]) -> None:
        self.lines = lines
        self._fates: dict[int, Fate] = {}
        self._partly: set[int] = set()

    def place(self, numbers: Iterable[int], fate: Fate = "values") -> None:
        """The plan holds these lines. What stands there as a whole stays so."""
        for number in numbers:
            if self._fates.get(number) != "whole":
                self._fates[number] = fate

    def partly(self, number: int) -> None:
        """Something on this line could not be understood, so it is listed whatever else becomes of it."""
        self._partly.add(number)

    def fate(self, number: int) -> Fate | None:
        """What became of a line."""
        if number in self._partly:
            return None
        return self._fates.get(number) or ("structure" if _DECORATION.match(self.lines[number - 1]) else None)

    def placed(self, numbers: Iterable[int]) -> bool:
        """Whether one of these lines is in the plan."""
        return any(self._fates.get(number) in ("values", "whole", "meaning") for number in numbers)

    def unplaced(self, written: str, under: Callable[[int], str]) -> list[Unplaced]:
        """The lines that ``written`` (the plan's text) does not hold. ``under`` gives the heading above a line."""
        known = {word.casefold() for word in _WORD.findall(written)}
        found = []
        for number, line in enumerate(self.lines, start=1):
            if not line.strip():
                continue
            fate = self.fate(number)
            if fate is None:
                found.append(Unplaced(number, line.strip(), under(number)))
            elif fate != "whole":
                words = dict.fromkeys(_WORD.findall(line))
                form = _FORMS[fate] | known
                missing = tuple(w for w in words if w.casefold() not in form and not _LENGTH.fullmatch(w))
                if missing:
                    found.append(Unplaced(number, line.strip(), under(number), missing))
        return found
