"""Verification: commands that must exit 0, and what they must show. A count that cannot be read is a failure."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from br3.errors import Interrupted
from br3.orchestrator.counts import Tests, read_counts, read_coverage
from br3.plan.model import Verify
from br3.repo import worktrees
from br3.repo.snapshots import DROPPINGS, file_digest
from br3.workspace import children
from br3.workspace.notes import read_notes

# What a verification may leave untracked in a worktree without making it dirty; more is a sign of something else.
_MOST_LEFT = 2000


@dataclass(frozen=True)
class CommandResult:
    """One verification command: how it ended and what it showed."""

    run: str
    exit_code: int
    duration_s: float
    log: Path
    cause: str | None
    tests: Tests | None
    coverage: float | None

    @property
    def ok(self) -> bool:
        return self.exit_code == 0 and self.cause is None


@dataclass(frozen=True)
class Verdict:
    """What a verification came to. ``reason`` is why it failed; ``left`` are new untracked files with their digests."""

    passed: bool
    results: tuple[CommandResult, ...]
    tests: Tests | None
    coverage: float | None
    reason: str | None = None
    left: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    @property
    def failing(self) -> CommandResult | None:
        """The command that failed, if one did."""
        return next((r for r in self.results if not r.ok), None)

    def as_data(self) -> dict[str, Any]:
        """The fields of a quality event."""
        return {
            "tests": tests_json(self.tests),
            "coverage": self.coverage,
            "results": [
                {"run": r.run, "exit_code": r.exit_code, "duration_s": round(r.duration_s, 3), "log": str(r.log)}
                for r in self.results
            ],
            "left": dict(self.left),
            "warnings": list(self.warnings),
        } | ({"reason": self.reason} if self.reason else {})


def tests_json(tests: Tests | None) -> dict[str, int] | None:
    """Counts as every ``--json`` shape has them."""
    if tests is None:
        return None
    return {"passed": tests.passed, "failed": tests.failed, "skipped": tests.skipped}


def verify(
    wanted: Verify,
    *,
    worktree: Path,
    environment: Callable[[], dict[str, str]],
    directory: Path,
    timeout_s: float,
    excludes: Path | None,
    generated: Mapping[str, str] = MappingProxyType({}),
    cancel: threading.Event | None = None,
    report: Callable[[str], None] = lambda _: None,
    clock: Callable[[], float] | None = None,
    lasting: bool = True,
) -> Verdict:
    """Run the commands in turn, up to the first that fails, and judge them.

    Logs, reports and artifacts go to ``directory``. ``generated`` is what the verification before this one left (path →
    digest): it is not taken for work now. Raises Interrupted when ``cancel`` is set meanwhile; what was left by then is
    noted where the worktree is a ``lasting`` one. ``clock`` as in ``children.run_command``.
    """
    shutil.rmtree(directory, ignore_errors=True)  # of an earlier try that was interrupted here
    directory.mkdir(parents=True)
    before = {path: file_digest(worktree / path) for path in worktrees.uncommitted(worktree, excludes)}
    marker = _marker(worktree)
    marker.write_text(json.dumps({"before": before}))
    results: list[CommandResult] = []
    mark = ""
    for number, command in enumerate(wanted.run, start=1):
        report(command)
        env = environment()
        mark = env.get(children.MARK, "")
        result = _run(command, number, wanted, worktree, env, directory, timeout_s, cancel, clock)
        results.append(result)
        if result.cause == "cancelled":
            if lasting:
                left, _ = _left_behind(worktree, before, generated, excludes)
                marker.write_text(json.dumps({"before": before, "left": left}))
            raise Interrupted("the verification was stopped")
        if not result.ok:
            break
    if mark:
        children.end_marked(mark)  # servers that a test run left behind
    left, changed = _left_behind(worktree, before, generated, excludes)
    tests = _sum([r.tests for r in results])
    coverage = min((r.coverage for r in results if r.coverage is not None), default=None)
    marker.unlink(missing_ok=True)
    reason = _why_not(wanted, results, tests, coverage)
    if reason is None and changed:
        reason = f"the verification changed files that git tracks: {', '.join(changed[:8])}"
    warnings = _keep_artifacts(wanted.artifacts, worktree, directory / "artifacts")
    return Verdict(reason is None, tuple(results), tests, coverage, reason, left, tuple(warnings))


def beside(worktree: Path, copied: Sequence[str], left: Iterable[str]) -> list[str]:
    """What a worktree holds besides its commit, what set-up brings (``copied`` are patterns) or makes, and what its
    verification has ``left`` (paths): a throw-away worktree has none of it. One git process."""
    brought = read_notes(worktree).get("brought") or []
    known = [*DROPPINGS, *(f"/{pattern}" for pattern in (*copied, *brought))]
    written = {part for path in left for part in (path, path.split("/")[0])}
    return [name for name in worktrees.others(worktree, known) if name.removesuffix("/") not in written]


def left_by_a_cut_off_one(worktree: Path, excludes: Path | None) -> dict[str, str]:
    """What a verification that did not come to its end wrote: as it noted itself when it was stopped, else (it was
    killed) the untracked files that were not there when it began."""
    try:
        noted = json.loads(_marker(worktree).read_text())
    except (OSError, ValueError):
        return {}
    if "left" in noted:
        return dict(noted["left"])
    return _left_behind(worktree, noted["before"], {}, excludes)[0]


def _marker(worktree: Path) -> Path:
    return (worktrees.git_dir(worktree) or worktree / ".git") / "br3-verifying.json"


def _run(
    command: str,
    number: int,
    wanted: Verify,
    worktree: Path,
    env: dict[str, str],
    directory: Path,
    timeout_s: float,
    cancel: threading.Event | None,
    clock: Callable[[], float] | None,
) -> CommandResult:
    log = directory / f"{number}.log"
    junit, cobertura = directory / f"{number}.junit.xml", directory / f"{number}.coverage.xml"
    options = [f"--junit-xml={junit}"]
    if re.search(r"(^|\s)--cov(=|\s|$)", command):
        options += ["--cov-report=term", f"--cov-report=xml:{cobertura}"]
    env["PYTEST_ADDOPTS"] = " ".join([env.get("PYTEST_ADDOPTS", ""), *map(shlex.quote, options)]).strip()
    done = children.run_command(
        command, cwd=worktree, env=env, log=log, timeout_s=timeout_s, cancel=cancel, clock=clock
    )
    return CommandResult(
        run=command,
        exit_code=done.exit_code,
        duration_s=done.duration_s,
        log=log,
        cause=done.cause,
        tests=read_counts(junit if junit.exists() else None, log),
        coverage=read_coverage(cobertura if cobertura.exists() else None, log),
    )


def _why_not(
    wanted: Verify, results: Sequence[CommandResult], tests: Tests | None, coverage: float | None
) -> str | None:
    failed = next((r for r in results if not r.ok), None)
    if failed is not None:
        how = "took too long" if failed.cause == "timeout" else f"ended with exit code {failed.exit_code}"
        shown = f" ({tests.failed} failed, {tests.passed} passed)" if tests and tests.failed else ""
        return f"`{failed.run}` {how}{shown}"
    return short_of(wanted, None if tests is None else tests.passed, coverage)


def short_of(wanted: Verify, passed: int | None, coverage: float | None) -> str | None:
    """Which minimum of ``wanted`` the counts of a verification (tests passed, coverage in percent) do not reach."""
    if wanted.min_passed is not None:
        if passed is None:
            return f"no test count could be read from the output, and min_passed = {wanted.min_passed} needs one"
        if passed < wanted.min_passed:
            return f"{passed} tests passed, min_passed = {wanted.min_passed}"
    if wanted.min_coverage is not None:
        if coverage is None:
            return f"no coverage could be read from the output, and min_coverage = {wanted.min_coverage:g} needs one"
        if coverage < wanted.min_coverage:
            return f"coverage is {coverage:.2f} %, min_coverage = {wanted.min_coverage:g}"
    return None


def _sum(counts: Sequence[Tests | None]) -> Tests | None:
    known = [c for c in counts if c is not None]
    return sum(known[1:], known[0]) if known else None


def _left_behind(
    worktree: Path, before: Mapping[str, str | None], generated: Mapping[str, str], excludes: Path | None
) -> tuple[dict[str, str], list[str]]:
    """What the verification left: untracked files by their content (they are not work until somebody edits them), and
    tracked files that it changed (then what passed is not what is committed)."""
    now = sorted(worktrees.uncommitted(worktree, excludes))
    known = set(worktrees.tracked(worktree, now))
    new = [path for path in now if path not in known and (path not in before or path in generated)]
    changed = [p for p in now if p in known and (p not in before or before[p] != file_digest(worktree / p))]
    if len(new) > _MOST_LEFT:
        return {}, changed
    return {path: digest for path in new if (digest := file_digest(worktree / path))}, changed


def _keep_artifacts(patterns: Sequence[str], worktree: Path, target: Path) -> list[str]:
    warnings = []
    for pattern in patterns:
        found = sorted(worktree.glob(pattern))
        if not found:
            warnings.append(f"artifact {pattern} is not there")
        for path in found:
            to = target / path.relative_to(worktree)
            to.parent.mkdir(parents=True, exist_ok=True)
            if path.is_dir():
                shutil.copytree(path, to, dirs_exist_ok=True, symlinks=True)
            else:
                shutil.copy2(path, to)
    return warnings
