"""What the doctor says is for a terminal, and for others to read: no secret, and nothing that paints over a line."""

from __future__ import annotations

import os

from br3.errors import Br3Error, told
from br3.secrets import known_secrets, redact


def clean(text: str) -> str:
    """``text`` with secrets masked, those of this process's environment included, and without control characters."""
    shown = redact(text, known_secrets(os.environ))
    return "".join(c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in shown)


def as_told(error: Exception) -> Br3Error:
    """Any error in our words; of one that nobody expected, its kind as well."""
    if isinstance(error, Br3Error):
        return error
    if isinstance(error, OSError):
        return told(error)
    return Br3Error(f"{type(error).__name__}: {error}")
