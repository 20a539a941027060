"""The SQL beside this room: one statement a file, under ``sql/``."""

from __future__ import annotations

from functools import cache
from importlib import resources


@cache
def statement(name: str) -> str:
    """The text of ``sql/<name>.sql``."""
    return (resources.files("br3.analytics") / "sql" / f"{name}.sql").read_text(encoding="utf-8")
