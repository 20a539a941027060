"""What each recorded case of the real CLIs is taken for, and what br3 answers; then what was told, not recorded."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from br3.agents import NAMES, Outcome, Reader, Request, agent, aider, claude, codex, gemini, opencode
from br3.agents.base import Seen
from br3.agents.causes import ANSWERS, CAUSES
from br3.agents.telling import cause_of, delay_in, retry_after, status_in

STREAMS = Path(__file__).parents[1] / "streams"

# Recording → exit code, cause, answer; None: it claims success. Exit codes are those that were measured.
CASES: dict[str, tuple[int, str | None, str | None]] = {
    "aider-diff.stdout.txt": (0, None, None),
    "claude-401.jsonl": (1, "auth", "stop_run"),
    "claude-404-model-fallback.jsonl": (1, "model_not_found", "next_model"),
    "claude-429-exhausted.jsonl": (1, "rate_limit", "wait"),
    "claude-429-fallback-NOT-used.jsonl": (1, "rate_limit", "wait"),
    "claude-429-once-retry-ok.jsonl": (0, None, None),
    "claude-529-fallback-chain.jsonl": (1, "overloaded", "next_model"),
    "claude-RECOMMENDED-argv.jsonl": (0, None, None),
    "claude-api-timeout.jsonl": (1, "timeout", "faster_model"),
    "claude-background-task-TWO-results.jsonl": (0, None, None),
    "claude-bare-init-not-first.jsonl": (0, None, None),
    "claude-cache-tokens-sonnet.jsonl": (0, None, None),
    "claude-compaction-failed.jsonl": (1, "context_too_long", "larger_model"),
    "claude-conn-reset-once.jsonl": (0, None, None),
    "claude-credit-too-low.jsonl": (1, "credit", "stop_run"),
    "claude-edit-tool-shortened.jsonl": (0, None, None),
    "claude-json-schema-failed.jsonl": (1, "crash", "retry"),
    "claude-json-schema-ok.jsonl": (0, None, None),
    "claude-max-budget-usd.jsonl": (1, "budget", "fail"),
    "claude-max-output-tokens.jsonl": (1, "crash", "retry"),
    "claude-max-turns.jsonl": (1, "crash", "retry"),
    "claude-partial-messages.jsonl": (0, None, None),
    "claude-permission-denied-dontAsk-exit0.jsonl": (0, "denied", "retry"),
    "claude-prompt-too-long.jsonl": (1, "context_too_long", "larger_model"),
    "claude-refusal.jsonl": (1, "refused", "next_model"),
    "claude-sigint-exit0.jsonl": (0, "killed", "retry"),
    "claude-sigint-no-result-exit0.jsonl": (0, "killed", "retry"),
    "claude-sigterm.jsonl": (143, "killed", "retry"),
    "claude-subagent-partial-messages.jsonl": (0, None, None),
    "claude-write-bash-commit-success.jsonl": (0, None, None),
    "codex-r401.jsonl": (1, "auth", "stop_run"),
    "codex-r429.jsonl": (1, "rate_limit", "wait"),
    "codex-reset.jsonl": (0, None, None),
    "codex-stall.jsonl": (1, "timeout", "faster_model"),
    "codex-too_long.jsonl": (1, "context_too_long", "larger_model"),
    "codex-write.jsonl": (0, None, None),
    "codex-ww.jsonl": (0, None, None),  # its commit failed, and it says that it is done: git's word decides
    "gemini-denied.jsonl": (0, "denied", "retry"),
    "gemini-r401.jsonl": (145, "auth", "stop_run"),
    "gemini-r404.jsonl": (1, "model_not_found", "next_model"),
    "gemini-r429.jsonl": (137, "rate_limit", "wait"),  # it goes on trying until br3 ends it
    "gemini-too_long.jsonl": (144, "context_too_long", "larger_model"),
    "gemini-write.jsonl": (0, None, None),
    "opencode-denied.jsonl": (0, "denied", "retry"),
    "opencode-r401.jsonl": (1, "auth", "stop_run"),
    "opencode-r429.jsonl": (1, "rate_limit", "wait"),
    "opencode-too_long.jsonl": (1, "context_too_long", "larger_model"),
    "opencode-write.jsonl": (0, None, None),
}
# Read beside another recording, or by another test.
BESIDE = {"README.md", "aider-analytics-log.jsonl", "claude-TRANSCRIPT-on-disk.jsonl", "gemini-r429.stderr.txt"}


def reader_of(tmp_path: Path, name: str, **more: object) -> Reader:
    fields = {"model": "auto", "session": "s-1", "command": "make it", **more}
    request = Request(prompt_file=tmp_path / "p", usage_file=tmp_path / "u", worktree=tmp_path, **fields)  # type: ignore[arg-type]
    return agent(name).reader(request)


def played(tmp_path: Path, recording: str) -> Reader:
    """A reader that has seen a recording, and what was recorded with it."""
    name = recording.split("-")[0]
    if name == "aider":
        shutil.copy(STREAMS / "aider-analytics-log.jsonl", tmp_path / "aider.analytics.jsonl")
    reader = reader_of(tmp_path, name)
    for line in (STREAMS / recording).read_bytes().split(b"\n"):
        reader.feed(line)
    errors = STREAMS / recording.replace(".jsonl", ".stderr.txt")
    if errors != STREAMS / recording and errors.exists():
        for line in errors.read_bytes().split(b"\n"):
            reader.feed_error(line)
    reader.refresh()
    return reader


def test_every_recording_is_a_case() -> None:
    assert {path.name for path in STREAMS.iterdir()} == {*CASES, *BESIDE}


@pytest.mark.parametrize("recording", CASES)
def test_a_recorded_case_has_its_cause_and_its_answer(tmp_path: Path, recording: str) -> None:
    exit_code, cause, answer = CASES[recording]
    outcome = played(tmp_path, recording).outcome(exit_code)
    assert (outcome.claims_success, outcome.cause) == (cause is None, cause)
    assert (CAUSES[outcome.cause].answer if outcome.cause else None) == answer
    assert bool(outcome.why) == (cause is not None)


@pytest.mark.parametrize("cause", CAUSES.values(), ids=lambda cause: cause.name)
def test_every_cause_says_what_it_means_and_what_is_done(cause: object) -> None:
    assert CAUSES[getattr(cause, "name", "")] is cause
    assert getattr(cause, "answer", None) in ANSWERS
    assert getattr(cause, "meaning", "") and "|" not in getattr(cause, "meaning", "|")


def test_the_causes_that_stop_the_run_say_how_to_mend_it() -> None:
    stopping = {name for name, cause in CAUSES.items() if cause.answer == "stop_run"}
    assert stopping == {"auth", "credit"}
    assert all(CAUSES[name].hint for name in (*stopping, "budget"))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("exit_code", "cause"), [(143, "killed"), (137, "killed"), (-9, "killed"), (3, "crash")])
def test_an_agent_that_said_nothing_was_killed_or_crashed(
    tmp_path: Path, name: str, exit_code: int, cause: str
) -> None:
    outcome = reader_of(tmp_path, name).outcome(exit_code)
    assert (outcome.claims_success, outcome.cause) == (False, cause)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "shell"])
def test_exit_code_0_alone_is_no_success(tmp_path: Path, name: str) -> None:
    assert not reader_of(tmp_path, name).outcome(0).claims_success


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"\xff\xfe\x00{",
        b"[]",
        b'{"type": null}',
        b"{" * 100_000,
        b'{"type":"result","result":null,"stats":3,"modelUsage":[]}',
        b'{"type":"assistant","message":{"content":[3,null,{"type":"text"}],"usage":7}}',
        b'{"type":"error","error":"x","message":{"a":1}}',
        b'{"type":"step_finish","part":{"tokens":{"input":-1,"output":"x","cache":[]},"cost":"NaN"}}',
        b'{"type":"turn.completed","usage":{"input_tokens":"many"}}',
        '{"type":"message","role":"assistant","content":"a\u2028b\ud83d"}'.encode(errors="surrogatepass"),
    ],
)
def test_a_reader_takes_any_line(tmp_path: Path, name: str, line: bytes) -> None:
    reader = reader_of(tmp_path, name)
    reader.feed(line)
    reader.feed_error(line)
    reader.refresh()
    reader.outcome(1)
    agent(name).render(line)
    assert all(usage.cost_usd is None for usage in reader.usage)


# Claude Code


def test_the_models_that_claude_turned_to_are_told(tmp_path: Path) -> None:
    reader = played(tmp_path, "claude-529-fallback-chain.jsonl")
    assert [(f.original, f.model, f.why) for f in reader.fallbacks] == [
        ("claude-opus-5-5", "claude-sonnet-5-5", "overloaded"),
        ("claude-sonnet-5-5", "claude-haiku-5-5", "overloaded"),
    ]
    assert reader.outcome(1).model == "claude-haiku-5-5"


@pytest.mark.parametrize(
    ("stderr", "cause"),
    [("Error: No conversation found with session ID: x", "crash"), ("API Error: Connection refused", "unreachable")],
)
def test_claude_without_a_result_is_told_by_its_standard_error(stderr: str, cause: str) -> None:
    found = claude.failure(Seen(1, stderr=stderr))
    assert found and found.cause == cause and stderr in found.why


# Codex


def test_codex_gives_up_when_a_hopeless_try_failed_twice(tmp_path: Path) -> None:
    reader = reader_of(tmp_path, "codex")
    lines = (STREAMS / "codex-r429.jsonl").read_bytes().split(b"\n")
    given_up = []
    for line in lines[:6]:
        reader.feed(line)
        given_up.append(reader.gave_up())
    assert given_up == [False, False, False, False, True, True]
    assert reader.outcome(143).cause == "rate_limit"


def test_codex_may_go_on_after_a_network_error(tmp_path: Path) -> None:
    reader = reader_of(tmp_path, "codex")
    for number in (1, 2, 3):
        text = f'"Reconnecting... {number}/5 (stream disconnected before completion: network error)"'
        reader.feed(b'{"type":"error","message":' + text.encode() + b"}")
    assert not reader.gave_up()


def test_codex_that_got_over_its_errors_has_not_given_up(tmp_path: Path) -> None:
    reader = reader_of(tmp_path, "codex")
    for line in (STREAMS / "codex-r429.jsonl").read_bytes().split(b"\n")[:6]:
        reader.feed(line)
    reader.feed(b'{"type":"item.completed","item":{"type":"agent_message","text":"on it"}}')
    assert not reader.gave_up()
    assert reader.outcome(143).cause == "killed"


def test_the_session_of_codex_is_its_thread(tmp_path: Path) -> None:
    assert played(tmp_path, "codex-write.jsonl").session == "01a20292-3421-7a21-ba2a-dd9d8d8a42b7"


def test_codex_says_when_to_come_again() -> None:
    message = "Rate limit reached for gpt-5. Please try again in 1.5s."
    found = codex.failure(Seen(1, {"type": "turn.failed", "message": message}))
    assert found and (found.cause, found.retry_after_s) == ("rate_limit", 1.5)


# Gemini


def test_gemini_gives_up_at_the_second_failed_try_that_only_standard_error_tells(tmp_path: Path) -> None:
    reader = reader_of(tmp_path, "gemini")
    reader.feed_error(b"Attempt 1 failed with status 429. Retrying with backoff... _ApiError: {}")
    assert not reader.gave_up()
    reader.feed_error(b"Attempt 2 failed with status 429. Retrying with backoff... _ApiError: {}")
    assert reader.gave_up()


def test_gemini_that_recovered_has_not_given_up(tmp_path: Path) -> None:
    reader = reader_of(tmp_path, "gemini")
    for number in (b"1", b"2"):
        reader.feed_error(b"Attempt " + number + b" failed with status 429. Retrying")
    reader.feed(b'{"type":"message","role":"assistant","content":"on it","delta":true}')
    assert not reader.gave_up()


def test_a_loop_that_gemini_detected_is_no_success() -> None:
    found = gemini.failure(Seen(0, {"status": "success", "message": ""}, ("Loop detected, stopping execution",)))
    assert found and found.cause == "crash"


def test_gemini_without_a_login_ends_with_its_own_code() -> None:
    found = gemini.failure(Seen(41, stderr="Invalid auth method selected."))
    assert found and found.cause == "auth" and "Invalid auth" in found.why


# opencode


def test_opencode_passes_on_what_the_api_asked_for(tmp_path: Path) -> None:
    reader = played(tmp_path, "opencode-r429.jsonl")
    assert reader.session == "ses_dfd643124ffe0n5LK6TfSRl60Q"
    assert reader.outcome(1).retry_after_s == 1.0


def test_opencode_that_ended_in_the_middle_has_not_succeeded() -> None:
    assert opencode.failure(Seen(0, {"reason": "tool-calls"})) is not None
    assert opencode.failure(Seen(0, {"reason": "stop"})) is None
    assert opencode.failure(Seen(1, {"reason": "stop"})) is not None


# aider: it ends with 0 on each of these


@pytest.mark.parametrize(
    ("line", "cause"),
    [
        ("litellm.AuthenticationError: AuthenticationError: OpenAIException - Incorrect API key provided", "auth"),
        ("litellm.RateLimitError: AnthropicException - rate limited", "rate_limit"),
        ("litellm.RateLimitError: OpenAIException - You exceeded your current quota", "credit"),
        ("litellm.ContextWindowExceededError: litellm.BadRequestError: too much", "context_too_long"),
        ("litellm.InternalServerError: Overloaded", "overloaded"),
        ("litellm.Timeout: Connection timed out", "timeout"),
        ("litellm.NotFoundError: no such thing", "model_not_found"),
        ("litellm.BadRequestError: what", "crash"),
    ],
)
def test_aider_s_failures_are_told_by_its_words(tmp_path: Path, line: str, cause: str) -> None:
    shutil.copy(STREAMS / "aider-analytics-log.jsonl", tmp_path / "aider.analytics.jsonl")
    reader = reader_of(tmp_path, "aider")
    reader.feed(line.encode())
    outcome = reader.outcome(0)
    assert (outcome.claims_success, outcome.cause) == (False, cause)


def test_aider_that_got_over_an_error_has_succeeded(tmp_path: Path) -> None:
    shutil.copy(STREAMS / "aider-analytics-log.jsonl", tmp_path / "aider.analytics.jsonl")
    reader = reader_of(tmp_path, "aider")
    reader.feed(b"litellm.RateLimitError: once")
    reader.feed(b"Tokens: 2.9k sent, 22 received. Cost: $0.0074 message, $0.0074 session.")
    assert reader.outcome(0).claims_success


def test_aider_gives_up_at_the_third_failed_try(tmp_path: Path) -> None:
    reader = reader_of(tmp_path, "aider")
    for _ in range(2):
        reader.feed(b"litellm.RateLimitError: AnthropicException")
    assert not reader.gave_up()
    reader.feed(b"litellm.RateLimitError: AnthropicException")
    assert reader.gave_up() and reader.outcome(143).cause == "rate_limit"
    assert aider.failure(Seen(0)) is not None


# Words


@pytest.mark.parametrize(
    ("text", "status", "cause"),
    [
        ("Credit balance is too low", 400, "credit"),
        ("You exceeded your current quota, please check your plan", 429, "credit"),
        ("prompt is too long: 213462 tokens > 200000 maximum", 400, "context_too_long"),
        ("Too Many Requests", 429, "rate_limit"),
        ("whatever", 503, "overloaded"),
        ("whatever", 599, "overloaded"),
        ("whatever", 418, None),
        ("connect ECONNREFUSED 127.0.0.1:1", None, "unreachable"),
        ("The model `m-9` does not exist", None, "model_not_found"),
        ("the tests fail", None, None),
    ],
)
def test_a_cause_is_told_by_words_and_status(text: str, status: int | None, cause: str | None) -> None:
    assert cause_of(text, status) == cause


def test_a_status_is_read_only_where_a_text_calls_it_one() -> None:
    assert status_in("unexpected status 401 Unauthorized: x") == 401
    assert status_in('{"error":{"code":429}}') == 429
    assert status_in("exceeded retry limit, last status: 429 Too Many Requests") == 429
    assert status_in("wrote 429 lines, port 404") is None
    assert status_in("status 200") is None
    assert status_in("status 429, and at last status 503") == 503


def test_delays_have_units() -> None:
    assert delay_in("Please try again in 250ms") == 0.25
    assert delay_in("try again in 2m") == 120
    assert delay_in("Please retry in 34.07s.") == 34.07
    assert delay_in('"retryDelay": "7s"') == 7
    assert delay_in("try again later") is None


def test_retry_after_is_a_number_or_a_time() -> None:
    date = "Sun, 22 Nov 2026 09:35:16 GMT"
    assert retry_after("3") == 3
    assert retry_after("Sun, 22 Nov 2026 09:36:16 GMT", date) == 60
    assert retry_after(date, "Sun, 22 Nov 2026 09:36:16 GMT") == 0
    assert retry_after("soon") is None


def test_a_success_has_no_cause() -> None:
    assert Outcome(True).cause is None
