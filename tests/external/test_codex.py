"""The real Codex CLI, driven by br3 against an API on the loopback interface. No paid call is possible."""

from __future__ import annotations

import signal
from pathlib import Path

from tests.conftest import Scratch, until
from tests.external.agents import COMMIT, Api, bash, plan, recorded, said


def told(repo: Scratch, build: str) -> dict[str, int]:
    """What codex itself says at the end: the sum of the whole session, over all attempts that were made in it."""
    last = [event["usage"] for event in said(repo, build) if event["type"] == "turn.completed"][-1]
    cached, written = last["cached_input_tokens"], last["cache_write_input_tokens"]
    return {
        "input": last["input_tokens"] - cached - written,
        "output": last["output_tokens"],
        "cache_write": written,
        "cache_read": cached,
    }


def test_four_write_and_commit_at_once_and_their_tokens_are_those_that_codex_tells(
    repo: Scratch, environment: dict[str, str], api: Api
) -> None:
    usage = {"input_tokens": 5000, "cache_read_input_tokens": 3000, "output_tokens": 70}
    api.scenario("commit", [bash(COMMIT, usage=usage), {"text": "Committed.", "usage": usage}])
    environment["SCENARIO"] = "commit"
    repo.plan(plan("abcd", "codex"))
    repo.br3("run", env=environment)
    builds = repo.status()["builds"]
    for build in "abcd":
        assert builds[build]["verified"]
        assert repo.git("log", "--format=%s", f"main..build/{build}") == "agent: add agent.txt"
        assert recorded(repo, build) == told(repo, build)
        assert told(repo, build) == {"input": 4000, "output": 140, "cache_write": 0, "cache_read": 6000}


def test_a_session_goes_on_after_ctrl_c_and_its_tokens_are_counted_once(
    repo: Scratch, environment: dict[str, str], api: Api, tmp_path: Path
) -> None:
    started = tmp_path / "started"
    usage = [{"input_tokens": 1000 * n, "cache_read_input_tokens": 100 * n, "output_tokens": n} for n in (1, 2, 4, 8)]
    api.scenario(
        "interrupted",
        [
            bash("echo first", usage=usage[0]),
            bash(f"touch '{started}'; sleep 600", usage=usage[1]),
            bash(COMMIT, usage=usage[2]),
            {"text": "Committed.", "usage": usage[3]},
        ],
    )
    environment["SCENARIO"] = "interrupted"
    repo.plan(plan("a", "codex"))
    process = repo.start("run", env=environment)
    until(started.exists)
    process.send_signal(signal.SIGINT)
    process.communicate()
    assert process.returncode == 130
    assert recorded(repo, "a") == {"input": 2700, "output": 3, "cache_write": 0, "cache_read": 300}
    repo.br3("run", env=environment)
    _, second = repo.events("attempt.started")
    assert second.data["resumed"]
    assert second.data["session"] == repo.events("attempt.finished")[0].data["session"]
    asked = api.requests("a")
    assert [one["step"] for one in asked] == [0, 1, 2, 3]
    assert asked[2]["nmsg"] > asked[1]["nmsg"]  # what was said before is sent again
    assert recorded(repo, "a") == {"input": 13_500, "output": 15, "cache_write": 0, "cache_read": 1500}
    # Codex's own sum lacks the answer whose tool was cut off; the API has charged it.
    assert told(repo, "a") == {"input": 11_700, "output": 13, "cache_write": 0, "cache_read": 1300}
