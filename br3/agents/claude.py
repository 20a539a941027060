"""The agent ``claude``: Claude Code, headless, read from its stream-json output.

Success is: the last ``result`` has subtype ``success``, is no error and nothing was denied. The exit code says less:
a denied tool and an interrupted turn end with 0. Each finished turn is usage at once, priced by the table; the last
``result`` brings it up to the CLI's own figure, sub-agents included. Without one (a killed run) the session's
transcript has that figure; where it has not, turns that did not finish have known input and unknown output.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from br3.agents import claude_costs as costs
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
from br3.agents.telling import cause_of, delay_in, ended, shown

_TOOLS = ["Bash", "Edit", "Write", "Read"]
_RETRIES = "2"  # then the failure is br3's to answer: one gate for all builds, and other models
_MOST_OPEN = 1000

# What is kept of a result: the rest may be megabytes.
_TOLD = ("subtype", "is_error", "terminal_reason", "stop_reason", "api_error_status", "api_error_type")


class ClaudeReader:
    """Folds the stream: the last result, the turns' usage, and what it is doing."""

    def __init__(self, request: Request, home: Path | None) -> None:
        self.usage: list[Usage] = []
        self.activity = ""
        self.session: str | None = None
        self.fallbacks: list[Fallback] = []
        self.limits: list[float | None] = []
        self._home = home
        self._before = costs.used(request.spent)
        self._reported: costs.Totals = {}
        """What the results so far come to: the attempt's own figure, without what the session had used before."""
        self._total: object = None
        self._result: dict[str, Any] | None = None
        self._denied: set[str] = set()
        self._open: dict[str, tuple[str, list[int | None]]] = {}
        self._model: dict[object, str] = {}
        self._stamp: object = None
        self._errors: list[str] = []
        self._stderr = Tail()
        self._text = ""

    def feed(self, line: bytes) -> None:
        event = event_of(line)
        if event is None:
            return
        kind = event.get("type")
        self._stamp = event.get("timestamp") or self._stamp
        if kind == "result":
            self._end(event)
        elif kind == "assistant":
            self._assistant(event)
        elif kind == "stream_event":
            self._streamed(event)
        elif kind == "system":
            self._system(event)

    def feed_error(self, line: bytes) -> None:
        self._stderr.add(line)

    def refresh(self) -> None:
        """Everything comes on standard output."""

    def gave_up(self) -> bool:
        return False  # it tries again only twice

    def outcome(self, exit_code: int) -> Outcome:
        if self._result is None or self._open:
            self._account_for_the_rest()
        found = failure(
            Seen(
                exit_code,
                self._result,
                tuple(self._errors),
                self._stderr.text,
                self._text,
                tuple(sorted(self._denied)),
                self.fallbacks[-1].model if self.fallbacks else None,
            )
        )
        report = str(self._result["report"]) if self._result else self._text
        return concluded(found, report or self._text, money(self._total) if self._result else None)

    def _end(self, result: dict[str, Any]) -> None:
        since = result.get("model_usage_since_last_result")
        if isinstance(since, dict):
            self._reported = costs.added(self._reported, costs.totals(since))
        else:  # older versions have only the session's sum
            self._reported = costs.subtracted(costs.totals(mapping(result.get("modelUsage"))), self._before)
        known = [had.cost_usd for had in self._reported.values()]
        self._total = None if None in known else sum(cost for cost in known if cost is not None)
        self.usage += costs.rest(self._reported, costs.used(self.usage))
        self._open.clear()
        denials = result.get("permission_denials")
        for denial in denials if isinstance(denials, list) else []:
            told = {"name": mapping(denial).get("tool_name", "a tool"), "input": mapping(denial).get("tool_input")}
            self._denied.add(first_line(_tool(told), 200))
        errors = result.get("errors")
        said = result.get("result") or "\n".join(map(str, errors if isinstance(errors, list) else []))
        told = {name: result.get(name) for name in _TOLD}
        self._result = {**told, "report": str(said)[-20_000:]}

    def _assistant(self, event: dict[str, Any]) -> None:
        message = mapping(event.get("message"))
        said = [mapping(block) for block in message.get("content") or [] if isinstance(block, dict)]
        if message.get("model") == "<synthetic>":
            self._errors = [str(block.get("text")) for block in said if block.get("type") == "text"][-3:]
            return
        self._errors = []
        usage = mapping(message.get("usage"))
        if usage:
            # The output that stands here is a placeholder.
            counts = [count(usage.get(name)) for name in costs.TURN_FIELDS]
            counts[1] = None
            self._open[str(message.get("id"))] = (costs.plain(str(message.get("model") or "")), counts)
            if len(self._open) > _MOST_OPEN:
                self._open.pop(next(iter(self._open)))
        for block in said:
            if block.get("type") == "text":
                self._text = str(block.get("text"))[-20_000:]
                self.activity = first_line(self._text)
            elif block.get("type") == "tool_use":
                self.activity = _tool(block)[:60]

    def _streamed(self, event: dict[str, Any]) -> None:
        inner = mapping(event.get("event"))
        thread = event.get("parent_tool_use_id")
        if inner.get("type") == "message_start":
            message = mapping(inner.get("message"))
            self._model = {thread: costs.plain(str(message.get("model") or ""))}
        elif inner.get("type") == "message_delta" and mapping(inner.get("usage")):
            self._turn(str(event.get("api_message_id")), thread, mapping(inner.get("usage")))

    def _turn(self, name: str, thread: object, usage: dict[str, Any]) -> None:
        """A turn is finished. Without a price it is kept until the CLI says its own."""
        model = self._open[name][0] if name in self._open else self._model.get(thread, "")
        turn = costs.of_turn(model, usage, self._stamp) if model else None
        if turn is not None:
            self.usage.append(turn)
            self._open.pop(name, None)
        else:
            self._open[name] = (model, [count(usage.get(field)) for field in costs.TURN_FIELDS])

    def _system(self, event: dict[str, Any]) -> None:
        kind = event.get("subtype")
        if kind == "init":
            self.session = str(event["session_id"]) if event.get("session_id") else None
        elif kind == "api_retry":
            self.activity = f"waits for the API ({event.get('error')})"
            self._errors = [f"{event.get('error')} (status {event.get('error_status')})"]
            if event.get("error") == "rate_limit":
                delay = count(event.get("retry_delay_ms"))
                self.limits.append(None if delay is None else delay / 1000)
                if delay is not None:
                    self.activity = f"waits {delay / 1000:.0f} s for the API (rate limit)"
        elif kind == "model_fallback":
            fields = ("original_model", "fallback_model", "trigger")
            self.fallbacks.append(Fallback(*(str(event.get(field)) for field in fields)))

    def _account_for_the_rest(self) -> None:
        """Of a run that was killed: by its transcript, else by what the turns showed that did not finish."""
        known = costs.of_session(self._home, self.session)
        if known is not None:
            self.usage += costs.rest(costs.subtracted(known, self._before), costs.used(self.usage))
        else:
            self.usage += [Usage(model or None, *counts, source="stream") for model, counts in self._open.values()]
        self._open.clear()


class Claude:
    """See the module."""

    name = "claude"
    tested_with = "2.1.330"
    known_versions = ("2.1.330", "2.1.197")
    executable = "claude"
    install = "npm install -g @anthropic-ai/claude-code"
    keys = ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "CLAUDE_CODE_OAUTH_TOKEN")
    variables = (
        *keys,
        "ANTHROPIC_BASE_URL",
        "ANTHROPIC_CUSTOM_HEADERS",
        "CLAUDE_CONFIG_DIR",
        "API_TIMEOUT_MS",
    )
    login = (".credentials.json",)
    settings = ("settings.json",)
    default_model = "opus"
    ladder = ("haiku", "sonnet", "opus")
    supports = Supports(
        usage="after each turn; sub-agents at the end",
        cost="the CLI's own, by the table until then",
        live_cost=True,
        resume=True,
        budget=True,
        models="`opus`, `sonnet`, `haiku`, `fable`, or a full id",
        system_prompt=True,
        denied_commands=True,
    )

    def missing(self) -> str | None:
        return None if shutil.which(self.executable) else self.install

    def home(self, environ: Mapping[str, str]) -> Path | None:
        own = environ.get("CLAUDE_CONFIG_DIR")
        return Path(own) if own else Path(environ.get("HOME") or "/") / ".claude"

    def resumable(self, session: str, home: Path | None) -> bool:
        return bool(home and costs.transcripts(home, session))

    def prepare(self, request: Request) -> None:
        if request.config_dir is not None:
            link_login(request.config_dir, self.home(os.environ), self.login, self.settings)

    def command(self, request: Request) -> list[str]:
        words = ["claude", "-p", "--output-format", "stream-json", "--verbose", "--include-partial-messages"]
        # dontAsk with an allow list works as root and not, and its deny rules hold.
        forbidden = [f"Bash({command} *)" for command in request.denied_commands]
        words += ["--permission-mode", "dontAsk"]
        words += ["--settings", json.dumps({"permissions": {"allow": _TOOLS, "deny": forbidden}})]
        # The repository's own settings could start its hooks without anybody having been asked.
        words += ["--setting-sources", "user"]
        words += ["--resume", request.resume] if request.resume else ["--session-id", request.session]
        if request.model != "auto":
            words += ["--model", request.model]
        if request.fallback_models:
            words += ["--fallback-model", ",".join(request.fallback_models)]
        if request.budget_usd is not None:
            words += ["--max-budget-usd", f"{request.budget_usd:f}"]
        if request.system_prompt is not None:
            words += ["--append-system-prompt-file", str(request.system_prompt)]
        return words

    def environment(self, request: Request) -> Mapping[str, str]:
        own = {"CLAUDE_CONFIG_DIR": str(request.config_dir)} if request.config_dir else {}
        return {
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            "CLAUDE_CODE_DISABLE_AUTO_MEMORY": "1",  # it is keyed by the main repository: builds would share it
            "CLAUDE_CODE_DISABLE_BACKGROUND_TASKS": "1",  # or the process outlives its result
            "CLAUDE_CODE_MAX_RETRIES": _RETRIES,
            **own,
        }

    def reader(self, request: Request) -> ClaudeReader:
        return ClaudeReader(request, request.config_dir or self.home(os.environ))

    def render(self, line: bytes) -> str | None:
        event = event_of(line)
        if event is None:
            return None if line.lstrip()[:1] in (b"[", b'"') else line.decode(errors="replace") or None
        if event.get("type") == "assistant":
            parts = []
            for block in mapping(event.get("message")).get("content") or []:
                if mapping(block).get("type") == "text":
                    parts.append(str(block.get("text")))
                elif mapping(block).get("type") == "tool_use":
                    parts.append(f"→ {_tool(block)}")
            return "\n".join(parts) or None
        if event.get("type") == "result":
            good = event.get("subtype") == "success" and event.get("is_error") is False
            cost = money(event.get("total_cost_usd"))
            spent = "" if cost is None else f", {cost:.4f} USD in this session"
            return f"= {'says that it is done' if good else 'ended with an error'}{spent}"
        if event.get("subtype") == "permission_denied":
            return f"! {event.get('tool_name')} was denied: {first_line(str(event.get('message')), 160)}"
        if event.get("subtype") == "api_retry":
            after = (count(event.get("retry_delay_ms")) or 0) / 1000
            return f"! the API: {event.get('error')} {event.get('error_status') or ''}; again in {after:.1f} s"
        if event.get("subtype") == "model_fallback":
            return f"! {event.get('original_model')} → {event.get('fallback_model')} ({event.get('trigger')})"
        return None


AGENT = Claude()


def failure(seen: Seen) -> Failure | None:
    """Why it failed; None when it claims success. By the result alone, where there is one."""
    result = seen.result
    if result is None:
        return _without_result(seen)
    if seen.denied:
        return denied("claude", seen.denied, seen.model)
    if result["subtype"] == "success" and result["is_error"] is False:
        return None
    said = str(result["report"]).strip()
    return Failure(_cause(result), f"claude: {said[:300]}", delay_in(said), seen.model)


def _without_result(seen: Seen) -> Failure:
    if seen.exit_code == 0:  # what an interrupt leaves while it waits for the API
        return Failure("killed", "claude was interrupted: it ended without a result", model=seen.model)
    said = seen.stderr or shown(seen.errors)
    known = ended("claude", seen.exit_code)
    if known.cause == "killed" or not said:
        return known
    return Failure(cause_of(said) or "crash", f"{known.why}: {said[-300:]}", delay_in(said), seen.model)


def _cause(result: Mapping[str, Any]) -> str:
    by_reason = {"budget_exhausted": "budget", "prompt_too_long": "context_too_long", "aborted_tools": "killed"}
    if result["terminal_reason"] in by_reason:
        return by_reason[result["terminal_reason"]]
    if result["stop_reason"] == "refusal":
        return "refused"
    status = result["api_error_status"]
    return cause_of(str(result["report"]), status if isinstance(status, int) else None) or "crash"


def _tool(block: dict[str, Any]) -> str:
    given = mapping(block.get("input"))
    what = given.get("command") or given.get("file_path") or given.get("pattern") or given.get("description") or ""
    return f"{block.get('name')} {str(what)[:1000].strip()}".split("\n")[0]
