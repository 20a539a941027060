"""A table of the analytics as a file, written by DuckDB itself."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from br3.errors import UsageError

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_FORMS = {
    ".csv": "FORMAT csv, HEADER",
    ".json": "FORMAT json",
    ".parquet": "FORMAT parquet, COMPRESSION zstd",
}


def export(db: DuckDBPyConnection, table: str, file: Path) -> int:
    """Write ``table`` to ``file`` in the form its ending names, whole or not at all; returns the number of rows."""
    form = _FORMS.get(file.suffix.lower())
    if form is None:
        raise UsageError(f"{file.name}: the ending says the form", hint=f"one of {', '.join(_FORMS)}")
    known = [str(name) for (name,) in db.execute("SELECT table_name FROM duckdb_tables() ORDER BY 1").fetchall()]
    if table not in known:
        raise UsageError(f"there is no table {table!r}", hint=f"one of: {', '.join(known)}")
    if not file.parent.is_dir():
        raise UsageError(f"{file.parent} is no directory")
    beside = file.with_name(f".{file.name}.new")
    quoted = str(beside).replace("'", "''")
    try:
        row = db.execute(f"""COPY (FROM "{table}" ORDER BY ALL) TO '{quoted}' ({form})""").fetchone()
        beside.replace(file)
    finally:
        beside.unlink(missing_ok=True)
    return int(row[0]) if row else 0
