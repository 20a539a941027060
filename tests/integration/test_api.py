"""br3 from Python: what the commands do, without a terminal. The examples of docs/INTEGRATION_GUIDE.md are run here."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import redirect_stdout
from decimal import Decimal
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

import br3
from br3 import Analytics, Event, Plan, Workspace, errors, estimate, land, run
from tests.conftest import PYTHON, Scratch, processes_with, shell_plan, toml, until, writing

GUIDE = Path(__file__).parents[2] / "docs" / "INTEGRATION_GUIDE.md"
BUILDS = {"storage": writing("storage.txt"), "docs": writing("docs.txt")}
TWO = shell_plan(BUILDS)


def waits_for(file: Path) -> str:
    """A command that ends when there is that file."""
    return f"until test -e {shlex.quote(str(file))}; do {PYTHON} -c 'import time; time.sleep(0.05)'; done"


def elsewhere(call: Callable[[], Any]) -> Any:
    """What a call answers in another thread than the main one."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(call).result()


def examples() -> list[tuple[str, str]]:
    """The Python of the guide's chapter with what it prints, block by block."""
    chapter = re.split(r"^## ", GUIDE.read_text(), flags=re.MULTILINE)
    python = next(part for part in chapter if part.startswith("Python\n"))
    return re.findall(r"```python\n(.*?)```(?:\n```text\n(.*?)```)?", python, flags=re.DOTALL)


def test_the_examples_of_the_guide_print_what_stands_there(repo: Scratch, monkeypatch: pytest.MonkeyPatch) -> None:
    repo.plan(TWO)
    monkeypatch.chdir(repo.path)
    names: dict[str, Any] = {"more": shell_plan({**BUILDS, "site": writing("site.txt")})}
    found = examples()
    assert len(found) >= 7
    for code, printed in found:
        said = StringIO()
        with redirect_stdout(said):
            exec(compile(code, str(GUIDE), "exec"), names)
        assert said.getvalue() == printed, code


def test_names_are_looked_up_when_they_are_used_and_rooms_do_not_take_their_place() -> None:
    program = (
        "import br3, sys\nassert not [n for n in sys.modules if n.startswith('br3.')]\n"
        "import br3.estimate.ridge\nfrom br3 import estimate\nassert callable(estimate), estimate\n"
        "from br3.estimate import ridge\nassert ridge.__name__ == 'br3.estimate.ridge'\n"
        "assert set(br3.__all__) <= set(dir(br3))\n"
        "for name in br3.__all__: getattr(br3, name)\n"
        "try: br3.nothing\nexcept AttributeError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "module 'br3' has no attribute 'nothing'\n"
    assert br3.__version__


def test_nothing_runs_without_approval_and_nothing_is_printed(repo: Scratch, capfd: pytest.CaptureFixture[str]) -> None:
    repo.plan(TWO)
    workspace = Workspace(repo.path / ".")
    with pytest.raises(errors.Refused, match="not approved"):
        run(workspace)
    assert workspace.status() is None and not repo.worktree("docs").exists()
    assert {command.purpose for command in workspace.commands()} == {"agent", "verification"}
    workspace.trust()
    assert workspace.commands() == []
    assert repo.events("trust.given")[0].data["how"] == "trust=True"
    seen: list[Event] = []
    outcome = run(workspace, ["DOCS"], on_event=seen.append)
    assert (outcome.state, outcome.exit_code, [build.id for build in outcome.builds]) == ("completed", 0, ["docs"])
    assert [e.kind for e in seen if e.kind.startswith("task.")] == ["task.started", "task.completed"]
    assert {event.run for event in seen} == {outcome.run}
    said = repo.br3("status", "docs", "--json").json
    assert outcome.as_json() == {key: said[key] for key in outcome.as_json()}
    assert run(workspace, "docs").exit_code == 0, "there is nothing left to do, and no second run"
    assert len(workspace.runs()) == 1
    assert capfd.readouterr() == ("", "")


def test_a_build_that_fails_is_an_outcome(repo: Scratch) -> None:
    repo.plan(shell_plan({"bad": "false"}))
    outcome = run(repo.path, trust=True, retries=0)
    assert (outcome.state, outcome.exit_code, outcome.build("bad").verified) == ("failed", 1, False)
    with pytest.raises(KeyError):
        outcome.build("good")


WORKER = """
import sys
from br3 import run
try:
    outcome = run({path!r}, trust=True, on_event=lambda event: print(event.kind, flush=True))
    print("outcome", outcome.state)
except KeyboardInterrupt:
    print("KeyboardInterrupt")
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_what_was_started_and_raises(repo: Scratch, tracked: str, number: signal.Signals) -> None:
    repo.plan(shell_plan({"a": waits_for(repo.path.parent / "never")}))
    program = WORKER.format(path=str(repo.path))
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for line in process.stdout:
        if line == "attempt.started\n":
            break
    process.send_signal(number)
    assert process.communicate()[0].endswith("KeyboardInterrupt\n")
    status = Workspace(repo.path).status()
    assert status is not None and (status.state, status.build("a").view.state) == ("cancelled", "cancelled")
    assert not status.build("a").alive


def test_an_exception_of_the_listener_stops_the_run_and_is_raised(repo: Scratch, tracked: str) -> None:
    repo.plan(shell_plan({"a": waits_for(repo.path.parent / "never")}))

    def fail(event: Event) -> None:
        if event.kind == "attempt.started":
            raise LookupError("mine")

    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with pytest.raises(LookupError, match="mine"):
        run(repo.path, trust=True, on_event=fail)
    assert repo.status()["builds"]["a"]["state"] == "cancelled"
    assert before == (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM))


@pytest.mark.parametrize("how", ["event", "workspace", "command"])
def test_a_run_in_a_thread_is_cancelled_from_elsewhere(repo: Scratch, tracked: str, how: str) -> None:
    repo.plan(shell_plan({"a": waits_for(repo.path.parent / "never")}))
    workspace, stop, outcomes = Workspace(repo.path), threading.Event(), []
    worker = threading.Thread(target=lambda: outcomes.append(run(workspace, trust=True, cancel=stop)))
    worker.start()
    until(lambda: repo.events("attempt.started"))
    match how:
        case "event":
            stop.set()
        case "workspace":
            workspace.cancel()
        case "command":
            repo.br3("cancel")
    worker.join()
    assert [(one.state, one.exit_code) for one in outcomes] == [("cancelled", 130)]


def test_a_run_in_a_thread_is_steered_from_elsewhere(repo: Scratch, tracked: str) -> None:
    first = repo.path.parent / "first"
    plan = f"{waits_for(first)}; {writing('a')}"
    repo.plan(shell_plan({"a": plan, "b": waits_for(repo.path.parent / "never")}))
    workspace, outcomes = Workspace(repo.path), []
    worker = threading.Thread(target=lambda: outcomes.append(run(workspace, trust=True)))
    worker.start()
    until(lambda: len(repo.events("attempt.started")) == 2)
    with pytest.raises(errors.Refused, match="a is at work"):
        workspace.retry("a")
    (said,) = workspace.pause("a", now=True)
    assert (said.build, said.new) == ("a", True)
    until(lambda: repo.status()["builds"]["a"]["paused"])
    assert [one.new for one in workspace.pause(["a"], now=True)] == [False]
    assert [one.build for one in workspace.resume("a")] == ["a"]
    first.touch()
    assert [one.build for one in workspace.tell("b", "look at the log")] == ["b"]
    assert [one.build for one in workspace.cancel("b")] == ["b"]
    worker.join()
    assert [(one.state, one.exit_code) for one in outcomes] == [("failed", 1)]
    assert {name: b["state"] for name, b in repo.status()["builds"].items()} == {"a": "verified", "b": "cancelled"}
    with pytest.raises(errors.UsageError, match="b has no task 'x'"):
        workspace.skip("b", "x")
    assert [one.build for one in workspace.retry("b")] == ["b"]


def test_two_threads_at_once_do_not_get_in_each_other_s_way(repo: Scratch) -> None:
    go = repo.path.parent / "go"
    repo.plan(shell_plan({"a": f"{waits_for(go)}; {writing('a.txt')}", "b": writing("b.txt")}))
    workspace = Workspace(repo.path)
    first: list[br3.Outcome] = []
    worker = threading.Thread(target=lambda: first.append(run(workspace, "a", trust=True)))
    worker.start()
    until(lambda: repo.events("attempt.started"))
    with pytest.raises(errors.Refused):
        run(workspace, "a", trust=True)
    second = run(workspace, "b", trust=True)
    go.touch()
    worker.join()
    assert [one.state for one in (*first, second)] == ["completed", "completed"]
    assert first[0].run != second.run


def test_the_way_by_hand_up_verify_land_release_finish(repo: Scratch) -> None:
    plan = shell_plan({"a": "true", "b": "true"}).replace('agent = "shell"', 'agent = "manual"')
    end = '[release]\ntag = "v1"\n[[criterion]]\nname = "sure"\nask = "Sure?"\n'
    repo.plan(re.sub(r"command = .*\n", "", plan) + end)
    workspace = Workspace(repo.path)
    with pytest.raises(errors.Refused):
        workspace.up()
    kinds: list[str] = []
    made = elsewhere(lambda: workspace.up(trust=True, on_event=lambda event: kinds.append(event.kind)))
    assert [one.path for one in made] == [repo.worktree("a"), repo.worktree("b")]
    assert kinds.count("worktree.ready") == 2
    assert workspace.verify() == []
    for build in "ab":
        repo.write("README.md", build, root=repo.worktree(build))
        repo.commit(f"do {build}", cwd=repo.worktree(build))
    found = elsewhere(workspace.verify)
    assert [(one.id, one.verified, one.commands[0]["exit_code"]) for one in found] == [("a", True, 0), ("b", True, 0)]
    kinds.clear()
    train = elsewhere(lambda: land(workspace, skip="b", on_event=lambda event: kinds.append(event.kind)))
    assert (train.landed, train.aside) == (["a"], []) and "landing.moved" in kinds
    assert [(one.id, one.files) for one in land(workspace).aside] == [("b", ("README.md",))]
    finished = workspace.finish("a", ask=lambda question: question == "Sure?")
    assert finished.released is not None and finished.released.tag == "v1"
    assert [(check.name, check.met) for check in finished.checks] == [("sure", True)]
    assert finished.cleaned is not None and finished.cleaned.removed == ["a"] and finished.exit_code == 0
    assert workspace.undo_release().tag == "v1"
    stopped = workspace.finish()
    assert (stopped.stopped, stopped.exit_code, stopped.released) == ("aside", 1, None)


LANDER = """
import os, signal, threading, time
from br3 import land

def stop():
    # Whoever waits without end is not woken by a signal that another thread takes, nor by one that comes just before.
    while not os.path.exists({begun!r}):
        time.sleep(0.02)
    time.sleep(0.2)
    signal.pthread_kill(threading.get_ident(), signal.SIGTERM)

if {itself!r}:
    threading.Thread(target=stop, daemon=True).start()
try:
    land({path!r})
except KeyboardInterrupt:
    print("KeyboardInterrupt")
"""


@pytest.mark.parametrize("itself", [False, True])
def test_a_landing_that_is_stopped_leaves_base_and_no_process(
    repo: Scratch, tmp_path: Path, tracked: str, itself: bool
) -> None:
    begun = tmp_path / "begun"
    whole = f"printf x > {shlex.quote(str(begun))}; {waits_for(tmp_path / 'never')}"
    repo.plan(
        shell_plan({"a": writing("a.txt")}).replace('[verify]\nrun = ["true"]', f"[verify]\nrun = [{toml(whole)}]")
    )
    workspace, before = Workspace(repo.path), repo.head()
    run(workspace, trust=True)
    command = [sys.executable, "-c", LANDER.format(path=str(repo.path), begun=str(begun), itself=itself)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    until(begun.exists)
    if not itself:
        process.send_signal(signal.SIGTERM)
    until(lambda: process.poll() is not None)
    assert process.communicate()[0] == "KeyboardInterrupt\n"
    assert processes_with(tracked) == []
    assert repo.head() == before and len(workspace.worktrees()) == 2


def test_a_program_s_own_handler_is_left_alone(repo: Scratch) -> None:
    repo.plan(shell_plan({"a": writing("a.txt")}))
    heard: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: heard.append(number))
    try:
        land(repo.path, trust=True, on_event=lambda event: os.kill(os.getpid(), signal.SIGTERM))
        assert heard and set(heard) == {signal.SIGTERM}
    finally:
        signal.signal(signal.SIGTERM, before)


def test_a_run_of_somebody_else_is_followed(repo: Scratch, tracked: str) -> None:
    go = repo.path.parent / "go"
    repo.plan(shell_plan({"a": f"{waits_for(go)}; {writing('a.txt')}"}))
    repo.br3("run", "--detach", "--trust")

    def let_go(event: Event) -> None:
        if event.kind == "attempt.started":
            go.touch()

    workspace = Workspace(repo.path)
    until(lambda: repo.events("attempt.started"))
    go.touch()
    outcome = workspace.attach(on_event=let_go)
    assert (outcome.state, outcome.builds[0].verified) == ("completed", True)


def test_plan_and_estimates_are_plain_data(repo: Scratch) -> None:
    repo.plan(TWO.replace('agent = "shell"', 'agent = "claude"').replace("command", "prompt"))
    file = repo.path / "br3.toml"
    assert [build.id for build in Plan.load(file).builds] == list(BUILDS)
    assert Workspace(repo.path).plan(jobs=7).jobs == 7
    found = estimate(repo.path)
    assert found.as_json()["builds"] == repo.br3("estimate", "--json").json["builds"]
    assert found.usd is not None and Decimal(0) < found.usd[0] < found.usd[1]
    repo.plan(TWO)
    unpriced = estimate(repo.path)
    assert len(unpriced.builds) == len(BUILDS) and unpriced.usd is None, "a shell has no price"
    repo.plan(TWO.replace('agent = "shell"', 'agent = "claude"').replace("command", "prompt"))
    repo.write("br3.toml", "[plan]\nnmae = 1\n")
    lines = {problem.key: problem.line for problem in Plan.check(file).problems}
    assert lines["plan.nmae"] == 2
    with pytest.raises(errors.UsageError) as raised:
        Plan.load(file)
    assert "nmae" in str(raised.value)


def test_what_may_cost_too_much_is_not_begun(repo: Scratch, monkeypatch: pytest.MonkeyPatch) -> None:
    bin = repo.path.parent / "bin"
    bin.mkdir()
    (bin / "claude").write_text("#!/bin/sh\nexit 1\n")
    (bin / "claude").chmod(0o755)
    monkeypatch.setenv("PATH", f"{bin}{os.pathsep}{os.environ['PATH']}")
    repo.plan(TWO.replace('agent = "shell"', 'agent = "claude"').replace("command", "prompt"))
    with pytest.raises(errors.OverBudget, match="budget_usd is 0") as raised:
        run(repo.path, trust=True, budget_usd=0.001)
    assert raised.value.exit_code == 4
    assert Workspace(repo.path).status() is None


def test_the_analytics_are_only_read(repo: Scratch) -> None:
    analytics = Analytics(repo.path)
    assert analytics.costs().rows == [] and analytics.costs().totals["total_usd"] is None
    with pytest.raises(errors.UsageError, match="read-only"):
        analytics.sql("DELETE FROM events")
    with pytest.raises(errors.UsageError):
        analytics.sql("SELECT * FROM read_text('/etc/passwd')")
    with pytest.raises(errors.UsageError, match="cannot be 'year'"):
        analytics.costs(period="year")  # type: ignore[arg-type]
    assert analytics.sql("SELECT 1 AS one, DATE '2026-01-02' AS day").dicts()[0]["one"] == 1


def test_a_listener_is_told_in_the_thread_that_called_and_its_error_stops_the_set_up(repo: Scratch) -> None:
    go = repo.path.parent / "go"
    repo.plan(shell_plan({"a": "true"}, extra=f"setup = [{toml(waits_for(go))}]"))
    told: list[str] = []

    def fail(event: Event) -> None:
        told.append(threading.current_thread().name)
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        Workspace(repo.path).up(trust=True, on_event=fail)
    assert told == [threading.current_thread().name] and not repo.events("worktree.ready")
