"""What is new in a transcript: whole lines behind the place up to which it was read."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

from br3.analytics.imports.transcripts import Transcript

LONGEST_LINE = 8 << 20
"""Bytes. A message is far shorter; what is longer is the result of a tool, which costs nothing by itself."""

USAGE = b'"usage":{'
"""What a line of Claude Code's that tells of usage has in it: its JSON is without spaces."""

_BLOCK = 1 << 18


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


class WholeLines:
    """The whole lines between two bytes of a file, a block at a time: a buffer, and how many bytes of it they fill.

    After the iteration ``end`` is where reading stopped, before a last line that has no end yet, and ``skipped`` the
    number of lines that were longer than LONGEST_LINE and looked like usage.
    """

    def __init__(self, descriptor: int, start: int, stop: int) -> None:
        self.end = start
        self.skipped = 0
        self._descriptor = descriptor
        self._stop = stop

    def __iter__(self) -> Iterator[tuple[bytearray, int]]:
        buffer = bytearray(min(_BLOCK, self._stop - self.end))
        at = os.lseek(self._descriptor, self.end, os.SEEK_SET)
        have = 0  # bytes at the beginning of the buffer that belong to a line without an end
        while at < self._stop:
            if have == LONGEST_LINE:
                if not self._step_over(at, buffer):
                    return
                at, have = self.end, 0
            elif have == len(buffer):
                buffer = buffer + bytes(have)
            count = os.readv(self._descriptor, [memoryview(buffer)[have : have + self._stop - at]])
            if not count:
                return  # it has become shorter
            at, filled = at + count, have + count
            length = buffer.rfind(b"\n", have, filled) + 1
            if length:
                yield buffer, length
                self.end += length
                buffer[: filled - length] = buffer[length:filled]
            have = filled - length

    def _step_over(self, at: int, beginning: bytearray) -> bool:
        """Go behind a line that is too long; False when it has no end yet."""
        usage = USAGE in beginning
        tail = bytes(beginning[-len(USAGE) :])
        while block := os.pread(self._descriptor, min(1 << 20, self._stop - at), at):
            found = block.find(b"\n")
            usage = usage or USAGE in tail + (block if found < 0 else block[:found])
            if found >= 0:
                self.end = os.lseek(self._descriptor, at + found + 1, os.SEEK_SET)
                self.skipped += usage
                return True
            tail = block[-len(USAGE) :]
            at += len(block)
        return False


def usage_lines(buffer: bytearray, length: int) -> list[memoryview]:
    """Those of the whole lines in a buffer that tell of usage; neighbours come as one piece."""
    found: list[memoryview] = []
    view = memoryview(buffer)
    first = last = 0
    hit = buffer.find(USAGE, 0, length)
    while hit >= 0:
        begin = buffer.rfind(b"\n", 0, hit) + 1
        if begin > last:
            found.append(view[first:last])
            first = begin
        last = buffer.find(b"\n", hit, length) + 1
        hit = buffer.find(USAGE, last, length)
    found.append(view[first:last])
    return found
