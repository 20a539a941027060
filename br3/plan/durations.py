"""Lengths of time as a plan writes them: ``45s``, ``90m``, ``2h``, ``1h30m``."""

from __future__ import annotations

import re

_DURATION = re.compile(r"(?:(\d{1,6})h)?(?:(\d{1,6})m)?(?:(\d{1,6})s)?")


def seconds(text: str) -> float:
    """The duration in seconds; ValueError unless it is written as above and more than nothing."""
    match = _DURATION.fullmatch(text.replace(" ", ""))
    hours, minutes, secs = (int(part or 0) for part in match.groups()) if match else (0, 0, 0)
    total_s = hours * 3600 + minutes * 60 + secs
    if total_s == 0:
        raise ValueError(text)
    return float(total_s)
