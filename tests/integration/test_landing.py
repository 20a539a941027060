"""``br3 merge``: what lands, what is put aside, and what a crash or a dirty checkout can do to it (nothing)."""

from __future__ import annotations

import os
import random
import shlex
import shutil
import signal
import threading
import time
from pathlib import Path

import pytest

from tests.conftest import Scratch, making, shell_plan, toml, until, writing


def three(repo: Scratch, *, verify: str = "true") -> str:
    """Three verified builds of a plan whose whole is verified by ``verify``; returns base as it was."""
    plan = shell_plan({b: writing(f"{b}.txt") for b in "abc"}).replace('[verify]\nrun = ["true"]', _verify(verify), 1)
    repo.plan(plan)
    repo.br3("run", "--trust")
    return repo.head()


def _verify(command: str) -> str:
    return f"[verify]\nrun = [{toml(command)}]"


def test_verified_builds_land_as_merge_commits_in_order(repo: Scratch) -> None:
    plan = shell_plan({b: writing(f"{b}.txt") for b in "abc"})
    plan = plan.replace('id = "a"\n', 'id = "a"\nafter = ["c"]\nmessage = "feat: A\\n\\nWhy."\n')
    repo.plan(plan)
    repo.br3("run", "--trust")
    before = repo.head()
    data = repo.br3("merge", "--json").json
    assert (data["base_before"], data["base_after"]) == (before, repo.head())
    assert data["landed"] == ["b", "c", "a"]
    subjects = repo.git("log", "--first-parent", "--merges", "--format=%s", f"{before}..").splitlines()
    assert subjects == ["feat: A", "Merge build c: c", "Merge build b: b"]
    run = repo.status()["run"]
    trailers = repo.git("log", "-1", "--format=%(trailers)").strip().splitlines()
    assert trailers == [
        "Br3-Build: a",
        f"Br3-Run: {run}",
        "Br3-Model: unknown",
        "Br3-Cost-Usd: unknown",
        "Br3-Tokens: unknown",
    ]
    assert repo.git("log", "-1", "--format=%(trailers:key=Br3-Run,valueonly)").strip() == run
    assert sorted(p.name for p in repo.path.iterdir()) == [".git", "README.md", "a.txt", "b.txt", "br3.toml", "c.txt"]
    assert repo.git("status", "--porcelain") == ""


def test_what_the_builds_cost_stands_in_the_merge_commit(repo: Scratch) -> None:
    usage = '{"model": "m-1", "input_tokens": 7, "output_tokens": 3, "cost_usd": "0.05"}'
    repo.plan(shell_plan({"a": f"echo '{usage}' >> $BR3_USAGE_FILE; {writing('a')}"}))
    repo.br3("run", "--trust")
    repo.br3("merge")
    trailers = repo.git("log", "-1", "--format=%(trailers)")
    assert "Br3-Model: m-1\nBr3-Cost-Usd: 0.05\nBr3-Tokens: 10\n" in trailers


def test_a_build_that_conflicts_is_put_aside_and_the_rest_lands(repo: Scratch) -> None:
    plan = shell_plan({"a": writing("same", "one"), "b": writing("same", "two"), "c": writing("c")})
    plan += f'[[build]]\nid = "d"\nneeds = ["b"]\ncommand = {toml(writing("d"))}\n'
    repo.plan(plan)
    repo.br3("run", "--trust")
    data = repo.br3("merge", "--json", code=1).json
    assert data["landed"] == ["a", "c"]
    aside = {a["id"]: a for a in data["aside"]}
    assert (aside["b"]["with"], aside["b"]["files"]) == (["a"], ["same"])
    assert aside["d"]["reason"] == "it needs b, which was put aside"
    said = repo.br3("merge", code=1)
    assert "b: conflicts with main in same" in said.out
    assert repo.git("show", "main:same") == "one"


def test_two_green_builds_that_break_together_do_not_land(repo: Scratch) -> None:
    before = three(repo, verify="echo WHOLE IS RED; ! { test -e a.txt && test -e b.txt; }")
    said = repo.br3("merge", code=1)
    assert "nothing landed: a, b, c together fail the verification" in said.err
    assert "WHOLE IS RED" in said.err
    assert repo.head() == before
    assert repo.br3("merge", "a", "c", "--json").json["landed"] == ["a", "c"]


def test_without_a_plan_verification_the_builds_own_hold_the_whole(repo: Scratch) -> None:
    plan = '[plan]\nname = "t"\n'
    for build, other in (("a", "b"), ("b", "a")):
        plan += f'[[build]]\nid = "{build}"\nagent = "shell"\ncommand = {toml(writing(build))}\n'
        plan += f'[build.verify]\nrun = ["test ! -e {other}"]\n'
    repo.plan(plan)
    repo.br3("run", "--trust")
    before = repo.head()
    repo.br3("merge", code=1)
    assert repo.head() == before


def test_the_candidate_s_tree_is_what_is_verified_and_lands(repo: Scratch) -> None:
    three(repo, verify="test -e a.txt -a -e b.txt -a -e c.txt")
    repo.br3("merge")
    passed = [e for e in repo.events("quality.passed") if e.build is None]
    assert [e.data["tree"] for e in passed] == [repo.head("main^{tree}")]


def test_minimum_counts_of_the_plan_are_held_against_the_whole(repo: Scratch) -> None:
    plan = shell_plan({"a": writing("a")}).replace(
        'run = ["true"]\n', 'run = ["echo Ran nothing"]\nmin_passed = 3\n', 1
    )
    repo.plan(plan)
    repo.br3("run", "--trust")
    said = repo.br3("merge", code=1)
    assert "no test count could be read" in said.err


def test_unverified_builds_do_not_land(repo: Scratch) -> None:
    repo.plan(shell_plan({"good": writing("a"), "bad": writing("b")}, verify="test -e a"))
    repo.br3("run", "--trust", code=1)
    data = repo.br3("merge", "--json", code=1).json
    assert data["landed"] == ["good"]
    assert "not verified" in data["aside"][0]["reason"]


def test_a_build_that_was_changed_after_its_verdict_is_verified_again(repo: Scratch) -> None:
    repo.plan(shell_plan({"a": writing("a")}, verify="test ! -e bad"))
    repo.br3("run", "--trust")
    repo.write("bad", "x", root=repo.worktree("a"))
    repo.commit("breaks it", cwd=repo.worktree("a"))
    said = repo.br3("merge", code=1)
    assert "not verified: `test ! -e bad` ended with exit code 1" in said.out
    repo.git("revert", "--no-edit", "HEAD", cwd=repo.worktree("a"))
    assert repo.br3("merge", "--json").json["landed"] == ["a"]


def test_uncommitted_work_in_a_build_keeps_it_aside(repo: Scratch) -> None:
    three(repo)
    repo.write("more", "x", root=repo.worktree("a"))
    data = repo.br3("merge", "--json", code=1).json
    assert data["landed"] == ["b", "c"]
    assert "uncommitted changes" in data["aside"][0]["reason"] and "more" in data["aside"][0]["reason"]


def test_merging_twice_is_merging_once(repo: Scratch) -> None:
    three(repo)
    repo.br3("merge")
    after = repo.head()
    data = repo.br3("merge", "--json").json
    assert (data["landed"], data["already_landed"], repo.head()) == ([], ["a", "b", "c"], after)


def test_unrelated_local_changes_stay_as_they_are(repo: Scratch) -> None:
    three(repo)
    repo.write("README.md", "edited\n")
    repo.write("staged.txt", "staged\n")
    repo.git("add", "staged.txt")
    repo.write("untracked.txt", "untracked\n")
    before = repo.git("status", "--porcelain")
    repo.br3("merge")
    assert repo.git("status", "--porcelain") == before
    assert (repo.path / "a.txt").exists()


@pytest.mark.parametrize("kind", ["untracked", "modified"])
def test_overlapping_local_changes_are_refused_and_named(repo: Scratch, kind: str) -> None:
    repo.write("shared.txt", "old\n")
    repo.commit()
    repo.plan(shell_plan({"a": writing("shared.txt" if kind == "modified" else "new.txt", "theirs")}))
    repo.br3("run", "--trust")
    mine = repo.write("shared.txt" if kind == "modified" else "new.txt", "mine\n")
    before = repo.head()
    said = repo.br3("merge", code=3)
    assert mine.name in said.err and "commit or stash" in said.err
    assert (repo.head(), mine.read_text()) == (before, "mine\n")


def test_an_operation_in_progress_in_the_checkout_is_refused(repo: Scratch) -> None:
    three(repo)
    (repo.path / ".git" / "MERGE_HEAD").write_text(repo.head() + "\n")
    said = repo.br3("merge", code=3)
    assert "a merge is in progress" in said.err


def test_base_lands_without_a_checkout_when_it_is_checked_out_nowhere(repo: Scratch) -> None:
    three(repo)
    repo.git("switch", "--quiet", "--create", "elsewhere")
    before = repo.git("rev-parse", "HEAD")
    repo.br3("merge")
    assert repo.git("rev-parse", "HEAD") == before
    assert not (repo.path / "a.txt").exists()
    assert repo.git("ls-tree", "--name-only", "main").split() == ["README.md", "a.txt", "b.txt", "br3.toml", "c.txt"]


def test_base_that_is_checked_out_in_a_linked_worktree_follows_there(repo: Scratch, tmp_path: Path) -> None:
    three(repo)
    repo.git("switch", "--quiet", "--create", "elsewhere")
    repo.git("worktree", "add", "--quiet", str(tmp_path / "base"), "main")
    repo.br3("merge")
    assert (tmp_path / "base" / "a.txt").exists()
    assert repo.git("status", "--porcelain", cwd=tmp_path / "base") == ""


def test_a_base_that_moves_meanwhile_gets_a_new_train(repo: Scratch) -> None:
    go = repo.path.parent / "go"
    waiting = f": > {shlex.quote(str(go))}-ready; until test -e {shlex.quote(str(go))}; do :; done"
    three(repo, verify=waiting)
    process = repo.start("merge", "--json")
    until(lambda: Path(f"{go}-ready").exists())
    repo.write("theirs.txt", "x")
    theirs = repo.commit("theirs")
    go.touch()
    out, err = process.communicate()
    assert process.returncode == 0, out + err
    assert repo.git("merge-base", "main", theirs) == theirs
    assert {"a.txt", "theirs.txt"} <= {p.name for p in repo.path.iterdir()}
    assert len(repo.events("landing.moved")) == 1


def test_two_merges_at_once_land_everything_once(repo: Scratch) -> None:
    three(repo)
    said = []
    threads = [threading.Thread(target=lambda: said.append(repo.br3("merge", "--json", code=None))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(s.code for s in said) in ([0, 0], [0, 3])
    assert len(repo.git("log", "--merges", "--first-parent", "--format=%H").split()) == 3


def git_that_kills(directory: Path, when: str, *, after: bool) -> str:
    """A PATH whose git kills its caller before (or after) it does ``when``."""
    directory.mkdir()
    real = shlex.quote(str(shutil.which("git")))
    strike = f'{real} "$@"; kill -9 $PPID; exit 1' if after else "kill -9 $PPID; exit 1"
    wrapper = directory / "git"
    wrapper.write_text(f'#!/bin/sh\ncase "$*" in *{shlex.quote(when)}*) {strike};; esac\nexec {real} "$@"\n')
    wrapper.chmod(0o755)
    return f"{directory}{os.pathsep}{os.environ['PATH']}"


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("step", ["worktree add", "read-tree -n", "update-ref --create-reflog", "read-tree -m -u"])
def test_kill_9_at_a_step_leaves_base_old_or_new_and_the_next_merge_finishes(
    repo: Scratch, tmp_path: Path, step: str, after: bool
) -> None:
    before = three(repo)
    repo.write("README.md", "edited\n")
    path = git_that_kills(tmp_path / "bin", step, after=after)
    assert repo.br3("merge", code=None, env={"PATH": path}).code == -signal.SIGKILL
    moved = step == "read-tree -m -u" or (step.startswith("update-ref") and after)
    assert (repo.head() != before) == moved
    repo.br3("merge")
    assert len(repo.git("log", "--merges", "--first-parent", "--format=%H").split()) == 3
    assert repo.git("status", "--porcelain") == " M README.md"
    assert (repo.path / "README.md").read_text() == "edited\n"
    assert [w for w in repo.git("worktree", "list").splitlines() if "br3-train" in w] == []
    assert all(b["landed"] for b in repo.status()["builds"].values())


def test_a_checkout_that_was_cut_off_half_way_is_finished(repo: Scratch, tmp_path: Path) -> None:
    three(repo)
    path = git_that_kills(tmp_path / "bin", "read-tree -m -u", after=False)
    repo.br3("merge", code=None, env={"PATH": path})
    (repo.path / "a.txt").write_text(repo.git("show", "main:a.txt") + "\n")  # as far as git had come
    repo.br3("merge")
    assert repo.git("status", "--porcelain") == ""


def test_a_file_of_the_user_s_in_the_way_of_a_recovery_is_kept(repo: Scratch, tmp_path: Path) -> None:
    three(repo)
    path = git_that_kills(tmp_path / "bin", "read-tree -m -u", after=False)
    repo.br3("merge", code=None, env={"PATH": path})
    (repo.path / "b.txt").write_text("mine, written after the crash\n")
    said = repo.br3("merge", code=1)
    assert "read-tree -m -u" in said.err
    assert (repo.path / "b.txt").read_text() == "mine, written after the crash\n"
    (repo.path / "b.txt").unlink()
    repo.br3("merge")
    assert repo.git("status", "--porcelain") == ""


def test_kill_9_at_any_moment_leaves_base_old_or_new(repo: Scratch) -> None:
    before = three(repo)
    chance = random.Random(7)
    for _ in range(8):
        process = repo.start("merge")
        time.sleep(chance.uniform(0.05, 0.6))
        process.kill()
        process.communicate()
        merges = repo.git("log", "--merges", "--first-parent", "--format=%H").split()
        assert repo.head() == before or len(merges) == 3
    repo.br3("merge")
    assert len(repo.git("log", "--merges", "--first-parent", "--format=%H").split()) == 3
    assert repo.git("status", "--porcelain") == ""


def test_the_train_gets_the_set_up_of_the_builds_it_contains(repo: Scratch) -> None:
    command = f"{making('.venv/bin')} && echo tool > .venv/bin/tool"
    plan = shell_plan({"a": writing("a")}, extra=f"setup = [{toml(command)}]")
    plan = plan.replace('[verify]\nrun = ["true"]', '[verify]\nrun = ["test -e .venv/bin/tool"]', 1)
    repo.plan(plan)
    repo.br3("run", "--trust")
    repo.br3("merge")


def test_nobody_s_name_is_asked_for_before_work_is_done(repo: Scratch, sealed: Path) -> None:
    (sealed / ".gitconfig").write_text("[user]\n\tuseConfigOnly = true\n")
    said = repo.br3("merge", code=2)
    assert "git config --global user.name" in said.err
