"""``python -m tally NAME=AMOUNT …`` prints the total."""

import sys
from decimal import Decimal

from tally.ledger import Ledger


def main(arguments: list[str]) -> str:
    ledger = Ledger()
    for argument in arguments:
        name, _, amount = argument.partition("=")
        ledger.add(name, Decimal(amount))
    return f"{ledger.total():.2f}"


if __name__ == "__main__":
    print(main(sys.argv[1:]))
