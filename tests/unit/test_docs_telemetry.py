"""docs/TELEMETRY.md cannot drift: its tables are made from the code (run this file to write them), its queries run.

python tests/unit/test_docs_telemetry.py
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from br3.analytics import fold, migrations, reading
from br3.analytics.store import private
from br3.cli import cli
from br3.telemetry import KINDS, Journal

PAGE = Path(__file__).parents[2] / "docs" / "TELEMETRY.md"


def events_table() -> str:
    lines = ["| kind | what happened | fields of `data` | kept |", "| --- | --- | --- | --- |"]
    for kind, facts in KINDS.items():
        fields = ", ".join(f"`{name.strip()}`" for name in facts.fields.split(",")) if facts.fields else "–"
        lines.append(f"| `{kind}` | {facts.meaning} | {fields} | {'for ever' if facts.kept else 'chatter'} |")
    return "\n".join(lines)


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


def with_block(page: str, name: str, block: str) -> str:
    found = re.subn(
        rf"(<!-- {name} -->\n).*?(<!-- end -->)", lambda m: f"{m[1]}{block}\n{m[2]}", page, count=1, flags=re.S
    )
    assert found[1] == 1
    return found[0]


def as_generated(tmp_path: Path) -> str:
    page = with_block(PAGE.read_text(encoding="utf-8"), "events", events_table())
    return with_block(page, "tables", tables_text(tmp_path / "empty.duckdb"))


def test_the_tables_of_the_page_are_those_of_the_code(tmp_path: Path) -> None:
    assert PAGE.read_text(encoding="utf-8") == as_generated(tmp_path), "python tests/unit/test_docs_telemetry.py"


QUERIES = re.findall(r"^```sql\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.M | re.S)


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


def test_every_command_of_the_page_exists() -> None:
    page = PAGE.read_text(encoding="utf-8")
    for line in re.findall(r"^    br3 (.*?)(?:  .*)?$", page, re.M):
        words = [word for word in line.split() if not word.startswith(("-", '"', "…", "usage"))]
        options = re.findall(r"(--[a-z]+|-f)\b", line)
        group = words[:2] if words[0] in ("telemetry", "db") or words[:2] == ["costs", "import"] else words[:1]
        said = CliRunner().invoke(cli, [*group, "--help"])
        assert said.exit_code == 0, line
        assert all(option in said.output for option in options), line


def test_migrations_come_in_pairs_and_in_order() -> None:
    known = migrations.all_migrations()
    assert [m.number for m in known] == list(range(1, len(known) + 1))
    assert all(m.up.strip() and m.down.strip() for m in known)


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as place:
        PAGE.write_text(as_generated(Path(place)), encoding="utf-8")
