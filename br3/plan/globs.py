"""The patterns of ``owns``: which paths one names, and whether two can name the same path.

A pattern is relative to the root of the repository. ``*`` and ``?`` stay within one component, ``[a-z]`` and
``[!a-z]`` are one character, a component ``**`` is any number of components. A pattern that ends with a slash,
or with a plain name that has no extension, covers everything below it too: ``core`` and ``core/`` are ``core/**``.
A name with an extension is taken for a file, else ``setup.py`` and ``**/*.md`` would meet in ``setup.py/x.md``;
``with_slash`` marks the directories whose names have one.

``overlap`` runs both patterns as automata side by side, so it answers for all paths, not for those that exist.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_CLASS = re.compile(r"\[([!^]?)(\][^\]]*|[^\]]+)\]")
_WILD = re.compile(r"[*?\[]")
_EXTENSION = re.compile(r".\.")
_DEEP = "**"


@dataclass(frozen=True)
class _Chars:
    """One character out of (or, ``negated``, outside) inclusive ranges of code points."""

    ranges: tuple[tuple[int, int], ...]
    negated: bool = False

    def __contains__(self, point: int) -> bool:
        return any(low <= point <= high for low, high in self.ranges) != self.negated

    def meets(self, other: _Chars) -> bool:
        """Whether one character fits both; only at a range's edge, or beside one, can the answer change."""
        edges = {edge for pair in (*self.ranges, *other.ranges, (ord("/"), ord("/"))) for edge in pair}
        points = {point + step for point in edges for step in (-1, 0, 1)} - {ord("/")}
        return any(point in self and point in other for point in points)


_ANY = _Chars((), negated=True)
_STAR = None
_Token = _Chars | None


def matches(pattern: str, path: str) -> bool:
    """Whether the pattern names that path (relative, with forward slashes)."""
    return re.fullmatch(as_regex(pattern), "/" + path, re.DOTALL) is not None


def as_regex(pattern: str) -> str:
    """A regular expression for what the pattern names: it matches the whole path with a slash before it."""
    regex = ""
    for component in _components(pattern):
        if component == _DEEP:
            regex += "(?:/[^/]+)*"
        else:
            regex += "/" + "".join(map(_as_regex, _tokens(component)))
    return regex


def as_pathspecs(pattern: str) -> list[str]:
    """The pattern as git's ``:(glob)`` has it (a file's name also names what would lie below it); none for one with
    a line break, which a list of lines cannot hold."""
    components = _components(pattern)
    if any("\n" in component or "\\" in component for component in components):
        return []
    return ["/".join(components)]


def overlap(a: str, b: str) -> bool:
    """Whether some path is named by both patterns."""
    left, right = _components(a), _components(b)

    @cache
    def meet(i: int, j: int) -> bool:
        deep_left = i < len(left) and left[i] == _DEEP
        deep_right = j < len(right) and right[j] == _DEEP
        if deep_left:
            return meet(i + 1, j) or (j < len(right) and meet(i, j + 1))
        if deep_right:
            return meet(i, j + 1) or (i < len(left) and meet(i + 1, j))
        if i == len(left) or j == len(right):
            return i == len(left) and j == len(right)
        return _components_meet(left[i], right[j]) and meet(i + 1, j + 1)

    return meet(0, 0)


def with_slash(pattern: str, root: Path) -> str:
    """The pattern, ending in a slash if it is the name of a directory that exists below ``root``."""
    if pattern.endswith("/") or _WILD.search(pattern):
        return pattern
    try:
        return f"{pattern}/" if (root / pattern).is_dir() else pattern
    except OSError:  # a name longer than the file system allows
        return pattern


def _components(pattern: str) -> tuple[str, ...]:
    parts = [part for part in pattern.split("/") if part not in {"", "."}]
    if not parts or pattern.endswith("/") or not (_WILD.search(parts[-1]) or _EXTENSION.search(parts[-1])):
        parts.append(_DEEP)
    return tuple(parts)


def _components_meet(a: str, b: str) -> bool:
    left, right = _tokens(a), _tokens(b)

    @cache
    def meet(i: int, j: int) -> bool:
        one = left[i] if i < len(left) else _END
        other = right[j] if j < len(right) else _END
        if one is _STAR:
            return meet(i + 1, j) or (j < len(right) and meet(i, j + 1))
        if other is _STAR:
            return meet(i, j + 1) or (i < len(left) and meet(i + 1, j))
        if one is _END or other is _END:
            return one is other
        return one.meets(other) and meet(i + 1, j + 1)

    return meet(0, 0)


_END = _Chars(())


@cache
def _tokens(component: str) -> tuple[_Token, ...]:
    tokens: list[_Token] = []
    at = 0
    while at < len(component):
        char_class = _CLASS.match(component, at)
        if char_class:
            tokens.append(_char_class(char_class.group(2), negated=bool(char_class.group(1))))
            at = char_class.end()
            continue
        match component[at]:
            case "*":
                tokens.append(_STAR)
            case "?":
                tokens.append(_ANY)
            case plain:
                tokens.append(_Chars(((ord(plain), ord(plain)),)))
        at += 1
    return tuple(tokens)


def _char_class(body: str, *, negated: bool) -> _Chars:
    ranges = []
    while body:
        if len(body) >= 3 and body[1] == "-":
            ranges.append((ord(body[0]), ord(body[2])))
            body = body[3:]
        else:
            ranges.append((ord(body[0]), ord(body[0])))
            body = body[1:]
    return _Chars(tuple(ranges), negated)


def _as_regex(token: _Token) -> str:
    if token is _STAR:
        return "[^/]*"
    if not token.ranges:
        return "[^/]"
    if len(token.ranges) == 1 and token.ranges[0][0] == token.ranges[0][1] and not token.negated:
        return re.escape(chr(token.ranges[0][0]))
    ranges = "".join(f"{re.escape(chr(low))}-{re.escape(chr(high))}" for low, high in token.ranges if low <= high)
    if not ranges:
        return "[^/]" if token.negated else "(?!)"
    return f"[^/{ranges}]" if token.negated else f"(?!/)[{ranges}]"
