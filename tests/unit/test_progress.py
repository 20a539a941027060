"""What a person sees of a run or a train while it goes on."""

from __future__ import annotations

import io
import time

from rich.console import Console

from br3.cli.progress import Live
from br3.landing.testing import Picture
from br3.telemetry import BuildView


def drawn(live: Live, width: int) -> list[str]:
    console = Console(file=io.StringIO(), width=width)
    with console.capture() as capture:
        console.print(live)
    return [line.rstrip() for line in capture.get().splitlines()]


def test_builds_with_nothing_left_to_do_are_shown_as_they_are_and_have_ended() -> None:
    live = Live(["a", "b", "c"], {"a": "landed"})
    live.tick({"a": BuildView("a"), "b": BuildView("b", state="running"), "c": BuildView("c", state="failed")})
    shown = drawn(live, 80)
    assert [line.split()[:2] for line in shown[1:4]] == [["a", "landed"], ["b", "running"], ["c", "failed"]]
    assert shown[4].strip() == "2 of 3 builds have ended"


def test_what_a_train_does_just_now_keeps_to_one_line() -> None:
    live, order = Live([]), ("a", "b", "c")
    live.train(Picture(order, ("a",), (), ((order, time.monotonic()), (order[:2], time.monotonic()))))
    words = "testing a, b, c: python3 -m unittest discover --start-directory tests --top-level-directory ."
    heights = []
    for step in ("", "a passes", words):
        live.step(step)
        shown = drawn(live, 80)
        heights.append(len(shown))
        assert max(map(len, shown)) <= 80
    assert set(heights) == {5}
    assert shown[-1].startswith(words[:70])
