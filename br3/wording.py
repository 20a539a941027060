"""Words that more than one room says the same way."""

from __future__ import annotations


def counted(number: int, thing: str) -> str:
    """A number and its noun: 1 build, 2 builds."""
    return f"{number:,} {thing}" if number == 1 else f"{number:,} {thing}s"
