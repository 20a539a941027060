from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal, localcontext
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from br3.models import Priced, PriceRow, Tokens, catalog, price, rows

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
MILLION = 1_000_000
COUNTS = st.integers(0, 10**9)

# USD per million: input, output, cache write for 5 minutes and for 1 hour, cache read.
FIGURES = {
    "claude-opus-5-5": "4 20 5 8 0.20",
    "claude-opus-5": "5 25 6.25 10 0.50",
    "claude-opus-4-8": "5 25 6.25 10 0.50",
    "claude-opus-4-7": "5 25 6.25 10 0.50",
    "claude-opus-4-6": "5 25 6.25 10 0.50",
    "claude-opus-4-5": "5 25 6.25 10 0.50",
    "claude-sonnet-5-5": "2 10 2.5 4 0.10",
    "claude-sonnet-4-6": "3 15 3.75 6 0.30",
    "claude-sonnet-4-5": "3 15 3.75 6 0.30",
    "claude-haiku-5-5": "0.10 0.50 0.125 0.20 0.01",
    "claude-haiku-4-5": "1 5 1.25 2 0.10",
    "claude-fable-5-2": "8 40 10 16 0.20",
}


def cost(model: str, tokens: Tokens, at: datetime = NOW, *, batch: bool = False, fast: bool = False) -> Decimal | None:
    return price(model, at, tokens, batch=batch, fast=fast).cost_usd


@pytest.mark.parametrize("model", FIGURES)
def test_the_published_figures_are_charged(model: str) -> None:
    figures = [Decimal(figure) for figure in FIGURES[model].split()]
    thousand = [Tokens(1000), Tokens(0, 1000), Tokens(0, 0, 1000), Tokens(0, 0, 0, 1000), Tokens(0, 0, 0, 0, 1000)]
    assert [cost(model, tokens) for tokens in thousand] == [figure / 1000 for figure in figures]


def test_an_hour_in_the_cache_costs_twice_the_input_with_anthropic() -> None:
    priced = [row for model in catalog() if model.provider == "anthropic" for row in model.rows]
    assert len(priced) > 40
    assert all(row.input is not None and row.cache_write_1h == 2 * row.input for row in priced)


def test_a_prompt_over_the_threshold_is_charged_whole_at_the_higher_price() -> None:
    model = "claude-haiku-5-5"
    at_most, above = Tokens(99_000, 10, 300, 300, 400), Tokens(99_000, 10, 300, 300, 401)
    assert price(model, NOW, at_most).price == "anthropic/claude-haiku-5-5"
    assert price(model, NOW, above).price == "anthropic/claude-haiku-5-5/over-100000"
    cheap, dear = cost(model, at_most), cost(model, above)
    assert cheap is not None
    assert dear == 5 * cheap + Decimal("0.05") / MILLION


def test_output_does_not_lengthen_the_prompt() -> None:
    assert cost("claude-haiku-5-5", Tokens(0, MILLION)) == Decimal("0.5")


def test_a_price_holds_from_its_utc_day_on() -> None:
    read = Tokens(cache_read=MILLION)
    last = datetime(2026, 10, 6, 23, 59, 59, tzinfo=UTC)
    assert cost("claude-sonnet-5-5", read, last) == Decimal("0.2")
    assert cost("claude-sonnet-5-5", read, last + timedelta(seconds=1)) == Decimal("0.1")
    assert cost("claude-sonnet-5-5", read, datetime(2026, 10, 7)) == Decimal("0.1")
    east = datetime(2026, 10, 7, 1, tzinfo=timezone(timedelta(hours=2)))
    assert cost("claude-sonnet-5-5", read, east) == Decimal("0.2")


def test_a_price_that_is_announced_holds_when_its_day_comes() -> None:
    tokens = Tokens(MILLION)
    assert cost("gemini-4-argon", tokens, datetime(2026, 11, 30)) == 2
    assert cost("gemini-4-argon", tokens, datetime(2026, 12, 1)) == 4


def test_the_long_context_surcharge_of_sonnet_ended() -> None:
    tokens = Tokens(MILLION)
    assert cost("claude-sonnet-4-6", tokens, datetime(2026, 3, 12)) == 6
    assert cost("claude-sonnet-4-6", tokens, datetime(2026, 3, 13)) == 3


def test_a_batch_costs_what_the_table_says_of_batches() -> None:
    assert cost("claude-opus-5-5", Tokens(MILLION, MILLION), batch=True) == 12
    # No cached input in OpenAI's batch table: the usual price.
    assert cost("o3", Tokens(MILLION, 0, 0, 0, MILLION), batch=True) == Decimal("1.5")


def test_a_batch_of_a_model_or_a_day_without_such_prices_is_unknown() -> None:
    assert price("claude-opus-4-1", NOW, Tokens(1), batch=True) == Priced(None, None)
    assert price("claude-opus-5-5", datetime(2026, 10, 13), Tokens(1), batch=True) == Priced(None, None)


def test_fast_mode_has_its_own_price() -> None:
    assert price("claude-opus-5-5", NOW, Tokens(MILLION, MILLION), fast=True) == Priced(
        Decimal("48.0000000000"), "anthropic/claude-opus-5-5/fast"
    )
    assert cost("gpt-5.3-codex", Tokens(MILLION), fast=True) == Decimal("3.5")
    assert cost("claude-haiku-4-5", Tokens(1), fast=True) is None
    assert cost("claude-opus-5-5", Tokens(1), fast=True, batch=True) is None


def test_a_region_of_bedrock_is_a_tenth_dearer() -> None:
    tokens = Tokens(MILLION, MILLION)
    assert cost("us.anthropic.claude-opus-5-5", tokens) == Decimal("26.4")
    assert cost("global.anthropic.claude-opus-5-5", tokens) == 24


@pytest.mark.parametrize(
    "model", ["claude-mythos-5", "claude-mythos-5-1", "claude-mythos-preview", "deepseek-chat", "no-such-model", ""]
)
def test_a_model_without_a_price_costs_unknown_never_nothing(model: str) -> None:
    assert price(model, NOW, Tokens(5, 5)) == Priced(None, None)
    assert price(model, NOW, Tokens()) == Priced(None, None)


def test_a_kind_of_token_without_a_price_makes_the_cost_unknown_only_where_it_is_used() -> None:
    assert price("gpt-5", NOW, Tokens(MILLION)) == Priced(Decimal("1.2500000000"), "openai/gpt-5")
    assert price("gpt-5", NOW, Tokens(MILLION, cache_write_5m=1)) == Priced(None, "openai/gpt-5")


def test_what_claude_code_made_up_itself_costs_nothing() -> None:
    assert price("<synthetic>", NOW, Tokens(5, 5)) == Priced(Decimal(0), None)


def test_costs_are_rounded_at_the_tenth_decimal_and_nowhere_before() -> None:
    # 0.0625 USD per million, one token: 0.0000000625.
    tokens = Tokens(cache_write_5m=1)
    assert str(cost("claude-haiku-5-5", tokens, batch=True)) == "6.25E-8"
    with localcontext() as context:
        context.prec = 3
        assert cost("claude-opus-5-5", Tokens(123_456_789)) == Decimal("493.827156")
    told = cost("kimi-k2.6", Tokens(cache_read=10**15 + 1))
    assert told == Decimal("160000000.00000016")
    assert cost("claude-opus-5-5", Tokens()) == 0


@given(
    st.sampled_from([row for model in catalog() for row in rows(model.id)]),
    st.tuples(COUNTS, COUNTS, COUNTS, COUNTS, COUNTS),
    st.integers(0, 1000),
)
def test_a_price_is_the_plain_sum_of_its_parts(row: PriceRow, counts: tuple[int, ...], days: int) -> None:
    day = date(2025, 1, 1) + timedelta(days)
    tokens = Tokens(*counts)
    got = price(
        row.model, datetime(day.year, day.month, day.day), tokens, batch=row.mode == "batch", fast=row.mode == "fast"
    )
    prompt = sum(counts) - counts[1]
    fitting = [
        r
        for r in rows(row.model)
        if r.mode == row.mode
        and (r.valid_from or date.min) <= day < (r.valid_until or date.max)
        and (r.above_prompt_tokens < prompt or not r.above_prompt_tokens)
    ]
    if not fitting:
        assert got == Priced(None, None)
        return
    best = sorted(fitting, key=lambda r: r.above_prompt_tokens)[-1]
    assert got.price == best.id
    figures = (best.input, best.output, best.cache_write_5m, best.cache_write_1h, best.cache_read)
    used = [(figure, count) for figure, count in zip(figures, counts, strict=True) if count]
    if any(figure is None for figure, _ in used):
        assert got.cost_usd is None
        return
    exact = sum((Fraction(figure) * count / MILLION for figure, count in used if figure is not None), Fraction(0))
    assert got.cost_usd is not None
    assert got.cost_usd.as_tuple().exponent == -10
    assert abs(Fraction(got.cost_usd) - exact) <= Fraction(1, 2 * 10**10)


def test_every_price_has_an_id_a_source_and_a_date_of_its_own() -> None:
    known = [row for model in catalog() for row in rows(model.id)]
    assert len({row.id for row in known}) == len(known) > 350
    assert all(row.source and row.dated and row.id.startswith((row.provider, "bedrock/")) for row in known)
    assert all(row.input is not None and row.output is not None for row in known)


def test_at_most_one_price_of_a_model_holds_for_a_request() -> None:
    for model in catalog():
        known = rows(model.id)
        days = {day for row in known for day in (row.valid_from, row.valid_until) if day} | {date(2025, 1, 1)}
        for day in days:
            holding = [(row.mode, row.above_prompt_tokens) for row in known if row.holds_on(day)]
            assert len(holding) == len(set(holding)), (model.id, day)


def test_the_catalog_lists_models_with_what_they_cost_today() -> None:
    models = {model.id: model for model in catalog()}
    assert len(models) == len(catalog()) > 150
    opus = models["claude-opus-5-5"]
    assert (opus.provider, opus.context_tokens) == ("anthropic", 1_000_000)
    assert [row.mode for row in opus.rows] == ["standard", "batch", "fast"]
    assert all(row.holds_on(datetime.now(UTC).date()) for model in models.values() for row in model.rows)
    assert len(rows("claude-sonnet-5-5")) > len(models["claude-sonnet-5-5"].rows)
    assert models["claude-mythos-5"].rows == ()
    assert models["claude-mythos-5"].unpriced


def test_the_room_needs_the_standard_library_only_and_reads_nothing_when_imported() -> None:
    program = (
        "import sys\nbefore = set(sys.modules)\nimport br3.models\n"
        "from br3.models.table import table\nassert table.cache_info().currsize == 0\n"
        "br3.models.price('claude-opus-5-5', __import__('datetime').datetime(2026, 11, 22), br3.models.Tokens(1))\n"
        "print(*{name.split('.')[0] for name in set(sys.modules) - before})"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, env={**os.environ}
    )
    assert set(done.stdout.split()) - sys.stdlib_module_names == {"br3"}
