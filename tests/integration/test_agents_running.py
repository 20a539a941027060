"""What br3 does with an agent that fails, is limited, is cut off or goes beyond its ground.

The agent is a small program of the name ``claude`` that prints what the real one prints (tests/streams, and
tests/external for the real one), step by step as a test lays them down.
"""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
from datetime import datetime
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.conftest import Scratch, shell_plan, toml, until, words_of, writing

FAKE = """\
import json, os, subprocess, sys, time
from pathlib import Path

home = Path({home!r})
mine = home / os.environ["BR3_BUILD"]
mine.mkdir(exist_ok=True)
number = len(list(mine.glob("call-*")))
words = sys.argv[1:]
session = next((words[i + 1] for i, word in enumerate(words) if word in ("--session-id", "--resume")), "")
call = {{"words": words, "prompt": sys.stdin.read(), "at": time.time(), "env": dict(os.environ)}}
(mine / f"call-{{number}}").write_text(json.dumps(call))
steps = json.loads((home / "steps.json").read_text()).get(os.environ["BR3_BUILD"], [])
step = steps[min(number, len(steps) - 1)]
kept = Path(os.environ["CLAUDE_CONFIG_DIR"]) / "projects" / "here"
kept.mkdir(parents=True, exist_ok=True)
(kept / f"{{session}}.jsonl").touch()
print(json.dumps({{"type": "system", "subtype": "init", "session_id": session}}), flush=True)
for line in step.get("lines", []):
    print(json.dumps(line), flush=True)
for line in step.get("errors", []):
    print(line, file=sys.stderr, flush=True)
for name, text in step.get("write", {{}}).items():
    Path(name).write_text(text)
if step.get("shell"):
    subprocess.run(["/bin/sh", "-c", step["shell"]], check=False)
if step.get("started"):
    Path(step["started"]).touch()
if step.get("until"):
    while not Path(step["until"]).exists():
        time.sleep(0.02)
if step.get("result"):
    print(json.dumps({{"type": "result", "session_id": session, **step["result"]}}), flush=True)
sys.exit(step.get("exit", 0))
"""

DONE = {"subtype": "success", "is_error": False, "terminal_reason": "completed", "result": "Done."}


def failed(status: int | None, text: str, **more: Any) -> dict[str, Any]:
    """A step that ends with an error of the API, as Claude Code reports it."""
    result = {"subtype": "success", "is_error": True, "api_error_status": status, "result": text, **more}
    return {"result": result, "exit": 1}


def done(name: str = "agent.txt", text: str = "x", *, usd: str | None = None, **more: Any) -> dict[str, Any]:
    """A step that writes a file and says that it is done."""
    result = dict(DONE)
    if usd is not None:
        used = {"inputTokens": 10, "outputTokens": 5, "costUSD": float(usd)}
        result |= {"total_cost_usd": float(usd), "modelUsage": {"claude-sonnet-5-5": used}}
    return {"write": {name: text}, "result": result, **more}


# The wait is asked for: without that it is drawn from up to many seconds, which test_orchestrator_gate.py looks at.
OVERLOADED = failed(529, "API Error: 529 overloaded_error, try again in 1 s")
LIMITED = failed(429, "API Error: 429 rate_limit_error, try again in 1 s")
RETRY = {"type": "system", "subtype": "api_retry", "attempt": 1, "error": "rate_limit", "error_status": 429}


class Fake:
    """The program, its steps, and what it was called with."""

    def __init__(self, home: Path) -> None:
        self.home = home

    def steps(self, **builds: list[dict[str, Any]]) -> None:
        (self.home / "steps.json").write_text(json.dumps(builds))

    def calls(self, build: str = "a") -> list[dict[str, Any]]:
        found = sorted((self.home / build).glob("call-*"), key=lambda path: int(path.name.removeprefix("call-")))
        return [json.loads(path.read_text()) for path in found]

    def asked(self, option: str, build: str = "a") -> list[str | None]:
        """What each call had for an option."""
        every = [call["words"] for call in self.calls(build)]
        return [words[words.index(option) + 1] if option in words else None for words in every]


@pytest.fixture
def claude(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fake:
    home = tmp_path / "fake"
    home.mkdir()
    (home / "fake.py").write_text(FAKE.format(home=str(home)))
    tools = tmp_path / "tools"
    tools.mkdir()
    wrapper = tools / "claude"
    words = f"{shlex.quote(sys.executable)} {shlex.quote(str(home / 'fake.py'))}"
    wrapper.write_text(f'#!/bin/sh\nexec {words} "$@"\n')
    wrapper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-" + "ant-" + "api03-" + "a" * 40)
    return Fake(home)


def plan(
    builds: str = "a", *, defaults: str = 'model = "sonnet"', head: str = "", tasks: int = 0, owns: str = "", **of: str
) -> str:
    text = f'[plan]\nname = "t"\n{head}\n[defaults]\nagent = "claude"\n{defaults}\n[verify]\nrun = ["true"]\n'
    for build in builds:
        text += f'[[build]]\nid = "{build}"\nprompt = "Write."\n{owns}\n{of.get(build, "")}\n'
        for number in range(tasks):
            text += f'[[build.task]]\nid = "T{number}"\n'
    return text


def run(repo: Scratch, *words: str, code: int | None = 0) -> Any:
    return repo.br3("run", "--trust", "--yes", *words, code=code)


def causes(repo: Scratch) -> list[str | None]:
    return [event.data["cause"] for event in repo.events("attempt.finished")]


def test_an_agent_is_called_as_measured_and_gets_a_directory_of_the_build_s_own(repo: Scratch, claude: Fake) -> None:
    claude.steps(a=[done(usd="0.25")])
    repo.plan(plan())
    run(repo)
    call = claude.calls()[0]
    assert "Write." in call["prompt"]
    assert call["env"]["CLAUDE_CONFIG_DIR"] == str(repo.common_dir / "br3" / "agents" / "a" / "claude")
    assert claude.asked("--model") == ["sonnet"]
    assert claude.asked("--fallback-model") == ["opus,haiku"]
    assert repo.status()["builds"]["a"]["cost_usd"] == "0.25"
    repo.br3("merge", "--trust")
    repo.br3("clean")
    assert not (repo.common_dir / "br3" / "agents" / "a").exists()


# Cause → what is said, and the models of the attempts.
TURNS: dict[str, tuple[dict[str, Any], list[str]]] = {
    "model_not_found": (failed(404, "API Error: model: claude-x"), ["sonnet", "opus", "haiku"]),
    "refused": (failed(None, "declined", stop_reason="refusal"), ["sonnet", "opus", "haiku"]),
    "timeout": (failed(504, "API Error: Request timed out"), ["sonnet", "haiku", "haiku"]),
    "context_too_long": (failed(400, "prompt is too long", terminal_reason="prompt_too_long"), ["sonnet"] * 3),
    "crash": (failed(None, "something else"), ["sonnet"] * 3),
}


@pytest.mark.parametrize("cause", TURNS)
def test_the_model_of_the_next_attempt_follows_the_cause(repo: Scratch, claude: Fake, cause: str) -> None:
    step, models = TURNS[cause]
    claude.steps(a=[step])
    repo.plan(plan())
    run(repo, code=1)
    assert claude.asked("--model") == models
    assert causes(repo) == [cause] * 3
    turned = [(e.data["from"], e.data["to"], e.data["reason"]) for e in repo.events("model.fallback")]
    assert turned == [(a, b, cause) for a, b in pairwise(models) if a != b]


def test_an_overload_asks_every_model_waits_and_begins_with_the_first(repo: Scratch, claude: Fake) -> None:
    claude.steps(a=[OVERLOADED, OVERLOADED, OVERLOADED, done()])
    repo.plan(plan(defaults='model = "sonnet"\nretries = 0'))
    run(repo)
    assert claude.asked("--model") == ["sonnet", "opus", "haiku", "sonnet"]
    assert causes(repo) == ["overloaded"] * 3 + [None]
    times = [call["at"] for call in claude.calls()]
    assert times[3] - times[2] >= 1


def test_models_that_the_agent_has_asked_itself_are_not_asked_again(repo: Scratch, claude: Fake) -> None:
    turned = [
        {
            "type": "system",
            "subtype": "model_fallback",
            "trigger": "overloaded",
            "original_model": original,
            "fallback_model": fallback,
        }
        for original, fallback in pairwise(["claude-sonnet-5-5", "claude-opus-5-5", "claude-haiku-5-5"])
    ]
    claude.steps(a=[{**OVERLOADED, "lines": turned}, done()])
    repo.plan(plan())
    run(repo)
    assert claude.asked("--model") == ["sonnet", "sonnet"]
    assert [e.data["by"] for e in repo.events("model.fallback")] == ["claude", "claude"]
    assert "attempt 1 with claude, sonnet → claude-haiku-5-5: failed (overloaded)" in repo.br3("status", "a").out


def test_an_api_that_cannot_be_reached_is_waited_for(repo: Scratch, claude: Fake) -> None:
    claude.steps(a=[failed(None, "API Error: Connection refused (ECONNREFUSED), try again in 1 s"), done(usd="0.5")])
    repo.plan(plan(defaults='model = "sonnet"\nretries = 0'))
    run(repo)
    assert causes(repo) == ["unreachable", None]
    assert claude.asked("--model") == ["sonnet", "sonnet"]
    first, second = (call["at"] for call in claude.calls())
    assert second - first >= 1
    assert repo.status()["builds"]["a"]["cost_usd"] == "0.5"  # what was not let in has cost nothing


@pytest.mark.parametrize("cause", ["no_change", "denied", "crash"])
def test_a_failed_build_says_what_to_do_next_and_shows_what_people_can_read(
    repo: Scratch, claude: Fake, cause: str
) -> None:
    block = {"type": "text", "text": "I looked around."}
    said = {"type": "assistant", "message": {"id": "m", "model": "claude-sonnet-5-5", "content": [block]}}
    denial = {"tool_name": "Bash", "tool_input": {"command": "git push origin main"}}
    step: dict[str, Any] = {"lines": [said], "result": DONE}
    if cause == "denied":
        step["result"] = {**DONE, "permission_denials": [denial]}
    if cause == "crash":
        step = {"lines": [said], "errors": ["it broke"], "exit": 3}
    claude.steps(a=[step])
    repo.plan(plan(defaults='model = "sonnet"\nretries = 0'))
    out = run(repo, code=1)
    assert causes(repo) == [cause]
    assert "    I looked around." in out.err
    assert '{"type"' not in out.all
    hint = repo.events("build.failed")[0].data["hint"]
    assert f"next:  {hint}" in out.err and f"next      {hint}" in repo.br3("status", "a").out
    assert f"── br3: failed ({cause})" in repo.br3("logs", "a").out
    if cause == "denied":
        assert "claude was denied: Bash git push origin main" in out.err


def test_a_key_that_was_not_accepted_is_named_and_not_shown(repo: Scratch, claude: Fake) -> None:
    claude.steps(a=[failed(401, "API Error: 401 Invalid API key")])
    repo.plan(plan())
    out = run(repo, code=1)
    assert "ANTHROPIC_API_KEY (sk-a" in out.err
    assert os.environ["ANTHROPIC_API_KEY"] not in out.all


def test_a_larger_context_is_looked_for_among_the_models_of_the_plan(repo: Scratch, claude: Fake) -> None:
    claude.steps(a=[failed(400, "prompt is too long", terminal_reason="prompt_too_long"), done()])
    fallback = 'model = "claude-sonnet-4-5"\nfallback = ["claude-haiku-4-5", "claude-opus-5-5"]'
    repo.plan(plan(defaults=fallback))
    said = run(repo)
    assert claude.asked("--model") == ["claude-sonnet-4-5", "claude-opus-5-5"]
    assert claude.asked("--resume") == [None, None]  # the session is what is too long
    assert "claude-sonnet-4-5 → claude-opus-5-5 (context_too_long)" in said.err


def test_without_fallbacks_the_model_stays(repo: Scratch, claude: Fake) -> None:
    claude.steps(a=[failed(404, "API Error: model: claude-x")])
    repo.plan(plan(defaults='model = "sonnet"\nfallback = []\nretries = 1'))
    run(repo, code=1)
    assert claude.asked("--model") == ["sonnet", "sonnet"]
    assert claude.asked("--fallback-model") == [None, None]


@pytest.mark.parametrize(
    ("defaults", "models"),
    [
        ('model = "haiku"', ["haiku"] * 4),  # the plan has said which
        ('model = "haiku"\nfallback = ["sonnet", "opus"]', ["haiku", "haiku", "sonnet", "sonnet"]),
        ('model = "auto"\nfallback = ["opus"]', ["opus"] * 4),
        ('model = "auto"\npolicy = "fixed"\nfallback = ["opus"]', [None] * 4),  # the agent's own choice is not known
    ],
)
def test_a_model_whose_work_does_not_hold_makes_room_for_a_stronger_one(
    repo: Scratch, claude: Fake, defaults: str, models: list[str | None]
) -> None:
    claude.steps(a=[{"result": DONE}])
    repo.plan(plan(defaults=f"{defaults}\nretries = 3"))
    run(repo, code=1)
    assert causes(repo) == ["no_change"] * 4
    assert claude.asked("--model") == models


def test_a_repair_that_did_not_hold_is_left_to_a_stronger_model(repo: Scratch, claude: Fake) -> None:
    claude.steps(a=[done(text="0"), done(text="1"), done(text="good")])
    text = plan(defaults='model = "haiku"\nfallback = ["sonnet"]').replace(
        'run = ["true"]', f"run = [{toml('read line < agent.txt; test $line = good')}]"
    )
    repo.plan(text)
    claude.steps(a=[done(text="0\n"), done(text="1\n"), done(text="good\n")])
    run(repo)
    assert claude.asked("--model") == ["haiku", "haiku", "sonnet"]


TURNED = {
    "type": "system",
    "subtype": "model_fallback",
    "trigger": "overloaded",
    "original_model": "claude-sonnet-5-5",
    "fallback_model": "claude-opus-5-5",
}

# For an agent that is to go on until br3 has written an event.
WAIT = "until grep -q '\"{kind}\"' {journal}/*.jsonl; do sleep 0.05; done"


def test_what_the_agent_itself_turned_to_is_told(repo: Scratch, claude: Fake) -> None:
    claude.steps(
        a=[done(lines=[TURNED], shell=WAIT.format(kind="model.fallback", journal=repo.common_dir / "br3/journal"))]
    )
    repo.plan(plan())
    run(repo)
    (event,) = repo.events("model.fallback")  # once, though it was told while the agent was still at work
    told = event.data
    assert (told["from"], told["to"], told["by"]) == ("claude-sonnet-5-5", "claude-opus-5-5", "claude")


@pytest.mark.parametrize(
    ("step", "cause", "hint"),
    [
        (failed(401, "API Error: 401 Invalid API key"), "auth", "correct it in the environment or in .env"),
        (failed(400, "Your credit balance is too low"), "credit", "add credit"),
    ],
)
def test_a_key_or_account_that_is_not_accepted_stops_the_whole_run(
    repo: Scratch, claude: Fake, tmp_path: Path, step: dict[str, Any], cause: str, hint: str
) -> None:
    ready = tmp_path / "b is at work"
    claude.steps(a=[{**step, "until": str(ready)}], b=[{"started": str(ready), "until": "never"}], c=[done()])
    repo.plan(plan("abc", head="jobs = 2"))
    said = run(repo, code=1)
    builds = repo.status()["builds"]
    assert [builds[b]["state"] for b in "abc"] == ["failed", "cancelled", "cancelled"]
    assert len(claude.calls("a")) == 1 and claude.calls("c") == []
    assert repo.events("run.failed") and not repo.events("run.cancelled")
    assert "the run was stopped: a" in builds["b"]["reason"]
    assert hint in said.err
    claude.steps(a=[done()], b=[done()], c=[done()])
    run(repo)  # mended, the same command goes on
    assert all(build["verified"] for build in repo.status()["builds"].values())


def _forget_all_after(repo: Scratch, kind: str) -> None:
    """As if everything had been killed just when that event was written."""
    last = repo.events(kind)[-1].ts
    for segment in (repo.common_dir / "br3" / "journal").glob("*.jsonl"):
        if not segment.is_symlink():
            lines = [line for line in segment.read_bytes().splitlines() if json.loads(line)["ts"] <= last]
            segment.write_bytes(b"".join(line + b"\n" for line in lines))


@pytest.mark.parametrize("cause", ["auth", "budget"])
def test_an_attempt_that_ended_the_build_is_the_last_though_all_was_killed_then(
    repo: Scratch, claude: Fake, cause: str
) -> None:
    spent = failed(None, "over budget", terminal_reason="budget_exhausted", modelUsage={"m": {"costUSD": 0.1}})
    step = {"auth": failed(401, "API Error: 401 Invalid API key"), "budget": spent}[cause]
    claude.steps(a=[{**step, "write": {"paid.txt": "x"}}])
    repo.plan(plan(head="budget_usd = 0.5"))
    run(repo, code=None)
    before = repo.head("build/a")
    _forget_all_after(repo, "attempt.finished")
    run(repo, code=4 if cause == "budget" else 1)
    assert len(claude.calls()) == 1
    assert [event.data["cause"] for event in repo.events("build.failed")] == [cause]
    assert repo.head("build/a") == before
    if cause == "budget":
        assert repo.git("show", "build/a:paid.txt") == "x"


def test_a_limit_met_by_one_build_holds_back_the_next_start_of_all(repo: Scratch, claude: Fake, tmp_path: Path) -> None:
    met = tmp_path / "limited"
    claude.steps(
        a=[{**done("1"), "lines": [{**RETRY, "retry_delay_ms": 3000}], "started": str(met)}, done("2")],
        b=[{**done("1"), "until": str(met)}, done("2")],
    )
    repo.plan(plan("ab", tasks=2, b='model = "claude-sonnet-5-5"'))  # the same one by another name
    said = run(repo)
    hit = repo.events("rate_limit.hit")[0]
    assert (hit.build, hit.data["retry_after_s"]) == ("a", 3)
    until_s = datetime.fromisoformat(hit.ts).timestamp() + 3 - 0.1
    for build in "ab":
        assert claude.calls(build)[1]["at"] >= until_s
    assert "rate limit, nobody starts for 3 s" in said.err


def test_limits_are_no_attempts_and_end_in_the_same_session(repo: Scratch, claude: Fake) -> None:
    claude.steps(a=[LIMITED, LIMITED, done()])
    repo.plan(plan(defaults='model = "sonnet"\nretries = 0'))
    run(repo)
    assert causes(repo) == ["rate_limit", "rate_limit", None]
    first = claude.asked("--session-id")[0]
    assert claude.asked("--resume") == [None, first, first]
    assert [e.data["resumed"] for e in repo.events("attempt.started")] == [False, True, True]


def test_limits_are_no_attempts_however_many(repo: Scratch, claude: Fake) -> None:
    claude.steps(a=[*[failed(429, "API Error: 429 rate_limit_error, try again in 1 s")] * 6, done()])
    repo.plan(plan(defaults='model = "sonnet"\nfallback = []\nretries = 0'))
    run(repo)
    assert causes(repo) == ["rate_limit"] * 6 + [None]


def test_an_agent_that_gives_up_closes_the_gate_anew(repo: Scratch, claude: Fake) -> None:
    limited = failed(429, "API Error: 429 rate_limit_error, try again in 2 s")
    claude.steps(a=[{**limited, "lines": [{**RETRY, "retry_delay_ms": 1}]}, done()])
    repo.plan(plan())
    run(repo)
    assert [e.data["retry_after_s"] for e in repo.events("rate_limit.hit")] == [0.001, 2]
    first, second = (call["at"] for call in claude.calls())
    assert second - first >= 2


def test_the_third_limit_in_a_row_turns_to_another_model(repo: Scratch, claude: Fake) -> None:
    claude.steps(a=[LIMITED, LIMITED, LIMITED, done()])
    repo.plan(plan())
    run(repo)
    assert claude.asked("--model") == ["sonnet", "sonnet", "sonnet", "opus"]


def test_a_limit_that_does_not_end_fails_the_build_after_the_time_of_an_attempt(repo: Scratch, claude: Fake) -> None:
    claude.steps(a=[LIMITED])
    repo.plan(plan(defaults='model = "sonnet"\nfallback = []\ntimeout = "2s"'))
    run(repo, code=1)
    assert repo.events("build.failed")[0].data["cause"] == "rate_limit"


def test_the_time_in_which_an_agent_worked_is_no_waiting(repo: Scratch, claude: Fake) -> None:
    limited = failed(429, "API Error: 429 rate_limit_error, try again in 4 s")
    claude.steps(a=[{**limited, "shell": "sleep 3"}, done()])
    repo.plan(plan(defaults='model = "sonnet"\nfallback = []\ntimeout = "6s"'))
    run(repo)
    assert causes(repo) == ["rate_limit", None]


def test_waiting_for_a_limit_can_be_stopped(repo: Scratch, claude: Fake, tracked: str) -> None:
    claude.steps(a=[{**LIMITED, "lines": [{**RETRY, "retry_delay_ms": 600_000}]}])
    repo.plan(plan())
    process = repo.start("run", "--trust", "--yes")
    until(lambda: repo.events("attempt.finished"))
    process.send_signal(signal.SIGINT)
    process.communicate()
    assert process.returncode == 130
    assert len(claude.calls()) == 1


def test_a_cut_off_attempt_goes_on_in_its_session_and_is_charged_once(
    repo: Scratch, claude: Fake, tmp_path: Path, tracked: str
) -> None:
    ready = tmp_path / "at work"
    half = {"inputTokens": 10, "outputTokens": 5, "costUSD": 0.5}
    whole = {"inputTokens": 20, "outputTokens": 10, "costUSD": 0.75}
    first = {"type": "result", **DONE, "total_cost_usd": 0.5, "modelUsage": {"claude-sonnet-5-5": half}}
    claude.steps(
        a=[
            {"write": {"half.txt": "half"}, "lines": [first], "started": str(ready), "until": "never"},
            {
                "write": {"agent.txt": "x"},
                "result": {**DONE, "total_cost_usd": 0.75, "modelUsage": {"claude-sonnet-5-5": whole}},
            },
        ]
    )
    repo.plan(plan())
    process = repo.start("run", "--trust", "--yes")
    until(ready.exists)
    until(lambda: repo.events("usage.recorded"))
    process.send_signal(signal.SIGINT)
    process.communicate()
    assert causes(repo) == ["cancelled"]
    run(repo)
    assert claude.asked("--resume") == [None, claude.asked("--session-id")[0]]
    prompt = claude.calls()[1]["prompt"]
    assert prompt.startswith("Go on with task 1")
    assert repo.git("show", "build/a:half.txt") == "half"  # it found its files as it left them
    assert repo.status()["builds"]["a"]["cost_usd"] == "0.75"
    assert repo.events("usage.differs") == []


def test_what_the_table_said_too_much_is_not_taken_off_the_next_attempt(repo: Scratch, claude: Fake) -> None:
    model, counts = "claude-sonnet-5-5", {"input_tokens": 1000, "output_tokens": 1000}
    message = {"id": "m", "model": model, "content": [], "usage": counts}
    delta = {"type": "message_delta", "usage": counts}
    turn = [{"type": "assistant", "message": message}, {"type": "stream_event", "api_message_id": "m", "event": delta}]
    own = {"inputTokens": 1000, "outputTokens": 1000, "costUSD": 0.01}  # by the table it is 0.012
    result = {**failed(None, "something else")["result"], "modelUsage": {model: own}}
    claude.steps(
        a=[
            {"lines": turn, "result": result, "exit": 1},
            done() | {"result": {**DONE, "modelUsage": {model: {**own, "costUSD": 0.03}}}},
        ]
    )
    repo.plan(plan())
    run(repo)
    assert claude.asked("--resume")[1] is not None
    assert Decimal(repo.status()["builds"]["a"]["cost_usd"]) == Decimal("0.03")


def test_a_task_that_is_asked_something_else_begins_a_new_session(
    repo: Scratch, claude: Fake, tmp_path: Path, tracked: str
) -> None:
    ready = tmp_path / "at work"
    claude.steps(a=[{"started": str(ready), "until": "never"}, done()])
    repo.plan(plan())
    process = repo.start("run", "--trust", "--yes")
    until(ready.exists)
    until(lambda: repo.events("attempt.started"))
    process.send_signal(signal.SIGINT)
    process.communicate()
    repo.plan(plan().replace("Write.", "Write something else."))
    run(repo)
    assert claude.asked("--resume") == [None, None]
    assert "Write something else." in claude.calls()[1]["prompt"]


def test_a_session_that_is_gone_is_not_gone_on_with(repo: Scratch, claude: Fake, tmp_path: Path, tracked: str) -> None:
    ready = tmp_path / "at work"
    claude.steps(a=[{"write": {"half.txt": "half"}, "started": str(ready), "until": "never"}, done()])
    repo.plan(plan())
    process = repo.start("run", "--trust", "--yes")
    until(ready.exists)
    process.send_signal(signal.SIGINT)
    process.communicate()
    for kept in (repo.common_dir / "br3" / "agents" / "a").rglob("*.jsonl"):
        kept.unlink()
    run(repo)
    assert claude.asked("--resume") == [None, None]
    salvaged = repo.events("attempt.salvaged")[0].data["ref"]
    assert salvaged in claude.calls()[1]["prompt"]
    assert repo.git("show", f"{salvaged}:half.txt") == "half"
    assert "half.txt" not in repo.git("ls-tree", "-r", "--name-only", "build/a")


def test_a_crash_in_a_resumed_session_begins_a_new_one(repo: Scratch, claude: Fake) -> None:
    claude.steps(a=[{"result": DONE}, {"errors": ["No conversation found"], "exit": 1}, done()])
    repo.plan(plan())
    run(repo)
    assert causes(repo) == ["no_change", "crash", None]
    first = claude.asked("--session-id")[0]
    assert claude.asked("--resume") == [None, first, None]


def test_an_agent_s_own_figure_that_differs_is_told(repo: Scratch, claude: Fake, tmp_path: Path) -> None:
    result = {**DONE, "total_cost_usd": 1.0, "modelUsage": {"claude-sonnet-5-5": {"inputTokens": 1, "costUSD": 1.0}}}
    claude.steps(a=[{"write": {"x": "x"}, "result": result}])
    repo.plan(plan())
    run(repo)
    assert repo.events("usage.differs") == []
    assert repo.status()["builds"]["a"]["cost_usd"] == "1.0"


@pytest.mark.parametrize(
    ("where", "scope"), [("defaults", "attempt"), ("defaults", "build"), ("head", "run"), ("head", "day")]
)
def test_each_budget_stops_the_attempt_that_exceeds_it(
    repo: Scratch, claude: Fake, where: str, scope: str, tracked: str
) -> None:
    key = {"attempt": "attempt_budget_usd", "build": "budget_usd", "run": "budget_usd", "day": "daily_budget_usd"}[
        scope
    ]
    turn = {"type": "result", **DONE, "total_cost_usd": 0.75, "modelUsage": {"m": {"inputTokens": 1, "costUSD": 0.75}}}
    claude.steps(a=[{"write": {"kept.txt": "x"}, "lines": [turn], "until": "never"}])
    line = f"{key} = 0.5"
    repo.plan(plan(defaults=line if where == "defaults" else "", head=line if where == "head" else ""))
    run(repo, code=4)
    assert repo.events("budget.exceeded")[0].data["scope"] == scope
    why = repo.events("attempt.finished")[0].data["why"]
    assert why.startswith(f"the {scope}'s budget of 0.5 USD is spent") and "0.75" in why
    assert claude.asked("--max-budget-usd") == ["0.5"]
    assert repo.git("show", "build/a:kept.txt") == "x"


def test_the_day_s_budget_counts_other_runs(repo: Scratch, claude: Fake) -> None:
    claude.steps(a=[done(usd="0.4")], b=[done(usd="0.4")])
    repo.plan(plan("a", head="daily_budget_usd = 0.3"))
    run(repo)  # it was done when it said what it had cost
    repo.plan(plan("b", head="daily_budget_usd = 0.3"))
    said = run(repo, code=4)
    assert claude.calls("b") == []
    assert "the day's budget of 0.3 USD is spent" in said.err


def test_silence_ends_an_attempt(repo: Scratch, claude: Fake, tracked: str) -> None:
    claude.steps(a=[{"until": "never"}, done()])
    repo.plan(plan(defaults='model = "sonnet"\nsilence = "1s"'))
    run(repo)
    assert causes(repo) == ["silence", None]
    assert repo.events("timeout.occurred")[0].data["what"] == "silence"


def test_what_is_outside_of_owns_is_no_success_and_is_said_to_the_agent(repo: Scratch, claude: Fake) -> None:
    claude.steps(a=[done("other.txt"), {"shell": f"rm -f other.txt; {writing('mine.txt')}", "result": DONE}])
    repo.plan(plan(owns='owns = ["mine.txt"]'))
    run(repo)
    assert causes(repo) == ["not_owned", None]
    assert "other.txt; that must go back" in claude.calls()[1]["prompt"]
    assert repo.git("ls-tree", "--name-only", "build/a").split() == ["README.md", "br3.toml", "mine.txt"]


def test_the_plan_may_only_warn_of_what_is_outside_of_owns(repo: Scratch, claude: Fake) -> None:
    claude.steps(a=[done("other.txt")])
    repo.plan(plan(owns='owns = ["mine.txt"]') + '[hooks]\nowns = "warn"\n')
    said = run(repo)
    assert "changed outside what it owns: other.txt" in said.err


def _hooks(repo: Scratch) -> list[str]:
    return sorted(name for name in os.listdir(repo.common_dir / "hooks") if not name.endswith(".sample"))


EVIL_HOOK = "printf '#!/bin/sh\\n' > {common}/hooks/post-checkout; chmod +x {common}/hooks/post-checkout"


@pytest.mark.parametrize(
    ("command", "rule", "undone"),
    [
        ("git config user.name Evil", "git-config", True),
        ("git config --add core.hooksPath /tmp/evil", "git-config", True),
        ("git config --unset-all marker.kept", "git-config", True),
        ("git config user.name Evil; printf x > {common}/config.lock", "git-config", True),
        ("printf '[broken\\n' >> {common}/config", "git-config", True),
        (EVIL_HOOK, "hooks", True),
        ("rm {common}/hooks/commit-msg", "hooks", True),
        ("rm {common}/hooks/commit-msg; mkdir {common}/hooks/commit-msg", "hooks", True),
        ("rm -r {common}/hooks", "hooks", True),
        ("git branch rogue", "branch", None),
        ("git checkout -q -b rogue; git commit -q --allow-empty -m x; git checkout -q build/a", "branch", None),
        ("git -C ../../project commit -q --allow-empty -m x", "branch", None),
        ("git commit -q --allow-empty -m x; git update-ref refs/heads/main HEAD", "branch", None),
        ("cd ../../project && git log -1 > /dev/null", None, None),
        ("printf x > b; git add b; git stash -q", "stash", None),
    ],
)
def test_what_an_agent_does_beyond_its_ground_is_told_and_put_back(
    repo: Scratch, claude: Fake, command: str, rule: str | None, undone: bool | None
) -> None:
    repo.git("config", "--add", "marker.kept", "one")
    repo.git("config", "--add", "marker.kept", 'two = # "quoted"')
    hook = repo.write("commit-msg", "#!/bin/sh\nexit 0\n", root=repo.common_dir / "hooks")
    hook.chmod(0o755)
    (repo.common_dir / "hooks" / "applypatch-msg").symlink_to("commit-msg")
    config = repo.git("config", "--list", "--local")
    there = _hooks(repo)
    common = repo.common_dir
    claude.steps(a=[done(shell=command.format(common=common))])
    repo.plan(plan())
    said = run(repo, code=None)
    (common / "config.lock").unlink(missing_ok=True)
    told = repo.events("security.violation")
    assert [event.data["rule"] for event in told] == ([rule] if rule else [])
    assert list(common.rglob("git.trace2.jsonl")) == []
    assert repo.git("config", "--list", "--local") == config
    assert _hooks(repo) == there
    if rule:
        assert told[0].data.get("undone") == undone
        assert f"a: {told[0].data['message']}" in said.err
        assert f"a: {told[0].data['message']}" in repo.br3("status", "a").out
        assert repo.status()["builds"]["a"]["verified"]


@pytest.mark.parametrize(
    ("command", "told"),
    [
        ("git -C ../b commit -q --allow-empty -m rogue", ["build/b"]),
        ("git commit -q --allow-empty -m rogue; git update-ref refs/heads/build/b HEAD", ["build/b"]),
        ("git -C ../b log -1 > seen; git -C ../b commit -q --allow-empty -m own", []),
    ],
)
def test_what_an_agent_does_to_another_build_s_branch_is_told(
    repo: Scratch, claude: Fake, tmp_path: Path, command: str, told: list[str]
) -> None:
    at_work, go = tmp_path / "b is at work", tmp_path / "go"
    own = "git -C ../b commit"
    mine, others = (command.split("; ")[0], command.split("; ")[1]) if not told else (command, "")
    waiting = f"until test -e {shlex.quote(str(at_work))}; do sleep 0.05; done"
    claude.steps(
        a=[done("a.txt", shell=f"{waiting}; {mine}; : > {go}")],
        b=[done("b.txt", started=str(at_work), until=str(go), shell=others.replace(own, "git commit"))],
    )
    repo.plan(plan("ab"))
    run(repo, code=None)
    found = [(e.build, e.data["branches"]) for e in repo.events("security.violation")]
    assert found == ([("a", told)] if told else [])


@pytest.mark.parametrize("command", ["git config user.name Evil", "printf '[broken\\n' >> {common}/config"])
def test_configuration_that_was_the_user_s_alone_to_read_stays_so(repo: Scratch, claude: Fake, command: str) -> None:
    config = repo.common_dir / "config"
    config.chmod(0o600)
    claude.steps(a=[done(shell=command.format(common=repo.common_dir))])
    repo.plan(plan())
    run(repo)
    kept = list(repo.common_dir.glob("br3/runs/*/a/undone/*/config"))
    assert len(kept) == 1
    for path in (config, *kept, repo.common_dir / "br3" / "baseline.json"):
        assert path.stat().st_mode & 0o777 == 0o600


def test_what_the_user_changed_after_everything_was_killed_is_told_and_left(
    repo: Scratch, claude: Fake, tmp_path: Path, tracked: str
) -> None:
    ready = tmp_path / "at work"
    claude.steps(a=[done(started=str(ready), until="never"), done()])
    repo.plan(plan())
    process = repo.start("run", "--trust", "--yes")
    until(ready.exists)
    _kill_all(process, tracked)
    repo.git("config", "mine.own", "yes")
    run(repo)
    assert repo.git("config", "mine.own") == "yes"
    told = repo.events("security.violation")
    assert [(e.data["rule"], e.data["undone"]) for e in told] == [("git-config", False)]


def test_the_user_s_own_changes_while_agents_work_are_left_alone(
    repo: Scratch, claude: Fake, tmp_path: Path, tracked: str
) -> None:
    ready, go = tmp_path / "at work", tmp_path / "go"
    claude.steps(a=[done(started=str(ready), until=str(go))])
    repo.plan(plan())
    process = repo.start("run", "--trust", "--yes")
    until(ready.exists)
    repo.br3("hooks", "install")
    repo.git("branch", "--track", "mine", "main")
    repo.git("checkout", "-q", "mine")
    repo.commit("my own work")
    go.touch()
    _, err = process.communicate()
    assert process.returncode == 0, err
    assert repo.events("security.violation") == []
    assert repo.git("config", "branch.mine.merge") == "refs/heads/main"
    assert repo.br3("hooks", "status").code == 0


def test_a_branch_that_the_user_takes_to_the_build_s_earlier_work_is_no_agent_s_doing(
    repo: Scratch, claude: Fake, tmp_path: Path, tracked: str
) -> None:
    ready, go = tmp_path / "at_work", tmp_path / "go"
    reading = "git -C ../../project log -1 > /dev/null"
    claude.steps(a=[done("one"), done("two", shell=reading, started=str(ready), until=str(go))])
    repo.plan(plan(tasks=2))
    process = repo.start("run", "--trust", "--yes")
    until(ready.exists)
    repo.git("merge", "-q", "--ff-only", "build/a")
    go.touch()
    _, err = process.communicate()
    assert process.returncode == 0, err
    assert repo.events("security.violation") == []


def test_a_stash_is_told_of_once(repo: Scratch, claude: Fake) -> None:
    claude.steps(a=[done("one", shell="printf x > b; git add b; git stash -q"), done("two")])
    repo.plan(plan(tasks=2))
    run(repo)
    assert [(e.task, e.data["rule"]) for e in repo.events("security.violation")] == [("T0", "stash")]


def test_what_agents_do_just_now_is_there_to_be_read(repo: Scratch, claude: Fake, tmp_path: Path, tracked: str) -> None:
    go = tmp_path / "go"
    block = {"type": "tool_use", "name": "Bash", "input": {"command": "make it\nso"}}
    step = {"type": "assistant", "message": {"id": "m", "model": "claude-sonnet-5-5", "content": [block]}}
    claude.steps(a=[done(lines=[step], until=str(go))])
    repo.plan(plan())
    process = repo.start("run", "--trust", "--yes")
    shown = until(lambda: next(iter((repo.common_dir / "br3" / "runs").glob("*/a/now.json")), None))
    until(lambda: "make it" in shown.read_text())
    assert json.loads(shown.read_text()) == {"task": "1", "attempt": 1, "activity": "Bash make it"}
    go.touch()
    process.communicate()
    assert not shown.exists()


def test_keys_go_to_agents_and_to_nobody_else(repo: Scratch, claude: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-" + "b" * 40)
    claude.steps(a=[done("a")], b=[done("b")])
    shown = "printf '%s' \"${ANTHROPIC_API_KEY-none} ${OPENAI_API_KEY-none}\""
    text = plan("ab", b='env = ["OPENAI_API_KEY"]').replace('run = ["true"]', f"run = [{toml(shown)}]")
    repo.plan(text + f"[setup]\nrun = [{toml(shown)}]\n")
    run(repo)
    assert "ANTHROPIC_API_KEY" in claude.calls("a")[0]["env"]
    assert "OPENAI_API_KEY" not in claude.calls("a")[0]["env"]
    key = os.environ["OPENAI_API_KEY"]
    for build, seen in (("a", "none none"), ("b", f"none {key}")):
        logs = [*(repo.common_dir / "br3" / "runs").glob(f"*/{build}/_verify-*/*.log")]
        logs += (repo.common_dir / "br3" / "runs").glob(f"*/{build}/setup.log")
        assert len(logs) == 2 and all(seen in log.read_text() for log in logs)


def test_a_key_that_cannot_be_one_is_told_without_being_shown(
    repo: Scratch, claude: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "'" + "nonsense" * 4 + "'")
    claude.steps(a=[done()])
    repo.plan(plan())
    said = run(repo)
    assert "warning: ANTHROPIC_API_KEY has quotes in it" in said.err
    assert "nonsense" not in said.all


@pytest.mark.parametrize("how", ["cancelled", "killed"])
def test_an_agent_without_sessions_begins_again_from_its_last_commit(
    repo: Scratch, tmp_path: Path, tracked: str, how: str
) -> None:
    ready = tmp_path / "at work"
    again = tmp_path / "again"
    seen = tmp_path / "seen"
    command = (
        f"if test -e '{again}'; then test -e half.txt && printf found > '{seen}'; read -r all < \"$BR3_PROMPT_FILE\";"
        f" {writing('whole.txt')}; else printf half > half.txt; printf x > '{ready}'; while :; do :; done; fi"
    )
    repo.plan(shell_plan({"a": command}))
    process = repo.start("run", "--trust", "--yes")
    until(ready.exists)
    if how == "killed":
        _kill_all(process, tracked)
    else:
        process.send_signal(signal.SIGINT)
        process.communicate()
    again.touch()
    run(repo)
    assert not seen.exists()
    told = repo.events("attempt.salvaged")[0]
    assert repo.git("show", f"{told.data['ref']}:half.txt") == "half"
    prompts = sorted((repo.common_dir / "br3" / "runs").glob("*/a/1-*/prompt.md"), key=lambda p: p.stat().st_mtime)
    assert told.data["ref"] in prompts[-1].read_text()
    assert "half.txt" not in repo.git("ls-tree", "--name-only", "build/a")
    repo.br3("merge", "--trust")
    assert told.data["commit"] in repo.br3("clean").out
    assert repo.git("for-each-ref", "refs/br3/salvage") == ""


def test_putting_aside_that_was_cut_off_is_brought_to_its_end(repo: Scratch, tmp_path: Path, tracked: str) -> None:
    ready, again, seen = tmp_path / "at_work", tmp_path / "again", tmp_path / "seen"
    command = (
        f"if test -e '{again}'; then test -e more.txt && printf found > '{seen}'; {writing('whole.txt')};"
        f" else printf half > half.txt; printf more > more.txt; printf x > '{ready}'; while :; do :; done; fi"
    )
    repo.plan(shell_plan({"a": command}))
    process = repo.start("run", "--trust", "--yes")
    until(ready.exists)
    process.send_signal(signal.SIGINT)
    process.communicate()
    again.touch()
    ended = repo.events("attempt.finished")[0]
    made = repo.git("commit-tree", "-p", ended.data["head"], "-m", "put aside", ended.data["tree"])
    repo.git("update-ref", f"refs/br3/salvage/a/{ended.run}/1-1", made)
    (repo.worktree("a") / "half.txt").unlink()
    run(repo)
    assert not seen.exists()
    assert "more.txt" not in repo.git("ls-tree", "--name-only", "build/a")


def test_a_repair_that_was_cut_off_is_named_to_the_next(repo: Scratch, tmp_path: Path, tracked: str) -> None:
    ready, again, prompt = tmp_path / "at_work", tmp_path / "again", tmp_path / "prompt"
    command = (
        f"if test -e '{again}'; then cat > '{prompt}'; {writing('good.txt')}; elif test -e first.txt; then"
        f" printf half > half.txt; printf x > '{ready}'; while :; do :; done; else {writing('first.txt')}; fi"
    )
    repo.plan(shell_plan({"a": command}, verify="test -e good.txt"))
    process = repo.start("run", "--trust", "--yes")
    until(ready.exists)
    process.send_signal(signal.SIGINT)
    process.communicate()
    again.touch()
    run(repo)
    told = repo.events("attempt.salvaged")[0].data["ref"]
    assert told in prompt.read_text()
    assert repo.git("show", f"{told}:half.txt") == "half"


def test_what_a_person_has_changed_since_is_not_put_aside(repo: Scratch, tmp_path: Path, tracked: str) -> None:
    ready, again = tmp_path / "at work", tmp_path / "again"
    command = (
        f"if test -e '{again}'; then {writing('whole.txt')}; else printf half > half.txt; printf x > '{ready}';"
        " while :; do :; done; fi"
    )
    repo.plan(shell_plan({"a": command}))
    process = repo.start("run", "--trust", "--yes")
    until(ready.exists)
    process.send_signal(signal.SIGINT)
    process.communicate()
    again.touch()
    (repo.worktree("a") / "half.txt").write_text("mended by hand")
    run(repo)
    assert repo.git("show", "build/a:half.txt") == "mended by hand"
    assert repo.events("attempt.salvaged") == []


@pytest.mark.parametrize("command", ["run", "clean"])
def test_an_agent_whose_orchestrator_was_killed_is_ended_or_taken_over(
    repo: Scratch, claude: Fake, tmp_path: Path, tracked: str, command: str
) -> None:
    ready, go = tmp_path / "at work", tmp_path / "go"
    daemon = f"{shlex.quote(sys.executable)} -c 'import time; time.sleep(600)'"
    told = [{**RETRY, "retry_delay_ms": 1}, TURNED]
    claude.steps(a=[done(lines=told, shell=f"setsid {daemon} & nohup {daemon} &", started=str(ready), until=str(go))])
    repo.plan(plan())
    process = repo.start("run", "--trust", "--yes")
    until(ready.exists)
    until(lambda: repo.events("rate_limit.hit") and repo.events("model.fallback"))
    orchestrators = [
        p for p in psutil.process_iter() if "br3.orchestrator" in " ".join(words_of(p)) and _of(p, tracked)
    ]
    process.kill()
    process.communicate()
    for orchestrator in orchestrators:
        orchestrator.kill()
    if command == "run":
        go.touch()
        run(repo)
        assert repo.status()["builds"]["a"]["verified"]
        assert len(claude.calls()) == 1
        assert len(repo.events("rate_limit.hit")) == len(repo.events("model.fallback")) == 1  # not told again
    else:
        repo.br3("clean", code=3)
    left = [" ".join(words_of(p)) for p in psutil.process_iter() if _of(p, tracked) and "BR3_MARK" in _environ(p)]
    assert left == []


def _kill_all(process: subprocess.Popen[str], tracked: str) -> None:
    """SIGKILL for br3 and all that it has started."""
    process.kill()
    process.communicate()
    for killed in [p for p in psutil.process_iter() if p.pid != os.getpid() and _of(p, tracked)]:
        killed.kill()


def _environ(process: psutil.Process) -> dict[str, str]:
    try:
        return process.environ() if process.status() != psutil.STATUS_ZOMBIE else {}
    except (psutil.Error, OSError):
        return {}


def _of(process: psutil.Process, tracked: str) -> bool:
    return _environ(process).get("XDG_BR3_TEST") == tracked


def test_sums_are_decimals(repo: Scratch, claude: Fake) -> None:
    claude.steps(a=[done(usd="0.1")], b=[done(usd="0.2")])
    repo.plan(plan("ab"))
    run(repo)
    costs = [Decimal(build["cost_usd"]) for build in repo.status()["builds"].values()]
    assert sum(costs) == Decimal("0.3")


def test_the_same_commit_in_two_builds_and_a_merge_of_what_others_did_are_no_trespass(
    repo: Scratch, claude: Fake, tmp_path: Path
) -> None:
    # A second apart they would be two commits.
    dated = "GIT_AUTHOR_DATE='1700000000 +0000' GIT_COMMITTER_DATE='1700000000 +0000'"
    save = f"printf x > agent.txt; git add agent.txt; {dated} git commit -q -m same"
    there = tmp_path / "committed"
    claude.steps(
        a=[{"shell": f"{save}; printf x > '{there}'", "result": DONE}],
        b=[{"shell": f"until test -e '{there}'; do :; done; {save}", "result": DONE}],
        c=[{"shell": f"until test -e '{there}'; do :; done; git merge -q build/a", "result": DONE}],
    )
    repo.plan(plan("abc"))
    run(repo)
    assert repo.head("build/a") == repo.head("build/b") == repo.head("build/c")
    assert repo.events("security.violation") == []
