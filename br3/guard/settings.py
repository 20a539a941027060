"""What the guard is told: read from the JSON file that is compiled when hooks are installed or trusted.

    {
      "schema": 1,
      "max_bytes": 5242880,              // a commit that adds more to one file is a finding; 0: any size
      "fail_on": "medium",               // a finding below this severity is told but fails nothing
      "off": ["sql-injection"],          // rules that are not used
      "ignore": ["/vendor(?:/[^/]+)*"],  // files that are not looked at
      "protect": ["main", "release/*"],  // branches, as sh's ``case`` matches them
      "owns": {"persistence": ["/core/persistence(?:/[^/]+)*"]},   // by build: what it may change
      "owns_action": "block",            // or "warn"
      "gitleaks": false                  // ask gitleaks as well, where a scan may take that long
    }

All keys may be missing. ``ignore`` and ``owns`` hold regular expressions that match the whole path with a slash
before it, as ``br3.plan.globs`` makes them from the patterns of the plan.
"""

from __future__ import annotations

import re

FILE = "br3/hooks/guard.json"
"""Where it lies, below the common directory."""

MAX_BYTES = 5 * 1024 * 1024
SCHEMA = 1
_MEND = "Mend: br3 hooks install"


class BadSettings(Exception):
    """The compiled settings can't be read."""


class Settings:
    """See the module; the defaults are those of a repository where nothing was set."""

    __slots__ = ("_ignore", "fail_on", "gitleaks", "max_bytes", "off", "owns", "owns_action", "protect")

    def __init__(
        self,
        *,
        max_bytes: int = MAX_BYTES,
        fail_on: str = "medium",
        off: tuple[str, ...] = (),
        ignore: tuple[str, ...] = (),
        protect: tuple[str, ...] = (),
        owns: dict[str, tuple[str, ...]] | None = None,
        owns_action: str = "block",
        gitleaks: bool = False,
    ) -> None:
        self.max_bytes = max_bytes
        self.fail_on = fail_on
        self.off = frozenset(off)
        self.protect = protect
        self.owns = owns or {}
        self.owns_action = owns_action
        self.gitleaks = gitleaks
        self._ignore = any_of(ignore)

    def ignores(self, path: str) -> bool:
        """Whether a file is not looked at."""
        return self._ignore is not None and self._ignore.fullmatch("/" + path) is not None


def any_of(patterns: tuple[str, ...]) -> re.Pattern[str] | None:
    """One pattern for several; None for none. re.error when one is wrong."""
    return re.compile("|".join(f"(?:{pattern})" for pattern in patterns), re.DOTALL) if patterns else None


def load(path: str | None) -> Settings:
    """The settings of a file; the defaults without one. BadSettings when it is there and can't be used."""
    if path is None:
        return Settings()
    import json

    try:
        with open(path, encoding="utf-8") as file:
            data = json.load(file)
        if data.get("schema") != SCHEMA:
            raise BadSettings(f"{path}: schema {SCHEMA} was expected, seen: {data.get('schema')!r}. {_MEND}")
        return Settings(
            max_bytes=int(data.get("max_bytes", MAX_BYTES)),
            fail_on={"low": "low", "medium": "medium", "high": "high"}[data.get("fail_on", "medium")],
            off=tuple(data.get("off", ())),
            ignore=tuple(data.get("ignore", ())),
            protect=tuple(data.get("protect", ())),
            owns={build: tuple(patterns) for build, patterns in data.get("owns", {}).items()},
            owns_action={"warn": "warn", "block": "block"}[data.get("owns_action", "block")],
            gitleaks=bool(data.get("gitleaks", False)),
        )
    except (OSError, ValueError, TypeError, AttributeError, KeyError, re.error) as error:
        raise BadSettings(f"{path}: {type(error).__name__}: {error}. {_MEND}") from error
