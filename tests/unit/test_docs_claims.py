"""Claims of the pages: a figure names the bench that prints it or is a limit in the code; nothing is praised.

A figure is a number with a unit, and a number in a table of numbers. A bench is named in the same part of the page, the
text between two headings. Examples stand in quotes or in code; what is generated has its own tests.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from br3.analytics import reports
from br3.cli.watching import GIT_EVERY_S
from br3.dispatch import watching
from br3.estimate import ratings
from br3.guard import changed, settings
from br3.landing import training
from br3.orchestrator import choosing, heeding
from br3.plan import model
from br3.plan.briefs.quantities import minutes
from br3.release import making
from br3.telemetry import journal
from br3.workspace import children
from tests.pages import PAGES, RECORDS, ROOT, Part, parts, prose, read

UNIT = r"ms|µs|s|min|kB|KB|MB|GB|%|×|seconds?|minutes?|hours?|days?|times|dollars?|USD|percent"
WORD = r"two|three|four|five|six|seven|eight|nine|ten|twenty|thirty|hundred|hundreds of|thousand"
COUNT = rf"[−-]?\d[\d,]*(?:\.\d+)?|(?i:{WORD})"
FIGURE = re.compile(rf"(?<![\w.])(?:{COUNT})[ -]?(?:{UNIT})(?![\w-])")
BENCH = re.compile(r"tests/bench/(\w+)\.py(?: (--part \w+))?")
NUMBER = re.compile(r"[−-]?(?:\d{2,}|\d[\d,]*\.\d+|\d+,\d{3})(?: ?[%×])?")
EXAMPLE = re.compile(r"(?<!`)`[^`]+`(?!`)|“[^”]*”", re.DOTALL)

GENERATED = re.compile(r"<!-- (?!end)[^>]* -->.*?<!-- end -->", re.DOTALL)

PRAISE = (
    "production ready, battle tested, enterprise grade, world class, state of the art, best in class, blazing, "
    "blazingly, "
    "lightning fast, effortless, effortlessly, seamless, seamlessly, cutting edge, next generation, next gen, "
    "revolutionary, game changer, game changing, rock solid, bulletproof, super fast, ultra fast, powerful, robust, "
    "zero cost, industry leading, unparalleled, simply, just works, magical, magically"
).split(", ")

LIMITS: dict[tuple[str, str], bool] = {
    ("AGENTS.md", "five seconds"): children.GRACE_S == 5,
    ("BRIEFS.md", "eight hours"): minutes("1 day") == 8 * 60,
    ("CONTRIBUTING.md", "ten minutes"): True,  # an aim
    ("ESTIMATES.md", "30 s"): ratings.DEADLINE_S == 30,
    ("PARALLEL.md", "8 s"): [watching.Restarts(count).ended(0, 0.0) for count in range(3)] == [0.5, 2, 8],
    ("PARALLEL.md", "2 minutes"): watching._REPORTED_AFTER * heeding.heartbeat_s() == 120,
    ("PARALLEL.md", "1 GB"): watching.LEAST_FREE_BYTES == 10**9,
    ("PARALLEL.md", "30 s"): heeding.heartbeat_s() == 30,
    ("PLAN.md", "30 days"): model.DEFAULT_RETENTION_DAYS == 30,
    ("PLAN.md", "30 minutes"): model.DEFAULT_SILENCE_S == 30 * 60,
    ("PLAN.md", "24 hours"): reports._REACH["day"] == timedelta(hours=24),
    ("PLAN.md", "two hours"): model.Alerts().duration_p95_max_s == 2 * 3600,
    ("PARALLEL.md", "5 s"): GIT_EVERY_S == 5,
    ("RELEASE.md", "three times"): making._MOST_TRIES == 3,
    ("LANDING.md", "three times"): training._MOST_TRIES == 3,
    ("ROUTING.md", "15 minutes"): choosing._LONG_WAIT_S == 15 * 60,
    ("SECURITY.md", "5 MB"): settings.MAX_BYTES == 5 * 2**20,
    ("SECURITY.md", "64 MB"): changed.MOST_BYTES == 64 * 2**20,
    ("TELEMETRY.md", "720 hours"): reports._REACH["month"] == timedelta(hours=720),
    ("TELEMETRY.md", "1 MB"): journal.ROTATE_BYTES == 10**6,
    ("TELEMETRY.md", "30 s"): heeding.heartbeat_s() == 30,
}
"""Figures that are no measurement: page, figure, and whether the code has the same."""


def figures(part: Part) -> Iterator[str]:
    """The figures in a part of a page."""
    text = EXAMPLE.sub("CODE", prose(part.text))
    yield from (" ".join(found.split()) for found in FIGURE.findall(text))
    for line in text.splitlines():
        if line.startswith("|"):
            yield from (cell for cell in map(str.strip, line.strip("|").split("|")) if NUMBER.fullmatch(cell))


def unfounded(page: Path) -> set[str]:
    """The figures of a page for which nothing stands up."""
    found = set()
    for part in parts(GENERATED.sub("", read(page))):
        if not BENCH.search(part.text):
            found |= {figure for figure in figures(part) if not LIMITS.get((page.name, figure))}
    return found


OWN = [page for page in PAGES if page.name not in RECORDS]


@pytest.mark.parametrize("page", OWN, ids=lambda page: page.name)
def test_a_figure_names_the_bench_that_prints_it_or_is_a_limit_in_the_code(page: Path) -> None:
    assert unfounded(page) == set()


def test_limits_are_those_of_the_code() -> None:
    assert [figure for figure, holds in LIMITS.items() if not holds] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_benches_that_a_page_names_are_there_with_their_parts(page: Path) -> None:
    for name, part in BENCH.findall(read(page)):
        bench = ROOT / "tests" / "bench" / f"{name}.py"
        assert bench.exists(), name
        assert not part or f'"{part.split()[1]}"' in read(bench), f"{name} {part}"


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CHANGELOG.md"], ids=lambda page: page.name)
def test_nothing_is_praised(page: Path) -> None:
    told = re.sub(r"[\s-]+", " ", prose(read(page))).lower()
    assert [words for words in PRAISE if re.search(rf"\b{words}\b", told)] == []


@pytest.mark.parametrize(
    "text", ["It starts in 90 ms.", "Ten times less.", "| br3 | 0.82 |", "Saves 40 % of the dollars.", "3× faster"]
)
def test_a_figure_alone_is_found(text: str) -> None:
    assert [*figures(Part(1, None, f"{text}\n"))]


def test_settings_examples_and_names_are_no_figures() -> None:
    text = "“(90 min)” is read, `timeout = 2h` too, as are br3 0.1.0, Python 3.11 and | `0` | one row |.\n"
    assert [*figures(Part(1, None, text))] == []
