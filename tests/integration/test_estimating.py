"""What is said before money is spent, what is asked, and what orchestrators make of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Scratch, shell_plan, toml, writing
from tests.integration.test_agents_running import DONE, Fake, claude, done, plan
from tests.integration.test_estimate_ratings import GOOD, Api, api, server

__all__ = ["api", "claude", "server"]  # fixtures

SOURCES = {
    "app/parser.py": "def parse_query(text):\n    return text.split()\n",
    "app/cache.py": "def cached_lookup(key):\n    return key\n",
    "app/render.py": "def render_page(page):\n    return page\n",
}


@pytest.fixture
def filled(repo: Scratch) -> Scratch:
    for name, text in SOURCES.items():
        repo.write(name, text)
    repo.commit("sources")
    return repo


def build(name: str, prompt: str, more: str = "") -> str:
    return f'[[build]]\nid = "{name}"\nprompt = {toml(prompt)}\n{more}\n'


HEAD = '[plan]\nname = "t"\n{}\n[defaults]\nagent = "claude"\n{}\n[verify]\nrun = ["true"]\n'


# br3 estimate


def test_builds_are_estimated_with_files_reasons_and_a_model(filled: Scratch) -> None:
    filled.plan(HEAD.format("", "") + build("a", "Fix parse_query in app/parser.py") + build("b", "Speed up the cache"))
    found = filled.br3("estimate", "--json").json["builds"]
    assert [one["id"] for one in found] == ["a", "b"]
    first = found[0]
    assert first["files"][0]["path"] == "app/parser.py"
    assert first["level"] in ("simple", "moderate", "complex") and 0 <= first["score"] <= 100
    assert first["minutes"]["p50"] <= first["minutes"]["p90"]
    for cost in first["cost_usd"].values():
        assert 0 < Decimal(cost["p50"]) <= Decimal(cost["p90"])
        assert 0 < cost["tokens_p50"] <= cost["tokens_p90"]
    assert first["policy"][0] == first["model"] and len(first["reasons"]) == 3
    assert first["own_runs"] == 0 and first["prior_only"]
    assert filled.br3("estimate", "--json").json["builds"] == found  # the same, whenever it is asked
    said = filled.br3("estimate", "a").out
    assert "app/parser.py" in said and "prior only" in said and " b " not in said


def test_a_sentence_is_estimated_without_a_plan(filled: Scratch) -> None:
    said = filled.br3("estimate", "Rotate the secrets and drop the users table in a migration")
    assert "this   " in said.out and "! touches" in said.out
    piped = subprocess.run(
        [sys.executable, "-P", "-m", "br3", "estimate", "-", "--json"],
        cwd=filled.path,
        input=b"Fix \xff\x00 the cache",
        capture_output=True,
        check=True,
    )
    assert json.loads(piped.stdout)["builds"][0]["id"] is None


def test_more_ground_never_lowers_the_estimate(filled: Scratch) -> None:
    costs = []
    for owns in ('["app/parser.py"]', '["app/**"]', '["**"]'):
        filled.plan(HEAD.format("", "") + build("a", "Fix it all", f"owns = {owns}"))
        found = filled.br3("estimate", "--json").json["builds"][0]
        costs.append(Decimal(found["cost_usd"]["opus"]["p50"]))
    assert costs == sorted(costs)


def test_builds_that_will_probably_meet_are_told_before_they_begin(filled: Scratch) -> None:
    text = "Change parse_query in app/parser.py"
    filled.plan(
        HEAD.format("", "") + build("a", text) + build("b", text) + build("c", "Change app/render.py render_page")
    )
    for words in (["estimate"], ["plan", "check"]):
        assert "a and b will probably both touch app/parser.py" in filled.br3(*words).err
    data = filled.br3("estimate", "--json").json
    assert data["overlaps"][0]["a"] == "a" and data["overlaps"][0]["b"] == "b"
    assert data["landing_order"][0] == "c"
    apart = build("a", text, 'owns = ["app/parser.py"]') + build("b", text, 'owns = ["app/cache.py"]')
    filled.plan(HEAD.format("", "") + apart)
    assert filled.br3("plan", "check", "--json").json["overlaps"] == []
    filled.plan(HEAD.format("", "") + build("a", text) + build("b", text, 'needs = ["a"]'))
    assert filled.br3("estimate", "--json").json["overlaps"] == []


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["estimate", ""], 2, "there is no text to estimate"),
        (["estimate", "   "], 2, "there is no text to estimate"),
        (["estimate", "nobody"], 2, "the plan has no build 'nobody'"),
        (["estimate", "--replay", "gone.jsonl"], 2, "gone.jsonl can't be read"),
        (["route", ""], 2, "there is no text to estimate"),
        (["models", "nonsense"], 1, "no model is called like 'nonsense'"),
    ],
)
def test_bad_input_is_one_clear_line(filled: Scratch, words: list[str], code: int, says: str) -> None:
    filled.plan(HEAD.format("", "") + build("a", "Do it"))
    said = filled.br3(*words, code=code)
    assert says in said.err and "Traceback" not in said.all


def test_a_repository_without_history_and_one_of_one_file(tmp_path: Path) -> None:
    empty = Scratch(tmp_path / "empty")
    empty.path.mkdir()
    empty.git("init", "--quiet")
    assert "the repository has no commit yet" in empty.br3("estimate", "Do it all", code=2).err
    empty.write("one.py", "x = 1\n")
    empty.commit("one")
    assert empty.br3("estimate", "Do it all", "--json").json["builds"][0]["score"] >= 0


def test_a_megabyte_of_text_and_binary_files_are_estimated(filled: Scratch) -> None:
    (filled.path / "blob.bin").write_bytes(os.urandom(200_000))
    filled.commit("binary")
    filled.write("prompt.md", "Fix the parser. " * 65_536)
    filled.plan(HEAD.format("", "") + '[[build]]\nid = "a"\nprompt_file = "prompt.md"\n')
    assert filled.br3("estimate", "--json").json["builds"][0]["score"] <= 100


def test_an_analytics_file_from_another_version_is_told_and_done_without(filled: Scratch) -> None:
    path = filled.common_dir / "br3" / "analytics.duckdb"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"not a database at all")
    said = filled.br3("estimate", "Fix the parser")
    assert "own runs could not be read" in said.err and "prior only" in said.out


def test_past_runs_are_replayed_one_after_the_other(repo: Scratch, tmp_path: Path) -> None:
    rows = [
        {"id": f"r{n}", "text": "Fix it " * n, "repo": {}, "model": "opus", "cost_usd": 0.5 + n / 50, "minutes": 5}
        for n in range(1, 21)
    ]
    path = tmp_path / "runs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    data = repo.br3("estimate", "--replay", str(path), "--json").json
    assert [one["id"] for one in data["estimates"]] == [row["id"] for row in rows]
    assert data["metrics"]["cost_usd"]["runs"] == 20
    assert "coverage_p90" in repo.br3("estimate", "--replay", str(path)).out
    path.write_text('{"id": 1}\n')
    assert f"{path}:1:" in repo.br3("estimate", "--replay", str(path), code=2).err


# br3 route, br3 models


def test_a_task_is_routed_with_reason_and_alternatives(filled: Scratch) -> None:
    data = filled.br3("route", "Rename a variable in app/cache.py", "--json").json
    assert data["ways"][0]["models"][0] == data["model"]
    costs = [float(way["expected_usd"]) for way in data["ways"]]
    assert costs[0] == min(costs) and all(0 <= way["chance"] <= 1 for way in data["ways"])
    assert filled.events("model.selected")[-1].data["reason"] == data["reason"]
    risky = filled.br3("route", "Delete the users table in a migration of the database", "--json").json
    assert risky["model"] == "opus" and risky["critical"]


def test_a_named_model_is_taken_with_a_warning_and_a_limit_is_kept(filled: Scratch) -> None:
    said = filled.br3("route", "Rename a variable", "--model", "opus")
    assert said.out.startswith("opus") and "warning:" in said.err
    cheap = filled.br3("route", "Rename a variable", "--cost-limit", "0.02", "--json").json
    assert cheap["model"] == "haiku" and cheap["ways"][0]["models"] == ["haiku"]


def test_models_are_listed_with_prices_and_what_can_be_used(repo: Scratch, claude: Fake) -> None:
    found = {row["alias"]: row for row in repo.br3("models", "--json").json["models"]}
    assert found["sonnet"]["id"] == "claude-sonnet-5-5" and found["sonnet"]["usable"]
    assert found["sonnet"]["agents"] == {"claude": "yes"}
    assert Decimal(found["opus"]["input_usd"]) > Decimal(found["haiku"]["input_usd"])
    assert found["sol"]["agents"] == {"codex": "not installed"} and not found["sol"]["usable"]
    assert len(repo.br3("models", "--all", "--json").json["models"]) > 100
    asked = repo.br3("models", "sonnet-5-5", "--json").json["models"]
    assert {row["id"] for row in asked} == {"claude-sonnet-5-5", "bedrock/claude-sonnet-5-5"}


# the gate of br3 run


def test_a_run_shows_what_it_will_take_and_what_it_took(filled: Scratch, claude: Fake) -> None:
    claude.steps(a=[done(usd="0.25")])
    filled.plan(plan())
    said = filled.br3("run", "--trust")
    assert "cost P50–P90" in said.err and "prior only" in said.err
    assert "estimated" in said.out
    made = filled.events("estimate.made")[0]
    assert (made.build, made.data["model"]) == ("a", "sonnet")
    assert Decimal(made.data["cost_p50_usd"]) < Decimal(made.data["cost_p90_usd"])
    filled.br3("run", "--trust")
    assert len(filled.events("estimate.made")) == 1
    report = filled.br3("estimate", "--report", "--json").json
    assert [run["took_usd"] for run in report["runs"]] == ["0.250000"]
    picture = filled.path / "report.svg"
    assert "runs estimated        1" in filled.br3("estimate", "--report", "--svg", str(picture)).out
    assert ElementTree.parse(picture).getroot().tag.endswith("svg")


def test_a_build_that_joins_an_unfinished_run_is_estimated_too(filled: Scratch, claude: Fake) -> None:
    claude.steps(a=[done(usd="0.25")], b=[done("b.txt", usd="0.25")])
    by_hand = 'agent = "manual"\n[build.verify]\nrun = ["true"]'
    filled.plan(HEAD.format("", "") + build("a", "Write it.") + build("b", "Write it.") + build("m", "Look.", by_hand))
    filled.br3("run", "a", "m", "--trust")
    (run,) = {e.run for e in filled.events("run.paused")}
    filled.br3("run", "b")
    assert [(e.run, e.build) for e in filled.events("estimate.made")] == [(run, "a"), (run, "b")]
    kept = json.loads((filled.common_dir / "br3" / "runs" / str(run) / "estimates.json").read_text())
    assert set(kept) == {"a", "b"}


@pytest.mark.parametrize("head", ["budget_usd = 0.01", "daily_budget_usd = 0.01", "confirm", "build"])
def test_what_may_cost_more_than_it_should_is_not_begun_unattended(filled: Scratch, claude: Fake, head: str) -> None:
    claude.steps(a=[done(usd="0.001")])
    text = plan(head=head if "_usd" in head else "", owns="budget_usd = 0.01" if head == "build" else "")
    text += "[estimate]\nconfirm_above_usd = 0.01\n" if head == "confirm" else ""
    filled.plan(text)
    said = filled.br3("run", "--trust", code=4)
    assert "nothing was begun" in said.err and "br3 run --yes" in said.err
    assert claude.calls() == [] and filled.events("run.created") == []
    filled.br3("run", "--trust", "--yes")
    assert len(claude.calls()) == 1


def test_what_stands_in_the_way_of_an_estimate_does_not_stand_in_that_of_the_work(
    filled: Scratch, claude: Fake
) -> None:
    claude.steps(a=[done()])
    filled.plan(plan())
    (filled.common_dir / "br3").mkdir(exist_ok=True)
    (filled.common_dir / "br3" / "estimate").write_text("in the way")
    said = filled.br3("run", "--trust")
    assert len(claude.calls()) == 1
    assert "there is no estimate" in said.err or "cost P50–P90" in said.err


def test_agents_without_a_price_are_not_held_up(filled: Scratch) -> None:
    filled.plan(shell_plan({"a": writing("a.txt")}, head="budget_usd = 0.0001"))
    said = filled.br3("run", "--trust")
    assert "cost P50" not in said.all and filled.events("estimate.made") == []


def test_an_open_model_begins_cheap_and_hands_on_what_the_verification_refuses(filled: Scratch, claude: Fake) -> None:
    claude.steps(a=[done(text="0\n"), done(text="good\n")])
    filled.plan(
        plan(defaults='model = "auto"').replace(
            'run = ["true"]', f"run = [{toml('read line < agent.txt; test $line = good')}]"
        )
    )
    filled.br3("run", "--trust", "--yes")
    order = filled.events("model.selected")[0].data["order"]
    assert order[0] == "haiku" and order[-1] == "opus"
    assert claude.asked("--model") == ["haiku", order[1]]
    assert filled.events("model.selected")[0].data["reason"].startswith("haiku first")


@pytest.mark.parametrize(
    ("policy", "prompt", "model"),
    [
        ("best", "Write.", "opus"),
        ("cascade", "Write.", "haiku"),
        ("fixed", "Write.", None),
        ("cascade", "Write the migration that deletes users and their passwords.", "opus"),
    ],
)
def test_the_policy_says_who_begins(filled: Scratch, claude: Fake, policy: str, prompt: str, model: str | None) -> None:
    claude.steps(a=[done()])
    filled.plan(plan(defaults=f'model = "auto"\npolicy = "{policy}"').replace('"Write."', toml(prompt)))
    filled.br3("run", "--trust", "--yes")
    assert claude.asked("--model") == [model]


def test_own_runs_stop_what_is_dearer_than_nearly_all_of_its_kind(filled: Scratch, claude: Fake, tracked: str) -> None:
    for number in range(6):
        claude.steps(**{f"b{number}": [done(f"f{number}", usd="0.10")]})
        text = plan().replace('id = "a"', f'id = "b{number}"')
        filled.plan(text)
        filled.br3("run", "--trust", "--yes")
        filled.br3("costs")  # takes up what the run has left
    turn = {"type": "result", **DONE, "total_cost_usd": 40.0, "modelUsage": {"claude-sonnet-5-5": {"costUSD": 40.0}}}
    step: dict[str, Any] = {"write": {"kept.txt": "x"}, "lines": [turn], "until": "never"}
    claude.steps(a=[step])
    filled.plan(plan())
    said = filled.br3("run", "--trust", "--yes", code=4)
    assert "from 6 own runs" in filled.br3("estimate", "a").out
    assert [e.data["scope"] for e in filled.events("budget.exceeded")] == ["estimate"]
    assert "[estimate] stop_at" in said.err
    assert filled.git("show", "build/a:kept.txt") == "x"


# with Claude


def test_ratings_are_asked_for_once_recorded_as_usage_and_change_the_estimate(
    filled: Scratch, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    asking = api.scenario({"text": GOOD, "usage": {"input_tokens": 700, "output_tokens": 30}})
    monkeypatch.setenv("ANTHROPIC_BASE_URL", str(asking.base_url))
    (filled.path / ".env").write_text("ANTHROPIC_API_KEY=" + "sk-" + "ant-loopback-only\n")
    offline = filled.br3("estimate", "Fix parse_query in app/parser.py", "--json").json["builds"][0]
    rated = filled.br3("estimate", "Fix parse_query in app/parser.py", "--ai", "--json").json["builds"][0]
    assert offline["ratings"] is None
    assert rated["ratings"] == {"debugging_complexity": 4, "codebase_scope": 2, "solution_hint": 1}
    assert rated["score"] != offline["score"]
    (usage,) = filled.events("usage.recorded")
    assert (usage.data["input_tokens"], usage.data["output_tokens"]) == (700, 30)
    assert Decimal(usage.data["cost_usd"]) > 0 and usage.build is None
    again = filled.br3("estimate", "Fix parse_query in app/parser.py", "--ai", "--json").json["builds"][0]
    assert again == rated and len(api.asked()) == 1 and len(filled.events("usage.recorded")) == 1
    costs = filled.br3("costs", "--json").json
    assert Decimal(costs["total_usd"]) == Decimal(usage.data["cost_usd"]) and costs["unanswered_requests"] == 0
    everything = "".join(path.read_text() for path in (filled.common_dir / "br3" / "journal").iterdir())
    assert "loopback-only" not in everything


@pytest.mark.parametrize(
    ("key", "says"), [("", "there is no ANTHROPIC_API_KEY"), ("'quoted'", "ANTHROPIC_API_KEY has quotes in it")]
)
def test_without_ratings_the_estimate_is_offline_and_says_so(
    filled: Scratch, monkeypatch: pytest.MonkeyPatch, key: str, says: str
) -> None:
    if key:
        monkeypatch.setenv("ANTHROPIC_API_KEY", key)
    said = filled.br3("estimate", "Fix the parser", "--ai")
    assert f"without Claude's ratings: {says}" in said.out
    assert filled.events("usage.recorded") == []


def test_a_server_that_fails_is_one_line_and_an_offline_estimate(
    filled: Scratch, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    asking = api.scenario({"status": 401})
    monkeypatch.setenv("ANTHROPIC_BASE_URL", str(asking.base_url))
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-" + "ant-loopback-only")
    said = filled.br3("estimate", "Fix the parser", "--ai")
    assert "without Claude's ratings: " in said.out and "Traceback" not in said.all
