"""The hooks' entry: ``python3 -I -S …/br3/guard/start.py COMMAND``. Everything it imports is chosen for its start.

    start.py staged   [--settings FILE] [--branch NAME] [--build ID] [--merging ID,…] [EVENTS]
    start.py commits  [--settings FILE] [EVENTS]
    start.py branch   --branch NAME [--settings FILE] [EVENTS]
    start.py keywords

``staged`` looks at what is about to be committed (of the merge of ``--merging``), ``commits`` at the ids on standard
input, ``branch`` at the branch alone; ``keywords`` prints words for ``grep -F -i``, a line each.
Exit code 0: nothing that blocks · 1: findings that do · 2: could not look (the caller decides what that means).
Findings are told on standard error. EVENTS is ``--journal FILE --hook NAME [--run ID] [--task ID]``: each finding that
blocks and each way out that was used is appended to the hooks' shared segment, one event a line, below 4 KB.
"""

from __future__ import annotations

import os
import sys

from br3.guard.findings import Finding, Outcome, at_least
from br3.guard.settings import BadSettings, Settings, load
from br3.wording import printable

_LONGEST_NAME = 1000


def main(words: list[str]) -> int:
    """Run one command; its exit code."""
    try:
        command, options = _parsed(words)
        if command == "keywords":
            from br3.guard.contents import prefilter

            print("\n".join(prefilter()))
            return 0
        settings = load(options.get("settings"))
        outcome = _look(command, options, settings)
    except Exception as error:  # whatever it is, the commit must not go on as if it had been looked at
        if os.environ.get("BR3_DEBUG") == "1":
            raise
        kind = "" if isinstance(error, (BadSettings, ValueError)) else f"{type(error).__name__}: "
        print(f"br3: the guard could not look: {kind}{printable(str(error))}", file=sys.stderr)
        return 2
    if "journal" in options:
        _record(options, outcome, settings)
    return tell(outcome, settings, "nothing was committed")


def _parsed(words: list[str]) -> tuple[str, dict[str, str]]:
    if not words or words[0] not in ("staged", "commits", "branch", "keywords"):
        raise ValueError(f"staged, commits, branch or keywords was expected, seen: {' '.join(words[:1]) or 'nothing'}")
    options: dict[str, str] = {}
    rest = iter(words[1:])
    for name in rest:
        if name not in ("--settings", "--branch", "--build", "--journal", "--hook", "--run", "--task", "--merging"):
            raise ValueError(f"unknown option {name}")
        options[name[2:]] = next(rest, "")
    return words[0], options


def _look(command: str, options: dict[str, str], settings: Settings) -> Outcome:
    if command == "staged":
        from br3.guard import staged

        merging = options.get("merging", "").split(",") if options.get("merging") else ()
        # The settings lie in <common dir>/br3/hooks.
        common = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(options.get("settings") or ""))))
        return staged.scan(
            settings,
            branch=options.get("branch"),
            build=options.get("build") or None,
            merging=merging,
            common_dir=common if options.get("settings") else None,
        )
    if command == "commits":
        from br3.guard import commits

        return commits.scan(sys.stdin.read().split(), settings)
    from br3.guard.exemptions import skipped_rules
    from br3.guard.places import on_branch

    outcome, skipped = Outcome(), skipped_rules(os.environ)
    for finding in on_branch(options.get("branch", ""), settings):
        if finding.rule in skipped:
            outcome.allowed.append((finding, "skip"))
        else:
            outcome.findings.append(finding)
    return outcome


def tell(outcome: Outcome, settings: Settings, consequence: str) -> int:
    """Print what was found; 1 when something of it blocks, else 0."""
    blocking = [finding for finding in outcome.findings if at_least(finding.severity, settings.fail_on)]
    notes = [finding for finding in outcome.findings if finding not in blocking]
    lines = [*_lines(blocking), *(_lines(notes, "note: ") if notes else [])]
    for fix, rules in _fixes(blocking).items():
        lines.append(f"br3: next for {', '.join(rules)}: {fix}")
    if blocking:
        names = ",".join(dict.fromkeys(finding.rule for finding in blocking))
        lines.append(f"br3: {consequence}. To let it pass this once: BR3_SKIP={names}; it is recorded")
    if lines:
        print("\n".join(lines), file=sys.stderr)
    return 1 if blocking else 0


def _lines(findings: list[Finding], sign: str = "") -> list[str]:
    places = [_place(finding) for finding in findings]
    width = max(map(len, places), default=0)
    rule_width = max((len(finding.rule) for finding in findings), default=0)
    return [
        f"br3: {sign}{place:{width}}  {finding.severity:6}  {finding.rule:{rule_width}}  {printable(finding.masked)}"
        for place, finding in zip(places, findings)  # noqa: B905
    ]


def _place(finding: Finding) -> str:
    commit = f"{finding.commit[:10]} " if finding.commit else ""
    name = printable(finding.file) or "(branch)"
    return f"{commit}{name}:{finding.line}" if finding.line else f"{commit}{name}"


def _fixes(findings: list[Finding]) -> dict[str, list[str]]:
    fixes: dict[str, list[str]] = {}
    for finding in findings:
        rules = fixes.setdefault(finding.fix, [])
        if finding.rule not in rules:
            rules.append(finding.rule)
    return fixes


def event_of(finding: Finding) -> tuple[str, str, dict[str, object]]:
    """The kind of event that a blocked finding is, its severity, and its fields."""
    from br3.secrets.matching import BY_ID

    facts = finding.as_dict()
    del facts["fix"], facts["severity"]  # an event has a severity of its own
    facts |= {"file": finding.file[:_LONGEST_NAME], "masked": finding.masked[:200]}
    if finding.rule in BY_ID:
        return "security.violation", "error", facts
    return "hook.blocked", "warning", facts


def _record(options: dict[str, str], outcome: Outcome, settings: Settings) -> None:
    """Append the events; when that fails, what was found still counts."""
    import json
    import time

    told: list[tuple[str, str, dict[str, object]]] = []
    told += [event_of(finding) for finding in outcome.findings if at_least(finding.severity, settings.fail_on)]
    for finding, use in outcome.allowed:
        told.append(("hook.allowed", "warning" if use == "skip" else "info", {"use": use, **event_of(finding)[2]}))
    told += [("hook.allowed", "info", {"use": "ignore", "file": name[:_LONGEST_NAME]}) for name in outcome.ignored]
    if not told:
        return
    names = {name: options[name] for name in ("run", "build", "task") if options.get(name)}
    hook = options.get("hook", "")
    now = time.time()
    ts = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + f".{int(now % 1 * 1e6):06d}Z"
    try:
        descriptor = os.open(options["journal"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
        try:
            for kind, severity, facts in told:
                event = {"ts": ts, "kind": kind, "severity": severity, **names, "pid": os.getppid()}
                line = json.dumps({**event, "data": {"hook": hook, **facts}})
                os.write(descriptor, f"\n{line}\n".encode())
        finally:
            os.close(descriptor)
    except OSError as error:
        print(f"br3: {hook} could not be recorded: {error}; nothing else is affected", file=sys.stderr)
