"""The agent ``codex``: OpenAI's Codex CLI, headless, read from its JSON events.

Success is a turn that completed after all errors; ``item.type`` ``error`` is only a notice. Standard output has the
tokens once, at the end of the turn, as the sum of the whole session and without a model's name; the session's rollout
(a file under its configuration directory) has those of each response as it comes. There is no cost: the table prices
them. Errors are text. It tries again five times, whatever the error: br3 ends it when the second try has failed in the
same way.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from br3.agents.base import (
    Failure,
    Fallback,
    Outcome,
    Request,
    Seen,
    Supports,
    Tail,
    Usage,
    concluded,
    count,
    event_of,
    first_line,
    mapping,
)
from br3.agents.configuration import link_login
from br3.agents.following import Followed
from br3.agents.telling import cause_of, delay_in, ended, shown

_TRY = re.compile(r"^Reconnecting\.\.\. (\d+)/\d+ \((.*)\)$", re.DOTALL)
_OFFLINE = "waiting for network"
_HOPELESS = frozenset({"auth", "credit", "rate_limit", "model_not_found"})
_TELLING = (b'"token_usage_record"', b'"turn_context"')
_HEAD = 256  # the type stands within the first bytes of a line


class CodexReader:
    """Folds the events: the turn's end, its usage, and errors that it did not get over."""

    def __init__(self, request: Request, home: Path | None) -> None:
        self.usage: list[Usage] = []
        self.activity = ""
        self.session: str | None = None
        self.fallbacks: list[Fallback] = []
        self.limits: list[float | None] = []
        self._home = home
        self._rollout: Followed | None = None
        self._model = None if request.model == "auto" else request.model
        self._before = _sum(request.spent)
        self._skipped = [0, 0, 0, 0]
        """What the rollout's records of earlier attempts come to, as far as they have been passed over."""
        self._result: dict[str, Any] | None = None
        self._errors: list[str] = []
        self._tries = self._offline = 0
        self._stderr = Tail()
        self._text = ""

    def feed(self, line: bytes) -> None:
        event = event_of(line)
        if event is None:
            return
        kind = event.get("type")
        if kind == "thread.started":
            self.session = str(event["thread_id"]) if event.get("thread_id") else None
        elif kind == "error":
            self._error(str(event.get("message"))[:2000])
        elif kind in ("turn.completed", "turn.failed"):
            self._end(event)
        elif kind in ("item.started", "item.completed"):
            self._item(mapping(event.get("item")))

    def feed_error(self, line: bytes) -> None:
        self._stderr.add(line)

    def refresh(self) -> None:
        if self._rollout is None:
            path = _rollout_of(self._home, self.session)
            self._rollout = Followed(path) if path is not None else None
        if self._rollout is not None and self._result is None:
            self._rollout.feed(self._told)

    def gave_up(self) -> bool:
        # Without a network it waits for as long as it lasts, and says so every half minute.
        return self._offline >= 2 or (self._tries >= 2 and cause_of(shown(self._errors)) in _HOPELESS)

    def outcome(self, exit_code: int) -> Outcome:
        seen = Seen(exit_code, self._result, tuple(self._errors), self._stderr.text, self._text)
        return concluded(failure(seen), self._text)

    def _told(self, line: bytes) -> None:
        """A line of the rollout; those of earlier attempts in the session are passed over."""
        if not any(word in line[:_HEAD] for word in _TELLING):
            return
        event = event_of(line) or {}
        facts = mapping(event.get("payload"))
        if event.get("type") == "turn_context":
            self._model = str(facts.get("model") or "") or self._model
        elif mapping(facts.get("usage")):
            usage = _usage(self._model, facts["usage"])
            if self._skipped != self._before:
                self._skipped = [a + b for a, b in zip(self._skipped, _sum([usage]), strict=True)]
            else:
                self.usage.append(usage)

    def _error(self, message: str) -> None:
        tried = _TRY.match(message)
        self._tries = int(tried[1]) if tried else self._tries
        self._offline += _OFFLINE in message
        self._errors = [*self._errors[-2:], tried[2] if tried else message]
        self.activity = "waits for the API" if tried else self.activity
        if tried and cause_of(tried[2]) == "rate_limit":
            self.limits.append(delay_in(tried[2]))

    def _item(self, item: dict[str, Any]) -> None:
        kind = item.get("type")
        if kind == "error":
            return
        self._errors, self._tries, self._offline = [], 0, 0
        if kind == "agent_message":
            self._text = str(item.get("text"))[-20_000:]
            self.activity = first_line(self._text)
        elif kind == "command_execution":
            self.activity = first_line(str(item.get("command")))

    def _end(self, event: dict[str, Any]) -> None:
        self.refresh()  # what the rollout has told so far is not told again by the sum
        message = mapping(event.get("error")).get("message")
        self._result = {"type": event["type"], "message": str(message or "")[:2000]}
        if event["type"] == "turn.completed":
            self._errors = []
        usage = mapping(event.get("usage"))
        if usage:
            total = _usage(self._model, usage)
            known = [a + b for a, b in zip(self._before, _sum(self.usage), strict=True)]
            rest = [max(0, a - b) for a, b in zip(_sum([total]), known, strict=True)]
            if any(rest):
                self.usage.append(Usage(self._model, *rest))


class Codex:
    """See the module."""

    name = "codex"
    tested_with = "0.169.0"
    known_versions = ("0.169.0",)
    executable = "codex"
    install = "npm install -g @openai/codex"
    keys = ("CODEX_API_KEY", "OPENAI_API_KEY")
    variables = (*keys, "OPENAI_BASE_URL", "CODEX_HOME")
    login = ("auth.json",)
    settings = ("config.toml",)
    default_model = None
    ladder = ("gpt-5.6-luna", "gpt-5.6-terra", "gpt-5.6-sol")
    supports = Supports(
        usage="after each response",
        cost="by the table",
        live_cost=True,
        resume=True,
        budget=False,
        models="an id of its provider",
        sandbox=("none", "bwrap", "agent"),
        system_prompt=True,
    )

    def missing(self) -> str | None:
        return None if shutil.which(self.executable) else self.install

    def home(self, environ: Mapping[str, str]) -> Path | None:
        own = environ.get("CODEX_HOME")
        return Path(own) if own else Path(environ.get("HOME") or "/") / ".codex"

    def resumable(self, session: str, home: Path | None) -> bool:
        return _rollout_of(home, session) is not None

    def prepare(self, request: Request) -> None:
        if request.config_dir is not None:
            link_login(request.config_dir, self.home(os.environ), self.login, self.settings)

    def command(self, request: Request) -> list[str]:
        words = ["codex", "exec", "--json", "-c", "check_for_update_on_startup=false", "-c", "analytics.enabled=false"]
        if request.sandbox == "agent":
            words += ["-s", "workspace-write"]
            words += ["-c", f"sandbox_workspace_write.network_access={str(request.network).lower()}"]
            for directory in request.git_dirs:  # without them a commit in a linked worktree fails, and it ends with 0
                words += ["--add-dir", str(directory)]
        else:
            words += ["-s", "danger-full-access"]
        words += _elsewhere(os.environ)
        if request.model != "auto":
            words += ["-m", request.model]
        if request.system_prompt is not None:
            words += ["-c", f"developer_instructions={json.dumps(request.system_prompt.read_text(errors='replace'))}"]
        return [*words, "resume", request.resume, "-"] if request.resume else [*words, "-"]

    def environment(self, request: Request) -> Mapping[str, str]:
        return {"CODEX_HOME": str(request.config_dir)} if request.config_dir else {}

    def reader(self, request: Request) -> CodexReader:
        return CodexReader(request, request.config_dir or self.home(os.environ))

    def render(self, line: bytes) -> str | None:
        event = event_of(line)
        if event is None:
            return line.decode(errors="replace") or None
        item = mapping(event.get("item"))
        if event.get("type") == "item.completed" and item.get("type") == "agent_message":
            return str(item.get("text"))
        if event.get("type") == "item.started" and item.get("type") == "command_execution":
            return f"→ {first_line(str(item.get('command')), 200)}"
        if event.get("type") in ("error", "turn.failed"):
            return f"! {event.get('message') or mapping(event.get('error')).get('message')}"
        return "= completed" if event.get("type") == "turn.completed" else None


AGENT = Codex()


def failure(seen: Seen) -> Failure | None:
    """Why it failed; None when its last turn completed."""
    if seen.result is not None and seen.result["type"] == "turn.completed":
        return None
    said = str(seen.result["message"]) if seen.result else shown(seen.errors)
    if said:
        return Failure(cause_of(said) or "crash", f"codex: {said[:300]}", delay_in(said))
    known = ended("codex", seen.exit_code)
    if known.cause == "killed" or not seen.stderr:
        return known
    return Failure(cause_of(seen.stderr) or "crash", f"{known.why}: {seen.stderr[-300:]}", delay_in(seen.stderr))


def _elsewhere(environ: Mapping[str, str]) -> list[str]:
    """The words that lead it to the server of ``OPENAI_BASE_URL``: it does not read that variable itself."""
    url = environ.get("OPENAI_BASE_URL")
    if not url:
        return []
    key = next((name for name in AGENT.keys if environ.get(name)), "OPENAI_API_KEY")
    provider = f'{{name="elsewhere",base_url={json.dumps(url)},env_key="{key}",wire_api="responses"}}'
    return ["-c", f"model_providers.elsewhere={provider}", "-c", 'model_provider="elsewhere"']


def _rollout_of(home: Path | None, session: str | None) -> Path | None:
    """The file of a session, once it is there."""
    if home is None or session is None or not re.fullmatch(r"[0-9A-Za-z-]+", session):
        return None
    return next(iter(sorted((home / "sessions").glob(f"*/*/*/rollout-*-{session}.jsonl"))), None)


def _sum(usage: Iterable[Usage]) -> list[int]:
    sums = [0, 0, 0, 0]
    for one in usage:
        counts = (one.input_tokens, one.output_tokens, one.cache_write_tokens, one.cache_read_tokens)
        sums = [a + (b or 0) for a, b in zip(sums, counts, strict=True)]
    return sums


def _usage(model: str | None, usage: Mapping[str, Any]) -> Usage:
    """Codex's input holds what was read from and written to the cache; its output holds the reasoning."""
    read, written = count(usage.get("cached_input_tokens")), count(usage.get("cache_write_input_tokens"))
    given = count(usage.get("input_tokens"))
    fresh = None if given is None else max(0, given - (read or 0) - (written or 0))
    return Usage(model, fresh, count(usage.get("output_tokens")), written, read)
