"""Keeps secrets out of what is written and shown: one table of rules, for the guard and for the redactor.

Promises: standard library only; what the guard finds, ``redact`` masks. Importing the package loads nothing: hooks
take ``matching`` from here, whose import is cheap, while the rest loads when one of its names is first used.

Modules: ``rules`` is the table · ``matching`` finds secrets in bytes, ``judging`` tells them from what only looks like
one, ``masks`` says what is shown of them · ``redaction`` masks them in text and values, with a few wider rules of its
own · ``examples`` fills the examples of the rules.
"""

from __future__ import annotations

TYPE_CHECKING = False  # as typing's, whose import takes longer than that of all of matching
if TYPE_CHECKING:
    from br3.secrets.masks import mask
    from br3.secrets.redaction import known_secrets, names_secret, redact, redact_value

__all__ = ["known_secrets", "mask", "names_secret", "redact", "redact_value"]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from br3.secrets import redaction

    found = globals()[name] = getattr(redaction, name)
    return found
