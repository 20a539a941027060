"""The agent ``opencode``: read from its JSON events; tokens and cost come with each step.

Success is a last step that stopped by itself, and no error after it. A cost of 0 means that it has no price for the
model; the table may have one.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
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
    denied,
    event_of,
    first_line,
    mapping,
    money,
)
from br3.agents.configuration import link_login
from br3.agents.telling import cause_of, delay_in, ended, retry_after

_DONE = frozenset({"stop", "end_turn"})
_DENIED = "has specified a rule which prevents"


class OpencodeReader:
    """Folds the events: the last step, each step's usage, and the error that ended it."""

    def __init__(self, request: Request) -> None:
        self.usage: list[Usage] = []
        self.activity = ""
        self.session: str | None = None
        self.fallbacks: list[Fallback] = []
        self.limits: list[float | None] = []
        self._model = None if request.model == "auto" else request.model
        self._result: dict[str, Any] | None = None
        self._denied: tuple[str, ...] = ()
        self._stderr = Tail()
        self._text = ""

    def feed(self, line: bytes) -> None:
        event = event_of(line)
        if event is None:
            return
        if event.get("sessionID"):
            self.session = str(event["sessionID"])
        part = mapping(event.get("part"))
        kind = event.get("type")
        if kind == "step_finish":
            self._result = {"reason": part.get("reason")}
            self._step(part)
        elif kind == "text":
            self._text = str(part.get("text"))[-20_000:]
            self.activity = first_line(self._text)
        elif kind == "tool_use":
            self.activity = first_line(_tool(part))
            if _DENIED in str(mapping(part.get("state")).get("error"))[:200]:
                self._denied = (*self._denied[-9:], self.activity)
        elif kind == "error":
            self._result = _error(mapping(event.get("error")))

    def feed_error(self, line: bytes) -> None:
        self._stderr.add(line)

    def refresh(self) -> None:
        """Everything comes on standard output."""

    def gave_up(self) -> bool:
        return False  # it ends with the first error that it reports

    def outcome(self, exit_code: int) -> Outcome:
        seen = Seen(exit_code, self._result, stderr=self._stderr.text, text=self._text, denied=self._denied)
        return concluded(failure(seen), self._text)

    def _step(self, part: dict[str, Any]) -> None:
        tokens = mapping(part.get("tokens"))
        if not tokens:
            return
        cache = mapping(tokens.get("cache"))
        output, thought = count(tokens.get("output")), count(tokens.get("reasoning")) or 0
        self.usage.append(
            Usage(
                self._model,
                count(tokens.get("input")),
                None if output is None else output + thought,
                count(cache.get("write")),
                count(cache.get("read")),
                cost_usd=money(part.get("cost")) or None,
            )
        )


class Opencode:
    """See the module."""

    name = "opencode"
    tested_with = "1.18.33"
    known_versions = ("1.18.33",)
    executable = "opencode"
    install = "npm install -g opencode-ai"
    keys = ("ANTHROPIC_API_KEY", "OPENAI_API_KEY", "OPENROUTER_API_KEY", "GEMINI_API_KEY")
    variables = (*keys, "OPENCODE_CONFIG")
    login = ("opencode/auth.json",)
    settings = ()
    default_model = None
    ladder: tuple[str, ...] = ()
    supports = Supports(
        usage="after each step",
        cost="the CLI's own, else by the table",
        live_cost=True,
        resume=True,
        budget=False,
        models="`provider/model`",
        system_prompt=True,
        denied_commands=True,
    )

    def missing(self) -> str | None:
        return None if shutil.which(self.executable) else self.install

    def home(self, environ: Mapping[str, str]) -> Path | None:
        """The data directory, which holds ``opencode``."""
        own = environ.get("XDG_DATA_HOME")
        return Path(own) if own else Path(environ.get("HOME") or "/") / ".local" / "share"

    def resumable(self, session: str, home: Path | None) -> bool:
        return home is not None and (home / "opencode").is_dir()

    def prepare(self, request: Request) -> None:
        if request.config_dir is not None:
            link_login(request.config_dir, self.home(os.environ), self.login)

    def command(self, request: Request) -> list[str]:
        words = ["opencode", "run", "--format", "json"]
        if request.model != "auto":
            words += ["-m", request.model]
        return [*words, "--session", request.resume] if request.resume else words

    def environment(self, request: Request) -> Mapping[str, str]:
        forbidden = {f"{command}*": "deny" for command in request.denied_commands}
        config: dict[str, Any] = {
            "autoupdate": False,
            "share": "disabled",
            "permission": {"edit": "allow", "bash": {"*": "allow", **forbidden}, "external_directory": "deny"},
        }
        providers = {
            name: {"options": {"baseURL": url}}
            for name, url in (
                ("anthropic", _versioned(os.environ.get("ANTHROPIC_BASE_URL"))),
                ("openai", os.environ.get("OPENAI_BASE_URL")),
            )
            if url
        }
        if providers:
            config["provider"] = providers
        if request.system_prompt is not None:
            config["instructions"] = [str(request.system_prompt)]
        # The user's own settings come from a file; these are laid over them.
        own = {"XDG_DATA_HOME": str(request.config_dir)} if request.config_dir else {}
        return {
            "OPENCODE_CONFIG_CONTENT": json.dumps(config),
            "OPENCODE_DISABLE_MODELS_FETCH": "1",
            "OPENCODE_DISABLE_AUTOUPDATE": "1",
            **own,
        }

    def reader(self, request: Request) -> OpencodeReader:
        return OpencodeReader(request)

    def render(self, line: bytes) -> str | None:
        event = event_of(line)
        if event is None:
            return line.decode(errors="replace") or None
        part = mapping(event.get("part"))
        if event.get("type") == "text":
            return str(part.get("text"))
        if event.get("type") == "tool_use":
            return f"→ {first_line(_tool(part), 200)}"
        if event.get("type") == "error":
            return f"! {_error(mapping(event.get('error')))['message']}"
        return "= stop" if event.get("type") == "step_finish" and part.get("reason") in _DONE else None


AGENT = Opencode()


def failure(seen: Seen) -> Failure | None:
    """Why it failed; None when its last step stopped by itself."""
    result = seen.result
    if result is not None and "message" in result:
        said = f"{result['name']}: {result['message']}"
        cause = cause_of(said, result["status"]) or "crash"
        delay = result["retry_after_s"]
        return Failure(cause, f"opencode: {said[:300]}", delay if delay is not None else delay_in(said))
    if result is not None and result["reason"] in _DONE and seen.exit_code == 0:
        return denied("opencode", seen.denied) if seen.denied else None
    known = ended("opencode", seen.exit_code)
    if known.cause == "killed" or not seen.stderr:
        return known
    return Failure(cause_of(seen.stderr) or "crash", f"{known.why}: {seen.stderr[-300:]}")


def _versioned(url: str | None) -> str | None:
    """Anthropic's variable is without the version that is part of opencode's address."""
    return url.rstrip("/").removesuffix("/v1") + "/v1" if url else None


def _error(error: dict[str, Any]) -> dict[str, Any]:
    data = mapping(error.get("data"))
    headers = {str(name).lower(): value for name, value in mapping(data.get("responseHeaders")).items()}
    after = headers.get("retry-after")
    return {
        "name": str(error.get("name")),
        "message": str(data.get("message") or error.get("message") or "")[:2000],
        "status": count(data.get("statusCode")),
        "retry_after_s": None if after is None else retry_after(after, headers.get("date")),
    }


def _tool(part: dict[str, Any]) -> str:
    given = mapping(mapping(part.get("state")).get("input"))
    what = given.get("command") or given.get("filePath") or given.get("description") or ""
    return f"{part.get('tool')} {str(what)[:1000]}"
