"""Detached runs, and what is asked of runs while they go on: real processes, nothing but files and signals between."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from br3.dispatch import controlling
from br3.dispatch.executors.local import Handle
from br3.orchestrator import control
from br3.orchestrator.control import Request
from br3.orchestrator.exits import BUSY
from br3.repo.worktrees import discover
from br3.telemetry import Lock, is_held
from br3.telemetry.locks import holder
from tests.conftest import Scratch, kill_all, processes_with, script, shell_plan, toml, until, words_of, writing

pytestmark = pytest.mark.usefixtures("tracked")


def plan_of(builds: dict[str, dict[str, str]], *, head: str = "", extra: str = "") -> str:
    """A plan of shell builds: id → task → command."""
    text = f'[plan]\nname = "t"\n{head}\n[setup]\n[verify]\nrun = ["true"]\n[defaults]\nagent = "shell"\nretries = 0\n'
    for build, tasks in builds.items():
        text += f'[[build]]\nid = "{build}"\n{extra}\n'
        for task, command in tasks.items():
            text += f'[[build.task]]\nid = "{task}"\ncommand = {toml(command)}\n'
    return text


@pytest.fixture
def waiting(tmp_path: Path) -> str:
    """A command that notes that it began, as ``../begun-BUILD-TASK``, and ends when ``../go`` or ``../go-TASK`` is."""
    source = (
        "import os, time\n"
        "name = os.environ['BR3_BUILD'] + '-' + os.environ['BR3_TASK']\n"
        "open('../begun-' + name, 'a').write('x')\n"
        "while not (os.path.exists('../go') or os.path.exists('../go-' + os.environ['BR3_TASK'])):\n"
        "    time.sleep(0.02)\n"
    )
    return script(tmp_path / "tools", "wait.py", source)


def beside(repo: Scratch, name: str) -> Path:
    return repo.worktree(name)


def begun(repo: Scratch, name: str) -> Any:
    return until(lambda: beside(repo, f"begun-{name}").exists())


def go(repo: Scratch, task: str | None = None) -> None:
    beside(repo, f"go-{task}" if task else "go").touch()


def detached(repo: Scratch, *words: str) -> str:
    """Start a run that nobody watches; its id."""
    return repo.br3("run", "--trust", "--detach", *words).out.strip()


def ended(repo: Scratch, run: str) -> Any:
    return until(lambda: [e for e in repo.events("run.completed", "run.failed", "run.cancelled") if e.run == run])


def dispatcher(repo: Scratch, run: str) -> psutil.Process:
    pid = holder(repo.common_dir, "run", run)
    assert pid is not None
    return psutil.Process(pid)


def lines(repo: Scratch, build: str, name: str = "done") -> list[str]:
    return repo.git("show", f"build/{build}:{name}").split()


# -- detached --------------------------------------------------------------------------------------------------------


def test_a_detached_run_goes_on_by_itself_and_attach_ends_with_its_exit_code(repo: Scratch, waiting: str) -> None:
    repo.plan(plan_of({"a": {"1": f"{waiting}; {writing('x')}"}, "b": {"1": "exit 3"}}))
    run = detached(repo)
    begun(repo, "a-1")
    assert os.getsid(dispatcher(repo, run).pid) == dispatcher(repo, run).pid
    follower = repo.start("attach")
    go(repo)
    out, err = follower.communicate()
    assert follower.returncode == 1, out + err
    assert "a      verified" in out and "1 of 2 builds verified; br3 logs b shows why, br3 run tries it again" in err
    assert "verified" in (repo.common_dir / "br3" / "runs" / run / "dispatcher.log").read_text()


def test_ctrl_c_in_attach_ends_the_following_and_not_the_run(repo: Scratch, waiting: str) -> None:
    repo.plan(plan_of({"a": {"1": f"{waiting}; {writing('x')}"}}))
    run = detached(repo)
    begun(repo, "a-1")
    follower = repo.start("attach", run[:15])
    until(lambda: follower.stderr and "running" in follower.stderr.readline())
    follower.send_signal(signal.SIGINT)
    out, err = follower.communicate()
    assert (follower.returncode, f"run {run} goes on" in err) == (0, True), out + err
    assert repo.status()["state"] == "running"
    go(repo)
    assert ended(repo, run)[0].kind == "run.completed"


def test_what_stands_in_the_way_of_a_run_is_told_before_it_detaches(repo: Scratch) -> None:
    repo.plan(shell_plan({"a": writing("x")}))
    said = repo.br3("run", "--detach", code=3)
    assert "approved" in said.err
    assert not repo.events("run.created")


def test_attach_says_when_nobody_is_at_work(repo: Scratch, tmp_path: Path, tracked: str, waiting: str) -> None:
    repo.plan(plan_of({"a": {"1": waiting}}))
    detached(repo)
    begun(repo, "a-1")
    kill_all(tracked)
    assert "nobody is at work" in repo.br3("attach", code=1).err
    assert repo.br3("runs", "--json").json["runs"][0]["state"] == "interrupted"


def test_the_history_shows_each_run_with_its_state_builds_and_cost(repo: Scratch) -> None:
    usage = """echo '{"model": "m-1", "input_tokens": 1, "output_tokens": 2, "cost_usd": "0.25"}' >> $BR3_USAGE_FILE"""
    repo.plan(plan_of({"a": {"1": f"{usage}; {writing('x')}"}}))
    repo.br3("run", "--trust")
    repo.plan(plan_of({"a": {"1": f"{usage}; {writing('x')}"}, "b": {"1": "exit 1"}}))
    repo.br3("run", "--trust", code=1)
    newest, oldest = repo.br3("runs", "--json").json["runs"]
    assert (oldest["state"], oldest["cost_usd"], oldest["verified"]) == ("completed", "0.25", 1)
    assert (newest["state"], newest["continues"], newest["verified"]) == ("failed", oldest["run"], 1)
    assert "0.25 USD" in repo.br3("runs").out
    assert repo.br3("status", oldest["run"][:20], "--json").json["run"] == oldest["run"]


def test_status_is_shown_again_as_it_changes_until_the_run_has_ended(repo: Scratch, waiting: str) -> None:
    repo.plan(plan_of({"a": {"1": f"{waiting}; {writing('x')}"}}))
    detached(repo)
    begun(repo, "a-1")
    watching = repo.start("status", "--watch")
    assert watching.stdout is not None
    until(lambda: "running" in watching.stdout.readline())
    go(repo)
    out, err = watching.communicate()
    assert watching.returncode == 0, err
    assert "verified" in out


# -- pause and resume ------------------------------------------------------------------------------------------------


def test_a_paused_build_rests_after_the_attempt_at_hand(repo: Scratch, waiting: str) -> None:
    repo.plan(plan_of({"a": {"1": f"{waiting}; echo 1 >> done", "2": "echo 2 >> done"}}))
    run = detached(repo)
    begun(repo, "a-1")
    assert "rests after the attempt at hand" in repo.br3("pause", "a").out
    assert "asked before" in repo.br3("pause", "a").out
    go(repo)
    until(lambda: repo.events("build.paused"))
    assert [e.task for e in repo.events("task.completed")] == ["1"]
    assert "paused" in repo.br3("status").out
    repo.br3("resume", "a")
    assert ended(repo, run)[0].kind == "run.completed"
    assert [e.kind for e in repo.events("build.paused", "build.continued")] == ["build.paused", "build.continued"]
    assert lines(repo, "a") == ["1", "2"]
    assert len(repo.events("control.asked")) == 2


def test_paused_now_an_agent_stands_still_and_so_do_its_time_outs(repo: Scratch, tmp_path: Path) -> None:
    source = (
        "import os, time\n"
        "open('../begun-a-1', 'w')\n"
        "while not os.path.exists('../go'):\n"
        "    time.sleep(0.1)\n"
        "    print('.', flush=True)\n"
    )
    command = script(tmp_path / "tools", "busy.py", source)
    repo.plan(plan_of({"a": {"1": f"{command}; {writing('x')}"}}, extra='timeout = "4s"\nsilence = "4s"'))
    run = detached(repo)
    begun(repo, "a-1")
    repo.br3("pause", "--now")
    until(lambda: [e for e in repo.events("build.paused") if e.data["now"]])
    agents = [p for p in psutil.process_iter() if str(tmp_path / "tools" / "busy.py") in " ".join(words_of(p))]
    assert {p.status() for p in agents} == {psutil.STATUS_STOPPED}
    until(lambda: repo.events("run.paused"))
    assert repo.status()["state"] == "paused"
    # Longer than both, and no process of the build's moves meanwhile.
    since = repo.events("build.paused")[0]
    until(lambda: _age_s(since) > 5)
    assert not repo.events("attempt.finished")
    go(repo)
    repo.br3("resume")
    assert ended(repo, run)[0].kind == "run.completed"
    assert [e.data["cause"] for e in repo.events("attempt.finished")] == [None]
    assert [e.kind for e in repo.events("run.paused", "run.resumed")] == ["run.paused", "run.resumed"]


def _age_s(event: Any) -> float:
    from datetime import UTC, datetime

    return (datetime.now(UTC) - datetime.fromisoformat(event.ts)).total_seconds()


def test_an_agent_that_was_stopped_goes_on_with_another_orchestrator_once_the_pause_is_taken_back(
    repo: Scratch, waiting: str
) -> None:
    repo.plan(plan_of({"a": {"1": f"{waiting}; {writing('x')}"}}))
    run = detached(repo)
    begun(repo, "a-1")
    repo.br3("pause", "--now")
    until(lambda: [e for e in repo.events("build.paused") if e.data["now"]])
    for pid in (holder(repo.common_dir, "run", run), holder(repo.common_dir, "build", "a")):
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
    until(lambda: holder(repo.common_dir, "build", "a") is None)
    repo.br3("resume")
    go(repo)
    repo.br3("run")
    assert len(repo.events("attempt.started")) == 1


def test_a_pause_outlives_everything_and_the_next_run_heeds_it(repo: Scratch, tracked: str, waiting: str) -> None:
    repo.plan(plan_of({"a": {"1": f"{waiting}; echo 1 >> done", "2": "echo 2 >> done"}}))
    detached(repo)
    begun(repo, "a-1")
    repo.br3("pause")
    kill_all(tracked)
    go(repo)
    again = repo.start("run")
    until(lambda: len(repo.events("run.paused")) == 2)
    assert not repo.events("task.completed")
    assert "goes on" in repo.br3("resume").out
    out, err = again.communicate()
    assert again.returncode == 0, out + err
    assert "is paused; br3 resume lets it go on" in err
    assert lines(repo, "a") == ["1", "2"]


def test_builds_can_go_on_while_the_rest_of_the_run_is_paused(repo: Scratch, waiting: str) -> None:
    builds = {name: {"1": f"{waiting}; echo 1 >> done", "2": "echo 2 >> done"} for name in "ab"}
    repo.plan(plan_of(builds))
    run = detached(repo)
    begun(repo, "a-1"), begun(repo, "b-1")
    repo.br3("pause")
    repo.br3("resume", "b")
    go(repo)
    until(lambda: [e for e in repo.events("build.verified") if e.build == "b"])
    until(lambda: [e for e in repo.events("build.paused") if e.build == "a"])
    repo.br3("resume")
    ended(repo, run)
    assert lines(repo, "a") == lines(repo, "b") == ["1", "2"]


# -- cancel ----------------------------------------------------------------------------------------------------------


def test_one_build_is_cancelled_and_the_others_go_on(repo: Scratch, waiting: str, tracked: str) -> None:
    repo.plan(plan_of({name: {"1": f"{writing('x')}; {waiting}"} for name in "ab"}))
    run = detached(repo)
    begun(repo, "a-1"), begun(repo, "b-1")
    assert "is being stopped" in repo.br3("cancel", "a").out
    until(lambda: repo.events("build.cancelled"))
    assert (repo.worktree("a") / "x").exists()
    assert "cancelled already" in repo.br3("cancel", "a", code=3).err
    go(repo)
    assert ended(repo, run)[0].data["reason"] == "not verified: a"
    assert repo.status()["builds"]["a"]["reason"] == "cancelled by the user"
    assert not control.asked(repo.common_dir / "br3" / "runs" / run)


def test_a_build_that_has_not_begun_is_cancelled_and_what_needs_it_is_skipped(repo: Scratch, waiting: str) -> None:
    plan = plan_of({"a": {"1": f"{waiting}; {writing('x')}"}, "b": {"1": writing("y")}}, head="jobs = 1")
    plan += f'[[build]]\nid = "c"\nneeds = ["b"]\ncommand = {toml(writing("z"))}\n'
    repo.plan(plan)
    run = detached(repo)
    begun(repo, "a-1")
    assert "will not be started" in repo.br3("cancel", "b").out
    until(lambda: repo.events("build.skipped"))
    go(repo)
    ended(repo, run)
    states = {name: build["state"] for name, build in repo.status()["builds"].items()}
    assert states == {"a": "verified", "b": "cancelled", "c": "skipped"}


def test_what_is_said_of_a_cancelled_build_is_as_it_was_when_that_was_asked(
    repo: Scratch, waiting: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    repo.plan(plan_of({"a": {"1": waiting}, "b": {"1": writing("y")}}, head="jobs = 1"))
    detached(repo)
    begun(repo, "a-1")
    repository = discover(repo.path)
    asked, noting = control.ask, Lock(repo.common_dir, "build", "b")

    def ask(*words: Any) -> bool:
        noting.acquire()  # as a dispatcher that heeds it at once does, for the moment in which it writes that
        return asked(*words)

    monkeypatch.setattr(control, "ask", ask)
    [target] = controlling.targets(repository, ["b"])
    assert [said.text for said in controlling.cancel_builds(target)] == ["will not be started"]
    noting.release()
    until(lambda: repo.events("build.cancelled"))


def test_a_run_is_cancelled_with_and_without_a_dispatcher(repo: Scratch, waiting: str, tracked: str) -> None:
    repo.plan(plan_of({"a": {"1": waiting}}))
    for kill in (False, True):
        run = detached(repo)
        begun(repo, "a-1")
        beside(repo, "begun-a-1").unlink()
        if kill:
            dispatcher(repo, run).kill()
            until(lambda run=run: not is_held(repo.common_dir, "run", run))
        assert "is stopped" in repo.br3("cancel").out
        assert not [words for process in processes_with(tracked) if "wait.py" in " ".join(words := words_of(process))]
        assert repo.status()["state"] == "cancelled"
        until(lambda: not processes_with(tracked))  # a dispatcher that has given its lock back still writes its report
    assert "is cancelled already" in repo.br3("cancel", code=3).err


# -- retry and skip --------------------------------------------------------------------------------------------------


def test_a_failed_build_is_retried_while_the_run_goes_on_and_what_needs_it_too(repo: Scratch, waiting: str) -> None:
    failing = "test -e ../mended || exit 1; echo a >> done"
    plan = plan_of({"a": {"1": failing}, "b": {"1": f"{waiting}; {writing('y')}"}})
    plan += f'[[build]]\nid = "c"\nneeds = ["a"]\ncommand = {toml(writing("z"))}\n'
    repo.plan(plan)
    run = detached(repo)
    until(lambda: repo.events("build.skipped"))
    begun(repo, "b-1")
    beside(repo, "mended").touch()
    assert "begins again" in repo.br3("retry", "a", "--model", "m-9").out
    until(lambda: [e for e in repo.events("build.verified") if e.build == "c"])
    go(repo)
    assert ended(repo, run)[0].kind == "run.completed"
    assert repo.events("attempt.started")[-1].run == run
    tried = [e for e in repo.events("attempt.started") if e.build == "a"]
    assert [(e.attempt, e.data["model"]) for e in tried] == [(1, "auto"), (2, "m-9")]


def test_a_retry_from_a_task_sets_the_branch_back_and_keeps_what_comes_off(repo: Scratch) -> None:
    tasks = {str(n): f"echo {n}-$BR3_ATTEMPT >> done" for n in (1, 2, 3)}
    repo.plan(plan_of({"a": tasks}))
    repo.br3("run", "--trust")
    assert lines(repo, "a") == ["1-1", "2-1", "3-1"]
    before = repo.head("build/a")
    repo.write("left.txt", "x", root=repo.worktree("a"))
    assert "a is verified" in repo.br3("retry", "a", code=3).err
    assert "begins again at 2, with the next run: br3 run a" in repo.br3("retry", "a", "--from", "2").out
    repo.br3("run")
    assert [e.task for e in repo.events("task.carried")] == ["1"]
    assert lines(repo, "a") == ["1-1", "2-1", "3-1"]
    assert [e.task for e in repo.events("attempt.started")] == ["1", "2", "3", "2", "3"]
    kept = repo.events("build.set_back")[0].data
    assert repo.git("rev-parse", f"{kept['ref']}^") == before
    assert "left.txt" in repo.git("ls-tree", "--name-only", kept["ref"])
    assert repo.head("build/a") != before


def test_a_running_task_is_skipped_and_what_it_left_is_kept_aside(repo: Scratch, waiting: str) -> None:
    repo.plan(plan_of({"a": {"1": f"echo half > half; {waiting}", "2": "echo 2 >> done"}}))
    run = detached(repo)
    begun(repo, "a-1")
    until(lambda: (repo.worktree("a") / "half").exists())
    assert "is stopped and left out" in repo.br3("skip", "1").out
    assert ended(repo, run)[0].kind == "run.completed"
    assert repo.git("ls-tree", "--name-only", "build/a").splitlines() == ["README.md", "br3.toml", "done"]
    assert repo.git("show", f"{repo.events('attempt.salvaged')[0].data['ref']}:half") == "half"
    assert [(t["id"], t["state"]) for t in repo.status()["builds"]["a"]["tasks"]] == [
        ("1", "skipped"),
        ("2", "completed"),
    ]
    assert "skipped already" in repo.br3("skip", "a/1", code=3).err
    assert not control.asked(repo.common_dir / "br3" / "runs" / run)
    assert repo.br3("merge", "--json").json["landed"] == ["a"]
    assert repo.status()["builds"]["a"]["landed"]
    assert "has landed on main" in repo.br3("retry", "a", "--from", "2", code=3).err


def test_a_task_of_several_builds_has_to_be_named_with_its_build(repo: Scratch, waiting: str) -> None:
    repo.plan(plan_of({name: {"1": waiting, "2": "echo 2 >> done"} for name in "ab"}))
    run = detached(repo)
    begun(repo, "a-1"), begun(repo, "b-1")
    assert "a/2, b/2" in repo.br3("skip", "2", code=2).err
    repo.br3("skip", "b/2")
    repo.br3("skip", "a/1"), repo.br3("skip", "b/1")
    ended(repo, run)
    assert lines(repo, "a") == ["2"]
    assert repo.head("build/b") == repo.head()


# -- tell ------------------------------------------------------------------------------------------------------------


def test_a_note_is_told_once_and_its_secrets_are_masked_in_the_journal(repo: Scratch, waiting: str) -> None:
    prompt = f"{waiting}; cp $BR3_PROMPT_FILE prompt-$BR3_TASK"
    repo.plan(plan_of({"a": dict.fromkeys("1234", prompt)}))
    run = detached(repo)
    begun(repo, "a-1")
    token = "ghp_" + "0123456789abcdefghijklmnopqrstuvwxyz"
    repo.br3("tell", "a", f"Mind the case. {token}")
    assert "asked before" in repo.br3("tell", "a", f"Mind the case. {token}").out
    run_dir = repo.common_dir / "br3" / "runs" / run
    (request,) = (run_dir / control.DIRECTORY).iterdir()
    text = request.read_text()
    go(repo, "1")
    begun(repo, "a-2")
    go(repo, "2")
    until(lambda: not control.asked(run_dir))
    begun(repo, "a-3")
    repo.br3("tell", "a", f"Mind the case. {token}")  # somebody has to say it again
    go(repo)
    assert ended(repo, run)[0].kind == "run.completed"
    told = [task for task in "1234" if "Mind the case." in repo.git("show", f"build/a:prompt-{task}")]
    assert told == ["2", "4"]
    asked = repo.events("control.asked")
    assert len(asked) == 2
    assert all("Mind the case." in json.dumps(e.data) and token not in json.dumps(e.data) for e in asked)
    assert "verified already" in repo.br3("tell", "a", "More.", code=3).err
    request.write_text(text)  # as an orchestrator leaves it that was killed just before it removed it
    repo.br3("retry", "a", "--from", "3")
    repo.br3("run", "a")
    assert "Mind the case." not in repo.git("show", "build/a:prompt-3")


def test_a_note_is_told_again_when_the_attempt_that_was_told_it_is_cut_off(
    repo: Scratch, waiting: str, tracked: str
) -> None:
    prompt = f"{waiting}; cp $BR3_PROMPT_FILE prompt-$BR3_TASK"
    repo.plan(plan_of({"a": {"1": prompt, "2": prompt}}))
    detached(repo)
    begun(repo, "a-1")
    repo.br3("tell", "a", "Mind the case.")
    go(repo, "1")
    begun(repo, "a-2")
    kill_all(tracked)
    go(repo)
    repo.br3("run")
    assert "Mind the case." in repo.git("show", "build/a:prompt-2")
    assert [(e.task, e.attempt) for e in repo.events("attempt.started")] == [("1", 1), ("2", 1), ("2", 2)]


def test_a_retry_from_a_done_task_does_it_again_while_the_run_goes_on(repo: Scratch, waiting: str) -> None:
    two = "test -e ../mended || exit 1; echo 2-$BR3_ATTEMPT >> done"
    repo.plan(plan_of({"a": {"1": "echo 1-$BR3_ATTEMPT >> done", "2": two}, "b": {"3": f"{waiting}; {writing('y')}"}}))
    run = detached(repo)
    until(lambda: [e for e in repo.events("build.failed") if e.build == "a"])
    begun(repo, "b-3")
    beside(repo, "mended").touch()
    repo.br3("retry", "a", "--from", "1")
    until(lambda: [e for e in repo.events("build.verified", "build.failed") if e.build == "a"][1:])
    go(repo)
    ended(repo, run)
    made = [(e.task, e.attempt) for e in repo.events("attempt.started") if e.build == "a"]
    assert made == [("1", 1), ("2", 1), ("1", 2), ("2", 2)]
    assert lines(repo, "a") == ["1-2", "2-2"]


def test_a_retry_that_comes_while_the_build_begins_again_is_not_done_once_more(repo: Scratch, waiting: str) -> None:
    one = f"test -e ../mended || exit 1; {waiting}; echo 1 >> done"
    repo.plan(plan_of({"a": {"1": one}, "b": {"3": f"{waiting}; {writing('y')}"}}))
    run = detached(repo)
    until(lambda: [e for e in repo.events("build.failed") if e.build == "a"])
    beside(repo, "mended").touch()
    repo.br3("retry", "a")
    begun(repo, "a-1")
    # What a second `br3 retry a` writes that has seen the build failed, and is a moment late.
    facts = {"from": None, "model": None, "saw": repo.events("build.failed")[0].ts}
    control.ask(repo.common_dir / "br3" / "runs" / run, Request("retry", "a", facts=facts))
    go(repo, "1")
    until(lambda: [e for e in repo.events("build.verified") if e.build == "a"])
    go(repo)
    ended(repo, run)
    assert len(repo.events("build.retried")) == 1


def test_what_was_asked_of_an_ended_run_is_asked_of_the_next_while_the_first_still_sums_up(repo: Scratch) -> None:
    repo.plan(plan_of({"a": {"1": "echo x-$BR3_ATTEMPT >> done"}}))
    repo.br3("run", "--trust")
    run = repo.events("run.completed")[0].run
    assert run is not None
    repo.br3("retry", "a", "--from", "1")
    with Lock(repo.common_dir, "run", run).acquire():
        repo.br3("run", "a")
    assert len(repo.events("attempt.started")) == 2


@pytest.mark.parametrize("what", ["pause", "cancel"])
def test_what_is_asked_of_an_interrupted_run_holds_for_the_next_plan_too(
    repo: Scratch, waiting: str, what: str, tracked: str
) -> None:
    tasks = {"1": f"{waiting}; echo 1 >> done"}
    repo.plan(plan_of({"a": tasks, "b": {"2": "echo 2 >> done"}}))
    detached(repo)
    begun(repo, "a-1")
    kill_all(tracked)
    repo.br3(what, "a")
    repo.plan(plan_of({"a": tasks, "b": {"2": "echo 2 >> done", "3": "echo 3 >> done"}}))
    run = detached(repo)
    until(lambda: [e for e in repo.events("build.verified") if e.build == "b"])
    if what == "cancel":
        assert ended(repo, run)[0].kind == "run.failed"
        assert [e.build for e in repo.events("build.cancelled")] == ["a"]
    else:
        assert [r.name for r in control.asked(repo.common_dir / "br3" / "runs" / run)] == ["pause@a"]
        repo.br3("cancel")


def test_an_orchestrator_that_made_room_is_not_signalled_in_the_place_of_the_one_that_works(tmp_path: Path) -> None:
    with Lock(tmp_path, "build", "a").acquire():
        child = subprocess.Popen([sys.executable, "-c", f"raise SystemExit({BUSY})"])
        child.wait()
        handle = Handle(tmp_path, "a", child)
        assert handle.alive()
        assert handle.pid == os.getpid()  # who holds the lock; the child's number may be anybody's by now
        assert not handle.is_orchestrator
        handle.stop(signal.SIGKILL)  # or this test is at its end


@pytest.mark.parametrize("names", [(), ("a",)])
def test_cancelling_ends_an_agent_whose_orchestrator_is_gone(
    repo: Scratch, waiting: str, tracked: str, names: tuple[str, ...]
) -> None:
    repo.plan(plan_of({"a": {"1": waiting}, "b": {"2": "echo 2 >> done"}}))
    run = detached(repo)
    begun(repo, "a-1")
    for pid in (holder(repo.common_dir, "run", run), holder(repo.common_dir, "build", "a")):
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
    until(lambda: holder(repo.common_dir, "build", "a") is None)
    repo.br3("cancel", *names)
    if names:
        repo.br3("run", code=1)
    assert not [p for p in processes_with(tracked) if "br3-shim" in " ".join(words_of(p))]


def test_a_build_that_rests_takes_nobody_s_place(repo: Scratch, waiting: str) -> None:
    repo.plan(
        plan_of(
            {"a": {"1": f"{waiting}; {writing('x')}", "2": "echo 2 >> done"}, "b": {"3": "echo 3 >> done"}},
            head="jobs = 1",
        )
    )
    run = detached(repo)
    begun(repo, "a-1")
    repo.br3("pause", "a")
    go(repo, "1")
    until(lambda: [e for e in repo.events("build.verified") if e.build == "b"])
    repo.br3("resume")
    assert ended(repo, run)[0].kind == "run.completed"


def test_what_is_asked_of_a_build_holds_in_the_run_beside_that_begins_with_it(repo: Scratch, waiting: str) -> None:
    repo.plan(plan_of({"a": {"1": "cp $BR3_PROMPT_FILE told"}, "b": {"2": waiting}}))
    first = detached(repo, "b")
    begun(repo, "b-2")
    repo.br3("tell", "a", "use tabs")
    assert f"a is no part of run {first}" in repo.br3("pause", "a", code=3).err
    repo.br3("run", "a")
    assert "use tabs" in repo.git("show", "build/a:told")
    assert not control.asked(repo.common_dir / "br3" / "runs" / first)
    repo.br3("cancel")


def test_the_older_of_two_runs_is_gone_on_with_by_its_build(repo: Scratch, waiting: str) -> None:
    repo.plan(plan_of({"a": {"1": f"{waiting}; {writing('x')}"}, "b": {"2": f"{waiting}; {writing('y')}"}}))
    first = detached(repo, "a")
    begun(repo, "a-1")
    second = detached(repo, "b")
    begun(repo, "b-2")
    for pid in (holder(repo.common_dir, "run", first), holder(repo.common_dir, "build", "a")):
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
    until(lambda: holder(repo.common_dir, "run", first) is None)
    assert detached(repo, "a") == first
    go(repo)
    assert ended(repo, first)[0].kind == ended(repo, second)[0].kind == "run.completed"
    assert [e.build for e in repo.events("attempt.started")] == ["a", "b"]


def test_an_interrupted_run_is_ended_when_others_have_taken_its_builds_over(
    repo: Scratch, waiting: str, tracked: str
) -> None:
    repo.plan(plan_of({"a": {"1": f"{waiting}; {writing('x')}"}, "b": {"2": "echo 2 >> done"}}))
    first = detached(repo, "a")
    begun(repo, "a-1")
    detached(repo, "b")
    until(lambda: [e for e in repo.events("build.verified") if e.build == "b"])
    until(lambda: len(repo.events("run.completed")) == 1)
    kill_all(tracked)
    go(repo)
    repo.br3("run")
    assert [e.run for e in repo.events("run.cancelled")] == [first]
    assert all(build["verified"] for build in repo.status()["builds"].values())


def test_a_workspace_that_is_being_made_is_cancelled(repo: Scratch, waiting: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    setting_up = f": > ../begun-a-setup; read -r line < '{tmp_path / 'fifo'}'"
    text = plan_of({"a": {"1": "echo 1 >> done"}, "b": {"2": f"{waiting}; echo 2 >> done"}})
    repo.plan(text.replace('id = "a"', f'id = "a"\nsetup = [{toml(setting_up)}]'))
    run = detached(repo)
    begun(repo, "b-2")
    begun(repo, "a-setup")
    assert "as soon as its workspace is made" in repo.br3("pause", "a", "--now").out
    repo.br3("cancel", "a")
    until(lambda: [e for e in repo.events("build.cancelled") if e.build == "a"])
    go(repo)
    ended(repo, run)
    assert [e.build for e in repo.events("attempt.started")] == ["b"]


def test_who_verifies_a_build_is_left_alone_by_a_run(repo: Scratch, tmp_path: Path, tracked: str) -> None:
    os.mkfifo(tmp_path / "fifo")
    beginning = tmp_path / "begun"
    check = f": > '{beginning}'; read -r line < '{tmp_path / 'fifo'}'"
    repo.plan(shell_plan({"a": writing("x")}, verify=check))
    detached(repo)
    until(beginning.exists)
    kill_all(tracked)
    beginning.unlink()
    verifying = repo.start("verify", "a")
    until(beginning.exists)
    running = repo.start("run", env={"BR3_TEST_HEARTBEAT_S": "0.01"})  # so that silence would be judged at once
    until(lambda: repo.events("run.attached"))
    running.send_signal(signal.SIGTERM)
    running.communicate()
    assert verifying.poll() is None
    (tmp_path / "fifo").write_text("go on\n")
    out, err = verifying.communicate()
    assert verifying.returncode == 0, out + err


# -- several runs ----------------------------------------------------------------------------------------------------


def test_two_runs_of_one_plan_work_beside_each_other_on_different_builds(repo: Scratch, waiting: str) -> None:
    repo.plan(plan_of({name: {"1": f"{waiting}; {writing('x' + name)}"} for name in "ab"}))
    first = detached(repo, "a")
    begun(repo, "a-1")
    said = repo.br3("run", "a", code=3)
    assert f"a is being worked on in run {first} by process" in said.err
    repo.br3("tell", "a", "Only for a.")
    second = detached(repo, "b")
    begun(repo, "b-1")
    assert first != second
    assert not control.asked(repo.common_dir / "br3" / "runs" / second)
    held = {claim["build"]: claim["run"] for claim in repo.br3("claims", "--json").json["claims"]}
    assert held == {"a": first, "b": second}
    go(repo)
    assert ended(repo, first)[0].kind == ended(repo, second)[0].kind == "run.completed"
    assert repo.br3("claims", "--json").json["claims"] == []
    assert all(build["verified"] for build in repo.status()["builds"].values())
    assert sorted(repo.br3("merge", "--json").json["landed"]) == ["a", "b"]


def test_a_run_of_another_plan_is_refused_on_the_same_ground_unless_it_is_shared(repo: Scratch, waiting: str) -> None:
    repo.plan(plan_of({"a": {"1": f"{waiting}; {writing('x')}"}}, extra='owns = ["src/**", "x"]'))
    first = detached(repo)
    begun(repo, "a-1")
    other = plan_of({"b": {"1": writing("y")}}, extra='owns = ["src/core/**", "y"]')
    repo.plan(other)
    said = repo.br3("run", "--trust", code=3)
    assert f"b owns src/core/**, and a, at work in run {first}, claims src/**" in said.err
    repo.plan(other.replace("owns =", "shared = true\nowns ="))
    repo.br3("run", "--trust")
    go(repo)
    assert ended(repo, first)[0].kind == "run.completed"


def test_a_build_waits_for_what_it_needs_in_another_run(repo: Scratch, waiting: str) -> None:
    plan = plan_of({"a": {"1": f"{waiting}; {writing('x')}"}})
    plan += f'[[build]]\nid = "b"\nneeds = ["a"]\ncommand = {toml("test -e x && " + writing("y"))}\n'
    repo.plan(plan)
    first = detached(repo, "a")
    begun(repo, "a-1")
    second = repo.start("run", "b")
    assert second.stderr is not None
    until(lambda: "waits for a" in second.stderr.readline())
    go(repo)
    out, err = second.communicate()
    assert second.returncode == 0, out + err
    assert ended(repo, first)[0].kind == "run.completed"


def test_a_claim_ends_with_the_death_of_whoever_worked(repo: Scratch, tracked: str, waiting: str) -> None:
    repo.plan(plan_of({"a": {"1": waiting}}, extra='owns = ["src/**"]'))
    detached(repo)
    begun(repo, "a-1")
    assert [c["owns"] for c in repo.br3("claims", "--json").json["claims"]] == [["src/**"]]
    kill_all(tracked)
    until(lambda: repo.br3("claims", "--json").json["claims"] == [])


# -- health ----------------------------------------------------------------------------------------------------------


def test_an_orchestrator_gives_signs_of_life(repo: Scratch, waiting: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BR3_TEST_HEARTBEAT_S", "1")  # who gives none for 6 s is ended, and this machine may be busy
    repo.plan(plan_of({"a": {"1": f"{waiting}; {writing('x')}"}}))
    run = detached(repo)
    until(lambda: len(repo.events("build.heartbeat")) >= 2)
    go(repo)
    ended(repo, run)
    beats = [e for e in repo.events("build.heartbeat") if e.task]
    assert beats and [e.data["elapsed_s"] for e in beats] == sorted(e.data["elapsed_s"] for e in beats)


def test_a_silent_orchestrator_is_told_of_then_ended_and_its_agent_adopted(
    repo: Scratch, waiting: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BR3_TEST_HEARTBEAT_S", "0.5")
    repo.plan(plan_of({"a": {"1": f"{waiting}; {writing('x')}"}}))
    run = detached(repo)
    begun(repo, "a-1")
    pid = holder(repo.common_dir, "build", "a")
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    until(lambda: len(repo.events("build.silent")) == 2)
    assert [e.data["ended"] for e in repo.events("build.silent")] == [False, True]
    until(lambda: repo.events("build.resumed"))
    go(repo)
    assert ended(repo, run)[0].kind == "run.completed"
    assert beside(repo, "begun-a-1").read_text() == "x"
    assert len(repo.events("attempt.started")) == 1


def test_a_time_in_which_br3_stood_still_is_no_time_out(repo: Scratch, tracked: str, tmp_path: Path) -> None:
    source = "import time\nopen('../begun-a-1', 'w')\nfor _ in range(10): time.sleep(0.05)\n"
    command = script(tmp_path / "tools", "brief.py", source)
    repo.plan(plan_of({"a": {"1": f"{command}; {writing('x')}"}}, extra='timeout = "7s"'))
    run = detached(repo)
    begun(repo, "a-1")
    # As a machine that sleeps: everything at once.
    everything = processes_with(tracked)
    for process in everything:
        process.suspend()
    began = repo.events("attempt.started")[0]
    until(lambda: _age_s(began) > 8)
    for process in everything:
        process.resume()
    assert ended(repo, run)[0].kind == "run.completed"
    assert not repo.events("timeout.occurred", "build.silent")


def test_nothing_new_starts_on_a_full_disk_and_goes_on_when_there_is_room(
    repo: Scratch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = tmp_path / "free"
    free.write_text("999999999")
    monkeypatch.setenv("BR3_TEST_FREE_BYTES", str(free))
    repo.plan(plan_of({"a": {"1": writing("x")}, "b": {"1": writing("y")}}))
    process = repo.start("run", "--trust")
    assert process.stderr is not None
    until(lambda: "only 1.00 GB are free" in process.stderr.readline())
    assert not repo.events("build.preparing")
    free.write_text("1000000000")
    out, err = process.communicate()
    assert process.returncode == 0, out + err
    assert len(repo.events("disk.low")) == 1


def test_an_orchestrator_that_always_dies_is_started_again_three_times(repo: Scratch, tmp_path: Path) -> None:
    # The agent ends its orchestrator each time, as if memory were short.
    source = (
        "import os, psutil\n"
        "for p in psutil.process_iter():\n"
        "    try:\n"
        "        words = p.cmdline()\n"
        "    except psutil.Error:\n"
        "        continue\n"
        "    if 'br3.orchestrator' in words and words[-1] == 'a' and os.environ['BR3_RUN'] in words: p.kill()\n"
        "os.kill(os.getppid(), 9)\n"
    )
    repo.plan(plan_of({"a": {"1": script(tmp_path / "tools", "murder.py", source)}}))
    repo.br3("run", "--trust", "--retries", "9", code=1)
    assert [e.data["restart"] for e in repo.events("build.restarting")] == [1, 2, 3]
    assert repo.events("build.failed")[0].data["cause"] == "orchestrator"
