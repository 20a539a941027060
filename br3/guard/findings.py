"""What a scan answers with: findings, the ways out that were used, and how much was looked at."""

from __future__ import annotations

SEVERITIES = ("low", "medium", "high")


class Finding:
    """One thing found.

    ``file`` is relative to the root, bytes that are no text as surrogates. ``line`` counts from 1; 0 is the file, the
    commit or the branch as a whole. ``masked`` may be shown; ``content`` is what was found itself (for the baseline)
    and never leaves the process. ``commit`` is set where commits were scanned.
    """

    __slots__ = ("commit", "content", "file", "fix", "line", "masked", "rule", "severity")

    def __init__(
        self,
        file: str,
        line: int,
        rule: str,
        severity: str,
        masked: str,
        fix: str,
        content: bytes = b"",
        commit: str | None = None,
    ) -> None:
        self.file = file
        self.line = line
        self.rule = rule
        self.severity = severity
        self.masked = masked
        self.fix = fix
        self.content = content
        self.commit = commit

    def as_dict(self) -> dict[str, object]:
        """The shape of ``--json``, without the content."""
        told: dict[str, object] = {
            "file": self.file,
            "line": self.line,
            "rule": self.rule,
            "severity": self.severity,
            "masked": self.masked,
            "fix": self.fix,
        }
        if self.commit is not None:
            told["commit"] = self.commit
        return told


class Outcome:
    """What a scan found.

    ``allowed`` are findings that a way out lets through, each with its name: ``comment``, ``baseline`` or ``skip``.
    ``ignored`` are the files left out by a glob. ``scanned`` counts files (in commits: changed files). ``skipped``
    counts by reason: ``binary``, ``large``, ``ignored``, ``unreadable``. ``digests`` are the baseline entries met.
    """

    __slots__ = ("allowed", "digests", "findings", "ignored", "scanned", "skipped")

    def __init__(self) -> None:
        self.findings: list[Finding] = []
        self.allowed: list[tuple[Finding, str]] = []
        self.ignored: list[str] = []
        self.scanned = 0
        self.skipped: dict[str, int] = {}
        self.digests: set[str] = set()

    def skip(self, reason: str, number: int = 1) -> None:
        """Count files that were not looked at."""
        self.skipped[reason] = self.skipped.get(reason, 0) + number

    def add(self, other: Outcome) -> None:
        """Take over what another scan found."""
        self.findings += other.findings
        self.allowed += other.allowed
        self.ignored += other.ignored
        self.scanned += other.scanned
        self.digests |= other.digests
        for reason, number in other.skipped.items():
            self.skip(reason, number)

    def sort(self) -> None:
        """By commit as they came, then file, line and rule, so that every way of scanning answers alike."""
        order: dict[str | None, int] = {}
        for finding in [*self.findings, *(finding for finding, _ in self.allowed)]:
            order.setdefault(finding.commit, len(order))

        def key(finding: Finding) -> tuple[int, str, int, str, str]:
            return (order[finding.commit], finding.file, finding.line, finding.rule, finding.masked)

        self.findings.sort(key=key)
        self.allowed.sort(key=lambda pair: key(pair[0]))
        self.ignored.sort()


def at_least(severity: str, floor: str) -> bool:
    """Whether a severity is as high as another."""
    return SEVERITIES.index(severity) >= SEVERITIES.index(floor)


def shorten(text: str) -> str:
    """Text on one line of at most 80 characters."""
    line = " ".join(text.split())
    return line if len(line) <= 80 else f"{line[:79]}…"
