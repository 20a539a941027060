"""Opening ``analytics.duckdb``: one process writes or several read, and everybody gets a turn.

DuckDB refuses a second opening at once and has no waiting, so that every opening takes two flocks: ``turn``
exclusively, then ``rw`` (shared to read, exclusive to write), then lets go of ``turn``. Readers that come one after
another cannot starve the writer, who waits for ``rw`` with ``turn`` in hand.
"""

from __future__ import annotations

import fcntl
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from br3.errors import Br3Error

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

WAIT_S = 30.0
_PAUSE_S = 0.002
_MOST_THREADS = 4

# A file of 2.0's own default cannot be read by 1.5.
STORAGE = "v1.5.0"


class Busy(Br3Error):
    """Somebody else has held the analytics file for longer than we wait."""


def analytics_path(common_dir: Path) -> Path:
    """Where a repository's analytics lie."""
    return common_dir / "br3" / "analytics.duckdb"


@contextmanager
def turn(common_dir: Path, *, exclusive: bool, wait_s: float = WAIT_S) -> Iterator[float]:
    """Hold the right to open the file; yields the seconds waited. Busy after ``wait_s``."""
    began = time.monotonic()
    deadline = began + wait_s
    locks = common_dir / "br3" / "locks"
    locks.mkdir(parents=True, exist_ok=True)
    rw = os.open(locks / "rw", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        gate = os.open(locks / "turn", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            _take(gate, fcntl.LOCK_EX, deadline, rw)
            _take(rw, fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH, deadline, rw)
            if exclusive:
                os.pwrite(rw, f"{os.getpid():012d} {time.time():017.3f}\n".encode(), 0)
        finally:
            os.close(gate)
        yield time.monotonic() - began
    finally:
        os.close(rw)


def _take(descriptor: int, how: int, deadline: float, rw: int) -> None:
    while True:
        try:
            fcntl.flock(descriptor, how | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise Busy(_who(rw), hint="wait for it to end, or look at it: ps -p PID") from None
            time.sleep(_PAUSE_S)


def _who(rw: int) -> str:
    """Who is in the way, and since when, as far as it can be known."""
    shared = _sharing(rw)
    if shared:
        return f"the analytics file is being read by {', '.join(map(_described, shared))}"
    words = os.pread(rw, 64, 0).split()
    if len(words) != 2:
        return "the analytics file is in use by another process"
    since = datetime.fromtimestamp(float(words[1]), UTC).strftime("%H:%M:%S UTC")
    return f"the analytics file is being written by process {int(words[0])} since {since}"


def _sharing(rw: int) -> list[int]:
    # Linux alone says who shares a flock.
    try:
        table = Path("/proc/locks").read_text()
    except OSError:
        return []
    inode = os.fstat(rw).st_ino
    return [int(pid) for pid in re.findall(rf"FLOCK\s+ADVISORY\s+READ\s+(\d+)\s+\S+:{inode}\s", table)]


def _described(pid: int) -> str:
    import psutil

    try:
        since = datetime.fromtimestamp(psutil.Process(pid).create_time(), UTC).strftime("%H:%M:%S UTC")
    except psutil.Error:
        return f"process {pid}"
    return f"process {pid} (begun {since})"


def connect(path: Path, *, read_only: bool, deadline: float, **settings: Any) -> DuckDBPyConnection:
    """Open the file; whoever calls holds the turn. Waits for a foreign program that has it open; Busy at the end."""
    import duckdb

    config = {"memory_limit": "256MB", "threads": min(os.cpu_count() or 1, _MOST_THREADS), **settings}
    # Looking for extensions means the network; what is needed is built in.
    config |= {"autoinstall_known_extensions": False, "autoload_known_extensions": False}
    if not read_only:
        config["storage_compatibility_version"] = STORAGE
    while True:
        try:
            return duckdb.connect(str(path), read_only=read_only, config=config)
        except duckdb.IOException as error:
            held = re.search(r"Conflicting lock is held in (.*?)\.? ?See|Conflicting lock is held in (.*)", str(error))
            if held is None:
                raise Br3Error(
                    f"{path} cannot be opened: {str(error).splitlines()[0]}",
                    hint="br3 db rebuild makes it again from the journal",
                ) from error
            if time.monotonic() >= deadline:
                who = next(filter(None, held.groups()))
                raise Busy(f"{path.name} is held open by {who}", hint="close it there") from error
            time.sleep(0.02)


@contextmanager
def reading(common_dir: Path, *, wait_s: float = WAIT_S, confined: bool = False) -> Iterator[DuckDBPyConnection]:
    """A read-only connection to the file as the last fold left it.

    ``confined``: for statements that somebody wrote; no files, no network, no settings. Br3Error when there is no file
    yet or it is a newer br3's.
    """
    from br3.analytics import migrations

    path = analytics_path(common_dir)
    if not path.exists():
        raise Br3Error("there are no analytics yet", hint="br3 run makes events; br3 db migrate makes an empty file")
    deadline = time.monotonic() + wait_s
    with turn(common_dir, exclusive=False, wait_s=wait_s):
        connection = connect(path, read_only=True, deadline=deadline)
        try:
            migrations.require_current(connection)
            if confined:
                connection.execute("SET TimeZone = 'UTC'")
                connection.execute("SET enable_external_access = false")
                connection.execute("SET lock_configuration = true")
            yield connection
        finally:
            connection.close()


@contextmanager
def writing(common_dir: Path, *, wait_s: float = WAIT_S, migrate: bool = True) -> Iterator[Writing]:
    """The one writing connection, with the file made and brought up to date."""
    from br3.analytics import migrations

    path = analytics_path(common_dir)
    deadline = time.monotonic() + wait_s
    with turn(common_dir, exclusive=True, wait_s=wait_s) as waited:
        scratch = common_dir / "br3" / "analytics.tmp"
        connection = connect(path, read_only=False, deadline=deadline, temp_directory=str(scratch))
        try:
            if migrate:
                connection = migrations.bring_up(connection, path)
            yield Writing(connection, waited)
        finally:
            connection.close()


@contextmanager
def private(path: Path) -> Iterator[DuckDBPyConnection]:
    """A writing connection to a file that nobody else knows of."""
    from br3.analytics import migrations

    scratch = path.with_name("analytics.tmp")
    connection = connect(path, read_only=False, deadline=time.monotonic(), temp_directory=str(scratch))
    try:
        connection = migrations.bring_up(connection, path)
        yield connection
    finally:
        connection.close()


class Writing:
    """A writing connection, and how many seconds it took to get a turn."""

    def __init__(self, connection: DuckDBPyConnection, waited_s: float) -> None:
        self.connection = connection
        self.waited_s = waited_s
