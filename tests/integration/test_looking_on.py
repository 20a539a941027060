"""Runs seen from outside: what status, runs and attach say of those that work, rest, wait, or were killed."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from br3.cli import cli
from br3.cli.status import drawn
from br3.cli.watching import Watching
from br3.dispatch import detached as dispatching_detached
from br3.dispatch import sessions
from br3.repo import runner
from br3.repo.worktrees import discover
from br3.telemetry import Journal, Lock, LockHeld
from br3.telemetry.locks import holder
from tests.conftest import Scratch, kill_all, until, writing
from tests.integration import test_control
from tests.integration.test_control import begun, detached, ended, go, plan_of

waiting = test_control.waiting
pytestmark = pytest.mark.usefixtures("tracked")

MANUAL = '[[build]]\nid = "m"\nagent = "manual"\nprompt = "By hand."\n'


def states(repo: Scratch) -> set[str]:
    """What every command says of the newest run."""
    return {repo.br3("runs", "--json").json["runs"][0]["state"], repo.br3("status", "--json").json["state"]}


def test_a_paused_run_that_was_killed_is_interrupted_also_after_resume(
    repo: Scratch, waiting: str, tracked: str
) -> None:
    repo.plan(plan_of({"a": {"1": waiting}}))
    run = detached(repo)
    begun(repo, "a-1")
    repo.br3("pause")
    until(lambda: repo.events("run.paused"))
    assert states(repo) == {"paused"}
    assert "paused (br3 resume lets it go on)" in repo.br3("status").out
    kill_all(tracked)
    assert states(repo) == {"interrupted"}
    assert "interrupted, and paused (br3 resume, then br3 run)" in repo.br3("status").out
    said = repo.br3("attach", code=1)
    assert f"run {run}: interrupted" in said.err and "nobody is at work" in said.err
    assert "for you to do" not in said.all
    repo.br3("resume")
    assert states(repo) == {"interrupted"}
    assert "interrupted (br3 run goes on with it)" in repo.br3("status").out


def test_orchestrators_without_a_dispatcher_are_a_running_run(repo: Scratch, waiting: str) -> None:
    repo.plan(plan_of({"a": {"1": waiting}}))
    run = detached(repo)
    begun(repo, "a-1")
    pid = holder(repo.common_dir, "run", run)
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    until(lambda: holder(repo.common_dir, "run", run) is None)
    assert states(repo) == {"running"}
    assert "running, without a dispatcher (br3 run attaches)" in repo.br3("status").out
    go(repo)
    until(lambda: holder(repo.common_dir, "build", "a") is None)
    assert states(repo) == {"interrupted"}


def test_attach_names_the_builds_that_wait_for_a_person(repo: Scratch) -> None:
    repo.plan(plan_of({"a": {"1": writing("x")}}) + MANUAL + '[[build]]\nid = "n"\nneeds = ["m"]\ncommand = "true"\n')
    repo.br3("run", "--trust")
    assert states(repo) == {"paused"}
    assert "paused, it waits for you" in repo.br3("status").out
    said = repo.br3("attach")
    assert "for you to do: m (br3 prompt BUILD" in said.out
    repo.write("by-hand", "x", root=repo.worktree("m"))
    repo.commit("by hand", cwd=repo.worktree("m"))
    repo.br3("verify", "m")
    assert states(repo) == {"paused"}
    assert "paused (br3 run goes on with it)" in repo.br3("status").out
    assert "nobody is at work" in repo.br3("attach", code=1).err


def test_a_run_is_completed_when_persons_have_done_what_it_waited_for(repo: Scratch) -> None:
    repo.plan(plan_of({"a": {"1": writing("x")}}) + MANUAL + MANUAL.replace('"m"', '"n"'))
    repo.br3("run", "--trust")
    for build, state in (("m", "paused"), ("n", "completed")):
        repo.write(build, "x", root=repo.worktree(build))
        repo.commit("by hand", cwd=repo.worktree(build))
        repo.br3("verify", build)
        assert states(repo) == {state}
    repo.br3("verify", "m")
    assert len(repo.events("run.completed")) == 1
    assert "1 completed" in repo.br3("telemetry", "summary").out
    assert "all 3 builds are verified" in repo.br3("attach").out


def test_a_build_by_hand_without_commits_is_not_done_by_verifying_it(repo: Scratch) -> None:
    repo.plan(plan_of({}) + MANUAL + '[[build]]\nid = "n"\nneeds = ["m"]\ncommand = "echo x > n"\n')
    repo.br3("run", "--trust")
    assert "there is nothing to land" in repo.br3("verify", "m", code=1).out
    assert not repo.events("build.verified") and states(repo) == {"paused"}
    assert "for you to do: m (br3 prompt" in repo.br3("run").out
    assert not repo.events("attempt.started"), "what needs it was not begun"


def test_a_report_of_what_waits_for_a_person_says_so(repo: Scratch) -> None:
    repo.plan(plan_of({}) + MANUAL)
    repo.br3("run", "--trust")
    assert "paused: a person has to go on: m" in repo.br3("report").out


def test_a_build_that_is_done_anew_is_not_called_verified_meanwhile(repo: Scratch, waiting: str) -> None:
    repo.plan(plan_of({"a": {"1": writing("x")}}))
    repo.br3("run", "--trust")
    repo.plan(plan_of({"a": {"1": f"{waiting}; {writing('y')}"}}))
    run = detached(repo)
    begun(repo, "a-1")
    assert " a      running " in f" {repo.br3('status').out}".replace("\n", " ")
    go(repo)
    ended(repo, run)


def test_a_run_that_somebody_dispatches_is_not_ended_by_who_verifies(repo: Scratch, waiting: str) -> None:
    repo.plan(plan_of({"a": {"1": f"{waiting}; {writing('x')}"}}) + MANUAL)
    run = detached(repo)
    begun(repo, "a-1")
    repo.write("by-hand", "x", root=repo.worktree("m"))
    repo.commit("by hand", cwd=repo.worktree("m"))
    repo.br3("verify", "m")
    assert states(repo) == {"running"}
    go(repo)
    assert [e.kind for e in ended(repo, run)] == ["run.completed"]


def test_attach_says_what_a_build_waits_for(repo: Scratch, waiting: str) -> None:
    repo.plan(
        plan_of({"a": {"1": f"{waiting}; {writing('x')}"}})
        + '[[build]]\nid = "b"\nneeds = ["a"]\ncommand = "echo x > y"\n'
    )
    detached(repo)
    begun(repo, "a-1")
    follower = repo.start("attach")
    assert follower.stderr is not None
    until(lambda: "waits for a" in follower.stderr.readline())
    go(repo)
    out, err = follower.communicate()
    assert follower.returncode == 0, out + err


def test_verified_builds_are_counted_among_those_that_the_run_was_last_for(
    repo: Scratch, waiting: str, tracked: str
) -> None:
    repo.plan(plan_of({"a": {"1": writing("x")}, "b": {"1": f"{waiting}; {writing('y')}"}}))
    run = detached(repo)
    until(lambda: repo.events("build.verified"))
    begun(repo, "b-1")
    kill_all(tracked)
    assert "1/2" in repo.br3("runs").out
    go(repo)
    repo.br3("run", "b")
    (past,) = repo.br3("runs", "--json").json["runs"]
    assert (past["run"], past["selected"], past["verified"]) == (run, ["b"], 1)
    assert "1/1" in repo.br3("runs").out


def test_builds_at_work_in_another_run_are_not_offered_for_cleaning(repo: Scratch, waiting: str) -> None:
    repo.plan(plan_of({"a": {"1": waiting}, "b": {"1": waiting}, "c": {"1": "echo x > y"}}))
    first = detached(repo)
    begun(repo, "a-1")
    begun(repo, "b-1")
    repo.plan(plan_of({"d": {"1": writing("d")}}))
    repo.br3("run", "--trust")
    shown = repo.br3("status").out
    assert f"run {first} is at work on a, b\n" in shown
    assert "br3 clean a" not in shown
    go(repo)
    ended(repo, first)
    until(lambda: holder(repo.common_dir, "run", first) is None)
    shown = repo.br3("status").out
    assert "at work" not in shown and "br3 clean a" in shown


@pytest.mark.parametrize("same", [False, True])
def test_two_detached_runs_at_once_are_two_runs_on_different_builds_and_refused_on_the_same(
    repo: Scratch, waiting: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], same: bool
) -> None:
    repo.plan(plan_of({"a": {"1": waiting}, "b": {"1": writing("x")}}))
    repo.br3("trust", "--trust")
    begin, quicker = sessions.begin, []

    def overtaken(*words, **more):
        """The other one begins with the same run, in the moment before our dispatcher takes its lock."""
        session = begin(*words, **more)
        if not quicker:
            quicker.append(detached(repo, "a"))
            assert quicker == [session.run]
        return session

    monkeypatch.setattr(sessions, "begin", overtaken)
    monkeypatch.chdir(repo.path)
    words = ["run", "--detach", "a" if same else "b"]
    if same:
        with pytest.raises(Exception, match="a is being worked on in run"):
            cli.main(words, standalone_mode=False)
    else:
        assert cli.main(words, standalone_mode=False) == 0
        said = capsys.readouterr()
        mine = said.out.strip().split("\n")[-1]
        assert mine not in quicker and f"run {quicker[0]} is at work on other builds" in said.err
        ended(repo, mine)
    log = repo.common_dir / "br3" / "runs" / quicker[0] / "dispatcher.log"
    assert "error" not in log.read_text()


def test_watching_asks_git_only_when_the_journal_has_grown_and_not_all_the_time(repo: Scratch, waiting: str) -> None:
    repo.plan(plan_of({"a": {"1": f"{waiting}; {writing('x')}", "2": f"{waiting}; {writing('y')}"}}))
    run = detached(repo)
    begun(repo, "a-1")
    watching = Watching(discover(repo.path), None, None)

    def calls_of(now_s: float) -> tuple[bool, int]:
        before = runner.calls
        return watching.step(now_s), runner.calls - before

    def shown() -> str:
        assert watching.picture is not None
        return "\n".join(drawn(watching.picture, None))

    changed, calls = calls_of(100.0)
    assert changed and calls > 0 and not watching.over
    until(lambda: calls_of(101.0) == (False, 0))  # nothing happens while the agent waits
    assert calls_of(200.0) == (False, 0)
    assert "at 1" in shown()
    go(repo, "1")
    begun(repo, "a-2")
    assert calls_of(103.0) == (True, 0)
    assert "1/2, at 2" in shown()
    changed, calls = calls_of(106.0)
    assert calls > 0
    go(repo)
    ended(repo, run)
    until(lambda: watching.step(106.5) is not None and watching.over)
    assert "verified" in shown() and "completed" in shown()


def test_watched_as_json_each_picture_is_one_line(repo: Scratch, waiting: str) -> None:
    repo.plan(plan_of({"a": {"1": f"{waiting}; {writing('x')}"}}))
    detached(repo)
    begun(repo, "a-1")
    watching = repo.start("status", "--watch", "--json")
    assert watching.stdout is not None
    first = json.loads(watching.stdout.readline())
    go(repo)
    rest = [json.loads(line) for line in watching.communicate()[0].split("\n")[:-1]]
    assert (watching.returncode, first["schema"], first["state"]) == (0, 1, "running")
    assert (rest[-1]["state"], rest[-1]["builds"][0]["verified"]) == ("completed", True)


def test_who_was_slower_with_a_run_knows_what_the_other_one_is_for(repo: Scratch) -> None:
    repo.plan(plan_of({"a": {"1": writing("x")}, "b": {"1": writing("y")}}))
    repo.br3("up", "--trust")
    session = sessions.latest(discover(repo.path))
    with Lock(repo.common_dir, "run", session.run).acquire() as lock, ThreadPoolExecutor() as pool:
        slower = pool.submit(
            dispatching_detached.start, session, session.plan.builds, jobs=1, module="br3.cli.detached"
        )
        Journal(repo.common_dir).append("run.started", run=session.run, gen=lock.gen, selected=["a"])
        with pytest.raises(LockHeld):
            slower.result()
    assert session.view.selected == ["a"]


def test_a_run_that_is_not_there_is_said_with_what_shows_those_that_are(repo: Scratch) -> None:
    repo.plan(plan_of({"a": {"1": writing("x")}}))
    repo.br3("run", "--trust")
    said = repo.br3("status", "--run", "19990101", code=2)
    assert "no run begins with '19990101'" in said.err and "next:  br3 runs" in said.err


def test_a_directory_that_was_removed_under_the_shell_is_said_plainly(repo: Scratch, tmp_path: Path) -> None:
    (tmp_path / "gone").mkdir()
    program = "import os; os.rmdir(os.getcwd()); import br3.cli; br3.cli.main(['status'])"
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path / "gone", capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("error: the directory that you are in has been removed\nnext:")


def test_the_reason_of_a_build_that_failed_is_no_name_of_a_class(repo: Scratch) -> None:
    repo.plan(plan_of({"a": {"1": writing("x"), "2": "exit 1"}}))
    repo.br3("run", "--trust", code=1)
    ref = f"refs/br3/retried/a/{repo.head('build/a')[:12]}"
    repo.git("update-ref", ref, "main")
    repo.br3("retry", "a", "--from", "1")
    repo.br3("run", code=1)
    reason = repo.events("build.failed")[-1].data["reason"]
    assert reason == f"{ref} is somebody else's"


def shape(data: dict[str, Any]) -> str:
    """The keys of an object in their order, as pages write them: ``run, builds: [{id, state}]``."""
    told = []
    for key, value in data.items():
        objects = isinstance(value, list) and bool(value) and isinstance(value[0], dict)
        told.append(f"{key}: [{{{shape(value[0])}}}]" if objects else key)
    return ", ".join(told)


def test_the_shapes_of_json_are_those_of_the_page(repo: Scratch, waiting: str) -> None:
    page = (Path(__file__).parents[2] / "docs" / "PARALLEL.md").read_text(encoding="utf-8")
    told = re.sub(r": \[\w+\]", "", page).replace("`", "")
    repo.plan(plan_of({"a": {"1": f"{waiting}; {writing('x')}"}}))
    run = repo.br3("run", "--trust", "--detach", "--json")
    begun(repo, "a-1")
    for said in [run, *(repo.br3(*words, "--json") for words in (["claims"], ["pause", "a"], ["runs"], ["status"]))]:
        assert f"| {shape({k: v for k, v in said.json.items() if k != 'schema'})}" in told
    repo.br3("resume")
    go(repo)
    ended(repo, run.json["run"])
