"""Which model takes over: the order of a ladder, sizes and prices of the catalog, what has been tried."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from br3.agents import NAMES, agent
from br3.models import rows
from br3.models.routing import Wanted, next_model, same

LADDER = ("haiku", "sonnet", "opus")
DAY = datetime(2026, 11, 22, tzinfo=UTC)


@pytest.mark.parametrize(
    ("wanted", "model", "tried", "found"),
    [
        ("other", "sonnet", (), "opus"),
        ("other", "sonnet", ("opus",), "haiku"),
        ("other", "opus", (), "sonnet"),
        ("other", "claude-opus-5-5", ("anthropic/claude-sonnet-5-5",), "haiku"),
        ("other", "opus", ("sonnet", "haiku"), None),
        ("other", None, (), "haiku"),
        ("stronger", "haiku", (), "sonnet"),
        ("stronger", "sonnet[1m]", (), "opus"),
        ("stronger", "opus", (), None),
        ("stronger", "gpt-5.5", (), None),
        ("stronger", None, (), None),
        ("faster", "opus", (), "sonnet"),
        ("faster", "sonnet", (), "haiku"),
        ("faster", "haiku", (), None),
        ("faster", "nobody-knows-it", (), None),
        ("larger_context", "claude-haiku-4-5", (), "haiku"),
        ("larger_context", "opus", (), None),
        ("larger_context", None, (), None),
    ],
)
def test_the_next_model(wanted: Wanted, model: str | None, tried: tuple[str, ...], found: str | None) -> None:
    assert next_model(wanted, model, LADDER, tried, at=DAY) == found


def test_the_smallest_of_the_larger_contexts_is_taken() -> None:
    ladder = ["gpt-5.6-sol", "gpt-5.4-mini", "claude-haiku-4-5"]  # 1.05 M, 400 k, 200 k
    assert next_model("larger_context", "claude-haiku-4-5", ladder) == "gpt-5.4-mini"


@given(
    wanted=st.sampled_from(["other", "stronger", "faster", "larger_context"]),
    model=st.sampled_from([*LADDER, "gpt-5.5", "unknown", None]),
    tried=st.sets(st.sampled_from(LADDER)),
)
def test_an_answer_is_of_the_ladder_another_one_and_not_tried(
    wanted: Wanted, model: str | None, tried: set[str]
) -> None:
    found = next_model(wanted, model, LADDER, tried, at=DAY)
    assert found is None or (found in LADDER and found not in tried and found != model)


@given(order=st.permutations(LADDER), first=st.sampled_from(LADDER))
def test_asking_for_others_comes_to_an_end_and_to_every_one(order: list[str], first: str) -> None:
    seen, at = [first], first
    while (found := next_model("other", at, order, seen)) is not None:
        seen.append(found)
        at = found
    assert sorted(seen) == sorted(LADDER)


@pytest.mark.parametrize("name", NAMES)
def test_the_models_that_br3_brings_have_prices_and_rise_with_them(name: str) -> None:
    known = [
        max(row.output or 0 for row in rows(same(model)) if row.mode == "standard") for model in agent(name).ladder
    ]
    assert known == sorted(known) and len(set(known)) == len(known)
