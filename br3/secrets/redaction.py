"""Masks secrets in text and in JSON-like values, before they are written or shown.

Decisions:

- Rules are data: what each looks for, and the plain words without which it can't match. The words are looked
  for first and a pattern is compiled when its word is first seen: harmless text costs a few scans.
- Redacting twice changes nothing: passes are repeated until one changes nothing, and a mask is left alone.
- Rather a masked word too many than a secret shown; but a placeholder stays readable, as it is documentation.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache, partial
from typing import Any

MIN_KNOWN_CHARS = 8
HIDDEN = "***"


@dataclass(frozen=True)
class Rule:
    """What a kind of secret looks like.

    ``pattern``: the secret is its one group that took part, or all of it when it has none.
    ``keywords``: every match contains one of them.
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
    Rule("gitlab", ("glpat-",), r"glpat-[A-Za-z0-9_-]{16,}(?:\.[A-Za-z0-9_-]+)*"),
    Rule("slack", ("xox",), r"xox[baprs]-[A-Za-z0-9-]{10,}"),
    Rule("aws", ("AKIA", "ASIA"), _START + r"(?:AKIA|ASIA)[A-Z0-9]{16}(?![A-Za-z0-9])"),
    Rule("google", ("AIza",), r"AIza[A-Za-z0-9_-]{30,}"),
    Rule("stripe", ("k_live_",), r"[sr]k_live_[A-Za-z0-9]{10,}"),
    Rule("npm", ("npm_",), r"npm_[A-Za-z0-9]{30,}"),
    Rule("pypi", ("pypi-",), r"pypi-[A-Za-z0-9_-]{40,}"),
    # The start keeps a long run of "eyJeyJ…" from being tried again at every letter.
    Rule("jwt", ("eyJ",), _START + r"eyJ[A-Za-z0-9_-]{5,}+\.[A-Za-z0-9_-]{5,}+\.[A-Za-z0-9_-]{5,}+"),
    # The body may be quoted in a diff, so a row of dashes may begin one earlier; a cut-off key has no end.
    Rule(
        "private-key",
        ("PRIVATE KEY",),
        r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----"
        r"(?:((?:[^-]|-(?!----))++)-{5,6}END |([A-Za-z0-9+/=\\\r\n]{40,}+))",
        hide=True,
    ),
    Rule(
        "authorization",
        ("uthorization", "UTHORIZATION"),
        r"(?i:authorization)[\"'\\]{0,2} {0,4}[:=] {0,4}[\"'\\]{0,2}(?i:bearer|basic|token) {1,4}"
        r"([A-Za-z0-9._~+/=-]{8,})",
    ),
    Rule(
        "api-key-header",
        ("pi-", "PI-"),
        r"(?i:x-(?:goog-)?api-key)[\"'\\]{0,2} {0,4}[:=] {0,4}[\"'\\]{0,2}([^\s\"',;\\]{8,})",
        placeholders=True,
    ),
    # To the last @ before the path: a password may hold an @ of its own.
    Rule("url-password", ("://",), r"://[^\s:/@\"'<>]*:([^\s/\"'`<>]+)@"),
    Rule(
        "assignment",
        ("_KEY", "TOKEN", "SECRET", "PASSWORD"),
        r"(?:(?<![A-Za-z0-9])(?:API_KEY|ACCESS_KEY|SECRET_KEY|TOKEN|SECRET)|PASSWORD)"
        r"(?:=|[\"']? {0,4}[:=] {0,4}(?=[\"']))"
        r"(?:\"([^\"\n]{8,})\"|'([^'\n]{8,})'|([^\s\"'`;&|,)]{8,}))",
        placeholders=True,
    ),
)

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


def mask(secret: str) -> str:
    """Enough of a long secret to tell which one it is; nothing of a short one."""
    return f"{secret[:4]}…{secret[-2:]}" if len(secret) >= 16 else HIDDEN


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


_KEYWORDS = tuple(dict.fromkeys(keyword for rule in RULES for keyword in rule.keywords))


def _harmless(text: str, values: tuple[str, ...]) -> bool:
    # Every event goes through here, nearly all of them with nothing to hide: plain loops, no generators.
    for value in values:
        if value in text:
            return False
    for keyword in _KEYWORDS:  # noqa: SIM110
        if keyword in text:
            return False
    return True


def _redact_once(text: str, values: tuple[str, ...]) -> str:
    for value in values:
        if value in text:
            text = text.replace(value, mask(value))
    for rule in RULES:
        if any(keyword in text for keyword in rule.keywords):
            text = _compiled(rule).sub(partial(_masked, rule), text)
    return text


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
