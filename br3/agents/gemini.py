"""The agent ``gemini``: Google's Gemini CLI, headless, read from its stream-json output.

Success is a ``result`` with status ``success`` and no loop detected on the way. Tokens per model come with it; the
table prices them. A rate limit is seen on standard error only, where it goes on for minutes: br3 ends it when the
second try has failed. At SIGTERM it ends with 0 and without a result, or, while a tool runs, not at all.
"""

from __future__ import annotations

import json
import os
import re
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
)
from br3.agents.configuration import link_login, write_private
from br3.agents.telling import cause_of, delay_in, ended, shown
from br3.repo import Git

_TRY = re.compile(rb"^Attempt (\d+) failed(?: with status (\d+))?")
_PATIENCE = 2  # failed tries, after which waiting is br3's
_IDENTITY = re.compile(r"(.*) <(.*)> \d+ [+-]\d+$")
_LOOP = "Loop detected"
_RULE = """\
[[rule]]
toolName = "run_shell_command"
commandPrefix = {prefix}
decision = "deny"
priority = 999
"""

# What the CLI's own codes mean; others are the HTTP status & 255.
_BY_EXIT = {41: "auth", 42: "crash", 53: "crash", 401 & 255: "auth", 429 & 255: "rate_limit"}


class GeminiReader:
    """Folds the events and what standard error tells of tries that failed."""

    def __init__(self) -> None:
        self.usage: list[Usage] = []
        self.activity = ""
        self.session: str | None = None  # resuming goes by the place in a list, which parallel builds would change
        self.fallbacks: list[Fallback] = []
        self.limits: list[float | None] = []
        self._result: dict[str, Any] | None = None
        self._errors: list[str] = []
        self._tries = 0
        self._tool = ""
        self._denied: tuple[str, ...] = ()
        self._stderr = Tail()
        self._text = ""

    def feed(self, line: bytes) -> None:
        event = event_of(line)
        if event is None:
            return
        kind = event.get("type")
        if kind == "result":
            self._end(event)
        elif kind == "error":
            self._errors = [*self._errors[-2:], str(event.get("message"))[:2000]]
        elif kind == "message" and event.get("role") == "assistant":
            self._recovered()
            said = str(event.get("content"))
            self._text = (self._text + said if event.get("delta") else said)[-20_000:]
            self.activity = first_line(self._text)
        elif kind == "tool_use":
            self._recovered()
            self._text = ""
            given = mapping(event.get("parameters"))
            what = given.get("command") or given.get("file_path") or ""
            self._tool = first_line(f"{event.get('tool_name')} {what}")
            self.activity = self._tool
        elif kind == "tool_result" and mapping(event.get("error")).get("type") == "policy_violation":
            self._denied = (*self._denied[-9:], self._tool)

    def feed_error(self, line: bytes) -> None:
        self._stderr.add(line)
        tried = _TRY.match(line)
        if tried:
            self._tries = int(tried[1])
            self._errors = [*self._errors[-2:], line[:2000].decode(errors="replace")]
            self.activity = "waits for the API"
            if tried[2] == b"429":
                self.limits.append(None)

    def refresh(self) -> None:
        """Everything comes on its output."""

    def gave_up(self) -> bool:
        return self._tries >= _PATIENCE and self._result is None

    def outcome(self, exit_code: int) -> Outcome:
        seen = Seen(exit_code, self._result, tuple(self._errors), self._stderr.text, self._text, self._denied)
        return concluded(failure(seen), self._text)

    def _recovered(self) -> None:
        self._tries = 0
        self._errors = [error for error in self._errors if _LOOP in error]

    def _end(self, event: dict[str, Any]) -> None:
        message = str(mapping(event.get("error")).get("message") or "")
        self._result = {"status": event.get("status"), "message": message[:2000]}
        for model, stats in mapping(mapping(event.get("stats")).get("models")).items():
            usage = _usage(model, mapping(stats))
            if usage is not None:
                self.usage.append(usage)


class Gemini:
    """See the module."""

    name = "gemini"
    tested_with = "0.61.0"
    known_versions = ("0.61.0",)
    executable = "gemini"
    install = "npm install -g @google/gemini-cli"
    keys = ("GEMINI_API_KEY", "GOOGLE_API_KEY")
    variables = (
        *keys,
        "GOOGLE_GEMINI_BASE_URL",
        "GOOGLE_GENAI_USE_VERTEXAI",
        "GOOGLE_CLOUD_PROJECT",
        "GOOGLE_CLOUD_LOCATION",
        "GEMINI_CLI_HOME",
    )
    login = (".gemini/oauth_creds.json", ".gemini/google_accounts.json")
    settings = ()
    default_model = None
    ladder = ("gemini-2.5-flash", "gemini-2.5-pro")
    supports = Supports(
        usage="at the end",
        cost="by the table",
        live_cost=False,
        resume=False,
        budget=False,
        models="an id; with `auto` it asks a small model to choose",
        denied_commands=True,
    )

    def missing(self) -> str | None:
        return None if shutil.which(self.executable) else self.install

    def home(self, environ: Mapping[str, str]) -> Path | None:
        """The directory that holds ``.gemini``."""
        return Path(environ.get("GEMINI_CLI_HOME") or environ.get("HOME") or "/")

    def resumable(self, session: str, home: Path | None) -> bool:
        return False

    def prepare(self, request: Request) -> None:
        if request.config_dir is None:
            return
        link_login(request.config_dir, self.home(os.environ), self.login)
        by_key = any(os.environ.get(name) for name in self.keys)
        settings = {
            "security": {"auth": {"selectedType": "gemini-api-key" if by_key else "oauth-personal"}},
            "privacy": {"usageStatisticsEnabled": False},
            "general": {"disableAutoUpdate": True, "disableUpdateNag": True},
        }
        write_private(request.config_dir / ".gemini" / "settings.json", json.dumps(settings))
        rules = [_RULE.format(prefix=json.dumps(command)) for command in request.denied_commands]
        write_private(_policy(request.config_dir), "".join(rules))

    def command(self, request: Request) -> list[str]:
        # Without --skip-trust yolo is taken back in silence. Without -p a prompt on standard input is not interactive.
        words = ["gemini", "--output-format", "stream-json", "--approval-mode", "yolo", "--skip-trust"]
        if request.config_dir is not None and request.denied_commands:
            words += ["--policy", str(_policy(request.config_dir))]
        return [*words, "-m", request.model] if request.model != "auto" else words

    def environment(self, request: Request) -> Mapping[str, str]:
        own = {"GEMINI_CLI_HOME": str(request.config_dir)} if request.config_dir else {}
        return {**own, **_identity(request.worktree)}

    def reader(self, request: Request) -> GeminiReader:
        return GeminiReader()

    def render(self, line: bytes) -> str | None:
        event = event_of(line)
        if event is None:
            return line.decode(errors="replace") or None
        if event.get("type") == "message" and event.get("role") == "assistant":
            return str(event.get("content")) or None
        if event.get("type") == "tool_use":
            given = mapping(event.get("parameters"))
            what = given.get("command") or given.get("file_path") or ""
            return f"→ {event.get('tool_name')} {first_line(str(what), 200)}"
        if event.get("type") == "error":
            return f"! {event.get('message')}"
        return f"= {event.get('status')}" if event.get("type") == "result" else None


AGENT = Gemini()


def _identity(worktree: Path) -> dict[str, str]:
    """Who commits: gemini keeps the user's configuration, where that stands, from the git of its tools."""
    known: dict[str, str] = {}
    for role in ("AUTHOR", "COMMITTER"):
        told = Git(worktree)("var", f"GIT_{role}_IDENT", ok=(0, 1, 128))
        match = _IDENTITY.match(told.text) if told.code == 0 else None
        if match is not None:
            known |= {f"GIT_{role}_NAME": match[1], f"GIT_{role}_EMAIL": match[2]}
    return known


def _policy(config_dir: Path) -> Path:
    return config_dir / ".gemini" / "br3.toml"


def failure(seen: Seen) -> Failure | None:
    """Why it failed; None when it claims success."""
    result = seen.result
    if any(_LOOP in error for error in seen.errors):  # and status success all the same
        return Failure("crash", "gemini went round in circles and stopped itself")
    if result is not None and result["status"] == "success":
        return denied("gemini", seen.denied) if seen.denied else None
    said = str(result["message"]) if result is not None else shown(seen.errors)
    if said:
        cause = cause_of(said) or _BY_EXIT.get(seen.exit_code, "crash")
        return Failure(cause, f"gemini: {said[:300]}", delay_in(said))
    if seen.exit_code == 0:  # what SIGTERM leaves
        return Failure("killed", "gemini was interrupted: it ended without a result")
    known = ended("gemini", seen.exit_code)
    cause = _BY_EXIT.get(seen.exit_code) or cause_of(seen.stderr) or known.cause
    return known if cause == known.cause else Failure(cause, f"{known.why}: {seen.stderr[-300:]}".rstrip(": "))


def _usage(model: str, stats: Mapping[str, Any]) -> Usage | None:
    """One model's tokens; ``input`` is without the cache, and what is neither input nor answer is thought: output."""
    given, cached = count(stats.get("input_tokens")), count(stats.get("cached"))
    total, answer = count(stats.get("total_tokens")), count(stats.get("output_tokens"))
    if not total and not given:
        return None  # it never answered
    output = total - given if total is not None and given is not None and total >= given else answer
    fresh = None if given is None else max(0, given - (cached or 0))
    return Usage(model, fresh, output, None, cached)
