"""docs/TELEMETRY.md cannot drift: its tables are made from the code (run this file to write them), its queries run.

python tests/unit/test_docs_telemetry.py
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest

from br3.analytics import fold, migrations, reading
from br3.analytics.store import private
from br3.telemetry import KINDS, Journal
from tests.pages import DOCS, fences, generated, read, table, write

PAGE = DOCS / "TELEMETRY.md"


def events_table() -> str:
    rows = []
    for kind, facts in KINDS.items():
        fields = ", ".join(f"`{name.strip()}`" for name in facts.fields.split(",")) if facts.fields else "–"
        rows.append((f"`{kind}`", facts.meaning, fields, "for ever" if facts.kept else "chatter"))
    return table(("kind", "what happened", "fields of `data`", "kept"), *rows)


def tables_text(path: Path) -> str:
    with private(path) as db:
        tables = db.execute("SELECT table_name, comment FROM duckdb_tables() ORDER BY table_oid").fetchall()
        text = []
        for table, comment in tables:
            columns = db.execute(
                "SELECT column_name, data_type, comment FROM duckdb_columns() "
                "WHERE table_name = ? ORDER BY column_index",
                [table],
            ).fetchall()
            told = [f"`{name}` {kind}" + (f" ({said})" if said else "") for name, kind, said in columns]
            text.append(f"**`{table}`**: {comment}.\n" + ",\n".join(told) + ".")
    return "\n\n".join(text)


def as_generated(tmp_path: Path) -> str:
    tables = partial(tables_text, tmp_path / "empty.duckdb")
    return generated(read(PAGE), {"events": events_table, "tables": tables})


def test_the_tables_of_the_page_are_those_of_the_code(tmp_path: Path) -> None:
    assert read(PAGE) == as_generated(tmp_path), "python tests/unit/test_docs_telemetry.py"


QUERIES = [block.text for block in fences(read(PAGE), "sql")]


def test_there_are_ten_questions() -> None:
    assert len(QUERIES) == 10


def a_run(common_dir: Path) -> None:
    """One build that needed a second attempt and a repair, and an import."""
    journal = Journal(common_dir)

    def say(kind: str, **given: Any) -> None:
        journal.append(kind, run="20261122-104501-a3f2", **given)

    say("run.created", plan="week 1", digest="d", base="main", base_commit="c", builds=["ai"], continues=None)
    say("run.started", jobs=1, selected=["ai"])
    say("worktree.ready", build="ai", path="/w", duration_s=1.5, how="fresh")
    say("build.started", build="ai", start="c", branch="build/ai", worktree="/w")
    for task in ("A.1", "repair"):
        say("task.started", build="ai", task=task, title="A task")
        for attempt, outcome, cause in ((1, "failed", "timeout"), (2, "succeeded", None)):
            at = {"build": "ai", "task": task, "attempt": attempt}
            say("attempt.started", **at, agent="claude", model="auto", session=f"{task}{attempt}", directory="/d")
            say(
                "usage.recorded",
                **at,
                model="claude-opus-5-5",
                input_tokens=10,
                output_tokens=20,
                cache_write_tokens=0,
                cache_read_tokens=30,
                cost_usd="0.25",
                source="agent",
            )
            say("attempt.finished", **at, outcome=outcome, cause=cause, exit_code=0)
        say("task.completed", build="ai", task=task, commit="c1")
        if task == "A.1":
            say("build.verifying", build="ai", commit="c1")
            say("build.repairing", build="ai", reason="red")
    say("build.verifying", build="ai", commit="c2")
    say("build.verified", build="ai", commit="c2", tree="t")
    say("run.completed")
    journal.close()


@pytest.mark.parametrize("number", range(10))
def test_every_question_has_an_answer(number: int, tmp_path: Path) -> None:
    a_run(tmp_path)
    fold(tmp_path)
    with reading(tmp_path, confined=True) as db:
        found = db.execute(QUERIES[number]).fetchall()
    assert found, QUERIES[number]


def test_migrations_come_in_pairs_and_in_order() -> None:
    known = migrations.all_migrations()
    assert [m.number for m in known] == list(range(1, len(known) + 1))
    assert all(m.up.strip() and m.down.strip() for m in known)


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as place:
        write(PAGE, as_generated(Path(place)))
