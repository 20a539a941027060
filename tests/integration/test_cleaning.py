"""``br3 clean``: what goes, what is refused and by what name, what a crash leaves (nothing), who still runs there."""

from __future__ import annotations

import errno
import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from br3.errors import Refused
from br3.repo import Git, trash, worktrees
from br3.workspace import occupants
from tests.conftest import Scratch, making, shell_plan, toml, until, writing
from tests.integration.keeping import once
from tests.integration.killing import git_that_kills

MANY = 600
"""Files enough for the background."""


@pytest.fixture
def landed(kept_repo: Scratch) -> Scratch:
    """Two builds that have landed; git ignores some files."""

    def land() -> None:
        kept_repo.write(".gitignore", ".env*\n*.log\ncache/\n")
        kept_repo.plan(shell_plan({"a": writing("a"), "b": writing("b")}))
        kept_repo.br3("run", "--trust")
        kept_repo.br3("merge")

    once(kept_repo, "landed", land)
    return kept_repo


@contextmanager
def running_in(directory: Path, *, file: str | None = None) -> Iterator[int]:
    """The id of a process with its working directory, or only an open file, in ``directory``."""
    opening = f"f = open({file!r}, 'a'); import os; os.chdir('/'); " if file else ""
    code = f"{opening}print('up', flush=True); import sys; sys.stdin.read()"
    process = subprocess.Popen(
        [sys.executable, "-c", code], cwd=directory, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    process.stdout.readline()
    try:
        yield process.pid
    finally:
        process.kill()
        process.communicate()


def is_read(pipe: Path) -> bool:
    """Whether somebody waits for what comes out of ``pipe``; who does is let go on."""
    try:
        os.close(os.open(pipe, os.O_WRONLY | os.O_NONBLOCK))
    except OSError:
        return False
    return True


def is_cleaned(repo: Scratch, *builds: str) -> bool:
    return not any(repo.worktree(b).exists() or repo.git("branch", "--list", f"build/{b}") for b in builds)


def trash_of(repo: Scratch) -> list[Path]:
    place = repo.worktree("a").parent
    return trash.lying_in(place) if place.is_dir() else []


# What is deleted, and when


def test_little_is_deleted_at_once(landed: Scratch) -> None:
    landed.br3("clean")
    assert is_cleaned(landed, "a", "b")
    assert not landed.worktree("a").parent.exists()


def test_much_is_deleted_in_the_background_and_its_directory_with_it(landed: Scratch) -> None:
    for number in range(MANY):
        landed.write(f"cache/{number}", "x", root=landed.worktree("a"))
    landed.br3("clean")
    assert is_cleaned(landed, "a", "b")
    until(lambda: not landed.worktree("a").parent.exists())


def test_the_background_has_a_session_of_its_own_and_nothing_inherited(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    slow = tmp_path / "slow.py"  # the same module, held up where it begins to delete
    source = Path(trash.__file__).read_text()
    slow.write_text(source.replace("    os.nice(19)\n", f"    os.nice(19)\n    open({str(pipe)!r}).read()\n"))
    monkeypatch.setattr(trash, "__file__", str(slow))
    monkeypatch.setenv("BR3_MARK", "a build's")
    place = tmp_path / "place" / f"{trash.PREFIX}1"
    place.mkdir(parents=True)
    for number in range(MANY):
        (place / str(number)).touch()
    with (tmp_path / "inherited").open("w") as held:
        os.set_inheritable(held.fileno(), True)
        trash.delete([place])
    child = psutil.Process(trash._started[-1].pid)
    try:
        until(lambda: child.nice() == min(19, os.nice(0) + 19))
        assert os.getsid(child.pid) == child.pid
        assert child.cwd() == "/"
        assert "BR3_MARK" not in child.environ()
        assert [f.path for f in child.open_files() if "inherited" in f.path] == []
        child.send_signal(signal.SIGHUP)
        until(lambda: is_read(pipe) or not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)
        until(lambda: not place.parent.exists())
    finally:
        trash._started[-1].kill()


def test_the_next_clean_deletes_what_a_killed_background_left(landed: Scratch) -> None:
    leftover = landed.worktree("a").parent / f"{trash.PREFIX}0123"
    landed.write("file", "x", root=leftover)
    landed.br3("clean", "a")
    assert not leftover.exists()


def test_the_next_merge_deletes_what_a_killed_background_left(landed: Scratch) -> None:
    leftover = landed.worktree("a").parent / f"{trash.PREFIX}0123"
    landed.write("file", "x", root=leftover)
    landed.write("more", "x", root=landed.worktree("a"))
    landed.commit("more", cwd=landed.worktree("a"))
    landed.br3("verify", "a")
    landed.br3("merge")
    assert not leftover.exists()


def test_what_is_renamed_and_still_registered_is_not_deleted_yet(repo: Scratch, tmp_path: Path) -> None:
    repo.git("worktree", "add", "--quiet", "-b", "x", str(tmp_path / "x"))
    aside = trash.set_aside(tmp_path / "x")  # and here its removal was killed
    worktrees.empty_trash(tmp_path)
    assert (aside / "README.md").exists()
    worktrees.remove(Git(repo.common_dir), tmp_path / "x")
    worktrees.empty_trash(tmp_path)
    assert not aside.exists()


def test_what_packages_made_read_only_is_deleted(tmp_path: Path) -> None:
    inside = tmp_path / f"{trash.PREFIX}1" / "mod"
    inside.mkdir(parents=True)
    (inside / "file").touch()
    inside.chmod(0o555)
    trash.delete([inside.parent])
    assert not inside.parent.exists()


def test_a_removal_drops_its_own_entry_only(landed: Scratch, tmp_path: Path) -> None:
    landed.git("worktree", "add", "--quiet", "-b", "mine", str(tmp_path / "volume" / "mine"))
    os.rename(tmp_path / "volume", tmp_path / "unmounted")
    landed.br3("clean")
    assert str(tmp_path / "volume" / "mine") in landed.git("worktree", "list")


# Branches


def test_another_branch_that_a_worktree_was_on_stays_and_is_named(landed: Scratch) -> None:
    landed.git("switch", "--quiet", "-c", "try", cwd=landed.worktree("a"))
    landed.write("tried", "x", root=landed.worktree("a"))
    tried = landed.commit("try it", cwd=landed.worktree("a"))
    landed.git("switch", "--quiet", "-c", "idle", cwd=landed.worktree("b"))
    said = landed.br3("clean").out
    assert "the worktree of a was on another branch, try, with 1 commit on try not landed: “try it”" in said
    assert "the worktree of b was on another branch, idle\n" in said
    assert landed.head("try") == tried and landed.head("idle")


def test_a_squashed_branch_goes_and_its_proof_is_recorded(repo: Scratch) -> None:
    repo.plan(shell_plan({"a": writing("a"), "b": writing("b")}))
    repo.br3("run", "--trust")
    for build in "ab":
        repo.git("merge", "--quiet", "--squash", f"build/{build}")
        repo.commit(f"squashed {build}")
    said = repo.br3("clean")
    assert is_cleaned(repo, "a", "b")
    assert "given up" not in said.out
    assert [e.data["contained"] for e in repo.events("worktree.removed")] == ["merged", "merged"]


def test_a_squashed_branch_whose_work_was_taken_back_stays(repo: Scratch) -> None:
    repo.plan(shell_plan({"a": writing("a")}))
    repo.br3("run", "--trust")
    repo.git("merge", "--quiet", "--squash", "build/a")
    repo.commit("squashed")
    repo.git("revert", "--no-edit", "HEAD")
    repo.br3("clean", code=3)
    assert repo.worktree("a").exists() and repo.git("branch", "--list", "build/a")


def test_a_branch_that_is_still_at_its_start_goes(repo: Scratch) -> None:
    plan = '[plan]\nname = "t"\n[verify]\nrun = ["true"]\n[[build]]\nid = "a"\nagent = "manual"\n'
    repo.plan(plan)
    repo.br3("up", "--trust")
    repo.commit("base goes on")
    repo.br3("clean")
    assert is_cleaned(repo, "a")


def test_a_branch_that_moves_while_it_is_removed_stays(landed: Scratch, tmp_path: Path) -> None:
    real = shlex.quote(str(shutil.which("git")))
    theirs = landed.git("commit-tree", "-p", "build/a", "-m", "theirs", "build/a^{tree}")
    wrapper = tmp_path / "bin" / "git"
    wrapper.parent.mkdir()
    moves = f"{real} update-ref refs/heads/build/a {theirs}"
    wrapper.write_text(f'#!/bin/sh\ncase "$*" in *"worktree remove"*"/a") {moves};; esac\nexec {real} "$@"\n')
    wrapper.chmod(0o755)
    said = landed.br3("clean", code=3, env={"PATH": f"{wrapper.parent}{os.pathsep}{os.environ['PATH']}"})
    assert "moved meanwhile" in said.err
    assert landed.head("build/a") == theirs
    assert is_cleaned(landed, "b")


def test_base_that_is_taken_back_at_the_last_moment_keeps_the_branch(landed: Scratch, tmp_path: Path) -> None:
    real = shlex.quote(str(shutil.which("git")))
    wrapper = tmp_path / "bin" / "git"
    wrapper.parent.mkdir()
    back = f"{real} update-ref refs/heads/main main~2"
    wrapper.write_text(f'#!/bin/sh\ncase "$*" in *"update-ref --stdin"*) {back};; esac\nexec {real} "$@"\n')
    wrapper.chmod(0o755)
    tips = [landed.head("build/a"), landed.head("build/b")]
    landed.br3("clean", code=3, env={"PATH": f"{wrapper.parent}{os.pathsep}{os.environ['PATH']}"})
    assert [landed.head("build/a"), landed.head("build/b")] == tips


# Refusals


def test_a_refusal_names_files_and_commits_by_their_subjects(repo: Scratch) -> None:
    repo.plan(shell_plan({"a": writing("a")}))
    repo.br3("run", "--trust")
    repo.write("second", "x", root=repo.worktree("a"))
    repo.commit("a second \x1b[31mthing", cwd=repo.worktree("a"))
    repo.write("precious", "x", root=repo.worktree("a"))
    said = repo.br3("clean", code=3)
    assert "precious" in said.err
    assert "2 commits on build/a not landed: “a second \\x1b[31mthing”, “" in said.err
    assert "br3 clean --force BUILD" in said.err


def test_what_a_rebase_keeps_aside_until_it_ends_keeps_the_worktree(landed: Scratch) -> None:
    path = landed.worktree("a")
    landed.write("README.md", "mine\n", root=path)
    landed.git("-c", "sequence.editor=echo break >>", "rebase", "-i", "--autostash", "HEAD~1", cwd=path)
    assert landed.git("status", "--porcelain", cwd=path) == ""
    said = landed.br3("clean", code=3)
    assert f"a rebase is in progress in {path}" in said.err
    landed.git("rebase", "--continue", cwd=path)
    assert (path / "README.md").read_text() == "mine\n"


def test_a_branch_that_is_rebased_elsewhere_stays_and_its_worktree(landed: Scratch, tmp_path: Path) -> None:
    landed.git("switch", "--quiet", "--detach", cwd=landed.worktree("a"))
    elsewhere = tmp_path / "elsewhere"
    landed.git("worktree", "add", "--quiet", str(elsewhere), "build/a")
    landed.git("-c", "sequence.editor=echo break >>", "rebase", "--interactive", "HEAD~1", cwd=elsewhere)
    said = landed.br3("clean", code=3)
    assert f"a: its branch build/a is being rebased or bisected in {elsewhere}" in said.err
    landed.git("rebase", "--continue", cwd=elsewhere)
    assert landed.worktree("a").is_dir() and not landed.worktree("b").exists()


@pytest.mark.parametrize("place", ["its directory", "a file"])
def test_a_process_that_runs_there_is_named_and_keeps_the_worktree(landed: Scratch, place: str) -> None:
    worktree = landed.worktree("a")
    with running_in(worktree, file=None if place == "its directory" else "server.log") as pid:
        said = landed.br3("clean", code=3)
        assert f"(pid {pid})" in said.err and " -c " in said.err
        assert worktree.exists() and is_cleaned(landed, "b")
        assert f"(pid {pid})" in landed.br3("clean", "--force", "a").out
        assert is_cleaned(landed, "a")
        assert psutil.pid_exists(pid)


def test_occupants_are_found_without_proc_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(occupants, "_HAS_PROC", False)
    (tmp_path / "w").mkdir()
    (tmp_path / "w2").mkdir()
    with running_in(tmp_path / "w") as pid:
        found = occupants.occupants([tmp_path / "w", tmp_path / "w2"])
    assert {path: [o.pid for o in there] for path, there in found.items()} == {tmp_path / "w": [pid]}


def test_a_locked_worktree_stays_also_by_force(landed: Scratch) -> None:
    landed.git("worktree", "lock", "--reason", "on my stick", str(landed.worktree("a")))
    for words in (["clean"], ["clean", "--force", "a"]):
        said = landed.br3(*words, code=3)
        assert "is locked (on my stick); br3 worktree unlock" in said.err
        assert "--force BUILD" not in said.err
    assert landed.worktree("a").exists() and is_cleaned(landed, "b")
    landed.git("worktree", "unlock", str(landed.worktree("a")))
    landed.br3("clean")
    assert is_cleaned(landed, "a")


def test_a_worktree_on_a_volume_that_is_not_there_keeps_its_entry_and_branch(landed: Scratch) -> None:
    place = landed.worktree("a").parent
    place.rename(place.with_name("unmounted"))
    said = landed.br3("clean", code=3)
    assert "mount it" in said.err
    place.with_name("unmounted").rename(place)
    landed.br3("clean")
    assert is_cleaned(landed, "a", "b")


def test_a_worktree_whose_directory_was_deleted_is_cleaned_up(landed: Scratch) -> None:
    shutil.rmtree(landed.worktree("a"))
    landed.br3("clean")
    assert is_cleaned(landed, "a", "b")
    assert len(landed.git("worktree", "list").splitlines()) == 1


def test_a_worktree_whose_directory_was_deleted_stays_while_its_head_alone_holds_commits(landed: Scratch) -> None:
    path = landed.worktree("a")
    landed.git("switch", "--quiet", "--detach", cwd=path)
    landed.commit("stray", cwd=path)
    shutil.rmtree(path)
    assert f"HEAD of {path} holds commits" in landed.br3("clean", code=3).err
    assert not is_cleaned(landed, "a") and is_cleaned(landed, "b")


def test_a_rename_that_the_filesystem_refuses_loses_nothing(
    repo: Scratch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repo.git("worktree", "add", "--quiet", "-b", "x", str(tmp_path / "x"))

    def refuse(path: Path) -> Path:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(trash, "set_aside", refuse)
    with pytest.raises(Refused, match="Invalid cross-device link") as caught:
        worktrees.remove(Git(repo.common_dir), tmp_path / "x")
    assert caught.value.hint is not None and "git worktree remove --force" in caught.value.hint
    assert (tmp_path / "x" / "README.md").exists()
    assert len(repo.git("worktree", "list").splitlines()) == 2


def test_a_worktree_that_was_moved_and_linked_is_not_half_removed(landed: Scratch, tmp_path: Path) -> None:
    landed.worktree("a").rename(tmp_path / "bigger disk")
    landed.worktree("a").symlink_to(tmp_path / "bigger disk")
    said = landed.br3("clean", code=3)
    assert "symbolic link" in said.err
    assert (tmp_path / "bigger disk" / "a").exists() and landed.git("branch", "--list", "build/a")


@pytest.mark.parametrize("damage", ["no entry", "no gitdir", "no .git"])
def test_a_damaged_worktree_is_refused_and_goes_by_force(landed: Scratch, damage: str) -> None:
    entry = landed.common_dir / "worktrees" / "a"
    if damage == "no entry":
        shutil.rmtree(entry)
    elif damage == "no gitdir":
        (entry / "gitdir").unlink()
    else:
        (landed.worktree("a") / ".git").unlink()
    said = landed.br3("clean", code=3)
    assert str(landed.worktree("a")) in said.err
    assert (landed.worktree("a") / "a").exists()
    landed.br3("clean", "--force", "a")
    assert is_cleaned(landed, "a") and not entry.exists()
    assert len(landed.git("worktree", "list").splitlines()) == 1


@pytest.mark.parametrize("what", ["a directory", "another repository's worktree"])
def test_what_is_no_worktree_of_ours_stays_also_by_force(landed: Scratch, tmp_path: Path, what: str) -> None:
    landed.git("worktree", "remove", "--force", str(landed.worktree("a")))
    if what != "a directory":
        landed.git("clone", "--quiet", str(landed.path), str(tmp_path / "other"))
        landed.git("worktree", "add", "--quiet", "--detach", str(landed.worktree("a")), cwd=tmp_path / "other")
    landed.write("mine", "x", root=landed.worktree("a"))
    landed.br3("clean", code=3)
    said = landed.br3("clean", "--force", "a", code=3)
    assert "is no worktree of this repository" in said.err
    assert (landed.worktree("a") / "mine").exists() and landed.git("branch", "--list", "build/a")


def test_what_is_mounted_below_is_seen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    line = "36 35 98:0 /mnt1 {} rw,noatime master:1 - ext3 /dev/root rw\n"
    points = [str(tmp_path).replace(" ", "\\040") + end for end in ("/w/in\\040it", "/w2", "")]
    (tmp_path / "mountinfo").write_text("".join(line.format(point) for point in points))
    real = Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda self: real(tmp_path / "mountinfo"))
    assert trash.mounted_below(tmp_path / "w") == [tmp_path / "w" / "in it"]


# Ignored files


def test_a_hand_written_ignored_file_is_refused(landed: Scratch) -> None:
    landed.write("only/.env.local", "TOKEN=mine\n", root=landed.worktree("a"))
    said = landed.br3("clean", code=3)
    assert "only/.env.local (ignored by git, and nowhere else)" in said.err
    assert (landed.worktree("a") / "only" / ".env.local").exists() and is_cleaned(landed, "b")
    assert ".env.local" in landed.br3("clean", "--force", "a").out
    assert is_cleaned(landed, "a")


def test_other_ignored_files_go_and_are_named(landed: Scratch) -> None:
    landed.write("out.log", "x\n", root=landed.worktree("a"))
    landed.write("sub/__pycache__/x.pyc", "x\n", root=landed.worktree("a"))
    landed.write("cache/x", "x\n", root=landed.worktree("a"))
    said = landed.br3("clean", "--json").json
    assert said["ignored"] == {"a": ["cache/", "out.log"]}


@pytest.mark.parametrize("change", ["none", "in the worktree", "in the checkout it came from"])
def test_a_copied_file_is_lost_only_when_it_was_changed(repo: Scratch, change: str) -> None:
    repo.write(".gitignore", ".env\ndata/\n")
    repo.write(".env", "A=1\n")
    repo.write("data/x", "1\n")
    repo.plan(shell_plan({"a": writing("a")}) + '[setup]\ncopy = [".env", "data"]\n')
    repo.br3("run", "--trust")
    repo.br3("merge")
    if change == "in the worktree":
        for name in (".env", "data/y"):
            repo.write(name, "A=2\n", root=repo.worktree("a"))
    elif change != "none":
        repo.write(".env", "A=3\n")
    said = repo.br3("clean", code=3 if change == "in the worktree" else 0)
    if change == "in the worktree":
        assert ".env (changed since it was copied), data/y (changed since it was copied)" in said.err
    else:
        assert is_cleaned(repo, "a") and "ignored" not in said.out


def test_what_set_up_writes_into_ignored_files_is_nobody_s_work(repo: Scratch) -> None:
    repo.write(".gitignore", ".env*\n*.db\ncache/\n")
    repo.write(".env", "A=1\n")
    command = f"echo PORT=$BR3_PORT >> .env; : > .env.made; : > app.db; {making('cache')}; : > cache/x"
    repo.plan(shell_plan({"a": writing("a")}) + f'[setup]\ncopy = [".env"]\nrun = [{toml(command)}]\n')
    repo.br3("run", "--trust")
    repo.br3("merge")
    assert repo.br3("clean", "--json").json["ignored"] == {}
    assert is_cleaned(repo, "a")


# Crashes, and two at once


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("step", ["worktree remove", "for-each-ref --format=%(refname) %(object", "update-ref --stdin"])
def test_kill_9_at_a_step_loses_nothing_and_the_next_clean_finishes(
    landed: Scratch, tmp_path: Path, step: str, after: bool
) -> None:
    landed.write("more", "x", root=landed.worktree("b"))  # stays, whatever happens to a
    env = git_that_kills(tmp_path / "bin", step, after=after)
    assert landed.br3("clean", code=None, env=env).code == -signal.SIGKILL
    assert (landed.worktree("b") / "more").exists()
    landed.br3("clean", code=3)
    assert is_cleaned(landed, "a") and trash_of(landed) == []
    assert len(landed.git("worktree", "list").splitlines()) == 2
    assert [e.build for e in landed.events("worktree.removed")] == ["a"]
    assert (landed.worktree("b") / "more").exists()
    landed.br3("clean", code=3)
    assert [e.build for e in landed.events("worktree.removed")] == ["a"]


def test_two_at_once_share_the_work(landed: Scratch) -> None:
    both = [landed.start("clean", "--json"), landed.start("clean", "--json")]
    for process in both:
        out, err = process.communicate()
        assert process.returncode == 0, out + err
    assert is_cleaned(landed, "a", "b")
    assert sorted(str(e.build) for e in landed.events("worktree.removed")) == ["a", "b"]


def test_a_worktree_whose_adding_was_cut_off_goes(repo: Scratch, tmp_path: Path) -> None:
    repo.plan('[plan]\nname = "t"\n[verify]\nrun = ["true"]\n[[build]]\nid = "a"\nagent = "manual"\n')
    repo.br3("up", "--trust")
    entry = repo.common_dir / "worktrees" / "a"
    (entry / "locked").write_text("initializing")
    (entry / "index").unlink()
    repo.br3("clean")
    assert is_cleaned(repo, "a")
