"""The real Gemini CLI and opencode, driven by br3 against an API on the loopback interface. No paid call is possible.

Skipped only where npm could not install them, for the reason that tests/external/install noted.
"""

from __future__ import annotations

import pytest

from tests.conftest import Scratch
from tests.external.agents import COMMIT, EXTERNAL, Api, bash, missing, plan, recorded, said

USAGE = {"input_tokens": 5000, "output_tokens": 70}


@pytest.fixture(autouse=True, params=["gemini", "opencode"])
def agent(request: pytest.FixtureRequest) -> str:
    name = str(request.param)
    reason = missing(name)
    if reason is not None and (EXTERNAL / "missing").exists():
        pytest.skip(reason)
    assert reason is None, f"{name} is not installed: {reason}"
    return name


def told(repo: Scratch, agent: str) -> dict[str, int]:
    """What the CLI itself says that it has used."""
    events = said(repo, "a")
    if agent == "gemini":
        stats = [event["stats"] for event in events if event["type"] == "result"][-1]
        return {"input": stats["input_tokens"], "output": stats["output_tokens"]}
    steps = [event["part"]["tokens"] for event in events if event["type"] == "step_finish"]
    return {kind: sum(step[kind] for step in steps) for kind in ("input", "output")}


def test_it_writes_and_commits_and_its_tokens_are_those_that_it_tells(
    repo: Scratch, environment: dict[str, str], api: Api, agent: str
) -> None:
    api.scenario("commit", [bash(COMMIT, usage=USAGE), {"text": "Committed.", "usage": USAGE}])
    environment["SCENARIO"] = "commit"
    repo.plan(plan("a", agent))
    repo.br3("run", env=environment)
    assert repo.status()["builds"]["a"]["verified"]
    assert repo.git("log", "--format=%s", "main..build/a") == "agent: add agent.txt"
    counted = recorded(repo, "a")
    assert told(repo, agent) == {"input": counted["input"], "output": counted["output"]}
    assert (counted["input"], counted["output"]) == (10_000, 140)
