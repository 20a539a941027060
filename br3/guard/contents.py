"""Inspects the content of one file: secrets, conflict markers, SQL built from strings."""

from __future__ import annotations

from br3.guard import sql
from br3.guard.findings import Finding, shorten
from br3.secrets import matching

CONFLICT_MARKER = "conflict-marker"
FILE_SIZE = "file-size"
OTHER_RULES = {
    sql.RULE: "SQL built from strings",
    CONFLICT_MARKER: "Conflict marker",
    FILE_SIZE: "More added to one file than allowed",
    "protected-branch": "Commit on a protected branch",
    "ownership": "Change outside of what the build owns",
    "claimed": "Change on ground that another active build claims",
}
"""What is looked for besides the secrets: id → description."""

_CONTROLS = bytes(set(range(32)) - set(b"\t\n\v\f\r\x1b") | {127})
_SAMPLE_BYTES = 8192
_MARKERS = (b"<<<<<<<", b">>>>>>>", b"|||||||")
_SECRET_FIX = (
    "revoke it where it was issued, read it from the environment instead; no secret: a comment `br3-allow: {}`"
)


def rules() -> tuple[str, ...]:
    """The ids of all rules."""
    return (*matching.BY_ID, *OTHER_RULES)


def describe(rule: str) -> str:
    """What a rule looks for, in a few words."""
    return matching.BY_ID[rule].description if rule in matching.BY_ID else OTHER_RULES.get(rule, rule)


def prefilter() -> tuple[str, ...]:
    """Lower-case words for ``grep -F -i``: no secret, conflict marker or SQL statement is added without one.

    SQL is the exception to *no*: a line added within a statement of several lines may have none.
    """
    return (*matching.keywords(), "<<<<<<<", ">>>>>>>", "|||||||", *sql.KEYWORDS)


def is_binary(data: bytes) -> bool:
    """Whether there is no text in it. UTF-16, and text with a stray NUL, is text."""
    sample = data[:_SAMPLE_BYTES]
    if b"\0" not in sample or sample.startswith((b"\xff\xfe", b"\xfe\xff")):
        return False
    rest = sample.replace(b"\0", b"")
    controls = len(rest) - len(rest.translate(None, _CONTROLS))
    return len(rest) < 0.2 * len(sample) or controls > 0.05 * len(rest)


def plain(data: bytes) -> bytes:
    """The data without NULs: UTF-16 becomes readable, and a NUL hides nothing. Lines stay where they are."""
    return data.replace(b"\0", b"") if b"\0" in data else data


def inspect(path: str, data: bytes, numbers: list[int] | None = None, low: bytes | None = None) -> list[Finding]:
    """Secrets and conflict markers in ``plain`` data; ``numbers`` are the lines' numbers where they don't count up.

    ``low`` is ``data.lower()``, where the caller has it already.
    """
    findings = []
    line = counted = 0
    for hit in sorted(matching.find(data, low), key=lambda hit: hit.at):
        line += data.count(b"\n", counted, hit.at)
        counted = hit.at
        rule = hit.rule
        number = numbers[line] if numbers else line + 1
        fix, content = _SECRET_FIX.format(rule.id), data[hit.start : hit.end]
        findings.append(Finding(path, number, rule.id, rule.severity, matching.masked(hit, data), fix, content))
    if _MARKERS[0] in data or _MARKERS[1] in data:
        findings += _markers(path, data, numbers)
    return findings


def built_sql(path: str, data: bytes, added: set[int] | None, low: bytes | None = None) -> list[Finding]:
    """SQL built from strings in a whole file, on ``added`` lines only where those are given."""
    fix = "pass values as parameters of the statement; names: choose from a fixed list, or quote them with the driver"
    return [
        Finding(
            path,
            line,
            sql.RULE,
            severity,
            shorten(matching.without_secrets(shown)),
            fix,
            shown.encode("utf-8", "surrogateescape"),
        )
        for line, severity, shown in sql.find(path, data, added, low)
    ]


def _markers(path: str, data: bytes, numbers: list[int] | None) -> list[Finding]:
    fix = "finish the merge of this file: git checkout --merge FILE shows the conflict again"
    findings = []
    for line, text in enumerate(data.split(b"\n")):
        if text.startswith(_MARKERS) and text[7:8] in (b" ", b"\r", b""):
            number = numbers[line] if numbers else line + 1
            shown = text[:7].decode()
            findings.append(Finding(path, number, CONFLICT_MARKER, "medium", shown, fix, text.rstrip()))
    return findings


def oversize(path: str, size_bytes: int, most_bytes: int) -> Finding:
    """The finding of a file to which too much is added."""
    shown = f"{size_bytes / 2**20:.1f} MB added, allowed are {most_bytes / 2**20:.1f}"
    fix = "keep it out of git (git lfs, an artifact store); [hooks] max_bytes changes the limit"
    return Finding(path, 0, FILE_SIZE, "medium", shown, fix, path.encode("utf-8", "surrogateescape"))
