"""Entries and their sums."""

from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True)
class Entry:
    name: str
    amount: Decimal


class Ledger:
    def __init__(self) -> None:
        self.entries: list[Entry] = []

    def add(self, name: str, amount: Decimal) -> Entry:
        if amount <= 0:
            raise ValueError(f"{name}: an expense is more than nothing, got {amount}")
        entry = Entry(name, amount)
        self.entries.append(entry)
        return entry

    def total(self) -> Decimal:
        return sum((entry.amount for entry in self.entries), Decimal(0))
