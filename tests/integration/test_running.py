"""``br3 run``: orchestrators, agents, verification and repair, with real processes."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import psutil
import pytest

from tests.conftest import PYTHON, Scratch, kill_all, processes_with, script, shell_plan, toml, until, words_of, writing
from tests.integration.test_trust import on_a_terminal

SLEEP = f"{PYTHON} -c 'import time; time.sleep(600)'"


def test_a_run_makes_commits_with_trailers_and_verifies(repo: Scratch) -> None:
    repo.plan(shell_plan({"a": writing("a.txt"), "b": writing("b.txt")}))
    said = repo.br3("run", "--trust")
    assert "both builds are verified" in said.out
    status = repo.status()
    assert status["state"] == "completed"
    assert all(b["verified"] and not b["landed"] for b in status["builds"].values())
    trailers = repo.git("log", "-1", "--format=%(trailers)", "build/a").splitlines()
    assert trailers[:3] == [f"Br3-Run: {status['run']}", "Br3-Build: a", "Br3-Task: 1"]
    assert repo.git("ls-tree", "--name-only", "build/a").splitlines() == ["README.md", "a.txt", "br3.toml"]
    assert repo.head() == repo.git("merge-base", "main", "build/a")


def test_a_failing_build_ends_with_1_and_says_command_output_and_log(repo: Scratch) -> None:
    plan = shell_plan(
        {"good": writing("a.txt"), "bad": writing("b.txt")}, verify="test -e a.txt || (echo BROKEN; exit 9)"
    )
    repo.plan(plan)
    said = repo.br3("run", "--trust", code=1)
    assert "`test -e a.txt || (echo BROKEN; exit 9)` ended with exit code 9" in said.err
    assert "    BROKEN" in said.err
    log = next(line for line in said.err.splitlines() if line.startswith("log: ")).removeprefix("log: ")
    assert Path(log).read_text() == "BROKEN\n"
    builds = repo.status()["builds"]
    assert (builds["good"]["verified"], builds["bad"]["verified"]) == (True, False)
    assert builds["bad"]["state"] == "failed"
    repo.write("a.txt", "x\n", root=repo.worktree("bad"))
    repo.commit("by hand", cwd=repo.worktree("bad"))
    assert "\nbad: `test -e" in repo.br3("status").out
    repo.br3("verify", cwd=repo.worktree("bad"))
    assert "\nbad: " not in repo.br3("status").out


def test_a_failed_verification_is_repaired_with_its_output_in_the_prompt(repo: Scratch, tmp_path: Path) -> None:
    agent = script(
        tmp_path / "tools",
        "agent.py",
        "import os, sys\n"
        "prompt = sys.stdin.read()\n"
        "assert prompt == open(os.environ['BR3_PROMPT_FILE']).read()\n"
        "if os.environ['BR3_TASK'] == 'repair':\n"
        "    assert 'expected good, got bad' in prompt, prompt\n"
        "    open('value', 'w').write('good')\n"
        "else:\n"
        "    open('value', 'w').write('bad')\n",
    )
    check = script(
        tmp_path / "tools",
        "check.py",
        "value = open('value').read()\nassert value == 'good', f'expected good, got {value}'\n",
    )
    repo.plan(shell_plan({"a": agent}, verify=check))
    repo.br3("run", "--trust")
    tasks = {t["id"]: t for t in repo.status()["builds"]["a"]["tasks"]}
    assert (tasks["1"]["state"], tasks["repair"]["state"]) == ("completed", "completed")
    assert [e.kind for e in repo.events("quality.failed", "quality.passed")] == ["quality.failed", "quality.passed"]
    assert repo.git("log", "--format=%s", "main..build/a").splitlines() == [
        "a: mend what the verification found",
        "a: a",
    ]


def test_repairs_end_with_the_retries(repo: Scratch) -> None:
    agent = f"echo $BR3_TASK $BR3_ATTEMPT >> tries; {writing('x')}"
    repo.plan(shell_plan({"a": agent}, verify="false"))
    repo.br3("run", "--trust", "--retries", "2", code=1)
    assert (repo.worktree("a") / "tries").read_text().splitlines() == ["1 1", "repair 1", "repair 2"]
    assert repo.events("build.failed")[0].data["cause"] == "verification"


def test_a_failing_agent_is_tried_again_and_told_what_went_wrong(repo: Scratch, tmp_path: Path) -> None:
    agent = script(
        tmp_path / "tools",
        "agent.py",
        "import os, sys\n"
        "if os.environ['BR3_ATTEMPT'] == '1':\n"
        "    print('the disk is on fire'); sys.exit(3)\n"
        "assert 'the disk is on fire' in sys.stdin.read()\n"
        "open('done', 'w').close()\n",
    )
    repo.plan(shell_plan({"a": agent}))
    repo.br3("run", "--trust")
    assert [e.data["cause"] for e in repo.events("attempt.finished")] == ["crash", None]


@pytest.mark.parametrize(
    ("command", "cause"),
    [
        ("true", "no_change"),
        ("git checkout -q -b rogue && echo x > x && git add x && git commit -qm x", "wrong_branch"),
        ("exit 4", "crash"),
        (SLEEP, "timeout"),
    ],
)
def test_what_an_agent_claims_is_held_against_git(repo: Scratch, command: str, cause: str) -> None:
    repo.plan(shell_plan({"a": command}, extra='timeout = "1s"' if cause == "timeout" else ""))
    repo.br3("run", "--trust", "--retries", "0", code=1)
    assert [e.data["cause"] for e in repo.events("attempt.finished")] == [cause]
    assert repo.events("build.failed")[0].data["cause"] == cause
    assert not repo.status()["builds"]["a"]["verified"]


def test_an_agent_s_own_commits_count(repo: Scratch) -> None:
    repo.plan(shell_plan({"a": f"{writing('x')} && git add x && git commit -qm 'by the agent'"}))
    repo.br3("run", "--trust")
    assert repo.git("log", "--format=%s", "main..build/a") == "by the agent"


def test_an_agent_sees_its_facts_and_no_foreign_secrets(repo: Scratch, tmp_path: Path) -> None:
    agent = script(
        tmp_path / "tools", "agent.py", "import json, os\njson.dump(dict(os.environ), open('env.json', 'w'))\n"
    )
    repo.plan(shell_plan({"a": agent}, extra='env = ["WANTED"]'))
    secrets = {"AWS_SECRET_ACCESS_KEY": "s3cret", "GITHUB_TOKEN": "t0ken", "WANTED": "yes", "BR3_TRUST": "1"}
    repo.br3("run", env=secrets)
    seen = json.loads(repo.git("show", "build/a:env.json"))
    assert not seen.keys() & {"AWS_SECRET_ACCESS_KEY", "GITHUB_TOKEN", "BR3_TRUST", "GIT_DIR"}
    assert seen["WANTED"] == "yes"
    facts = {k: v for k, v in seen.items() if k.startswith("BR3_") and k != "BR3_MARK"}
    assert facts.keys() == {
        "BR3_RUN",
        "BR3_BUILD",
        "BR3_TASK",
        "BR3_ATTEMPT",
        "BR3_WORKTREE",
        "BR3_BASE",
        "BR3_PROMPT_FILE",
        "BR3_USAGE_FILE",
        "BR3_PORT",
    }
    assert (facts["BR3_BUILD"], facts["BR3_TASK"], facts["BR3_ATTEMPT"]) == ("a", "1", "1")
    assert facts["BR3_WORKTREE"] == str(repo.worktree("a"))


def test_usage_that_an_agent_reports_is_recorded_exactly(repo: Scratch) -> None:
    line = '{"model": "m-1", "input_tokens": 100, "output_tokens": 20, "cost_usd": "0.0123"}'
    torn = '{"model": "m-1", "input_'
    agent = f"printf '%s\\n%s\\nnot json\\n%s' '{line}' '{line}' '{torn}' >> $BR3_USAGE_FILE; {writing('x')}"
    repo.plan(shell_plan({"a": agent, "b": writing("y")}))
    repo.br3("run", "--trust")
    builds = repo.status()["builds"]
    assert (builds["a"]["cost_usd"], builds["a"]["tokens"]) == ("0.0246", 240)
    assert (builds["b"]["cost_usd"], builds["b"]["tokens"]) == (None, None)


def test_over_budget_the_agent_is_stopped_and_its_work_kept(repo: Scratch, tracked: str) -> None:
    agent = f"""{writing("x")}; echo '{{"cost_usd": "0.30"}}' >> $BR3_USAGE_FILE; {SLEEP}"""
    repo.plan(shell_plan({"a": agent}, extra="budget_usd = 0.25"))
    said = repo.br3("run", "--trust", code=4)
    assert "budget" in said.err
    assert repo.git("show", "build/a:x") == "x"
    assert repo.events("budget.exceeded")[0].data["scope"] == "build"
    assert repo.status()["builds"]["a"]["state"] == "failed"


def test_the_run_s_budget_holds_for_all_its_builds(repo: Scratch) -> None:
    agent = f"""{writing("x")}; echo '{{"cost_usd": "0.30"}}' >> $BR3_USAGE_FILE"""
    repo.plan(shell_plan({"a": agent, "b": agent}, head="budget_usd = 0.20\njobs = 1"))
    repo.br3("run", "--trust", code=4)
    started = [e.build for e in repo.events("attempt.started")]
    assert started == ["a"]


def test_tasks_are_done_in_order_with_a_commit_each(repo: Scratch) -> None:
    plan = '[plan]\nname = "t"\n[verify]\nrun = ["true"]\n[[build]]\nid = "a"\nagent = "shell"\n'
    plan += f"command = {toml('echo $BR3_TASK >> order')}\n"
    plan += "".join(f'[[build.task]]\nid = "T.{n}"\ntitle = "Step {n}"\n' for n in (1, 2, 3))
    repo.plan(plan)
    repo.br3("run", "--trust")
    assert repo.git("show", "build/a:order").split() == ["T.1", "T.2", "T.3"]
    assert repo.git("log", "--format=%s", "--reverse", "main..build/a").splitlines() == [
        "a: Step 1",
        "a: Step 2",
        "a: Step 3",
    ]


def test_a_build_starts_from_what_it_needs(repo: Scratch) -> None:
    plan = shell_plan({"a": writing("a.txt"), "b": writing("b.txt")})
    command = "test -e a.txt && test -e b.txt && " + writing("c.txt")
    plan += f'[[build]]\nid = "c"\nneeds = ["a", "b"]\ncommand = {toml(command)}\n'
    repo.plan(plan)
    repo.br3("run", "--trust")
    start = repo.events("build.started")[-1].data["start"]
    assert set(repo.git("log", "--format=%P", "-1", start).split()) == {repo.head("build/a"), repo.head("build/b")}


def test_what_needs_a_failed_build_is_skipped_with_the_reason(repo: Scratch) -> None:
    plan = shell_plan({"a": "exit 1", "other": writing("o.txt")})
    plan += f'[[build]]\nid = "b"\nneeds = ["a"]\ncommand = {toml(writing("b.txt"))}\n'
    plan += f'[[build]]\nid = "c"\nneeds = ["b"]\ncommand = {toml(writing("c.txt"))}\n'
    repo.plan(plan)
    said = repo.br3("run", "--trust", code=1)
    builds = repo.status()["builds"]
    assert {b: builds[b]["state"] for b in builds} == {
        "a": "failed",
        "other": "verified",
        "b": "skipped",
        "c": "skipped",
    }
    assert builds["b"]["reason"] == "it needs a, which is failed"
    assert "it needs a, which is failed" in said.err
    assert not repo.worktree("b").exists()


def test_needs_that_do_not_merge_skip_the_build_with_the_files(repo: Scratch) -> None:
    plan = shell_plan({"a": writing("same", "one"), "b": writing("same", "two")})
    plan += f'[[build]]\nid = "c"\nneeds = ["a", "b"]\ncommand = {toml(writing("c.txt"))}\n'
    repo.plan(plan)
    repo.br3("run", "--trust", code=1)
    assert repo.events("build.skipped")[0].data["files"] == ["same"]


def test_at_most_jobs_builds_are_at_work(repo: Scratch, tmp_path: Path) -> None:
    counter = script(
        tmp_path / "tools",
        "agent.py",
        "import os, pathlib, time\n"
        "here = pathlib.Path(os.environ['BR3_WORKTREE']).parent / 'at-work'\n"
        "here.mkdir(exist_ok=True)\n"
        "mine = here / os.environ['BR3_BUILD']\n"
        "mine.touch(); time.sleep(0.3); seen = len(list(here.iterdir())); mine.unlink()\n"
        "open('seen', 'w').write(str(seen))\n",
    )
    repo.plan(shell_plan(dict.fromkeys("abcde", counter), head="jobs = 2"))
    repo.br3("run", "--trust")
    assert max(int(repo.git("show", f"build/{b}:seen")) for b in "abcde") <= 2


def test_some_builds_of_the_plan_can_be_run(repo: Scratch) -> None:
    repo.plan(shell_plan({"a": writing("a"), "b": writing("b")}))
    repo.br3("run", "--trust", "b")
    assert not repo.worktree("a").exists()
    repo.br3("run")
    assert [e.build for e in repo.events("attempt.started")] == ["b", "a"]
    assert all(b["verified"] for b in repo.status()["builds"].values())


def test_a_second_run_of_a_finished_plan_does_nothing(repo: Scratch) -> None:
    repo.plan(shell_plan({"a": writing("a")}))
    repo.br3("run", "--trust")
    before = len(repo.events())
    assert "the build is verified" in repo.br3("run").out
    assert len(repo.events()) == before


def test_a_mended_plan_goes_on_without_repeating_completed_tasks(repo: Scratch) -> None:
    plan = '[plan]\nname = "t"\n[verify]\nrun = ["true"]\n[[build]]\nid = "a"\nagent = "shell"\nretries = 0\n'
    plan += f'[[build.task]]\nid = "1"\ncommand = {toml("echo one >> done")}\n'
    plan += f'[[build.task]]\nid = "2"\ncommand = {toml("exit 1")}\n'
    repo.plan(plan)
    repo.br3("run", "--trust", code=1)
    repo.plan(plan.replace("exit 1", "echo two >> done"))
    said = repo.br3("run", "--trust")
    assert "the plan has changed since run" in said.err and "task 2: command" in said.err
    assert repo.git("show", "build/a:done").split() == ["one", "two"]
    assert [e.task for e in repo.events("task.carried")] == ["1"]


def test_a_changed_task_is_done_again(repo: Scratch) -> None:
    plan = shell_plan({"a": "echo one >> done"})
    repo.plan(plan)
    repo.br3("run", "--trust")
    repo.plan(plan.replace("echo one", "echo other"))
    repo.br3("run", "--trust")
    assert repo.git("show", "build/a:done").split() == ["one", "other"]


def kill_hard(process: object) -> None:
    assert hasattr(process, "send_signal") and hasattr(process, "communicate")
    process.send_signal(signal.SIGKILL)
    process.communicate()


def orchestrators(repo: Scratch) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        words = words_of(process)
        if "br3.orchestrator" in words and str(repo.common_dir) in words:
            found.append(process)
    return found


COUNTING = "echo $BR3_TASK >> ../count-$BR3_BUILD; until test -e ../go; do {wait}; done; " + writing("work")


def counting_agent(tmp_path: Path) -> str:
    wait = script(tmp_path / "tools", "wait.py", "import time; time.sleep(0.05)\n")
    return COUNTING.format(wait=wait)


def test_kill_9_of_the_dispatcher_loses_nothing_and_repeats_nothing(
    repo: Scratch, tmp_path: Path, tracked: str
) -> None:
    repo.plan(shell_plan(dict.fromkeys("abcd", counting_agent(tmp_path))))
    process = repo.start("run", "--trust")
    until(lambda: len(repo.events("attempt.started")) == 4)
    reported = {(e.segment, e.offset) for e in repo.events()}
    kill_hard(process)
    assert reported <= {(e.segment, e.offset) for e in repo.events()}
    status = repo.status()
    assert status["state"] == "running"
    assert all(b["state"] == "running" and b["alive"] for b in status["builds"].values())
    assert "without a dispatcher" in repo.br3("status").out
    again = repo.start("run")
    until(lambda: repo.events("run.attached"))
    (repo.worktree("a").parent / "go").touch()
    out, err = again.communicate()
    assert again.returncode == 0, out + err
    assert len(repo.events("run.created")) == 1
    for build in "abcd":
        assert (repo.worktree("a").parent / f"count-{build}").read_text() == "1\n"
    assert repo.status()["state"] == "completed"


def test_an_agent_whose_orchestrator_was_killed_is_adopted_not_paid_twice(
    repo: Scratch, tmp_path: Path, tracked: str
) -> None:
    repo.plan(shell_plan({"a": counting_agent(tmp_path)}))
    process = repo.start("run", "--trust")
    until(lambda: (repo.worktree("a").parent / "count-a").exists())
    (orchestrator,) = until(lambda: orchestrators(repo))
    orchestrator.kill()
    until(lambda: repo.events("build.resumed"))
    (repo.worktree("a").parent / "go").touch()
    out, err = process.communicate()
    assert process.returncode == 0, out + err
    assert (repo.worktree("a").parent / "count-a").read_text() == "1\n"
    assert len(repo.events("attempt.started")) == len(repo.events("attempt.finished")) == 1


def test_an_agent_that_ended_while_nobody_watched_is_not_repeated(repo: Scratch, tmp_path: Path, tracked: str) -> None:
    repo.plan(shell_plan({"a": counting_agent(tmp_path)}))
    process = repo.start("run", "--trust")
    until(lambda: (repo.worktree("a").parent / "count-a").exists())
    kill_hard(process)
    for orchestrator in orchestrators(repo):
        orchestrator.kill()
    status = repo.status()["builds"]["a"]
    assert (status["state"], status["alive"]) == ("running", False)
    assert "interrupted" in repo.br3("status").out
    (repo.worktree("a").parent / "go").touch()
    attempt = Path(repo.events("attempt.started")[0].data["directory"])
    until(lambda: (attempt / "exit").exists())
    repo.br3("run")
    assert (repo.worktree("a").parent / "count-a").read_text() == "1\n"
    assert repo.git("show", "build/a:work") == "x"


def test_everything_killed_at_once_goes_on_with_a_new_attempt(repo: Scratch, tmp_path: Path, tracked: str) -> None:
    repo.plan(shell_plan({"a": counting_agent(tmp_path)}))
    process = repo.start("run", "--trust")
    until(lambda: (repo.worktree("a").parent / "count-a").exists())
    kill_hard(process)
    kill_all(tracked)
    (repo.worktree("a").parent / "go").touch()
    repo.br3("run")
    assert [e.data["cause"] for e in repo.events("attempt.finished")] == ["interrupted", None]


def test_a_crash_between_the_end_of_an_attempt_and_its_commit_only_repeats_the_commit(
    repo: Scratch, monkeypatch, tmp_path: Path
) -> None:
    from br3.orchestrator import attempting, building

    repo.plan(shell_plan({"a": "echo once >> work"}))
    repo.br3("up", "--trust")
    run = repo.events("run.created")[0].run
    assert run
    repo.common_dir.joinpath("br3", "excludes").touch()

    def die(*_: object) -> None:
        raise SystemExit("as if killed")

    monkeypatch.setattr(building, "commit", die)
    with pytest.raises(SystemExit):
        building.orchestrate(repo.common_dir, run, "a")
    assert repo.head("build/a") == repo.head()
    monkeypatch.setattr(building, "commit", attempting.commit)
    assert building.orchestrate(repo.common_dir, run, "a") == 0
    assert repo.git("show", "build/a:work") == "once"
    assert len(repo.events("attempt.started")) == 1


@pytest.mark.parametrize("how", ["setsid", "nohup"])
def test_ctrl_c_ends_everything_that_was_started(repo: Scratch, tmp_path: Path, tracked: str, how: str) -> None:
    source = (
        "import os, signal, sys, time\n"
        "if sys.argv[1] == 'setsid':\n"
        "    if os.fork() == 0:\n"
        "        os.setsid()\n"
        "        if os.fork(): os._exit(0)\n"
        "        time.sleep(600)\n"
        "else:\n"
        "    if os.fork() == 0:\n"
        "        signal.signal(signal.SIGHUP, signal.SIG_IGN); signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "        time.sleep(600)\n"
        "open('partial', 'w').close()\n"
        "time.sleep(600)\n"
    )
    agent = script(tmp_path / "tools", "agent.py", source)
    repo.plan(shell_plan({"a": f"{agent} {how}", "b": f"{agent} {how}"}))
    process = repo.start("run", "--trust")
    until(lambda: all((repo.worktree(b) / "partial").exists() for b in "ab"))
    process.send_signal(signal.SIGINT)
    out, err = process.communicate()
    assert process.returncode == 130, out + err
    until(lambda: not processes_with(tracked))
    assert (repo.worktree("a") / "partial").exists()
    status = repo.status()
    assert status["state"] == "cancelled"
    assert {b["state"] for b in status["builds"].values()} == {"cancelled"}


def test_a_cancelled_run_goes_on_with_the_same_command(repo: Scratch, tmp_path: Path, tracked: str) -> None:
    plan = '[plan]\nname = "t"\n[verify]\nrun = ["true"]\n[[build]]\nid = "a"\nagent = "shell"\n'
    plan += f'[[build.task]]\nid = "1"\ncommand = {toml("echo one >> done")}\n'
    plan += f'[[build.task]]\nid = "2"\ncommand = {toml(f"test -e ../go || {SLEEP}; echo two >> done")}\n'
    repo.plan(plan)
    process = repo.start("run", "--trust")
    until(lambda: len(repo.events("attempt.started")) == 2)
    process.send_signal(signal.SIGTERM)
    process.communicate()
    assert process.returncode == 130
    (repo.worktree("a").parent / "go").touch()
    repo.br3("run")
    assert repo.git("show", "build/a:done").split() == ["one", "two"]


def test_what_an_agent_leaves_running_is_ended_after_a_normal_exit_too(repo: Scratch, tracked: str) -> None:
    left = f"{PYTHON} -c 'import os, time; os.setsid() if os.fork() == 0 else os._exit(0); time.sleep(600)'"
    repo.plan(shell_plan({"a": f"{left} > /dev/null 2>&1; {writing('x')}"}))
    repo.br3("run", "--trust")
    assert processes_with(tracked) == []


def test_two_dispatchers_do_not_work_on_one_run(repo: Scratch, tmp_path: Path, tracked: str) -> None:
    repo.plan(shell_plan({"a": counting_agent(tmp_path)}))
    process = repo.start("run", "--trust")
    until(lambda: repo.events("attempt.started"))
    said = repo.br3("run", code=3)
    assert f"by process {process.pid}" in said.err
    (repo.worktree("a").parent / "go").touch()
    process.communicate()
    assert process.returncode == 0


def test_a_package_called_br3_in_the_worktree_is_not_imported(repo: Scratch) -> None:
    repo.write("br3/__init__.py", "raise SystemExit('the wrong br3')\n")
    repo.write("json.py", "raise SystemExit('the wrong json')\n")
    repo.plan(shell_plan({"a": writing("a.txt")}))
    repo.br3("run", "--trust")


def test_keys_of_the_env_file_reach_the_agent_that_asks_and_nobody_else(repo: Scratch) -> None:
    repo.write(".gitignore", ".env\n")
    seen = 'printf "%s" "$MY_KEY" > seen'
    plan = shell_plan({"a": seen}, extra='env = ["MY_KEY"]', verify='test -z "$MY_KEY"')
    repo.plan(plan)
    repo.write(".env", "MY_KEY=from-the-file\nOTHER=x\n")
    repo.br3("run", "--trust")
    assert repo.git("show", "build/a:seen") == "from-the-file"


def test_a_manual_build_is_prepared_and_waits_for_a_person(repo: Scratch) -> None:
    plan = '[plan]\nname = "t"\n[[build]]\nid = "a"\nagent = "manual"\nprompt = "Do it by hand."\n'
    plan += '[build.verify]\nrun = ["test -e work"]\n'
    repo.plan(plan)
    said = repo.br3("run", "--trust")
    assert "for you to do: a" in said.out
    assert "Do it by hand." in repo.br3("prompt", "a").out
    repo.write("work", "x", root=repo.worktree("a"))
    assert "uncommitted changes: work" in repo.br3("verify", "a", code=1).out
    repo.commit("by hand", cwd=repo.worktree("a"))
    assert "✓ verified" in repo.br3("verify", "a").out
    assert repo.status()["builds"]["a"]["state"] == "verified"
    assert repo.br3("merge", "--json").json["landed"] == ["a"]


def test_the_agent_s_report_and_its_logs_are_shown(repo: Scratch) -> None:
    repo.plan(shell_plan({"a": f"{writing('x')}; echo 'I wrote x.'; echo trouble >&2"}))
    repo.br3("run", "--trust")
    detail = repo.br3("status", "a").out
    assert "what its agent reported\n    I wrote x." in detail
    assert "a: a  (1 file, +1 −0)" in detail
    logs = repo.br3("logs", "a").out
    assert "I wrote x." in logs and "trouble" in logs


def test_logs_on_a_terminal_have_colours_and_move_no_cursor(repo: Scratch) -> None:
    said = r"\033[31mred\033[0m\033[2J \033]0;title\007\033(Bone\rtwo\n"
    repo.plan(shell_plan({"a": f"{writing('x')}; printf '{said}'"}))
    repo.br3("run", "--trust")
    _, shown = on_a_terminal(repo, b"", "logs", "a")
    assert "\x1b[31mred\x1b[0m one two\x1b[0m\r\n" in shown and "title" not in shown
    _, raw = on_a_terminal(repo, b"", "logs", "a", "--raw")
    assert "\x1b[2J \x1b]0;title\x07" in raw, "as it was written"


def test_logs_can_be_followed_to_the_end(repo: Scratch, tmp_path: Path, tracked: str) -> None:
    repo.plan(shell_plan({"a": f"echo begun; {counting_agent(tmp_path)}; echo ended"}))
    process = repo.start("run", "--trust")
    until(lambda: repo.events("attempt.started"))
    follower = repo.start("logs", "-f", "a")
    (repo.worktree("a").parent / "go").touch()
    process.communicate()
    out, _ = follower.communicate()
    assert out.index("begun") < out.index("ended")
