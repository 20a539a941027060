"""Words that more than one room says the same way."""

from __future__ import annotations

TYPE_CHECKING = False  # hooks load this file, and typing takes longer than all that they do
if TYPE_CHECKING:
    from collections.abc import Sequence
    from decimal import Decimal


def paid(cost: Decimal | None, known: Decimal | None) -> str:
    """What was paid: all of it, or what is known of it; a dash where nothing is. Cents, and four places below ten."""
    amount = known if cost is None else cost
    if amount is None or (cost is None and not amount):
        return "–"
    return f"{'≥ ' if cost is None else ''}{amount:.{4 if 0 < abs(amount) < 0.1 else 2}f} USD"


def fits(character: str) -> bool:
    """Whether a character only shows itself, or joins its neighbours as in a family of people."""
    return character.isprintable() or character in "\u200c\u200d"


def printable(text: str) -> str:
    """Text for a terminal: control characters and lone bytes escaped, so that no name can paint over a line."""
    return "".join(c if fits(c) else repr(c)[1:-1] for c in text)


def listed(names: Sequence[str], most: int = 5) -> str:
    """The first few names, each printable, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(map(printable, names[:most])) + more


def counted(number: int, thing: str) -> str:
    """A number and its noun: 1 build, 2 builds."""
    return f"{number:,} {thing}" if number == 1 else f"{number:,} {thing}s"
