"""What own runs teach, and back-tests of it. All runs are made up."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from br3.errors import UsageError
from br3.estimate import replay
from br3.estimate.calibration import Calibration, Prior, Run, middle_of
from br3.estimate.model import Target, coefficients
from br3.estimate.reporting import report
from br3.estimate.ridge import solve

PRIORS: dict[Target, Prior | None] = {"cost": Prior(math.log(1.0)), "minutes": Prior(math.log(5.0))}


def calibrated(runs: list[Run], priors: Mapping[Target, Prior | None] = PRIORS) -> Calibration:
    return Calibration(coefficients(), ((run, priors) for run in runs))


def p50(calibration: Calibration, model: str = "m", prior: Prior | None = PRIORS["cost"], **how: Any) -> float:
    found = calibration.predict("cost", model, prior, how.pop("features", {}), **how)
    assert found is not None
    return found.p50


def rows(count: int, *, seed: int = 1, spread: float = 0.5, model: str = "claude-opus-4-5") -> list[replay.Row]:
    r = random.Random(seed)
    return [
        replay.row_of(
            {
                "id": f"r{at}",
                "text": f"Task {at}\n" + "parse the query " * r.randint(1, 9),
                "repo": {"repo_repo_loc": r.randint(100, 9000)},
                "model": model,
                "cost_usd": math.exp(r.gauss(-1, spread)),
                "minutes": math.exp(r.gauss(1, spread)),
            },
            lambda path, text: {},
        )
        for at in range(count)
    ]


def test_without_runs_the_prior_is_told() -> None:
    assert p50(calibrated([])) == pytest.approx(1.0)


def test_own_runs_draw_the_median_the_more_the_more_there_are() -> None:
    few, many = (p50(calibrated([Run("m", cost_usd=4.0)] * n)) for n in (2, 40))
    assert 1.0 < few < many < 4.0
    assert few == pytest.approx(2.0)  # n / (n + 2) of the way, in logarithms
    assert many > 3.7


def test_a_prior_that_was_measured_gives_way_more_slowly() -> None:
    runs = [Run("m", cost_usd=4.0)] * 4
    measured: dict[Target, Prior | None] = {"cost": Prior(0.0, measured=True), "minutes": None}
    assert p50(calibrated(runs, measured)) < p50(calibrated(runs))


def test_runs_of_another_model_move_the_prior_too() -> None:
    assert p50(calibrated([Run("other", cost_usd=4.0)] * 10)) > 1.3


def test_agents_are_told_apart() -> None:
    calibration = calibrated([Run("m", agent="claude", cost_usd=8.0)] * 4)
    assert p50(calibration, agent="claude") > 2 * p50(calibration, agent="codex")


def test_a_repository_whose_tasks_are_dear_gets_an_offset() -> None:
    runs = [Run("m", repository=place, cost_usd=cost) for place, cost in (("a", 1.0), ("b", 6.0)) for _ in range(20)]
    random.Random(3).shuffle(runs)
    calibration = calibrated(runs)
    assert p50(calibration, repository="b") > 1.5 * p50(calibration, repository="a")


def test_prior_only_is_said_below_five_runs() -> None:
    for count, only in ((0, True), (4, True), (5, False)):
        found = calibrated([Run("m", cost_usd=1.0)] * count).predict("cost", "m", PRIORS["cost"], {})
        assert found is not None
        assert (found.own_runs, found.prior_only) == (count, only)


def test_a_miss_of_p90_widens_it_and_hits_narrow_it() -> None:
    def width(*costs: float) -> float:
        found = calibrated([Run("m", cost_usd=cost) for cost in costs]).predict("cost", "m", PRIORS["cost"], {})
        assert found is not None
        return found.p90 / found.p50

    start = width()
    assert width(1.0, 1.0, 1.0) < start < width(1.0, 1.0, 500.0)


def test_coverage_of_p90_holds_for_a_model_whose_runs_spread_more_than_the_shipped_ones() -> None:
    found = replay.metrics(replay.replay(rows(150, spread=1.6)))["cost_usd"]
    assert 0.85 <= found["coverage_p90_from_11"] <= 0.95


def test_own_runs_change_the_weights_of_features() -> None:
    r = random.Random(5)
    runs = []
    for _ in range(400):
        new = r.choice([0.0, 2.0])
        runs.append(Run("m", features={"verification": new}, cost_usd=math.exp(new + r.gauss(0, 0.3))))
    calibration = calibrated(runs)
    assert p50(calibration, features={"verification": 2.0}) > 1.5 * p50(calibration, features={"verification": 0.0})


def test_a_run_without_a_cost_teaches_its_minutes_only() -> None:
    calibration = calibrated([Run("m", minutes=50.0)] * 5)
    assert p50(calibration) == pytest.approx(1.0)
    minutes = calibration.predict("minutes", "m", PRIORS["minutes"], {})
    assert minutes is not None and minutes.p50 > 20


def test_nothing_is_made_up_where_neither_price_nor_run_says_anything() -> None:
    unknown: dict[Target, Prior | None] = {"cost": None, "minutes": None}
    assert calibrated([]).predict("cost", "m", None, {}) is None
    known = calibrated([Run("m", cost_usd=3.0)], unknown).predict("cost", "m", None, {})
    assert known is not None and known.p50 == pytest.approx(3.0)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.floats(1e-9, 1e9), st.floats(1e-9, 1e9), st.sampled_from("ab")), max_size=60))
def test_whatever_was_seen_p50_is_finite_and_not_above_p90(seen: list[tuple[float, float, str]]) -> None:
    calibration = calibrated(
        [Run(model, features={"lines": cost}, cost_usd=cost, minutes=minutes) for cost, minutes, model in seen]
    )
    for target in ("cost", "minutes"):
        found = calibration.predict(target, "a", PRIORS[target], {"lines": 3.0})  # type: ignore[arg-type, index]
        assert found is not None
        assert 0 < found.p50 <= found.p90 < math.inf


def test_the_middle_ignores_outliers() -> None:
    assert middle_of([1, 2, 3, 4, 1000]) == 3
    assert middle_of([1, 5]) == 3


def test_equations_are_solved() -> None:
    assert solve([[4.0, 2.0], [2.0, 3.0]], [10.0, 8.0]) == pytest.approx([1.75, 1.5])


def test_a_replay_never_knows_an_outcome_before_its_turn() -> None:
    first = rows(30)
    other = [*first[:-1], replay.Row(**{**first[-1].__dict__, "cost_usd": 9999.0, "minutes": 9999.0})]
    assert [one.as_json() for one in replay.replay(first)] == [one.as_json() for one in replay.replay(other)]


def test_a_replay_learns_from_the_outcomes_before() -> None:
    taken = rows(30)
    dear = [replay.Row(**{**row.__dict__, "cost_usd": 50.0}) for row in taken[:-1]] + taken[-1:]
    one, other = replay.replay(taken)[-1].cost, replay.replay(dear)[-1].cost
    assert one is not None and other is not None
    assert other.p50 > 10 * one.p50


def test_metrics_tell_how_good_the_estimates_were() -> None:
    found = replay.metrics(replay.replay(rows(60)))
    assert found["runs"] == 60
    cost = found["cost_usd"]
    assert set(cost["bias"]) == {"claude-opus-4-5"}
    assert 0.3 <= cost["coverage_p50"] <= 0.7
    assert 1.0 < cost["median_error_factor"] < 2.5
    assert -1 <= cost["rho"] <= 1


def test_a_report_compares_what_was_recorded_with_what_came() -> None:
    told = {"predicted_p50_usd": 1.0, "predicted_p90_usd": 3.0, "predicted_p50_minutes": 5.0}
    runs = [
        Run("a", kind="task", cost_usd=0.5, **told),
        Run("a", cost_usd=2.0, **told),
        Run("b", cost_usd=8.0, minutes=9.0, **told),
        Run("b", cost_usd=9.0),
        Run("b", **told),
    ]
    made = report(runs)
    assert made.runs == 3
    assert (made.coverage_p50, made.coverage_p90) == (pytest.approx(1 / 3), pytest.approx(2 / 3))
    assert made.median_error_factor == pytest.approx(2.0)
    assert [(one.name, one.runs) for one in made.by_model] == [("a", 2), ("b", 1)]
    assert made.by_model[1].median_error == pytest.approx(math.log(8))
    assert [one.name for one in made.by_kind] == ["build", "task"]
    assert report(runs, "minutes").runs == 0
    assert report([]).coverage_p90 is None


def test_metrics_of_nothing_are_unknown() -> None:
    assert replay.metrics([])["cost_usd"]["rho"] is None


def test_a_perfect_order_has_rho_one() -> None:
    assert replay.spearman([1, 2, 3], [10, 20, 30]) == pytest.approx(1)
    assert replay.spearman([1, 2, 3], [3, 2, 1]) == pytest.approx(-1)
    assert replay.spearman([1, 1, 2], [5, 5, 9]) == pytest.approx(1)
    assert replay.spearman([1, 1], [1, 2]) is None


def test_rows_are_read_with_a_path_or_an_object_as_repository(tmp_path: Path) -> None:
    file = tmp_path / "runs.jsonl"
    common = {"text": "t", "model": "m", "cost_usd": 1, "minutes": None}
    told = [{"id": 1, "repo": "here", **common}, {"id": "b", "repo": {"repo_repo_loc": 9}, **common}]
    file.write_text("\n".join(map(json.dumps, told)) + "\n\n")
    asked: list[tuple[Path, str]] = []

    def features_at(path: Path, text: str) -> dict[str, float]:
        asked.append((path, text))
        return {"entropy": 2.0}

    one, other = replay.read(file, features_at)
    assert asked == [(Path("here"), "t")]
    assert (one.id, one.features, one.repository, one.minutes) == ("1", {"entropy": 2.0}, "here", None)
    assert other.features == {"repository_lines": pytest.approx(math.log(10))}


@pytest.mark.parametrize(
    "line",
    [
        "nonsense",
        "[1]",
        '{"id": 1}',
        '{"id":1,"text":5,"model":"m"}',
        '{"id":1,"text":"t","model":"m","repo":7}',
        '{"id":1,"text":"t","model":"m","cost_usd":"much"}',
    ],
)
def test_a_row_that_is_none_is_told_with_its_line(tmp_path: Path, line: str) -> None:
    file = tmp_path / "runs.jsonl"
    file.write_text('{"id": 1, "text": "t", "model": "m"}\n' + line + "\n")
    with pytest.raises(UsageError, match=r"runs\.jsonl:2: expected an object"):
        replay.read(file, lambda path, text: {})


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="can't be read"):
        replay.read(tmp_path / "none.jsonl", lambda path, text: {})
