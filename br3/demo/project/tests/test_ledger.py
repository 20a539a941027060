import unittest
from decimal import Decimal

from tally import Ledger


class LedgerTest(unittest.TestCase):
    def test_an_empty_ledger_totals_nothing(self) -> None:
        self.assertEqual(Ledger().total(), 0)

    def test_amounts_add_up_exactly(self) -> None:
        ledger = Ledger()
        ledger.add("a", Decimal("0.10"))
        ledger.add("b", Decimal("0.20"))
        self.assertEqual(ledger.total(), Decimal("0.30"))

    def test_nothing_and_less_is_refused(self) -> None:
        for amount in ("0", "-1"):
            with self.assertRaises(ValueError):
                Ledger().add("a", Decimal(amount))
