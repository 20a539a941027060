"""What is newest does not rest on the clock, which may have been set back."""

from __future__ import annotations

import itertools
from types import SimpleNamespace
from typing import Any

from br3.landing import resolving, verifying
from br3.orchestrator import verdicts
from br3.orchestrator.verdicts import Key
from br3.plan.model import Verify
from br3.release import landed
from br3.repo import worktrees
from br3.repo.refs import TreeId
from br3.telemetry.events import Event
from br3.telemetry.replay import in_sequence
from tests.conftest import Scratch

KEY = Key(TreeId("t"), "c", "e")


def verdict(kind: str, ts: str, gen: int, seq: int, build: str | None = "a") -> Event:
    data = {"tree": "t", "commands": "c", "environment": "e"}
    return Event(ts, seq, gen, kind, "info", "r", build, None, None, 1, "h", data)


def test_a_run_comes_after_the_one_that_it_continues_whatever_the_clock_said() -> None:
    runs = {"r3": ("11:30", "r2"), "r1": ("10:00", None), "r2": ("12:00", "r1"), "r4": ("11:45", "r3")}
    for names in itertools.permutations(runs):
        assert in_sequence({name: runs[name] for name in names}) == ["r1", "r2", "r3", "r4"]


def test_runs_that_have_nothing_to_do_with_each_other_are_ordered_by_time() -> None:
    assert in_sequence({"b": ("11:00", None), "a": ("12:00", "gone"), "c": ("10:00", None)}) == ["c", "b", "a"]


def test_a_circle_of_runs_is_no_endless_loop() -> None:
    assert sorted(in_sequence({"a": ("1", "b"), "b": ("2", "a")})) == ["a", "b"]


def test_the_newest_verdict_of_a_build_is_the_last_that_was_written_under_its_lock() -> None:
    failed, passed = verdict("quality.failed", "12:00", 4, 9), verdict("quality.passed", "11:05", 5, 2)
    assert verdicts.find([failed, passed], KEY) is passed
    assert verdicts.find([passed, failed], KEY) is passed


def test_verdicts_of_a_build_and_of_a_train_are_ordered_by_time() -> None:
    failed, passed = verdict("quality.failed", "12:00", 4, 9), verdict("quality.passed", "12:05", 2, 2, build=None)
    assert verdicts.find([passed, failed], KEY) is passed


def test_a_clock_that_was_set_back_under_one_lock_is_taken_to_have_stood_still_for_others() -> None:
    first, second = verdict("quality.failed", "12:00", 4, 9, None), verdict("quality.failed", "11:05", 5, 2, None)
    before, after = verdict("quality.passed", "11:59", 7, 1), verdict("quality.passed", "12:01", 8, 1)
    for events in itertools.permutations([first, second, before, after]):
        assert verdicts.in_order(events) == [before, first, second, after]


def test_a_failure_from_before_the_last_that_passed_does_not_count_whatever_the_clock_said() -> None:
    failed, passed = verdict("quality.failed", "12:00", 4, 9, None), verdict("quality.passed", "11:05", 5, 2, None)
    assert verifying._known([passed, failed], KEY) == [passed]


def test_the_tests_of_a_release_are_those_of_the_last_verification_whatever_the_clock_said(repo: Scratch) -> None:
    repository = worktrees.discover(repo.path)
    tree = repo.head("main^{tree}")
    events = [verdict("quality.passed", ts, gen, 1, None) for ts, gen in (("12:00", 4), ("11:05", 5))]
    for event, passed in zip(events, (3, 7), strict=True):
        event.data.update(tree=tree, tests={"passed": passed})
    session: Any = SimpleNamespace(repository=repository, events=events)
    assert landed.tests_of(session, "main", Verify()) == {"passed": 7}


def test_it_is_the_last_attempt_at_a_conflict_that_is_gone_on_with_whatever_the_clock_said() -> None:
    def resolving_in(child: str, ts: str, gen: int) -> Event:
        return Event(ts, 1, gen, "landing.resolving", "info", "r", "a", None, None, 1, "h", {"child": child})

    run, build = SimpleNamespace(id="r", builds={}), SimpleNamespace(id="a")
    first, last = resolving_in("one", "12:00", 1), resolving_in("two", "11:05", 2)
    session: Any = SimpleNamespace(chain=[run], events=[last, first], runs={"one": run, "two": run})
    assert resolving._earlier(session, build, ()) is last  # type: ignore[arg-type]
