"""``br3 report``: its figures are those of status, runs and costs; whatever a run has come to, it reads well."""

from __future__ import annotations

import fcntl
import json
import os
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from br3.telemetry.journal import segments
from tests.conftest import PYTHON, Scratch, shell_plan, until, writing
from tests.integration.reported import BUDGET, HOSTILE, SECRET, report_worthy
from tests.integration.test_requests import PR, Hosted


@pytest.fixture
def reported(tmp_path_factory: pytest.TempPathFactory, sealed: Path) -> Scratch:
    """The run of ``reported``, made once for all tests and all their processes; they only read of it."""
    base = tmp_path_factory.getbasetemp()
    root = (base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base) / "reported"
    root.mkdir(exist_ok=True)
    repo = Scratch(root / "project")
    with open(root / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (root / "made").exists():
            repo.path.mkdir()
            repo.git("init", "--quiet")
            repo.write("README.md", "# project\n")
            repo.commit("begin")
            report_worthy(repo, root / "tools")
            (root / "made").touch()
    return repo


@pytest.fixture
def shape(reported: Scratch) -> dict[str, Any]:
    return reported.br3("report", "--json").json


def cells(html: str, build: str) -> list[str]:
    """The row of a build in the table of builds, as text."""
    row = next(row for row in html.split("<tr>") if f">{build}</a>" in row)
    return [re.sub(r"<[^>]*>", "", cell) for cell in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row)]


def test_builds_are_as_br3_status_has_them(reported: Scratch, shape: dict[str, Any]) -> None:
    status = reported.status()
    assert [shape["run"], shape["state"], shape["plan"]] == [status[key] for key in ("run", "state", "plan")]
    assert [build["id"] for build in shape["builds"]] == list(status["builds"])
    for build in shape["builds"]:
        told = status["builds"][build["id"]]
        for key in ("commit", "verified", "landed", "tests", "tokens", "aside"):
            assert build[key] == told[key], (build["id"], key)
        assert _same(build["cost_usd"], told["cost_usd"])
        tasks = {task["id"]: (task["state"], task["attempts"]) for task in build["tasks"] if task["attempts"]}
        assert tasks == {task["id"]: (task["state"], task["attempts"]) for task in told["tasks"]}


def test_runs_and_sums_are_as_br3_runs_and_costs_have_them(reported: Scratch, shape: dict[str, Any]) -> None:
    assert shape["runs"] == reported.br3("runs", "--json").json["runs"]
    by_run = {row["key"]: row for row in reported.br3("costs", "--by", "run", "--json").json["rows"]}
    assert _same(shape["spent"]["usd"], by_run[shape["run"]]["cost_usd"])
    by_model = reported.br3("costs", "--json").json
    assert _same(shape["spent"]["usd"], by_model["total_usd"])
    assert [(m["model"], m["cost_usd"], m["cache_read_tokens"]) for m in shape["models"]] == [
        (row["key"], row["cost_usd"], row["cache_read_tokens"]) for row in by_model["rows"]
    ]
    budgets = {row["key"]: row for row in reported.br3("costs", "--budget", "--json").json["rows"]}
    assert _same(shape["spent"]["usd"], budgets["(run)"]["cost_usd"])
    assert _same(shape["budget_usd"], budgets["(run)"]["budget_usd"]) and _same(shape["budget_usd"], BUDGET)
    for build in shape["builds"]:
        assert _same(build["cost_usd"], budgets.get(build["id"], {}).get("cost_usd"))


def test_payments_add_up_to_what_was_spent(shape: dict[str, Any]) -> None:
    paid = [Decimal(payment["usd"]) for payment in shape["payments"] if payment["usd"] is not None]
    assert _same(str(sum(paid)), shape["spent"]["usd"]) and len(paid) == 7
    assert [p["at"] for p in shape["payments"]] == sorted(p["at"] for p in shape["payments"])
    assert shape["spent"]["silent_attempts"] == 1, "quiet told nothing"


def test_the_page_shows_these_figures(reported: Scratch, shape: dict[str, Any], tmp_path: Path) -> None:
    said = reported.br3("report", "-o", str(tmp_path / "report.html"))
    assert said.out == "" and said.err == f"written: {tmp_path / 'report.html'}\n"
    html = (tmp_path / "report.html").read_text()
    assert html.startswith("<!DOCTYPE html>")
    storage, quiet = cells(html, "storage"), cells(html, "quiet")
    assert storage[1:] == [
        *("✓ landed", "2/2", "50 min", "0.62 – 1.40 USD", "–", "531,300", "0.93 USD"),
        storage[-1],
    ]
    assert quiet[6:8] == ["–", "unknown"], "what nobody knows is not 0"
    assert "at least 1.67 USD" in html and "1 attempt did not say what it took" in html
    assert shape["spent"]["usd"] == "1.666"
    assert "83% of 2.00 USD" in html
    assert "✗ failed (budget)" in html and "over the build&#x27;s budget" in html.replace("'", "&#x27;")
    for section in ("Timeline", "Paid by model", "Tokens by kind", "Every pair of builds", "Estimate and actual"):
        assert section in html
    assert re.search(r"<title>search and guide: there was a conflict: README.md</title>", html)
    assert "<title>dear: 0.26 USD of 0.0700 USD – 0.21 USD, above P90</title>" in html


def test_who_conflicts_is_as_committed_and_who_landed_meets_nobody(shape: dict[str, Any]) -> None:
    found = {
        (m["a"], m["b"]): (m["state"], m["seen"], m["files"] or m["seen_files"]) for m in shape["conflicts"]["meetings"]
    }
    assert found == {
        ("main", "guide"): ("conflict", False, ["README.md"]),
        ("main", "dear"): ("none", False, []),
        ("guide", "dear"): ("none", False, []),
        ("search", "guide"): ("landed", True, ["README.md"]),
    }


def test_what_was_estimated_stands_beside_what_it_came_to(shape: dict[str, Any]) -> None:
    money = shape["outcomes"][0]
    assert money["unit"] == "USD"
    taken = {one["build"]: (one["estimated"]["p50"], one["taken"]) for one in money["kept"]}
    for build, both in {"storage": (0.62, 0.93), "guide": (0.03, 0.021), "dear": (0.07, 0.26)}.items():
        assert taken.pop(build) == pytest.approx(both)
    assert not taken
    assert round(money["coverage_p90"], 2) == 0.67
    assert {one["build"] for one in shape["outcomes"][1]["kept"]} == {"storage", "guide", "dear"}


def test_the_timeline_has_phases_attempts_a_repair_and_the_landing(shape: dict[str, Any]) -> None:
    rows = {row["label"]: row for row in shape["timeline"]}
    kinds = {name: [bar["kind"] for bar in row["phases"]] for name, row in rows.items()}
    assert kinds["search"] == ["preparing", "running", "verifying", "repairing", "verifying"] or kinds["search"] == [
        *("preparing", "preparing", "running", "verifying", "repairing", "verifying")
    ]
    assert [bar["kind"] for bar in rows["storage"]["attempts"]] == ["succeeded", "failed", "succeeded"]
    assert "landing" in kinds["main"]
    assert {"landed", "released"} == {mark["kind"] for mark in rows["main"]["marks"]}
    assert "aside" in {mark["kind"] for mark in rows["guide"]["marks"]}
    for row in shape["timeline"]:
        for bar in (*row["phases"], *row["attempts"]):
            assert bar["began"] <= bar["ended"]


def test_the_checklist_is_as_br3_finish_saw_it(reported: Scratch, shape: dict[str, Any]) -> None:
    assert [check["met"] for check in shape["checklist"]] == [True, True, False, None]
    out = reported.br3("report").out
    assert "- ✓ the index is there: `test -e search/index.txt` → 0" in out
    assert "- ✗ the guide is there" in out and "- ? somebody has read it: nobody was asked" in out


def test_markdown_is_printed_and_says_the_most_first(reported: Scratch) -> None:
    out = reported.br3("report").out
    lines = out.splitlines()
    assert lines[:3] == ["<!-- br3 report -->", "", "# week 1: 3 of 5 builds landed on main, released as v1.0.0"]
    assert "**Paid: at least 1.67 USD**, 691,100 tokens; budget: at least 83% of 2.00 USD" in out
    assert re.search(r"^\| dear +\| ✗ failed \| 0/1 ", out, re.MULTILINE)
    assert "- search and guide: there was a conflict in `README.md`" in out
    assert "- guide: put aside by the last merge: conflicts with search in README.md" in out
    assert len(lines) < 60


def test_no_secret_and_no_foreign_markup_is_in_any_form(reported: Scratch, tmp_path: Path) -> None:
    reported.br3("report", "-o", str(tmp_path / "r.html"))
    forms = [(tmp_path / "r.html").read_text(), reported.br3("report").out, reported.br3("report", "--json").out]
    # Counted, since a failing "not in" would compare long texts letter by letter.
    assert [form.count(SECRET) for form in forms] == [0, 0, 0]
    assert "What costs more than it may" in forms[0] and "What costs more than it may" in forms[2]
    assert [form.count("<script>") for form in forms[:2]] == [0, 0]
    assert json.loads(forms[2])["builds"][2]["title"] == HOSTILE


def test_a_run_is_named_by_the_beginning_of_its_id(reported: Scratch) -> None:
    run = reported.br3("status", "--json").json["run"]
    assert reported.br3("report", run[:17], "--json").json["run"] == run
    said = reported.br3("report", "1999", code=2)
    assert "no run begins with '1999'" in said.err


def test_run_ids_are_completed(reported: Scratch) -> None:
    run = reported.br3("status", "--json").json["run"]
    asked = {"_BR3_COMPLETE": "bash_complete", "COMP_WORDS": f"br3 report {run[:9]}", "COMP_CWORD": "2"}
    assert f"plain,{run}" in reported.br3("--help", env=asked, code=None).out


def test_only_a_report_is_written_over(reported: Scratch, tmp_path: Path) -> None:
    mine = tmp_path / "mine.md"
    mine.write_text("my notes\n")
    said = reported.br3("report", "-o", str(mine), code=3)
    assert "is there already and is not a report of br3" in said.err and "--force" in said.err
    assert mine.read_text() == "my notes\n"
    reported.br3("report", "-o", str(mine), "--force")
    assert mine.read_text().startswith("<!-- br3 report -->")
    reported.br3("report", "-o", str(mine))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine.md"], "no draft is left"
    assert "a report is .html or .md" in reported.br3("report", "-o", str(tmp_path / "r.pdf"), code=2).err


def test_without_any_run_it_says_what_to_do(repo: Scratch) -> None:
    assert "nothing has been run in this repository yet" in repo.br3("report", code=2).err


def test_a_run_that_is_still_at_work_reads_so(repo: Scratch, tmp_path: Path, tracked: str) -> None:
    paid = """echo '{"model": "claude-haiku-4-5", "input_tokens": 5, "cost_usd": "0.30"}' >> $BR3_USAGE_FILE"""
    sleep = f"{PYTHON} -c 'import time; time.sleep(600)'"
    repo.plan(shell_plan({"done": f"{writing('a')}; {paid}", "going": sleep}))
    run = repo.start("run", "--trust")
    until(lambda: repo.events("build.verified") and [e for e in repo.events("attempt.started") if e.build == "going"])
    shape = repo.br3("report", "--json").json
    assert (shape["state"], shape["ended"]) == ("running", None)
    assert shape["spent"] == {"usd": "0.30", "unpriced_tokens": 0, "silent_attempts": 1}, "going told nothing yet"
    going = next(row for row in shape["timeline"] if row["label"] == "going")
    assert going["attempts"][0]["kind"] == "running"
    assert going["attempts"][0]["ended"] > going["attempts"][0]["began"], "until now"
    out = repo.br3("report").out
    assert "still at work: these are the figures of the moment above" in out and "and not ended" in out
    assert "**Paid: at least 0.30 USD**" in out and "(1 attempt did not say what it took)" in out
    repo.br3("report", "-o", str(tmp_path / "r.html"))
    assert "▸ running" in (tmp_path / "r.html").read_text()
    run.terminate()
    run.communicate()


def test_a_landing_is_drawn_until_now_while_somebody_lands_and_not_after(repo: Scratch) -> None:
    def landing() -> dict[str, Any]:
        shape = repo.br3("report", "--json").json
        bar = next(row for row in shape["timeline"] if row["label"] == "main")["phases"][-1]
        return {**bar, "now": shape["made_at"]}

    gate, go = repo.path.parent / "gate", repo.path.parent / "go"
    hold = f"test ! -e {gate} || until test -e {go}; do {PYTHON} -c 'import time; time.sleep(0.05)'; done"
    plan = shell_plan({"a": writing("a"), "b": writing("b")})
    repo.plan(plan.replace('[verify]\nrun = ["true"]', f"[verify]\nrun = [{json.dumps(hold)}]", 1))
    repo.br3("run", "--trust")
    gate.touch()
    process = repo.start("merge")
    until(lambda: repo.events("landing.started"))
    seen = landing()
    assert seen["label"] == "landing on main, at work" and seen["ended"] == seen["now"] > seen["began"]
    process.kill()
    process.communicate()
    cut = landing()
    assert cut["label"] == "landing on main, without an end" and cut["ended"] < seen["now"]
    go.touch()


def test_work_by_hand_and_a_squashed_landing_read_well(repo: Scratch) -> None:
    plan = shell_plan({"a": writing("a.txt")}, extra='strategy = "squash"')
    plan += '[[build]]\nid = "hand"\nagent = "manual"\nprompt = "Do it."\n[build.verify]\nrun = ["true"]\n'
    repo.plan(plan)
    repo.br3("up", "--trust")
    repo.write("hand.txt", "by hand\n", root=repo.worktree("hand"))
    repo.commit("by hand", cwd=repo.worktree("hand"))
    prepared = repo.br3("report").out
    assert "prepared, not dispatched: done by hand" in prepared and "**Paid: nothing yet**" in prepared
    repo.br3("run")
    repo.br3("verify", "hand")
    repo.br3("merge")
    shape = repo.br3("report", "--json").json
    builds = {build["id"]: build for build in shape["builds"]}
    assert builds["a"]["landed"] and builds["hand"]["landed"]
    assert builds["a"]["landed_as"] != builds["a"]["commit"], "squashed: another commit brought it"
    assert repo.git("merge-base", "--is-ancestor", builds["a"]["landed_as"], "main") == ""
    assert [task["state"] for task in builds["hand"]["tasks"]] == ["completed"]
    row = next(line for line in repo.br3("report").out.splitlines() if line.startswith("| hand "))
    assert "✓ landed" in row and "| 1/1" in row and "0.00" not in row


def test_what_waits_for_a_pull_request_says_where(
    repo: Scratch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hosted = Hosted(repo, tmp_path, monkeypatch)
    hosted.run(shell_plan({"a": writing("a")}, head=PR))
    hosted.on("git@github.com:o/r.git", "gh")
    repo.br3("merge")
    out = repo.br3("report").out
    assert "1 of 1 build verified, none landed yet" in out
    assert "- a: request https://github.com/o/r/pull/1" in out


def test_a_cost_that_is_known_in_part_is_so_wherever_it_is_told(repo: Scratch) -> None:
    told = [{"model": "m", "cost_usd": "a lot"}, {"model": "m", "input_tokens": 5, "cost_usd": "1.25"}]
    paid = [f"echo '{json.dumps(line)}' >> $BR3_USAGE_FILE" for line in told]
    repo.plan(shell_plan({"a": "; ".join([*paid, writing("a")]), "b": f"{paid[1]}; {writing('b')}"}))
    repo.br3("run", "--trust")
    status = repo.status()["builds"]
    assert [(b["cost_usd"], b["known_usd"]) for b in status.values()] == [(None, "1.25"), ("1.25", "1.25")]
    assert "≥ 1.25 USD" in repo.br3("status").out and "≥ 2.50 USD" in repo.br3("runs").out
    (run,) = repo.br3("runs", "--json").json["runs"]
    assert (run["cost_usd"], run["known_usd"]) == (None, "2.50")
    for figures in (["costs"], ["costs", "--by", "build"], ["telemetry", "summary"], ["report"]):
        said = " ".join(repo.br3(*figures).out.split())
        assert "at least 2.50 USD" in said and "1 attempt did not say what it took" in said, figures
    out = repo.br3("report").out
    assert "at least 1.25 USD" in out
    assert repo.br3("report", "--json").json["spent"] == {"usd": "2.50", "unpriced_tokens": 0, "silent_attempts": 1}


def test_what_earlier_runs_did_for_the_plan_counts(repo: Scratch) -> None:
    def plan(second: str) -> str:
        paid = """echo '{"model": "m-1", "input_tokens": 5, "cost_usd": "0.25"}' >> $BR3_USAGE_FILE"""
        return shell_plan({"a": f"{writing('a')}; {paid}", "b": f"{paid}; {second}"})

    repo.plan(plan("exit 1"))
    repo.br3("run", "--trust", code=1)
    repo.plan(plan(writing("b")))
    repo.br3("run", "--trust")
    shape = repo.br3("report", "--json").json
    assert len(shape["runs"]) == 2 and shape["runs"][0]["continues"] == shape["runs"][1]["run"]
    status = repo.status()["builds"]
    assert _same(shape["spent"]["usd"], str(sum(Decimal(b["cost_usd"]) for b in status.values())))
    runs = [Decimal(run["cost_usd"]) for run in shape["runs"]]
    assert _same(shape["spent"]["usd"], str(sum(runs)))
    first = repo.br3("report", shape["runs"][1]["run"], "--json").json
    assert len(first["runs"]) == 1 and _same(first["spent"]["usd"], str(runs[1]))


def test_a_release_is_named_where_what_landed_is_in_it(repo: Scratch) -> None:
    release = '[release]\ntag = "v1"\n'
    repo.plan(shell_plan({"a": writing("a")}) + release)
    repo.br3("run", "--trust")
    repo.br3("finish")
    assert "1 of 1 build landed on main, released as v1\n" in repo.br3("report").out
    repo.plan(shell_plan({"a": writing("a", "more")}) + release)
    repo.br3("run", "--trust")
    assert "1 of 1 build verified, none landed yet\n" in repo.br3("report").out
    repo.br3("merge")
    assert "1 of 1 build landed on main\n" in repo.br3("report").out


def _same(one: str | None, other: str | None) -> bool:
    """Whether two amounts are the same, or both are not known."""
    return one is other if one is None or other is None else Decimal(one) == Decimal(other)


def test_a_run_that_goes_on_with_one_whose_beginning_is_lost_has_a_report(repo: Scratch) -> None:
    repo.plan(shell_plan({"a": "false"}))
    repo.br3("run", "--trust", code=1)
    repo.br3("run", code=1)
    lost = repo.events("run.created")[0]
    for segment in segments(repo.common_dir).values():
        path = Path(segment.path)
        events = [json.loads(line) for line in path.read_text().splitlines()]
        kept = [event for event in events if (event["kind"], event["run"]) != (lost.kind, lost.run)]
        path.write_text("".join(f"{json.dumps(event)}\n" for event in kept))
    assert lost.run in [run["run"] for run in repo.br3("report", "--json").json["runs"]]
    repo.br3("report")
