"""The script that fits the coefficients, on made-up data of the same form."""

from __future__ import annotations

import csv
import gzip
import json
import random
from pathlib import Path
from typing import Any

import pytest

from br3.estimate import fitting
from br3.estimate.features import text_features
from br3.estimate.model import RATINGS, Coefficients

HARD = "The parser keeps a stale cache of each query and the recursion never ends " * 3


def table(path: Path, rows: list[dict[str, Any]]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Sixty tasks of three repositories: what is hard is long, speaks of parsers, and was rated and ran accordingly."""
    r = random.Random(7)
    tasks, judged, haiku, opus = [], [], [], []
    for n in range(60):
        hard, name = n % 2, f"t{n}"
        tasks.append(
            {
                "instance_id": name,
                "repo": f"r{n % 3}",
                "text": (HARD if hard else "Fix the colour of a button") + f" {n}",
                "human_minutes_midpoint": 120 if hard else 8,
                "repo_repo_loc": 1000 + n,
                "repo_bm_ent": 2.2 if hard else 1.8,
                "cost_opus45": -1e9,
                "mean_z_log_cost_25_miniswe_models": 1e9,
            }
        )
        judged.append({"instance_id": name, **dict.fromkeys(RATINGS, 4 if hard else 2), "solution_hint": 2 - hard})
        seconds = (600 if hard else 200) * r.uniform(0.8, 1.2)
        haiku.append({"instance_id": name, "turns": seconds / 8, "duration_sec": seconds, "polydev": str(n == 5)})
        opus.append({"instanceId": name, "costUsd": (0.9 if hard else 0.3) * r.uniform(0.8, 1.2), "durationMs": 9e4})
    (tmp_path / "swebench_verified_lite.jsonl").write_text("".join(json.dumps(task) + "\n" for task in tasks))
    table(tmp_path / "llm_judge_opus46_verified_problem_only.csv", judged)
    table(tmp_path / "claudecode_haiku45_verified500.csv", haiku)
    table(tmp_path / "claudecode_opus45_verified100.csv", opus)
    phases = [{"minutes": 5 + 3 * n, "n_deliv": n, "n_new": n, "n_mod": 9 - n} for n in range(10)]
    table(tmp_path / "br3_own_phases.csv", phases)
    with gzip.open(tmp_path / "storypoints.csv.gz", "wt", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["project", "text", "storypoint"])
        for n in range(140):
            project = f"p{n % 7}"
            writer.writerow(
                [project, f"epic design by someone{'abcdefg'[n % 7]}" if n % 2 else "typo in label", 13 if n % 2 else 1]
            )
    return tmp_path


def fitted(data: Path) -> dict[str, Any]:
    vocabulary = fitting.fit_vocabulary(data)
    return fitting.fit(fitting.read_tasks(data, vocabulary), vocabulary, fitting.read_phases(data), "2026-01-01")


def test_fitting_is_deterministic(data: Path) -> None:
    assert json.dumps(fitted(data)) == json.dumps(fitted(data))


def test_what_is_fitted_orders_the_tasks(data: Path) -> None:
    known = Coefficients(fitted(data))

    def effect(text: str, **ratings: float) -> float:
        return known.effect("cost", text_features(text, known.vocabulary(text)), ratings or None)

    assert effect(HARD) > effect("Fix the colour of a button")
    rated = {"codebase_scope": 3.0, "solution_hint": 1.0}
    assert effect(HARD, debugging_complexity=5, **rated) > effect(HARD, debugging_complexity=1, **rated)


def test_outcomes_that_may_not_be_fitted_on_are_not_read(data: Path) -> None:
    before = fitted(data)
    path = data / "swebench_verified_lite.jsonl"
    path.write_text(path.read_text().replace("-1000000000.0", "5").replace("1000000000.0", "7"))
    assert "1000000000.0" not in path.read_text()
    assert fitted(data) == before


def test_runs_of_several_models_are_left_out(data: Path) -> None:
    tasks = {task.id: task for task in fitting.read_tasks(data, {})}
    assert tasks["t5"].haiku_seconds is None
    assert tasks["t6"].haiku_seconds is not None


def test_the_vocabulary_knows_large_from_small_and_no_names(data: Path) -> None:
    vocabulary = fitting.fit_vocabulary(data)
    assert vocabulary["design"][1] > 0 > vocabulary["typo"][1]
    assert not [word for word in vocabulary if word.startswith("someone")]
    assert fitting.said(vocabulary, "design an epic") == pytest.approx(
        Coefficients(fitted(data)).vocabulary("design an epic")
    )


def test_more_to_do_is_never_less_work(data: Path) -> None:
    plan = fitted(data)["plan"]
    assert plan["new_files"][2] > 0
    assert all(weight >= 0 for _, _, weight in plan.values())


def test_the_larger_the_penalty_the_smaller_the_weights() -> None:
    rows = [{"x": float(n)} for n in range(20)]
    target = [2.0 * n for n in range(20)]
    small, large = (fitting.ridge(rows, ["x"], target, penalty)["x"][2] for penalty in (0.001, 50.0))
    assert small == pytest.approx(2 * fitting.ridge(rows, ["x"], target, 0.0)["x"][1], rel=1e-3)
    assert large < small / 2
