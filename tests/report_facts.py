"""Facts of reports that nobody had to run for: of any size, and with any text in every place that takes one."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from br3.report.facts import (
    Attempt,
    Bar,
    Build,
    Check,
    Command,
    Conflicts,
    Facts,
    Mark,
    Meeting,
    ModelCost,
    Outcome,
    Outcomes,
    Payment,
    Range,
    Row,
    Spent,
    Tagged,
    Task,
)

BEGAN = datetime(2026, 11, 20, 9, 0, 0)
RUN = "20261120-090000-abcd"
MODELS = ("claude-opus-4-5", "claude-sonnet-4-6", "claude-haiku-4-5")


def at(minutes: float) -> datetime:
    """So many minutes after all began."""
    return BEGAN + timedelta(minutes=minutes)


def facts_of(builds: int, **other: Any) -> Facts:
    """A run that went its way in ``builds`` builds; every third one failed, and the fourth has no known cost."""
    made = [_build(number) for number in range(1, builds + 1)]
    attempts = [_attempt(build, number) for build in made for number in (1, 2)]
    known = [build.cost_usd for build in made if build.cost_usd is not None]
    payments = [
        Payment(a.ended or a.began, a.build, a.model, a.cost_usd, 0) for a in attempts if a.cost_usd is not None
    ]
    ids = tuple(build.id for build in made)
    base = Facts(
        made_at=at(5000),
        version="0.1.0",
        project="project",
        run=RUN,
        plan="week 1",
        state="failed",
        reason="not verified",
        base="main",
        base_commit="1" * 40,
        base_now="2" * 40,
        jobs=4,
        lands_by="local",
        began=BEGAN,
        ended=at(200),
        budget_usd=Decimal(sum(known, Decimal(0)) * 2) or None,
        spent=Spent(sum(known, Decimal(0)), 0, sum(build.cost_usd is None for build in made)),
        tokens=1000 * builds,
        runs=({"run": RUN, "state": "failed", "reason": None, "verified": 1, "tokens": 10, "cost_usd": "1.00"},),
        aside_runs=(),
        builds=tuple(made),
        attempts=tuple(attempts),
        timeline=(
            *(_row(build, attempts) for build in made),
            Row("main", (Bar("landing", at(4400), at(4410), "landing on main"),), (), (_landed(ids),)),
        ),
        payments=tuple(payments),
        models=tuple(ModelCost(name, Decimal("1.25"), 0, 100, 20, 3000, 40000) for name in MODELS),
        outcomes=(
            Outcomes("USD", tuple(_outcome(build) for build in made), 0.5, 0.8, 1.4),
            Outcomes("minutes", tuple(_outcome(build) for build in made), 0.5, 0.8, 1.4),
        ),
        conflicts=Conflicts(("main", *ids), tuple(_meetings(ids))),
        checklist=(
            Check("all tests pass", True, "`pytest` → 0", at(4500)),
            Check("nothing is slow", False, "`bench` → 1", at(4500)),
            Check("somebody has looked", None, "", None),
        ),
        releases=(Tagged("v1.0.0", "3" * 40, "1.0.0", ("origin",), ids),),
        whole_verify={"commit": "2" * 40, "tests": {"passed": 12, "failed": 0, "skipped": 1}},
        problems=("2026-11-20T09:00:00Z run: run.started is not possible",),
    )
    return dataclasses.replace(base, **other)


def texts_changed(value: Any, change: Callable[[str], str], *, keep: tuple[str, ...] = ()) -> Any:
    """A copy of facts in which every text is another, but those of fields that are words of br3's own."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {}
        for one in dataclasses.fields(value):
            inner = getattr(value, one.name)
            fields[one.name] = inner if one.name in keep else texts_changed(inner, change, keep=keep)
        return dataclasses.replace(value, **fields)
    if isinstance(value, dict):
        return {key: inner if key in keep else texts_changed(inner, change, keep=keep) for key, inner in value.items()}
    if isinstance(value, tuple):
        return tuple(texts_changed(inner, change, keep=keep) for inner in value)
    return change(value) if isinstance(value, str) else value


def _build(number: int) -> Build:
    failed, quiet = number % 3 == 0, number == 4
    cost = None if quiet else Decimal(number) / 10
    tasks = tuple(
        Task(f"T.{n}", f"Task {n}", True, 20.0, "failed" if failed and n == 2 else "completed", 1, False, None)
        for n in (1, 2)
    )
    return Build(
        number=number,
        id=f"build-{number}",
        title=f"The build with number {number}",
        branch=f"build/build-{number}",
        state="failed" if failed else "landed",
        verified=not failed,
        landed=not failed,
        commit="4" * 40,
        landed_as=None if failed else "5" * 40,
        request=None,
        reason="`pytest` ended with exit code 1" if failed else None,
        aside=None,
        agents=("claude",),
        models=(MODELS[number % 3],),
        tasks=tasks,
        tests={"passed": 10, "failed": 1 if failed else 0, "skipped": 0},
        coverage=91.5,
        min_passed=8,
        min_coverage=90.0,
        commands=(Command("pytest tests -q", 1 if failed else 0, 12.5),),
        began=at(number),
        ended=at(number + 100),
        cost_usd=cost,
        known_usd=cost,
        tokens=None if quiet else 1000,
        budget_usd=Decimal("5"),
        score=6.0,
        level="medium",
        estimated_usd=Range(0.1 * number, 0.3 * number),
        estimated_minutes=Range(20.0, 60.0),
        notes=("it was retried",),
    )


def _attempt(build: Build, number: int) -> Attempt:
    began = build.number + 40 * (number - 1)
    last = build.tasks[number - 1]
    return Attempt(
        run=RUN,
        build=build.id,
        task=last.id,
        number=1,
        state="failed" if last.state == "failed" else "succeeded",
        cause="timeout" if last.state == "failed" else None,
        why="it took too long" if last.state == "failed" else None,
        agent="claude",
        model=build.models[0],
        began=at(began),
        ended=at(began + 35),
        cost_usd=None if build.cost_usd is None else build.cost_usd / 2,
        known_usd=None if build.cost_usd is None else build.cost_usd / 2,
        silent=build.cost_usd is None,
        tokens=500,
    )


def _row(build: Build, attempts: list[Attempt]) -> Row:
    mine = [a for a in attempts if a.build == build.id]
    phases = [
        Bar("preparing", at(build.number - 1), at(build.number), "preparing"),
        Bar("running", at(build.number), at(build.number + 75), "running"),
        Bar("verifying", at(build.number + 75), at(build.number + 100), "verifying"),
        Bar("paused", at(build.number + 10), at(build.number + 15), "paused"),
    ]
    marks = [Mark("failed" if build.state == "failed" else "verified", at(build.number + 100), build.state)]
    bars = [Bar(a.state, a.began, a.ended or a.began, f"{a.task} attempt {a.number}: {a.state}") for a in mine]
    return Row(build.id, tuple(phases), tuple(bars), tuple(marks))


def _landed(ids: tuple[str, ...]) -> Mark:
    return Mark("landed", at(4410), f"main moved: {', '.join(ids)}")


def _outcome(build: Build) -> Outcome:
    taken = 0.45 * build.number if build.number % 5 == 0 else 0.15 * build.number
    return Outcome(build.id, RUN, build.models[0], Range(0.1 * build.number, 0.3 * build.number), taken)


def _meetings(ids: tuple[str, ...]) -> list[Meeting]:
    found = [Meeting("main", name, "none") for name in ids]
    for place, a in enumerate(ids):
        for later, b in enumerate(ids[place + 1 :], start=place + 1):
            conflict = (place + later) % 5 == 3
            files = ("core/a.py", "core/b.py") if conflict else ()
            found.append(Meeting(a, b, "conflict" if conflict else "none", files))
    return found
