"""Finds SQL that is put together from strings instead of being given parameters.

Python goes through its syntax tree (``sql_python``), JavaScript and TypeScript through patterns (``sql_script``);
``sql_naming`` says how severe it is. Those are imported for a file that may have some only.
"""

from __future__ import annotations

import re

RULE = "sql-injection"

KEYWORDS = ("execut", ".raw(", ".query(", "unsafe(", "mogrify", "read_sql", "select ", "insert into", "delete from",
            "replace into", " where ", "update ", "drop table")  # fmt: skip
"""Lower-case words of which nearly every added line of such SQL contains one; see ``contents.prefilter``."""

PYTHON = (".py", ".pyw")
SCRIPT = (".js", ".jsx", ".mjs", ".cjs", ".ts", ".tsx", ".mts", ".cts", ".vue", ".svelte")

_SINKS = (b"execut", b"query", b"raw", b"sql", b"fetch", b"text(", b"prepare", b"scalar", b"mogrify")
_SCRIPT_SINKS = (b"execut", b"query", b"raw", b"sql", b"prepare", b"unsafe", b".exec(", b".run(", b".all(", b".get(")

# How a statement begins, right after what opens a string; more would be found by ``sql_naming.STATEMENT``, later. Many
# docstrings begin with Create and Update. A comment ends with its line, an option of a command line with the string.
_OPENS = (
    rb"[\"'`](?:\s|\\n)*+(?:--(?:\s|[^\"'`\n\\]*+[\n\\])|/\*|select\s|(?:insert|replace|merge)\s+(?:or\s+\w+\s+)?into\b|delete\s+from\b|grant\s|"
    rb"exec(?:ute)?\s|with\s+(?:recursive\s+)?\S+\s+as\b|update\s[^\"'`]{1,120}?(?:\sset\s|[\"'`])|"
    rb"(?:create|alter|drop|truncate)\s+(?:or\s+replace\s+)?(?:temp|unique|table|view|index|schema|database|user|role|"
    rb"function|trigger))"
)


def find(path: str, data: bytes, added: set[int] | None, low: bytes | None = None) -> list[tuple[int, str, str]]:
    """(line, severity, statement) of SQL built from strings in a file, on ``added`` lines where those are given.

    ``low`` is ``data.lower()``, where the caller has it already.
    """
    if not path.endswith(PYTHON + SCRIPT):
        return []
    if low is None:
        low = data.lower()
    python = path.endswith(PYTHON)
    for word in _SINKS if python else _SCRIPT_SINKS:
        if word in low:
            break
    else:
        return []
    if re.search(_OPENS, low) is None:
        return []
    if python:
        from br3.guard import sql_python

        return sql_python.find(data, added)
    from br3.guard import sql_script

    return sql_script.find(data, added)
