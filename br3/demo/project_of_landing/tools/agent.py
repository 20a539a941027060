"""Stands in for a coding agent, so that the demonstration needs no key: it does the edits of its build."""

import os
from pathlib import Path

RECEIPT = '''"""Receipts as text."""

from prices import amounts


def receipt(items):
    return f"{len(items)} items, {amounts.sum_up(items)} cents"
'''
TEST = """import unittest

from prices.receipt import receipt


class Receipt(unittest.TestCase):
    def test_it_has_the_sum(self):
        self.assertEqual(receipt([100, 250]), "2 items, 350 cents")
"""

build = os.environ["BR3_BUILD"]
if build == "rename":
    for path in (Path("prices/amounts.py"), Path("tests/test_amounts.py")):
        path.write_text(path.read_text().replace("sum_up", "total"))
elif build == "receipt":
    Path("prices/receipt.py").write_text(RECEIPT)
    Path("tests/test_receipt.py").write_text(TEST)
else:
    Path("README.md").write_text("# prices\n\nAmounts in cents, and receipts.\n")
print(f"done: {build}")
