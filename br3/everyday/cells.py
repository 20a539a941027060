"""What is known of each worktree only after looking: filled in by a few threads, in the order in which it comes.

    changes     one git process for each worktree, and one more for the lines of those that have changes
    distances   from base and upstream, changed lines: at most 4 processes for all; none when the ids were seen before
    conflicts   with base: the answers that `br3 conflicts` keeps; 2 processes, 3 more for pairs not seen before
    builds      state, agent, cost: the journal and 3 processes, only where a worktree is a build's
    sizes       no process; what was measured lately stays

At most two threads for each core, eight at most.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

from br3.errors import Br3Error
from br3.everyday import answers, sizes
from br3.everyday.answers import Answer
from br3.everyday.seeing import Row, Seen
from br3.repo import worktrees
from br3.repo.changes import Changes, changes, uncommitted_lines
from br3.repo.distances import Distance, Pair, changed_lines, distances
from br3.repo.refs import CommitId
from br3.repo.runner import Git
from br3.workspace.notes import read_notes

if TYPE_CHECKING:
    from br3.dispatch.sessions import Session
    from br3.dispatch.standing import Standing
    from br3.plan.model import Build

KINDS = ("changes", "base", "upstream", "lines", "conflicts", "build", "size")
_MOST_THREADS = 8
_SPARE_S = 0.2
"""How long sizes may be measured when nobody asked for them."""


@dataclass
class Cells:
    """What was found of one worktree; None: not known, or there is nothing to know. ``coming`` are the KINDS that are
    still looked for."""

    changes: Changes | None = None
    base: Distance | None = None
    committed_lines: tuple[int, int] | None = None
    uncommitted_lines: tuple[int, int] | None = None
    upstream: tuple[int, int] | None = None
    upstream_gone: bool = False
    conflicts: tuple[str, ...] | None = None
    """Files in conflict with base when it was merged now, uncommitted work left aside; empty: none."""
    standing: Standing | None = None
    size_bytes: int | None = None
    problem: str | None = None
    coming: set[str] = field(default_factory=set)

    @property
    def lines(self) -> tuple[int, int] | None:
        """Lines added and removed since base, in commits and uncommitted."""
        known = [pair for pair in (self.committed_lines, self.uncommitted_lines) if pair is not None]
        return (sum(pair[0] for pair in known), sum(pair[1] for pair in known)) if known else None


class Filling:
    """The cells of all rows, from ``start`` on; ``waiting`` tells when there is more to show."""

    def __init__(self, seen: Seen, *, measure: bool = False, spare: bool = False) -> None:
        """``measure``: all sizes; ``spare``: as many as can be measured in a moment."""
        self._seen = seen
        self._measure = measure
        self._spare = spare
        self.cells = [Cells() for _ in seen.rows]
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._news: SimpleQueue[BaseException | None] = SimpleQueue()
        self._looked = [threading.Event() for _ in seen.rows]
        for row, cell in zip(seen.rows, self.cells, strict=True):
            if row.there:
                cell.coming |= {"changes", "lines", "size"}
            if row.head and seen.base_commit:
                cell.coming |= {"base", "lines", "conflicts"}
            if row.upstream:
                cell.coming.add("upstream")
            if row.build:
                cell.coming.add("build")

    def waiting(self, pause_s: float = 0.05) -> Iterator[None]:
        """Look, and yield as often as something came, at most every ``pause_s`` seconds; ends when all is there."""
        jobs: list[Callable[[], None]] = [self._history]
        jobs += [partial(self._look_into, number) for number, row in enumerate(self._seen.rows) if row.there]
        threads = min(_MOST_THREADS, 2 * (os.cpu_count() or 1), len(jobs))
        for job in jobs:
            self._jobs.put(job)
        for _ in range(threads):
            self._jobs.put(None)
        for _ in range(threads):
            threading.Thread(target=self._work, daemon=True).start()
        alone = [self._sizes]
        if any(row.build for row in self._seen.rows):
            alone.append(self._builds)
        for job in alone:
            threading.Thread(target=self._guarded, args=(job,), daemon=True).start()
        left = len(jobs) + len(alone)
        while left:
            left -= self._take(self._news.get())
            until = time.monotonic() + pause_s
            while left:
                try:
                    left -= self._take(self._news.get(timeout=max(0.0, until - time.monotonic())))
                except Empty:
                    break
            yield
        for cell in self.cells:
            cell.coming.clear()

    def finish(self) -> None:
        """Look, and wait for all of it."""
        for _ in self.waiting(0.0):
            pass

    def _take(self, news: BaseException | None) -> int:
        if news is not None:
            raise news
        return 1

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            self._guarded(job)

    def _guarded(self, job: Callable[[], None]) -> None:
        try:
            job()
        except BaseException as error:
            self._news.put(error)
        else:
            self._news.put(None)

    def _look_into(self, number: int) -> None:
        row, cell = self._seen.rows[number], self.cells[number]
        excludes = self._seen.repository.br3_dir / "excludes"
        ours = bool(row.build or row.ready) and excludes.exists()
        try:
            found = changes(row.path, excludes if ours else None, each_untracked=bool(row.build))
            if found.tracked and row.head:
                cell.uncommitted_lines = uncommitted_lines(row.path, found)
            cell.changes = _without(found, _left_by_setup(row, found)) if ours else found
        except (Br3Error, OSError) as error:
            cell.problem = str(error).splitlines()[0]
        finally:
            cell.coming.discard("changes")
            if not cell.coming & {"base"}:
                cell.coming.discard("lines")
            self._looked[number].set()

    def _history(self) -> None:
        try:
            self._distances()
            self._conflicts()
        except Br3Error as error:
            for cell in self.cells:
                cell.problem = cell.problem or error.message.splitlines()[0]
        finally:
            for cell in self.cells:
                cell.coming -= {"base", "upstream", "conflicts"}
                if "changes" not in cell.coming:
                    cell.coming.discard("lines")

    def _distances(self) -> None:
        seen = self._seen
        git, base = seen.repository.git, seen.base_commit
        upstreams = _tips(git, {row.upstream for row in seen.rows if row.upstream})
        from_base = {n: (base, row.head) for n, row in enumerate(seen.rows) if base and row.head}
        from_upstream = {
            n: (upstreams[row.upstream], row.head)
            for n, row in enumerate(seen.rows)
            if row.upstream in upstreams and row.upstream and row.head
        }
        kept = answers.known(seen.repository.common_dir)
        wanted: list[Pair] = [*from_base.values(), *from_upstream.values()]
        fresh = _answers(git, [pair for pair in dict.fromkeys(wanted) if pair not in kept])
        answers.keep(seen.repository.common_dir, fresh)
        kept |= fresh
        for number, pair in from_base.items():
            cell, row = self.cells[number], seen.rows[number]
            if row.branch != seen.base:
                cell.base, cell.committed_lines = kept[pair].distance, kept[pair].lines
            cell.coming -= {"base"}
            if "changes" not in cell.coming:
                cell.coming.discard("lines")
        for number, pair in from_upstream.items():
            distance = kept[pair].distance
            self.cells[number].upstream = (distance.ahead, distance.behind)
        for cell, row in zip(self.cells, seen.rows, strict=True):
            cell.upstream_gone = row.upstream is not None and row.upstream not in upstreams
            cell.coming.discard("upstream")

    def _conflicts(self) -> None:
        seen, base = self._seen, self._seen.base_commit
        asked: dict[int, Pair] = {}
        for number, (row, cell) in enumerate(zip(seen.rows, self.cells, strict=True)):
            if base and row.head and cell.base is not None:
                cell.conflicts = ()
                if cell.base.ahead and cell.base.behind:  # else there is nothing to merge
                    asked[number] = (base, row.head)
        if not asked or base is None:
            return
        from br3.dispatch.conflict_answers import Answers

        known = Answers(seen.repository.git).ask(base, asked.values())
        for number, pair in asked.items():
            conflict = known[pair]
            self.cells[number].conflicts = () if conflict is None else conflict.files or ("(all of it)",)

    def _builds(self) -> None:
        from br3.dispatch.sessions import find
        from br3.dispatch.standing import standings

        mine = {row.build: number for number, row in enumerate(self._seen.rows) if row.build}
        try:
            session = find(self._seen.repository)
            if session is not None:
                builds = _builds_of(session, mine)
                dirt = {}
                for build in builds:
                    number = mine[build.id]
                    if self._seen.rows[number].there:
                        self._looked[number].wait()
                    found = self.cells[number].changes
                    dirt[build.id] = found.paths if found else ()
                for standing in standings(session, builds, dirt):
                    self.cells[mine[standing.id]].standing = standing
        except Br3Error as error:
            for number in mine.values():
                self.cells[number].problem = error.message.splitlines()[0]
        finally:
            for number in mine.values():
                self.cells[number].coming.discard("build")

    def _sizes(self) -> None:
        common_dir = self._seen.repository.common_dir
        kept = sizes.known(common_dir)
        stale: list[tuple[float, int, Path]] = []
        for number, row in enumerate(self._seen.rows):
            if row.there:
                directory = worktrees.git_dir(row.path) or row.path / ".git"
                size = kept.get(os.path.realpath(row.path))
                self.cells[number].size_bytes = size.bytes if size else None
                if size is None or not size.is_fresh(row.path, directory):
                    stale.append((size.when if size else 0.0, number, directory))
                else:
                    self.cells[number].coming.discard("size")
        if not self._measure and self._spare:
            for number, row in enumerate(self._seen.rows):
                if row.there:
                    self._looked[number].wait()  # what people look at comes first
        deadline = None if self._measure else time.monotonic() + _SPARE_S
        fresh: dict[str, sizes.Size] = {}
        for _, number, directory in sorted(stale) if self._measure or self._spare else ():
            path = self._seen.rows[number].path
            measured = sizes.measure(path, directory, deadline)
            if measured is None:
                break
            fresh[os.path.realpath(path)] = measured
            self.cells[number].size_bytes = measured.bytes
            self.cells[number].coming.discard("size")
        if fresh:
            sizes.keep(common_dir, fresh)


def _answers(git: Git, pairs: list[Pair]) -> dict[Pair, Answer]:
    found = distances(git, pairs)
    forks = {pair: (distance.fork, pair[1]) for pair, distance in found.items() if distance.fork and distance.ahead}
    lines = changed_lines(git, [(fork, tip) for fork, tip in forks.values() if fork])
    told: dict[Pair, Answer] = {}
    for pair, distance in found.items():
        fork = forks.get(pair)
        told[pair] = Answer(distance, lines.get((fork[0], fork[1]), (0, 0)) if fork and fork[0] else (0, 0))
    return told


def _tips(git: Git, names: set[str]) -> dict[str, CommitId]:
    """Where refs point, by full name; those that are gone are left out."""
    if not names:
        return {}
    told = git("for-each-ref", "--format=%(refname) %(objectname)", *sorted(names)).lines
    found = dict(line.split(" ") for line in told)
    return {name: CommitId(found[name]) for name in names if name in found}


def _builds_of(session: Session, wanted: dict[str, int]) -> list[Build]:
    from br3.dispatch.sessions import departed

    known = [build for build in session.plan.builds if build.id in wanted]
    if len(known) < len(wanted):
        known += [build for build in departed(session) if build.id in wanted]
    return known


def _left_by_setup(row: Row, found: Changes) -> set[str]:
    """Those of the changed paths that set-up wrote, byte for byte: nobody's work."""
    left = read_notes(row.path).get("left") or {}
    mine = [path for path in found.paths if path in left]
    if not mine:
        return set()
    from br3.repo.snapshots import file_digest

    return {path for path in mine if file_digest(row.path / path) == left[path]}


def _without(found: Changes, paths: set[str]) -> Changes:
    untracked = [path for path in found.paths if path in paths and path not in found.tracked]
    kept = tuple(path for path in found.paths if path not in untracked)
    return Changes(
        found.staged, found.modified, found.untracked - len(untracked), found.conflicted, kept, found.tracked
    )
