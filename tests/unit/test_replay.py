"""States are what replaying events gives."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from br3.telemetry.events import Event
from br3.telemetry.replay import BUILD_ENDED, BUILD_MOVES, BuildView, IllegalMove, advance, lineage, replay, spent


def event(kind: str, seq: int, gen: int = 1, **more: Any) -> Event:
    fields: dict[str, Any] = {"run": "r", "build": None, "task": None, "attempt": None, "data": {}} | more
    return Event(ts=f"t{seq:04}", seq=seq, gen=gen, kind=kind, severity="info", pid=1, host="h", **fields)


def build_events(*kinds: str) -> list[Event]:
    return [event(kind, n, build="b") for n, kind in enumerate(kinds, start=1)]


def test_a_build_goes_through_its_states() -> None:
    events = build_events("build.preparing", "build.started", "build.verifying", "build.repairing", "build.verifying")
    assert replay(events)["r"].builds["b"].state == "verifying"
    ended = replay([*events, event("build.verified", 9, build="b", data={"commit": "c"})])["r"].builds["b"]
    assert (ended.state, ended.commit, ended.ended) == ("verified", "c", True)


def test_the_order_is_generation_and_sequence_never_the_clock() -> None:
    late_clock = event("build.started", 1, gen=1, build="b")
    early_clock = Event(**{**event("build.failed", 1, gen=2, build="b").__dict__, "ts": "s"})
    view = replay([early_clock, late_clock])["r"]
    assert view.builds["b"].state == "failed"
    assert view.problems == []


def test_an_illegal_event_is_noted_and_not_applied() -> None:
    view = replay(build_events("build.started", "build.verified"))["r"]
    assert view.builds["b"].state == "running"
    assert "build.verified is not possible in state running" in view.problems[0]


def test_a_writer_s_illegal_move_raises() -> None:
    with pytest.raises(IllegalMove):
        advance(BuildView("b"), "build.verified", gen=1)


@given(st.lists(st.sampled_from(sorted(BUILD_MOVES)), max_size=12))
def test_nothing_but_a_retry_leads_out_of_an_end(kinds: list[str]) -> None:
    state = "pending"
    for n in range(len(kinds)):
        now = replay(build_events(*kinds[: n + 1]))["r"].builds["b"].state
        assert state not in BUILD_ENDED or now == ("pending" if kinds[n] == "build.retried" else state)
        state = now


def test_all_builds_of_a_run_are_there_from_the_start() -> None:
    view = replay([event("run.created", 1, data={"builds": ["a", "b"]})])["r"]
    assert (view.state, {b: v.state for b, v in view.builds.items()}) == ("created", {"a": "pending", "b": "pending"})


def attempt_events(number: int, *usage: dict[str, Any]) -> list[Event]:
    common = {"build": "b", "task": "t", "attempt": number}
    first = number * 10
    return [
        event("attempt.started", first, **common),
        *(event("usage.recorded", first + 1 + n, data=u, **common) for n, u in enumerate(usage)),
        event("attempt.finished", first + 9, data={"outcome": "succeeded"}, **common),
    ]


def test_costs_add_up_exactly_and_one_unknown_makes_the_sum_unknown() -> None:
    known = attempt_events(1, {"cost_usd": "0.1", "input_tokens": 5}, {"cost_usd": "0.2", "output_tokens": 7})
    runs = replay(known)
    took = spent([runs["r"]], "b")
    assert (took.cost_usd, took.tokens) == (Decimal("0.3"), 12)
    runs = replay([*known, *attempt_events(2, {"cost_usd": None, "input_tokens": 1})])
    took = spent([runs["r"]], "b")
    assert (took.cost_usd, took.tokens) == (None, 13)
    assert spent([replay([*known, *attempt_events(3)])["r"]], "b").cost_usd is None


def test_of_a_sum_that_is_not_known_the_known_part_is() -> None:
    events = [*attempt_events(1, {"cost_usd": "0.1"}, {"cost_usd": None, "input_tokens": 5}), *attempt_events(2)]
    runs = [replay(events)["r"]]
    assert (spent(runs, "b").cost_usd, spent(runs, "b").known_usd) == (None, Decimal("0.1"))
    assert spent(runs) == spent(runs, "b")
    assert [attempt.silent for attempt in runs[0].builds["b"].attempts] == [False, True], "tokens were told"
    (attempt,) = replay(attempt_events(3, {"cost_usd": "0.1"}, {"cost_usd": None}))["r"].builds["b"].attempts
    assert (attempt.cost_usd, attempt.known_usd, attempt.silent) == (None, Decimal("0.1"), True)


def test_nothing_reported_is_not_known_rather_than_zero() -> None:
    assert spent([replay(attempt_events(1))["r"]], "b").cost_usd is None
    assert spent([replay(build_events("build.started"))["r"]], "b").cost_usd is None


def test_a_lineage_ends_even_when_it_bites_its_tail() -> None:
    first = event("run.created", 1, run="x", data={"continues": "y"})
    second = event("run.created", 1, run="y", data={"continues": "x"})
    assert [run.id for run in lineage(replay([first, second]), "x")] == ["x", "y"]


def test_a_retried_build_begins_again_with_the_tasks_that_were_retried() -> None:
    def task(kind: str, number: int, name: str) -> Event:
        return event(kind, number, build="b", task=name)

    first = [event("build.started", 1, build="b"), task("task.started", 2, "1"), task("task.completed", 3, "1")]
    first += [task("task.started", 4, "2"), task("task.failed", 5, "2"), event("build.failed", 6, build="b")]
    again = [event("build.retried", 7, build="b", data={"model": "m"}), task("task.retried", 8, "2")]
    view = replay([*first, *again])["r"]
    build = view.builds["b"]
    assert (build.state, build.beginning, build.retry) == ("pending", True, {"model": "m"})
    assert [(t.id, t.state) for t in build.tasks.values()] == [("1", "completed"), ("2", "pending")]
    assert view.problems == []
    assert not replay([*first, *again, event("build.started", 9, build="b")])["r"].builds["b"].beginning


def test_a_build_is_paused_until_it_goes_on_or_moves() -> None:
    paused = build_events("build.started", "build.paused")
    assert replay(paused)["r"].builds["b"].paused
    for kind in ("build.continued", "build.resumed", "build.failed"):
        assert not replay([*paused, event(kind, 9, build="b")])["r"].builds["b"].paused
