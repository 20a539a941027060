from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from br3.errors import UsageError
from br3.models import Priced, Tokens, canonical, catalog, price, rows

NOW = datetime(2026, 11, 22, tzinfo=UTC)
MILLION = 1_000_000


@pytest.fixture
def models_toml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    (tmp_path / "br3").mkdir()
    return tmp_path / "br3" / "models.toml"


def test_a_model_of_the_user_s_own_costs_what_the_file_says(models_toml: Path) -> None:
    models_toml.write_text(
        '[models."My-Model"]\ninput = "0.5"\noutput = 1.25\ncache_write = 1\ncache_write_1h = "2"\n'
        "cache_read = 0.05\ncontext_tokens = 32000\n"
    )
    tokens = Tokens(MILLION, MILLION, MILLION, MILLION, MILLION)
    assert price("my-model", NOW, tokens) == Priced(Decimal("4.8"), "models.toml/my-model")
    (row,) = rows("MY-MODEL-20261101")
    assert (row.context_tokens, row.provider, row.source) == (32000, "models.toml", str(models_toml))
    assert row.dated == datetime.fromtimestamp(models_toml.stat().st_mtime, UTC).date()
    assert canonical("my-model-20261101") == "my-model"


def test_a_price_left_out_is_unknown(models_toml: Path) -> None:
    models_toml.write_text('[models.mine]\ninput = "0.5"\noutput = "1"\n')
    assert price("mine", NOW, Tokens(1, 1)).cost_usd is not None
    assert price("mine", NOW, Tokens(1, cache_read=1)) == Priced(None, "models.toml/mine")
    assert price("mine", NOW, Tokens(1), batch=True) == Priced(None, None)


@pytest.mark.parametrize("key", ["claude-haiku-5-5", "claude-haiku-5.5"])
def test_an_entry_replaces_all_prices_of_a_model_by_any_of_its_names(models_toml: Path, key: str) -> None:
    models_toml.write_text(f'[models."{key}"]\ninput = "7"\noutput = "8"\n')
    for name in (
        "claude-haiku-5-5",
        "claude-5.5-haiku",
        "claude-haiku-5-5-20260901",
        "anthropic/claude-haiku-5-5[1m]",
        "us.anthropic.claude-haiku-5-5",
    ):
        assert price(name, NOW, Tokens(MILLION)) == Priced(Decimal(7), f"models.toml/{key}")
    assert "claude-haiku-5-5" not in {model.id for model in catalog() if model.provider != "models.toml"}
    assert [m.rows for m in catalog() if m.provider == "models.toml"] == [rows("claude-haiku-5-5")]
    assert {row.provider for row in rows("claude-haiku-4-5")} == {"anthropic"}


def test_an_entry_with_a_prefix_or_a_context_size_is_for_that_name_only(models_toml: Path) -> None:
    models_toml.write_text(
        '[models."gateway/claude-opus-5-5"]\ninput = "1"\noutput = "1"\n'
        '[models."claude-opus-5-5[1m]"]\ninput = "2"\noutput = "2"\n'
    )
    names = ["gateway/claude-opus-5-5", "claude-opus-5-5[1m]", "claude-opus-5-5"]
    assert [price(name, NOW, Tokens(MILLION)).cost_usd for name in names] == [1, 2, 4]


def test_an_entry_for_a_snapshot_or_for_another_model_of_one_price_leaves_the_rest(models_toml: Path) -> None:
    models_toml.write_text(
        '[models."gpt-5-codex"]\ninput = "3"\noutput = "3"\n'
        '[models."claude-haiku-4-5-20251001"]\ninput = "4"\noutput = "4"\n'
    )
    names = ["openai/gpt-5-codex", "gpt-5", "anthropic/claude-haiku-4-5-20251001", "claude-haiku-4-5"]
    assert [price(name, NOW, Tokens(MILLION)).cost_usd for name in names] == [3, Decimal("1.25"), 4, 1]


def test_a_model_may_be_like_another_with_its_dates_tiers_and_modes(models_toml: Path) -> None:
    models_toml.write_text(
        '[models."ours"]\nlike = "anthropic/claude-haiku-5-5"\n'
        '[models."theirs"]\nlike = "mine"\ncontext_tokens = 9\n'
        '[models."mine"]\ninput = "1"\noutput = "1"\n'
    )
    for tokens in (Tokens(100_000, 5), Tokens(100_001, 5)):
        for batch in (False, True):
            ours, theirs = (price(model, NOW, tokens, batch=batch) for model in ("ours", "claude-haiku-5-5"))
            assert ours.cost_usd == theirs.cost_usd is not None
    assert [row.id for row in rows("ours")] == [
        "models.toml/ours",
        "models.toml/ours/over-100000",
        "models.toml/ours@2026-10-14/batch",
        "models.toml/ours@2026-10-14/batch/over-100000",
    ]
    assert rows("ours")[0].context_tokens == 1_000_000
    (row,) = rows("theirs")
    assert row.context_tokens == 9
    assert row.input == 1


def test_the_file_is_found_by_home_when_no_config_directory_is_set(sealed: Path) -> None:
    path = sealed / ".config" / "br3" / "models.toml"
    path.parent.mkdir(parents=True)
    path.write_text('[models.mine]\ninput = "1"\noutput = "1"\n')
    assert rows("mine")


def test_a_relative_config_directory_is_passed_over(
    tmp_path: Path, sealed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", "here")
    (tmp_path / "here" / "br3").mkdir(parents=True)
    (tmp_path / "here" / "br3" / "models.toml").write_text("wrong")
    assert rows("mine") == ()


def test_without_a_file_the_table_stands(models_toml: Path) -> None:
    assert not models_toml.exists()
    assert rows("claude-opus-5-5")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("models = 1", 'models: expected tables [models."NAME"], found 1'),
        ("model = {}", 'model: expected nothing beside tables [models."NAME"]'),
        ("[models", "expected TOML"),
        ("[models]\nx = 3", 'models."x": expected a table of prices, found 3'),
        ('[models."x"]', 'models."x".input: expected a price'),
        ('[models."x"]\ninput = 1', 'models."x".output: expected a price'),
        ('[models."x"]\ninput = "a"\noutput = 1', 'models."x".input: expected USD per million tokens, as in "0.5"'),
        ('[models."x"]\ninput = -1\noutput = 1', 'models."x".input: expected USD'),
        ('[models."x"]\ninput = nan\noutput = 1', 'models."x".input: expected USD'),
        ('[models."x"]\ninput = true\noutput = 1', 'models."x".input: expected USD per million tokens'),
        ('[models."x"]\ninput = []\noutput = 1', 'models."x".input: expected USD per million tokens'),
        ('[models."x"]\ninput = "1e5"\noutput = 1', 'models."x".input: expected USD per million tokens'),
        ('[models."x"]\ninput = 1\noutput = 1\ncache_reed = 1', 'models."x".cache_reed: expected one of input, output'),
        ('[models."x"]\ninput = 1\noutput = 1\ncontext_tokens = "9"', 'models."x".context_tokens: expected a number'),
        ('[models."x"]\ninput = 1\noutput = 1\ncontext_tokens = true', 'models."x".context_tokens: expected a number'),
        ('[models."x"]\nlike = "y"', 'models."x".like: expected the name of a model with prices, found "y"'),
        ('[models."x"]\nlike = "claude-mythos-5"', 'models."x".like: expected the name of a model with prices'),
        ('[models."x"]\nlike = 4', 'models."x".like: expected the name of a model, found 4'),
        ('[models."x"]\nlike = "gpt-5"\ninput = 1', 'models."x".input: expected no price beside like'),
        ('[models."x"]\nlike = "gpt-5"\n[models."X"]\nlike = "gpt-5"', 'models."X": expected one entry for each'),
        ('[models.""]\nlike = "gpt-5"', 'models."": expected the name of a model'),
    ],
)
def test_a_wrong_file_is_one_error_that_says_where_and_what_was_expected(
    models_toml: Path, text: str, says: str
) -> None:
    models_toml.write_text(text)
    with pytest.raises(UsageError) as caught:
        price("claude-opus-5-5", NOW, Tokens(1))
    assert caught.value.message.startswith(f"{models_toml}: {says}")
    assert str(models_toml) in (caught.value.hint or "")


@pytest.mark.parametrize("kind", ["directory", "bytes"])
def test_a_file_that_is_no_text_is_an_error(models_toml: Path, kind: str) -> None:
    if kind == "directory":
        models_toml.mkdir()
    else:
        models_toml.write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match="can't be read as text"):
        rows("claude-opus-5-5")
