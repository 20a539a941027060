"""Where each key of a TOML text stands. tomllib gives values without places, so this walks the text again.

The text must be one that tomllib has accepted: what is checked there is taken for granted here.
Format: https://toml.io/en/v1.0.0
"""

from __future__ import annotations

import bisect
import re
import tomllib

from br3.plan.problems import KeyPath

_SPACE = re.compile(r"[ \t]*")
_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_HEADER_END = re.compile(r"[ \t]*\]\]?")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
# Up to two quotes may stand directly before the closing three, hence {3,5}.
_STRING = re.compile(
    r'"""(?:\\.|[^\\])*?"{3,5}' r"|'''.*?'{3,5}" r'|"(?:\\.|[^"\\])*"' r"|'[^']*'",
    re.DOTALL,
)
_OTHER_VALUE = re.compile(r"[^,\]}#\n]*")


class Lines:
    """The 1-based lines of the keys, tables and array elements of one TOML text."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._line_starts = [match.end() for match in re.finditer("\n", text)]
        self._lines: dict[KeyPath, int] = {(): 1}
        self._last_element: dict[KeyPath, int] = {}
        self._at = 0
        self._read()

    def of(self, path: KeyPath) -> int:
        """The line of that key, or of the longest part of its path that is written down."""
        while path not in self._lines:
            path = path[:-1]
        return self._lines[path]

    def _read(self) -> None:
        table: KeyPath = ()
        while self._skip(_BLANK) < len(self._text):
            start = self._at
            if self._take("[["):
                table = self._element_of(self._key(), start)
            elif self._take("["):
                table = self._table(self._key(), start)
            else:
                self._pair(table)
                continue
            self._skip(_HEADER_END)

    def _element_of(self, key: tuple[str, ...], start: int) -> KeyPath:
        array = (*self._table(key[:-1], start), key[-1])
        index = self._last_element.get(array, -1) + 1
        self._last_element[array] = index
        self._note(array, start)
        self._note((*array, index), start)
        return (*array, index)

    def _table(self, key: tuple[str, ...], start: int) -> KeyPath:
        """The path of a header's table: within an array of tables it belongs to the last element so far."""
        path: KeyPath = ()
        for part in key:
            path = (*path, part)
            self._note(path, start)
            if path in self._last_element:
                path = (*path, self._last_element[path])
        return path

    def _pair(self, table: KeyPath) -> None:
        start = self._at
        path = table
        for part in self._key():
            path = (*path, part)
            self._note(path, start)
        self._skip(_SPACE)
        self._take("=")
        self._value(path)

    def _key(self) -> tuple[str, ...]:
        parts = []
        while True:
            self._skip(_SPACE)
            bare = _BARE_KEY.match(self._text, self._at)
            quoted = None if bare else _STRING.match(self._text, self._at)
            if bare:
                parts.append(bare.group())
                self._at = bare.end()
            elif quoted:
                parts.append(tomllib.loads(f"key = {quoted.group()}")["key"])
                self._at = quoted.end()
            self._skip(_SPACE)
            if not self._take("."):
                return tuple(parts)

    def _value(self, path: KeyPath) -> None:
        self._skip(_SPACE)
        if self._take("["):
            self._array(path)
        elif self._take("{"):
            self._inline_table(path)
        elif not self._skip_if(_STRING):
            self._skip(_OTHER_VALUE)

    def _array(self, path: KeyPath) -> None:
        index = 0
        while True:
            self._skip(_BLANK)
            if self._take("]"):
                return
            self._note((*path, index), self._at)
            self._value((*path, index))
            index += 1
            self._skip(_BLANK)
            self._take(",")

    def _inline_table(self, path: KeyPath) -> None:
        while True:
            self._skip(_BLANK)
            if self._take("}"):
                return
            self._pair(path)
            self._skip(_BLANK)
            self._take(",")

    def _note(self, path: KeyPath, offset: int) -> None:
        self._lines.setdefault(path, bisect.bisect_right(self._line_starts, offset) + 1)

    def _take(self, token: str) -> bool:
        found = self._text.startswith(token, self._at)
        self._at += len(token) if found else 0
        return found

    def _skip(self, pattern: re.Pattern[str]) -> int:
        self._skip_if(pattern)
        return self._at

    def _skip_if(self, pattern: re.Pattern[str]) -> bool:
        match = pattern.match(self._text, self._at)
        self._at = match.end() if match else self._at
        return match is not None
