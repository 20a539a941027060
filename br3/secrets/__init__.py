"""Keeps secrets out of what is written and shown. Standard library only: it is imported on every path."""

from br3.secrets.redaction import known_secrets, mask, names_secret, redact, redact_value

__all__ = ["known_secrets", "mask", "names_secret", "redact", "redact_value"]
