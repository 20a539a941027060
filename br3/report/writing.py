"""Where a report goes: its form by the file's suffix, and never over what is not a report."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from br3.errors import Refused, UsageError
from br3.report.facts import Facts
from br3.report.markdown import MARK, markdown
from br3.report.page import GENERATOR, page

_HTML = (".html", ".htm")
_MARKDOWN = (".md", ".markdown")
_HEAD_BYTES = 2048


def form_of(target: Path | None) -> Callable[[Facts], str]:
    """How facts become text for this file; Markdown for None and ``-``. UsageError for a suffix that is neither."""
    if target is None or str(target) == "-" or target.suffix.lower() in _MARKDOWN:
        return markdown
    if target.suffix.lower() in _HTML:
        return page
    raise UsageError(f"{target}: a report is .html or .md", hint=f"-o {target.with_suffix('.html')}")


def place(target: Path, force: bool) -> None:
    """Refused where a file would be lost that is not a report; before anything is gathered."""
    if not target.parent.is_dir():
        raise UsageError(f"there is no directory {target.parent}", hint="name another file: -o FILE")
    if target.is_dir():
        raise UsageError(f"{target} is a directory", hint="name a file in it: -o FILE")
    if not force and os.path.lexists(target) and not _is_report(target):
        raise Refused(
            f"{target} is there already and is not a report of br3",
            hint="--force replaces it; -o FILE writes another one",
        )


def _is_report(target: Path) -> bool:
    try:
        with open(target, "rb") as file:
            head = file.read(_HEAD_BYTES)
    except OSError:
        return False
    return head.startswith(MARK.encode()) or f'<meta name="generator" content="{GENERATOR}">'.encode() in head
