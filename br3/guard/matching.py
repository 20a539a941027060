"""Finds secrets in bytes: keyword first, a pattern only from there on.

Looking for some eighty plain words is one pass each at the speed of memory; patterns are compiled when their word is
first met, and tried at those places only. That also makes the promise of ``keywords`` true by construction.
"""

from __future__ import annotations

import re

from br3.guard import judging
from br3.guard.findings import HIDDEN, mask
from br3.guard.rules import RULES, Rule

_ALNUM = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789")
# Below this, looking for each word is quicker than compiling and asking the gates.
_LARGE_BYTES = 8192
# What must be there as well → first letter → (number of the rule, word).
_GROUPS: dict[bytes, dict[bytes, list[tuple[int, bytes]]]] = {}
for _number, _rule in enumerate(RULES):
    for _word in _rule.keywords:
        _group = _GROUPS.setdefault(_rule.needs, {}).setdefault(_word[:1].encode(), [])
        _group.append((_number, _word.encode()))
_gates: dict[tuple[bytes, bytes], re.Pattern[bytes]] = {}
_patterns: dict[str, re.Pattern[bytes]] = {}

BY_ID = {rule.id: rule for rule in RULES}


class Hit:
    """A secret of a rule at ``data[start:end]``; ``at`` is where the match begins, its line is the finding's."""

    __slots__ = ("at", "end", "rule", "start")

    def __init__(self, rule: Rule, at: int, start: int, end: int) -> None:
        self.rule = rule
        self.at = at
        self.start = start
        self.end = end


def keywords() -> tuple[str, ...]:
    """Lower-case words of which every text with a secret contains one, in some case: a prefilter's list."""
    words = dict.fromkeys(word for rule in RULES for word in rule.keywords)
    return tuple(word for word in words if not any(other != word and other in word for other in words))


def find(data: bytes) -> list[Hit]:
    """The secrets in ``data``, in order; of two that overlap the one whose rule comes first in the table."""
    low = data.lower()
    hits: list[Hit] = []
    for number, word, at in sorted(_met(low)):
        _collect(RULES[number], word, at, data, low, hits)
    hits.sort(key=lambda hit: hit.start)
    return hits


def masked(hit: Hit, data: bytes) -> str:
    """What of a secret may be shown."""
    if hit.rule.hide:
        return HIDDEN
    return mask(data[hit.start : hit.end].decode("utf-8", "backslashreplace"))


def without_secrets(text: str) -> str:
    """``text`` with the secrets in it masked."""
    data = text.encode("utf-8", "surrogateescape")
    for hit in reversed(find(data)):
        data = data[: hit.start] + masked(hit, data).encode() + data[hit.end :]
    return data.decode("utf-8", "backslashreplace")


def _met(low: bytes) -> list[tuple[int, bytes, int]]:
    """The keywords in lower-cased data, each with its rule's number and its first place.

    Words are grouped by first letter: a pattern of alternatives with one first letter takes hardly longer than a search
    for one word, one with several first letters longer than all the searches.
    """
    met = []
    for needed, letters in _GROUPS.items():
        if needed not in low:
            continue
        for letter, words in letters.items():
            if len(words) > 1:
                gate = _gates.get((needed, letter))
                if gate is None and len(low) >= _LARGE_BYTES:
                    gate = _gates[needed, letter] = re.compile(b"|".join(re.escape(word) for _, word in words))
                if gate is not None and gate.search(low) is None:
                    continue
            for number, word in words:
                at = low.find(word)
                if at >= 0:
                    met.append((number, word, at))
    return met


def _collect(rule: Rule, word: bytes, at: int, data: bytes, low: bytes, hits: list[Hit]) -> None:
    pattern = _patterns.get(rule.id)
    if pattern is None:
        pattern = _patterns[rule.id] = re.compile(rule.pattern)
    text = low if rule.folded else data
    while at >= 0:
        begin = at - rule.back
        end = at + 1
        if begin >= 0 and (rule.within or begin == 0 or _begins(data, begin)):
            match = pattern.match(text, begin)
            if match is not None:
                start, stop = match.span(match.lastindex or 0)
                if _is_secret(rule, match, data[start:stop]) and not _taken(hits, start, stop):
                    hits.append(Hit(rule, begin, start, stop))
                    end = stop
        at = low.find(word, end)


def _begins(data: bytes, at: int) -> bool:
    """Whether a word may begin here; the n of an escaped newline, as in JSON, is no part of it."""
    return data[at - 1] not in _ALNUM or data[max(at - 2, 0) : at] in (b"\\n", b"\\r", b"\\t")


def _taken(hits: list[Hit], start: int, end: int) -> bool:
    return any(hit.start < end and start < hit.end for hit in hits)


def _is_secret(rule: Rule, match: re.Match[bytes], value: bytes) -> bool:
    if judging.is_placeholder(value, rule.placeholders):
        return False
    if rule.weak and value.lower() in rule.weak:
        return False
    if judging.entropy(value) < rule.entropy:
        return False
    if rule.harmless is not None and re.search(rule.harmless, match["name"]):
        return False
    if rule.judge == "url":
        return not judging.is_phrase(value)
    return rule.judge == "token" or _is_value(value, match.lastgroup == "bare", password=rule.judge == "password")


def _is_value(value: bytes, bare: bool, *, password: bool) -> bool:
    """Whether a value that only its name makes suspicious is a secret."""
    if judging.is_reference(value) or judging.is_wordy(value):
        return False
    digits, letters, others = judging.kinds(value)
    if not letters:
        return False
    if bare:
        return digits >= (1 if password else 2) and not judging.is_code(value)
    if password:
        return digits > 0 or others > 0
    return (digits > 0 or len(value) >= 20) and not judging.is_short_hex(value)
