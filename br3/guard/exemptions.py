"""The ways out: a comment on the line, a baseline, ``BR3_SKIP``. Globs are in the settings.

The baseline is a directory, ``.br3/baseline/``, with one file per finding, named by a hash of what was found. So two
branches that each accept something never conflict: different findings are different files, the same finding is the
same file, byte for byte, and taking one back is a deletion. A single list would need a merge driver in everybody's
``.gitattributes``. A secret's hash has neither path nor line, so it may move; anything else has its path.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable

from br3.guard.findings import Finding, Outcome

BASELINE = ".br3/baseline"

_ALLOW = rb"(?i)br3-allow:[\t ]*([a-z0-9-]++(?:[\t ]*+,[\t ]*+[a-z0-9-]++)*+)"
# The sign of a comment, at most so many bytes before it.
_COMMENT = rb"(?i)#|//|/\*|--|<!--|;|%|\*|\"\"\"|'''|\bREM\b|\{#|\(\*"
_COMMENT_BYTES = 200
_COMMENT_ALONE = rb"(?i)[\t ]*(?:#|//|/\*|--|<!--|;|%|\*|REM\b|\{#|\(\*)"


def allowed_rules(line: bytes) -> frozenset[str]:
    """The rules that a comment on this line lets through."""
    rules: frozenset[str] = frozenset()
    for found in re.finditer(_ALLOW, line):
        if re.search(_COMMENT, line[max(found.start() - _COMMENT_BYTES, 0) : found.start()]):
            rules |= frozenset(re.split(r"[\t ]*,[\t ]*", found[1].decode().lower()))
    return rules


def allowed_above(line: bytes) -> frozenset[str]:
    """The rules that a line lets through on the next one: it must be a comment and nothing else."""
    return allowed_rules(line) if re.match(_COMMENT_ALONE, line) else frozenset()


def skipped_rules(environ: dict[str, str] | os._Environ[str]) -> frozenset[str]:
    """The rules that ``BR3_SKIP=rule,…`` switches off for one command."""
    return frozenset(part for part in re.split(r"[\s,]+", environ.get("BR3_SKIP", "").lower()) if part)


def digest(finding: Finding) -> str:
    """The name of a finding in the baseline: 32 hexadecimal digits."""
    from hashlib import sha256

    place = b"" if _is_secret(finding) else finding.file.encode("utf-8", "surrogateescape")
    return sha256(b"\0".join((finding.rule.encode(), place, finding.content))).hexdigest()[:32]


def _is_secret(finding: Finding) -> bool:
    from br3.secrets.matching import BY_ID

    return finding.rule in BY_ID


def sort_out(
    found: Iterable[Finding],
    outcome: Outcome,
    *,
    skipped: frozenset[str],
    line_of: Callable[[Finding, int], bytes | None],
    in_baseline: Callable[[str], bool],
) -> None:
    """Add what was found to the outcome, as findings or as allowed.

    ``line_of`` gives a line of the finding's file by its number, None where there is none; ``in_baseline`` says
    whether a digest is in the baseline.
    """
    comments: dict[tuple[str, int], frozenset[str]] = {}
    for finding in found:
        if finding.rule in skipped:
            outcome.allowed.append((finding, "skip"))
        elif finding.rule in _by_comment(finding, line_of, comments):
            outcome.allowed.append((finding, "comment"))
        elif in_baseline(name := digest(finding)):
            outcome.digests.add(name)
            outcome.allowed.append((finding, "baseline"))
        else:
            outcome.findings.append(finding)


def _by_comment(
    finding: Finding,
    line_of: Callable[[Finding, int], bytes | None],
    known: dict[tuple[str, int], frozenset[str]],
) -> frozenset[str]:
    """The rules that comments let through on the finding's line; ``known`` are those of lines read already."""
    if finding.line == 0:
        return frozenset()
    place = finding.file, finding.line
    if place not in known:
        line, above = line_of(finding, finding.line), line_of(finding, finding.line - 1)
        known[place] = allowed_rules(line or b"") | allowed_above(above or b"")
    return known[place]


def baseline_path(name: str) -> str:
    """Where a digest lies, relative to the root."""
    return f"{BASELINE}/{name}"


def write_baseline(root: str, findings: Iterable[Finding], *, keep: set[str] | None) -> tuple[int, int]:
    """Accept findings: one file each. With ``keep``, all others but those are taken out.

    Returns how many were added and removed. What a file says follows from its name, so that two branches that accept
    the same thing write the same bytes.
    """
    directory = os.path.join(root, BASELINE)
    wanted = {digest(finding): finding for finding in findings}
    present = _entries(directory)
    added = 0
    for name, finding in wanted.items():
        if name not in present:
            os.makedirs(directory, exist_ok=True)
            beside = os.path.join(directory, f".{name}.{os.getpid()}")
            with open(beside, "w", encoding="utf-8", errors="backslashreplace") as file:
                place = "" if _is_secret(finding) else f" in {finding.file!r}"
                file.write(f"{finding.rule}{place}: {finding.masked}\n")
            os.replace(beside, os.path.join(directory, name))
            added += 1
    stale = present - wanted.keys() - keep if keep is not None else set()
    for name in stale:
        os.unlink(os.path.join(directory, name))
    return added, len(stale)


def _entries(directory: str) -> set[str]:
    try:
        return {name for name in os.listdir(directory) if re.fullmatch(r"[0-9a-f]{32}", name)}
    except FileNotFoundError:
        return set()
