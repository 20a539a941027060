"""What the agents' modules make of their CLIs' output; recorded streams of the real ones."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from br3.agents import NAMES, Outcome, Request, agent
from br3.agents.shell import parse_usage
from br3.errors import UsageError

STREAMS = Path(__file__).parents[1] / "streams"


def request_for(tmp_path: Path, **more: object) -> Request:
    fields = {"model": "auto", "session": "s-1", "budget_usd": None, "command": "make it", **more}
    return Request(prompt_file=tmp_path / "p", usage_file=tmp_path / "u", worktree=tmp_path, **fields)  # type: ignore[arg-type]


def read(tmp_path: Path, name: str, exit_code: int) -> tuple[Outcome, list]:
    reader = agent("claude").reader(request_for(tmp_path))
    for line in (STREAMS / f"{name}.jsonl").read_bytes().split(b"\n"):
        reader.feed(line)
    outcome = reader.outcome(exit_code)
    return outcome, reader.usage


@pytest.mark.parametrize("name", NAMES)
def test_every_agent_has_the_same_shape(name: str) -> None:
    found = agent(name)
    assert found.name == name
    assert found.tested_with
    for call in ("missing", "command", "environment", "reader", "render"):
        assert callable(getattr(found, call))


def test_an_unknown_agent_is_named_with_those_there_are() -> None:
    with pytest.raises(UsageError) as error:
        agent("codecks")
    assert ", ".join(NAMES) in (error.value.hint or "")


def test_success_with_model_tokens_and_cost(tmp_path: Path) -> None:
    outcome, usage = read(tmp_path, "claude-RECOMMENDED-argv", 0)
    assert outcome == Outcome(True, report="Created agent.txt and committed it.", total_usd=Decimal("0.049216"))
    assert {one.model for one in usage} == {"claude-sonnet-5-5"}
    assert [(one.input_tokens, one.output_tokens) for one in usage] == [(11932, 99), (12101, 16)]
    assert sum(one.cost_usd or 0 for one in usage) == Decimal("0.049216")


@pytest.mark.parametrize(
    ("name", "exit_code", "cause"),
    [
        ("claude-401", 1, "auth"),
        ("claude-429-exhausted", 1, "rate_limit"),
        ("claude-credit-too-low", 1, "credit"),
        ("claude-max-budget-usd", 1, "budget"),
        ("claude-max-turns", 1, "crash"),
        ("claude-permission-denied-dontAsk-exit0", 0, "denied"),
        ("claude-prompt-too-long", 1, "context_too_long"),
        ("claude-refusal", 1, "refused"),
        ("claude-sigint-exit0", 0, "killed"),
        ("claude-sigint-no-result-exit0", 0, "killed"),
        ("claude-sigterm", 143, "killed"),
        ("claude-json-schema-failed", 1, "crash"),
        ("claude-api-timeout", 1, "timeout"),
    ],
)
def test_a_failure_is_seen_whatever_the_exit_code_says(tmp_path: Path, name: str, exit_code: int, cause: str) -> None:
    outcome, _ = read(tmp_path, name, exit_code)
    assert not outcome.claims_success
    assert outcome.cause == cause
    assert outcome.why


def test_retries_that_succeed_are_a_success(tmp_path: Path) -> None:
    assert read(tmp_path, "claude-429-once-retry-ok", 0)[0].claims_success


def test_sub_agents_are_in_the_costs(tmp_path: Path) -> None:
    _, usage = read(tmp_path, "claude-subagent-partial-messages", 0)
    total = sum(u.input_tokens or 0 for u in usage)
    import json

    lines = (STREAMS / "claude-subagent-partial-messages.jsonl").read_text().splitlines()
    result = [d for d in map(json.loads, lines) if d["type"] == "result"][-1]
    assert total == sum(m["inputTokens"] for m in result["modelUsage"].values()) > result["usage"]["input_tokens"]
    assert sum((u.cost_usd for u in usage), Decimal(0)) == Decimal(str(result["total_cost_usd"]))


def test_a_killed_run_has_tokens_but_no_known_cost(tmp_path: Path) -> None:
    _, usage = read(tmp_path, "claude-sigterm", 143)
    assert usage
    assert all(u.cost_usd is None for u in usage)
    assert all(u.model and u.model.startswith("claude-") for u in usage)


def test_cache_tokens_are_counted_apart(tmp_path: Path) -> None:
    _, usage = read(tmp_path, "claude-cache-tokens-sonnet", 0)
    assert sum(u.cache_read_tokens or 0 for u in usage) > 0
    assert sum(u.cache_write_tokens or 0 for u in usage) > 0


def test_the_command_line_of_claude(tmp_path: Path) -> None:
    words = agent("claude").command(request_for(tmp_path, model="sonnet", budget_usd=Decimal("1.50")))
    assert words[:2] == ["claude", "-p"]
    for pair in (["--permission-mode", "dontAsk"], ["--model", "sonnet"], ["--max-budget-usd", "1.50"]):
        at = words.index(pair[0])
        assert words[at : at + 2] == pair
    assert "--dangerously-skip-permissions" not in words
    assert "--model" not in agent("claude").command(request_for(tmp_path))


def test_claude_s_stream_is_shown_as_people_read_it(tmp_path: Path) -> None:
    lines = (STREAMS / "claude-RECOMMENDED-argv.jsonl").read_bytes().split(b"\n")
    shown = [text for text in map(agent("claude").render, lines) if text]
    assert shown[0] == "I will create the file and commit it."
    assert shown[1].startswith("→ Bash printf 'hello from agent")
    assert shown[-1] == "= says that it is done, 0.0492 USD in this session"


def test_a_usage_line_keeps_what_it_knows() -> None:
    usage = parse_usage(b'{"model": "m", "input_tokens": 5, "output_tokens": -1, "cost_usd": 0.1}')
    assert usage is not None
    assert (usage.model, usage.input_tokens, usage.output_tokens, usage.cost_usd) == ("m", 5, None, Decimal("0.1"))
    for nonsense in (b"", b"[]", b"3", b"{"):
        assert parse_usage(nonsense) is None
    for money in (b'"NaN"', b'"-1"', b"true", b'"x"'):
        found = parse_usage(b'{"cost_usd": ' + money + b"}")
        assert found is not None and found.cost_usd is None
