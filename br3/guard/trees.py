"""Scans files as they lie in a worktree: tracked ones and those that are new and not ignored.

Not for hooks: it uses ``br3.repo``. Symbolic links are never followed. Many files are shared out to forked processes,
which send back what they found through a pipe; nothing else is shared, and no order changes the outcome.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from br3.errors import Br3Error, UsageError
from br3.guard import contents
from br3.guard.exemptions import baseline_path, skipped_rules, sort_out
from br3.guard.findings import Finding, Outcome
from br3.guard.settings import MAX_BYTES, Settings
from br3.repo import Git
from br3.secrets import matching

_FILES_A_PROCESS = 250
"""Below this a process costs more than it saves."""


def files(root: Path, paths: Sequence[Path] = ()) -> list[str]:
    """The files to scan, relative to ``root`` and sorted: all of the worktree, or those at or below ``paths``.

    A file that is named itself is scanned whether ignored or not. Without git, everything below the paths is.
    """
    if not paths:
        return _listed(root)
    found: set[str] = set()
    for path in paths:
        if not os.path.lexists(path):
            raise UsageError(f"{path} does not exist")
        name = os.path.relpath(path, root)
        if not path.is_dir():
            found.add(name)
        elif name.startswith("..") or not (root / ".git").exists():
            found.update(_walked(root, path))
        else:
            found.update(_listed(root, name))
    return sorted(found)


def scan(root: Path, names: Sequence[str], settings: Settings, *, processes: int | None = None) -> Outcome:
    """What is wrong in these files. ``processes``: None for as many as pay."""
    if processes is None:
        processes = min(_processors(), len(names) // _FILES_A_PROCESS)
    outcome = _forked(root, names, settings, processes) if processes > 1 else _scan(root, names, settings)
    outcome.sort()
    return outcome


def _listed(root: Path, below: str = ".") -> list[str]:
    words = (
        "ls-files",
        "-z",
        "--cached",
        "--others",
        "--exclude-standard",
        "--deduplicate",
        "--",
        f":(literal){below}",
    )
    return sorted(Git(root)(*words).fields)


def _walked(root: Path, directory: Path) -> Iterator[str]:
    for place, directories, names in os.walk(directory):
        directories[:] = [name for name in directories if name != ".git"]
        for name in names:
            yield os.path.relpath(os.path.join(place, name), root)


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _scan(root: Path, names: Sequence[str], settings: Settings) -> Outcome:
    outcome = Outcome()
    skipped = skipped_rules(os.environ)
    most_bytes = settings.max_bytes or MAX_BYTES
    base = os.path.join(root, "")
    for name in names:
        if settings.ignores(name):
            outcome.ignored.append(name)
            outcome.skip("ignored")
            continue
        data = _read(base + name, most_bytes, outcome)
        if data is None:
            continue
        outcome.scanned += 1
        low = data.lower()
        found = contents.inspect(name, data, low=low) + contents.built_sql(name, data, None, low)
        if found:
            _sort_out(root, data, found, outcome, settings, skipped)
    return outcome


def _sort_out(
    root: Path, data: bytes, found: list[Finding], outcome: Outcome, settings: Settings, skipped: frozenset[str]
) -> None:
    lines = data.split(b"\n")

    def line_of(_: Finding, number: int) -> bytes | None:
        return lines[number - 1] if 1 <= number <= len(lines) else None

    wanted = [finding for finding in found if finding.rule not in settings.off]
    in_baseline = _Baseline(root)
    sort_out(wanted, outcome, skipped=skipped, line_of=line_of, in_baseline=in_baseline)


class _Baseline:
    """Whether a digest is in the baseline of a worktree."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def __call__(self, name: str) -> bool:
        return os.path.isfile(os.path.join(self.root, baseline_path(name)))


def _read(path: str, most_bytes: int, outcome: Outcome) -> bytes | None:
    """The text of a regular file, without NULs; None, counted, when there is none to look at."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None  # tracked, and deleted here
    except OSError:
        outcome.skip("link" if os.path.islink(path) else "unreadable")
        return None
    try:
        about = os.fstat(descriptor)
        if not stat.S_ISREG(about.st_mode):
            return None  # a submodule, another repository within this one, a pipe
        if about.st_size > most_bytes:
            outcome.skip("large")
            return None
        data = os.read(descriptor, about.st_size + 1)
        while about.st_size < len(data) <= most_bytes and (more := os.read(descriptor, most_bytes)):
            data += more  # it has grown
    except OSError:
        outcome.skip("unreadable")
        return None
    finally:
        os.close(descriptor)
    if contents.is_binary(data):
        outcome.skip("binary")
        return None
    return contents.plain(data)


def _forked(root: Path, names: Sequence[str], settings: Settings, processes: int) -> Outcome:
    """Share out the files; this process takes the first share."""
    matching.prepare()
    children = [_fork(root, names[number::processes], settings) for number in range(1, processes)]
    outcome = _scan(root, names[::processes], settings)
    for pid, descriptor in children:
        with open(descriptor, "rb") as answer:
            told = answer.read()
        if os.waitpid(pid, 0)[1] != 0:
            raise Br3Error("a process that scanned files did not come to an end", hint="BR3_DEBUG=1 br3 scan --all")
        outcome.add(_unpacked(json.loads(told)))
    return outcome


def _fork(root: Path, names: Sequence[str], settings: Settings) -> tuple[int, int]:
    ours, theirs = os.pipe()
    pid = os.fork()
    if pid:
        os.close(theirs)
        return pid, ours
    status = 1
    try:
        os.close(ours)
        told = json.dumps(_packed(_scan(root, names, settings))).encode()
        with open(theirs, "wb") as answer:
            answer.write(told)
        status = 0
    finally:
        os._exit(status)


def _packed(outcome: Outcome) -> dict[str, Any]:
    def fields(finding: Finding) -> list[Any]:
        f = finding
        return [f.file, f.line, f.rule, f.severity, f.masked, f.fix, f.content.decode("latin-1")]

    return {
        "findings": [fields(finding) for finding in outcome.findings],
        "allowed": [[fields(finding), use] for finding, use in outcome.allowed],
        "ignored": outcome.ignored,
        "scanned": outcome.scanned,
        "skipped": outcome.skipped,
        "digests": list(outcome.digests),
    }


def _unpacked(told: dict[str, Any]) -> Outcome:
    def finding(fields: list[Any]) -> Finding:
        file, line, rule, severity, masked, fix, content = fields
        return Finding(file, line, rule, severity, masked, fix, content.encode("latin-1"))

    outcome = Outcome()
    outcome.findings = [finding(fields) for fields in told["findings"]]
    outcome.allowed = [(finding(fields), use) for fields, use in told["allowed"]]
    outcome.ignored = told["ignored"]
    outcome.scanned = told["scanned"]
    outcome.skipped = told["skipped"]
    outcome.digests = set(told["digests"])
    return outcome
