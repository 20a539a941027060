"""Rate limits with the real Claude Code: one gate for all builds, and what passes it."""

from __future__ import annotations

import signal
from collections.abc import Iterable
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

from br3.telemetry import Event
from tests.conftest import Scratch, until
from tests.external.agents import COMMIT, Api, bash, plan

LIMIT = {"status": 429, "message": "This request would exceed your organization's rate limit"}
AGAIN = COMMIT.replace("hello", "again")


def conversation(request: dict[str, Any]) -> str:
    """Which conversation a request belongs to: the CLI names its session in a header."""
    return str(request["hdr"]["x-claude-code-session-id"])


def begin(requests: Iterable[dict[str, Any]]) -> dict[str, float]:
    """When each conversation made its first request, in Unix time."""
    first: dict[str, float] = {}
    for request in requests:
        first.setdefault(conversation(request), request["t"])
    return first


def time_of(event: Event) -> float:
    """When it happened, in Unix time."""
    return datetime.fromisoformat(event.ts).timestamp()


def test_after_a_limit_only_conversations_that_had_begun_go_on(
    repo: Scratch, environment: dict[str, str], api: Api, tmp_path: Path
) -> None:
    """In the three seconds that the API asks for, all requests are of conversations that had made one before.

    Those are held until br3 has heard of the limit: what they go on with, and the second tasks that are next, come
    after it.
    """
    limit, free = tmp_path / "limit", tmp_path / "free"
    second = [bash(AGAIN), {"text": "Done."}]
    api.scenario(
        "tasks.a", [{**LIMIT, "retry_after": 3, "await": str(limit)}, bash(COMMIT), {"text": "Done."}, *second]
    )
    api.scenario("tasks", [bash(COMMIT, **{"await": str(free)}), {"text": "Done."}, *second])
    environment["SCENARIO"] = "tasks"
    repo.plan(plan("abcd", tasks=2, head="jobs = 4"))
    process = repo.start("run", env=environment)
    until(lambda: {one["run"] for one in api.requests()} == set("abcd"))
    limit.touch()
    hit = until(lambda: repo.events("rate_limit.hit"))[0]
    free.touch()
    out, err = process.communicate()
    assert process.returncode == 0, out + err

    closed = time_of(hit)
    opens = closed + 3
    window = [one for one in api.requests() if closed <= one["t"] < opens]
    began = begin(api.requests())
    assert {one["run"] for one in window} >= set("bcd")  # they were let go on
    assert [one["run"] for one in window if began[conversation(one)] >= closed] == []
    started = [event for event in repo.events("attempt.started") if event.task == "T2"]
    assert len(started) == 4
    assert min(time_of(event) for event in started) >= opens
    assert len(repo.events("rate_limit.hit")) == 1


def test_a_limit_that_never_ends_is_met_by_few_requests_and_the_run_can_be_stopped(
    repo: Scratch, environment: dict[str, str], api: Api, tracked: str
) -> None:
    """An attempt makes three requests at most (the CLI tries again twice); then one build tries at a time."""
    environment["SCENARIO"] = "r429"
    repo.plan(plan("abcd", head="jobs = 4", defaults="fallback = []"))
    process = repo.start("run", env=environment)
    # The waits grow: one more than the first four has to do.
    until(lambda: len(repo.events("attempt.finished")) >= 5, seconds=300)
    process.send_signal(signal.SIGINT)
    process.communicate()
    assert process.returncode == 130
    for build in "abcd":
        attempts = [event for event in repo.events("attempt.started") if event.build == build]
        assert len(attempts) <= len(api.requests(build)) <= 3 * len(attempts)
    # The first four were at work before anybody knew of the limit. Those after them come singly, each as late as the
    # last answer asked.
    events = [event for event in repo.events("attempt.started", "attempt.finished") if event.attempt != 1]
    events.sort(key=lambda event: event.ts)
    assert len(events) >= 2
    for before, event in pairwise(events):
        if event.kind == "attempt.finished":
            assert (before.kind, before.build) == ("attempt.started", event.build)
        else:
            assert before.kind == "attempt.finished"
            last = max(one["t"] for one in api.requests(before.build) if one["t"] < time_of(before))
            assert time_of(event) - last >= 1
