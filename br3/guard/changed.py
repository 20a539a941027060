"""Inspects what a diff added: the lines themselves, and SQL in the files that they are part of."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

from br3.guard import contents, sql
from br3.guard.exemptions import baseline_path, skipped_rules, sort_out
from br3.guard.findings import Finding, Outcome
from br3.guard.patches import OPTIONS, Change, read_changes, read_names
from br3.guard.plumbing import Objects, ask
from br3.guard.settings import MAX_BYTES, Settings
from br3.secrets import matching

MOST_BYTES = 64 * 1024 * 1024
"""A diff is read in one go up to this size, beyond in portions; a file that alone is beyond is left out."""

# From so many files on, what larger data needs is worth its preparation.
_MANY = 100
_SOURCES = sql.PYTHON + sql.SCRIPT
_NAMES_ONLY = tuple(option for option in OPTIONS if option != "-p")
PORTION_PATHS = 200
"""So many paths are given to one git process: the words of a command have a limit."""


class Looking:
    """What an inspection of diffs needs: the repository, the settings, the ways out. Results go to ``outcome``."""

    __slots__ = ("_known", "_sources", "directory", "objects", "outcome", "settings", "skipped")

    def __init__(self, directory: str, settings: Settings, objects: Objects, outcome: Outcome) -> None:
        self.directory = directory
        self.settings = settings
        self.objects = objects
        self.outcome = outcome
        self.skipped = skipped_rules(os.environ)
        self._known: dict[str, bool] = {}
        self._sources: dict[str, bytes] = {}

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
        if len(changes) > _MANY:
            matching.prepare()
        self._read_sources(changes)
        for change in changes:
            if not change.is_file:
                continue
            if self.settings.ignores(change.path):
                self.outcome.ignored.append(change.path)
                self.outcome.skip("ignored")
                continue
            most = self.settings.max_bytes
            added = change.added_bytes if change.is_read else self.objects.sizes([change.blob]).get(change.blob, 0)
            if most and added > most:
                self.take([contents.oversize(change.path, added, most)], commit=commit)
            if change.is_read:
                self.outcome.scanned += 1
                self.take(self._inspect(change), change, commit)
            else:
                self.outcome.skip("large")

    def _inspect(self, change: Change) -> list[Finding]:
        if not change.added:
            return []
        numbers = [number for number, _ in change.added]
        data = contents.plain(b"\n".join(line for _, line in change.added))
        found = contents.inspect(change.path, data, numbers)
        if change.path.endswith(_SOURCES):
            content = self._whole(change, data)
            if content is not None:
                found += contents.built_sql(change.path, content, set(numbers))
        return found

    def _read_sources(self, changes: list[Change]) -> None:
        """Read the source files that lines were added to all at once; what is too much is read one by one."""
        self._sources = {}
        sources = [change for change in changes if _is_changed_source(change)]
        wanted = [change.blob for change in sources if not self.settings.ignores(change.path)]
        if len(wanted) < 2:
            return
        most, left = self.settings.max_bytes or MAX_BYTES, MOST_BYTES
        some = []
        for blob, size in self.objects.sizes(wanted).items():
            if size <= min(most, left):
                some.append(blob)
                left -= size
        self._sources = self.objects.contents(some)

    def _whole(self, change: Change, added: bytes) -> bytes | None:
        """The file that lines were added to; None when it is too large to be parsed."""
        most = self.settings.max_bytes or MAX_BYTES
        if change.status == "A":
            return added if len(added) <= most else None
        if change.blob in self._sources:
            return contents.plain(self._sources[change.blob])
        if self.objects.sizes([change.blob]).get(change.blob, most + 1) > most:
            return None
        content = self.objects.content(change.blob)
        return None if content is None else contents.plain(content)

    def _in_baseline(self, name: str) -> bool:
        """By the index: a partial commit does not take along what was accepted but isn't part of it."""
        if name not in self._known:
            path = ":" + baseline_path(name)
            self._known[name] = path in self.objects.sizes([path])
        return self._known[name]


def _is_changed_source(change: Change) -> bool:
    """Whether the whole file has to be read, since its statements may be longer than what was added."""
    is_source = change.is_file and change.is_read and change.path.endswith(_SOURCES)
    return is_source and change.status != "A" and len(change.added) > 0


def only_new(changes: list[Change], others: list[Change]) -> list[Change]:
    """Of ``changes``, made against one commit, what is new against another as well: its files, and their lines."""
    by_path = {change.path: change for change in others}
    new = [change for change in changes if change.path in by_path]
    for change in new:
        other = by_path[change.path]
        if other.is_read:
            numbers = {number for number, _ in other.added}
            change.added = [(number, line) for number, line in change.added if number in numbers]
            change.status = "M"  # what is left is no longer all of a file, though it may be new
    return new


def changes_of(looking: Looking, *command: str, before: tuple[str, ...] = (), only: Sequence[str] = ()) -> list[Change]:
    """The changes of one diff: ``command``, git's options, the words ``before`` the paths, ``only`` these paths.

    What is larger than ``MOST_BYTES`` is read in portions; a file is not read when both it and its own diff are larger.
    """

    def asked(options: tuple[str, ...], paths: Sequence[str], most: int | None) -> bytes | None:
        specs = ("--", *(f":(top,literal){path}" for path in paths)) if paths else ()
        return ask(*command, *options, *before, *specs, directory=looking.directory, most=most)

    printed = asked(OPTIONS, only, MOST_BYTES)
    if printed is not None:
        return read_changes(printed)[0]
    names, _ = read_names(asked(_NAMES_ONLY, only, None) or b"")
    sizes = looking.objects.sizes(change.blob for change in names if change.is_file)
    whole: list[Change] = []
    for some in _portions(names, sizes):
        paths = list(dict.fromkeys(name for change in some for name in (change.before, change.path)))
        printed = asked(OPTIONS, paths, MOST_BYTES if sizes.get(some[0].blob, 0) > MOST_BYTES else None)
        if printed is None:
            some[0].is_read = False
            whole += some
        else:
            whole += read_changes(printed)[0]
    return whole


def _portions(changes: list[Change], sizes: dict[str, int]) -> Iterator[list[Change]]:
    """Changes that are read together, below ``MOST_BYTES`` unless it is one alone."""
    some: list[Change] = []
    size = 0
    for change in changes:
        more = sizes.get(change.blob, 0)
        if some and (size + more > MOST_BYTES or len(some) == PORTION_PATHS):
            yield some
            some, size = [], 0
        some.append(change)
        size += more
    if some:
        yield some
