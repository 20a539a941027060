"""The analytics file: who may open it when, its shapes, and what ``br3 db`` and ``br3 doctor`` say of it."""

from __future__ import annotations

import dataclasses
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from br3.analytics import analytics_path, fold, inspecting, keeping, migrations, store
from br3.analytics.migrations import Migration
from br3.analytics.store import Busy, reading, turn, writing
from br3.errors import Br3Error, Refused
from br3.telemetry import Journal, archive
from br3.telemetry.journal import journal_dir, segments
from br3.wording import counted
from tests.conftest import Scratch, until

TELL = """
import sys
from pathlib import Path
def tell(text):
    print(text, flush=True)
def wait():
    return sys.stdin.readline()
common = Path(sys.argv[1])
"""
HOLD = """
from br3.analytics.store import turn
with turn(common, exclusive=sys.argv[2] == "write"):
    tell("in")
    wait()
"""
OPEN = """
import duckdb
with duckdb.connect(str(common / "br3" / "analytics.duckdb"), read_only=sys.argv[2] == "read"):
    tell("in")
    wait()
"""


class Other:
    """Another process, that says ``in`` once it is where it should be, and goes on when told."""

    def __init__(self, source: str, *words: object) -> None:
        command = [sys.executable, "-c", TELL + source, *map(str, words)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.pid = self.process.pid

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def go_on(self) -> None:
        self.process.communicate("\n")
        assert self.process.returncode == 0

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def other() -> Iterator[Any]:
    """Starts other processes and waits until they are in."""
    begun: list[Other] = []

    def begin(source: str, *words: object) -> Other:
        begun.append(Other(source, *words))
        assert begun[-1].line() == "in"
        return begun[-1]

    yield begin
    for process in begun:
        if process.process.poll() is None:
            process.kill()


def populate(common_dir: Path) -> None:
    """A journal with something for every table."""
    pen = Journal(common_dir)
    pen.append("run.created", run="r", builds=["b"], plan="p", base="main")
    pen.append("run.started", run="r", jobs=1)
    pen.append("build.started", run="r", build="b", branch="build/b", worktree="/w")
    pen.append("task.started", run="r", build="b", task="1", title="one")
    pen.append("attempt.started", run="r", build="b", task="1", attempt=1, agent="claude", model="m", session="s1")
    used = {"input_tokens": 10, "output_tokens": 5, "cache_write_tokens": 0, "cache_read_tokens": 0}
    pen.append("usage.recorded", "info", "r", "b", "1", 1, model="m", cost_usd="0.1234567890", source="agent", **used)
    pen.append("attempt.finished", run="r", build="b", task="1", attempt=1, outcome="succeeded", exit_code=0)
    pen.append("task.completed", run="r", build="b", task="1", commit="c")
    pen.append("build.failed", "error", run="r", build="b", cause="verification", reason="red")
    pen.append("run.failed", "error", run="r", reason="b failed")
    pen.append(
        "estimate.made", run="r", build="b", model="m", score=4.5, level="medium", minutes_p50=3, cost_p50_usd="1"
    )
    pen.append("alert.raised", "warning", rule="daily_cost", level="warning", value="2", threshold="1", message="dear")
    pen.append("alert.cleared", rule="daily_cost", value="0", threshold="1")
    pen.append("error.occurred", "error", run="r", build="b", message="oh")
    pen.append("hook.commit", run="r", build="b", commit="c" * 40)
    facts = {"agent": "claude", "session": "s2", "message": "m1", "request": "q", "at": "2026-01-02T03:04:05.000000Z"}
    pen.append("usage.imported", build="b", model="m", cost_usd="0.5", cache_write_1h_tokens=0, **facts, **used)
    pen.close()
    (entry,) = segments(common_dir).values()
    with open(entry.path, "ab") as segment:
        segment.write(b"nonsense\n")


FILLED = (
    "events usage runs builds tasks attempts estimates metrics_hourly metrics_daily metrics_weekly alerts imports "
    "commits rejected segments"
).split()


def tables(common_dir: Path) -> dict[str, list[Any]]:
    """Every table's rows, but for when migrations were applied and what folds note for themselves."""
    with reading(common_dir) as db:
        return tables_of(db)


def tables_of(db: duckdb.DuckDBPyConnection) -> dict[str, list[Any]]:
    names = [name for (name,) in db.execute("SELECT table_name FROM duckdb_tables() ORDER BY ALL").fetchall()]
    return {
        name: sorted(map(repr, db.execute(f'FROM "{name}"').fetchall()))
        for name in names
        if name not in ("schema_migrations", "settings")
    }


def shape(common_dir: Path) -> int | None:
    return inspecting.inspect(common_dir).version


def copies(common_dir: Path) -> list[Path]:
    return sorted(analytics_path(common_dir).parent.glob("*.bak"))


# -- a turn for everybody ----------------------------------------------------------------------------------------------


def test_reading_before_there_is_anything_says_so_and_makes_nothing(tmp_path: Path) -> None:
    with pytest.raises(Br3Error, match="no analytics yet") as said, reading(tmp_path):
        pass
    assert said.value.hint
    assert list(tmp_path.iterdir()) == []


def test_readers_read_together(tmp_path: Path, other) -> None:
    fold(tmp_path)
    other(HOLD, tmp_path, "read")
    with reading(tmp_path, wait_s=0) as db:
        assert db.execute("SELECT count(*) FROM events").fetchone() == (0,)


def test_a_reader_cannot_write(tmp_path: Path) -> None:
    fold(tmp_path)
    with reading(tmp_path) as db, pytest.raises(duckdb.Error):
        db.execute("DELETE FROM events")


def test_nobody_overtakes_a_writer_that_waits(tmp_path: Path, other) -> None:
    fold(tmp_path)
    reader = other(HOLD, tmp_path, "read")
    waiting = Other(HOLD, tmp_path, "write")

    def refused() -> bool:
        try:
            with turn(tmp_path, exclusive=False, wait_s=0):
                return False
        except Busy:
            return True

    # One who holds the file alone would refuse readers too, but the first reader is still in.
    until(lambda: refused() and refused() and refused())
    assert waiting.process.poll() is None
    reader.go_on()
    assert waiting.line() == "in"
    assert refused()
    waiting.go_on()
    assert not refused()


@pytest.mark.parametrize("exclusive", [True, False])
def test_a_turn_closes_nothing_that_is_not_its_own(tmp_path: Path, monkeypatch, exclusive: bool) -> None:
    closed: list[int] = []
    opened: list[int] = []
    real_open, real_close = os.open, os.close

    def watched(*words: Any) -> int:
        opened.append(real_open(*words))
        return opened[-1]

    monkeypatch.setattr(store.os, "open", watched)
    monkeypatch.setattr(store.os, "close", lambda number: closed.append(number) or real_close(number))
    with turn(tmp_path, exclusive=exclusive):
        pass
    assert sorted(closed) == sorted(opened)


LOOPING_READER = """
from br3.analytics.store import reading
tell("in")
turns = 0
while not (common / "stop").exists():
    with reading(common) as db:
        db.execute("SELECT count(*) FROM events").fetchone()
    turns += 1
tell(turns)
"""


def test_readers_in_a_loop_and_a_writer_in_a_loop_starve_nobody(tmp_path: Path, other) -> None:
    pen = Journal(tmp_path)
    fold(tmp_path)
    readers = [other(LOOPING_READER, tmp_path) for _ in range(4)]
    for number in range(10):
        pen.append("note", number=number)
        assert fold(tmp_path).events == 1
    (tmp_path / "stop").touch()
    assert all(int(reader.line()) > 0 for reader in readers)


@pytest.mark.parametrize("how", ["write", "read"])
def test_waiting_is_bounded_and_its_last_word_says_who_holds_the_file(tmp_path: Path, other, how: str) -> None:
    fold(tmp_path)
    holder = other(HOLD, tmp_path, how)
    with pytest.raises(Busy) as said:
        fold(tmp_path, wait_s=0.05)
    assert str(holder.pid) in said.value.message
    assert "UTC" in said.value.message  # since when
    assert f"being {'written' if how == 'write' else 'read'}" in said.value.message
    if how == "write":
        with pytest.raises(Busy, match=str(holder.pid)), reading(tmp_path, wait_s=0.05):
            pass
    holder.go_on()
    fold(tmp_path, wait_s=0)


@pytest.mark.parametrize("how", ["write", "read"])
def test_a_turn_ends_with_whoever_is_killed(tmp_path: Path, other, how: str) -> None:
    fold(tmp_path)
    other(HOLD, tmp_path, how).kill()
    fold(tmp_path, wait_s=0)


def test_one_who_is_killed_while_waiting_is_in_nobodys_way(tmp_path: Path, other) -> None:
    fold(tmp_path)
    reader = other(HOLD, tmp_path, "read")
    waiting = Other(HOLD, tmp_path, "write")

    def refused() -> bool:
        try:
            with turn(tmp_path, exclusive=False, wait_s=0):
                return False
        except Busy:
            return True

    until(refused)
    waiting.kill()
    assert not refused()
    reader.go_on()


@pytest.mark.parametrize("how", ["write", "read"])
def test_a_program_that_opens_the_file_without_asking_is_named_in_the_end(tmp_path: Path, other, how: str) -> None:
    fold(tmp_path)
    holder = other(OPEN, tmp_path, how)
    with pytest.raises(Busy) as said:
        fold(tmp_path, wait_s=0.05)
    assert str(holder.pid) in said.value.message
    if how == "write":
        with pytest.raises(Busy, match=str(holder.pid)), reading(tmp_path, wait_s=0.05):
            pass
    holder.go_on()
    fold(tmp_path)


def test_a_program_that_opens_the_file_without_asking_is_waited_for(tmp_path: Path, other) -> None:
    fold(tmp_path)
    Journal(tmp_path).append("note")
    holder = other(OPEN, tmp_path, "write")
    done: list[int] = []
    thread = threading.Thread(target=lambda: done.append(fold(tmp_path).events))
    thread.start()
    locked = tmp_path / "br3" / "locks" / "turn"
    until(lambda: _is_locked(locked))
    holder.go_on()
    thread.join()
    assert done == [1]


def _is_locked(path: Path) -> bool:
    import fcntl

    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def test_a_report_says_who_holds_the_file_and_ends(repo: Scratch, other, monkeypatch) -> None:
    repo.br3("db", "migrate")
    holder = other(OPEN, repo.common_dir, "write")
    quick = "import sys; from br3.analytics import store; store.WAIT_S = 0.1\n"
    quick += "from br3.analytics import inspecting; inspecting.inspect.__kwdefaults__['wait_s'] = 0.1\n"
    quick += "from br3.cli import main; main(sys.argv[1:])"
    command = [sys.executable, "-c", quick, "db", "status"]
    done = subprocess.run(command, cwd=repo.path, check=False, capture_output=True, text=True)
    assert done.returncode == 1
    assert str(holder.pid) in done.stderr
    assert "Traceback" not in done.stderr


def test_what_a_killed_writer_committed_is_read(tmp_path: Path, other) -> None:
    fold(tmp_path)
    source = (
        "from br3.analytics.store import writing\n"
        "with writing(common) as opened:\n"
        "    opened.connection.execute(\"INSERT INTO settings VALUES ('it', 'was committed')\")\n"
        "    opened.connection.execute('BEGIN')\n"
        "    opened.connection.execute(\"INSERT INTO settings VALUES ('it', 'was not')\")\n"
        "    tell('in'); wait()\n"
    )
    other(source, tmp_path).kill()
    for _ in range(2):
        with reading(tmp_path) as db:
            assert db.execute("SELECT value FROM settings WHERE name = 'it'").fetchall() == [("was committed",)]
    fold(tmp_path)
    with reading(tmp_path) as db:
        assert db.execute("SELECT value FROM settings WHERE name = 'it'").fetchall() == [("was committed",)]


@pytest.mark.parametrize("name", ['it\'s a "b";\n%41 ü 😀', "b[1]s*r{2}", "x" * 180])
def test_a_repository_may_lie_anywhere(tmp_path: Path, name: str) -> None:
    common_dir = tmp_path / name
    populate(common_dir)
    fold(common_dir)
    before = tables(common_dir)
    assert before["events"]
    keeping.compact(common_dir)
    inspecting.roll_back(common_dir, 3)
    inspecting.migrate(common_dir)
    fold(common_dir)
    keeping.rebuild(common_dir)
    assert tables(common_dir) == before


def test_where_duckdb_cannot_work_it_is_said_and_the_rest_goes_on(tmp_path: Path) -> None:
    common_dir = tmp_path / "what?"
    populate(common_dir)
    with pytest.raises(Br3Error, match="question mark") as said:
        fold(common_dir)
    assert said.value.hint
    assert not list((common_dir / "br3").glob("analytics.duckdb*"))


# -- shapes ------------------------------------------------------------------------------------------------------------


def test_something_is_in_every_table_that_the_tests_look_at(tmp_path: Path) -> None:
    populate(tmp_path)
    fold(tmp_path)
    assert [name for name, rows in tables(tmp_path).items() if name in FILLED and not rows] == []


def test_opening_makes_the_newest_shape_and_needs_no_copy(tmp_path: Path) -> None:
    fold(tmp_path)
    assert shape(tmp_path) == migrations.newest()
    assert copies(tmp_path) == []


def test_migrations_are_numbered_without_a_gap_and_each_can_be_undone() -> None:
    found = migrations.all_migrations()
    assert [m.number for m in found] == list(range(1, len(found) + 1))
    assert all(m.up.strip() and m.down.strip() for m in found)


def test_down_step_by_step_and_up_again_keeps_every_row(tmp_path: Path) -> None:
    populate(tmp_path)
    fold(tmp_path)
    before = tables(tmp_path)
    for number in range(migrations.newest() - 1, -1, -1):
        undone, now = inspecting.roll_back(tmp_path, None)
        assert len(undone) == 1 and undone[0].startswith(f"{number + 1:03d}_")
        assert (now, shape(tmp_path)) == (number, number)
    assert inspecting.roll_back(tmp_path, 0) == ([], 0)
    assert inspecting.migrate(tmp_path) == (0, migrations.newest())
    fold(tmp_path)
    assert tables(tmp_path) == before


@pytest.mark.parametrize("number", [0, 1, 3])
def test_down_to_any_shape_and_up_by_opening_keeps_every_row(tmp_path: Path, number: int) -> None:
    populate(tmp_path)
    fold(tmp_path)
    before = tables(tmp_path)
    inspecting.roll_back(tmp_path, number)
    with pytest.raises(Br3Error) if number < migrations.newest() else reading(tmp_path), reading(tmp_path):
        pass
    fold(tmp_path)
    assert shape(tmp_path) == migrations.newest()
    assert tables(tmp_path) == before


def test_a_copy_as_it_stood_is_kept_before_a_rollback_and_before_a_migration(tmp_path: Path) -> None:
    populate(tmp_path)
    fold(tmp_path)
    before = tables(tmp_path)
    inspecting.roll_back(tmp_path, 2)
    (first,) = copies(tmp_path)
    fold(tmp_path)
    second = next(copy for copy in copies(tmp_path) if copy != first)
    for copy, number in ((first, migrations.newest()), (second, 2)):
        with duckdb.connect(str(copy), read_only=True) as db:
            assert migrations.version(db) == number
            assert len(db.execute("FROM events").fetchall()) == len(before["events"])


def test_the_newest_copies_are_kept_also_when_the_clock_has_gone_back(tmp_path: Path) -> None:
    fold(tmp_path)
    for day in (1, 2, 3):
        (tmp_path / "br3" / f"analytics.duckdb.001-2999010{day}T000000000000.bak").write_bytes(b"")
    inspecting.roll_back(tmp_path, 2)
    assert len(copies(tmp_path)) == migrations.KEPT_COPIES
    assert any(copy.stat().st_size for copy in copies(tmp_path))


def test_no_more_copies_are_kept_than_are_of_use(tmp_path: Path) -> None:
    fold(tmp_path)
    for _ in range(4):
        inspecting.roll_back(tmp_path, 4)
        inspecting.migrate(tmp_path)
    assert len(copies(tmp_path)) == migrations.KEPT_COPIES


def test_a_copy_that_was_put_back_gets_what_came_after_it(tmp_path: Path) -> None:
    pen = Journal(tmp_path)
    pen.append("note", number=1)
    fold(tmp_path)
    copy = tmp_path / "copy"
    shutil.copyfile(analytics_path(tmp_path), copy)
    pen.append("note", number=2)
    pen.close()
    keeping.freshen(tmp_path, None, 0)
    assert archive.packed_segments(tmp_path)
    shutil.copyfile(copy, analytics_path(tmp_path))
    keeping.freshen(tmp_path, None, 0)
    assert len(tables(tmp_path)["events"]) == 2


def newer(common_dir: Path) -> bytes:
    """Make the file one of a newer br3; returns its bytes."""
    with writing(common_dir) as opened:
        opened.connection.execute("INSERT INTO schema_migrations VALUES (999, 'to_come', '2030-01-01')")
    return analytics_path(common_dir).read_bytes()


def _read(common_dir: Path) -> None:
    with reading(common_dir):
        pass


@pytest.mark.parametrize(
    "what",
    [
        fold,
        _read,
        inspecting.migrate,
        keeping.compact,
        lambda c: inspecting.roll_back(c, 1),
        lambda c: inspecting.roll_back(c, None),
    ],
    ids=["fold", "read", "migrate", "compact", "roll back to 1", "roll back one"],
)
def test_a_newer_file_is_refused_and_left_as_it_is(tmp_path: Path, what: Any) -> None:
    populate(tmp_path)
    fold(tmp_path)
    whole = newer(tmp_path)
    with pytest.raises(Refused, match=r"newer br3.*999") as said:
        what(tmp_path)
    assert said.value.hint
    assert analytics_path(tmp_path).read_bytes() == whole
    assert copies(tmp_path) == []


def more_migrations(monkeypatch: pytest.MonkeyPatch, *more: Migration) -> None:
    known = migrations.all_migrations()
    monkeypatch.setattr(migrations, "all_migrations", lambda: [*known, *more])


def later(number: int, up: str, down: str = "SELECT 1") -> Migration:
    return Migration(migrations.newest() + number, f"later_{number}", up, down)


def test_what_may_lose_something_is_not_done_by_opening(tmp_path: Path, monkeypatch) -> None:
    populate(tmp_path)
    fold(tmp_path)
    had = migrations.newest()
    more_migrations(
        monkeypatch, later(1, "CREATE TABLE plain (x INTEGER)"), later(2, "-- destructive\nDROP TABLE alerts")
    )
    whole = analytics_path(tmp_path).read_bytes()
    with pytest.raises(Refused, match="later_2") as said:
        fold(tmp_path)
    assert said.value.hint == "br3 db migrate"
    assert analytics_path(tmp_path).read_bytes() == whole
    assert inspecting.migrate(tmp_path) == (had, had + 2)
    assert len(copies(tmp_path)) == 1
    with reading(tmp_path) as db:
        assert "alerts" not in {n for (n,) in db.execute("SELECT table_name FROM duckdb_tables()").fetchall()}


def test_a_migration_that_fails_leaves_the_shape_before_it(tmp_path: Path, monkeypatch) -> None:
    populate(tmp_path)
    fold(tmp_path)
    before, had = tables(tmp_path), migrations.newest()
    with monkeypatch.context() as context:
        good = later(1, "CREATE TABLE good (x INTEGER)", "DROP TABLE good")
        more_migrations(context, good, later(2, "CREATE TABLE half (x INTEGER); SELECT * FROM nowhere"))
        with pytest.raises((duckdb.Error, Br3Error), match="nowhere"):
            inspecting.migrate(tmp_path)
        assert shape(tmp_path) == had + 1
        with duckdb.connect(str(analytics_path(tmp_path)), read_only=True) as db:
            names = {name for (name,) in db.execute("SELECT table_name FROM duckdb_tables()").fetchall()}
        assert names == {*before, "good", "schema_migrations", "settings"}
        with writing(tmp_path, migrate=False) as opened:
            migrations.roll_back(opened.connection, analytics_path(tmp_path), had)
    fold(tmp_path)
    assert tables(tmp_path) == before


def test_a_rollback_that_fails_leaves_the_shape_it_came_to(tmp_path: Path, monkeypatch) -> None:
    populate(tmp_path)
    fold(tmp_path)
    before = tables(tmp_path)
    known = migrations.all_migrations()
    broken = [m if m.number != 4 else dataclasses.replace(m, down=m.down + "; DROP TABLE nowhere") for m in known]
    with monkeypatch.context() as context:
        context.setattr(migrations, "all_migrations", lambda: broken)
        with pytest.raises((duckdb.Error, Br3Error), match="nowhere"):
            inspecting.roll_back(tmp_path, 2)
    assert shape(tmp_path) == 4
    fold(tmp_path)
    assert tables(tmp_path) == before


# Children that kill themselves at one line of the migrations each, so that every line is one where kill -9 may come;
# what they leave is opened by another child.
EVERY_LINE = """
import os, shutil, signal, sys
import duckdb
from br3.analytics import fold, inspecting, migrations, store
watched = {f.__code__ for f in (migrations.bring_up, migrations.keep_copy, migrations.roll_back, migrations._apply)}
template, work, what, step = common, Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])

def in_child(action):
    pid = os.fork()
    if not pid:
        try:
            action()
        except BaseException:
            import traceback
            traceback.print_exc()
            os._exit(9)
        os._exit(0)
    return os.waitpid(pid, 0)[1]

def attempt(place, number):
    left = [number]
    def line(frame, event, _):
        if event == "line" and frame.f_code in watched:
            left[0] -= 1
            if left[0] < 0:
                os.kill(os.getpid(), signal.SIGKILL)
        return line
    sys.settrace(line)
    if what == "up":
        with store.writing(place):
            pass
    else:
        inspecting.roll_back(place, 0)

number = 0
while True:
    place = work / str(number)
    shutil.copytree(template, place)
    status = in_child(lambda: attempt(place, number))
    if in_child(lambda: fold(place)):
        tell(f"line {number} left something that cannot be opened")
    if status != signal.SIGKILL:
        assert status == 0, status
        break
    number += step
tell(number)
"""


@pytest.mark.parametrize(("begin", "what", "step"), [(None, "up", 16), (2, "up", 9), (None, "down", 17)])
def test_a_migration_may_be_killed_at_any_line(tmp_path: Path, begin: int | None, what: str, step: int) -> None:
    template = tmp_path / "template"
    populate(template)
    fold(template)
    wanted = tables(template)
    if what == "up":
        if begin is None:
            analytics_path(template).unlink()
        else:
            inspecting.roll_back(template, begin)
    done = Other(EVERY_LINE, template, tmp_path / "work", what, step)
    out, _ = done.process.communicate()
    assert done.process.returncode == 0
    assert int(out) > 20, out  # what cannot be opened is told in other lines
    for place in (tmp_path / "work").iterdir():
        assert tables(place) == wanted, place.name


CREATING = """
import duckdb
real = duckdb.connect
def connect(path, **more):
    open(path, "wb").close()  # what DuckDB does first
    import os, signal
    os.kill(os.getpid(), signal.SIGKILL)
duckdb.connect = connect
from br3.analytics import fold
fold(common)
"""


def test_being_killed_while_the_file_comes_into_being_leaves_nothing_that_cannot_be_opened(tmp_path: Path) -> None:
    Journal(tmp_path).append("note")
    done = Other(CREATING, tmp_path)
    done.process.communicate()
    assert done.process.returncode == -signal.SIGKILL
    assert fold(tmp_path).events == 1


# -- made again --------------------------------------------------------------------------------------------------------


def test_a_rebuild_misses_nothing_of_what_is_packed_meanwhile(tmp_path: Path) -> None:
    pen = Journal(tmp_path)
    pen.append("note", number=1)
    fold(tmp_path)

    def meanwhile(text: str) -> None:
        if text.startswith("taking"):
            pen.append("note", number=2)
            pen.close()
            keeping.freshen(tmp_path, None, 0)
            assert not segments(tmp_path)

    keeping.rebuild(tmp_path, None, meanwhile)
    assert len(tables(tmp_path)["events"]) == 2


def test_a_rebuild_leaves_a_fold_of_somebody_else_its_room(tmp_path: Path, other) -> None:
    fold(tmp_path)
    theirs = tmp_path / "br3" / "analytics.tmp" / "what does not fit into memory"
    theirs.parent.mkdir(exist_ok=True)
    theirs.touch()
    folding = other(HOLD, tmp_path, "write")

    def look(text: str) -> None:
        assert theirs.exists()
        if text.startswith("taking"):
            folding.go_on()

    keeping.rebuild(tmp_path, None, look)


def test_what_cannot_be_tidied_up_does_not_hide_what_was_folded(tmp_path: Path) -> None:
    pen = Journal(tmp_path)
    pen.append("note")
    pen.close()
    (tmp_path / "br3" / "archive").write_text("a file where the directory should be")
    assert keeping.freshen(tmp_path, None, 30).events == 1


def test_two_do_not_rebuild_at_once(tmp_path: Path) -> None:
    def again(text: str) -> None:
        with pytest.raises(Refused):
            keeping.rebuild(tmp_path)

    keeping.rebuild(tmp_path, None, again)


def test_compacting_makes_it_smaller_and_keeps_every_row(tmp_path: Path) -> None:
    populate(tmp_path)
    fold(tmp_path)
    before = tables(tmp_path)
    with writing(tmp_path) as opened:
        for name, rows in (("large", 400_000), ("behind", 10)):
            opened.connection.execute(f"CREATE TABLE {name} AS SELECT md5(i::VARCHAR) AS x FROM range({rows}) t(i)")
            opened.connection.execute("CHECKPOINT")
        opened.connection.execute("DROP TABLE large")
        opened.connection.execute("CHECKPOINT")
        before["behind"] = tables_of(opened.connection)["behind"]
    was, now = keeping.compact(tmp_path)
    assert now < was - 5_000_000
    assert tables(tmp_path) == before
    assert not list(analytics_path(tmp_path).parent.glob("analytics.*.wal"))
    with duckdb.connect(str(analytics_path(tmp_path)), read_only=True) as db:
        query = "SELECT tags ->> 'storage_version' FROM duckdb_databases() WHERE path IS NOT NULL"
        assert db.execute(query).fetchone() == ("v1.5.0+",)


# -- commands ----------------------------------------------------------------------------------------------------------


def test_db_path_prints_where_the_file_lies_from_any_worktree(repo: Scratch) -> None:
    where = str(repo.common_dir / "br3" / "analytics.duckdb")
    assert repo.br3("db", "path").out == where + "\n"
    assert repo.br3("db", "path", "--json").json == {"schema": 1, "path": where, "exists": False}
    repo.git("worktree", "add", "--quiet", "-b", "other", "../else where")
    repo.br3("db", "migrate")
    assert repo.br3("db", "path", "--json", cwd=repo.path.parent / "else where").json["exists"] is True
    assert repo.br3("db", "path", "--json", cwd=repo.path.parent / "else where").json["path"] == where


def test_db_status_says_what_is_there_and_changes_nothing(repo: Scratch) -> None:
    populate(repo.common_dir)
    size = next(iter(segments(repo.common_dir).values())).stat().st_size
    said = repo.br3("db", "status", "--json").json
    assert (said["version"], said["newest"], said["events"]) == (None, migrations.newest(), 0)
    assert (said["segments"], said["behind_bytes"]) == (1, size)
    assert "no file yet" in repo.br3("db", "status").out
    assert not analytics_path(repo.common_dir).exists()
    repo.br3("telemetry", "summary")
    said = repo.br3("db", "status", "--json").json
    assert said["version"] == said["newest"] == migrations.newest()
    assert (said["events"], said["rejected"], said["behind_bytes"]) == (17, 1, 0)
    assert (said["segments"], said["archived"]) == (0, 2)
    assert said["path"] == str(analytics_path(repo.common_dir)) and said["bytes"] > 0
    text = repo.br3("db", "status").out
    assert "(the newest)" in text and "1 lines rejected" in text
    repo.br3("db", "rollback")
    assert f"{migrations.newest() - 1} of {migrations.newest()}" in repo.br3("db", "status").out


def test_db_rollback_and_migrate_say_from_where_to_where(repo: Scratch) -> None:
    newest = migrations.newest()
    said = repo.br3("db", "rollback", code=1)
    assert "no analytics yet" in said.err and "Traceback" not in said.err
    assert repo.br3("db", "migrate", "--json").json == {"schema": 1, "before": 0, "after": newest}
    assert f"shape {newest} already" in repo.br3("db", "migrate").out
    names = [f"{m.number:03d}_{m.name}" for m in migrations.all_migrations()]
    assert repo.br3("db", "rollback", "--json").json == {"schema": 1, "undone": names[-1:], "after": newest - 1}
    assert repo.br3("db", "rollback", "--to", "1").out.startswith("undone: " + ", ".join(reversed(names[1:-1])))
    assert "nothing to undo" in repo.br3("db", "rollback", "--to", "1").out
    said = repo.br3("db", "rollback", "--to", "3", code=2)
    assert "br3 db migrate" in said.err
    assert repo.br3("db", "migrate").out == f"shape 1 → {newest}\n"


def test_db_rebuild_says_how_much_there_was(repo: Scratch) -> None:
    populate(repo.common_dir)
    assert repo.br3("db", "rebuild", "--json").json == {"schema": 1, "events": 16, "segments": 1, "rejected": 1}
    assert "17 events of 2 segments; 1 line could not be read" in repo.br3("db", "rebuild").out
    assert shape(repo.common_dir) == migrations.newest()


def test_db_compact_says_before_and_after(repo: Scratch) -> None:
    populate(repo.common_dir)
    repo.br3("telemetry", "summary")
    said = repo.br3("db", "compact", "--json").json
    assert said["bytes_after"] == analytics_path(repo.common_dir).stat().st_size
    assert said["bytes_before"] > 0
    assert "MB → " in repo.br3("db", "compact").out


def test_a_newer_file_is_refused_by_every_command_that_needs_it(repo: Scratch) -> None:
    repo.br3("db", "migrate")
    whole = newer(repo.common_dir)
    for words in (("costs",), ("telemetry", "summary"), ("sql", "SELECT 1"), ("db", "migrate"), ("db", "rollback")):
        said = repo.br3(*words, code=3)
        assert "newer br3" in said.err and "br3 db rebuild" in said.err
    assert analytics_path(repo.common_dir).read_bytes() == whole
    repo.br3("db", "rebuild")
    repo.br3("costs")


def test_a_status_that_is_asked_for_while_somebody_packs_is_told(tmp_path: Path, monkeypatch) -> None:
    Journal(tmp_path).append("note")
    folded = fold(tmp_path)
    found = inspecting.segments

    def meanwhile(common_dir: Path) -> Any:
        seen = found(common_dir)
        for name, entry in seen.items():
            archive.pack(common_dir, name, os.stat(entry.path).st_size)
        return seen

    monkeypatch.setattr(inspecting, "segments", meanwhile)
    assert inspecting.inspect(tmp_path).events == folded.events == 1


# -- doctor ------------------------------------------------------------------------------------------------------------


def findings(repo: Scratch, code: int) -> dict[str, dict[str, Any]]:
    said = repo.br3("doctor", "--json", code=code).json
    assert said["ok"] is (code == 0)
    return {finding["what"]: finding for finding in said["findings"]}


def test_doctor_has_nothing_to_say_of_a_repository_that_is_well(repo: Scratch) -> None:
    assert all(finding["ok"] for finding in findings(repo, 0).values())
    Journal(repo.common_dir).append("note")
    repo.br3("telemetry", "summary")
    found = findings(repo, 0)
    assert f"shape {migrations.newest()}, 1 event" in found["analytics"]["said"]
    assert "rejected" not in found
    text = repo.br3("doctor").out
    assert "✗" not in text and "✓ journal" in text


def test_doctor_tells_of_a_journal_that_cannot_be_written(repo: Scratch) -> None:
    repo.br3("db", "migrate")
    shutil.rmtree(journal_dir(repo.common_dir), ignore_errors=True)
    journal_dir(repo.common_dir).write_text("a file where the directory should be")
    said = repo.br3("doctor", code=1)
    assert "✗ journal" in said.out and "cannot be written" in said.out
    assert str(journal_dir(repo.common_dir)) in said.out


def test_doctor_tells_of_a_disk_that_takes_nothing(repo: Scratch) -> None:
    repo.br3("db", "migrate")
    limited = "import resource, runpy; resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))\n"
    limited += 'runpy.run_module("br3", run_name="__main__", alter_sys=True)'
    command = [sys.executable, "-P", "-c", limited, "doctor"]
    done = subprocess.run(command, cwd=repo.path, check=False, capture_output=True, text=True)
    assert done.returncode == 1
    assert "✗ journal" in done.stdout
    assert not [p for p in journal_dir(repo.common_dir).iterdir() if "probe" in p.name]


def test_doctor_tells_of_events_that_were_lost(repo: Scratch) -> None:
    Journal(repo.common_dir).append("journal.lost", "error", events=7)
    Journal(repo.common_dir).append("journal.lost", "error", events=2)
    found = findings(repo, 0)  # nothing brings them back: a fault that nobody can mend would last for ever
    assert found["events"]["state"] == "warn"
    assert found["events"]["said"].startswith("9 could not be written")
    for name, entry in segments(repo.common_dir).items():  # also long after
        archive.pack(repo.common_dir, name, entry.stat().st_size)
    assert findings(repo, 0)["events"]["said"] == found["events"]["said"]


def test_doctor_shows_lines_that_were_rejected_and_where_they_are(repo: Scratch) -> None:
    populate(repo.common_dir)
    (name,) = segments(repo.common_dir)
    repo.br3("telemetry", "summary")
    found = findings(repo, 1)
    assert not found["rejected"]["ok"]
    assert "1 line is no event" in found["rejected"]["said"]
    assert name in found["rejected"]["said"]
    assert "FROM rejected" in found["rejected"]["hint"]


@pytest.mark.parametrize("number", [1, 5])
def test_doctor_is_content_with_what_killed_writers_left_torn(repo: Scratch, number: int) -> None:
    for _ in range(number):
        pen = Journal(repo.common_dir)
        pen.append("note")
        pen.close()
    for entry in segments(repo.common_dir).values():
        with open(entry.path, "ab") as segment:
            segment.write(b'{"ts":"2026-')
    repo.br3("telemetry", "summary")
    found = findings(repo, 0)
    assert counted(number, "line") in found["rejected"]["said"]


def test_doctor_tells_of_a_newer_file(repo: Scratch) -> None:
    repo.br3("db", "migrate")
    newer(repo.common_dir)
    found = findings(repo, 1)
    assert "newer br3" in found["analytics"]["said"]
    assert "br3 db rebuild" in found["analytics"]["hint"]


@pytest.mark.parametrize("how", ["other", "cut", "header", "block"])
def test_a_broken_file_is_told_of_and_made_again(repo: Scratch, how: str) -> None:
    pen = Journal(repo.common_dir)
    for number in range(300):
        pen.append("error.occurred", "error", message="x" * 100, number=number)
    pen.close()
    repo.br3("telemetry", "summary")
    path = analytics_path(repo.common_dir)
    whole = bytearray(path.read_bytes())
    if how == "other":
        whole = bytearray(b"this is no database\n" * 1000)
    elif how == "cut":
        del whole[len(whole) // 2 :]
    else:
        first = {"header": 0, "block": 12_288}[how] + 100
        whole[first : first + 500] = bytes(255 - byte for byte in whole[first : first + 500])
    path.write_bytes(whole)
    for command in ("doctor", "costs"):
        said = repo.br3(command, code=None)
        assert "Traceback" not in said.all, command
        assert "br3 db rebuild" in said.all, command
    assert not findings(repo, 1)["analytics"]["ok"]
    repo.br3("db", "rebuild")
    assert findings(repo, 0)["analytics"]["ok"]
    assert len(repo.br3("sql", "FROM events", "--json").json["rows"]) == 300
