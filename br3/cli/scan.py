"""``br3 scan``."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from br3.cli.context import json_option
from br3.cli.output import emit_json, table
from br3.errors import Br3Error, UsageError
from br3.wording import counted

if TYPE_CHECKING:
    from br3.guard.findings import Finding, Outcome
    from br3.guard.settings import Settings

_COLOURS = {"high": "red", "medium": "yellow", "low": "cyan"}


@dataclass(frozen=True)
class _Place:
    """Where to scan: the root that file names are relative to, and where br3 keeps its files, if that is known."""

    root: Path
    common_dir: Path | None


@click.command()
@click.argument("paths", nargs=-1, metavar="[PATH]...", type=click.Path(path_type=Path))
@click.option("--staged", is_flag=True, help="What is staged: the lines that the next commit adds.")
@click.option("--all", "whole", is_flag=True, help="Every file of the worktree that is not ignored.  [default]")
@click.option("--range", "revisions", metavar="A..B", help="What each commit of the range added.")
@click.option("--sarif", "as_sarif", is_flag=True, help="Print SARIF 2.1.0.")
@click.option("--update-baseline", is_flag=True, help="Accept what is found now; it is not told again.")
@click.option("--gitleaks", "with_gitleaks", is_flag=True, help="Ask gitleaks as well, as [hooks] gitleaks does.")
@click.option(
    "--fail-on",
    type=click.Choice(["low", "medium", "high"]),
    default="low",
    help="Exit with 1 from this severity on.  [default: low]",
)
@json_option
def scan(
    paths: tuple[Path, ...],
    staged: bool,
    whole: bool,
    revisions: str | None,
    as_sarif: bool,
    update_baseline: bool,
    with_gitleaks: bool,
    fail_on: str,
    as_json: bool,
) -> int:
    """Look for secrets, SQL built from strings and conflict markers.

    A finding passes by a comment `br3-allow: RULE` on its line or the one above, by the baseline, or for one command
    by BR3_SKIP=RULE,…. Exit code 0: nothing found, 1: findings.
    """
    from br3.guard.findings import at_least

    if sum(map(bool, (paths, staged, whole, revisions))) > 1:
        raise UsageError("--staged, --all, --range and PATH exclude each other")
    if as_json and as_sarif:
        raise UsageError("--json and --sarif exclude each other")
    if update_baseline and as_sarif:
        raise UsageError("--update-baseline and --sarif exclude each other")
    place = _place(paths, staged=staged, revisions=revisions)
    outcome = _scanned(place, paths, staged, revisions, with_gitleaks)
    if update_baseline:
        return _update(place, outcome, whole=not (paths or staged or revisions), as_json=as_json)
    if as_sarif:
        from br3 import __version__
        from br3.guard.sarif import sarif

        click.echo(json.dumps(sarif(outcome, __version__), indent=2))
    elif as_json:
        emit_json(_as_json(outcome))
    else:
        _print(outcome)
    return 1 if any(at_least(finding.severity, fail_on) for finding in outcome.findings) else 0


def _place(paths: tuple[Path, ...], *, staged: bool, revisions: str | None) -> _Place:
    """The worktree that we are in; where there is none and none is needed, the directory."""
    from br3.repo.worktrees import discover

    try:
        repo = discover(Path.cwd())
    except UsageError as error:
        if staged or revisions is not None:
            raise
        if not paths:
            raise UsageError(error.message, hint="br3 scan . looks at the files here") from error
        return _Place(Path.cwd(), None)
    if repo.worktree is None and revisions is None:
        raise UsageError(
            "there is no worktree here, so no files to scan", hint="br3 scan --range A..B looks at commits"
        )
    return _Place(repo.worktree or Path.cwd(), repo.common_dir)


def _settings(place: _Place) -> Settings:
    from br3.guard.settings import FILE, BadSettings, load

    path = None if place.common_dir is None else place.common_dir / FILE
    try:
        return load(str(path) if path is not None and path.exists() else None)
    except BadSettings as error:
        raise Br3Error(
            f"the hooks' settings can't be read: {error}", hint="br3 hooks install makes them anew"
        ) from error


def _scanned(
    place: _Place, paths: tuple[Path, ...], staged: bool, revisions: str | None, with_gitleaks: bool
) -> Outcome:
    from br3.guard.plumbing import CannotAsk

    settings = _settings(place)
    only = None
    try:
        if staged:
            from br3.guard import staged as staging

            outcome = staging.scan(settings, directory=os.fspath(place.root))
        elif revisions is not None:
            from br3.guard import commits

            outcome = commits.scan(_commits(place.root, revisions), settings, directory=os.fspath(place.root))
        else:
            from br3.guard import trees

            only = trees.files(place.root, paths)
            outcome = trees.scan(place.root, only, settings)
    except CannotAsk as error:
        raise Br3Error(str(error), hint="--debug shows where") from error
    if with_gitleaks or settings.gitleaks:
        from br3.guard.gitleaks import add

        add(outcome, place.root, staged=staged, commits=revisions, only=only)
    return outcome


def _commits(root: Path, revisions: str) -> list[str]:
    """The commits of a range, oldest first."""
    from br3.repo import Git, GitError

    try:
        words = ("rev-list", "--reverse", "--end-of-options", revisions, "--")
        return Git(root)(*words, env={"GIT_NO_REPLACE_OBJECTS": "1"}).text.split()
    except GitError as error:
        raise UsageError(f"{revisions} names no commits", hint="a range is A..B, as git log takes it") from error


def _update(place: _Place, outcome: Outcome, *, whole: bool, as_json: bool) -> int:
    """Accept the findings; a scan of everything also takes out what is no longer found."""
    from br3.guard.exemptions import BASELINE, write_baseline

    keep = outcome.digests if whole else None
    added, removed = write_baseline(os.fspath(place.root), outcome.findings, keep=keep)
    if as_json:
        emit_json({**_as_json(outcome), "baseline": {"added": added, "removed": removed}})
    else:
        click.echo(f"{BASELINE}: {counted(added, 'finding')} accepted, {removed} taken out")
        if added or removed:
            click.echo(f"next: look at them, then git add {BASELINE}")
    return 0


def _as_json(outcome: Outcome) -> dict[str, Any]:
    return {
        "findings": [finding.as_dict() for finding in outcome.findings],
        "scanned": outcome.scanned,
        "skipped": sum(outcome.skipped.values()),
        "skipped_by": outcome.skipped,
        "allowed": [{**finding.as_dict(), "by": use} for finding, use in outcome.allowed],
    }


def _print(outcome: Outcome) -> None:
    if outcome.findings:
        rows = [
            [_where(f), f.rule, click.style(f.severity, fg=_COLOURS[f.severity]), _shown(f.masked)]
            for f in outcome.findings
        ]
        click.echo(table(["place", "rule", "severity", "found"], rows))
        click.echo()
        for fix, rules in _fixes(outcome.findings).items():
            click.echo(f"{click.style('next:', fg='cyan', bold=True)} {', '.join(rules)}")
            click.echo(f"      {fix}")
    click.echo(_summary(outcome))


def _where(finding: Finding) -> str:
    commit = f"{finding.commit[:10]} " if finding.commit else ""
    return f"{commit}{_shown(finding.file)}" + (f":{finding.line}" if finding.line else "")


def _shown(text: str) -> str:
    from br3.wording import printable

    return printable(text)


def _fixes(findings: list[Finding]) -> dict[str, list[str]]:
    """What to do → for which rules; the rule's own name in a remedy is said once for all."""
    fixes: dict[str, list[str]] = {}
    for finding in findings:
        rules = fixes.setdefault(finding.fix.replace(f"br3-allow: {finding.rule}`", "br3-allow: RULE`"), [])
        if finding.rule not in rules:
            rules.append(finding.rule)
    return fixes


def _summary(outcome: Outcome) -> str:
    found = counted(len(outcome.findings), "finding") if outcome.findings else "nothing found"
    parts = [f"{found} in {counted(outcome.scanned, 'file')}"]
    if outcome.skipped:
        by = ", ".join(f"{number} {reason}" for reason, number in sorted(outcome.skipped.items()))
        parts.append(f"not looked at: {by}")
    if outcome.allowed:
        uses = [use for _, use in outcome.allowed]
        by = ", ".join(f"{uses.count(use)} by {use}" for use in dict.fromkeys(uses))
        parts.append(f"allowed: {by}")
    return "; ".join(parts)
