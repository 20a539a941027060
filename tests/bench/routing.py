"""Routing: recorded outcomes of pairs of models, replayed under each policy.

    python tests/bench/routing.py --data DIR [--seeds N]

DIR holds ``miniswe_runs.csv``: per task and model whether it was solved and what it cost. For each pair (cheap, strong)
and each chance that a verification accepts a wrong solution (it rejects a right one in 5 of 100), the tasks are taken
in N shuffled orders (20): cascade decides by what it has seen up to then (at first by the priors of its tiers and the
models' mean costs), and the table has dollars per task, relative to always-strong, and the share of tasks solved. The
oracle knows who would solve it, and takes the cheaper one. ``!`` marks where cascade costs more than always-strong and
solves no more.
"""

from __future__ import annotations

import argparse
import csv
import random
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean

from br3.models.cascade import PRIORS, Beta, Option, decide, easier_of

PAIRS = (
    ("GPT-5 mini", "Claude 4.5 Opus", "small"),
    ("GPT-5 mini", "Claude 4.5 Sonnet", "small"),
    ("GPT-5 nano", "GPT-5 (", "small"),
    ("GPT-5 mini", "GPT-5 (", "small"),
    ("Claude 4 Sonnet", "Claude 4 Opus", "medium"),
    ("Claude 4.5 Sonnet", "Claude 4.5 Opus", "medium"),
    ("Gemini 2.5 Pro", "Gemini 3 Pro", "medium"),
    ("Devstral small", "Devstral (", "small"),
)
FALSE_ACCEPTS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)
FALSE_REJECT = 0.05
PRIOR_WEIGHT = 10.0

Run = tuple[bool, float]


@dataclass
class Known:
    """What a router has seen of one model. ``cost`` begins as the median that br3 ships, here the first task's."""

    tier: str
    prior_usd: float
    passed: int = 0
    failed: int = 0
    all_usd: list[float] = field(default_factory=list)
    accepted_usd: list[float] = field(default_factory=list)

    def option(self, name: str) -> Option:
        n = len(self.all_usd)
        cost = (sum(self.all_usd) + PRIOR_WEIGHT * self.prior_usd) / (n + PRIOR_WEIGHT)
        accepted: Beta = PRIORS[self.tier].after(self.passed, self.failed)
        return Option(name, cost, accepted, easier_of(self.accepted_usd, self.all_usd))

    def learn(self, cost_usd: float, accepted: bool) -> None:
        self.all_usd.append(cost_usd)
        if accepted:
            self.passed += 1
            self.accepted_usd.append(cost_usd)
        else:
            self.failed += 1


def load(directory: Path) -> dict[str, dict[str, Run]]:
    """Per model and task: whether it solved it, and what that cost."""
    runs: dict[str, dict[str, Run]] = defaultdict(dict)
    with (directory / "miniswe_runs.csv").open(newline="") as source:
        for row in csv.DictReader(source):
            if row["cost_usd"]:
                runs[row["model"]][row["instance_id"]] = (float(row["resolved"]) > 0, float(row["cost_usd"]))
    return runs


def model(runs: dict[str, dict[str, Run]], name: str) -> dict[str, Run]:
    """The runs of the one model whose name begins so."""
    found = [key for key in runs if key.startswith(name)]
    assert len(found) == 1, (name, found)
    return runs[found[0]]


def accepts(solved: bool, false_accept: float, rng: random.Random) -> bool:
    """What a verification says."""
    return rng.random() >= FALSE_REJECT if solved else rng.random() < false_accept


def cascade(tasks: list[tuple[Run, Run]], tier: str, false_accept: float, rng: random.Random) -> Iterator[Run]:
    """br3's own way; it learns from each task."""
    cheap = Known(tier, tasks[0][0][1])
    strong = Known("large", tasks[0][1][1])
    # What br3 ships are medians of other tasks: here those of all, without looking at who solved what.
    cheap.prior_usd, strong.prior_usd = (mean(sorted(t[i][1] for t in tasks)) for i in (0, 1))
    for low, high in tasks:
        order = decide([cheap.option("cheap"), strong.option("strong")]).way.models
        spent = 0.0
        solved = False
        for name in order:
            run, known = (low, cheap) if name == "cheap" else (high, strong)
            spent += run[1]
            solved = run[0]
            accepted = accepts(solved, false_accept, rng)
            known.learn(run[1], accepted)
            if accepted:
                break
        yield solved, spent


def oracle(tasks: list[tuple[Run, Run]]) -> Iterator[Run]:
    """The cheaper one of those that solve it; the cheaper one where none does."""
    for low, high in tasks:
        good = [run for run in (low, high) if run[0]]
        yield min(good or [low, high], key=lambda run: run[1])


def replay(
    runs: dict[str, dict[str, Run]], pair: tuple[str, str, str], false_accept: float, seeds: int
) -> dict[str, tuple[float, float]]:
    """Per policy: dollars per task, share solved; means over the orders."""
    low, high = model(runs, pair[0]), model(runs, pair[1])
    names = sorted(low.keys() & high.keys())
    sums: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for seed in range(seeds):
        rng = random.Random(seed)
        order = names[:]
        rng.shuffle(order)
        tasks = [(low[name], high[name]) for name in order]
        ways: dict[str, Callable[[], list[Run]]] = {
            "cheap": lambda t=tasks: [a for a, _ in t],
            "strong": lambda t=tasks: [b for _, b in t],
            "random": lambda t=tasks, r=rng: [pair[r.random() < 0.5] for pair in t],
            "oracle": lambda t=tasks: list(oracle(t)),
            "cascade": lambda t=tasks, r=rng: list(cascade(t, pair[2], false_accept, r)),
        }
        for name, way in ways.items():
            done = way()
            sums[name].append((mean(cost for _, cost in done), mean(solved for solved, _ in done)))
    return {name: (mean(c for c, _ in found), mean(s for _, s in found)) for name, found in sums.items()}


def main() -> int:
    """Print the table; 1 where cascade was the worse of the two in both."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=20)
    options = parser.parse_args()
    runs = load(options.data)
    policies = ("cascade", "cheap", "random", "oracle")
    head = "".join(f"{name:>18}" for name in policies)
    print(f"{'':42}{'strong':>14}{head}")
    print(f"{'cheap → strong':34}{'wrong':>8}{'USD  solved':>14}" + f"{'USD  solved':>18}" * len(policies))
    bad = 0
    for pair in PAIRS:
        for false_accept in FALSE_ACCEPTS:
            found = replay(runs, pair, false_accept, options.seeds)
            usd, solved = found["strong"]
            line = f"{pair[0] + ' → ' + pair[1].strip(' ('):34}{false_accept:8.1f}{usd:7.3f}{solved:7.1%}"
            for name in policies:
                cost, share = found[name]
                line += f"{cost / usd - 1:+11.1%}{share:7.1%}"
            worse = found["cascade"][0] > usd * 1.0005 and found["cascade"][1] <= solved
            bad += worse
            print(line + (" !" if worse else ""))
    print(f"{bad} of {len(PAIRS) * len(FALSE_ACCEPTS)} where cascade costs more and solves no more")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
