"""Own runs out of a real analytics file: what counts, what is left out, what a wrong file says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from br3.analytics import fold
from br3.errors import Br3Error
from br3.estimate.estimating import Looked, estimate, learned
from br3.estimate.history import own_runs_of
from tests.integration.journals import at, attempt, line, segment

RUN = "20260302-100000-aaaa"
USAGE = {"input_tokens": 10, "output_tokens": 20, "source": "agent"}


def used(cost: str | None, model: str = "claude-opus-4-5") -> dict[str, Any]:
    return {"model": model, "cost_usd": cost, **USAGE}


def built(
    build: str, attempts: list[bytes], *, ends: str = "verified", run: str = RUN, first: int = 0, began: float = 0
) -> list[bytes]:
    """The lines of a build around its attempts."""
    where: dict[str, Any] = {"run": run, "build": build}
    return [
        line("build.preparing", first + 1, ts=at(began), **where),
        line("build.started", first + 2, ts=at(began), **where),
        *attempts,
        line("build.verifying", first + 90, ts=at(began + 900), **where),
        line(f"build.{ends}", first + 91, ts=at(began + 901), **where),
    ]


def estimated(build: str, seq: int, *, model: str = "opus", run: str = RUN, **data: Any) -> bytes:
    figures = {"model": model, "cost_p50_usd": "0.50", "cost_p90_usd": "1.50", "minutes_p50": 2.0, **data}
    return line("estimate.made", seq, ts=at(0), run=run, build=build, data=figures)


def folded(tmp_path: Path, *lines: list[bytes]) -> Path:
    for number, some in enumerate(lines):
        segment(tmp_path, f"s{number}", some)
    fold(tmp_path)
    return tmp_path


def test_a_run_is_all_attempts_of_a_build_failed_ones_too(tmp_path: Path) -> None:
    attempts = [
        *attempt(RUN, "a", "A", 1, 10, outcome="failed", took_s=120, usage=[used("0.25")]),
        *attempt(RUN, "a", "A", 2, 20, took_s=60, began=200, usage=[used("0.50"), used("0.25", "claude-haiku-4-5")]),
    ]
    (run,) = own_runs_of(folded(tmp_path, built("a", attempts)))
    assert run.cost_usd == pytest.approx(1.0)
    assert run.minutes == pytest.approx(3.0)
    assert (run.agent, run.model, run.id) == ("claude", "claude-opus-4-5", f"{RUN}/a")


def test_what_was_estimated_of_it_comes_along(tmp_path: Path) -> None:
    lines = [
        estimated("a", 1, model="haiku", features={"lines": 9.0}),
        estimated("a", 2, features={"lines": 1.5, "nonsense": 3, "owns": "many"}, work="build"),
        *built("a", attempt(RUN, "a", "A", 1, 10, model="claude-opus-5-5", usage=[used("1", "claude-opus-5-5")])),
    ]
    (run,) = own_runs_of(folded(tmp_path, lines), "here")
    assert run.features == {"lines": 1.5}
    assert (run.kind, run.repository, run.predicted_p50_usd, run.predicted_p90_usd) == ("build", "here", 0.5, 1.5)
    assert run.predicted_p50_minutes == 2.0


def test_a_failed_build_counts_and_a_cancelled_one_does_not(tmp_path: Path) -> None:
    lines = [
        *built("a", attempt(RUN, "a", "A", 1, 10, usage=[used("1")]), ends="failed"),
        *built("b", attempt(RUN, "b", "B", 1, 110, usage=[used("2")]), ends="cancelled", first=100),
    ]
    assert [run.id for run in own_runs_of(folded(tmp_path, lines))] == [f"{RUN}/a"]


def test_a_cost_that_is_not_known_is_not_nothing(tmp_path: Path) -> None:
    lines = built("a", attempt(RUN, "a", "A", 1, 10, usage=[used(None, "nobody-knows-it")]))
    (run,) = own_runs_of(folded(tmp_path, lines))
    assert run.cost_usd is None
    assert run.minutes == pytest.approx(1.0)


def test_a_cost_that_is_known_in_part_only_is_not_taken_for_the_whole(tmp_path: Path) -> None:
    attempts = attempt(RUN, "a", "A", 1, 10, usage=[used("1"), used(None, "nobody-knows-it")])
    (run,) = own_runs_of(folded(tmp_path, built("a", attempts)))
    assert run.cost_usd is None


def test_runs_come_in_the_order_in_which_they_ended(tmp_path: Path) -> None:
    lines = [
        *built("late", attempt(RUN, "late", "A", 1, 10, began=5000, usage=[used("1")]), began=5000),
        *built("early", attempt(RUN, "early", "B", 1, 110, usage=[used("2")]), first=100),
    ]
    assert [run.id.rpartition("/")[2] for run in own_runs_of(folded(tmp_path, lines))] == ["early", "late"]


def test_own_history_moves_the_estimate(tmp_path: Path) -> None:
    lines: list[bytes] = []
    for number in range(6):
        attempts = attempt(RUN, f"b{number}", "A", 1, 10 + 100 * number, usage=[used("20")])
        lines += built(f"b{number}", attempts, first=100 * number)
    history = learned(own_runs_of(folded(tmp_path, lines)))
    before, after = (estimate("Fix it", Looked(), h, ["claude-opus-4-5"], agent="claude") for h in (learned(), history))
    cheap, dear = before.cost_usd["claude-opus-4-5"], after.cost_usd["claude-opus-4-5"]
    assert cheap is not None and dear is not None
    assert dear.p50 > 3 * cheap.p50
    assert (before.own_runs, before.prior_only, after.own_runs, after.prior_only) == (0, True, 6, False)


def test_without_an_analytics_file_there_are_no_runs(tmp_path: Path) -> None:
    assert own_runs_of(tmp_path) == []


def test_a_file_that_is_no_analytics_file_is_told_in_words(tmp_path: Path) -> None:
    (tmp_path / "br3").mkdir()
    (tmp_path / "br3" / "analytics.duckdb").write_bytes(b"no database" * 1000)
    with pytest.raises(Br3Error):
        own_runs_of(tmp_path)
