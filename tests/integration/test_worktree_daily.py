"""``br3 worktree`` without a plan: made, listed, found by name, run in, locked."""

from __future__ import annotations

import json
import os
import shutil
import socket
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import PYTHON, Scratch, toml, writing

DUMP = f'{PYTHON} -c \'import json, os; json.dump(dict(os.environ), open("env.json", "w"))\''


def setup_plan(*commands: str) -> str:
    run = ", ".join(map(toml, commands))
    build = '[verify]\nrun = ["true"]\n[[build]]\nid = "a"\nagent = "manual"\n'
    return f'[plan]\nname = "t"\n[setup]\nrun = [{run}]\n{build}'


def listed(repo: Scratch, *words: str, cwd: Path | None = None) -> dict[str, dict[str, Any]]:
    """The rows of ``list --json`` by the name of their directory."""
    rows = repo.br3("worktree", "list", "--json", *words, cwd=cwd).json["worktrees"]
    return {Path(row["path"]).name: row for row in rows}


@pytest.fixture
def three(repo: Scratch) -> Scratch:
    """Worktrees one (clean, two commits ahead), two (dirty, conflicting with main) and three (nothing of its own)."""
    repo.write("shared.txt", "line\n" * 5)
    repo.commit("shared")
    for name in ("one", "two", "three"):
        repo.br3("worktree", "new", name)
    for number in (1, 2):
        repo.write(f"new{number}", "x\ny\n", root=repo.worktree("one"))
        repo.commit(f"work {number}", cwd=repo.worktree("one"))
    repo.write("shared.txt", "two\n", root=repo.worktree("two"))
    repo.commit("mine", cwd=repo.worktree("two"))
    repo.write("shared.txt", "main\n")
    repo.commit("theirs")
    repo.write("README.md", "# changed\n", root=repo.worktree("two"))
    repo.write("staged", "s\n", root=repo.worktree("two"))
    repo.git("add", "staged", cwd=repo.worktree("two"))
    repo.write("untracked/file", "u\n", root=repo.worktree("two"))
    return repo


# new


def test_new_adds_a_branch_from_base_at_the_plan_s_place(repo: Scratch) -> None:
    said = repo.br3("worktree", "new", "feature/x")
    path = repo.worktree("feature-x")
    assert said.out.splitlines()[-1] == str(path)
    assert repo.git("rev-parse", "HEAD", "main", cwd=path).split("\n")[0] == repo.head()
    assert repo.git("branch", "--show-current", cwd=path) == "feature/x"
    assert [e.data["branch"] for e in repo.events("worktree.created")] == ["feature/x"]


def test_new_starts_where_it_is_told_and_takes_a_branch_as_it_is(repo: Scratch) -> None:
    first = repo.head()
    repo.commit("second")
    repo.git("branch", "old", first)
    repo.br3("worktree", "new", "a", "--from", "old")
    repo.br3("worktree", "new", "old")
    assert repo.git("rev-parse", "HEAD", cwd=repo.worktree("a")) == first
    assert repo.git("rev-parse", "HEAD", cwd=repo.worktree("old")) == first
    said = repo.br3("worktree", "new", "old", "--json").json
    assert (said["how"], said["path"]) == ("there", str(repo.worktree("old")))


def test_new_follows_the_branch_of_a_remote(repo: Scratch, tmp_path: Path) -> None:
    remote = tmp_path / "remote.git"
    repo.git("init", "--quiet", "--bare", str(remote))
    repo.git("remote", "add", "origin", str(remote))
    repo.git("push", "--quiet", "origin", "main:topic")
    repo.git("fetch", "--quiet", "origin")
    assert repo.br3("worktree", "new", "topic", "--json").json["how"] == "tracking"
    assert repo.git("rev-parse", "--abbrev-ref", "topic@{upstream}") == "origin/topic"
    row = listed(repo)["topic"]
    assert (row["upstream"], row["upstream_ahead"], row["upstream_behind"]) == ("origin/topic", 0, 0)
    repo.git("update-ref", "-d", "refs/remotes/origin/topic")
    assert listed(repo)["topic"]["upstream_gone"]


@pytest.mark.parametrize(
    ("words", "code", "expected"),
    [
        (["a..b"], 2, "git takes no branch named 'a..b'"),
        (["x/y"], 2, "git cannot have a branch x/y beside x"),
        (["new", "--from", "nowhere"], 2, "there is no commit 'nowhere' to start from"),
        (["x", "--from", "main"], 3, "the branch x exists, and it is not at main"),
        (["taken"], 3, "exists and is no worktree of taken"),
        (["here", "--path", "elsewhere"], 3, "here is checked out in"),
    ],
)
def test_new_refuses_with_the_next_thing_to_do(repo: Scratch, words: list[str], code: int, expected: str) -> None:
    repo.git("branch", "x")
    repo.commit("on")
    repo.br3("worktree", "new", "here")
    repo.write("taken/file", "mine", root=repo.worktree("taken").parent)
    said = repo.br3("worktree", "new", *words, code=code)
    assert expected in said.err
    assert "next:" in said.err
    assert (repo.worktree("taken") / "file").read_text() == "mine"


def test_new_runs_the_plan_s_set_up_once_it_is_approved(repo: Scratch) -> None:
    repo.write(".gitignore", "env.json\n")
    repo.plan(setup_plan(DUMP))
    said = repo.br3("worktree", "new", "x", code=3)
    assert "not approved: 1 of the set-up's commands" in said.err
    assert not repo.worktree("x").exists()
    said = repo.br3("worktree", "new", "x", "--trust")
    env = json.loads((repo.worktree("x") / "env.json").read_text())
    assert env["BR3_WORKTREE"] == str(repo.worktree("x"))
    assert env["BR3_PORT"] == str(listed(repo)["x"]["port"])
    assert "BR3_TRUST" not in env
    repo.br3("worktree", "new", "y")  # approved by now
    assert (repo.worktree("y") / "env.json").exists()


def test_new_sets_up_what_the_project_needs_where_there_is_no_plan(repo: Scratch) -> None:
    repo.write("requirements.txt", "")
    repo.commit("python")
    said = repo.br3("worktree", "new", "x", code=3)
    assert "of the set-up's commands, such as:" in said.err
    repo.br3("worktree", "new", "x", "--no-setup")
    assert not (repo.worktree("x") / ".venv").exists()


def test_a_set_up_that_fails_leaves_the_worktree_and_new_goes_on(repo: Scratch) -> None:
    repo.plan(setup_plan("test -e ../gate"))
    said = repo.br3("worktree", "new", "x", "--trust", code=1)
    assert "`test -e ../gate` ended with exit code 1" in said.err
    assert "next:  mend it, then: br3 worktree new x" in said.err
    (repo.worktree("x").parent / "gate").touch()
    assert repo.br3("worktree", "new", "x", "--json").json["environment"] == "set up"
    assert repo.br3("worktree", "new", "x", "--json").json["environment"] == "unchanged"


def test_new_goes_on_where_git_was_killed_while_it_added(repo: Scratch) -> None:
    repo.git("worktree", "add", "--quiet", "--no-checkout", "-b", "x", str(repo.worktree("x")))
    assert listed(repo)["x"]["state"] == "adding"
    repo.br3("worktree", "new", "x")
    assert (repo.worktree("x") / "README.md").exists()


def test_new_does_not_take_a_build_s_branch(repo: Scratch) -> None:
    repo.plan(setup_plan("true"))
    said = repo.br3("worktree", "new", "build/a", code=3)
    assert "br3 up a makes its worktree" in said.err


def test_a_worktree_of_no_build_reads_its_own_plan(repo: Scratch) -> None:
    repo.plan(setup_plan("true"))
    repo.br3("worktree", "new", "x", "--trust")
    repo.br3("plan", "check", cwd=repo.worktree("x"))
    repo.br3("trust", "--list", cwd=repo.worktree("x"))
    repo.br3("up", "--trust")
    said = repo.br3("trust", "--list", cwd=repo.worktree("a"), code=2)
    assert "is the worktree of a build" in said.err


# What is brought along


@pytest.fixture
def including(repo: Scratch) -> Scratch:
    """Ignored files, some of which .worktreeinclude names."""
    repo.write(".gitignore", ".env*\ncache/\n*.log\n")
    repo.write(".worktreeinclude", "# ignored files to bring along\n.env*\n!.env.production\ncache\nopen.txt\n")
    repo.commit("include")
    for name in (".env", "deep/.env.local", ".env.production", "cache/a/b", "x.log", "open.txt"):
        repo.write(name, name)
    return repo


def brought(worktree: Path) -> set[str]:
    names = (".env", "deep/.env.local", ".env.production", "cache/a/b", "x.log", "open.txt")
    return {name for name in names if (worktree / name).exists()}


def test_worktreeinclude_is_honoured_by_new(including: Scratch) -> None:
    said = including.br3("worktree", "new", "x")
    assert brought(including.worktree("x")) == {".env", "deep/.env.local", "cache/a/b"}
    assert "open.txt is not copied: git does not ignore it" in said.err
    assert "files copied" in said.out


@pytest.mark.parametrize("command", ["up", "run"])
def test_worktreeinclude_is_honoured_by_up_and_run(including: Scratch, command: str) -> None:
    head = '[plan]\nname = "t"\n[setup]\n[defaults]\nagent = "shell"\n[verify]\nrun = ["test -e .env"]\n'
    including.plan(head + f'[[build]]\nid = "a"\ncommand = {toml(writing("a"))}\n', commit=False)
    including.git("add", "br3.toml")
    including.git("commit", "--quiet", "--message", "plan")
    including.br3(command, "--trust")
    assert brought(including.worktree("a")) == {".env", "deep/.env.local", "cache/a/b"}


def test_a_repository_inside_is_never_brought_along(repo: Scratch) -> None:
    repo.write(".gitignore", "nested/\n")
    repo.write(".worktreeinclude", "nested\n")
    repo.commit("include")
    repo.git("init", "--quiet", str(repo.path / "nested"))
    repo.write("nested/file", "x")
    repo.br3("worktree", "new", "x")
    assert not (repo.worktree("x") / "nested").exists()


def test_what_was_brought_and_changed_is_not_removed(including: Scratch) -> None:
    including.br3("worktree", "new", "x")
    including.br3("worktree", "new", "y")
    including.write(".env", "mine", root=including.worktree("x"))
    said = including.br3("worktree", "remove", "x", code=3)
    assert ".env (changed since it was copied)" in said.err
    including.br3("worktree", "remove", "y")
    assert not including.worktree("y").exists()


# list


def test_list_counts_what_git_says(three: Scratch) -> None:
    rows = listed(three)
    assert list(rows) == ["project", "one", "three", "two"] or set(rows) == {"project", "one", "two", "three"}
    one, two, nothing = rows["one"], rows["two"], rows["three"]
    assert (one["ahead"], one["behind"], one["lines_added"], one["lines_removed"]) == (2, 1, 4, 0)
    assert (two["staged"], two["modified"], two["untracked"]) == (1, 1, 1)
    # one line instead of five in a commit, one changed in README, one staged
    assert (two["lines_added"], two["lines_removed"]) == (3, 6)
    assert two["conflicts"] == ["shared.txt"]
    assert one["conflicts"] == [] and nothing["conflicts"] == []
    assert (nothing["ahead"], nothing["behind"]) == (0, 1)
    assert rows["project"]["main"] and rows["project"]["current"] and rows["project"]["ahead"] is None
    assert two["subject"] == "mine" and two["committed"] == "2026-01-02T03:04:05Z"


def test_list_says_the_same_from_what_it_has_kept(three: Scratch) -> None:
    first = listed(three)
    assert (three.common_dir / "br3" / "distances.cache").exists()
    assert listed(three) == first
    (three.common_dir / "br3" / "distances.cache").write_bytes(b"\xff not it\nx y 1 2\n")
    assert listed(three) == first
    three.commit("on", cwd=three.worktree("one"))
    assert listed(three)["one"]["ahead"] == 3


def test_list_is_plain_lines_where_there_is_no_terminal(three: Scratch) -> None:
    said = three.br3("worktree", "list").out
    lines = said.splitlines()
    assert lines[0].split() == ["branch", "changes", "base", "lines", "age", "port", "path"]
    line = next(line for line in lines if " two " in line)
    assert "+1 ~1 ?1" in line and "↑1 ↓1 ✗1" in line and "+3 −6" in line and str(three.worktree("two")) in line
    assert "two: conflicts with main in shared.txt" in said
    assert "\x1b" not in said


def test_list_measures_sizes_when_asked_and_keeps_them(three: Scratch) -> None:
    assert listed(three)["one"]["size_bytes"] is None
    size = listed(three, "--size")["one"]["size_bytes"]
    assert size >= 4096
    assert listed(three)["one"]["size_bytes"] == size


def test_worktrees_of_every_kind_are_listed(repo: Scratch, tmp_path: Path) -> None:
    for name in ("detached", "gone", "locked", "broken", "with space", "stick/away"):
        where = tmp_path / name
        repo.git("worktree", "add", "--quiet", "--detach" if name == "detached" else "--force", str(where), "HEAD")
        if name != "detached":
            repo.git("switch", "--quiet", "--create", name.replace(" ", "-").replace("/", "-"), cwd=where)
    repo.git("worktree", "lock", "--reason", "mine", str(tmp_path / "locked"))
    shutil.rmtree(tmp_path / "gone")
    shutil.rmtree(tmp_path / "stick")
    (tmp_path / "broken" / ".git").unlink()
    rows = listed(repo)
    states = {name: row["state"] for name, row in rows.items()}
    assert states == {
        "project": None,
        "detached": None,
        "gone": "missing",
        "locked": None,
        "broken": "broken",
        "with space": None,
        "away": "unmounted",
    }
    assert rows["detached"]["branch"] is None and rows["detached"]["subject"] == "begin"
    assert rows["locked"]["locked"] and rows["locked"]["locked_because"] == "mine"
    said = repo.br3("worktree", "list").out
    assert "locked: locked: mine" in said
    assert "gone: the directory is gone; br3 worktree prune" in said
    assert "stick-away: not there, nor what holds it; left alone" in said


def test_a_bare_repository_with_worktrees(repo: Scratch, tmp_path: Path) -> None:
    bare = tmp_path / "bare.git"
    repo.git("clone", "--quiet", "--bare", str(repo.path), str(bare))
    repo.git("worktree", "add", "--quiet", str(tmp_path / "main"), "main", cwd=bare)
    repo.br3("worktree", "new", "x", cwd=bare)
    repo.br3("worktree", "new", "y", cwd=tmp_path / "main")
    place = tmp_path / "bare.worktrees"
    rows = listed(repo, cwd=place / "x")
    assert {name: row["state"] for name, row in rows.items()} == {
        "bare.git": "bare",
        "main": None,
        "x": None,
        "y": None,
    }
    repo.write("work", "w", root=place / "x")
    repo.commit("work", cwd=place / "x")
    said = repo.br3("worktree", "remove", "x", "y", cwd=bare, code=3)
    assert "1 commit on x not landed" in said.err
    assert (place / "x").exists() and not (place / "y").exists()
    # Base has a worktree of its own here: it may go, its branch may not.
    repo.br3("worktree", "remove", "main", cwd=bare)
    assert not (tmp_path / "main").exists()
    assert repo.git("rev-parse", "main", cwd=bare) == repo.head()


def test_a_merge_that_waits_is_shown(three: Scratch) -> None:
    two = three.worktree("one")
    three.write("shared.txt", "again\n", root=two)
    three.commit("again", cwd=two)
    three.git("merge", "--quiet", "main", cwd=two, check=False)
    row = listed(three)["one"]
    assert (row["operation"], row["conflicted"]) == ("merge", 1)


def test_list_works_where_nothing_can_be_written(three: Scratch) -> None:
    shutil.rmtree(three.common_dir / "br3")
    (three.common_dir / "br3").write_text("in the way")
    assert listed(three)["one"]["ahead"] == 2


# Names


def test_a_worktree_is_named_by_branch_directory_path_and_build(repo: Scratch) -> None:
    repo.plan(setup_plan("true"))
    repo.br3("up", "--trust")
    repo.br3("worktree", "new", "feature/x")
    path = repo.worktree("feature-x")
    for name in ("feature/x", "feature-x", str(path), "../project.worktrees/feature-x"):
        assert repo.br3("worktree", "path", name).out == f"{path}\n"
    for name in ("a", "A", "build/a"):
        assert repo.br3("worktree", "path", name).out == f"{repo.worktree('a')}\n"
    assert repo.br3("worktree", "path", "@", cwd=path).out == f"{path}\n"


def test_a_name_for_two_or_none_gets_what_is_near(repo: Scratch, tmp_path: Path) -> None:
    repo.br3("worktree", "new", "parser")
    repo.git("worktree", "add", "--quiet", "-b", "other", str(tmp_path / "elsewhere" / "parser"))
    said = repo.br3("worktree", "path", "parser", code=2)
    assert "parser may be any of 2 worktrees" in said.err
    assert str(tmp_path / "elsewhere" / "parser") in said.err
    assert "did you mean parser?" in repo.br3("worktree", "path", "prser", code=2).err
    assert "br3 worktree new zzz makes one" in repo.br3("worktree", "path", "zzz", code=2).err


def test_switch_writes_where_the_shell_is_to_go(repo: Scratch, tmp_path: Path) -> None:
    repo.br3("worktree", "new", "x")
    file = {"BR3_CD_FILE": str(tmp_path / "cd")}
    repo.br3("worktree", "switch", "x", env=file)
    assert (tmp_path / "cd").read_text() == str(repo.worktree("x"))
    repo.br3("worktree", "switch", "-", env=file, cwd=repo.worktree("x"))
    assert (tmp_path / "cd").read_text() == str(repo.path)
    said = repo.br3("worktree", "switch", "x", code=2)
    assert "br3 shell-init" in said.err and f"cd {repo.worktree('x')}" in said.err


# run, lock


def test_run_runs_there_with_the_worktree_s_environment(repo: Scratch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "my own")
    repo.br3("worktree", "new", "x")
    bin_ = repo.worktree("x") / ".venv" / "bin"
    bin_.mkdir(parents=True)
    (bin_ / "tool").write_text("#!/bin/sh\necho $BR3_WORKTREE $BR3_BASE $BR3_PORT $ANTHROPIC_API_KEY $PWD; exit 7\n")
    (bin_ / "tool").chmod(0o755)
    said = repo.br3("worktree", "run", "x", "--", "tool", "-h", code=7)
    path = repo.worktree("x")
    assert said.out.split(" ") == [str(path), "main", str(listed(repo)["x"]["port"]), "my", "own", f"{path}\n"]
    assert "No such file" in repo.br3("worktree", "run", "x", "--", "no-such-program", code=2).err


def test_locked_stays_locked_until_it_is_unlocked(repo: Scratch) -> None:
    repo.br3("worktree", "new", "x")
    repo.br3("worktree", "lock", "x", "--reason", "on a stick")
    assert "already: on a stick" in repo.br3("worktree", "lock", "x").out
    said = repo.br3("worktree", "remove", "--force", "x", code=3)
    assert "is locked (on a stick)" in said.err
    repo.br3("worktree", "unlock", "x")
    assert "not locked" in repo.br3("worktree", "unlock", "x").out
    repo.br3("worktree", "remove", "x")


# Ports


def test_a_worktree_keeps_its_port_and_gives_it_back(repo: Scratch) -> None:
    repo.br3("worktree", "new", "x")
    repo.br3("worktree", "new", "y")
    rows = listed(repo)
    assert rows["x"]["port"] != rows["y"]["port"]
    with socket.socket() as server:  # its own server does not take its port away
        server.bind(("127.0.0.1", rows["x"]["port"]))
        assert repo.br3("worktree", "new", "x", "--json").json["port"] == rows["x"]["port"]
    repo.br3("worktree", "remove", "x")
    kept = json.loads((repo.common_dir / "br3" / "ports.json").read_text())
    assert kept == {str(repo.worktree("y")): rows["y"]["port"]}


def test_builds_and_verification_see_the_worktree_s_port(repo: Scratch) -> None:
    head = '[plan]\nname = "t"\n[setup]\nrun = ["echo $BR3_PORT > ../setup"]\n[defaults]\nagent = "shell"\n'
    build = '[[build]]\nid = "a"\ncommand = "echo $BR3_PORT > ../agent; echo x > f"\n'
    repo.plan(head + '[verify]\nrun = ["echo $BR3_PORT > ../verify"]\n' + build)
    repo.br3("run", "--trust")
    seen = {(repo.worktree("a").parent / name).read_text() for name in ("setup", "agent", "verify")}
    assert seen == {f"{listed(repo)['a']['port']}\n"}
    repo.br3("merge")
    repo.br3("clean")
    assert json.loads((repo.common_dir / "br3" / "ports.json").read_text()) == {}


def test_a_build_s_worktree_is_shown_with_its_build(repo: Scratch) -> None:
    head = '[plan]\nname = "t"\n[setup]\n[defaults]\nagent = "shell"\n[verify]\nrun = ["true"]\n'
    repo.plan(head + f'[[build]]\nid = "a"\ncommand = {toml(writing("a"))}\n')
    repo.br3("run", "--trust")
    row = listed(repo)["a"]
    assert (row["build"], row["build_state"], row["agent"], row["alive"]) == ("a", "verified", "shell", False)
    assert row["run"] == repo.status()["run"]
    assert "verified" in repo.br3("worktree", "list").out


def test_completion_knows_names_and_imports_nothing_heavy(three: Scratch) -> None:
    def complete(*words: str) -> list[str]:
        env = {"_BR3_COMPLETE": "bash_complete", "COMP_WORDS": " ".join(["br3", *words]), "COMP_CWORD": str(len(words))}
        return [line.partition(",")[2] for line in three.br3(env=env).out.splitlines()]

    assert complete("work") == ["worktree"]
    assert complete("worktree", "pa") == ["path"]
    assert complete("worktree", "path", "t") == ["three", "two"]
    assert complete("worktree", "remove", "two", "t") == ["three"]
    assert complete("worktree", "new", "x", "--from", "ma") == ["main"]
    program = (
        "import sys\nfrom br3.cli import main\n"
        "try: main([])\nexcept SystemExit: pass\n"
        "print(*sorted({n.split('.')[0] for n in sys.modules}), file=sys.stderr)"
    )
    import subprocess

    words = {"_BR3_COMPLETE": "bash_complete", "COMP_WORDS": "br3 worktree path t", "COMP_CWORD": "3"}
    done = subprocess.run(
        [sys.executable, "-c", program.replace("main([])", "main(None)")],
        cwd=three.path,
        env={**os.environ, **words},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "three" in done.stdout
    assert not set(done.stderr.split()) & {"duckdb", "git", "pydantic", "rich", "psutil", "dotenv", "anthropic"}
