"""Fills the examples of the rules: ``<<a36>>`` becomes 36 random letters of the alphabet ``a``.

The rules hold templates, so that no scanner takes their file, or this one, for a leak.
"""

from __future__ import annotations

import re
from random import Random
from string import ascii_letters, ascii_lowercase, ascii_uppercase, digits

ALPHABETS = {
    "a": ascii_letters + digits,
    "A": ascii_uppercase + digits,
    "2": ascii_uppercase + "234567",
    "b": ascii_letters + digits + "+/",
    "d": digits,
    "h": "0123456789abcdef",
    "l": ascii_lowercase + digits,
    "s": ascii_letters + digits + "!#%^*+=?",
    "w": ascii_letters + digits + "_-",
}
_BLANK = re.compile(r"<<([aA2bdhlsw])(\d+)>>")


def fill(template: str, random: Random) -> str:
    """The template with its blanks filled. One of eight or more mixes digits with letters, so that it is no words."""
    return _BLANK.sub(lambda blank: _random(ALPHABETS[blank[1]], int(blank[2]), random), template)


def _random(alphabet: str, size: int, random: Random) -> str:
    letters = [random.choice(alphabet) for _ in range(size)]
    for at, kind in enumerate((str.isdigit, str.isalpha, str.isdigit, str.isalpha), start=1):
        some = [letter for letter in alphabet if kind(letter)]
        if size >= 8 and some:
            letters[at] = random.choice(some)
    return "".join(letters)
