"""What commits changed: asked of git once, when they are first seen, and written down as events.

So a rebuild says the same also after git has forgotten a commit that was amended or rebased.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from br3.errors import Br3Error
from br3.repo.history import changes_of
from br3.repo.runner import Git
from br3.telemetry import Journal

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_AT_ONCE = 500
_ID = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


def measure(db: DuckDBPyConnection, common_dir: Path) -> bool:
    """Write ``commit.measured`` for commits that have none yet; says whether there were any. Git processes: 1."""
    # What is known has its number of files, so that most folds need not go through the events.
    if db.execute("SELECT 1 FROM commits WHERE how = 'commit' AND files IS NULL LIMIT 1").fetchone() is None:
        return False
    rows = db.execute(
        'SELECT "commit" FROM commits ANTI JOIN '
        "(SELECT data ->> 'commit' AS \"commit\" FROM events WHERE kind = 'commit.measured') USING (\"commit\") "
        f"WHERE how = 'commit' AND files IS NULL ORDER BY made, \"commit\" LIMIT {_AT_ONCE}"
    ).fetchall()
    wanted = [str(commit) for (commit,) in rows]
    if not wanted:
        return False
    try:
        # Whatever else an event may hold, git would take for options or other names, and say no to all of them.
        ids = [commit for commit in wanted if _ID.fullmatch(commit)]
        found = changes_of(Git(common_dir), ids) if ids else {}
    except Br3Error:
        return False  # another time
    journal = Journal(common_dir)
    for commit in wanted:
        files, added, removed = found.get(commit, (None, None, None))
        facts: dict[str, Any] = {"files": files, "lines_added": added, "lines_removed": removed}
        journal.append("commit.measured", durable=False, commit=commit, **facts)
    journal.close()
    return True
