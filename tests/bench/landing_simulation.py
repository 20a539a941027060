"""Which candidates a train tests: its own decisions with faked verdicts, beside other ways to land the same builds.

    python tests/bench/landing_simulation.py [--trains N] [--part figures|sizes|crossover|spread] [--svg FILE]

Time is counted in T, the time of one run of the tests; the set-up of worktrees is left out. Decisions are those of
`br3.landing.searching`, verdicts come from a random truth: each build fails with the given rate, and in the rows with
pairs two builds break each other so often that a build meets 0.0675 others that it breaks with (0.0045 for a pair of
a train of 16, which is what makes plain prefix search without confirmation take 3.3 T at 5 % and window 4). A run that
is stopped counts as a run. `bors` tests all that waits as one batch and splits it in halves where it fails.
"""

from __future__ import annotations

import heapq
import itertools
import random
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from measuring import arguments, main, note

from br3.landing.searching import Candidate, Known, Method, Verdicts, Want, decide, window_pays_from

MEETING = 0.0675
"""With how many others a build breaks, on average, where pairs break each other."""

METHODS: tuple[Method, ...] = ("prefix", "window", "one-by-one")
COLOURS = {"prefix": "#1f77b4", "window": "#ff7f0e", "one-by-one": "#888888", "bors": "#d62728"}


@dataclass(frozen=True)
class Truth:
    """Who fails by himself, and who breaks with whom."""

    order: Candidate
    bad: frozenset[str]
    pairs: dict[str, frozenset[str]]

    def passes(self, candidate: Iterable[str]) -> bool:
        inside = frozenset(candidate)
        if inside & self.bad:
            return False
        return not any(build in inside and others & inside for build, others in self.pairs.items())


@dataclass(frozen=True)
class Outcome:
    """How long it took (T), test runs, and builds landed."""

    time: float
    runs: int
    landed: int


def truth_of(builds: int, rate: float, chance: random.Random, *, pairs: bool = False) -> Truth:
    """Builds of which each fails with ``rate``; ``pairs``: some break each other besides."""
    order = tuple(f"b{number}" for number in range(builds))
    bad = frozenset(build for build in order if chance.random() < rate)
    breaking: dict[str, frozenset[str]] = {}
    if pairs and builds > 1:
        often = MEETING / (builds - 1)
        for at, build in enumerate(order):
            others = frozenset(other for other in order[at + 1 :] if chance.random() < often)
            if others:
                breaking[build] = others
    return Truth(order, bad, breaking)


def train(
    truth: Truth,
    method: Method,
    window: int,
    *,
    confirm: bool = True,
    lasting: Callable[[], float] = lambda: 1.0,
) -> Outcome:
    """Land by the train's decisions. ``lasting`` gives how long each run of the tests takes."""
    known = Verdicts()
    running: dict[tuple[Candidate, bool], int] = {}
    ends: list[tuple[float, int, Want]] = []
    now, started = 0.0, 0
    while True:
        decision = decide(truth.order, known, window=window, running=list(running), method=method)
        if decision.done:
            return Outcome(now, started, len(decision.settled))
        wanted = {want.key for want in decision.wants}
        running = {key: number for key, number in running.items() if key in wanted}
        for want in decision.wants:
            if want.key not in running:
                started += 1
                running[want.key] = started
                heapq.heappush(ends, (now + lasting(), started, want))
        for want in _next(ends, running):
            now = want[0]
            seen = known.get(want[2].candidate) or Known()
            passed = truth.passes(want[2].candidate)
            weight = 1 if confirm else 2
            known[want[2].candidate] = Known(seen.passed + passed, seen.failed + weight * (not passed))
            del running[want[2].key]


def _next(
    ends: list[tuple[float, int, Want]], running: dict[tuple[Candidate, bool], int]
) -> Iterator[tuple[float, int, Want]]:
    """The runs that end next, all that end at the same moment; those that were stopped are passed over."""
    moment: float | None = None
    while ends and (moment is None or ends[0][0] == moment):
        end = heapq.heappop(ends)
        if running.get(end[2].key) == end[1]:
            moment = end[0]
            yield end


def bors(truth: Truth) -> Outcome:
    """All that waits as one batch; a batch that fails is split in halves, one batch at a time."""
    waiting: list[Candidate] = [truth.order]
    landed: Candidate = ()
    runs = 0
    while waiting:
        batch = waiting.pop()
        runs += 1
        if truth.passes(landed + batch):
            landed += batch
        elif len(batch) > 1:
            middle = len(batch) // 2
            waiting += [batch[middle:], batch[:middle]]
    return Outcome(runs, runs, len(landed))


def averaged(outcomes: Sequence[Outcome]) -> tuple[float, float, float]:
    """Time, runs, and runs for each build that landed."""
    landed = sum(o.landed for o in outcomes)
    runs = sum(o.runs for o in outcomes)
    return statistics.fmean(o.time for o in outcomes), runs / len(outcomes), runs / max(1, landed)


def truths(builds: int, rate: float, trains: int, *, pairs: bool = False) -> list[Truth]:
    """The same trains for every method."""
    chance = random.Random(f"{builds} {rate} {pairs}")
    return [truth_of(builds, rate, chance, pairs=pairs) for _ in range(trains)]


def figures(trains: int) -> None:
    """16 builds, by failure rate and window."""
    print("16 builds: time in T · test runs for each build that lands\n")
    print("| builds that fail | window | one by one | bors | window | prefix |\n| --- | --- | --- | --- | --- | --- |")
    for (rate, pairs), window in itertools.product(RATES, (4, 8)):
        some = truths(16, rate, trains, pairs=pairs)
        cells = [
            averaged([train(one, "one-by-one", 1) for one in some]),
            averaged([bors(one) for one in some]),
            averaged([train(one, "window", window) for one in some]),
            averaged([train(one, "prefix", window) for one in some]),
        ]
        shown = " | ".join(f"{took:.1f} · {each:.2f}" for took, _, each in cells)
        print(f"| {_named(rate, pairs)} | {window} | {shown} |", flush=True)
    some = truths(16, 0.05, trains * 20, pairs=True)
    took, runs, _ = averaged([train(one, "prefix", 4) for one in some])
    plain, _, _ = averaged([train(one, "prefix", 4, confirm=False) for one in some])
    print(f"\n5 % and pairs, window 4, {len(some)} trains: {took:.2f} T and {runs:.2f} runs (aims: 3.5 T, 11.5 runs);")
    print(f"without confirming failures {plain:.2f} T")


RATES = ((0.0, False), (0.01, False), (0.03, False), (0.05, False), (0.05, True), (0.1, False), (0.2, False))


def _named(rate: float, pairs: bool) -> str:
    return f"{rate * 100:g} %{' and pairs' if pairs else ''}"


def sizes(trains: int) -> None:
    """Trains of 16 to 1,000 builds, windows of 1 to 32, by both methods."""
    print("Time in T · test runs for each build that lands\n")
    windows = (1, 2, 4, 8, 16, 32)
    heads = " | ".join(f"window {window}" for window in windows)
    print(f"| builds | builds that fail | method | {heads} |\n| --- | --- | --- |{' --- |' * len(windows)}")
    for builds, (rate, pairs) in itertools.product((16, 64, 256, 1000), ((0.0, False), (0.05, True), (0.2, False))):
        some = truths(builds, rate, max(2, trains * 16 // builds // 4), pairs=pairs)
        for method in ("prefix", "window"):
            began = time.perf_counter()
            cells = [averaged([train(one, method, window) for one in some]) for window in windows]
            shown = " | ".join(f"{took:.1f} · {each:.2f}" for took, _, each in cells)
            print(f"| {builds:,} | {_named(rate, pairs)} | {method} | {shown} |", flush=True)
            spent = (time.perf_counter() - began) / len(windows) / len(some)
            note(f"{builds} builds, {_named(rate, pairs)}, {method}: {spent:.2f} s for a train")


def crossover(trains: int) -> None:
    """From which failure rate on a window takes less time than prefixes, and what the train reckons with."""
    print("The failure rate from which a window is faster\n")
    print("| builds | window | simulated | `window_pays_from` |\n| --- | --- | --- | --- |")
    for builds, window in itertools.product((16, 64), (2, 4, 8)):
        found = _crossing(builds, window, trains)
        shown = "none" if found is None else f"{found:.1%}"
        print(f"| {builds} | {window} | {shown} | {window_pays_from(builds, window):.1%} |", flush=True)


def _crossing(builds: int, window: int, trains: int) -> float | None:
    """By the sign of the difference over rates, with the straight line between the two around it."""
    before: tuple[float, float] | None = None
    for step in range(1, 41):
        rate = step / 100
        some = truths(builds, rate, max(10, trains * 16 // builds))
        gain = averaged([train(one, "prefix", window) for one in some])[0]
        gain -= averaged([train(one, "window", window) for one in some])[0]
        if gain > 0 and before is not None:
            return before[0] + (rate - before[0]) * -before[1] / (gain - before[1])
        before = (rate, gain)
    return None


def spread(trains: int) -> None:
    """Runs that last differently long: from half to one and a half T."""
    print("16 builds, 5 % and pairs, window 4, runs of 0.5 to 1.5 T: time in T\n")
    some = truths(16, 0.05, trains, pairs=True)
    chance = random.Random(1)
    for method in METHODS:
        took = averaged([train(one, method, 4, lasting=lambda: chance.uniform(0.5, 1.5)) for one in some])[0]
        print(f"- {method}: {took:.2f}")


def svg(trains: int) -> str:
    """Time by failure rate (16 builds, window 4), and by window (256 builds, 5 % and pairs)."""
    rates = [step / 100 for step in range(0, 21, 2)]
    some = {rate: truths(16, rate, trains) for rate in rates}
    left: dict[str, list[tuple[float, float]]] = {
        method: [(rate * 100, averaged([train(one, method, 4) for one in some[rate]])[0]) for rate in rates]
        for method in METHODS
    }
    left["bors"] = [(rate * 100, averaged([bors(one) for one in some[rate]])[0]) for rate in rates]
    large = truths(256, 0.05, max(2, trains // 64), pairs=True)
    alone = averaged([train(one, "one-by-one", 1) for one in large])[0]
    batches = averaged([bors(one) for one in large])[0]
    windows = (1, 2, 4, 8, 16, 32)
    right: dict[str, list[tuple[float, float]]] = {
        method: [(float(at), averaged([train(one, method, w) for one in large])[0]) for at, w in enumerate(windows)]
        for method in ("prefix", "window")
    }
    right["one-by-one"] = [(0.0, alone), (5.0, alone)]
    right["bors"] = [(0.0, batches), (5.0, batches)]
    parts = [
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 860 380" font-family="sans-serif" font-size="12">',
        "<title>How long a train takes, in test runs, by failure rate and by window</title>",
        '<rect width="860" height="380" fill="white"/>',
        *_panel(60, "16 builds, window 4", left, "builds that fail (%)", [(x, f"{x}") for x in range(0, 21, 5)]),
        *_panel(
            490, "256 builds, 5 % fail, and pairs", right, "window", [(at, str(w)) for at, w in enumerate(windows)]
        ),
        *_legend(),
    ]
    return "\n".join([*parts, "</svg>", ""])


def _panel(
    left: int, title: str, lines: dict[str, list[tuple[float, float]]], below: str, ticks: Sequence[tuple[float, str]]
) -> list[str]:
    wide, high, top = 330, 260, 50
    most_x = max(x for x, _ in ticks)
    most_y = max(y for points in lines.values() for _, y in points) * 1.05

    def at(x: float, y: float) -> str:
        return f"{left + x / most_x * wide:.1f},{top + high - y / most_y * high:.1f}"

    step = next(s for s in (1, 2, 5, 10, 20, 50, 100, 200) if most_y / s <= 7)
    parts = [f'<text x="{left}" y="{top - 20}" font-weight="bold">{title}</text>']
    for value in range(0, int(most_y) + 1, step):
        x, y = at(0, value).split(",")
        parts.append(f'<line x1="{x}" y1="{y}" x2="{left + wide}" y2="{y}" stroke="#eee"/>')
        parts.append(f'<text x="{left - 8}" y="{y}" text-anchor="end" dominant-baseline="middle">{value}</text>')
    for x_value, name in ticks:
        x, y = at(x_value, 0).split(",")
        parts.append(f'<text x="{x}" y="{top + high + 18}" text-anchor="middle">{name}</text>')
    for method, points in lines.items():
        shape = " ".join(at(*point) for point in points)
        parts.append(f'<polyline points="{shape}" fill="none" stroke="{COLOURS[method]}" stroke-width="2"/>')
    parts.append(f'<text x="{left + wide / 2}" y="{top + high + 38}" text-anchor="middle">{below}</text>')
    parts.append(f'<text x="{left}" y="{top - 5}" fill="#555">time in T</text>')
    return parts


def _legend() -> list[str]:
    parts = []
    for at, (method, colour) in enumerate(COLOURS.items()):
        x = 60 + at * 130
        parts.append(f'<line x1="{x}" y1="366" x2="{x + 24}" y2="366" stroke="{colour}" stroke-width="2"/>')
        parts.append(f'<text x="{x + 30}" y="370">{method}</text>')
    return parts


PARTS = {"figures": figures, "sizes": sizes, "crossover": crossover, "spread": spread}


def bench() -> None:
    parser = arguments(__doc__, runs=1)
    parser.add_argument("--trains", type=int, default=400, help="trains of 16 builds for a figure (default: 400)")
    parser.add_argument("--part", choices=PARTS, help="only this")
    parser.add_argument("--svg", type=Path, help="draw the plot into this file, and nothing else")
    options = parser.parse_args()
    if options.svg:
        options.svg.write_text(svg(options.trains), encoding="utf-8")
        return
    for name, part in PARTS.items():
        if options.part in (None, name):
            part(options.trains)
            print()


if __name__ == "__main__":
    main(bench)
