"""The page of ``br3 report`` in a headless Chromium: nothing is loaded, nothing overflows, it prints.

``BR3_TEST_SCREENSHOT=1`` writes docs/images/report.png anew; otherwise only its kind and size are looked at.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from br3.report.page import page as page_of
from tests.conftest import Scratch
from tests.external.browser import Browser, browser, why_none
from tests.integration.reported import report_worthy
from tests.report_facts import facts_of, texts_changed

pytestmark = pytest.mark.skipif(why_none() is not None, reason=str(why_none()))

SCREENSHOT = Path(__file__).parents[2] / "docs" / "images" / "report.png"
ANEW = bool(os.environ.get("BR3_TEST_SCREENSHOT"))
WIDTH, HEIGHT = 1000, 1690

# What of the page stands out on the right, but for what may be scrolled.
OVERFLOWING = """
[document.documentElement.scrollWidth - innerWidth,
 ...[...document.querySelectorAll('body *')]
    .filter(e => !e.closest('.scroll') && !e.closest('svg') && e.getBoundingClientRect().right > innerWidth + 0.5)
    .map(e => e.outerHTML.slice(0, 80))]
"""
# Names on an axis that touch each other.
TOUCHING = """
[...document.querySelectorAll('svg.plot')].flatMap(plot => {
  const boxes = [...plot.querySelectorAll('text.tick, text.minor')].map(t => t.getBoundingClientRect())
    .filter(b => b.width > 0)
  const meet = (a, b) => a.left < b.right && b.left < a.right && a.top < b.bottom - 2 && b.top < a.bottom - 2
  return boxes.flatMap((a, i) => boxes.slice(i + 1).filter(b => meet(a, b)).map(() => plot.textContent.slice(0, 60)))
})
"""


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("chromium")) as found:
        yield found


def written(path: Path, html: str) -> Path:
    path.write_text(html)
    return path


@pytest.mark.parametrize("builds", [1, 40])
@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("words", ["short", "long"])
def test_nothing_is_loaded_and_nothing_overflows(
    chromium: Browser, tmp_path: Path, builds: int, width: int, words: str
) -> None:
    facts = facts_of(builds)
    if words == "long":
        own = ("state", "kind", "unit", "lands_by", "cost_usd")
        facts = texts_changed(facts, lambda text: f"{text} {'wide' * 40} 界界界 <b>&", keep=own)
    shown = chromium.page()
    file = written(tmp_path / "report.html", page_of(facts))
    shown.open(file, width=width, dark=builds == 1)
    assert shown.value(OVERFLOWING) == [0]
    assert shown.requests == [file.as_uri()]
    assert shown.complaints == []
    if words == "short":
        assert shown.value(TOUCHING) == []


def test_it_reads_the_same_without_scripts(chromium: Browser, tmp_path: Path) -> None:
    shown = chromium.page()
    file = written(tmp_path / "report.html", page_of(facts_of(3)))
    shown.open(file, scripts=False)
    assert shown.value("document.scripts.length") == 0
    assert shown.value("document.querySelectorAll('svg.plot').length") == 8


def test_printed_it_is_whole_and_has_what_is_folded_away(chromium: Browser, tmp_path: Path) -> None:
    shown = chromium.page()
    shown.open(written(tmp_path / "report.html", page_of(facts_of(40))))
    folded = "document.querySelector('#timeline').parentElement.querySelector('details table').checkVisibility()"
    assert shown.value(folded) is False
    shown.say("Emulation.setEmulatedMedia", media="print")
    assert shown.value(folded) is True, "a row for each attempt"
    assert shown.value("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    pdf = shown.printed()
    assert pdf.startswith(b"%PDF-") and pdf.count(b"/Type /Page\n") + pdf.count(b"/Type /Page ") >= 5


def test_light_and_dark_follow_the_reader(chromium: Browser, tmp_path: Path) -> None:
    file = written(tmp_path / "report.html", page_of(facts_of(2)))
    grounds = []
    for dark in (False, True):
        shown = chromium.page()
        shown.open(file, dark=dark)
        grounds.append(shown.value("getComputedStyle(document.body).backgroundColor"))
    assert grounds == ["rgb(255, 255, 255)", "rgb(18, 22, 28)"]


def test_the_picture_in_the_docs_is_of_a_run(repo: Scratch, chromium: Browser, tmp_path: Path) -> None:
    report_worthy(repo, tmp_path / "tools", hostile="A guide for who begins", secret="")
    repo.br3("report", "-o", "report.html")
    shown = chromium.page()
    shown.open(repo.path / "report.html", width=WIDTH, height=HEIGHT)
    assert shown.requests == [(repo.path / "report.html").as_uri()] and shown.complaints == []
    assert shown.value(OVERFLOWING) == [0]
    taken = shown.screenshot()
    if ANEW:
        SCREENSHOT.write_bytes(taken)
    kept = SCREENSHOT.read_bytes()
    assert kept[:8] == taken[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", kept[16:24]) == struct.unpack(">II", taken[16:24]) == (WIDTH, HEIGHT)
    assert len(kept) < 300_000
