"""Finds secrets in bytes: keyword first, a pattern only from there on.

Patterns are compiled when their keyword is first met, and tried at those places only. That also makes the promise of
``keywords`` true by construction. In larger data several keywords are looked for at once, by gates.
"""

from __future__ import annotations

import re
from bisect import bisect_left

from br3.secrets import judging
from br3.secrets.masks import HIDDEN, mask
from br3.secrets.rules import RULES, Rule

_ALNUM = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789")
# Below this, looking for each word is quicker than compiling the gates and asking them.
_LARGE_BYTES = 8192
# Each lets through whatever contains one of some keywords, and little else: the first letters of a pattern are found as
# quickly as a whole word, so one letter (or two) that few words have stands for many keywords. All but the first three
# are held against lower-cased data. What a gate stands for follows from what it matches, see ``_Gate``.
_GATES = (
    rb"A(?:KIA|SIA|BIA|CCA|Iza|BSK|ZDO)",
    rb"J(?:(?<=eyJ)|(?<=T3BlbkFJ)|QQJ99)",
    rb"-(?:----BEGIN |(?<=sess-))",
    rb"cre(?:t(?<=secret)|dential)",
    rb"k(?:e(?:n(?<=token)|y(?:-(?<=user-key-)|(?<=(?:pi|ss|th|te|on|ng|er|ce|nt)[_-]key)|"
    rb"(?<=(?:pi|ss|th|te|on|ng|nt)key)))|-(?<=sk-)|_(?:live|prod|test)_|\.com/)",
    rb"p(?:a(?:ss(?:w(?:or)?d|phrase|(?<=_pass))|t_(?<=_pat_))|wd|m_(?<=npm_)|i(?:-(?<=pypi-)|_(?<=_api_))|"
    rb"p-(?<=xapp-))",
    rb"g(?:h[pousr]_|l(?:pat|dt|rtr?|ptt|cbt|soat|ffct|imt|ft|agent|oas|wt)-|ocspx-|r1348941|=(?<=sig=))",
    rb"xox",
    rb"_(?:auth|(?<=ntn_)|(?<=sec_))",
    rb"bearer ",
    rb"ya29\.",
)
_CASED = 3
# Looking for one byte is ten times quicker than for two, where it is not met all the time.
_RARE = (b"~",)

_Word = tuple[int, bytes]  # the number of the rule, a keyword


def _words(rules: tuple[Rule, ...]) -> list[_Word]:
    return [(number, word.encode()) for number, rule in enumerate(rules) for word in rule.keywords]


_WORDS = _words(RULES)
_FOLDED = tuple(rule.folded for rule in RULES)
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


class _Gate:
    """A compiled gate. ``words`` are the keywords that it stands for, by the one or two bytes where it matches.

    It stands for a keyword when it matches within the keyword alone: then it does so wherever the keyword is.
    """

    __slots__ = ("search", "words")

    def __init__(self, pattern: bytes) -> None:
        self.search = re.compile(pattern).search
        self.words: dict[bytes, list[tuple[int, bytes, bytes, int]]] = {}

    def takes(self, number: int, word: bytes, text: bytes) -> bool:
        """Whether it stands for the keyword, ``text`` in what it is held against."""
        match = self.search(text)
        if match is None:
            return False
        self.words.setdefault(text[match.start() :][:2], []).append((number, word, text, match.start()))
        return True

    def met(self, data: bytes) -> list[tuple[int, bytes]]:
        """The keywords in the data, each with its rule's number."""
        met: dict[tuple[int, bytes], None] = {}
        match = self.search(data)
        while match is not None:
            at = match.start()
            for begin in (data[at : at + 2], data[at : at + 1]):
                for number, word, text, back in self.words.get(begin, ()):
                    if at >= back and data.startswith(text, at - back):
                        met[number, word] = None
            match = self.search(data, at + 1)
        return list(met)


class _Gates:
    """All gates; the keywords that none stands for are ``alone``, those with a pattern of their own in ``needs``."""

    __slots__ = ("alone", "cased", "lower", "needs")

    def __init__(self) -> None:
        self.cased = [_Gate(pattern) for pattern in _GATES[:_CASED]]
        self.lower = [_Gate(pattern) for pattern in _GATES[_CASED:]]
        self.alone: list[tuple[bytes, _Word]] = []
        needs: dict[bytes, list[_Word]] = {}
        for number, word in _WORDS:
            rule = RULES[number]
            if rule.needs:
                needs.setdefault(rule.needs, []).append((number, word))
            elif not (not rule.folded and any(gate.takes(number, word, word) for gate in self.cased)) and not any(
                gate.takes(number, word, word.lower()) for gate in self.lower
            ):
                self.alone.append((next((c for c in _RARE if c in word), word), (number, word)))
        self.needs = [(re.compile(pattern).search, words) for pattern, words in needs.items()]

    def met(self, data: bytes, low: bytes) -> list[_Word]:
        """The keywords that may be in the data."""
        words = [word for needle, word in self.alone if needle in (low if _FOLDED[word[0]] else data)]
        for gate in self.cased:
            if gate.search(data) is not None:
                words += gate.met(data)
        for gate in self.lower:
            if gate.search(low) is not None:
                words += gate.met(low)
        for search, some in self.needs:
            if search(low) is not None:
                words += some
        return words


_gates: list[_Gates] = []


def prepare() -> None:
    """Compile what larger data needs, so that processes forked from here have it."""
    if not _gates:
        _gates.append(_Gates())


def keywords() -> tuple[str, ...]:
    """Lower-case words of which every text with a secret contains one, in some case: a prefilter's list."""
    words = dict.fromkeys(word.lower() for rule in RULES for word in rule.keywords)
    return tuple(word for word in words if not any(other != word and other in word for other in words))


def find(data: bytes, low: bytes | None = None) -> list[Hit]:
    """The secrets in ``data``, in order; of two that overlap the one whose rule comes first in the table.

    ``low`` is ``data.lower()``, where the caller has it already.
    """
    if low is None:
        low = data.lower()
    met = _met(data, low)
    if not met:
        return []
    hits = _Hits()
    for number, word, at in sorted(met, key=_order):
        _collect(RULES[number], word, at, data, low, hits)
    return hits.found


def _order(met: tuple[int, bytes, int]) -> tuple[int, bytes]:
    return met[0], met[1].lower()


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


def _met(data: bytes, low: bytes) -> list[tuple[int, bytes, int]]:
    """The keywords in the data, each with its rule's number and its first place."""
    if not _gates and len(data) >= _LARGE_BYTES:
        prepare()
    words = _gates[0].met(data, low) if _gates else _WORDS
    met = []
    for number, word in words:
        at = (low if _FOLDED[number] else data).find(word)
        if at >= 0:
            met.append((number, word, at))
    return met


class _Hits:
    """What was found, in order and without overlaps."""

    __slots__ = ("_ends", "_starts", "found")

    def __init__(self) -> None:
        self.found: list[Hit] = []
        self._starts: list[int] = []
        self._ends: list[int] = []

    def add(self, hit: Hit) -> bool:
        """Whether it was taken: nothing that was found before overlaps it."""
        place = bisect_left(self._ends, hit.start + 1)
        if place < len(self._starts) and self._starts[place] < hit.end:
            return False
        self._starts.insert(place, hit.start)
        self._ends.insert(place, hit.end)
        self.found.insert(place, hit)
        return True


def _collect(rule: Rule, word: bytes, at: int, data: bytes, low: bytes, hits: _Hits) -> None:
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
                if _is_secret(rule, match, data[start:stop]) and hits.add(Hit(rule, begin, start, stop)):
                    end = stop
        at = text.find(word, end)


def _begins(data: bytes, at: int) -> bool:
    """Whether a word may begin here; the n of an escaped newline, as in JSON, is no part of it."""
    return data[at - 1] not in _ALNUM or data[max(at - 2, 0) : at] in (b"\\n", b"\\r", b"\\t")


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
