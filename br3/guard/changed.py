"""Inspects what a diff added: the lines themselves, and SQL in the files that they are part of."""

from __future__ import annotations

import os

from br3.guard import contents, sql
from br3.guard.exemptions import baseline_path, skipped_rules, sort_out
from br3.guard.findings import Finding, Outcome
from br3.guard.patches import OPTIONS, Change, read_names
from br3.guard.plumbing import Objects, ask
from br3.guard.settings import Settings

MOST_BYTES = 64 * 1024 * 1024
"""A diff is read in one go up to this size; beyond, files that are too large are left out first."""

_NAMES_ONLY = tuple(option for option in OPTIONS if option != "-p")


class Looking:
    """What an inspection of diffs needs: the repository, the settings, the ways out. Results go to ``outcome``."""

    __slots__ = ("_known", "directory", "objects", "outcome", "settings", "skipped")

    def __init__(self, directory: str, settings: Settings, objects: Objects, outcome: Outcome) -> None:
        self.directory = directory
        self.settings = settings
        self.objects = objects
        self.outcome = outcome
        self.skipped = skipped_rules(os.environ)
        self._known: dict[str, bool] = {}

    def most_bytes(self) -> int:
        """A file larger than this is not looked at."""
        return self.settings.max_bytes or MOST_BYTES

    def take(self, found: list[Finding], change: Change | None = None, commit: str | None = None) -> None:
        """Add findings to the outcome, or to what is allowed there."""
        lines: dict[int, bytes] | None = dict(change.added) if change is not None else None
        whole: list[bytes] | None = None

        def line_of(_: Finding, number: int) -> bytes | None:
            nonlocal whole
            if lines is None or change is None or number < 1:
                return None
            if number in lines:
                return contents.plain(lines[number])
            if whole is None:
                whole = contents.plain(self.objects.content(change.blob) or b"").split(b"\n")
            return whole[number - 1] if number <= len(whole) else None

        for finding in found:
            finding.commit = commit
        wanted = [finding for finding in found if finding.rule not in self.settings.off]
        sort_out(wanted, self.outcome, skipped=self.skipped, line_of=line_of, in_baseline=self._in_baseline)

    def look(self, changes: list[Change], commit: str | None = None) -> None:
        """Inspect what was added to the files of one diff."""
        files = [change for change in changes if change.is_file]
        sizes = self.objects.sizes(change.blob for change in files)
        for change in files:
            if self.settings.ignores(change.path):
                self.outcome.ignored.append(change.path)
                self.outcome.skip("ignored")
            elif self.settings.max_bytes and sizes.get(change.blob, 0) > self.settings.max_bytes:
                self.outcome.skip("large")
                finding = contents.oversize(change.path, sizes[change.blob], self.settings.max_bytes)
                self.take([finding], commit=commit)
            else:
                self.outcome.scanned += 1
                self.take(self._inspect(change), change, commit)

    def _inspect(self, change: Change) -> list[Finding]:
        if not change.added:
            return []
        numbers = [number for number, _ in change.added]
        data = contents.plain(b"\n".join(line for _, line in change.added))
        found = contents.inspect(change.path, data, numbers)
        if change.path.endswith(sql.PYTHON + sql.SCRIPT):
            content = self.objects.content(change.blob)
            if content is not None:
                found += contents.built_sql(change.path, contents.plain(content), set(numbers))
        return found

    def _in_baseline(self, name: str) -> bool:
        """By the index: a partial commit does not take along what was accepted but isn't part of it."""
        if name not in self._known:
            path = ":" + baseline_path(name)
            self._known[name] = path in self.objects.sizes([path])
        return self._known[name]


def only_new(changes: list[Change], others: list[Change]) -> list[Change]:
    """Of ``changes``, made against one commit, what is new against another as well: its files, and their lines."""
    lines = {change.path: {number for number, _ in change.added} for change in others}
    new = [change for change in changes if change.path in lines]
    for change in new:
        change.added = [(number, line) for number, line in change.added if number in lines[change.path]]
    return new


def without_large(looking: Looking, *command: str) -> tuple[list[Change], list[str]]:
    """The large files of a diff, and pathspecs that leave them out of it. ``command`` is asked for names only."""
    printed = ask(*command, *_NAMES_ONLY, directory=looking.directory) or b""
    changes, _ = read_names(printed)
    sizes = looking.objects.sizes(change.blob for change in changes if change.is_file)
    large = [change for change in changes if sizes.get(change.blob, 0) > looking.most_bytes()]
    return large, ["--", *(f":(top,exclude,literal){change.path}" for change in large)] if large else []
