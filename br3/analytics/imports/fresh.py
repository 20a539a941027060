"""What is new in a transcript: whole lines behind the place up to which it was read."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

from br3.analytics.imports.transcripts import Transcript

LONGEST_LINE = 8 << 20
"""Bytes. A message is far shorter; what is longer is the result of a tool, which costs nothing by itself."""

USAGE = b'"usage":{'
_BLOCK = 1 << 16


@dataclass(frozen=True, slots=True)
class Offset:
    """How far a transcript was read: whole lines up to ``size_read`` bytes, when it looked like this.

    ``state`` is what a reader needs to go on in the middle of a file, as JSON; None where lines stand for themselves.
    """

    path: str
    size_read: int
    mtime_ns: int
    inode: int
    state: str | None = None


def begin(file: Transcript, known: Offset | None) -> Offset | None:
    """Where to go on reading; None when nothing can be new. A file that shrank or is another one is read from 0."""
    if known is None or known.inode != file.inode or file.size < known.size_read:
        return Offset(file.path, 0, 0, file.inode)
    if known.size_read == file.size and known.mtime_ns == file.mtime_ns:
        return None
    return known


@dataclass
class Pieces:
    """The whole lines between two bytes of a file, in pieces of at most LONGEST_LINE bytes: (offset, length).

    After the iteration ``end`` is where reading stopped, before a last line that has no end yet, and ``skipped`` the
    number of lines that were too long and looked like usage.
    """

    descriptor: int
    start: int
    stop: int
    skipped: int = 0

    def __post_init__(self) -> None:
        self.end = self.start

    def __iter__(self) -> Iterator[tuple[int, int]]:
        while self.end < self.stop:
            limit = min(self.end + LONGEST_LINE, self.stop)
            cut = self._last_newline(self.end, limit)
            if cut is not None:
                yield self.end, cut + 1 - self.end
                self.end = cut + 1
            elif limit == self.stop or not self._step_over():
                return

    def _last_newline(self, first: int, limit: int) -> int | None:
        while limit > first:
            at = max(first, limit - _BLOCK)
            found = os.pread(self.descriptor, limit - at, at).rfind(b"\n")
            if found >= 0:
                return at + found
            limit = at
        return None

    def _step_over(self) -> bool:
        """Go behind a line that is too long; False when it has no end yet."""
        at, tail, usage = self.end, b"", False
        while block := os.pread(self.descriptor, min(1 << 20, self.stop - at), at):
            found = block.find(b"\n")
            usage = usage or USAGE in tail + (block if found < 0 else block[:found])
            if found >= 0:
                self.end = at + found + 1
                self.skipped += usage
                return True
            tail = block[-len(USAGE) :]
            at += len(block)
        return False
