"""The agent ``claude``: Claude Code, headless, read from its stream-json output.

Success is: the last ``result`` has subtype ``success``, is no error and nothing was denied. The exit code says less:
a denied tool and an interrupted turn end with 0. Costs come from ``modelUsage``, which includes sub-agents; without a
result (a killed run) the tokens are those of the ``message_delta`` events and the cost is not known.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from br3.agents.base import Outcome, Request, Usage

_SETTINGS = {"permissions": {"allow": ["Bash", "Edit", "Write", "Read"], "deny": ["Bash(git push *)"]}}

_TURN_FIELDS = ("input_tokens", "output_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")

_BY_STATUS = {401: "auth", 402: "credit", 403: "auth", 404: "model", 429: "rate_limit", 529: "overloaded"}


class ClaudeReader:
    """Folds the stream: the last result, the turns' usage, and what it is doing."""

    def __init__(self) -> None:
        self.usage: list[Usage] = []
        self.activity = ""
        self._result: dict[str, Any] | None = None
        self._turns: dict[str, dict[str, Any]] = {}
        self._opened: dict[str, dict[str, Any]] = {}
        self._models: dict[str, str] = {}
        self._text = ""

    def feed(self, line: bytes) -> None:
        try:
            event = json.loads(line)
        except ValueError:
            return
        if not isinstance(event, dict):
            return
        kind = event.get("type")
        if kind == "result":
            self._result = event
        elif kind == "assistant":
            self._assistant(event.get("message") or {})
        elif kind == "stream_event":
            inner = event.get("event") or {}
            if inner.get("type") == "message_start":
                message = inner.get("message") or {}
                self._models[str(message.get("id"))] = str(message.get("model") or "")
            elif inner.get("type") == "message_delta" and inner.get("usage"):
                self._turns[str(event.get("api_message_id"))] = inner["usage"]
        elif kind == "system" and event.get("subtype") == "api_retry":
            self.activity = f"waits for the API ({event.get('error')})"

    def refresh(self) -> None:
        """Everything comes on standard output."""

    def outcome(self, exit_code: int) -> Outcome:
        result = self._result
        self.usage += _from_result(result) if result else self._from_turns()
        if result is None:
            why = f"claude ended with exit code {exit_code} and without a result"
            return Outcome(False, "crash", why, self._text)
        report = str(result.get("result") or "\n".join(map(str, result.get("errors") or [])) or self._text)
        denials = result.get("permission_denials") or []
        if denials:
            names = ", ".join(sorted({str(d.get("tool_name", "a tool")) for d in denials if isinstance(d, dict)}))
            return Outcome(False, "denied", f"claude was denied: {names}", report)
        if result.get("subtype") == "success" and result.get("is_error") is False:
            return Outcome(True, report=report)
        return Outcome(False, _cause(result), f"claude: {report.strip()[:300]}", report)

    def _assistant(self, message: dict[str, Any]) -> None:
        if message.get("usage") and message.get("model") != "<synthetic>":
            self._opened[str(message.get("id"))] = message["usage"]
            self._models[str(message.get("id"))] = str(message.get("model") or "")
        for block in message.get("content") or []:
            if block.get("type") == "text" and message.get("model") != "<synthetic>":
                self._text = str(block.get("text"))
                self.activity = self._text.strip().split("\n")[0][:60]
            elif block.get("type") == "tool_use":
                self.activity = _tool(block)[:60]

    def _from_turns(self) -> list[Usage]:
        """Per model; a turn without its ``message_delta`` has known input and unknown output."""
        sums: dict[str, list[int | None]] = {}
        for message, usage in {**self._opened, **self._turns}.items():
            counts = [usage.get(field) for field in _TURN_FIELDS]
            if message not in self._turns:
                counts[1] = None  # what stands there at the start of a message is a placeholder
            had = sums.setdefault(self._models.get(message, ""), [0, 0, 0, 0])
            for i, count in enumerate(counts):
                before = had[i]
                had[i] = None if before is None or (count is None and i == 1) else before + int(count or 0)
        return [Usage(_model(m) or None, *counts, source="stream") for m, counts in sums.items()]


class Claude:
    """See the module."""

    name = "claude"
    tested_with = "2.1.330"
    variables = (
        "ANTHROPIC_API_KEY",
        "ANTHROPIC_AUTH_TOKEN",
        "ANTHROPIC_BASE_URL",
        "ANTHROPIC_CUSTOM_HEADERS",
        "CLAUDE_CODE_OAUTH_TOKEN",
        "CLAUDE_CONFIG_DIR",
        "API_TIMEOUT_MS",
    )

    def missing(self) -> str | None:
        return None if shutil.which("claude") else "npm install -g @anthropic-ai/claude-code"

    def command(self, request: Request) -> list[str]:
        words = ["claude", "-p", "--output-format", "stream-json", "--verbose", "--include-partial-messages"]
        # dontAsk with an allow list works as root and not, and its deny rules hold.
        words += ["--permission-mode", "dontAsk", "--settings", json.dumps(_SETTINGS)]
        # The repository's own settings could start its hooks without anybody having been asked.
        words += ["--setting-sources", "user", "--session-id", request.session]
        if request.model != "auto":
            words += ["--model", request.model]
        if request.budget_usd is not None:
            words += ["--max-budget-usd", f"{request.budget_usd:f}"]
        return words

    def environment(self, request: Request) -> Mapping[str, str]:
        return {
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            "CLAUDE_CODE_DISABLE_AUTO_MEMORY": "1",  # it is keyed by the main repository: builds would share it
            "CLAUDE_CODE_DISABLE_BACKGROUND_TASKS": "1",  # or the process outlives its result
        }

    def reader(self, request: Request) -> ClaudeReader:
        return ClaudeReader()

    def render(self, line: bytes) -> str | None:
        try:
            event = json.loads(line)
        except ValueError:
            return line.decode(errors="replace") or None
        if not isinstance(event, dict):
            return None
        if event.get("type") == "assistant":
            parts = []
            for block in (event.get("message") or {}).get("content") or []:
                if block.get("type") == "text":
                    parts.append(str(block.get("text")))
                elif block.get("type") == "tool_use":
                    parts.append(f"→ {_tool(block)}")
            return "\n".join(parts) or None
        if event.get("type") == "result":
            cost = event.get("total_cost_usd")
            return f"= {event.get('subtype')}" + (f", {cost} USD" if cost is not None else "")
        return None


AGENT = Claude()


def _from_result(result: dict[str, Any]) -> list[Usage]:
    # What the CLI says since its last result, so that a resumed session is not counted twice.
    models = result.get("model_usage_since_last_result") or result.get("modelUsage") or {}
    found = []
    for model, usage in models.items():
        cost = usage.get("costUSD")
        known = cost is not None and usage.get("costBasis") != "unknown"
        found.append(
            Usage(
                _model(model),
                usage.get("inputTokens"),
                usage.get("outputTokens"),
                usage.get("cacheCreationInputTokens"),
                usage.get("cacheReadInputTokens"),
                cost_usd=Decimal(str(cost)) if known else None,
            )
        )
    return found


def _model(name: str) -> str:
    return name.removesuffix("[1m]")


def _cause(result: dict[str, Any]) -> str:
    if result.get("terminal_reason") == "budget_exhausted":
        return "budget"
    if result.get("terminal_reason") == "prompt_too_long":
        return "context_too_long"
    if result.get("stop_reason") == "refusal":
        return "refused"
    status = result.get("api_error_status")
    if "credit balance is too low" in str(result.get("result")).lower():
        return "credit"
    return _BY_STATUS.get(status, "crash") if isinstance(status, int) else "crash"


def _tool(block: dict[str, Any]) -> str:
    given = block.get("input") or {}
    what = given.get("command") or given.get("file_path") or given.get("pattern") or given.get("description") or ""
    return f"{block.get('name')} {str(what).strip()}".split("\n")[0]
