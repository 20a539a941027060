"""What is new in transcripts, on its way into the table of lines.

One thread picks the lines that tell of usage, about half of the bytes, into slices while another has DuckDB read the
slice before, which it does without the interpreter. Codex's lines need what stood before them, so that they become
messages on the way.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

from br3.analytics.imports.codex import Rollout
from br3.analytics.imports.fresh import Offset, WholeLines, usage_lines
from br3.analytics.imports.lines import Lines
from br3.analytics.imports.slices import SLICE_BYTES, Slice
from br3.analytics.imports.transcripts import Agent, Transcript

Progress = Callable[[int, int], None]
"""Called with the bytes that are done and those that there are to do."""


class Reading:
    """Reads transcripts in turn. ``lines`` comes into being with the first whole line, and so does DuckDB."""

    def __init__(self, scratch: Path, total_bytes: int, progress: Progress | None) -> None:
        self.lines: Lines | None = None
        self.offsets: list[Offset] = []
        self.files = 0
        self.bytes = 0
        self.skipped = 0
        self._scratch = scratch
        self._total = total_bytes
        self._progress = progress
        self._agent: Agent = "claude"
        self._loaded: Future[None] | None = None
        self._stack = ExitStack()
        self._slices: list[Slice] = []

    def __enter__(self) -> Reading:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def take(self, file: Transcript, at: Offset) -> None:
        """Read one transcript from an offset on. One that is gone, or not for us to read, is passed over."""
        try:
            descriptor = os.open(file.path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return
        try:
            facts = os.fstat(descriptor)
            if facts.st_ino != at.inode or facts.st_size < at.size_read:
                at = Offset(file.path, 0, 0, facts.st_ino)
            fresh = WholeLines(descriptor, at.size_read, facts.st_size)
            state = self._take_lines(file.agent, fresh, at.state)
        finally:
            os.close(descriptor)
        self.skipped += fresh.skipped
        if fresh.end > at.size_read:
            self.files += 1
            self.bytes += fresh.end - at.size_read
        self.offsets.append(Offset(file.path, fresh.end, facts.st_mtime_ns, facts.st_ino, state))

    def finish(self) -> Lines | None:
        """See the last slice into the table; None when there was nothing new."""
        if self._slices and self._slices[0].size:
            self._load()
        if self._loaded is not None:
            self._loaded.result()
        if self._progress:
            self._progress(self._total, self._total)
        return self.lines

    def _take_lines(self, agent: Agent, fresh: WholeLines, state: str | None) -> str | None:
        rollout = Rollout.load(state) if agent == "codex" else None
        for buffer, length in fresh:
            if rollout is None:
                data = b"".join(usage_lines(buffer, length))
            else:
                messages = rollout.read(bytes(buffer[:length]))
                data = "".join([json.dumps(message) + "\n" for message in messages]).encode()
            if data:
                self._room(agent, len(data)).add(data)
        return rollout.dump() if rollout else None

    def _room(self, agent: Agent, length: int) -> Slice:
        """A slice of this agent's lines with room for some more bytes."""
        if not self._slices:
            self._begin()
        current = self._slices[0]
        if current.size and (agent != self._agent or current.size + length > SLICE_BYTES):
            self._load()
        self._agent = agent
        return self._slices[0]

    def _begin(self) -> None:
        self.lines = Lines(self._scratch)
        self._stack.callback(self.lines.close)
        for _ in range(2):
            self._slices.append(Slice(self._scratch))
            self._stack.callback(self._slices[-1].close)
        # Entered last, so that it is waited for before what it reads goes away.
        self._loader = self._stack.enter_context(ThreadPoolExecutor(max_workers=1))

    def _load(self) -> None:
        """Hand the filled slice over, once the one before has been read, and go on with that one."""
        if self._loaded is not None:
            self._loaded.result()
        assert self.lines is not None
        self._slices[0].seal()
        self._loaded = self._loader.submit(self.lines.read, self._agent, self._slices[0].path)
        self._slices.reverse()
        self._slices[0].clear()
        if self._progress:
            self._progress(min(self.bytes, self._total), self._total)
