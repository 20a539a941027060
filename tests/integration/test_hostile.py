"""What agents, users and crashes do at the worst moment: nothing is lost, and the same command goes on."""

from __future__ import annotations

import json
import os
import shutil
import signal
from pathlib import Path

import pytest

from tests.conftest import PYTHON, Scratch, making, processes_with, script, shell_plan, toml, until, writing
from tests.integration.killing import git_that_kills

SLEEP = f"{PYTHON} -c 'import time; time.sleep(600)'"


def test_a_file_that_is_not_ignored_at_base_is_not_brought_along_into_a_commit(repo: Scratch) -> None:
    repo.plan(shell_plan({"a": writing("a")}) + '[setup]\nrun = []\ncopy = [".env"]\n')
    repo.write(".env", "PASSWORD=secret\n")
    repo.write(".gitignore", ".env\n")  # not committed yet
    said = repo.br3("up", "--trust")
    assert ".env is not copied: git does not ignore it at main" in said.err
    repo.br3("run")
    assert ".env" not in repo.git("ls-tree", "-r", "--name-only", "build/a")


@pytest.mark.parametrize("after", [False, True])
def test_a_worktree_whose_checkout_was_killed_is_finished_before_anybody_works_in_it(
    repo: Scratch, tmp_path: Path, after: bool
) -> None:
    for name in ("h.txt", "z/1", "z/2"):
        repo.write(name, name)
    repo.plan(shell_plan({"a": writing("a")}))
    repo.br3("trust", "--trust")
    env = git_that_kills(tmp_path / "bin", "worktree add", after=True)
    repo.br3("run", code=None, env=env)
    if not after:  # as git leaves it when it is killed while it writes files
        admin = repo.common_dir / "worktrees" / "a"
        (admin / "index").unlink()
        (admin / "index.lock").touch()
        (admin / "locked").write_text("initializing")
        shutil.rmtree(repo.worktree("a") / "z")
    repo.br3("run")
    repo.br3("finish")
    assert {"h.txt", "z/1", "z/2", "a"} <= set(repo.git("ls-tree", "-r", "--name-only", "main").splitlines())
    assert not repo.worktree("a").exists()


def test_work_on_another_branch_is_never_committed_there(repo: Scratch, tracked: str) -> None:
    repo.git("branch", "other")
    usage = """echo '{"cost_usd": "5"}' >> $BR3_USAGE_FILE"""
    repo.plan(shell_plan({"a": f"git switch -q other; {writing('bad')}; {usage}; {SLEEP}"}, extra="budget_usd = 1"))
    before = repo.head("other")
    repo.br3("run", "--trust", code=4)
    assert repo.head("other") == before
    assert (repo.worktree("a") / "bad").exists()


@pytest.mark.parametrize("what", ["detached commits", "broken .git", "nested repository"])
def test_clean_never_takes_the_only_copy_of_anything(repo: Scratch, what: str) -> None:
    repo.plan(shell_plan({"a": writing("a")}))
    repo.br3("run", "--trust")
    repo.br3("merge")
    tree = repo.worktree("a")
    if what == "detached commits":
        repo.git("switch", "--quiet", "--detach", cwd=tree)
        repo.write("more", "x", root=tree)
        repo.commit("on no branch", cwd=tree)
    elif what == "broken .git":
        (tree / ".git").unlink()
        repo.write("more", "x", root=tree)
    else:
        repo.write(".gitignore", "vendor/\n", root=tree)
        repo.commit("ignore", cwd=tree)
        repo.git("push", "--quiet", ".", "HEAD:refs/heads/main", cwd=tree, check=False)
        inner = tree / "vendor" / "lib"
        inner.mkdir(parents=True)
        repo.git("init", "--quiet", cwd=inner)
        repo.write("more", "x", root=inner)
        repo.commit("inner", cwd=inner)
    repo.br3("clean", code=3)
    assert tree.exists()
    assert (tree / "more").exists() or (tree / "vendor/lib/more").exists()


def test_clean_leaves_a_branch_that_is_checked_out_elsewhere(repo: Scratch) -> None:
    repo.plan(shell_plan({"a": writing("a")}))
    repo.br3("run", "--trust")
    repo.br3("merge")
    repo.git("worktree", "remove", "--force", str(repo.worktree("a")))
    repo.git("switch", "--quiet", "build/a")
    repo.br3("clean", code=3)
    assert repo.git("status", "--porcelain") == ""


def test_a_repair_that_was_stopped_goes_on(repo: Scratch, tmp_path: Path, tracked: str) -> None:
    agent = script(
        tmp_path / "tools",
        "agent.py",
        "import os, pathlib, time\n"
        "if os.environ['BR3_TASK'] == 'repair':\n"
        "    pathlib.Path('part').touch()\n"
        "    while not pathlib.Path('../go').exists(): time.sleep(0.05)\n"
        "    pathlib.Path('fixed').touch()\n"
        "else: pathlib.Path('work').touch()\n",
    )
    repo.plan(shell_plan({"a": agent}, verify="test -e fixed"))
    process = repo.start("run", "--trust")
    until(lambda: (repo.worktree("a") / "part").exists())
    process.send_signal(signal.SIGINT)
    process.communicate()
    (repo.worktree("a").parent / "go").touch()
    repo.br3("run")
    assert repo.git("ls-tree", "--name-only", "build/a").split() == ["README.md", "br3.toml", "fixed", "part", "work"]


def test_a_verification_that_changes_tracked_files_does_not_pass(repo: Scratch) -> None:
    repo.plan(shell_plan({"a": writing("a", "broken")}, verify="echo good > a && read word < a && test $word = good"))
    said = repo.br3("run", "--trust", "--retries", "0", code=1)
    assert "the verification changed files that git tracks: a" in said.err
    assert not repo.status()["builds"]["a"]["verified"]


def test_base_does_not_move_to_a_tree_that_only_passed_after_it_was_edited(repo: Scratch) -> None:
    plan = shell_plan({"a": writing("a", "broken")})
    plan = plan.replace('run = ["true"]', f"run = [{toml('echo good > a')}, {toml('test $(git hash-object a)')}]", 1)
    repo.plan(plan)
    repo.br3("run", "--trust")
    before = repo.head()
    repo.br3("merge", code=1)
    assert repo.head() == before


def test_a_build_added_after_a_finish_is_run_landed_and_released_alone(repo: Scratch) -> None:
    plan = shell_plan({"a": writing("a")}) + '[release]\ntag = "v1"\n'
    repo.plan(plan)
    repo.br3("run", "--trust")
    repo.br3("finish")
    repo.plan(shell_plan({"a": writing("a"), "b": writing("b")}) + '[release]\ntag = "v2"\n')
    repo.br3("run", "--trust")
    assert not repo.worktree("a").exists()
    said = repo.br3("finish")
    assert "landed earlier: a" in said.out and "landed  b" in said.out
    assert repo.head("v2^{commit}") == repo.head()
    assert [e.build for e in repo.events("attempt.started")] == ["a", "b"]


def test_a_tag_without_the_latest_landing_is_not_called_released(repo: Scratch) -> None:
    plan = shell_plan({"a": writing("a"), "b": writing("b")}) + '[release]\ntag = "v1"\n'
    repo.plan(plan)
    repo.br3("run", "--trust")
    repo.br3("merge", "a")
    repo.br3("release")
    repo.br3("merge", "b")
    said = repo.br3("release", code=3)
    assert "without b" in said.err


def test_a_commit_that_took_a_cut_off_landing_back_is_not_taken_for_landed(repo: Scratch, tmp_path: Path) -> None:
    repo.plan(shell_plan({"a": writing("a")}))
    repo.br3("run", "--trust")
    env = git_that_kills(tmp_path / "bin", "read-tree -m -u", after=False)
    repo.br3("merge", code=None, env=env)
    assert "cut off; br3 merge finishes it" in repo.br3("status").out
    repo.write("README.md", "mine\n")
    repo.git("commit", "--quiet", "--all", "--message", "from the stale index")
    for command in ("merge", "finish", "release"):
        said = repo.br3(command, *(["--tag", "v9"] if command == "release" else []), code=3)
        assert "has taken its changes back: a" in said.err
    repo.git("checkout", "build/a", "--", "a")
    repo.commit("bring it back")
    repo.br3("merge")
    assert repo.git("show", "main:a") == "x"


def test_a_landing_that_was_cut_off_is_finished_by_release_too(repo: Scratch, tmp_path: Path) -> None:
    repo.plan(shell_plan({"a": writing("a")}))
    repo.br3("run", "--trust")
    env = git_that_kills(tmp_path / "bin", "read-tree -m -u", after=False)
    repo.br3("merge", code=None, env=env)
    repo.br3("release", "--tag", "v1")
    assert repo.git("status", "--porcelain") == ""


def test_an_agent_that_kills_everything_is_not_tried_for_ever(repo: Scratch) -> None:
    repo.plan(shell_plan({"a": "kill -9 0"}))
    repo.br3("run", "--trust", "--retries", "1", code=1)
    assert [e.data["cause"] for e in repo.events("attempt.finished")] == ["killed", "killed"]


def test_two_runs_that_begin_at_once_are_one_run(repo: Scratch, tmp_path: Path, tracked: str) -> None:
    wait = script(tmp_path / "tools", "w.py", "import time; time.sleep(1)\n")
    repo.plan(shell_plan({"a": f"echo once >> work; {wait}"}))
    repo.br3("trust", "--trust")
    processes = [repo.start("run") for _ in range(3)]
    codes = sorted((p.communicate(), p.returncode)[1] for p in processes)
    assert codes == [0, 3, 3]
    assert len(repo.events("run.created")) == 1
    assert repo.git("show", "build/a:work") == "once"


def test_a_run_whose_files_are_gone_does_not_block_the_next(repo: Scratch) -> None:
    repo.plan(shell_plan({"a": writing("a")}))
    repo.br3("up", "--trust")
    shutil.rmtree(repo.common_dir / "br3" / "runs")
    said = repo.br3("run")
    assert "cannot be read and is left alone" in said.err


def test_a_plan_frozen_by_another_version_is_read(repo: Scratch) -> None:
    from br3.plan import frozen

    repo.plan(shell_plan({"a": writing("a")}))
    repo.br3("run", "--trust")
    (path,) = (repo.common_dir / "br3" / "runs").glob("*/plan.json")
    data = json.loads(path.read_text())
    data["plan"]["a_field_of_tomorrow"] = {"x": 1}
    data["plan"].pop("criteria", None)
    data["plan"]["criteria"] = []
    data["digest"] = frozen._digest(data["plan"])
    path.write_text(json.dumps(data))
    assert repo.status()["builds"]["a"]["verified"]


def test_a_manual_build_that_is_verified_lets_others_begin(repo: Scratch) -> None:
    plan = '[plan]\nname = "t"\n[verify]\nrun = ["true"]\n[[build]]\nid = "m"\nagent = "manual"\nprompt = "x"\n'
    plan += f'[[build]]\nid = "c"\nneeds = ["m"]\nagent = "shell"\ncommand = {toml("test -e m && " + writing("c"))}\n'
    repo.plan(plan)
    said = repo.br3("run", "--trust")
    assert "for you to do: m" in said.out
    assert repo.status()["state"] == "paused"
    repo.write("m", "x", root=repo.worktree("m"))
    repo.commit("by hand", cwd=repo.worktree("m"))
    repo.br3("verify", "m")
    repo.br3("run")
    assert repo.br3("merge", "--json").json["landed"] == ["m", "c"]


def test_a_build_waits_for_all_that_it_needs_through_others(repo: Scratch) -> None:
    plan = shell_plan({"a": writing("a")})
    plan += f'[[build]]\nid = "b"\nneeds = ["a"]\ncommand = {toml(writing("b"))}\n'
    plan += f'[[build]]\nid = "c"\nneeds = ["b"]\ncommand = {toml(writing("c"))}\n'
    repo.plan(plan)
    repo.br3("run", "--trust", "a", "b")
    repo.plan(plan.replace(toml(writing("a")), toml("exit 1")))
    repo.br3("run", "--trust", "a", code=1)
    repo.br3("run", "c", code=1)
    assert repo.events("build.skipped")[-1].data["reason"] == "it needs a, which is failed"


def test_spending_is_counted_once_when_an_attempt_is_adopted(repo: Scratch, tmp_path: Path, tracked: str) -> None:
    wait = script(tmp_path / "tools", "w.py", "import time; time.sleep(0.05)\n")
    agent = (
        f"""echo '{{"cost_usd": "0.60"}}' >> $BR3_USAGE_FILE; until test -e ../go; do {wait}; done; {writing("a")}"""
    )
    repo.plan(shell_plan({"a": agent}, extra="budget_usd = 1"))
    process = repo.start("run", "--trust")
    until(lambda: repo.events("usage.recorded"))
    from tests.integration.test_running import orchestrators

    process.kill()
    process.communicate()
    for orchestrator in orchestrators(repo):
        orchestrator.kill()
    again = repo.start("run")
    until(lambda: repo.events("build.resumed"))
    (repo.worktree("a").parent / "go").touch()
    out, err = again.communicate()
    assert again.returncode == 0, out + err
    assert repo.status()["builds"]["a"]["cost_usd"] == "0.60"


def test_the_run_s_budget_is_shared_while_builds_are_at_work(repo: Scratch, tracked: str) -> None:
    agent = f"""{writing("w")}; echo '{{"cost_usd": "0.60"}}' >> $BR3_USAGE_FILE; {SLEEP}"""
    repo.plan(shell_plan({"a": agent, "b": agent}, head="budget_usd = 1"))
    repo.br3("run", "--trust", "--timeout", "60s", code=4)
    assert "budget" in [e.data["cause"] for e in repo.events("attempt.finished")]


def test_what_an_agent_committed_before_it_was_stopped_counts(repo: Scratch, tracked: str) -> None:
    first = f"test -e done && exit 0; {writing('done')}; git add done; git commit -qm 'by the agent'; {SLEEP}"
    repo.plan(shell_plan({"a": first}))
    process = repo.start("run", "--trust")
    until(lambda: "by the agent" in repo.git("log", "--format=%s", "build/a", "--", check=False))
    process.send_signal(signal.SIGINT)
    process.communicate()
    repo.br3("run")
    assert repo.status()["builds"]["a"]["verified"]


def test_what_set_up_left_is_not_an_agent_s_work(repo: Scratch) -> None:
    repo.plan(shell_plan({"a": "true"}) + '[setup]\nrun = ["echo x > pkg.lock; echo changed >> README.md"]\n')
    repo.br3("run", "--trust", "--retries", "0", code=1)
    assert repo.events("build.failed")[0].data["cause"] == "no_change"
    repo.plan(shell_plan({"a": writing("a")}) + '[setup]\nrun = ["echo x > pkg.lock; echo changed >> README.md"]\n')
    repo.br3("run", "--trust")
    assert repo.git("diff", "--name-only", "main...build/a") == "a"
    repo.br3("finish")
    assert not repo.worktree("a").exists()


def test_following_base_is_no_work(repo: Scratch, tmp_path: Path) -> None:
    repo.plan(shell_plan({"a": "git merge -q --ff-only main"}))
    repo.br3("up", "--trust")
    repo.write("theirs", "x")
    repo.commit("theirs")
    repo.br3("run", "--retries", "0", code=1)
    assert repo.events("build.failed")[0].data["cause"] == "no_change"


def test_a_nested_repository_is_not_taken_for_work(repo: Scratch) -> None:
    inner = f"{making('lib')} && cd lib && git init -q && git commit -q --allow-empty -m inner"
    repo.plan(shell_plan({"a": inner}))
    repo.br3("run", "--trust", "--retries", "0", code=1)
    assert repo.events("build.failed")[0].data["cause"] == "nested_repository"
    repo.plan(shell_plan({"b": f"{making('lib')} && cd lib && git init -q"}))
    repo.br3("run", "--trust", "--retries", "0", code=1)
    assert repo.events("build.failed")[-1].data["cause"] in ("worktree", "no_change")


def test_an_agent_that_deletes_its_worktree_fails_and_the_next_run_mends_it(repo: Scratch) -> None:
    remove = f"{PYTHON} -c 'import os, shutil; shutil.rmtree(os.environ[\"BR3_WORKTREE\"])'"
    repo.plan(shell_plan({"a": f"test -e ../again && {writing('a')} && exit; : > ../again; {remove}"}))
    repo.br3("run", "--trust", "--retries", "0", code=1)
    repo.br3("run", "--retries", "0")
    assert repo.git("show", "build/a:a") == "x"


def test_line_ends_are_no_reason_to_fail(repo: Scratch) -> None:
    repo.plan(shell_plan({"a": "printf 'one\\n' > unix.txt"}))
    repo.git("config", "core.autocrlf", "true")
    repo.git("config", "core.safecrlf", "true")
    repo.br3("run", "--trust")


def test_a_password_that_is_a_build_s_name_changes_nothing(repo: Scratch) -> None:
    repo.plan(shell_plan({"postgres": writing("a")}))
    repo.br3("run", "--trust", env={"DB_PASSWORD": "postgres"})
    assert repo.status()["builds"]["postgres"]["verified"]
    repo.br3("finish")


@pytest.mark.parametrize("command", [["verify", "a"], ["merge"]])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopping_a_command_ends_what_it_runs(repo: Scratch, tracked: str, command: list[str], number: int) -> None:
    gate = repo.path.parent / "gate"
    check = f"test -e {gate} || exit 0; : > {gate}-seen; {SLEEP}"
    repo.plan(
        shell_plan({"a": writing("a")}, verify=check).replace(
            'run = ["true"]', f"run = [{toml(f'{check} # of the whole')}]", 1
        )
    )
    repo.br3("run", "--trust")
    gate.touch()
    process = repo.start(*command)
    until(lambda: Path(f"{gate}-seen").exists())
    process.send_signal(number)
    process.communicate()
    assert process.returncode == 130
    assert processes_with(tracked) == []
    assert len(repo.git("worktree", "list").splitlines()) == 2


def test_variables_of_an_outer_build_do_not_reach_an_inner_one(repo: Scratch) -> None:
    dump = f'{PYTHON} -c \'import json, os; json.dump(dict(os.environ), open("../env.json", "w"))\''
    repo.plan(shell_plan({"a": writing("a")}, verify=dump))
    outer = {"BR3_TASK": "T", "BR3_PROMPT_FILE": "/p", "BR3_BUILD": "outer", "BR3_TRUST": "1"}
    repo.br3("run", env=outer)
    seen = json.loads((repo.worktree("a").parent / "env.json").read_text())
    assert seen["BR3_BUILD"] == "a"
    assert not seen.keys() & {"BR3_TASK", "BR3_PROMPT_FILE", "BR3_TRUST"}


def test_consent_and_keys_do_not_reach_git_s_hooks(repo: Scratch, tmp_path: Path) -> None:
    out = tmp_path / "seen"
    hook = repo.write(
        ".git/hooks/reference-transaction",
        f'#!/bin/sh\necho "x$BR3_TRUST$ANTHROPIC_API_KEY" >> {out}\n',
    )
    hook.chmod(0o755)
    repo.plan(shell_plan({"a": writing("a")}), commit=False)
    repo.git("-c", "core.hooksPath=/dev/null", "add", "br3.toml")
    repo.git("-c", "core.hooksPath=/dev/null", "commit", "--quiet", "--message", "plan")
    repo.br3("run", env={"BR3_TRUST": "1", "ANTHROPIC_API_KEY": "key"})
    assert set(out.read_text().split()) == {"x"}


def test_an_ignored_file_in_the_checkout_is_not_overwritten(repo: Scratch) -> None:
    repo.write(".gitignore", "secret.cfg\n")
    repo.plan(shell_plan({"a": f"{writing('secret.cfg', 'theirs')}; git add -f secret.cfg; git commit -qm add"}))
    repo.br3("run", "--trust")
    mine = repo.write("secret.cfg", "mine\n")
    said = repo.br3("merge", code=3)
    assert "ignored files" in said.err and "secret.cfg" in said.err
    assert mine.read_text() == "mine\n"


def test_an_ignored_file_is_not_overwritten_by_a_directory_nor_with_its_own(repo: Scratch) -> None:
    repo.write(".gitignore", "d\n!d/\n*.log\n")
    repo.plan(shell_plan({"a": f"mkdir -p d/e; {writing('d/e/f')}; {writing('x')}"}))
    repo.br3("run", "--trust")
    for name, shown in (("d", "d"), ("x/deep/my.log", "x/deep/my.log")):
        (repo.path / name).parent.mkdir(parents=True, exist_ok=True)
        mine = repo.write(name, "mine\n")
        said = repo.br3("merge", code=3)
        assert f"stand where files would land: {shown}\n" in said.err
        assert mine.read_text() == "mine\n"
        mine.rename(repo.path / "away.log")
    link = repo.path / "d"
    link.symlink_to("x")
    assert "stand where files would land: d\n" in repo.br3("merge", code=3).err
    assert link.is_symlink()
    link.unlink()
    (repo.path / "d").mkdir()  # what lands in a directory that is there already is in nobody's way
    repo.write("d/other.log", "mine\n")
    repo.br3("merge")
    assert sorted(path.name for path in (repo.path / "d").iterdir()) == ["e", "other.log"]
    assert (repo.path / "x").is_file()


def test_an_ignored_file_made_after_a_landing_was_killed_is_not_overwritten(repo: Scratch, tmp_path: Path) -> None:
    repo.write(".gitignore", "x\n")
    repo.plan(shell_plan({"a": f"{writing('x', 'theirs')}; {writing('y')}; git add -f x; git commit -qm add"}))
    repo.br3("run", "--trust")
    repo.br3("merge", code=None, env=git_that_kills(tmp_path / "bin", "read-tree -m -u", after=False))
    mine = repo.write("x", "mine\n")
    assert f"ignored files in {repo.path} stand where files would land: x\n" in repo.br3("merge", code=3).err
    assert mine.read_text() == "mine\n"
    mine.unlink()
    repo.br3("merge")
    assert mine.read_text() == "theirs\n" and repo.git("status", "--porcelain") == ""


def test_ignored_files_do_not_make_a_whole_green(repo: Scratch) -> None:
    repo.write(".gitignore", "gen/\n")
    plan = shell_plan({"a": f"{writing('a')}; {making('gen')}; : > gen/x"}, verify="test -e gen/x")
    repo.plan(plan.replace('[verify]\nrun = ["true"]\n', "", 1))
    repo.br3("run", "--trust")
    before = repo.head()
    repo.br3("merge", code=1)
    assert repo.head() == before


def test_a_finish_that_could_not_be_released_does_not_begin_to_land(repo: Scratch) -> None:
    repo.plan(shell_plan({"a": writing("a")}) + '[release]\ntag = "v1"\n')
    repo.br3("run", "--trust")
    before = repo.head()
    repo.git("tag", "v1")
    assert "nothing was landed" in repo.br3("finish", code=3).err
    repo.git("tag", "--delete", "v1")
    assert "no remote" in repo.br3("finish", "--push", code=2).err
    assert repo.head() == before


def test_another_number_of_jobs_is_the_same_plan(repo: Scratch, tmp_path: Path, tracked: str) -> None:
    from tests.integration.test_running import counting_agent

    repo.plan(shell_plan({"a": counting_agent(tmp_path)}))
    process = repo.start("run", "--trust")
    until(lambda: repo.events("attempt.started"))
    process.kill()
    process.communicate()
    (repo.worktree("a").parent / "go").touch()
    repo.br3("run", "-j", "2")
    assert len(repo.events("run.created")) == 1


def test_errors_are_json_too_when_json_was_asked_for(repo: Scratch, tmp_path: Path) -> None:
    error = repo.br3("verify", "--json", code=2).json["error"]
    assert (error["exit_code"], error["hint"]) == (2, "br3 init")
    outside = tmp_path / "nowhere"
    outside.mkdir()
    assert "not in a git repository" in repo.br3("status", "--json", code=2, cwd=outside).json["error"]["message"]


def test_a_file_name_that_is_no_text_breaks_no_output(repo: Scratch) -> None:
    repo.plan(shell_plan({"a": writing("a")}))
    repo.br3("run", "--trust")
    odd = os.fsencode(repo.worktree("a")) + b"/odd\xff"
    with open(odd, "wb"):
        pass
    assert repo.status()["builds"]["a"]["uncommitted"]
    repo.br3("status")
    repo.br3("merge", code=1)


def test_no_name_subject_or_reason_of_an_agent_s_reaches_the_terminal_as_a_command(repo: Scratch) -> None:
    paints = "a\x1b]0;painted\x07b\nc"
    fails = f"{PYTHON} -c 'import sys; sys.exit(\"\\033]0;painted\\007 gave up\")'"
    repo.plan(shell_plan({"works": writing("done"), "fails": fails}))
    told = [repo.br3("run", "--trust", code=1).all]
    worktree = repo.worktree("works")
    repo.write(paints, "theirs", root=worktree)
    told += [repo.br3("status").all, repo.br3("verify", "works", code=1).all, repo.br3("merge", "works", code=1).all]
    assert all("a\\x1b]0;painted\\x07b\\nc" in said for said in told[1:])
    repo.commit("a \x1b]0;painted\x07 subject", cwd=worktree)
    repo.write(paints, "ours")
    repo.commit("ours")
    repo.br3("verify", "works")
    told += [repo.br3("merge", "works", code=1).all, repo.br3("status").all]
    assert all("conflicts with main in a\\x1b]0;painted\\x07b\\nc" in said for said in told[-2:])
    told += [repo.br3("status", build).all for build in ("works", "fails")]
    assert "gave up" in told[0] and "subject" in told[-2] and "gave up" in told[-1]
    assert not [said for said in told if "\x1b" in said or "\x07" in said]


def test_a_worktree_that_git_cannot_read_does_not_hide_the_others(repo: Scratch) -> None:
    repo.plan(shell_plan({"a": writing("a"), "b": writing("b")}))
    repo.br3("run", "--trust")
    (repo.common_dir / "worktrees" / "a" / "index").write_bytes(b"nonsense")
    builds = repo.status()["builds"]
    assert (builds["a"]["verified"], builds["b"]["verified"]) == (False, True)
    assert repo.br3("merge", "--json", code=1).json["landed"] == ["b"]


def test_a_locked_index_in_the_checkout_is_said_plainly(repo: Scratch) -> None:
    repo.plan(shell_plan({"a": writing("a")}))
    repo.br3("run", "--trust")
    (repo.path / ".git" / "index.lock").touch()
    said = repo.br3("merge", code=3)
    assert "is locked" in said.err and "rm " in said.err


def test_a_disk_error_is_one_line(repo: Scratch) -> None:
    repo.plan(shell_plan({"a": writing("a")}))
    repo.worktree("a").parent.write_text("a file where the directory should be")
    said = repo.br3("up", "--trust", code=None)
    assert said.code != 0
    assert "Traceback" not in said.err


@pytest.mark.parametrize("branch", [True, False])
def test_a_worktree_in_the_place_of_a_throw_away_one_is_left_alone(repo: Scratch, branch: bool) -> None:
    repo.plan(shell_plan({"a": writing("a")}))
    repo.br3("run", "--trust")
    theirs = repo.worktree("br3-train-main")
    how = ["-b", "theirs"] if branch else ["--detach"]
    repo.git("worktree", "add", "--quiet", *how, str(theirs))
    repo.write("precious", "x", root=theirs)
    said = repo.br3("merge", code=3)
    assert "is in the way" in said.err
    assert (theirs / "precious").exists()


def test_warnings_of_a_run_are_told(repo: Scratch) -> None:
    plan = shell_plan({"a": writing("a")}) + '[setup]\nrun = []\ncopy = ["mine.txt"]\n'
    repo.plan(plan.replace("[build.verify]\n", '[build.verify]\nartifacts = ["no"]\n'))
    repo.write("mine.txt", "x")
    said = repo.br3("run", "--trust")
    assert "a: mine.txt is not copied" in said.err
    assert "a: artifact no is not there" in said.err


def test_only_a_changed_file_is_called_changed(repo: Scratch) -> None:
    repo.plan(shell_plan({"a": writing("a")}))
    repo.br3("run", "--trust", "--retries", "2")
    assert "has changed" not in repo.br3("merge").err
    repo.write("br3.toml", (repo.path / "br3.toml").read_text() + "# more\n")
    assert "br3.toml has changed since run" in repo.br3("merge").err
    repo.write("br3.toml", "[plan\n")
    said = repo.br3("merge").err
    assert "br3.toml cannot be read (" in said and "has changed" not in said


def test_a_branch_that_somebody_made_after_a_clean_up_is_theirs(repo: Scratch) -> None:
    repo.plan(shell_plan({"a": writing("a")}))
    repo.br3("run", "--trust")
    repo.br3("finish")
    repo.git("switch", "--quiet", "--create", "build/a")
    repo.write("theirs", "x")
    repo.commit("theirs")
    repo.git("switch", "--quiet", "main")
    repo.plan(shell_plan({"a": writing("again")}))
    said = repo.br3("run", "--trust", code=1)
    assert "exists with 1 commit of other work" in said.err
    assert "git branch -m build/a build/a-old" in said.err


def test_an_agent_s_own_add_all_leaves_out_what_set_up_made(repo: Scratch) -> None:
    setup = f"{making('.venv/lib')}; : > .venv/lib/huge; {making('pkg/__pycache__')}; : > pkg/__pycache__/x.pyc"
    agent = f"{writing('a')}; git add --all; git commit -qm 'by the agent'"
    repo.plan(shell_plan({"a": agent}) + f"[setup]\nrun = [{toml(setup)}]\n")
    repo.br3("run", "--trust")
    assert repo.git("ls-tree", "-r", "--name-only", "build/a").split() == ["README.md", "a", "br3.toml"]


def test_an_environment_that_was_committed_by_force_does_not_land(repo: Scratch) -> None:
    repo.plan(shell_plan({"a": writing("a")}))
    repo.br3("run", "--trust")
    repo.write(".venv/lib/huge", "x", root=repo.worktree("a"))
    repo.commit("oops", cwd=repo.worktree("a"))
    repo.br3("verify", "a")
    said = repo.br3("merge", code=1)
    assert "it would land what set-up makes: .venv/ (1 files)" in said.out


def test_changes_outside_what_a_build_owns_are_told(repo: Scratch) -> None:
    repo.plan(shell_plan({"a": f"{writing('mine')}; {writing('strange')}"}, extra='owns = ["mine"]'))
    said = repo.br3("run", "--trust", code=1)
    assert "the agent changed what the build does not own: strange" in said.err
    repo.plan(shell_plan({"a": writing("mine")}, extra='owns = ["mine"]') + '[hooks]\nowns = "warn"\n')
    said = repo.br3("run", "--trust", code=None)
    assert "a: changed outside what it owns: strange" in said.err


def test_what_a_build_leaves_that_is_gone_from_the_plan_can_be_cleaned_up(repo: Scratch) -> None:
    repo.plan(shell_plan({"old": writing("o"), "kept": writing("k")}))
    repo.br3("run", "--trust")
    repo.plan(shell_plan({"kept": writing("k")}))
    repo.br3("run", "--trust")
    assert "old: gone from the plan" in repo.br3("status").out
    assert "1 commit on build/old not landed" in repo.br3("clean", code=3).err
    repo.br3("clean", "--force", "OLD")  # as everywhere, case does not matter
    assert repo.git("branch", "--list", "build/old") == ""
    assert "gone from the plan" not in repo.br3("status").out


def test_finish_can_leave_a_failed_build_out(repo: Scratch) -> None:
    repo.plan(shell_plan({"good": writing("a"), "bad": "exit 1"}) + '[release]\ntag = "v1"\n')
    repo.br3("run", "--trust", code=1)
    assert "leave them out: br3 finish good" in repo.br3("finish", code=1).err
    repo.br3("finish", "good")
    assert repo.head("v1^{commit}") == repo.head()


def test_a_build_that_is_in_the_file_but_not_in_the_run_is_explained(repo: Scratch) -> None:
    repo.plan(shell_plan({"a": writing("a")}))
    repo.br3("up", "--trust")
    repo.plan(shell_plan({"a": writing("a"), "new": writing("n")}))
    said = repo.br3("prompt", "new", code=2)
    assert "br3.toml has changed: br3 run takes it up" in said.err


def test_what_an_agent_printed_as_its_error_is_shown(repo: Scratch) -> None:
    repo.plan(shell_plan({"a": "echo working; echo BOOM >&2; exit 3"}))
    said = repo.br3("run", "--trust", "--retries", "0", code=1)
    assert "    working\n    BOOM\n" in said.err
    assert "stderr.log" in said.err
    assert "BOOM" in repo.br3("logs", "a").out


def test_where_br3_lies_does_not_reach_the_project_s_own_imports(repo: Scratch) -> None:
    repo.plan(shell_plan({"a": f'test -z "$PYTHONPATH" && {writing("a")}'}, verify='test -z "$PYTHONPATH"'))
    repo.br3("run", "--trust")


def test_the_user_s_own_python_path_is_kept(repo: Scratch) -> None:
    repo.plan(shell_plan({"a": writing("a")}, verify='test "$PYTHONPATH" = /some/where'))
    repo.br3("run", "--trust", env={"PYTHONPATH": "/some/where"})
