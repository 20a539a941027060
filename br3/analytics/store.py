"""Opening ``analytics.duckdb``: one process writes or several read, and everybody gets a turn.

DuckDB refuses a second opening at once and has no waiting, so that every opening goes through flocks: ``rw`` (shared to
read, exclusive to write) and before it ``turn``, which a reader holds for a moment and a writer from when it wants to
write until it has written: it waits for those who read already, and nobody overtakes it. Readers hold one of a few
slots besides, and ``queue`` while they wait, so that a writer who comes again and again lets them in between.
"""

from __future__ import annotations

import fcntl
import os
import random
import re
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from br3.errors import Br3Error

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

WAIT_S = 30.0
_PAUSE_S = 0.002
_COURTESY_S = 0.1
_MOST_THREADS = 4

# A file of 2.0's own default cannot be read by 1.5.
STORAGE = "v1.5.0"


class Busy(Br3Error):
    """Somebody else has held the analytics file for longer than we wait."""


class Broken(Br3Error):
    """DuckDB cannot work with the file, or with the room that there is."""


def analytics_path(common_dir: Path) -> Path:
    """Where a repository's analytics lie."""
    return common_dir / "br3" / "analytics.duckdb"


def room_of(path: Path) -> Path:
    """Where what does not fit into memory goes while a file is written; each file has its own."""
    return path.with_suffix(".tmp")


def _make(path: Path) -> None:
    """An empty file, complete before it has its name: DuckDB writes a new one in steps."""
    fresh = path.with_name("analytics.made.duckdb")
    for left in (fresh, Path(f"{fresh}.wal"), Path(f"{path}.wal")):
        left.unlink(missing_ok=True)
    with private(fresh) as db:
        db.execute("CHECKPOINT")
    fresh.rename(path)


@contextmanager
def turn(common_dir: Path, *, exclusive: bool, wait_s: float = WAIT_S) -> Iterator[float]:
    """Hold the right to open the file; yields the seconds waited. Busy after ``wait_s``."""
    began = time.monotonic()
    locks = common_dir / "br3" / "locks"
    locks.mkdir(parents=True, exist_ok=True)
    take = _to_write if exclusive else _to_read
    with ExitStack() as held:
        rw = _file(held, locks / "rw")
        take(held, locks, rw, began + wait_s)
        yield time.monotonic() - began
        if exclusive:
            os.pwrite(rw, f"{os.getpid():012d} {time.time():017.3f}\n".encode(), 0)


def _to_write(held: ExitStack, locks: Path, rw: int, deadline: float) -> None:
    queue = _file(held, locks / "queue")
    # Who writes again and again lets those in who have waited through the last time.
    courtesy = min(deadline, time.monotonic() + _COURTESY_S) if time.time() - _noted(rw)[1] < _COURTESY_S else 0
    while time.monotonic() < courtesy and not _try(queue, fcntl.LOCK_EX):
        time.sleep(_PAUSE_S)
    fcntl.flock(queue, fcntl.LOCK_UN)
    _await(_file(held, locks / "turn"), fcntl.LOCK_EX, deadline, rw)
    _await(rw, fcntl.LOCK_EX, deadline, rw)
    os.pwrite(rw, f"{os.getpid():012d} {time.time():017.3f}\n".encode(), 0)


def _to_read(held: ExitStack, locks: Path, rw: int, deadline: float) -> None:
    queue = _file(held, locks / "queue")
    alone = _try(queue, fcntl.LOCK_EX)
    _await(queue, fcntl.LOCK_SH, deadline, rw)
    if not alone:  # others wait already: they come first
        time.sleep(random.uniform(1, 2) * _PAUSE_S)
    gate = _file(held, locks / "turn")
    # As many at once as there are cores: more would only make each slower, and whoever wants to write wait longer.
    slots = [_file(held, locks / f"reader-{number}") for number in range(max(2, os.cpu_count() or 1))]
    while True:
        if _try(gate, fcntl.LOCK_SH):
            if any(_try(slot, fcntl.LOCK_EX) for slot in slots) and _try(rw, fcntl.LOCK_SH):
                break
            for descriptor in (*slots, gate):
                fcntl.flock(descriptor, fcntl.LOCK_UN)
        if time.monotonic() >= deadline:
            raise Busy(_who(rw), hint="wait for it to end, or look at it: ps -p PID")
        time.sleep(_PAUSE_S)
    for descriptor in (gate, queue):
        fcntl.flock(descriptor, fcntl.LOCK_UN)


def _file(held: ExitStack, path: Path) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    held.callback(os.close, descriptor)
    return descriptor


def _try(descriptor: int, how: int) -> bool:
    try:
        fcntl.flock(descriptor, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _await(descriptor: int, how: int, deadline: float, rw: int) -> None:
    while not _try(descriptor, how):
        if time.monotonic() >= deadline:
            raise Busy(_who(rw), hint="wait for it to end, or look at it: ps -p PID")
        time.sleep(_PAUSE_S)


def _noted(rw: int) -> tuple[int, float]:
    """Who wrote last, or writes, and since when (or when it ended); zeros when nobody has."""
    words = os.pread(rw, 64, 0).split()
    return (int(words[0]), float(words[1])) if len(words) == 2 else (0, 0.0)


def _who(rw: int) -> str:
    """Who is in the way, and since when, as far as it can be known."""
    shared = _sharing(rw)
    if shared:
        return f"the analytics file is being read by {', '.join(map(_described, shared))}"
    pid, began = _noted(rw)
    if not pid:
        return "the analytics file is in use by another process"
    since = datetime.fromtimestamp(began, UTC).strftime("%H:%M:%S UTC")
    return f"the analytics file is being written by process {pid} since {since}"


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

    if "?" in str(path):  # it takes what follows for parameters, and puts its log elsewhere
        raise Broken(
            f"DuckDB cannot keep a file where the path has a question mark: {path}",
            hint="everything but figures works; rename that directory to have them too",
        )

    config = {
        "memory_limit": "1GB" if read_only else "256MB",
        "threads": min(os.cpu_count() or 1, _MOST_THREADS),
        **settings,
    }
    # Looking for extensions means the network; what is needed is built in.
    config |= {"autoinstall_known_extensions": False, "autoload_known_extensions": False}
    if not read_only:
        config |= {"storage_compatibility_version": STORAGE, "preserve_insertion_order": False}
    while True:
        try:
            connection = duckdb.connect(str(path), read_only=read_only, config=config)
            # Left to itself it draws a bar on standard output, whatever that is.
            connection.execute("SET enable_progress_bar = false")
            return connection
        except duckdb.Error as error:
            held = re.search(r"Conflicting lock is held in (.*?)\.? ?See|Conflicting lock is held in (.*)", str(error))
            if held is None:
                raise Broken(
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
    with turn(common_dir, exclusive=False, wait_s=wait_s), in_our_words(path):
        connection = connect(path, read_only=True, deadline=deadline)
        try:
            migrations.require_current(connection)
            if confined:
                connection.execute("SET TimeZone = 'UTC'")
                connection.execute("SET temp_directory = ''")
                connection.execute("SET enable_external_access = false")
                # That alone leaves the open file itself within reach of COPY.
                connection.execute("SET disabled_filesystems = 'LocalFileSystem'")
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
    with turn(common_dir, exclusive=True, wait_s=wait_s) as waited, in_our_words(path):
        if not path.exists():
            _make(path)
        connection = connect(path, read_only=False, deadline=deadline, temp_directory=str(room_of(path)))
        try:
            if migrate:
                connection = migrations.bring_up(connection, path)
            yield Writing(connection, waited)
        finally:
            connection.close()


@contextmanager
def in_our_words(path: Path) -> Iterator[None]:
    """Broken for what DuckDB says of the file at ``path``."""
    import duckdb

    try:
        yield
    except duckdb.Error as error:
        said = str(error).strip().splitlines()[0]
        raise Broken(f"{path.name}: {said}", hint="br3 doctor; br3 db rebuild makes it again") from error


@contextmanager
def private(path: Path) -> Iterator[DuckDBPyConnection]:
    """A writing connection to a file that nobody else knows of."""
    from br3.analytics import migrations

    connection = connect(path, read_only=False, deadline=time.monotonic(), temp_directory=str(room_of(path)))
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
