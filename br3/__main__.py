"""``python -m br3``."""

from br3.cli import main

if __name__ == "__main__":
    try:
        main()
    finally:
        # An interrupt that passed through code made from text, as dataclasses are made, ends `python -m` by its signal,
        # although it was caught long since. Python forgets it with the next such code.
        exec("")
