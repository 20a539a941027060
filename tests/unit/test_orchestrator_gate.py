"""The gate at which builds wait for a limit to end."""

from __future__ import annotations

from pathlib import Path

import pytest

from br3.orchestrator.gate import Gate
from br3.telemetry import Lock


@pytest.fixture
def now() -> list[float]:
    """The clock, to be set."""
    return [1_000_000.0]


@pytest.fixture
def gate(tmp_path: Path, now: list[float]) -> Gate:
    """The gate of builds a and b, which are both at work."""
    locks = [Lock(tmp_path, "build", build) for build in "ab"]
    for lock in locks:
        lock.acquire()
    return Gate(tmp_path, "claude", "sonnet", clock=lambda: now[0], spread=lambda: 1.0)


def test_nobody_starts_before_the_time_is_over_and_then_one_goes_first(gate: Gate, now: list[float]) -> None:
    assert gate.wait_s("a") == 0
    assert gate.hit(3.0) == 3.0
    now[0] += 2
    assert gate.wait_s("a") == 1.0
    now[0] += 1
    assert gate.wait_s("a") == 0
    assert gate.wait_s("b") > 0
    gate.passed()
    assert gate.wait_s("b") == 0


def test_who_went_first_and_meets_the_limit_again_is_not_joined_by_another(gate: Gate, now: list[float]) -> None:
    gate.hit(3.0)
    now[0] += 3
    assert gate.wait_s("a") == 0
    gate.hit(3.0)
    now[0] += 200  # a's agent tries again by itself
    gate.hit(3.0)
    now[0] += 4
    assert gate.wait_s("b") > 0
    gate.release("b")
    assert gate.wait_s("b") > 0
    gate.release("a")
    assert gate.wait_s("b") == 0
    assert gate.wait_s("a") > 0
