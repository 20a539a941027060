"""Secrets in lines that people have written: masked, with each line in its place."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import SequenceMatcher

from br3.secrets import redact

TOLD = "what looks like a secret was masked; it belongs into .env"


def masked(lines: Sequence[str]) -> tuple[list[str], list[int]]:
    """As many lines, without secrets; and the numbers, from 1, of those in which one was or began.

    A key of several lines is masked as one: the lines that it took up are empty.
    """
    text = "\n".join(lines)
    shown = redact(text)
    if shown == text:
        return list(lines), []
    safe = shown.split("\n")
    if len(safe) != len(lines):
        safe = _in_place(lines, safe)
    changed = [at for at, (old, new) in enumerate(zip(lines, safe, strict=True), start=1) if new not in ("", old)]
    return safe, changed


def _in_place(old: Sequence[str], new: list[str]) -> list[str]:
    """The lines of ``new``, of which some stand for several of ``old``, with empty ones for those that are gone."""
    placed: list[str] = []
    for _, a, end_a, b, end_b in SequenceMatcher(None, old, new).get_opcodes():
        if end_b - b > end_a - a:  # lines that are there twice were taken for each other
            return [*new, *[""] * (len(old) - len(new))]
        placed += _filled(list(old[a:end_a]), new[b:end_b])
    return placed


def _filled(old: list[str], new: list[str]) -> list[str]:
    """A line of ``new`` for each of ``old``. Where a mask has drawn the line behind it to itself, they are parted."""
    behind: list[str] = []
    while len(old) > len(new) > 0 and redact(old[-1]) == new[-1]:
        old, new, behind = old[:-1], new[:-1], [new[-1], *behind]
    gone = len(old) - len(new)
    if gone and new and old[-1] and new[-1].endswith(old[-1]):
        new, behind, gone = [*new[:-1], new[-1].removesuffix(old[-1])], [old[-1], *behind], gone - 1
    return [*new, *[""] * gone, *behind]
