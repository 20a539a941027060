"""Amounts in cents."""


def sum_up(amounts):
    return sum(amounts)
