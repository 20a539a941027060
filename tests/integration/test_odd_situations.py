"""A full disk, what may not be written, a clock that was set back, what was deleted or moved by hand, during a run.

Each time: a clear state, nothing lost, ``br3 doctor`` names it, and once it is mended the run goes on where it was.
"""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest

from br3.telemetry.locks import holder
from tests.conftest import Said, Scratch, script, toml, until
from tests.integration.mounts import fill, in_own_mounts, read_only, small_disk, writable

pytestmark = pytest.mark.usefixtures("tracked")

WAITING = """
import os, sys, time
here = os.path.dirname(os.path.abspath(__file__))
open(os.path.join(here, "begun"), "a").write("x")
while not os.path.exists(os.path.join(here, "go")):
    time.sleep(0.02)
open("two", "w").write("two\\n" * 2000)
"""


class Scene:
    """One build of three tasks; the second one waits until ``go``, and notes each time that it begins."""

    def __init__(self, directory: Path, *, forks: bool = True) -> None:
        self.tools = directory / "tools"
        self.repo = Scratch(directory / "project")
        self.repo.forks = forks
        self.repo.path.mkdir(parents=True)
        self.repo.git("init", "--quiet")
        count = "printf x >> " + shlex.quote(str(self.tools / "ran"))
        commands = {
            "1": f"echo one > one; {count}",
            "2": script(self.tools, "wait.py", WAITING),
            "3": "echo three > three",
        }
        text = '[plan]\nname = "odd"\n[setup]\n[verify]\nrun = ["true"]\n[defaults]\nagent = "shell"\nretries = 0\n'
        text += '[[build]]\nid = "a"\n'
        for task, command in commands.items():
            text += f'[[build.task]]\nid = "{task}"\ncommand = {toml(command)}\n'
        self.repo.plan(text)

    def begin(self) -> subprocess.Popen[str]:
        """Start the run, and wait until its second task has begun."""
        process = self.repo.start("run", "--trust")
        until(lambda: (self.tools / "begun").exists() or process.poll() is not None)
        assert process.poll() is None, process.communicate()
        return process

    def go(self) -> None:
        (self.tools / "go").touch()

    def named(self, what: str, code: int | None = 1) -> list[dict[str, Any]]:
        """What the doctor has to say of something, when it is not just well."""
        found = self.repo.br3("doctor", "--json", code=code).json["findings"]
        return [finding for finding in found if finding["what"] == what and finding["state"] != "ok"]

    def goes_on(self, again: Said) -> None:
        """The build is verified; no task was done twice, and each is a commit."""
        assert "Traceback" not in again.all
        assert self.repo.status()["builds"]["a"]["verified"], again.all
        assert (self.tools / "ran").read_text() == "x"
        subjects = self.repo.git("log", "--format=%s", "main..build/a").splitlines()
        assert sorted(subjects) == ["a: 1", "a: 2", "a: 3"]
        assert self.repo.git("show", "build/a:two").count("two") == 2000
        done = [event.task for event in self.repo.events("task.completed")]
        assert sorted(map(str, done)) == ["1", "2", "3"]


def ended(process: subprocess.Popen[str], code: int | None) -> Said:
    out, err = process.communicate()
    assert code is None or process.returncode == code, out + err
    assert "Traceback" not in out + err
    return Said(process.returncode, out, err)


# -- disks -------------------------------------------------------------------------------------------------------------


def on_a_full_disk(directory: Path) -> None:
    small_disk(directory / "disk", 2_000_000_000)
    scene = Scene(directory / "disk" / "at", forks=False)
    process = scene.begin()
    fill(directory / "disk")
    scene.go()
    assert process.stderr is not None
    until(lambda: "waits for room" in process.stderr.readline())
    (disk,) = scene.named("disk")
    assert "nothing new starts" in disk["said"] and "make room" in disk["hint"]
    (journal,) = scene.named("journal")
    assert "the disk is full" in journal["said"]
    status = scene.repo.br3("status")
    assert "Traceback" not in status.all and "1/3" in status.out
    small_disk(directory / "disk", 2_000_000_000)
    scene.goes_on(ended(process, 0))
    assert not scene.repo.events("build.failed", "task.failed", "build.restarting")


def test_a_full_disk_lets_a_build_wait_and_it_goes_on_by_itself_when_there_is_room(tmp_path: Path) -> None:
    in_own_mounts(on_a_full_disk, tmp_path)


def killed_on_a_full_disk(directory: Path) -> None:
    small_disk(directory / "disk", 2_000_000_000)
    scene = Scene(directory / "disk" / "at", forks=False)
    process = scene.begin()
    fill(directory / "disk")
    scene.go()
    until(lambda: holder(scene.repo.common_dir, "build", "a") is None)
    process.kill()
    process.communicate()
    again = scene.repo.start("run")
    assert again.stderr is not None
    until(lambda: "waits for room" in again.stderr.readline())
    small_disk(directory / "disk", 2_000_000_000)
    scene.goes_on(ended(again, 0))


def test_a_run_that_was_killed_on_a_full_disk_goes_on_when_there_is_room(tmp_path: Path) -> None:
    in_own_mounts(killed_on_a_full_disk, tmp_path)


def where_nothing_may_be_written(directory: Path) -> None:
    scene = Scene(directory, forks=False)
    process = scene.begin()
    read_only(scene.repo.common_dir / "br3")
    scene.go()
    said = ended(process, 1)
    assert "the file system is read-only" in said.err and "br3 doctor" in said.err
    assert "read-only" in scene.named("journal")[0]["said"]
    assert "read-only" in scene.named("files")[0]["said"]
    assert "interrupted" in scene.repo.br3("status").out
    assert "read-only" in scene.repo.br3("run", code=1).err
    writable(scene.repo.common_dir / "br3")
    assert not scene.named("files", None)
    scene.goes_on(scene.repo.br3("run"))


def test_a_directory_that_may_not_be_written_ends_the_run_and_the_next_one_goes_on(tmp_path: Path) -> None:
    in_own_mounts(where_nothing_may_be_written, tmp_path)


# -- the clock ---------------------------------------------------------------------------------------------------------

# Python runs it at its start, in every process that inherits PYTHONPATH: a clock that a file sets.
CLOCK = """
import datetime, os, time
_real, _real_ns = time.time, time.time_ns
def _shift():
    try:
        return int(open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "shift")).read() or 0)
    except OSError:
        return 0
time.time = lambda: _real() + _shift()
time.time_ns = lambda: _real_ns() + _shift() * 1_000_000_000
class _Shifted(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return super().now(tz) + datetime.timedelta(seconds=_shift())
_Shifted.__name__ = "datetime"
datetime.datetime = _Shifted
"""


@pytest.fixture
def clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file with the seconds by which the clock of all that is started is set."""
    directory = tmp_path / "clock"
    directory.mkdir()
    (directory / "sitecustomize.py").write_text(CLOCK)
    monkeypatch.setenv("PYTHONPATH", str(directory))
    return directory / "shift"


def test_a_clock_that_jumps_back_during_a_run_changes_nothing_but_the_times_shown(tmp_path: Path, clock: Path) -> None:
    scene = Scene(tmp_path / "at", forks=False)
    process = scene.begin()
    clock.write_text("-3600")
    scene.go()
    scene.goes_on(ended(process, 0))
    began, finished = (scene.repo.events(kind)[0] for kind in ("run.created", "run.completed"))
    assert began.ts > finished.ts, "the clock did not jump"
    assert not scene.repo.events("timeout.occurred", "build.silent", "attempt.salvaged")
    (odd,) = scene.named("clock", 0)
    assert odd["state"] == "warn" and "60 minutes ahead" in odd["said"]
    for command in ("status", "runs", "costs"):
        assert not re.search(r"(^|\s)-\d", scene.repo.br3(command).out), "a time below zero"
    rows = scene.repo.br3("sql", "SELECT state FROM builds", "--json").json["rows"]
    assert rows == [["verified"]]


def test_a_run_that_begins_after_the_clock_jumped_back_is_the_newest_all_the_same(tmp_path: Path, clock: Path) -> None:
    scene = Scene(tmp_path / "at", forks=False)
    process = scene.begin()
    process.terminate()
    ended(process, 130)
    clock.write_text("-3600")
    scene.go()
    again = scene.repo.br3("run")
    first, second = (event.run for event in sorted(scene.repo.events("run.created"), key=lambda e: e.ts, reverse=True))
    assert scene.repo.status()["run"] == second
    assert [run["run"] for run in scene.repo.br3("runs", "--json").json["runs"]] == [second, first]
    scene.goes_on(again)
    assert "landed" in scene.repo.br3("merge").out


# -- by hand -----------------------------------------------------------------------------------------------------------


def test_a_worktree_that_is_deleted_during_a_run_costs_only_what_was_not_committed(tmp_path: Path) -> None:
    import shutil

    scene = Scene(tmp_path)
    process = scene.begin()
    shutil.rmtree(scene.repo.worktree("a"))
    scene.go()
    said = ended(process, 1)
    assert "its worktree" in said.err and "build/a has what was committed" in said.err and "br3 run" in said.err
    (named,) = scene.named("worktrees")
    assert "is gone, and git still has it registered" in named["said"] and "br3 up a" in named["hint"]
    scene.goes_on(scene.repo.br3("run"))
    assert not scene.named("worktrees", 0)


@pytest.mark.parametrize("how", ["back", "fix"])
def test_what_the_doctor_says_of_a_deleted_worktree_mends_it(tmp_path: Path, how: str) -> None:
    import shutil

    scene = Scene(tmp_path)
    process = scene.begin()
    process.terminate()
    ended(process, 130)
    if how == "fix":  # what held it is surely there
        scene.repo.git("worktree", "add", "--quiet", str(scene.repo.worktree("other")))
    shutil.rmtree(scene.repo.worktree("a"))
    (named,) = scene.named("worktrees")
    if how == "back":
        words = shlex.split(named["hint"].partition(" makes it again")[0])
        scene.repo.br3(*words[1:])
    else:
        assert named["fixable"]
        scene.repo.br3("doctor", "--fix")
        assert str(scene.repo.worktree("a")) not in scene.repo.git("worktree", "list")
    assert not scene.named("worktrees", 0)
    scene.go()
    scene.goes_on(scene.repo.br3("run"))


def test_a_branch_that_is_moved_during_a_run_is_named_and_taken_back(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    process = scene.begin()
    done = scene.repo.head("build/a")
    scene.repo.git("update-ref", "refs/heads/build/a", "main")
    scene.go()
    ended(process, 1)
    # No task is done anew on a branch that somebody has moved, and what came off it is held.
    said = scene.repo.br3("run", code=1)
    assert f"build/a was moved: it no longer has {done[:12]}" in said.err
    assert scene.repo.head(f"refs/br3/moved/a/{done[:12]}") == done
    (named,) = scene.named("branches")
    assert "build/a was moved" in named["said"] and "task 1" in named["said"]
    words = shlex.split(named["hint"])
    scene.repo.git(*words[1:])
    assert scene.repo.head("build/a") == done
    assert not scene.named("branches", 0)
    scene.goes_on(scene.repo.br3("run"))


def test_a_branch_that_a_person_rebased_has_what_was_done_and_goes_on(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    process = scene.begin()
    process.terminate()
    ended(process, 130)
    scene.repo.write("other", "other\n")
    scene.repo.commit("base goes on")
    scene.repo.git("rebase", "--quiet", "main", cwd=scene.repo.worktree("a"))
    assert not scene.named("branches", 0)
    scene.go()
    scene.goes_on(scene.repo.br3("run"))


def test_a_task_whose_commit_came_off_the_branch_can_be_done_again_on_purpose(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.go()
    scene.repo.br3("run", "--trust")
    scene.repo.git("reset", "--quiet", "--hard", "main", cwd=scene.repo.worktree("a"))
    scene.repo.br3("retry", "a", "--from", "1")
    scene.repo.br3("run")
    assert (scene.tools / "ran").read_text() == "xx"
    assert scene.repo.status()["builds"]["a"]["verified"]


@pytest.mark.parametrize("what", ["the repository", "all of it"])
def test_a_repository_that_is_moved_during_a_run_goes_on_where_it_is_now(tmp_path: Path, what: str) -> None:
    old = tmp_path / "old"
    scene = Scene(old)
    # The scene's tools stay where they are, whatever is moved.
    process = scene.begin()
    if what == "the repository":
        scene.repo.path.rename(old / "renamed")
        scene.repo = Scratch(old / "renamed")
        place = old / "project.worktrees" / "a"
    else:
        for name in ("project", "project.worktrees"):
            (tmp_path / "new").mkdir(exist_ok=True)
            (old / name).rename(tmp_path / "new" / name)
        scene.repo = Scratch(tmp_path / "new" / "project")
        place = scene.repo.worktree("a")
    scene.go()
    said = ended(process, 1)
    assert "the repository is not at" in said.err and "br3 doctor" in said.err
    assert not (old / "project" / ".git").exists(), "something was written where the repository was"
    (named,) = scene.named("worktrees")
    assert f"{place} belongs to a repository at {old / 'project' / '.git'}, which is not there" in named["said"]
    refused = scene.repo.br3("run", "--trust", code=1)
    assert "git worktree repair" in refused.err
    fixed = scene.repo.br3("doctor", "--fix", code=None)
    assert "done: git worktree repair" in fixed.out
    assert not scene.named("worktrees", 0)
    scene.goes_on(scene.repo.br3("run"))


def test_a_copy_of_a_repository_leaves_the_worktrees_of_the_other_alone(tmp_path: Path) -> None:
    import shutil

    scene = Scene(tmp_path)
    process = scene.begin()
    process.terminate()
    ended(process, 130)
    pointer = (scene.repo.worktree("a") / ".git").read_text()
    shutil.copytree(scene.repo.path, tmp_path / "copy", symlinks=True)
    copy = Scratch(tmp_path / "copy")
    named = [f for f in copy.br3("doctor", "--fix", "--json", code=1).json["findings"] if f["what"] == "worktrees"]
    assert "this repository is a copy of that one" in named[0]["said"]
    copy.br3("run", "--trust", code=1)
    assert (scene.repo.worktree("a") / ".git").read_text() == pointer
    scene.go()
    scene.goes_on(scene.repo.br3("run"))
