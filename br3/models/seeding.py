"""Makes ``prices.json`` from genai-prices and the corrections below: ``python -m br3.models.seeding``.

For development: genai-prices comes with the ``dev`` extra and is not needed at run time. The same version gives the
same bytes. For a newer one change ``VERSION`` and ``DATED``, run it, read the diff; a correction that the newer one
has made itself is refused here and can go.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from br3.models.names import read
from br3.models.table import KINDS, PATH, Mode, Table

if TYPE_CHECKING:
    from genai_prices.types import MatchLogic, ModelInfo, ModelPrice, Provider

VERSION = "0.2.3"
DATED = date(2026, 11, 10)
"""When that version was published."""

ANTHROPIC = "https://platform.claude.com/docs/en/about-claude/pricing"

# Models that write code and text; of the others not every token is text, so that their price would mislead.
_WANTED = {
    "anthropic": r"claude-(?!2|v1)",
    "deepseek": r"deepseek",
    "google": r"gemini-\d",
    "mistral": r"(mistral|ministral|magistral|devstral|codestral)\b",
    "moonshotai": r"kimi-",
    "openai": r"(gpt-(4o|4\.\d|[5-9])|o\d|codex-)",
    "x-ai": r"grok-",
    "zai": r"glm-",
}
_UNWANTED = re.compile(
    r"audio|deep-research|embed|image|live|ocr|realtime|robotics|search|transcribe|tts|vision|voice|:|\.ft-"
)
_PRICE_KEYS = {
    "input": "input_mtok",
    "output": "output_mtok",
    "cache_write_5m": "cache_write_mtok",
    "cache_write_1h": "cache_write_1h_mtok",
    "cache_read": "cache_read_mtok",
}
# What genai-prices calls the ways to process a request; the first that a model has is meant.
_MODES: dict[Mode, tuple[dict[str, str], ...]] = {
    "standard": (),
    "batch": ({"processing": "batch"},),
    "fast": ({"speed": "fast"}, {"service_tier": "fast"}),
}

Figures = dict[int, dict[str, str]]
"""By ``above_prompt_tokens``: USD per million tokens by kind; kinds without a price are missing."""


@dataclass(frozen=True)
class Period:
    """Figures of one mode from a day to before another (None: open)."""

    mode: Mode
    valid_from: date | None
    valid_until: date | None
    figures: Figures


@dataclass(frozen=True)
class Correction:
    """What one model's standard price was before a day on which the seed doesn't know of a change."""

    model: str
    on: date
    before: Mapping[str, str]
    source: str


SOURCES = {
    "anthropic-2026-10-07": {"name": "Anthropic's price list", "url": ANTHROPIC, "dated": "2026-10-07"},
}
CORRECTIONS = (Correction("claude-sonnet-5-5", date(2026, 10, 7), {"cache_read": "0.2"}, "anthropic-2026-10-07"),)
NO_PRICE_KNOWN = ("claude-mythos-5", "claude-mythos-5-1", "claude-mythos-preview")
"""Anthropic's models of limited availability that the seed leaves out."""


def main() -> None:
    """Write ``prices.json`` anew."""
    PATH.write_text(made(), encoding="utf-8")
    print(f"{PATH}: {len(json.loads(PATH.read_bytes())['rows'])} prices")


def made() -> str:
    """The text of ``prices.json``. SystemExit where another version of genai-prices is installed than ``VERSION``."""
    from importlib.metadata import distribution

    from genai_prices.data import providers

    seed = distribution("genai-prices")
    if seed.version != VERSION:
        raise SystemExit(f"made from genai-prices {VERSION}, found {seed.version}: see the head of {__file__}")
    licence = next(file for file in seed.files or () if file.name == "LICENSE")
    sources = {
        "genai-prices": {
            "name": f"genai-prices {VERSION}",
            "url": "https://github.com/pydantic/genai-prices",
            "dated": str(DATED),
            "licence": "MIT",
            "notice": licence.read_text().strip(),
        },
        **SOURCES,
    }
    by_id = {provider.id: provider for provider in providers}
    models: dict[str, dict[str, Any]] = {}
    rows: list[dict[str, Any]] = []
    for provider_id in sorted(_WANTED):
        for model in _wanted(by_id[provider_id]):
            _add(models, rows, provider_id, model.id.lower(), model)
    for name in NO_PRICE_KNOWN:
        if name in models:
            raise SystemExit(f"the seed has {name} now")
        models[name] = {"provider": "anthropic", "ids": [name], "dated": [name], "unpriced": "no list price is known"}
    for name, model in _regional(by_id["aws"], models):
        _add(models, rows, "bedrock", name, model)
    for correction in CORRECTIONS:
        _correct(rows, correction)
    _check_names(models)
    return _written(sources, models, rows)


def _wanted(provider: Provider) -> Iterator[ModelInfo]:
    for model in provider.models:
        name = model.id.lower()
        if re.match(_WANTED[provider.id], name) and not _UNWANTED.search(name):
            yield model


def _regional(aws: Provider, models: Mapping[str, Any]) -> Iterator[tuple[str, ModelInfo]]:
    """Claude in one region of Bedrock: dearer than the list since 4.5. ``global.`` is at the list price."""
    table, seen = Table({"models": models, "rows": [], "sources": {}}), set()
    for model in aws.models:
        found = table.id_of(read(model.id.removeprefix("regional.")).bare)
        # Snapshots of one model have one price.
        if model.id.startswith("regional.anthropic.") and found and found not in seen:
            seen.add(found)
            yield f"bedrock/{found}", model


def _add(
    models: dict[str, dict[str, Any]], rows: list[dict[str, Any]], provider: str, name: str, model: ModelInfo
) -> None:
    facts: dict[str, Any] = {"provider": provider}
    if model.context_window:
        facts["context_tokens"] = model.context_window
    if provider != "bedrock":
        facts |= _names(name, model.match, strict=provider == "anthropic")
    if _by_the_hour(model):
        facts["unpriced"] = "the price depends on the hour and the day of the week"
    else:
        periods = [period for mode in _MODES for period in _periods(model, mode)]
        if not any("input" in period.figures[0] for period in periods):
            return
        rows.extend(row for period in periods for row in _rows(name, period))
    models[name] = facts


def _by_the_hour(model: ModelInfo) -> bool:
    from genai_prices.types import TimeOfDateConstraint

    prices = model.prices if isinstance(model.prices, list) else []
    return any(isinstance(price.constraint, TimeOfDateConstraint) for price in prices)


def _periods(model: ModelInfo, mode: Mode) -> Iterator[Period]:
    """The model's figures of a mode over time, equal neighbours joined. A mode has none before its first day."""
    from genai_prices.types import StartDateConstraint

    variants = model.price_variants or []
    context = next((when for when in _MODES[mode] if any(variant.when == when for variant in variants)), None)
    mine = [variant for variant in variants if variant.when == context]
    if mode != "standard" and not mine:
        return
    constraints = [price.constraint for price in model.prices] if isinstance(model.prices, list) else []
    constraints += [variant.constraint for variant in mine]
    days = sorted({c.start_date for c in constraints if isinstance(c, StartDateConstraint)})
    periods: list[Period] = []
    for since, until in zip([None, *days], [*days, None], strict=True):
        at = datetime.combine(since or date(1970, 1, 1), datetime.min.time(), UTC)
        if mode != "standard" and not any(v.constraint is None or v.constraint.active(at) for v in mine):
            continue
        figures = _figures(model.get_prices(at, context))
        if periods and periods[-1].figures == figures:
            periods[-1] = Period(mode, periods[-1].valid_from, until, figures)
        else:
            periods.append(Period(mode, since, until, figures))
    yield from periods


def _figures(prices: ModelPrice) -> Figures:
    from genai_prices.types import TieredPrices

    given = {kind: getattr(prices, key) for kind, key in _PRICE_KEYS.items()}
    tiered = [price for price in given.values() if isinstance(price, TieredPrices)]
    figures: Figures = {}
    for above in sorted({0, *(tier.start for price in tiered for tier in price.tiers)}):
        figures[above] = {}
        for kind, price in given.items():
            if isinstance(price, TieredPrices):
                price = next((t.price for t in reversed(price.tiers) if t.start <= above), price.base)
            if price is not None:
                figures[above][kind] = _text(price)
    return figures


def _rows(name: str, period: Period) -> Iterator[dict[str, Any]]:
    for above, usd in period.figures.items():
        row: dict[str, Any] = {"model": name}
        if period.mode != "standard":
            row["mode"] = period.mode
        if period.valid_from:
            row["valid_from"] = str(period.valid_from)
        if period.valid_until:
            row["valid_until"] = str(period.valid_until)
        if above:
            row["above_prompt_tokens"] = above
        yield row | usd


def _correct(rows: list[dict[str, Any]], correction: Correction) -> None:
    mine = [i for i, row in enumerate(rows) if row["model"] == correction.model and "mode" not in row]
    if len(mine) != 1 or {"valid_from", "valid_until"} & rows[mine[0]].keys():
        raise SystemExit(f"the seed has more than one price of {correction.model} now: look at the correction again")
    row, day = rows[mine[0]], str(correction.on)
    before = {**row, **correction.before, "valid_until": day, "source": correction.source}
    since = {**row, "valid_from": day, "source": correction.source}
    rows[mine[0] : mine[0] + 1] = [before, since]


def _names(name: str, match: MatchLogic, *, strict: bool) -> dict[str, list[str]]:
    """The rules of genai-prices as names: exact ones, those with a day after them, those with any release after them.

    A rule by prefix would take in every name that begins alike; here only a day may follow, and where makers mark
    releases otherwise (not ``strict``) such a mark.
    """
    found: dict[str, set[str]] = {"ids": {name}, "dated": set(), "released": set()}
    loose = "dated" if strict else "released"
    for kind, text in _clauses(match):
        text = read(text).bare
        if kind == "equals":
            found["ids"].add(text)
        elif kind == "dated":
            found["dated"].add(text)
        elif cut := re.fullmatch(r"(.+?)(?:-|@|-20\d\d|-0)", text):
            found[loose].add(cut[1])
        else:
            found["ids"].add(text)
            found[loose].add(text)
    return {kind: sorted(texts) for kind, texts in found.items() if texts}


def _clauses(match: MatchLogic) -> Iterator[tuple[str, str]]:
    from genai_prices import types

    if isinstance(match, types.ClauseOr):
        for clause in match.or_:
            yield from _clauses(clause)
    elif isinstance(match, types.ClauseAnd):
        # All of them are a prefix and a regular expression that keeps speech models out.
        yield from _clauses(match.and_[0])
    elif isinstance(match, types.ClauseEquals):
        yield "equals", match.equals
    elif isinstance(match, types.ClauseRegex):
        rule = re.fullmatch(r"\^(?P<stem>[^[]+?)(?:-|\[-@\])\\d(?P<rest>.*)", match.regex)
        if rule is None:
            raise SystemExit(f"a rule of unknown shape: {match.regex}")
        yield "dated" if rule["rest"].endswith("$") else "prefix", rule["stem"].replace("\\.", ".")
    elif isinstance(match, types.ClauseStartsWith):
        yield "prefix", match.starts_with
    elif isinstance(match, types.ClauseContains):
        yield "prefix", match.contains
    else:
        yield "prefix", match.ends_with


def _check_names(models: Mapping[str, Mapping[str, Any]]) -> None:
    for kind in ("ids", "dated", "released"):
        owner: dict[str, str] = {}
        for model, facts in models.items():
            for name in facts.get(kind, ()):
                if owner.setdefault(name, model) != model:
                    raise SystemExit(f"{name} is a name of {owner[name]} and of {model}")


def _text(price: Decimal) -> str:
    return format(price.normalize(), "f")


def _written(sources: Mapping[str, Any], models: Mapping[str, Any], rows: Iterable[Mapping[str, Any]]) -> str:
    """One model or price a line, sorted: so that a diff shows what changed."""
    order = ("model", "mode", "valid_from", "valid_until", "above_prompt_tokens", *KINDS, "source")
    ordered = [{key: row[key] for key in order if key in row} for row in rows]
    ordered.sort(
        key=lambda r: (r["model"], r.get("mode", ""), r.get("valid_from", ""), r.get("above_prompt_tokens", 0))
    )
    parts = [
        _object("sources", sources.items()),
        _object("models", sorted(models.items())),
        '"rows": [\n' + ",\n".join(map(_line, ordered)) + "\n]",
    ]
    return "{\n" + ",\n".join(parts) + "\n}\n"


def _object(name: str, members: Iterable[tuple[str, Any]]) -> str:
    return f'"{name}": {{\n' + ",\n".join(f"{_line(key)}: {_line(value)}" for key, value in members) + "\n}"


def _line(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


if __name__ == "__main__":
    main()
