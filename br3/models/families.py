"""Families of models: short names that follow the newest, how able each is beside its siblings, and who runs them.

A family is told by the names of the catalog: the newest is the one with the highest version that has a price today.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import Literal

from br3.models.catalog import catalog, is_own
from br3.models.table import Model

Tier = Literal["small", "medium", "large"]


@dataclass(frozen=True)
class Family:
    """``alias`` is its short name, ``pattern`` finds the version in an id of ``provider``; ``agents`` can run it."""

    alias: str
    provider: str
    pattern: str
    tier: Tier
    agents: tuple[str, ...]
    output_tokens: int | None = None
    """Most tokens of one answer, where its agent has said so (Claude Code 2.1.330); None: not known."""


FAMILIES = (
    Family("haiku", "anthropic", r"claude-haiku-(\d+)-(\d+)", "small", ("claude",), 128_000),
    Family("sonnet", "anthropic", r"claude-sonnet-(\d+)-(\d+)", "medium", ("claude",), 128_000),
    Family("opus", "anthropic", r"claude-opus-(\d+)-(\d+)", "large", ("claude",), 128_000),
    Family("fable", "anthropic", r"claude-fable-(\d+)-(\d+)", "large", ("claude",), 128_000),
    Family("luna", "openai", r"gpt-(\d+)\.(\d+)-luna", "small", ("codex",)),
    Family("terra", "openai", r"gpt-(\d+)\.(\d+)-terra", "medium", ("codex",)),
    Family("sol", "openai", r"gpt-(\d+)\.(\d+)-sol", "large", ("codex",)),
    Family("flash", "google", r"gemini-(\d+)\.(\d+)-flash", "small", ("gemini",)),
    Family("pro", "google", r"gemini-(\d+)\.(\d+)-pro(?:-preview)?", "large", ("gemini",)),
)


def newest(alias: str) -> str | None:
    """The id of the newest model of a family; None for an alias that is none.

    Where the user's models.toml has an entry of that very name, it is that. Raises UsageError for one that is wrong.
    """
    name = alias.strip().lower()
    if is_own(name):
        return name
    return _newest().get(name)


def family_of(model: str) -> Family | None:
    """The family that a model's id or alias belongs to."""
    name = model.strip().lower()
    return next((f for f in FAMILIES if f.alias == name or re.fullmatch(f.pattern, name)), None)


def alias_of(model: str) -> str | None:
    """The alias that stands for exactly this model today."""
    return next((alias for alias, id_ in _newest().items() if id_ == model), None)


def tier_of(model: str) -> Tier | None:
    """How able a model is beside its siblings; None where the family is not known."""
    family = family_of(model)
    return family.tier if family else None


@cache
def _newest() -> dict[str, str]:
    found: dict[str, str] = {}
    models = [model for model in catalog() if model.rows]
    for family in FAMILIES:
        versions = [(version, model.id) for model in models if (version := _version(family, model))]
        if versions:
            found[family.alias] = max(versions)[1]
    return found


def _version(family: Family, model: Model) -> tuple[int, ...] | None:
    match = re.fullmatch(family.pattern, model.id) if model.provider == family.provider else None
    return tuple(int(part) for part in match.groups()) if match else None
