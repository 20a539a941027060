"""What may be shown of a secret."""

from __future__ import annotations

HIDDEN = "***"


def mask(secret: str) -> str:
    """Enough of a long secret to tell which one it is; nothing of a short one."""
    return f"{secret[:4]}…{secret[-2:]}" if len(secret) >= 16 else HIDDEN
