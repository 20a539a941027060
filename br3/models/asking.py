"""One request to Claude for an answer of a given form, within a deadline.

Any failure is an answer (``NotAnswered`` with a reason), never an exception. The SDK obeys a ``retry-after`` of any
length, so its own retries are off and these are bounded: ``TRIES`` requests, all within a deadline. The request runs in
a thread of its own, since a socket's timeout starts again with every byte.
"""

from __future__ import annotations

import importlib.util
import os
import random
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Generic, Literal, TypeVar

from br3.models.families import newest
from br3.models.pricing import Tokens
from br3.secrets import redact

TRIES = 3

Why = Literal[
    "no key",
    "not installed",
    "key refused",
    "not permitted",
    "model not found",
    "rate limit",
    "overloaded",
    "too long",
    "out of credit",
    "server error",
    "no connection",
    "took too long",
    "refused",
    "cut off",
    "no such answer",
    "unexpected error",
]

T = TypeVar("T")


@dataclass(frozen=True)
class Spent:
    """Tokens of all requests that were answered, to be recorded as usage by whoever asked.

    ``unknown``: a request was sent of which no answer was seen, so that what it cost is not known.
    """

    model: str
    tokens: Tokens = field(default_factory=Tokens)
    unknown: bool = False


@dataclass(frozen=True)
class Answered(Generic[T]):
    """What was read from the answer."""

    value: T
    spent: Spent


@dataclass(frozen=True)
class NotAnswered:
    """Why there is no answer: ``why`` for programs, ``said`` in one line for people. Some may have been spent."""

    why: Why
    said: str
    spent: Spent


@dataclass(frozen=True)
class Asking:
    """How to reach Claude. ``api_key`` and ``base_url`` None: the environment's."""

    model: str
    api_key: str | None = None
    base_url: str | None = None
    deadline_s: float = 300.0


@dataclass(frozen=True)
class Question(Generic[T]):
    """What is asked. ``schema``: the JSON schema of the answer; ``read`` raises ValueError for one that is no use.

    ``wanted`` names what the answer should hold, for messages.
    """

    system: str
    prompt: str
    schema: Mapping[str, Any]
    read: Callable[[str], T]
    wanted: str
    most_tokens: int


def ask(question: Question[T], asking: Asking) -> Answered[T] | NotAnswered:
    """Ask, in a thread; what it does after the deadline is nobody's concern any more."""
    model = newest(asking.model) or asking.model
    if importlib.util.find_spec("anthropic") is None:
        return NotAnswered("not installed", "the package anthropic is not installed", Spent(model))
    environ = os.environ
    if not (asking.api_key or environ.get("ANTHROPIC_API_KEY") or environ.get("ANTHROPIC_AUTH_TOKEN")):
        return NotAnswered("no key", "there is no ANTHROPIC_API_KEY", Spent(model))
    ends = time.monotonic() + asking.deadline_s
    told: list[Answered[T] | NotAnswered] = []
    spent = _Spending(model)

    def in_time() -> None:
        try:
            told.append(_asked(ends, model, question, asking, spent))
        except Exception as error:  # whatever the SDK, its transport or an answer of another form may raise
            told.append(NotAnswered("unexpected error", f"{type(error).__name__}: {error}"[:300], spent.so_far))

    thread = threading.Thread(target=in_time, name="br3-asking", daemon=True)
    thread.start()
    thread.join(asking.deadline_s)
    if told:
        return told[0]
    return NotAnswered("took too long", f"Claude did not answer within {asking.deadline_s:g} s", spent.so_far)


class _Spending:
    """Tokens of the answers that came, also of those that were no use. ``so_far`` is read by another thread."""

    def __init__(self, model: str) -> None:
        self.so_far = Spent(model)
        self._lost = False

    def sent(self) -> None:
        """A request is under way: until it is answered, what it costs is not known."""
        self.so_far = replace(self.so_far, unknown=True)

    def failed(self, billed: bool) -> None:
        """It came to nothing; ``billed``: but may have to be paid for."""
        self._lost = self._lost or billed
        self.so_far = replace(self.so_far, unknown=self._lost)

    def add(self, usage: Any) -> None:
        """It was answered."""

        def count(name: str) -> int:
            value = getattr(usage, name, None)
            return value if isinstance(value, int) and value > 0 else 0

        before = self.so_far.tokens
        tokens = Tokens(
            before.input + count("input_tokens"),
            before.output + count("output_tokens"),
            before.cache_write_5m + count("cache_creation_input_tokens"),
            0,
            before.cache_read + count("cache_read_input_tokens"),
        )
        self.so_far = Spent(self.so_far.model, tokens, self._lost)


def _asked(
    ends: float, model: str, question: Question[T], asking: Asking, spent: _Spending
) -> Answered[T] | NotAnswered:
    import anthropic

    last: NotAnswered | None = None
    # A gateway of one's own is told by its address; the key then is whatever that gateway takes.
    client = anthropic.Anthropic(api_key=asking.api_key, base_url=asking.base_url, max_retries=0)
    with client:
        for turn in range(TRIES):
            left = ends - time.monotonic()
            if left <= 0:
                break
            spent.sent()
            try:
                message = client.messages.create(
                    model=model,
                    max_tokens=question.most_tokens,
                    system=question.system,
                    messages=[{"role": "user", "content": question.prompt}],
                    output_config={"format": {"type": "json_schema", "schema": dict(question.schema)}},
                    timeout=left,
                )
            except anthropic.APIError as error:
                spent.failed(_may_be_billed(anthropic, error))
                last = _not_answered(anthropic, error, spent.so_far)
                pause = _pause(error, turn)
                if last.why not in _WORTH_ANOTHER or pause is None or time.monotonic() + pause >= ends:
                    return last
                time.sleep(pause)
                continue
            spent.add(message.usage)
            if message.stop_reason == "refusal":
                return NotAnswered("refused", "Claude would not answer this", spent.so_far)
            if message.stop_reason == "max_tokens":
                last = NotAnswered("cut off", "Claude's answer was cut off", spent.so_far)
                continue
            said = "".join(block.text for block in message.content if block.type == "text")
            try:
                return Answered(question.read(said), spent.so_far)
            except ValueError:
                without = f"Claude's answer had no {question.wanted} in it"
                last = NotAnswered("no such answer", without, spent.so_far)
    return last or NotAnswered("took too long", "Claude did not answer in time", spent.so_far)


_WORTH_ANOTHER = ("rate limit", "overloaded", "server error", "no connection")
_BY_STATUS: Mapping[int, Why] = {
    401: "key refused",
    402: "out of credit",
    403: "not permitted",
    404: "model not found",
    413: "too long",
    429: "rate limit",
    529: "overloaded",
}


def _not_answered(anthropic: Any, error: Any, spent: Spent) -> NotAnswered:
    said = " ".join(redact(str(getattr(error, "message", "") or error))[:300].split())
    if isinstance(error, anthropic.APITimeoutError):
        return NotAnswered("took too long", "Claude did not answer in time", spent)
    if isinstance(error, anthropic.APIConnectionError):
        return NotAnswered("no connection", "Claude could not be reached", spent)
    status = getattr(error, "status_code", None)
    if status == 400 and "credit balance" in said:
        return NotAnswered("out of credit", said, spent)
    if status == 400 and "too long" in said:
        return NotAnswered("too long", said, spent)
    if isinstance(status, int):
        why = _BY_STATUS.get(status, "server error" if status >= 500 or status in (408, 409) else "unexpected error")
        return NotAnswered(why, f"Claude answered {status}: {said}", spent)
    return NotAnswered("no such answer", said, spent)


# By name: which HTTP library the SDK uses differs between its versions.
_NEVER_SENT = frozenset({"ConnectError", "ConnectTimeout", "UnsupportedProtocol", "LocalProtocolError"})


def _may_be_billed(anthropic: Any, error: Any) -> bool:
    """Whether the request may have been answered where nobody saw it: not refused, and not kept from being sent."""
    return not isinstance(error, anthropic.APIStatusError) and type(error.__cause__).__name__ not in _NEVER_SENT


def _pause(error: Any, turn: int) -> float | None:
    """Seconds until the next try: as told, else 0.5 · 2ⁿ with full jitter; None for an answer that can't be read."""
    headers = getattr(getattr(error, "response", None), "headers", None) or {}
    told = headers.get("retry-after")
    if told is None:
        return random.uniform(0.1, 0.5 * 2.0**turn)
    try:
        return max(0.0, float(told))
    except ValueError:
        return None
