"""The plots: time that stands still takes no room, bars stay within, labels fit."""

from __future__ import annotations

import re
from datetime import timedelta
from decimal import Decimal
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from br3.report import drawing
from br3.report.clock import clock_of
from br3.report.facts import Bar, Conflicts, Meeting, Outcome, Outcomes, Payment, Range, Row
from br3.report.wording import minutes, seconds, shortened, usd, width
from tests.report_facts import at, facts_of


def percents(svg: str, *names: str) -> list[float]:
    return [float(value) for name in names for value in re.findall(rf'\b{name}="([-0-9.]+)%"', svg)]


def test_time_when_nobody_was_at_work_is_left_out_and_told() -> None:
    clock = clock_of([(at(0), at(60)), (at(30), at(90)), (at(5000), at(5030))])
    assert clock is not None
    assert len(clock.stretches) == 2 and len(clock.gaps) == 1
    assert clock.gaps[0].seconds == timedelta(minutes=4910).total_seconds()
    # What was busy is true to scale: ninety minutes beside thirty.
    long, short = (s.right - s.left for s in clock.stretches)
    assert abs(long / short - 3) < 1e-9
    assert (clock.at(at(0)), clock.at(at(5030))) == (0.0, 100.0)


def test_a_short_wait_is_drawn_as_it_was() -> None:
    clock = clock_of([(at(0), at(60)), (at(61), at(90))])
    assert clock is not None and not clock.gaps


def test_without_anything_there_is_no_axis_and_a_moment_is_one() -> None:
    assert clock_of([]) is None
    clock = clock_of([(at(0), at(0))])
    assert clock is not None and clock.at(at(0)) == 0.0


MINUTES = st.integers(min_value=0, max_value=200_000)


@given(st.lists(st.tuples(MINUTES, st.integers(0, 600)), min_size=1, max_size=40))
def test_later_is_never_further_left(spans: list[tuple[int, int]]) -> None:
    busy = [(at(begin), at(begin + length)) for begin, length in spans]
    clock = clock_of(busy)
    assert clock is not None
    moments = sorted(moment for span in busy for moment in span)
    places = [clock.at(moment) for moment in moments]
    assert places == sorted(places) and places[0] >= 0 and places[-1] <= 100 + 1e-9
    ticks = [tick.at for tick in clock.ticks()]
    assert ticks == sorted(ticks) and all(0 <= tick <= 100 + 1e-9 for tick in ticks)
    assert all(later - earlier >= 10 for earlier, later in pairwise(ticks)), "names do not touch"


def test_bars_stay_within_the_picture_and_a_short_one_can_be_seen() -> None:
    facts = facts_of(40)
    clock = drawing.clock_for(facts.timeline, facts.payments)
    assert clock is not None
    svg = drawing.timeline(facts.timeline, clock)
    boxes = [(float(x), float(w)) for x, w in re.findall(r'<rect x="([-0-9.]+)%" [^>]*width="([0-9.]+)%"[^>]*c-', svg)]
    assert len(boxes) > 200
    assert all(x >= 0 and w >= 0.4 and x + w <= 100.01 for x, w in boxes)


def test_what_took_no_time_at_the_very_end_can_be_seen_too() -> None:
    row = Row("a", (Bar("running", at(0), at(200), "running"), Bar("verifying", at(200), at(200), "verifying")))
    clock = drawing.clock_for([row], [])
    assert clock is not None
    assert '<rect x="99.600%" y="41" width="0.400%"' in drawing.timeline([row], clock)


def test_a_row_says_what_it_shows_for_who_points_at_it() -> None:
    row = Row("a", (), (Bar("failed", at(0), at(10), "T.1 attempt 1: failed (timeout)"),))
    clock = drawing.clock_for([row], [])
    assert clock is not None
    svg = drawing.timeline([row], clock)
    assert "<title>a: T.1 attempt 1: failed (timeout), 09:00:00 to 09:10:00, 10 min 00 s</title>" in svg
    assert "✗ T.1" in svg


def test_what_was_paid_rises_by_steps_to_the_sum() -> None:
    payments = [Payment(at(n), "a", "m", Decimal("0.25"), 0) for n in range(4)]
    payments.append(Payment(at(2), "a", "m", None, 500))
    clock = drawing.clock_for([], payments)
    assert clock is not None
    svg = drawing.spending(payments, Decimal("2"), clock)
    assert "1.00 USD in all" in svg and "budget 2.00 USD" in svg
    heights = [
        float(y) for y in re.findall(r'<rect x="[^"]*" y="([0-9.]+)" width="[^"]*" height="[^"]*" class="area"', svg)
    ]
    assert heights == sorted(heights, reverse=True), "the picture never falls"
    # A budget of two dollars stands at twice the height of the one that was paid.
    line = float(re.findall(r'y1="([0-9.]+)" y2="\1" class="budget"', svg)[0])
    assert abs((200 - line) / (200 - heights[-1]) - 2) < 0.01


def test_a_budget_far_above_is_told_and_not_drawn() -> None:
    payments = [Payment(at(0), "a", "m", Decimal("0.25"), 0)]
    clock = drawing.clock_for([], payments)
    assert clock is not None
    svg = drawing.spending(payments, Decimal("100"), clock)
    assert 'class="budget"' not in svg and "of a budget of 100.00 USD" in svg


def test_what_took_more_than_its_p90_has_another_sign() -> None:
    kept = (
        Outcome("a", "r", "m", Range(0.1, 0.3), 0.2),
        Outcome("b", "r", "m", Range(0.1, 0.3), 0.5),
        Outcome("c", "r", "m", Range(0.2, 0.2), 0.2),
    )
    svg = drawing.ranges("x", Outcomes("USD", kept, 0.5, 0.6, 1.0))
    assert svg.count("●") == 2 and svg.count("◆") == 1
    assert "<title>b: 0.50 USD of 0.10 USD – 0.30 USD, above P90</title>" in svg
    assert all(0 <= value <= 100 for value in percents(svg, "x", "x1", "x2"))


def test_one_outcome_alone_can_be_drawn() -> None:
    svg = drawing.ranges("x", Outcomes("minutes", (Outcome("a", "r", "m", Range(5, 5), 5),), 1.0, 1.0, 1.0))
    assert "5 min of 5 min – 5 min" in svg


def test_the_matrix_shows_each_pair_once_and_what_it_was() -> None:
    meetings = (
        Meeting("main", "a", "none"),
        Meeting("main", "b", "conflict", ("x.py",)),
        Meeting("a", "b", "landed", (), True, ("y.py",)),
    )
    svg = drawing.matrix(Conflicts(("main", "a", "b"), meetings))
    assert "<title>main and b: conflict: x.py</title>" in svg
    assert "<title>a and b: there was a conflict: y.py</title>" in svg
    assert svg.count("<g>") == 3
    many = drawing.matrix(facts_of(40).conflicts)
    assert many.count("<g>") == 40 * 41 / 2
    assert all(0 <= value <= 100 for value in percents(many, "x"))


def test_labels_are_cut_by_what_they_take() -> None:
    assert shortened("a  short\none", 20) == "a short one"
    cut = shortened("界" * 40, 21)
    assert cut.endswith("…") and width(cut) <= 21
    assert width("é") == 1 and width("e\u0301") == 1


def test_amounts_read_as_people_say_them() -> None:
    assert [usd("0.0123"), usd("12.5"), usd(0)] == ["0.0123 USD", "12.50 USD", "0.00 USD"]
    assert [minutes(0.5), minutes(2.5), minutes(90), minutes(150)] == ["30 s", "2.5 min", "90 min", "2 h 30 min"]
    assert [seconds(0.5), seconds(75), seconds(7300)] == ["0.50 s", "1 min 15 s", "2 h 01 min"]
