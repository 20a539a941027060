import unittest

from prices import amounts


class Amounts(unittest.TestCase):
    def test_they_add_up(self):
        self.assertEqual(amounts.sum_up([100, 250]), 350)
