"""Five scenes as a user plays them: br3 as a process, real git and hooks and DuckDB, agents that talk to an API.

The API is tests/fakes/fake_api.py on the loopback interface, the agent tests/e2e/loopback_agent.py under the name
``claude``; every command that it runs, every commit and every token is real.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import pytest

from br3.secrets.examples import fill
from tests.conftest import PYTHON, Scratch, making, toml, until
from tests.external.agents import Api, bash, serving

AGENT = Path(__file__).with_name("loopback_agent.py")
ENVIRONMENT = {"ANTHROPIC_API_KEY": "sk-" + "ant-" + "loopback-only-0000000000", "BR3_TRUST": "1"}
PROJECT = {
    "shop/__init__.py": "",
    "shop/prices.py": "TAX = 19\n",
    "tests/__init__.py": "",
    "tests/test_prices.py": (
        "import unittest\nfrom shop.prices import TAX\n\n\nclass Prices(unittest.TestCase):\n"
        "    def test_tax_is_a_rate(self):\n        self.assertIn(TAX, range(100))\n"
    ),
    ".gitignore": "__pycache__/\n",
}
UNITTEST = f"{PYTHON} -m unittest discover -s tests -t ."


@pytest.fixture
def api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Api]:
    """The API, with ``claude`` on PATH and nothing else that it could be."""
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "claude").write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} {shlex.quote(str(AGENT))} "$@"\n')
    (tools / "claude").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}{os.pathsep}{os.environ['PATH']}")
    with serving(tmp_path, bodies=True) as found:
        for name, value in {**ENVIRONMENT, "ANTHROPIC_BASE_URL": found.address}.items():
            monkeypatch.setenv(name, value)
        yield found


@pytest.fixture
def shop(repo: Scratch) -> Scratch:
    """A small project with a test, whose plan is still to come."""
    for name, text in PROJECT.items():
        repo.write(name, text)
    repo.commit("begin to sell")
    return repo


def plan(builds: dict[str, str], *, defaults: str = 'model = "sonnet"', head: str = "", verify: str = UNITTEST) -> str:
    """A plan of agents, ``builds`` by id with what stands in each."""
    text = f'[plan]\nname = "shop"\n{head}\n[setup]\nrun = []\n[defaults]\nagent = "claude"\n{defaults}\n'
    text += f"[verify]\nrun = [{toml(verify)}]\n"
    for name, keys in builds.items():
        text += f'[[build]]\nid = "{name}"\nprompt = "Do the {name}."\n{keys}\n'
        text += f"[build.verify]\nrun = [{toml(verify)}]\n" if "[build.verify]" not in keys else ""
    return text


def used(tokens_in: int, tokens_out: int) -> dict[str, Any]:
    return {"usage": {"input_tokens": tokens_in, "output_tokens": tokens_out}}


def priced(repo: Scratch, model: str, tokens_in: int, tokens_out: int) -> Decimal:
    """What that many tokens cost by the table that br3 shows."""
    rows = repo.br3("models", "--json").json["models"]
    row = next(row for row in rows if row["alias"] == model)
    return (tokens_in * Decimal(row["input_usd"]) + tokens_out * Decimal(row["output_usd"])) / 1_000_000


def saying(text: str = "Done.", **more: Any) -> dict[str, Any]:
    return {"text": text, **more}


def committing(file: str, text: str, **more: Any) -> dict[str, Any]:
    """A step in which the agent writes a file and commits it."""
    made = f"printf '%s\\n' {shlex.quote(text)} > {shlex.quote(file)}"
    return bash(
        f"{making(os.path.dirname(file) or '.')} && {made} && git add -A && git commit -qm 'Add {file}'", **more
    )


def a_test_of(name: str) -> str:
    """A test of a module ``shop.<name>``."""
    return f"import unittest\nimport shop.{name}\n\n\nclass T(unittest.TestCase):\n    def test_it(self):\n        pass"


# -- plan → tasks → execution → metrics ------------------------------------------------------------------------------


def test_a_plan_becomes_tasks_commits_and_figures_that_agree_with_the_api(shop: Scratch, api: Api) -> None:
    tasks = '[[build.task]]\nid = "T1"\ntitle = "Write it"\nminutes = 5\n[[build.task]]\nid = "T2"\ntitle = "Test it"\n'
    verify = f"[build.verify]\nrun = [{toml(UNITTEST)}]\nmin_passed = 2\n"
    shop.plan(plan(dict.fromkeys(("basket", "mail"), tasks + verify)))
    for name in ("basket", "mail"):
        work = committing(f"shop/{name}.py", f"NAME = {name!r}", **used(1000, 100))
        tests = committing(f"tests/test_{name}.py", a_test_of(name), **used(3000, 300))
        api.scenario(name, [work, saying(**used(2000, 20)), tests, saying(**used(4000, 40))])
    assert shop.br3("plan", "check", "--json").json["ok"]
    estimated = shop.br3("estimate", "--json").json["builds"]
    assert all(Decimal(build["cost_usd"]["sonnet"]["p50"]) > 0 for build in estimated)

    ran = shop.br3("run", "--json").json
    for build in ran["builds"]:
        assert [(task["id"], task["state"], task["attempts"]) for task in build["tasks"]] == [
            ("T1", "completed", 1),
            ("T2", "completed", 1),
        ]
        assert build["tests"] == {"passed": 2, "failed": 0, "skipped": 0} and build["verified"]
        asked = [one["body"]["messages"] for one in api.requests(build["id"])]
        assert [len(messages) for messages in asked] == [1, 3, 1, 3], "a task is a conversation of its own"
        assert "Write it" in asked[0][0]["content"] and "Test it" in asked[2][0]["content"]
        assert "(exit code 0)" in str(asked[1][-1])

    each = priced(shop, "sonnet", 10_000, 460)
    assert [Decimal(build["cost_usd"]) for build in ran["builds"]] == [each, each]
    assert [build["tokens"] for build in ran["builds"]] == [10_460, 10_460]
    costs = shop.br3("costs", "--by", "task", "--json").json
    assert Decimal(costs["total_usd"]) == 2 * each
    assert {row["key"]: (row["input_tokens"], row["output_tokens"]) for row in costs["rows"]} == {
        f"{name}/{task}": counts
        for name in ("basket", "mail")
        for task, counts in (("T1", (3000, 120)), ("T2", (7000, 340)))
    }
    summary = shop.br3("telemetry", "summary", "--json").json
    assert (summary["tasks"], summary["attempts"], summary["success_rate"]) == (4, 4, 1.0)
    assert summary["input_tokens"] == 20_000 and Decimal(summary["cost_usd"]) == 2 * each

    shop.br3("finish")
    shop.br3("db", "rebuild")
    assert shop.br3("costs", "--by", "task", "--json").json == costs
    trailers = shop.git("log", "--first-parent", "--merges", "--format=%(trailers:key=Br3-Tokens,valueonly)", "main")
    assert trailers.split() == ["10460", "10460"]
    counted = "SELECT build, count(*) FROM events WHERE kind = 'task.completed' GROUP BY build ORDER BY build"
    assert shop.br3("sql", "--json", counted).json["rows"] == [["basket", 2], ["mail", 2]]


# -- a secret in a commit in a linked worktree -----------------------------------------------------------------------


def test_a_secret_that_an_agent_or_a_person_commits_in_a_linked_worktree_is_caught(shop: Scratch, api: Api) -> None:
    secret = fill("ghp_<<a36>>", Random(7))
    leak = committing("shop/forge.py", f'TOKEN = "{secret}"')
    mended = committing("shop/forge.py", "import os\n\nTOKEN = os.environ.get('FORGE_TOKEN')")
    api.scenario("forge", [leak, mended, saying()])
    shop.plan(plan({"forge": ""}))
    shop.br3("hooks", "install")
    said = shop.br3("run")

    answer = str(api.requests("forge")[1]["body"]["messages"][-1])
    assert "(exit code 1)" in answer and "shop/forge.py:1" in answer, "the agent is told what was wrong, and where"
    blocked = shop.events("security.violation")
    assert [(e.build, e.data["hook"], e.data["rule"]) for e in blocked] == [("forge", "pre-commit", "github")]
    assert shop.status()["builds"]["forge"]["verified"]
    shop.br3("merge")
    assert "os.environ" in shop.git("show", "main:shop/forge.py")
    assert secret not in shop.git("log", "--all", "-p")

    shop.br3("worktree", "new", "by-hand")
    worktree = shop.worktree("by-hand")
    shop.write("notes.txt", f"token: {secret}\n", root=worktree)
    before = shop.git("rev-parse", "HEAD", cwd=worktree)
    shop.git("add", "--all", cwd=worktree)
    shop.git("commit", "--quiet", "--message", "notes", cwd=worktree, check=False)
    assert shop.git("rev-parse", "HEAD", cwd=worktree) == before

    caught = (
        "SELECT build, count(*) FROM events WHERE kind = 'security.violation' GROUP BY build ORDER BY build NULLS LAST"
    )
    assert shop.br3("sql", "--json", caught).json["rows"] == [["forge", 1], [None, 1]], "NULL is last"
    journal = [path.read_bytes() for path in (shop.common_dir / "br3" / "journal").iterdir()]
    assert journal and not any(secret.encode() in segment for segment in journal)
    assert secret not in said.all + shop.br3("telemetry", "alerts").all


# -- parallel builds with a conflict ---------------------------------------------------------------------------------


def test_parallel_builds_that_conflict_are_told_put_aside_mended_and_landed(
    shop: Scratch, api: Api, tmp_path: Path
) -> None:
    both = tmp_path / "both-are-at-work"
    for name, tax in (("lower", 7), ("higher", 25), ("page", 0)):
        work = committing(f"shop/{name}.py", "x") if name == "page" else committing("shop/prices.py", f"TAX = {tax}")
        api.scenario(name, [{**work, "await": str(both)}, saying()])
    shop.plan(plan({"lower": "", "higher": "", "page": ""}, head="jobs = 3"))
    process = shop.start("run")
    until(lambda: {one["run"] for one in api.requests()} == {"lower", "higher", "page"})
    both.touch()
    out, err = process.communicate()
    assert process.returncode == 0, out + err
    assert "would conflict with" in err
    pairs = {(pair["a"], pair["b"]): pair for pair in shop.br3("conflicts", "--json", code=None).json["pairs"]}
    told = {names: pair["files"] for names, pair in pairs.items() if pair["conflict"]}
    assert told == {("lower", "higher"): ["shop/prices.py"]}

    before = shop.head()
    merged = shop.br3("merge", "--json", code=1).json
    assert merged["landed"] == ["lower", "page"] or merged["landed"] == ["page", "lower"]
    aside = merged["aside"][0]
    assert (aside["id"], aside["with"], aside["files"]) == ("higher", ["lower"], ["shop/prices.py"])
    assert shop.git("show", "main:shop/prices.py") == "TAX = 7"
    assert merged["base_before"] == before and merged["base_after"] == shop.head()

    worktree = shop.worktree("higher")
    shop.git("merge", "--quiet", "main", cwd=worktree, check=False)
    shop.write("shop/prices.py", "TAX = 25\n", root=worktree)
    shop.commit("Higher all the same", cwd=worktree)
    shop.br3("verify", "higher")
    assert shop.br3("merge", "--json").json["landed"] == ["higher"]
    assert shop.git("show", "main:shop/prices.py") == "TAX = 25"
    shop.br3("clean")
    assert len(shop.git("worktree", "list").splitlines()) == 1


# -- costs across a session, and a budget that stops one build -------------------------------------------------------


def test_costs_are_followed_across_a_session_and_a_budget_stops_one_build(
    shop: Scratch, api: Api, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    turn = used(100_000, 10_000)
    cost = priced(shop, "sonnet", 100_000, 10_000)
    api.scenario("cheap", [committing("shop/cheap.py", "x", **used(1000, 100)), saying(**used(1000, 100))])
    dear = [committing(f"shop/dear{number}.py", "x", **turn) for number in range(40)]
    api.scenario("dear", [dear[0], {**dear[1], "await": str(go)}, *dear[2:]])
    budget = f"budget_usd = {2 * cost + cost / 2}"
    shop.plan(plan({"cheap": "", "dear": budget}))
    process = shop.start("run", "--yes")

    def told() -> dict[str, Decimal]:
        rows = shop.br3("costs", "--by", "build", "--json").json["rows"]
        return {row["key"]: Decimal(row["cost_usd"]) for row in rows}

    small = priced(shop, "sonnet", 2000, 200)
    assert until(lambda: told() == {"cheap": small, "dear": cost}), "while dear still waits for its second answer"
    assert process.poll() is None
    go.touch()
    out, err = process.communicate()
    assert process.returncode == 4, out + err
    builds = shop.status()["builds"]
    assert (builds["cheap"]["state"], builds["dear"]["state"]) == ("verified", "failed")
    assert "budget" in builds["dear"]["reason"] and "raise it" in err
    spent = Decimal(builds["dear"]["cost_usd"])
    turns = len(api.requests("dear"))
    assert 3 * cost <= spent <= turns * cost and turns < 40, "it was stopped, not done"
    kept = shop.git("log", "--format=%s", "main..build/dear").splitlines()
    assert "Add shop/dear0.py" in kept, "what it has done is on its branch"
    assert told() == {"cheap": small, "dear": spent}
    left = {row["key"]: row for row in shop.br3("costs", "--budget", "--json").json["rows"]}
    assert Decimal(left["dear"]["left_usd"]) == 2 * cost + cost / 2 - spent < 0
    assert shop.br3("merge", "--json", code=None).json["landed"] == ["cheap"]

    api.scenario("dear", [saying(**used(1000, 100))] * 60)
    shop.plan(plan({"cheap": "", "dear": f"budget_usd = {100 * cost}"}))
    shop.br3("run", "--yes")
    assert shop.status()["builds"]["dear"]["verified"]
    more = told()["dear"] - spent
    assert more == priced(shop, "sonnet", 1000, 100), "what the session has cost before still counts, once"


# -- recovery --------------------------------------------------------------------------------------------------------


def test_every_kind_of_trouble_is_answered_and_the_work_gets_done(shop: Scratch, api: Api, tmp_path: Path) -> None:
    def trouble(status: int, message: str) -> dict[str, Any]:
        return {"status": status, "message": message}

    def work(name: str) -> list[dict[str, Any]]:
        return [committing(f"shop/{name}.py", "x"), saying()]

    api.scenario("limited", [trouble(429, "rate limit; try again in 1 s"), *work("limited")])
    api.scenario("long", [trouble(400, "prompt is too long: 213462 tokens > 200000 maximum"), *work("long")])
    api.scenario("slow", [{**saying(), "await": str(tmp_path / "never")}, *work("slow")])
    api.scenario("crashing", [{"tool": "NoSuchTool", "input": {}}, *work("crashing")])
    models = {
        "limited": 'model = "sonnet"\nfallback = ["opus"]\nretries = 0',  # a limit is none
        "long": 'model = "claude-haiku-4-5"\nfallback = ["sonnet"]',
        "slow": 'model = "opus"\nfallback = ["sonnet", "haiku"]\ntimeout = "5s"',
        "crashing": 'model = "haiku"\nfallback = []',
    }
    shop.plan(plan(models, defaults="retries = 3", head="jobs = 4"))
    said = shop.br3("run", "--yes")

    attempts: dict[str, list[tuple[str, str | None]]] = {name: [] for name in models}
    started = {(e.build, e.attempt): e.data["model"] for e in shop.events("attempt.started")}
    for event in sorted(shop.events("attempt.finished"), key=lambda e: e.ts):
        attempts[str(event.build)].append((started[event.build, event.attempt], event.data["cause"]))
    assert attempts["limited"] == [("sonnet", "rate_limit"), ("sonnet", None)], "it waits, and stays"
    assert attempts["long"] == [("claude-haiku-4-5", "context_too_long"), ("sonnet", None)], "a larger context"
    assert attempts["slow"][:1] == [("opus", "timeout")] and attempts["slow"][1][0] == "sonnet", "a faster model"
    assert attempts["crashing"] == [("haiku", "crash"), ("haiku", None)], "once more"
    assert all(build["verified"] for build in shop.status()["builds"].values())

    limit = next(e for e in shop.events("rate_limit.hit"))
    again = [e for e in shop.events("attempt.started") if e.build == "limited"][-1]
    waited = datetime.fromisoformat(again.ts) - datetime.fromisoformat(limit.ts)
    assert limit.data["wait_s"] == 1 and waited.total_seconds() >= 0.99
    assert {(e.build, e.data["from"], e.data["to"]) for e in shop.events("model.fallback")} >= {
        ("long", "claude-haiku-4-5", "sonnet"),
        ("slow", "opus", "sonnet"),
    }
    summary = shop.br3("telemetry", "summary", "--json").json
    assert summary["success_rate"] == 1.0 and summary["rate_limits"] == 1 and summary["timeouts"] >= 1
    assert "rate limit" in said.err and "claude-haiku-4-5 → sonnet" in said.err
    assert sorted(shop.br3("merge", "--json").json["landed"]) == sorted(models)
