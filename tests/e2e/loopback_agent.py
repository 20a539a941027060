"""``claude``, as far as the scenes need it: one conversation with the Messages API at ``ANTHROPIC_BASE_URL``, whose
shell tool is real. It prints what the real one prints (tests/streams), and goes on in a session as that does.

Each build asks below an address of its own, ``/r/BUILD/BUILD``: it gets the steps of the scenario of its name.
"""

import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

MODELS = {"haiku": "claude-haiku-5-5", "sonnet": "claude-sonnet-5-5", "opus": "claude-opus-5-5"}
TOOLS = [{"name": "Bash", "input_schema": {"type": "object"}}]
COUNTS = {"inputTokens": "input_tokens", "outputTokens": "output_tokens"}


def say(kind, **more):
    print(json.dumps({"type": kind, **more}), flush=True)


def option(name):
    return sys.argv[sys.argv.index(name) + 1] if name in sys.argv else None


def ask(model, messages):
    build = os.environ["BR3_BUILD"]
    address = f"{os.environ['ANTHROPIC_BASE_URL']}/r/{build}/{build}/v1/messages"
    body = {"model": model, "max_tokens": 1000, "messages": messages, "tools": TOOLS}
    headers = {"content-type": "application/json", "x-api-key": os.environ["ANTHROPIC_API_KEY"]}
    with urllib.request.urlopen(urllib.request.Request(address, json.dumps(body).encode(), headers)) as answer:
        return json.load(answer)


def tool(block):
    command = {"Bash": lambda given: given["command"]}[block["name"]](block["input"])
    done = subprocess.run(["/bin/sh", "-c", command], capture_output=True, text=True)
    said = f"{done.stdout}{done.stderr}(exit code {done.returncode})"
    return {"type": "tool_result", "tool_use_id": block["id"], "content": said}


def show(turn):
    """A finished turn with its usage, which the real one tells as it streams."""
    say("stream_event", event={"type": "message_start", "message": {"model": turn["model"]}})
    delta = {"type": "message_delta", "usage": turn["usage"]}
    say("stream_event", event=delta, api_message_id=turn["id"])
    for block in turn["content"]:
        if block["type"] == "text":
            print(block["text"], file=sys.stderr)


def main():
    model = option("--model") or "opus"
    model = MODELS.get(model, model)
    session = option("--resume") or option("--session-id")
    transcript = Path(os.environ["CLAUDE_CONFIG_DIR"], "projects", "here", f"{session}.jsonl")
    transcript.parent.mkdir(parents=True, exist_ok=True)
    messages = [json.loads(line) for line in transcript.read_text().splitlines()] if option("--resume") else []
    messages.append({"role": "user", "content": sys.stdin.read()})
    say("system", subtype="init", session_id=session)
    used = dict.fromkeys(COUNTS, 0)
    while True:
        transcript.write_text("".join(json.dumps(message) + "\n" for message in messages))
        try:
            turn = ask(model, messages)
        except urllib.error.HTTPError as error:
            told = json.load(error)["error"]
            reason = "prompt_too_long" if "too long" in told["message"] else "api_error"
            said = f"API Error: {error.code} {told['type']}: {told['message']}"
            ended = {"subtype": "success", "is_error": True, "api_error_status": error.code, "terminal_reason": reason}
            say("result", session_id=session, result=said, model_usage_since_last_result={model: used}, **ended)
            return 1
        show(turn)
        used = {name: used[name] + turn["usage"][field] for name, field in COUNTS.items()}
        messages.append({"role": "assistant", "content": turn["content"]})
        calls = [block for block in turn["content"] if block["type"] == "tool_use"]
        if not calls:
            break
        messages.append({"role": "user", "content": [tool(block) for block in calls]})
    ended = {"subtype": "success", "is_error": False, "terminal_reason": "completed"}
    say("result", session_id=session, result="Done.", model_usage_since_last_result={model: used}, **ended)
    return 0


if __name__ == "__main__":
    sys.exit(main())
