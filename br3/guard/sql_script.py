"""SQL built from strings in JavaScript and TypeScript, by pattern: template literals, and strings with ``+``.

Only what is handed to ``query()`` and its like, directly or by a variable of the same file. A tagged template
(``sql`…` ``) is the driver's own way of taking parameters. Comments on a line of their own are passed over.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from br3.guard.sql_naming import STATEMENT, severity_of, worst

_SINK = rb"(?:query|queryasync|execute|executesql|exec|raw|run|all|get|prepare|unsafe|sql)"
# From a backtick on; what precedes it is looked at from there.
_JS_TEMPLATE = re.compile(rb"`([^`\\]*+(?:\\.[^`\\]*+)*+)`", re.DOTALL)
_JS_BEFORE_BYTES = 200
_JS_CALLED = re.compile(rb"([\w$.]+)[\t \n]*\([\t \n]*$")
_JS_ASSIGNED = re.compile(rb"\b(?:const|let|var)[\t ]+([\w$]+)(?:[\t ]*:[\t ]*string)?[\t ]*=[\t \n]*$")
_JS_STATEMENT = re.compile(STATEMENT.encode(), re.IGNORECASE | re.DOTALL)
_JS_SINK = re.compile(rb"(?:^|[.$\w])" + _SINK + rb"(?:unsafe)?$", re.IGNORECASE)
_JS_GIVEN = re.compile(
    rb"[.$\w]" + _SINK + rb"(?:unsafe)?[\t ]*\([\t \n]*(?:\{[\t \n]*(?:text|sql)[\t ]*:[\t ]*)?([\w$]+)",
    re.IGNORECASE,
)
_JS_PART = re.compile(rb"\$\{([^{}]*)\}")
_JS_PLUS = re.compile(
    rb"[.$\w](?:queryasync|query|execute|executesql|exec|raw|run|all|get|prepare|unsafe)(?:unsafe)?[\t ]*\([\t \n]*"
    rb"(?P<quote>[\"'])(?P<text>[^\"'\n]{0,2000}+['\"]?[^\"'\n]{0,200}+)(?P=quote)"
    rb"[\t \n]*\+[\t \n]*(?P<part>[\w$.\[\]()]{1,200})",
    re.IGNORECASE,
)


def find(data: bytes, added: set[int] | None) -> list[tuple[int, str, str]]:
    """As ``sql.find``, for the text of a script."""
    found = []
    given: set[bytes] | None = None
    for match in _templates(data):
        parts = _JS_PART.findall(match[1])
        if parts and _JS_STATEMENT.match(match[1]):
            given = _given(data) if given is None else given
            if not _is_handed_over(match, data, given):
                continue
            found.append((match.start(1), match.end(), parts, match[1]))
    for match in _JS_PLUS.finditer(data):
        if _JS_STATEMENT.match(match["text"]):
            found.append(
                (match.start("text"), match.end(), [match["part"]], match["text"] + b"${" + match["part"] + b"}")
            )
    findings = []
    for start, end, parts, text in found:
        first = data.count(b"\n", 0, start) + 1
        lines = range(first, first + data.count(b"\n", start, end) + 1)
        line = next((n for n in lines if added is None or n in added), None)
        if line is not None and not _is_comment(data, start):
            level = worst([severity_of(part.decode("utf-8", "replace").strip()) for part in parts])
            findings.append((line, level, text.decode("utf-8", "replace")))
    return sorted(findings)


def _templates(data: bytes) -> Iterator[re.Match[bytes]]:
    at = data.find(b"`")
    while at >= 0:
        if data[at - 1 : at] == b"\\":
            at = data.find(b"`", at + 1)
            continue
        match = _JS_TEMPLATE.match(data, at)
        if match is None:
            return  # nothing after it ends a template either
        yield match
        at = data.find(b"`", match.end())


def _given(data: bytes) -> set[bytes]:
    """The variables that sinks are called with."""
    return {match[1] for match in _JS_GIVEN.finditer(data)}


def _is_handed_over(match: re.Match[bytes], data: bytes, given: set[bytes]) -> bool:
    """Whether a template is the argument of a sink, or of a variable that is; a tagged one is the driver's own."""
    before = data[max(match.start() - _JS_BEFORE_BYTES, 0) : match.start()]
    called = _JS_CALLED.search(before)
    if called is not None:
        return _JS_SINK.search(called[1]) is not None
    assigned = _JS_ASSIGNED.search(before)
    return assigned is not None and assigned[1] in given


def _is_comment(data: bytes, at: int) -> bool:
    return data[data.rfind(b"\n", 0, at) + 1 : at].lstrip().startswith((b"//", b"*", b"/*"))
