"""Codex's rollouts as messages with usage of their own.

A rollout is a file of {timestamp, type, payload} objects. ``session_meta`` says whose it is (id, session_id, cwd,
git.branch), each ``turn_context`` where and with which model the turn works. Newer ones (0.169) have a
``token_usage_record`` for every response, with its id. Older ones have only ``event_msg``/``token_count`` with running
totals, written again whenever a limit changes; what the totals grew by is the message. ``input_tokens`` holds what was
read from and written to the cache too. The form is that of https://github.com/openai/codex, codex-rs/protocol.

Older forks begin with a copy of their parent's lines under new times, up to the first turn whose id (a UUIDv7) is not
older than the fork's own; newer ones only continue its totals.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

_TELLING = (b'"session_meta"', b'"turn_context"', b'"token_usage_record"', b'"token_count"')
# The type stands within the first bytes of a line, behind the time and a number.
_HEAD = 256


class Usage(NamedTuple):
    """Tokens as Codex counts them: ``input`` with all that concerns the cache, ``output`` with reasoning."""

    input: int = 0
    cached: int = 0
    written: int = 0
    output: int = 0

    def __sub__(self, other: Usage) -> Usage:
        return Usage(*(a - b for a, b in zip(self, other, strict=True)))


@dataclass
class Rollout:
    """What a rollout has said so far; its fields are the state that an Offset keeps."""

    session: str | None = None
    thread: str | None = None
    cwd: str | None = None
    branch: str | None = None
    model: str | None = None
    copying: bool = False
    """Between the beginning of a fork and its first turn of its own."""
    records: bool = False
    """It writes ``token_usage_record``, so that the totals say nothing new."""
    count: int = 0
    totals: list[int] | None = None

    @classmethod
    def load(cls, state: str | None) -> Rollout:
        """As it was left by ``dump``; a state that cannot be read is a new one."""
        try:
            return cls(**json.loads(state)) if state else cls()
        except (ValueError, TypeError):
            return cls()

    def dump(self) -> str:
        """The state as JSON."""
        return json.dumps(asdict(self), separators=(",", ":"))

    def read(self, data: bytes) -> Iterator[dict[str, Any]]:
        """The messages on whole lines, in the form of Claude Code's; lines that are none of it are passed over."""
        for line in data.split(b"\n"):
            head = line[:_HEAD]
            if any(word in head for word in _TELLING):
                try:
                    yield from self._take(json.loads(line))
                except (ValueError, TypeError, AttributeError, KeyError, RecursionError):
                    continue

    def _take(self, line: dict[str, Any]) -> Iterable[dict[str, Any]]:
        payload = line["payload"]
        match line["type"], payload.get("type"):
            case "session_meta", _:
                self._begin(payload)
            case "turn_context", _:
                self._turn(payload)
            case "token_usage_record", _ if self.thread in (None, payload.get("thread_id")):
                self.records = True
                return self._message(line, payload["response_id"], _usage(payload["usage"]))
            case "event_msg", "token_count" if payload.get("info"):
                return self._counted(line, payload["info"])
        return ()

    def _begin(self, meta: dict[str, Any]) -> None:
        if self.thread is not None:
            return  # its parent's, copied
        self.thread = str(meta["id"])
        self.session = str(meta.get("session_id") or self.thread)
        self.cwd = meta.get("cwd")
        self.branch = (meta.get("git") or {}).get("branch")
        spawned = "thread_spawn" in json.dumps(meta.get("source"))
        self.copying = (bool(meta.get("forked_from_id")) or spawned) and not meta.get("history_base")

    def _turn(self, context: dict[str, Any]) -> None:
        self.cwd = context.get("cwd") or self.cwd
        self.model = context.get("model") or self.model
        if self.copying:
            own, turn = _minted(self.thread), _minted(context.get("turn_id"))
            self.copying = own is not None and turn is not None and turn < own

    def _counted(self, line: dict[str, Any], info: dict[str, Any]) -> Iterable[dict[str, Any]]:
        before = None if self.totals is None else Usage(*self.totals)
        total = _usage(info["total_token_usage"]) if info.get("total_token_usage") else None
        last = _usage(info["last_token_usage"]) if info.get("last_token_usage") else None
        if total is not None:
            self.totals = list(total)
        if self.records or self.copying:
            return ()
        grown = total - before if total is not None and before is not None else None
        # Totals that shrank were begun anew; the first ones may be another session's.
        used = grown if grown is not None and min(grown) >= 0 else last or total
        if used is None or not any(used):
            return ()
        self.count += 1
        return self._message(line, f"{self.thread}#{self.count}", used)

    def _message(self, line: dict[str, Any], message: str, used: Usage) -> Iterable[dict[str, Any]]:
        usage = {
            "input_tokens": max(0, used.input - used.cached - used.written),
            "output_tokens": used.output,
            "cache_creation_input_tokens": used.written,
            "cache_read_input_tokens": used.cached,
        }
        yield {
            "type": "codex",
            "timestamp": line["timestamp"],
            "sessionId": self.session,
            "cwd": self.cwd,
            "gitBranch": self.branch,
            "message": {"id": message, "model": self.model or "unknown", "usage": usage},
        }


def _usage(counts: dict[str, Any]) -> Usage:
    names = ("input_tokens", "cached_input_tokens", "cache_write_input_tokens", "output_tokens")
    return Usage(*(int(counts.get(name) or 0) for name in names))


def _minted(uuid: str | None) -> int | None:
    """When a UUIDv7 was made, in milliseconds since 1970; None for another."""
    digits = (uuid or "").replace("-", "")
    return int(digits[:12], 16) if len(digits) == 32 and digits[12] == "7" else None
