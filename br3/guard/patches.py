"""Reads what ``git diff --raw -p -z`` and ``git diff-tree --stdin`` print: which lines were added, to which file.

The raw part names the files, byte for byte, whatever is in their names; the patches follow in the same order, so
their own headers, which quote names by rules of their own, need not be understood. Hunks are read by the numbers in
their headers, so that no added line can be taken for a header.

Format: git-diff(1), "raw output format" and "generating patch text with -p".
"""

from __future__ import annotations

import os
import re

# Against every setting and attribute that would hide or dress up a line (a missing diff.orderFile is fatal). No copies,
# no context: only what was added. Names of what was deleted are wanted, its lines are not.
OPTIONS = (
    "--raw", "-p", "-z", "--no-abbrev", "--full-index", "--text", "--no-ext-diff", "--no-textconv", "--no-color",
    "--no-color-moved", "--ws-error-highlight=none", "--src-prefix=a/", "--dst-prefix=b/", "-U0",
    "--inter-hunk-context=0", "--no-relative", "-O/dev/null", "--ignore-submodules=none", "--submodule=short",
    "--find-renames", "--irreversible-delete", "--diff-algorithm=default", "--output-indicator-new=+",
    "--output-indicator-old=-", "--output-indicator-context= ",
)  # fmt: skip

_HUNK = re.compile(rb"@@ -\d+(?:,(\d+))? \+(\d+)(?:,(\d+))? @@")
_SECTION = b"diff --git "


class Change:
    """One changed file.

    ``path`` is its new name (of a deleted file its last), ``before`` its old one. ``status`` is git's letter, ``mode``
    and ``blob`` what it is now. ``added`` are (line number, line without its end); ``is_read`` says whether they are
    known.
    """

    __slots__ = ("added", "before", "blob", "is_read", "mode", "path", "status")

    def __init__(self, mode: bytes, blob: bytes, status: bytes, before: bytes, path: bytes) -> None:
        self.mode = mode
        self.blob = blob.decode()
        self.status = status[:1].decode()
        self.before = os.fsdecode(before)
        self.path = os.fsdecode(path)
        self.added: list[tuple[int, bytes]] = []
        self.is_read = True

    @property
    def is_file(self) -> bool:
        """Whether there is a regular file now: no link, no submodule, not deleted."""
        return self.mode.startswith(b"100")

    @property
    def added_bytes(self) -> int:
        """How many bytes the added lines have, their ends included."""
        return sum(len(line) for _, line in self.added) + len(self.added)


def read_changes(printed: bytes, at: int = 0) -> tuple[list[Change], int]:
    """The changes of one diff that begins at ``at``, and where it ends."""
    changes, at = read_names(printed, at)
    if printed[at : at + 1] in (b"\0", b"\n"):
        at += 1
    for change in changes:
        # What becomes of another type is shown as a deletion and an addition. Unmerged files have no patch.
        for _ in range({"U": 0, "T": 2}.get(change.status, 1)):
            at = _read_section(printed, _after_unmerged(printed, at), change.added)
    return changes, at


def read_names(printed: bytes, at: int = 0) -> tuple[list[Change], int]:
    """The changes of one diff without what was added, and where its raw part ends."""
    changes = []
    while printed[at : at + 1] == b":":
        end = printed.index(b"\0", at)
        _, mode, _, blob, status = printed[at + 1 : end].split(b" ")
        at = printed.index(b"\0", end + 1) + 1
        before = path = printed[end + 1 : at - 1]
        if status[:1] in (b"R", b"C"):
            end = printed.index(b"\0", at)
            path, at = printed[at:end], end + 1
        changes.append(Change(mode, blob, status, before, path))
    return changes, at


def _after_unmerged(printed: bytes, at: int) -> int:
    while printed.startswith(b"* Unmerged path ", at):
        at = _next_line(printed, at)
    return at


def _read_section(printed: bytes, at: int, added: list[tuple[int, bytes]]) -> int:
    """Read the patch of one file into ``added``; where it ends."""
    if not printed.startswith(_SECTION, at):
        return at
    del added[:]
    at = _next_line(printed, at)
    while printed.startswith(_HEADS, at):
        at = _next_line(printed, at)
    while (hunk := _HUNK.match(printed, at)) is not None:
        old = int(hunk[1] or 1)
        number = int(hunk[2])
        last = number + int(hunk[3] or 1)
        at = _next_line(printed, at)
        while at < len(printed) and (old or number < last):
            end = printed.find(b"\n", at)
            end = len(printed) if end < 0 else end
            sign = printed[at : at + 1]
            if sign == b"+":
                added.append((number, printed[at + 1 : end]))
                number += 1
            elif sign == b"-":
                old -= 1
            elif sign != b"\\":
                old, number = old - 1, number + 1
            at = end + 1
        if printed.startswith(b"\\", at):
            at = _next_line(printed, at)
    return at


# The lines between a section's head and its hunks; anything else belongs to what follows.
_HEADS = (
    b"old mode ", b"new mode ", b"deleted file mode ", b"new file mode ", b"copy from ", b"copy to ", b"rename from ",
    b"rename to ", b"similarity index ", b"dissimilarity index ", b"index ", b"--- ", b"+++ ", b"Binary files ",
)  # fmt: skip


def _next_line(printed: bytes, at: int) -> int:
    end = printed.find(b"\n", at)
    return len(printed) if end < 0 else end + 1
