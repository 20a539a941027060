"""What the estimate is worth: ranks, hits and coverage by leave-one-repository-out, and how fast files are found.

    python tests/bench/estimate.py --data DIR [--repository PATH]… [--files N]

DIR holds the development data (see ``br3.estimate.fitting``). Printed, with tasks of each repository estimated by what
was fitted on the others: Spearman's rho and AUC (hard: an hour of a person, or the dearest fifth) beside a constant,
length, keywords, TF-IDF with ridge; in replay, coverage of P90 from the 11th run, error and rho beside the median of
the runs before; recall of files at 1, 5 and 10 in the history of each PATH (a commit's message against the source files
it changed), with the index of its parent; time for an index of N files. Outcomes that may not be fitted on are only
compared with here.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import random
import re
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from measuring import Failed, main, note

from br3.estimate import fitting, replay, retrieval
from br3.estimate.features import words_of
from br3.estimate.index import Index, chosen, is_source, is_test, make
from br3.estimate.model import Coefficients
from br3.estimate.replay import Row, spearman
from br3.estimate.ridge import solve
from br3.repo import Git
from br3.repo.contents import files_at

# Runs to replay: column of dollars, column of minutes (None: those of people), the model's name.
REPLAYED = {
    "Opus 4.5 (small scaffold)": ("cost_opus45", None, "claude-opus-4-5"),
    "Sonnet 4.5 (small scaffold)": ("cost_sonnet45", None, "claude-sonnet-4-5"),
    "Opus 4 (small scaffold)": ("cost_opus4", None, "claude-opus-4"),
    "GPT-5 mini (small scaffold)": ("cost_gpt5mini", None, "gpt-5-mini"),
    "Opus 4.5 (Claude Code)": ("cc_opus_cost", "cc_opus_sec", "claude-opus-4-5"),
}
KEYWORDS = {
    "refactor": 10, "security": 20, "architecture": 15, "migration": 15, "performance": 10, "database": 10,
    "concurren": 15, "integrat": 10, "complex": 10, "typo": -15, "doc": -5, "simple": -10, "rename": -5, "test": 5,
}  # fmt: skip


def bench() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--repository", type=Path, action="append", default=[])
    parser.add_argument("--files", type=int, default=10_000, help="files of the repository that is timed (0: none)")
    parser.add_argument("--seeds", type=int, default=4, help="orders of the replay (default: 4)")
    options = parser.parse_args()
    csv.field_size_limit(sys.maxsize)
    if not (options.data / "swebench_verified_lite.jsonl").is_file():
        raise Failed(f"{options.data} is no directory of the development data")
    outcomes = _outcomes(options.data)
    note("fitting the vocabulary")
    vocabulary = fitting.fit_vocabulary(options.data)
    tasks = [t for t in fitting.read_tasks(options.data, vocabulary) if t.ratings and t.id in outcomes]
    phases = fitting.read_phases(options.data)
    note(f"{len(tasks)} tasks of {len({t.repository for t in tasks})} repositories, each left out in turn")
    without = {
        repository: Coefficients(
            fitting.fit([t for t in tasks if t.repository != repository], vocabulary, phases, "bench")
        )
        for repository in sorted({t.repository for t in tasks})
    }
    _table(tasks, outcomes, without)
    _replays(tasks, outcomes, without, options.seeds)
    for repository in options.repository:
        _recall(repository)
    if options.files:
        _timed(options.files)


def _outcomes(directory: Path) -> dict[str, dict[str, Any]]:
    with (directory / "swebench_verified_lite.jsonl").open(encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    return {row["instance_id"]: row for row in rows if row["set"] == "verified"}


def _table(
    tasks: Sequence[fitting.Task], outcomes: Mapping[str, Mapping[str, Any]], without: Mapping[str, Coefficients]
) -> None:
    minutes = [float(outcomes[t.id]["human_minutes_midpoint"]) for t in tasks]
    cost = [float(outcomes[t.id]["mean_z_log_cost_25_miniswe_models"]) for t in tasks]
    fifth = sorted(cost)[int(0.8 * len(cost))]
    hard = {"minutes": [m >= 60 for m in minutes], "cost": [c >= fifth for c in cost]}
    truth = {"minutes": minutes, "cost": cost}
    by_words = {name: _tf_idf(tasks, values) for name, values in truth.items()}
    rows: list[tuple[str, Sequence[float], Sequence[float]]] = [
        ("constant", [0.0] * len(tasks), [0.0] * len(tasks)),
        ("text length", *[[float(len(t.text)) for t in tasks]] * 2),
        ("keywords", *[[_keywords(t.text) for t in tasks]] * 2),
        ("TF-IDF + ridge", [math.log(m) for m in by_words["minutes"]], by_words["cost"]),
        (
            "br3, offline",
            [without[t.repository].effect("minutes", t.features) for t in tasks],
            [without[t.repository].effect("cost", t.features) for t in tasks],
        ),
        (
            "br3, with ratings",
            [without[t.repository].effect("minutes", t.features, t.ratings) for t in tasks],
            [without[t.repository].effect("cost", t.features, t.ratings) for t in tasks],
        ),
    ]
    print("Leave one repository out: rho / AUC")
    print(f"{'':20}  {'human minutes':>14}  {'agent cost':>14}")
    for name, of_minutes, of_cost in rows:
        cells = [
            f"{spearman(of, truth[what]) or 0.0:.2f} / {_auc(of, hard[what]):.2f}"
            for what, of in (("minutes", of_minutes), ("cost", of_cost))
        ]
        print(f"{name:20}  {cells[0]:>14}  {cells[1]:>14}")


def _replays(
    tasks: Sequence[fitting.Task],
    outcomes: Mapping[str, Mapping[str, Any]],
    without: Mapping[str, Coefficients],
    seeds: int,
) -> None:
    print(f"\nReplay, each row estimated before its outcome is learned; means of {seeds} orders, one by date.")
    print("Effects are those that were fitted without the row's repository.")
    print(
        f"{'':30}  {'P50':>4}  {'P90 ≥11':>7}  {'error':>5}  {'own med.':>8}  {'rho':>5}  {'own med.':>8}  {'score':>5}"
    )
    for rated in (False, True):
        print("with ratings" if rated else "offline")
        for name, (usd, seconds, model) in REPLAYED.items():
            told = []
            for seed in range(seeds):
                order = sorted(tasks, key=lambda t: outcomes[t.id]["created_at"])
                if seed:
                    random.Random(seed).shuffle(order)
                rows = [_row(t, outcomes[t.id], usd, seconds, model, rated) for t in order if outcomes[t.id].get(usd)]
                replayed = replay.replay(rows, _Mixed(without, {t.text: t.repository for t in tasks}))
                found = replay.metrics(replayed)["cost_usd"]
                own_error, own_rho = _own_median([row.cost_usd or 0.0 for row in rows])
                told.append(
                    (
                        found["coverage_p50"],
                        found["coverage_p90_from_11"],
                        found["median_error_factor"],
                        own_error,
                        found["rho"],
                        own_rho,
                        found["rho_of_score"],
                    )
                )
            a, b, c, d, e, f, g = (statistics.fmean(column) for column in zip(*told, strict=True))
            print(f"  {name:28}  {a:4.2f}  {b:7.2f}  {c:5.2f}  {d:8.2f}  {e:5.2f}  {f:8.2f}  {g:5.2f}")


class _Mixed(Coefficients):
    """The coefficients fitted without the repository of the text that was read last."""

    def __init__(self, without: Mapping[str, Coefficients], repositories: Mapping[str, str]) -> None:
        self._without, self._repositories = without, repositories
        self._using = next(iter(without.values()))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._using, name)

    def vocabulary(self, text: str) -> float:
        self._using = self._without[self._repositories[text]]
        return self._using.vocabulary(text)

    def effects(self, target: Any, features: Any, ratings: Any = None) -> dict[str, float]:
        return self._using.effects(target, features, ratings)

    def score(self, effect: float, own: Sequence[float] = (), *, rated: bool = False) -> float:
        return self._using.score(effect, own, rated=rated)


def _row(task: fitting.Task, outcome: Mapping[str, Any], usd: str, seconds: str | None, model: str, rated: bool) -> Row:
    minutes = outcome[seconds] / 60 if seconds else float(outcome["human_minutes_midpoint"])
    data = {
        "id": task.id,
        "text": task.text,
        "repo": {key: value for key, value in outcome.items() if key.startswith("repo_")},
        "repository": task.repository,
        "model": model,
        "cost_usd": outcome[usd],
        "minutes": minutes,
        "ratings": task.ratings if rated else None,
    }
    return replay.row_of(data, lambda path, text: {})


def _own_median(values: Sequence[float]) -> tuple[float, float]:
    """Error (a factor) and rho of the median of all values before, from the second on."""
    predicted = [statistics.median(values[:at]) for at in range(1, len(values))]
    errors = [abs(math.log(actual / guess)) for actual, guess in zip(values[1:], predicted, strict=True)]
    return math.exp(statistics.median(errors)), spearman(predicted, values[1:]) or 0.0


def _keywords(text: str) -> float:
    return float(sum(points for word, points in KEYWORDS.items() if word in text.lower()))


def _tf_idf(tasks: Sequence[fitting.Task], values: Sequence[float]) -> list[float]:
    """Ridge on TF-IDF, fitted on the other repositories; solved in the space of tasks."""
    target = [math.log(v) if v > 0 and min(values) > 0 else v for v in values]
    found = [0.0] * len(tasks)
    for repository in sorted({t.repository for t in tasks}):
        kept = [at for at, t in enumerate(tasks) if t.repository != repository]
        having = Counter(word for at in kept for word in set(words_of(tasks[at].text)))
        idf = {w: math.log((1 + len(kept)) / (1 + n)) + 1 for w, n in having.items() if n >= 2}
        rows = {at: _vector(t.text, idf) for at, t in enumerate(tasks)}
        mean = statistics.fmean(target[at] for at in kept)
        kernel = [[_dot(rows[a], rows[b]) + (3.0 if a == b else 0.0) for b in kept] for a in kept]
        weights = solve(kernel, [target[at] - mean for at in kept])
        for at, t in enumerate(tasks):
            if t.repository == repository:
                found[at] = mean + sum(w * _dot(rows[at], rows[b]) for w, b in zip(weights, kept, strict=True))
    return [math.exp(v) for v in found] if min(values) > 0 else found


def _vector(text: str, idf: Mapping[str, float]) -> dict[str, float]:
    row = {w: (1 + math.log(n)) * idf[w] for w, n in Counter(words_of(text)).items() if w in idf}
    norm = math.sqrt(sum(v * v for v in row.values())) or 1.0
    return {w: v / norm for w, v in row.items()}


def _dot(one: Mapping[str, float], other: Mapping[str, float]) -> float:
    small, large = (one, other) if len(one) < len(other) else (other, one)
    return sum(value * large[word] for word, value in small.items() if word in large)


def _auc(predicted: Sequence[float], hard: Sequence[bool]) -> float:
    """How often a hard task is told above one that is not; ties count half."""
    high = [p for p, is_hard in zip(predicted, hard, strict=True) if is_hard]
    low = [p for p, is_hard in zip(predicted, hard, strict=True) if not is_hard]
    won = sum((a > b) + 0.5 * (a == b) for a in high for b in low)
    return won / (len(high) * len(low))


_ISSUE = re.compile(r"^(?:Merge|Revert|Release|Bump)\b")


def _recall(directory: Path) -> None:
    """Of each commit that changed one to ten source files which its parent had: how many are among the best."""
    git = Git(directory)
    found: list[tuple[float, ...]] = []
    for commit, parent, message, changed in _commits(git):
        index = Index(make(git, parent))
        wanted = set(changed) & set(index.files.paths)
        if wanted:
            best = [match.path for match in retrieval.ranked(index, message, 10)]
            found.append(tuple(len(wanted & set(best[:n])) / min(len(wanted), n) for n in (1, 5, 10)))
        del commit
    if not found:
        raise Failed(f"{directory}: no commit with a message and one to ten source files")
    at_1, at_5, at_10 = (statistics.fmean(column) for column in zip(*found, strict=True))
    hit = statistics.fmean(1.0 if row[1] > 0 else 0.0 for row in found)
    print(f"\nRecall of files, {directory.resolve().name}: {len(found)} commits; at 1 / 5 / 10: ", end="")
    print(f"{at_1:.2f} / {at_5:.2f} / {at_10:.2f}; at least one of them among five: {hit:.2f}")


def _commits(git: Git) -> Iterator[tuple[str, str, str, list[str]]]:
    told = git("log", "--no-merges", "--no-renames", "--name-only", "--format=%x01%H%x02%P%x02%B%x02", "HEAD").text
    for record in told.split("\x01")[1:]:
        commit, parents, message, names = record.split("\x02")
        changed = [name for name in names.split("\n") if is_source(name) and not is_test(name)]
        if len(parents.split()) == 1 and 1 <= len(changed) <= 10 and not _ISSUE.match(message):
            yield commit, parents, message, changed


def _timed(number: int) -> None:
    """An index of so many files, pieces of Python's own library, made and opened."""
    r = random.Random(4)
    library = Path(sysconfig.get_path("stdlib"))
    lines = [line for path in sorted(library.glob("*.py")) for line in path.read_text().splitlines(keepends=True)]
    with tempfile.TemporaryDirectory(prefix="br3-bench-") as place:
        root, total = Path(place), 0
        for count in range(number):
            first = r.randrange(len(lines))
            text = "".join(lines[first : first + r.randint(20, 250)])
            path = root / f"package{count % 100}" / f"module{count}.py"
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
            total += len(text)
        for words in (
            ["init", "-q"],
            ["add", "-A"],
            ["-c", "user.name=b", "-c", "user.email=b@x", "commit", "-qm", "x"],
        ):
            subprocess.run(["git", *words], cwd=root, check=True)
        git = Git(root)
        head = git("rev-parse", "HEAD").text
        text = "Parsing a query fails in urllib.parse.urlsplit when the cache is cold: see package3/module303.py"
        cold, warm = [], []
        for _ in range(3):
            cold.append(_seconds(lambda: make(git, head)))
        from br3.estimate.estimating import look

        look(git, root / ".git", head, text)
        for _ in range(9):
            warm.append(_seconds(lambda: look(git, root / ".git", head, text)))
        count = len(chosen(files_at(git, head)))
        print(f"\nIndex of {count} files, {total / 1e6:.0f} MB: made in {statistics.median(cold):.2f} s; ", end="")
        print(f"asked when it is kept: {statistics.median(warm) * 1000:.0f} ms")


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


if __name__ == "__main__":
    main(bench)
