"""The real Claude Code, driven by br3 against an API on the loopback interface. No paid call is possible."""

from __future__ import annotations

import json
import signal
from decimal import Decimal
from pathlib import Path

import pytest

from tests.conftest import Scratch, until
from tests.external.agents import COMMIT, Api, bash, cost, plan, said

EXPENSIVE = {"input_tokens": 100_000, "output_tokens": 20_000}


def told(repo: Scratch, build: str) -> Decimal:
    """What the CLI itself says that the build's one session has cost, rounded to its float's digits.

    Its transcript has that figure also where it was ended by a signal and printed none.
    """
    sessions = {event.data["session"] for event in repo.events("attempt.started") if event.build == build}
    assert len(sessions) == 1
    (transcript,) = (repo.common_dir / "br3" / "agents" / build).rglob(f"{sessions.pop()}.jsonl")
    lines = [json.loads(line) for line in transcript.read_bytes().split(b"\n") if line]
    states = [line["totalCostUSD"] for line in lines if line["type"] == "cost-state"]
    results = [event["total_cost_usd"] for event in said(repo, build) if event["type"] == "result"]
    assert len(states) + len(results) > 0
    return round(Decimal(str(max(states + results))), 10)


def test_four_write_and_commit_at_once_and_cost_what_the_cli_says(repo: Scratch, environment: dict[str, str]) -> None:
    repo.plan(plan("abcd"))
    repo.br3("run", env=environment)
    builds = repo.status()["builds"]
    for build in "abcd":
        assert builds[build]["verified"]
        assert repo.git("log", "--format=%s", f"main..build/{build}") == "agent: add agent.txt"
        results = [event["total_cost_usd"] for event in said(repo, build) if event["type"] == "result"]
        assert [round(Decimal(str(usd)), 10) for usd in results] == [Decimal(builds[build]["cost_usd"])]
        assert cost(repo, build) == Decimal(builds[build]["cost_usd"]) > 0
    assert "Created agent.txt and committed it." in repo.br3("status", "a").out


def test_a_budget_stops_it_and_what_it_had_cost_is_what_the_cli_says(
    repo: Scratch, environment: dict[str, str], api: Api
) -> None:
    # Tools that wait: it is br3 that sees the second answer's price and stops it.
    api.scenario("spending", [bash("echo one", usage=EXPENSIVE), bash("sleep 600", usage=EXPENSIVE)])
    environment["SCENARIO"] = "spending"
    repo.plan(plan("a", defaults="budget_usd = 0.50"))
    repo.br3("run", code=4, env=environment)
    assert repo.events("attempt.finished")[0].data["cause"] == "budget"
    assert len(api.requests("a")) == 2
    assert cost(repo, "a") == told(repo, "a") == Decimal(repo.status()["builds"]["a"]["cost_usd"]) > Decimal("0.5")


def test_it_stops_itself_at_its_budget_and_what_it_had_cost_is_what_it_says(
    repo: Scratch, environment: dict[str, str], api: Api
) -> None:
    environment["SCENARIO"] = "expensive"
    repo.plan(plan("a", defaults="budget_usd = 0.50"))
    repo.br3("run", code=4, env=environment)
    assert repo.events("attempt.finished")[0].data["cause"] == "budget"
    assert cost(repo, "a") == told(repo, "a") > Decimal("0.5")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_session_goes_on_that_was_stopped_in_a_tool_and_its_total_is_the_session_s(
    repo: Scratch, environment: dict[str, str], api: Api, tmp_path: Path, number: signal.Signals
) -> None:
    usage = {"input_tokens": 10_000, "output_tokens": 500}
    # The tool outlives the CLI: one that ends first, of the same signal, may be answered by a request more.
    stays = "while kill -0 $PPID 2> /dev/null; do sleep 0.1; done"
    waiting = [bash(f"trap '' INT TERM; touch '{tmp_path / str(n)}'; {stays}", usage=usage) for n in (1, 2)]
    api.scenario(
        "interrupted",
        [bash("echo first", usage=usage), *waiting, bash(COMMIT, usage=usage), {"text": "Done.", "usage": usage}],
    )
    environment["SCENARIO"] = "interrupted"
    repo.plan(plan("a"))
    one = (10_000 * Decimal(2) + 500 * Decimal(10)) / 1_000_000  # what one answer costs, by the CLI's price list
    for stopped in (1, 2):  # and once more, when part of the session's total is known already
        process = repo.start("run", env=environment)
        until((tmp_path / str(stopped)).exists)
        process.send_signal(number)
        process.communicate()
        assert process.returncode == 130
        assert cost(repo, "a") == told(repo, "a") == (stopped + 1) * one
    repo.br3("run", env=environment)
    assert [event.data["resumed"] for event in repo.events("attempt.started")] == [False, True, True]
    asked = api.requests("a")
    assert [request["step"] for request in asked] == [0, 1, 2, 3, 4]
    lengths = [request["nmsg"] for request in asked]
    assert lengths == sorted(set(lengths))  # what was said before is sent again, each time
    assert cost(repo, "a") == told(repo, "a") == 5 * one
    assert repo.events("usage.differs") == []


def test_a_wrong_key_ends_the_build_with_the_reason(repo: Scratch, environment: dict[str, str]) -> None:
    environment["SCENARIO"] = "r403"
    repo.plan(plan("a"))
    repo.br3("run", code=1, env=environment)
    assert repo.events("build.failed")[0].data["cause"] == "auth"
    everything = "".join(p.read_text() for p in (repo.common_dir / "br3" / "journal").iterdir())
    assert environment["ANTHROPIC_API_KEY"] not in everything
