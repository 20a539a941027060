"""The gate for builds that use one agent and model: when nobody starts, who goes first, and when it opens."""

from __future__ import annotations

from pathlib import Path

import pytest

from br3.orchestrator.gate import LONGEST_S, Gate
from br3.telemetry import Lock


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def gate(tmp_path: Path, clock: Clock) -> Gate:
    return Gate(tmp_path, "claude", "sonnet", clock=clock, spread=lambda: 1.0)


def test_without_a_limit_everybody_starts(gate: Gate) -> None:
    assert gate.wait_s("a") == gate.wait_s("b") == 0


def test_nobody_starts_before_the_time_that_the_api_asked_for(gate: Gate, clock: Clock) -> None:
    assert gate.hit(30) == 30
    clock.now += 29
    assert gate.wait_s("a") == gate.wait_s("b") == 1


def test_another_model_has_a_gate_of_its_own(gate: Gate, tmp_path: Path, clock: Clock) -> None:
    gate.hit(30)
    assert Gate(tmp_path, "claude", "opus", clock=clock).wait_s("a") == 0
    assert Gate(tmp_path, "claude", "sonnet", clock=clock).wait_s("a") == 30


def test_one_goes_first_and_the_others_follow_when_it_was_answered(gate: Gate, tmp_path: Path, clock: Clock) -> None:
    gate.hit(30)
    clock.now += 30
    with Lock(tmp_path, "build", "a"):
        assert gate.wait_s("a") == 0
        assert gate.wait_s("b") == gate.wait_s("c") == 1
        assert gate.wait_s("a") == 0  # it asks again
        gate.passed()
        assert gate.wait_s("b") == gate.wait_s("c") == 0


def test_one_that_went_first_and_died_or_was_never_answered_holds_up_nobody(
    gate: Gate, tmp_path: Path, clock: Clock
) -> None:
    gate.hit(30)
    clock.now += 30
    assert gate.wait_s("a") == 0  # its lock is not held: it is dead
    assert gate.wait_s("b") == 0
    with Lock(tmp_path, "build", "b"):
        assert gate.wait_s("c") == 1
        clock.now += 121
        assert gate.wait_s("c") == 0


def test_waits_without_a_time_double_and_have_a_bound(gate: Gate, clock: Clock) -> None:
    waits = []
    for _ in range(10):
        waits.append(gate.hit(None))
        clock.now += waits[-1]
    assert waits == [5, 10, 20, 40, 80, 160, 300, 300, 300, 300]


def test_waits_are_spread_over_the_whole_time_but_never_nothing(tmp_path: Path, clock: Clock) -> None:
    for spread, wait in ((0.0, 1.0), (0.5, 2.5)):
        assert Gate(tmp_path, "claude", str(spread), clock=clock, spread=lambda s=spread: s).hit(None) == wait


def test_hits_of_several_builds_at_once_are_one(gate: Gate, clock: Clock) -> None:
    assert gate.hit(None) == 5
    clock.now += 1
    assert gate.hit(3) == 4  # the longer one counts
    assert gate.hit(10) == 10
    clock.now += 10
    assert gate.hit(None) == 10  # the second in a row


def test_an_answer_opens_the_gate_only_when_the_wait_is_over(gate: Gate, clock: Clock) -> None:
    gate.hit(30)
    gate.passed()  # of a conversation that was begun before
    assert gate.wait_s("a") == 30
    clock.now += 30
    gate.passed()
    assert gate.hit(None) == 5


@pytest.mark.parametrize("asked", [LONGEST_S + 1, 4_294_967.0])
def test_the_api_cannot_ask_for_more_than_an_hour(gate: Gate, asked: float) -> None:
    assert gate.hit(asked) == LONGEST_S


def test_a_wait_of_nothing_is_a_wait_of_a_second(gate: Gate) -> None:
    assert gate.hit(0) == 1


def test_a_clock_that_is_set_back_does_not_lengthen_the_wait(gate: Gate, clock: Clock) -> None:
    gate.hit(30)
    clock.now -= 3600
    assert gate.wait_s("a") == 30
    clock.now += 30
    assert gate.wait_s("a") == 0


def test_a_limit_of_long_ago_holds_up_nobody(gate: Gate, tmp_path: Path, clock: Clock) -> None:
    gate.hit(30)
    clock.now += 1000
    with Lock(tmp_path, "build", "a"):
        assert gate.wait_s("a") == gate.wait_s("b") == 0


def test_a_damaged_file_is_no_limit(gate: Gate, tmp_path: Path) -> None:
    gate.hit(30)
    next((tmp_path / "br3" / "gates").iterdir()).write_text("{")
    assert gate.wait_s("a") == 0
