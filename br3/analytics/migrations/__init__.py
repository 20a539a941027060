"""The shapes of the analytics file, numbered: ``NNN_name.up.sql`` makes one of the one before, ``.down.sql`` undoes it.

Each is applied in one transaction with its row in ``schema_migrations``; before, a copy of the file is kept beside it.
A first line ``-- destructive`` marks one that may lose something: it is never applied by opening the file.
"""

from __future__ import annotations

import re
import shutil
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from br3.errors import Br3Error, Refused

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

KEPT_COPIES = 3


@dataclass(frozen=True)
class Migration:
    """One step between two shapes."""

    number: int
    name: str
    up: str
    down: str

    @property
    def destructive(self) -> bool:
        return self.up.startswith("-- destructive")


def all_migrations() -> list[Migration]:
    """Every migration this br3 knows, in order."""
    files = {f.name: f for f in resources.files(__name__).iterdir() if f.name.endswith(".sql")}
    found = []
    for name in sorted(files):
        match = re.fullmatch(r"(\d{3})_(\w+)\.up\.sql", name)
        if match:
            up, down = files[name].read_text(), files[name.replace(".up.", ".down.")].read_text()
            found.append(Migration(int(match[1]), match[2], up, down))
    return found


def newest() -> int:
    """The shape this br3 works with."""
    return all_migrations()[-1].number


def version(connection: DuckDBPyConnection) -> int:
    """The shape of a file; 0 when it is empty."""
    known = connection.execute("SELECT 1 FROM duckdb_tables() WHERE table_name = 'schema_migrations'").fetchone()
    if known is None:
        return 0
    row = connection.execute("SELECT coalesce(max(number), 0) FROM schema_migrations").fetchone()
    return int(row[0]) if row else 0


def require_current(connection: DuckDBPyConnection) -> None:
    """Br3Error when the file has another shape than this br3 works with."""
    have = version(connection)
    _refuse_newer(have)
    if have < newest():
        raise Br3Error(f"the analytics file has shape {have}, this br3 needs {newest()}", hint="br3 db migrate")


def bring_up(connection: DuckDBPyConnection, path: Path, *, destructive: bool = False) -> DuckDBPyConnection:
    """Apply what is missing; the connection may be another afterwards. Refused for what is newer, or destructive."""
    have = version(connection)
    _refuse_newer(have)
    missing = [m for m in all_migrations() if m.number > have]
    if not missing:
        return connection
    risky = [m for m in missing if m.destructive]
    if risky and not destructive:
        names = ", ".join(f"{m.number:03d}_{m.name}" for m in risky)
        raise Refused(f"the analytics file needs a migration that may lose something: {names}", hint="br3 db migrate")
    if have:
        connection = keep_copy(connection, path, have)
        # What the new tables hold comes from events that were folded long ago.
        again = "DELETE FROM settings WHERE name = 'derive'; INSERT INTO settings VALUES ('derive', 'all')"
        _apply(connection, again)
    for migration in missing:
        _apply(
            connection,
            migration.up,
            f"INSERT INTO schema_migrations VALUES ({migration.number}, "
            f"'{migration.name}', '{datetime.now(UTC):%Y-%m-%d %H:%M:%S}')",
        )
    return connection


def roll_back(connection: DuckDBPyConnection, path: Path, to: int) -> list[Migration]:
    """Undo the migrations above ``to``, newest first; returns them. The connection is closed at the end."""
    have = version(connection)
    _refuse_newer(have)
    going = [m for m in reversed(all_migrations()) if to < m.number <= have]
    if going:
        connection = keep_copy(connection, path, have)
        for migration in going:
            left = f"DELETE FROM schema_migrations WHERE number = {migration.number}"
            # The first one takes the table of migrations with it.
            _apply(connection, *((left, migration.down) if migration.number > 1 else (migration.down,)))
        connection.close()
    return going


def keep_copy(connection: DuckDBPyConnection, path: Path, number: int) -> DuckDBPyConnection:
    """Copy the file as it stands to ``<file>.NNN-<time>.bak``; the newest few are kept. Opens the file again."""
    from br3.analytics.store import connect

    settings = connection.execute("SELECT current_setting('temp_directory')").fetchone()
    connection.execute("CHECKPOINT")
    connection.close()
    copy = path.with_name(f"{path.name}.{number:03d}-{datetime.now(UTC):%Y%m%dT%H%M%S%f}.bak")
    beside = copy.with_suffix(".new")
    shutil.copyfile(path, beside)
    beside.rename(copy)
    # By name they sort by time; the one just made stays whatever the clock said.
    others = sorted((p for p in path.parent.glob(f"{path.name}.*.bak") if p != copy), key=lambda p: p.name[-25:])
    for old in (*others[: -(KEPT_COPIES - 1)], *path.parent.glob(f"{path.name}.*.new")):
        old.unlink(missing_ok=True)
    temporary = str(settings[0]) if settings else ""
    return connect(path, read_only=False, deadline=time.monotonic() + 10, temp_directory=temporary)


def _apply(connection: DuckDBPyConnection, *statements: str) -> None:
    connection.execute("BEGIN")
    try:
        for statement in statements:
            connection.execute(statement)
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise


def _refuse_newer(have: int) -> None:
    if have > newest():
        raise Refused(
            f"the analytics file was made by a newer br3 (shape {have}, this br3 knows {newest()})",
            hint="use that br3; or br3 db rebuild makes it again from the journal, in this br3's shape",
        )
