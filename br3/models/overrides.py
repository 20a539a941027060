"""The user's own prices: ``models.toml`` beside config.toml. Each entry replaces all that the table says of a model.

    [models."my-model"]
    input = "0.5"             # USD per million tokens; output too; both are needed
    output = "1.0"
    cache_write = "0.625"     # kept for 5 minutes
    cache_write_1h = "1.0"
    cache_read = "0.05"
    context_tokens = 200000

    [models."our-gateway/opus"]
    like = "claude-opus-5-5"  # the same prices

An entry for a plain name serves its spellings and dated snapshots too; one with a prefix or a context size serves
the name as written only.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, NoReturn

from br3.errors import UsageError
from br3.models.names import read
from br3.models.table import Model, PriceRow, row_id

_FIGURES = {
    "input": "input",
    "output": "output",
    "cache_write": "cache_write_5m",
    "cache_write_1h": "cache_write_1h",
    "cache_read": "cache_read",
}
_KEYS = (*_FIGURES, "context_tokens", "like")
# So many digits that any sum over any number of tokens stays exact.
_USD = re.compile(r"\d{1,6}(?:\.\d{1,12})?")


def user_file(environ: Mapping[str, str]) -> Path:
    """The user's own models.toml; a relative XDG_CONFIG_HOME is passed over, as its specification asks.

    https://specifications.freedesktop.org/basedir-spec/latest/
    """
    given = environ.get("XDG_CONFIG_HOME", "")
    home = Path(environ["HOME"]) if environ.get("HOME") else Path.home()
    config = Path(given) if given.startswith("/") else home / ".config"
    return config / "br3" / "models.toml"


def load(path: Path, find: Callable[[str], Model | None]) -> dict[str, Model]:
    """The entries by name as ``names.read`` gives it in full; empty without a file. ``find`` knows the table.

    Raises UsageError for a file that can't be read or has anything else in it than entries as above.
    """
    try:
        text = path.read_bytes().decode()
        dated = datetime.fromtimestamp(path.stat().st_mtime, UTC).date()
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: can't be read as text: {error}", hint=f"mend or remove {path}") from error
    return _Entries(path, dated, find).load(text)


class _Entries:
    """The entries of one file as they are read; each may be like one before it."""

    def __init__(self, path: Path, dated: date, find: Callable[[str], Model | None]) -> None:
        self.path = path
        self.dated = dated
        self.find = find
        self.found: dict[str, Model] = {}

    def load(self, text: str) -> dict[str, Model]:
        import tomllib

        try:
            data = tomllib.loads(text, parse_float=Decimal)
        except tomllib.TOMLDecodeError as error:
            self.wrong("", f"expected TOML: {error}")
        for key in data:
            if key != "models":
                self.wrong(key, 'expected nothing beside tables [models."NAME"]')
        entries = data.get("models", {})
        if not isinstance(entries, dict):
            self.wrong("models", f'expected tables [models."NAME"], found {_shown(entries)}')
        # Those of their own first: the others may be like them.
        for wants_like in (False, True):
            for name, entry in entries.items():
                if (isinstance(entry, dict) and "like" in entry) == wants_like:
                    self.add(name, entry)
        return self.found

    def add(self, name: str, entry: Any) -> None:
        where = f'models."{name}"'
        if not isinstance(entry, dict):
            self.wrong(where, f"expected a table of prices, found {_shown(entry)}")
        for key in entry:
            if key not in _KEYS:
                self.wrong(f"{where}.{key}", f"expected one of {', '.join(_KEYS)}")
        key = read(name).full
        if not key:
            self.wrong(where, "expected the name of a model")
        if key in self.found:
            self.wrong(where, "expected one entry for each model; names are the same in upper and lower case")
        context = self.context(where, entry.get("context_tokens"))
        if "like" in entry:
            self.found[key] = self.alike(where, key, entry, context)
        else:
            self.found[key] = Model(key, "models.toml", context, (self.row(where, key, entry, context),))

    def row(self, where: str, key: str, entry: Mapping[str, Any], context: int | None) -> PriceRow:
        for needed in ("input", "output"):
            if needed not in entry:
                self.wrong(f"{where}.{needed}", "expected a price; an entry has input and output, or like")
        usd = {kind: self.usd(f"{where}.{said}", entry.get(said)) for said, kind in _FIGURES.items()}
        return PriceRow(
            id=row_id(f"models.toml/{key}", None, "standard", 0),
            model=key,
            provider="models.toml",
            mode="standard",
            valid_from=None,
            valid_until=None,
            above_prompt_tokens=0,
            **usd,
            context_tokens=context,
            source=str(self.path),
            dated=self.dated,
        )

    def alike(self, where: str, key: str, entry: Mapping[str, Any], context: int | None) -> Model:
        said = entry["like"]
        for figure in _FIGURES:
            if figure in entry:
                self.wrong(f"{where}.{figure}", "expected no price beside like")
        if not isinstance(said, str):
            self.wrong(f"{where}.like", f"expected the name of a model, found {_shown(said)}")
        model = self.found.get(read(said).full) or self.find(said)
        if model is None or not model.rows:
            self.wrong(f"{where}.like", f'expected the name of a model with prices, found "{said}"')
        context = model.context_tokens if context is None else context
        rows = (
            replace(
                row,
                id=row_id(f"models.toml/{key}", row.valid_from, row.mode, row.above_prompt_tokens),
                model=key,
                provider="models.toml",
                context_tokens=context,
                source=f"{self.path}, like {row.id}",
                dated=self.dated,
            )
            for row in model.rows
        )
        return Model(key, "models.toml", context, tuple(rows))

    def usd(self, where: str, value: Any) -> Decimal | None:
        if value is None:
            return None
        text = format(value, "f") if isinstance(value, Decimal) else str(value)
        if not _USD.fullmatch(text):
            self.wrong(where, f'expected USD per million tokens, as in "0.5", found {_shown(value)}')
        return Decimal(text)

    def context(self, where: str, value: Any) -> int | None:
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value <= 0):
            self.wrong(f"{where}.context_tokens", f"expected a number of tokens, as in 200000, found {_shown(value)}")
        return None if value is None else int(value)

    def wrong(self, where: str, what: str) -> NoReturn:
        raise UsageError(f"{self.path}: {where + ': ' if where else ''}{what}", hint=f"mend or remove {self.path}")


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else str(value)
