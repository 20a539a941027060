"""What ``br3 doctor`` finds of what was left behind, and that what it says next, or ``--fix``, mends it."""

from __future__ import annotations

import dataclasses
import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any

import pytest

from br3.orchestrator import control
from br3.orchestrator.control import Request
from br3.telemetry import Journal, Lock, archive
from br3.telemetry.journal import segments
from br3.workspace import children, ports
from br3.workspace.notes import name_of
from tests.conftest import Scratch, processes_with, shell_plan, until, words_of, writing

pytestmark = pytest.mark.usefixtures("tracked")

SLEEPING = [sys.executable, "-c", "import time; time.sleep(600)"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a repository with a finished run of the build ``a`` lies; to be copied, worktree and all."""
    return tmp_path_factory.mktemp("finished")


@pytest.fixture
def well(finished: Path, tmp_path: Path) -> Scratch:
    """A repository with a run that has ended, of one build with a worktree, and nothing wrong."""
    made = Scratch(finished / "project")
    if not made.path.exists():
        made.path.mkdir()
        made.git("init", "--quiet")
        made.plan(shell_plan({"a": writing("x")}, head="[setup]"))
        made.br3("run", "--trust")
    for name in ("project", "project.worktrees"):
        shutil.copytree(finished / name, tmp_path / name, symlinks=True)
    repo = Scratch(tmp_path / "project")
    # As if it had been made here: both ends of the registration, the noted places, and the port.
    (repo.worktree("a") / ".git").write_text(f"gitdir: {repo.common_dir}/worktrees/a\n")
    (repo.common_dir / "worktrees" / "a" / "gitdir").write_text(f"{repo.worktree('a')}/.git\n")
    for path in [*repo.common_dir.glob("br3/runs/*/plan.json"), repo.common_dir / "br3" / "ports.json"]:
        path.write_text(path.read_text().replace(str(finished), str(tmp_path)))
    return repo


def look(repo: Scratch, *words: str, env: dict[str, str] | None = None) -> dict[str, Any]:
    data = repo.br3("doctor", "--json", *words, code=None, env=env).json
    assert data["ok"] == all(finding["ok"] for finding in data["findings"])
    return data


def odd(data: dict[str, Any]) -> list[tuple[str, str, str]]:
    """What is not just well: (what, state, what it says)."""
    return [(f["what"], f["state"], f["said"]) for f in data["findings"] if f["state"] != "ok"]


def fixed(repo: Scratch) -> list[dict[str, Any]]:
    """What --fix did, after which nothing is left of it, and a second time does nothing."""
    data = look(repo, "--fix")
    assert not odd(data), odd(data)
    assert look(repo, "--fix")["mended"] == []
    return list(data["mended"])


def test_nothing_is_odd_about_a_run_that_has_ended_and_each_thing_is_named(well: Scratch) -> None:
    data = look(well)
    assert not odd(data)
    named = {finding["what"] for finding in data["findings"]}
    assert named == {
        *("git", "journal", "events", "analytics", "archive", "runs", "disk", "clock", "files", "prices", "hooks"),
        *("agents", "keys", "worktrees", "branches", "processes", "locks", "ports", "requests"),
    }
    text = well.br3("doctor").out
    assert "✓ worktrees  1 linked" in text and "next:" not in text


def test_a_git_that_is_too_old_is_told(well: Scratch, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    wrapper = tmp_path / "bin" / "git"
    real = shlex.quote(str(shutil.which("git")))
    wrapper.write_text(f'#!/bin/sh\ncase "$*" in --version) echo git version 2.38.1;; *) exec {real} "$@";; esac\n')
    wrapper.chmod(0o755)
    env = {"PATH": f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}"}
    assert odd(look(well, env=env)) == [("git", "bad", "2.38.1 is too old")]


def test_a_plan_with_mistakes_is_told_and_hides_nothing_else(well: Scratch) -> None:
    well.plan("[plan]\nnam = 1\n", commit=False)
    data = look(well)
    assert [(what, state) for what, state, _ in odd(data)] == [("plan", "bad")]
    assert data["findings"][0]["hint"] == "br3 plan check" and data["findings"][-1]["what"] == "requests"


def test_keys_that_others_may_read_and_keys_that_git_tracks_are_told(well: Scratch) -> None:
    key = "sk-" + "ant-" + "a1b2c3d4" * 5
    env_file = well.write(".env", f"ANTHROPIC_API_KEY={key}\n")
    env_file.chmod(0o644)
    data = look(well)
    assert key not in str(data)
    assert any(
        f["what"] == "keys" and "ANTHROPIC_API_KEY" in f["said"] and ".env" in f["said"] for f in data["findings"]
    )
    assert odd(data) == [("keys", "warn", f"others may read {env_file}")]
    assert len(fixed(well)) == 1
    assert env_file.stat().st_mode & 0o777 == 0o600
    well.git("add", "--force", ".env")
    assert odd(look(well)) == [("keys", "bad", f"git tracks {env_file}: its keys are in the history")]


def test_a_lock_file_that_a_killed_git_left_is_told_once_it_is_old_and_removed_where_nobody_is_at_work(
    well: Scratch,
) -> None:
    lock = well.common_dir / "worktrees" / "a" / "index.lock"
    lock.touch()
    assert not odd(look(well)), "git may be at work"
    os.utime(lock, (time.time() - 300, time.time() - 300))
    ((what, state, said),) = odd(look(well))
    assert (what, state) == ("locks", "bad") and str(lock) in said
    with Lock(well.common_dir, "build", "a"):
        (tried,) = look(well, "--fix")["mended"]
        assert tried["done"] is None and "being worked on" in tried["error"] and lock.exists()
    fixed(well)
    assert not lock.exists()


def test_the_lock_file_of_a_commit_whose_editor_is_open_stays(well: Scratch, tmp_path: Path) -> None:
    place, opened, closed = well.worktree("a"), tmp_path / "opened", tmp_path / "closed"
    (place / "x").write_text("new")
    editor = tmp_path / "editor.py"
    editor.write_text(
        "import pathlib, sys, time\n"
        f"pathlib.Path({str(opened)!r}).touch()\n"
        f"while not pathlib.Path({str(closed)!r}).exists(): time.sleep(0.01)\n"
        "pathlib.Path(sys.argv[1]).write_text('mine')\n"
    )
    env = {**os.environ, "GIT_EDITOR": shlex.join([sys.executable, str(editor)])}
    commit = subprocess.Popen(["git", "commit", "--quiet", "-a"], cwd=place, env=env)
    try:
        until(opened.exists)
        lock = well.common_dir / "worktrees" / "a" / "index.lock"
        os.utime(lock, (time.time() - 300, time.time() - 300))
        (tried,) = look(well, "--fix")["mended"]
        assert tried["done"] is None and str(commit.pid) in tried["error"]
    finally:
        closed.touch()
        assert commit.wait() == 0
    assert well.git("status", "--porcelain", cwd=place) == "" and "mine" in well.git("log", "-1", cwd=place)
    assert not odd(look(well))


def test_ports_of_worktrees_that_are_gone_are_given_back(well: Scratch, tmp_path: Path) -> None:
    gone = well.worktree("gone")
    gone.mkdir()
    ports.port_of(well.common_dir, gone)
    gone.rmdir()
    ((what, state, said),) = odd(look(well))
    assert (what, state) == ("ports", "warn") and "1 of 2" in said
    fixed(well)
    assert list(ports.known_ports(well.common_dir)) == [str(well.worktree("a"))]


def test_two_worktrees_with_one_port_are_told(well: Scratch) -> None:
    port = ports.port_of(well.common_dir, well.worktree("a"))
    ports.file_of(well.common_dir).write_text(f'{{"{well.path}": {port}, "{well.worktree("a")}": {port}}}')
    assert [what for what, state, _ in odd(look(well)) if state == "bad"] == ["ports"]


def test_requests_that_nobody_heeds_any_more_are_taken_back_and_those_that_wait_are_not(well: Scratch) -> None:
    (run,) = well.common_dir.glob("br3/runs/*")
    control.ask(run, Request("cancel", "a"))
    control.ask(run, Request("tell", "a", "1", {"text": "hello"}))
    ((what, state, said),) = odd(look(well))
    assert (what, state) == ("requests", "warn") and "cancel@a" in said and "tell" not in said
    fixed(well)
    assert [one.what for one in control.asked(run)] == ["tell"]


def test_what_a_killed_removal_left_is_deleted(well: Scratch) -> None:
    left = well.worktree(".br3-trash-01234567")
    left.mkdir()
    (left / "file").touch()
    ((what, state, _),) = odd(look(well))
    assert (what, state) == ("worktrees", "warn")
    fixed(well)
    assert not left.exists()


def test_a_throw_away_worktree_of_a_killed_train_is_removed_and_one_in_use_is_not(well: Scratch) -> None:
    place = well.worktree("br3-train-main")
    well.git("worktree", "add", "--quiet", "--detach", str(place))
    (well.common_dir / "worktrees" / place.name / "br3-scratch").touch()
    with Lock(well.common_dir, "base", "main"):
        assert not odd(look(well, "--fix")) and place.is_dir()
    ((what, state, said),) = odd(look(well))
    assert (what, state) == ("worktrees", "warn") and str(place) in said
    fixed(well)
    assert not place.exists() and str(place) not in well.git("worktree", "list")


def in_turn(repo: Scratch, meanwhile: Callable[[], AbstractContextManager[Any]]) -> list[str | None]:
    """What --fix does, and why not, when ``meanwhile`` is so from when it has looked."""
    from br3.doctor import examine, mend
    from br3.repo.worktrees import discover

    found = list(examine(discover(repo.path), None))
    with meanwhile():
        return [tried.error for tried in mend(found)]


def test_a_throw_away_worktree_stays_while_its_own_base_is_held_or_somebody_is_in_it(well: Scratch) -> None:
    place = well.worktree("br3-train-feature%2Fx+1")
    well.git("worktree", "add", "--quiet", "--detach", str(place))
    (well.common_dir / "worktrees" / place.name / "br3-scratch").touch()
    (error,) = in_turn(well, lambda: Lock(well.common_dir, "base", "feature/x").acquire())
    assert error is not None and "feature/x is under way" in error
    with ExitStack() as ended:

        def enter() -> ExitStack:
            left = ended.enter_context(subprocess.Popen(SLEEPING, cwd=place))
            ended.callback(left.kill)
            return ExitStack()

        (error,) = in_turn(well, enter)
    assert error is not None and "in use by" in error and place.is_dir()
    assert in_turn(well, lambda: Lock(well.common_dir, "base", "main").acquire()) == [None]
    assert not place.exists()


def test_a_worktree_that_is_gone_is_not_forgotten_while_somebody_is_about_to_use_it(well: Scratch) -> None:
    other = well.worktree("other")
    well.git("worktree", "add", "--quiet", "-b", "other", str(other))
    shutil.rmtree(other)
    for name in (name_of(other), "of other"):
        (error,) = in_turn(well, lambda name=name: Lock(well.common_dir, "worktree", name).acquire())
        assert error is not None and str(other) in well.git("worktree", "list")
    assert in_turn(well, ExitStack) == [None]
    assert str(other) not in well.git("worktree", "list")


def test_a_worktree_that_git_has_forgotten_is_told_and_left(well: Scratch) -> None:
    shutil.rmtree(well.common_dir / "worktrees" / "a")
    assert ("worktrees", "warn") in [(what, state) for what, state, _ in odd(look(well, "--fix"))]
    assert (well.worktree("a") / "x").exists()


def test_a_worktree_that_is_gone_and_may_be_on_a_stick_is_left_registered(well: Scratch, tmp_path: Path) -> None:
    shutil.move(tmp_path / "project.worktrees", tmp_path / "unplugged")
    data = look(well, "--fix")
    assert any(what == "worktrees" and "not mounted" in said for what, _, said in odd(data))
    assert str(well.worktree("a")) in well.git("worktree", "list")


def test_worktrees_that_are_gone_stay_registered_when_their_directory_may_be_a_mount_point(
    well: Scratch, tmp_path: Path
) -> None:
    place = well.worktree("a")
    (place / "x").write_text("staged")
    well.git("add", "x", cwd=place)
    given = ports.known_ports(well.common_dir)
    shutil.move(place.parent, tmp_path / "unplugged")
    place.parent.mkdir()
    data = look(well, "--fix")
    assert data["mended"] == []
    assert any(what == "worktrees" and "not mounted" in said for what, _, said in odd(data))
    place.parent.rmdir()
    shutil.move(tmp_path / "unplugged", place.parent)
    assert well.git("status", "--porcelain", cwd=place) == "M  x"
    assert ports.known_ports(well.common_dir) == given and not odd(look(well))


def test_a_worktree_that_is_gone_is_forgotten_only_when_nothing_was_staged_in_it(well: Scratch) -> None:
    place, other = well.worktree("a"), well.worktree("other")
    well.git("worktree", "add", "--quiet", "-b", "other", str(other))
    ports.port_of(well.common_dir, other)
    shutil.rmtree(other)
    (place.parent / "kept").write_text("of the same directory")
    (done, empty) = fixed(well)
    assert done["done"] == f"git has forgotten {other}; other stays" and empty["done"] == "all were given back by now"
    well.git("worktree", "add", "--quiet", str(other), "other")
    (other / "new").write_text("new")
    well.git("add", "new", cwd=other)
    shutil.rmtree(other)
    data = look(well, "--fix")
    assert data["mended"] == [] and "what was staged in it" in odd(data)[0][2]
    assert str(other) in well.git("worktree", "list")


def test_a_copy_does_not_take_the_worktrees_of_a_repository_that_was_moved(well: Scratch, tmp_path: Path) -> None:
    copy = Scratch(tmp_path / "copy")
    shutil.copytree(well.path, copy.path, symlinks=True)
    place = well.worktree("a")
    (place / "x").write_text("more")
    well.git("commit", "--quiet", "-a", "-m", "more", cwd=place)
    (place / "x").write_text("staged")
    well.git("add", "x", cwd=place)
    pointer = (place / ".git").read_text()
    moved = Scratch(well.path.rename(tmp_path / "moved"))
    data = look(copy, "--fix")
    assert [f["hint"].split(":")[0] for f in data["findings"] if f["what"] == "worktrees"] == [
        "if this is that repository, and no copy of it"
    ]
    assert data["mended"] == [] and (place / ".git").read_text() == pointer
    moved.git("worktree", "repair", str(place))
    assert moved.git("status", "--porcelain", cwd=place) == "M  x"


def test_a_worktree_of_a_run_of_which_nothing_is_left_is_told(well: Scratch) -> None:
    (run,) = well.common_dir.glob("br3/runs/*")
    shutil.rmtree(run)
    found = odd(look(well))
    assert any(what == "worktrees" and run.name in said for what, _, said in found)
    assert any(what == "runs" and state == "bad" for what, state, _ in found)


def test_a_worktree_on_another_branch_and_a_branch_that_was_deleted_are_told_with_the_way_back(well: Scratch) -> None:
    done = well.head("build/a")
    well.git("switch", "--quiet", "-c", "other", cwd=well.worktree("a"))
    well.git("branch", "-D", "build/a")
    data = look(well)
    assert [state for what, state, _ in odd(data) if what == "branches"] == ["bad", "bad"]
    ways = [f["hint"] for f in data["findings"] if f["what"] == "branches"]
    for way in reversed(ways):
        well.git(*shlex.split(way)[1:])
    assert well.head("build/a") == done
    assert not odd(look(well))


def test_what_br3_removed_itself_is_not_missed(well: Scratch) -> None:
    well.br3("clean", "--force", "a")
    assert not odd(look(well))


def test_processes_of_a_build_at_which_nobody_works_are_told_and_ended(well: Scratch, tracked: str) -> None:
    (run,) = well.common_dir.glob("br3/runs/*")
    env = {**os.environ, children.MARK: children.mark_of(well.common_dir, "a"), "BR3_RUN": run.name}
    left = subprocess.Popen(SLEEPING, env=env)
    try:
        with Lock(well.common_dir, "build", "a"):
            assert not odd(look(well)), "somebody watches it"
        ((what, state, said),) = odd(look(well))
        assert (what, state) == ("processes", "bad") and str(left.pid) in said
        look(well, "--fix")
        assert left.wait() != 0
    finally:
        left.kill()
        left.wait()
    assert not odd(look(well))


def test_neither_a_secret_nor_an_escape_of_a_command_line_is_shown(well: Scratch) -> None:
    key = "sk-" + "ant-" + "a1b2c3d4" * 5
    (run,) = well.common_dir.glob("br3/runs/*")
    env = {**os.environ, children.MARK: children.mark_of(well.common_dir, "a"), "BR3_RUN": run.name}
    # The key begins before the place where a long command is cut, and ends behind it.
    argv = ["agent", "-c", SLEEPING[2], "\x1b[2J", "--key", key]
    left = subprocess.Popen(argv, executable=sys.executable, env=env)
    try:
        (shown,) = [f["said"] for f in look(well)["findings"] if f["what"] == "processes"]
        text = well.br3("doctor", code=1).out
        assert str(left.pid) in shown and "agent -c" in shown
        for said in (shown, text):
            assert key[:16] not in said and "\x1b[2J" not in said
    finally:
        left.kill()
        left.wait()


def test_an_agent_whose_run_may_go_on_is_left_to_it(repo: Scratch, tmp_path: Path, tracked: str) -> None:
    begun = tmp_path / "begun"
    repo.plan(shell_plan({"a": f"{writing(str(begun))}; {shlex.join(SLEEPING)}"}, head="[setup]"))
    process = repo.start("run", "--trust")
    until(begun.exists)
    assert not odd(look(repo, "--fix")), "a run at work is well"
    for one in processes_with(tracked):
        if {"br3", "br3.orchestrator"} & set(words_of(one)):
            one.kill()
    process.communicate()
    lock = repo.common_dir / "worktrees" / "a" / "index.lock"
    lock.touch()
    os.utime(lock, (time.time() - 300, time.time() - 300))
    data = look(repo, "--fix")
    (found,) = [f for f in data["findings"] if f["what"] == "processes"]
    assert not found["ok"] and found["hint"] == "br3 run adopts it"
    (tried,) = data["mended"]
    assert tried["what"] == "locks" and "processes of a are at work" in tried["error"] and lock.exists()


def test_segments_of_the_archive_that_are_gone_or_damaged_are_told(well: Scratch) -> None:
    Journal(well.common_dir).append("note")
    names = list(segments(well.common_dir))
    for name, entry in segments(well.common_dir).items():
        archive.pack(well.common_dir, name, entry.stat().st_size)
    first, second, *_ = (archive.packed_segments(well.common_dir)[name].path for name in names)
    first.unlink()
    second.write_bytes(b"no archive")
    said = [text for what, state, text in odd(look(well)) if what == "archive" and state == "bad"]
    assert len(said) == 2 and names[0] in said[0] and str(second) in said[1]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away: what sudo leaves is not tried here")
def test_files_that_sudo_has_left_are_told_and_given_back_by_root(well: Scratch) -> None:
    (run,) = well.common_dir.glob("br3/runs/*")
    for path in (run / "plan.json", well.worktree("a") / "x"):
        os.chown(path, 65534, -1)
    ((what, state, said),) = odd(look(well))
    assert (what, state) == ("files", "warn") and said.startswith("2 files belong to")
    assert "chown" in next(f["hint"] for f in look(well)["findings"] if f["what"] == "files")
    fixed(well)
    assert (run / "plan.json").stat().st_uid == os.geteuid()


def test_what_cannot_be_looked_at_hides_nothing_else(well: Scratch) -> None:
    (well.common_dir / "br3" / "ports.json").unlink()
    (well.common_dir / "br3" / "ports.json").mkdir()
    data = look(well)
    assert ("ports", "bad") in [(what, state) for what, state, _ in odd(data)]
    assert data["findings"][-1]["what"] == "requests"


def test_a_registry_of_ports_that_is_no_text_is_told(well: Scratch) -> None:
    ports.file_of(well.common_dir).write_bytes(b"\xff\xfe{")
    ((what, state, said),) = odd(look(well))
    assert (what, state) == ("ports", "warn") and "cannot be read" in said


def test_an_event_whose_time_is_none_stops_no_command(well: Scratch) -> None:
    segment = Path(max(segments(well.common_dir).items())[1].path)
    event = json.loads(segment.read_text().splitlines()[0])
    with segment.open("a") as file:
        file.write(json.dumps({**event, "seq": 900, "ts": "zzz"}) + "\n")
    assert [one for one in odd(look(well)) if one[0] != "rejected"] == []
    for command in ("status", "report", "costs", "runs"):
        well.br3(command)
    ((what, _, said),) = odd(look(well))
    assert what == "rejected" and "1 line is no event" in said


def test_an_error_that_nobody_expected_hides_nothing_else(well: Scratch, monkeypatch: pytest.MonkeyPatch) -> None:
    from br3.doctor import examine, mend
    from br3.repo.worktrees import discover

    def fails(*_: object, **__: object) -> Any:
        raise RuntimeError("not expected\x1b[2J")

    repository = discover(well.path)
    monkeypatch.setattr(ports, "known_ports", fails)
    found = list(examine(repository, None))
    shown = "RuntimeError: not expected\N{REPLACEMENT CHARACTER}[2J"
    assert [f.said for f in found if f.what == "ports"] == [f"cannot be looked at: {shown}"]
    assert found[-1].what == "requests"
    (tried,) = mend([dataclasses.replace(found[0], mend=fails)])
    assert tried.done is None and tried.error == shown


def test_a_process_that_ends_while_it_is_looked_at_hides_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    import psutil

    from br3.doctor.processes import _all

    def gone(self: psutil.Process) -> Any:
        raise psutil.NoSuchProcess(self.pid)

    monkeypatch.setattr(psutil.Process, "parents", gone)
    assert os.getppid() in [process.pid for process in _all()]
