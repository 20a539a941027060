"""Estimates of texts: features, score, reasons, risks, dollars and tokens. All samples are made up."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from br3.estimate.calibration import Run
from br3.estimate.estimating import (
    Estimate,
    Looked,
    estimate,
    estimate_build,
    facts_of_build,
    learned,
    overlaps,
    owned_files,
    text_of_build,
)
from br3.estimate.features import (
    BY_NAME,
    FEATURES,
    MatchFacts,
    PlanFacts,
    given_features,
    identifiers,
    named_files,
    plan_features,
    repository_features,
    text_features,
)
from br3.estimate.model import RATINGS, coefficients, level, risks
from br3.estimate.pricing import rates
from br3.estimate.ratings import NotRated, Rated, Spent
from br3.models import price
from br3.plan.model import Build, Task, Verify

DAY = datetime(2026, 11, 1, tzinfo=UTC)
ISSUE = """\
Parser drops the last token of a nested query
When `QueryParser.parse_expression` meets two closing brackets the cache keeps the wrong node, see core/parser.py.

    >>> parse("a(b(c))")
    Traceback (most recent call last):
      File "core/parser.py", line 12, in parse
    ValueError: 3 != 4
"""
ODD_TEXTS = ["", " ", "\0\x01\x02\xff" * 500, "x" * 1_000_000, "    \n" * 200_000, "\ud83d", "(" * 5000, "é" * 3000]


def told(text: str, models: tuple[str, ...] = ("claude-opus-4-5",), **how: object) -> Estimate:
    return estimate(text, Looked(), learned(at=DAY), models, at=DAY, **how)  # type: ignore[arg-type]


def build(**facts: object) -> Build:
    task = Task("A.1", "Parser", "Rewrite the parser")
    return replace(Build("a", "Parser", "build/a", "a", (task,), Verify(("true",))), **facts)  # type: ignore[arg-type]


def test_every_feature_has_a_meaning_a_unit_and_words_for_people() -> None:
    for feature in FEATURES:
        assert feature.meaning and feature.unit and feature.high != feature.low, feature.name
    assert len(BY_NAME) == len(FEATURES)


def test_every_feature_that_is_made_is_in_the_table() -> None:
    facts = MatchFacts(900, (3.0, 1.0), ("a/b.py", "c.py"), (10, 20), (1, 0), (2, 1), (1, 1))
    made = text_features(ISSUE, 0.1) | repository_features(facts) | plan_features(PlanFacts(owned_files=1, minutes=5))
    assert set(made) == set(BY_NAME)


def test_coefficients_speak_of_features_only() -> None:
    known = coefficients()
    for lines in (*known.lines.values(), known.plan):
        assert set(lines) <= set(BY_NAME)
    assert set(known.rated["cost"]) == {*RATINGS, "offline"}


def test_coefficients_say_what_they_were_fitted_on() -> None:
    about = coefficients().about
    assert about["made"] and about["by"] == "python -m br3.estimate.fitting"
    for source in about["data"]:
        assert source["name"]
        assert source["licence"] in ("MIT", "MIT, Apache-2.0")


def test_names_from_code_are_found() -> None:
    assert identifiers("call core.parse_it or fooBar, `a b`, MyClass; not plain words") == {
        "core.parse_it",
        "fooBar",
        "a b",
        "MyClass",
    }


def test_named_files_are_found() -> None:
    assert named_files("see core/parser.py, setup.cfg and e.g. this; not v1.2 or example.com") == {
        "core/parser.py",
        "setup.cfg",
    }


def test_what_a_text_holds_is_counted() -> None:
    found = text_features(ISSUE)
    assert found["trace"] == 1.0
    assert found["hard_title"] == 1.0
    assert found["named_files"] == pytest.approx(math.log1p(1))
    assert found["code"] > 0.4
    assert text_features("Fix a typo")["trace"] == 0.0


def test_entropy_and_margin_tell_a_sharp_match_from_a_flat_one() -> None:
    names = tuple(f"d{n}/f.py" for n in range(4))
    flat = repository_features(MatchFacts(100, (1.0, 1.0, 1.0, 1.0), names, (9,) * 4, (0,) * 4))
    sharp = repository_features(MatchFacts(100, (1.0, 0.01, 0.01, 0.01), names, (9,) * 4, (0,) * 4))
    assert flat["entropy"] == pytest.approx(math.log(4))
    assert sharp["entropy"] < 0.3
    assert (flat["margin"], sharp["margin"]) == (0.0, pytest.approx(0.99))
    assert flat["directories"] == 4.0


def test_nothing_is_said_of_matches_where_nothing_matches() -> None:
    assert repository_features(MatchFacts(0)) == {"repository_lines": 0.0}


def test_given_features_leave_out_what_is_no_number() -> None:
    odd = {
        "repo_repo_loc": 99,
        "repo_bm_ent": None,
        "repo_bm_margin": "x",
        "repo_loc_top1": True,
        "repo_loc_top5": -5.0,
    }
    assert given_features(odd | {"repo_dirs_top5": float("nan"), "other": 1}) == {
        "repository_lines": pytest.approx(math.log(100)),
        "five_lines": 0.0,
    }


@pytest.mark.parametrize("text", ODD_TEXTS, ids=lambda text: repr(text[:8]))
def test_odd_texts_get_a_finite_answer(text: str) -> None:
    made = told(text)
    cost = made.cost_usd["claude-opus-4-5"]
    assert cost is not None
    for value in (made.score, made.minutes.p50, made.minutes.p90, float(cost.p50), float(cost.p90)):
        assert math.isfinite(value) and value >= 0
    assert 0 <= made.score <= 100


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=400), st.sampled_from(["claude-opus-4-5", "haiku", "gpt-5-mini", "nobody-knows-it"]))
def test_p50_is_never_above_p90_and_the_same_input_has_the_same_answer(text: str, model: str) -> None:
    made = told(text, (model,))
    assert made == told(text, (model,))
    assert 0 < made.minutes.p50 <= made.minutes.p90 < math.inf
    cost = made.cost_usd[model]
    if model == "nobody-knows-it":
        assert cost is None
    else:
        assert cost is not None and 0 < cost.p50 <= cost.p90


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=200), st.sampled_from(["claude-opus-4-5", "sonnet", "haiku", "gpt-5-mini", "gemini-2.5-pro"]))
def test_dollars_are_the_tokens_at_the_price_table(text: str, model: str) -> None:
    from br3.models.routing import same

    cost = told(text, (model,)).cost_usd[model]
    assert cost is not None and cost.tokens_p50 is not None and cost.tokens_p90 is not None
    known = rates(coefficients(), model, DAY)
    assert known is not None
    assert known.usd(cost.tokens_p50) == cost.p50
    # Priced as one request where that is no dearer tier: the table itself says the same.
    if cost.tokens_p50.prompt < 200_000:
        assert price(same(model), DAY, cost.tokens_p50).cost_usd == cost.p50.quantize(Decimal("1E-10"))


def test_a_dearer_price_is_a_dearer_estimate() -> None:
    made = told(ISSUE, ("claude-opus-4-5", "claude-opus-4-1"))
    cheap, dear = (made.cost_usd[name] for name in ("claude-opus-4-5", "claude-opus-4-1"))
    assert cheap is not None and dear is not None
    assert dear.p50 > 2 * cheap.p50


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 5000), st.integers(0, 5000), st.lists(st.integers(1, 400), max_size=40))
def test_a_larger_owns_never_lowers_the_estimate(one: int, other: int, outcomes: list[int]) -> None:
    # Own runs in which builds that owned much were cheap: they may take the weight away, not turn it round.
    runs = [
        Run(
            "claude-opus-4-5",
            features=plan_features(PlanFacts(owned_files=at * 50)),
            cost_usd=1 / (cents + at),
            minutes=400.0 / (cents + at),
        )
        for at, cents in enumerate(outcomes)
    ]
    history = learned(runs, at=DAY)
    small, large = (
        estimate(ISSUE, Looked(), history, ["claude-opus-4-5"], plan=PlanFacts(owned_files=n), at=DAY)
        for n in sorted((one, other))
    )
    assert small.score <= large.score
    assert small.minutes.p50 <= large.minutes.p50 and small.minutes.p90 <= large.minutes.p90
    a, b = small.cost_usd["claude-opus-4-5"], large.cost_usd["claude-opus-4-5"]
    assert a is not None and b is not None
    assert a.p50 <= b.p50 and a.p90 <= b.p90


@given(
    st.lists(st.sampled_from(["src/a.py", "src/**", "docs/", "new/x.py", "**/*.md"])), st.sampled_from(["src", "n.py"])
)
def test_owning_one_more_pattern_never_counts_fewer_files(owns: list[str], more: str) -> None:
    tracked = ["src/a.py", "src/b.py", "docs/x.md", "README.md"]
    assert owned_files(owns, tracked) <= owned_files([*owns, more], tracked)


def test_own_runs_may_take_the_weight_of_owns_away_but_not_turn_it_round() -> None:
    # The more a build owned, the cheaper it was.
    runs = [
        Run(
            "claude-opus-4-5",
            features=plan_features(PlanFacts(owned_files=owned)),
            cost_usd=8 / (owned + 1),
            minutes=80 / (owned + 1),
        )
        for owned in (0, 1, 5, 30, 200) * 30
    ]
    history = learned(runs, at=DAY)
    small, large = (
        estimate(ISSUE, Looked(), history, ["claude-opus-4-5"], plan=PlanFacts(owned_files=n), at=DAY) for n in (1, 500)
    )
    a, b = small.cost_usd["claude-opus-4-5"], large.cost_usd["claude-opus-4-5"]
    assert a is not None and b is not None
    assert a.p50 <= b.p50
    assert small.minutes.p50 <= large.minutes.p50


def test_a_build_without_owns_is_not_estimated_above_one_with() -> None:
    models = ["claude-opus-4-5"]
    made = [estimate_build(build(owns=owns), Looked(), learned(at=DAY), models, at=DAY) for owns in ((), ("a.py",))]
    assert made[0].score <= made[1].score


def test_a_plan_with_more_to_do_is_estimated_higher() -> None:
    few, many = PlanFacts(tasks=1, new_files=1), PlanFacts(tasks=6, new_files=12, changed_files=9, minutes=600)
    assert told(ISSUE, plan=few).score < told(ISSUE, plan=many).score


def test_the_text_of_a_build_is_all_that_its_agents_are_told_once_each() -> None:
    task = Task("A.1", "Parser", "Rewrite the parser", deliverables=("core/parser.py (NEW)",))
    text = text_of_build(build(prompt="Be careful", tasks=(task, replace(task, id="A.2")), deliverables=("docs",)))
    assert text.splitlines() == ["Parser", "Be careful", "Rewrite the parser", "- core/parser.py (NEW)", "- docs"]


def test_files_named_as_new_and_as_modified_are_counted() -> None:
    task = Task("A.1", "t", "p", minutes=30, deliverables=("a.py (NEW)", "b.py (MODIFY)", "c.py (new: the store)"))
    facts = facts_of_build(build(tasks=(task, replace(task, id="A.2", deliverables=(), minutes=15))))
    assert (facts.new_files, facts.changed_files, facts.deliverables, facts.tasks) == (2, 1, 3, 2)
    assert facts.minutes == 45


def test_levels_are_percentiles() -> None:
    assert [level(score) for score in (0, 39.9, 40, 74.9, 75, 100)] == [
        "simple",
        "simple",
        "moderate",
        "moderate",
        "complex",
        "complex",
    ]


@given(st.floats(-5, 5), st.floats(-5, 5))
def test_a_larger_effect_never_has_a_lower_score(one: float, other: float) -> None:
    known = coefficients()
    low, high = sorted((one, other))
    assert known.score(low) <= known.score(high)
    assert known.score(low, [-0.1, 0.0, 0.2]) <= known.score(high, [-0.1, 0.0, 0.2])


def test_own_runs_move_the_percentile() -> None:
    known = coefficients()
    assert known.score(0.0, [-1.0] * 200) > known.score(0.0) > known.score(0.0, [1.0] * 200)


def test_three_reasons_are_given_in_words_with_their_factors() -> None:
    made = told(ISSUE)
    assert len(made.reasons) == 3
    words = [word for feature in FEATURES for word in (feature.high, feature.low)]
    for reason in made.reasons:
        said, _, factor = reason.rpartition(" (×")
        assert said in words
        assert float(factor.rstrip(")")) > 0


def test_the_reason_that_moved_it_most_comes_first() -> None:
    for text in (ISSUE, "Add a button", "Rename the version", "x = 1 + 2\n" * 40, "epic database design " * 9):
        effects = coefficients().effects("cost", told(text).features)
        strongest = sorted((abs(effect) for effect in effects.values()), reverse=True)[:3]
        factors = [abs(math.log(float(reason.rpartition("×")[2].rstrip(")")))) for reason in told(text).reasons]
        assert factors == pytest.approx(strongest, abs=0.006)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("Let users log in with OAuth", "authentication"),
        ("Add a migration for the orders table", "migrations"),
        ("Rotate the API keys", "secrets"),
        ("Delete stale accounts", "deletion"),
        ("Publish the wheel", "release paths"),
    ],
)
def test_risks_are_told_with_their_reason(text: str, reason: str) -> None:
    made = told(text)
    assert made.critical
    assert any(said.startswith(reason) for said in made.critical_because)


@pytest.mark.parametrize("text", ["Fix a typo in the README", "Draw the author's name", "Tokenize numbers", ""])
def test_harmless_texts_are_not_critical(text: str) -> None:
    assert not told(text).critical


def test_paths_that_will_be_changed_are_read_for_risks() -> None:
    assert risks("Tidy up", ["app/migrations/0001.py"]) == ("migrations: it changes app/migrations/0001.py",)


def test_a_risk_is_no_effort() -> None:
    assert told("Tidy up", paths=["app/migrations/0001.py"]).score == told("Tidy up").score


def rated(**ratings: float) -> Rated:
    return Rated({"debugging_complexity": 2.0, "codebase_scope": 2.0, "solution_hint": 3.0, **ratings}, Spent("haiku"))


@pytest.mark.parametrize(("name", "way"), [("debugging_complexity", 1), ("codebase_scope", 1), ("solution_hint", -1)])
def test_ratings_move_the_estimate_their_way(name: str, way: int) -> None:
    low, high = told(ISSUE, rated=rated(**{name: 1.0})), told(ISSUE, rated=rated(**{name: 5.0}))
    assert (high.score - low.score) * way > 0
    assert (high.minutes.p50 - low.minutes.p50) * way > 0


def test_with_ratings_the_text_counts_less() -> None:
    def factor(with_ratings: bool) -> float:
        how = {"rated": rated()} if with_ratings else {}
        hard, plain = (told(text, **how).cost_usd["claude-opus-4-5"] for text in (ISSUE, "Fix a typo"))
        assert hard is not None and plain is not None
        return float(hard.p50 / plain.p50)

    assert 1 < factor(True) < 0.9 * factor(False)


def test_without_ratings_the_offline_estimate_stands_and_says_why() -> None:
    made = told(ISSUE, rated=NotRated("no key", "there is no ANTHROPIC_API_KEY", Spent("haiku")))
    plain = told(ISSUE)
    assert made.offline_because == "there is no ANTHROPIC_API_KEY"
    assert (made.score, made.cost_usd, made.minutes) == (plain.score, plain.cost_usd, plain.minutes)


def test_an_estimate_is_recorded_with_what_own_history_learns_from() -> None:
    data = told(ISSUE, rated=rated()).event("claude-opus-4-5", kind="task")
    assert data["cost_p50_usd"] == f"{Decimal(data['cost_p50_usd']):f}"
    assert isinstance(data["features"], Mapping) and data["features"]["hard_title"] == 1.0
    assert data["ratings"]["codebase_scope"] == 2.0
    assert data["level"] in ("simple", "moderate", "complex")


def test_no_model_is_no_question() -> None:
    with pytest.raises(ValueError, match="at least one model"):
        told(ISSUE, ())


def test_builds_that_will_probably_touch_the_same_files_are_told() -> None:
    files = {
        "a": (("core/x.py", 1.0), ("core/y.py", 0.4)),
        "b": (("core/z.py", 1.0), ("core/x.py", 0.8)),
        "c": (("core/y.py", 1.0),),
    }
    assert [(one.a, one.b, one.files) for one in overlaps(files)] == [("a", "b", ("core/x.py",))]
