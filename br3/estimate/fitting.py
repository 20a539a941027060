"""Makes ``coefficients.json``: ``python -m br3.estimate.fitting DATA_DIR [--date YYYY-MM-DD]``. For development only.

Deterministic, standard library only. Read are the files whose licence allows a fitted number to be shipped:

- ``swebench_verified_lite.jsonl``: texts, ``repo_*`` features, minutes that people were thought to need;
- ``llm_judge_opus46_verified_problem_only.csv``: ratings of the same tasks;
- ``claudecode_haiku45_verified500.csv`` (seconds, turns) and ``claudecode_opus45_verified100.csv`` (dollars, seconds);
- ``storypoints.csv.gz``: the vocabulary; ``br3_own_phases.csv``: the weights of what a plan says.

Columns ``cost_*``, ``calls_*``, ``res_*`` and ``mean_z_*`` of the first come from runs under a licence that forbids it:
they are not read here. The target of cost is therefore a sum of what may be used: the three ratings (which say what a
run costs better than any single run does), Haiku's seconds and turns, minutes of people.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import math
import statistics
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from br3.estimate.features import given_features, text_features, words_of
from br3.estimate.model import FARTHEST, PATH, RATINGS
from br3.estimate.ridge import solve

VOCABULARY_SIZE = 3000
WORD_IN_PROJECTS = 6
VOCABULARY_PENALTY = 30.0
PENALTIES = {"cost": 100.0, "minutes": 25.0}
"""In tasks: what a feature says of fewer counts little."""
LIGHTLY = {"cost": 9.0, "minutes": 3.0}
"""The vocabulary has been regularised already, so that it is penalised by so much less here."""

COST_FEATURES = (
    "lines unique_words hard_words identifiers named_files trace new_feature compatibility proposal numbers operators "
    "vocabulary repository_lines entropy margin best_lines five_lines best_users five_users directories"
).split()
MINUTES_FEATURES = (
    "characters lines title_words unique_words hard_words hard_title numbers operators compatibility vocabulary "
    "directories"
).split()

# What no data says: br3's own assumptions, until own runs say otherwise. (mean, deviation, weight) in log units.
ASSUMED_OF_PLANS = {
    "tasks": (math.log1p(1), 1.0, 0.6),
    "owns": (math.log1p(10), 1.5, 0.05),
    "planned_minutes": (math.log1p(30), 0.9, 0.15),
    "verification": (math.log1p(1), 0.6, 0.0),
    "churn": (math.log1p(5), 0.8, 0.0),
    "authors": (math.log1p(2), 0.5, 0.0),
}
# How the tokens of a run are made up: nearly all of them are read again from the cache at each turn. Of the sum it is
# known what it cost (Claude Code with Opus 4.5); the make-up is that of the runs whose token counts add up.
MAKE_UP = {"input": 500.0, "output": 2000.0, "cache_write_5m": 20000.0, "cache_read": 400000.0}
MAKE_UP_USD = 0.3775
"""What ``MAKE_UP`` cost at Opus 4.5's prices (5, 25, 6.25 and 0.5 USD per million)."""

SOURCES = (
    ("SWE-bench Verified and Lite (repackaged): features of texts and repositories, minutes", "MIT, Apache-2.0"),
    ("Ratings of SWE-bench Verified by Claude Opus 4.6 from the problem alone", "MIT"),
    ("Claude Code with Haiku 4.5 on SWE-bench Verified (polydev): seconds, turns", "MIT"),
    ("Claude Code with Opus 4.5 on 100 tasks of SWE-bench Verified (vexp): dollars, seconds", "MIT"),
    ("Story points of agile projects: words", "MIT"),
    ("Phases of specifications built with an agent: minutes by deliverables and files", "MIT"),
)


@dataclass
class Task:
    """A task of the development data: what was known before, and what came out (None: not recorded)."""

    id: str
    repository: str
    text: str
    features: dict[str, float]
    ratings: dict[str, float] | None
    human_minutes: float | None
    haiku_seconds: float | None
    haiku_turns: float | None
    opus_usd: float | None
    opus_seconds: float | None


Vocabulary = dict[str, tuple[float, float]]


def read_tasks(directory: Path, vocabulary: Vocabulary) -> list[Task]:
    """The tasks of the development data, with features."""
    ratings = {row["instance_id"]: row for row in _rows(directory / "llm_judge_opus46_verified_problem_only.csv")}
    haiku = {
        row["instance_id"]: row
        for row in _rows(directory / "claudecode_haiku45_verified500.csv")
        if row["polydev"] != "True"  # several models worked on those
    }
    opus = {row["instanceId"]: row for row in _rows(directory / "claudecode_opus45_verified100.csv")}
    tasks = []
    with (directory / "swebench_verified_lite.jsonl").open(encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            at = row["instance_id"]
            rated, by_haiku, by_opus = ratings.get(at), haiku.get(at, {}), opus.get(at, {})
            known = text_features(row["text"], said(vocabulary, row["text"])) | given_features(row)
            tasks.append(
                Task(
                    id=at,
                    repository=row["repo"],
                    text=row["text"],
                    features=known,
                    ratings={name: float(rated[name]) for name in RATINGS} if rated else None,
                    human_minutes=_positive(row.get("human_minutes_midpoint")),
                    haiku_seconds=_positive(by_haiku.get("duration_sec")),
                    haiku_turns=_positive(by_haiku.get("turns")),
                    opus_usd=_positive(by_opus.get("costUsd")),
                    opus_seconds=(_positive(by_opus.get("durationMs")) or 0) / 1000 or None,
                )
            )
    return tasks


def fit_vocabulary(directory: Path) -> Vocabulary:
    """Word → (idf, weight): ridge on TF-IDF of stories against ln(points), each project's mean taken off.

    Solved by conjugate gradients on (XᵀX + λ)w = Xᵀy, whose matrix is never made.
    """
    with gzip.open(directory / "storypoints.csv.gz", "rt", encoding="utf-8", newline="") as file:
        stories = [
            (row["project"], Counter(words_of(row["text"])), math.log(min(40.0, max(0.5, float(row["storypoint"])))))
            for row in csv.DictReader(file)
        ]
    means: dict[str, list[float]] = {}
    for project, _, points in stories:
        means.setdefault(project, []).append(points)
    middle = {project: statistics.fmean(points) for project, points in means.items()}
    totals: Counter[str] = Counter()
    having: Counter[str] = Counter()
    projects: dict[str, set[str]] = {}
    for project, words, _ in stories:
        totals.update(words)
        having.update(words.keys())
        for word in words:
            projects.setdefault(word, set()).add(project)
    # Names of people, products and their classes are of one project each.
    common = [word for word in totals if len(projects[word]) >= WORD_IN_PROJECTS]
    chosen = sorted(common, key=lambda word: (-totals[word], word))[:VOCABULARY_SIZE]
    idf = {word: round(math.log((1 + len(stories)) / (1 + having[word])) + 1, 3) for word in chosen}
    number = {word: at for at, word in enumerate(chosen)}
    rows, y = [], []
    for project, words, points in stories:
        values = [(number[word], (1 + math.log(count)) * idf[word]) for word, count in words.items() if word in number]
        norm = math.sqrt(sum(value * value for _, value in values)) or 1.0
        rows.append([(at, value / norm) for at, value in sorted(values)])
        y.append(points - middle[project])
    weights = _conjugate_gradients(rows, y, len(chosen), VOCABULARY_PENALTY)
    return {word: (idf[word], round(weights[number[word]], 3)) for word in chosen}


def said(vocabulary: Vocabulary, text: str) -> float:
    """As ``Coefficients.vocabulary``, of a vocabulary that is being fitted."""
    counts = Counter(word for word in words_of(text) if word in vocabulary)
    values = {word: (1 + math.log(count)) * vocabulary[word][0] for word, count in sorted(counts.items())}
    norm = math.sqrt(sum(value * value for value in values.values())) or 1.0
    return sum(value * vocabulary[word][1] for word, value in values.items()) / norm


def fit(
    tasks: Sequence[Task], vocabulary: Vocabulary, phases: Sequence[Mapping[str, str]], made: str
) -> dict[str, Any]:
    """Everything that ``coefficients.json`` holds, from these tasks alone."""
    rated = [task for task in tasks if task.ratings]
    cost = _scaled(rated, "cost", COST_FEATURES, _cost_target(rated), lambda task: _log(task.opus_usd))
    minutes = _scaled(rated, "minutes", MINUTES_FEATURES, _minutes_target(rated), lambda task: _log(task.haiku_seconds))
    offline = {"cost": cost, "minutes": minutes}
    with_ratings = {
        "cost": _with_ratings(rated, cost, lambda task: _log(task.opus_usd)),
        "minutes": _with_ratings(rated, minutes, lambda task: _log(task.opus_seconds)),
    }
    effects = [_effect(cost, task.features) for task in rated]
    of_ratings = with_ratings["cost"]
    rated_effects = [
        of_ratings["offline"][2] * _effect(cost, task.features) + _effect(of_ratings, task.ratings or {})
        for task in rated
    ]
    opus = [task for task in rated if task.opus_usd and task.opus_seconds]
    haiku = [task for task in rated if task.haiku_turns and task.haiku_seconds]
    strong_usd = statistics.median(task.opus_usd or 0 for task in opus)
    strong_minutes = statistics.median(task.opus_seconds or 0 for task in opus) / 60
    small_minutes = statistics.median(task.haiku_seconds or 0 for task in haiku) / 60
    # A small model takes more turns for the same task; in between it is a guess: the geometric mean.
    turns = small_minutes / strong_minutes
    more = min(turns, 2.5)
    scale = strong_usd / MAKE_UP_USD
    references = {
        name: {"tokens": {kind: round(n * scale * factor) for kind, n in MAKE_UP.items()}, "minutes": round(m, 3)}
        for name, factor, m in (
            ("strong", 1.0, strong_minutes),
            ("middle", math.sqrt(more), math.sqrt(strong_minutes * small_minutes)),
            ("small", more, small_minutes),
        )
    }
    return {
        "about": {
            "made": made,
            "by": "python -m br3.estimate.fitting",
            "tasks": len(rated),
            "data": [{"name": name, "licence": licence} for name, licence in SOURCES],
        },
        **offline,
        "rated": with_ratings,
        "plan": {**ASSUMED_OF_PLANS, **_of_phases(phases)},
        "quantiles": {"offline": _quantiles(effects), "rated": _quantiles(rated_effects)},
        "spread": {
            "cost": _spread([(_log(task.opus_usd), _effect(cost, task.features)) for task in opus]),
            "minutes": _spread([(_log(task.opus_seconds), _effect(minutes, task.features)) for task in opus]),
        },
        "references": references,
        "vocabulary": {"words": {word: list(numbers) for word, numbers in vocabulary.items()}},
    }


def _cost_target(tasks: Sequence[Task]) -> list[float]:
    return _together(
        (1.0, [_rated(task) for task in tasks]),
        (0.4, [_log(task.haiku_seconds) for task in tasks]),
        (0.4, [_log(task.haiku_turns) for task in tasks]),
        (0.6, [_log(task.human_minutes) for task in tasks]),
    )


def _minutes_target(tasks: Sequence[Task]) -> list[float]:
    return _together((1.0, [_log(task.human_minutes) for task in tasks]))


def _rated(task: Task) -> float | None:
    if task.ratings is None:
        return None
    return task.ratings["debugging_complexity"] + task.ratings["codebase_scope"] - task.ratings["solution_hint"]


def _scaled(
    tasks: Sequence[Task], what: str, names: Sequence[str], target: Sequence[float], outcome: Any
) -> dict[str, list[float]]:
    """Ridge on ``target``, scaled to log units of ``outcome``.

    The scale is that of the outcome times how well the target is predicted where a task's repository was left out: 61
    outcomes are too few for a slope of their own.
    """
    lines = _ridge(tasks, what, names, target)
    predicted = _left_out(
        tasks, lambda kept: _ridge([tasks[at] for at in kept], what, names, [target[at] for at in kept])
    )
    spread = statistics.pstdev(value for task in tasks if (value := outcome(task)) is not None)
    skill = max(0.1, statistics.correlation(predicted, target))
    own = statistics.pstdev(_effect(lines, task.features) for task in tasks) or 1.0
    slope = skill * spread / own
    return {
        name: [_short(mean), _short(deviation), _short(weight * slope)]
        for name, (mean, deviation, weight) in lines.items()
    }


def _with_ratings(
    tasks: Sequence[Task], offline: Mapping[str, Sequence[float]], outcome: Any
) -> dict[str, list[float]]:
    """Weights of the three ratings and of the offline effect beside them, in log units of ``outcome``."""
    known = [(task, value) for task in tasks if (value := outcome(task)) is not None and task.ratings]
    columns = {name: [float((task.ratings or {})[name]) for task, _ in known] for name in RATINGS}
    middles = {name: (statistics.fmean(values), statistics.pstdev(values) or 1.0) for name, values in columns.items()}
    signs = {"debugging_complexity": 1.0, "codebase_scope": 1.0, "solution_hint": -1.0}
    sums = [
        sum(signs[n] * (columns[n][at] - middles[n][0]) / middles[n][1] for n in RATINGS) for at in range(len(known))
    ]
    mean = statistics.fmean(value for _, value in known)
    # One weight for the three of them: 61 tasks do not tell them apart.
    slope = sum(s * (value - mean) for s, (_, value) in zip(sums, known, strict=True)) / (sum(s * s for s in sums) + 10)
    found = {
        name: [_short(middles[name][0]), _short(middles[name][1]), _short(signs[name] * slope)] for name in RATINGS
    }
    return {**found, "offline": [0.0, 1.0, 0.3]}


def _of_phases(phases: Sequence[Mapping[str, str]]) -> dict[str, list[float]]:
    """Weights of deliverables and named files for ln(minutes), none below 0: more to do is never less work."""
    columns = {"deliverables": "n_deliv", "new_files": "n_new", "changed_files": "n_mod"}
    tasks = [
        {name: math.log1p(float(phase[column] or 0)) for name, column in columns.items()}
        for phase in phases
        if _positive(phase["minutes"])
    ]
    target = [math.log(float(phase["minutes"])) for phase in phases if _positive(phase["minutes"])]
    middle = statistics.fmean(target)
    lines = ridge(tasks, list(columns), [value - middle for value in target], 20.0)
    return {
        name: [_short(mean), _short(deviation), _short(max(0.0, weight))]
        for name, (mean, deviation, weight) in lines.items()
    }


def ridge(
    rows: Sequence[Mapping[str, float]],
    names: Sequence[str],
    target: Sequence[float],
    penalty: float,
    lightly: Mapping[str, float] | None = None,
) -> dict[str, tuple[float, float, float]]:
    """Ridge on standardised features: name → (mean, deviation, weight). What a row does not have counts as the mean."""
    middles = {}
    for name in names:
        values = [row[name] for row in rows if name in row] or [0.0]
        middles[name] = (statistics.fmean(values), statistics.pstdev(values) or 1.0)
    z = [
        [
            max(-FARTHEST, min(FARTHEST, (row[name] - middles[name][0]) / middles[name][1])) if name in row else 0.0
            for name in names
        ]
        for row in rows
    ]
    mean = statistics.fmean(target)
    size = len(names)
    matrix = [[sum(row[i] * row[j] for row in z) for j in range(size)] for i in range(size)]
    right = [sum(row[i] * (value - mean) for row, value in zip(z, target, strict=True)) for i in range(size)]
    for i, name in enumerate(names):
        matrix[i][i] += penalty / (lightly or {}).get(name, 1.0)
    weights = solve(matrix, right)
    return {name: (*middles[name], weights[i]) for i, name in enumerate(names)}


def _ridge(
    tasks: Sequence[Task], what: str, names: Sequence[str], target: Sequence[float]
) -> dict[str, tuple[float, float, float]]:
    rows = [task.features for task in tasks]
    return ridge(rows, names, target, PENALTIES[what], {"vocabulary": LIGHTLY[what]})


def _left_out(tasks: Sequence[Task], fitted: Any) -> list[float]:
    """For each task what a fit without its repository says; without any where there is but one repository."""
    found = [0.0] * len(tasks)
    for repository in sorted({task.repository for task in tasks}):
        kept = [at for at, task in enumerate(tasks) if task.repository != repository]
        lines = fitted(kept or range(len(tasks)))
        for at, task in enumerate(tasks):
            if task.repository == repository:
                found[at] = _effect(lines, task.features)
    return found


def _effect(lines: Mapping[str, Sequence[float]], features: Mapping[str, float]) -> float:
    return math.fsum(
        weight * max(-FARTHEST, min(FARTHEST, (features[name] - mean) / deviation))
        for name, (mean, deviation, weight) in lines.items()
        if name in features
    )


def _together(*parts: tuple[float, Sequence[float | None]]) -> list[float]:
    """A weighted mean of columns, each standardised; what is missing in one is made up for by the others."""
    totals, weights = [0.0] * len(parts[0][1]), [0.0] * len(parts[0][1])
    for weight, column in parts:
        known = [value for value in column if value is not None]
        mean, deviation = statistics.fmean(known), statistics.pstdev(known) or 1.0
        for at, value in enumerate(column):
            if value is not None:
                totals[at] += weight * (value - mean) / deviation
                weights[at] += weight
    return [total / weight if weight else 0.0 for total, weight in zip(totals, weights, strict=True)]


def _spread(pairs: Iterable[tuple[float | None, float]]) -> float:
    """How far above the median the 90th percentile is, in log units, once the effect is taken off."""
    rest = sorted(value - effect for value, effect in pairs if value is not None)
    return _short(rest[min(len(rest) - 1, math.ceil(0.9 * (len(rest) + 1)) - 1)] - statistics.median(rest))


def _quantiles(values: Sequence[float]) -> list[float]:
    ordered = sorted(values)
    return [_short(ordered[round(at / 100 * (len(ordered) - 1))]) for at in range(101)]


def _conjugate_gradients(
    rows: Sequence[Sequence[tuple[int, float]]], y: Sequence[float], size: int, penalty: float
) -> list[float]:
    x = [0.0] * size
    residual = [0.0] * size
    for row, value in zip(rows, y, strict=True):
        for at, weight in row:
            residual[at] += weight * value
    direction = residual[:]
    left = sum(value * value for value in residual)
    begun = left
    for _ in range(100):
        image = [penalty * value for value in direction]
        for row in rows:
            dot = sum(weight * direction[at] for at, weight in row)
            for at, weight in row:
                image[at] += weight * dot
        step = left / sum(a * b for a, b in zip(direction, image, strict=True))
        x = [value + step * d for value, d in zip(x, direction, strict=True)]
        residual = [value - step * i for value, i in zip(residual, image, strict=True)]
        now = sum(value * value for value in residual)
        if now < 1e-8 * begun:
            break
        direction = [value + now / left * d for value, d in zip(residual, direction, strict=True)]
        left = now
    return x


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def read_phases(directory: Path) -> list[dict[str, str]]:
    """The phases of specifications."""
    return _rows(directory / "br3_own_phases.csv")


def _positive(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) and number > 0 else None


def _log(value: float | None) -> float | None:
    return math.log(value) if value else None


def _short(value: float) -> float:
    return round(value, 4)


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("directory", type=Path)
    parser.add_argument("--date", default=date.today().isoformat(), help="of the data (default: today)")
    options = parser.parse_args()
    csv.field_size_limit(sys.maxsize)
    vocabulary = fit_vocabulary(options.directory)
    data = fit(read_tasks(options.directory, vocabulary), vocabulary, read_phases(options.directory), options.date)
    sections = [f"{json.dumps(key)}: {json.dumps(value, ensure_ascii=True)}" for key, value in data.items()]
    PATH.write_text("{\n" + ",\n".join(sections) + "\n}\n")
    print(f"{PATH}: {len(data['cost'])} features, {len(vocabulary)} words, {data['about']['tasks']} tasks")


if __name__ == "__main__":
    main()
