"""Bytes of many transcripts as a few files that DuckDB reads fast: thousands of small ones cost it seconds."""

from __future__ import annotations

import os
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

SLICE_BYTES = 32 << 20
"""As much as DuckDB reads at once."""


class Slice:
    """A file to fill and read again and again, in memory where the system has such files, else in ``scratch``."""

    def __init__(self, scratch: Path) -> None:
        self._on_disk: str | None = None
        if sys.platform == "linux":
            self._descriptor = os.memfd_create("br3", os.MFD_CLOEXEC)
            self.path = f"/proc/self/fd/{self._descriptor}"
        else:
            self._descriptor, self._on_disk = tempfile.mkstemp(prefix="br3-import-", dir=scratch)
            self.path = self._on_disk
        self.size = 0

    def add(self, data: bytes) -> None:
        """Add whole lines."""
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(self._descriptor, rest) :]
        self.size += len(data)

    def seal(self) -> None:
        """Make the file as long as what was added since the last ``clear``, to be read."""
        os.ftruncate(self._descriptor, self.size)

    def clear(self) -> None:
        """Begin anew, over what is there: fresh pages are dear."""
        os.lseek(self._descriptor, 0, os.SEEK_SET)
        self.size = 0

    def close(self) -> None:
        """Let it go, with what is in it."""
        os.close(self._descriptor)
        if self._on_disk is not None:
            with suppress(FileNotFoundError):
                os.unlink(self._on_disk)
