"""One scan: what is new in all transcripts, as one segment of ``usage.imported`` events."""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from br3.analytics.imports.fresh import Offset, begin
from br3.analytics.imports.places import Map, Place
from br3.analytics.imports.reading import Progress, Reading
from br3.analytics.imports.transcripts import Sources

_SCRATCH = "import-"


@dataclass(frozen=True)
class Scanned:
    """What a scan found. ``offsets``: those that changed; they hold once the segment is in the journal.

    ``messages``: events in the segment · ``skipped_lines`` could not be read: malformed, or too long for a message ·
    ``elsewhere``: messages that were written in no place of this repository · ``written``: there is a segment ·
    ``unpriced_models``: messages whose cost is unknown, by model.
    """

    offsets: list[Offset] = field(default_factory=list)
    messages: int = 0
    files_read: int = 0
    bytes_read: int = 0
    skipped_lines: int = 0
    elsewhere: int = 0
    written: bool = False
    unpriced_models: Mapping[str, int] = field(default_factory=dict)


def scan(
    *,
    sources: Sources,
    known: Mapping[str, Offset],
    places: Sequence[Place],
    branches: Mapping[str, str],
    own: Mapping[str, str | None],
    segment: Path,
    now: str,
    scratch: Path,
    progress: Progress | None = None,
) -> Scanned:
    """Read what is new in ``sources`` since ``known`` (offsets by path) and write ``segment``, which must not exist.

    ``branches``: builds by the names of their branches · ``own``: sessions that br3 ran and when each ended (RFC 3339;
    None: not yet), whose messages up to then are left out; the fold leaves them out too, so that this only saves work ·
    ``now``: the time of the events, RFC 3339 · ``scratch``: a directory for temporary files, made where it is missing;
    for one scan at a time, which removes what a killed one has left there.

    Raises UsageError for a models.toml that is wrong, OSError where scratch or segment cannot be written. Where it
    raises, or nothing is to be told, no segment is left.
    """
    todo = [(file, at) for file in sources.files if (at := begin(file, known.get(file.path))) is not None]
    if not todo:
        return Scanned()
    scratch.mkdir(parents=True, exist_ok=True)
    for left in scratch.glob(f"{_SCRATCH}*"):
        shutil.rmtree(left, ignore_errors=True)
    total = sum(file.size - at.size_read for file, at in todo)
    with (
        tempfile.TemporaryDirectory(prefix=_SCRATCH, dir=scratch) as directory,
        Reading(Path(directory), total, progress) as reading,
    ):
        for file, at in todo:
            reading.take(file, at)
        lines = reading.finish()
        found = Scanned(
            offsets=[offset for offset in reading.offsets if offset != known.get(offset.path)],
            files_read=reading.files,
            bytes_read=reading.bytes,
            skipped_lines=reading.skipped,
        )
        if lines is None:
            return found
        lines.keep(Map(places, branches), own)
        unreadable, elsewhere = lines.left_out()
        messages = lines.price()
        if messages:
            _write(segment, lines.events(now, os.getpid(), socket.gethostname()))
        return replace(
            found,
            messages=messages,
            skipped_lines=found.skipped_lines + unreadable,
            elsewhere=elsewhere,
            written=messages > 0,
            unpriced_models=lines.unpriced(),
        )


def _write(segment: Path, parts: Iterable[bytes]) -> None:
    descriptor = os.open(segment, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with open(descriptor, "wb", buffering=0) as out:
            for part in parts:
                out.write(part)
    except BaseException:
        segment.unlink(missing_ok=True)
        raise
