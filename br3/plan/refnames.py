"""Which names git accepts for a branch or a tag, without asking git.

The rules are those of git-check-ref-format(1), with the two that `git branch` adds: no leading dash, not HEAD.
"""

from __future__ import annotations

import re

_ORDINARY = re.compile(r"[A-Za-z0-9._/+-]+")
_FORBIDDEN = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]")


def refusal(name: str) -> str | None:
    """Why git would refuse the name ("may not …"), or None when it is fine."""
    forbidden = _FORBIDDEN.search(name)
    if not name:
        return "may not be empty"
    if forbidden:
        return f"may not contain {_spoken(forbidden.group())}"
    for piece in ("..", "@{", "//"):
        if piece in name:
            return f'may not contain "{piece}"'
    for edge in ("/", "-"):
        if name.startswith(edge):
            return f'may not begin with "{edge}"'
    for edge in ("/", "."):
        if name.endswith(edge):
            return f'may not end with "{edge}"'
    for part in name.split("/"):
        if part.startswith("."):
            return 'may not have a part that begins with "."'
        if part.endswith(".lock"):
            return 'may not have a part that ends with ".lock"'
    if name in {"@", "HEAD"}:
        return f'may not be "{name}"'
    return None


def ordinary(name: str) -> bool:
    """Whether the name has only characters about which git's versions and settings cannot differ."""
    return _ORDINARY.fullmatch(name) is not None


def _spoken(character: str) -> str:
    if character == " ":
        return "a space"
    return f'"{character}"' if character.isprintable() else "a control character"
