"""``br3 worktree remove`` and ``prune``: what goes, what is refused and by what name."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from br3.everyday import making
from br3.repo import worktrees
from tests.conftest import Scratch, toml, until, writing
from tests.conftest import making as making_directory

BUILD = '[[build]]\nid = "a"\nagent = "manual"\n'


def work(repo: Scratch, name: str, *, commits: int = 1) -> Path:
    """A worktree with commits of its own."""
    repo.br3("worktree", "new", name)
    path = repo.worktree(making.directory_name(name))
    for number in range(commits):
        repo.write(f"{making.directory_name(name)}-{number}", "x\n", root=path)
        repo.commit(f"work {number}", cwd=path)
    return path


def stands(repo: Scratch, name: str) -> bool:
    registered = str(repo.worktree(name)) in repo.git("worktree", "list", "--porcelain")
    branch = bool(repo.git("branch", "--list", name))
    assert registered == repo.worktree(name).exists()
    return registered or branch


def squash(repo: Scratch, name: str) -> None:
    repo.git("merge", "--quiet", "--squash", name)
    repo.git("commit", "--quiet", "--message", "squashed")


def test_what_base_has_goes_with_its_branch(repo: Scratch) -> None:
    work(repo, "merged")
    work(repo, "squashed", commits=2)
    repo.git("merge", "--quiet", "merged")
    squash(repo, "squashed")
    repo.write("more", "x")
    repo.commit("on it goes")
    said = repo.br3("worktree", "remove", "merged", "squashed")
    assert said.out == "removed merged, squashed\n"
    assert not stands(repo, "merged") and not stands(repo, "squashed")
    assert not repo.worktree("merged").parent.exists()
    assert [e.data["contained"] for e in repo.events("worktree.removed")] == ["ancestor", "merged"]


KINDS = [
    "commit",
    "modified",
    "unseen",
    "skipped",
    "untracked",
    "staged",
    "stray",
    "nested",
    "branch",
    "stash",
    "module",
    "inner",
    "merge",
    "hand",
]


@pytest.mark.parametrize("what", KINDS)
def test_what_would_be_lost_is_named_and_stays(repo: Scratch, what: str) -> None:
    repo.write(".gitignore", ".env\nnested/\n")
    repo.commit("ignore")
    repo.br3("worktree", "new", "x")
    path = repo.worktree("x")
    expected = f"uncommitted changes in {path}: "
    match what:
        case "commit":
            repo.write("f", "x", root=path)
            repo.commit("unlanded", cwd=path)
            expected = "1 commit on x not landed: “unlanded”"
        case "modified":
            repo.write("README.md", "mine", root=path)
        case "unseen" | "skipped":
            repo.write("README.md", "mine", root=path)
            mark = "--assume-unchanged" if what == "unseen" else "--skip-worktree"
            repo.git("update-index", mark, "README.md", cwd=path)
            expected = f"changes in {path} that git was told not to look at: README.md"
        case "untracked":
            repo.write("mine", "mine", root=path)
        case "staged":
            repo.write("mine", "mine", root=path)
            repo.git("add", "mine", cwd=path)
        case "stray":
            repo.git("switch", "--quiet", "--detach", cwd=path)
            repo.write("f", "x", root=path)
            repo.commit("stray", cwd=path)
            expected = "that are on no branch"
        case "nested":
            repo.git("init", "--quiet", "nested", cwd=path)
            repo.commit("inner", cwd=path / "nested")
            expected = "is a repository of its own"
        case "branch" | "stash":
            inner = path / "nested"
            repo.git("clone", "--quiet", str(repo.path), str(inner))
            repo.write("README.md", "mine", root=inner)
            if what == "stash":
                repo.git("stash", "--quiet", cwd=inner)
            else:
                repo.git("switch", "--quiet", "--create", "other", cwd=inner)
                repo.commit("only here", cwd=inner)
                repo.git("switch", "--quiet", "main", cwd=inner)
            expected = f"{inner} is a repository of its own, with commits or a stash that no remote of it has"
        case "module":
            local = ("-c", "protocol.file.allow=always", "submodule", "--quiet")
            repo.git(*local, "add", "-b", "main", str(repo.path), "lib", cwd=path)
            repo.commit("only here", cwd=path / "lib")
            repo.git("rm", "--quiet", "--force", "lib", ".gitmodules", cwd=path)
            module = repo.common_dir / "worktrees" / "x" / "modules" / "lib"
            expected = f"the submodule's repository {module} has commits or a stash that no remote of it has"
        case "inner":
            repo.git("worktree", "add", "--quiet", "-b", "inner", str(path / "nested"))
            expected = f"{path / 'nested'} is a worktree of its own; remove that first"
        case "merge":
            repo.git("merge", "--quiet", "--no-commit", "--no-ff", repo.commit("on"), cwd=path)
            expected = "a merge is in progress"
        case "hand":
            repo.write(".env", "mine", root=path)
            expected = ".env (ignored by git, and nowhere else)"
    name = "x" if what != "stray" else str(path)
    said = repo.br3("worktree", "remove", name, code=3)
    assert expected in said.err and "next:" in said.err
    assert path.exists()
    repo.br3("worktree", "prune")
    assert path.exists()
    said = repo.br3("worktree", "remove", "--force", name)
    assert "gone by force" in said.out and expected in said.out
    assert not path.exists()


def test_a_file_that_git_is_not_to_look_at_keeps_nothing_while_it_is_as_committed(repo: Scratch) -> None:
    repo.br3("worktree", "new", "x")
    repo.git("update-index", "--skip-worktree", "README.md", cwd=repo.worktree("x"))
    repo.br3("worktree", "remove", "x")
    assert not repo.worktree("x").exists()


def test_a_clone_within_that_has_nothing_of_its_own_keeps_nothing(repo: Scratch) -> None:
    repo.write(".gitignore", "nested/\n")
    repo.commit("ignore")
    repo.br3("worktree", "new", "x")
    repo.git("clone", "--quiet", str(repo.path), str(repo.worktree("x") / "nested"))
    repo.br3("worktree", "remove", "x")
    assert not repo.worktree("x").exists()


def test_what_is_given_up_can_be_brought_back(repo: Scratch) -> None:
    tip = repo.git("rev-parse", "HEAD", cwd=work(repo, "x"))
    said = repo.br3("worktree", "remove", "--force", "x")
    assert f"git branch x {tip} brings it back" in said.out
    repo.git("branch", "x", tip)
    work(repo, "y;z")
    tip = repo.head("y;z")
    assert f"(git branch 'y;z' {tip} brings it back)" in repo.br3("worktree", "remove", "--force", "y;z").out


def test_a_worktree_may_go_and_its_branch_stay(repo: Scratch) -> None:
    path = work(repo, "x")
    repo.br3("worktree", "remove", "--keep-branch", "x")
    assert not path.exists() and repo.git("branch", "--list", "x")
    assert repo.br3("worktree", "new", "x", "--json").json["how"] == "attached"


def test_a_branch_that_another_worktree_is_on_stays(repo: Scratch, tmp_path: Path) -> None:
    repo.br3("worktree", "new", "x")
    repo.write("f", "x", root=repo.worktree("x"))
    repo.commit("unlanded", cwd=repo.worktree("x"))
    repo.git("worktree", "add", "--quiet", "--force", str(tmp_path / "x-2"), "x")
    said = repo.br3("worktree", "remove", str(repo.worktree("x")))
    assert said.err == f"the branch x stays: it is checked out in {tmp_path / 'x-2'}\n"
    assert repo.git("log", "-1", "--format=%s", cwd=tmp_path / "x-2") == "unlanded"
    repo.git("merge", "--quiet", "x")
    repo.br3("worktree", "remove", str(tmp_path / "x-2"))
    assert repo.git("branch", "--list", "x") == ""


def test_a_running_process_keeps_a_worktree(repo: Scratch) -> None:
    repo.br3("worktree", "new", "x")
    process = subprocess.Popen(
        [sys.executable, "-c", "import sys; print(1, flush=True); sys.stdin.read()"],
        cwd=repo.worktree("x"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        process.stdout.readline()
        said = repo.br3("worktree", "remove", "x", code=3).err
        assert f"(pid {process.pid})\nnext:  end them; or" in said
        gone = repo.br3("worktree", "remove", "x", "--force").out
        assert "gone by force: x" in gone and "end them" not in gone
    finally:
        process.kill()
        process.communicate()


def test_the_worktree_one_is_in_goes_when_the_shell_follows(repo: Scratch, tmp_path: Path) -> None:
    repo.br3("worktree", "new", "x")
    path = repo.worktree("x")
    call = f"{sys.executable} -P -m br3 worktree remove @; echo $?"
    alone = subprocess.run(["sh", "-c", call], cwd=path, capture_output=True, text=True)
    assert alone.stdout == "3\n" and "processes still run in" in alone.stderr
    env = {**os.environ, "BR3_CD_FILE": str(tmp_path / "cd")}
    followed = subprocess.run(["sh", "-c", call], cwd=path, env=env, capture_output=True, text=True)
    assert followed.stdout == "removed x\n0\n"
    assert (tmp_path / "cd").read_text() == str(repo.path)


@pytest.mark.parametrize("name", ["@", "main"])
def test_the_main_worktree_is_never_removed(repo: Scratch, name: str) -> None:
    said = repo.br3("worktree", "remove", "--force", name, code=3)
    assert "is the main worktree" in said.err


def test_a_missing_one_is_forgotten_and_one_on_a_stick_is_not(repo: Scratch, tmp_path: Path) -> None:
    for name in ("gone", "stick/away"):
        repo.br3("worktree", "new", name.replace("/", "-"), "--path", str(tmp_path / "t" / name))
    shutil.rmtree(tmp_path / "t" / "gone")
    shutil.rmtree(tmp_path / "t" / "stick")
    said = repo.br3("worktree", "prune")
    assert "removed  gone  (its directory is gone; its branch stays)" in said.out
    assert "stick-away" in said.err and "nor what holds it; mount it" in said.err
    registered = repo.git("worktree", "list", "--porcelain")
    assert "/gone" not in registered and "stick/away" in registered
    assert repo.git("branch", "--list", "gone")


def test_a_missing_one_whose_head_alone_holds_commits_stays_registered(repo: Scratch) -> None:
    repo.br3("worktree", "new", "x")
    path = repo.worktree("x")
    (path.parent / "beside").mkdir()
    repo.git("switch", "--quiet", "--detach", cwd=path)
    stray = repo.commit("stray", cwd=path)
    shutil.rmtree(path)
    told = f"HEAD of {path} holds commits ({stray[:9]}) that are on no branch"
    assert told in repo.br3("worktree", "prune").err
    assert told in repo.br3("worktree", "remove", str(path), code=3).err
    assert repo.git("rev-parse", "worktrees/x/HEAD") == stray
    repo.git("branch", "kept", stray)
    repo.br3("worktree", "prune")
    assert len(repo.git("worktree", "list").splitlines()) == 1


def test_what_was_staged_in_a_missing_one_keeps_it_registered(repo: Scratch) -> None:
    repo.br3("worktree", "new", "x")
    path = repo.worktree("x")
    (path.parent / "beside").mkdir()
    repo.write("mine", "mine", root=path)
    repo.git("add", "mine", cwd=path)
    shutil.rmtree(path)
    told = f"what was staged in {path} is in no commit"
    assert told in repo.br3("worktree", "prune").err
    assert told in repo.br3("worktree", "remove", "x", code=3).err
    assert (repo.common_dir / "worktrees" / "x" / "index").exists()


def test_what_set_up_left_is_nobody_s_work(repo: Scratch) -> None:
    left = f"echo made > lock-file; {making_directory('.venv')}; echo x > .venv/x"
    repo.plan(f'[plan]\nname = "t"\n[setup]\nrun = [{toml(left)}]\n[verify]\nrun = ["true"]\n{BUILD}')
    for name in ("x", "y"):
        repo.br3("worktree", "new", name, "--trust")
    repo.write("lock-file", "mine", root=repo.worktree("y"))
    rows = {Path(r["path"]).name: r for r in repo.br3("worktree", "list", "--json").json["worktrees"]}
    assert (rows["x"]["untracked"], rows["y"]["untracked"]) == (0, 1)
    repo.br3("worktree", "remove", "x")
    assert "lock-file" in repo.br3("worktree", "remove", "y", code=3).err


# prune


@pytest.fixture
def several(repo: Scratch) -> Scratch:
    """Worktrees whose work base has, in three ways, and others."""
    for name in ("merged", "squashed", "open", "dirty"):
        work(repo, name)
    repo.br3("worktree", "new", "fresh")
    repo.git("worktree", "add", "--quiet", "-b", "theirs", str(repo.worktree("theirs")))
    for name in ("merged", "dirty"):
        repo.git("merge", "--quiet", "--no-edit", name)
    squash(repo, "squashed")
    repo.write("dirt", "x", root=repo.worktree("dirty"))
    return repo


def test_prune_removes_what_base_has_and_only_that(several: Scratch) -> None:
    said = several.br3("worktree", "prune")
    assert sorted(said.out.splitlines()) == [
        "removed  merged  (merged into main)",
        "removed  squashed  (squashed or rebased onto main)",
    ]
    assert not stands(several, "merged") and not stands(several, "squashed")
    for name in ("open", "dirty", "fresh", "theirs"):
        assert stands(several, name), name
    assert "open: 1 commit on open not landed: “work 0”" in said.err
    assert "fresh: nothing was committed on it yet" in said.err
    assert "theirs: nothing was committed on it yet" in said.err


def test_prune_can_only_say_what_would_go(several: Scratch) -> None:
    before = several.git("worktree", "list"), several.git("for-each-ref")
    said = several.br3("worktree", "prune", "--dry-run", "--json").json
    assert said["would_remove"] == {"merged": "ancestor", "squashed": "merged"}
    assert set(said["kept"]) == {"open", "dirty", "fresh", "theirs"}
    assert (several.git("worktree", "list"), several.git("for-each-ref")) == before


def test_prune_leaves_alone_the_one_that_one_is_in(several: Scratch) -> None:
    said = several.br3("worktree", "prune", cwd=several.worktree("merged"))
    assert "merged: you are in it" in said.err
    assert stands(several, "merged")


def test_what_is_much_is_deleted_in_the_background(repo: Scratch) -> None:
    repo.write(".gitignore", "cache/\n")
    repo.commit("ignore")
    repo.br3("worktree", "new", "x")
    for number in range(600):
        repo.write(f"cache/{number}", "x", root=repo.worktree("x"))
    said = repo.br3("worktree", "remove", "x")
    assert "ignored files went with x: cache/" in said.out
    until(lambda: not repo.worktree("x").parent.exists())


def test_a_killed_removal_is_finished_by_the_next(repo: Scratch) -> None:
    repo.br3("worktree", "new", "x")
    repo.br3("worktree", "new", "y")
    worktrees._set_aside(repo.worktree("x"))  # killed before the registry
    repo.br3("worktree", "prune")
    assert str(repo.worktree("x")) not in repo.git("worktree", "list", "--porcelain")
    assert [p.name for p in repo.worktree("y").parent.iterdir()] == ["y"]


def test_prune_keeps_a_detached_one_that_holds_nothing(repo: Scratch) -> None:
    repo.git("worktree", "add", "--quiet", "--detach", str(repo.worktree("look")))
    said = repo.br3("worktree", "prune")
    assert "look: nothing was committed on it yet" in said.err
    assert repo.worktree("look").exists()


def test_a_branch_that_is_made_anew_does_not_follow_what_the_removed_one_followed(
    repo: Scratch, tmp_path: Path
) -> None:
    remote = tmp_path / "remote.git"
    repo.git("init", "--quiet", "--bare", str(remote))
    repo.git("remote", "add", "origin", str(remote))
    repo.git("push", "--quiet", "origin", "main:topic")
    repo.git("fetch", "--quiet", "origin")
    repo.br3("worktree", "new", "topic")
    repo.br3("worktree", "remove", "topic")
    assert repo.git("config", "--get-regexp", r"^branch\.topic", check=False) == ""


# Builds


@pytest.fixture
def built(repo: Scratch) -> Scratch:
    """A build that has landed and one that has not."""
    head = '[plan]\nname = "t"\n[setup]\n[defaults]\nagent = "shell"\n[verify]\nrun = ["true"]\n'
    repo.plan(head + "".join(f'[[build]]\nid = "{b}"\ncommand = {toml(writing(b))}\n' for b in "ab"))
    repo.br3("run", "--trust")
    repo.br3("merge", "--only", "a")
    return repo


def test_builds_go_by_their_own_rules(built: Scratch) -> None:
    said = built.br3("worktree", "remove", "build/b", code=3)
    assert "b stays: 1 commit on build/b not landed" in said.err
    said = built.br3("worktree", "prune")
    assert said.out == "removed  a  (a build that landed)\n"
    assert not built.worktree("a").exists() and built.worktree("b").exists()
    assert built.status()["builds"]["a"]["landed"]
    built.br3("worktree", "remove", "--force", "b")
    assert not built.worktree("b").exists()
    assert built.git("branch", "--list", "build/*") == ""


def test_a_build_whose_worktree_was_removed_before_any_work_waits_again(repo: Scratch) -> None:
    repo.plan(f'[plan]\nname = "t"\n[verify]\nrun = ["true"]\n{BUILD}prompt = "By hand."\n')
    repo.br3("up", "--trust")
    assert "ready" in repo.br3("status").out
    repo.br3("worktree", "remove", "a")
    out = repo.br3("status").out
    assert "a      pending" in out and "a: yours to do (br3 up a, br3 prompt a, then br3 verify a)" in out
    repo.br3("up")
    assert "ready" in repo.br3("status").out
