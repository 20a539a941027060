"""Findings as SARIF 2.1.0, which code hosts show beside the lines.

Format: https://docs.oasis-open.org/sarif/sarif/v2.1.0/os/sarif-v2.1.0-os.html
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from br3.guard.contents import describe
from br3.guard.exemptions import digest
from br3.guard.findings import Finding, Outcome

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
_LEVELS = {"high": "error", "medium": "warning", "low": "note"}
_SUPPRESSIONS = {"comment": "inSource", "baseline": "external", "skip": "external"}


def sarif(outcome: Outcome, version: str) -> dict[str, Any]:
    """The log: one run, each rule met, each finding; what a way out lets through is there, marked as suppressed."""
    told = [(finding, None) for finding in outcome.findings] + list(outcome.allowed)
    rules = sorted({finding.rule for finding, _ in told})
    return {
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {"driver": {"name": "br3", "version": version, "rules": [_rule(rule, told) for rule in rules]}},
                "originalUriBaseIds": {"SRCROOT": {"description": {"text": "The root of the repository."}}},
                "columnKind": "utf16CodeUnits",
                "results": [_result(finding, use, rules) for finding, use in told],
            }
        ],
    }


def _rule(rule: str, told: Sequence[tuple[Finding, str | None]]) -> dict[str, Any]:
    fix = next(finding.fix for finding, _ in told if finding.rule == rule)
    return {"id": rule, "shortDescription": {"text": describe(rule)}, "help": {"text": fix}}


def _result(finding: Finding, use: str | None, rules: list[str]) -> dict[str, Any]:
    where: dict[str, Any] = {
        "artifactLocation": {
            "uri": quote(finding.file.encode("utf-8", "surrogateescape"), safe="/"),
            "uriBaseId": "SRCROOT",
        }
    }
    if finding.line:
        where["region"] = {"startLine": finding.line}
    text = f"{describe(finding.rule)}: {finding.masked}".encode("utf-8", "backslashreplace").decode()
    result: dict[str, Any] = {
        "ruleId": finding.rule,
        "ruleIndex": rules.index(finding.rule),
        "level": _LEVELS[finding.severity],
        "message": {"text": text},
        "locations": [{"physicalLocation": where}],
        "partialFingerprints": {"br3/v1": digest(finding)},
    }
    if finding.commit:
        result["properties"] = {"commit": finding.commit}
    if use is not None:
        result["suppressions"] = [{"kind": _SUPPRESSIONS[use], "justification": f"br3 {use}"}]
    return result
