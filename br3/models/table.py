"""The price table that comes with br3: ``prices.json``, read once, its rows built for the models asked for."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any, Literal

from br3.models.names import Name, stems, undated

PATH = Path(__file__).with_name("prices.json")

Mode = Literal["standard", "batch", "fast"]
"""How a request is processed: as usual, cheaper in a batch, or dearer and faster."""

KINDS = ("input", "output", "cache_write_5m", "cache_write_1h", "cache_read")
"""The kinds of tokens that have prices of their own: fields of PriceRow and of Tokens alike."""

# Makers whose prices OpenRouter passes on; open weights are sold there at prices that change by the day.
_PASSED_ON = ("anthropic", "openai", "google", "x-ai")


@dataclass(frozen=True)
class PriceRow:
    """Prices in USD per million tokens (None: unknown) that hold from ``valid_from`` to before ``valid_until``.

    Both are UTC days, None for open. The row is for requests of ``mode`` whose prompt has more than
    ``above_prompt_tokens`` tokens, up to the next such row. ``id`` is stable: it outlives later changes of the price.
    """

    id: str
    model: str
    provider: str
    mode: Mode
    valid_from: date | None
    valid_until: date | None
    above_prompt_tokens: int
    input: Decimal | None
    output: Decimal | None
    cache_write_5m: Decimal | None
    cache_write_1h: Decimal | None
    cache_read: Decimal | None
    context_tokens: int | None
    source: str
    dated: date | None

    def holds_on(self, day: date) -> bool:
        """Whether this is the price on a UTC day."""
        begun = self.valid_from is None or self.valid_from <= day
        return begun and (self.valid_until is None or day < self.valid_until)


@dataclass(frozen=True)
class Model:
    """A model and its prices; ``unpriced`` says why there are none."""

    id: str
    provider: str
    context_tokens: int | None
    rows: tuple[PriceRow, ...]
    unpriced: str | None = None


class Table:
    """The models of one price file, found by name."""

    def __init__(self, data: Mapping[str, Any]) -> None:
        self._models: Mapping[str, Any] = data["models"]
        self._sources: Mapping[str, Any] = data["sources"]
        self._rows: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for row in data["rows"]:
            self._rows[row["model"]].append(row)
        self._built: dict[str, Model] = {}
        self._exact: dict[str, str] = {}
        self._dated: dict[str, str] = {}
        self._released: dict[str, str] = {}
        for model, facts in self._models.items():
            for kind, by_name in (("ids", self._exact), ("dated", self._dated), ("released", self._released)):
                by_name.update(dict.fromkeys(facts.get(kind, ()), model))

    def __iter__(self) -> Iterator[str]:
        return iter(self._models)

    def id_of(self, bare: str) -> str | None:
        """The id of the model of this name without prefixes; None where the table's rules match none."""
        found = self._exact.get(bare) or self._dated.get(undated(bare))
        return found or next((self._released[stem] for stem in stems(bare) if stem in self._released), None)

    def find(self, name: Name) -> Model | None:
        """The model and its prices at the seller that the name says."""
        found = self.id_of(name.bare)
        if found is None or (name.via == "openrouter" and self._models[found]["provider"] not in _PASSED_ON):
            return None
        if name.via == "bedrock":
            found = f"bedrock/{found}"
        return self.model(found) if found in self._models else None

    def model(self, id_: str) -> Model:
        """The model of an id of the table's own."""
        if id_ not in self._built:
            facts = self._models[id_]
            rows = tuple(self._row(row, facts) for row in self._rows[id_])
            self._built[id_] = Model(id_, facts["provider"], facts.get("context_tokens"), rows, facts.get("unpriced"))
        return self._built[id_]

    def _row(self, row: Mapping[str, Any], facts: Mapping[str, Any]) -> PriceRow:
        source = self._sources[row.get("source", "genai-prices")]
        model, provider, mode = row["model"], facts["provider"], row.get("mode", "standard")
        valid_from, above = _day(row.get("valid_from")), row.get("above_prompt_tokens", 0)
        return PriceRow(
            id=row_id(model if "/" in model else f"{provider}/{model}", valid_from, mode, above),
            model=model,
            provider=provider,
            mode=mode,
            valid_from=valid_from,
            valid_until=_day(row.get("valid_until")),
            above_prompt_tokens=above,
            context_tokens=facts.get("context_tokens"),
            source=source["name"],
            dated=_day(source["dated"]),
            **{kind: Decimal(row[kind]) if kind in row else None for kind in KINDS},
        )


@cache
def table() -> Table:
    """The table of ``prices.json``."""
    return Table(json.loads(PATH.read_bytes()))


def row_id(model: str, valid_from: date | None, mode: Mode, above_prompt_tokens: int) -> str:
    """What names one price for good: ``anthropic/claude-haiku-5-5@2026-10-14/batch/over-100000``."""
    since = f"@{valid_from}" if valid_from else ""
    return f"{model}{since}{'' if mode == 'standard' else '/' + mode}" + (
        f"/over-{above_prompt_tokens}" if above_prompt_tokens else ""
    )


def _day(text: str | None) -> date | None:
    return None if text is None else date.fromisoformat(text)
