"""The life of the journal: rotation, archive, retention, full disks, forks, and the segment that shell hooks share."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from br3.analytics import fold, keeping
from br3.analytics.store import reading
from br3.telemetry import Event, Follower, Journal, Lock, archive, hooks, journal, read_events
from br3.telemetry.journal import journal_dir, segments, writer_lives
from br3.telemetry.replay import replay
from tests.conftest import Scratch, shell_plan

CHATTER = "note"
KEPT = "error.occurred"
STATE = "security.violation"


def start(source: str, *words: object, **more: Any) -> subprocess.Popen[str]:
    """A Python process that talks in lines."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, **more}
    return subprocess.Popen([sys.executable, "-c", source, *map(str, words)], text=True, **pipes)


def ended(process: subprocess.Popen[str]) -> str:
    """What a process printed, once it has ended well."""
    out, _ = process.communicate()
    assert process.returncode == 0, out
    return out


def stop(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


def lines_of(common_dir: Path) -> list[tuple[str, int]]:
    return [(e.segment, e.seq) for e in read_events(common_dir)]


def rows_of(common_dir: Path, query: str = "SELECT segment, seq, kind FROM events ORDER BY ALL") -> list[Any]:
    with reading(common_dir) as db:
        return db.execute(query).fetchall()


def a_run(common_dir: Path, run: str, build: str, *, chatter: int = 1) -> Journal:
    """One segment with a whole run of one build, state and chatter; its writer is let go."""
    pen = Journal(common_dir)
    pen.append("run.created", run=run, builds=[build], plan="p")
    pen.append("run.started", run=run, jobs=1)
    for number in range(chatter):
        pen.append(CHATTER, run=run, build=build, number=number, text="ü" * 20)
    pen.append(KEPT, "error", run, build, message="broken")
    pen.append("build.skipped", run=run, build=build, reason="not today")
    pen.append("run.failed", run=run, reason="skipped")
    pen.close()
    return pen


def pack_all(common_dir: Path) -> None:
    for name, entry in segments(common_dir).items():
        assert archive.pack(common_dir, name, entry.stat().st_size)


def only_packed(common_dir: Path) -> archive.Packed:
    (packed,) = archive.packed_segments(common_dir).values()
    return packed


# -- segments ----------------------------------------------------------------------------------------------------------


def test_a_segment_ends_at_a_million_bytes_and_the_count_goes_on(tmp_path: Path) -> None:
    pen = Journal(tmp_path)
    for _ in range(700):
        pen.append(CHATTER, text="many words " * 400)
    sizes = [entry.stat().st_size for entry in segments(tmp_path).values()]
    assert len(sizes) == 4
    assert all(1_000_000 <= size < 1_010_000 for size in sorted(sizes)[1:])
    assert sorted(e.seq for e in read_events(tmp_path)) == list(range(1, 701))


def test_only_the_newest_segment_of_a_writer_has_a_living_writer(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(journal, "ROTATE_BYTES", 1)
    pen = Journal(tmp_path)
    seen = []
    for number in range(3):
        pen.append(CHATTER, number=number)
        seen.append(next(e.segment for e in read_events(tmp_path) if e.data["number"] == number))
    lives = {name: writer_lives(Path(entry.path)) for name, entry in segments(tmp_path).items()}
    assert [lives[name] for name in seen] == [False, False, True]
    pen.close()
    assert not any(writer_lives(Path(entry.path)) for entry in segments(tmp_path).values())


def test_a_segment_gets_its_name_only_when_its_writer_holds_it(tmp_path: Path, monkeypatch) -> None:
    held = []
    rename = Path.rename

    def watched(self: Path, target: Path) -> Path:
        held.append(writer_lives(self))
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", watched)
    Journal(tmp_path).append(CHATTER)
    assert held == [True]


def test_what_a_crash_left_of_a_segment_without_a_name_is_none(tmp_path: Path) -> None:
    journal_dir(tmp_path).mkdir(parents=True)
    (journal_dir(tmp_path) / ".20260102T030405-1-abcdef.new").write_bytes(b"")
    (journal_dir(tmp_path) / ".20260102T030405-1-abcdef.jsonl").write_bytes(b"{}\n")
    Journal(tmp_path).append(CHATTER)
    assert len(segments(tmp_path)) == 1
    assert len(list(read_events(tmp_path))) == 1


ROTATING = """
import sys
from pathlib import Path
from br3.telemetry import Journal, journal
journal.ROTATE_BYTES = 8_000
pen = Journal(Path(sys.argv[1]))
for number in range(int(sys.argv[2])):
    pen.append("note", number=number, text="x" * 100)
"""


def test_eight_writers_that_rotate_lose_nothing(tmp_path: Path) -> None:
    writers = [start(ROTATING, tmp_path, 400) for _ in range(8)]
    following = Follower(tmp_path)
    followed: list[Event] = []
    while any(process.poll() is None for process in writers):
        followed += following.poll()
    pids = {process.pid for process in writers if not ended(process)}
    followed += following.poll()
    assert len(segments(tmp_path)) > 8 * 5
    for events in (list(read_events(tmp_path)), followed):
        seen: dict[int, list[int]] = {}
        for event in events:
            assert event.seq == event.data["number"] + 1
            seen.setdefault(event.pid, []).append(event.seq)
        assert seen.keys() == pids
        assert all(sorted(numbers) == list(range(1, 401)) for numbers in seen.values())


def test_threads_share_a_pen_without_spoiling_each_others_lines(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(journal, "ROTATE_BYTES", 5_000)
    pen = Journal(tmp_path)
    one_at_a_time, together = threading.Lock(), []
    real = os.write

    def slowly(descriptor: int, line: bytes) -> int:
        if not one_at_a_time.acquire(blocking=False):
            together.append(line)
            return real(descriptor, line)
        time.sleep(0)  # lets the others have the interpreter
        written = real(descriptor, line)
        one_at_a_time.release()
        return written

    monkeypatch.setattr(journal.os, "write", slowly)

    def write(thread: int) -> None:
        for number in range(100):
            pen.append(CHATTER, thread=thread, number=number)

    threads = [threading.Thread(target=write, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert together == []
    follower = Follower(tmp_path)
    events = follower.poll()
    assert follower.rejected == 0
    assert sorted(e.seq for e in events) == list(range(1, 801))
    for one in range(8):
        mine = sorted((e for e in events if e.data["thread"] == one), key=lambda e: e.seq)
        assert [e.data["number"] for e in mine] == list(range(100))


FORKING = """
import os, sys
from pathlib import Path
from br3.telemetry import Journal
from br3.telemetry.journal import segments, writer_lives
common = Path(sys.argv[1])
pen = Journal(common)
pen.append("note", who="parent")
if not os.fork():
    pen.append("note", who="child")
    pen.append("note", who="child")
    os._exit(0)
os.wait()
(mine,) = [e for n, e in segments(common).items() if n.split("-")[1] == str(os.getpid())]
print(writer_lives(Path(mine.path)))
pen.append("note", who="parent")
"""


def test_a_fork_begins_a_segment_of_its_own_and_leaves_its_parents_alone(tmp_path: Path) -> None:
    assert ended(start(FORKING, tmp_path)).split() == ["True"]
    told: dict[str, list[tuple[str, int]]] = {}
    for event in read_events(tmp_path):
        told.setdefault(event.data["who"], []).append((event.segment, event.seq))
    assert [seq for _, seq in told["parent"]] == [1, 2]
    assert [seq for _, seq in told["child"]] == [1, 2]
    assert {s for s, _ in told["parent"]}.isdisjoint(s for s, _ in told["child"])


FORKING_BUSY = """
import os, signal, sys, threading
from pathlib import Path
from br3.telemetry import Journal
pen = Journal(Path(sys.argv[1]))
inside, go_on = threading.Event(), threading.Event()
real = pen._line
def slowly(*words):
    if threading.current_thread() is not threading.main_thread():
        inside.set()
        go_on.wait()
    return real(*words)
pen._line = slowly
thread = threading.Thread(target=pen.append, args=("note",))
thread.start()
inside.wait()
child = os.fork()
if not child:
    signal.alarm(20)
    pen.append("note", who="child")
    os._exit(0)
print(os.waitpid(child, 0)[1])
go_on.set()
thread.join()
"""


def test_a_fork_can_write_though_another_thread_was_writing_at_that_moment(tmp_path: Path) -> None:
    assert ended(start(FORKING_BUSY, tmp_path)).split() == ["0"]
    assert len(list(read_events(tmp_path))) == 2


def test_the_clock_may_go_back(tmp_path: Path, monkeypatch) -> None:
    stamps = iter(f"2026-01-02T03:04:{59 - n:02d}.000000Z" for n in range(60))
    monkeypatch.setattr(journal, "now", lambda: next(stamps))
    a_run(tmp_path, "r", "b")
    assert replay(read_events(tmp_path))["r"].state == "failed"
    pack_all(tmp_path)
    assert replay(read_events(tmp_path))["r"].state == "failed"
    fold(tmp_path)
    assert rows_of(tmp_path, "SELECT run, state FROM runs") == [("r", "failed")]


# -- what cannot be written --------------------------------------------------------------------------------------------


class Disk:
    """A disk that fills up: ``os.write`` as the journal calls it takes ``room`` bytes, then nothing."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.room: int | None = None
        self._write = os.write
        monkeypatch.setattr(journal.os, "write", self.write)

    def write(self, descriptor: int, data: bytes) -> int:
        if self.room is None:
            return self._write(descriptor, data)
        if not self.room:
            raise OSError(28, "No space left on device")
        taken = self._write(descriptor, data[: self.room])
        self.room -= taken
        return taken


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(monkeypatch)


def said_events(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


def test_a_line_that_a_full_disk_tore_spoils_no_other(tmp_path: Path, disk: Disk, capfd) -> None:
    pen = Journal(tmp_path)
    pen.append(STATE, rule="before")
    disk.room = 60
    pen.append(STATE, rule="torn")
    pen.append(STATE, rule="full")
    disk.room = None
    pen.append(STATE, rule="after")
    pen.append(STATE, rule="later")
    follower = Follower(tmp_path)
    events = follower.poll()
    assert follower.rejected == 1
    assert [e.data.get("rule", e.kind) for e in events] == ["before", "after", "journal.lost", "later"]
    assert next(e for e in events if e.kind == "journal.lost").data == {"events": 2}
    said = capfd.readouterr().err
    assert said.count("cannot write") == 1
    assert [e["data"]["rule"] for e in said_events(said)] == ["torn", "full"]


def test_every_place_where_a_line_can_be_torn_leaves_its_neighbours_whole(tmp_path: Path, disk: Disk, capfd) -> None:
    Journal(tmp_path / "one").append(CHATTER, what="torn")
    (whole,) = (p.stat().st_size for p in journal_dir(tmp_path / "one").iterdir())
    for room in range(1, whole):
        common_dir = tmp_path / str(room)
        pen = Journal(common_dir)
        pen.append(CHATTER, what="before")
        disk.room = room
        pen.append(CHATTER, what="torn")
        disk.room = None
        pen.append(CHATTER, what="after")
        told = [e.data["what"] for e in read_events(common_dir) if e.kind == CHATTER]
        assert [what for what in told if what != "torn"] == ["before", "after"], room
    assert len(said_events(capfd.readouterr().err)) == whole - 1


def test_that_events_were_lost_is_told_until_it_is_written(tmp_path: Path, disk: Disk, capfd) -> None:
    pen = Journal(tmp_path)
    pen.append(CHATTER, what="0")
    (segment,) = journal_dir(tmp_path).iterdir()
    size = segment.stat().st_size
    disk.room = 0
    for _ in range(3):
        pen.append(CHATTER, what="1")
    disk.room = size + 10  # for the next event, not for the word about those that are lost
    pen.append(CHATTER, what="2")
    disk.room = None
    pen.append(CHATTER, what="3")
    pen.append(CHATTER, what="4")
    events = list(read_events(tmp_path))
    assert [e.data["what"] for e in events if e.kind == CHATTER] == ["0", "2", "3", "4"]
    assert [e.data["events"] for e in events if e.kind == "journal.lost"] == [3]


def test_a_torn_tail_does_not_keep_the_next_segment_from_beginning(tmp_path: Path, disk: Disk, monkeypatch) -> None:
    pen = Journal(tmp_path)
    pen.append(CHATTER, what="before")
    monkeypatch.setattr(journal, "ROTATE_BYTES", 1)
    disk.room = 20
    pen.append(CHATTER, what="torn")
    disk.room = None
    pen.append(CHATTER, what="after")
    pen.close()
    assert [e.data["what"] for e in read_events(tmp_path) if e.kind == CHATTER] == ["before", "after"]
    # The torn one began a segment of its own; its tail is put aside, nothing else.
    folded = fold(tmp_path)
    assert (folded.events, folded.rejected) == (3, 1)
    assert rows_of(tmp_path, "SELECT reason FROM rejected") == [("torn",)]


LIMITED = """
import os, resource, sys
from pathlib import Path
from br3.telemetry import Journal
def limit(size):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
pen = Journal(Path(sys.argv[1]))
for number in range(300):
    if number == 100:
        limit(30_000)
    if number == 250:
        limit(resource.RLIM_INFINITY)
    pen.append("security.violation", number=number, rule="x" * 50)
"""


def test_no_event_is_lost_without_a_word_when_a_file_can_grow_no_more(tmp_path: Path) -> None:
    process = start(LIMITED, tmp_path, stderr=subprocess.PIPE)
    _, said = process.communicate()
    assert process.returncode == 0, said
    written = [e.data["number"] for e in read_events(tmp_path) if e.kind == STATE]
    told = [e["data"]["number"] for e in said_events(said)]
    assert told and len(written) > 100
    assert sorted(written + told) == list(range(300))
    (lost,) = (e for e in read_events(tmp_path) if e.kind == "journal.lost")
    assert lost.data["events"] == len(told)
    assert said.count("cannot write") == 1
    folded = fold(tmp_path)
    assert (folded.events, folded.rejected) == (len(written) + 1, 1)


FULL = """
import os, resource, sys
from pathlib import Path
from br3.telemetry import Journal
pen = Journal(Path(sys.argv[1]))
pen.append("note")
resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
pen.append("note", number=1)
pen.append("note", number=2)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
pen.append("note", number=3)
"""


def test_a_log_on_the_same_full_disk_stops_nobody(tmp_path: Path) -> None:
    # The standard error of an orchestrator is a file beside the journal.
    with (tmp_path / "orchestrator.log").open("wb") as log:
        process = start(FULL, tmp_path, stderr=log)
        ended(process)
    events = list(read_events(tmp_path))
    assert [e.data.get("number") for e in events if e.kind == CHATTER] == [None, 3]
    assert [e.data["events"] for e in events if e.kind == "journal.lost"] == [2]


def test_without_a_standard_error_events_do_not_get_into_the_output(tmp_path: Path, monkeypatch, capsys) -> None:
    journal_dir(tmp_path).parent.mkdir(parents=True)
    journal_dir(tmp_path).write_text("a file where the directory should be")
    monkeypatch.setattr(sys, "stderr", None)
    Journal(tmp_path).append(CHATTER)
    monkeypatch.undo()
    assert capsys.readouterr().out == ""


def test_a_directory_that_comes_back_gets_the_next_event_and_the_number_of_lost_ones(tmp_path: Path, capfd) -> None:
    away = tmp_path / "away"
    pen = Journal(tmp_path)
    pen.append(STATE, rule="before")
    pen.close()
    journal_dir(tmp_path).rename(away)
    journal_dir(tmp_path).write_text("")
    pen.append(STATE, rule="lost")
    journal_dir(tmp_path).unlink()
    away.rename(journal_dir(tmp_path))
    pen.append(STATE, rule="after")
    events = list(read_events(tmp_path))
    assert [e.data.get("rule", e.data.get("events")) for e in events] == ["before", "after", 1]
    assert [e["data"]["rule"] for e in said_events(capfd.readouterr().err)] == ["lost"]


def test_lost_events_are_counted_once_though_the_process_forks(tmp_path: Path, capfd) -> None:
    source = (
        "import os, sys; from pathlib import Path; from br3.telemetry import Journal\n"
        "common = Path(sys.argv[1]); place = common / 'br3' / 'journal'; place.parent.mkdir(); place.touch()\n"
        "pen = Journal(common); pen.append('note'); place.unlink()\n"
        "if not os.fork():\n"
        "    pen.append('note'); os._exit(0)\n"
        "os.wait(); pen.append('note')\n"
    )
    ended(start(source, tmp_path))
    assert sum(e.data["events"] for e in read_events(tmp_path) if e.kind == "journal.lost") == 1


LIMITED_BR3 = """
import resource, runpy, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv.pop(1)),) * 2)
runpy.run_module("br3", run_name="__main__", alter_sys=True)
"""


def test_a_build_rests_when_its_journal_can_take_no_more_and_goes_on_once_it_can(repo: Scratch, tracked: str) -> None:
    repo.plan(shell_plan({"a": "printf x > x"}))
    # A file may have 2,900 bytes: enough for git's, not for all that an orchestrator has to tell.
    command = [sys.executable, "-P", "-c", LIMITED_BR3, "2900", "run", "--trust"]
    done = subprocess.run(command, cwd=repo.path, check=False, capture_output=True, text=True)
    assert done.returncode == 1 and "File too large" in done.stderr and "Traceback" not in done.stderr
    (log,) = repo.common_dir.glob("br3/runs/*/a/orchestrator.log")
    told = said_events(log.read_text())
    assert told and all(e["build"] == "a" for e in told)
    assert not repo.events("build.failed", "build.verified")
    repo.br3("run")
    assert len(repo.events("task.completed")) == len(repo.events("attempt.started")) == 1
    assert repo.status()["builds"]["a"]["state"] == "verified"


# -- redaction ---------------------------------------------------------------------------------------------------------

TOKEN = "sk-" + "ant-" + "api03-" + "A1b2" * 8


def test_secrets_never_reach_the_disk_nor_standard_error(tmp_path: Path, monkeypatch, capfd) -> None:
    monkeypatch.setenv("DEPLOY_TOKEN", "correct-horse-battery")
    pen = Journal(tmp_path)
    pen.append(KEPT, "error", "r", "b", message=f"with {TOKEN} and correct-horse-battery", deep=[{"a": [TOKEN]}])
    pen.close()
    shutil.rmtree(journal_dir(tmp_path))
    journal_dir(tmp_path).write_text("")
    pen.append(KEPT, "error", "r", "b", message=f"with {TOKEN} and correct-horse-battery")
    journal_dir(tmp_path).unlink()
    pen.append(KEPT, "error", "r", "b", message=TOKEN)
    seen = "".join(p.read_text() for p in journal_dir(tmp_path).iterdir()) + capfd.readouterr().err
    assert "error.occurred" in seen
    assert TOKEN not in seen
    assert "correct-horse" not in seen


@pytest.mark.parametrize("key", ["path", "model", "log", "remote", "files"])
def test_what_scripts_emit_is_masked_under_every_key(repo: Scratch, key: str) -> None:
    repo.br3("telemetry", "emit", "note", "--data", json.dumps({key: TOKEN}))
    assert TOKEN not in "".join(p.read_text() for p in journal_dir(repo.common_dir).iterdir())


# -- archive -----------------------------------------------------------------------------------------------------------


def test_a_packed_segment_tells_the_same_states(tmp_path: Path) -> None:
    a_run(tmp_path, "r", "b")
    before = list(read_events(tmp_path))
    pack_all(tmp_path)
    assert not segments(tmp_path)
    assert list(read_events(tmp_path)) == before
    assert only_packed(tmp_path).path.parent == tmp_path / "br3" / "archive" / time.strftime("%Y/%m", time.gmtime())


def test_a_segment_of_another_size_than_was_folded_stays(tmp_path: Path) -> None:
    a_run(tmp_path, "r", "b")
    ((name, entry),) = segments(tmp_path).items()
    assert not archive.pack(tmp_path, name, entry.stat().st_size - 1)
    assert list(segments(tmp_path)) == [name]
    assert not archive.packed_segments(tmp_path)


def test_a_segment_that_somebody_else_has_packed_is_no_error(tmp_path: Path) -> None:
    # Two commands fold one after the other; both think that the segment may be packed.
    a_run(tmp_path, "r", "b")
    first, second = fold(tmp_path), fold(tmp_path)
    for folded in (first, second):
        keeping.tidy(tmp_path, folded.packable, 0, until=time.monotonic() + 60)
    assert len(archive.packed_segments(tmp_path)) == 1


def test_what_a_hook_wrote_while_its_segment_was_packed_is_kept(tmp_path: Path, monkeypatch) -> None:
    line = '{"ts":"2026-01-02T03:04:05.000000Z","kind":"hook.checkout","data":{"hook":"%s"}}'
    with hooks.begin(tmp_path).open("a") as link:
        link.write("\n" + line % "first" + "\n")
    late = hooks.hooks_link(tmp_path).open("a")  # a shell that has it open
    ((name, entry),) = segments(tmp_path).items()
    note = archive._note

    def meanwhile(*words: Any) -> None:
        note(*words)
        late.write("\n" + line % "late" + "\n")
        late.close()

    monkeypatch.setattr(archive, "_note", meanwhile)
    assert archive.pack(tmp_path, name, entry.stat().st_size)
    fold(tmp_path)
    assert rows_of(tmp_path, "SELECT data ->> 'hook' FROM events ORDER BY ALL") == [("first",), ("late",)]


# Kills itself at the line of a module that its number says, so that every line is one where kill -9 may come.
EVERY_LINE = """
import os, shutil, signal, sys
from pathlib import Path
from br3.telemetry import archive
template, work, what = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]

def run(common):
    if what == "pack":
        for name, entry in archive.segments(common).items():
            archive.pack(common, name, entry.stat().st_size)
    else:
        for packed in archive.packed_segments(common).values():
            if not packed.pruned:
                archive.prune(common, packed)

def child(common, number):
    left = [number]
    def line(frame, event, _):
        if event == "line" and frame.f_code.co_filename == archive.__file__:
            left[0] -= 1
            if left[0] < 0:
                os.kill(os.getpid(), signal.SIGKILL)
        return line
    sys.settrace(line)
    run(common)
    os._exit(0)

number = 0
while True:
    common = work / str(number)
    shutil.copytree(template, common)
    pid = os.fork()
    if not pid:
        try:
            child(common, number)
        finally:
            os._exit(1)
    status = os.waitpid(pid, 0)[1]
    if status != signal.SIGKILL:
        assert status == 0, status
        break
    number += 1
print(number)
"""


def killed_at_every_line(tmp_path: Path, what: str) -> list[Path]:
    """Copies of ``tmp_path / "template"`` in which packing or pruning was killed, each at another line."""
    work = tmp_path / "work"
    number = int(ended(start(EVERY_LINE, tmp_path / "template", work, what)))
    assert number > 20
    return [work / str(n) for n in range(number)]


def test_packing_may_be_killed_at_any_line(tmp_path: Path) -> None:
    template = tmp_path / "template"
    a_run(template, "r", "b")
    whole = list(read_events(template))
    folded = None
    for common_dir in killed_at_every_line(tmp_path, "pack"):
        assert list(read_events(common_dir)) == whole, common_dir.name
        pack_all(common_dir)
        assert list(read_events(common_dir)) == whole, common_dir.name
        assert not segments(common_dir)
        assert len(only_packed(common_dir).read().splitlines()) == len(whole)
        folded = common_dir
    assert folded is not None
    assert fold(folded).events == len(whole)


def test_a_fold_counts_once_what_lies_in_journal_and_archive(tmp_path: Path, monkeypatch) -> None:
    a_run(tmp_path, "r", "b")

    def dies(self: Path, *_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as context:
        context.setattr(Path, "unlink", dies)
        with pytest.raises(KeyboardInterrupt):
            pack_all(tmp_path)
    assert segments(tmp_path).keys() == archive.packed_segments(tmp_path).keys()
    number = len(list(read_events(tmp_path)))
    assert fold(tmp_path).events == number
    pack_all(tmp_path)
    assert fold(tmp_path).events == 0
    assert len(rows_of(tmp_path)) == number


def test_dropping_chatter_may_be_killed_at_any_line(tmp_path: Path) -> None:
    template = tmp_path / "template"
    a_run(template, "r", "b", chatter=3)
    pack_all(template)
    states = [e for e in read_events(template) if e.kind != CHATTER]
    for common_dir in killed_at_every_line(tmp_path, "prune"):
        assert [e for e in read_events(common_dir) if e.kind != CHATTER] == states, common_dir.name
        assert len(archive.packed_segments(common_dir)) == 1
        packed = only_packed(common_dir)
        if not packed.pruned:
            archive.prune(common_dir, packed)
        assert list(read_events(common_dir)) == states


PACKING = """
import sys
from pathlib import Path
from br3.telemetry import Journal, archive
from br3.telemetry.journal import segments
common = Path(sys.argv[1])
for number in range(int(sys.argv[2])):
    pen = Journal(common)
    pen.append("security.violation", rule=str(number))
    pen.close()
    print(number, flush=True)
    for name, entry in segments(common).items():
        archive.pack(common, name, entry.stat().st_size)
    if number % 5 == 4:
        archive.write_index(common)
"""


def test_readers_see_every_event_once_while_another_process_packs_in_a_loop(tmp_path: Path) -> None:
    process = start(PACKING, tmp_path, 150)
    told: list[int] = []

    def listen() -> None:
        assert process.stdout is not None
        told.extend(map(int, process.stdout))

    listener = threading.Thread(target=listen)
    listener.start()
    rounds = 0
    while listener.is_alive():
        least = len(told)
        seen = Counter(int(e.data["rule"]) for e in read_events(tmp_path))
        assert set(seen.values()) <= {1}
        assert seen.keys() >= set(range(least))
        rounds += 1
    assert process.wait() == 0
    assert process.stdin is not None and process.stdout is not None
    process.stdin.close()
    process.stdout.close()
    assert rounds > 5
    assert sorted(int(e.data["rule"]) for e in read_events(tmp_path)) == list(range(150))


def test_chatter_may_go_while_somebody_reads(tmp_path: Path, monkeypatch) -> None:
    # Between a reader's looking for the file and its opening it, another process drops the chatter.
    a_run(tmp_path, "r", "b")
    pack_all(tmp_path)
    states = [e for e in read_events(tmp_path) if e.kind != CHATTER]
    packed = only_packed(tmp_path)
    kept = packed.path.with_name(packed.name + archive.PRUNED)
    whole = packed.path.read_bytes()
    for of, name in ((archive, "place"), (archive.Packed, "read")):
        calls = 0
        while True:  # before the first call, before the second, …
            packed.path.write_bytes(whole)
            kept.unlink(missing_ok=True)
            left = calls
            with monkeypatch.context() as context:
                real = getattr(of, name)

                def meanwhile(*words: Any, real: Any = real, of: Any = of, name: str = name, **named: Any) -> Any:
                    nonlocal left
                    if left == 0:
                        left = -1
                        context.setattr(of, name, real)
                        archive.prune(tmp_path, packed)
                    elif left > 0:
                        left -= 1
                    return real(*words, **named)

                context.setattr(of, name, meanwhile)
                assert [e for e in read_events(tmp_path) if e.kind != CHATTER] == states, (name, calls)
            if left >= 0:
                break
            calls += 1
        assert calls


# -- index -------------------------------------------------------------------------------------------------------------


def test_only_the_files_that_matter_are_opened(tmp_path: Path, monkeypatch) -> None:
    for number in range(4):
        a_run(tmp_path, f"r{number}", f"b{number}")
        pack_all(tmp_path)
    opened: list[str] = []
    read = archive.Packed.read
    monkeypatch.setattr(archive.Packed, "read", lambda self: opened.append(self.name) or read(self))
    events = list(read_events(tmp_path))
    assert len(set(opened)) == 1
    assert {e.build for e in events} == {None, "b3"}
    assert {e.run for e in events} == {"r0", "r1", "r2", "r3"}
    opened.clear()
    assert {e.build for e in read_events(tmp_path, ["b1"])} == {None, "b1", "b3"}
    assert len(set(opened)) == 2


def test_the_index_can_be_made_again(tmp_path: Path) -> None:
    for number in range(3):
        a_run(tmp_path, f"r{number}", "b")
    Journal(tmp_path).append("usage.imported", message="m")
    pack_all(tmp_path)
    before, entries = list(read_events(tmp_path)), archive.entries(tmp_path)
    archive.index_path(tmp_path).write_text("nonsense\n[]\n{}\n")
    archive.write_index(tmp_path)
    assert archive.entries(tmp_path) == entries
    assert list(read_events(tmp_path)) == before


def test_a_line_of_the_index_that_a_crash_tore_spoils_no_other(tmp_path: Path) -> None:
    a_run(tmp_path, "r0", "b0")
    pack_all(tmp_path)
    with archive.index_path(tmp_path).open("ab") as index:
        index.write(b'\n{"segment":"torn","bui')
    a_run(tmp_path, "r1", "b1")
    pack_all(tmp_path)
    assert len(archive.entries(tmp_path)) == 2
    assert {e.run for e in read_events(tmp_path)} == {"r0", "r1"}


def test_a_segment_stays_when_the_disk_takes_only_a_part_of_its_line_in_the_index(tmp_path: Path, monkeypatch) -> None:
    a_run(tmp_path, "r", "b")
    before = list(read_events(tmp_path))
    write = os.write
    with monkeypatch.context() as context:
        context.setattr(archive.os, "write", lambda descriptor, data: write(descriptor, data[:30]))
        try:
            pack_all(tmp_path)
        except OSError:
            pass
    assert list(read_events(tmp_path)) == before


@pytest.mark.parametrize("late", ["kind", "builds", "gone"])
def test_a_run_that_is_not_the_newest_is_told_whole_from_the_index(tmp_path: Path, late: str) -> None:
    """Its own state comes from the index alone, that of its builds only when they are asked for."""
    a_run(tmp_path, "r0", "b0")
    pack_all(tmp_path)
    a_run(tmp_path, "r1", "b1")
    pack_all(tmp_path)
    if late == "gone":  # chatter may have been dropped
        for packed in archive.packed_segments(tmp_path).values():
            archive.prune(tmp_path, packed)
    asked = ["b0"] if late == "builds" else []
    runs = replay(read_events(tmp_path, asked))
    assert (runs["r0"].state, runs["r1"].state) == ("failed", "failed")
    assert runs["r1"].builds["b1"].state == "skipped"
    assert ("b0" in runs["r0"].builds and runs["r0"].builds["b0"].state == "skipped") is (late == "builds")


# -- retention ---------------------------------------------------------------------------------------------------------


def test_dropping_chatter_keeps_every_other_line_where_it_was(tmp_path: Path) -> None:
    pen = Journal(tmp_path)
    for number, kind in enumerate(sorted(journal.KINDS)):
        pen.append(kind, run="r", build="b" if number % 2 else None, number=number, text="é\n" * (number % 5))
    pen.close()
    (segment,) = (Path(e.path) for e in segments(tmp_path).values())
    with segment.open("ab") as file:
        file.write(b'\nnonsense\n{"ts":"2026-01-02T03:04:05Z","kind":"of.another.version","data":{}}\n')
    whole = segment.read_bytes()
    pack_all(tmp_path)
    packed = only_packed(tmp_path)
    chatter = {kind for kind, facts in journal.KINDS.items() if not facts.kept}
    assert {"note", "hook.checkout", "model.selected"} <= chatter
    assert chatter.isdisjoint(
        {"usage.recorded", "usage.imported", "estimate.made", "alert.raised", "journal.lost", KEPT}
    )
    assert archive.prune(tmp_path, packed) == len(chatter)
    left = only_packed(tmp_path)
    assert left.pruned
    assert not packed.path.exists()
    content = left.read()
    assert len(content) == len(whole)
    before = {(e.offset, e.seq): e for e in journal.events_in(whole, packed.name) if isinstance(e, Event)}
    after = {(e.offset, e.seq): e for e in journal.events_in(content, packed.name) if isinstance(e, Event)}
    assert after == {at: e for at, e in before.items() if e.kind not in chatter}
    assert "of.another.version" in {e.kind for e in after.values()}
    assert b"nonsense" in content


def test_only_what_is_older_than_the_retention_goes_and_zero_keeps_everything(tmp_path: Path) -> None:
    a_run(tmp_path, "r0", "b0")
    keeping.freshen(tmp_path, None, 0)
    old = only_packed(tmp_path)
    os.utime(old.path, (time.time() - 31 * 86_400,) * 2)
    a_run(tmp_path, "r1", "b1")
    keeping.freshen(tmp_path, None, 0)
    assert not any(p.pruned for p in archive.packed_segments(tmp_path).values())
    keeping.freshen(tmp_path, None, 32)
    assert not any(p.pruned for p in archive.packed_segments(tmp_path).values())
    keeping.freshen(tmp_path, None, 30)
    assert {p.name for p in archive.packed_segments(tmp_path).values() if p.pruned} == {old.name}
    before = rows_of(tmp_path)
    assert sum(kind == CHATTER for _, _, kind in before) == 2
    fold(tmp_path)
    after = rows_of(tmp_path)
    assert after == [row for row in before if row[2] != CHATTER or row[0] != old.name]
    keeping.rebuild(tmp_path)
    assert rows_of(tmp_path) == after


def test_chatter_goes_though_somebody_was_killed_while_dropping_it(tmp_path: Path) -> None:
    a_run(tmp_path, "r", "b")
    pack_all(tmp_path)
    packed = only_packed(tmp_path)
    whole = packed.path.read_bytes()
    archive.prune(tmp_path, packed)
    packed.path.write_bytes(whole)  # as if killed just before it was removed
    assert only_packed(tmp_path).pruned
    keeping.freshen(tmp_path, None, 30)
    assert not packed.path.exists()
    assert only_packed(tmp_path).pruned


def test_a_segment_of_an_unfinished_run_stays_in_the_journal(tmp_path: Path) -> None:
    pen = Journal(tmp_path)
    pen.append("run.created", run="r", builds=["b"])
    pen.append("run.started", run="r")
    pen.close()
    keeping.freshen(tmp_path, None, 30)
    assert len(segments(tmp_path)) == 1
    pen.append("run.cancelled", run="r")
    keeping.freshen(tmp_path, None, 30)
    assert len(segments(tmp_path)) == 2 - 1  # that of the living writer
    pen.close()
    keeping.freshen(tmp_path, None, 30)
    assert not segments(tmp_path)
    assert replay(read_events(tmp_path))["r"].state == "cancelled"


def test_tidying_up_is_left_to_whoever_is_at_it(tmp_path: Path) -> None:
    a_run(tmp_path, "r", "b")
    with Lock(tmp_path, "journal", "archive"):
        assert keeping.freshen(tmp_path, None, 30).events
        assert len(segments(tmp_path)) == 1
    keeping.freshen(tmp_path, None, 30)
    assert not segments(tmp_path)


# -- lines that somebody else wrote ------------------------------------------------------------------------------------

GOOD = '{"ts":"2026-01-02T03:04:05.000000Z","kind":"note","data":{}}'


@pytest.mark.parametrize(
    "line",
    [
        "nonsense",
        "{",
        "[]",
        "7",
        "null",
        '{"kind":"note"}',
        '{"ts":5,"kind":"note"}',
        '{"ts":null,"kind":"note"}',
        '{"ts":"","kind":"note"}',
        '{"ts":"zzz","kind":"note"}',
        '{"ts":"2026-01-02T03:04:05","kind":"note"}',
        '{"ts":"2026-13-02T03:04:05Z","kind":"note"}',
        '{"ts":"2026-01-02T03:04:05Z","kind":["note"]}',
        '{"ts":"2026-01-02T03:04:05Z","kind":"note","seq":1e999}',
        '{"ts":"2026-01-02T03:04:05Z","kind":"note","seq":"first"}',
        '{"ts":"2026-01-02T03:04:05Z","kind":"run.created","run":"r","data":[1]}',
        '{"ts":"2026-01-02T03:04:05Z","kind":"run.created","run":{"a":[]},"data":{}}',
        '{"ts":"2026-01-02T03:04:05Z","kind":"build.started","run":"r","build":["b"],"data":{}}',
        pytest.param("[" * 200_000, id="deep"),
        pytest.param(
            '{"ts":"2026-01-02T03:04:05Z","kind":"note","data":' + "[" * 9000 + "]" * 9000 + "}", id="deep data"
        ),
        "\x00\x01",
        "\ufeff{}",
    ],
)
def test_a_malformed_line_stops_nobody(tmp_path: Path, line: str) -> None:
    name = "20260102T030405-hooks-abcdef"
    segment = journal_dir(tmp_path) / f"{name}.jsonl"
    segment.parent.mkdir(parents=True)
    segment.write_text(f"{GOOD}\n\n{line}\n\n{GOOD}\n")
    events = list(read_events(tmp_path))
    replay(events)
    assert [e.seq for e in events if e.kind == "note"] == [0, len(f"{GOOD}\n\n{line}\n\n".encode())]
    follower = Follower(tmp_path)
    follower.poll()
    assert follower.rejected == 1
    folded = fold(tmp_path)
    assert (folded.events, folded.rejected) == (2, 1)
    assert rows_of(tmp_path, 'SELECT segment, "offset" FROM rejected') == [(name, len(f"{GOOD}\n\n"))]
    pack_all(tmp_path)
    list(read_events(tmp_path))
    assert keeping.rebuild(tmp_path).events == 2


def test_names_that_are_no_text_are_taken_up_too(tmp_path: Path) -> None:
    # A file name need not be UTF-8; Python has the odd bytes as lone surrogates.
    name = os.fsdecode(b"caf\xe9.txt")
    pen = Journal(tmp_path)
    pen.append("landing.aside", run="r", build="b", files=[name], reason=f"{name} conflicts 😀")
    (event,) = read_events(tmp_path)
    assert event.data["files"] == [name]
    folded = fold(tmp_path)
    assert (folded.events, folded.rejected) == (1, 0)
    ((told,),) = rows_of(tmp_path, "SELECT data ->> 'reason' FROM events")
    assert told.startswith("caf") and told.endswith(".txt conflicts 😀")


# -- the segment of the shell hooks ------------------------------------------------------------------------------------

HOOK_LOOP = """
n=0
while read -r upto; do
    while [ $n -lt $upto ]; do
        printf '\\n%s\\n' '{{"ts":"2026-01-02T03:04:05Z","kind":"hook.off","data":{{"hook":"{who} '$n'"}}}}' >> {to}
        n=$((n + 1))
    done
done
"""

FOLDER = """
import sys
from pathlib import Path
from br3.analytics import keeping
from br3.telemetry import hooks
hooks.ROTATE_BYTES = 4_000
for _ in sys.stdin:
    keeping.freshen(Path(sys.argv[1]), None, 30)
    print("folded", flush=True)
"""


@pytest.mark.parametrize("begun", [True, False], ids=["with the link", "before there is a link"])
def test_hooks_write_while_their_segment_is_folded_and_turned(tmp_path: Path, begun: bool) -> None:
    common_dir = tmp_path / "it's a “repo”"
    journal_dir(common_dir).mkdir(parents=True)
    if begun:
        assert hooks.begin(common_dir) == hooks.hooks_link(common_dir)
    folder = start(FOLDER, common_dir)
    assert folder.stdout is not None and folder.stdin is not None
    to = shlex.quote(str(hooks.hooks_link(common_dir)))
    loops = [HOOK_LOOP.format(who=f"h{n}", to=to) for n in range(8)]
    shells = [subprocess.Popen(["/bin/sh", "-c", loop], stdin=subprocess.PIPE, text=True) for loop in loops]
    for number in range(1, 9):
        for shell in shells:
            assert shell.stdin is not None
            shell.stdin.write(f"{40 * number}\n")
            shell.stdin.flush()
        folder.stdin.write("again\n")
        folder.stdin.flush()
        assert folder.stdout.readline() == "folded\n"
    for shell in shells:
        shell.communicate()
        assert shell.returncode == 0
    folder.communicate("for the last time\n")
    assert folder.returncode == 0
    wanted = {f"h{n} {number}": 1 for n in range(8) for number in range(320)}
    query = "SELECT data ->> 'hook' FROM events"
    assert Counter(hook for (hook,) in rows_of(common_dir, query)) == wanted
    assert Counter(e.data["hook"] for e in read_events(common_dir)) == wanted
    assert len(segments(common_dir)) > 3
    assert rows_of(common_dir, "SELECT count(*) FROM rejected") == [(0,)]


def test_a_hook_that_comes_while_there_is_no_link_is_read_too(tmp_path: Path, monkeypatch) -> None:
    link = hooks.hooks_link(tmp_path)
    link.parent.mkdir(parents=True)
    line = '\n{"ts":"2026-01-02T03:04:05.000000Z","kind":"hook.checkout","data":{"n":%d}}\n'
    link.write_text(line % 1)
    symlink_to = Path.symlink_to

    def meanwhile(self: Path, target: str) -> None:
        monkeypatch.setattr(Path, "symlink_to", symlink_to)
        link.write_text(line % 2)
        symlink_to(self, target)

    monkeypatch.setattr(Path, "symlink_to", meanwhile)
    fold(tmp_path)
    assert link.is_symlink()
    with link.open("a") as now:
        now.write(line % 3)
    fold(tmp_path)
    assert rows_of(tmp_path, "SELECT data ->> 'n' FROM events ORDER BY ALL") == [("1",), ("2",), ("3",)]


def test_a_hook_that_has_the_old_segment_open_when_the_link_turns_is_read_there(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(hooks, "ROTATE_BYTES", 10)
    line = '\n{"ts":"2026-01-02T03:04:05.000000Z","kind":"hook.checkout","data":{"n":%d}}\n'
    link = hooks.begin(tmp_path)
    late = link.open("a")
    late.write(line % 1)
    late.flush()
    first = os.readlink(link)
    fold(tmp_path)
    assert os.readlink(link) != first
    late.write(line % 2)
    late.close()
    with link.open("a") as now:
        now.write(line % 3)
    fold(tmp_path)
    assert rows_of(tmp_path, "SELECT data ->> 'n' FROM events ORDER BY ALL") == [("1",), ("2",), ("3",)]
    assert len(segments(tmp_path)) == 2


def test_a_segment_of_hooks_is_packed_only_long_after_its_last_line(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(hooks, "ROTATE_BYTES", 10)
    with hooks.begin(tmp_path).open("a") as link:
        link.write("\n" + GOOD + "\n")
    keeping.freshen(tmp_path, None, 30)
    keeping.freshen(tmp_path, None, 30)
    ((name, entry),) = segments(tmp_path).items()
    os.utime(entry.path, (time.time() - hooks.LATE_S - 1,) * 2)
    keeping.freshen(tmp_path, None, 30)
    assert list(archive.packed_segments(tmp_path)) == [name]
    keeping.freshen(tmp_path, None, 30)
    assert len(rows_of(tmp_path)) == 1


def test_the_segment_that_the_link_names_is_never_packed(tmp_path: Path) -> None:
    with hooks.begin(tmp_path).open("a") as link:
        link.write("\n" + GOOD + "\n")
    (entry,) = segments(tmp_path).values()
    os.utime(entry.path, (time.time() - 100 * hooks.LATE_S,) * 2)
    keeping.freshen(tmp_path, None, 30)
    assert len(segments(tmp_path)) == 1


def test_a_torn_line_of_a_hook_spoils_no_other(tmp_path: Path) -> None:
    with hooks.begin(tmp_path).open("a") as link:
        link.write("\n" + GOOD[:30])
        link.write("\n" + GOOD + "\n")
    assert fold(tmp_path).events == 1
    with hooks.hooks_link(tmp_path).open("a") as link:
        link.write("\n" + GOOD[:20])
    folded = fold(tmp_path)  # may still be growing
    assert (folded.events, folded.rejected) == (0, 0)
    with hooks.hooks_link(tmp_path).open("a") as link:
        link.write("\n" + GOOD + "\n")
    folded = fold(tmp_path)
    assert (folded.events, folded.rejected) == (1, 1)


# -- a damaged archive -------------------------------------------------------------------------------------------------


def test_one_damaged_file_of_the_archive_spoils_only_itself(tmp_path: Path) -> None:
    a_run(tmp_path, "r0", "b0")
    pack_all(tmp_path)
    damaged = only_packed(tmp_path)
    a_run(tmp_path, "r1", "b1")
    pack_all(tmp_path)
    damaged.path.write_bytes(damaged.path.read_bytes()[:-30])
    assert {e.run for e in read_events(tmp_path, ["b0", "b1"])} >= {"r1"}
    keeping.rebuild(tmp_path)
    assert rows_of(tmp_path, "SELECT DISTINCT run FROM events") == [("r1",)]
    assert damaged.name in str(rows_of(tmp_path, "FROM rejected"))
