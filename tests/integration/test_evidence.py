"""What counts as work, as landed, and as left behind: by evidence, never by the look of things."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.conftest import PYTHON, Scratch, script, shell_plan, toml, until, writing
from tests.integration.killing import git_that_kills

SLEEP = f"{PYTHON} -c 'import time; time.sleep(600)'"
MANUAL = '[plan]\nname = "t"\n[[build]]\nid = "m"\nagent = "manual"\nprompt = "x"\n[build.verify]\nrun = ["true"]\n'


def test_a_second_set_up_does_not_take_a_person_s_work_for_its_own(repo: Scratch) -> None:
    repo.plan(MANUAL + '[setup]\nrun = ["true"]\n')
    repo.br3("up", "--trust")
    repo.write("done", "x", root=repo.worktree("m"))
    repo.commit("by hand", cwd=repo.worktree("m"))
    repo.write("precious", "x", root=repo.worktree("m"))
    repo.br3("up", "--fresh")
    assert repo.status()["builds"]["m"]["uncommitted"] == ["precious"]
    repo.br3("finish", code=1)
    assert (repo.worktree("m") / "precious").exists()


def test_a_worktree_that_a_person_made_keeps_what_is_in_it(repo: Scratch) -> None:
    repo.plan(MANUAL)
    repo.git("worktree", "add", "--quiet", "-b", "build/m", str(repo.worktree("m")))
    repo.write("precious", "x", root=repo.worktree("m"))
    repo.br3("up", "--trust")
    repo.br3("clean", code=3)
    assert (repo.worktree("m") / "precious").exists()


def test_unfinished_copies_are_neither_committed_nor_left(repo: Scratch) -> None:
    repo.write(".gitignore", "data\n")
    repo.plan(shell_plan({"a": writing("a")}) + '[setup]\nrun = []\ncopy = ["data"]\n')
    repo.write("data/file", "x")
    repo.br3("up", "--trust")
    repo.write(".br3-draft-123/half", "x", root=repo.worktree("a"))
    repo.br3("run")
    assert repo.git("ls-tree", "-r", "--name-only", "build/a").split() == [".gitignore", "README.md", "a", "br3.toml"]
    repo.br3("up")
    assert not (repo.worktree("a") / ".br3-draft-123").exists()


def test_a_branch_at_base_has_not_landed(repo: Scratch) -> None:
    repo.plan(MANUAL + '[release]\ntag = "v1"\n')
    repo.git("branch", "build/m")
    assert "for you to do: m" in repo.br3("run", "--trust").out
    assert not repo.status()["builds"]["m"]["landed"]
    assert "it has no commits yet" in repo.br3("finish", code=1).out
    assert repo.git("tag", "--list") == ""


def test_a_branch_that_only_followed_base_has_not_landed(repo: Scratch) -> None:
    repo.plan(MANUAL + '[release]\ntag = "v1"\n')
    repo.br3("up", "--trust")
    repo.write("theirs", "x")
    repo.commit("theirs")
    repo.git("merge", "--quiet", "main", cwd=repo.worktree("m"))
    assert not repo.status()["builds"]["m"]["landed"]
    repo.br3("finish", code=1)
    assert repo.git("tag", "--list") == ""


def test_a_failed_build_that_was_rebased_onto_base_has_not_landed(repo: Scratch) -> None:
    plan = shell_plan({"a": "exit 1"})
    repo.plan(plan + f'[[build]]\nid = "c"\nneeds = ["a"]\ncommand = {toml(writing("c"))}\n')
    repo.br3("run", "--trust", code=1)
    repo.write("theirs", "x")
    repo.commit("theirs")
    repo.git("rebase", "--quiet", "main", cwd=repo.worktree("a"))
    repo.br3("run", code=1)
    builds = repo.status()["builds"]
    assert (builds["a"]["landed"], builds["c"]["state"]) == (False, "skipped")


def test_what_was_merged_by_hand_has_landed(repo: Scratch) -> None:
    repo.plan(shell_plan({"a": writing("a")}))
    repo.br3("run", "--trust")
    repo.git("merge", "--quiet", "build/a")
    assert repo.status()["builds"]["a"]["landed"]
    repo.br3("clean")
    assert not repo.worktree("a").exists()


def test_a_landed_build_that_is_asked_for_something_else_is_not_done(repo: Scratch) -> None:
    plan = shell_plan({"a": writing("a")}) + '[release]\ntag = "v1"\n'
    plan += f'[[build]]\nid = "c"\nneeds = ["a"]\ncommand = {toml(writing("c"))}\n'
    repo.plan(plan)
    repo.br3("run", "--trust")
    repo.br3("finish")
    changed = plan.replace(toml(writing("a")), toml("exit 1")).replace(toml(writing("c")), toml(writing("c2")))
    repo.plan(changed.replace('"v1"', '"v2"'))
    repo.br3("run", "--trust", code=1)
    builds = repo.status()["builds"]
    assert (builds["a"]["landed"], builds["a"]["verified"], builds["c"]["state"]) == (False, False, "skipped")
    repo.br3("finish", code=1)
    assert repo.git("tag", "--list") == "v1"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_verification_that_was_cut_off_after_it_wrote_a_file_goes_on(
    repo: Scratch, tracked: str, number: int
) -> None:
    gate = repo.path.parent / "gate"
    repo.plan(shell_plan({"a": writing("a")}, verify=f": > report.xml; test -e {gate} || {SLEEP}"))
    process = repo.start("run", "--trust")
    until(lambda: (repo.worktree("a") / "report.xml").exists())
    if number == signal.SIGKILL:
        from tests.integration.test_running import orchestrators

        process.kill()
        for orchestrator in orchestrators(repo):
            orchestrator.kill()
    else:
        process.send_signal(number)
    process.communicate()
    gate.touch()
    repo.br3("run")
    repo.br3("finish")
    assert "report.xml" not in repo.git("ls-tree", "--name-only", "main")


def test_cleaning_up_after_a_landed_build_was_prepared_again(repo: Scratch) -> None:
    repo.plan(shell_plan({"a": writing("a")}))
    repo.br3("run", "--trust")
    repo.br3("finish")
    repo.br3("up")
    repo.br3("clean")
    assert not repo.worktree("a").exists() and repo.git("branch", "--list", "build/a") == ""


def test_a_build_under_a_new_name_is_not_cleaned_away_under_its_old_one(repo: Scratch, tracked: str) -> None:
    place = 'branch = "feat/x"\nworktree = "w"'
    repo.plan(shell_plan({"a": "exit 1"}, extra=place))
    repo.br3("run", "--trust", code=1)
    repo.plan(shell_plan({"b": f"{writing('b')}; {SLEEP}"}, extra=place))
    process = repo.start("run", "--trust")
    until(lambda: (repo.worktree("w") / "b").exists())
    repo.br3("clean", code=3)
    assert (repo.worktree("w") / "b").exists()
    process.terminate()
    process.communicate()


def test_a_kept_environment_knows_the_lists_it_was_made_from(tmp_path: Path, repo: Scratch) -> None:
    from br3.workspace.environments import digest

    commands = ["python3 -m venv .venv", ".venv/bin/pip install -r requirements/dev.txt"]
    repo.write("requirements/dev.txt", "a\n")
    repo.commit()
    first = digest(commands, repo.path)
    repo.write("requirements/dev.txt", "a\nb\n")
    repo.commit()
    assert digest(commands, repo.path) != first
    plain = ["python3 -m venv .venv", ".venv/bin/pip install -r requirements.txt"]
    repo.write("requirements.txt", "a\n")
    repo.commit()
    before = digest(plain, repo.path)
    repo.write("unrelated", "x")
    repo.commit()
    assert digest(plain, repo.path) == before


def test_a_manual_build_starts_from_what_it_needs(repo: Scratch) -> None:
    plan = shell_plan({"a": writing("a")})
    plan += '[[build]]\nid = "m"\nneeds = ["a"]\nagent = "manual"\nprompt = "x"\n'
    repo.plan(plan)
    said = repo.br3("run", "--trust")
    assert "for you to do: m" in said.out
    assert (repo.worktree("m") / "a").exists()


def test_what_verification_left_does_not_stop_a_person_s_next_commit(repo: Scratch) -> None:
    repo.plan(shell_plan({"a": writing("a")}, verify=writing("report.xml")))
    repo.br3("run", "--trust")
    repo.write("mend", "x", root=repo.worktree("a"))
    repo.git("add", "mend", cwd=repo.worktree("a"))
    repo.git("commit", "--quiet", "--message", "mend", cwd=repo.worktree("a"))
    repo.br3("verify", "a")
    assert repo.br3("merge", "--json").json["landed"] == ["a"]


def test_a_kill_between_the_end_of_a_repair_and_the_verdict_goes_on(repo: Scratch, tmp_path: Path) -> None:
    from br3.orchestrator import building

    agent = "test $BR3_TASK = repair && " + writing("fixed") + " || " + writing("work")
    repo.plan(shell_plan({"a": agent}, verify="test -e fixed"))
    repo.br3("up", "--trust")
    run = str(repo.events("run.created")[0].run)
    original = building.Work.say

    def say(work: object, kind: str, *words: object, **data: object) -> None:
        if kind == "build.verified":
            raise SystemExit("as if killed")
        original(work, kind, *words, **data)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(building.Work, "say", say)
        with pytest.raises(SystemExit):
            building.orchestrate(repo.common_dir, run, "a")
    assert building.orchestrate(repo.common_dir, run, "a") == 0
    assert repo.status()["problems"] == []


@pytest.mark.parametrize("command", ["git commit -q --allow-empty -m done", "git reset -q --hard HEAD~1; echo 2 > two"])
def test_history_without_work_or_with_less_work_is_no_success(repo: Scratch, command: str) -> None:
    plan = '[plan]\nname = "t"\n[verify]\nrun = ["true"]\n[[build]]\nid = "a"\nagent = "shell"\nretries = 0\n'
    plan += f'[[build.task]]\nid = "1"\ncommand = {toml(writing("one"))}\n'
    plan += f'[[build.task]]\nid = "2"\ncommand = {toml(command)}\n'
    repo.plan(plan)
    repo.br3("run", "--trust", code=1)
    assert repo.events("build.failed")[0].data["cause"] in ("no_change", "dropped_work")


def test_looking_pins_no_base(repo: Scratch) -> None:
    repo.plan(shell_plan({"a": writing("a")}))
    repo.br3("clean")
    repo.write("later", "x")
    repo.commit("later")
    repo.br3("run", "--trust")
    assert repo.git("merge-base", "build/a", "main") == repo.head()


def test_a_finish_under_a_tag_of_before_does_not_begin_to_land(repo: Scratch) -> None:
    plan = shell_plan({"a": writing("a")}) + '[release]\ntag = "v1"\n'
    repo.plan(plan)
    repo.br3("run", "--trust")
    repo.br3("finish")
    repo.plan(plan + f'[[build]]\nid = "b"\ncommand = {toml(writing("b"))}\n')
    repo.br3("run", "--trust")
    before = repo.head()
    assert "without b; nothing was landed" in repo.br3("finish", code=3).err
    assert repo.head() == before


def test_secrets_in_commands_are_masked_when_they_are_approved(repo: Scratch) -> None:
    token = "ghp_" + "a1B2c3D4e5F6g7H8i9J0" * 2
    repo.plan(shell_plan({"a": f"echo {token} > /dev/null; {writing('a')}"}))
    repo.br3("run", "--trust")
    journal = "".join(p.read_text() for p in (repo.common_dir / "br3" / "journal").iterdir())
    assert token not in journal


def test_a_task_called_verify_keeps_its_files(repo: Scratch) -> None:
    plan = '[plan]\nname = "t"\n[verify]\nrun = ["true"]\n[[build]]\nid = "a"\nagent = "shell"\n'
    plan += f'[[build.task]]\nid = "verify"\ncommand = {toml("echo said; " + writing("a"))}\n'
    repo.plan(plan)
    repo.br3("run", "--trust")
    assert "said" in repo.br3("logs", "a").out


def test_stopping_does_not_wait_for_another_br3_s_environment(repo: Scratch, tmp_path: Path, tracked: str) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    slow = script(tmp_path / "tools", "slow.py", "import time; time.sleep(600)\n")
    (tools / "uv").write_text(f"#!/bin/sh\nexec {slow}\n")
    (tools / "uv").chmod(0o755)
    import os

    env = {"PATH": f"{tools}{os.pathsep}{os.environ['PATH']}"}
    repo.plan(shell_plan({"a": writing("a"), "b": writing("b")}) + '[setup]\nrun = ["uv venv"]\n')
    first = repo.start("up", "--trust", "a", env=env)
    until(lambda: (repo.worktree("a") / "README.md").exists())
    second = repo.start("up", "--trust", "b", env=env)
    until(lambda: (repo.worktree("b") / "README.md").exists())
    second.send_signal(signal.SIGINT)
    assert second.wait(timeout=60) == 130
    first.send_signal(signal.SIGINT)
    first.wait(timeout=60)
    for process in (first, second):
        process.communicate()


def test_a_kill_before_the_worktree_is_noted_goes_on(repo: Scratch, tmp_path: Path) -> None:
    repo.plan(shell_plan({"a": writing("a")}))
    repo.br3("trust", "--trust")
    env = git_that_kills(tmp_path / "bin", "worktree add", after=True)
    repo.br3("run", code=None, env=env)
    repo.br3("run")
    assert repo.status()["builds"]["a"]["verified"]


class TestABranchDeletedByHand:
    def _delete(self, repo: Scratch) -> str:
        tip = repo.head("build/a")
        repo.git("worktree", "remove", "--force", str(repo.worktree("a")))
        repo.git("branch", "--quiet", "-D", "build/a")
        return tip

    def test_its_work_is_told_and_not_done_again(self, repo: Scratch) -> None:
        repo.plan(shell_plan({"a": f"{writing('a')}; echo ran >> ../ran"}))
        repo.br3("run", "--trust")
        tip = self._delete(repo)
        refused = repo.br3("run", code=3)
        assert f"build/a is gone, and {tip[:12]}, the work of a, has not landed" in refused.err
        assert f"git branch build/a {tip[:12]}" in refused.err
        assert f"its work is {tip[:12]}: git branch build/a {tip[:12]}" in repo.br3("merge", code=1).out
        assert repo.br3("conflicts", "--json").json["builds"][0]["state"] == "branch gone"
        repo.git("branch", "build/a", tip[:12])
        assert repo.br3("run").code == 0
        repo.br3("merge")
        assert (repo.worktree("a").parent / "ran").read_text() == "ran\n"
        assert repo.git("show", "main:a") == "x"

    def test_what_an_older_run_has_landed_of_the_build_is_not_its_newest_work(self, repo: Scratch) -> None:
        repo.plan(shell_plan({"a": f"{writing('a')}; echo ran >> ../ran"}))
        repo.br3("run", "--trust")
        repo.br3("finish")
        repo.plan(shell_plan({"a": writing("more")}))
        repo.br3("run", "--trust")
        self._delete(repo)
        assert not repo.status()["builds"]["a"]["landed"]
        assert repo.br3("merge", code=1).out.count("landed") == 0 + repo.br3("merge", code=1).out.count(
            "nothing landed"
        )

    def test_below_its_worktree_it_is_told_how_it_comes_back(self, repo: Scratch) -> None:
        repo.plan(shell_plan({"a": "exit 1"}))
        repo.br3("run", "--trust", "--retries", "0", code=1)
        repo.git("update-ref", "-d", "refs/heads/build/a")
        ended = repo.br3("run", "--retries", "0", code=1)
        said = ended.out + ended.err
        assert "build/a is gone, which its worktree is on" in said and f"git branch build/a {repo.head()}" in said
        repo.git("branch", "build/a", repo.head())
        repo.plan(shell_plan({"a": writing("a")}))
        repo.br3("run", "--trust")

    def test_what_asks_for_something_else_is_done(self, repo: Scratch) -> None:
        repo.plan(shell_plan({"a": f"{writing('a')}; echo ran >> ../ran"}))
        repo.br3("run", "--trust")
        self._delete(repo)
        repo.plan(shell_plan({"a": writing("other")}))
        repo.br3("run", "--trust")
        assert repo.status()["builds"]["a"]["verified"]


def test_a_run_that_waits_for_a_person_says_what_is_not_verified_any_more(repo: Scratch) -> None:
    manual = '[[build]]\nid = "m"\nagent = "manual"\nprompt = "By hand."\n'
    repo.plan(shell_plan({"a": writing("a")}, verify="test ! -e bad") + manual)
    assert "was verified" not in repo.br3("run", "--trust").out
    repo.write("bad", "x", root=repo.worktree("a"))
    repo.commit("bad", cwd=repo.worktree("a"))
    repo.br3("verify", "a", code=1)
    out = repo.br3("run").out
    assert "a was verified and is not as it is now: `test ! -e bad` ended with exit code 1; mend it" in out
    assert "for you to do: m" in out
