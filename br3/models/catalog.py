"""The table and the user's own prices as one catalog, read once per process and place of the user's file."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache

from br3.models.names import is_model, read, same_words, undated
from br3.models.overrides import load, user_file
from br3.models.table import Model, PriceRow, table


def rows(model: str) -> tuple[PriceRow, ...]:
    """All prices of a model by any of its names, of every time, tier and mode; empty where none is known.

    Raises UsageError for a models.toml that is wrong.
    """
    found = find(model)
    return found.rows if found else ()


def canonical(name: str) -> str:
    """One name for a model in reports, whoever sold it: no vendor prefix, no ``[1m]``, lower case.

    The day of a snapshot goes where the catalog knows the same model without it. Models of one price stay apart.
    """
    own, _ = _own()
    bare = read(name).bare
    short, found = undated(bare), table().id_of(bare)
    if short != bare and (short in own if found is None else table().id_of(short) == found):
        bare = short
    return found if found and same_words(bare, found) else bare


def catalog() -> tuple[Model, ...]:
    """Every model, each with the prices of today (UTC), by provider and id; the user's own replace the table's."""
    today = datetime.now(UTC).date()
    own, replaced = _own()
    models = [table().model(id_) for id_ in table() if id_.removeprefix("bedrock/") not in replaced]
    known = sorted([*models, *own.values()], key=lambda model: (model.provider, model.id))
    return tuple(replace(m, rows=tuple(row for row in m.rows if row.holds_on(today))) for m in known)


def find(model: str) -> Model | None:
    """The model of a name: the user's own entry for it, else the table's."""
    if not is_model(model):
        return None
    name = read(model)
    own, replaced = _own()
    if own:
        spelled = canonical(model)
        for key in (name.full, name.bare, spelled):
            if key in own:
                return own[key]
        if spelled in replaced:
            return own[replaced[spelled]]
    return table().find(name)


def is_own(name: str) -> bool:
    """Whether the user's models.toml has an entry of that very name."""
    return name.strip().lower() in _own()[0]


def _own() -> tuple[dict[str, Model], dict[str, str]]:
    return _read_own(os.environ.get("XDG_CONFIG_HOME", ""), os.environ.get("HOME", ""))


@cache
def _read_own(xdg_config_home: str, home: str) -> tuple[dict[str, Model], dict[str, str]]:
    """The user's entries, and which of them stand for which id of the table, since they are spellings of it."""
    own = load(user_file({"XDG_CONFIG_HOME": xdg_config_home, "HOME": home}), lambda said: table().find(read(said)))
    ids = {key: table().id_of(key) for key in own}
    return own, {id_: key for key, id_ in ids.items() if id_ and same_words(key, id_)}
