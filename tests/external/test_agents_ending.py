"""No process of a real agent is left, however it ends; its tools do what they can to stay."""

from __future__ import annotations

import shlex
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from tests.conftest import Scratch, until
from tests.external.agents import COMMIT, Api, bash, left, plan

# Each hides in its own way, none can be asked to go, and one cannot be found by its environment.
_CHILDREN = """\
#!/bin/sh
stay='trap "" TERM HUP INT; : > "$2"; while :; do sleep 1; done'
setsid sh -c "$stay" stays {tag} {there}/1 > /dev/null 2>&1 < /dev/null &
nohup sh -c "$stay" stays {tag} {there}/2 > /dev/null 2>&1 < /dev/null &
env -i PATH="$PATH" setsid nohup sh -c "$stay" stays {tag} {there}/3 > /dev/null 2>&1 < /dev/null &
"""

EXPENSIVE = {"input_tokens": 1_000_000, "output_tokens": 200_000}


@pytest.fixture(params=["claude", "codex"])
def agent(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def tag(tmp_path: Path) -> str:
    """A word in the command lines of what the tools start."""
    return f"left-by-{tmp_path.parent.name}-{tmp_path.name}"


@dataclass(frozen=True)
class Leaving:
    """``command`` leaves three children and ends; each makes a file in ``there`` when it has begun."""

    command: str
    there: Path

    def done(self) -> bool:
        return len(list(self.there.iterdir())) == 3


@pytest.fixture
def leave(tmp_path: Path, tag: str) -> Leaving:
    path, there = tmp_path / "leave", tmp_path / "there"
    there.mkdir()
    path.write_text(_CHILDREN.format(tag=shlex.quote(tag), there=shlex.quote(str(there))))
    return Leaving(f"sh {shlex.quote(str(path))}", there)


@pytest.fixture(autouse=True)
def end_them(tag: str, tracked: str) -> Iterator[None]:
    """What a broken br3 leaves does not outlive its test."""
    yield
    for process in psutil.process_iter():
        try:
            if tag in process.cmdline():
                process.kill()
        except psutil.Error:
            continue


def orchestrator_of(repo: Scratch) -> psutil.Process:
    return psutil.Process(repo.events("attempt.started")[-1].pid)


def test_nothing_is_left_when_it_is_done(
    repo: Scratch, environment: dict[str, str], api: Api, agent: str, leave: Leaving, tracked: str, tag: str
) -> None:
    api.scenario("leaving", [bash(leave.command), bash(COMMIT), {"text": "Done."}])
    environment["SCENARIO"] = "leaving"
    repo.plan(plan("a", agent))
    process = repo.start("run", env=environment)
    until(leave.done)
    out, err = process.communicate()
    assert process.returncode == 0, out + err
    assert left(tracked, tag) == []


def test_nothing_is_left_after_ctrl_c(
    repo: Scratch, environment: dict[str, str], api: Api, agent: str, leave: Leaving, tracked: str, tag: str
) -> None:
    api.scenario("leaving", [bash(leave.command), bash("sleep 600")])
    environment["SCENARIO"] = "leaving"
    repo.plan(plan("a", agent))
    process = repo.start("run", env=environment)
    until(lambda: leave.done() and len(api.requests("a")) == 2)
    process.send_signal(signal.SIGINT)
    process.communicate()
    assert process.returncode == 130
    assert left(tracked, tag) == []


def test_nothing_is_left_when_the_budget_is_spent(
    repo: Scratch, environment: dict[str, str], api: Api, agent: str, leave: Leaving, tracked: str, tag: str
) -> None:
    api.scenario("spending", [bash(leave.command), bash("sleep 600", usage=EXPENSIVE)])
    environment["SCENARIO"] = "spending"
    repo.plan(plan("a", agent, defaults="budget_usd = 1.00"))
    process = repo.start("run", env=environment)
    until(leave.done)
    process.communicate()
    assert process.returncode == 4
    assert left(tracked, tag) == []


def test_nothing_is_left_when_the_api_hangs_until_the_time_is_up(
    repo: Scratch, environment: dict[str, str], api: Api, agent: str, leave: Leaving, tracked: str, tag: str
) -> None:
    api.scenario("hanging", [bash(leave.command), {"hang": 3600, "text": "late"}])
    environment["SCENARIO"] = "hanging"
    repo.plan(plan("a", agent, defaults='timeout = "3s"'))
    repo.br3("run", code=1, env=environment)
    assert leave.done()
    assert repo.events("attempt.finished")[-1].data["cause"] == "timeout"
    assert left(tracked, tag) == []


@pytest.mark.parametrize("then", ["run", "clean"])
def test_nothing_is_left_after_its_orchestrator_and_br3_were_killed(
    repo: Scratch,
    environment: dict[str, str],
    api: Api,
    agent: str,
    leave: Leaving,
    tracked: str,
    tag: str,
    tmp_path: Path,
    then: str,
) -> None:
    go = tmp_path / "go"
    wait = f"{leave.command}; until test -e {shlex.quote(str(go))}; do sleep 0.1; done; {COMMIT}"
    api.scenario("waiting", [bash(wait), {"text": "Done."}])
    environment["SCENARIO"] = "waiting"
    repo.plan(plan("a", agent))
    process = repo.start("run", env=environment)
    until(leave.done)
    orchestrator = orchestrator_of(repo)
    process.kill()
    process.communicate()
    orchestrator.kill()
    until(lambda: not orchestrator.is_running())
    if then == "run":
        again = repo.start("run", env=environment)
        resumed = until(lambda: repo.events("build.resumed"))[0]
        # What the agent has started is known once its new orchestrator has looked.
        until(lambda: [e for e in repo.events("build.heartbeat") if e.gen == resumed.gen])
        go.touch()
        out, err = again.communicate()
        assert again.returncode == 0, out + err
    else:
        repo.br3("clean", "--force", "a", env=environment)
    assert left(tracked, tag) == []
