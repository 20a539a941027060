"""Files that grow, by lines; memory stays bounded whatever is written into them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

CHUNK_BYTES = 256 * 1024
LONGEST_LINE_BYTES = 6 << 20
"""Lines of 3.5 MB are normal; what is longer than this is cut."""
MOST_BYTES = 8 << 20
"""How much is read at once, so that limits are looked at in between however fast a file grows."""


class Followed:
    """Feeds a growing file by lines, split on newline bytes only."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self._rest = bytearray()

    @property
    def offset(self) -> int:
        """How many bytes have been read."""
        return self._offset

    def feed(self, take: Callable[[bytes], None], *, last: bool = False) -> bool:
        """Give ``take`` the lines that are new; returns whether there may be more at once.

        With ``last`` all that is left is read, and what follows the last newline is a line too.
        """
        budget = MOST_BYTES
        try:
            with self._path.open("rb") as source:
                source.seek(self._offset)
                while last or budget > 0:
                    chunk = source.read(CHUNK_BYTES)
                    if not chunk:
                        break
                    self._offset += len(chunk)
                    budget -= len(chunk)
                    self._split(chunk, take)
        except FileNotFoundError:
            return False
        if last and self._rest:
            self._give(b"", take)
        return budget <= 0

    def _split(self, chunk: bytes, take: Callable[[bytes], None]) -> None:
        begin = 0
        while (end := chunk.find(b"\n", begin)) >= 0:
            if self._rest:
                self._give(chunk[begin:end], take)
            else:
                take(chunk[begin:end])
            begin = end + 1
        room = LONGEST_LINE_BYTES - len(self._rest)
        self._rest += chunk[begin : begin + max(0, room)]

    def _give(self, end: bytes, take: Callable[[bytes], None]) -> None:
        self._rest += end[: max(0, LONGEST_LINE_BYTES - len(self._rest))]
        line = bytes(self._rest)
        self._rest = bytearray()
        take(line)
