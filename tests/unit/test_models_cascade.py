"""Cheap first or strong at once: the inequality, what is never done, and what is said about it."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from br3.models.cascade import EASIER, MARGIN, PRIORS, Beta, Option, decide, easier_of

SURE = Beta(95, 5)


def option(model: str, usd: float, accepted: float, easier: float = 1.0) -> Option:
    return Option(model, usd, Beta(accepted * 100, 100 - accepted * 100), easier)


def test_cheap_begins_where_it_costs_less_than_what_it_spares() -> None:
    found = decide([option("small", 0.1, 0.6), option("large", 1.0, 0.8)])
    assert found.way.models == ("small", "large")
    assert math.isclose(found.way.cost_usd, 0.1 + 0.4 * 1.0)
    assert math.isclose(found.way.chance, 1 - 0.4 * 0.2)
    assert "small first: 60% of its work is accepted" in found.reason and "0.50 USD are saved" in found.reason


def test_strong_begins_where_the_detour_does_not_pay() -> None:
    found = decide([option("medium", 0.47, 0.7), option("large", 0.53, 0.8)])
    assert found.way.models == ("large",)
    assert "medium first would cost 0.47 USD to spare 0.37 USD" in found.reason
    assert ("medium", "large") in [way.models for way in found.others]


def test_a_saving_within_the_margin_is_none() -> None:
    just = 1 - MARGIN
    assert decide([option("s", just - 0.02 - 0.5, 0.5), option("l", 1.0, 0.8)]).model == "s"
    assert decide([option("s", just + 0.02 - 0.5, 0.5), option("l", 1.0, 0.8)]).model == "l"


def test_what_is_accepted_is_easier_and_spares_less() -> None:
    assert decide([option("s", 0.4, 0.6), option("l", 1.0, 0.8)]).model == "s"
    assert decide([option("s", 0.4, 0.6, easier=0.7), option("l", 1.0, 0.8)]).model == "l"


def test_a_middle_model_is_passed_over_or_taken() -> None:
    low, high = option("s", 0.05, 0.6), option("l", 1.0, 0.8)
    assert decide([low, option("m", 0.9, 0.6), high]).way.models == ("s", "l")
    assert decide([low, option("m", 0.2, 0.7), high]).way.models == ("s", "m", "l")


def test_risks_and_the_best_begin_with_the_strongest() -> None:
    options = [option("s", 0.01, 0.9), option("l", 1.0, 0.8)]
    found = decide(options, risks=["authentication", "migrations"])
    assert found.way.models == ("l",) and "authentication, migrations" in found.reason
    assert decide(options, policy="best").way.models == ("l",)


@pytest.mark.parametrize(
    ("named", "risks", "warning"),
    [
        ("s", (), None),
        ("l", (), "s → l is expected to cost"),
        ("s", ("secrets",), "this touches secrets, and s is not the strongest"),
        ("other", (), "nothing is known of other"),
    ],
)
def test_a_named_model_is_taken_with_a_warning_where_it_looks_wrong(
    named: str, risks: tuple[str, ...], warning: str | None
) -> None:
    found = decide([option("s", 0.01, 0.9), option("l", 1.0, 0.8)], fixed=named, risks=risks)
    assert found.way.models == (named,)
    assert found.warning is None if warning is None else warning in (found.warning or "")


def test_a_limit_leaves_out_what_is_expected_to_cost_more() -> None:
    options = [option("s", 0.1, 0.3), option("m", 0.4, 0.6), option("l", 1.0, 0.8)]
    assert decide(options, cost_limit_usd=0.5).way.models == ("m",)
    assert decide(options, cost_limit_usd=0.01).way.models[-1] == "l"  # nothing is within it


OPTIONS = st.lists(
    st.builds(option, st.just("m"), st.floats(0.001, 50), st.floats(0.01, 0.99), st.floats(0.5, 1.0)),
    min_size=1,
    max_size=5,
).map(lambda found: [Option(f"m{i}", o.cost_usd, o.accepted, o.easier) for i, o in enumerate(found)])


@given(OPTIONS)
def test_cascade_is_never_expected_to_cost_more_than_the_strongest_at_once(options: list[Option]) -> None:
    found = decide(options)
    assert found.way.cost_usd <= options[-1].cost_usd * (1 + 1e-9)
    assert found.way.models[-1] == options[-1].model
    assert found.way.chance >= options[-1].accepted.mean - 1e-9
    assert found == decide(options)


@given(OPTIONS, st.lists(st.text(min_size=1, max_size=9), max_size=2), st.floats(0, 100))
def test_numbers_are_finite_and_chances_are_chances(options: list[Option], risks: list[str], limit: float) -> None:
    found = decide(options, risks=risks, cost_limit_usd=limit)
    for way in (found.way, *found.others):
        assert math.isfinite(way.cost_usd) and way.cost_usd >= 0 and 0 <= way.chance <= 1


@given(st.integers(0, 200), st.integers(0, 200))
def test_experience_moves_a_belief_towards_what_was_seen(passed: int, failed: int) -> None:
    prior = PRIORS["medium"]
    after = prior.after(passed, failed)
    seen = passed / (passed + failed) if passed + failed else prior.mean
    assert min(prior.mean, seen) - 1e-9 <= after.mean <= max(prior.mean, seen) + 1e-9


def test_a_stronger_tier_is_believed_to_be_accepted_more_often() -> None:
    means = [PRIORS[tier].mean for tier in ("small", "medium", "large")]
    assert means == sorted(means)


def test_own_runs_say_how_much_easier_the_accepted_ones_are() -> None:
    assert easier_of([], [1.0]) == EASIER
    many = easier_of([0.5] * 100, [0.5] * 100 + [1.5] * 100)
    assert 0.5 < many < 0.55
    assert easier_of([2.0] * 50, [1.0] * 50) == 1.0
