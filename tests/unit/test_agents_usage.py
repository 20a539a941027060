"""Tokens and dollars, as the readers know them while an agent works and at its end."""

from __future__ import annotations

import json
import shutil
from decimal import Decimal
from pathlib import Path

import pytest

from br3.agents import Reader, Request, agent
from br3.agents.base import Usage
from tests.unit.test_agents_causes import STREAMS, played, reader_of


def lines_of(recording: str) -> list[bytes]:
    return (STREAMS / recording).read_bytes().split(b"\n")


def last_result(recording: str) -> dict:
    return [event for event in map(json.loads, filter(None, lines_of(recording))) if event.get("type") == "result"][-1]


def dollars(usage: list[Usage]) -> Decimal:
    return sum((one.cost_usd or Decimal(0) for one in usage), Decimal(0))


def tokens(usage: list[Usage]) -> tuple[int, int, int, int]:
    found = [(u.input_tokens, u.output_tokens, u.cache_write_tokens, u.cache_read_tokens) for u in usage]
    return tuple(sum(column[i] or 0 for column in found) for i in range(4))  # type: ignore[return-value]


def feed(reader: Reader, recording: str, change: dict[str, object] | None = None) -> None:
    """Play a recording; ``change`` is laid over each of its results."""
    for line in filter(None, lines_of(recording)):
        event = json.loads(line)
        if change is not None and event.get("type") == "result":
            event = {k: v for k, v in {**event, **change}.items() if v is not ...}
        reader.feed(json.dumps(event).encode())


RESULTS = sorted(p.name for p in STREAMS.glob("claude-*.jsonl") if b'"total_cost_usd"' in p.read_bytes())


@pytest.mark.parametrize("recording", RESULTS)
def test_the_sum_of_claude_s_usage_is_its_own_figure(tmp_path: Path, recording: str) -> None:
    reader = played(tmp_path, recording)
    outcome = reader.outcome(1)
    result = last_result(recording)
    assert dollars(reader.usage) == Decimal(str(result["total_cost_usd"])).quantize(Decimal("1E-10"))
    assert outcome.total_usd == dollars(reader.usage)
    models = result["modelUsage"].values()
    assert tokens(reader.usage)[:2] == (sum(m["inputTokens"] for m in models), sum(m["outputTokens"] for m in models))


def test_a_turn_of_claude_is_usage_before_the_result(tmp_path: Path) -> None:
    reader = reader_of(tmp_path, "claude")
    seen = []
    for line in lines_of("claude-RECOMMENDED-argv.jsonl"):
        reader.feed(line)
        seen.append(len(reader.usage))
        if b'"type":"result"' in line.replace(b" ", b""):
            break
    assert 1 in seen and seen[-2:] == [2, 2]
    assert reader.usage[0].source == "table" and reader.usage[0].price
    assert reader.usage[0].cost_usd == Decimal("0.024854")


def test_sub_agents_are_added_at_the_end(tmp_path: Path) -> None:
    reader = played(tmp_path, "claude-subagent-partial-messages.jsonl")
    assert [one.source for one in reader.usage] == ["table"] * 3 + ["agent"]
    assert (reader.usage[-1].input_tokens, reader.usage[-1].output_tokens) == (7520, 9)


def test_a_session_that_goes_on_is_counted_once(tmp_path: Path) -> None:
    before = (Usage("claude-sonnet-5-5", 1000, 10, 0, 0, cost_usd=Decimal("0.01")),)
    total = {
        "claude-sonnet-5-5": {
            "inputTokens": 25033,
            "outputTokens": 125,
            "cacheReadInputTokens": 0,
            "cacheCreationInputTokens": 0,
            "costUSD": 0.059216,
        }
    }
    reader = reader_of(tmp_path, "claude", spent=before)
    feed(reader, "claude-RECOMMENDED-argv.jsonl", {"model_usage_since_last_result": ..., "modelUsage": total})
    assert tokens(reader.usage)[:2] == (24033, 115)
    assert dollars(reader.usage) == Decimal("0.049216")


def test_two_results_of_a_version_with_the_session_s_sum_only(tmp_path: Path) -> None:
    reader = reader_of(tmp_path, "claude")
    feed(reader, "claude-background-task-TWO-results.jsonl", {"model_usage_since_last_result": ...})
    assert dollars(reader.usage) == Decimal("0.158228")


def test_a_price_that_claude_guessed_is_not_known(tmp_path: Path) -> None:
    reader = reader_of(tmp_path, "claude")
    guessed = {"m-1": {"inputTokens": 5, "outputTokens": 6, "costUSD": 0.5, "costBasis": "unknown"}}
    reader.feed(json.dumps({"type": "result", "modelUsage": guessed}).encode())
    (one,) = reader.usage
    assert (one.model, one.input_tokens, one.cost_usd) == ("m-1", 5, None)
    assert reader.outcome(1).total_usd is None


def test_a_killed_claude_s_cost_is_that_of_its_transcript(tmp_path: Path) -> None:
    session = "28490349-f9aa-406a-8068-38226d5d9ec9"
    kept = tmp_path / "config" / "projects" / "-repo-worktrees-write"
    kept.mkdir(parents=True)
    shutil.copy(STREAMS / "claude-TRANSCRIPT-on-disk.jsonl", kept / f"{session}.jsonl")
    reader = reader_of(tmp_path, "claude", config_dir=tmp_path / "config")
    for line in lines_of("claude-write-bash-commit-success.jsonl"):
        if b'"total_cost_usd"' not in line:
            reader.feed(line)
    assert reader.outcome(143).cause == "killed"
    assert dollars(reader.usage) == Decimal("0.106132")
    assert tokens(reader.usage)[:2] == (25958, 115)


def test_the_finished_turns_of_a_killed_claude_are_counted_once(tmp_path: Path) -> None:
    reader = reader_of(tmp_path, "claude")
    for line in lines_of("claude-RECOMMENDED-argv.jsonl"):
        if b'"total_cost_usd"' not in line:
            reader.feed(line)
    reader.outcome(143)
    assert tokens(reader.usage)[:2] == (24033, 115)


def test_a_killed_claude_without_a_transcript_has_unknown_output(tmp_path: Path) -> None:
    reader = played(tmp_path, "claude-sigterm.jsonl")
    reader.outcome(143)
    (one,) = reader.usage
    assert (one.input_tokens, one.output_tokens, one.cost_usd) == (12903, None, None)


def test_what_the_cache_kept_for_an_hour_has_its_own_price(tmp_path: Path) -> None:
    reader = reader_of(tmp_path, "claude")
    start = {"type": "message_start", "message": {"id": "m", "model": "claude-opus-5-5"}}
    usage = {
        "input_tokens": 0,
        "output_tokens": 0,
        "cache_creation_input_tokens": 3_000_000,
        "cache_read_input_tokens": 0,
        "cache_creation": {"ephemeral_5m_input_tokens": 2_000_000, "ephemeral_1h_input_tokens": 1_000_000},
    }
    for event in (start, {"type": "message_delta", "usage": usage}):
        reader.feed(json.dumps({"type": "stream_event", "api_message_id": "m", "event": event}).encode())
    assert dollars(reader.usage) == 2 * 5 + 8


def test_a_model_without_a_price_is_told_at_the_end_only(tmp_path: Path) -> None:
    reader = reader_of(tmp_path, "claude")
    start = {"type": "message_start", "message": {"id": "m", "model": "claude-opus-99"}}
    delta = {"type": "message_delta", "usage": {"input_tokens": 5, "output_tokens": 6}}
    for event in (start, delta):
        reader.feed(json.dumps({"type": "stream_event", "api_message_id": "m", "event": event}).encode())
    assert not reader.usage
    reader.outcome(143)
    assert tokens(reader.usage)[:2] == (5, 6) and reader.usage[0].cost_usd is None


def test_codex_counts_the_cache_apart_and_has_no_price_of_its_own(tmp_path: Path) -> None:
    reader = reader_of(tmp_path, "codex", model="gpt-5")
    usage = {"input_tokens": 100, "cached_input_tokens": 60, "cache_write_input_tokens": 10, "output_tokens": 7}
    reader.feed(json.dumps({"type": "turn.completed", "usage": usage}).encode())
    (one,) = reader.usage
    assert (one.model, one.cost_usd) == ("gpt-5", None)
    assert tokens([one]) == (30, 7, 10, 60)


THREAD = "01a20292-3421-7a21-ba2a-dd9d8d8a42b7"


def rollout(tmp_path: Path, *inputs: int) -> Path:
    """A session's file of Codex, with responses that had so many input and one output token each."""
    path = tmp_path / "config" / "sessions" / "2026" / "11" / "22" / f"rollout-2026-11-22T09-30-00-{THREAD}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    events = [{"type": "session_meta", "payload": {}}, {"type": "turn_context", "payload": {"model": "gpt-5"}}]
    events += [
        {"type": "token_usage_record", "payload": {"usage": {"input_tokens": n, "output_tokens": 1}}} for n in inputs
    ]
    path.write_text("".join(json.dumps(event) + "\n" for event in events))
    return path


def codex_at_work(tmp_path: Path, **more: object) -> Reader:
    reader = reader_of(tmp_path, "codex", config_dir=tmp_path / "config", **more)
    reader.feed(json.dumps({"type": "thread.started", "thread_id": THREAD}).encode())
    return reader


def end_of_turn(inputs: int, outputs: int) -> bytes:
    return json.dumps({"type": "turn.completed", "usage": {"input_tokens": inputs, "output_tokens": outputs}}).encode()


def test_codex_s_responses_are_usage_as_they_come(tmp_path: Path) -> None:
    reader = codex_at_work(tmp_path)
    rollout(tmp_path, 10)
    reader.refresh()
    assert [(one.model, one.input_tokens) for one in reader.usage] == [("gpt-5", 10)]
    rollout(tmp_path, 10, 20)
    reader.refresh()
    assert [one.input_tokens for one in reader.usage] == [10, 20]
    assert reader.outcome(143).cause == "killed"
    assert [one.input_tokens for one in reader.usage] == [10, 20]


def test_what_the_rollout_tells_after_the_sum_is_in_the_sum(tmp_path: Path) -> None:
    reader = codex_at_work(tmp_path)
    rollout(tmp_path, 10)
    reader.feed(end_of_turn(30, 2))
    rollout(tmp_path, 10, 20)
    reader.refresh()
    assert tokens(reader.usage)[:2] == (30, 2)


def test_the_sum_of_codex_s_turn_is_not_counted_on_top(tmp_path: Path) -> None:
    reader = codex_at_work(tmp_path)
    rollout(tmp_path, 10, 20)
    reader.feed(end_of_turn(30, 2))
    assert tokens(reader.usage)[:2] == (30, 2)
    reader.refresh()
    reader.outcome(0)
    assert tokens(reader.usage)[:2] == (30, 2)


def test_what_the_rollout_does_not_tell_is_told_by_the_sum(tmp_path: Path) -> None:
    reader = codex_at_work(tmp_path)
    rollout(tmp_path, 10)
    reader.feed(end_of_turn(30, 2))
    assert [one.input_tokens for one in reader.usage] == [10, 20]


def test_a_session_of_codex_that_goes_on_is_counted_once(tmp_path: Path) -> None:
    before = (Usage("gpt-5", 10, 1, 0, 0), Usage("gpt-5", 20, 1, 0, 0))
    for known in ((10, 20, 40), ()):  # with a rollout, and with the session's sum alone
        reader = codex_at_work(tmp_path, spent=before, resume=THREAD)
        rollout(tmp_path, *known)
        reader.refresh()
        assert [one.input_tokens for one in reader.usage] == list(known[2:])
        reader.feed(end_of_turn(70, 3))
        assert [(one.input_tokens, one.output_tokens) for one in reader.usage] == [(40, 1)]


def test_codex_without_a_model_has_an_unknown_one(tmp_path: Path) -> None:
    reader = played(tmp_path, "codex-write.jsonl")
    assert reader.usage == [Usage(None, 20412, 187, 0, 0)]


def test_an_agent_that_failed_before_its_usage_has_none_at_all(tmp_path: Path) -> None:
    for recording in ("codex-r429.jsonl", "gemini-r401.jsonl", "opencode-r401.jsonl"):
        reader = played(tmp_path, recording)
        reader.outcome(1)
        assert reader.usage == [], recording


def test_gemini_s_thoughts_are_output(tmp_path: Path) -> None:
    reader = reader_of(tmp_path, "gemini")
    stats = {"total_tokens": 130, "input_tokens": 100, "output_tokens": 20, "cached": 40, "input": 60}
    event = {"type": "result", "status": "success", "stats": {"models": {"gemini-x": stats}}}
    reader.feed(json.dumps(event).encode())
    assert reader.usage == [Usage("gemini-x", 60, 30, None, 40)]


def test_opencode_s_steps_are_usage_as_they_come(tmp_path: Path) -> None:
    reader = reader_of(tmp_path, "opencode", model="anthropic/claude-opus-5-5")
    for line in lines_of("opencode-write.jsonl"):
        reader.feed(line)
    assert [one.cost_usd for one in reader.usage] == [Decimal("0.01523"), Decimal("0.015478")]
    assert tokens(reader.usage) == (15269, 17, 0, 0)
    assert {one.model for one in reader.usage} == {"anthropic/claude-opus-5-5"}


@pytest.mark.parametrize("name", ["opencode", "aider"])
def test_a_cost_of_0_is_unknown(tmp_path: Path, name: str) -> None:
    reader = reader_of(tmp_path, name)
    part = {"tokens": {"input": 3, "output": 4, "reasoning": 5}, "cost": 0}
    reader.feed(json.dumps({"type": "step_finish", "part": part}).encode())
    event = {"event": "message_send", "properties": {"prompt_tokens": 3, "completion_tokens": 9, "cost": 0}}
    (tmp_path / "aider.analytics.jsonl").write_text(json.dumps(event) + "\n")
    reader.refresh()
    assert [(u.input_tokens, u.output_tokens, u.cost_usd) for u in reader.usage] == [(3, 9, None)]


def test_aider_s_analytics_log_is_followed(tmp_path: Path) -> None:
    reader = reader_of(tmp_path, "aider", model="openai/gpt-4o")
    log = (STREAMS / "aider-analytics-log.jsonl").read_text()
    cut = log.index("message_send") + 300
    (tmp_path / "aider.analytics.jsonl").write_text(log[:cut])
    reader.refresh()
    assert not reader.usage
    (tmp_path / "aider.analytics.jsonl").write_text(log)
    reader.refresh()
    assert reader.usage == [Usage("openai/gpt-4o", 2889, 22, cost_usd=Decimal("0.0074425"))]


def test_unknown_output_is_never_priced_as_none() -> None:
    from datetime import UTC, datetime

    at = datetime(2026, 11, 1, tzinfo=UTC)
    assert Usage("claude-opus-5-5", 1000, None).priced(at).cost_usd is None
    assert Usage("claude-opus-5-5", 1000, 10).priced(at).cost_usd == Decimal("0.0042")


def test_the_command_of_the_shell_may_report_nothing(tmp_path: Path) -> None:
    request = Request(tmp_path / "p", tmp_path / "u", tmp_path, "auto", "s", command="true")
    reader = agent("shell").reader(request)
    reader.refresh()
    assert reader.outcome(0).claims_success and not reader.usage
