"""Plots as SVG within a page. Across they are measured in percent and down in pixels, so that letters keep their size
at any width; colours are the page's, and each kind has a sign or a pattern beside its colour.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from br3.report.clock import Clock, clock_of
from br3.report.facts import Bar, Conflicts, Meeting, Outcomes, Payment, Row
from br3.report.markup import Markup, el, joined
from br3.report.wording import minutes, seconds, shortened, usd, width

_LETTERS = 46
"""Cells of a label that fit on the narrowest page."""
_CELL_PX = 7.0
_NARROWEST_PX = 300.0

SIGNS = {
    "verified": "✓",
    "failed": "✗",
    "cancelled": "–",
    "aside": "↷",
    "requested": "→",
    "conflict": "!",
    "landed": "▼",
    "released": "★",
}
PATTERNS = Markup(
    '<svg width="0" height="0" class="patterns" aria-hidden="true"><defs>'
    '<pattern id="p-failed" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
    '<rect width="6" height="6" class="c-failed"/><rect width="2" height="6" class="hatch"/></pattern>'
    '<pattern id="p-paused" width="4" height="4" patternUnits="userSpaceOnUse">'
    '<rect width="4" height="4" class="c-ground"/><rect width="2" height="4" class="c-paused"/></pattern>'
    '<pattern id="p-repairing" width="6" height="6" patternUnits="userSpaceOnUse">'
    '<rect width="6" height="6" class="c-running"/><circle cx="3" cy="3" r="1.4" class="hatch"/></pattern>'
    '<pattern id="p-verifying" width="6" height="6" patternUnits="userSpaceOnUse">'
    '<rect width="6" height="6" class="c-verifying"/><rect width="6" height="2" class="hatch"/></pattern>'
    "</defs></svg>"
)


@dataclass(frozen=True)
class Item:
    """A bar with its label; ``share`` of the longest, ``told`` what it is in figures."""

    label: str
    share: float
    told: str
    kind: str = "plain"


def picture(name: str, title: str, height: float, *content: Markup) -> Markup:
    """An SVG picture with a title for those who do not see it; ``height`` in pixels."""
    return el(
        "svg",
        el("title", title, id=f"{name}-title"),
        *content,
        class_="plot",
        width="100%",
        height=height,
        role="img",
        aria_labelledby=f"{name}-title",
    )


def timeline(rows: Sequence[Row], clock: Clock) -> Markup:
    """A row each: its name, phases, below them attempts, and signs of what happened."""
    parts: list[Markup] = []
    top = 24.0
    for row in rows:
        parts.append(_text("0%", top + 12, shortened(row.label, _LETTERS), "label"))
        for mark in row.marks:
            at = clock.at(mark.at)
            sign = _text(f"{_inside(at)}%", top + 12, SIGNS[mark.kind], f"mark m-{mark.kind}", _anchor(at))
            parts.append(el("g", el("title", f"{row.label}: {mark.label}"), sign))
        parts += [_bar(bar, row.label, clock, top + 17, 6.0) for bar in row.phases]
        parts += [_bar(bar, row.label, clock, top + 25, 14.0, named=True) for bar in row.attempts]
        top += 48 if row.attempts else 32
    return picture("timeline", f"Timeline of {len(rows)} rows", top + 2, *_hours(clock, top), *parts)


def spending(payments: Sequence[Payment], budget_usd: Decimal | None, clock: Clock) -> Markup:
    """What was known to be paid so far, over time, as steps, and the budget where it is near enough to be drawn."""
    total = sum((p.usd for p in payments if p.usd is not None), Decimal(0))
    drawn = budget_usd is not None and total > 0 and budget_usd <= 4 * total
    top = max(float(total), float(budget_usd) if drawn and budget_usd is not None else 0.0) or 1.0
    low, high = 200.0, 34.0

    def y(amount: Decimal) -> float:
        return low - float(amount) / top * (low - high)

    parts = _levels(top, low, high)
    so_far, x = Decimal(0), 0.0
    for payment in sorted((p for p in payments if p.usd), key=lambda p: p.at):
        at = clock.at(payment.at)
        parts += _step(x, at, y(so_far), low)
        before, so_far, x = y(so_far), so_far + (payment.usd or 0), at
        whose = " · ".join(name for name in (payment.build, payment.model) if name)
        told = f"{payment.at:%H:%M:%S} {whose}: {usd(payment.usd)}, {usd(so_far)} in all"
        line = el("line", el("title", told), x1=f"{at:.3f}%", x2=f"{at:.3f}%", y1=before, y2=y(so_far), class_="spent")
        parts.append(line)
    parts += _step(x, 100.0, y(so_far), low)
    if drawn and budget_usd is not None:
        at = y(budget_usd)
        parts.append(el("line", x1="0%", x2="100%", y1=at, y2=at, class_="budget"))
        parts.append(_text("100%", at - 5, f"budget {usd(budget_usd)}", "label", "end"))
    title = f"{usd(total)} are known to be paid" + (f", of a budget of {usd(budget_usd)}" if budget_usd else "")
    return picture("spending", title, low + 4, *_hours(clock, low), *parts)


def bars(name: str, title: str, items: Sequence[Item]) -> Markup:
    """A bar each, with its label and figures above it."""
    parts: list[Markup] = []
    for number, item in enumerate(items):
        top = number * 34.0
        left = max(8, _LETTERS - width(item.told) - 2)
        parts.append(_text("0%", top + 12, shortened(item.label, left), "label"))
        parts.append(_text("100%", top + 12, item.told, "figure", "end"))
        parts.append(el("rect", x="0%", y=top + 17, width="100%", height=10, class_="track"))
        if not item.share:
            continue
        parts.append(
            el(
                "rect",
                x="0%",
                y=top + 17,
                width=f"{max(item.share * 100, 0.3):.2f}%",
                height=10,
                class_=f"c-{item.kind}",
            )
        )
    return picture(name, title, len(items) * 34.0, *parts)


def ranges(name: str, found: Outcomes) -> Markup:
    """P50 to P90 as a band, and what it took as a dot within or a diamond above; logarithmic across."""
    said = _amount(found.unit)
    amounts = [amount for one in found.kept for amount in (one.estimated.p50, one.estimated.p90, one.taken)]
    low, high = math.log10(min(amounts)), math.log10(max(amounts))
    spare = max((high - low) * 0.06, 0.05)
    low, high = low - spare, high + spare

    def x(amount: float) -> float:
        return (math.log10(amount) - low) / (high - low) * 100

    parts: list[Markup] = []
    bottom = 24.0 + len(found.kept) * 38.0
    for amount in _round_amounts(10**low, 10**high):
        at = x(amount)
        parts.append(el("line", x1=f"{at:.2f}%", x2=f"{at:.2f}%", y1=18, y2=bottom, class_="grid"))
        parts.append(_text(f"{_inside(at)}%", 12, said(amount), "tick", _anchor(at)))
    for number, one in enumerate(found.kept):
        top = 24.0 + number * 38.0
        left, right, at = x(one.estimated.p50), x(one.estimated.p90), x(one.taken)
        over = one.taken > one.estimated.p90
        told = f"{said(one.taken)} of {said(one.estimated.p50)} – {said(one.estimated.p90)}"
        parts.append(_text("0%", top + 12, shortened(one.build, max(8, _LETTERS - width(told) - 2)), "label"))
        parts.append(_text("100%", top + 12, told, "figure", "end"))
        band = el("rect", x=f"{left:.2f}%", y=top + 20, width=f"{max(right - left, 0.5):.2f}%", height=8, class_="band")
        parts.append(band)
        parts.append(el("line", x1=f"{left:.2f}%", x2=f"{left:.2f}%", y1=top + 17, y2=top + 31, class_="middle"))
        sign = "◆" if over else "●"
        dot = _text(f"{at:.2f}%", top + 28, sign, "over" if over else "within", "middle")
        parts.append(el("g", el("title", f"{one.build}: {told}{', above P90' if over else ''}"), dot))
    title = f"Estimated and taken, in {found.unit}, of {len(found.kept)} builds"
    return picture(name, title, bottom + 2, *parts)


def matrix(conflicts: Conflicts) -> Markup:
    """A square for every pair: × conflict now, △ there was one, · none, ? not known; base is the first column."""
    sides = conflicts.sides
    met: dict[tuple[str, str], Meeting] = {(m.a, m.b): m for m in conflicts.meetings}
    gutter = max(100 / len(sides), 9.0)
    step = (100 - gutter) / max(len(sides) - 1, 1)
    high = 20.0
    parts: list[Markup] = []
    for place in range(len(sides) - 1):
        head = "base" if place == 0 else str(place)
        often = "minor" if place and len(sides) > 12 and place % 5 else "tick"
        parts.append(_text(f"{gutter + step * (place + 0.5):.2f}%", 12, head, often, "middle"))
    for row in range(1, len(sides)):
        y = 18 + (row - 1) * high
        room = int(gutter / 100 * _NARROWEST_PX / _CELL_PX) - 3
        name = f"{row} {shortened(sides[row], room)}" if room > 3 else str(row)
        parts.append(_text("0%", y + 14, name, "tick"))
        for column in range(row):
            a, b = sides[column], sides[row]
            meeting = met.get((a, b))
            kind = "none-seen" if meeting is None else "conflict" if meeting.state == "conflict" else meeting.state
            if meeting is not None and meeting.seen and kind != "conflict":
                kind = "seen"
            files = meeting.files or meeting.seen_files if meeting else ()
            told = f"{a} and {b}: {_MEETINGS[kind]}{': ' if files else ''}{', '.join(files[:8])}"
            left = gutter + step * column
            box = el(
                "rect", x=f"{left:.2f}%", y=y, width=f"{step * 0.94:.2f}%", height=high - 1.5, class_=f"meet-{kind}"
            )
            sign = _text(f"{left + step * 0.47:.2f}%", y + 14, _MEETING_SIGNS[kind], f"sign-{kind}", "middle")
            parts.append(el("g", el("title", told), box, sign))
    return picture("matrix", f"Conflicts of {len(sides) - 1} builds and base", 20 + (len(sides) - 1) * high, *parts)


_MEETING_SIGNS = {"conflict": "×", "seen": "△", "none": "·", "unknown": "?", "none-seen": ""}
_MEETINGS = {
    "conflict": "conflict",
    "seen": "there was a conflict",
    "none": "no conflict",
    "unknown": "not known, one of them has nothing yet",
    "none-seen": "at least one has landed",
}


def clock_for(rows: Sequence[Row], payments: Sequence[Payment]) -> Clock | None:
    """The axis that timeline and spending share."""
    spans = [(bar.began, bar.ended) for row in rows for bar in (*row.phases, *row.attempts)]
    spans += [(mark.at, mark.at) for row in rows for mark in row.marks]
    return clock_of([*spans, *((payment.at, payment.at) for payment in payments)])


def _bar(bar: Bar, whose: str, clock: Clock, top: float, height: float, *, named: bool = False) -> Markup:
    left, right = clock.at(bar.began), clock.at(bar.ended)
    share = max(right - left, 0.4)
    left = min(left, 100 - share)
    took = seconds((bar.ended - bar.began).total_seconds())
    content = [
        el("title", f"{whose}: {bar.label}, {bar.began:%H:%M:%S} to {bar.ended:%H:%M:%S}, {took}"),
        el("rect", x=f"{left:.3f}%", y=top, width=f"{share:.3f}%", height=height, class_=f"bar c-{bar.kind}"),
    ]
    task = bar.label.partition(" attempt ")[0]
    sign = "✗ " if bar.kind == "failed" else ""
    if named and share / 100 * _NARROWEST_PX > (width(sign + task) + 1) * _CELL_PX:
        content.append(_text(f"{left + 0.6:.3f}%", top + 11, sign + task, "within-bar"))
    return el("g", *content)


def _hours(clock: Clock, bottom: float) -> list[Markup]:
    """Lines at round moments, their names on top, and what was left out between."""
    parts: list[Markup] = []
    fine = sum((s.ended - s.began).total_seconds() for s in clock.stretches) < 600
    for number, tick in enumerate(clock.ticks()):
        name = f"{tick.moment:%H:%M:%S}" if fine else f"{tick.moment:%H:%M}"
        if tick.day and number:
            name = f"{tick.moment:%m-%d} {name}"
        parts.append(el("line", x1=f"{tick.at:.2f}%", x2=f"{tick.at:.2f}%", y1=18, y2=bottom, class_="grid"))
        parts.append(_text(f"{_inside(tick.at)}%", 12, name, "minor" if number % 2 else "tick", _anchor(tick.at)))
    for gap in clock.gaps:
        told = f"{seconds(gap.seconds)} left out"
        band = el(
            "rect", x=f"{gap.left:.2f}%", y=18, width=f"{gap.right - gap.left:.2f}%", height=bottom - 18, class_="gap"
        )
        parts.append(el("g", el("title", told), band))
    return parts


def _levels(top: float, low: float, high: float) -> list[Markup]:
    parts = []
    for share in (0.0, 0.5, 1.0):
        y = low - share * (low - high)
        parts.append(el("line", x1="0%", x2="100%", y1=y, y2=y, class_="grid"))
        if share:
            parts.append(_text("0%", y - 5, usd(round(top * share, 4)), "tick"))
    return parts


def _step(left: float, right: float, y: float, low: float) -> list[Markup]:
    """What was paid stays paid until the next payment."""
    across = f"{max(right - left, 0):.3f}%"
    return [
        el("rect", x=f"{left:.3f}%", y=y, width=across, height=low - y, class_="area"),
        el("line", x1=f"{left:.3f}%", x2=f"{right:.3f}%", y1=y, y2=y, class_="spent"),
    ]


def _text(x: str, y: float, text: str, kind: str, anchor: str | None = None) -> Markup:
    return el("text", text, x=x, y=y, class_=kind, text_anchor=anchor if anchor != "start" else None)


def _anchor(at: float) -> str:
    return "start" if at < 6 else "end" if at > 94 else "middle"


def _inside(at: float) -> str:
    return f"{min(max(at, 0.0), 100.0):.2f}"


def _amount(unit: str) -> Callable[[float], str]:
    return usd if unit == "USD" else minutes


def _round_amounts(low: float, high: float) -> list[float]:
    """Powers of ten between two amounts; where there are fewer than two, their halves and fifths too."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    tens = [10.0**p for p in powers if low <= 10.0**p <= high]
    if len(tens) > 1:
        return tens[:: max(1, len(tens) // 5)]
    return [m * 10.0**p for p in powers for m in (1, 2, 5) if low <= m * 10.0**p <= high][:5]


def legend(kinds: Sequence[tuple[str, str]]) -> Markup:
    """What colours, patterns and signs mean: (kind of a bar or a sign, words)."""
    items = []
    for kind, words in kinds:
        if len(kind) == 1:
            sample = el("span", kind, class_="sample sign")
        else:
            box = el("rect", width="100%", height=12, class_=f"bar c-{kind}")
            sample = el("svg", box, class_="sample", width=22, height=12, aria_hidden="true")
        items.append(el("li", sample, joined(" ", words)))
    return el("ul", *items, class_="legend")
