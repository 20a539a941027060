"""pydantic's errors in plain words: what was expected, what was seen, and the key that was probably meant."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from br3.plan.problems import Found, KeyPath, did_you_mean, shown
from br3.plan.schema import REFUSED, Section, is_array, keys_of, section_at, sections_in

if TYPE_CHECKING:
    from pydantic import ValidationError
    from pydantic_core import ErrorDetails

_EXPECTED = {
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a number",
    "string_type": "text in quotes",
    "bool_type": "true or false",
    "list_type": "a list",
    "model_type": "a table",
}


def plain(error: ValidationError, root: type[Section]) -> Iterator[Found]:
    """Every error of a validation, worded; ``root`` is the model that was validated."""
    for details in error.errors(include_url=False):
        yield Found(details["loc"], *_worded(details, root))


def _worded(details: ErrorDetails, root: type[Section]) -> tuple[str, str | None]:
    path, kind, value, limits = details["loc"], details["type"], details["input"], details.get("ctx", {})
    match kind:
        case "extra_forbidden":
            return "unknown key", _meant(path, root)
        case "missing":
            return "missing", None
        case _ if kind == REFUSED:
            return limits["message"], limits["hint"]
        case "greater_than_equal":
            return f"expected at least {limits['ge']:g}, got {shown(value)}", None
        case "less_than_equal":
            return f"expected at most {limits['le']:g}, got {shown(value)}", None
        case "string_too_short":
            return "may not be empty", None
        case "too_short":
            return "an empty list checks nothing", "name at least one command"
        case "literal_error":
            words = re.findall(r"'([^']*)'", limits["expected"])
            said = " or ".join(filter(None, [", ".join(map(shown, words[:-1])), shown(words[-1])]))
            return f"expected {said}, got {shown(value)}", did_you_mean(str(value), words)
        case _ if kind in _EXPECTED:
            return f"expected {_EXPECTED[kind]}, got {shown(value)}", _rewritten(path, kind, value, root)
        case _:
            return details["msg"], None


def _meant(path: KeyPath, root: type[Section]) -> str | None:
    key = str(path[-1])
    section = section_at(root, path[:-1])
    homes = [home for home, there in _all_sections(root, "") if key in keys_of(there)]
    near = did_you_mean(key, keys_of(section)) if section else None
    return near or (f"it belongs in {' or '.join(homes)}" if homes else None)


def _all_sections(section: type[Section], prefix: str) -> Iterator[tuple[str, type[Section]]]:
    for key, inner in sections_in(section).items():
        yield f"[[{prefix}{key}]]" if is_array(section, key) else f"[{prefix}{key}]", inner
        yield from _all_sections(inner, f"{prefix}{key}.")


def _rewritten(path: KeyPath, kind: str, value: Any, root: type[Section]) -> str | None:
    """How to write what was probably meant, for the two slips that TOML invites."""
    key = ".".join(part for part in path if isinstance(part, str))
    if kind == "list_type" and isinstance(value, dict):
        return f"write [[{key}]], with two brackets"
    if kind == "list_type" and isinstance(value, str):
        return f"write {path[-1]} = [{shown(value)}]"
    if kind == "model_type" and isinstance(value, list) and section_at(root, path):
        return f"write [{key}], with one bracket"
    return None
