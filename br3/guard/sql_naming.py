"""What the two readers of SQL built from strings share: what a statement looks like, and how bad a name is in one.

``high``: named like input of a user (``request.args["id"]``, ``user_id``). ``low``: named like an identifier of the
schema or a constant (``table``, ``COLUMNS``), which parameters can't stand for. ``medium``: anything else.
"""

from __future__ import annotations

import re

STATEMENT = (
    r"\s*+(?:--[^\n]*+\n\s*+|(?>/\*.*?\*/)\s*+)*+(?:select\b.{1,4000}?\bfrom\b|insert\s+(?:or\s+\w+\s+)?into\b|"
    r"update\s.{1,400}?\bset\b|delete\s+from\b|replace\s+into\b|merge\s+into\b|with\s+(?:recursive\s+)?\S+\s+as\s*\(|"
    r"(?:create|alter|drop|truncate)\s+(?:or\s+replace\s+)?(?:temp(?:orary)?\s+)?(?:unique\s+)?"
    r"(?:table|view|index|schema|database|user|role|function|trigger)\b|grant\s.{1,200}?\bto\b|exec(?:ute)?\s+\w)"
)
_USERS = re.compile(
    r"(?:^|[^a-z])(?:request|req|params?|args|argv|form|cookies?|headers?|body|payload|user|users?_?(?:name|id|input)|"
    r"username|userid|user_?input|input|email|passwords?|search|term|query_?(?:string|params?)?|q|post|stdin|"
    r"untrusted|event)(?:$|[^a-z])"
)
_NAMES = re.compile(
    r"(?:^|[^a-z])(?:tables?|tbl|table_?names?|columns?|cols?|fields?|schemas?|database|db_?name|view|index|sequence|"
    r"constraint|order|order_?by|direction|sort|placeholders?|dialect|partition|prefix|suffix|alias|savepoint)(?:$|[^a-z])"
)
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_LEVELS = ("low", "medium", "high")


def severity_of(name: str, *, constant: bool = False) -> str:
    """How bad it is to put the value of an expression, as it is written, into a statement."""
    last = re.split(r"[.\[(]", name.rstrip(")]\"' "))[-1]
    if constant or (last.upper() == last and last.strip("_$").isidentifier()):
        return "low"
    low = _CAMEL.sub("_", name).lower()
    if _USERS.search(low):
        return "high"
    return "low" if _NAMES.search(low) else "medium"


def worst(levels: list[str]) -> str:
    """The highest of some severities."""
    return max(levels, key=_LEVELS.index)
