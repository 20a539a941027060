"""Short names of models follow the newest of their family."""

from __future__ import annotations

from pathlib import Path

import pytest

from br3.agents import NAMES, agent
from br3.models import rows
from br3.models.families import FAMILIES, alias_of, family_of, newest, tier_of
from br3.models.routing import same


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.alias)
def test_an_alias_is_a_model_with_a_price(family) -> None:  # type: ignore[no-untyped-def]
    id_ = newest(family.alias)
    assert id_ is not None and rows(id_)
    assert family_of(id_) is family and family_of(family.alias) is family
    assert alias_of(id_) == family.alias
    assert all(name in NAMES for name in family.agents)


def test_an_alias_is_the_highest_version_and_not_the_last_in_the_alphabet() -> None:
    assert newest("sonnet") == "claude-sonnet-5-5"
    assert newest("OPUS ") == "claude-opus-5-5"
    assert newest("nobody") is None


def test_the_user_s_own_entry_of_that_name_goes_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "br3").mkdir()
    (tmp_path / "br3" / "models.toml").write_text('[models."opus"]\nlike = "claude-haiku-4-5"\n')
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert newest("opus") == same("opus") == "opus"
    assert [row.input for row in rows("opus")] == [row.input for row in rows("claude-haiku-4-5")]
    assert newest("sonnet") == "claude-sonnet-5-5"


def test_tiers_are_of_families() -> None:
    assert [tier_of(name) for name in ("haiku", "claude-sonnet-4-5", "opus", "someone-else")] == [
        "small",
        "medium",
        "large",
        None,
    ]


def test_the_ladders_of_agents_rise_by_tier() -> None:
    order = ["small", "medium", "large"]
    for name in NAMES:
        tiers = [tier_of(model) for model in agent(name).ladder]
        assert None not in tiers
        assert [order.index(str(tier)) for tier in tiers] == sorted(order.index(str(tier)) for tier in tiers)
