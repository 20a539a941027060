"""Minutes, numbers of tests, coverage and money as people write them."""

from __future__ import annotations

import re
from dataclasses import dataclass

_UNIT = r"(?:minutes?|mins?|hours?|hrs?|days?|m|h|d)(?![A-Za-z])"
_NUMBER = r"\d{1,4}(?:[.,]\d{1,2})?"
_LENGTH = rf"(?:{_NUMBER}\s*[-–—]\s*)?{_NUMBER}\s*{_UNIT}(?:\s*\d{{1,2}}\s*(?:minutes?|mins?|m)(?![A-Za-z]))?"
# In brackets, or at the end behind a dash or a comma: "Write it (90 min)", "Write it – 1.5h", "Write it [~2h]".
_BEHIND = re.compile(
    rf"\s*[(\[]\s*(?:~|≈|about|ca\.?|est\.?:?|estimate:?)?\s*(?P<a>{_LENGTH})\s*[)\]]"
    rf"|\s*(?:[-–—,:|·]|\s~|≈)\s*(?:~|≈|about |ca\.? |est\.?:? )?(?P<b>{_LENGTH})\s*\.?$",
    re.IGNORECASE,
)
_ALONE = re.compile(rf"^\W*(?:about|ca\.?|est\.?)?\s*(?P<length>{_LENGTH})", re.IGNORECASE)
_PIECE = re.compile(r"(\d+(?:[.,]\d+)?)\s*(?:[-–—]\s*(\d+(?:[.,]\d+)?)\s*)?([hmd])", re.IGNORECASE)
_MINUTES = {"m": 1.0, "h": 60.0, "d": 480.0}
"""A day of work has eight hours."""


@dataclass(frozen=True)
class Expected:
    """What a verification must show: tests that pass, coverage in percent; None where nothing is said."""

    min_passed: int | None = None
    min_coverage: float | None = None

    def __bool__(self) -> bool:
        return (self.min_passed, self.min_coverage) != (None, None)


NOTHING_EXPECTED = Expected()


def split_minutes(text: str) -> tuple[str, float | None, str]:
    """A task's title, its minutes, and what stands behind them."""
    found = next((m for m in _BEHIND.finditer(text)), None)
    if found is None:
        return text.strip(), None, ""
    rest = text[found.end() :].strip().lstrip("-–—:·| ").strip()
    return text[: found.start()].strip(), minutes(found["a"] or found["b"]), rest


def minutes(text: str) -> float | None:
    """How long that is; of a range ("1-2 h") the upper end. None when it says no length of time."""
    found = _ALONE.match(text.strip())
    if found is None:
        return None
    total = 0.0
    for low, high, unit in _PIECE.findall(found["length"]):
        total += float((high or low).replace(",", ".")) * _MINUTES[unit.lower()]
    return total or None


_TESTS = (
    r"(?:[A-Za-z0-9/&-]+\s+){0,3}?(?:tests?|specs?|scenarios?|test cases?|examples?|cases)\b"
    r"(?!\s*(?:files?|modules?|suites?|class))"
)
_COUNT = re.compile(
    rf"(?<![\d.\w])(?P<n>\d{{1,6}})\s*(?:\+|or more)?\s*{_TESTS}"
    rf"|\btests?\s*(?:passing|passed|pass)?\s*[:=]?\s*(?:>=|≥|>|at least|min(?:imum)?)\s*(?P<m>\d{{1,6}})",
    re.IGNORECASE,
)
_COVERAGE = re.compile(
    r"(?P<a>\d{1,3}(?:\.\d+)?)\s*%\s*\+?\s*(?:or more\s+)?(?:\w+\s+){0,2}?(?:coverage|covered|cov)\b"
    r"|(?:coverage|cov)\s*(?:of\s+|for\s+\S+\s+)?(?:is\s+|stays\s+|must be\s+|target)?\s*[:=]?\s*"
    r"(?:>=|≥|>|at least|above|min(?:imum)?|of at least)?\s*(?P<b>\d{1,3}(?:\.\d+)?)\s*%",
    re.IGNORECASE,
)


def expected(text: str) -> Expected:
    """The minima that a line states."""
    count, coverage = _COUNT.search(text), _COVERAGE.search(text)
    percent = float(coverage["a"] or coverage["b"]) if coverage else None
    return Expected(
        int(count["n"] or count["m"]) if count else None,
        percent if percent is not None and percent <= 100 else None,
    )


def count_alone(text: str) -> int | None:
    """A cell or value that is nothing but a number of tests: ``12``, ``12+``, ``≥ 12``."""
    found = re.fullmatch(r"(?:>=|≥|>|min\.?|at least)?\s*(\d{1,6})\s*\+?", text.strip())
    return int(found[1]) if found else None


def percent_alone(text: str) -> float | None:
    """A cell or value that is nothing but a percentage."""
    found = re.fullmatch(r"(?:>=|≥|>|min\.?|at least)?\s*(\d{1,3}(?:\.\d+)?)\s*%\s*\+?", text.strip())
    return float(found[1]) if found and float(found[1]) <= 100 else None


def usd(text: str) -> float | None:
    """An amount in dollars: ``$20``, ``20 USD``."""
    found = re.search(r"\$\s*(\d+(?:\.\d{1,2})?)|(\d+(?:\.\d{1,2})?)\s*(?:USD|dollars)\b", text, re.IGNORECASE)
    return float(found[1] or found[2]) if found else None
