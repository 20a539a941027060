"""Masks secrets in text and in JSON-like values, before they are written or shown.

Decisions:

- What the guard finds (``rules``) is masked. The rules below are wider forms of some of them, for what a guard must
  leave alone: shorter values, whole bodies of keys, any URL with a password.
- Nearly all text has nothing to hide: one search for the words of all rules at once says so. A pattern is compiled
  when one of its words is first seen.
- Redacting twice changes nothing: passes are repeated until one changes nothing, and a mask is left alone.
- Rather a masked word too many than a secret shown; but a placeholder stays readable, as it is documentation.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache, partial
from typing import Any

from br3.secrets.masks import HIDDEN, mask

MIN_KNOWN_CHARS = 8


@dataclass(frozen=True)
class Rule:
    """What a kind of secret looks like.

    ``pattern``: the secret is its one group that took part, or all of it when it has none.
    ``keywords``: every match contains one of them, in lower case.
    ``hide``: nothing of the secret is shown, not even its ends.
    ``placeholders``: the pattern also finds values that only stand for a secret; they are left.
    """

    id: str
    keywords: tuple[str, ...]
    pattern: str
    hide: bool = False
    placeholders: bool = False


# Not within a word ("disk-…"); the n of an escaped newline, as in JSON, is no part of a word.
_START = r"(?:(?<![A-Za-z0-9])|(?<=\\[nrt]))"

RULES = (
    Rule("anthropic", ("sk-ant-",), r"sk-ant-[A-Za-z0-9_-]{10,}"),
    Rule(
        "openai",
        ("sk-",),
        _START + r"sk-(?:(?:proj|svcacct|admin|None|or-v1)-[A-Za-z0-9_-]{16,}|[A-Za-z0-9]{20,})",
    ),
    Rule("github", ("ghp_", "gho_", "ghu_", "ghs_", "ghr_"), r"gh[pousr]_[A-Za-z0-9]{20,}"),
    Rule("github-fine-grained", ("github_pat_",), r"github_pat_[A-Za-z0-9_]{20,}"),
    Rule("gitlab", ("glpat-",), r"glpat-[A-Za-z0-9_-]{16,}+(?:\.[A-Za-z0-9_-]++)*+"),
    Rule("slack", ("xox",), r"xox[baprs]-[A-Za-z0-9-]{10,}"),
    Rule("aws", ("akia", "asia"), _START + r"(?:AKIA|ASIA)[A-Z0-9]{16}(?![A-Za-z0-9])"),
    Rule("google", ("aiza",), r"AIza[A-Za-z0-9_-]{30,}"),
    Rule("stripe", ("k_live_",), r"[sr]k_live_[A-Za-z0-9]{10,}"),
    Rule("npm", ("npm_",), r"npm_[A-Za-z0-9]{30,}"),
    Rule("pypi", ("pypi-",), r"pypi-[A-Za-z0-9_-]{40,}"),
    # The start and the limits keep a long run of "eyJeyJ…" or "-eyJ-eyJ…" from being read again from every letter on.
    Rule("jwt", ("eyj",), _START + r"eyJ[A-Za-z0-9_-]{5,8000}+\.[A-Za-z0-9_-]{5,16000}+\.[A-Za-z0-9_-]{5,}+"),
    # The body may be quoted in a diff, so a row of dashes may begin one earlier; a cut-off key has no end.
    Rule(
        "private-key",
        ("-----begin ",),
        r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----"
        r"(?:((?:[^-]|-(?!----))++)-{5,6}END |((?:\s*[A-Za-z-]{1,40}: [^\n]{0,200})*+[A-Za-z0-9+/=\\\r\n]{40,}+))",
        hide=True,
    ),
    Rule(
        "putty-key",
        ("putty-user-key-file-",),
        r"PuTTY-User-Key-File-\d: [\s\S]{0,4000}?Private-Lines: \d+\r?\n((?:[A-Za-z0-9+/=]{4,}+(?:\r?\n)?+)+)",
        hide=True,
    ),
    Rule(
        "authorization",
        ("authorization",),
        r"(?i:authorization)[\"'\\]{0,2} {0,4}[:=] {0,4}[\"'\\]{0,2}(?i:bearer|basic|token) {1,4}"
        r"([A-Za-z0-9._~+/=-]{8,})",
    ),
    Rule(
        "api-key-header",
        ("pi-key",),
        r"(?i:x-(?:goog-)?api-key)[\"'\\]{0,2} {0,4}[:=] {0,4}[\"'\\]{0,2}([^\s\"',;\\]{8,})",
        placeholders=True,
    ),
    # To the last @ before the path: a password may hold an @ of its own.
    Rule("url-password", ("://",), r"://[^\s:/@\"'<>]*:([^\s/\"'`<>]+)@"),
    Rule(
        "assignment",
        ("api_key", "access_key", "secret_key", "token", "secret", "password"),
        r"(?:(?<![A-Za-z0-9])(?:API_KEY|ACCESS_KEY|SECRET_KEY|TOKEN|SECRET)|PASSWORD)"
        r"(?:=|[\"']? {0,4}[:=] {0,4}(?=[\"']))"
        r"(?:\"([^\"\n]{8,})\"|'([^'\n]{8,})'|([^\s\"'`;&|,)]{8,}))",
        placeholders=True,
    ),
)

# One search that stops at every keyword, of these rules and of the table, in lower-cased text: a letter that few words
# have, and what is around it there. It may stop at other words. The one keyword without such a letter is _COMMON.
_ANY = re.compile(
    r"k(?:e(?:n(?<=token)|y(?:-(?<=user-key-)|(?<=(?:pi|ss|th|te|on|ng|er|ce|nt)[_-]key)|"
    r"(?<=(?:pi|ss|th|te|on|ng|nt)key)))|-(?<=sk-)|_(?:live|prod|test)_|\.com/|ia(?<=akia)|fj(?<=blbkfj))"
    r"|w(?:(?:or)?d(?:(?<=password)|(?<=passwd)|(?<=pwd))|t-(?<=glwt-))"
    r"|z(?:at(?<=authorizat)|a(?<=aiza)|do(?<=azdo))"
    r"|x(?:o(?=x)|app-|-(?<=gocspx-))"
    r"|j(?:(?<=eyj)|qqj99)|q~|://|y(?:a29\.|_(?<=apify_)|pi-)"
    r"|b(?:earer |egin |_(?<=github_)|sk(?<=absk)|ia(?<=abia))"
    r"|g(?:h[pousr]_|l(?:pat|dt|rtr?|ptt|cbt|soat|ffct|imt|ft|agent|oas)-|=(?<=sig=)|r1348941)"
    r"|c(?:re(?:t(?<=secret)|dential)|ca(?<=acca))"
    r"|m_(?<=npm_)|_(?:auth|pass|(?<=ntn_)|(?<=sec_))|-(?<=sess-)|hras(?<=passphras)"
)
_COMMON = "ASIA"

_MASKED = re.compile(r"\*{3}|.{4}….{2}", re.DOTALL)
_PLACEHOLDER = re.compile(
    r"(?i:x+|\*+|\.+|-+|change[-_ ]?me|your[-_ ].*|(?:my[-_ ])?placeholder|\[?redacted\]?|example)"
    r"|\$\{.*|\$\(.*|\$[A-Za-z_]\w*|<.*>?|\{\{.*|%\w+%",
    re.DOTALL,
)
_SECRET_NAME = re.compile(
    r"(?:(?:^|[_-]|api|access|private|secret)key|token|secret|passwords?|passwd|passphrase|_pwd|_pat)(?:_?\d+)?",
    re.IGNORECASE,
)
_SECRET_FIELD = re.compile(
    r"(?:(?:api|access|private|secret)[_ -]?key|token|secret|password|passwd|passphrase)$", re.IGNORECASE
)


def redact(text: str, known: Iterable[str] = ()) -> str:
    """``text`` with its secrets masked; the same object when there are none.

    ``known`` are exact values to mask besides, see ``known_secrets``; those below 8 characters are ignored,
    as they would be found in ordinary words.
    """
    values = _usable(tuple(known))
    if _harmless(text, values):
        return text
    while (masked := _redact_once(text, values)) != text:
        text = masked
    return text


def redact_value(value: Any, known: Iterable[str] = ()) -> Any:
    """A copy of a JSON-like value with every string in it redacted, keys excepted.

    A string under a key that names a secret (``password``, ``accessToken``, ``api_key``) is masked whatever it
    looks like.
    """
    return _redact_value(value, _usable(tuple(known)))


def known_secrets(environ: Mapping[str, str]) -> tuple[str, ...]:
    """The values of the variables whose names look like keys, tokens, secrets or passwords; longest first."""
    return _usable(tuple(value for name, value in environ.items() if names_secret(name)))


def names_secret(name: str) -> bool:
    """Whether a variable of this name holds a secret, as far as its name tells."""
    return any(found.end() == len(name) for found in _SECRET_NAME.finditer(name))


@lru_cache(maxsize=16)
def _usable(known: tuple[str, ...]) -> tuple[str, ...]:
    """Longest first, so that a value that begins like another doesn't leave the other's end behind."""
    values = {value for value in known if len(value) >= MIN_KNOWN_CHARS and not _PLACEHOLDER.fullmatch(value)}
    return tuple(sorted(values, key=lambda value: (-len(value), value)))


def _harmless(text: str, values: tuple[str, ...]) -> bool:
    # Every event goes through here, nearly all of them with nothing to hide: plain loops, no generators.
    for value in values:
        if value in text:
            return False
    return _COMMON not in text and _ANY.search(text.lower()) is None


def _redact_once(text: str, values: tuple[str, ...]) -> str:
    for value in values:
        if value in text:
            text = text.replace(value, mask(value))
    low = text.lower()
    for rule in RULES:
        if any(keyword in low for keyword in rule.keywords):
            text = _compiled(rule).sub(partial(_masked, rule), text)
    return _without_found(text)


def _without_found(text: str) -> str:
    """``text`` with what the guard would find masked; the same object when that is nothing."""
    from br3.secrets.matching import find, masked

    data = text.encode("utf-8", "surrogatepass")
    hits = find(data)
    if not hits:
        return text
    parts, at = [], 0
    for hit in hits:
        parts += [data[at : hit.start], masked(hit, data).encode()]
        at = hit.end
    parts.append(data[at:])
    try:
        return b"".join(parts).decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:  # a secret ended within a character
        return b"".join(parts).decode("utf-8", "replace")


@cache
def _compiled(rule: Rule) -> re.Pattern[str]:
    return re.compile(rule.pattern)


def _masked(rule: Rule, found: re.Match[str]) -> str:
    group = found.lastindex or 0
    secret, whole = found[group], found[0]
    if _MASKED.fullmatch(secret) or (rule.placeholders and _PLACEHOLDER.fullmatch(secret)):
        return whole
    start, end = found.start(group) - found.start(), found.end(group) - found.start()
    return whole[:start] + (HIDDEN if rule.hide else mask(secret)) + whole[end:]


def _redact_value(value: Any, values: tuple[str, ...]) -> Any:
    match value:
        case str():
            return value if _harmless(value, values) else redact(value, values)
        case dict():
            return {key: _redact_field(key, inner, values) for key, inner in value.items()}
        case list():
            return [_redact_value(inner, values) for inner in value]
        case tuple():
            return tuple(_redact_value(inner, values) for inner in value)
        case _:
            return value


def _redact_field(key: object, value: Any, values: tuple[str, ...]) -> Any:
    if isinstance(key, str) and isinstance(value, str) and value and _SECRET_FIELD.search(key):
        return value if _MASKED.fullmatch(value) else mask(value)
    return _redact_value(value, values)
