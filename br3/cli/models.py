"""``br3 models``."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from br3.cli import completing
from br3.cli.context import json_option

if TYPE_CHECKING:
    from br3.models import Model, PriceRow


@click.command()
@click.argument("pattern", required=False, shell_complete=completing.models)
@click.option("--all", "every", is_flag=True, help="All that the catalog knows, not the newest of each family only.")
@json_option
def models(pattern: str | None, every: bool, as_json: bool) -> int:
    """Show models, their prices, and which can be used here.

    PATTERN is a part of a name. Prices are USD per million tokens, as of today; what is not known is shown as "–".
    ~/.config/br3/models.toml adds to them and goes before them.
    """
    from br3 import models as room
    from br3.cli.output import emit_json, table
    from br3.models.families import alias_of

    known = room.catalog()
    chosen = [model for model in known if _wanted(model, pattern, every)]
    usable = _usable()
    rows = [_facts(model, usable) for model in chosen]
    if as_json:
        emit_json({"models": rows})
        return 0
    if not rows:
        click.echo(f"no model is called like {pattern!r}; br3 models --all lists {len(known)}", err=True)
        return 1
    heads = ("model", "alias", "tier", "context", "input", "output", "cache write", "cache read", "price", "here")
    cells = [
        [
            str(row["id"]),
            alias_of(str(row["id"])) or "",
            str(row["tier"] or "–"),
            _size(row["context_tokens"]),
            *(_usd(row[kind]) for kind in ("input_usd", "output_usd", "cache_write_usd", "cache_read_usd")),
            str(row["price_dated"] or "–"),
            str(row["here"]),
        ]
        for row in rows
    ]
    click.echo(table(heads, cells, right=(3, 4, 5, 6, 7)))
    if not every and pattern is None:
        click.echo(f"\nthe newest of each family; br3 models --all lists {len(known)}")
    return 0


def _wanted(model: Model, pattern: str | None, every: bool) -> bool:
    from br3.models.families import alias_of

    if pattern is not None:
        return pattern.strip().lower() in model.id or alias_of(model.id) == pattern.strip().lower()
    return every or model.provider == "models.toml" or alias_of(model.id) is not None


def _usable() -> dict[str, str]:
    """Per agent, whether it can be used here, in a word or two."""
    import os
    from pathlib import Path

    from br3.agents import NAMES
    from br3.agents.probing import standing

    env_file = Path(".env") if Path(".env").is_file() else None
    return {name: standing(name, os.environ, env_file) for name in NAMES if name != "shell"}


def _facts(model: Model, usable: dict[str, str]) -> dict[str, Any]:
    from br3.models.families import alias_of, family_of

    family = family_of(model.id)
    row: PriceRow | None = next((r for r in model.rows if r.mode == "standard" and r.above_prompt_tokens == 0), None)
    agents = family.agents if family else ()
    ready = [name for name in agents if usable.get(name) == "yes"]
    here = ", ".join(ready) if ready else "; ".join(f"{name}: {usable[name]}" for name in agents) or "–"
    prices = {
        "input_usd": row.input if row else None,
        "output_usd": row.output if row else None,
        "cache_write_usd": row.cache_write_5m if row else None,
        "cache_write_1h_usd": row.cache_write_1h if row else None,
        "cache_read_usd": row.cache_read if row else None,
    }
    return {
        "id": model.id,
        "alias": alias_of(model.id),
        "provider": model.provider,
        "tier": family.tier if family else None,
        "context_tokens": model.context_tokens,
        "output_tokens": family.output_tokens if family else None,
        **{kind: None if price is None else str(price) for kind, price in prices.items()},
        "price_id": row.id if row else None,
        "price_source": row.source if row else None,
        "price_dated": row.dated.isoformat() if row and row.dated else None,
        "asked": datetime.now(UTC).date().isoformat(),
        "agents": {name: usable[name] for name in agents},
        "usable": bool(ready),
        "here": here,
    }


def _size(tokens: object) -> str:
    if not isinstance(tokens, int):
        return "–"
    return f"{tokens / 1_000_000:g} M" if tokens >= 1_000_000 else f"{tokens // 1000} k"


def _usd(price: object) -> str:
    return "–" if price is None else str(price)
