"""How amounts and moments are said to people."""

from __future__ import annotations

import unicodedata
from datetime import datetime
from decimal import Decimal
from typing import Any


def usd(value: Any) -> str:
    """Dollars as people read them: cents, and four places below one cent."""
    amount = Decimal(str(value))
    return f"{amount:,.4f} USD" if abs(amount) < Decimal("0.1") and amount else f"{amount:,.2f} USD"


def seconds(value: float) -> str:
    """A duration: 0.16 s, 42 s, 3 min 05 s, 2 h 10 min."""
    if value < 10:
        return f"{value:.2f} s"
    if value < 60:
        return f"{value:.0f} s"
    if value < 3600:
        return f"{int(value) // 60} min {int(value) % 60:02d} s"
    return f"{int(value) // 3600} h {int(value) % 3600 // 60:02d} min"


def minutes(value: float) -> str:
    """Minutes as a plan has them: 42 s, 2.5 min, 20 min, 2 h 30 min."""
    if value < 1:
        return seconds(value * 60)
    if value < 10:
        return f"{value:.1f} min".replace(".0 min", " min")
    return f"{value:.0f} min" if value < 120 else f"{int(value) // 60} h {int(value) % 60:02d} min"


def moment(at: datetime) -> str:
    """A moment in UTC, to the second."""
    return at.strftime("%Y-%m-%d %H:%M:%S")


def width(text: str) -> int:
    """How many cells of a terminal, or half as many of a font's wide letters, a text takes."""
    wide = (2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text if not unicodedata.combining(c))
    return sum(wide)


def shortened(text: str, cells: int) -> str:
    """The text on one line in so many cells at most; what is cut off is shown by an ellipsis."""
    line = " ".join(text.split())
    if width(line) <= cells:
        return line
    kept, used = "", 1
    for character in line:
        used += width(character)
        if used > cells:
            break
        kept += character
    return kept.rstrip() + "…"
