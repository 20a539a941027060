"""The agent ``aider``: plain text on standard output, exact figures in its analytics log, which stays on this machine.

It ends with 0 whatever happened. Success is: it came to its end, and after the last error of the API a message went
through. It commits by itself; what else it writes lies in the build's own directory. A cost of 0 means that it has no
price for the model; the table may have one.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path

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
    money,
)
from br3.agents.following import Followed
from br3.agents.telling import cause_of, delay_in, ended, shown

_ERROR = re.compile(rb"^litellm\.(\w*(?:Error|Timeout)): ?(.*)")
_PATIENCE = 3  # failed tries, after which waiting is br3's
_BY_NAME = {
    "AuthenticationError": "auth",
    "PermissionDeniedError": "auth",
    "RateLimitError": "rate_limit",
    "ContextWindowExceededError": "context_too_long",
    "NotFoundError": "model_not_found",
    "ServiceUnavailableError": "overloaded",
    "InternalServerError": "overloaded",
    "APIConnectionError": "overloaded",
    "BudgetExceededError": "credit",
}


class AiderReader:
    """Keeps the last lines, and follows the analytics log."""

    def __init__(self, request: Request) -> None:
        self.usage: list[Usage] = []
        self.activity = ""
        self.session: str | None = None
        self.fallbacks: list[Fallback] = []
        self.limits: list[float | None] = []
        self._model = None if request.model == "auto" else request.model
        self._log = Followed(_log(request))
        self._ended = False
        self._errors: list[str] = []
        self._tries = 0
        self._tail = Tail()
        self._stderr = Tail()

    def feed(self, line: bytes) -> None:
        self._tail.add(line)
        error = _ERROR.match(line)
        if error:
            self._errors = [*self._errors[-2:], line[:2000].decode(errors="replace")]
            self._tries += 1
        elif line.startswith(b"Tokens: "):
            self._errors, self._tries = [], 0
        elif line.strip():
            self.activity = first_line(line[:1000].decode(errors="replace"))

    def feed_error(self, line: bytes) -> None:
        self._stderr.add(line)

    def refresh(self) -> None:
        self._log.feed(self._told)

    def gave_up(self) -> bool:
        return self._tries >= _PATIENCE

    def outcome(self, exit_code: int) -> Outcome:
        self.refresh()
        result = {"reason": "Completed --message"} if self._ended else None
        seen = Seen(exit_code, result, tuple(self._errors), self._stderr.text, self._tail.text)
        return concluded(failure(seen), self._tail.text)

    def _told(self, line: bytes) -> None:
        event = event_of(line)
        if event is None:
            return
        facts = mapping(event.get("properties"))
        if event.get("event") == "message_send":
            tokens = (count(facts.get("prompt_tokens")), count(facts.get("completion_tokens")))
            self.usage.append(Usage(self._model, *tokens, cost_usd=money(facts.get("cost")) or None))
        elif event.get("event") == "exit":
            self._ended = str(facts.get("reason")).startswith("Completed")


class Aider:
    """See the module."""

    name = "aider"
    tested_with = "0.86.2"
    known_versions = ("0.86.2",)
    executable = "aider"
    install = "pipx install aider-chat"
    keys = ("ANTHROPIC_API_KEY", "OPENAI_API_KEY", "GEMINI_API_KEY", "OPENROUTER_API_KEY")
    variables = (*keys, "OPENAI_API_BASE", "ANTHROPIC_API_BASE")
    login = ()
    settings = ()
    default_model = None
    ladder: tuple[str, ...] = ()
    supports = Supports(
        usage="after each message",
        cost="the CLI's own, else by the table",
        live_cost=True,
        resume=False,
        budget=False,
        models="a name of litellm's: `provider/model`",
        system_prompt=True,
    )

    def missing(self) -> str | None:
        return None if shutil.which(self.executable) else self.install

    def home(self, environ: Mapping[str, str]) -> Path | None:
        return None

    def resumable(self, session: str, home: Path | None) -> bool:
        return False

    def prepare(self, request: Request) -> None:
        if request.config_dir is not None:
            request.config_dir.mkdir(parents=True, exist_ok=True, mode=0o700)

    def command(self, request: Request) -> list[str]:
        own = request.config_dir or request.usage_file.parent  # not the worktree: it would leave .aider* there
        words = ["aider", "--message-file", str(request.prompt_file), "--yes-always", "--no-check-update"]
        words += ["--no-pretty", "--no-stream", "--no-gitignore", "--no-show-release-notes"]
        words += ["--no-suggest-shell-commands"]  # with --yes-always it would run whatever the model suggests
        words += ["--no-analytics", "--analytics-log", str(_log(request))]
        words += ["--chat-history-file", str(own / "aider.chat.history.md")]
        words += ["--input-history-file", str(own / "aider.input.history")]
        if request.model != "auto":
            words += ["--model", request.model]
        if request.system_prompt is not None:
            words += ["--read", str(request.system_prompt)]
        return words

    def environment(self, request: Request) -> Mapping[str, str]:
        # Its own names of these variables go before.
        pairs = (("OPENAI_API_BASE", "OPENAI_BASE_URL"), ("ANTHROPIC_API_BASE", "ANTHROPIC_BASE_URL"))
        given = ((own, os.environ.get(own) or os.environ.get(common)) for own, common in pairs)
        return {own: url for own, url in given if url}

    def reader(self, request: Request) -> AiderReader:
        return AiderReader(request)

    def render(self, line: bytes) -> str | None:
        return line.decode(errors="replace")


AGENT = Aider()


def failure(seen: Seen) -> Failure | None:
    """Why it failed; None when it came to its end and no error was left."""
    if seen.errors:
        said = shown(seen.errors)
        error = _ERROR.match(said.encode())
        name = error[1].decode() if error else ""
        return Failure(cause_of(said) or _BY_NAME.get(name, "crash"), f"aider: {said}", delay_in(said))
    if seen.result is not None and seen.exit_code == 0:
        return None
    known = ended("aider", seen.exit_code)
    said = seen.stderr or seen.text
    return known if known.cause == "killed" or not said else Failure("crash", f"{known.why}: {said[-300:]}")


def _log(request: Request) -> Path:
    return request.usage_file.with_name("aider.analytics.jsonl")
