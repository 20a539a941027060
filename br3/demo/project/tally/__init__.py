"""A small ledger."""

from tally.ledger import Entry, Ledger

__all__ = ["Entry", "Ledger"]
