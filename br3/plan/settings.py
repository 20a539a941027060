"""What is said outside the plan: the command line and ``BR3_*`` above it, the user's own config.toml below it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from br3.plan.messages import plain
from br3.plan.problems import Problem
from br3.plan.schema import Overrides, UserFile
from br3.plan.text import Unreadable, place, read

_FROM_ENVIRONMENT = {f"BR3_{name.upper()}": name for name in Overrides.model_fields}


@dataclass(frozen=True)
class Settings:
    """``over`` wins over the plan, the plan over ``under``; ``problems`` is what was wrong with either."""

    over: Overrides = field(default_factory=Overrides)
    under: UserFile = field(default_factory=UserFile)
    problems: tuple[Problem, ...] = ()


def gather(overrides: Mapping[str, object], environ: Mapping[str, str]) -> Settings:
    """The settings of one call; ``overrides`` holds values as typed on the command line, None for not given."""
    over, over_problems = _over(overrides, environ)
    under, under_problems = _under(user_file(environ))
    return Settings(over, under, (*over_problems, *under_problems))


def user_file(environ: Mapping[str, str]) -> Path:
    """The user's own config.toml; a relative XDG_CONFIG_HOME is passed over, as its specification asks.

    https://specifications.freedesktop.org/basedir-spec/latest/
    """
    given = environ.get("XDG_CONFIG_HOME", "")
    home = Path(environ["HOME"]) if environ.get("HOME") else Path.home()
    config = Path(given) if given.startswith("/") else home / ".config"
    return config / "br3" / "config.toml"


def _over(overrides: Mapping[str, object], environ: Mapping[str, str]) -> tuple[Overrides, list[Problem]]:
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for variable, name in _FROM_ENVIRONMENT.items():
        if environ.get(variable):
            values[name], sources[name] = environ[variable], variable
    for name, value in overrides.items():
        if value is not None:
            values[name], sources[name] = value, "--" + name.removesuffix("_usd")
    try:
        return Overrides.model_validate(values), []
    except ValidationError as error:
        return Overrides(), [
            Problem(sources[str(found.path[0])], 0, "", found.message, found.hint) for found in plain(error, Overrides)
        ]


def _under(path: Path) -> tuple[UserFile, list[Problem]]:
    if not path.is_file():
        return UserFile(), []
    try:
        source = read(path)
    except Unreadable as error:
        return UserFile(), [error.problem]
    try:
        return UserFile.model_validate(source.data), []
    except ValidationError as error:
        return UserFile(), place(source, plain(error, UserFile))
