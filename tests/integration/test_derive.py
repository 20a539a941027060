"""What is made of events: states, usage, metrics, imports, alerts, and the questions that people ask of them."""

from __future__ import annotations

import csv
import functools
import io
import itertools
import json
import signal
import subprocess
import sys
import tempfile
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from duckdb import DuckDBPyConnection
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from br3.analytics import alerts, fold, keeping, reports
from br3.analytics.alerts import Rules
from br3.analytics.store import analytics_path, reading
from br3.telemetry import Journal, read_events
from br3.telemetry.replay import ATTEMPT_MOVES, BUILD_MOVES, RUN_MOVES, TASK_MOVES, replay
from tests.conftest import EXAMPLES, Scratch, script, shell_plan, toml, writing
from tests.integration.journals import afresh, ask, at, attempt, held, line, segment

# -- states, usage and metrics are what the events say -----------------------------------------------------------------

pytestmark = pytest.mark.usefixtures("made_once")

TEXTS = st.sampled_from([None, "", "x", "é ✓", "y' \"z", "a\0b", "null", "5"])
MOMENTS = st.sampled_from([0, 1, 60, 1799.5, 3599.999999, 3600, 5000, 86_400, 6.5 * 86_400, 7 * 86_400 - 1, -3600])
COSTS = st.sampled_from([None, "0.1", "0.0000000001", "12.5", "1000000"])
TOKENS = st.sampled_from([None, 0, 7, 10**9])
MODELS = st.sampled_from([None, "m1", "m2"])
BUILDS = st.sampled_from(["a", "b"])
TASKS = st.sampled_from(["t", "u"])
INCIDENTS = {
    "error.occurred": "errors",
    "rate_limit.hit": "rate_limits",
    "timeout.occurred": "timeouts",
    "model.fallback": "fallbacks",
}
BUILD_FACTS = ("cause", "reason", "branch", "worktree", "commit", "start", "log", "hint")
TOKEN_KINDS = ("input_tokens", "output_tokens", "cache_write_tokens", "cache_read_tokens")

A_DAY = [
    *("run.created", "run.started", "build.preparing", "build.started", "task.started", "attempt.started"),
    *("usage.recorded", "usage.recorded", "attempt.finished", "task.completed", "build.verifying", "quality.passed"),
    *("build.verified", "run.completed"),
]
KIND = st.sampled_from(
    sorted({*RUN_MOVES, *BUILD_MOVES, *TASK_MOVES, *ATTEMPT_MOVES, *INCIDENTS, "quality.passed", "quality.failed"})
    + A_DAY
    + ["note", "estimate.made", "task.failed", "attempt.finished", "attempt.started"]
)


@st.composite
def happening(draw: st.DrawFn, kind: str) -> dict[str, Any]:
    """One event of a kind, of some run, build and task, at some time, in some generation."""
    told: dict[str, Any] = {"kind": kind, "ts": at(draw(MOMENTS)), "gen": draw(st.integers(0, 2))}
    told["run"] = draw(st.sampled_from(["r1", "r1", "r2"]))
    data: dict[str, Any] = {}
    if kind in RUN_MOVES:
        data = {name: draw(TEXTS) for name in draw(st.sets(st.sampled_from(["plan", "base", "continues", "reason"])))}
        if kind == "run.created":
            data["builds"] = draw(st.lists(st.sampled_from(["a", "b", "c"]), max_size=3))
        if not kind.endswith(("completed", "failed", "cancelled")):
            data.pop("reason", None)  # only an end has one
    elif kind in BUILD_MOVES or kind.startswith("quality."):
        told["build"] = draw(BUILDS)
        data = {name: draw(TEXTS) for name in draw(st.sets(st.sampled_from(BUILD_FACTS)))}
        if kind.startswith("quality."):
            data |= {"tests": {"passed": draw(st.integers(0, 5)), "failed": 0}, "coverage": draw(st.just(81.5))}
    elif kind in TASK_MOVES:
        told |= {"build": draw(BUILDS), "task": draw(TASKS)}
        data = {name: draw(TEXTS) for name in draw(st.sets(st.sampled_from(["title", "reason", "commit", "digest"])))}
    elif kind in ATTEMPT_MOVES or kind == "usage.recorded":
        told |= {"build": draw(BUILDS), "task": draw(TASKS), "attempt": draw(st.integers(1, 2))}
        if kind == "attempt.started":
            data = {"agent": "claude", "model": draw(st.sampled_from([None, "auto", "m1"])), "session": draw(TEXTS)}
        elif kind == "attempt.finished":
            data = {"outcome": draw(st.sampled_from(["succeeded", "failed"])), "cause": draw(TEXTS)}
            if draw(st.integers(0, 9)) == 0:
                del data["outcome"]
        else:
            data = {"model": draw(MODELS), "cost_usd": draw(COSTS), "source": "stream", "price": None}
            data |= {name: draw(TOKENS) for name in TOKEN_KINDS}
            if draw(st.integers(0, 3)) == 0:  # of no attempt: br3 itself has asked
                told |= {"run": None, "build": None, "task": None, "attempt": None}
    elif kind in INCIDENTS:
        told |= {"run": None, "build": draw(st.sampled_from([None, "a"]))}
    elif kind == "estimate.made":
        told["build"] = draw(BUILDS)
        data = {"model": draw(MODELS), "score": 2.5, "cost_p50_usd": draw(COSTS)}
    return {**told, "data": data}


@st.composite
def histories(draw: st.DrawFn) -> list[list[tuple[int, dict[str, Any]]]]:
    """Events in the order in which they come to be in the journal, by fold, each with who wrote it."""
    kinds = draw(st.one_of(st.just([]), st.just(A_DAY), st.permutations(A_DAY)))
    kinds = [*kinds, *draw(st.lists(KIND, max_size=25))]
    if draw(st.booleans()):
        kinds = list(draw(st.permutations(kinds)))
    events = [(draw(st.integers(0, 2)), draw(happening(kind))) for kind in kinds]
    cuts = sorted(draw(st.sets(st.integers(0, len(events)), max_size=3)))
    return [events[a:b] for a, b in itertools.pairwise([0, *cuts, len(events)])]


def moment(ts: str | None) -> datetime | None:
    return datetime.strptime(ts, "%Y-%m-%dT%H:%M:%S.%fZ") if ts else None


def states_by_replay(common_dir: Path) -> dict[str, dict[tuple[Any, ...], tuple[Any, ...]]]:
    """Runs, builds, and the tasks and attempts that have begun, as replaying the journal in Python gives them."""
    told: dict[str, dict[tuple[Any, ...], tuple[Any, ...]]] = {"runs": {}, "builds": {}, "tasks": {}, "attempts": {}}
    for run in replay(read_events(common_dir)).values():
        plan, base = run.facts.get("plan"), run.facts.get("base")
        continues = run.continues
        head = (run.state, run.reason, plan, base, continues, moment(run.created), moment(run.ended), len(run.builds))
        told["runs"][run.id,] = head
        for build in run.builds.values():
            quality = build.quality or {}
            tests = quality.get("tests") or {}
            told["builds"][run.id, build.id] = (
                *(build.state, build.cause, build.reason, build.branch, build.worktree, build.commit),
                *(moment(build.began), moment(build.since) if build.ended else None),
                *(tests.get("passed"), tests.get("failed"), quality.get("coverage")),
            )
            for task in build.tasks.values():
                begun = [tried for tried in task.attempts.values() if tried.state]
                known = task.state, task.title or None, task.reason, task.commit, task.carried, len(begun)
                if task.state != "pending":
                    told["tasks"][run.id, build.id, task.id] = known
                for tried in begun:
                    told["attempts"][run.id, build.id, task.id, tried.number] = (
                        *(tried.state, tried.started.get("agent"), tried.started.get("session")),
                        *(tried.finished.get("cause"), moment(tried.started_ts), moment(tried.finished_ts)),
                    )
    return told


def states_in_tables(common_dir: Path) -> dict[str, dict[tuple[Any, ...], tuple[Any, ...]]]:
    """The same from the analytics."""
    columns = {
        "runs": (1, "run, coalesce(state, ''), reason, plan, base, continues, created, ended, builds"),
        "builds": (
            2,
            'run, build, state, cause, reason, branch, worktree, "commit", started, ended, tests_passed, tests_failed, '
            "coverage",
        ),
        "tasks": (3, "run, build, task, state, nullif(title, ''), reason, \"commit\", carried, attempts"),
        "attempts": (4, "run, build, task, attempt, state, agent, session, cause, started, ended"),
    }
    with reading(common_dir) as db:
        return {
            table: {
                row[:width]: row[width:]
                for row in db.execute(f"SELECT {names} FROM {table}").fetchall()
                if (table, row[width]) != ("tasks", "pending")
            }
            for table, (width, names) in columns.items()
        }


def differing(one: dict[Any, Any], other: dict[Any, Any]) -> dict[Any, Any]:
    """Where two mappings differ, as pairs."""
    return {k: (one.get(k), other.get(k)) for k in one.keys() | other.keys() if one.get(k) != other.get(k)}


def metrics_by_hand(db: DuckDBPyConnection, begin_of: Any) -> dict[tuple[Any, ...], tuple[Any, ...]]:
    """The metrics of a period, recomputed from events alone; money in Decimal."""
    names = "gen, seq, ts, segment, kind, run, build, task, attempt, data"
    rows = db.execute(f"SELECT {names} FROM events ORDER BY gen, seq, ts, segment").fetchall()
    events = [dict(zip(names.split(", "), row, strict=True)) | {"data": json.loads(row[-1])} for row in rows]
    attempts: dict[Any, dict[str, Any]] = {}
    tasks: dict[Any, dict[str, Any]] = {}
    usage: dict[Any, dict[str, Any]] = {}
    for event in events:
        kind, data, place = event["kind"], event["data"], (event["run"], event["build"], event["task"])
        key = (*place, event["attempt"])
        if kind == "attempt.started":
            attempts.setdefault(key, {"began": event["ts"], "agent": data.get("agent"), "model": data.get("model")})
        elif kind == "attempt.finished" and key in attempts and data.get("outcome"):
            attempts[key].setdefault("ended", event["ts"])
            attempts[key].setdefault("outcome", data["outcome"])
        elif kind == "usage.recorded":
            if event["run"] is None:
                key = (None, None, event["segment"], event["seq"])
            row = usage.setdefault((key, data["model"]), {"ts": event["ts"], "cost": None, "unpriced": 0})
            row["ts"] = max(row["ts"], event["ts"])
            for name in TOKEN_KINDS:
                row[name] = row.get(name, 0) + (data[name] or 0)
            if data["cost_usd"] is None:
                row["unpriced"] += sum(data[name] or 0 for name in TOKEN_KINDS)
            else:
                row["cost"] = (row["cost"] or Decimal(0)) + Decimal(data["cost_usd"])
        elif kind in TASK_MOVES:
            task = tasks.setdefault(place, {"state": "pending", "began": None, "ended": None, "carried": False})
            before, after = TASK_MOVES[kind]
            if task["state"] in before and kind == "task.retried":
                del tasks[place]
            elif task["state"] in before:
                task["state"] = after
                task["carried"] |= kind == "task.carried"
                task["began" if kind == "task.started" else "ended"] = event["ts"]
    for key, tried in attempts.items():
        mine = [(row.get("output_tokens", 0), model) for (k, model), row in usage.items() if k == key and model]
        tried["model"] = max(mine)[1] if mine else None if tried["model"] == "auto" else tried["model"]
    buckets: dict[tuple[Any, ...], dict[str, Any]] = defaultdict(lambda: defaultdict(int) | {"took": [], "costs": []})
    for place, task in tasks.items():
        if task["state"] in ("completed", "failed") and not task["carried"]:
            tries = [tried for key, tried in sorted(attempts.items(), key=lambda i: str(i[0])) if key[:3] == place]
            # As of the last try that names one.
            agent = next((t["agent"] for t in reversed(tries) if t["agent"]), None)
            model = next((t["model"] for t in reversed(tries) if t["model"]), None)
            bucket = buckets[begin_of(task["ended"]), place[1], agent, model]
            bucket["tasks"] += 1
            bucket["successes" if task["state"] == "completed" else "failures"] += 1
            if task["began"]:
                bucket["took"].append((task["ended"] - task["began"]) / timedelta(microseconds=1))
    for key, tried in attempts.items():
        if "ended" in tried:
            bucket = buckets[begin_of(tried["ended"]), key[1], tried["agent"], tried["model"]]
            bucket["attempts"] += 1
            bucket["attempts_failed"] += tried["outcome"] == "failed"
    for (key, model), row in usage.items():
        bucket = buckets[begin_of(row["ts"]), key[1], attempts.get(key, {}).get("agent"), model]
        for name in TOKEN_KINDS:
            bucket[name] += row.get(name, 0)
        bucket["unpriced_tokens"] += row["unpriced"]
        if row["cost"] is not None:
            bucket["costs"].append(row["cost"])
    for event in events:
        if event["kind"] in INCIDENTS:
            buckets[begin_of(event["ts"]), event["build"], None, None][INCIDENTS[event["kind"]]] += 1
    counts = ("tasks", "successes", "failures", "attempts", "attempts_failed", *INCIDENTS.values(), *TOKEN_KINDS)
    return {
        key: (
            *(bucket[name] for name in (*counts, "unpriced_tokens")),
            sum(bucket["costs"], Decimal(0)) if bucket["costs"] else None,
            *(None if not bucket["took"] else pytest.approx(f(bucket["took"]) / 1e6, abs=1e-6) for f in SHAPES),
        )
        for key, bucket in buckets.items()
    }


def quantile(share: float, values: list[float]) -> float:
    """Between the two nearest values, as a straight line goes."""
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


SHAPES = (lambda v: sum(v) / len(v), partial(quantile, 0.5), partial(quantile, 0.95), partial(quantile, 0.99))
BEGINS = {
    "metrics_hourly": lambda ts: ts.replace(minute=0, second=0, microsecond=0),
    "metrics_daily": lambda ts: ts.replace(hour=0, minute=0, second=0, microsecond=0),
    "metrics_weekly": lambda ts: ts.replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=ts.weekday()),
}


def metrics_in_table(db: DuckDBPyConnection, table: str) -> dict[tuple[Any, ...], tuple[Any, ...]]:
    counts = ("tasks", "successes", "failures", "attempts", "attempts_failed", *INCIDENTS.values(), *TOKEN_KINDS)
    durations = "duration_avg_s, duration_p50_s, duration_p95_s, duration_p99_s"
    names = f"bucket, build, agent, model, {', '.join(counts)}, unpriced_tokens, cost_usd, {durations}"
    rows = db.execute(f"SELECT {names} FROM {table}").fetchall()
    found = {row[:4]: row[4:] for row in rows}
    assert len(found) == len(rows), "one row for each bucket, build, agent and model"
    return found


def write_and_fold(common_dir: Path, history: list[list[tuple[int, dict[str, Any]]]], then: Any) -> None:
    numbers = [0, 0, 0]
    for part in history:
        for writer, event in part:
            numbers[writer] += 1
            segment(common_dir, f"20260302T10000{writer}-1-aaaaaa", line(seq=numbers[writer], **event))
        assert fold(common_dir).rejected == 0
        then()


HOW = settings(
    max_examples=15 * EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate],  # shrinking would take minutes
)


@HOW
@given(histories())
def test_states_in_the_tables_are_those_of_replay_after_every_fold(history: Any) -> None:
    with tempfile.TemporaryDirectory() as directory:

        def compare() -> None:
            told, seen = states_by_replay(Path(directory)), states_in_tables(Path(directory))
            assert {table: differing(told[table], seen[table]) for table in told} == {table: {} for table in told}

        write_and_fold(Path(directory), history, compare)


@HOW
@given(histories())
def test_tables_kept_up_to_date_are_those_made_afresh(history: Any) -> None:
    with tempfile.TemporaryDirectory() as directory:
        write_and_fold(Path(directory), history, lambda: None)
        kept, made = held(Path(directory)), afresh(Path(directory), Path(directory))
        assert {table: rows for table, rows in kept.items() if rows != made[table]} == {}


@HOW
@given(histories())
def test_metrics_are_what_counting_the_events_by_hand_gives(history: Any) -> None:
    with tempfile.TemporaryDirectory() as directory:
        write_and_fold(Path(directory), history, lambda: None)
        with reading(Path(directory)) as db:
            for table, begin_of in BEGINS.items():
                assert differing(metrics_by_hand(db, begin_of), metrics_in_table(db, table)) == {}


def test_a_late_event_moves_a_task_from_one_day_s_metrics_to_another_s(tmp_path: Path) -> None:
    where = {"run": "r", "build": "b", "task": "t"}
    segment(tmp_path, "s2", line("task.completed", 2, gen=2, ts=at(86_400), **where))
    segment(tmp_path, "s2", line("task.started", 1, gen=2, ts=at(0), **where))
    fold(tmp_path)
    assert ask(tmp_path, "SELECT bucket, tasks FROM metrics_daily") == [(datetime(2026, 3, 3), 1)]
    # An earlier generation's events come late: it had ended on the first day already.
    segment(tmp_path, "s1", line("task.started", 1, gen=1, ts=at(0), **where))
    segment(tmp_path, "s1", line("task.failed", 2, gen=1, ts=at(60), **where))
    fold(tmp_path)
    assert ask(tmp_path, "SELECT bucket, failures, successes FROM metrics_daily") == [(datetime(2026, 3, 2), 1, 0)]
    assert held(tmp_path) == afresh(tmp_path, tmp_path)


def test_carried_tasks_are_no_work_of_this_run_s_metrics(tmp_path: Path) -> None:
    where = {"run": "r", "build": "b"}
    segment(tmp_path, "s", line("task.carried", 1, task="old", **where) + line("task.started", 2, task="new", **where))
    segment(tmp_path, "s", line("task.completed", 3, task="new", **where))
    fold(tmp_path)
    for table in BEGINS:
        assert ask(tmp_path, f"SELECT sum(tasks) FROM {table}") == [(1,)]
    with reading(tmp_path) as db:
        assert reports.summary(db).totals["tasks"] == 1


def test_the_order_of_a_build_s_events_is_generation_and_number_never_the_clock(tmp_path: Path) -> None:
    segment(tmp_path, "s2", line("build.failed", 1, gen=2, ts=at(0), run="r", build="b"))
    segment(tmp_path, "s1", line("build.started", 1, gen=1, ts=at(500), run="r", build="b"))
    fold(tmp_path)
    assert ask(tmp_path, "SELECT state, started, ended FROM builds") == [("failed", moment(at(500)), moment(at(0)))]


def test_a_second_creation_of_a_run_adds_no_builds(tmp_path: Path) -> None:
    segment(tmp_path, "s", line("run.created", 1, run="r", data={"builds": ["a"]}))
    segment(tmp_path, "s", line("run.created", 2, run="r", data={"builds": ["b"]}))
    fold(tmp_path)
    assert list(replay(read_events(tmp_path))["r"].builds) == ["a"]
    assert ask(tmp_path, "SELECT build FROM builds") == [("a",)]


def test_chatter_about_a_build_makes_no_build(tmp_path: Path) -> None:
    segment(tmp_path, "s", line("run.created", 1, run="r", data={"builds": ["a"]}))
    segment(
        tmp_path, "s", line("note", 2, run="r", build="typo") + line("note", 3, run="r", build="a", task="x", attempt=1)
    )
    fold(tmp_path)
    view = replay(read_events(tmp_path))["r"]
    assert [(b.id, list(b.tasks)) for b in view.builds.values()] == [("a", [])]
    assert ask(tmp_path, "SELECT build FROM builds") == [("a",)]


# -- imported messages -------------------------------------------------------------------------------------------------


def message(seq: int, **more: Any) -> bytes:
    """A message of a session that br3 did not run."""
    build = more.pop("build", None)
    data = {"agent": "claude", "session": "s", "message": "m", "request": "q", "model": "m1", "at": at(0)}
    data |= {"input_tokens": 1, "output_tokens": 1, "cache_write_tokens": 0, "cache_read_tokens": 0, "cost_usd": "0.10"}
    return line("usage.imported", seq, ts=at(5), build=build, data={**data, "sidechain": False, **more})


REPORTS = [
    message(1, output_tokens=1, cost_usd="0.10"),
    message(2, output_tokens=9, cost_usd="0.90", build="b"),
    message(3, output_tokens=9, cost_usd="0.90", build="a"),
    message(4, output_tokens=9, cost_usd="0.90", input_tokens=0, cache_read_tokens=1, build="a"),
    message(5, output_tokens=50, cost_usd="5.00", sidechain=True, session="side"),
    message(6, message="only", output_tokens=2, cost_usd="0.20", sidechain=True, session="side", at=at(7200)),
    message(7, message="other", output_tokens=3, cost_usd=None),
]


@HOW
@given(st.permutations(range(len(REPORTS))), st.sets(st.integers(1, len(REPORTS) - 1)))
def test_each_imported_message_counts_once_the_largest_and_the_parent_s_in_any_order(
    order: list[int], cuts: set[int]
) -> None:
    with tempfile.TemporaryDirectory() as directory:
        common_dir = Path(directory)
        for number, n in enumerate(order):
            segment(common_dir, "s", REPORTS[n].replace(b'"seq":%d' % (n + 1), b'"seq":%d' % (number + 1)))
            if number + 1 in cuts:
                fold(common_dir)
        fold(common_dir)
        assert ask(common_dir, "SELECT message, build, output_tokens, cost_usd FROM imports ORDER BY message") == [
            ("m", "a", 9, Decimal("0.90")),
            ("only", None, 2, Decimal("0.20")),
            ("other", None, 3, None),
        ]
        tables = ("usage", "metrics_hourly", "metrics_daily", "metrics_weekly")
        sums = (f"SELECT '{one}', sum(cost_usd), sum(output_tokens), sum(unpriced_tokens) FROM {one}" for one in tables)
        found = ask(common_dir, " UNION ALL ".join(sums))
        assert sorted(found) == sorted((one, Decimal("1.10"), 14, 4) for one in tables)
        derived = ("imports", "usage", "metrics_hourly", "metrics_daily", "metrics_weekly")
        assert held(common_dir, *derived) == afresh(common_dir, common_dir, *derived) == _in_order(*derived)


@functools.cache
def _in_order(*tables: str) -> object:
    """What they hold when the reports come in their order, all at once."""
    with tempfile.TemporaryDirectory() as directory:
        segment(Path(directory), "s", REPORTS)
        fold(Path(directory))
        return held(Path(directory), *tables)


@pytest.mark.parametrize("first", ["parent", "side"])
def test_a_side_chain_s_copy_gives_way_to_its_parent_s_whichever_comes_first(tmp_path: Path, first: str) -> None:
    told = {
        "parent": message(1, request="p", cost_usd="0.10"),
        "side": message(2, request="c", cost_usd="9.00", output_tokens=99, sidechain=True, session="side"),
    }
    for name in sorted(told, key=lambda name: name != first):
        segment(tmp_path, name, told[name])
        fold(tmp_path)
    assert ask(tmp_path, "SELECT sum(cost_usd) FROM usage") == [(Decimal("0.10"),)]
    assert held(tmp_path) == afresh(tmp_path, tmp_path)


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_sessions_that_br3_ran_itself_count_once_whichever_comes_first(tmp_path: Path, order: tuple[int, ...]) -> None:
    mine = attempt("r", "b", "t", 1, 1, session="s", usage=[{"model": "m1", "output_tokens": 4, "cost_usd": "0.40"}])
    parts = [
        {"attempt": b"".join(mine)},
        {"during": message(1, message="during", output_tokens=4, cost_usd="0.40", at=at(30))},
        {"after": message(1, message="after", output_tokens=7, cost_usd="0.70", at=at(61))},
    ]
    for n in order:
        ((name, content),) = parts[n].items()
        segment(tmp_path, name, content)
        fold(tmp_path)
    told = ask(tmp_path, "SELECT source, cost_usd FROM usage ORDER BY source")
    assert told == [("import", Decimal("0.70")), ("run", Decimal("0.40"))]
    assert ask(tmp_path, "SELECT sum(cost_usd) FROM metrics_daily") == [(Decimal("1.10"),)]
    assert held(tmp_path) == afresh(tmp_path, tmp_path)


def test_a_session_of_an_attempt_that_reported_nothing_is_counted_by_its_import(tmp_path: Path) -> None:
    segment(tmp_path, "a", attempt("r", "b", "t", 1, 1, session="s"))
    segment(tmp_path, "i", message(1, at=at(30)))
    fold(tmp_path)
    assert ask(tmp_path, "SELECT source, cost_usd FROM usage") == [("import", Decimal("0.10"))]


def test_what_br3_itself_has_asked_of_a_model_is_paid_for_like_anything_else(tmp_path: Path) -> None:
    def asked(seq: int, seconds: float, **data: Any) -> bytes:
        return line("usage.recorded", seq, ts=at(seconds), run=None, data={"model": "m1", **data})

    next_day = 24 * 3600
    paid = {"cost_usd": "0.25", "input_tokens": 5, "output_tokens": 7}
    segment(tmp_path, "a", attempt("r", "b", "t", 1, 1, usage=[{"model": "m1", "cost_usd": "1"}]))
    segment(tmp_path, "b", asked(1, 1, **paid) + asked(2, 2))
    fold(tmp_path)
    segment(tmp_path, "b", asked(3, next_day, **paid))
    fold(tmp_path)
    with reading(tmp_path) as db:
        found = {by: reports.costs(db, by=by) for by in reports.COST_KEYS}
        of_run = reports.costs(db, runs=["r"]).totals
        in_all = reports.summary(db).totals
    assert {by: [row[:2] for row in report.rows] for by, report in found.items()} == {
        "model": [("m1", Decimal("1.50"))],
        "build": [("b", Decimal(1)), ("(no build)", Decimal("0.50"))],
        "day": [("2026-03-02", Decimal("1.25")), ("2026-03-03", Decimal("0.25"))],
        "task": [("b/t", Decimal(1)), ("(no task)", Decimal("0.50"))],
        "run": [("r", Decimal(1)), ("(no run)", Decimal("0.50"))],
    }
    assert {report.totals["total_usd"] for report in found.values()} == {Decimal("1.50")}
    assert {report.totals["unanswered_requests"] for report in found.values()} == {1} == {in_all["unanswered_requests"]}
    assert (of_run["total_usd"], of_run["unanswered_requests"]) == (Decimal(1), 0)
    assert held(tmp_path) == afresh(tmp_path, tmp_path)


def test_imports_belong_to_their_build_or_to_none(tmp_path: Path) -> None:
    segment(tmp_path, "i", message(1, message="1", build="b", cost_usd="2") + message(2, message="2", cost_usd="1"))
    fold(tmp_path)
    with reading(tmp_path) as db:
        rows = reports.costs(db, by="build").rows
    assert [row[:2] for row in rows] == [("b", Decimal(2)), ("(no build)", Decimal(1))]


def test_a_message_of_no_known_session_costs_what_it_costs(tmp_path: Path) -> None:
    for n in (1, 2):
        segment(tmp_path, "i", message(n, message=f"m{n}", session=None, cost_usd="0.30"))
        fold(tmp_path)
    assert ask(tmp_path, "SELECT sum(cost_usd) FROM usage") == [(Decimal("0.60"),)]
    assert held(tmp_path) == afresh(tmp_path, tmp_path)


def test_messages_without_an_id_come_to_the_same_in_one_fold_and_in_many(tmp_path: Path) -> None:
    for n in range(1, 4):
        segment(tmp_path, "i", message(n, message=None, cost_usd="0.30", at=at(n)))
        fold(tmp_path)
    assert held(tmp_path) == afresh(tmp_path, tmp_path)


def test_the_same_message_of_two_agents_is_two(tmp_path: Path) -> None:
    segment(tmp_path, "i", message(1, agent="claude") + message(2, agent="codex"))
    fold(tmp_path)
    assert ask(tmp_path, "SELECT sum(cost_usd) FROM usage") == [(Decimal("0.20"),)]


# -- alerts ------------------------------------------------------------------------------------------------------------

NOON = datetime(2026, 3, 4, 12, 30, tzinfo=UTC)
QUIET = Rules.of(
    dict.fromkeys(
        "success_rate_min error_rate_max duration_avg_max_s duration_p95_max_s hourly_cost_max_usd "
        "daily_cost_max_usd".split(),
        0,
    )
    | {"violations": False}
)


class Clock:
    """Folds as if it were a certain time."""

    def __init__(self, common_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.common_dir = common_dir
        self.now = NOON
        self.number = 0
        real = alerts.evaluate
        monkeypatch.setattr(alerts, "evaluate", lambda db, where, rules: real(db, where, rules, self.now))

    def told(self, rules: Rules, **later: float) -> list[str]:
        """The rules of the alerts that a fold raises, after some time has gone by."""
        self.now += timedelta(**later)
        return [alert.rule for alert in fold(self.common_dir, rules).raised]

    def spent(self, usd: str) -> None:
        """Usage at this moment."""
        ts = (self.now - timedelta(seconds=1)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        self.number += 1
        data = {"model": "m", "cost_usd": usd, "input_tokens": 1}
        where = {"run": "r", "build": "b", "task": "t", "attempt": self.number}
        segment(self.common_dir, "spent", line("usage.recorded", self.number, ts=ts, **where, data=data))

    def done(self, outcome: str, took_s: float = 10, count: int = 1, cause: str | None = None) -> None:
        """Tasks with one attempt each, ended just now."""
        for _ in range(count):
            self.number += 1
            end = self.now - timedelta(seconds=1)
            began, ended = ((end - timedelta(seconds=s)).strftime("%Y-%m-%dT%H:%M:%S.%fZ") for s in (took_s, 0))
            where = {"run": "r", "build": "b", "task": f"t{self.number}"}
            tried = {**where, "attempt": 1}
            good = outcome == "completed"
            ending = {"outcome": "succeeded" if good else "failed", "cause": cause}
            segment(
                self.common_dir,
                f"task{self.number}",
                line("task.started", 1, ts=began, **where)
                + line("attempt.started", 2, ts=began, **tried, data={"agent": "a"})
                + line("attempt.finished", 3, ts=ended, **tried, data=ending)
                + line("task.completed" if good else "task.failed", 4, ts=ended, **where),
            )


@pytest.fixture
def clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(tmp_path, monkeypatch)


def rules(**given: Any) -> Rules:
    """No rules but these."""
    return Rules(**{**{name: getattr(QUIET, name) for name in QUIET.__dataclass_fields__}, **given})


def test_a_crossing_is_told_once_and_again_only_after_it_was_back(clock: Clock) -> None:
    watch = rules(hourly_cost_max_usd=Decimal(20))
    assert clock.told(watch) == []
    clock.spent("20.00")
    assert clock.told(watch) == [], "at the threshold is not beyond it"
    clock.spent("0.01")
    assert clock.told(watch) == ["hourly_cost"]
    clock.spent("50")
    assert clock.told(watch, minutes=5) == clock.told(watch) == []
    standing = "SELECT rule, value, threshold, cleared IS NULL FROM alerts ORDER BY raised"
    assert ask(clock.common_dir, standing) == [("hourly_cost", "20.01", "20.00", True)]
    assert clock.told(watch, hours=1) == []
    assert ask(clock.common_dir, standing) == [("hourly_cost", "20.01", "20.00", False)]
    assert clock.told(watch, hours=1) == []
    clock.spent("21")
    assert clock.told(watch) == ["hourly_cost"]
    assert ask(clock.common_dir, "SELECT count(*), count(cleared) FROM alerts") == [(2, 1)]
    kinds = "SELECT kind, count(*) FROM events WHERE kind LIKE 'alert.%' GROUP BY 1 ORDER BY 1"
    assert ask(clock.common_dir, kinds) == [("alert.cleared", 1), ("alert.raised", 2)]


def test_alerts_survive_a_rebuild_and_are_not_raised_again_by_it(clock: Clock) -> None:
    watch = rules(daily_cost_max_usd=Decimal(20), violations=True)
    segment(clock.common_dir, "v", line("security.violation", 1, build="b", data={"rule": "no-push"}))
    clock.spent("30")
    assert clock.told(watch) == ["daily_cost", "violation v:1"]
    before = held(clock.common_dir, "alerts")
    assert keeping.rebuild(clock.common_dir, watch).raised == []
    assert held(clock.common_dir, "alerts") == before


def test_every_violation_is_told_once_and_never_cleared(clock: Clock) -> None:
    watch = rules(violations=True)
    for n in (1, 2):
        severity = "critical" if n == 2 else "error"
        violated = line("security.violation", n, build="b", severity=severity, data={"rule": "no-push"})
        segment(clock.common_dir, "v", violated)
        assert clock.told(watch) == [f"violation v:{n}"]
        assert clock.told(watch, days=3) == []
    assert ask(clock.common_dir, "SELECT level, cleared FROM alerts ORDER BY rule") == [
        ("error", None),
        ("critical", None),
    ]


def test_attempts_that_somebody_stopped_are_no_failures(clock: Clock) -> None:
    watch = rules(error_rate_max=0.2, min_tasks=5)
    clock.done("failed", 1000, count=6, cause="cancelled")
    clock.done("failed", 1000, count=6, cause="skipped")
    assert clock.told(watch) == []
    clock.done("failed", 1000, count=6, cause="error")
    assert clock.told(watch) == ["error_rate"]


def test_rates_and_durations_are_judged_once_enough_tasks_have_ended(clock: Clock) -> None:
    watch = rules(
        success_rate_min=0.8, error_rate_max=0.2, duration_avg_max_s=100.0, duration_p95_max_s=150.0, min_tasks=5
    )
    clock.done("failed", 1000, count=4)
    assert clock.told(watch) == []
    clock.done("completed", 10)
    assert clock.told(watch) == ["success_rate", "error_rate", "duration_avg", "duration_p95"]
    said = dict(ask(clock.common_dir, "SELECT rule, message FROM alerts"))
    assert said["success_rate"] == "of the last 24 hours' tasks 20 % succeeded, less than 80 %"
    assert said["error_rate"].endswith(" attempts 80 % failed, more than 20 %")
    clock.done("completed", 1, count=200)
    assert clock.told(watch) == []
    assert ask(clock.common_dir, "SELECT count(*) FROM alerts WHERE cleared IS NULL") == [(0,)]


def test_what_ended_more_than_a_day_ago_is_not_judged(clock: Clock) -> None:
    clock.done("failed", count=6)
    assert clock.told(rules(success_rate_min=0.8), hours=25) == []


def test_carried_tasks_are_not_judged(clock: Clock) -> None:
    clock.done("completed", count=4)
    ts = clock.now.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    for n in range(1, 9):
        segment(clock.common_dir, "c", line("task.carried", n, ts=ts, run="r", build="b", task=f"c{n}"))
    clock.done("failed")
    assert clock.told(rules(success_rate_min=0.85, min_tasks=5)) == ["success_rate"]


def test_rules_that_are_off_say_nothing(clock: Clock) -> None:
    clock.done("failed", 100_000, count=10)
    clock.spent("5000")
    segment(clock.common_dir, "v", line("security.violation", 1, build="b"))
    assert clock.told(QUIET) == []
    assert clock.told(Rules()) != []


def test_unpriced_usage_raises_no_cost_alert_and_hides_none(clock: Clock) -> None:
    watch = rules(daily_cost_max_usd=Decimal(1))
    where = {"run": "r", "build": "b", "task": "t", "attempt": 77}
    ts = (NOON - timedelta(minutes=1)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    segment(
        clock.common_dir, "u", line("usage.recorded", 1, ts=ts, **where, data={"model": "x", "input_tokens": 10**9})
    )
    assert clock.told(watch) == []
    clock.spent("1.50")
    assert clock.told(watch) == ["daily_cost"]


def test_a_rule_that_is_switched_off_stands_no_longer(clock: Clock) -> None:
    clock.spent("30")
    assert clock.told(rules(daily_cost_max_usd=Decimal(20))) == ["daily_cost"]
    assert clock.told(QUIET) == []
    assert ask(clock.common_dir, "SELECT count(*) FROM alerts WHERE cleared IS NULL") == [(0,)]


def test_a_rate_that_nothing_is_known_of_any_more_stands_no_longer(clock: Clock) -> None:
    watch = rules(success_rate_min=0.8)
    clock.done("failed", count=6)
    assert clock.told(watch) == ["success_rate"]
    assert clock.told(watch, days=9) == []
    assert ask(clock.common_dir, "SELECT count(*) FROM alerts WHERE cleared IS NULL") == [(0,)]


@pytest.mark.parametrize("after", ["alerts.evaluate", "_set_offsets"])
def test_a_fold_killed_after_it_wrote_an_alert_does_not_double_it(tmp_path: Path, after: str) -> None:
    segment(tmp_path, "v", line("security.violation", 1, build="b", data={"rule": "no-push"}))
    source = f"""
import os, sys
from pathlib import Path
from br3.analytics import alerts, folding
from br3.telemetry.journal import segments
from br3.analytics.alerts import Rules
common_dir = Path(sys.argv[1])
real = folding.{after}
def die(*given, **named):
    result = real(*given, **named)
    if len(segments(common_dir)) > 1:
        os.kill(os.getpid(), 9)
    return result
folding.{after} = die
folding.fold(common_dir, Rules())
"""
    assert subprocess.run([sys.executable, "-c", source, str(tmp_path)], check=False).returncode == -signal.SIGKILL
    assert fold(tmp_path, Rules()).raised == []
    assert ask(tmp_path, "SELECT rule FROM alerts") == [("violation v:1",)]
    assert ask(tmp_path, "SELECT count(*) FROM events WHERE kind = 'alert.raised'") == [(1,)]


def test_two_who_fold_at_once_raise_an_alert_once(tmp_path: Path) -> None:
    segment(tmp_path, "v", b"".join(line("security.violation", n, build="b") for n in range(1, 6)))
    source = (
        "import sys; from pathlib import Path; from br3.analytics import fold; from br3.analytics.alerts import Rules\n"
    )
    source += "print(len(fold(Path(sys.argv[1]), Rules()).raised))"
    folders = [
        subprocess.Popen([sys.executable, "-c", source, str(tmp_path)], stdout=subprocess.PIPE, text=True)
        for _ in range(6)
    ]
    assert sum(int(folder.communicate()[0]) for folder in folders) == 5
    assert ask(tmp_path, "SELECT count(*), count(DISTINCT rule) FROM alerts") == [(5, 5)]


def now_spent(repo: Scratch, usd: str | None, build: str = "a", **more: Any) -> None:
    """Usage of an attempt of the newest run, written as br3 writes it."""
    run = repo.events("run.created")[-1].run
    number = 100 + len(repo.events("usage.recorded"))
    journal = Journal(repo.common_dir)
    facts = {"model": "m", "input_tokens": 1000, "output_tokens": 500, "cost_usd": usd, "source": "table", **more}
    journal.append("usage.recorded", run=run, build=build, task="other", attempt=number, **facts)
    journal.close()


def test_the_notification_gets_each_alert_as_json_only_while_it_is_approved(repo: Scratch, tmp_path: Path) -> None:
    heard = tmp_path / "heard"
    source = f"import sys; open({str(heard)!r}, 'a').write(sys.stdin.read() + '\\n')"
    command = script(tmp_path, "notify.py", source)
    alerting = f"[alerts]\ndaily_cost_max_usd = 1\nnotify = {toml(command)}\n"
    repo.plan(shell_plan({"a": writing("a")}) + alerting)
    repo.br3("run", "--trust")
    now_spent(repo, "2.50")
    said = repo.br3("telemetry", "summary")
    assert "alert: this day cost 2.50 USD, more than 1.00" in said.err
    (told,) = map(json.loads, heard.read_text().splitlines())
    assert (told["schema"], told["alert"]["rule"], told["alert"]["value"]) == (1, "daily_cost", "2.50")
    repo.br3("telemetry", "summary")
    assert len(heard.read_text().splitlines()) == 1

    repo.br3("trust", "--revoke")
    journal = Journal(repo.common_dir)
    journal.append("security.violation", "critical", build="a", rule="no-push")
    journal.close()
    said = repo.br3("telemetry", "summary")
    assert "not approved" in said.err and "security violation in a" in said.err
    assert len(heard.read_text().splitlines()) == 1
    assert [a["level"] for a in repo.br3("telemetry", "alerts", "--json").json["alerts"]] == ["critical", "warning"]


# -- questions ---------------------------------------------------------------------------------------------------------


def made(common_dir: Path) -> None:
    """Analytics with a little of everything."""
    mine = {"model": "m1", "input_tokens": 3, "output_tokens": 4, "cost_usd": "0.0000000123"}
    foreign = {"model": "m2", "input_tokens": 1000, "output_tokens": 1, "cost_usd": None}
    segment(common_dir, "s", attempt("r", "b", "t", 1, 1, usage=[mine, foreign]))
    segment(common_dir, "n", line("note", 1, data={"text": 'é ✓ "quoted", and\na second line', "list": [1, None]}))
    fold(common_dir)


HARMFUL = [
    "COPY events TO '{dir}/out.csv'",
    "COPY (SELECT 1) TO '{file}' (FORMAT csv, USE_TMP_FILE false)",
    "COPY (SELECT 1) TO '{file}.wal' (FORMAT csv, USE_TMP_FILE false)",
    "COPY (SELECT 1) TO '{file}.wal'",
    "EXPLAIN ANALYZE COPY (SELECT 1) TO '{file}' (FORMAT csv, USE_TMP_FILE false)",
    "SELECT 1; COPY (SELECT 1) TO '{file}' (FORMAT csv, USE_TMP_FILE false)",
    "PREPARE c AS COPY (SELECT 1) TO '{file}' (FORMAT csv, USE_TMP_FILE false); EXECUTE c",
    "EXPORT DATABASE '{dir}/out'",
    "FROM read_csv('{dir}/secret')",
    "FROM '{dir}/secret'",
    "FROM read_text('{dir}/secret')",
    "FROM read_json('{dir}/secret')",
    "FROM read_parquet('{dir}/secret')",
    "FROM glob('{dir}/*')",
    "FROM sniff_csv('{dir}/secret')",
    "ATTACH '{dir}/other.duckdb' AS other",
    "ATTACH ':memory:' AS other",
    "INSTALL httpfs",
    "LOAD httpfs",
    "SET memory_limit = '10GB'",
    "SET enable_external_access = true",
    "RESET lock_configuration",
    "PRAGMA enable_profiling",
    "SET GLOBAL TimeZone = 'Asia/Tokyo'",
    "INSERT INTO events (segment) VALUES ('x')",
    "UPDATE events SET kind = 'x'",
    "DELETE FROM events",
    "WITH gone AS (DELETE FROM events RETURNING *) FROM gone",
    "DROP TABLE events",
    "CREATE TABLE mine (a INTEGER)",
    "CREATE SECRET s (TYPE s3)",
    "SELECT 1; DELETE FROM events",
    "COPY FROM DATABASE analytics TO other",
    "CALL enable_logging()",
]


@pytest.mark.parametrize("text", HARMFUL)
def test_no_statement_changes_anything_or_sees_a_file(tmp_path: Path, text: str) -> None:
    import duckdb

    from br3.errors import Br3Error

    made(tmp_path)
    (tmp_path / "secret").write_text('{"a": 1}\n')
    file = analytics_path(tmp_path)

    def files() -> list[Path]:
        return sorted(path for path in tmp_path.rglob("*") if path.parent.name != "locks")

    tables = held(tmp_path)
    before, names = file.read_bytes(), files()
    with pytest.raises((duckdb.Error, Br3Error)), reading(tmp_path, confined=True) as db:
        reports.query(db, text.format(dir=tmp_path, file=file))
    assert files() == names
    assert file.read_bytes() == before
    assert held(tmp_path) == tables


ANSWERED = {
    "SELECT 1 AS a; SELECT 2 AS b": (["b"], [[2]]),
    "SELECT 1 AS a;": (["a"], [[1]]),
    "SELECT '2026-03-02 10:00:00+02'::TIMESTAMPTZ AS t": (["t"], [["2026-03-02 08:00:00+00"]]),
    "SELECT 1; SELECT '2026-03-02 10:00:00+02'::TIMESTAMPTZ AS t": (["t"], [["2026-03-02 08:00:00+00"]]),
    'SELECT \'2026-03-02 10:00:00+02\'::TIMESTAMPTZ AS "a ""b"': (['a "b'], [["2026-03-02 08:00:00+00"]]),
    "SELECT '2026-03-02 10:00:00+00'::TIMESTAMPTZ AS t -- now": (["t"], [["2026-03-02 10:00:00+00"]]),
    "SELECT TIMESTAMP '2026-03-02 10:00:00' AS t": (["t"], [["2026-03-02T10:00:00.000000Z"]]),
    "SELECT NULL AS a, 0.10::DECIMAL(18, 10) AS b, true AS c": (["a", "b", "c"], [[None, "0.10", True]]),
    "SELECT [1, 2] AS a, {'b': 1.5::DOUBLE} AS c": (["a", "c"], [[[1, 2], {"b": 1.5}]]),
    "SELECT 'x'::BLOB AS a, DATE '2026-03-02' AS b": (["a", "b"], [["78", "2026-03-02"]]),
    "SELECT 1 AS a, 2 AS a": (["a", "a"], [[1, 2]]),
    "SELECT 'a' || chr(0) || 'é' AS a": (["a"], [["a\0é"]]),
    "SELECT 'nan'::DOUBLE AS a, 'inf'::DOUBLE AS b, -'inf'::DOUBLE AS c": (["a", "b", "c"], [[None, None, None]]),
    "SELECT data ->> 'text' AS t FROM events WHERE kind = 'note'": (
        ["t"],
        [['é ✓ "quoted", and\na second line']],
    ),
    "SELECT seq FROM events WHERE false": (["seq"], []),
    "SHOW TABLES": None,
    "DESCRIBE events": None,
    "SUMMARIZE usage": None,
    "EXPLAIN SELECT 1": None,
    "PIVOT events ON kind USING count(*)": None,
    "WITH a AS (SELECT 1) FROM a": None,
    "VALUES (1)": None,
}


def strictly(text: str) -> Any:
    """JSON as everybody else reads it: without NaN and Infinity."""

    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is no JSON")

    return json.loads(text, parse_constant=refuse)


@pytest.mark.parametrize("text", ANSWERED)
def test_a_question_is_answered_in_values_of_json(tmp_path: Path, text: str) -> None:
    made(tmp_path)
    with reading(tmp_path, confined=True) as db:
        report = reports.query(db, text)
    rows = [[reports.plain(value) for value in row] for row in report.rows]
    told = strictly(json.dumps({"columns": report.columns, "rows": rows}))
    expected = ANSWERED[text]
    if expected is None:
        assert told["columns"] and told["rows"]
    else:
        assert (told["columns"], told["rows"]) == expected


@pytest.mark.parametrize(
    "text", ["", "  ", "-- nothing", ";", "SELEC 1", "SELECT nothing", "SELECT 1/0; SELECT error('x')"]
)
def test_a_question_that_is_none_is_wrong_usage_not_a_failure_of_br3(repo: Scratch, text: str) -> None:
    made(repo.common_dir)
    said = repo.br3("sql", text, code=2)
    assert "Traceback" not in said.all


def test_sql_prints_json_and_csv(repo: Scratch) -> None:
    made(repo.common_dir)
    text = "SELECT model, cost_usd, data, NULL AS nothing FROM usage, events WHERE kind = 'note' ORDER BY model"
    told = strictly(repo.br3("sql", text, "--json").out)
    data = '{"text":"é ✓ \\"quoted\\", and\\na second line","list":[1,null]}'
    assert told["columns"] == ["model", "cost_usd", "data", "nothing"]
    assert [(row[0], row[1], json.loads(row[2]), row[3]) for row in told["rows"]] == [
        ("m1", "0.0000000123", json.loads(data), None),
        ("m2", None, json.loads(data), None),
    ]
    header, first, second = csv.reader(io.StringIO(repo.br3("sql", text, "--csv").out))
    assert header == told["columns"] and first[:2] == ["m1", "0.0000000123"] and second[:2] == ["m2", ""]
    assert json.loads(second[2]) == json.loads(data)


def test_an_unknown_cost_is_null_or_a_word_and_never_zero(repo: Scratch) -> None:
    repo.plan(shell_plan({"a": writing("a")}))
    repo.br3("run", "--trust")
    now_spent(repo, None, model="nobody-knows")
    told = repo.br3("costs", "--json").json
    assert told["total_usd"] is None and told["unpriced_tokens"] == 1500
    assert [row["cost_usd"] for row in told["rows"] if row["key"] == "nobody-knows"] == [None]
    for words in (("costs",), ("costs", "--by", "day"), ("costs", "--by", "task"), ("telemetry", "summary")):
        said = repo.br3(*words).out
        assert "0.00" not in said and ("unknown" in said or "–" in said)
    assert repo.br3("telemetry", "summary", "--json").json["cost_usd"] is None
    rows = list(csv.DictReader(io.StringIO(repo.br3("costs", "--csv").out)))
    assert [row["cost_usd"] for row in rows if row["key"] == "nobody-knows"] == [""]
    now_spent(repo, "0.25")
    told = repo.br3("costs", "--json").json
    assert (told["total_usd"], told["unpriced_tokens"]) == ("0.25", 1500)
    assert told["silent_attempts"] == 1, "the shell's"
    said = repo.br3("costs").out
    assert "total  at least 0.25 USD, and 1,500 tokens that have no price" in said
    assert "; 1 attempt did not say what it took\n" in said


def test_what_attempts_did_not_tell_is_said_beside_what_others_did(repo: Scratch) -> None:
    paid = """echo '{"model": "m-1", "input_tokens": 5, "cost_usd": "8.25"}' >> $BR3_USAGE_FILE"""
    repo.plan(shell_plan({"told": f"{paid}; {writing('a')}"}))
    repo.br3("run", "--trust")
    assert "\ntotal  8.25 USD\n" in repo.br3("costs").out
    assert "at least" not in repo.br3("costs", "--budget").out
    repo.plan(shell_plan({"told": f"{paid}; {writing('a')}", "quiet": writing("b")}))
    repo.br3("run", "--trust")
    for words in ((), ("--by", "task"), ("--period", "day")):
        assert "\ntotal  at least 8.25 USD; 1 attempt did not say what it took\n" in repo.br3("costs", *words).out
    said = repo.br3("costs", "--budget").out
    assert "spent on quiet: unknown (1 attempt did not say what it took)\n" in said
    assert "spent on (run): at least 8.25 USD (1 attempt did not say what it took)\n" in said
    assert "spent on told" not in said
    rows = repo.br3("costs", "--budget", "--json").json["rows"]
    assert {row["key"]: row["silent_attempts"] for row in rows} == {"told": 0, "quiet": 1, "(run)": 1}


def test_budgets_say_what_is_spent_left_and_expected(repo: Scratch) -> None:
    tasks = "".join(f'[[build.task]]\nid = "t{n}"\ncommand = {toml(writing(f"f{n}"))}\n' for n in (1, 2))
    plan = '[plan]\nname = "p"\nbudget_usd = 10\n[defaults]\nagent = "shell"\n'
    plan += f'[[build]]\nid = "a"\nbudget_usd = 3\n{tasks}'
    repo.plan(plan + '[build.verify]\nrun = ["true"]\n')
    repo.br3("run", "--trust")
    rows = {row["key"]: row for row in repo.br3("costs", "--budget", "--json").json["rows"]}
    assert (rows["a"]["budget_usd"], rows["a"]["cost_usd"], rows["a"]["tasks_done"]) == ("3.00", None, 2)
    assert rows["a"]["forecast_usd"] is None
    now_spent(repo, "4")
    now_spent(repo, None)
    rows = {row["key"]: row for row in repo.br3("costs", "--budget", "--json").json["rows"]}
    seen = {name: rows["a"][name] for name in ("cost_usd", "left_usd", "forecast_usd", "unpriced_tokens", "tasks")}
    assert seen == {
        "cost_usd": "4.00",
        "left_usd": "-1.00",
        "forecast_usd": "4.00",
        "unpriced_tokens": 1500,
        "tasks": 2,
    }
    assert (rows["(run)"]["cost_usd"], rows["(run)"]["left_usd"]) == ("4.00", "6.00")
    assert "a is going to cost more than its budget" in repo.br3("costs", "--budget").out


@pytest.mark.parametrize("ending", ["csv", "json", "parquet"])
def test_an_exported_table_is_the_table(repo: Scratch, tmp_path: Path, ending: str) -> None:
    import duckdb

    made(repo.common_dir)
    target = tmp_path / f"it's out.{ending}"
    for table in ("events", "usage"):
        repo.br3("telemetry", "export", str(target), "--table", table)
        columns = ", ".join(f'"{name}"::VARCHAR' for name, *_ in ask(repo.common_dir, f"DESCRIBE {table}"))
        quoted = str(target).replace("'", "''")
        read = {
            "csv": f"read_csv('{quoted}', all_varchar = true, header = true)",
            "json": f"read_json('{quoted}', format = 'newline_delimited')",
            "parquet": f"read_parquet('{quoted}')",
        }[ending]
        if ending == "json":
            number = "count(*)"
            assert (
                duckdb.connect().execute(f"SELECT {number} FROM {read}").fetchone()
                == (ask(repo.common_dir, f"SELECT count(*) FROM {table}")[0])
            )
            objects = [json.loads(text) for text in target.read_text().splitlines()]
            names = [name for name, *_ in ask(repo.common_dir, f"DESCRIBE {table}")]
            assert [list(o) for o in objects] == [names] * len(objects)
            if table == "events":
                assert {o["data"]["text"] for o in objects if o["kind"] == "note"} == {
                    'é ✓ "quoted", and\na second line'
                }
        else:
            back = duckdb.connect().execute(f"SELECT {columns} FROM {read} ORDER BY ALL").fetchall()
            assert back == ask(repo.common_dir, f"SELECT {columns} FROM {table} ORDER BY ALL")
    assert [path.name for path in tmp_path.glob(".*")] == []


def test_an_export_that_cannot_be_made_leaves_what_was_there(repo: Scratch, tmp_path: Path) -> None:
    made(repo.common_dir)
    target = tmp_path / "out.csv"
    target.write_text("mine")
    repo.br3("telemetry", "export", str(target), "--table", 'events" WHERE false; --', code=2)
    repo.br3("telemetry", "export", str(tmp_path / "out.txt"), code=2)
    repo.br3("telemetry", "export", str(tmp_path / "no" / "out.csv"), code=2)
    assert target.read_text() == "mine" and not (tmp_path / "out.txt").exists()


CRITERIA = """
[[criterion]]
name = "it succeeded"
sql = "SELECT count(*) = 1 FROM tasks WHERE state = 'completed'"
[[criterion]]
name = "a number"
sql = "SELECT 3"
[[criterion]]
name = "zero"
sql = "SELECT 0"
[[criterion]]
name = "no money"
sql = "SELECT 0::DECIMAL(18, 10)"
[[criterion]]
name = "nothing known"
sql = "SELECT NULL"
[[criterion]]
name = "no rows"
sql = "FROM events WHERE false"
[[criterion]]
name = "no such table"
sql = "FROM nothing"
[[criterion]]
name = "no question"
sql = "-- todo"
[[criterion]]
name = "a file"
sql = "FROM read_text('br3.toml')"
"""


def test_criteria_asked_of_the_analytics_are_met_or_not_or_cannot_be_told(repo: Scratch) -> None:
    repo.plan(shell_plan({"a": writing("a")}) + CRITERIA)
    repo.br3("run", "--trust")
    said = repo.br3("finish", code=1)
    signs = {text[2:].split("  ")[0]: text[0] for text in said.out.splitlines() if text[:1] in "✓✗?"}
    assert signs == {
        "it succeeded": "✓",
        "a number": "✓",
        "zero": "✗",
        "no money": "✗",
        "nothing known": "✗",
        "no rows": "✗",
        "no such table": "?",
        "no question": "?",
        "a file": "?",
    }
    checked = {e.data["name"]: e.data["met"] for e in repo.events("criterion.checked")}
    assert checked == {name: {"✓": True, "✗": False, "?": None}[sign] for name, sign in signs.items()}


def test_a_criterion_cannot_harm_the_analytics(repo: Scratch) -> None:
    target = analytics_path(repo.common_dir)
    harm = f"COPY (SELECT 1) TO '{target}' (FORMAT csv, USE_TMP_FILE false)"
    repo.plan(shell_plan({"a": writing("a")}) + f'[[criterion]]\nname = "harm"\nsql = {toml(harm)}\n')
    repo.br3("run", "--trust")
    assert "? harm" in repo.br3("finish").out
    assert repo.br3("sql", "SELECT count(*) FROM runs", "--json").json["rows"] == [[1]]


def test_one_line_that_cannot_be_digested_stops_no_report(repo: Scratch) -> None:
    repo.plan(shell_plan({"a": writing("a")}))
    repo.br3("run", "--trust")
    segment(repo.common_dir, "20260302T100000-1-aaaaaa", b"\xef\xbb\xbf" + line("note", 1) + b"[" * 200_000 + b"\n")
    for words in (("telemetry", "summary"), ("costs",), ("status",), ("doctor",)):
        said = repo.br3(*words, code=None)
        assert "Traceback" not in said.all and "internal" not in said.all, said.all
        assert words == ("doctor",) or said.code == 0
