"""The journal and its locks, with real files and real processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from br3.telemetry import Follower, Journal, Lock, LockHeld, is_held, read_events
from br3.telemetry.journal import journal_dir
from tests.conftest import until

WRITER = """
import sys
from pathlib import Path
from br3.telemetry import Journal
journal = Journal(Path(sys.argv[1]))
for number in range(int(sys.argv[2])):
    journal.append("note", run="r", number=number)
    print(number, flush=True)
"""


def writer(common_dir: Path, count: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WRITER, str(common_dir), str(count)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_an_event_has_all_its_fields(tmp_path: Path) -> None:
    Journal(tmp_path, gen=7).append("task.started", "warning", "r", "b", "t", 2, title="T")
    (event,) = read_events(tmp_path)
    assert (event.kind, event.severity, event.run, event.build, event.task, event.attempt) == (
        "task.started",
        "warning",
        "r",
        "b",
        "t",
        2,
    )
    assert (event.seq, event.gen, event.pid, event.data) == (1, 7, os.getpid(), {"title": "T"})
    assert event.ts.endswith("Z") and len(event.ts) == len("2026-11-22T10:00:00.000000Z")
    assert event.as_json()["id"] == f"{event.segment}:1"


def test_unknown_kinds_and_severities_are_programming_errors(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="unknown event kind"):
        Journal(tmp_path).append("task.finished")
    with pytest.raises(ValueError, match="unknown event kind"):
        Journal(tmp_path).append("note", "fatal")


def test_every_writer_has_a_segment_and_nothing_is_lost(tmp_path: Path) -> None:
    writers = [writer(tmp_path, 300) for _ in range(8)]
    for process in writers:
        process.communicate()
        assert process.returncode == 0
    events = list(read_events(tmp_path))
    assert len(list(journal_dir(tmp_path).iterdir())) == 8
    assert len(events) == 2400
    assert {e.seq for e in events} == set(range(1, 301))


def test_what_a_killed_writer_acknowledged_is_there(tmp_path: Path) -> None:
    for _ in range(5):
        process = writer(tmp_path, 1_000_000)
        assert process.stdout is not None
        acknowledged = -1
        for _ in range(50):
            acknowledged = int(process.stdout.readline())
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        (segment,) = [e.segment for e in read_events(tmp_path) if e.pid == process.pid][:1]
        mine = [e for e in read_events(tmp_path) if e.segment == segment]
        assert [e.data["number"] for e in mine[: acknowledged + 1]] == list(range(acknowledged + 1))


def test_a_torn_last_line_waits_until_it_is_whole(tmp_path: Path) -> None:
    Journal(tmp_path).append("note")
    (segment,) = journal_dir(tmp_path).iterdir()
    whole = segment.read_bytes()
    segment.write_bytes(whole + whole[:20])
    follower = Follower(tmp_path)
    assert len(follower.poll()) == 1
    with segment.open("ab") as file:
        file.write(whole[20:])
    assert len(follower.poll()) == 1
    assert follower.rejected == 0


def test_a_line_that_is_no_event_spoils_only_itself(tmp_path: Path) -> None:
    Journal(tmp_path).append("note")
    (segment,) = journal_dir(tmp_path).iterdir()
    whole = segment.read_bytes()
    segment.write_bytes(b"\nnonsense\n[1]\n" + whole)
    follower = Follower(tmp_path)
    (event,) = follower.poll()
    assert follower.rejected == 2
    assert segment.read_bytes()[event.offset :] == whole


def test_secrets_are_masked_before_they_are_written(tmp_path: Path, monkeypatch) -> None:
    secret = "sk-" + "ant-" + "api03-" + "A1b2" * 8
    monkeypatch.setenv("DEPLOY_TOKEN", "correct-horse-battery")
    Journal(tmp_path).append("note", text=f"key {secret}", nested={"list": ["correct-horse-battery"]})
    (segment,) = journal_dir(tmp_path).iterdir()
    content = segment.read_text()
    assert secret not in content
    assert "correct-horse" not in content


def test_a_journal_that_cannot_be_written_says_so_once_and_goes_on(tmp_path: Path, capfd) -> None:
    journal_dir(tmp_path).parent.mkdir(parents=True)
    journal_dir(tmp_path).write_text("a file where the directory should be")
    journal = Journal(tmp_path)
    journal.append("note", what="first")
    journal.append("note", what="second")
    said = capfd.readouterr().err
    assert said.count("cannot write") == 1
    assert "first" in said


def test_a_lock_has_one_holder_and_counts_its_generations(tmp_path: Path) -> None:
    first = Lock(tmp_path, "build", "a").acquire()
    assert is_held(tmp_path, "build", "a")
    assert not is_held(tmp_path, "build", "b")
    with pytest.raises(LockHeld) as held:
        Lock(tmp_path, "build", "a").acquire(wait_s=0)
    assert held.value.pid == os.getpid()
    assert held.value.exit_code == 3
    first.release()
    with Lock(tmp_path, "build", "a") as second:
        assert second.gen == first.gen + 1
    assert not is_held(tmp_path, "build", "a")


def test_a_lock_dies_with_its_holder_but_not_its_count(tmp_path: Path) -> None:
    program = (
        "import sys, time; from pathlib import Path; from br3.telemetry import Lock\n"
        "lock = Lock(Path(sys.argv[1]), 'build', 'a').acquire(); print(lock.gen, flush=True); time.sleep(600)"
    )
    process = subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    gen = int(process.stdout.readline())
    assert is_held(tmp_path, "build", "a")
    process.kill()
    process.wait()
    process.stdout.close()
    until(lambda: not is_held(tmp_path, "build", "a"))
    with Lock(tmp_path, "build", "a") as lock:
        assert lock.gen == gen + 1


def test_a_child_process_does_not_inherit_a_lock(tmp_path: Path) -> None:
    lock = Lock(tmp_path, "build", "a").acquire()
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], close_fds=False)
    lock.release()
    until(lambda: not is_held(tmp_path, "build", "a"))  # the kernel closes at exec, a moment after it says so
    assert child.poll() is None
    child.kill()
    child.wait()


def test_any_name_is_a_lock(tmp_path: Path) -> None:
    with Lock(tmp_path, "base", "release/1.0 ü/../x"):
        assert is_held(tmp_path, "base", "release/1.0 ü/../x")
    assert [p.parent.name for p in (tmp_path / "br3").rglob("base-*")] == ["locks"]
