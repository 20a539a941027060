"""``br3 merge``: what lands, what is put aside, and what a crash or a dirty checkout can do to it (nothing)."""

from __future__ import annotations

import random
import shlex
import shutil
import signal
import threading
import time
from pathlib import Path

import pytest

from tests.conftest import Scratch, making, shell_plan, toml, until, writing
from tests.integration.keeping import once
from tests.integration.killing import git_that_kills


@pytest.fixture
def repo(kept_repo: Scratch) -> Scratch:
    return kept_repo


def three(repo: Scratch, *, verify: str = "true") -> str:
    """Three verified builds of a plan whose whole is verified by ``verify``; returns base as it was."""
    plan = shell_plan({b: writing(f"{b}.txt") for b in "abc"}).replace('[verify]\nrun = ["true"]', _verify(verify), 1)

    def run() -> None:
        repo.plan(plan)
        repo.br3("run", "--trust")

    once(repo, plan, run)
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
    assert "b was put aside by the last landing: conflicts with main in same" in repo.br3("run").out
    to_mend_is_said_step_by_step(repo)


def to_mend_is_said_step_by_step(repo: Scratch) -> None:
    """What status says of b, which conflicts with main, until it is verified again; and when main is gone."""
    there = repo.worktree("b")
    repo.br3("conflicts")  # what it finds out is told from then on
    said = repo.br3("status").out
    assert "b: put aside by the last merge: conflicts with main in same" in said
    assert "    next: in its worktree git merge main, resolve, commit; then br3 verify b" in said
    assert "b: would conflict" not in said and "d: would conflict with main" in said
    repo.git("merge", "main", cwd=there, check=False)
    said = repo.br3("status").out
    assert "b: a merge is in progress in its worktree; end it there, then br3 verify b" in said
    assert "uncommitted" not in said and "git merge main" not in said
    repo.write("same", "both\n", root=there)
    repo.commit("resolved", cwd=there)
    assert [b["id"] for b in repo.br3("verify", "--json", cwd=there).json["builds"]] == ["b"]
    own = repo.br3("status", "b").out.partition("\ncommits\n")[2].splitlines()
    assert ["resolved" in own[0], "b: b" in own[1], len(own)] == [True, True, 2], own
    repo.br3("merge", "b")
    assert repo.br3("status", "b").out.partition("\ncommits\n")[2].splitlines()[:2] == own
    repo.git("branch", "--move", "main", "trunk")
    back = f"git branch main {repo.head('trunk')[:12]}"
    assert "the base branch main is gone; if it was renamed: [plan] base in br3.toml" in repo.br3("status").out
    assert back in repo.br3("status").out and back in repo.br3("merge", code=1).err
    repo.git("branch", "--move", "trunk", "main")


def test_of_two_green_builds_that_break_together_the_second_is_put_aside_naming_the_first(repo: Scratch) -> None:
    three(repo, verify="echo WHOLE IS RED; ! { test -e a.txt && test -e b.txt; }")
    merged = repo.br3("merge", "--json", code=1).json
    assert merged["landed"] == ["a", "c"]
    (aside,) = merged["aside"]
    assert (aside["id"], aside["with"], aside["cause"]) == ("b", ["a"], "verification")
    assert aside["reason"].startswith("passes alone, fails with a: ")
    assert "WHOLE IS RED" in Path(aside["log"]).read_text()
    assert repo.status()["builds"]["b"]["aside"] == aside["reason"]
    assert not (repo.path / "b.txt").exists()


def test_without_a_plan_verification_the_builds_own_hold_the_whole(repo: Scratch) -> None:
    plan = '[plan]\nname = "t"\n'
    for build, other in (("a", "b"), ("b", "a")):
        plan += f'[[build]]\nid = "{build}"\nagent = "shell"\ncommand = {toml(writing(build))}\n'
        plan += f'[build.verify]\nrun = ["test ! -e {other}"]\n'
    repo.plan(plan)
    repo.br3("run", "--trust")
    merged = repo.br3("merge", "--json", code=1).json
    assert (merged["landed"], [a["id"] for a in merged["aside"]]) == (["a"], ["b"])
    said = repo.br3("merge", code=1)  # as it is, there is nothing to mend in its worktree: it passes there
    assert "b: passes in its worktree, fails on top of main" in said.out
    assert "next: in its worktree git merge main, mend, commit; then br3 verify b" in said.out
    assert "next: in its worktree git merge main, mend, commit; then br3 verify b" in repo.br3("status").out


def test_the_candidate_s_tree_is_what_is_verified_and_lands(repo: Scratch) -> None:
    three(repo, verify="test -e a.txt -a -e b.txt -a -e c.txt")
    repo.br3("merge")
    passed = [e for e in repo.events("quality.passed") if e.build is None]
    assert repo.head("main^{tree}") in [e.data["tree"] for e in passed]


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
    assert ("git stash -u" in said.err) == (kind == "untracked")
    assert mine.name in said.err and "commit or stash" in said.err
    assert (repo.head(), mine.read_text()) == (before, "mine\n")


def test_an_operation_in_progress_in_the_checkout_is_refused(repo: Scratch) -> None:
    three(repo)
    (repo.path / ".git" / "MERGE_HEAD").write_text(repo.head() + "\n")
    said = repo.br3("merge", code=3)
    assert "a merge is in progress" in said.err


@pytest.mark.parametrize("how", ["rebase", "bisect"])
def test_an_operation_that_has_taken_base_off_head_is_refused(repo: Scratch, how: str) -> None:
    three(repo)
    if how == "rebase":
        repo.git("-c", "sequence.editor=echo break >>", "rebase", "--interactive", "HEAD~1")
    else:
        repo.git("bisect", "start", "HEAD", "HEAD~1")
        repo.git("switch", "--quiet", "--detach")
    before = repo.head()
    said = repo.br3("merge", code=3)
    assert f"a {how} is in progress in {repo.path}, where main is checked out" in said.err
    assert repo.head() == before
    repo.git(*said.err.split(f" git -C {repo.path} ")[1].split("\n")[0].split())
    repo.br3("merge")
    assert repo.git("status", "--porcelain") == ""


def test_the_checkout_follows_where_base_is_another_name_of_its_branch(repo: Scratch) -> None:
    repo.git("symbolic-ref", "refs/heads/trunk", "refs/heads/main")
    repo.plan(shell_plan({"a": writing("a.txt")}).replace('name = "test"\n', 'name = "test"\nbase = "trunk"\n'))
    repo.br3("run", "--trust")
    repo.br3("merge")
    assert (repo.path / "a.txt").exists()
    assert repo.git("status", "--porcelain") == ""


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


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("step", ["worktree add", "read-tree -n", "update-ref --stdin", "read-tree -m -u"])
def test_kill_9_at_a_step_leaves_base_old_or_new_and_the_next_merge_finishes(
    repo: Scratch, tmp_path: Path, step: str, after: bool
) -> None:
    before = three(repo)
    repo.write("README.md", "edited\n")
    env = git_that_kills(tmp_path / "bin", step, after=after)
    assert repo.br3("merge", code=None, env=env).code == -signal.SIGKILL
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
    env = git_that_kills(tmp_path / "bin", "read-tree -m -u", after=False)
    repo.br3("merge", code=None, env=env)
    (repo.path / "a.txt").write_text(repo.git("show", "main:a.txt") + "\n")  # as far as git had come
    repo.br3("merge")
    assert repo.git("status", "--porcelain") == ""


def test_a_file_of_the_user_s_in_the_way_of_a_recovery_is_kept(repo: Scratch, tmp_path: Path) -> None:
    three(repo)
    env = git_that_kills(tmp_path / "bin", "read-tree -m -u", after=False)
    repo.br3("merge", code=None, env=env)
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


def own(repo: Scratch, command: str, *, verify: str) -> None:
    """One verified build whose commands are those of the whole."""
    plan = '[plan]\nname = "t"\n[setup]\n[defaults]\nagent = "shell"\n'
    plan += f"[verify]\nrun = [{toml(verify)}]\n"
    repo.plan(plan + f'[[build]]\nid = "a"\ncommand = {toml(command)}\n')
    repo.br3("run", "--trust")


def test_a_build_s_own_verdict_counts_for_the_same_tree_and_commands(repo: Scratch) -> None:
    own(repo, writing("a.txt"), verify="test -e a.txt")
    merged = repo.br3("merge", "--json").json
    assert (merged["landed"], merged["test_runs"]) == (["a"], 0)
    assert len(repo.events("quality.passed")) == 1


def test_a_verdict_that_ignored_files_may_have_made_does_not_count(repo: Scratch) -> None:
    repo.write(".gitignore", "*.local\n")
    repo.commit("ignore")
    own(repo, f"{writing('a.txt')}; {writing('needed.local')}", verify="test ! -e a.txt || test -e needed.local")
    merged = repo.br3("merge", "--json", code=1).json
    assert merged["landed"] == []
    (aside,) = merged["aside"]
    assert aside["cause"] == "verification"
    assert aside["reason"].startswith("passes in its worktree, not in a clean checkout (not committed there: needed.")
    assert "commit what a clean checkout lacks" in aside["next"]
    assert not (repo.path / "a.txt").exists()
    again = repo.br3("merge", "--json", code=1).json["aside"][0]  # what it showed there is still what counts here
    assert again["reason"].startswith("passes in its worktree, not in a clean checkout") and again["log"] is not None
    shutil.rmtree(repo.worktree("a"))  # then there are no names to be told
    said = repo.br3("merge", code=1)
    assert "a: passes in its worktree, not in a clean checkout, as before" in said.out


def test_merge_drivers_of_base_s_gitattributes_are_heeded(repo: Scratch) -> None:
    repo.write(".gitattributes", "log.txt merge=union\n")
    repo.write("log.txt", "first\n")
    repo.commit("a log that everybody adds to")
    repo.plan(shell_plan({b: f"printf '{b}\\n' >> log.txt" for b in "ab"}))
    repo.br3("run", "--trust")
    assert repo.br3("merge", "--json").json["landed"] == ["a", "b"]
    assert (repo.path / "log.txt").read_text() == "first\na\nb\n"


def test_what_is_taken_back_is_kept_also_when_the_branches_are_gone(repo: Scratch) -> None:
    three(repo)
    repo.br3("merge")
    landed, run = repo.head(), repo.status()["run"]
    repo.br3("clean")
    said = repo.br3("merge", "--undo", run)
    kept = f"refs/br3/landed/{run}/undone-{landed[:12]}"
    assert f" is kept as {kept}\n" in said.out
    assert repo.head(kept) == landed
    assert not (repo.path / "a.txt").exists()


def test_a_branch_without_a_common_history_is_put_aside(repo: Scratch) -> None:
    three(repo)
    orphan = repo.git("commit-tree", "-m", "from nowhere", repo.head("build/b^{tree}"))
    repo.git("reset", "--quiet", "--hard", orphan, cwd=repo.worktree("b"))
    repo.br3("verify", "b", code=None)
    merged = repo.br3("merge", "--json", code=1).json
    assert merged["landed"] == ["a", "c"]
    assert "no history in common with main" in merged["aside"][0]["reason"]
