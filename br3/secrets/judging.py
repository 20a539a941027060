"""Tells secrets from what only looks like one: placeholders, templates, words, runs of letters.

All functions take the value alone, as bytes.
"""

from __future__ import annotations

import re
from math import log2

# In any value whatever its rule. Words this long meet a random token of 40 characters once in ten thousand.
PLACEHOLDER_WORDS = (
    b"example",
    b"placeholder",
    b"changeme",
    b"change-me",
    b"change_me",
    b"your-",
    b"your_",
    b"dummy",
    b"redacted",
    b"xxxxx",
    b"*****",
    b".....",
    b"notreal",
    b"not-a-real",
    b"not-real",
)

# Patterns stay text until they are first used: most starts need none of them.
_TEMPLATE = (
    rb"\$\{|\$\(|\{\{|\}\}|<%|<<|#\{|%\(|\xe2\x80\xa6|\{[A-Za-z_][\w.\[\]()]*\}"  # anywhere
    rb"|\A(?:\$[A-Za-z_]|<|\[|%[A-Za-z_]+%\Z|%[sdr]\Z|@[A-Za-z_]+@\Z|__[A-Za-z_]+__\Z|\.{3})|\.{3}\Z"
)
_REFERENCE = (
    rb"(?i:process\.env|os\.environ|getenv|env[.:(\[]|var\.|vars\.|local\.|data\.|secrets?\.|vault:|arn:|op://|ref\+"
    rb"|keyring:|projects/|ENC\[|encrypted:|https?://|file:|data:|/[a-z_.-]{2,}\d{0,3}/|\./|\.\./|~/|[A-Za-z]:\\"
    rb"|sha\d+[-:]|\\u)"
)
_SPLIT = rb"[-_./:,+ @#=<>~]+|(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])"
_WORD = rb"[A-Za-z]?[a-z]*\d{0,3}|[A-Z]+\d{0,3}|\d+[a-z]{0,2}|v\d+[a-z]?"
_IDENTIFIERS = rb"[A-Za-z_$][\w$]*(?:(?:\.|::|->)[A-Za-z_$][\w$]*)+"
_HEX = rb"[0-9a-f]+|[0-9A-F]+"
_NOT_DIGITS = rb"[^0-9]+"
_NOT_LETTERS = rb"[^a-z]+"


def entropy(value: bytes) -> float:
    """Shannon entropy of the bytes, in bits per byte: 0 for one letter repeated, up to 6 for base64."""
    if not value:
        return 0.0
    size = len(value)
    return -sum(n / size * log2(n / size) for n in (value.count(byte) for byte in set(value)))


def is_placeholder(value: bytes, words: tuple[bytes, ...] = ()) -> bool:
    """Whether a value stands for a secret instead of being one; ``words`` (lower case) are a rule's own."""
    low = value.lower()
    for word in PLACEHOLDER_WORDS:
        if word in low:
            return True
    for word in words:
        if word in low:
            return True
    return re.search(_TEMPLATE, value) is not None or is_run(low)


def is_run(value: bytes) -> bool:
    """Whether most bytes follow the one before, or repeat it, as in ``0123456789abcdef`` and ``1a2b3c4d-5e6f``."""
    if _follows(value, 0.55):
        return True
    digits, letters = re.sub(_NOT_DIGITS, b"", value), re.sub(_NOT_LETTERS, b"", value)
    return _follows(digits, 0.7) and _follows(letters, 0.7)


def _follows(value: bytes, share: float) -> bool:
    steps = sum(after - before in (0, 1) for before, after in zip(value, value[1:]))  # noqa: B905, RUF007
    return len(value) > 3 and steps > share * (len(value) - 1)


def is_reference(value: bytes) -> bool:
    """Whether a value says where a secret is: a path, a URL, a variable of the environment."""
    return re.match(_REFERENCE, value) is not None


def is_wordy(value: bytes) -> bool:
    """Whether a value is made of words and numbers: ``my-app/prod``, ``users.token.v1``, ``getUserToken``.

    Random letters fall into words too, but into shorter ones.
    """
    parts = re.split(_SPLIT, value)
    return len(value) >= 2.5 * len(parts) and all(re.fullmatch(_WORD, part) for part in parts)


def is_phrase(value: bytes) -> bool:
    """Whether a value is lower-case words joined by hyphens, dots or underscores: ``longer-than-sixteen``."""
    return re.fullmatch(rb"[a-z]+(?:[-_.][a-z]+)+", value) is not None


def is_short_hex(value: bytes) -> bool:
    """Whether a value is more likely a checksum: below 80 bits, in hexadecimal."""
    return len(value) < 20 and re.fullmatch(_HEX, value) is not None


def is_code(value: bytes) -> bool:
    """Whether a bare value is an expression such as ``self.token2`` and not a string."""
    return re.fullmatch(_IDENTIFIERS, value) is not None


def kinds(value: bytes) -> tuple[int, int, int]:
    """How many digits, letters and other bytes there are."""
    digits = sum(48 <= byte <= 57 for byte in value)
    letters = sum(65 <= byte <= 90 or 97 <= byte <= 122 for byte in value)
    return digits, letters, len(value) - digits - letters
