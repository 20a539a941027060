"""The price table beside what it was made from."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from genai_prices import Usage, calc_price
from genai_prices.data import providers
from genai_prices.types import TimeOfDateConstraint

from br3.models import Tokens, catalog, price, rows, seeding
from br3.models.seeding import NO_PRICE_KNOWN
from br3.models.table import KINDS, PATH, Model

DAYS = [datetime(*day, 12, tzinfo=UTC) for day in ((2026, 1, 15), (2026, 8, 1), (2026, 11, 22), (2027, 3, 1))]
CONTEXTS: dict[str, dict[str, str]] = {"standard": {}, "batch": {"processing": "batch"}}

SONNET_CACHE_READ_CHANGED = datetime(2026, 10, 7, tzinfo=UTC)
"""Known difference: genai-prices has only the price after this day."""

BY_THE_HOUR = {"deepseek-chat", "deepseek-flash", "deepseek-reasoner", "deepseek-v4-flash", "deepseek-v4-pro"}
"""Known difference: without a price here, since it depends on the hour, weekends and holidays."""

OWN_NAME_UNMATCHED = {
    "codestral": "codestral-latest",
    "magistral-small": "magistral-small-2509",
    "mistral-medium-3-1": "mistral-medium-2508",
}
"""Known difference: no rule of genai-prices matches the model's own id; here it names the model."""


def theirs(model: str, provider: str, at: datetime, tokens: Tokens, context: dict[str, str]) -> Decimal:
    usage = Usage(
        input_tokens=tokens.prompt,
        output_tokens=tokens.output,
        cache_write_tokens=tokens.cache_write_5m + tokens.cache_write_1h,
        cache_write_1h_tokens=tokens.cache_write_1h,
        cache_read_tokens=tokens.cache_read,
    )
    name = OWN_NAME_UNMATCHED.get(model, model)
    told = calc_price(usage, name, provider_id=provider, genai_request_timestamp=at, price_context=context)
    return told.total_price.quantize(Decimal("1E-10"))


def some_tokens(chance: random.Random, kinds: set[str]) -> Tokens:
    """Of the kinds with a price: for others genai-prices takes the price of input, here the cost is unknown."""
    size = 10 ** chance.randint(1, 6)
    return Tokens(**{kind: chance.randint(0, size) for kind in KINDS if kind in kinds})


def of_list() -> list[Model]:
    return [model for model in catalog() if model.provider != "bedrock"]


def test_making_the_table_again_gives_the_same_bytes() -> None:
    assert seeding.made() == PATH.read_text()


def test_another_version_of_the_seed_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seeding, "VERSION", "0.0.1")
    with pytest.raises(SystemExit, match=r"made from genai-prices 0\.0\.1, found"):
        seeding.made()


def test_a_correction_that_the_seed_has_made_itself_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seeding, "CORRECTIONS", (*seeding.CORRECTIONS, *seeding.CORRECTIONS))
    with pytest.raises(SystemExit, match="claude-sonnet-5-5"):
        seeding.made()
    monkeypatch.setattr(seeding, "NO_PRICE_KNOWN", ("claude-opus-5-5",))
    with pytest.raises(SystemExit, match="the seed has claude-opus-5-5 now"):
        seeding.made()


def test_the_table_carries_the_licence_of_its_seed() -> None:
    text = PATH.read_text()
    assert "Copyright (c) Pydantic Services Inc." in text
    assert "The above copyright notice and this permission notice shall be included" in text


@pytest.mark.parametrize("model", of_list(), ids=lambda model: model.id)
def test_every_seeded_price_is_that_of_genai_prices(model: Model) -> None:
    chance = random.Random(model.id)
    fast = {"speed": "fast"} if model.provider == "anthropic" else {"service_tier": "fast"}
    for mode, context in {**CONTEXTS, "fast": fast}.items():
        for at in DAYS:
            held = [row for row in rows(model.id) if row.mode == mode and row.holds_on(at.date())]
            if not held or (model.id == "claude-sonnet-5-5" and at < SONNET_CACHE_READ_CHANGED):
                continue
            kinds = {kind for kind in KINDS if getattr(held[0], kind) is not None}
            for _ in range(5):
                tokens = some_tokens(chance, kinds)
                ours = price(model.id, at, tokens, batch=mode == "batch", fast=mode == "fast")
                assert ours.cost_usd == theirs(model.id, model.provider, at, tokens, context), (mode, at, tokens)


def test_only_the_known_differences_have_no_price() -> None:
    unpriced = {model.id for model in of_list() if not rows(model.id)}
    assert unpriced == BY_THE_HOUR | set(NO_PRICE_KNOWN)
    (deepseek,) = [provider for provider in providers if provider.id == "deepseek"]
    assert {
        model.id
        for model in deepseek.models
        if isinstance(model.prices, list) and any(isinstance(p.constraint, TimeOfDateConstraint) for p in model.prices)
    } == BY_THE_HOUR


@pytest.mark.parametrize("region", ["us.", "global."])
def test_claude_on_bedrock_costs_what_genai_prices_says(region: str) -> None:
    chance = random.Random(region)
    (aws,) = [provider for provider in providers if provider.id == "aws"]
    compared = 0
    for entry in aws.models:
        where, _, rest = entry.id.partition("anthropic.")
        if where != region.replace("us.", "regional."):
            continue
        name = f"{region}anthropic.{rest}"
        for row in rows(name):
            if row.mode == "standard" and row.holds_on(DAYS[2].date()) and not row.above_prompt_tokens:
                # The seed has no price for an hour in the cache for some; the list has.
                kinds = {kind for kind in KINDS if getattr(row, kind) is not None} - {"cache_write_1h"}
                tokens = some_tokens(chance, kinds)
                assert price(name, DAYS[2], tokens).cost_usd == theirs(name, "aws", DAYS[2], tokens, {}), name
                compared += 1
    assert compared >= 15


def test_every_name_of_a_seeded_model_means_the_same_to_genai_prices() -> None:
    tokens = Tokens(1000, 1000)
    for model, facts in json.loads(PATH.read_text())["models"].items():
        for name in facts.get("ids", ()):
            assert rows(f"{name}-mini-experimental") == ()
            if rows(model):
                told = theirs(name, facts["provider"], DAYS[2], tokens, {})
                assert price(name, DAYS[2], tokens).cost_usd == told, name
