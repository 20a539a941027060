"""What a failure is, told from an HTTP status or from words: for agents that report their errors as text.

The phrases are those of the APIs' own messages, which the agents pass on; see the recordings in tests/streams.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from br3.agents.base import Failure

_BY_STATUS = {
    401: "auth",
    402: "credit",
    403: "auth",
    404: "model_not_found",
    408: "timeout",
    413: "context_too_long",
    429: "rate_limit",
    500: "overloaded",
    502: "overloaded",
    503: "overloaded",
    504: "timeout",
    529: "overloaded",
}

# These say more than the status that comes with them: no credit is a 400 here and a 429 there.
_BEFORE_STATUS = (
    ("credit", r"credit balance is too low|insufficient[_ ]quota|exceeded your current quota|insufficient credits"),
    (
        "context_too_long",
        r"prompt is too long|context[_ ]length[_ ]exceeded|maximum context length|ran out of room in the model"
        r"|exceeds the maximum number of tokens|context ?window ?exceeded|ContextOverflow",
    ),
)
_AFTER_STATUS = (
    (
        "auth",
        r"invalid (?:x-)?api[- ]key|authentication[_ ]?(?:error|failed)|UNAUTHENTICATED|not logged in|please log ?in",
    ),
    ("rate_limit", r"rate[_ ]?limit|too many requests|RESOURCE_EXHAUSTED|usage limit"),
    ("overloaded", r"overloaded|service ?unavailable|internal server ?error|UNAVAILABLE"),
    (
        "model_not_found",
        r"model[_ ]not[_ ]found|API Error: model: |\bmodel\b.{0,80}(?:does not exist|not found|is not supported)",
    ),
    (
        "unreachable",
        r"connection refused|ECONNREFUSED|ENOTFOUND|EAI_AGAIN|ENETUNREACH|EHOSTUNREACH|getaddrinfo|network error"
        r"|(?:unable|cannot|can't|could not) (?:to )?connect|failed to lookup address|name resolution|resolve host"
        r"|waiting for network|fetch failed|connection error",
    ),
    ("timeout", r"timed? ?out|idle timeout|deadline exceeded"),
    ("overloaded", r"connection reset|ECONN\w+|EPIPE|stream disconnected"),
)

_STATUS = re.compile(r"(?:status(?: code)?|\"code\"|API Error|HTTP(?:/[\d.]+)?)\W{0,4}(\d{3})\b", re.IGNORECASE)
_DELAY = re.compile(
    r"(?:try again|retry(?:ing)?) (?:in|after) (?P<n>\d+(?:\.\d+)?) ?(?P<unit>ms|s|m)?"
    r"|\"retryDelay\": ?\"(?P<google>\d+(?:\.\d+)?)s\"",
    re.IGNORECASE,
)
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0}


def cause_of(text: str, status: int | None = None) -> str | None:
    """The cause that an error's text and status tell; None when they tell none.

    Without a status one is looked for in the text.
    """
    for cause, pattern in _BEFORE_STATUS:
        if re.search(pattern, text, re.IGNORECASE):
            return cause
    status = status if status is not None else status_in(text)
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    for cause, pattern in _AFTER_STATUS:
        if re.search(pattern, text, re.IGNORECASE | re.MULTILINE):
            return cause
    return "overloaded" if status is not None and 500 <= status < 600 else None


def status_in(text: str) -> int | None:
    """The last HTTP status that a text names as one."""
    found = [int(status) for status in _STATUS.findall(text)]
    return next((status for status in reversed(found) if 400 <= status < 600), None)


def delay_in(text: str) -> float | None:
    """How many seconds to wait, where an error's text says it; the last one counts."""
    matches = list(_DELAY.finditer(text))
    if not matches:
        return None
    last = matches[-1]
    return float(last["n"] or last["google"]) * _SECONDS[(last["unit"] or "s").lower()]


def retry_after(header: object, date: object = None) -> float | None:
    """The seconds of a ``retry-after`` header: a number, or a time, which is held against that of the answer."""
    try:
        return max(0.0, float(str(header)))
    except ValueError:
        pass
    from email.utils import parsedate_to_datetime

    try:
        return max(0.0, (parsedate_to_datetime(str(header)) - parsedate_to_datetime(str(date))).total_seconds())
    except (ValueError, TypeError):
        return None


def ended(agent: str, exit_code: int) -> Failure:
    """The failure of an agent of which nothing is known but how its process ended: killed, or a crash."""
    if exit_code < 0 or exit_code in (129, 130, 137, 143):
        return Failure("killed", f"{agent} was ended by signal {-exit_code if exit_code < 0 else exit_code - 128}")
    return Failure("crash", f"{agent} ended with exit code {exit_code} and without a result")


def shown(errors: Sequence[str], most: int = 300) -> str:
    """The last error, for people."""
    return errors[-1].strip()[:most] if errors else ""
