"""Asks gitleaks as well, where it is on PATH: its two hundred rules beside ours.

Its findings are redacted by itself and take the rule ``gitleaks-ID``; what both found on one line is told once.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from br3.errors import Br3Error, UsageError
from br3.guard.exemptions import baseline_path, skipped_rules, sort_out
from br3.guard.findings import Finding, Outcome
from br3.secrets.masks import HIDDEN

_FIX = "revoke it where it was issued, read it from the environment instead; no secret: a comment `gitleaks:allow`"


def available() -> str | None:
    """Where gitleaks is."""
    return shutil.which("gitleaks")


def add(outcome: Outcome, root: Path, *, staged: bool = False, commits: str | None = None,
        only: Sequence[str] | None = None) -> None:  # fmt: skip
    """Add what gitleaks finds in the worktree, in what is staged or in a range of commits.

    ``only``: the files that count. UsageError when it is not on PATH, Br3Error when it fails.
    """
    program = available()
    if program is None:
        raise UsageError("gitleaks is not on PATH", hint="install gitleaks, or leave --gitleaks away")
    if staged:
        words = ["protect", "--staged"]
    elif commits is not None:
        words = ["detect", f"--log-opts={commits}"]
    else:
        words = ["detect", "--no-git"]
    known = {(finding.file, finding.line) for finding in outcome.findings}
    known |= {(finding.file, finding.line) for finding, _ in outcome.allowed}
    wanted = None if only is None else set(only)
    found = [_finding(told, root) for told in _told(program, words, root)]
    sort_out(
        [f for f in found if (f.file, f.line) not in known and (wanted is None or f.file in wanted)],
        outcome,
        skipped=skipped_rules(os.environ),
        line_of=lambda finding, number: None,  # a comment of its own has already counted
        in_baseline=lambda name: (root / baseline_path(name)).is_file(),
    )
    outcome.sort()


def _told(program: str, words: list[str], root: Path) -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory(prefix="br3-gitleaks-") as directory:
        report = os.path.join(directory, "report.json")
        options = ["--redact", "--no-banner", "--exit-code", "0", "--report-format", "json", "--report-path", report]
        done = subprocess.run(
            [program, *words, "--source", str(root), *options],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", check=False,
        )  # fmt: skip
        if done.returncode != 0 or not os.path.exists(report):
            last = (done.stderr.strip().splitlines() or ["it printed nothing"])[-1]
            raise Br3Error(f"gitleaks failed with exit code {done.returncode}: {last}")
        with open(report, encoding="utf-8") as file:
            return list(json.load(file) or [])


def _finding(told: dict[str, Any], root: Path) -> Finding:
    file = os.path.relpath(os.path.join(root, told["File"]), root)
    place = f"{told.get('RuleID')}\0{file}\0{told.get('StartLine')}"
    return Finding(
        file, int(told.get("StartLine") or 0), f"gitleaks-{told.get('RuleID')}", "high", HIDDEN, _FIX,
        place.encode("utf-8", "surrogateescape"), told.get("Commit") or None,
    )  # fmt: skip
